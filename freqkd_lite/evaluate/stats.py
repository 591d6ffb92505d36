"""Bootstrap intervals over images, groups of images and seeds: patches and pixels of one image are
not independent, nor are frames of one place, nor the scores of one student on many images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, check_known

LEVEL = 0.95
Interval = tuple[float, float]
Draws = dict[str, np.ndarray]  # figures by name, (draws,) each


def resamples(n_images: int, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Image indices (draws, n_images), drawn with replacement; the same for the same arguments."""
    if n_images < 1 or draws < 1:
        raise UserError(f"n_images={n_images}, draws={draws}: a bootstrap needs 1 or more of both.")
    return np.random.default_rng(seed).integers(0, n_images, size=(draws, n_images))


def multiplicities(
    n_images: int, draws: int = 1000, seed: int = 0, groups: Sequence[int] | None = None
) -> Tensor:
    """How often each image occurs in each of `resamples`: float64 (draws, n_images).

    With `groups`, the number of each image's group (n_images,), whole groups are drawn, as many as
    there are: images of a group come and go together (the cluster bootstrap: Davison and Hinkley,
    Bootstrap Methods, 1997, 3.8). A draw then holds n_images images on average.
    """
    if groups is None:
        units = np.arange(n_images)
    elif len(groups) != n_images:
        raise UserError(f"{len(groups)} groups for {n_images} images: give each image its group.")
    else:
        units = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(units.max(initial=-1)) + 1
    drawn = [np.bincount(i, minlength=count)[units] for i in resamples(count, draws, seed)]
    return torch.from_numpy(np.stack(drawn)).double()


def times_of(
    n_images: int, draws: int = 1000, seed: int = 0, groups: Sequence[int] | None = None
) -> Tensor:
    """How often each image counts, float64 (1 + draws, n_images): once in the first row, and in the
    others as `multiplicities` says."""
    drawn = multiplicities(n_images, draws, seed, groups)
    return torch.cat([torch.ones_like(drawn[:1]), drawn])


def percentiles(values: np.ndarray) -> Interval:
    """The central 95 % of bootstrap values (percentile method), those that are NaN left out."""
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@dataclass(kw_only=True)
class Resampled:
    """Figures with their bootstrap over images.

    `estimates` holds a figure for each class and for "mean" (None: undefined on this test set),
    `draws` their values (draws,) on the resampled images, NaN where a draw leaves one undefined.
    `truth` (N, ...), `seed` and `groups` say what was measured on, so that two results can be
    paired; `groups` (N,) are those of `multiplicities`, None where each image is drawn by itself.
    """

    estimates: dict[str, float | None]
    draws: Draws
    truth: Tensor
    seed: int
    groups: Sequence[int] | None = None

    @classmethod
    def of(cls, figures: Mapping[str, np.ndarray], **about: Any) -> Self:
        """From figures (1 + draws,) over the rows of `times_of`, NaN where undefined."""
        estimates = {k: float(v[0]) if np.isfinite(v[0]) else None for k, v in figures.items()}
        return cls(estimates=estimates, draws={k: v[1:] for k, v in figures.items()}, **about)

    def figure(self, key: str = "mean") -> tuple[float | None, Interval | None]:
        """An estimate, and its 95 % percentile interval over images; None where undefined."""
        value = self.estimates.get(key)
        if value is None or not np.isfinite(self.draws[key]).any():
            return value, None
        return value, percentiles(self.draws[key])

    @property
    def interval(self) -> dict[str, Interval | None]:
        """The interval of each estimate."""
        return {key: self.figure(key)[1] for key in self.estimates}


def paired_bootstrap(a: Resampled, b: Resampled, key: str = "mean") -> tuple[float, Interval]:
    """The difference a - b of one figure and its 95 % interval over the images that both share.

    Each draw has the same images, or groups of them, for both, so an image's difficulty cancels.
    Raises `UserError` when they were not measured on the same images with the same draws.
    """
    check_known("figure", set(a.estimates) & set(b.estimates), key)
    same = a.seed == b.seed and len(a.draws[key]) == len(b.draws[key])
    same = same and np.array_equal(np.asarray(a.groups), np.asarray(b.groups))
    if not same or not torch.equal(a.truth, b.truth):
        raise UserError(
            "A paired bootstrap needs two results on the same images and labels: evaluate both "
            "with the same test set, groups, draws and seed."
        )
    one, other = a.estimates[key], b.estimates[key]
    if one is None or other is None:
        raise UserError(f"{key!r} has no figure in one of the results: choose another key.")
    return one - other, percentiles(a.draws[key] - b.draws[key])


Scored = tuple[np.ndarray, np.ndarray]
"""A figure of a method over seeds: its estimates (seeds,), and its values (seeds, draws) on
resampled images, the same images in a draw for all seeds and methods."""


def crossed_bootstrap(a: Scored, b: Scored, seed: int = 0) -> tuple[float, Interval, np.ndarray]:
    """The difference a - b of two methods' means over seeds, its 95 % interval over images (or
    groups of them) and seeds together, and the draws (draws,) that this is from.

    Images and seeds are crossed, every student is scored on every image, so each draw resamples
    both (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 1, 2007): to its images comes
    a draw of the seeds, the same for both, because a seed decides crops and order. Of S seeds S - 1
    are drawn: S would make the seeds' variance too small by (S - 1) / S (McCarthy and Snowden,
    1985). With one seed the interval is over images alone. In simulations it held the
    truth in 84 to 97 % of cases with three seeds and in 91 to 96 % with five, least where the seeds
    make up nine tenths of the variance (results/bootstrap).
    Raises `UserError` for methods that don't fit each other.
    """
    (value_a, drawn_a), (value_b, drawn_b) = ([np.asarray(x, float) for x in one] for one in (a, b))
    shapes = [(value_a.shape, drawn_a.shape), (value_b.shape, drawn_b.shape)]
    fit = all(len(one) == 1 and len(two) == 2 and 1 <= one[0] == two[0] for one, two in shapes)
    if not fit or drawn_a.shape != drawn_b.shape:
        raise UserError(
            f"Estimates and draws of a and b are {shapes}: give (seeds,) and (seeds, draws), with "
            "the same seeds and draws for both."
        )
    seeds, draws = drawn_a.shape
    chosen = np.random.default_rng(seed).integers(0, seeds, size=(max(1, seeds - 1), draws))
    mean_a, mean_b = (np.take_along_axis(x, chosen, 0).mean(axis=0) for x in (drawn_a, drawn_b))
    drawn = mean_a - mean_b
    return float(value_a.mean() - value_b.mean()), percentiles(drawn), drawn


def max_t(values: Sequence[float], draws: Sequence[np.ndarray]) -> list[Interval]:
    """95 % intervals that hold together for several figures: `values` (K,), and the `draws`
    (K, draws) of each on the same resamples.

    Each is as many of its own standard errors wide as the largest of all K deviations, in standard
    errors, exceeds in 5 % of the draws (the single-step max-t of Westfall and Young,
    Resampling-Based Multiple Testing, 1993): to be used when picking the best of many.
    """
    middle, drawn = np.asarray(values, float), np.asarray(draws, float)
    errors = np.nanstd(drawn, axis=1, ddof=1)
    off = np.abs(drawn - np.nanmean(drawn, axis=1, keepdims=True))
    largest = np.nanmax(off / np.where(errors > 0, errors, 1)[:, None], axis=0)
    half = np.nanquantile(largest, LEVEL) * errors
    return list(zip((middle - half).tolist(), (middle + half).tolist(), strict=True))
