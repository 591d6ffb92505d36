"""The frequency bands of pictures and feature maps: masks, rings, and the split into two bands.

Frequencies are in cycles per token (per pixel for images), in the order of the transform; the
radius is rho = sqrt(fy^2 + fx^2) / 0.5, which is 1 at the Nyquist frequency of an axis and 1.414 in
the corner. All transforms are orthonormal, so that energies add up over bins as over tokens
(Parseval), and run in float32 at least: half precision fails on sizes that are not powers of two.

Two transforms: "fft" takes a map for one that wraps around, so that a difference between opposite
borders looks like an edge and leaks to all frequencies; "dct" (DCT-II) mirrors it at its borders
instead. Bin k of n is the frequency k / n (negative from n / 2 on), or k / (2n) in a DCT.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor

from freqkd_lite.errors import UserError, check_known

CORNER = 1.4143  # just above sqrt(2), the largest rho on any grid
CUTOFF_LIMITS = {"rectangle": 1.0, "disk": CORNER}
RINGS = (0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, CORNER)
"""Edges of the eight default rings: ring i holds the bins with RINGS[i] < rho <= RINGS[i + 1], so
the zero frequency belongs to none. 0.25, 0.5 and 0.75 are edges because the analyses cut there."""

BANDS = ("disk25_75", "rectangle50")
"""Pairs of bands by name: with the radii of the authors' analysis, but of rho (see
`divergence.authors_bands`), and those of their training."""

SOFT_WIDTH = 0.25
"""Width of a soft edge, in units of the cutoff's: rho, or 2 max(|fy|, |fx|)."""

TRANSFORMS = ("fft", "dct")

_SLACK = 1e-9  # a bin that lies on an edge belongs inside, despite rounding of the edge


def frequencies(h: int, w: int, transform: str = "fft") -> tuple[Tensor, Tensor]:
    """(fy (h, 1), fx (1, w)) in cycles per token, float64. FFT order: 0, 1/h, ..., -1/h; of a DCT:
    0, 1/2h, ..., (h - 1)/2h."""
    if h < 1 or w < 1:
        raise UserError(f"The grid {h}x{w} has no token: height and width must be 1 or more.")
    check_known("transform", TRANSFORMS, transform)
    if transform == "dct":
        fy, fx = (torch.arange(n, dtype=torch.float64) / (2 * n) for n in (h, w))
    else:
        fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in (h, w))
    return fy[:, None], fx[None, :]


def radius(h: int, w: int, transform: str = "fft", shape: str = "disk") -> Tensor:
    """rho (h, w), float64, in the transform's order: 0 at frequency zero, 1 at an axis' Nyquist; of
    a rectangle 2 max(|fy|, |fx|), the unit of its cutoff."""
    fy, fx = frequencies(h, w, transform)
    if shape == "disk":
        return torch.sqrt(fy**2 + fx**2) / 0.5
    return torch.maximum(fy.abs(), fx.abs()) / 0.5


def band_mask(
    h: int,
    w: int,
    cutoff: float = 0.5,
    shape: str = "rectangle",
    *,
    edge: str = "hard",
    transform: str = "fft",
) -> Tensor:
    """The low band (h, w) in the transform's order; in FFT order it is symmetric under f -> -f.

    "rectangle": |fy| and |fx| <= cutoff / 2, cutoff in (0, 1]. "disk": rho <= cutoff, cutoff in
    (0, 1.4143]. `UserError` for another shape, cutoff or edge.

    Edge "hard": bool, True where a frequency is low, bins on the edge included. "soft": float64, a
    raised cosine of rho (disk) or 2 max(|fy|, |fx|) (rectangle) that falls from 1 to 0 over
    `SOFT_WIDTH` around the cutoff, where it is 1/2. Near the ends the edge is narrowed so that the
    zero frequency stays low and the largest cutoff keeps every bin.
    """
    _check_cutoff(cutoff, shape)
    distance = radius(h, w, transform, shape)
    if edge == "hard":
        return distance <= cutoff + _SLACK
    check_known("edge", ("hard", "soft"), edge)
    width = min(SOFT_WIDTH, 2 * cutoff, 2 * (CUTOFF_LIMITS[shape] - cutoff))
    if not width:
        return torch.ones_like(distance)
    across = ((distance - cutoff) / width + 0.5).clamp(0, 1)
    return (1 + torch.cos(math.pi * across)) / 2


