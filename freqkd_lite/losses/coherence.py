"""This project's losses: each frequency counts as much as an infrared student can learn there.

Before training, one pass over the pairs measures how much of the teacher's RGB feature the
untrained student's infrared one predicts, by ring of rho (`Predictability`); `notebooks/
10_coherence_weight` derives the weights. What is kept are curves over rho, which fit any grid.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.losses.base import State, normalise, register, weighted_mse
from freqkd_lite.losses.filters import kept_form
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.coherence import CrossSpectrum

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Penalties of the map across channels, in units of the student's mean power: the best is taken."""


def ridge_map(ss: Tensor, ts: Tensor, ridge: float) -> Tensor:
    """B (C, C) that comes nearest to T ~ B S by least squares, kept short by a penalty of `ridge`
    times the mean of ss' diagonal: from the sums over tokens ss of s s^T and ts of t s^T, (C, C)
    each, float64."""
    penalty = max(ridge * float(ss.trace()) / len(ss), 1e-12)
    return torch.linalg.solve(ss + penalty * torch.eye(len(ss)).to(ss), ts, left=False)


class Predictability:
    """Prepares `coherence` and `anchor`. Its state holds curves, (1 + rings,) each, whose first
    point is the zero frequency and whose other ones are the rings of `RINGS` that have bins:

    rho: mean radius. coherence: magnitude-squared coherence of the normalised maps, averaged over
    images before it is squared, corrected for bias. shuffled: the same with each teacher beside a
    `stranger`, the student's map of another picture; where none are given, beside that of the image
    before (the first one beside the last of its batch). power: the teacher's mean |T|^2 per image,
    channel and bin. With variant="predicted" also predicted: the share of the teacher's power that
    a linear map across channels (ridge) predicts, fitted on every other batch and scored on the
    rest.
    """

    def __init__(self, variant: str = "plain", **others: float):
        if variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        self.pairs = self.shuffled = self.last = None
        self.across = _Across() if variant == "predicted" else None

    def update(self, student: Tensor, teacher: Tensor, stranger: Tensor | None = None) -> None:
        student, teacher = normalise(student), normalise(teacher)
        if self.pairs is None:
            self.pairs, self.shuffled = (CrossSpectrum.empty(*teacher.shape[1:]) for _ in range(2))
        self.pairs.update(teacher, student)
        if stranger is not None:
            self.shuffled.update(teacher, normalise(stranger))
        elif len(student) > 1 or self.last is not None:  # else it would be its own stranger
            before = student[-1:] if self.last is None else self.last
            self.shuffled.update(teacher, torch.cat([before, student[:-1]]))
        self.last = student[-1:].clone()
        if self.across:
            self.across.update(student, teacher)

    def state(self) -> State:
        if min(self.pairs.images, self.shuffled.images) < 2:
            raise UserError("So few pairs tell nothing of coherence: prepare the loss on more.")
        h, w = self.pairs.sums.shape[2], self.pairs.width
        rings = ring_masks(h, w, RINGS)
        filled = torch.tensor([bool(ring.any()) for ring in rings])

        def curve(at_zero: Tensor, of_rings: list[Tensor] | Tensor) -> Tensor:
            values = torch.as_tensor([float(v) for v in of_rings])[filled]
            return torch.cat([torch.as_tensor(float(at_zero))[None], values]).nan_to_num()

        rho, power = radius(h, w), self.pairs.power()
        state = {"rho": curve(0.0, [rho[ring].mean() for ring in rings]),
                 "power": curve(power[0, 0], [power[ring].mean() for ring in rings])}  # fmt: skip
        for name, of in (("coherence", self.pairs), ("shuffled", self.shuffled)):
            state[name] = curve(of.map()[0, 0], of.against_rho())
        if self.across:
            state["predicted"] = curve(*self.across.shares())
        return state


