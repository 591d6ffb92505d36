"""Stage 1: an infrared student learns, without labels, to see what its RGB teacher sees.

FreqKD's recipe (FACTS of the method: teacher = student's initialisation, frozen on RGB; LoRA on
attn.qkv, mlp.fc1 and mlp.fc2; AdamW, warm-up then cosine, clipping), at any scale.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm.auto import tqdm

from freqkd_lite import data
from freqkd_lite.distil import precision
from freqkd_lite.distil.checkpoints import Checkpoints
from freqkd_lite.distil.processes import Processes
from freqkd_lite.distil.teacher import FixedTeacher, Teacher
from freqkd_lite.errors import Interrupted, UserError, unknown
from freqkd_lite.features import TINY, Backbone, create_net, extract, load_backbone
from freqkd_lite.losses import (
    CALIBRATORS,
    LossParts,
    Statistics,
    build_loss,
    calibrate,
    check_options,
    load_statistics,
    loss_name,
    needs_anchors,
    needs_mismatched,
    pack_statistics,
)
from freqkd_lite.store import (
    RECIPE,
    manifest,
    no_bar,
    run_key,
    runs_folder,
    sole_maker,
    write_json,
    write_whole,
)

# What does not decide what is trained: the data's fingerprint and the weights' checksums stand for
# places, two only save time, and the last one counts when the student is read.
NOT_ADDRESSED = {"root", "data_options", "teacher_weights", "student_weights",
                 "checkpoint_every", "cache_limit_gb", "merge_scale"}  # fmt: skip
MEASURED = "loss.safetensors"  # what a loss measured before training (`losses.calibrate`)
FILES = {"student.safetensors", "log.jsonl", "manifest.json", MEASURED}


class DistilSettings(BaseModel):
    """Everything that decides a stage-1 run. Sizes in pixels, blocks counted from 0.

    `dataset` may be several with commas between them; `limit` counts the pairs of each.

    `lora_rank=0` trains the whole student. `merge_scale` is how far `Run.student` goes from the
    first weights to the trained ones: LoRA's update merged at that scale, or a blend of whole
    networks (the authors' stage 2 uses 0.5 of both). Runs that differ in it alone are one training.
    `crop` trains on random crops of (height, width) pixels.

    `crop_list=k` draws each pair's k crops once, from the seed, so that the teacher's features can
    be kept on disk, in fp16 and until all take `cache_limit_gb` (0 keeps none, the result is the
    same); 0 draws a fresh crop at each step. Without `crop` the one fixed view is the whole
    picture. `data_options` go to the data set. `checkpoint_every` counts steps; None goes by time.

    `projector` lets a 1x1 convolution, at first the identity, be trained between each of the
    student's maps and the loss, and leaves it behind (the regressor of FitNets, arXiv 1412.6550):
    what the student knows need not stand in the teacher's own channels. A student of another width
    has one in any case.

    `shuffled` gives each RGB picture another infrared one of its own set, in an order drawn from
    the seed.

    `batch` is what one step sees, of all processes together; each takes its part in `accumulate`
    shares one after the other, and the loss is the mean over shares: what the whole batch would
    give, but for `unic`, `pkd` and `freqkd_paper`, which are no means over images, and for a
    student with batch norm, which norms each share by itself (and keeps the statistics of the first
    process).
    `clip` bounds the gradient's norm (None: no bound); with `clip_relative` it counts in medians of
    the last 100 steps' norms, so that the scale of a loss plays no part. `precision="auto"`
    measures once, before the first step, whether bfloat16 is faster here, and the run keeps to
    that.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = "scenes"
    root: str | None = None
    data_options: dict[str, Any] = {}
    split: str = "train"
    limit: int | None = Field(None, ge=1)
    size: tuple[int, int] = (168, 224)
    crop: tuple[int, int] | None = None
    crop_list: int = Field(0, ge=0)
    teacher: str = TINY
    teacher_weights: str | None = None
    student: str | None = None
    student_weights: str | None = None
    blocks: tuple[int, ...] = (1, 3, 5, 7)
    student_blocks: tuple[int, ...] | None = None
    loss: str = "freqkd_code"
    loss_options: dict[str, float | str] = {}
    projector: bool = False
    shuffled: bool = False
    lora_rank: int = Field(16, ge=0)
    lora_alpha: float = Field(16.0, gt=0)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    merge_scale: float = Field(1.0, ge=0)
    steps: int = Field(80, ge=1)
    batch: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(10, ge=0)
    clip: float | None = Field(1.0, gt=0)
    clip_relative: bool = False
    flip: float = Field(0.5, ge=0, le=1)
    seed: int = Field(0, ge=0)
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every: int | None = Field(None, ge=1)
    cache_limit_gb: float = Field(20.0, ge=0)


def settings_from(**values: object) -> DistilSettings:
    """`DistilSettings`, with a wrong name or type told in one sentence (`UserError`)."""
    for name in values:
        if name not in DistilSettings.model_fields:
            raise unknown("setting of a distillation", name, DistilSettings.model_fields)
    if "loss" in values:
        values["loss"] = loss_name(values["loss"])
    try:
        settings = DistilSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{name}={first['input']!r} can't be used: {first['msg'].lower()}."
        ) from error
    check_options(settings.loss, settings.loss_options)
    for name in settings.dataset.split(","):
        data.check_options(name.strip(), settings.data_options)
    own = settings.student_blocks or settings.blocks
    if len(own) != len(settings.blocks):
        raise UserError(
            f"student_blocks={list(own)} must be as many as blocks={list(settings.blocks)}, for "
            "the first is matched to the first and so on: name one of the student's for each."
        )
    return settings


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

    def loss(self, students: list[Tensor], teachers: list[Tensor],
             untrained: list[Tensor]) -> LossParts:  # fmt: skip
        """The run's own loss on maps (N, C, h, w) by block, with what it measured before training;
        `untrained` are the maps of the student as it began, for losses that hold on to them."""
        file, name = self.folder / MEASURED, self.settings.loss
        statistics = load_statistics(file) if file.is_file() else None
        loss_of = build_loss(name, statistics=statistics, **self.settings.loss_options)
        return loss_of(students, teachers, *([untrained] if needs_anchors(name) else []))

    def student(self) -> Backbone:
        """The distilled student, frozen, at the settings' `merge_scale`. Raises `UserError` where
        that asks for the weights it began with, and they are not those any more."""
        name, scale = self.settings.student or self.settings.teacher, self.settings.merge_scale
        trained = load_file(self.folder / "student.safetensors")
        if scale != 1:
            with torch.random.fork_rng(range(torch.cuda.device_count())):
                first = first_student(self.settings)
            if first.checksum != self.manifest["weights"]["student"]:
                raise UserError(
                    f"merge_scale={scale} of {self.folder.name} needs the weights of {name} that "
                    f"it began with, and {first.source} holds others: give those, or merge_scale=1."
                )
            start = first.net.state_dict()
            trained = {key: start[key].lerp(value, scale) if value.is_floating_point() else value
                       for key, value in trained.items()}  # fmt: skip
        net = create_net(name)
        net.load_state_dict(trained)
        return Backbone(net, name, f"run {self.folder.name}", None).freeze()