def band_pair(h: int, w: int, name: str = "disk25_75") -> tuple[Tensor, Tensor]:
    """(low, high) bool masks (h, w), FFT order, of a pair of bands by its name.

    The name is a shape and one cutoff in percent, "rectangle50", or two, "disk25_75": low is what
    `band_mask` keeps up to the first; high is all the rest, or what lies on or beyond the second
    (rho, or the larger of |fy| and |fx| in units of 0.5). The zero frequency is in neither.
    `UserError` for another name or cutoffs.
    """
    found = re.fullmatch(r"([a-z]+)(\d+)(?:_(\d+))?", name)
    if not found:
        raise UserError(f"band={name!r} is not a pair of bands: write 'disk25_75' (percent).")
    shape, low = found[1], int(found[2]) / 100
    inner = band_mask(h, w, low, shape)
    distance = radius(h, w, shape=shape)
    outer = ~inner
    if found[3]:
        high = int(found[3]) / 100
        _check_cutoff(high, shape)
        if high < low:
            raise UserError(f"low={low} and high={high} overlap: high must be {low} or more.")
        outer = (distance >= high - _SLACK) & ~inner
    return inner & (distance > 0), outer & (distance > 0)


def centred_rectangle(h: int, w: int, cutoff: float = 0.5) -> Tensor:
    """Bool (h, w), True = low, FFT order: the mask as FreqKD's authors coded it.

    In the shifted spectrum (zero frequency at n // 2) each axis keeps n // 2 - half up to, but not
    with, n // 2 + half, where half = max(1, int(n * cutoff / 2)): the bins -half ... half - 1. The
    bin -half has no partner, so the mask is not symmetric under f -> -f (on odd grids neither) and
    its bands overlap: at cutoff 0.5 they miss 2.3 % (37x46) or 5.9 % (16x16) of white noise's
    energy, 1.4 % or 4.6 % where power falls as 1/f^2.
    """
    _check_cutoff(cutoff, "rectangle")
    inside = []
    for f, n in zip(frequencies(h, w), (h, w), strict=True):
        index, half = torch.round(f * n), max(1, int(n * cutoff / 2))
        inside.append((-half <= index) & (index < half))
    return inside[0] & inside[1]


def ring_masks(h: int, w: int, edges: Sequence[float], transform: str = "fft") -> Tensor:
    """The bins of each ring of rho, bool (rings, h, w): those of edges[i] < rho <= edges[i + 1]."""
    if len(edges) < 2 or edges[0] < 0 or any(b <= a for a, b in pairwise(edges)):
        raise UserError(f"edges={tuple(edges)} are not rings: give rising values of rho from 0 up.")
    rho = radius(h, w, transform)
    return torch.stack([(rho > a + _SLACK) & (rho <= b + _SLACK) for a, b in pairwise(edges)])


