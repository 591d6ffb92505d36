"""Divergence in rings of frequency, with its bootstrap over images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import percentiles, times_of
from freqkd_lite.spectrum import CORNER, METRICS, ring_counts, ring_sums

DRAWS = 1000  # of the bootstrap over images
# Edges of the bands of the authors' analysis, in rho: ring 0 is 0 < rho <= .25, ring 2 is
# rho >= .75 (a bin on an edge belongs to the ring below it, hence the small step).
BAND_EDGES = (0.0, 0.25, 0.75 - 1e-6, CORNER)
# Rings of the curves: eight of equal width. On a grid of 12x16 tokens (and others in 4:3) each one
# below rho = 1 holds frequencies of both axes. Narrower rings miss some, and the curve gets spikes
# that are an artefact of the grid.
EDGES = tuple(np.linspace(0, CORNER, 9).tolist())
SHAPES = (
    *("A: flat", "B: rising all the way", "C: a step at 0.5", "D: a jump early, then flat"),
    "E: falling",
)


def resampled(
    table: np.ndarray, seed: int, draws: int = DRAWS, groups: Sequence[int] | None = None
) -> np.ndarray:
    """(1 + draws, ...): means over the images of a table (n, ...); first over the images as they
    are, then over bootstrap samples of them, or of whole `groups` (see `multiplicities`)."""
    times = times_of(len(table), draws, seed, groups).numpy()
    return np.tensordot(times / len(table), table, 1)


def resampled_metric(
    sums: np.ndarray, counts: np.ndarray, metric: str, seed: int, **options: object
) -> np.ndarray:
    """(1 + draws, blocks, rings): one of `spectrum.METRICS` from sums (images, blocks, rings, 3),
    `resampled` over images; `counts` (blocks, rings) are the bins of each ring."""
    means = torch.from_numpy(resampled(sums, seed, **options))[None]
    level = METRICS[metric](means, torch.from_numpy(counts)).numpy()
    level[np.abs(level) < 1e-12] = 0  # rounding, as of the cosine of a vector with itself
    return level


@dataclass(frozen=True)
class Levels:
    """Divergence by block and ring, `value` (blocks, rings), and its bootstrap over images,
    `draws` (D, blocks, rings). Levels of the same number of images, and the same groups of them,
    share their draws, so differences between them are paired."""

    value: Tensor
    draws: Tensor
    images: int

    @property
    def interval(self) -> Tensor:
        """95 % percentile interval over images (2, blocks, rings)."""
        return torch.nanquantile(self.draws, self.draws.new_tensor([0.025, 0.975]), dim=0)

    def mean(self) -> Self:
        """The average over blocks, as levels of one block."""
        return Levels(self.value.mean(0, True), self.draws.mean(1, True), self.images)

    def ratio(self) -> tuple[float, np.ndarray]:
        """Last ring over first ring, averaged over blocks, and its bootstrap draws (D,)."""
        value, draws = (x[..., -1] / x[..., 0] for x in (self.value, self.draws))
        return float(value.mean()), draws.mean(-1).numpy()

    def entry(self) -> dict:
        """First ring (`low`), last ring (`high`) and `ratio`, averaged over blocks, each with its
        95 % interval, called as in the rows of `Gap.levels`."""
        mean, (ratio, draws) = self.mean(), self.ratio()
        found = {"ratio": ratio, "interval": percentiles(draws), "n": self.images}
        for level, ring in (("low", 0), ("high", -1)):
            found[level] = float(mean.value[0, ring])
            found[f"{level}_interval"] = mean.interval[:, 0, ring].tolist()
        return found


def levels(
    sums: Sequence[Tensor],
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[int] | None = None,
    metric: str = "normalised",
    counts: np.ndarray | None = None,
) -> Levels:
    """`Levels` from one `spectrum.ring_sums` (images, rings, 3) for each block; `groups` (images,)
    are drawn whole (see `multiplicities`). `counts` (blocks, rings), the bins of each ring, are
    needed for the metric "mse" alone. `UserError` for a ring without energy."""
    stacked = torch.stack(list(sums), 1).double().numpy()
    about = {"draws": draws, "groups": groups}
    counts = np.ones(1) if counts is None else counts
    found = resampled_metric(stacked, counts, metric, seed, **about)
    if not np.isfinite(found[0]).all():
        raise UserError("A ring of this grid has no frequency or no energy: enlarge the pictures.")
    return Levels(torch.from_numpy(found[0]), torch.from_numpy(found[1:]), len(stacked))


def band_levels(
    a: Sequence[Tensor], b: Sequence[Tensor], metric: str = "normalised", **options: object
) -> Levels:
    """`Levels` between maps a and b, (N, C, h, w) by block, in the bands of `BAND_EDGES`; every
    printed ratio of high to low is their `ratio`. `options` are those of `levels`."""
    sums = [ring_sums(x, y, BAND_EDGES) for x, y in zip(a, b, strict=True)]
    counts = torch.stack([ring_counts(*x.shape[-2:], BAND_EDGES) for x in a]).numpy()
    return levels(sums, metric=metric, counts=counts, **options)


def log_rings(height: int, width: int, count: int = 14) -> list[float]:
    """Edges of rings of rho for a picture's power spectrum: evenly spread on a logarithmic axis,
    from the slowest wave that fits the shorter side."""
    return [0.0, *np.geomspace(2 / min(height, width), CORNER, count).tolist()]


def token_rings(height: int, width: int) -> list[float]:
    """`EDGES` for a grid of tokens; on a small one a ring without frequency joins the next."""
    counts = ring_counts(height, width, EDGES).tolist()
    return [0.0, *(outer for outer, count in zip(EDGES[1:], counts, strict=True) if count)]


def shape_of(curve: Sequence[float], edges: Sequence[float] = EDGES) -> str:
    """Which of `SHAPES` a divergence curve (rings,) is.

    Flat or falling by its change from first to last ring, of which .1 counts as none; a step or a
    jump if more than half of the rise happens between the two rings that meet next to rho = 0.5, or
    between the first two.
    """
    curve = np.asarray(curve, dtype=float).round(6)
    rise = curve[-1] - curve[0]
    if abs(rise) <= 0.1:
        return SHAPES[0]
    if rise < 0:
        return SHAPES[4]
    after = int(np.abs(np.array(edges) - 0.5).argmin())
    if curve[after] - curve[after - 1] > rise / 2:
        return SHAPES[2]
    return SHAPES[3] if curve[1] - curve[0] > rise / 2 else SHAPES[1]
