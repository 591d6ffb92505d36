"""Weights and filters of maps in a basis of real waves: what losses can afford in every step.

The orthonormal sines and cosines of one axis are a small matrix, so that a transform is a product
of matrices, without complex numbers; of a band only its waves are needed. A weight that is even in
fy and in fx, as every function of rho is, leaves each wave along y alone and filters what it
carries along x: one product to the waves, one with a filter for each, one back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from freqkd_lite.spectrum import centred_rectangle

PIECE = 2**19
"""Elements of maps that are computed at a time on a CPU: 2 MB in float32."""
DOT = 2**16
"""Elements of a dot product."""


def _cycles(n: int, most: int) -> Tensor:
    cycles = torch.arange(1, 2 * most + 2) // 2
    return cycles[:-1] if 2 * most == n else cycles


def waves(n: int, most: int | None = None) -> tuple[Tensor, Tensor]:
    """(basis (n, k), cycles (k,)): the constant, then cosine and sine of 1, 2, ... `most` cycles
    in n tokens (all by default), orthonormal, float64. The Nyquist frequency has a cosine alone."""
    most = n // 2 if most is None else min(most, n // 2)
    cycles = _cycles(n, most)
    angle = 2 * torch.pi * torch.arange(n, dtype=torch.float64)[:, None] * cycles / n
    sine = (torch.arange(len(cycles)) > 0) & (torch.arange(len(cycles)) % 2 == 0)
    basis = torch.where(sine, angle.sin(), angle.cos())
    return basis / basis.norm(dim=0), cycles


@lru_cache(64)
def _waves(n: int, most: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # kept ones must be able to enter a gradient later
        return waves(n, most)[0].to(device, dtype)


class _Filter(NamedTuple):
    """A filter of maps (N, ..., h, w): what `rows` (h, k), waves along y, carry goes through
    `along` (k, w, w), a filter along x for each. `turned` (2, w, w) sends what the last two carry
    to each other besides."""

    rows: Tensor
    along: Tensor
    turned: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        carried = (self.rows.mT @ x).flatten(0, -3).transpose(0, 1)  # (k, maps, w)
        found = torch.bmm(carried, self.along)
        if self.turned is not None:
            found[-2:] += torch.bmm(carried[-2:].flip(0), self.turned)
        del carried  # its memory is still in the cache, and taken for the answer
        return (self.rows @ found.transpose(0, 1)).view(x.shape)


def _filter(weight: Tensor, like: Tensor, most: int | None = None) -> _Filter:
    """Of a weight (h, w) in FFT order, even in fy and fx; beyond `most` cycles along y it is 0."""
    h, w = weight.shape
    rows, columns = (_waves(n, k, like.dtype, like.device)
                     for n, k in ((h, h // 2 if most is None else most), (w, w // 2)))  # fmt: skip
    kept = weight[_cycles(h, h // 2)[: rows.shape[1]]][:, _cycles(w, w // 2)].to(like)
    return _Filter(rows, columns * kept[:, None] @ columns.mT)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a * b. On a CPU by dot products, which need no memory, but of short pieces, for a long
    one in float32 would lose the fifth digit."""
    if a.device.type != "cpu":
        return (a * b).sum()
    pairs = zip(a.flatten().split(DOT), b.flatten().split(DOT), strict=True)
    return torch.stack([torch.dot(*pair) for pair in pairs]).sum()


