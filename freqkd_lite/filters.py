"""Weights and filters of maps in a basis of real waves: what losses can afford in every step.

The orthonormal sines and cosines of one axis are a small matrix, so that a transform is two
products of matrices, without complex numbers; of a band only its waves are needed. What is even in
fy and in fx, as every function of rho is, is diagonal there. Gradients cost one way back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd import Function

from freqkd_lite.spectrum import centred_rectangle

PIECE = 2**19
"""Elements of maps that are computed at a time on a CPU: 2 MB in float32."""


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


def _bases(x: Tensor, most: tuple[int, int]) -> tuple[Tensor, Tensor]:
    return tuple(_waves(n, k, x.dtype, x.device)
                 for n, k in zip(x.shape[-2:], most, strict=True))  # fmt: skip


def _folded(weight: Tensor, most: tuple[int, int], like: Tensor) -> Tensor:
    """A weight (h, w) in FFT order, even in fy and fx, for coefficients (kx, ky)."""
    rows, columns = (_cycles(n, k) for n, k in zip(weight.shape, most, strict=True))
    return weight[rows][:, columns].T.to(like).contiguous()


def _coefficients(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(..., kx, ky): turned, so that both products take the last axis, which is fast."""
    return (x @ columns).mT @ rows


def _back(coefficients: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return (coefficients @ rows.T).mT @ columns.T


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Sum of a * b, by maps first: one long float32 sum would lose the fourth digit."""
    return torch.linalg.vecdot(a.flatten(2), b.flatten(2)).sum()


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
    for maps x (N, C, h, w) of `like`'s dtype and device. The second is half the gradient of the
    first. `weight` as in `weighted_energy`.

    A weight with one value at all high frequencies needs the low waves alone, by Parseval; one that
    is a product over the axes, as a Gaussian is, needs no coefficients at all."""
    flat = float(weight[weight.shape[0] // 2, weight.shape[1] // 2])  # the highest frequency's
    differs = weight != flat
    most = tuple(_highest(differs.any(1 - axis)) for axis in (0, 1))
    if all(4 * k > n for k, n in zip(most, weight.shape, strict=True)):
        most, flat = tuple(n // 2 for n in weight.shape), 0.0  # hardly anything to leave out
        sides = _sides(weight.double())
        if sides:
            rows, columns = (side.to(like) for side in sides)

            def separable(x: Tensor) -> tuple[Tensor, Tensor]:
                back = rows @ (x @ columns)
                return _inner(x, back), back

            return separable
    (rows, columns), kept = _bases(like, most), _folded(weight - flat, most, like)

    def general(x: Tensor) -> tuple[Tensor, Tensor]:
        back = _back(_coefficients(x, rows, columns).mul_(kept), rows, columns)
        if flat:
            back.add_(x, alpha=flat)
        return _inner(x, back), back

    return general


def _sides(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """The filters (h, h) and (w, w) of both axes, where a weight is a product of such."""
    at_zero = float(weight[0, 0])
    if at_zero <= 0 or not torch.allclose(
        weight * at_zero, weight[:, :1] * weight[:1], rtol=1e-9, atol=1e-9 * at_zero**2
    ):
        return None
    sides = []
    for axis in (weight[:, 0], weight[0] / at_zero):
        basis, cycles = waves(len(axis))
        sides.append(basis * axis[cycles] @ basis.T)
    return tuple(sides)


class _Energy(Function):
    @staticmethod
    def forward(ctx, x, form):  # noqa: ANN001, ANN205
        energy, halves = x.new_zeros(()), []
        for piece in pieces(x):
            found, half = form(piece)
            energy += found
            if ctx.needs_input_grad[0]:
                halves.append(half)
        if halves:
            ctx.save_for_backward(_joined(halves))
        return energy

    @staticmethod
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        return 2 * gradient * ctx.saved_tensors[0], None


def weighted_energy(x: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight(f) |X(f)|^2 over images, channels and bins, a scalar, of maps x (N, C, h, w) in
    the orthonormal transform X; `weight` (h, w), on the CPU, in FFT order, even in fy and in fx."""
    return _Energy.apply(x.contiguous(), quadratic_form(weight, x))


def _highest(differs: Tensor) -> int:
    """The most cycles at which one axis' flags, in FFT order, are set; 0 where none is."""
    at = torch.arange(len(differs))
    return int((torch.minimum(at, len(differs) - at) * differs).max())


def filtered(x: Tensor, weight: Tensor) -> Tensor:
    """Maps x (N, C, h, w) with X(f) times weight(f); `weight` as in `weighted_energy`."""
    most = tuple(n // 2 for n in weight.shape)
    rows, columns = _bases(x, most)
    return _back(_coefficients(x, rows, columns) * _folded(weight, most, x), rows, columns)


class _CodedLow(Function):
    """The coded mask as m = a + b along each axis, even and odd: the real part of what it keeps is
    (a a - b b) x, where b has one frequency, -half, and turns its cosine and sine by a quarter.
    The filter is its own adjoint, so the gradient goes the same way."""

    @staticmethod
    def forward(ctx, x, cutoff):  # noqa: ANN001, ANN205
        ctx.cutoff = cutoff
        keep, most, turns = _coded(*x.shape[-2:], cutoff)
        (rows, columns), keep = _bases(x, most), keep.to(x)
        signs = torch.tensor([[1, -1], [-1, 1]], dtype=x.dtype, device=x.device)
        lows = []
        for piece in pieces(x):
            found = _coefficients(piece, rows, columns)
            edge = found[..., -2:, -2:].flip(-2, -1)
            found *= keep
            if turns:
                found[..., -2:, -2:] -= edge * signs / 4
            lows.append(_back(found, rows, columns))
        return _joined(lows)

    @staticmethod
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        return _CodedLow.apply(gradient, ctx.cutoff), None


@lru_cache(16)
def _coded(h: int, w: int, cutoff: float) -> tuple[Tensor, tuple[int, int], bool]:
    """Of the coded mask: what is kept of the coefficients (kx, ky), the most cycles (y, x), and
    whether both axes have an odd part."""
    mask, axes, most, turns = centred_rectangle(h, w, cutoff), [], [], True
    for axis in (0, 1):
        keep = mask.any(1 - axis).double()
        most.append(_highest(keep > 0))
        cycles = waves(len(keep), most[-1])[1]
        axes.append((keep[cycles] + keep[-cycles]) / 2)
        turns &= bool((keep[cycles] != keep[-cycles]).any())
    with torch.inference_mode(False):
        return axes[1][:, None] * axes[0], tuple(most), turns


def coded_bands(x: Tensor, cutoff: float = 0.5) -> tuple[Tensor, Tensor]:
    """(low, high) as `split_bands(x, mask=centred_rectangle(h, w, cutoff))` gives them, faster,
    for maps (..., h, w) in float32 or float64."""
    low = _CodedLow.apply(x, cutoff)
    return low, x - low
