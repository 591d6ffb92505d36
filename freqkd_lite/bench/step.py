"""How long a whole step of the distillation takes, and how much memory: by loss, cache and tokens.

Times are ratios within one run (`turns`), so that a machine that slows down slows both. Each ratio
has a check beside it that what was timed computes the right thing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from itertools import accumulate
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from freqkd_lite.bench.losses import relative
from freqkd_lite.bench.turns import quartiles, ratio, take_turns
from freqkd_lite.distil import (
    DistilSettings,
    InitialStudent,
    Student,
    add_lora,
    first_student,
    settings_from,
)
from freqkd_lite.distil.teacher import CachedTeacher, Teacher
from freqkd_lite.features import TINY, Backbone, create_net
from freqkd_lite.losses import CALIBRATORS, LOSSES, LossParts, build_loss, calibrate, needs_anchors

EQUAL = 1e-5  # the largest relative difference that counts as equal
AGAIN = "the same again"
VIT_S = "vit_small_patch14_dinov2.lvd142m"
SMALLEST = dict(model=TINY, batch=2, blocks=(1, 3, 5, 7))
"""A step of the walk's network on two pictures, of which the loss is the largest share."""
GRIDS = ((16, 16), (24, 30), (32, 40), (37, 46), (48, 60), (64, 80))

Step = Callable[[], float]
LossOf = Callable[..., LossParts]  # of (students, teachers), or (students, teachers, anchors)
Anchors = Callable[[list[Tensor]], list[Tensor]]  # of the teacher's maps


class Bench:
    """One student with its teacher and a batch of noise, on which steps of any loss are taken.

    `size` and `batch` are of the images (batch, 3, H, W). Random weights do as well as trained
    ones; the learning rate is 0, so that every step computes the same.
    """

    def __init__(self, model: str, size: tuple[int, int], batch: int, blocks: tuple[int, ...],
                 lora_rank: int, device: str):  # fmt: skip
        torch.manual_seed(0)
        self.device, self.blocks = torch.device(device), blocks
        self.settings: DistilSettings = settings_from(
            teacher=model, teacher_weights="random", blocks=blocks, size=size, batch=batch,
            lora_rank=lora_rank, lora_dropout=0.0, device=device, crop_list=1,
            seed=1,  # another than the teacher's, or both would be one network
        )  # fmt: skip
        self.visible, self.infrared = torch.rand(2, batch, 3, *size)
        self.teacher = Teacher(model, "random", blocks)
        self.teacher.device = self.device
        backbone = first_student(self.settings)
        if lora_rank:
            add_lora(backbone, self.settings)
        width = [backbone.infos[block]["num_chs"] for block in blocks]
        self.student = Student(backbone, blocks, [(w, w) for w in width]).to(self.device).train()
        self.weights = [p for p in self.student.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.weights, lr=0.0)

    def maps(self, targets: list[Tensor]) -> list[Tensor]:
        """The student's maps on the grids of the teacher's."""
        grids = [tuple(t.shape[-2:]) for t in targets]
        return self.student(self.infrared.to(self.device), grids)

    def loss(self, name: str) -> LossOf:
        """The loss `name`, prepared on the batch where it must be."""
        if name not in CALIBRATORS:
            return build_loss(name)
        targets = [t.to(self.device) for t in self.teacher(self.visible)]
        with torch.no_grad():
            maps = self.maps(targets)
        # Noise predicts hardly any direction of channels: take what there is.
        options = {"least": 0.0} if name == "projected" else {}
        return build_loss(name, statistics=calibrate(name, [(maps, targets)], **options), **options)

    def untrained(self) -> Anchors:
        """The untrained student, whose features of the batch are in the cache from here on. Its
        network is let go: a run that finds all its views in the cache loads none."""
        found = InitialStudent(self.settings, self.device)
        keep(found.maps, self.infrared)
        del found.maps.backbone
        return lambda targets: found(self.infrared, targets)

    def step(self, loss_of: LossOf, targets: Callable[[], list[Tensor]] | None = None,
             anchors: Anchors | None = None) -> Step:  # fmt: skip
        """One step of training, as `distil.train` takes it: returns the loss."""

        def take() -> float:
            self.optimiser.zero_grad(set_to_none=True)
            found = targets() if targets else self.teacher(self.visible)
            found = [t.to(self.device) for t in found]
            maps = self.maps(found)
            total = loss_of(maps, found, *([anchors(found)] if anchors else [])).total
            total.backward()
            nn.utils.clip_grad_norm_(self.weights, 1.0).item()
            self.optimiser.step()
            return total.item()

        return take

    def alone(self, loss_of: LossOf, maps: list[Tensor], targets: list[Tensor],
              anchors: Anchors | None = None) -> Step:  # fmt: skip
        """The loss's part of such a step, on `maps` of the student's, leaves that several losses
        share, so that one's gradients at most are in memory: value and gradient."""

        def take() -> float:
            for m in maps:
                m.grad = None
            total = loss_of(maps, targets, *([anchors(targets)] if anchors else [])).total
            total.backward()
            return total.item()

        return take

    def expected(self, loss_of: LossOf, targets: list[Tensor], anchored: bool = False) -> float:
        """The loss in float64, of features computed apart. The student is untrained still, so its
        own ones, in half precision as a cache keeps them, are the anchors."""
        with torch.no_grad():
            maps = self.maps([t.to(self.device) for t in targets])
        lists = [maps, targets, *([[m.half() for m in maps]] if anchored else [])]
        return loss_of(*([m.double().cpu() for m in each] for each in lists)).total.item()

    def peak_memory(self, take: Step) -> int:
        """The largest number of bytes in tensors during a step; see `peak_memory`."""
        self.optimiser.zero_grad(set_to_none=True)
        moments = [v for state in self.optimiser.state.values() for v in state.values()]
        networks = (self.student.state_dict(), self.teacher.backbone.state_dict())
        held = moments + [v for state in networks for v in state.values()]
        return peak_memory(take, held, self.device)


