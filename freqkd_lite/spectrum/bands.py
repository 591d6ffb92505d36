"""The bands of a picture or feature map, and how far two maps part at each frequency.

Frequencies are in cycles per token (per pixel for images), in the order of the transform; the
radius is rho = sqrt(fy^2 + fx^2) / 0.5, which is 1 at the Nyquist frequency of an axis and 1.414 in
the corner. All transforms are orthonormal, so that energies add up over bins as over tokens
(Parseval), and run in float32 at least: half precision fails on sizes that are no power of two.

Two transforms: "fft" takes a map for one that wraps around, so that a difference between opposite
borders looks like an edge and leaks to all frequencies; "dct" (DCT-II) mirrors it at its borders
instead. Bin k of n is the frequency k / n (negative from n / 2 on), or k / (2n) in a DCT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Real

import torch
from torch import Tensor

from freqkd_lite.errors import UserError, unknown

CORNER = 1.4143  # just above sqrt(2), the largest rho on any grid
CUTOFF_LIMITS = {"rectangle": 1.0, "disk": CORNER}
RINGS = (0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, CORNER)
"""Edges of the eight default rings: ring i holds the bins with RINGS[i] < rho <= RINGS[i + 1], so
the zero frequency belongs to none. 0.25, 0.5 and 0.75 are edges because the analyses cut there."""

BANDS = ("disk25_75", "rectangle50")
"""Pairs of bands by name: those of the authors' analysis, and those of their training."""

FIT = (0.05, 0.5)
"""Range of rho in which `spectral_slope` fits: above what the size of the picture limits, below
what lenses, JPEG and resizing take away."""

SOFT_WIDTH = 0.25
"""Width of a soft edge, in units of the cutoff's: rho, or 2 max(|fy|, |fx|)."""

TRANSFORMS = ("fft", "dct")

_SLACK = 1e-9  # a bin that lies on an edge belongs inside, whatever the rounding of the edge


def frequencies(h: int, w: int, transform: str = "fft") -> tuple[Tensor, Tensor]:
    """(fy (h, 1), fx (1, w)) in cycles per token, float64. FFT order: 0, 1/h, ..., -1/h; of a DCT:
    0, 1/2h, ..., (h - 1)/2h."""
    if h < 1 or w < 1:
        raise UserError(f"The grid {h}x{w} has no token: height and width must be 1 or more.")
    if transform not in TRANSFORMS:
        raise unknown("transform", transform, TRANSFORMS)
    if transform == "dct":
        fy, fx = (torch.arange(n, dtype=torch.float64) / (2 * n) for n in (h, w))
    else:
        fy, fx = (torch.fft.fftfreq(n, dtype=torch.float64) for n in (h, w))
    return fy[:, None], fx[None, :]


def radius(h: int, w: int, transform: str = "fft") -> Tensor:
    """rho (h, w), float64, in the transform's order: 0 at the zero frequency, 1 at the Nyquist of
    an axis."""
    return _distance(h, w, "disk", transform)


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
    distance = _distance(h, w, shape, transform)
    if edge == "hard":
        return distance <= cutoff + _SLACK
    if edge != "soft":
        raise unknown("edge", edge, ("hard", "soft"))
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
        raise UserError(f"band={name!r} is no pair of bands: write it as 'disk25_75' (percent).")
    low, high = int(found[2]) / 100, int(found[3]) / 100 if found[3] else None
    return _band_pair(h, w, low, high, found[1])


def _band_pair(h: int, w: int, low: float, high: float | None, shape: str) -> tuple[Tensor, Tensor]:
    inner = band_mask(h, w, low, shape)
    distance = _distance(h, w, shape)
    if high is None:
        outer = ~inner
    else:
        _check_cutoff(high, shape)
        if high < low:
            raise UserError(f"low={low} and high={high} overlap: high must be {low} or more.")
        outer = distance >= high - _SLACK
    return inner & (distance > 0), outer & ~inner & (distance > 0)