def first_student(settings: DistilSettings) -> Backbone:
    """The student as its training begins. Seeds torch: random weights follow from that, and LoRA's
    first ones and dropout from what comes next."""
    name = settings.student or settings.teacher
    same = name == settings.teacher and settings.student_weights is None
    torch.manual_seed(settings.seed)
    return load_backbone(name, settings.teacher_weights if same else settings.student_weights)


class Student(nn.Module):
    """A backbone, and 1x1 convolutions for those maps whose width is not the teacher's, or, with
    `projector`, for all.

    Its maps come on the teacher's grids. A convolution of 1x1 and a bilinear map change places
    freely; whichever grid is smaller is the one that is convolved, for a wide teacher's channels
    on the fine grid of an early stage would take gigabytes.
    """

    def __init__(self, backbone: Backbone, blocks: tuple[int, ...], widths: list[tuple[int, int]],
                 projector: bool = False):  # fmt: skip
        super().__init__()
        self.backbone, self.blocks = backbone, blocks
        self.adapters = nn.ModuleList(
            nn.Identity() if own == theirs and not projector else _adapter(own, theirs)
            for own, theirs in widths
        )

    def forward(self, images: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
        maps = self.backbone(images, self.blocks)
        return [
            resize(adapt(m), grid) if m[0, 0].numel() <= math.prod(grid) else adapt(resize(m, grid))
            for adapt, m, grid in zip(self.adapters, maps, grids, strict=True)
        ]


def _adapter(own: int, theirs: int) -> nn.Conv2d:
    """1x1, at first the identity where the widths are the same."""
    adapter = nn.Conv2d(own, theirs, 1)
    if own == theirs:
        nn.init.dirac_(adapter.weight)
        nn.init.zeros_(adapter.bias)
    return adapter


def resize(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (N, C, h, w) on a grid, bilinearly, as the authors do."""
    return maps if tuple(maps.shape[-2:]) == grid else interpolate(maps, grid, mode="bilinear")


class View(NamedTuple):
    """One picture of a batch: which pair, the corner of its crop, and whether it is mirrored."""

    index: int
    top: int
    left: int
    flip: bool


def plan(pairs: data.PairSet, settings: DistilSettings) -> Iterator[list[View]]:
    """The views of each step. They follow from the seed alone, so every arm sees the same, and a
    run that goes on after a stop finds its place by counting."""
    height, width = settings.crop or pairs.size
    rows, columns = pairs.size[0] - height + 1, pairs.size[1] - width + 1
    if min(rows, columns) < 1:
        raise UserError(f"crop={settings.crop} is larger than size={pairs.size}: make it smaller.")
    draw, listed = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
    corners = torch.rand(len(pairs), settings.crop_list, 2, generator=listed).tolist()
    order: list[int] = []
    for _ in range(settings.steps):
        while len(order) < settings.batch:
            order += torch.randperm(len(pairs), generator=draw).tolist()
        chosen, order = order[: settings.batch], order[settings.batch :]
        views = []
        for index in chosen:
            y, x, flip = torch.rand(3, generator=draw).tolist()
            if settings.crop_list:
                y, x = corners[index][int(y * settings.crop_list)]
            views.append(View(index, int(y * rows), int(x * columns), flip < settings.flip))
        yield views


def strangers(pairs: data.PairSet, seed: int) -> list[int]:
    """By pair, the one whose infrared picture it meets in mismatched pairs, see
    `data.mismatched`."""
    return data.mismatched([pairs.part(i) for i in range(len(pairs))], seed)


def load_views(
    pairs: data.PairSet, views: list[View], settings: DistilSettings
) -> tuple[Tensor, Tensor]:
    """A batch (visible, infrared), each (batch, 3, H, W); infrared of `strangers` where `shuffled`,
    which shows what layout and regularisation alone bring."""
    batch, others = [], strangers(pairs, settings.seed) if settings.shuffled else None
    for index, top, left, flip in views:
        pair = pairs[index]
        other = pairs[others[index]] if others else pair
        height, width = settings.crop or pairs.size
        both = torch.stack([pair.visible, other.infrared])
        both = both[..., top : top + height, left : left + width]
        batch.append(both.flip(-1) if flip else both)
    visible, infrared = torch.stack(batch, 1)
    return visible, infrared


def batches(pairs: data.PairSet, settings: DistilSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (visible, infrared) of a run, each (batch, 3, H, W), in their order."""
    return (load_views(pairs, views, settings) for views in plan(pairs, settings))


def learning_rate(step: int, settings: DistilSettings) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * share))


