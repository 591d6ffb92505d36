"""What the benchmarks share: timing by turns, one step of training, and a table in a folder."""

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from freqkd_lite.distil import Student, Teacher, add_lora, first_student, memory, settings_from
from freqkd_lite.features import Backbone, create_net
from freqkd_lite.losses import CALIBRATORS, build_loss, calibrate, needs_anchors
from freqkd_lite.results.text import table
from freqkd_lite.store import write_whole

VIT_S = "vit_small_patch14_dinov2.lvd142m"
Take = Callable[[], object]


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    found = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    found.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    found.add_argument("--device", default="cpu", help="cpu or cuda")
    found.add_argument("--out", type=Path, metavar="FOLDER", help="writes README.md and bench.json")
    return found


def by_turns(takes: dict[str, Take], rounds: int, least: float = 0.05) -> dict[str, list[float]]:
    """Seconds of each by round; all take turns in random order, each for `least` seconds or once
    after a run that is not counted. With one thread on a CPU it is the process's own time, which
    other programs on the machine hardly change."""
    memory.keep()  # as `freqkd distil` does
    draw, threads = random.Random(0), torch.get_num_threads()
    own = threads == 1 and not torch.cuda.is_available()
    clock = {"timer": time.process_time} if own else {}
    timers = {
        name: Timer("take()", globals={"take": take}, num_threads=threads, **clock)
        for name, take in takes.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(rounds):
        for name in draw.sample(list(timers), len(timers)):
            seconds[name].append(timers[name].blocked_autorange(min_run_time=least).median)
    return seconds


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """The median over rounds of what one took over what the base took in the same round."""
    return statistics.median(a / b for a, b in zip(seconds, base, strict=True))


def finish(given: argparse.Namespace, title: str, about: str, head: list, rows: list) -> None:
    """Print the table, and write it to the folder that was asked for."""
    machine = f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{title}\n{about}\n{machine}\n\n{table(head, rows)}")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        text = f"# {title}\n\n{about} Measured on {machine}.\n\n{table(head, rows, 'markdown')}\n"
        write_whole(given.out / "README.md", text.encode())
        found = {"title": title, "about": about, "machine": machine, "head": head, "rows": rows}
        write_whole(given.out / "bench.json", (json.dumps(found, indent=1) + "\n").encode())


def processor() -> str:
    """Its name, as far as the system gives one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


class Step:
    """A student, its teacher and a batch of noise, on which steps with any loss are taken. Weights
    are random and the learning rate is 0, so that every step computes the same."""

    def __init__(
        self,
        model: str,
        size: tuple[int, int],
        batch: int,
        blocks: Sequence[int],
        device: str = "cpu",
    ):
        self.settings = settings_from(
            teacher=model,
            teacher_weights="random",
            blocks=tuple(blocks),
            size=size,
            batch=batch,
            device=device,
            crop_list=1,
            seed=1,  # another than the teacher's
        )
        self.visible, self.infrared = torch.rand(2, batch, 3, *size)
        self.teacher = Teacher(model, "random", self.settings.blocks)
        self.teacher.device = torch.device(device)
        backbone = first_student(self.settings)
        widths = [(backbone.infos[block]["num_chs"],) * 2 for block in blocks]
        add_lora(backbone, self.settings)
        self.student = Student(backbone, blocks, widths).to(device).train()
        self.weights = [p for p in self.student.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, lr=0.0)
        self.targets = self.teacher(self.visible)
        with torch.no_grad():
            self.start = self.maps(self.targets)

    def maps(self, targets: Sequence[Tensor]) -> list[Tensor]:
        """The student's maps on the grids of the teacher's."""
        grids = [tuple(t.shape[-2:]) for t in targets]
        return self.student(self.infrared.to(self.settings.device), grids)

    def loss(self, name: str) -> Callable[[list[Tensor], list[Tensor]], Tensor]:
        """The loss `name` as f(students, teachers) -> total, calibrated on the batch if need be."""
        found = calibrated(name, self.start, self.targets)
        anchors = [self.start] if needs_anchors(name) else []
        return lambda students, teachers: found(students, teachers, *anchors).total

    def take(self, loss: Callable, targets: Callable[[], list[Tensor]] | None = None) -> Take:
        """One step of training as `distil` takes it; by default the teacher computes its maps."""

        def step() -> float:
            self.optimiser.zero_grad(set_to_none=True)
            found = targets() if targets else self.teacher(self.visible)
            total = loss(self.maps(found), found)
            total.backward()
            nn.utils.clip_grad_norm_(self.weights, 1.0)
            self.optimiser.step()
            return total.item()

        return step

    def alone(self, loss: Callable) -> Take:
        """The loss's part of such a step: value and gradient on the student's maps."""
        maps = [m.detach().clone().requires_grad_() for m in self.start]
        return backward(loss, maps, self.targets)


def calibrated(name: str, students: list[Tensor], teachers: list[Tensor]) -> Callable:
    """The loss `name` from `build_loss`, calibrated on these maps if need be. Noise predicts hardly
    any direction of channels, so `projected` takes all."""
    if name not in CALIBRATORS:
        return build_loss(name)
    options = {"least": 0.0} if name == "projected" else {}
    found = calibrate(name, [(students, teachers)] * 3, **options)  # so that one picture will do
    return build_loss(name, statistics=found, **options)


def backward(loss: Callable, maps: list[Tensor], targets: list[Tensor]) -> Take:
    """Value and gradient of a loss on maps, which are leaves."""

    def take() -> float:
        for m in maps:
            m.grad = None
        total = loss(maps, targets)
        total.backward()
        return total.item()

    return take


def patch_of(model: str) -> int:
    """Pixels that a token of `model` is wide; its weights are not made."""
    with torch.device("meta"):
        return Backbone(create_net(model), model, "none", None).patch