def centred_rectangle(h: int, w: int, cutoff: float = 0.5) -> Tensor:
    """Bool (h, w), True = low, FFT order: the mask as FreqKD's authors coded it.

    In the shifted spectrum (zero frequency at n // 2) each axis keeps n // 2 - half up to, but not
    with, n // 2 + half, where half = max(1, int(n * cutoff / 2)): the bins -half ... half - 1. The
    bin -half has no partner, so the mask is not symmetric under f -> -f (on odd grids neither) and
    its bands overlap: at cutoff 0.5 they miss 2.3 % (37x46) or 5.9 % (16x16) of white noise's
    energy, 1.4 % or 4.6 % where power falls as 1/f^2.
    """
    _check_cutoff(cutoff, "rectangle")
    kept = []
    for f, n in zip(frequencies(h, w), (h, w), strict=True):
        index, half = torch.round(f * n), max(1, int(n * cutoff / 2))
        kept.append((-half <= index) & (index < half))
    return kept[0] & kept[1]


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


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
    `band_overlap` tells. With "fft" the mask must be symmetric under f -> -f, as `band_mask` is: of
    another one's bands, which are complex, the real parts come back, which still add up to x, but
    overlap. `UserError` for a cutoff, shape or mask that does not fit, or integer input.
    """
    h, w = _grid(x)
    if mask is None:
        mask = band_mask(h, w, cutoff, shape, edge=edge, transform=transform)
    if mask.shape != (h, w):
        raise UserError(f"mask is {tuple(mask.shape)} but the maps are {h}x{w}: make it {h}x{w}.")
    full, keep = at_least_float32(x), _kept(mask, transform)
    if transform == "dct":
        rows, columns = _cosines(h).to(full), _cosines(w).to(full)
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
    keep = _kept(mask, transform)
    power = torch.as_tensor(power, dtype=torch.float64, device="cpu").expand_as(keep)
    low, high, both = ((a * b * power).sum() for a, b in
                       ((keep, keep), (1 - keep, 1 - keep), (keep, 1 - keep)))  # fmt: skip
    return float(2 * both / power.sum()), float(both / (low * high).sqrt().clamp_min(1e-300))


def band_energies(
    x: Tensor, cutoff: float = 0.5, shape: str = "rectangle"
) -> tuple[Tensor, Tensor]:
    """(low, high), each (N,): sums of squares of x (N, C, H, W) in each band of `split_bands`,
    over channels and tokens, by Parseval without a way back to space."""
    h, w = _grid(x, stack=True)
    low = band_mask(h, w, cutoff, shape)
    energies = _power(_half_spectrum(x)) @ _weights([low, ~low]).to(at_least_float32(x))
    return energies[:, 0], energies[:, 1]


def ring_sums(a: Tensor, b: Tensor, edges: Sequence[float] = RINGS) -> Tensor:
    """(N, rings, 3): for each pair of maps a, b (N, C, H, W) and ring of rho the sums of |A|^2,
    |B|^2 and |A - B|^2 over the ring's bins and all channels; the zero frequency is left out."""
    h, w = _grid(a, stack=True)
    return pair_sums(a, b, ring_masks(h, w, edges))


def band_sums(a: Tensor, b: Tensor, bands: Sequence[str] = BANDS) -> Tensor:
    """(N, bands, 2, 3): for each pair of maps a, b (N, C, H, W), pair of bands (`band_pair`) and
    its low and high band the sums of |A|^2, |B|^2 and |A - B|^2 over bins and channels.

    All of `METRICS` follow from these, for one image or any number: add them up over images.
    """
    h, w = _grid(a, stack=True)
    masks = [mask for name in bands for mask in band_pair(h, w, name)]
    return pair_sums(a, b, masks).unflatten(1, (len(bands), 2))


