"""Which object a crop shows: a linear head on features pooled over the crop.

A head that pools reads the features' mean over space, the frequency that FreqKD's normalisation
removes (see `losses.mean`). Its metric is the balanced accuracy: the share of each class's crops
classified correctly, averaged over classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import LogisticProbe
from freqkd_lite.evaluate.stats import Draws, Resampled, times_of


def fit_head(pooled: Tensor, labels: Tensor, classes: Sequence[str]) -> LogisticProbe:
    """A logistic regression on features (N, D) of crops with `labels` (N,); a class without a crop
    is never predicted."""
    maps, labels = pooled[..., None, None], labels[:, None, None]
    return LogisticProbe().fit(maps, labels, classes, absent=True)


def predict_crops(head: LogisticProbe, pooled: Tensor) -> Tensor:
    """The class (N,) that a head gives to each crop, by its features (N, D)."""
    return head.logits(pooled[..., None, None])[:, :, 0, 0].argmax(1)


def recalls(predicted: Tensor, truth: Tensor, classes: Sequence[str], times: Tensor) -> Draws:
    """The share of each class's crops classified correctly if crop i counted `times[:, i]` times,
    and their "mean" over the classes that occur: (draws,) each, NaN for a class that does not."""
    found = {}
    for k, name in enumerate(classes):
        own = (truth == k).double()
        found[name] = ((times @ (own * (predicted == k))) / (times @ own)).numpy()
    here = [found[k] for i, k in enumerate(classes) if (truth == i).any()]
    return found | {"mean": np.mean(here, axis=0)}


def score_crops(
    predicted: Tensor,
    truth: Tensor,
    classes: Sequence[str],
    parts: Mapping[str, Tensor] | None = None,
    draws: int = 1000,
    groups: Sequence[int] | None = None,
) -> Resampled:
    """Recall by class and balanced accuracy ("mean") of predicted classes (N,), that of `parts` of
    the crops, such as "night" (bool (N,)), and their bootstrap over crops or `groups` of them,
    because crops of one frame are not independent (see `stats.multiplicities`)."""
    if predicted.shape != truth.shape or truth.ndim != 1 or not len(truth):
        shapes = f"{tuple(predicted.shape)} predictions for {tuple(truth.shape)} crops"
        raise UserError(f"{shapes}: give one per crop, and at least one crop.")
    times = times_of(len(truth), draws, groups=groups)
    found = recalls(predicted, truth, classes, times)
    for part, of in (parts or {}).items():
        found[part] = recalls(predicted[of], truth[of], classes, times[:, of])["mean"]
    return Resampled.of(found, truth=truth, seed=0, groups=groups)