# The authors' attn.qkv, mlp.fc1 and mlp.fc2, and what stands in their place in models of timm that
# keep q, k and v apart or gate the first layer.
LORA_TARGETS = r".*(attn\.(qkv|q_proj|k_proj|v_proj)|mlp\.(fc1|fc1_g|fc1_x|fc2))"


def add_lora(backbone: Backbone, settings: DistilSettings) -> nn.Module:
    """LoRA on attn.qkv, mlp.fc1 and mlp.fc2 (`LORA_TARGETS`), inside the backbone; returns peft's
    model. `UserError` for a network that has no such attention: LoRA is for transformers."""
    # here, for it takes longer to import than all the rest, and finished runs don't need it
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=LORA_TARGETS,
    )
    found = [re.fullmatch(LORA_TARGETS, name) for name, _ in backbone.net.named_modules()]
    if {match[1].partition(".")[0] for match in found if match} != {"attn", "mlp"}:
        raise UserError(
            f"student={backbone.name!r} has no attn.qkv, mlp.fc1, mlp.fc2 for LoRA: "
            "set lora_rank=0 to train the whole network."
        )
    for module in backbone.net.modules():
        if hasattr(module, "qkv_bias_separate"):  # else timm multiplies by its weight, past LoRA's
            module.qkv_bias_separate = True
    return get_peft_model(backbone.net, config)


