"""This project's loss in the part of the teacher's channel space that infrared can predict.

`coherence` asks at which frequencies a student can follow its teacher; here the question is in
which directions of channels. Before training, one pass over the pairs fits the teacher's RGB tokens
by the untrained student's infrared ones, T ~ B S. The map of rank k that predicts most is U U^T B,
with U the first k eigenvectors of the covariance of B S (reduced-rank regression: Izenman, Journal
of Multivariate Analysis 5, 1975). No linear map of that rank predicts anything outside of U.
"""

from __future__ import annotations

import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.losses.base import Statistics, normalise, register
from freqkd_lite.losses.coherence import RIDGES, ridge_map


class ReducedRank:
    """Calibrates `projected`. The map across channels is fitted on every other pair and scored on
    the rest, so two crops of one picture may lie on both sides. Its statistics:

    directions: (C, C), orthonormal columns in the teacher's channel space. r2: (C,), falling, the
    share of the teacher's power along each that B S predicts on the pairs it was not fitted on,
    with the ridge of `RIDGES` that predicts most of all. power: (C,), that power per token.
    """

    def __init__(self, **others: float):
        self.sums, self.pairs, self.tokens = list(torch.zeros(2)), 0, 0

    def update(self, student: Tensor, teacher: Tensor) -> None:
        for half in (0, 1):
            every_other = slice((half + self.pairs) % 2, None, 2)
            s, t = (normalise(x)[every_other].movedim(1, 0).flatten(1) for x in (student, teacher))
            self.sums[half] = self.sums[half] + torch.stack([s @ s.T, t @ s.T, t @ t.T]).double()
            self.tokens += half * s.shape[1]
        self.pairs += len(student)

    def statistics(self) -> Statistics:
        if self.pairs < 2:
            raise UserError("One pair is too few to fit and to score: calibrate on more.")
        (fit_ss, fit_ts, _), (ss, ts, tt) = self.sums
        found = []
        for ridge in RIDGES:
            across = ridge_map(fit_ss, fit_ts, ridge)
            missed = tt - across @ ts.T - ts @ across.T + across @ ss @ across.T
            found.append((float(missed.trace()), across, missed))
        _, across, missed = min(found, key=lambda each: each[0])
        directions = torch.linalg.eigh(across @ fit_ss @ across.T)[1]
        lost, power = ((directions * (x @ directions)).sum(0) for x in (missed, tt))
        r2 = (1 - lost / power).nan_to_num(0.0, 0.0, 0.0)
        order = r2.argsort(descending=True)
        found = {
            "directions": directions[:, order],
            "r2": r2[order],
            "power": power[order] / self.tokens,
        }
        return {key: value.float().cpu() for key, value in found.items()}


@register("projected", calibrator=ReducedRank)
def projected(
    student: Tensor, teacher: Tensor, *, statistics: Statistics, least: float = 0.1
) -> dict[str, Tensor]:
    """Normalised MSE within the directions U of the teacher's channels of which infrared predicts
    the share `least` or more, |U^T (S - T)|^2 (this project's): what the student does along the
    others costs nothing. Scaled so that a student that gives nothing pays as much as under `mse`;
    with all of the directions it is `mse`."""
    keep, power = statistics["r2"] >= least, statistics["power"]
    if not keep.any():
        best = float(statistics["r2"].max())
        raise UserError(
            f"least={least} leaves no direction, the best has {best:.3f}: lower it; do the pairs "
            "belong together?"
        )
    difference = normalise(student) - normalise(teacher)
    directions = statistics["directions"][:, keep].to(difference)
    along = torch.einsum("ck,nchw->nkhw", directions, difference)
    scale = float(power.sum() / power[keep].sum())
    return {"all": scale * along.square().sum() / difference.numel()}
