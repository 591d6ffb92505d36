"""The offset of a pair's infrared picture from the visible one, by phase correlation of edges.

A warm object may be brighter or darker than its background, so pictures of two spectra agree in
position and direction of edges, but not in their sign. Each picture becomes the square of its
complex gradient, which turns a direction into a line (after Fitch et al., Orientation correlation,
BMVC 2002). The phase of the cross spectrum (Kuglin and Hines, 1975) is weighted by a Gaussian, so
that the peak is a Gaussian of known width and a parabola through the logarithms of three values
finds its top between the pixels.

It is one shift for the whole picture: parallax, rotation and scale show as a lower peak.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

EDGE = 1.5  # pixels: the Gaussian's width under the gradient
PEAK = 2.5  # pixels: the width of the peak
REACH, NOISE = 8, 4  # shifts up to 1/8 of the shorter side are looked for, in a field up to 1/4
SMALLEST = 64  # pixels of the shorter side, the least that can be measured
# The peak's height above the mean of the surface, in standard deviations, above which a shift is
# reliable. In MSRS and RoadScene 137 of 140 pairs reach it, and 3 of 420 mismatched pairs (at most
# 6.2).
CLEAR = 6.0


class Offset(NamedTuple):
    """The infrared picture lies `right` and `down` pixels off the visible one; `peak` is how
    clearly, in standard deviations."""

    right: float
    down: float
    peak: float

    @property
    def pixels(self) -> float:
        """The length of the shift."""
        return math.hypot(self.right, self.down)

    @property
    def clear(self) -> bool:
        """Whether the shift is reliable."""
        return self.peak >= CLEAR


def _lines(image: np.ndarray) -> np.ndarray:
    """The doubled-angle gradient (H, W), complex, near unit length at edges, tapered to the rim."""
    down, right = (ndimage.gaussian_filter(image, EDGE, order=o) for o in ((1, 0), (0, 1)))  # pyright: ignore[reportArgumentType]
    squared = (right + 1j * down) ** 2
    strength = np.abs(squared)
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    return squared / (strength + np.median(strength) + 1e-12) * taper.astype(image.dtype)


def _top(before: float, peak: float, after: float) -> float:
    """Where between -1 and 1 a parabola through the logarithms of three values has its top."""
    low, mid, high = np.log(np.maximum([before, peak, after], 1e-12))
    bend = low - 2 * mid + high
    return float(0.5 * (low - high) / bend) if bend < 0 else 0.0


def _shift(cross: np.ndarray, side: int) -> Offset:
    """The shift of a cross spectrum; `side` is the picture's shorter one."""
    size = np.abs(cross)
    fy, fx = (fft.fftfreq(n) for n in cross.shape)
    window = np.exp(-2 * (np.pi * PEAK) ** 2 * np.add.outer(fy**2, fx**2))
    cross = cross * window / (size + 1e-9 * size.max())
    # Shifts from -field to +field; those up to `reach` are searched, the others give the noise.
    field, reach = side // NOISE, side // REACH
    surface = np.roll(np.real(np.asarray(fft.ifft2(cross))), (field, field), (0, 1))
    surface = surface[: 2 * field + 1, : 2 * field + 1]
    inner = slice(field - reach, field + reach + 1)
    near = surface[inner, inner]
    y, x = (int(i) + field - reach for i in np.unravel_index(near.argmax(), near.shape))
    rest = np.ones(surface.shape, dtype=bool)
    rim = math.ceil(4 * PEAK)
    rest[max(0, y - rim) : y + rim + 1, max(0, x - rim) : x + rim + 1] = False
    height_of_peak = (surface[y, x] - surface[rest].mean()) / surface[rest].std()
    down = y - field + _top(*surface[y - 1 : y + 2, x])
    right = x - field + _top(*surface[y, x - 1 : x + 2])
    return Offset(right, down, float(height_of_peak))


def offset(visible: np.ndarray, infrared: np.ndarray) -> Offset:
    """The shift between two grey pictures (H, W) of one size, in pixels.

    Peak 0 where the pictures are smaller than `SMALLEST` or one of them is flat.
    """
    side = min(visible.shape)
    if side < SMALLEST or min(np.ptp(visible), np.ptp(infrared)) == 0:
        return Offset(0.0, 0.0, 0.0)
    shape = [fft.next_fast_len(n) for n in visible.shape]
    lines = (_lines(x.astype(np.float32)) for x in (visible, infrared))
    first, second = (np.asarray(fft.fft2(x, shape)) for x in lines)
    return _shift(np.conj(first) * second, side)
