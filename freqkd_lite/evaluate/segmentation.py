"""Segmentation: a linear classifier on frozen features, mIoU, and IoU against the border."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import LogisticProbe, Maps, as_maps, class_shares
from freqkd_lite.evaluate.stats import Draws, Resampled, times_of
from freqkd_lite.spectrum.bands import grid_of

OUTSIDE = -1  # a pixel of the truth that is not counted


@dataclass(kw_only=True)
class SegmentationResult(Resampled):
    """IoU by class, and "accuracy" of pixels; see `Resampled` for `interval`.

    `confusion` (N, K, K) counts pixels by truth (rows) and prediction of each image, `predictions`
    and `truth` are (N, H, W).
    """

    confusion: Tensor
    predictions: Tensor

    @property
    def iou(self) -> dict[str, float | None]:
        """IoU by class; None for a class in neither truth nor prediction."""
        return {k: v for k, v in self.estimates.items() if k not in ("mean", "accuracy")}

    @property
    def miou(self) -> float | None:
        """The mean IoU over the classes that occur in the truth or the prediction."""
        return self.estimates["mean"]

    def without(self, klass: str) -> Self:
        """The same with the mean over all other classes, as MFNet's is also given without its
        unlabelled pixels; these still count where they are taken for another class."""
        here = {k: v for k, v in self.iou.items() if v is not None and k != klass}
        mean = {"mean": float(np.mean(list(here.values())))}
        drawn = {"mean": np.mean([self.draws[k] for k in here], axis=0)}
        return replace(self, estimates=self.estimates | mean, draws=self.draws | drawn)


def confusion_matrices(predictions: Tensor, truth: Tensor, n_classes: int) -> Tensor:
    """Pixels of each image by true (rows) and predicted class: (N, H, W) twice -> int64 (N, K, K).

    Pixels whose truth is `OUTSIDE` are not counted. Raises `UserError` for other ids than
    0 to n_classes - 1 and for shapes that differ.
    """
    if predictions.shape != truth.shape or truth.ndim != 3:
        shapes = f"predictions {tuple(predictions.shape)} and masks {tuple(truth.shape)}"
        raise UserError(f"{shapes} must have one shape (N, H, W).")
    inside = truth != OUTSIDE
    check_ids(predictions[inside], n_classes, "predictions")
    check_ids(truth[inside], n_classes, "masks")
    image = torch.arange(len(truth))[:, None, None]
    cell = (image * n_classes + truth) * n_classes + predictions
    counts = torch.bincount(cell[inside], minlength=len(truth) * n_classes**2)
    return counts.reshape(len(truth), n_classes, n_classes)


def check_ids(ids: Tensor, n_classes: int, name: str) -> None:
    """`UserError`, naming `name`, for ids outside of 0 to n_classes - 1."""
    if ids.numel() and (ids.min() < 0 or ids.max() >= n_classes):
        found = f"ids from {ids.min()} to {ids.max()}, there are {n_classes} classes"
        raise UserError(f"{name} have {found}: give every class its name.")


def iou_draws(confusion: Tensor, classes: Sequence[str], times: Tensor) -> Draws:
    """IoU of each class, hits / (truth + prediction - hits), "mean" over those that occur, and
    "accuracy", (draws,) each, if image i counted `times[:, i]` times: from confusion matrices
    (N, K, K), which are summed over images. NaN for 0 of 0."""
    summed = (times @ confusion.double().flatten(1)).unflatten(1, confusion.shape[1:])
    hits = summed.diagonal(dim1=1, dim2=2)
    iou = (hits / (summed.sum(1) + summed.sum(2) - hits)).T.numpy()
    occurs = (confusion.sum((0, 1)) + confusion.sum((0, 2)) > 0).numpy()
    found = dict(zip(classes, iou, strict=True)) | {"mean": iou[occurs].mean(0)}
    return found | {"accuracy": (hits.sum(1) / summed.sum((1, 2))).numpy()}


def measure_segmentation(
    predictions: Tensor,
    truth: Tensor,
    classes: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> SegmentationResult:
    """`iou_draws` of predictions for true (N, H, W) ids; the bootstrap resamples images, or whole
    `groups` (N,) of them (see `multiplicities`)."""
    confusion = confusion_matrices(predictions, truth, len(classes))
    found = iou_draws(confusion, classes, times_of(len(confusion), draws, seed, groups))
    about = dict(truth=truth, seed=seed, groups=groups)
    return SegmentationResult.of(found, confusion=confusion, predictions=predictions, **about)


class LinearSegmenter:
    """`LogisticProbe` trained on patches, read out on pixels.

    A patch's training label is the class that most of its pixels have, the lower id of equals; a
    class that wins no training patch is never predicted. Pixels: the logits (N, K, h, w) are
    resized bilinearly (align_corners=False) to the mask, then argmax.
    """

    def __init__(self, classes: Sequence[str], l2: float = 1e-2):
        self.classes, self.probe = tuple(classes), LogisticProbe(l2=l2)

    def fit(self, features: Maps, masks: Tensor) -> Self:
        """Fit to features (N, D, h, w) and masks (N, H, W) with ids into `classes`."""
        maps = as_maps(features, "train features")
        if masks.ndim != 3 or len(masks) != len(maps):
            shapes = f"{tuple(masks.shape)}, the features {tuple(maps.shape)}"
            raise UserError(f"train masks have shape {shapes}: give one mask (H, W) per image.")
        check_ids(masks, len(self.classes), "train masks")
        labels = class_shares(masks, grid_of(maps), range(len(self.classes))).argmax(1)
        self.trained = labels.unique()  # rising ids; the probe counts these from 0
        names = [self.classes[k] for k in self.trained]
        self.probe.fit(maps, torch.searchsorted(self.trained, labels), names)
        return self

    def predict(self, features: Maps, size: tuple[int, int], batch: int = 16) -> Tensor:
        """Class ids (N, H, W), int64, at `size` in pixels."""
        parts = self.probe.logits(features).float().cpu().split(batch)
        ids = [F.interpolate(logits, size=size, mode="bilinear").argmax(1) for logits in parts]
        return self.trained[torch.cat(ids)]


def segment(
    train_x: Maps,
    train_masks: Tensor,
    test_x: Maps,
    test_masks: Tensor,
    classes: Sequence[str],
    l2: float = 1e-2,
    **bootstrap: Any,
) -> tuple[SegmentationResult, LinearSegmenter]:
    """Fit a `LinearSegmenter` on features (N, D, h, w) and masks (N, H, W) of ids into `classes`,
    `measure_segmentation` on the test ones; the segmenter is returned to predict from other
    features."""
    model = LinearSegmenter(classes, l2).fit(train_x, train_masks)
    height, width = test_masks.shape[-2:]
    predictions = model.predict(test_x, (height, width))
    return measure_segmentation(predictions, test_masks, classes, **bootstrap), model


def border_distance(masks: Tensor) -> Tensor:
    """For each pixel the Euclidean distance in pixels to the nearest pixel of another class
    (1: it touches the border): (N, H, W) -> float32; infinite in a mask of one class. The
    picture's own edge is not a border."""
    out = torch.full(masks.shape, torch.inf)
    for distance, mask in zip(out.numpy(), masks.numpy(), strict=True):
        ids = np.unique(mask)
        for each in ids if len(ids) > 1 else ():
            inside = mask == each
            distance[inside] = np.asarray(ndimage.distance_transform_edt(inside))[inside]
    return out


def iou_by_border_distance(
    predictions: Tensor,
    masks: Tensor,
    edges_px: Sequence[float],
    classes: Sequence[str],
    **bootstrap: Any,
) -> dict[tuple[float, float], SegmentationResult]:
    """`measure_segmentation` on the pixels at lower <= `border_distance` < upper, for each pair of
    neighbouring edges (px, rising; the last may be infinite and then takes in everything).

    Predictions and masks are (N, H, W). Near and far pixels hold different classes. Raises
    `UserError` for edges that enclose no pixel.
    """
    edges = [float(e) for e in edges_px]
    if len(edges) < 2 or any(b <= a for a, b in pairwise(edges)):
        raise UserError(f"edges_px={edges} must be two or more rising distances in pixels.")
    distance = border_distance(masks)
    results = {}
    for low, high in pairwise(edges):
        ring = (distance >= low) & ((distance < high) | (high == float("inf")))
        if not ring.any():
            raise UserError(f"No pixel lies {low} to {high} px from a border: change edges_px.")
        within = masks.where(ring, torch.full_like(masks, OUTSIDE))
        results[low, high] = measure_segmentation(predictions, within, classes, **bootstrap)
    return results
