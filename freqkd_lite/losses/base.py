"""Label-free losses on lists of feature maps: what they share, their registry and `build_loss`.

A loss is a function of a student's and a teacher's map (N, C, h, w) that returns its parts by name.
`register` makes it known; `build_loss` applies it to every block and adds up. Some losses need
statistics of the pairs, measured once on the untrained student's features: `calibrate` does that.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.losses.mean import DEFAULTS, MEANS, centred, mse_of_means, treating
from freqkd_lite.names import OLD_NAMES
from freqkd_lite.spectrum import at_least_float32, power_spectrum

Maps = Sequence[Tensor]
BlockLoss = Callable[..., dict[str, Tensor]]
Statistics = dict[str, Tensor]
"""The result of a calibrator for one block before training."""

EPS = 1e-6
"""Tokens shorter than this are divided by it, instead of by their length, in `normalise`."""

LOSSES: dict[str, BlockLoss] = {}
CALIBRATORS: dict[str, type] = {}
"""The losses that need calibration, and their calibrators."""


class LossParts(NamedTuple):
    """`total` is the sum of `parts`, which are weighted already, all scalars. Keys are
    "block0/low": the place in the list of maps, and "low", "high", "all" or a baseline's own."""

    total: Tensor
    parts: dict[str, Tensor]


def register(name: str, calibrator: type | None = None) -> Callable[[BlockLoss], BlockLoss]:
    """Decorator: make `f(student, teacher, *, option=default, ...) -> {part: scalar}` the loss
    `name`. Both maps are (N, C, h, w), float32 or float64, and the teacher's needs no gradient. One
    with a parameter `anchor` gets the untrained student's map of the same images there.

    `calibrator(**options)` sees the training pairs of one block by `update(student, teacher)`, with
    a third parameter `mismatched` also the student's maps of other pictures, one beside each pair;
    what its `statistics()` returns the loss gets as `statistics=`."""

    def add(function: BlockLoss) -> BlockLoss:
        LOSSES[name] = function
        if calibrator:
            CALIBRATORS[name] = calibrator
        return function

    return add


def loss_name(name: str) -> str:
    """Today's name of a loss: older sweep files say `code`, `eq`. `UserError` if unknown."""
    name = OLD_NAMES.get(name, name)
    check_known("loss", LOSSES, name)
    return name


def needs_anchors(name: str) -> bool:
    """Whether the loss `name` compares with the untrained student's maps of the same images."""
    return "anchor" in inspect.signature(LOSSES[loss_name(name)]).parameters


def needs_mismatched(name: str) -> bool:
    """Whether the calibration of the loss `name` looks at mismatched pairs too."""
    calibrator = CALIBRATORS.get(loss_name(name))
    return bool(calibrator) and "mismatched" in inspect.signature(calibrator.update).parameters


def normalise(x: Tensor) -> Tensor:
    """x (N, C, h, w) minus each channel's mean over space, then each token to L2 norm 1 over
    channels (stage 1 of FreqKD); in a loss built with mean="kept" the mean stays."""
    x = centred(x)
    return x * x.square().sum(1, keepdim=True).clamp_min(EPS**2).rsqrt()


