"""How a loss treats the zero frequency, each channel's mean over space: an option of every loss.

FreqKD's normalisation subtracts the mean, so the lowest frequency of all is never taught. A head
that reads patches is hardly affected; one that pools reads mainly the mean (notebook
13_frequency_zero). "removed": as published. "kept": `normalise` leaves the mean. "matched":
removed, and a part "mean" is added, `mean_weight` x `mse_of_means`. Losses that don't call
`normalise` keep the mean in any case.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.nn.functional import mse_loss, normalize

MEANS = ("removed", "kept", "matched")
DEFAULTS = {"mean": "removed", "mean_weight": 1.0}
_now: ContextVar[str] = ContextVar("mean", default="removed")


@contextmanager
def treating(mean: str) -> Iterator[None]:
    """While a loss or its calibrator runs, `centred` does as `mean` says."""
    before = _now.set(mean)
    try:
        yield
    finally:
        _now.reset(before)


def centred(x: Tensor) -> Tensor:
    """x (N, C, h, w) minus each channel's mean over space, unless means are kept."""
    return x if _now.get() == "kept" else x - x.mean((2, 3), keepdim=True)


def mse_of_means(student: Tensor, teacher: Tensor) -> Tensor:
    """MSE of two maps' means over space, each (N, C) at L2 norm 1 over channels: the mean over
    images of 2 (1 - cosine) / C, as the loss `mse` is that of tokens (this project's)."""
    student, teacher = (normalize(x.mean((2, 3)), dim=1) for x in (student, teacher))
    return mse_loss(student, teacher)
