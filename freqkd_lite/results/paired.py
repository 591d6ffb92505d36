"""Differences between methods, paired: images and seeds are resampled together.

What is hard in an image, and the luck of a seed that decides crops and order, are the same for both
methods and cancel. Figures are computed on resampled images from the files with one entry an image
that notebooks write.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.evaluate.detection import Matches
from freqkd_lite.evaluate.probe import ap_draws
from freqkd_lite.evaluate.stats import at_once, crossed_bootstrap, multiplicities
from freqkd_lite.names import up_to_date
from freqkd_lite.results.rows import Row, check_one_place, is_part, is_trained
from freqkd_lite.store import write_json

DRAWS = 1000
FILE = "differences.json"
MARGIN = 0.01
"""How far a method must be above the reference to count as better, in units of the figure."""
COLUMNS = ["metric", "data", "split", "method", "klass", "value", "low", "high"]
COLUMNS += ["joint_low", "joint_high", "seeds", "images", "groups"]
"""A method's figure minus that of the reference, in one class (or "mean", "day", "night"): the
95 % interval over images and seeds; the one that holds jointly for the means of all trained methods
(max-t), NaN elsewhere; and numbers of seeds, images and groups of images."""


class Figures(NamedTuple):
    """A method's figures by class and "mean": `values`, their `draws` (DRAWS,) on resampled images,
    the `truth` they were measured on, and each image's group in `groups` (N,)."""

    values: dict[str, float]
    draws: dict[str, np.ndarray]
    truth: np.ndarray
    groups: np.ndarray

    def paired(self, other: Figures) -> bool:
        """Whether both are about the same images, so that their draws hold the same ones."""
        return all(map(np.array_equal, (self.truth, self.groups), (other.truth, other.groups)))


# ------------------------------------------------------------------------------- files of images


def _times(arrays, count: int) -> Tensor:
    return multiplicities(count, DRAWS, groups=arrays.get("groups"))


