"""How much two maps differ at each frequency, from a few sums for each image and band.

`pair_sums` are sufficient: every metric follows from them, for one image or any number, and a
bootstrap over images resamples rows of sums instead of maps.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.spectrum.bands import RINGS, at_least_float32, grid_of, ring_masks


def ring_sums(a: Tensor, b: Tensor, edges: Sequence[float] = RINGS) -> Tensor:
    """(N, rings, 3): for each pair of maps a, b (N, C, H, W) and ring of rho the sums of |A|^2,
    |B|^2 and |A - B|^2 over the ring's bins and all channels; the zero frequency is left out."""
    return pair_sums(a, b, ring_masks(*grid_of(a, stack=True), edges))


def pair_sums(a: Tensor, b: Tensor, bands: Tensor | Sequence[Tensor]) -> Tensor:
    """(N, bands, 3): for each pair of maps a, b (N, C, H, W) the sums of |A|^2, |B|^2 and |A - B|^2
    over the bins of each symmetric mask (H, W) and all channels."""
    if a.shape != b.shape:
        raise UserError(f"a is {tuple(a.shape)} but b {tuple(b.shape)}: give both one shape.")
    a, b = (torch.fft.rfft2(at_least_float32(x), norm="ortho") for x in (a, b))
    powers = [(x.real**2 + x.imag**2).sum(1).flatten(1) for x in (a, b, a - b)]
    w = bands[0].shape[1]
    column = torch.arange(w // 2 + 1)
    # The half spectrum leaves out column w - k, which has the power of column k.
    times = torch.where((column == 0) | (2 * column == w), 1.0, 2.0)
    weights = [(band[:, : w // 2 + 1] * times).flatten() for band in bands]
    return torch.stack(powers, 1).matmul(torch.stack(weights, 1).to(powers[0])).transpose(1, 2)


def ring_counts(h: int, w: int, edges: Sequence[float] = RINGS) -> Tensor:
    """Number of bins in each ring, int64 (rings,); 0 where a small grid has none."""
    return ring_masks(h, w, edges).sum((1, 2))


def divergence(sums: Tensor) -> Tensor:
    """Energy-normalised divergence (rings,) from `ring_sums` (N, rings, 3), summed over images.

    sum|A - B|^2 / (sum|A|^2 + sum|B|^2): 0 identical, 1 unrelated, 2 negated. For equal spectra of
    coherence c it is 1 - c. NaN where a ring holds no energy: there is nothing to compare.
    """
    a, b, difference = sums.sum(0).unbind(-1)
    return difference / (a + b)


def raw_mse(sums: Tensor, counts: Tensor) -> Tensor:
    """Mean |A - B|^2 for each image and bin, summed over channels, (rings,): `divergence` without
    its denominator, so it follows the power of the spectrum. From `ring_sums`, `ring_counts`."""
    return sums[..., 2].mean(0) / counts.to(sums.device)


def cosine_distance(sums: Tensor) -> Tensor:
    """1 - Re<A, B> / (|A| |B|), (rings,) from `ring_sums` (N, rings, 3), summed over images.

    By Parseval it is the cosine distance of what the ring holds of the maps, taken as one long
    vector over images, channels and tokens; Re<A, B> is (|A|^2 + |B|^2 - |A - B|^2) / 2. It equals
    `divergence` where |A| = |B|, and sees no gain: 0 for b = 3 a.
    """
    a, b, difference = sums.sum(0).unbind(-1)
    return 1 - (a + b - difference) / (2 * a.sqrt() * b.sqrt())


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": raw_mse,
    "normalised": lambda sums, counts: divergence(sums),
    "cosine": lambda sums, counts: cosine_distance(sums),
}
"""Metric by name: f(sums (N, ..., 3), counts (...)) -> (...), from `pair_sums` and the number of
bins in each mask. One row that is the mean over images gives the same as all rows, so a bootstrap
draw needs the mean of its sums alone."""


def authors_bands(h: int, w: int) -> tuple[Tensor, Tensor]:
    """(low, high), bool (h, w), FFT order: the bands of the authors' analysis (their code at
    dbbfd5b), up to .25 and from .75 of the shorter half axis, counted in bins. On a square even
    grid that is rho; else circles in bins are not circles in cycles per token. Low holds zero."""
    y, x = (torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in (h, w))
    reach = torch.hypot(y[:, None], x[None]) / max(min(h // 2, w // 2), 1)
    return reach <= 0.25, reach >= 0.75


def authors_reading(a: Tensor, b: Tensor) -> Tensor:
    """(N, 2, 3): of maps a, b (N, C, H, W) of each image, low and high, what the authors' analysis
    averages over images: "mse", squares over all elements of the map, so that a band of few bins
    counts little; "normalised", over |A|^2 alone; and "cosine" (the keys of `METRICS`).

    Maps are centred over space, then tokens have length 1, as in their training. A ratio is theirs
    where each band is averaged over images and blocks first.
    """
    a, b = (at_least_float32(x) for x in (a, b))
    a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
    a, b = (x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (a, b))
    sums = pair_sums(a, b, authors_bands(*grid_of(a, stack=True))).double()
    aa, bb, difference = sums.unbind(-1)
    cosine = 1 - (aa + bb - difference) / (2 * (aa * bb).sqrt())
    return torch.stack([difference / a[0].numel(), difference / aa, cosine], -1)
