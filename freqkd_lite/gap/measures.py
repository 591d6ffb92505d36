"""Numbers of each image pair, from which all tables of the study follow.

Each measure costs little beside the forward passes of the backbone. MMD, the most expensive one,
takes at most `TOKENS` tokens of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.gap.cache import Arrays
from freqkd_lite.gap.controls import grey_copy
from freqkd_lite.gap.rings import EDGES, log_rings
from freqkd_lite.spectrum import (
    BANDS,
    band_counts,
    band_pair,
    energy_above,
    pair_sums,
    radial_power,
    ring_counts,
    ring_masks,
    spectral_slope,
    split_bands,
)
from freqkd_lite.spectrum.similarity import band_hsic, mmd

TOKENS = 150  # of a map, evenly spread: MMD's cost grows with the square of their number
CUTOFF = 0.5  # rho of pixels, above which a picture's share of energy is measured


def image_sums(
    a: Sequence[Tensor], b: Sequence[Tensor], bands: Sequence[str] = BANDS
) -> np.ndarray:
    """(N, blocks, 2 x bands + rings, 3) from maps (N, C, h, w) of each block: per image the sums
    of |A|^2, |B|^2 and |A - B|^2 over low and high of `bands`, then over the rings of `EDGES`."""
    parts = []
    for x, y in zip(a, b, strict=True):
        h, w = x.shape[-2:]
        masks = [mask for name in bands for mask in band_pair(h, w, name)]
        parts.append(pair_sums(x, y, [*masks, *ring_masks(h, w, EDGES)]))
    return torch.stack(parts, 1).double().numpy()


def bin_counts(grids: Sequence[Sequence[int]], bands: Sequence[str] = BANDS) -> np.ndarray:
    """(blocks, 2 x bands + rings): bins in each of the bands and rings of `image_sums`."""
    counts = [
        torch.cat([band_counts(h, w, bands).flatten(), ring_counts(h, w, EDGES)]) for h, w in grids
    ]
    return torch.stack(counts).numpy()


def of_maps(
    a: Sequence[Tensor], b: Sequence[Tensor], bands: Sequence[str], similarity: bool
) -> Arrays:
    """`sums` as `image_sums` gives them, and `grids` (blocks, 2). With `similarity`, at ten times
    the cost, `hsic` (N, blocks, bands, 2, 3) for CKA, NaN where the grid is too small for it, and
    `mmd` (N, blocks, bands) of the high bands."""
    found = {"sums": image_sums(a, b, bands), "grids": np.array([m.shape[-2:] for m in a])}
    if similarity:
        sides = list(zip(a, b, strict=True))
        found["hsic"] = torch.stack([_hsic(x, y, bands) for x, y in sides], 1).numpy()
        found["mmd"] = torch.stack([_high_mmd(x, y, bands) for x, y in sides], 1).numpy()
    return found


def _hsic(a: Tensor, b: Tensor, bands: Sequence[str]) -> Tensor:
    """`band_hsic`; NaN in a pair of bands of which one has too few bins for it, on small grids."""
    enough = [bool((row >= 4).all()) for row in band_counts(*a.shape[-2:], bands)]
    found = torch.full((len(a), len(bands), 2, 3), math.nan)
    if any(enough):
        names = [name for name, usable in zip(bands, enough, strict=True) if usable]
        found[:, torch.tensor(enough)] = band_hsic(a, b, names)
    return found


def _high_mmd(a: Tensor, b: Tensor, bands: Sequence[str]) -> Tensor:
    """(N, bands): `similarity.mmd` of the tokens of each high band."""
    h, w = a.shape[-2:]
    step = max(1, math.ceil(math.sqrt(h * w / TOKENS)))
    found = []
    for name in bands:
        high = [split_bands(x, mask=band_pair(h, w, name)[1])[0] for x in (a, b)]
        found.append(mmd(*(x[..., ::step, ::step].flatten(2).mT for x in high)))
    return torch.stack(found, 1)


def luminances(images: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """RGB's luminance and infrared's one channel, (N, 1, H, W) each."""
    return grey_copy(images["visible"])[:, :1], images["infrared"][:, :1]


def of_pictures(images: dict[str, Tensor], times_of_day: Sequence[str]) -> Arrays:
    """For each pair of pictures, RGB's luminance first: `power` (N, 2, rings of `log_rings`),
    `slope` (N, 2) and `energy` (N, 2), the share above `CUTOFF`; NaN where there is none.
    `time_of_day` (N,)."""
    sides = luminances(images)
    edges = log_rings(*sides[0].shape[-2:])
    power = [torch.stack([radial_power(image, edges)[1] for image in side]) for side in sides]
    return {
        "power": torch.stack(power, 1).numpy(),
        "slope": np.array([[_slope(image) for image in side] for side in sides]).T,
        "energy": np.stack([energy_above(side, CUTOFF)[:, 0].numpy() for side in sides], 1),
        "time_of_day": np.array(times_of_day, dtype="U8"),
    }


def _slope(image: Tensor) -> float:
    try:
        return float(spectral_slope(image))
    except UserError:  # of one colour, or too small for the fit's range
        return math.nan