def pair_sums(a: Tensor, b: Tensor, bands: Sequence[Tensor]) -> Tensor:
    """(N, bands, 3): for each pair of maps a, b (N, C, H, W) the sums of |A|^2, |B|^2 and |A - B|^2
    over the bins of each symmetric mask (H, W) and all channels."""
    if a.shape != b.shape:
        raise UserError(f"a is {tuple(a.shape)} but b {tuple(b.shape)}: give both one shape.")
    spectrum_a, spectrum_b = _half_spectrum(a), _half_spectrum(b)
    powers = [_power(s) for s in (spectrum_a, spectrum_b, spectrum_a - spectrum_b)]
    return torch.stack(powers, 1).matmul(_weights(bands).to(powers[0])).transpose(1, 2)


def band_counts(h: int, w: int, bands: Sequence[str] = BANDS) -> Tensor:
    """Number of bins in the low and high band of each pair, int64 (bands, 2)."""
    return torch.stack([torch.stack(band_pair(h, w, name)).sum((1, 2)) for name in bands])


def ring_masks(h: int, w: int, edges: Sequence[float], transform: str = "fft") -> list[Tensor]:
    """The bins of each ring of rho, bool (h, w) each: those with edges[i] < rho <= edges[i + 1]."""
    if len(edges) < 2 or edges[0] < 0 or any(b <= a for a, b in pairwise(edges)):
        raise UserError(f"edges={tuple(edges)} are no rings: give rising values of rho, from 0 up.")
    rho = radius(h, w, transform)
    return [(rho > a + _SLACK) & (rho <= b + _SLACK) for a, b in pairwise(edges)]


def ring_counts(h: int, w: int, edges: Sequence[float] = RINGS) -> Tensor:
    """Number of bins in each ring, int64 (rings,); 0 where a small grid has none."""
    return torch.stack([ring.sum() for ring in ring_masks(h, w, edges)])


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
"""Metric by name: f(sums (N, ..., 3), counts (...)) -> (...), from `band_sums` and `band_counts`
or `ring_sums` and `ring_counts`. One row that is the mean over images gives the same as all rows,
so a bootstrap draw needs the mean of its sums alone."""


def band_divergence(
    a: Tensor,
    b: Tensor,
    low: float = 0.25,
    high: float | None = 0.75,
    shape: str = "disk",
    metric: str = "normalised",
) -> tuple[Tensor, Tensor]:
    """(low, high) of a metric between a, b (N, C, H, W), over 0 < rho <= low and over rho >= high:
    by default the authors' analysis, which has not the bands of their training (those are low=0.5,
    high=None, shape="rectangle"). `shape` and `high` as in `band_pair`; `metric` of `METRICS`."""
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    pair = _band_pair(*_grid(a, stack=True), low, high, shape)
    counts = torch.stack(pair).sum((1, 2))
    level = METRICS[metric](pair_sums(a, b, pair), counts)
    return level[0], level[1]


def power_spectrum(x: Tensor, transform: str = "fft") -> Tensor:
    """|X|^2 (..., H, W) of maps or images x (..., H, W), in the transform's order, orthonormal: the
    sum over bins is the sum of squares, and white noise of variance 1 has 1 in every bin."""
    h, w = _grid(x)
    full = at_least_float32(x)
    if transform == "dct":
        return (_cosines(h).to(full) @ full @ _cosines(w).to(full).T).square()
    if transform != "fft":
        raise unknown("transform", transform, TRANSFORMS)
    spectrum = torch.fft.fft2(full, norm="ortho")
    return spectrum.real**2 + spectrum.imag**2