def _probe(arrays, key: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """From notebook 05's file: log odds (N, h, w, K) by method, and the labels (N, h, w)."""
    scores, truth = torch.tensor(arrays[key]).double(), torch.tensor(arrays["truth"])
    once = ap_draws(scores, truth, classes, torch.ones(1, len(truth)))
    draws = ap_draws(scores, truth, classes, _times(arrays, len(truth)))
    return {k: once[k][0] for k in classes}, draws, arrays["truth"]


def _detection(arrays, key: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """From notebook 06's file: the matches of each class."""
    parts = ("image", "hit", "truths")
    found = {k: Matches(*(arrays[f"{key}/{k}_{part}"] for part in parts)) for k in classes}
    truths = np.stack([m.truths for m in found.values()])
    times = _times(arrays, truths.shape[1]).long().numpy()
    values = {k: np.array(m.ap(), float) for k, m in found.items()}
    draws = {k: np.array([m.ap(t) for t in times], float) for k, m in found.items()}
    return values, draws, truths.T


def _segmentation(arrays, key: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """From notebook 07's file: each image's pixels by true and predicted class (N, K, K)."""
    counts = arrays[key].astype(float)
    times = _times(arrays, len(counts)).numpy()
    summed = np.concatenate([counts.sum(0)[None], np.einsum("dn,nij->dij", times, counts)])
    hits = np.diagonal(summed, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        iou = hits / (summed.sum(1) + summed.sum(2) - hits)
    figures = dict(zip([k for k in classes if k != "accuracy"], iou.T, strict=True))
    if "accuracy" in classes:
        figures["accuracy"] = hits.sum(1) / summed.sum((1, 2))
    values = {k: v[0] for k, v in figures.items()}
    return values, {k: v[1:] for k, v in figures.items()}, arrays[key].sum(2)


METRICS = {"probe_ap": _probe, "map50": _detection, "miou": _segmentation}
"""The figures that can be computed from a notebook's file of images."""


def resample(
    file: Path, metric: str, method: str, classes: tuple[str, ...], time_of_day: str = ""
) -> Figures | None:
    """A method's figures from a notebook's file of images, NaN for a class that these lack; None
    where the file is missing or does not hold them.

    The draws are of the same images in all files about these, and of whole groups of images where
    the file holds groups. `classes` are all that the file was made with, in their order. With
    `time_of_day` ("day" or "night") only images of that time count.
    """
    if metric not in METRICS or not file.is_file():
        return None
    stat = file.stat()
    stamp = (stat.st_mtime_ns, stat.st_size)
    return _resample(file, stamp, metric, method, classes, time_of_day)


@lru_cache(1024)
def _resample(
    file: Path,
    stamp: tuple[int, int],  # a file that was written again is read again
    metric: str,
    method: str,
    classes: tuple[str, ...],
    time_of_day: str,
) -> Figures | None:
    try:
        with np.load(file) as arrays:
            key = _key_of(method, arrays)
            if time_of_day:
                here = arrays[_time_key(arrays)] == time_of_day
                arrays = {k: arrays[k][here] for k in (key, "truth", "groups") if k in arrays}
            values, draws, truth = METRICS[metric](arrays, key, classes)
            groups = arrays["groups"] if "groups" in arrays else np.arange(len(truth))
    except (KeyError, ValueError):
        return None
    there = [k for k, v in values.items() if k != "accuracy" and np.isfinite(v)]
    if there:
        values["mean"] = np.mean([values[k] for k in there])
        draws["mean"] = np.mean([draws[k] for k in there], axis=0)
    return Figures({k: float(v) for k, v in values.items()}, draws, truth, groups)


def _key_of(method: str, arrays) -> str:
    """The method's name in a file. A sweep may have added settings to the name in the rows, so the
    longest beginning of it is taken."""
    keys = {up_to_date(k.partition("/")[0]): k.partition("/")[0] for k in arrays}
    own = [k for k in keys if k == method or method.startswith((f"{k} (", f"{k[:-1]}, "))]
    return keys[max(own, key=len)] if own else method


def _time_key(arrays) -> str:
    return "light" if "light" in arrays else "time_of_day"  # `light` in older files


def times_of_day(file: Path) -> list[str]:
    """The times of day that a notebook's file of images holds, in order."""
    with np.load(file) as arrays:
        key = _time_key(arrays)
        return sorted(set(arrays[key].tolist()) - {""}) if key in arrays else []


def reproduces(found: Figures | None, row: Row) -> bool:
    """Whether a file gives the row's figure; files hold scores in half precision."""
    return found is not None and abs(found.values.get(row.klass, np.nan) - row.value) <= 0.005


# --------------------------------------------------------------------------------- differences

Scored = dict[str, dict[int | None, Figures]]
"""Figures by method and seed."""


def _whole(rows: Sequence[Row], metric: str) -> list[Row]:
    return [row for row in rows if row.metric == metric and not is_part(row.split)]


def differences(rows: Sequence[Row], folder: Path, reference: str, metric: str) -> pd.DataFrame:
    """Each method minus `reference` (`COLUMNS`), for "mean" and every class, over shared seeds.

    An untrained method stands beside every seed of the reference. Where all files of the probe hold
    times of day, means by "day" and "night" follow. A method that shares no seed with the reference
    is left out (`not_compared`). `folder` holds the files of images that the rows name.

    `UserError` for an unknown reference, for files that are missing, don't reproduce the rows or
    are about other images or groups of them, and for rows of several data sets or splits.
    """
    of_metric = _whole(rows, metric)
    chosen = [row for row in of_metric if row.value is not None]
    check_one_place(chosen, metric, "compare methods on one of them")
    methods = list(dict.fromkeys(row.method for row in chosen))
    if reference not in methods:
        raise unknown("method to compare with", reference, methods)
    classes = tuple(dict.fromkeys(row.klass for row in of_metric if row.klass != "mean"))
    scored: Scored = {method: {} for method in methods}
    for row in chosen:
        figures = resample(folder / (row.per_image or "none"), metric, row.method, classes)
        if not reproduces(figures, row):
            raise UserError(
                f"{folder.name} has no file of images that reproduces {metric} of {row.method}, "
                f"{row.klass}: run it again."
            )
        scored[row.method][row.seed] = figures
    found = _subtract(scored, reference, ("mean", *classes))
    files = {(row.method, row.seed): folder / row.per_image for row in chosen}
    for time in _shared_times(set(files.values())) if metric == "probe_ap" else ():
        part = {
            method: {s: resample(files[method, s], metric, method, classes, time) for s in own}
            for method, own in scored.items()
        }
        no_joint = {"klass": time, "joint_low": math.nan, "joint_high": math.nan}
        found += [line | no_joint for line in _subtract(part, reference, ("mean",))]
    found.sort(key=lambda line: methods.index(line["method"]))
    about = {"metric": metric, "data": chosen[0].data, "split": chosen[0].split}
    return pd.DataFrame([about | line for line in found], columns=COLUMNS)


def _shared_times(files: set[Path]) -> list[str]:
    found = [times_of_day(file) for file in files]
    return found[0] if all(each == found[0] for each in found) else []


def _subtract(scored: Scored, reference: str, classes: Sequence[str]) -> list[dict]:
    """Each method minus the reference, as rows of `COLUMNS`."""
    base = scored[reference]
    first = next(iter(base.values()))
    found, of_means = [], {}  # of_means: value and draws of each trained method's mean
    for method, own in scored.items():
        if not all(each.paired(first) for each in own.values()):
            raise UserError(
                f"{method} and {reference} were not scored on the same images and groups of them: "
                "run both again."
            )
        if method == reference:
            continue
        trained, any_seed = is_trained(method), next(iter(own.values()))
        seeds = [seed for seed in base if not trained or seed in own]
        both = [(own.get(seed, any_seed), base[seed]) for seed in seeds]
        for klass in classes if both else ():
            if not np.isfinite(first.values.get(klass, np.nan)):
                continue  # these images lack it
            sides = [
                ([each.values[klass] for each in side], [each.draws[klass] for each in side])
                for side in zip(*both, strict=True)
            ]
            value, (low, high), draws = crossed_bootstrap(*sides)
            line = {"method": method, "klass": klass, "value": value, "low": low, "high": high}
            line |= {"seeds": len(both), "images": len(first.truth)}
            line |= {"groups": len(np.unique(first.groups))}
            found.append(line)
            if klass == "mean" and trained:
                of_means[method] = value, draws
    # Methods of fewer seeds are drawn apart from the others, so these are rather too wide.
    joint = at_once(*zip(*of_means.values(), strict=True)) if of_means else []
    for method, (low, high) in zip(of_means, joint, strict=True):
        line = next(x for x in found if (x["method"], x["klass"]) == (method, "mean"))
        line |= {"joint_low": low, "joint_high": high}
    return found


def not_compared(rows: Sequence[Row], reference: str, metric: str) -> list[str]:
    """Trained methods that have the metric, but for no seed that `reference` has it for."""
    seeds: dict[str, set] = {}
    for row in _whole(rows, metric):
        if row.value is not None:
            seeds.setdefault(row.method, set()).add(row.seed)
    theirs = seeds.get(reference, set())
    return [
        method
        for method, own in seeds.items()
        if method != reference and is_trained(method) and not own & theirs
    ]


@dataclass(frozen=True)
class Comparison:
    """What a results folder keeps in `FILE`: differences to the `reference` (`table`, `COLUMNS`),
    the `preregistered` method, those added `post_hoc` (after the first test results), and those
    that could not be compared."""

    reference: str
    table: pd.DataFrame
    preregistered: str | None = None
    post_hoc: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def means(self, metric: str) -> pd.DataFrame:
        """The differences of means over classes in one metric, best first."""
        of = self.table[(self.table["metric"] == metric) & (self.table["klass"] == "mean")]
        return of.sort_values(["value", "method"], ascending=[False, True])

    def write(self, folder: Path) -> None:
        rows = json.loads(self.table.to_json(orient="records", double_precision=15))
        write_json(folder / FILE, asdict(self) | {"table": rows})


def read_comparison(folder: str | Path) -> Comparison | None:
    """What `Comparison.write` wrote into a results folder; None where there is nothing."""
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    content = json.loads(file.read_text())
    table = pd.DataFrame(content["table"], columns=COLUMNS).astype(
        dict.fromkeys(["value", "low", "high", "joint_low", "joint_high"], float)
    )
    return Comparison(**content | {"table": table})
