"""Divergence in rings of frequency, with its bootstrap over images."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import Resampled, times_of
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
    *("A: flat", "B: rising evenly", "C: a step at 0.5", "D: steep at first, then slower"),
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
    sums: np.ndarray, counts: np.ndarray, metric: str, seed: int, **options: Any
) -> np.ndarray:
    """(1 + draws, blocks, rings): one of `spectrum.METRICS` from sums (images, blocks, rings, 3),
    `resampled` over images; `counts` (blocks, rings) are the bins of each ring."""
    means = torch.from_numpy(resampled(sums, seed, **options))[None]
    level = METRICS[metric](means, torch.from_numpy(counts)).numpy()
    level[np.abs(level) < 1e-12] = 0  # rounding, as of the cosine of a vector with itself
    return level


def levels(
    blocks: Sequence[int],
    sums: Sequence[Tensor],
    draws: int = DRAWS,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> Resampled:
    """Divergence in each ring of each block, figures called "block5/ring0", from one
    `spectrum.ring_sums` (images, rings, 3) per block; `groups` (images,) are drawn whole (see
    `multiplicities`). `UserError` for a ring without energy."""
    found = _drawn(sums, np.ones(1), "normalised", seed, draws=draws, groups=groups)
    places = product(enumerate(blocks), range(found.shape[2]))
    figures = {f"block{block}/ring{k}": found[:, i, k] for (i, block), k in places}
    return Resampled.of(figures, truth=torch.zeros(len(sums[0])), seed=seed, groups=groups)


def curve_of(measured: Resampled, block: int) -> tuple[list[float], list[tuple[float, ...]]]:
    """The values of a block's rings, and their intervals as (low ends, high ends)."""
    keys = [key for key in measured.estimates if key.startswith(f"block{block}/")]
    figures = map(measured.figure, keys)
    rings = [(value, *ends) for value, ends in figures if value is not None and ends]
    values, low, high = zip(*rings, strict=True)
    return list(values), [low, high]


def band_levels(
    a: Sequence[Tensor], b: Sequence[Tensor], metric: str = "normalised", seed: int = 0
) -> Resampled:
    """The figures "low", "high" and "ratio" = high / low of maps a and b, (N, C, h, w) by block, in
    the bands of `BAND_EDGES`, each averaged over blocks; every printed ratio is one of these."""
    sums = [ring_sums(x, y, BAND_EDGES) for x, y in zip(a, b, strict=True)]
    counts = torch.stack([ring_counts(*x.shape[-2:], edges=BAND_EDGES) for x in a]).numpy()
    found = _drawn(sums, counts, metric, seed)
    low, high = found[..., 0], found[..., -1]
    figures = {"low": low.mean(1), "high": high.mean(1), "ratio": (high / low).mean(1)}
    return Resampled.of(figures, truth=torch.zeros(len(sums[0])), seed=seed)


def _drawn(
    sums: Sequence[Tensor], counts: np.ndarray, metric: str, seed: int, **about: Any
) -> np.ndarray:
    stacked = torch.stack(list(sums), 1).double().numpy()
    found = resampled_metric(stacked, counts, metric, seed, **about)
    if not np.isfinite(found[0]).all():
        raise UserError("A ring of this grid has no frequency or no energy: enlarge the pictures.")
    return found


def log_rings(height: int, width: int) -> list[float]:
    """Edges of rings of rho for a picture's power spectrum: evenly spread on a logarithmic axis,
    from the slowest wave that fits the shorter side."""
    return [0.0, *np.geomspace(2 / min(height, width), CORNER, 14).tolist()]


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
    value = np.asarray(curve, dtype=float).round(6)
    rise = value[-1] - value[0]
    if abs(rise) <= 0.1:
        return SHAPES[0]
    if rise < 0:
        return SHAPES[4]
    after = int(np.abs(np.array(edges) - 0.5).argmin())
    if value[after] - value[after - 1] > rise / 2:
        return SHAPES[2]
    return SHAPES[3] if value[1] - value[0] > rise / 2 else SHAPES[1]