class Untrained:
    """The student as it was before training, for losses that measure it or hold on to it. Its
    features of fixed views (`crop_list`) are computed once and kept, as the teacher's are."""

    def __init__(self, backbone: Backbone, settings: DistilSettings, device: torch.device):
        self.blocks = settings.student_blocks or settings.blocks
        same = backbone.name == settings.teacher and settings.student_weights is None
        weights = settings.teacher_weights if same else settings.student_weights
        kind = FixedTeacher if settings.crop_list else Teacher
        self.maps = kind(backbone.name, weights, self.blocks, settings.seed)
        self.maps.device = device

    def __call__(self, infrared: Tensor, targets: list[Tensor]) -> list[Tensor]:
        """Maps (N, C, h, w) by block on the grids of the teacher's `targets`, and beside them."""
        maps = [own.to(t.device) for own, t in zip(self.maps(infrared), targets, strict=True)]
        for own, theirs in zip(maps, targets, strict=True):
            if own.shape[1] != theirs.shape[1]:
                raise UserError(
                    f"This loss compares the untrained {self.maps.name} with its teacher, and "
                    f"their maps have {own.shape[1]} and {theirs.shape[1]} channels: choose a "
                    "student as wide as its teacher, or another loss."
                )
        return [resize(own, tuple(t.shape[-2:])) for own, t in zip(maps, targets, strict=True)]


