"""Stage 1: an infrared student learns, without labels, to see what its RGB teacher sees.

FreqKD's recipe (FACTS of the method: teacher = student's initialisation, frozen on RGB; LoRA on
attn.qkv, mlp.fc1 and mlp.fc2; AdamW, warm-up then cosine, clipping), at any scale.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm.auto import tqdm

from freqkd_lite import data
from freqkd_lite.errors import UserError, unknown
from freqkd_lite.features import TINY, Backbone, create_net, load_backbone
from freqkd_lite.losses import LOSSES, build_loss
from freqkd_lite.runs import (
    code_version,
    manifest,
    no_bar,
    run_key,
    runs_folder,
    whole_folder,
    write_json,
)


class DistilSettings(BaseModel):
    """Everything that decides a stage-1 run. Sizes in pixels, blocks counted from 0.

    `lora_rank=0` trains the whole student. `merge_scale` scales the LoRA update when it is merged
    (the authors' stage 2 uses 0.5). `crop` trains on random crops of (height, width) pixels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = "scenes"
    root: str | None = None
    split: str = "train"
    limit: int | None = Field(None, ge=1)
    size: tuple[int, int] = (168, 224)
    crop: tuple[int, int] | None = None
    teacher: str = TINY
    teacher_weights: str | None = None
    student: str | None = None
    student_weights: str | None = None
    blocks: tuple[int, ...] = (1, 3, 5, 7)
    student_blocks: tuple[int, ...] | None = None
    loss: str = "code"
    loss_options: dict[str, float] = {}
    shuffled: bool = False
    lora_rank: int = Field(16, ge=0)
    lora_alpha: float = Field(16.0, gt=0)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    merge_scale: float = Field(1.0, ge=0)
    steps: int = Field(80, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(10, ge=0)
    clip: float | None = Field(1.0, gt=0)
    flip: float = Field(0.5, ge=0, le=1)
    seed: int = Field(0, ge=0)
    precision: Literal["fp32"] = "fp32"


def settings_from(**values: object) -> DistilSettings:
    """`DistilSettings`, with a wrong name or type told in one sentence (`UserError`)."""
    for name in values:
        if name not in DistilSettings.model_fields:
            raise unknown("setting of a distillation", name, DistilSettings.model_fields)
    if values.get("loss", "code") not in LOSSES:
        raise unknown("loss", values["loss"], LOSSES)
    try:
        return DistilSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{name}={first['input']!r} can't be used: {first['msg'].lower()}."
        ) from error


@dataclass(frozen=True)
class Run:
    """A finished distillation on disk."""

    folder: Path
    settings: DistilSettings

    @property
    def manifest(self) -> dict:
        return json.loads((self.folder / "manifest.json").read_text())

    @property
    def log(self) -> list[dict]:
        """One entry a step: step, loss, parts, lr, gradient norm."""
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    def student(self) -> Backbone:
        """The distilled student with its LoRA update merged, frozen."""
        name = self.settings.student or self.settings.teacher
        net = create_net(name)
        net.load_state_dict(load_file(self.folder / "student.safetensors"))
        return Backbone(net, name, f"run {self.folder.name}", None).freeze()


class Student(nn.Module):
    """A backbone, and 1x1 convolutions for those maps whose width is not the teacher's."""

    def __init__(self, backbone: Backbone, blocks: tuple[int, ...], widths: list[tuple[int, int]]):
        super().__init__()
        self.backbone, self.blocks = backbone, blocks
        self.adapters = nn.ModuleList(
            nn.Identity() if own == theirs else nn.Conv2d(own, theirs, 1) for own, theirs in widths
        )

    def forward(self, images: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        maps = self.backbone(images, self.blocks)
        maps = [adapt(m) for adapt, m in zip(self.adapters, maps, strict=True)]
        return [
            m if tuple(m.shape[-2:]) == grid else interpolate(m, grid, mode="bilinear")
            for m, grid in zip(maps, grids, strict=True)
        ]


def batches(pairs: data.PairSet, settings: DistilSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (visible, infrared), each (batch, 3, H, W); order, crops and flips follow from the
    seed alone, so that every arm sees the same. `shuffled` pairs each picture with another one's
    infrared: what layout and regularisation alone bring."""
    draw = torch.Generator().manual_seed(settings.seed)
    order: list[int] = []
    for _ in range(settings.steps):
        while len(order) < settings.batch:
            order += torch.randperm(len(pairs), generator=draw).tolist()
        chosen, order = order[: settings.batch], order[settings.batch :]
        batch = []
        for index in chosen:
            pair = pairs[index]
            other = pairs[(index + len(pairs) // 2) % len(pairs)] if settings.shuffled else pair
            both = torch.stack([pair.visible, other.infrared])
            top, left, flip = torch.rand(3, generator=draw).tolist()
            if settings.crop:
                height, width = settings.crop
                y = int(top * (both.shape[-2] - height + 1))
                x = int(left * (both.shape[-1] - width + 1))
                both = both[..., y : y + height, x : x + width]
            batch.append(both.flip(-1) if flip < settings.flip else both)
        visible, infrared = torch.stack(batch, 1)
        yield visible, infrared


def learning_rate(step: int, settings: DistilSettings) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * share))


def add_lora(backbone: Backbone, settings: DistilSettings) -> nn.Module:
    """LoRA on attn.qkv, mlp.fc1 and mlp.fc2, inside the backbone; returns peft's model."""
    # here, for it takes longer to import than all the rest, and finished runs don't need it
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=["attn.qkv", "mlp.fc1", "mlp.fc2"],
    )
    try:
        return get_peft_model(backbone.net, config)
    except ValueError as error:
        raise UserError(
            f"student={backbone.name!r} has no attn.qkv, mlp.fc1, mlp.fc2 for LoRA: "
            "set lora_rank=0 to train the whole network."
        ) from error


def merge_lora(lora: nn.Module, scale: float) -> nn.Module:
    """The plain network with `scale` times the LoRA update added to its weights."""
    for module in lora.modules():
        if hasattr(module, "scale_layer"):
            module.scale_layer(scale)
    return lora.merge_and_unload(safe_merge=True)


def train(student: Student, teacher: Backbone, pairs: data.PairSet, settings: DistilSettings,
          log: Callable[[dict], None]) -> None:  # fmt: skip
    """The loop itself: `settings.steps` steps of AdamW on the label-free loss."""
    loss_of = build_loss(settings.loss, **settings.loss_options)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    for step, (visible, infrared) in enumerate(batches(pairs, settings)):
        with torch.no_grad():
            targets = teacher(visible, settings.blocks)
        outputs = student(infrared, [tuple(t.shape[-2:]) for t in targets])
        loss = loss_of(outputs, targets)
        if not torch.isfinite(loss.total):
            raise UserError(f"The loss is not finite at step {step}: lower lr={settings.lr}.")
        optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = nn.utils.clip_grad_norm_(weights, settings.clip or math.inf)
        rate = learning_rate(step, settings)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        parts = {key: round(value.item(), 7) for key, value in loss.parts.items()}
        log({"step": step, "loss": loss.total.item(), "parts": parts, "lr": rate,
             "gradient_norm": norm.item()})  # fmt: skip


def distil(settings: DistilSettings, runs: str | Path | None = None, progress: bool = True) -> Run:
    """Train a student as `settings` say, or return the finished run of the same content.

    Content is the settings, the data's and weights' checksums and the code. The folder
    holds student.safetensors (merged), log.jsonl and manifest.json; it appears whole or not at all.
    """
    pairs = data.load(
        settings.dataset, settings.split, settings.size, settings.root, settings.limit
    )
    data.require(pairs, "pairs", notebook="Distillation")
    teacher = load_backbone(settings.teacher, settings.teacher_weights).freeze()
    name = settings.student or settings.teacher
    same = name == settings.teacher and settings.student_weights is None
    source = settings.teacher_weights if same else settings.student_weights
    torch_state = torch.get_rng_state()
    torch.manual_seed(settings.seed)  # LoRA's and random weights' initialisation, and dropout
    backbone = load_backbone(name, source)
    content = {
        "settings": settings.model_dump(mode="json", exclude={"root"}),
        "data": pairs.fingerprint(),
        "weights": {"teacher": teacher.checksum, "student": backbone.checksum},
        "code": code_version(),
    }
    folder = runs_folder(runs) / f"distil-{settings.loss}-{run_key(content)}"
    try:
        if not folder.is_dir():
            _train_into(folder, settings, pairs, teacher, backbone, content, progress)
    finally:
        torch.set_rng_state(torch_state)
    return Run(folder, settings)


def _train_into(folder: Path, settings: DistilSettings, pairs: data.PairSet, teacher: Backbone,
                backbone: Backbone, content: dict, progress: bool) -> None:  # fmt: skip
    blocks = backbone.check_blocks(settings.student_blocks or settings.blocks)
    probe = torch.zeros(1, 3, *(settings.crop or settings.size))
    with torch.no_grad():
        maps = zip(backbone(probe, blocks), teacher(probe, settings.blocks), strict=True)
        widths = [(own.shape[1], theirs.shape[1]) for own, theirs in maps]
    lora = add_lora(backbone, settings) if settings.lora_rank else None
    student = Student(backbone, blocks, widths).train()
    started = time.perf_counter()
    with whole_folder(folder) as part, (part / "log.jsonl").open("w") as log_file:
        with tqdm(total=settings.steps, desc=settings.loss, disable=no_bar(progress)) as bar:

            def log(entry: dict) -> None:
                log_file.write(json.dumps(entry) + "\n")
                log_file.flush()
                bar.set_postfix_str(f"loss {entry['loss']:.4f}", refresh=False)
                bar.update()

            train(student, teacher, pairs, settings, log)
        net = merge_lora(lora, settings.merge_scale) if lora else backbone.net
        save_file(
            {k: v.contiguous() for k, v in net.state_dict().items()}, part / "student.safetensors"
        )
        write_json(
            part / "manifest.json",
            manifest(**content, seconds=round(time.perf_counter() - started, 1), note=pairs.note),
        )
