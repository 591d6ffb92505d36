"""FreqKD (arXiv 2606.11572), as its authors coded it, as its equations read, and variants."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from freqkd_lite.losses.base import Statistics, normalise, positive, register, weighted_mse
from freqkd_lite.spectrum import band_mask, centred_rectangle, power_spectrum, radius
from freqkd_lite.spectrum.bands import grid_of


def coded_bands(x: Tensor, cutoff: float = 0.5) -> tuple[Tensor, Tensor]:
    """(low, high) as `split_bands(x, mask=centred_rectangle(h, w, cutoff))` gives them, by small
    matrices: the mask is one along each axis, and the real part of both filters in turn is that of
    their real parts minus that of their imaginary ones."""
    mask = centred_rectangle(*grid_of(x), cutoff)
    rows, columns = (_axis_filter(mask.any(1 - axis)) for axis in (0, 1))
    low = rows.real.to(x) @ (x @ columns.real.mT.to(x))
    low = low - rows.imag.to(x) @ (x @ columns.imag.mT.to(x))
    return low, x - low


def _axis_filter(keep: Tensor) -> Tensor:
    """The filter along an axis that keeps these frequencies (n,), complex (n, n)."""
    spectrum = torch.fft.fft(torch.eye(len(keep), dtype=torch.float64), dim=0)
    return torch.fft.ifft(spectrum * keep[:, None], dim=0)


def both_bands(student: Tensor, teacher: Tensor, cutoff: float) -> list[Tensor]:
    """[student's low, its high, teacher's low, its high band] of the normalised maps."""
    return [*coded_bands(normalise(student), cutoff), *coded_bands(normalise(teacher), cutoff)]


def mse_of_logs(a: Tensor, b: Tensor) -> Tensor:
    """MSE of log(1 + |x|), which the authors take of a band in space."""
    return mse_loss(a.abs().log1p(), b.abs().log1p())


@register("freqkd_code")
def freqkd_code(
    student: Tensor, teacher: Tensor, *, cutoff: float = 0.5, high_weight: float = 0.1
) -> dict[str, Tensor]:
    """FreqKD as its authors coded it (arXiv 2606.11572; their code at dbbfd5b), unchanged: the mask
    is not symmetric, and the high band's term ignores signs.

    Low: MSE of the low bands. High: `high_weight` x MSE of log(1 + |high band|) in space.
    """
    s_low, s_high, t_low, t_high = both_bands(student, teacher, cutoff)
    return {"low": mse_loss(s_low, t_low), "high": high_weight * mse_of_logs(s_high, t_high)}


@register("freqkd_paper")
def freqkd_paper(
    student: Tensor, teacher: Tensor, *, cutoff: float = 0.5, high_weight: float = 0.1
) -> dict[str, Tensor]:
    """FreqKD as the paper's equations are read (arXiv 2606.11572): each channel to L2 norm 1 over
    space, a disk whose cutoff is 1 in the spectrum's corner, and one logarithm of a whole band.

    Low: MSE of the low bands. High: `high_weight` x log(1 + MSE of the high bands). No mean is
    subtracted: a channel's offset counts.
    """
    s, t = (normalize(x.flatten(2), dim=2).view_as(x) for x in (student, teacher))
    energy = power_spectrum(s - t)  # by Parseval its mean over a band is the band's MSE
    low = band_mask(*grid_of(student), cutoff * math.sqrt(2), "disk").to(energy)
    high = torch.log1p((energy * (1 - low)).mean())
    return {"low": (energy * low).mean(), "high": high_weight * high}


@register("signed")
def signed(
    student: Tensor, teacher: Tensor, *, cutoff: float = 0.5, high_weight: float = 0.1
) -> dict[str, Tensor]:
    """`freqkd_code` with the sign kept in the logarithm, sgn(x) log(1 + |x|), as in FreqKD's
    predecessor FD-CMKD (arXiv 2511.19887)."""
    s_low, s_high, t_low, t_high = both_bands(student, teacher, cutoff)
    s_high, t_high = (x.sign() * x.abs().log1p() for x in (s_high, t_high))
    return {"low": mse_loss(s_low, t_low), "high": high_weight * mse_loss(s_high, t_high)}


class MedianDifference:
    """Calibrates `robust`: the median of |high band of the difference| over the elements of a block
    on the training pairs, of evenly spaced ones where a batch has more than `SAMPLE`."""

    SAMPLE = 20_000

    def __init__(self, cutoff: float = 0.5, **others: float):
        self.cutoff, self.samples = cutoff, []

    def update(self, student: Tensor, teacher: Tensor) -> None:
        high = coded_bands(normalise(student) - normalise(teacher), self.cutoff)[1].abs().flatten()
        step = math.ceil(len(high) / self.SAMPLE)
        while math.gcd(step, student.shape[-1]) > 1:  # or some columns would never be sampled
            step += 1
        self.samples.append(high[::step].to("cpu", copy=True))  # a view would hold the whole band

    def statistics(self) -> Statistics:
        return {"median": torch.cat(self.samples).median()}


@register("robust", calibrator=MedianDifference)
def robust(
    student: Tensor,
    teacher: Tensor,
    *,
    statistics: Statistics,
    cutoff: float = 0.5,
    high_weight: float = 0.1,
    scale: float = 1.0,
) -> dict[str, Tensor]:
    """What a logarithm could achieve: `freqkd_code`'s bands, but the high one's difference d
    saturates, c^2 log(1 + d^2 / c^2) (Lorentzian: Black and Anandan, CVIU 63, 1996), with c =
    `scale` x the median |d| of the untrained student. So it tends to d^2 for small d, and sees
    signs (this project's)."""
    low, high = coded_bands(normalise(student) - normalise(teacher), cutoff)
    c = (scale * statistics["median"].to(student)).clamp_min(1e-12)
    high = c**2 * torch.log1p((high / c).square()).mean()
    return {"low": low.square().mean(), "high": high_weight * high}


@register("low_only")
def low_only(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The low band's term of `freqkd_code` alone (an ablation of arXiv 2606.11572)."""
    return {"low": freqkd_code(student, teacher, cutoff=cutoff)["low"]}


@register("high_only")
def high_only(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The high band's term of `freqkd_code` alone, with weight 1 (an ablation of the paper)."""
    return {"high": freqkd_code(student, teacher, cutoff=cutoff, high_weight=1.0)["high"]}


@register("swapped")
def swapped(
    student: Tensor, teacher: Tensor, *, cutoff: float = 0.5, low_weight: float = 0.1
) -> dict[str, Tensor]:
    """`freqkd_code` with its bands exchanged: MSE of the high ones, `low_weight` x MSE of
    log(1 + |low band|). If the frequency is what matters, this must do worse."""
    s_low, s_high, t_low, t_high = both_bands(student, teacher, cutoff)
    return {"low": low_weight * mse_of_logs(s_low, t_low), "high": mse_loss(s_high, t_high)}


@register("step")
def step(
    student: Tensor, teacher: Tensor, *, cutoff: float = 0.5, high_weight: float = 0.1
) -> dict[str, Tensor]:
    """What `freqkd_code` reads like (arXiv 2606.11572): MSE with weight 1 up to the cutoff and
    `high_weight` beyond it, with a symmetric rectangle and without logarithm."""
    low = band_mask(*grid_of(student), cutoff).double()
    return {"all": weighted_mse(student, teacher, low + high_weight * (1 - low))}


@register("lowpass")
def lowpass(student: Tensor, teacher: Tensor, *, half: float = 0.35) -> dict[str, Tensor]:
    """MSE with a fixed smooth weight, a Gaussian of rho that is 1 at the zero frequency and 1/2 at
    rho = `half`: what a gradual fall-off brings without any measurement (this project's)."""
    rho = radius(*grid_of(student))
    weight = torch.exp2(-((rho / positive("half", half)) ** 2))
    return {"all": weighted_mse(student, teacher, weight)}
