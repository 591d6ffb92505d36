"""A tiny distillation that a child process runs, to be killed: imported once by a fork server."""

import os
import signal
import sys
from pathlib import Path

import torch

from freqkd_lite import data
from freqkd_lite.data.base import Pair, PairSet
from freqkd_lite.distil import Run, distil, settings_from
from freqkd_lite.errors import Interrupted, UserError

torch.set_num_threads(1)  # before any operation: a fork that inherits OpenMP's threads can hang


class Noise(PairSet):
    """Ten pairs of fixed noise; `bad` names one whose visible picture holds a value that is not
    finite."""

    name, has = "noise", frozenset({"pairs"})

    def __init__(self, split, size, root=None, limit=None, bad=-1):
        super().__init__(split, size, [f"noise{i}" for i in range(limit or 10)])
        self.bad = bad

    def __getitem__(self, i):
        images = torch.rand(2, 3, *self.size, generator=torch.Generator().manual_seed(i))
        if i == self.bad:
            images[0, 0, 0, 0] = float("inf")
        return Pair(self.names[i], *images)

    def fingerprint(self):
        return f"noise-{len(self)}-{self.size}-{self.bad}"


VIT = dict(
    dataset="noise",
    size=(32, 48),
    teacher="test_vit",
    teacher_weights="random",
    blocks=(1, 4),
    steps=12,
    batch=2,
    warmup=2,
    lora_rank=2,
    lora_dropout=0.2,
    loss="mse",
    checkpoint_every=3,
)
# Batch statistics are a state of their own, and weights that are all trained.
CNN = VIT | dict(teacher="test_resnet", blocks=(2, 3), lora_rank=0)


def run(folder: Path, **values) -> Run:
    """A distillation in this process."""
    return distil(settings_from(**values), folder, progress=False)


class Events:
    """Kills this process before the `last`th change to files below `folder`; counts them."""

    NAMES = frozenset({"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir"})

    def __init__(self, folder: Path, last: int):
        self.folder, self.last, self.seen = str(folder), last, []
        sys.addaudithook(self)

    def __call__(self, event, args):
        if event in self.NAMES and str(args[0]).startswith(self.folder):
            self.seen.append(f"{event} {args[0]}")
            if len(self.seen) == self.last:
                os.kill(os.getpid(), signal.SIGKILL)


def child(values: dict, folder: Path, out: Path, last: int = 0) -> None:
    """Distil into `folder`; what it says goes to the file `out`, its exit status is 0, 2 or 130."""
    stream = out.open("a", buffering=1)
    sys.stdout = sys.stderr = stream
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    data.REGISTRY["noise"] = Noise
    events = Events(folder, last)
    status = 0
    try:
        run(folder, **values)
    except (UserError, Interrupted) as error:
        print(f"{type(error).__name__}: {error}")
        status = 130 if isinstance(error, Interrupted) else 2
    print(*events.seen, sep="\n")
    stream.flush()
    os._exit(status)