def step(
    losses: Iterable[str] | dict[str, LossOf] | None = None,
    base: str = "mse",
    model: str = VIT_S,
    size: tuple[int, int] = (140, 168),
    batch: int = 8,
    blocks: tuple[int, ...] = (3, 7, 9, 11),
    lora_rank: int = 16,
    rounds: int = 21,
    device: str = "cpu",
) -> dict:
    """A whole step of each loss (by default all), relative to one of `base`, by default as in
    results/distillation, with random weights. What a loss must know before training is measured on
    the batch. The teacher computes in every step; what `anchor` holds on to, the untrained
    student's features, is read from a cache on disk, as in training on fixed crops (`crop_list`)
    once all are kept.

    `losses` are names, or names with what `build_loss` returned for them, and `base` among them.

    Returns {"loss": {name: {"seconds", "ratio", "ratio_quartiles", "loss_seconds", "by_loss",
    "memory_bytes", "memory_ratio", "difference", "equal"}}} beside what was measured on. A second
    step of the base's, `AGAIN`, tells what chance does to a ratio. by_loss: the same ratio with
    less chance, since a step's rest is one work for all: 1 + how much more a loss takes than
    `base`'s, both timed alone on the step's features, over the base's step. `difference` is that of
    the step's own loss from the same in float64 on features computed apart, relative.
    """
    bench = Bench(model, size, batch, blocks, lora_rank, device)
    if not isinstance(losses, dict):
        chosen = losses or list(LOSSES)
        losses = {name: bench.loss(name) for name in dict.fromkeys([base, *chosen])}
    anchored = {name for name in losses if name in LOSSES and needs_anchors(name)}
    losses = losses | {AGAIN: losses[base]}
    if base in anchored:
        anchored.add(AGAIN)
    targets = [t.to(bench.device) for t in bench.teacher(bench.visible)]
    with torch.no_grad():
        maps = [m.requires_grad_() for m in bench.maps(targets)]
    with empty_cache() if anchored else nullcontext():
        untrained = bench.untrained() if anchored else None
        steps, alone = {}, {}
        for name, loss_of in losses.items():
            anchors = untrained if name in anchored else None
            steps[name] = bench.step(loss_of, anchors=anchors)
            alone[name] = bench.alone(loss_of, maps, targets, anchors)
        values, seconds = take_turns(steps, rounds, bench.device)
        _, own = take_turns(alone, rounds, bench.device)
        del alone, maps
        memory = {name: bench.peak_memory(take) for name, take in steps.items()}
    found = {}
    for name, loss_of in losses.items():
        wrong = relative(values[name], bench.expected(loss_of, targets, name in anchored))
        more = median(mine - plain for mine, plain in zip(own[name], own[base], strict=True))
        found[name] = {
            "seconds": median(seconds[name]),
            "ratio": ratio(seconds[name], seconds[base]),
            "ratio_quartiles": quartiles(seconds[name], seconds[base]),
            "loss_seconds": median(own[name]),
            "by_loss": 1 + more / median(seconds[base]),
            "memory_bytes": memory[name],
            "memory_ratio": memory[name] / memory[base],
            "difference": wrong,
            "equal": wrong <= EQUAL,
        }
    return {"what": "step", "base": base, "loss": found, **about(bench, rounds)}


