"""What a student pays for differing from its teacher: label-free losses on lists of feature maps.

A loss is one function of a student's and a teacher's map (N, C, h, w) that returns its parts by
band; `register` makes it known by name, `build_loss` applies it to every block and adds up. The
losses themselves stand apart: `freqkd` holds the method and its variants, `rivals` what others
published, `weighted` and `projected` what this project adds; here are the two plain ones.

Some losses measure something once, before training, on the features of the untrained student:
`prepare` does, `pack_states` packs it into a file of the run, `build_loss(states=...)` takes it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import mse_loss

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.losses.filters import Quadratic, pieces
from freqkd_lite.spectrum import at_least_float32

BlockLoss = Callable[..., dict[str, Tensor]]
State = dict[str, Tensor]
"""What a loss measured for one block before training."""

EPS = 1e-6
"""Tokens shorter than this are not brought to length 1 by `normalise`."""

LOSSES: dict[str, BlockLoss] = {}
PREPARERS: dict[str, Callable[..., Preparer]] = {}
"""The losses that must be prepared, with what does it: f(**options of the loss) for each block."""
BY_IMAGE: set[str] = set()
"""The losses that are computed a few images at a time, being means over images. Others are means
too: plain MSE stays as anyone would write it, and `weighted_mse` goes through them by itself."""


class Preparer(Protocol):
    """Looks at the training pairs of one block, batch by batch, and tells what it found. One whose
    `update` has a parameter `stranger` gets there the student's maps of other pictures, one beside
    each of the batch, where they are to be had."""

    def update(self, student: Tensor, teacher: Tensor) -> None: ...

    def state(self) -> State: ...


@dataclass(frozen=True)
class LossParts:
    """`total` is the sum of `parts`, which are weighted already; keys as "block0/low", where the
    number is the place in the list of maps and the band "low", "high" or "all", or what a rival
    calls its parts. All are scalars;
    ask `total` for gradients, for the parts of a loss of `BY_IMAGE` have none."""

    total: Tensor
    parts: dict[str, Tensor]


def register(
    name: str, prepare: Callable[..., Preparer] | None = None, by_image: bool = False
) -> Callable[[BlockLoss], BlockLoss]:
    """Decorator: make `f(student, teacher, *, option=default, ...) -> {band: scalar}` the loss
    `name`. Both maps are (N, C, h, w), float32 or float64, and the teacher's needs no gradient.

    A loss with `prepare` gets the block's `State` as `state=`; one that has a parameter `anchor`
    gets there the untrained student's map of the same images. `by_image` says that it is a mean
    over images, so that it may be computed on a few of them at a time, which is faster."""

    def add(function: BlockLoss) -> BlockLoss:
        LOSSES[name] = function
        if prepare:
            PREPARERS[name] = prepare
        (BY_IMAGE.add if by_image else BY_IMAGE.discard)(name)
        return function

    return add


def _unit(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`normalise`, by what each token was multiplied, and which tokens' length that made 1."""
    y = x - x.mean((2, 3), keepdim=True)
    squared = y.square().sum(1, keepdim=True)  # twice as fast as vector_norm
    scale = squared.clamp_min(EPS**2).rsqrt_()
    return y.mul_(scale), scale, squared > EPS**2


def _before(gradient: Tensor, y: Tensor, scale: Tensor, turned: Tensor, scratch: Tensor,
            out: Tensor) -> Tensor:  # fmt: skip
    """The gradient before `normalise` of that behind it, into `out`: a token's length is fixed, so
    only its turning counts. `scratch` is overwritten and may be `y` or `out`."""
    along = (gradient * y).sum(1, keepdim=True).mul_(turned)
    torch.mul(y, along, out=scratch)  # in two steps, for addcmul takes twice as long
    torch.sub(gradient, scratch, out=scratch).mul_(scale)
    return torch.sub(scratch, scratch.mean((2, 3), keepdim=True), out=out)


class _Normalise(Function):
    """`normalise` in few passes over memory, which is what it costs: about half of autograd's."""

    @staticmethod
    def forward(ctx, x):  # noqa: ANN001, ANN205
        y, scale, turned = _unit(x)
        ctx.save_for_backward(y, scale, turned)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        out = torch.empty_like(gradient)
        return _before(gradient, *ctx.saved_tensors, out, out)


