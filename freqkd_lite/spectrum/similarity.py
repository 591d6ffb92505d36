"""Are two maps arranged alike, band by band (CKA)?

An image's map is compared with its partner's, by unbiased sums for each image that are averaged
over images first. `divergence` and `coherence` compare channel with channel; CKA allows any
rotation and common gain of the channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.spectrum.bands import BANDS, at_least_float32, band_pair


def hsic(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3): unbiased HSIC with linear kernels of x with y, x with x and y with y, for n >= 2
    samples of mean zero x (N, n, C) and y (N, n, D), which need not be of one distribution: the
    mean over i != j of <x_i, x_j> <y_i, y_j>. 0 on average where x and y are independent.

    Takes about 4 n^2 C operations by the Gram matrices of samples, or 6 n C^2 by those of channels,
    whichever is less.
    """
    if x.ndim != 3 or x.shape[:2] != y.shape[:2] or y.ndim != 3 or x.shape[1] < 2:
        raise UserError(
            f"Samples {tuple(x.shape)} and {tuple(y.shape)}: give (N, n, C) and (N, n, D) with n "
            "of 2 or more."
        )
    x, y = at_least_float32(x), at_least_float32(y)
    n, c, d = *x.shape[1:], y.shape[2]
    by_samples = n * (c + d) < c * d + c**2 + d**2
    grams = [z @ z.mT for z in (x, y)] if by_samples else []
    found = []
    for i, j in ((0, 1), (0, 0), (1, 1)):
        one, other = (x, y)[i], (x, y)[j]
        if by_samples:
            inner = (grams[i] * grams[j]).sum((1, 2))
        else:
            inner = (one.mT @ other).square().sum((1, 2))
        diagonal = (one.square().sum(2) * other.square().sum(2)).sum(1)
        found.append((inner - diagonal) / (n * (n - 1)))
    return torch.stack(found, 1)


def cka(sums: Tensor) -> Tensor:
    """Debiased linear CKA (...) from `hsic` (N, ..., 3), averaged over images before the ratio
    HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)): 1 for a rotation of channels and a gain, 0 on average
    for independent maps, so at times below 0. NaN where a denominator is not above 0."""
    both, x, y = sums.mean(0).unbind(-1)
    return torch.where((x > 0) & (y > 0), both / (x * y).sqrt(), torch.nan)


def band_hsic(a: Tensor, b: Tensor, bands: Sequence[str] = BANDS) -> Tensor:
    """(N, bands, 2, 3): `hsic` of maps a (N, C, H, W) and b (N, D, H, W) in the low and high band
    of each `band_pair`; `cka` takes it.

    An image's samples are the Fourier coefficients of the band, the real and the imaginary parts.
    Those of different frequencies are uncorrelated in a stationary map, as the estimator asks,
    which the tokens of a band are not, and their sum of products is that over tokens (Parseval).
    Where maps differ much between opposite borders they are somewhat correlated: look at mismatched
    pairs beside it. NaN in a band of fewer than 4 bins.
    """
    if a.ndim != 4 or b.ndim != 4 or (len(a), *a.shape[2:]) != (len(b), *b.shape[2:]):
        raise UserError(
            f"a is {tuple(a.shape)} but b {tuple(b.shape)}: give pairs of one size, (N, C, H, W)."
        )
    a, b = (torch.fft.fft2(at_least_float32(x), norm="ortho") for x in (a, b))
    (h, w), found = a.shape[-2:], []
    for mask in (mask for name in bands for mask in band_pair(h, w, name)):
        few = mask.sum() < 4
        nothing = a.real.new_full((len(a), 3), torch.nan)
        found.append(nothing if few else hsic(_coefficients(a, mask), _coefficients(b, mask)))
    return torch.stack(found, 1).unflatten(1, (len(bands), 2))


def _coefficients(spectrum: Tensor, mask: Tensor) -> Tensor:
    """A band of real maps' spectra (N, C, H, W) as real samples (N, bins, C): of each pair f and -f
    sqrt(2) times the real and the imaginary part, of f = -f the real one. An orthonormal basis of
    the band."""
    h, w = mask.shape
    index = torch.arange(h * w).reshape(h, w)
    mirror = index.flip(0, 1).roll((1, 1), (0, 1))
    pairs = spectrum.flatten(2)[..., index[mask & (index < mirror)]]
    alone = spectrum.flatten(2)[..., index[mask & (index == mirror)]]
    return torch.cat([2**0.5 * pairs.real, 2**0.5 * pairs.imag, alone.real], -1).mT


def standardised(x: Tensor) -> Tensor:
    """Each picture of x (N, 1, H, W) with mean 0 and standard deviation 1. `UserError` for a
    picture with one value everywhere."""
    spread = x.std((2, 3), keepdim=True)
    if not (spread > 1e-6).all():
        raise UserError("A picture has one value everywhere: choose another one.")
    return (x - x.mean((2, 3), keepdim=True)) / spread


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation (N,) between pictures a, b (N, 1, H, W)."""
    return (standardised(a) * standardised(b)).sum((1, 2, 3)) / (a[0].numel() - 1)
