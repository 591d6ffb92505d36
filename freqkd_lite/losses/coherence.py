"""This project's losses: each frequency counts as much as an infrared student can learn there.

Before training, one pass over the pairs measures how much of the teacher's RGB features the
untrained student's infrared ones predict, by ring of rho (`Predictability`); `notebooks/
10_coherence_weight` derives the weights. What is stored are curves over rho, which fit any grid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.losses.base import Statistics, normalise, register, weighted_mse
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.bands import grid_of
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

    pairs: CrossSpectrum  # begun at the first update, when the maps' size is known
    mismatched: CrossSpectrum

    def __init__(self, variant: str = "plain", **others: float):
        check_known("variant", VARIANTS, variant)
        self.last: Tensor | None = None
        self.across = _Across() if variant == "predicted" else None

    def update(self, student: Tensor, teacher: Tensor, mismatched: Tensor | None = None) -> None:
        student, teacher = normalise(student), normalise(teacher)
        if self.last is None:
            c, h, w = teacher.shape[1:]
            self.pairs, self.mismatched = (CrossSpectrum.empty(c, h, w) for _ in "ab")
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
        rings, rho, power = _rings(h, w), radius(h, w), self.pairs.power()
        found = {"rho": [rho[ring].mean() for ring in rings]}
        found["power"] = [power[ring].mean() for ring in rings]
        for name, of in (("coherence", self.pairs), ("mismatched", self.mismatched)):
            found[name] = [of.map()[0, 0], *of.against_rho()]
        if self.across:
            found["predicted"] = self.across.shares()
        has_bins = torch.tensor([bool(ring.any()) for ring in rings])
        return {
            name: torch.tensor(list(map(float, values)))[has_bins].nan_to_num()
            for name, values in found.items()
        }


def _rings(h: int, w: int) -> list[Tensor]:
    """The bins (h, w) of each point of the curves: the zero frequency, and `RINGS`."""
    return [radius(h, w) == 0, *ring_masks(h, w, RINGS)]


class _Across:
    """Sums for a linear map from all of the student's channels to each of the teacher's, ring by
    ring: of s s^T, t s^T and |t|^2, over every other batch and over the rest."""

    def __init__(self) -> None:
        self.sums: dict[tuple[int, int, str], Tensor] = {}
        self.batches = self.rings = 0

    def update(self, student: Tensor, teacher: Tensor) -> None:
        half, rings = self.batches % 2, _rings(*grid_of(student))
        maps = [torch.fft.fft2(x, norm="ortho").movedim(1, 0) for x in (student, teacher)]
        maps = [torch.view_as_real(x) for x in maps]
        for i, ring in enumerate(rings):
            s, t = (x[:, :, ring.to(x.device)].flatten(1) for x in maps)
            for name, more in (("ss", s @ s.T), ("ts", t @ s.T), ("tt", t.square().sum())):
                self.sums[half, i, name] = self.sums.get((half, i, name), 0) + more.double()
        self.batches, self.rings = self.batches + 1, len(rings)

    def shares(self) -> list[Tensor]:
        """Of each ring: 1 - |t - B s|^2 / |t|^2 on what B, a ridge map, was not fitted on, with the
        best of `RIDGES`; 0 where even that predicts nothing."""
        if self.batches < 2:
            raise UserError("variant='predicted' needs two batches: one to fit, one to score.")
        shares = []
        for i in range(self.rings):
            ss, ts, tt = (self.sums[1, i, name] for name in ("ss", "ts", "tt"))
            best = torch.zeros(()).to(tt)
            for ridge in RIDGES:
                across = ridge_map(self.sums[0, i, "ss"], self.sums[0, i, "ts"], ridge)
                error = tt - 2 * (across * ts).sum() + ((across @ ss) * across).sum()
                best = torch.maximum(best, (1 - error / tt).nan_to_num())
            shares.append(best)
        return shares


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


def weight_curve(statistics: Statistics, variant: str = "plain") -> Tensor:
    """The variant's weight (points,) over `statistics["rho"]`. `UserError` for an unknown variant,
    one that was not measured, and weights that are 0 everywhere."""
    check_known("variant", VARIANTS, variant)
    try:
        exact = {name: curve.double() for name, curve in statistics.items()}
        weight = VARIANTS[variant](exact).clamp_min(0)
    except KeyError as error:
        raise UserError(
            f"statistics holds {', '.join(sorted(statistics)) or 'nothing'}, too little for "
            f"variant={variant!r}: give what calibrate returned with that variant."
        ) from error
    if not weight.any():
        raise UserError(
            f"variant={variant!r} is 0 at all frequencies: do the pairs belong together, and are "
            "there enough of them?"
        )
    return weight


def on_grid(statistics: Statistics, curve: Tensor, h: int, w: int) -> Tensor:
    """A curve over `statistics["rho"]` on the bins of a grid (h, w), float64, FFT order: straight
    lines between its points, constant beyond the last."""
    at, values = (x.detach().cpu().double().numpy() for x in (statistics["rho"], curve))
    return torch.from_numpy(np.interp(radius(h, w).numpy(), at, values))


def weights_of(block: Statistics, h: int, w: int, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The three weights of a block at each bin (h, w), each with largest value 1: the measured
    coherence, the inverse of the unpredictable power, and FreqKD's step from 1 to 0.1."""
    found = {
        "coherence": on_grid(block, weight_curve(block), h, w),
        "gls": on_grid(block, weight_curve(block, "gls"), h, w),
        "step": torch.where(radius(h, w) <= cutoff, 1.0, 0.1).double(),
    }
    return {name: weight / weight.max() for name, weight in found.items()}


def high_shares(
    statistics: Sequence[Statistics], h: int, w: int, cutoff: float = 0.5
) -> dict[str, float]:
    """The share of the cost beyond the cutoff for a student whose features are 0, under each weight
    and under plain MSE ("mse"); the mean over blocks."""
    high, found = radius(h, w) > cutoff, defaultdict(list)
    for block in statistics:
        power = on_grid(block, block["power"], h, w)
        weights = weights_of(block, h, w, cutoff) | {"mse": torch.ones_like(power)}
        for name, weight in weights.items():
            cost = weight * power
            found[name].append(float(cost[high].sum() / cost.sum()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _at_level_of_mse(statistics: Statistics, weight: Tensor) -> Tensor:
    """The weight of a grid, scaled so that its mean over the teacher's power is 1."""
    power = on_grid(statistics, statistics["power"], *weight.shape)
    felt = (weight * power).sum()
    if not felt > 0:
        h, w = weight.shape
        raise UserError(
            f"The weights are 0 wherever the teacher has power on {h} x {w} tokens: calibrate the "
            "loss on this grid."
        )
    return power.sum() / felt * weight


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
    check_known("level", ("mse", "measured"), level)
    weight = on_grid(statistics, weight_curve(statistics, variant), *grid_of(student))
    weight = _at_level_of_mse(statistics, weight) if level == "mse" else weight
    return {"all": weighted_mse(student, teacher, weight)}


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
    weight = on_grid(statistics, weight_curve(statistics, variant), *grid_of(student))
    start = normalise(anchor)
    spectrum = torch.fft.fft2(normalise(teacher) - start)
    pull = torch.fft.ifft2(weight.clamp(0, 1).to(start) * spectrum).real
    return {"all": mse_loss(normalise(student), start + pull)}