def normalise(x: Tensor) -> Tensor:
    """x (N, C, h, w) less each channel's mean over space, then each token to L2 norm 1 over
    channels (stage 1 of FreqKD). A token shorter than `EPS` is divided by `EPS` instead."""
    return _Normalise.apply(x)


def _times(gradient: Tensor, known: Tensor) -> Tensor:
    """A known gradient of a scalar times that scalar's own, which is 1 in nearly all cases: then a
    pass over memory less. A GPU is not asked, for it would have to be waited for."""
    return known if gradient.device.type == "cpu" and gradient == 1 else gradient * known


class _WeightedMse(Function):
    """Value and gradient at once, a few images at a time: what comes between stays in the cache."""

    @staticmethod
    def forward(ctx, student, teacher, form):  # noqa: ANN001, ANN205
        gradient = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        own = pieces(student)
        outs = [None] * len(own) if gradient is None else pieces(gradient)
        each = zip(own, pieces(teacher), outs, strict=True)
        value = torch.stack([_weighted_piece(*maps, form, student.numel()) for maps in each]).sum()
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        return _times(gradient, ctx.saved_tensors[0]), None, None


def _weighted_piece(student: Tensor, teacher: Tensor, out: Tensor | None, form: Quadratic,
                    elements: int) -> Tensor:  # fmt: skip
    """What some images add to the value, and to the gradient, which goes into `out`. A function of
    its own, so that the next images find its memory free, and still in the cache."""
    y, scale, turned = _unit(student)
    target = _unit(teacher)[0]
    energy, back = form(torch.sub(y, target, out=target))
    if out is not None:
        _before(back, y, scale.mul_(2 / elements), turned, y, out)
    return energy / elements


def weighted_mse(student: Tensor, teacher: Tensor, form: Quadratic) -> Tensor:
    """MSE of two maps (N, C, h, w) after `normalise` with a weight at each frequency, a scalar:
    mean over elements of weight(f) |S(f) - T(f)|^2, of which `form` is the `quadratic_form`, or
    `kept_form`. No gradient reaches the teacher."""
    return _WeightedMse.apply(student, teacher.detach(), form)


def positive(name: str, value: float) -> float:
    """The value of an option, or a `UserError` where it is 0 or less."""
    if value <= 0:
        raise UserError(f"{name}={value!r} can't be used: give a number above 0.")
    return value


# --------------------------------------------------------------------------------- the plain ones


