"""What the log of a high-band term changes, and how the gradients of two losses compare."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, mse_loss


def log_deviation(student_high: Tensor, teacher_high: Tensor) -> dict[str, float]:
    """How far log1p of magnitudes a is below them, 1 - log1p(a) / a: "element", at the root mean
    square of both bands; "element p99", at their 99th percentile. "term": 1 - MSE of log1p |s|,
    log1p |t| over MSE of |s|, |t|, which is what the log changes in the loss."""
    s, t = student_high.abs(), teacher_high.abs()
    both = torch.cat([s.flatten(), t.flatten()]).double().numpy()
    far = np.quantile(both, 0.99, method="closest_observation")
    at = {"element": np.sqrt(np.square(both).mean()), "element p99": far}
    term = float(1 - mse_loss(s.log1p(), t.log1p()) / mse_loss(s, t))
    return {name: float(1 - np.log1p(a) / a) for name, a in at.items()} | {"term": term}


def agreement(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Cosine between two losses' gradients, maps by block; the mean over blocks."""
    pairs = [(a.flatten().double(), b.flatten().double()) for a, b in zip(one, other, strict=True)]
    return float(np.mean([cosine_similarity(a, b, 0, 1e-150) for a, b in pairs]))


def relative_size(part: Sequence[Tensor], whole: Sequence[Tensor]) -> float:
    """Norm of a part of a gradient over that of the whole, maps by block; the mean over blocks."""
    return float(np.mean([float(p.norm() / w.norm()) for p, w in zip(part, whole, strict=True)]))