def radial_power(
    x: Tensor, edges: Sequence[float] = RINGS, transform: str = "fft"
) -> tuple[Tensor, Tensor]:
    """(centres, power), each (rings,): the middle of each ring of rho, and mean |X|^2 per bin over
    images and channels of x (..., H, W). Of RGB images give the luminance. NaN in an empty ring."""
    edge = torch.tensor(edges, dtype=torch.float64)
    power = _ring_power(x, edges, transform)
    return (edge[1:] + edge[:-1]) / 2, power.reshape(-1, power.shape[-1]).mean(0)


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
    h, w = _grid(x)
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
    h, w = _grid(x)
    high = ~band_mask(h, w, cutoff, shape, transform=transform)
    power = power_spectrum(x - at_least_float32(x).mean((-2, -1), keepdim=True), transform)
    return (power * high.to(power)).sum((-2, -1)) / power.sum((-2, -1))


def _ring_power(x: Tensor, edges: Sequence[float], transform: str) -> Tensor:
    """Mean |X|^2 per bin of each ring, (..., rings)."""
    rings = torch.stack(ring_masks(*_grid(x), edges, transform)).flatten(1)
    power = power_spectrum(x, transform).flatten(-2)
    return power @ rings.T.to(power) / rings.sum(1).to(power)


def _kept(mask: Tensor, transform: str) -> Tensor:
    """What a mask keeps of a real map's bins, float64: with the FFT the real part of what m keeps
    is what (m(f) + m(-f)) / 2 keeps. That is symmetric, so half of the spectrum is enough."""
    mask = mask.to("cpu", torch.float64)
    if transform == "dct":
        return mask
    if transform != "fft":
        raise unknown("transform", transform, TRANSFORMS)
    return (mask + mask.flip(0, 1).roll((1, 1), (0, 1))) / 2


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II as a matrix (n, n): row k is a cosine of k half cycles, float64."""
    at = torch.arange(n, dtype=torch.float64)
    matrix = math.sqrt(2 / n) * torch.cos(math.pi * at[:, None] * (2 * at + 1) / (2 * n))
    matrix[0] = math.sqrt(1 / n)
    return matrix


def _half_spectrum(x: Tensor) -> Tensor:
    return torch.fft.rfft2(at_least_float32(x), norm="ortho")


def _power(spectrum: Tensor) -> Tensor:
    """Power of a half spectrum (N, C, H, W // 2 + 1), summed over channels: (N, bins)."""
    return (spectrum.real**2 + spectrum.imag**2).sum(1).flatten(1)


def _weights(bands: Sequence[Tensor]) -> Tensor:
    """(bins of the half spectrum, bands): how often a bin counts in each symmetric band (H, W).
    The half spectrum leaves out column w - k, which has the power of column k."""
    w = bands[0].shape[1]
    times = torch.full((w // 2 + 1,), 2.0)
    times[0] = 1
    if w % 2 == 0:
        times[-1] = 1
    return torch.stack([(band[:, : w // 2 + 1] * times).flatten() for band in bands], 1)


def _grid(x: Tensor, stack: bool = False) -> tuple[int, int]:
    if x.ndim < 2 or (stack and x.ndim != 4) or not x.is_floating_point():
        raise UserError(
            f"Maps of {x.dtype} {tuple(x.shape)} can't be transformed: give floats of shape "
            f"{'(N, C, H, W)' if stack else '(..., H, W)'}."
        )
    return x.shape[-2], x.shape[-1]


def _distance(h: int, w: int, shape: str, transform: str = "fft") -> Tensor:
    """(h, w): how far out a bin lies, in units of which a cutoff of `shape` is one."""
    fy, fx = frequencies(h, w, transform)
    if shape == "disk":
        return torch.sqrt(fy**2 + fx**2) / 0.5
    return torch.maximum(fy.abs(), fx.abs()) / 0.5


def _check_cutoff(cutoff: float, shape: str) -> None:
    if shape not in CUTOFF_LIMITS:
        raise unknown("shape of a band", shape, CUTOFF_LIMITS)
    limit = CUTOFF_LIMITS[shape]
    if isinstance(cutoff, bool) or not isinstance(cutoff, Real) or not 0 < cutoff <= limit:
        raise UserError(
            f"cutoff={cutoff!r} can't be used: a {shape} takes a number in (0, {limit}]."
        )