def cache(
    loss: str = "mse",
    model: str = VIT_S,
    size: tuple[int, int] = (140, 168),
    batch: int = 8,
    blocks: tuple[int, ...] = (3, 7, 9, 11),
    lora_rank: int = 16,
    rounds: int = 21,
    device: str = "cpu",
) -> dict:
    """A step whose teacher's features are read from the cache on disk, and one that computes them,
    relative to a student's step alone, which finds them in memory; by default as in
    results/distillation, with random weights.

    Returns {"kind": {"student"|"cached"|"computed": {"seconds", "ratio", "ratio_quartiles",
    "memory_bytes", "memory_ratio", "difference", "equal"}}}. `difference` is that of the step's
    loss from the student's alone, relative; `computed` rounds to half precision too, as a cache
    does.
    """
    bench = Bench(model, size, batch, blocks, lora_rank, device)
    with empty_cache() as folder:
        cached, computed = (CachedTeacher(model, "random", blocks) for _ in range(2))
        cached.device = computed.device = bench.device
        loss_of = build_loss(loss)
        keep(cached, bench.visible)
        kept = [t.to(bench.device) for t in cached(bench.visible)]
        steps = {
            "student": bench.step(loss_of, lambda: kept),
            "cached": bench.step(loss_of, lambda: cached(bench.visible)),
            "computed": bench.step(loss_of, lambda: computed(bench.visible)),
        }
        values, seconds = take_turns(steps, rounds, bench.device)
        memory = {name: bench.peak_memory(take) for name, take in steps.items()}
        size_on_disk = sum(f.stat().st_size for f in folder.rglob("*.safetensors"))
    found = {
        name: {
            "seconds": median(seconds[name]),
            "ratio": ratio(seconds[name], seconds["student"]),
            "ratio_quartiles": quartiles(seconds[name], seconds["student"]),
            "memory_bytes": memory[name],
            "memory_ratio": memory[name] / memory["student"],
            "difference": relative(values[name], values["student"]),
            "equal": relative(values[name], values["student"]) <= EQUAL,
        }
        for name in steps
    }
    return {"what": "cache", "loss": loss, "kind": found, "cache_bytes": size_on_disk,
            **about(bench, rounds)}  # fmt: skip


def tokens(
    grids: Iterable[tuple[int, int]] = GRIDS,
    loss: str = "mse",
    model: str = TINY,
    blocks: tuple[int, ...] = (1, 3, 5, 7),
    lora_rank: int = 16,
    rounds: int = 3,
    device: str = "cpu",
) -> dict:
    """Throughput and peak memory of a whole step on one picture, against its tokens.

    Returns {"grid": [{"grid", "tokens", "seconds", "pictures_per_second", "memory_bytes"}],
    "time_exponent", "memory_exponent"}; time and memory go as tokens to the power of these, by
    least squares of the logarithms: 1 where the perceptrons decide, 2 where the attention does.
    """
    rows = []
    patch = patch_of(model)
    for grid in grids:
        size = (grid[0] * patch, grid[1] * patch)
        bench = Bench(model, size, 1, blocks, lora_rank, device)
        take = bench.step(build_loss(loss))
        _, seconds = take_turns({"": take}, rounds, bench.device)
        rows.append(
            {
                "grid": list(grid),
                "tokens": grid[0] * grid[1],
                "seconds": median(seconds[""]),
                "pictures_per_second": 1 / median(seconds[""]),
                "memory_bytes": bench.peak_memory(take),
            }
        )
    counts = [row["tokens"] for row in rows]
    return {
        "schema": "freqkd-bench/1",
        "what": "tokens",
        "grid": rows,
        "time_exponent": exponent(counts, [row["seconds"] for row in rows]),
        "memory_exponent": exponent(counts, [row["memory_bytes"] for row in rows]),
        "loss": loss,
        "model": model,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device": device,
    }


@contextmanager
def empty_cache() -> Iterator[Path]:
    """The body keeps features in a folder of its own, which is given, and gone behind it."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(
        os.environ, {"FREQKD_CACHE": folder}
    ):  # fmt: skip
        yield Path(folder)


def keep(teacher: CachedTeacher, images: Tensor) -> None:
    """Have the features of `images` (N, 3, H, W) in the cache."""
    with redirect_stdout(sys.stderr):  # what a cache says would stand before a bench's JSON
        teacher.use_cache(images[0], len(images), 1e12)
        teacher(images)


def patch_of(model: str) -> int:
    """Pixels that a token of `model` is wide; its weights are not made."""
    with torch.device("meta"):
        return Backbone(create_net(model), model, "none", None).patch


def exponent(tokens: list[int], values: list[float]) -> float:
    """The slope of the straight line through the logarithms, by least squares."""
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


def peak_memory(take: Step, held: Iterable[Tensor], device: torch.device) -> int:
    """The largest number of bytes in tensors during a step, of those `held` before it and its own.

    On a CPU torch's profiler tells each allocation and release; scratch memory that libraries keep
    for themselves is not seen.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        take()
        return torch.cuda.max_memory_allocated(device)
    with quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        take()
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda e: e.start_ns())
    changes = accumulate((e.nbytes() for e in events), initial=0)
    return sum(t.nbytes for t in held) + max(changes)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing of the body reaches stderr, where the profiler writes unasked."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def about(bench: Bench, rounds: int) -> dict:
    """What was measured on."""
    s = bench.settings
    return {
        "schema": "freqkd-bench/1",
        "model": s.teacher,
        "size": list(s.size),
        "batch": s.batch,
        "blocks": list(s.blocks),
        "lora_rank": s.lora_rank,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "device": s.device,
    }
