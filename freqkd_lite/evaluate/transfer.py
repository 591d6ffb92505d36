"""Label-free transfer: a head fitted on the teacher's RGB features, used unchanged on infrared.

No infrared label is needed: this is the purpose of an RGB teacher. The label curve compares it with
heads fitted on labelled infrared images, and shows how many of these it is worth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import LogisticProbe, Maps, as_maps, measure
from freqkd_lite.evaluate.stats import Interval, Resampled, percentiles


def budgets(n: int) -> list[int]:
    """Numbers of labelled images, 0, 1, 3, 10, 30, ... and `n` itself, the last one."""
    steps = [k * 10**power for power in range(9) for k in (1, 3)]
    return [0, *(step for step in steps if step < n), n]


@dataclass(frozen=True)
class LabelCurve:
    """A score against the number of labelled infrared images.

    `budgets` (K,) rise from 0, which is the RGB head. `values` (K, R): the score for R choices of
    the labelled images. `draws` (K, R, B): the same on B resamples of the test images.
    """

    budgets: tuple[int, ...]
    values: np.ndarray
    draws: np.ndarray


def label_curve(
    score: Callable[[Sequence[int] | None], Resampled], n_labelled: int, repeats: int = 5
) -> LabelCurve:
    """The curve of one student up to `n_labelled` images.

    `score(None)` is the result of the RGB head, `score(images)` that of a head fitted on these of
    the labelled infrared images (indices below n_labelled). Each of the `repeats` is an order of
    the images, the same for every student, of which a budget takes the first ones. `UserError` for
    fewer than 1 image or repeat.
    """
    if n_labelled < 1 or repeats < 1:
        raise UserError(f"n_labelled={n_labelled}, repeats={repeats}: give 1 or more of both.")
    orders = [np.random.default_rng((0, r)).permutation(n_labelled) for r in range(repeats)]
    rows = []
    for n in budgets(n_labelled):
        if n in (0, n_labelled):  # nothing to choose
            found = [score(None if n == 0 else range(n_labelled))] * repeats
        else:
            found = [score(tuple(order[:n].tolist())) for order in orders]
        rows.append(([f.estimates["mean"] for f in found], [f.draws["mean"] for f in found]))
    values, draws = zip(*rows, strict=True)
    return LabelCurve(tuple(budgets(n_labelled)), np.array(values, float), np.array(draws, float))


def probe_scorer(
    rgb_head: LogisticProbe,
    train: Maps,
    train_labels: Tensor,
    test: Maps,
    test_labels: Tensor,
    classes: Sequence[str],
    **bootstrap: Any,
) -> Callable[[Sequence[int] | None], Resampled]:
    """The scorer of one student that `label_curve` calls, for the probe.

    `rgb_head` was fitted on the teacher's RGB features. `train` and `test` are the student's
    infrared features (N, D, h, w), their labels those of `probe`, `bootstrap` goes to `measure`.
    A class without a patch among the labelled images scores the same everywhere. Results are
    cached, because both ends of the curve are asked for repeatedly.
    """
    maps, test = as_maps(train, "train features"), as_maps(test, "test features")

    @cache
    def score(images: Sequence[int] | None) -> Resampled:
        head = rgb_head
        if images is not None:
            head = LogisticProbe(rgb_head.l2)
            head.fit(
                maps[list(images)], train_labels[list(images)], [*classes, "none"], absent=True
            )
        return measure(head, test, test_labels, classes, **bootstrap)

    return score


def over_seeds(curves: Sequence[LabelCurve]) -> tuple[np.ndarray, np.ndarray]:
    """The mean curve (K,) of students of several seeds, and its draws (K, B).

    Test images, the choice of labelled ones and seeds are crossed, so that a draw resamples all
    three, as `crossed_bootstrap` does: of S seeds and R choices it takes S - 1 and R - 1. Curves
    with the same test images and `repeats` get the same resamples of both: subtract draws to pair.
    """
    values = np.stack([curve.values for curve in curves])
    draws = np.stack([curve.draws for curve in curves])  # (S, K, R, B)
    seeds, _, repeats, count = draws.shape
    draw = np.random.default_rng(0)
    chosen = draw.integers(0, repeats, size=(max(1, repeats - 1), count))
    students = draw.integers(0, seeds, size=(max(1, seeds - 1), count))
    each = np.arange(count)
    picked = draws[students[:, None], :, chosen[None], each]  # (S', R', B, K)
    return values.mean((0, 2)), picked.mean((0, 1)).T


def labels_needed(budgets: Sequence[int], curve: np.ndarray, score: float) -> float:
    """How many labelled images a curve (K,) takes to reach a score for the first time.

    Linear in log(n) between budgets of 1 and more; 1 where the first of them is enough; infinite
    where none is. The RGB head (budget 0) is not included.
    """
    n, curve = np.asarray(budgets[1:], float), np.asarray(curve[1:], float)
    above = np.flatnonzero(curve >= score)
    if not len(above):
        return float("inf")
    k = above[0]
    if k == 0:
        return float(n[0])
    share = (score - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(n[k - 1] * (n[k] / n[k - 1]) ** share)


def worth(
    students: Sequence[LabelCurve], undistilled: Sequence[LabelCurve]
) -> tuple[float, Interval]:
    """How many labelled infrared images distillation is worth, with its 95 % interval.

    This many the undistilled student needs (`labels_needed`) to reach the distilled student's
    label-free score; infinite for "more than there are". The interval pairs both in each draw of
    `over_seeds`. Both are curves over the seeds of a method; an undistilled student may have one.
    """
    (ours, our_draws), (theirs, their_draws) = map(over_seeds, (students, undistilled))
    steps = undistilled[0].budgets
    drawn = [labels_needed(steps, c, s) for c, s in zip(their_draws.T, our_draws[0], strict=True)]
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return labels_needed(steps, theirs, ours[0]), (float(low), float(high))


def summary(curves: Mapping[str, Sequence[LabelCurve]]) -> pd.DataFrame:
    """Curves by method (over seeds) as a table: metric, method, labels, value, low, high.

    The metric is "label_curve", one row per budget, and for each method but "none" "labels_worth",
    its `worth` (labels NaN). Intervals are those of `over_seeds` and `worth`.
    """
    rows = []
    for method, of in curves.items():
        values, draws = over_seeds(of)
        for n, value, drawn in zip(of[0].budgets, values, draws, strict=True):
            rows.append(("label_curve", method, n, value, *percentiles(drawn)))
        if method != "none":
            value, interval = worth(of, curves["none"])
            rows.append(("labels_worth", method, np.nan, value, *interval))
    return pd.DataFrame(rows, columns=["metric", "method", "labels", "value", "low", "high"])
