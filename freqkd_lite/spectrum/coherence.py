"""Coherence: the share of two maps' waves whose phase relation and gain are the same in all images.

Magnitude-squared coherence of a channel at a frequency is |sum A conj(B)|^2 / (sum|A|^2 sum|B|^2)
with sums over images, so the cross spectrum is averaged as a complex number before it is squared
(squared first, each image alone would score 1). It is 1 where b is a filtered a, the same filter
for all images, a shift of all by one amount included; `divergence` sees such a shift.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.spectrum.bands import RINGS, at_least_float32, ring_masks


@dataclass
class CrossSpectrum:
    """Sums over image pairs, in memory that does not grow with their number.

    `sums` (5, C, H, W // 2 + 1), float64 on the CPU, holds for each channel and bin of `rfft2` the
    sums over images of Re A conj(B), Im A conj(B), |A|^2, |B|^2 and |A|^2 |B|^2. `images`: how
    many; `width`: W, which the half spectrum leaves open. The three are all that must be saved.
    Two of them add up with `+`, as sums of two sets of images.
    """

    sums: Tensor
    images: int
    width: int

    @classmethod
    def empty(cls, channels: int, h: int, w: int) -> Self:
        """Of no image yet, for maps (N, channels, h, w)."""
        return cls(torch.zeros(5, channels, h, w // 2 + 1, dtype=torch.float64), 0, w)

    def update(self, a: Tensor, b: Tensor) -> Self:
        """Add pairs of maps a, b (N, C, H, W), floats on any device. Returns itself.
        `UserError` for maps that fit neither each other nor those before."""
        fits = (*self.sums.shape[1:3], self.width)
        for name, x in (("a", a), ("b", b)):
            if x.ndim != 4 or x.shape[1:] != fits or not x.is_floating_point():
                raise UserError(
                    f"{name} is {x.dtype} {tuple(x.shape)}: give floats (N, "
                    f"{', '.join(map(str, fits))}), as for the pairs before."
                )
        if len(a) != len(b):
            raise UserError(f"a has {len(a)} images but b {len(b)}: give pairs.")
        a, b = (torch.fft.rfft2(at_least_float32(x.detach()), norm="ortho") for x in (a, b))
        power_a, power_b = (s.real**2 + s.imag**2 for s in (a, b))
        cross = a * b.conj()
        parts = (cross.real, cross.imag, power_a, power_b, power_a * power_b)
        self.sums += torch.stack([part.sum(0) for part in parts]).cpu()
        self.images += len(a)
        return self

    def __add__(self, other: Self) -> Self:
        return type(self)(self.sums + other.sums, self.images + other.images, self.width)

    def map(self) -> Tensor:
        """Coherence (H, W), FFT order, averaged over channels, each with the weight
        sqrt(sum|A|^2 sum|B|^2): its power, where both maps have the same. Corrected for bias.

        Unrelated maps of n images score not 0 but 1/n, or more where images differ in power: on
        average q = sum(|A|^2 |B|^2) / (sum|A|^2 sum|B|^2), for any powers, if phases are random. So
        (C - q) / (1 - q) is returned: 0 on average for unrelated maps, 1 for b = filtered a,
        between them too low by up to 2 C (1 - C) / n. It is not clipped: values below 0 are noise
        that averages must keep. For equal powers q = 1/n, the usual correction. A channel where
        fewer than two images have power is left out; NaN where all are.
        """
        total, weight = self._totals()
        return total / weight

    def against_rho(self, edges: Sequence[float] = RINGS) -> Tensor:
        """Coherence averaged over channels and the bins of each ring of rho, with weights as in
        `map`, (rings,); the zero frequency is left out. NaN in an empty ring."""
        rings = ring_masks(self.sums.shape[2], self.width, edges).double()
        total, weight = ((rings * x).sum((1, 2)) for x in self._totals())
        return total / weight

    def power(self) -> Tensor:
        """Mean |A|^2 over images and channels (H, W), FFT order."""
        return self._whole(self.sums[2].mean(0)) / self.images

    def _totals(self) -> tuple[Tensor, Tensor]:
        """(H, W) each: sums over channels of coherence times weight, and of weights."""
        if self.images < 2:
            raise UserError(f"Coherence of {self.images} pairs is not defined: give 2 or more.")
        real, imaginary, a, b, both = self.sums
        room = a * b - both
        defined = room > 1e-9 * a * b  # less is rounding: one image has all of the power
        value = torch.where(defined, (real**2 + imaginary**2 - both) / room, 0.0)
        weight = torch.where(defined, (a * b).sqrt(), 0.0)
        return self._whole((value * weight).sum(0)), self._whole(weight.sum(0))

    def _whole(self, half: Tensor) -> Tensor:
        """(H, W) from the half spectrum: real maps have the same at f and -f."""
        rest = half[..., 1 : (self.width + 1) // 2].flip(-2, -1).roll(1, -2)
        return torch.cat([half, rest], -1)
