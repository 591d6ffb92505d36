"""From what a notebook measured to rows, and to differences over the committed seeds."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import ProbeResult, positives_reached
from freqkd_lite.evaluate.segmentation import SegmentationResult
from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap
from freqkd_lite.names import method_name
from freqkd_lite.results.paired import read_comparison
from freqkd_lite.results.rows import (
    Row,
    frame,
    lines_of,
    over_seeds,
    pick,
    read_manifest,
    read_results,
    results_folder,
    seed_means,
    whole,
)
from freqkd_lite.results.text import Interval, Table, number, verdict
from freqkd_lite.store import write_arrays


def rows_of(results: Mapping[str, Resampled], metric: str, **about: Any) -> list[Row]:
    """A row for each method and figure, the mean first; `about` are the fields that all have."""
    found = []
    for method, result in results.items():
        for klass in sorted(result.estimates, key=lambda klass: klass != "mean"):
            if klass != "accuracy":
                value, interval = result.figure(klass)
                own = dict(method=method, metric=metric, klass=klass)
                found.append(Row(value=value, interval=interval, **own, **about))
    return found


def probe_rows(
    notebook: str,
    probes: Mapping[str, ProbeResult],
    times: Sequence[str],
    metric: str = "probe_ap",
    beside: Mapping[str, np.ndarray] | None = None,
    **about: Any,
) -> list[Row]:
    """The rows of probes, on all images and by time of day, and the file of images beside them,
    which holds the arrays `beside` too."""
    first = next(iter(probes.values()))
    arrays = {method: ranked(result.scores, first.truth) for method, result in probes.items()}
    arrays |= {"truth": first.truth.numpy().astype("uint8"), "time_of_day": np.array(times)}
    arrays |= {"groups": np.array(first.groups)} | dict(beside or {})
    file = save_images(notebook, arrays, f"{metric}.npz")
    found = rows_of(probes, metric, per_image=file, **about)
    for time, apart in by_time_of_day(probes, times).items():
        found += rows_of(apart, metric, **about | {"split": f"{about['split']}/{time}"})
    return found


def ranked(scores: Tensor, truth: Tensor) -> np.ndarray:
    """What a file of images holds of a probe's scores (N, h, w, K), whose figures it gives exactly:
    `positives_reached` of each class, in the smallest type that holds them."""
    of = [positives_reached(each, truth == k) for k, each in enumerate(scores.unbind(-1))]
    ranks = torch.stack(of, -1).numpy()
    return ranks.astype(np.min_scalar_type(ranks.max(initial=0)))


def save_images(notebook: str, arrays: Mapping[str, np.ndarray], file: str) -> str:
    """Write what intervals are computed from beside the notebook's results; the file's name."""
    write_arrays(results_folder(notebook) / file, dict(arrays), small=True)
    return file


def by_time_of_day(
    probes: Mapping[str, ProbeResult], times: Sequence[str]
) -> dict[str, dict[str, ProbeResult]]:
    """The probes by day and by night, from each image's time of day; images of unknown time, and a
    time without any object, are left out."""
    apart = {}
    for time in sorted(set(times) - {""}):
        images = [i for i, each in enumerate(times) if each == time]
        with suppress(UserError):
            apart[time] = {method: result.among(images) for method, result in probes.items()}
    return apart


def shared_classes(rings: Mapping[Interval, SegmentationResult], classes: Sequence[str]) -> list:
    """The classes with true pixels at every distance from a border: thin things have no interior,
    so only these can be compared from distance to distance."""
    seen = torch.stack([ring.confusion.sum((0, 2)) > 0 for ring in rings.values()]).all(0)
    return [c for c, there in zip(classes, seen.tolist(), strict=True) if there]


def by_distance(rings: Mapping[Interval, SegmentationResult], classes: Sequence[str]) -> Resampled:
    """The mean IoU over `classes` at each distance from a border, as figures called "1-3px"."""
    figures, first = {}, next(iter(rings.values()))
    for (low, high), ring in rings.items():
        value = np.array([ring.estimates[c] for c in classes], float).mean()
        draws = np.mean([ring.draws[c] for c in classes], axis=0)
        figures[f"{low:g}-{high:g}px"] = np.append(value, draws)
    return Resampled.of(figures, truth=first.truth, seed=first.seed, groups=first.groups)


# ------------------------------------------------------------------------------- committed seeds


DIFFERENCES = ["method", "klass", "value", "low", "high"]
TIE = verdict(0, 0)  # no detectable difference


@dataclass(frozen=True)
class Seeds:
    """Committed runs over several seeds with a notebook's parameters: `rows` from `folder`, and a
    `note` that names them. Without such runs `folder` is None, and the note says what differs."""

    note: str
    folder: Path | None = None
    rows: list[Row] = field(default_factory=list)

    def differences(
        self, metric: str, run: Mapping[str, Resampled], reference: str = "none"
    ) -> pd.DataFrame:
        """Each method minus the reference: `DIFFERENCES`.

        Over the committed seeds: paired over images and seeds where `freqkd report` computed that,
        else over seeds (t interval). Without such seeds from `run`, paired over its images.
        """
        if self.folder is None or not pick(self.rows, metric=metric):
            return run_differences(run, reference)
        comparison = read_comparison(self.folder)
        if comparison is not None and comparison.reference == reference:
            found = comparison.table.loc[comparison.table["metric"] == metric, DIFFERENCES]
            if len(found):
                return found
        return seed_differences(self.rows, metric, reference)

    def table(
        self,
        measures: Mapping[str, tuple[str, Mapping[str, Resampled]]],
        reference: str = "none",
        classes: Mapping[str, str] | None = None,
    ) -> tuple[*Table, str]:
        """Head, rows and note of a table with a row per method; for each of `measures` (label ->
        metric and this run's results) a column with the difference and one with its verdict, empty
        for a method that it lacks. `classes`: some by class key -> label, instead of the mean."""
        names, head, rows, lacking = classes or {"mean": ""}, ["method"], {}, []
        for name, (metric, run) in measures.items():
            head += [f"{name} minus {method_name(reference)}", "verdict"]
            lacking += [name] if self.folder and not pick(self.rows, metric=metric) else []
            for d in lines_of(self.differences(metric, run, reference)):
                if d.method != "teacher" and d.klass in names:
                    label = ", ".join(filter(None, (method_name(d.method), names[d.klass])))
                    row = rows.setdefault(label, [label])
                    row += [number(d.value, (d.low, d.high), 3, True), verdict(d.low, d.high)]
        note = f" This run alone: {', '.join(lacking)}." if lacking else ""
        cells = [row + [""] * (len(head) - len(row)) for row in rows.values()]
        return head, cells, self.note + note

    def best(self, metric: str, run: Mapping[str, Resampled], klass: str = "mean") -> str:
        """The method with the highest figure of a class, the teacher aside, over the committed
        seeds or of `run`; `TIE` where another one's difference to it is not detectable."""
        found = seed_means(self.rows, metric)
        found = found[found["klass"] == klass].set_index("method")["value"].to_dict()
        values = found or {method: result.estimates[klass] for method, result in run.items()}
        values.pop("teacher", None)
        first = max(values, key=values.__getitem__)
        phrases = self.verdicts(metric, run, first)
        return TIE if any(phrases.get((m, klass), "") == TIE for m in values) else first

    def one_band(self, read: str, klass: str) -> Self:
        """The detector of the method `read` that sees one band alone at a cutoff (`klass`), as two
        methods called "low band only" and "high band only" with the metric "map50_one_band"."""
        found = []
        for band in ("low", "high"):
            of = pick(self.rows, metric=f"map50_{band}_only", method=read, klass=klass)
            names = {"metric": "map50_one_band", "method": f"{band} band only", "klass": "mean"}
            found += [row.model_copy(update=names) for row in of]
        return replace(self, rows=found)

    def verdicts(
        self, metric: str, run: Mapping[str, Resampled], reference: str = "none"
    ) -> dict[tuple[str, str], str]:
        """`text.verdict` of each of the `differences`, by method and class."""
        found = lines_of(self.differences(metric, run, reference))
        return {(d.method, d.klass): verdict(d.low, d.high) for d in found}


def run_differences(run: Mapping[str, Resampled], reference: str) -> pd.DataFrame:
    """Each method of one run minus the reference, paired over images."""
    base, found = run[reference], []
    for method, result in run.items():
        for klass, value in result.estimates.items():
            if method != reference and None not in (value, base.estimates[klass]):
                difference, span = paired_bootstrap(result, base, klass)
                found.append((method, klass, difference, *span))
    return pd.DataFrame(found, columns=DIFFERENCES)


def seed_differences(rows: Sequence[Row], metric: str, reference: str) -> pd.DataFrame:
    """Each method minus the reference over the seeds that both have, with 95 % t intervals; NaN as
    interval where the differences of all seeds are equal."""
    keys, found = ["method", "klass"], []
    values = whole(frame(rows), metric).pivot_table("value", keys, "seed", sort=False)
    base, others = values.loc[reference], values.drop(reference)
    for method, klass in others.index:
        theirs = base.loc[klass] if klass in base.index else np.nan
        both = (others.loc[(method, klass), :] - theirs).dropna()
        if len(both):
            mean, span = over_seeds(both)
            found.append((method, klass, mean, *(span or (np.nan, np.nan))))
    return pd.DataFrame(found, columns=DIFFERENCES)


def find_seeds(
    results: str | Path, notebook: str, parameters: Mapping, weights: str | None
) -> Seeds:
    """The first folder of `results` with runs of `notebook` over several seeds that have these
    parameters (but for the seed) and `weights` (SHA-256)."""
    mine = {k: v for k, v in parameters.items() if k != "seed"} | {"weights": weights}
    others = []
    for path in sorted(Path(results).glob("*/manifest.json")):
        made = read_manifest(path.parent).get("notebooks", {}).get(notebook)
        if not made or len(made["seeds"]) < 2:
            continue
        theirs = made["parameters"] | {"weights": made["weights"]}
        # An empty parameter means the same as one that did not exist yet.
        keys = sorted(theirs.keys() | mine.keys())
        other = [k for k in keys if (theirs.get(k) or None) != (mine.get(k) or None)]
        if not other:
            return read_seeds(path.parent, notebook)
        name = f"results/{path.parent.name}"
        others.append((len(other), f" ({name} has another {', '.join(other[:3])})"))
    _, reason = min(others, default=(0, ""), key=lambda found: found[0])
    return Seeds(f"This run only: no committed results use these parameters{reason}.")


def read_seeds(folder: str | Path, notebook: str) -> Seeds:
    """The committed seeds of `notebook` in a results folder, whatever their parameters."""
    seeds = read_manifest(folder)["notebooks"][notebook]["seeds"]
    note = f"Mean over {len(seeds)} seeds (results/{Path(folder).name})."
    return Seeds(note, Path(folder), pick(read_results(folder), claim="walk"))