def split_bands(
    x: Tensor,
    cutoff: float = 0.5,
    shape: str = "rectangle",
    mask: Tensor | None = None,
    *,
    edge: str = "hard",
    transform: str = "fft",
) -> tuple[Tensor, Tensor]:
    """(low, high) bands of maps or images (..., H, W); high = x - low; dtype and shape of x.

    Cutoff, shape and edge as in `band_mask`. `mask` (H, W), 1 or True = low, in the transform's
    order, takes their place. Bands of hard edges are orthogonal; what those of soft edges share,
    `band_overlap` returns. With "fft" the mask must be symmetric under f -> -f, as `band_mask` is:
    of another one's bands, which are complex, the real parts are returned, which still add up to x,
    but overlap. `UserError` for a cutoff, shape or mask that does not fit, or integer input.
    """
    h, w = grid_of(x)
    if mask is None:
        mask = band_mask(h, w, cutoff, shape, edge=edge, transform=transform)
    if mask.shape != (h, w):
        raise UserError(f"mask is {tuple(mask.shape)} but the maps are {h}x{w}: make it {h}x{w}.")
    full, keep = at_least_float32(x), _symmetric(mask, transform)
    if transform == "dct":
        rows, columns = cosines(h).to(full), cosines(w).to(full)
        low = rows.T @ ((rows @ full @ columns.T) * keep.to(full)) @ columns
    else:
        half = torch.fft.rfft2(full, norm="ortho") * keep[:, : w // 2 + 1].to(full)
        low = torch.fft.irfft2(half, s=(h, w), norm="ortho")
    return low.to(x.dtype), (full - low).to(x.dtype)


def band_overlap(
    mask: Tensor, power: Tensor | float = 1.0, transform: str = "fft"
) -> tuple[float, float]:
    """(unaccounted, cosine) of the bands of `split_bands(mask=mask)` for maps of spectrum `power`
    (h, w), as `power_spectrum` gives it; by default white noise's.

    Unaccounted: the share of the energy that low and high, each squared and summed, lack: 1 -
    (|low|^2 + |high|^2) / |x|^2 = 2 <low, high> / |x|^2. Cosine: <low, high> / (|low| |high|). Both
    are 0 for hard edges, and above it for soft ones and for masks without f -> -f symmetry.
    """
    keep = _symmetric(mask, transform)
    power = torch.as_tensor(power, dtype=torch.float64, device="cpu").expand_as(keep)
    low, high = (keep.square() * power).sum(), ((1 - keep).square() * power).sum()
    both = (keep * (1 - keep) * power).sum()
    return float(2 * both / power.sum()), float(both / (low * high).sqrt().clamp_min(1e-300))


def _symmetric(mask: Tensor, transform: str) -> Tensor:
    """What a mask keeps of a real map's bins, float64: with the FFT the real part of what m keeps
    is what (m(f) + m(-f)) / 2 keeps. That is symmetric, so half of the spectrum is enough."""
    check_known("transform", TRANSFORMS, transform)
    mask = mask.to("cpu", torch.float64)
    if transform == "dct":
        return mask
    return (mask + mask.flip(0, 1).roll((1, 1), (0, 1))) / 2


def cosines(n: int) -> Tensor:
    """The orthonormal DCT-II as a matrix (n, n): row k is a cosine of k half cycles, float64."""
    at = torch.arange(n, dtype=torch.float64)
    matrix = math.sqrt(2 / n) * torch.cos(math.pi * at[:, None] * (2 * at + 1) / (2 * n))
    matrix[0] = math.sqrt(1 / n)
    return matrix


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def grid_of(x: Tensor, stack: bool = False) -> tuple[int, int]:
    """(H, W) of floats (..., H, W), or with `stack` (N, C, H, W). `UserError` for others."""
    if x.ndim < 2 or (stack and x.ndim != 4) or not x.is_floating_point():
        raise UserError(
            f"Maps of {x.dtype} {tuple(x.shape)} can't be transformed: give floats of shape "
            f"{'(N, C, H, W)' if stack else '(..., H, W)'}."
        )
    return x.shape[-2], x.shape[-1]


def _check_cutoff(cutoff: float, shape: str) -> None:
    check_known("shape of a band", CUTOFF_LIMITS, shape)
    limit = CUTOFF_LIMITS[shape]
    if isinstance(cutoff, bool) or not isinstance(cutoff, Real) or not 0 < cutoff <= limit:
        raise UserError(
            f"cutoff={cutoff!r} can't be used: a {shape} takes a number in (0, {limit}]."
        )
