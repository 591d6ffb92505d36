"""The power of one picture or map at each frequency: spectra, rings, slopes and shares."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.spectrum import bands
from freqkd_lite.spectrum.bands import RINGS, at_least_float32, grid_of

FIT, POINTS = (0.05, 0.5), 10
"""Range of rho and number of rings of `spectral_slope`: above what the size of the picture limits,
below what lenses, JPEG and resizing take away."""


def power_spectrum(x: Tensor, transform: str = "fft") -> Tensor:
    """|X|^2 (..., H, W) of maps or images x (..., H, W), in the transform's order, orthonormal: the
    sum over bins is the sum of squares, and white noise of variance 1 has 1 in every bin."""
    h, w = grid_of(x)
    check_known("transform", bands.TRANSFORMS, transform)
    full = at_least_float32(x)
    if transform == "dct":
        return (bands.cosines(h).to(full) @ full @ bands.cosines(w).to(full).T).square()
    spectrum = torch.fft.fft2(full, norm="ortho")
    return spectrum.real**2 + spectrum.imag**2


def low_share(x: Tensor, cutoff: float = 0.5, shape: str = "rectangle") -> float:
    """Share, 0 to 1, of the energy of x (N, C, H, W) in the low band of `split_bands`, over all
    images; each channel's mean over space is left out, as in stage 1 of FreqKD."""
    mask = bands.band_mask(*grid_of(x, stack=True), cutoff, shape)
    power = power_spectrum(x - x.mean((2, 3), keepdim=True)).sum(1)
    low, high = ((power * band.to(power)).sum((1, 2)) for band in (mask, ~mask))
    total = float((low + high).sum())
    if total == 0:
        raise UserError("Maps with one value everywhere have no energy to share: give other maps.")
    return float(low.sum()) / total


def white_share(h: int, w: int, cutoff: float = 0.5) -> float:
    """`low_share` of white noise: the low band's share of the bins without the zero frequency."""
    return (int(bands.band_mask(h, w, cutoff).sum()) - 1) / (h * w - 1)


def radial_power(x: Tensor, edges: Sequence[float] = RINGS) -> tuple[Tensor, Tensor]:
    """(centres, power), each (rings,): the middle of each ring of rho, and mean |X|^2 per bin over
    images and channels of x (..., H, W). Of RGB images give the luminance. NaN in an empty ring."""
    edge = torch.tensor(edges, dtype=torch.float64)
    power = _ring_power(x, edges, "fft")
    return (edge[1:] + edge[:-1]) / 2, power.reshape(-1, power.shape[-1]).mean(0)


def _ring_power(x: Tensor, edges: Sequence[float], transform: str) -> Tensor:
    """Mean |X|^2 per bin of each ring, (..., rings)."""
    rings = bands.ring_masks(*grid_of(x), edges, transform).flatten(1)
    power = power_spectrum(x, transform).flatten(-2)
    return power @ rings.T.to(power) / rings.sum(1).to(power)


def spectral_slope(x: Tensor) -> Tensor:
    """(...): s of power ~ rho^s for each image of x (..., H, W): about -2 for natural pictures.

    The least-squares line through log power against log rho in `POINTS` rings of equal width in log
    rho within `FIT`, each at the mean log rho of its bins and of the same weight. An interval over
    images is the bootstrap of their mean. By the DCT, because a picture doesn't wrap: leakage,
    about rho^-3 over a ring, hides slopes beyond -3 from the FFT. Of windows of 96x128 cut from
    larger fields of slope -1 to -4.5 it is right to 0.1. NaN where a ring has no bin, because the
    image is small, or no power, because it is of one colour.
    """
    edges = np.geomspace(*FIT, POINTS + 1).tolist()
    rho, rings = bands.radius(*grid_of(x), "dct"), bands.ring_masks(*grid_of(x), edges, "dct")
    at = torch.stack([rho[ring].log().mean() for ring in rings])
    at = at - at.mean()
    slope = (_ring_power(x, edges, "dct").double().cpu().log() @ at) / at.square().sum()
    return slope.where(slope.isfinite(), torch.nan)


def energy_above(x: Tensor, cutoff: float = 0.5) -> Tensor:
    """(...): share of each image's energy, its mean left out, that lies beyond rho = cutoff, for x
    (..., H, W). NaN for an image of one colour."""
    high = ~bands.band_mask(*grid_of(x), cutoff, "disk")
    power = power_spectrum(x - at_least_float32(x).mean((-2, -1), keepdim=True))
    return (power * high.to(power)).sum((-2, -1)) / power.sum((-2, -1))
