"""Differences between methods, paired: images and seeds are resampled together.

An image's difficulty, and the luck of a seed that decides crops and order, are the same for both
methods and cancel. Figures are computed on resampled images from the files with one entry per image
that notebooks write.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.evaluate.crops import recalls
from freqkd_lite.evaluate.detection import Matches, matched_draws
from freqkd_lite.evaluate.probe import ap_draws
from freqkd_lite.evaluate.segmentation import iou_draws
from freqkd_lite.evaluate.stats import Resampled, crossed_bootstrap, max_t, times_of
from freqkd_lite.results.rows import Row, check_one_place, frame, is_trained, lines_of, whole
from freqkd_lite.store import read_text, write_json

DRAWS = 1000
FILE = "differences.json"
MARGIN = 0.01
"""How far a method must be above the reference to count as better, in units of the figure."""
COLUMNS = ["metric", "data", "split", "method", "klass", "value", "low", "high"]
COLUMNS += ["joint_low", "joint_high", "seeds", "images", "groups"]
"""A method's figure minus that of the reference, in one class (or "mean", "day", "night"): the
95 % interval over images and seeds; the one that holds jointly for the means of all trained methods
(max-t), NaN elsewhere; and numbers of seeds, images and groups of images."""

# ------------------------------------------------------------------------------- files of images

Measured = tuple[dict[str, np.ndarray], Tensor]
"""Figures by class (1 + draws,), the first one on all images and the others on resampled ones; and
what the images hold (N, ...)."""


def _by_time(
    figures: Callable, given: Tensor, truth: Tensor, classes: Sequence[str], arrays: Mapping, n: int
) -> dict[str, np.ndarray]:
    """`figures(given, truth)` on all images (N, ...) with `n` bootstrap draws and, where the file
    holds times of day, their mean over classes on the images of "day" and of "night"."""
    times = times_of(len(truth), n, groups=arrays.get("groups"))
    found, by_time = figures(given, truth, classes, times), arrays.get("time_of_day", np.array([]))
    for time in sorted({*by_time.tolist()} - {""}):
        here = torch.from_numpy(by_time == time)
        found[time] = figures(given[here], truth[here], classes, times[:, here])["mean"]
    return found


def _probe(arrays: Mapping, key: str, classes: Sequence[str], draws: int) -> Measured:
    """From notebook 05's file: scores or their ranks (N, h, w, K) by method, the labels (N, h, w),
    and each image's time of day."""
    scores, truth = torch.tensor(arrays[key]).double(), torch.tensor(arrays["truth"])
    return _by_time(ap_draws, scores, truth, classes, arrays, draws), truth


def _detection(arrays: Mapping, key: str, classes: Sequence[str], draws: int) -> Measured:
    """From notebook 06's file: the matches of each class."""
    parts = ("image", "hit", "truths")
    found = {k: Matches(*(arrays[f"{key}/{k}_{part}"] for part in parts)) for k in classes}
    truth = np.stack([m.truths for m in found.values()], 1)
    times = times_of(len(truth), draws, groups=arrays.get("groups"))
    return matched_draws(found, times), torch.from_numpy(truth)


def _segmentation(arrays: Mapping, key: str, classes: Sequence[str], draws: int) -> Measured:
    """From notebook 07's file: each image's pixels by true and predicted class (N, K, K)."""
    confusion = torch.from_numpy(arrays[key].astype(int))
    times = times_of(len(confusion), draws, groups=arrays.get("groups"))
    return iou_draws(confusion, classes, times), confusion.sum(2)


def _crops(arrays: Mapping, key: str, classes: Sequence[str], draws: int) -> Measured:
    """From the file of `tools/flir_crops.py`: the class (N,) that each crop is given, the true one,
    and each crop's time of day."""
    predicted, truth = (torch.from_numpy(arrays[k].astype(int)) for k in (key, "truth"))
    return _by_time(recalls, predicted, truth, classes, arrays, draws), truth


METRICS = {
    "balanced_accuracy": _crops,
    "probe_ap": _probe,
    "map50": _detection,
    "miou": _segmentation,
}
METRICS |= {f"label_free_{metric}": read for metric, read in METRICS.items()}
METRICS |= {"agreement": _segmentation, "weak_miou": _segmentation}
"""The figures that can be computed from a notebook's file of images."""


def resample(
    file: Path, metric: str, method: str, classes: Sequence[str], draws: int = DRAWS
) -> Resampled | None:
    """A method's figures from a notebook's file of images; None where the file is missing or does
    not hold them.

    The draws are of the same images in all files about these, and of whole groups of images where
    the file holds groups. `classes` are all that the file was made with, in their order. A file of
    one student may hold the figures and draws themselves, METRIC/KLASS (`tools/msrs_cv.py`).
    """
    if not file.is_file():
        return None
    try:
        with np.load(file) as arrays:
            if f"{metric}/mean" in arrays:
                own = [k for k in arrays if k.startswith(f"{metric}/")]
                figures = {k.partition("/")[2]: arrays[k].astype(float) for k in own}
                truth = torch.from_numpy(arrays["groups"])
            else:
                figures, truth = METRICS[metric](arrays, _key_of(method, arrays), classes, draws)
            groups = arrays.get("groups", np.arange(len(truth)))
    except (KeyError, ValueError):
        return None
    return Resampled.of(figures, truth=truth, seed=0, groups=groups)


def _key_of(method: str, arrays: Mapping) -> str:
    """The method's name in a file. A sweep may have added settings to the name in the rows, so the
    longest beginning of it is taken."""
    keys = {k.partition("/")[0] for k in arrays}
    own = [k for k in keys if k == method or method.startswith((f"{k} (", f"{k[:-1]}, "))]
    return max(own, key=len, default=method)


