"""Differences between arms, paired: on the same images and seeds, which are resampled together.

What is hard in an image, and the luck of a seed that decides crops and order, are the same for both
arms and cancel. The figures are computed anew on resampled images, from the files of images that
the notebooks keep.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.evaluate.detection import Matches
from freqkd_lite.evaluate.probe import ap_draws
from freqkd_lite.evaluate.stats import at_once, crossed_bootstrap, multiplicities
from freqkd_lite.results.rows import UNTRAINED, Row, check_one_place, is_part, split_arm
from freqkd_lite.store import write_json

DRAWS = 1000
FILE = "differences.json"
MARGIN = 0.01
"""What counts as beating the arm that all are compared with, in units of the figure."""


def _times(arrays, count: int) -> Tensor:
    return multiplicities(count, DRAWS, groups=arrays.get("groups"))


class Figures(NamedTuple):
    """An arm's figures by class and "mean": `values`, their `draws` (DRAWS,) on resampled images,
    the `truth` that they were measured on, and each image's group in `groups` (N,)."""

    values: dict[str, float]
    draws: dict[str, np.ndarray]
    truth: np.ndarray
    groups: np.ndarray

    def paired(self, other: Figures) -> bool:
        """Whether both are about the same images, and their draws hold the same ones."""
        return all(map(np.array_equal, (self.truth, self.groups), (other.truth, other.groups)))


def resample(
    file: Path, metric: str, arm: str, classes: tuple[str, ...], light: str = ""
) -> Figures | None:
    """One arm's figures from a notebook's file of images, NaN for a class that they lack; None
    where there is no such file, or it does not hold them. The draws are of the same images for all
    files about these, and of whole groups of them where the file tells groups. `classes` are all
    that the file was made with, in their order; with `light`, "day" or "night", only images count
    of which the file tells that."""
    if metric not in METRICS or not file.is_file():
        return None
    now = file.stat()
    return _resample(file, (now.st_mtime_ns, now.st_size), metric, arm, classes, light)


@lru_cache(1024)
def _resample(file: Path, stamp: tuple[int, int], metric: str, arm: str, classes: tuple[str, ...],
              light: str) -> Figures | None:  # fmt: skip
    """`resample` of a file as it was at `stamp`."""
    try:
        with np.load(file) as arrays:
            # A sweep may have added settings to the arm's name; the longest beginning is its own.
            kept = [k.partition("/")[0] for k in arrays]
            own = [k for k in kept if k == arm or arm.startswith((f"{k} (", f"{k[:-1]}, "))]
            chosen = max(own, key=len, default=arm)
            if light:
                here = arrays["light"] == light
                arrays = {k: arrays[k][here] for k in (chosen, "truth", "groups") if k in arrays}
            values, draws, truth = METRICS[metric](arrays, chosen, classes)
            groups = arrays["groups"] if "groups" in arrays else np.arange(len(truth))
    except (KeyError, ValueError):
        return None
    here = [k for k, v in values.items() if k != "accuracy" and np.isfinite(v)]
    if here:
        values["mean"] = np.mean([values[k] for k in here])
        draws["mean"] = np.mean([draws[k] for k in here], axis=0)
    return Figures({k: float(v) for k, v in values.items()}, draws, truth, groups)


def lights(file: Path) -> list[str]:
    """The times of day that a notebook's file of images tells, in order; [] for none."""
    with np.load(file) as arrays:
        return sorted(set(arrays["light"].tolist()) - {""}) if "light" in arrays else []


def gives(found: Figures | None, row: Row) -> bool:
    """Whether a file gives a row's figure again; it holds scores in half precision."""
    return found is not None and abs(found.values.get(row.klass, np.nan) - row.value) <= 0.005


