"""How long each loss takes, forward and backward, beside the straightforward way of writing it.

Straightforward: a complex FFT of student and teacher, a mask, an inverse of every band, then the
formula as it reads. A loss, its straightforward way and plain MSE take turns, and a ratio is the
median over rounds of the ratios within a round (`turns`), with their quartiles; beside each stands
by how much value and gradient differ from the straightforward ones.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.bench.turns import quartiles, ratio, take_turns
from freqkd_lite.losses import CALIBRATORS, Statistics, build_loss, calibrate
from freqkd_lite.losses.coherence import on_grid
from freqkd_lite.spectrum import band_mask, centred_rectangle, radius

SHAPES = ((8, 384, 32, 40), (8, 1024, 37, 46))
LINEAR = ("step", "lowpass", "coherence", "low_only", "freqkd_paper")
ELEMENTWISE = ("freqkd_code", "signed", "robust")
TOLERANCE = 1e-5
"""The largest relative difference from the straightforward way that is equality in float32."""


def plain_normalise(x: Tensor) -> Tensor:
    """`losses.normalise` as its sentence reads."""
    x = x - x.mean((2, 3), keepdim=True)
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-6)


def filtered(x: Tensor, *gains: Tensor) -> list[Tensor]:
    """Maps by complex transforms, once through each of `gains` (h, w), FFT order."""
    spectrum = torch.fft.fft2(x, norm="ortho")
    return [torch.fft.ifft2(spectrum * gain.to(x), norm="ortho").real for gain in gains]


def weighted_mse(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """MSE of two maps after a filter by the root of a weight (h, w), FFT order."""
    root = weight.sqrt()
    (own,), (theirs,) = (filtered(plain_normalise(x), root) for x in (student, teacher))
    return mse_loss(own, theirs)


def straightforward(
    name: str, student: Tensor, teacher: Tensor, state: Statistics | None
) -> Tensor:
    """The loss `name` with its defaults, as its formula reads, on one block."""
    h, w = student.shape[-2:]
    if name == "lowpass":
        return weighted_mse(student, teacher, torch.exp2(-((radius(h, w) / 0.35) ** 2)))
    if name == "coherence":
        weight, power = (
            on_grid(state, state[key].clamp_min(0), h, w) for key in ("coherence", "power")
        )
        return weighted_mse(student, teacher, weight * power.sum() / (weight * power).sum())
    if name == "freqkd_paper":
        maps = [x / x.norm(dim=(2, 3), keepdim=True).clamp_min(1e-12) for x in (student, teacher)]
        mask = band_mask(h, w, 0.5 * math.sqrt(2), "disk")
    else:
        maps = [plain_normalise(x) for x in (student, teacher)]
        mask = band_mask(h, w, 0.5) if name == "step" else centred_rectangle(h, w, 0.5)
    if name == "low_only":
        (s_low,), (t_low,) = (filtered(x, mask) for x in maps)
        return mse_loss(s_low, t_low)
    (s_low, s_high), (t_low, t_high) = (filtered(x, mask, ~mask) for x in maps)
    if name == "freqkd_paper":
        # log(1 + x) as it reads would lose the fifth digit: channels of length 1 have a small MSE.
        high = torch.log1p(mse_loss(s_high, t_high))
    elif name == "robust":
        c = state["median"].to(student)
        high = (c**2 * torch.log1p(((s_high - t_high) / c) ** 2)).mean()
    elif name == "step":
        high = mse_loss(s_high, t_high)
    elif name == "signed":
        high = mse_loss(*(torch.sign(x) * torch.log(1 + x.abs()) for x in (s_high, t_high)))
    else:
        high = mse_loss(*(torch.log(1 + x.abs()) for x in (s_high, t_high)))
    return mse_loss(s_low, t_low) + 0.1 * high


def maps(shape: Sequence[int], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """A student's and a teacher's maps of noise that is stronger at low frequencies and partly
    shared, more so there: the spectra and the coherence of real features, roughly."""
    draw = torch.Generator().manual_seed(0)
    shared, own, other = (torch.randn(*shape, generator=draw) for _ in range(3))
    rho = radius(*shape[-2:])
    falling = (1 / (0.1 + rho)).float()
    together = torch.fft.ifft2(torch.fft.fft2(shared) * falling).real
    alone = (torch.fft.ifft2(torch.fft.fft2(x) * falling.sqrt()).real for x in (own, other))
    student, teacher = (together + x for x in alone)
    return student.to(device).requires_grad_(), teacher.to(device)


def losses(
    names: Sequence[str] = LINEAR + ELEMENTWISE,
    shapes: Sequence[Sequence[int]] = SHAPES,
    repeats: int = 5,
    visits: int = 3,
    device: str = "cpu",
) -> dict:
    """{"rows": [{"shape", "loss", "kind", "ms", "straight_ms", "mse_ms", "faster",
    "faster_quartiles", "of_mse", "of_mse_quartiles", "error"}, ...]}: medians of `visits` times
    `repeats` rounds. From visit to visit all other rows are measured, for a machine may be another
    for half a minute; a visit's first round is not counted.

    faster: the straightforward way's time over this one's. of_mse: its time over that of plain
    normalised MSE. Both are medians of the ratios within a round, and their quartiles [first,
    third] tell how far those spread. error: the largest of the relative differences of value and
    gradient, the latter by sums of magnitudes.
    """
    rows: dict[tuple, list[Visit]] = {}
    for _ in range(visits):
        for shape in map(tuple, shapes):
            student, teacher = maps(shape, device)
            for name in names:
                found = _visit(name, student, teacher, repeats)
                rows.setdefault((shape, name), []).append(found)
    return {"schema": "freqkd-bench/1", "what": "loss", "device": device, "repeats": repeats,
            "visits": visits, "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "rows": [_row(*of, found) for of, found in rows.items()]}  # fmt: skip


Visit = tuple[dict[str, list[float]], float]  # seconds by round of "mse", "mine", "straight"; error


def _visit(name: str, student: Tensor, teacher: Tensor, repeats: int) -> Visit:
    """One loss, its straightforward way and MSE by turns. They have the memory to themselves, as a
    loss has in training: beside the gradients of ten others, kept to be compared, the allocator
    gives pages back or keeps them as it happens, which moved times by a third."""
    states = calibrate(name, [([student], [teacher])]) if name in CALIBRATORS else None
    steps = {
        run: _step(call, student)
        for run, call in {
            "mse": _built("mse", student, teacher, None),
            "mine": _built(name, student, teacher, states),
            "straight": _straight(name, student, teacher, states),
        }.items()
    }
    error = _error(steps["mine"], steps["straight"], student)
    return take_turns(steps, repeats, student.device)[1], error


def _row(shape: tuple[int, ...], name: str, visits: list[Visit]) -> dict:
    mse, mine, straight = ([seconds for took, _ in visits for seconds in took[run]]
                           for run in ("mse", "mine", "straight"))  # fmt: skip
    return {
        "shape": list(shape), "loss": name,
        "kind": "linear" if name in LINEAR else "elementwise",
        **{key: round(1e3 * median(seconds), 2)
           for key, seconds in (("ms", mine), ("straight_ms", straight), ("mse_ms", mse))},
        "faster": round(ratio(straight, mine), 2),
        "faster_quartiles": [round(value, 2) for value in quartiles(straight, mine)],
        "of_mse": round(ratio(mine, mse), 2),
        "of_mse_quartiles": [round(value, 2) for value in quartiles(mine, mse)],
        "error": float(np.max([error for _, error in visits])),  # NaN if one is
    }  # fmt: skip


def _error(mine: Callable[[], Tensor], straight: Callable[[], Tensor], student: Tensor) -> float:
    """The larger of the relative differences of value and gradient."""
    value, gradient = mine().item(), student.grad
    expected, other = straight().item(), student.grad
    # By sums of magnitudes: of ten million elements a few lie on the kink of |x|, and fall to
    # either side of it by rounding alone.
    off = (gradient - other).abs().sum() / other.abs().sum()
    return float(np.max([relative(value, expected), off.item()]))  # NaN if one is


def relative(value: float, expected: float) -> float:
    """How far a value is from the expected one, as a share of that, unless that is 0."""
    return abs(value - expected) / (abs(expected) or 1)


def _built(
    name: str, student: Tensor, teacher: Tensor, states: list[Statistics] | None
) -> Callable:
    loss = build_loss(name, statistics=states)
    return lambda: loss([student], [teacher]).total


def _straight(
    name: str, student: Tensor, teacher: Tensor, states: list[Statistics] | None
) -> Callable:
    return lambda: straightforward(name, student, teacher, states[0] if states else None)


def _step(call: Callable[[], Tensor], student: Tensor) -> Callable[[], Tensor]:
    def take() -> Tensor:
        student.grad = None
        value = call()
        value.backward()
        return value

    return take