def scored(
    rows: pd.DataFrame, folder: Path, draws: int = DRAWS
) -> dict[str, dict[int | None, Resampled]]:
    """The figures of the rows of one metric by method and seed, from the files of images in
    `folder` that the rows name. `UserError` where these are missing or give other figures."""
    found: dict[str, dict[int | None, Resampled]] = {}
    classes = [klass for klass in rows["klass"].unique() if klass != "mean"]
    for row in lines_of(rows.dropna(subset="value")):
        own, file = found.setdefault(row.method, {}), folder / (row.per_image or "none")
        result = own.get(row.seed) or resample(file, row.metric, row.method, classes, draws)
        value = result and result.estimates.get(row.klass)
        # Files are in half precision.
        if result is None or value is None or abs(value - row.value) > 0.005:
            raise UserError(
                f"{folder.name} has no file of images that reproduces {row.metric} of "
                f"{row.method}, {row.klass}: run it again."
            )
        own[row.seed] = result
    return found


# --------------------------------------------------------------------------------- differences


def differences(
    rows: Iterable[Row] | pd.DataFrame, folder: Path, reference: str, metric: str
) -> pd.DataFrame:
    """Each method minus `reference` (`COLUMNS`), for "mean", every class, and "day" and "night"
    where all files hold times of day, over shared seeds.

    An untrained method is paired with every seed of the reference, and a reference without seed
    with every seed of a method; one that shares no seed with it is left out (`not_compared`).
    `folder` holds the files of images that the rows name.

    `UserError` for an unknown reference, for files that are missing, don't reproduce the rows or
    are about other images or groups of them, and for rows of several data sets or splits.
    """
    of_metric = whole(frame(rows), metric)
    chosen = of_metric.dropna(subset="value")
    check_one_place(chosen, metric, "compare methods on one of them")
    check_known("method to compare with", chosen["method"].unique(), reference)
    methods = scored(of_metric, folder)
    base, found = methods.pop(reference), []
    first = next(iter(base.values()))
    groups = np.asarray(first.groups)
    classes = [klass for klass in of_metric["klass"].unique() if klass != "mean"]
    about = {"metric": metric, "data": chosen["data"].iloc[0], "split": chosen["split"].iloc[0]}
    about |= {"images": len(first.truth), "groups": len(np.unique(groups))}
    for method, own in methods.items():
        for each in (*own.values(), *base.values()):
            same = np.array_equal(np.asarray(each.groups), groups)
            if not same or not torch.equal(each.truth, first.truth):
                raise UserError(
                    f"{method} and {reference} were not scored on the same images and groups of "
                    "them: run both again."
                )
        any_seed = None if is_trained(method) else next(iter(own.values()))
        seeds = [(own.get(seed, any_seed), base.get(seed, base.get(None))) for seed in base | own]
        both = [(one, other) for one, other in seeds if one and other]
        for klass in ("mean", *classes, "day", "night") if both else ():
            if any(each.estimates.get(klass) is None for pair in both for each in pair):
                continue  # these images lack it
            ours, theirs = (
                (np.array([r.estimates[klass] for r in of]), np.array([r.draws[klass] for r in of]))
                for of in zip(*both, strict=True)
            )
            value, (low, high), draws = crossed_bootstrap(ours, theirs)
            line = {"method": method, "klass": klass, "value": value, "low": low, "high": high}
            found.append(about | line | {"seeds": len(both), "draws": draws})
    trained = [line for line in found if line["klass"] == "mean" and is_trained(line["method"])]
    if trained:
        # Methods of fewer seeds are drawn apart from the others, so these are rather too wide.
        joint = max_t(*zip(*((line["value"], line["draws"]) for line in trained), strict=True))
        for line, (low, high) in zip(trained, joint, strict=True):
            line |= {"joint_low": low, "joint_high": high}
    return pd.DataFrame(found, columns=COLUMNS)


def not_compared(rows: Iterable[Row] | pd.DataFrame, reference: str, metric: str) -> list[str]:
    """Trained methods with the metric that share no seed with `reference`."""
    chosen = whole(frame(rows), metric).dropna(subset="value")
    seeds = {m: {*chosen.loc[chosen["method"] == m, "seed"]} for m in chosen["method"].unique()}
    theirs = seeds.get(reference, set())
    if None in theirs:
        return []
    return [m for m, own in seeds.items() if m != reference and is_trained(m) and not own & theirs]


@dataclass(frozen=True)
class Comparison:
    """The content of `FILE` in a results folder: differences to the `reference` (`table`,
    `COLUMNS`), the `preregistered` method, those added `post_hoc` (after the first test results),
    and those that could not be compared."""

    reference: str
    table: pd.DataFrame
    preregistered: str | None = None
    post_hoc: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def means(self, metric: str) -> pd.DataFrame:
        """The differences of means over classes in one metric, best first."""
        of = self.table.loc[(self.table["metric"] == metric) & (self.table["klass"] == "mean")]
        return of.sort_values(["value", "method"], ascending=[False, True])

    def write(self, folder: Path) -> None:
        rows = json.loads(self.table.to_json(orient="records", double_precision=15) or "[]")
        write_json(folder / FILE, asdict(self) | {"table": rows})


def read_comparison(folder: str | Path) -> Comparison | None:
    """What `Comparison.write` wrote into a results folder; None where there is nothing."""
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    content = json.loads(read_text(file))
    kinds = dict.fromkeys(["value", "low", "high", "joint_low", "joint_high"], float)
    return Comparison(
        **content | {"table": pd.DataFrame(content["table"], columns=COLUMNS).astype(kinds)}
    )
