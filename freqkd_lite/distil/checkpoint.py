"""A run's state on disk, from which it resumes bit for bit after a kill at any instant.

A checkpoint holds the trained weights, the optimiser's moments, batch statistics and the state of
the random numbers. The order of the data follows from the seed and the step.
"""

import io
import os
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from freqkd_lite.store import sha256, write_whole

PAUSE = 20.0  # seconds of training that a kill may cost
SHARE = 0.02  # of the time may go into checkpoints


class Refused(ValueError):
    """Why a file is ignored."""


def save_sealed(path: Path, content: dict, durable: bool = True) -> None:
    """Tensors and plain values behind their own SHA-256 in a file, whole or not at all."""
    stream = io.BytesIO()
    torch.save(content, stream)
    stored = stream.getvalue()
    write_whole(path, bytes.fromhex(sha256(stored)) + stored, durable)


def load_sealed(path: Path) -> dict:
    """What `save_sealed` stored, on the CPU; `Refused` when it is not as written."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"it can't be read ({error.strerror})") from error
    seal, stored = content[:32], content[32:]
    if seal.hex() != sha256(stored):
        raise Refused("its checksum does not match")
    return torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)


class Checkpoints:
    """The last two states of the run `key` in its working folder, beside its log.jsonl.

    One is written after each `every` steps; None writes one when `PAUSE` seconds have gone by, or
    later where the last one took longer than `SHARE` of that.
    """

    def __init__(self, folder: Path, key: str, every: int | None = None):
        self.folder, self.key, self.every = folder, key, every
        self.restarts: list[int] = []  # the steps from which the run was resumed
        self._seconds, self._start, self._cost = 0.0, time.monotonic(), 0.0
        self._last = self._start

    def saved(self) -> list[Path]:
        """The files that are there, newest first."""
        return sorted(self.folder.glob("checkpoint-*.pt"), reverse=True)

    @property
    def steps(self) -> int:
        """How many steps the newest file holds, 0 without one."""
        return max((int(path.stem.split("-")[1]) for path in self.saved()), default=0)

    @property
    def seconds(self) -> float:
        """How long the steps took, those before a restart among them."""
        return self._seconds + time.monotonic() - self._start

    def restore(self, student: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load the newest intact checkpoint; returns the steps done, 0 where there is none.

        A damaged file or another run's is reported and renamed to .refused, and the one before it
        is used. The log is cut to the steps done.
        """
        for path in self.saved():
            try:
                return self._use(path, student, optimiser)
            except Refused as reason:
                path.rename(path.with_suffix(".refused"))
                print(f"Ignoring checkpoint {path} ({reason}); resuming from the previous one.")
        (self.folder / "log.jsonl").write_bytes(b"")
        return 0

    def _use(self, path: Path, student: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        state = load_sealed(path)
        if state["key"] != self.key:
            raise Refused(f"it belongs to the run {state['key']}, not to {self.key}")
        if state["student"].keys() != changing(student).keys():
            raise Refused("it holds other weights than this student trains")
        log, steps = self.folder / "log.jsonl", state["step"]
        lines = log.read_bytes().splitlines(keepends=True)[:steps] if log.is_file() else []
        if len(lines) < steps or not lines[-1].endswith(b"\n"):
            raise Refused(f"log.jsonl holds {len(lines)} of its {steps} steps")
        os.truncate(log, sum(map(len, lines)))
        student.load_state_dict(state["student"], strict=False)
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self._seconds, self.restarts = state["seconds"], [*state["restarts"], steps]
        return steps

    def after(self, done: int, student: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Write a checkpoint after `done` steps if one is due, and keep the last two."""
        now = time.monotonic()
        pause = max(PAUSE, self._cost / SHARE)
        if done % self.every if self.every else now - self._last < pause:
            return
        state = {
            "key": self.key,
            "step": done,
            "seconds": self.seconds,
            "restarts": self.restarts,
            "student": changing(student),
            "optimiser": optimiser.state_dict(),
            "random": torch.get_rng_state(),
        }
        with (self.folder / "log.jsonl").open("rb") as log:
            os.fsync(log.fileno())
        save_sealed(self.folder / f"checkpoint-{done:08d}.pt", state)
        for old in self.saved()[2:]:
            old.unlink()
        self._last = time.monotonic()
        self._cost = self._last - now


def changing(student: nn.Module) -> dict[str, Tensor]:
    """What training changes: trained weights, and buffers such as batch statistics."""
    names = {name for name, value in student.named_parameters() if value.requires_grad}
    names |= {name for name, _ in student.named_buffers()}
    return {name: value for name, value in student.state_dict().items() if name in names}
