"""This project's losses: each frequency counts as much as an infrared student can learn there.

Before training, one pass over the pairs measures how much of the teacher's RGB features the
untrained student's infrared ones predict, by ring of rho (`Predictability`); `notebooks/
10_coherence_weight` derives the weights. What is stored are curves over rho, which fit any grid.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.losses.base import Statistics, normalise, register, waves, weighted_mse
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.coherence import CrossSpectrum

RIDGES = (0.01, 0.1, 1.0, 10.0)
"""Penalties of the map across channels, in units of the student's mean power: the best is taken."""


def ridge_map(ss: Tensor, ts: Tensor, ridge: float) -> Tensor:
    """B (C, C) that comes nearest to T ~ B S by least squares with a penalty of `ridge` times the
    mean of ss' diagonal: from the sums over tokens ss of s s^T and ts of t s^T, (C, C) each,
    float64."""
    penalty = max(ridge * float(ss.trace()) / len(ss), 1e-12)
    return torch.linalg.solve(ss + penalty * torch.eye(len(ss)).to(ss), ts, left=False)


class Predictability:
    """Calibrates `coherence` and `anchor`. Its statistics are curves, (1 + rings,) each, whose
    first point is the zero frequency and whose others are the rings of `RINGS` that have bins:

    rho: mean radius. coherence: magnitude-squared coherence of the normalised maps, averaged over
    images before it is squared, corrected for bias. mismatched: the same with each teacher beside
    the student's map of another picture, `mismatched`; where none are given, that of the image
    before (the first one beside the last of its batch). power: the teacher's mean |T|^2 per image,
    channel and bin. With variant="predicted" also predicted: the share of the teacher's power that
    a linear map across channels (ridge) predicts, fitted on every other batch and scored on the
    rest.
    """

    def __init__(self, variant: str = "plain", **others: float):
        if variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        self.pairs = self.mismatched = self.last = None
        self.across = _Across() if variant == "predicted" else None

    def update(self, student: Tensor, teacher: Tensor, mismatched: Tensor | None = None) -> None:
        student, teacher = normalise(student), normalise(teacher)
        if self.pairs is None:
            self.pairs, self.mismatched = (CrossSpectrum.empty(*teacher.shape[1:]) for _ in "ab")
        self.pairs.update(teacher, student)
        if mismatched is not None:
            self.mismatched.update(teacher, normalise(mismatched))
        elif len(student) > 1 or self.last is not None:  # else it would be its own partner
            before = student[-1:] if self.last is None else self.last
            self.mismatched.update(teacher, torch.cat([before, student[:-1]]))
        self.last = student[-1:].clone()
        if self.across:
            self.across.update(student, teacher)

    def statistics(self) -> Statistics:
        if min(self.pairs.images, self.mismatched.images) < 2:
            raise UserError("Coherence needs more pairs than these: calibrate on 3 or more.")
        h, w = self.pairs.sums.shape[2], self.pairs.width
        rings = [ring for ring in _rings(h, w) if ring.any()]
        filled = torch.tensor([bool(ring.any()) for ring in _rings(h, w)])
        rho, power = radius(h, w), self.pairs.power()
        found = {
            "rho": [rho[ring].mean() for ring in rings],
            "power": [power[ring].mean() for ring in rings],
        }
        for name, of in (("coherence", self.pairs), ("mismatched", self.mismatched)):
            found[name] = torch.cat([of.map()[:1, 0], of.against_rho()])[filled]
        if self.across:
            found["predicted"] = torch.stack(self.across.shares())[filled]
        return {
            name: torch.as_tensor(list(map(float, values))).nan_to_num()
            for name, values in found.items()
        }


def _rings(h: int, w: int) -> list[Tensor]:
    """The bins (h, w) of each point of the curves: the zero frequency, and `RINGS`."""
    return [radius(h, w) == 0, *ring_masks(h, w, RINGS)]


class _Across:
    """Sums for a linear map from all of the student's channels to each of the teacher's, ring by
    ring: of s s^T, t s^T and |t|^2, over every other batch and over the rest."""

    def __init__(self) -> None:
        self.sums: list[list] = [[], []]
        self.batches = 0

    def update(self, student: Tensor, teacher: Tensor) -> None:
        maps = [waves(x).movedim(1, 0) for x in (student, teacher)]
        found = []
        for ring in _rings(*student.shape[-2:]):
            s, t = (x[..., ring.to(x.device)].flatten(1) for x in maps)
            found.append([(s @ s.T).double(), (t @ s.T).double(), t.square().sum().double()])
        half = self.batches % 2
        before = self.sums[half] or [[0.0] * 3] * len(found)
        self.sums[half] = [
            [a + b for a, b in zip(*both, strict=True)] for both in zip(before, found, strict=True)
        ]
        self.batches += 1

    def shares(self) -> list[Tensor]:
        """Of each ring: 1 - |t - B s|^2 / |t|^2 on what B, a ridge map, was not fitted on, with the
        best of `RIDGES`; 0 where even that predicts nothing."""
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
        return shares


