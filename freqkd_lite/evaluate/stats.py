"""Bootstrap intervals over images: patches and pixels of one image are not independent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, unknown

LEVEL = 0.95


def resamples(n_images: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Image indices (draws, n_images), drawn with replacement; the same for the same arguments."""
    if n_images < 1 or draws < 1:
        raise UserError(f"n_images={n_images}, draws={draws}: a bootstrap needs 1 or more of both.")
    return np.random.default_rng(seed).integers(0, n_images, size=(draws, n_images))


def multiplicities(n_images: int, draws: int = 1000, seed: int = 0) -> Tensor:
    """How often each image occurs in each of `resamples`: float64 (draws, n_images)."""
    counts = [np.bincount(i, minlength=n_images) for i in resamples(n_images, draws, seed)]
    return torch.from_numpy(np.stack(counts)).double()


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The central 95 % of bootstrap values (percentile method), those that are NaN left out."""
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap(
    statistic: Callable[[np.ndarray], float], n_images: int, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval (Efron 1979) of a statistic that takes an array of image indices."""
    return percentiles(np.array([float(statistic(i)) for i in resamples(n_images, draws, seed)]))


@dataclass(kw_only=True)
class Resampled:
    """Figures with their bootstrap over images.

    `estimates` holds a figure for each class and for "mean" (None: undefined on this test set),
    `draws` their values (draws,) on the resampled images, NaN where a draw leaves one undefined.
    `truth` (N, ...) and `seed` say what was measured on, so that two results can be paired.
    """

    estimates: dict[str, float | None]
    draws: dict[str, np.ndarray]
    truth: Tensor
    seed: int

    @property
    def interval(self) -> dict[str, tuple[float, float] | None]:
        """95 % percentile interval over images of each estimate; None where it has no value."""
        usable = {k: v is not None and np.isfinite(self.draws[k]).any()
                  for k, v in self.estimates.items()}  # fmt: skip
        return {k: percentiles(self.draws[k]) if ok else None for k, ok in usable.items()}

    @property
    def notes(self) -> list[str]:
        """What must be said beside the figures: absent classes, draws that lacked one."""
        said = []
        for key, value in self.estimates.items():
            lost = int(np.isnan(self.draws[key]).sum())
            if value is None:
                said.append(f"{key} is absent from the test images: it has no figure and is not "
                            "in the mean.")  # fmt: skip
            elif lost:
                said.append(f"{lost} of {len(self.draws[key])} bootstrap draws leave {key} "
                            "undefined: its interval is over the others.")  # fmt: skip
        return said


def paired_bootstrap(
    a: Resampled, b: Resampled, key: str = "mean"
) -> tuple[float, tuple[float, float]]:
    """The difference a - b of one figure and its 95 % interval over the images that both share.

    Both results resample the same images in each draw, so what is hard in an image cancels.
    Raises `UserError` when they were not measured on the same images with the same draws.
    """
    if key not in a.estimates or key not in b.estimates:
        raise unknown("figure", key, set(a.estimates) & set(b.estimates))
    same = a.seed == b.seed and len(a.draws[key]) == len(b.draws[key])
    if not same or not torch.equal(a.truth, b.truth):
        raise UserError(
            "A paired bootstrap needs two results on the same images and labels: evaluate both "
            "with the same test set, draws and seed."
        )
    if a.estimates[key] is None or b.estimates[key] is None:
        raise UserError(f"{key!r} has no figure in one of the results: choose another key.")
    return a.estimates[key] - b.estimates[key], percentiles(a.draws[key] - b.draws[key])