class _Across:
    """Sums for a linear map from all of the student's channels to each of the teacher's, ring by
    ring: of s s^T, t s^T and |t|^2, over every other batch and over the rest."""

    def __init__(self) -> None:
        self.sums: list[list] = [[], []]
        self.batches = 0

    def update(self, student: Tensor, teacher: Tensor) -> None:
        h, w = student.shape[-2:]
        half = slice(0, w // 2 + 1)
        rings = [radius(h, w) == 0, *ring_masks(h, w, RINGS)]
        spectra = [torch.fft.rfft2(x, norm="ortho").movedim(1, 0) for x in (student, teacher)]
        twice = torch.ones(h, w // 2 + 1)
        twice[:, 1 : (w + 1) // 2] = 2  # half a spectrum holds each of these for two
        found = []
        for ring in rings:
            keep = ring[:, half].to(student.device)
            weight = twice.to(student)[keep].sqrt()
            s, t = (torch.view_as_real(x[..., keep] * weight).flatten(1) for x in spectra)
            found.append([(s @ s.T).double(), (t @ s.T).double(), t.square().sum().double()])
        sums = self.sums[self.batches % 2]
        if sums:
            found = [[a + b for a, b in zip(*both, strict=True)]
                     for both in zip(sums, found, strict=True)]  # fmt: skip
        self.sums[self.batches % 2] = found
        self.batches += 1

    def shares(self) -> tuple[Tensor, list[Tensor]]:
        """(at the zero frequency, of each ring): 1 - |t - B s|^2 / |t|^2 on what B, a ridge map,
        was not fitted on, with the best of `RIDGES`; 0 where even that says nothing."""
        if self.batches < 2:
            raise UserError("variant='predicted' needs two batches: one to fit, one to score.")
        shares = []
        for (fit_ss, fit_ts, _), (ss, ts, tt) in zip(*self.sums, strict=True):
            best = torch.zeros((), dtype=torch.float64)
            for ridge in RIDGES:
                across = ridge_map(fit_ss, fit_ts, ridge)
                error = tt - 2 * (across * ts).sum() + ((across @ ss) * across).sum()
                best = torch.maximum(best, (1 - error / tt).nan_to_num().cpu())
            shares.append(best)
        return shares[0], shares[1:]


# -------------------------------------------------------------------------------------- the weights


def _root(state: State) -> Tensor:
    return state["coherence"].clamp(0, 1).sqrt()


def _above(state: State) -> Tensor:
    shuffled = state["shuffled"].clamp(0, 0.99)
    return (state["coherence"] - shuffled) / (1 - shuffled)


def _gls(state: State) -> Tensor:
    missed = (1 - state["coherence"].clamp(0, 0.99)) * state["power"]
    return 1 / missed.clamp_min(1e-6 * float(missed.max()))


VARIANTS = {
    "plain": lambda state: state["coherence"],
    "root": _root,
    "above": _above,
    "gls": _gls,
    "predicted": lambda state: state["predicted"],
}
"""Weight over the points of a state's curves by name: the coherence; its square root; coherence
above what shuffled pairs share, (c - s) / (1 - s); generalised least squares' weight, the inverse
of the power that cannot be predicted, (1 - c) |T|^2; and the share that a map across channels
predicts. Below 0 counts as 0."""


def weight_curve(state: State, variant: str = "plain") -> Tensor:
    """The variant's weight (points,) over `state["rho"]`. `UserError` for an unknown variant, one
    that was not measured, and weights that are 0 everywhere."""
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    if variant == "predicted" and "predicted" not in state:
        raise UserError("variant='predicted' was not measured: prepare with that variant.")
    weight = VARIANTS[variant](state).clamp_min(0)
    if not weight.any():
        raise UserError(f"variant={variant!r} is 0 at all frequencies: do the pairs belong "
                        "together, and are there enough of them?")  # fmt: skip
    return weight


def on_grid(state: State, curve: Tensor, h: int, w: int) -> Tensor:
    """A curve over `state["rho"]` on the bins of a grid (h, w), float64, FFT order: straight lines
    between its points, constant beyond the last."""
    at, curve = (x.detach().cpu().double().numpy() for x in (state["rho"], curve))
    return torch.from_numpy(np.interp(radius(h, w).numpy(), at, curve))


# --------------------------------------------------------------------------------------- the losses


@register("coherence", prepare=Predictability)
def coherence(student: Tensor, teacher: Tensor, *, state: State, variant: str = "plain",
              level: str = "mse") -> dict[str, Tensor]:  # fmt: skip
    """Normalised MSE with a weight at each frequency, one of `VARIANTS` measured before training
    (this project's). By default the weights are scaled so that a student that gives nothing pays as
    much as under `mse`: blocks keep the relative weights they have there. `level="measured"` leaves
    them as they are: a block that can be predicted less counts less."""
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    form = kept_form(LEVELS[level], student, _hashable(state), variant)
    return {"all": weighted_mse(student, teacher, form)}


Curves = tuple[tuple[str, tuple[float, ...]], ...]


def _hashable(state: State) -> Curves:
    if not {"rho", "coherence", "shuffled", "power"} <= state.keys():
        raise UserError(f"states holds {', '.join(sorted(state)) or 'nothing'}, which tells no "
                        "weight: give what prepare('coherence', ...) returned.")  # fmt: skip
    return tuple((name, tuple(curve.tolist())) for name, curve in state.items())


def _state(curves: Curves) -> State:
    return {name: torch.tensor(curve, dtype=torch.float64) for name, curve in curves}


def _fair(h: int, w: int, curves: Curves, variant: str) -> Tensor:
    """The variant's weight on a grid, scaled as `coherence` says."""
    state = _state(curves)
    weight, power = (on_grid(state, curve, h, w)
                     for curve in (weight_curve(state, variant), state["power"]))  # fmt: skip
    felt = (weight * power).sum()
    if not felt > 0:
        raise UserError(f"variant={variant!r} weighs only frequencies at which the teacher has no "
                        f"power on {h} x {w} tokens: prepare the loss on this grid.")  # fmt: skip
    return weight * (power.sum() / felt)


def _measured(h: int, w: int, curves: Curves, variant: str) -> Tensor:
    """The variant's weight on a grid."""
    state = _state(curves)
    return on_grid(state, weight_curve(state, variant), h, w)


LEVELS = {"mse": _fair, "measured": _measured}
"""How large the weights of a block are: that a student that gives nothing pays what it pays under
`mse`, or as they were measured."""


@register("anchor", prepare=Predictability, by_image=True)
def anchor(student: Tensor, teacher: Tensor, *, state: State, anchor: Tensor,
           variant: str = "plain") -> dict[str, Tensor]:  # fmt: skip
    """|S - (w T + (1 - w) S0)|^2 with S0 the untrained student's own map of the same image and w a
    weight of `VARIANTS` at each frequency, at most 1 (this project's): where the teacher can't be
    followed the student keeps what it has, where MSE would pull it to zero."""
    if variant == "gls":
        raise UserError("variant='gls' is no share between 0 and 1: anchor takes another one.")
    start = normalise(anchor)
    _, pull = kept_form(_share, student, _hashable(state), variant)(normalise(teacher) - start)
    return {"all": mse_loss(normalise(student), start + pull)}


def _share(h: int, w: int, curves: Curves, variant: str) -> Tensor:
    """The variant's weight on a grid, at most 1."""
    return _measured(h, w, curves, variant).clamp(0, 1)
