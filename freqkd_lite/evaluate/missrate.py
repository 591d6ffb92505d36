"""Log-average miss rate of pedestrian detectors, by the rules of KAIST's Reasonable set.

Miss rate at nine numbers of false positives per image (FPPI) from .01 to 1 (Dollar et al., PAMI
2012), for the people that KAIST's benchmark (Hwang et al., CVPR 2015) counts. Others are ignored:
it is neither a hit nor a false positive to find one, nor a miss not to.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.detection import Matches, matched
from freqkd_lite.evaluate.stats import Resampled, times_of

POINTS = 10 ** np.linspace(-2, 0, 9)
HEIGHT, WINDOW = 55, (5, 5, 635, 507)  # px; of pictures of 640x512
DAY = 1455  # the test images before this one are by day, the others by night


def outside_reasonable_subset(boxes: Tensor, occlusion: Tensor) -> Tensor:
    """(n,): which boxes (n,4) XYXY px of people the Reasonable set ignores: shorter than `HEIGHT`,
    not wholly inside `WINDOW`, or with an `occlusion` (n,) other than 0 (none) or 1 (partial)."""
    edge = boxes.new_tensor(WINDOW)
    inside = (boxes[:, :2] >= edge[:2]).all(1) & (boxes[:, 2:] <= edge[2:]).all(1)
    return (boxes[:, 3] - boxes[:, 1] < HEIGHT) | ~inside | ((occlusion != 0) & (occlusion != 1))


def miss_rate(ranked: Matches, times: np.ndarray | None = None) -> float | None:
    """exp of the mean log miss rate at `POINTS` if image i counted `times[i]` times (N,): at each
    the miss rate of the lowest threshold whose FPPI is not above it. None without people."""
    times = np.ones(len(ranked.truths), int) if times is None else times
    total = (times * ranked.truths).sum()
    if not total:
        return None
    weight = times[ranked.image]
    found = np.append(0, (weight * ranked.hit).cumsum())
    wrong = np.append(0, (weight * ~ranked.hit).cumsum())
    place = np.searchsorted(wrong / times.sum(), POINTS + 1e-12, side="right") - 1
    missed = np.maximum(1 - found[place] / total, 1e-10)  # log 0 would settle all
    return float(np.exp(np.log(missed).mean()))


def rank(
    predictions: Sequence[dict[str, Tensor]], boxes: Sequence[Tensor], ignored: Sequence[Tensor]
) -> Matches:
    """All images' detections (`boxes` (d,4) XYXY px, `scores` (d,)) against true boxes (t,4) of
    which some are `ignored` (t,). `UserError` unless there is one of each for every image."""
    if not 0 < len(predictions) == len(boxes) == len(ignored):
        counts = f"{len(predictions)}, {len(boxes)} and {len(ignored)}"
        raise UserError(f"Detections, boxes and ignored flags of {counts} images: give one each.")
    return matched([(found["boxes"], found["scores"]) for found in predictions], boxes, ignored)


def score_people(
    ranked: Matches, night: np.ndarray, draws: int = 1000, groups: Sequence[int] | None = None
) -> Resampled:
    """Miss rates "all", "day" and "night" (`night` (N,) bool), with their bootstrap over images or
    `groups` of them (see `stats.multiplicities`)."""
    times = times_of(len(night), draws, groups=groups).long().numpy()
    sides = {"all": night | True, "day": ~night, "night": night}
    rates = {k: [miss_rate(ranked, side * t) for t in times] for k, side in sides.items()}
    found = {k: np.array(values, float) for k, values in rates.items()}
    return Resampled.of(found, truth=torch.from_numpy(ranked.truths), seed=0, groups=groups)
