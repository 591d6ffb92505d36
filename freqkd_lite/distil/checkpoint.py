"""A run's state on disk, from which it goes on bit for bit after a kill at any instant.

A checkpoint holds the trained weights, the optimiser's moments, batch statistics and the state of
the random numbers. The order of the data follows from the seed and the step.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from freqkd_lite.features import sha256_state
from freqkd_lite.store import sha256, write_whole

SCHEMA = "freqkd-checkpoint/1"
PAUSE = 20.0  # seconds of training that a kill may cost
SHARE = 0.02  # of the time may go into checkpoints


class Refused(ValueError):
    """Why a file of tensors is not used."""


def seal(tensors: dict[str, Tensor], about: dict[str, str]) -> str:
    """A checksum of everything in a file: tensors and metadata."""
    return sha256(json.dumps([sha256_state(tensors), about], sort_keys=True))


def save_tensors(
    path: Path, tensors: dict[str, Tensor], durable: bool = True, **about: str
) -> None:
    """A safetensors file with its own checksum and `about` as metadata, whole or not at all."""
    tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
    write_whole(path, save(tensors, about | {"sha256": seal(tensors, about)}), durable)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, memory-mapped, and metadata; `Refused` when they are not as written."""
    try:
        with safe_open(path, "pt") as stored:
            about = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:  # by what is damaged
        raise Refused("it is torn") from error
    if about.pop("sha256", None) != seal(tensors, about):
        raise Refused("its checksum does not match")
    return tensors, about


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
        return sorted(self.folder.glob("checkpoint-*.safetensors"), reverse=True)

    @property
    def steps(self) -> int:
        """How many steps the newest file holds, 0 without one."""
        return max((int(path.stem.split("-")[1]) for path in self.saved()), default=0)

    @property
    def seconds(self) -> float:
        """How long the steps took, those before a restart among them."""
        return self._seconds + time.monotonic() - self._start

    def restore(self, student: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Load the newest sound checkpoint; returns the steps done, 0 where there is none.

        A damaged file or another run's is reported and renamed to .refused, and the one before it
        is used. The log is cut to the steps done.
        """
        for path in self.saved():
            try:
                return self._use(path, student, optimiser)
            except Refused as reason:
                path.rename(path.with_suffix(".refused"))
                print(f"The checkpoint {path} is refused, {reason}: going on from the one before.")
        (self.folder / "log.jsonl").write_bytes(b"")
        return 0

    def _use(self, path: Path, student: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        tensors, about = load_tensors(path)
        if about.get("schema") != SCHEMA:
            raise Refused(f"its schema is {about.get('schema')}, not {SCHEMA}")
        if about["key"] != self.key:
            raise Refused(f"it belongs to the run {about['key']}, not to {self.key}")
        state: dict[str, dict] = {"student": {}, "optimiser": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind in state:
                state[kind][rest] = value
        if state["student"].keys() != changing(student).keys():
            raise Refused("it holds other weights than this student trains")
        done = int(about["step"])
        self._cut_log(done)
        student.load_state_dict(state["student"], strict=False)
        moments: dict[int, dict] = {}
        for name, value in state["optimiser"].items():
            number, _, kind = name.partition("/")
            moments.setdefault(int(number), {})[kind] = value.clone()  # not the file's own memory
        optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        torch.set_rng_state(tensors["random"])
        self._seconds = float(about["seconds"])
        self.restarts = [*json.loads(about["restarts"]), done]
        return done

    def _cut_log(self, steps: int) -> None:
        log = self.folder / "log.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)[:steps] if log.is_file() else []
        if len(lines) < steps or not lines[-1].endswith(b"\n"):
            raise Refused(f"log.jsonl holds {len(lines)} of its {steps} steps")
        os.truncate(log, sum(map(len, lines)))

    def after(self, done: int, student: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Write a checkpoint after `done` steps if one is due, and keep the last two."""
        now = time.monotonic()
        pause = max(PAUSE, self._cost / SHARE)
        if done % self.every if self.every else now - self._last < pause:
            return
        tensors = {f"student/{name}": value for name, value in changing(student).items()}
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{number}/{kind}": value for kind, value in moments.items()}
        tensors = {name: value.cpu() for name, value in tensors.items()}
        tensors["random"] = torch.get_rng_state()
        about = {"schema": SCHEMA, "key": self.key, "step": str(done)}
        about |= {"seconds": f"{self.seconds:.1f}", "restarts": json.dumps(self.restarts)}
        with (self.folder / "log.jsonl").open("rb") as log:
            os.fsync(log.fileno())
        save_tensors(self.folder / f"checkpoint-{done:08d}.safetensors", tensors, **about)
        for old in self.saved()[2:]:
            old.unlink()
        self._last = time.monotonic()
        self._cost = self._last - now


def changing(student: nn.Module) -> dict[str, Tensor]:
    """What training changes: trained weights, and buffers such as batch statistics."""
    names = {name for name, value in student.named_parameters() if value.requires_grad}
    names |= {name for name, _ in student.named_buffers()}
    return {name: value for name, value in student.state_dict().items() if name in names}
