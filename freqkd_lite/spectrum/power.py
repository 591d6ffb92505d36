"""The power of one picture or map at each frequency: spectra, rings, slopes and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.spectrum.bands import (
    CORNER,
    RINGS,
    at_least_float32,
    band_mask,
    check_transform,
    cosines,
    grid_of,
    radius,
    ring_masks,
)

FIT = (0.05, 0.5)
"""Range of rho in which `spectral_slope` fits: above what the size of the picture limits, below
what lenses, JPEG and resizing take away."""


def power_spectrum(x: Tensor, transform: str = "fft") -> Tensor:
    """|X|^2 (..., H, W) of maps or images x (..., H, W), in the transform's order, orthonormal: the
    sum over bins is the sum of squares, and white noise of variance 1 has 1 in every bin."""
    h, w = grid_of(x)
    check_transform(transform)
    full = at_least_float32(x)
    if transform == "dct":
        return (cosines(h).to(full) @ full @ cosines(w).to(full).T).square()
    spectrum = torch.fft.fft2(full, norm="ortho")
    return spectrum.real**2 + spectrum.imag**2


def band_energies(
    x: Tensor, cutoff: float = 0.5, shape: str = "rectangle"
) -> tuple[Tensor, Tensor]:
    """(low, high), each (N,): sums of squares of x (N, C, H, W) in each band of `split_bands`,
    over channels and tokens, by Parseval without a way back to space."""
    low = band_mask(*grid_of(x, stack=True), cutoff, shape)
    power = power_spectrum(x).sum(1)
    return (power * low.to(power)).sum((1, 2)), (power * (~low).to(power)).sum((1, 2))


def radial_power(
    x: Tensor, edges: Sequence[float] = RINGS, transform: str = "fft"
) -> tuple[Tensor, Tensor]:
    """(centres, power), each (rings,): the middle of each ring of rho, and mean |X|^2 per bin over
    images and channels of x (..., H, W). Of RGB images give the luminance. NaN in an empty ring."""
    edge = torch.tensor(edges, dtype=torch.float64)
    power = _ring_power(x, edges, transform)
    return (edge[1:] + edge[:-1]) / 2, power.reshape(-1, power.shape[-1]).mean(0)


def _ring_power(x: Tensor, edges: Sequence[float], transform: str) -> Tensor:
    """Mean |X|^2 per bin of each ring, (..., rings)."""
    rings = torch.stack(ring_masks(*grid_of(x), edges, transform)).flatten(1)
    power = power_spectrum(x, transform).flatten(-2)
    return power @ rings.T.to(power) / rings.sum(1).to(power)


def spectral_slope(
    x: Tensor, fit: tuple[float, float] = FIT, transform: str = "dct", points: int = 10
) -> Tensor:
    """(...): s of power ~ rho^s for each image of x (..., H, W): about -2 for natural pictures.

    The least-squares line through log power against log rho in `points` rings of equal width in
    log rho within `fit`, each at the mean log rho of its bins and of the same weight. An interval
    over images is the bootstrap of their mean. The DCT is the default because a picture doesn't
    wrap: leakage, about rho^-3 over a ring, hides slopes beyond -3 from the FFT. Of windows of
    96x128 cut from larger fields of slope -1 to -4.5 it is right to 0.1.
    `UserError` where a ring has no bin or an image no power in one.
    """
    if not 0 < fit[0] < fit[1] <= CORNER or points < 2:
        raise UserError(f"fit={fit}, points={points}: give 0 < low < high <= {CORNER}, 2 or more.")
    h, w = grid_of(x)
    step = math.log(fit[1] / fit[0]) / points
    edges = [fit[0] * math.exp(i * step) for i in range(points + 1)]
    rings = ring_masks(h, w, edges, transform)
    if not all(ring.any() for ring in rings):
        raise UserError(f"fit={fit} has rings without frequency at {h}x{w}: enlarge the pictures.")
    rho = radius(h, w, transform)
    at = torch.stack([rho[ring].log().mean() for ring in rings])
    power = _ring_power(x, edges, transform).double().cpu()
    if not (power > 0).all():
        raise UserError("A picture has no power within the fit's range: is it of one colour?")
    at = at - at.mean()
    return (power.log() @ at) / at.square().sum()


def energy_above(
    x: Tensor, cutoff: float = 0.5, shape: str = "disk", transform: str = "fft"
) -> Tensor:
    """(...): share of each image's energy, its mean left out, that lies beyond the cutoff, for x
    (..., H, W); cutoff and shape as in `band_mask`. NaN for an image of one colour."""
    h, w = grid_of(x)
    high = ~band_mask(h, w, cutoff, shape, transform=transform)
    power = power_spectrum(x - at_least_float32(x).mean((-2, -1), keepdim=True), transform)
    return (power * high.to(power)).sum((-2, -1)) / power.sum((-2, -1))