def measure_loss(untrained: Untrained, teacher: Teacher, pairs: data.PairSet,
                 settings: DistilSettings, file: Path) -> list[Statistics]:  # fmt: skip
    """What the loss must know before training, from one pass over the pairs in the views of the
    first steps; kept in `file`, from where a run that goes on reads it. Strangers are of the same
    set, in the same crop, drawn with another seed than those of a `shuffled` training."""
    strange = settings.model_copy(update={"shuffled": True, "seed": settings.seed + 1})

    def batches() -> Iterator[tuple[list[Tensor], ...]]:
        enough = -(-len(pairs) // settings.batch)
        for views in islice(plan(pairs, settings.model_copy(update={"steps": enough})), enough):
            visible, infrared = load_views(pairs, views, settings)
            targets = [target.to(infrared) for target in teacher(visible)]
            found = [untrained(infrared, targets), targets]
            looked = [settings]
            if needs_mismatched(settings.loss):
                found.append(untrained(load_views(pairs, views, strange)[1], targets))
                looked.append(strange)
            if not all(m.isfinite().all() for maps in found for m in maps):
                raise UserError(
                    "Features that the loss looks at before training are not finite: look at the "
                    f"weights, and at these pairs ({_names(pairs, views, *looked)})."
                )
            yield tuple(found)

    if not file.is_file():
        statistics = calibrate(settings.loss, batches(), **settings.loss_options)
        write_whole(file, pack_statistics(statistics))
    return load_statistics(file)


def train(student: Student, teacher: Teacher, pairs: data.PairSet, settings: DistilSettings,
          checkpoints: Checkpoints, log: Callable[[dict], None], team: Processes,
          statistics: list[Statistics] | None = None, untrained: Untrained | None = None,
          ) -> None:  # fmt: skip
    """The loop itself: `settings.steps` steps of AdamW on the label-free loss, with what the loss
    measured before (`statistics`) and the untrained student, where it needs them."""
    loss_of = build_loss(settings.loss, statistics=statistics, **settings.loss_options)
    anchored = needs_anchors(settings.loss)
    weights = [p for p in student.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    with team.in_turn():  # the first one puts damaged files aside
        done = checkpoints.restore(student, optimiser)
        norms = [entry["gradient_norm"] for entry in checkpoints.entries()]
    if checkpoints.precision is None:
        checkpoints.precision = team.agree(_precision(student, teacher, pairs, settings, team))
    for step, views in islice(enumerate(plan(pairs, settings)), done, None):
        team.seed(settings.seed, step)
        optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor | int] = {}
        for share in team.shares(views, settings.accumulate):
            visible, infrared = load_views(pairs, share, settings)
            with precision.autocast(team.device, checkpoints.precision["used"]):
                targets = [t.to(team.device) for t in teacher(visible)]
                grids = [tuple(t.shape[-2:]) for t in targets]
                outputs = student(infrared.to(team.device), grids)
                anchors = [untrained(infrared, targets)] if anchored else []
            loss = loss_of(outputs, targets, *anchors)
            (loss.total / settings.accumulate).backward()
            for key, value in {"": loss.total, **loss.parts}.items():
                sums[key] = sums.get(key, 0) + value.detach()
        means = team.mean(torch.stack(list(sums.values())) / settings.accumulate).tolist()
        total, *parts = means
        team.share_gradients(weights)
        norm = nn.utils.clip_grad_norm_(weights, clip_at(norms, settings)).item()
        if not math.isfinite(total + norm):
            raise UserError(
                f"The loss or its gradient is not finite at step {step}: lower lr={settings.lr}, "
                f"or look at the pairs of this batch ({_names(pairs, views, settings)})."
            )
        rate = learning_rate(step, settings)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        norms.append(norm)
        rounded = [round(value, 7) for value in parts]
        log({"step": step, "loss": total, "parts": dict(zip(list(sums)[1:], rounded, strict=True)),
             "lr": rate, "gradient_norm": norm})  # fmt: skip
        if team.first:
            checkpoints.after(step + 1, student, optimiser)


def _names(pairs: data.PairSet, views: Sequence[View], *looked: DistilSettings) -> str:
    """The pairs whose pictures a batch holds, read as each of some settings says."""
    own = [view.index for view in views]
    seen = list(own)
    for settings in looked:
        if settings.shuffled:
            others = strangers(pairs, settings.seed)
            seen += [others[index] for index in own]
    return ", ".join(dict.fromkeys(pairs.names[index] for index in seen))


def clip_at(norms: list[float], settings: DistilSettings) -> float:
    """The largest gradient norm that a step may have, after steps with these norms."""
    if settings.clip is None or (settings.clip_relative and not norms):
        return math.inf
    return settings.clip * (median(norms[-100:]) if settings.clip_relative else 1)


def _precision(student: Student, teacher: Teacher, pairs: data.PairSet, settings: DistilSettings,
               team: Processes) -> dict:  # fmt: skip
    """What to compute in, measured on a blank share of a batch where `settings` say "auto"."""
    if settings.precision != "auto":
        return {"used": settings.precision}
    share = settings.batch // team.count // settings.accumulate
    images = torch.zeros(share, 3, *(settings.crop or pairs.size))
    grids = [tuple(t.shape[-2:]) for t in teacher(images[:1])]
    return precision.measure(student, images.to(team.device), grids)


def distil(settings: DistilSettings, runs: str | Path | None = None, progress: bool = True) -> Run:
    """Train a student as `settings` say, or return the finished run of the same content.

    Content is the settings, the checksums of data and weights, and `RECIPE`. The folder holds
    student.safetensors (merged), log.jsonl and manifest.json; it appears whole or not at all.
    While the run lasts, its state lies beside it in .NAME.part, from where a stopped run goes on:
    on a CPU with the same number of threads its weights are those of an uninterrupted one, bit for
    bit. Where `accelerate launch` started several processes, all call this, train together on their
    parts of each batch, and return the same run. Raises `Interrupted` on Ctrl-C, and `UserError`
    for what settings, data or disk deny.
    """
    team = Processes(settings.device)
    team.check_batch(settings.batch, settings.accumulate)
    pairs = data.open_sets(settings.dataset, settings.split, settings.size, settings.root,
                           limit=settings.limit, **settings.data_options)  # fmt: skip
    data.require(pairs, "pairs", notebook="Distillation")
    teacher = (FixedTeacher if settings.crop_list else Teacher)(
        settings.teacher, settings.teacher_weights, settings.blocks, settings.seed
    )
    teacher.device = team.device
    torch_state = torch.get_rng_state()
    backbone = first_student(settings)
    content = {
        "settings": settings.model_dump(mode="json", exclude=NOT_ADDRESSED),
        "data": pairs.fingerprint(),
        "weights": {"teacher": teacher.checksum, "student": backbone.checksum},
        "recipe": RECIPE,
    }
    folder = runs_folder(runs) / f"distil-{settings.loss}-{run_key(content)}"
    part = folder.with_name(f".{folder.name}.part")
    try:
        with sole_maker(folder) if team.first else nullcontext():
            if not team.agree(folder.is_dir() or (part / "manifest.json").is_file()):
                _train_into(part, settings, pairs, teacher, backbone, content, progress, team)
            if team.first and not folder.is_dir():
                _finish(part, folder)
            team.agree()
    except KeyboardInterrupt:
        raise Interrupted(
            f"{_saved(part, folder, settings)} Run the same again to go on."
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"The disk of {folder.parent} is full. {_saved(part, folder, settings)} Make room and "
            "run the same again to go on."
        ) from error
    finally:
        torch.set_rng_state(torch_state)
    return Run(folder, settings)


def _train_into(part: Path, settings: DistilSettings, pairs: data.PairSet, teacher: Teacher,
                backbone: Backbone, content: dict, progress: bool,
                team: Processes) -> None:  # fmt: skip
    """Train in the working folder; the manifest, written last, says that it is complete."""
    blocks = backbone.check_blocks(settings.student_blocks or settings.blocks)
    blank = torch.zeros(3, *(settings.crop or pairs.size))
    needs = settings.loss in CALIBRATORS, needs_anchors(settings.loss)
    untrained = Untrained(backbone, settings, team.device) if any(needs) else None
    if settings.crop_list and settings.cache_limit_gb:
        views = len({view for step in plan(pairs, settings) for view in step})
        teacher.keep(blank, views, settings.cache_limit_gb * 1e9)
        if needs[1]:  # measuring may look at a stranger beside each pair
            once = needs_mismatched(settings.loss) * -(-len(pairs) // settings.batch)
            views += min(views, once * settings.batch)
            untrained.maps.keep(blank, views, settings.cache_limit_gb * 1e9)
    own = extract(backbone.to(team.device), blank[None].to(team.device), blocks)
    widths = [(m.shape[1], t.shape[1]) for m, t in zip(own, teacher(blank[None]), strict=True)]
    lora = add_lora(backbone, settings) if settings.lora_rank else None
    student = Student(backbone, blocks, widths, settings.projector).to(team.device).train()
    part.mkdir(parents=True, exist_ok=True)
    checkpoints = Checkpoints(part, run_key(content), settings.checkpoint_every)
    statistics = None
    if settings.loss in CALIBRATORS:
        with team.in_turn():  # the first one measures
            statistics = measure_loss(untrained, teacher, pairs, settings, part / MEASURED)
    if not needs[1]:
        untrained = None  # what has been measured needs its network no more
    try:
        with (
            (part / "log.jsonl" if team.first else Path(os.devnull)).open("a") as log_file,
            tqdm(
                initial=checkpoints.steps,
                total=settings.steps,
                desc=settings.loss,
                disable=no_bar(progress and team.first),
            ) as bar,
        ):

            def log(entry: dict) -> None:
                log_file.write(json.dumps(entry) + "\n")
                log_file.flush()
                bar.set_postfix_str(f"loss {entry['loss']:.4f}", refresh=False)
                bar.update(entry["step"] + 1 - bar.n)

            train(student, teacher, pairs, settings, checkpoints, log, team, statistics, untrained)
        if not team.first:
            return
        student.cpu()
        net = lora.merge_and_unload(safe_merge=True) if lora else backbone.net
        weights = {name: value.contiguous() for name, value in net.state_dict().items()}
        write_whole(part / "student.safetensors", save(weights))
        models = {
            role: {"model": model.name, "source": model.source, "checksum": model.checksum}
            for role, model in (("teacher", teacher), ("student", backbone))
        }
        told = {"seconds": round(checkpoints.seconds, 1), "restarts": checkpoints.restarts,
                "device": _device(team), "processes": team.count,
                "precision": checkpoints.precision["used"]}  # fmt: skip
        if "seconds" in checkpoints.precision:
            told["precision_seconds"] = checkpoints.precision["seconds"]
        write_json(part / "manifest.json", manifest(**content | told, models=models,
                                                    note=pairs.note))  # fmt: skip
    except BaseException:
        if team.first and not checkpoints.saved():
            shutil.rmtree(part, ignore_errors=True)  # nothing in it to go on from
        raise


def _device(team: Processes) -> str:
    cuda = team.device.type == "cuda"
    return torch.cuda.get_device_name(team.device) if cuda else "cpu"


def _finish(part: Path, folder: Path) -> None:
    """The working folder becomes the run's, with what belongs to a run and nothing else."""
    for path in part.iterdir():
        if path.name not in FILES:
            path.unlink()
    os.replace(part, folder)


def _saved(part: Path, folder: Path, settings: DistilSettings) -> str:
    """What is on disk of a run that was stopped, in a sentence."""
    if folder.is_dir() or (part / "manifest.json").is_file():
        return f"All {settings.steps} steps of {folder} are saved."
    steps = Checkpoints(part, "").steps
    return (
        f"{steps} of {settings.steps} steps are saved in {part}." if steps else "Nothing is saved."
    )
