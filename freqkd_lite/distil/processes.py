"""The processes that train a run together: this one alone, or those that accelerate started:

    accelerate launch --multi_gpu --num_processes 2 -m freqkd_lite distil ...

(on CPUs too; accelerate's `--cpu` starts a single one). Losses of two processes are those of one
with the same batch, up to the order of sums: within 1e-5, relative, in float32.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, reduce
from torch import Tensor

from freqkd_lite.errors import UserError

Item = TypeVar("Item")
PATIENCE = timedelta(days=1)  # a pass over all pairs before training is one process's


class Processes:
    """`count` processes, of which this one is number `rank` and computes on `device`. The first one
    writes the files."""

    def __init__(self, device: str = "cpu"):
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("device='cuda', but torch sees no GPU here: set device to cpu.")
        self.state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
        self.count, self.rank = self.state.num_processes, self.state.process_index
        self.first = self.rank == 0
        self.device = (self.count > 1 and self.state.device) or torch.device(device)

    def broadcast(self, value: Item = None) -> Item:
        """The first process's `value`, in all of them; waits until all have come here."""
        return broadcast_object_list([value])[0]

    def mean(self, value: Tensor) -> Tensor:
        """The mean over processes, the same bits in all of them."""
        return torch.as_tensor(reduce(value, "mean")) if self.count > 1 else value

    def shares(self, batch: Sequence[Item], times: int) -> list[Sequence[Item]]:
        """This process's part of a batch, in `times` equal shares."""
        size = len(batch) // (self.count * times)
        first = self.rank * times
        return [batch[i * size : (i + 1) * size] for i in range(first, first + times)]

    def check_batch(self, batch: int, times: int) -> None:
        """`UserError` unless all shares of a batch are of one size."""
        if batch % (self.count * times):
            raise UserError(
                f"batch={batch} can't be shared equally by {self.count} processes that accumulate "
                f"{times} times: make it a multiple of {self.count * times}."
            )

    def seed(self, seed: int, step: int) -> None:
        """Separate random numbers for each process and step. One process on a CPU keeps its
        sequence, whose state a checkpoint holds."""
        if self.count > 1 or self.device.type != "cpu":
            torch.manual_seed((seed * 1_000_003 + step * self.count + self.rank) % 2**63)
