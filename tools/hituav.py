"""MSRS's students moved to HIT-UAV's infrared, with labels: another sensor, seen from the air.

    python -m tools.hituav results/hituav/sweep.yaml

The YAML file names the sweep of `tools/msrs_cv.py` whose students of one fold are taken, and with
it methods, seeds, blocks, heads and what is measured; they are distilled where that fold's are not
in the runs folder (FREQKD_RUNS) yet. Heads are fitted on HIT-UAV's train images and scored on its
test images; groups of near copies are resampled for the intervals. A student's figures are kept
beside the results, so a stopped run resumes.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from freqkd_lite import data
from freqkd_lite.data.base import Joined
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.detection import boxes_of
from freqkd_lite.evaluate.groups import near_duplicates
from freqkd_lite.evaluate.probe import patch_labels
from freqkd_lite.features import load_backbone
from freqkd_lite.results.rows import Row
from freqkd_lite.store import Arrays
from tools import msrs_cv
from tools.msrs_cv import World

CLASSES = ("Person", "Bicycle", "Car")  # in MSRS's order
TEST, TRAIN = 0, 1  # "folds"


class Study(msrs_cv.Moved):
    """`size` is that of HIT-UAV's images, `limit` the number of each of its parts and of MSRS."""

    size: tuple[int, int]


def chosen_boxes(pairs: data.PairSet) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Boxes and labels of `CLASSES` alone: what else there is counts as background."""
    theirs = [pairs.classes.index(name) for name in CLASSES]
    place = torch.tensor(
        [theirs.index(k) if k in theirs else -1 for k in range(len(pairs.classes))]
    )
    boxes, labels = boxes_of(pairs)
    labels = [place[each] for each in labels]
    return (
        [box[label >= 0] for box, label in zip(boxes, labels, strict=True)],
        [label[label >= 0] for label in labels],
    )


def open_world(study: Study, own: msrs_cv.Study) -> World:
    """HIT-UAV's train images, which the heads are fitted on, and its test images."""
    parts = [
        data.load("hituav", part, study.size, None, study.limit)
        for part in ("train", "val", "test")
    ]
    pairs = Joined(parts)
    pairs.classes = parts[0].classes
    sizes = [len(part) for part in parts]
    folds = np.repeat([TRAIN, TRAIN, TEST], sizes)
    first = load_backbone(own.settings["teacher"]).freeze()
    boxes, labels = chosen_boxes(pairs)
    grid = tuple(edge // first.patch for edge in study.size)
    truth = [
        patch_labels(box, label, grid, first.patch, len(CLASSES))
        for box, label in zip(boxes, labels, strict=True)
    ]
    return World(
        study=own,
        pairs=pairs,
        groups=near_duplicates([data.stack(pairs, "infrared")]),
        folds=folds,
        times=np.full(len(pairs), ""),
        truth={"boxes_ir": torch.stack(truth)},
        boxes=(boxes, labels),
        classes=CLASSES,
        first=first,
        weights=first.checksum,
        patch=first.patch,
        rgb=None,
    )


def among(world: World, chosen: Sequence[int]) -> World:
    """The world of some images alone, as one fold: enough for their figures."""
    return replace(
        world,
        groups=world.groups[chosen],
        folds=np.zeros(len(chosen), int),
        times=world.times[chosen],
        truth={name: labels[chosen] for name, labels in world.truth.items()},
        boxes=tuple([of[i] for i in chosen] for of in world.boxes),
    )


def measure(study: Study, own: msrs_cv.Study, out: Path) -> Iterator[tuple[list[Row], dict]]:
    """All students on HIT-UAV: all rows so far, and checksums, after each of them."""
    msrs, world = msrs_cv.open_folds(own), open_world(study, own)
    test = among(world, np.flatnonzero(world.folds == TEST))
    address = world.sums() | {"train_data": msrs.pairs.fingerprint()} | study.address(own)

    def compute(method: str, seed: int | None) -> Arrays:
        student, _ = msrs.student(world.first, method, seed, study.fold)
        scores = msrs_cv.fold_scores(world, None, student, method, TEST)
        return msrs_cv.figures(test, [scores]) | {"groups": test.groups}

    about = dict(claim="hituav", data="hituav", split="test")
    return msrs_cv.each_student(own, out, address, about, compute)


def main(given: list[str] | None = None) -> None:
    msrs_cv.run_moved(__doc__, "hituav", Study, measure, "probe_ap", given)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
