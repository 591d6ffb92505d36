"""What a student pays for differing from its teacher: label-free losses on lists of feature maps.

A loss is one function of a student's and a teacher's map (N, C, h, w) that returns its parts by
band; `register` makes it known by name, `build_loss` applies it to every block and adds up.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.nn.functional import normalize as unit_norm

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.spectrum import at_least_float32, centred_rectangle, split_bands

BlockLoss = Callable[..., dict[str, Tensor]]
LOSSES: dict[str, BlockLoss] = {}


@dataclass(frozen=True)
class LossParts:
    """`total` is the sum of `parts`, which are weighted already; keys as "block0/low", where the
    number is the place in the list of maps and the band "low", "high" or "all". All are scalars."""

    total: Tensor
    parts: dict[str, Tensor]


def register(name: str) -> Callable[[BlockLoss], BlockLoss]:
    """Decorator: make `f(student, teacher, *, option=default, ...) -> {band: scalar}` the loss
    `name`. Both maps are (N, C, h, w), float32 or float64, and the teacher's needs no gradient."""

    def add(function: BlockLoss) -> BlockLoss:
        LOSSES[name] = function
        return function

    return add


def normalise(x: Tensor, eps: float = 1e-6) -> Tensor:
    """x (N, C, h, w) less each channel's mean over space, then each token to L2 norm 1 over
    channels (stage 1 of FreqKD). A token shorter than `eps` is divided by `eps` instead."""
    return unit_norm(x - x.mean((2, 3), keepdim=True), dim=1, eps=eps)


@register("code")
def code(student: Tensor, teacher: Tensor, *, cutoff: float = 0.5,
         high_weight: float = 0.1) -> dict[str, Tensor]:  # fmt: skip
    """FreqKD as its authors coded it (arXiv 2606.11572; their code at dbbfd5b), not as one would
    wish it: the mask is not symmetric, and the high band's term sees no sign.

    Low: MSE of the low bands. High: `high_weight` x MSE of log(1 + |high band|) in space.
    """
    mask = centred_rectangle(*student.shape[-2:], cutoff)
    student_low, student_high = split_bands(normalise(student), mask=mask)
    teacher_low, teacher_high = split_bands(normalise(teacher), mask=mask)
    logs = torch.log1p(student_high.abs()), torch.log1p(teacher_high.abs())
    return {"low": mse_loss(student_low, teacher_low), "high": high_weight * mse_loss(*logs)}


@register("mse")
def mse(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Plain normalised MSE, the same weight at all frequencies: mean of (s - t)^2 over all
    elements after `normalise`. Times C it is twice the cosine loss."""
    return {"all": mse_loss(normalise(student), normalise(teacher))}


@register("cosine")
def cosine(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """1 - cosine over channels of each token after `normalise`, mean over tokens."""
    return {"all": 1 - (normalise(student) * normalise(teacher)).sum(1).mean()}


def build_loss(
    name: str, *, weights: Sequence[float] | None = None, **options: float
) -> Callable[[Sequence[Tensor], Sequence[Tensor]], LossParts]:
    """The loss `name` as `f(students, teachers) -> LossParts` on lists of (N, C, h, w) maps.

    `weights`: one factor a block, 1 each by default; `options`: the loss's own. Maps are taken to
    float32 (float64 stays); no gradient reaches the teachers. `UserError` for an unknown name or
    option, a value out of range, or maps that don't fit each other.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    loss = LOSSES[name]
    _check_options(name, loss, options)
    factors = None if weights is None else [_number("weights", value) for value in weights]
    loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), **options)  # a bad cutoff raises here

    def of_lists(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> LossParts:
        _check_maps(students, teachers, factors)
        parts = {}
        for i, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
            factor = 1.0 if factors is None else factors[i]
            both = at_least_float32(student), at_least_float32(teacher.detach())
            for band, value in loss(*both, **options).items():
                parts[f"block{i}/{band}"] = factor * value
        return LossParts(torch.stack(list(parts.values())).sum(), parts)

    return of_lists


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise UserError(f"{name}={value!r} can't be used: give a finite number, 0 or more.")
    return float(value)


def _check_options(name: str, loss: BlockLoss, options: dict[str, float]) -> None:
    known = list(inspect.signature(loss).parameters.values())[2:]
    defaults = {parameter.name: parameter.default for parameter in known}
    for option, value in options.items():
        if not defaults:
            raise UserError(f"The loss {name!r} takes no options: leave out {option}={value!r}.")
        if option not in defaults:
            raise unknown(f"option of the loss {name!r}", option, defaults)
        if isinstance(defaults[option], float):
            _number(option, value)


def _check_maps(
    students: Sequence[Tensor], teachers: Sequence[Tensor], factors: Sequence[float] | None
) -> None:
    if not students or len(students) != len(teachers):
        raise UserError(
            f"{len(students)} student and {len(teachers)} teacher maps: give one of each a block."
        )
    if factors is not None and len(factors) != len(students):
        raise UserError(f"weights has {len(factors)} values for {len(students)} blocks: one each.")
    for i, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        if student.shape != teacher.shape or student.ndim != 4:
            raise UserError(
                f"Block {i}: the student's map is {tuple(student.shape)}, the teacher's "
                f"{tuple(teacher.shape)}: resize and project the student's to (N, C, h, w) of the "
                "teacher's first."
            )
