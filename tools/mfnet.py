"""Segmentation of real infrared without label maps, as long as MFNet's are not there.

    python -m tools.mfnet results/mfnet/sweep.yaml

A linear head is fitted on the teacher's features of MSRS's RGB pictures, with boxes as weak masks:
all pixels of a box are its class. On the infrared pictures of one fold, read by the students that
`tools/msrs_cv.py` distilled without that fold, two figures:

- agreement: mean IoU of what the head finds in the student's infrared with what it finds in the
  teacher's RGB picture of the same pair. Not an accuracy, because the head may be wrong in both.
- weak mIoU: with the weak masks themselves, pixels near a box's edge left out. Weak, because a box
  holds more than its object.

The YAML file names the sweep of `tools/msrs_cv.py`. A student's figures are kept beside the
results, so a stopped run resumes; groups of images are resampled for the intervals.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.detection import boxes_of
from freqkd_lite.evaluate.segmentation import (
    OUTSIDE,
    LinearSegmenter,
    border_distance,
    confusion_matrices,
    iou_draws,
)
from freqkd_lite.evaluate.stats import times_of
from freqkd_lite.features import Backbone, joined, load_backbone
from freqkd_lite.results.rows import Row
from freqkd_lite.store import Arrays
from tools import msrs_cv
from tools.msrs_cv import DRAWS, Folds

TEACHER = "teacher"


class Study(msrs_cv.Moved):
    """`border`: pixels up to so far from another class of a weak mask don't count."""

    methods: list[str] = Field(min_length=2)
    border: float = Field(2.0, ge=0)


def weak_masks(boxes: Sequence[Tensor], labels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Masks (N, H, W), int64: 0 outside of all boxes, 1 + label where a pixel's centre is in a box,
    that of the smallest one."""
    masks = torch.zeros(len(boxes), *size, dtype=torch.int64)
    for mask, own, kinds in zip(masks, boxes, labels, strict=True):
        area = (own[:, 2:] - own[:, :2]).prod(1)
        for k in area.argsort(descending=True, stable=True):
            x0, y0, x1, y1 = ((edge - 0.5).ceil().clamp(min=0).long() for edge in own[k])
            mask[y0:y1, x0:x1] = 1 + kinds[k]
    return masks


def without_borders(masks: Tensor, border: float) -> Tensor:
    """The masks with pixels up to `border` px from another class as `OUTSIDE`."""
    return masks.masked_fill(border_distance(masks) <= border, OUTSIDE)


def figures(confusion: Tensor, classes: Sequence[str], own: Folds, test: np.ndarray) -> Arrays:
    """IoU by class, "mean", the share of "pixels" that are the same, and the mean by day and night,
    each with its draws (1 + draws,), from the pixels of each test image (N, K, K)."""
    times = times_of(len(test), DRAWS, groups=own.groups[test])
    found = iou_draws(confusion, classes, times)
    found["pixels"] = found.pop("accuracy")
    for time in ("day", "night"):
        here = torch.from_numpy(own.times[test] == time)
        if here.any():
            found[time] = iou_draws(confusion[here], classes, times[:, here])["mean"]
    return found


class Segmentation:
    """The head of RGB, what it finds in the RGB pictures of the fold, and the weak masks."""

    def __init__(self, study: Study, own: msrs_cv.Study):
        self.study, self.msrs = study, msrs_cv.open_folds(own)
        self.teacher = load_backbone(own.settings["teacher"]).freeze()
        pairs, others = self.msrs.pairs, self.msrs.others(study.fold)
        self.test = np.flatnonzero(self.msrs.folds == study.fold)
        self.classes = ["background", *pairs.classes]
        masks = weak_masks(*boxes_of(pairs), tuple(pairs.size))
        self.weak = without_borders(masks[self.test], study.border)
        rgb = self.maps(self.teacher, "visible", others)
        self.head = LinearSegmenter(self.classes).fit(rgb, masks[others])
        self.on_rgb = self.found(self.teacher, "visible")

    def maps(self, backbone: Backbone, modality: str, chosen: np.ndarray) -> Tensor:
        parts = np.array_split(chosen, -(-len(chosen) // msrs_cv.CHUNK))
        blocks = self.msrs.study.read_blocks
        pairs = self.msrs.pairs
        return torch.cat([joined(backbone, data.stack(pairs, modality, p), blocks) for p in parts])

    def found(self, backbone: Backbone, modality: str) -> Tensor:
        """The head's classes (N, H, W) on the test pictures."""
        maps = self.maps(backbone, modality, self.test)
        return self.head.predict(maps, tuple(self.msrs.pairs.size))

    def scored(self, found: Tensor, **truths: Tensor) -> Arrays:
        """The arrays of a student: METRIC/KLASS for each of `truths` by metric."""
        arrays: Arrays = {"groups": self.msrs.groups[self.test]}
        for metric, truth in truths.items():
            confusion = confusion_matrices(found, truth, len(self.classes))
            own = figures(confusion, self.classes, self.msrs, self.test)
            arrays |= {f"{metric}/{k}": v.astype(np.float32) for k, v in own.items()}
        return arrays

    def student(self, method: str, seed: int | None) -> Arrays:
        if method == TEACHER:
            return self.scored(self.on_rgb, weak_miou=self.weak)
        student, _ = self.msrs.student(self.teacher, method, seed, self.study.fold)
        found = self.found(student, "infrared")
        return self.scored(found, agreement=self.on_rgb, weak_miou=self.weak)


def measure(study: Study, own: msrs_cv.Study, out: Path) -> Iterator[tuple[list[Row], dict]]:
    """Teacher and students: all rows so far, and checksums, after each of them."""
    world = Segmentation(study, own)
    address = {"data": world.msrs.pairs.fingerprint(), "weights": world.teacher.checksum}
    address |= study.address(own)
    about = dict(claim="mfnet", data="msrs", split=f"fold{study.fold}")
    return msrs_cv.each_student(own, out, address, about, world.student)


def main(given: list[str] | None = None) -> None:
    msrs_cv.run_moved(__doc__, "mfnet", Study, measure, "agreement", given)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