# -------------------------------------------------------------------------------------- the weights


def _above(statistics: Statistics) -> Tensor:
    mismatched = statistics["mismatched"].clamp(0, 0.99)
    return (statistics["coherence"] - mismatched) / (1 - mismatched)


def _gls(statistics: Statistics) -> Tensor:
    missed = (1 - statistics["coherence"].clamp(0, 0.99)) * statistics["power"]
    return 1 / missed.clamp_min(1e-6 * float(missed.max()))


VARIANTS = {
    "plain": lambda statistics: statistics["coherence"],
    "root": lambda statistics: statistics["coherence"].clamp(0, 1).sqrt(),
    "above": _above,
    "gls": _gls,
    "predicted": lambda statistics: statistics["predicted"],
}
"""Weight over the points of the curves by name: the coherence; its square root; coherence above
what mismatched pairs share, (c - m) / (1 - m); generalised least squares' weight, the inverse of
the power that cannot be predicted, (1 - c) |T|^2; and the share that a map across channels
predicts. Below 0 counts as 0."""

LEVELS = ("mse", "measured")


def weight_curve(statistics: Statistics, variant: str = "plain") -> Tensor:
    """The variant's weight (points,) over `statistics["rho"]`. `UserError` for an unknown variant,
    one that was not measured, and weights that are 0 everywhere."""
    if variant not in VARIANTS:
        raise unknown("variant", variant, VARIANTS)
    missing = {"rho", "coherence", "mismatched", "power"} - statistics.keys()
    if missing or (variant == "predicted" and "predicted" not in statistics):
        raise UserError(
            f"statistics holds {', '.join(sorted(statistics)) or 'nothing'}, too little for "
            f"variant={variant!r}: give what calibrate returned with that variant."
        )
    exact = {name: curve.double() for name, curve in statistics.items()}
    weight = VARIANTS[variant](exact).clamp_min(0)
    if not weight.any():
        raise UserError(
            f"variant={variant!r} is 0 at all frequencies: do the pairs belong together, and are "
            "there enough of them?"
        )
    return weight


def on_grid(statistics: Statistics, curve: Tensor, h: int, w: int) -> Tensor:
    """A curve over `statistics["rho"]` on the bins of a grid (h, w), float64, FFT order: straight
    lines between its points, constant beyond the last."""
    at, curve = (x.detach().cpu().double().numpy() for x in (statistics["rho"], curve))
    return torch.from_numpy(np.interp(radius(h, w).numpy(), at, curve))


# --------------------------------------------------------------------------------------- the losses


@register("coherence", calibrator=Predictability)
def coherence(
    student: Tensor,
    teacher: Tensor,
    *,
    statistics: Statistics,
    variant: str = "plain",
    level: str = "mse",
) -> dict[str, Tensor]:
    """Normalised MSE with a weight at each frequency, one of `VARIANTS` measured before training
    (this project's). By default the weights are scaled so that a student that gives nothing pays as
    much as under `mse`: blocks keep the relative weights they have there. `level="measured"` leaves
    them as they are: a block that can be predicted less counts less."""
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    weight = on_grid(statistics, weight_curve(statistics, variant), *student.shape[-2:])
    if level == "mse":
        weight = weight * _scale(statistics, weight)
    return {"all": weighted_mse(student, teacher, weight)}


def _scale(statistics: Statistics, weight: Tensor) -> Tensor:
    """What makes a student that gives nothing pay as much under `weight` (h, w) as under `mse`."""
    h, w = weight.shape
    power = on_grid(statistics, statistics["power"], h, w)
    felt = (weight * power).sum()
    if not felt > 0:
        raise UserError(
            f"The weights are 0 wherever the teacher has power on {h} x {w} tokens: calibrate the "
            "loss on this grid."
        )
    return power.sum() / felt


@register("anchor", calibrator=Predictability)
def anchor(
    student: Tensor,
    teacher: Tensor,
    *,
    statistics: Statistics,
    anchor: Tensor,
    variant: str = "plain",
) -> dict[str, Tensor]:
    """|S - (w T + (1 - w) S0)|^2 with S0 the untrained student's own map of the same image and w a
    weight of `VARIANTS` at each frequency, at most 1 (this project's): where the teacher can't be
    followed the student keeps what it has, where MSE would pull it to zero."""
    if variant == "gls":
        raise UserError("variant='gls' is no share between 0 and 1: anchor takes another one.")
    weight = on_grid(statistics, weight_curve(statistics, variant), *student.shape[-2:])
    start = normalise(anchor)
    pull = waves(weight.clamp(0, 1).to(start) * waves(normalise(teacher) - start))
    return {"all": mse_loss(normalise(student), start + pull)}
