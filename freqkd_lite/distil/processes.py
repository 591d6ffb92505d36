"""Who takes a run's steps: this process alone, or several that `accelerate launch` started.

On CPUs as on GPUs the command is `accelerate launch --multi_gpu --num_processes 2 -m freqkd_lite
distil ...`; accelerate's `--cpu` starts a single process. On a CPU in float32, losses of two
processes stay within 1e-5, relative, of those of one with the same batch: their sums are the same,
in another order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, nn

from freqkd_lite.errors import UserError

Item = TypeVar("Item")
PATIENCE = timedelta(days=1)
"""How long processes wait for one that works alone, as the first one does when it looks at all
pairs before training; torch's own 10 to 30 minutes are too short for that."""


class Processes:
    """The processes of a run; number 0 writes its files.

    Attributes: `count`, `rank` (this one's number), `device` (what it computes on). One process
    needs none of accelerate, and all that is asked of it here costs nothing.
    """

    def __init__(self, device: str = "cpu"):
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("device='cuda', but torch sees no GPU here: set device to cpu.")
        self.count, self.rank, self.device = 1, 0, torch.device(device)
        if "LOCAL_RANK" in os.environ:  # set by whatever launches several processes
            from accelerate import PartialState

            state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
            self.count, self.rank, self.device = (
                state.num_processes, state.process_index, state.device
            )  # fmt: skip

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, value: Item = None) -> Item:
        """The first process's `value`, in all of them; waits until all have come here."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Lets one process after the other into the body, the first one first."""
        for _ in range(self.rank):
            self.agree()
        yield
        for _ in range(self.rank, self.count):
            self.agree()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes, the same bits in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import reduce

        return reduce(value, "mean")

    def share_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Each gradient becomes its mean over processes. They hold the same weights, for they
        began with the same ones; weights that no loss reached have no gradient in any."""
        for weight in weights:
            if weight.grad is not None:
                weight.grad = self.mean(weight.grad)

    def shares(self, batch: Sequence[Item], times: int) -> list[Sequence[Item]]:
        """This process's part of a batch, in `times` equal shares that follow each other."""
        each = len(batch) // (self.count * times)
        starts = range(self.rank * times * each, (self.rank + 1) * times * each, each)
        return [batch[start : start + each] for start in starts]

    def check_batch(self, batch: int, times: int) -> None:
        """Means of means are the batch's mean only where all shares are of one size."""
        if batch % (self.count * times):
            raise UserError(
                f"batch={batch} can't be shared equally by {self.count} processes that accumulate "
                f"{times} times: make it a multiple of {self.count * times}."
            )

    def seed(self, seed: int, step: int) -> None:
        """Random numbers of their own for each process and step, so that a run that goes on needs
        no state of theirs. One process on a CPU keeps its sequence, which a checkpoint holds."""
        if self.count > 1 or self.device.type != "cpu":
            torch.manual_seed((seed * 1_000_003 + step * self.count + self.rank) % 2**63)