def weighted_mse(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """MSE of two maps (N, C, h, w) after `normalise` with a weight (h, w) at each frequency, FFT
    order: the mean of weight |S - T|^2, a scalar."""
    power = power_spectrum(normalise(student) - normalise(teacher))
    return (power * weight.to(power)).mean()


def positive(name: str, value: float) -> float:
    """The value of an option, or a `UserError` where it is 0 or less."""
    if value <= 0:
        raise UserError(f"{name}={value!r} can't be used: give a number above 0.")
    return value


@register("mse")
def mse(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """Plain normalised MSE, the same weight at all frequencies: FreqKD's stage 1 without its bands
    (arXiv 2606.11572). Times C it is twice the cosine loss."""
    return {"all": mse_loss(normalise(student), normalise(teacher))}


@register("cosine")
def cosine(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    """1 - cosine over channels of each token after `normalise`, mean over tokens: a baseline of
    FreqKD's own table (arXiv 2606.11572)."""
    return {"all": 1 - (normalise(student) * normalise(teacher)).sum(1).mean()}


def build_loss(
    name: str,
    *,
    statistics: Sequence[Statistics] | None = None,
    mean: str = "removed",
    mean_weight: float = 1.0,
    **options: float | str,
) -> Callable[..., LossParts]:
    """The loss `name` as `f(students, teachers) -> LossParts` on lists of (N, C, h, w) maps.

    `statistics`: what `calibrate` returned, for the losses of `CALIBRATORS`; `mean`, `mean_weight`:
    see `losses.mean`; `options`: the loss's own. If `needs_anchors(name)`, it is called
    as `f(students, teachers, anchors)` with the untrained student's maps. Maps are taken to float32
    (float64 stays), under autocast too; no gradient reaches teachers and anchors. `UserError` for
    an unknown name or option, a value out of range, or maps that don't fit each other.
    """
    name = loss_name(name)
    check_options(name, options | {"mean": mean, "mean_weight": mean_weight})
    loss, anchored, calibrated = LOSSES[name], needs_anchors(name), name in CALIBRATORS
    blocks = None if statistics is None else len(statistics)
    if calibrated != (statistics is not None):
        need = f"needs calibration: give statistics=calibrate({name!r}, batches)."
        no_need = "needs no calibration: leave out statistics."
        raise UserError(f"The loss {name!r} {need if calibrated else no_need}")

    def of_lists(students: Maps, teachers: Maps, anchors: Maps | None = None) -> LossParts:
        if anchored != (anchors is not None):
            need = "needs" if anchored else "takes no"
            raise UserError(f"The loss {name!r} {need} anchors, maps of the untrained student.")
        others = {"teacher": teachers} | ({"anchor": anchors} if anchors is not None else {})
        _check_maps({"student": students} | others, blocks)
        parts = {}
        for i, student in enumerate(map(at_least_float32, students)):
            given = {whose: maps[i].detach().to(student.dtype) for whose, maps in others.items()}
            teacher = given.pop("teacher")
            measured = {} if statistics is None else {"statistics": statistics[i]}
            with torch.autocast(student.device.type, enabled=False), treating(mean):
                found = loss(student, teacher, **given, **measured, **options)
                if mean == "matched":
                    found["mean"] = mean_weight * mse_of_means(student, teacher)
            parts |= {f"block{i}/{part}": value for part, value in found.items()}
        return LossParts(torch.stack(list(parts.values())).sum(), parts)

    zeros = [torch.zeros(1, 1, 16, 16)] * (1 if blocks is None else blocks)
    of_lists(*[zeros] * (2 + anchored))  # a bad option raises here
    return of_lists


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """`UserError` for an unknown loss, an option it does not take, or a number out of range."""
    known = list(inspect.signature(LOSSES[loss_name(name)]).parameters.values())[2:]
    defaults = {p.name: p.default for p in known if p.name not in ("statistics", "anchor")}
    defaults |= DEFAULTS
    mean = options.get("mean", "removed")
    check_known("treatment of the mean", MEANS, mean)
    if options.get("mean_weight", 1.0) != 1 and mean != "matched":
        raise UserError(f"mean={mean!r} has no weight: leave out mean_weight, or take 'matched'.")
    check_known(f"option of the loss {name!r}", defaults, *options)
    for option, value in options.items():
        number = isinstance(value, Real) and not isinstance(value, bool)
        if isinstance(defaults[option], float) and not (number and 0 <= float(value) < math.inf):
            raise UserError(f"{option}={value!r} can't be used: give a finite number, 0 or more.")


def _check_maps(lists: Mapping[str, Maps], calibrated: int | None) -> None:
    """`UserError` unless each list has one map (N, C, h, w) per block, all of a block alike."""
    counts = [len(maps) for maps in lists.values()]
    if len(set(counts)) > 1 or not counts[0]:
        raise UserError(f"{counts} maps of {', '.join(lists)}: give one of each per block.")
    for i, maps in enumerate(zip(*lists.values(), strict=True)):
        shapes = [tuple(each.shape) for each in maps]
        if len(set(shapes)) > 1 or len(shapes[0]) != 4 or not shapes[0][0]:
            raise UserError(
                f"Block {i}: the maps of {', '.join(lists)} are {shapes}: resize and project them "
                "to the same (N, C, h, w), of one image or more."
            )
    if calibrated not in (None, counts[0]):
        blocks = f"{calibrated} blocks, not {counts[0]}"
        raise UserError(f"The loss was calibrated with {blocks}: use the same.")


@torch.no_grad()
def calibrate(name: str, batches: Iterable[Sequence[Maps]], **options: Any) -> list[Statistics]:
    """The `Statistics` that the loss `name` needs, one per block, by one pass over training pairs.

    `batches` yields (students, teachers), lists of (N, C, h, w) maps by block, of the untrained
    student on infrared and the teacher on RGB; if `needs_mismatched(name)` it may yield a third
    list, of the untrained student on the infrared pictures of other pairs. `options` are the
    loss's own. Sums or samples are held, not maps. `UserError` for a loss that needs no
    calibration, or no batch.
    """
    name = loss_name(name)
    check_options(name, options)
    if name not in CALIBRATORS:
        raise UserError(f"The loss {name!r} needs no calibration: build it as it is.")
    own = {key: value for key, value in options.items() if key not in DEFAULTS}
    calibrators: list = []
    for lists in batches:
        if not calibrators:
            calibrators = [CALIBRATORS[name](**own) for _ in lists[0]]
        if len(lists) > 2 and not needs_mismatched(name):
            raise UserError(f"The loss {name!r} needs no mismatched pairs: yield two lists.")
        named = zip(("student", "teacher", "mismatched"), lists, strict=False)
        _check_maps(dict(named), len(calibrators))
        with treating(options.get("mean", "removed")):
            for calibrator, *maps in zip(calibrators, *lists, strict=True):
                calibrator.update(*map(at_least_float32, maps))
    if not calibrators:
        raise UserError(f"The loss {name!r} was calibrated on no pairs: give one batch or more.")
    return [calibrator.statistics() for calibrator in calibrators]


def pack_statistics(statistics: Sequence[Statistics]) -> bytes:
    """What `calibrate` returned as the content of a small safetensors file."""
    tensors = {}
    for i, of_block in enumerate(statistics):
        tensors |= {f"block{i}/{key}": value.contiguous() for key, value in of_block.items()}
    return save(tensors)


def load_statistics(path: str | Path) -> list[Statistics]:
    """What `pack_statistics` packed. `UserError` for a file that is missing or damaged."""
    try:
        stored = load_file(path)
        statistics: list[Statistics] = [{} for _ in {name.split("/")[0] for name in stored}]
        for name, value in stored.items():
            block, key = name.split("/")
            statistics[int(block.removeprefix("block"))][key] = value
    except (SafetensorError, OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} holds no statistics of a loss: calibrate it again.") from error
    return statistics