@register("mse")
def mse(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Plain normalised MSE, the same weight at all frequencies: mean of (s - t)^2 over all
    elements after `normalise`, FreqKD's stage 1 without its bands (arXiv 2606.11572). Times C it is
    twice the cosine loss."""
    return {"all": mse_loss(normalise(student), normalise(teacher))}


@register("cosine", by_image=True)
def cosine(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """1 - cosine over channels of each token after `normalise`, mean over tokens: a rival of
    FreqKD's own table (arXiv 2606.11572)."""
    return {"all": 1 - (normalise(student) * normalise(teacher)).sum(1).mean()}


# ----------------------------------------------------------------------------- a loss of all blocks


class _Known(Function):
    """A value (a scalar) with its gradient, which is known already."""

    @staticmethod
    def forward(ctx, x, value, gradient):  # noqa: ANN001, ANN205
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        return _times(gradient, ctx.saved_tensors[0]), None, None


def whole(loss: BlockLoss, student: Tensor, *others: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """(total, parts) of a loss, all images at once."""
    parts = loss(student, *others)
    return torch.stack(list(parts.values())).sum(), parts


def by_pieces(
    loss: BlockLoss, student: Tensor, *others: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """(total, parts) of a loss that is a mean over images, of maps (N, C, h, w), a few at a time:
    value and gradient while all that comes between is in the cache, and nothing of it is kept.
    The gradient is that of the total alone."""
    wanted = student.requires_grad and torch.is_grad_enabled()
    gradient = torch.empty_like(student) if wanted else None
    own = pieces(student.detach())
    outs = pieces(gradient) if wanted else [None] * len(own)
    parts: dict[str, Tensor] = {}
    for out, *maps in zip(outs, own, *map(pieces, others), strict=True):
        for band, value in _piece(loss, out, len(student), *maps).items():
            parts[band] = parts.get(band, 0) + value
    total = torch.stack(list(parts.values())).sum()
    return (_Known.apply(student, total, gradient) if wanted else total), parts


def _piece(
    loss: BlockLoss, out: Tensor | None, images: int, student: Tensor, *others: Tensor
) -> dict[str, Tensor]:
    """What some of `images` add to the parts, and to the gradient, which goes into `out`. A
    function of its own as `_weighted_piece` is."""
    share, wanted = len(student) / images, out is not None
    with torch.set_grad_enabled(wanted):
        found = loss(student.requires_grad_(wanted), *others)
        total = torch.stack(list(found.values())).sum()
    if wanted:
        out.copy_(torch.autograd.grad(share * total, student)[0])
    return {band: share * value.detach() for band, value in found.items()}


def build_loss(
    name: str,
    *,
    weights: Sequence[float] | None = None,
    states: Sequence[State] | None = None,
    **options: float | str,
) -> Callable[..., LossParts]:
    """The loss `name` as `f(students, teachers) -> LossParts` on lists of (N, C, h, w) maps.

    `weights`: one factor a block, 1 each by default; `states`: what `prepare` returned, for the
    losses of `PREPARERS`; `options`: the loss's own. A loss of which `needs_anchors` is true is
    called as `f(students, teachers, anchors)`, with the untrained student's maps. Maps are taken
    to float32 (float64 stays), under autocast too, and the others to the student's type; no
    gradient reaches teachers and anchors. `UserError` for an unknown name or option, a value out of
    range, or maps that don't fit each other.
    """
    loss = _known(name)
    check_options(name, options)
    factors = None if weights is None else [_number("weights", value) for value in weights]
    if (name in PREPARERS) != (states is not None):
        raise UserError(
            f"The loss {name!r} must be prepared: give states=prepare({name!r}, batches)."
            if name in PREPARERS
            else f"The loss {name!r} is not prepared: leave out states."
        )
    anchored, blank = needs_anchors(name), torch.zeros(1, 1, 16, 16)

    def of_block(block: int, *maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        def of_images(student: Tensor, teacher: Tensor, *anchor: Tensor) -> dict[str, Tensor]:
            extra = {"anchor": anchor[0]} if anchor else {}
            if states is not None:
                extra["state"] = states[block]
            return loss(student, teacher, **extra, **options)

        with torch.autocast(maps[0].device.type, enabled=False):
            return (by_pieces if name in BY_IMAGE else whole)(of_images, *maps)

    if states is None or states:
        of_block(0, *[blank] * (3 if anchored else 2))  # a bad cutoff raises here

    def of_lists(
        students: Sequence[Tensor],
        teachers: Sequence[Tensor],
        anchors: Sequence[Tensor] | None = None,
    ) -> LossParts:
        if anchored != (anchors is not None):
            need = "needs" if anchored else "takes no"
            raise UserError(f"The loss {name!r} {need} anchors, maps of the untrained student.")
        _check_maps(students, teachers, factors, states)
        if anchored:
            _check_maps(anchors, teachers, factors, states)
        totals, parts = [], {}
        for i, maps in enumerate(zip(students, teachers, *([anchors] * anchored), strict=True)):
            factor = 1.0 if factors is None else factors[i]
            student, *others = map(at_least_float32, maps)
            others = (x.detach().to(student.dtype) for x in others)
            total, found = of_block(i, student, *others)
            totals.append(factor * total)
            parts |= {f"block{i}/{band}": factor * value for band, value in found.items()}
        return LossParts(torch.stack(totals).sum(), parts)

    return of_lists


def needs_anchors(name: str) -> bool:
    """Whether the loss `name` compares with what the untrained student makes of the same images."""
    return "anchor" in inspect.signature(_known(name)).parameters


def looks_at_strangers(name: str) -> bool:
    """Whether what is measured for the loss `name` asks what shuffled pairs share, too."""
    return name in PREPARERS and "stranger" in inspect.signature(PREPARERS[name].update).parameters


@torch.no_grad()
def prepare(
    name: str,
    batches: Iterable[tuple[Sequence[Tensor], ...]],
    **options: float | str,
) -> list[State]:
    """What the loss `name` must know of the training pairs, one `State` a block, in one pass.

    `batches` yields (students, teachers), lists of (N, C, h, w) maps by block, of the untrained
    student on infrared and the teacher on RGB: the maps that the first steps will see; for a loss
    that `looks_at_strangers` it may yield a third list, of the untrained student on the infrared
    pictures of other pairs. `options` are the loss's own. It keeps sums or samples, not maps.
    `UserError` for a loss that needs none (not in `PREPARERS`), or no batch.
    """
    check_options(name, options)
    if name not in PREPARERS:
        raise UserError(f"The loss {name!r} needs no preparing: build it as it is.")
    preparers: list[Preparer] = []
    for lists in batches:
        if not preparers:
            preparers = [PREPARERS[name](**options) for _ in lists[0]]
        if len(lists) > 2 and not looks_at_strangers(name):
            raise UserError(f"The loss {name!r} looks at no strangers: yield (students, teachers).")
        for other, whose in zip(lists[1:], ("teacher", "stranger"), strict=False):
            _check_maps(lists[0], other, None, preparers, whose)
        for preparer, *maps in zip(preparers, *lists, strict=True):
            preparer.update(*map(at_least_float32, maps))
    if not preparers:
        raise UserError(f"The loss {name!r} was prepared on no pairs: give one batch or more.")
    return [preparer.state() for preparer in preparers]


def pack_states(states: Sequence[State]) -> bytes:
    """What `prepare` returned as the content of a small safetensors file."""
    named = {f"block{i}/{key}": value for i, state in enumerate(states)
             for key, value in state.items()}  # fmt: skip
    return save({name: value.contiguous() for name, value in named.items()})


def load_states(path: str | Path) -> list[State]:
    """What `pack_states` packed. `UserError` for a file that is missing or holds something else."""
    try:
        named = load_file(path)
        states: list[State] = [{} for _ in {name.split("/")[0] for name in named}]
        for name, value in named.items():
            block, key = name.split("/")
            states[int(block.removeprefix("block"))][key] = value
    except (SafetensorError, OSError, ValueError, IndexError) as error:
        raise UserError(
            f"{path} holds no measurements of a loss: prepare the loss anew."
        ) from error
    return states


def _known(name: str) -> BlockLoss:
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise UserError(f"{name}={value!r} can't be used: give a finite number, 0 or more.")
    return float(value)


def check_options(name: str, options: dict[str, float | str]) -> None:
    """`UserError` for an unknown loss, an option it does not take, or a number out of range."""
    known = list(inspect.signature(_known(name)).parameters.values())[2:]
    defaults = {p.name: p.default for p in known if p.name not in ("state", "anchor")}
    for option, value in options.items():
        if not defaults:
            raise UserError(f"The loss {name!r} takes no options: leave out {option}={value!r}.")
        if option not in defaults:
            raise unknown(f"option of the loss {name!r}", option, defaults)
        if isinstance(defaults[option], float):
            _number(option, value)


def _check_maps(
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    factors: Sequence[float] | None,
    states: Sequence[object] | None = None,
    whose: str = "teacher",
) -> None:
    if not students or len(students) != len(teachers):
        raise UserError(
            f"{len(students)} student and {len(teachers)} {whose} maps: give one of each a block."
        )
    for given, what in ((factors, "weights has"), (states, "the loss was prepared with")):
        if given is not None and len(given) != len(students):
            raise UserError(f"{what} {len(given)} values for {len(students)} blocks: one each.")
    for i, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        if not len(student):
            raise UserError(f"Block {i}: a batch of no image: give one or more.")
        if student.shape != teacher.shape or student.ndim != 4:
            raise UserError(
                f"Block {i}: the student's map is {tuple(student.shape)}, the {whose}'s "
                f"{tuple(teacher.shape)}: resize and project the student's to (N, C, h, w) of the "
                "teacher's first."
            )
