"""FreqKD (arXiv 2606.11572), as its authors coded it and as its equations read, and its variants.

Most split both maps by the coded mask and charge each band with a penalty of its own. A penalty
tells its value and its slope at once, so that all of a loss costs one pass of the filter for each
map that it looks at, and one on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from freqkd_lite.losses.base import EPS, State, normalise, positive, register, weighted_mse
from freqkd_lite.losses.filters import Quadratic, coded_bands, coded_form, inner, kept_form, pieces
from freqkd_lite.spectrum import band_mask, radius

Penalty = Callable[..., tuple[Tensor, Tensor]]
"""f(student's band, teacher's, or the difference alone) -> (sum of squares of something, half its
gradient by the first)."""


def squares(student: Tensor, teacher: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of the difference."""
    d = student if teacher is None else student - teacher
    return d.square().sum(), d


def log_magnitudes(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Of d = log(1 + |student|) - log(1 + |teacher|), with one logarithm, for it takes as long as
    all the rest. The slope at 0, which |x| has not, is 0."""
    own, theirs = student.abs(), teacher.abs()
    d = (own - theirs).div_(theirs.add_(1)).log1p_()
    value = d.square().sum()
    return value, d.div_(own.add_(1)).mul_(student.sign())


def signed_logs(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Of the difference of sgn(x) log(1 + |x|)."""
    own = student.abs()
    d = own.log1p().copysign_(student).sub_(teacher.abs().log1p_().copysign_(teacher))
    return d.square().sum(), d.div_(own.add_(1))


def saturating(difference: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """c^2 log(1 + d^2 / c^2), the Cauchy or Lorentzian loss of robust statistics."""
    u = (difference / c).square_()
    return c**2 * torch.log1p(u).sum(), difference / u.add_(1)


class _Banded(Function):
    @staticmethod
    def forward(ctx, cutoff, penalties, *maps):  # noqa: ANN001, ANN205
        bands = zip(*(coded_bands(x, cutoff) for x in maps), strict=True)
        values, slopes = [], []
        for penalty, band in zip(penalties, bands, strict=True):
            value, slope = penalty(*band) if penalty else (maps[0].new_zeros(()), None)
            values.append(value / maps[0].numel())
            slopes.append(slope)
        ctx.save_for_backward(*slopes)
        ctx.cutoff = cutoff
        return tuple(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # noqa: ANN001, ANN205
        low, high = (
            None if slope is None else slope * (2 / slope.numel() * gradient)
            for slope, gradient in zip(ctx.saved_tensors, gradients, strict=True)
        )
        if high is None:
            pull, _ = coded_bands(low, ctx.cutoff)
        elif low is None:
            _, pull = coded_bands(high, ctx.cutoff)
        else:  # low pass of one and high pass of the other, by one filter
            pull = coded_bands(low.sub_(high), ctx.cutoff)[0].add_(high)
        return None, None, pull, *[None] * (len(ctx.needs_input_grad) - 3)


def banded(*maps: Tensor, cutoff: float, low: Penalty | None = None,
           high: Penalty | None = None) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(low, high), scalars: what each band of `maps`, a student's and a teacher's (N, C, h, w) or
    their difference alone, pays by its penalty, mean over elements; 0 without one. Bands are
    `coded_bands`. Only the first map gets a gradient."""
    return _Banded.apply(cutoff, (low, high), *maps)


@register("code", by_image=True)
def code(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
         high_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """FreqKD as its authors coded it (arXiv 2606.11572; their code at dbbfd5b), not as one would
    wish it: the mask is not symmetric, and the high band's term sees no sign.

    Low: MSE of the low bands. High: `high_weight` x MSE of log(1 + |high band|) in space.
    """
    low, high = banded(normalise(student), normalise(teacher), cutoff=cutoff,
                       low=squares, high=log_magnitudes)  # fmt: skip
    return {"low": low, "high": high_weight * high}


class _Spatial(Function):
    """(low band, all frequencies): energies of the difference of two maps whose channels have
    length 1 over space, means over elements; value and gradient at once, a few images at a time."""

    @staticmethod
    def forward(ctx, student, teacher, form):  # noqa: ANN001, ANN205
        maps, gradients = [student, teacher], []
        if ctx.needs_input_grad[0]:
            gradients = [torch.empty_like(student) for _ in range(2)]
        each = zip(*map(pieces, maps + gradients), strict=True)
        *found, scales = zip(*(_spatial_piece(form, *few) for few in each), strict=True)
        ctx.save_for_backward(torch.cat(scales), *gradients)
        return tuple(torch.stack(values).sum() / student.numel() for values in found)

    @staticmethod
    @once_differentiable
    def backward(ctx, *of):  # noqa: ANN001, ANN205
        scale, low, whole = ctx.saved_tensors
        of_low, of_whole = (2 / low.numel() * gradient * scale for gradient in of)
        return (low * of_low).addcmul_(whole, of_whole), None, None


def _spatial_piece(form: Quadratic, student: Tensor, teacher: Tensor,
                   *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Both energies of some images, summed, and what brings a student's channel to length 1. Half
    the `gradients` of both, where given, are filled with what lies across the channel, for its
    length is fixed, and only its turning counts; they lack that scale yet."""
    scale, turned = _spatial_scale(student)
    y = student * scale
    difference = torch.addcmul(y, teacher, _spatial_scale(teacher)[0], value=-1)
    energy, back = form(difference)
    for pull, out in zip((back, difference), gradients, strict=False):
        along = torch.mul(pull, y, out=out).sum((2, 3), keepdim=True).mul_(turned)
        torch.addcmul(pull, y, along, value=-1, out=out)
    return energy, inner(difference, difference), scale


def _spatial_scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """What brings each channel to length 1 over space, as `torch.nn.functional.normalize` would,
    and which have a length."""
    length = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
    return length.clamp_min(EPS**2).reciprocal_(), length > EPS**2


@register("eq")
def eq(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
       high_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """FreqKD as the paper's equations are read (arXiv 2606.11572): each channel to L2 norm 1 over
    space, a disk whose cutoff is 1 in the spectrum's corner, and one logarithm of a whole band.

    Low: MSE of the low bands. High: `high_weight` x log(1 + MSE of the high bands). Both follow
    from the difference alone (Parseval). No mean is taken away: a channel's offset counts.
    """
    disk = kept_form(_low_disk, student, cutoff * math.sqrt(2))
    low, whole = _Spatial.apply(student, teacher, disk)
    high = (whole - low).clamp_min(0)  # below 0 by rounding alone
    return {"low": low, "high": high_weight * torch.log1p(high)}


def _low_disk(h: int, w: int, cutoff: float) -> Tensor:
    return band_mask(h, w, cutoff, "disk").double()


@register("signed", by_image=True)
def signed(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
           high_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """`code` with the sign kept in the logarithm, sgn(x) log(1 + |x|), as in FreqKD's predecessor
    FD-CMKD (arXiv 2511.19887)."""
    low, high = banded(normalise(student), normalise(teacher), cutoff=cutoff,
                       low=squares, high=signed_logs)  # fmt: skip
    return {"low": low, "high": high_weight * high}


class MedianDifference:
    """Prepares `robust`: the median of |high band of the difference| over the elements of a block
    on the training pairs, from evenly spaced ones where a batch has more than `SAMPLE`."""

    SAMPLE = 20_000

    def __init__(self, cutoff: float = 0.5, **others: float):
        self.cutoff, self._seen = cutoff, []

    def update(self, student: Tensor, teacher: Tensor) -> None:
        high = coded_bands(normalise(student) - normalise(teacher), self.cutoff)[1].abs().flatten()
        step = math.ceil(len(high) / self.SAMPLE)
        while math.gcd(step, student.shape[-1]) > 1:  # or some columns would never be looked at
            step += 1
        sample = high[::step]
        self._seen.append(sample.to("cpu", copy=True))  # a view would keep the whole band

    def state(self) -> State:
        return {"median": torch.cat(self._seen).median()}


@register("robust", prepare=MedianDifference, by_image=True)
def robust(student: Tensor, teacher: Tensor, *, state: State, cutoff: float = 0.5,
           high_weight: float = 0.1, scale: float = 1.0) -> dict[str, Tensor]:  # fmt: skip
    """What a logarithm could do: `code`'s bands, but the high one's difference d saturates,
    c^2 log(1 + d^2 / c^2) (Lorentzian: Black and Anandan, CVIU 63, 1996), with c = `scale` x the
    median |d| of the untrained student. So it tends to d^2 for small d, and sees signs (this
    project's)."""
    c = (scale * state["median"].to(student)).clamp_min(1e-12)
    low, high = banded(normalise(student) - normalise(teacher), cutoff=cutoff,
                       low=squares, high=partial(saturating, c=c))  # fmt: skip
    return {"low": low, "high": high_weight * high}


@register("low_only")
def low_only(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The low band's term of `code` alone (an ablation of arXiv 2606.11572)."""
    form = coded_form(*student.shape[-2:], cutoff, student.dtype, student.device)
    return {"low": weighted_mse(student, teacher, form)}


@register("high_only", by_image=True)
def high_only(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The high band's term of `code` alone, with weight 1 (an ablation of arXiv 2606.11572)."""
    _, high = banded(normalise(student), normalise(teacher), cutoff=cutoff, high=log_magnitudes)
    return {"high": high}


@register("swapped", by_image=True)
def swapped(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
            low_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """`code` (arXiv 2606.11572) with its bands changed over: MSE of the high ones, `low_weight` x
    MSE of log(1 + |low band|). If the frequency is what matters, this must do worse."""
    low, high = banded(normalise(student), normalise(teacher), cutoff=cutoff,
                       low=log_magnitudes, high=squares)  # fmt: skip
    return {"low": low_weight * low, "high": high}


@register("step")
def step(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
         high_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """What `code` reads like (arXiv 2606.11572): MSE with weight 1 up to the cutoff and
    `high_weight` beyond it, with a symmetric rectangle and without logarithm."""
    form = kept_form(_steps, student, cutoff, high_weight)
    return {"all": weighted_mse(student, teacher, form)}


def _steps(h: int, w: int, cutoff: float, high_weight: float) -> Tensor:
    low = band_mask(h, w, cutoff).double()
    return low + high_weight * (1 - low)


@register("lowpass")
def lowpass(student: Tensor, teacher: Tensor, *, half: float = 0.35) -> dict[str, Tensor]:
    """MSE with a fixed smooth weight, a Gaussian of rho that is 1 at the zero frequency and 1/2 at
    rho = `half`: what a gradual fall-off brings without any measurement (this project's)."""
    form = kept_form(_gaussian, student, positive("half", half))
    return {"all": weighted_mse(student, teacher, form)}


def _gaussian(h: int, w: int, half: float) -> Tensor:
    return torch.exp2(-((radius(h, w) / half) ** 2))