def pieces(x: Tensor) -> tuple[Tensor, ...]:
    """Maps (N, ...) a few images at a time on a CPU, whose cache then holds what comes between, and
    whole on a GPU."""
    few = max(1, PIECE // max(1, x[:1].numel()))
    return x.split(few if x.device.type == "cpu" else len(x))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


Quadratic = Callable[[Tensor], tuple[Tensor, Tensor]]


def quadratic_form(weight: Tensor, like: Tensor) -> Quadratic:
    """f(x) -> (sum of weight(f) |X(f)|^2 over images, channels and bins, the maps X(f) weight(f)),
    for maps x (N, C, h, w) of `like`'s dtype and device in the orthonormal transform X. The second
    is half the gradient of the first. `weight` (h, w), on the CPU, in FFT order, even in fy and fx.

    A weight with one value at all high frequencies needs the low waves alone, by Parseval; one that
    is a product over the axes, as a Gaussian is, needs no waves at all."""
    flat = float(weight[weight.shape[0] // 2, weight.shape[1] // 2])  # the highest frequency's
    most = _highest((weight != flat).any(1))
    if 4 * most > len(weight):  # hardly anything to leave out
        of, flat = _product(weight.double(), like) or _filter(weight, like), 0.0
    else:
        of = _filter(weight - flat, like, most)

    def form(x: Tensor) -> tuple[Tensor, Tensor]:
        back = of(x)
        if flat:
            back.add_(x, alpha=flat)
        return inner(x, back), back

    return form


def kept_form(weight: Callable[..., Tensor], like: Tensor, *arguments: object) -> Quadratic:
    """`quadratic_form` of the weight (h, w) that `weight(h, w, *arguments)` returns. It is worked
    out once: in every step of a training it would take longer than some losses do. So `weight`
    must tell the same for the same arguments, which must be hashable."""
    return _kept(weight, arguments, *like.shape[-2:], like.dtype, like.device)


@lru_cache(64)
def _kept(weight: Callable[..., Tensor], arguments: tuple, h: int, w: int, dtype: torch.dtype,
          device: torch.device) -> Quadratic:  # fmt: skip
    # Whatever state the first call comes in, what is kept must do for all others.
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        return quadratic_form(weight(h, w, *arguments), torch.empty(0, dtype=dtype, device=device))


def _product(weight: Tensor, like: Tensor) -> Callable[[Tensor], Tensor] | None:
    """The filter of a weight that is a product over the axes; None of another one."""
    at_zero = float(weight[0, 0])
    if not at_zero > 0 or not torch.allclose(
        weight * at_zero, weight[:, :1] * weight[:1], rtol=1e-9, atol=0.0
    ):
        return None
    sides = []
    for axis in (weight[:, 0], weight[0] / at_zero):
        basis, cycles = waves(len(axis))
        sides.append((basis * axis[cycles] @ basis.T).to(like))
    rows, columns = sides
    return lambda x: rows @ (x @ columns)


def _highest(differs: Tensor) -> int:
    """The most cycles at which one axis' flags, in FFT order, are set; 0 where none is."""
    at = torch.arange(len(differs))
    return int((torch.minimum(at, len(differs) - at) * differs).max())


class _CodedLow(Function):
    """The filter is its own adjoint, so the gradient goes the same way."""

    @staticmethod
    def forward(ctx, x, cutoff):  # noqa: ANN001, ANN205
        ctx.cutoff = cutoff
        low = _coded(*x.shape[-2:], cutoff, x.dtype, x.device)
        return _joined([low(piece) for piece in pieces(x)])

    @staticmethod
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        return _CodedLow.apply(gradient, ctx.cutoff), None


@lru_cache(64)
def _coded(h: int, w: int, cutoff: float, dtype: torch.dtype, device: torch.device) -> _Filter:
    """What the coded mask lets through. It is m = a + b along each axis, even and odd, and the real
    part of what it keeps is (a a - b b) x, where b has one frequency, -half, and turns its cosine
    and sine, the last two waves, by a quarter."""
    mask, bases, sides, turns = centred_rectangle(h, w, cutoff), [], [], True
    for axis in (0, 1):
        keep = mask.any(1 - axis).double()
        basis, cycles = waves(len(keep), _highest(keep > 0))
        bases.append(basis)
        sides.append((keep[cycles] + keep[-cycles]) / 2)
        turns &= bool((keep[cycles] != keep[-cycles]).any())
    (rows, columns), turned = bases, None
    along = columns * (sides[0][:, None] * sides[1])[:, None] @ columns.T
    if turns:
        cosine, sine = columns.T[-2:]
        quarter = (torch.outer(cosine, sine) - torch.outer(sine, cosine)) / 4
        turned = torch.stack([quarter, -quarter])
    with torch.inference_mode(False):
        return _Filter(*(part if part is None else part.to(device, dtype, copy=True)
                         for part in (rows, along, turned)))  # fmt: skip


@lru_cache(64)
def coded_form(h: int, w: int, cutoff: float, dtype: torch.dtype, device: torch.device
               ) -> Quadratic:  # fmt: skip
    """f(x) as `quadratic_form` gives it, of the energy of `coded_bands`' low band: with the band's
    filter twice, since it is its own adjoint. Kept as by `kept_form`."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        rows, along, turned = _coded(h, w, cutoff, torch.float64, device)
        twice = along @ along
        if turned is not None:
            own, other = along[-2:], turned.flip(0)
            twice[-2:] += other @ turned
            turned = (turned @ own + own.flip(0) @ turned).to(dtype)
        of = _Filter(rows.to(dtype), twice.to(dtype), turned)

    def form(x: Tensor) -> tuple[Tensor, Tensor]:
        back = of(x)
        return inner(x, back), back

    return form


def coded_bands(x: Tensor, cutoff: float = 0.5) -> tuple[Tensor, Tensor]:
    """(low, high) as `split_bands(x, mask=centred_rectangle(h, w, cutoff))` gives them, faster,
    for maps (N, ..., h, w) in float32 or float64."""
    low = _CodedLow.apply(x, cutoff)
    return low, x - low