def _probe(arrays, arm: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """Of notebook 05's file: log odds (N, h, w, K) by arm, and the labels (N, h, w)."""
    scores, truth = torch.tensor(arrays[arm]).double(), torch.tensor(arrays["truth"])
    once = ap_draws(scores, truth, classes, torch.ones(1, len(truth)))
    draws = ap_draws(scores, truth, classes, _times(arrays, len(truth)))
    return {k: once[k][0] for k in classes}, draws, arrays["truth"]


def _detection(arrays, arm: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """Of notebook 06's file: the matches of each class."""
    found = {k: Matches(*(arrays[f"{arm}/{k}_{part}"] for part in ("image", "hit", "truths")))
             for k in classes}  # fmt: skip
    truths = np.stack([m.truths for m in found.values()])
    times = _times(arrays, truths.shape[1]).long().numpy()
    values = {k: np.array(m.ap(), float) for k, m in found.items()}
    draws = {k: np.array([m.ap(t) for t in times], float) for k, m in found.items()}
    return values, draws, truths.T


def _segmentation(arrays, arm: str, classes: tuple[str, ...]) -> tuple[dict, dict, np.ndarray]:
    """Of notebook 07's file: pixels by true (rows) and predicted class (N, K, K) of each image."""
    counts = arrays[arm].astype(float)
    times = _times(arrays, len(counts)).numpy()
    summed = np.concatenate([counts.sum(0)[None], np.einsum("dn,nij->dij", times, counts)])
    hits = np.diagonal(summed, axis1=1, axis2=2)
    with np.errstate(invalid="ignore"):
        iou = hits / (summed.sum(1) + summed.sum(2) - hits)
        names = [k for k in classes if k != "accuracy"]
        figures = dict(zip(names, iou.T, strict=True))
    if "accuracy" in classes:
        figures["accuracy"] = hits.sum(1) / summed.sum((1, 2))
    values = {k: v[0] for k, v in figures.items()}
    return values, {k: v[1:] for k, v in figures.items()}, arrays[arm].sum(2)


METRICS = {"probe_ap": _probe, "map50": _detection, "miou": _segmentation}
"""The figures that can be computed anew from a notebook's file of images."""


@dataclass(frozen=True)
class Difference:
    """An arm less the one that all are compared with, in one class: `value`, its 95 % `interval`
    over images (whole groups of them) and seeds at once, and how many there were. `among` is the
    interval that holds for all trained arms' means at once (`at_once`), None elsewhere."""

    arm: str
    klass: str
    value: float
    interval: tuple[float, float]
    seeds: int
    images: int
    groups: int
    among: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"{self.value:+.3f} {signed(self.interval)}"


def signed(interval: tuple[float, float] | None) -> str:
    """An interval of a difference in square brackets, "" for none."""
    return "[{:+.3f}, {:+.3f}]".format(*interval) if interval else ""


def beats(d: Difference) -> bool:
    """Whether an arm is ahead by `MARGIN` or more, with an interval above 0."""
    return d.value >= MARGIN and d.interval[0] > 0


def _whole(rows: Sequence[Row], metric: str) -> list[Row]:
    return [row for row in rows if row.metric == metric and not is_part(row.split)]


Scored = dict[str, dict[int | None, Figures]]
"""Figures by arm and seed."""


def differences(rows: Sequence[Row], folder: Path, against: str, metric: str) -> list[Difference]:
    """Each arm of `rows` less the arm `against`, for "mean" and every class, over the seeds that
    both have; an arm that is not distilled and has other seeds, or one, stands beside every seed of
    the other. Where all files tell them, means by "day" and "night" follow. An arm that shares no
    seed with `against` is not in the answer: `not_compared` tells of such.

    `folder` holds the files of images that the rows name. `UserError` for an arm that is not there,
    or whose files are missing, don't give its figures again or are about other images or groups of
    them, and for rows of several sets or splits.
    """
    whole = _whole(rows, metric)
    chosen = [row for row in whole if row.value is not None]
    check_one_place(chosen, metric, "set arms against each other on one of them")
    arms = list(dict.fromkeys(row.arm for row in chosen))
    if against not in arms:
        raise unknown("arm to compare with", against, arms)
    classes = tuple(dict.fromkeys(row.klass for row in whole if row.klass != "mean"))
    scored: Scored = {arm: {} for arm in arms}
    for row in chosen:
        figures = resample(folder / (row.per_image or "none"), metric, row.arm, classes)
        if not gives(figures, row):
            raise UserError(f"{folder.name} has no file of images that gives {metric} of "
                            f"{row.arm}, {row.klass}, again: run it again.")  # fmt: skip
        scored[row.arm][row.seed] = figures
    found = _less(scored, against, ("mean", *classes))
    files = {(row.arm, row.seed): folder / row.per_image for row in chosen}
    told = [lights(file) for file in set(files.values())] if metric == "probe_ap" else [[]]
    for light in told[0] if all(each == told[0] for each in told) else ():
        part = {arm: {seed: resample(files[arm, seed], metric, arm, classes, light) for seed in own}
                for arm, own in scored.items()}  # fmt: skip
        found += [replace(d, klass=light, among=None) for d in _less(part, against, ("mean",))]
    return sorted(found, key=lambda d: arms.index(d.arm))


def _less(scored: Scored, against: str, klasses: Sequence[str]) -> list[Difference]:
    """Each arm less one of them."""
    base, found, drawn = scored[against], [], {}  # drawn: by trained arm, of its mean
    first = next(iter(base.values()))
    for arm, own in scored.items():
        if not all(each.paired(first) for each in own.values()):
            raise UserError(f"Not all of {arm} and {against} was scored on the same images and "
                            "groups of them: run both again.")  # fmt: skip
        if arm == against:
            continue
        fixed, one = split_arm(arm)[0] in UNTRAINED, next(iter(own.values()))
        both = [(own.get(seed, one), base[seed]) for seed in base if fixed or seed in own]
        for klass in klasses if both else ():
            if not np.isfinite(first.values.get(klass, np.nan)):
                continue  # these images lack it
            sides = [([f.values[klass] for f in of], [f.draws[klass] for f in of])
                     for of in zip(*both, strict=True)]  # fmt: skip
            value, interval, draws = crossed_bootstrap(*sides)
            about = (len(both), len(first.truth), len(np.unique(first.groups)))
            found.append(Difference(arm, klass, value, interval, *about))
            if klass == "mean" and not fixed:
                drawn[arm] = value, draws
    # Arms of fewer seeds draw these apart from the others, so that intervals are rather too wide.
    wider = at_once(*zip(*drawn.values(), strict=True)) if drawn else []
    among = dict(zip(drawn, wider, strict=True))
    return [replace(d, among=among.get(d.arm)) if d.klass == "mean" else d for d in found]


def not_compared(rows: Sequence[Row], against: str, metric: str) -> list[str]:
    """Trained arms that have the metric, but for no seed that `against` has it for."""
    seeds: dict[str, set] = {}
    for row in _whole(rows, metric):
        if row.value is not None:
            seeds.setdefault(row.arm, set()).add(row.seed)
    theirs = seeds.get(against, set())
    return [
        arm
        for arm, own in seeds.items()
        if arm != against and split_arm(arm)[0] not in UNTRAINED and not own & theirs
    ]


@dataclass(frozen=True)
class Differences:
    """What `freqkd report` keeps of a sweep in `FILE`: the differences, what they are from, the
    comparison named beforehand, the figure, the data's name and split, the arms that could not be
    compared (`not_compared`), and those that entered `later` than others had been scored."""

    against: str
    named: str | None
    metric: str
    place: str
    rows: list[Difference]
    alone: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))


def read_differences(folder: str | Path) -> Differences | None:
    """What `Differences.write` kept in a results folder; None where there is nothing."""
    file = Path(folder) / FILE
    if not file.is_file():
        return None
    content = json.loads(file.read_text())
    rows = [Difference(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()})
            for row in content["rows"]]  # fmt: skip
    return Differences(**content | {"rows": rows})
