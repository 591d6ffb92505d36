"""The training loop: an infrared student learns, without labels, what its RGB teacher sees.

FreqKD's recipe (arXiv 2606.11572): the student begins as a copy of its teacher, which stays frozen
and sees RGB; LoRA; AdamW with warm-up and half a cosine; clipped gradients.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freqkd_lite import data, losses
from freqkd_lite.distil.checkpoint import Checkpoints
from freqkd_lite.distil.processes import Processes
from freqkd_lite.distil.sampling import load_views, names_of, plan
from freqkd_lite.distil.settings import DistilSettings
from freqkd_lite.distil.student import Student, resize
from freqkd_lite.distil.teacher import Teacher
from freqkd_lite.errors import UserError
from freqkd_lite.spectrum.bands import grid_of
from freqkd_lite.store import write_whole


def learning_rate(step: int, lr: float, warmup: int, steps: int) -> float:
    """Linear warm-up to `lr`, then half a cosine down to zero at the last of `steps`."""
    if step < warmup:
        return lr * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return lr * 0.5 * (1 + math.cos(math.pi * share))


def precision(settings: DistilSettings, device: torch.device) -> str:
    """The precision of computation: "fp32" or "bf16"."""
    if settings.precision != "auto":
        return settings.precision
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if fast else "fp32"


def initial_maps(initial: Teacher, infrared: Tensor, targets: list[Tensor]) -> list[Tensor]:
    """The untrained student's maps (N, C, h, w) by block, on the grids and devices of the teacher's
    `targets`, for losses that compare with them."""
    maps = []
    for own, target in zip(initial(infrared), targets, strict=True):
        if own.shape[1] != target.shape[1]:
            raise UserError(
                f"This loss compares the untrained {initial.name} with its teacher, and their maps "
                f"have {own.shape[1]} and {target.shape[1]} channels: choose a student as wide as "
                "its teacher, or another loss."
            )
        maps.append(resize(own.to(target.device), grid_of(target)))
    return maps


def measure_loss(
    initial: Teacher, teacher: Teacher, pairs: data.PairSet, settings: DistilSettings, file: Path
) -> list[losses.Statistics]:
    """The loss's calibration before training, from one pass over the pairs as the first steps see
    them; it is saved in `file` for resumed runs. Its mismatched pairs are drawn with another seed
    than those of a training on mismatched pairs."""
    other = settings.model_copy(update={"mismatched": True, "seed": settings.seed + 1})
    looked_at = [settings, other] if losses.needs_mismatched(settings.loss) else [settings]
    epoch = settings.model_copy(update={"steps": math.ceil(len(pairs) / settings.batch)})

    def batches() -> Iterator[list[list[Tensor]]]:
        for views in plan(pairs, epoch):
            (visible, infrared), *others = (load_views(pairs, views, each) for each in looked_at)
            targets = [target.to(visible) for target in teacher(visible)]
            found = [initial_maps(initial, infrared, targets), targets]
            found += [initial_maps(initial, mismatched, targets) for _, mismatched in others]
            if not all(m.isfinite().all() for maps in found for m in maps):
                raise UserError(
                    "Features that the loss looks at before training are not finite: look at the "
                    f"weights, and at these pairs ({names_of(pairs, views, *looked_at)})."
                )
            yield found

    if not file.is_file():
        statistics = losses.calibrate(settings.loss, batches(), **settings.loss_options)
        write_whole(file, losses.pack_statistics(statistics))
    return losses.load_statistics(file)


def train(
    student: Student,
    teacher: Teacher,
    pairs: data.PairSet,
    settings: DistilSettings,
    checkpoints: Checkpoints,
    team: Processes,
    statistics: list[losses.Statistics] | None = None,
    initial: Teacher | None = None,
) -> Iterator[dict]:
    """`settings.steps` steps of AdamW on the label-free loss, from the last checkpoint on: yields
    the log's entry of each.

    `statistics` is what the loss measured before training; `initial` is the untrained student, for
    losses that compare with it. Raises `UserError` where loss or gradient is not finite.
    """
    options: dict[str, Any] = settings.loss_options
    loss_of = losses.build_loss(settings.loss, statistics=statistics, **options)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    bf16 = precision(settings, team.device) == "bf16"
    with team.state.main_process_first():  # it puts damaged files aside
        done = checkpoints.restore(student, optimiser)

    for step, views in islice(enumerate(plan(pairs, settings)), done, None):
        team.seed(settings.seed, step)
        optimiser.zero_grad()
        sums: dict[str, Tensor] = {}
        for share in team.shares(views, settings.accumulate):
            visible, infrared = load_views(pairs, share, settings)
            with torch.autocast(team.device.type, torch.bfloat16, enabled=bf16):
                targets = [target.to(team.device) for target in teacher(visible)]
                outputs = student(infrared.to(team.device), list(map(grid_of, targets)))
                anchors = [initial_maps(initial, infrared, targets)] if initial else []
            loss = loss_of(outputs, targets, *anchors)
            (loss.total / settings.accumulate).backward()
            for name, value in {"total": loss.total, **loss.parts}.items():
                sums[name] = sums.get(name, 0) + value.detach() / settings.accumulate
        means = team.mean(torch.stack(list(sums.values()))).tolist()
        parts = dict(zip(sums, means, strict=True))
        total = parts.pop("total")
        for weight in weights:
            if weight.grad is not None:
                weight.grad = team.mean(weight.grad)
        norm = nn.utils.clip_grad_norm_(weights, settings.clip or math.inf).item()
        if not math.isfinite(total + norm):
            raise UserError(
                f"The loss or its gradient is not finite at step {step}: lower lr={settings.lr}, "
                f"or look at the pairs of this batch ({names_of(pairs, views, settings)})."
            )
        rate = learning_rate(step, settings.lr, settings.warmup, settings.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        parts = {name: round(value, 7) for name, value in parts.items()}
        yield {"step": step, "loss": total, "parts": parts, "lr": rate, "gradient_norm": norm}
        if team.first:
            checkpoints.after(step + 1, student, optimiser)
