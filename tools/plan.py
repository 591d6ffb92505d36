"""What a distillation will take before it is begun: operations, memory, disk, hours.

    python tools/plan.py --preset kaist_full -p lora_rank=16

Networks are built without weights on torch's device "meta", where a step runs in no time and no
memory, while its operations are counted and what it keeps for the backward pass is added up.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import mse_loss
from torch.utils.flop_counter import FlopCounterMode

from freqkd_lite.distil import DistilSettings, Student, add_lora, settings_from
from freqkd_lite.distil.processes import Processes
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, create_net
from freqkd_lite.losses import CALIBRATORS, needs_anchors, needs_mismatched, normalise
from freqkd_lite.results.text import table
from freqkd_lite.runner.parameters import read_plan

USE = 0.4  # of its peak that a GPU is taken to reach; what large transformers reach in training
SPARE = 0.9  # of a GPU's memory that a step may take
# Memory in GB; dense peaks in TFLOP/s without and with tensor cores' bfloat16, from data sheets.
GPUS = {
    "RTX 4090": (24, 82.6, 165.2),
    "L40S": (48, 91.6, 362.0),
    "A100 SXM": (80, 19.5, 312.0),
    "H100 SXM": (80, 66.9, 989.4),
}


@dataclass(frozen=True)
class Plan:
    """A distillation at full scale: its settings, on how many pairs and GPUs, and where the data
    have to lie (`layout`)."""

    settings: DistilSettings
    pairs: int
    gpus: int = 1
    layout: str = ""


def plan_from(name: str, given: Sequence[str] = ()) -> Plan:
    """The plan of plans/NAME.yaml or a file, with each `name=value` of `given` as a setting.

    `UserError` where its GPUs can't share the batch equally."""
    content = read_plan(name, given)
    settings = settings_from(**content.pop("settings"))
    if "pairs" not in content:
        raise UserError(f"{name} does not say how many pairs there are: add a line 'pairs: 1000'.")
    plan = Plan(settings, **content)
    team = Processes()
    team.count = plan.gpus
    team.check_batch(settings.batch, settings.accumulate)
    return plan


@dataclass(frozen=True)
class Cost:
    """Of one picture: operations of the teacher (a multiplication with its addition is two) and of
    the student's forward and backward pass, bytes that the latter keeps in float32, bytes of the
    teacher's maps in half precision. Of the networks: numbers in all, and trained ones. Where the
    loss looks at the untrained student: operations of its forward pass, and bytes of its maps in
    half precision, else 0."""

    teacher: int
    student: int
    kept: int
    maps: int
    teacher_size: int
    student_size: int
    trained: int
    untrained: int = 0
    untrained_maps: int = 0


def count(settings: DistilSettings) -> Cost:
    """Counts one step on one picture. Transforms and elementwise operations are left out, as is
    usual, and plain normalised MSE stands for the loss."""
    name = settings.student_name
    with torch.device("meta"):
        teacher = Backbone(create_net(settings.teacher), settings.teacher, "none", None).freeze()
        backbone = Backbone(create_net(name), name, "none", None)
        images = torch.zeros(1, 3, *settings.view_size)
        with FlopCounterMode(display=False) as seen:
            targets = teacher(images, settings.blocks)
        blocks = backbone.check_blocks(settings.own_blocks)
        teacher_flops = seen.get_total_flops()
        with FlopCounterMode(display=False) as alone, torch.no_grad():
            start = backbone(images, blocks)
        widths = [(m.shape[1], t.shape[1]) for m, t in zip(start, targets, strict=True)]
        size = sum(p.numel() for p in backbone.parameters())
        if settings.lora_rank:
            add_lora(backbone, settings)
        student = Student(backbone, blocks, widths, settings.projector).train()
        kept = SavedTensors(student, tuple(start[-1].shape[-2:]))
        with FlopCounterMode(display=False) as seen, saved_tensors_hooks(kept.add, lambda x: x):
            maps = student(images, [tuple(t.shape[-2:]) for t in targets])
            both = zip(maps, targets, strict=True)
            sum(mse_loss(normalise(m), normalise(t)) for m, t in both).backward()
    looks = settings.loss in CALIBRATORS or needs_anchors(settings.loss)
    return Cost(
        untrained=looks * alone.get_total_flops(),
        untrained_maps=looks * sum(2 * m.numel() for m in start),
        teacher=teacher_flops,
        student=seen.get_total_flops(),
        kept=kept.size,
        maps=sum(2 * t.numel() for t in targets),
        teacher_size=sum(p.numel() for p in teacher.parameters()),
        student_size=size,
        trained=sum(p.numel() for p in student.parameters() if p.requires_grad),
    )


class SavedTensors:
    """Adds up what is kept for the backward pass: each storage once, and no weights.

    Left out are a transformer's attention scores, of tokens x tokens each: the device "meta" keeps
    them, and the fused attention of CPUs and GPUs does not. It also keeps scaled copies of queries
    and keys, which stay in: 5 to 10 % too much.
    """

    def __init__(self, student: Student, grid: tuple[int, int]):
        self.scores = 2 * (math.prod(grid) + getattr(student.backbone.net, "num_prefix_tokens", 0),)
        self.seen = {p.untyped_storage()._cdata for p in student.parameters()}
        self.storages: list[torch.UntypedStorage] = []  # held, so that no address comes twice
        self.size = 0

    def add(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in self.seen and tuple(x.shape[-2:]) != self.scores:
            self.seen.add(storage._cdata)
            self.storages.append(storage)
            self.size += storage.nbytes()
        return x


@dataclass(frozen=True)
class Estimate:
    """Of a whole run. Operations in the run's precision; those in float32, of features for a cache;
    those that one process does alone in float32, before training; bytes of one GPU without
    pictures, and of each picture that it has at once; bytes on disk of checkpoints, of the student
    and of a teacher cache."""

    operations: float
    exact: float
    alone: float
    fixed: dict[str, float]
    each: dict[str, float]
    checkpoints: int
    student: int
    cache: int

    @property
    def in_all(self) -> float:
        """Operations."""
        return self.operations + self.exact + self.alone

    def hours(self, peak: float, fp32: float, gpus: int) -> float:
        """With GPUs that reach `USE` of a peak of so many TFLOP/s in the run's precision, and of
        one of `fp32`."""
        seconds = self.operations / peak / gpus + self.exact / fp32 / gpus + self.alone / fp32
        return seconds / (1e12 * USE) / 3600

    def shares(self, plan: Plan, memory_gb: float, used: str) -> int | None:
        """In how many shares a GPU of this memory must take its part of a batch; None where even
        one picture at a time does not fit."""
        part = plan.settings.batch // plan.gpus
        room = SPARE * memory_gb * 1e9 - self.fixed[used]
        fits = (n for n in range(1, part + 1) if part % n == 0)
        return next((n for n in fits if part / n * self.each[used] <= room), None)


def estimate(plan: Plan, cost: Cost) -> Estimate:
    """Weights are float32; AdamW keeps two numbers and a gradient for each trained one. In bfloat16
    about half is kept for the backward pass, and a copy of the student's weights. What a loss looks
    at before training is one pass over the pairs; what it holds on to is one network more."""
    settings, loss = plan.settings, plan.settings.loss
    pictures = settings.steps * settings.batch
    views = min(pictures, plan.pairs * settings.crop_list * (2 if 0 < settings.flip < 1 else 1))
    added = cost.trained - (0 if settings.lora_rank else cost.student_size)  # LoRA's, adapters'
    anchored = needs_anchors(loss)
    fixed = 4 * (cost.teacher_size + cost.student_size + added) + 12 * cost.trained
    fixed += 4 * cost.student_size * anchored
    mismatched = plan.pairs * needs_mismatched(loss)
    whole = views * cost.maps + anchored * (views + min(views, mismatched)) * cost.untrained_maps
    kept = min(whole, settings.cache_limit_gb * 1e9) if settings.crop_list else 0
    # Of what a cache takes each is computed once, the rest, as without one, whenever it is seen.
    fits = kept / whole if kept else 0.0
    seen, alone = fits * views + (1 - fits) * pictures, 0
    if loss in CALIBRATORS:  # and what the pass before training leaves in the cache, there
        alone = plan.pairs * (cost.teacher + cost.untrained) + mismatched * cost.untrained
        seen -= fits * min(plan.pairs, views)
    features = seen * (cost.teacher + anchored * cost.untrained)
    return Estimate(
        operations=float(pictures * cost.student + (not settings.crop_list) * features),
        exact=float(bool(settings.crop_list) * features),
        alone=float(alone),
        fixed={"fp32": fixed, "bf16": fixed + 2 * cost.student_size},
        each={"fp32": cost.kept, "bf16": cost.kept / 2},
        checkpoints=3 * 12 * cost.trained,  # two are kept while a third is written
        student=4 * cost.student_size,
        cache=round(kept),
    )


def report(name: str, plan: Plan, cost: Cost) -> str:
    """The plan as two tables, within 80 columns."""
    settings, found = plan.settings, estimate(plan, cost)
    height, width = settings.view_size
    epochs = settings.steps * settings.batch / plan.pairs
    fixed, each = ({k: v / 1e9 for k, v in of.items()} for of in (found.fixed, found.each))
    lines = [
        ("plan", name),
        ("teacher", settings.teacher),
        ("student", settings.student_name),
        ("weights", f"{cost.student_size / 1e6:.1f} million, {cost.trained / 1e6:.1f} trained"),
        ("steps", f"{settings.steps:,} of {settings.batch} pictures of {height}x{width} pixels"),
        ("epochs", f"{epochs:.3g} of {plan.pairs:,} pairs"),
        ("GFLOP", f"{cost.teacher / 1e9:,.0f} teacher, {cost.student / 1e9:,.0f} student, each"),
        ("in all", f"{found.in_all / 1e18:.3g} EFLOP"),
        ("GB per GPU", f"{fixed['fp32']:.1f} in fp32, {fixed['bf16']:.1f} in bf16"),
        ("GB per picture", f"{each['fp32']:.2f} in fp32, {each['bf16']:.2f} in bf16"),
        (
            "GB on disk",
            f"{found.checkpoints / 1e9:.2f} checkpoints, {found.student / 1e9:.2f} "
            f"student, {found.cache / 1e9:.0f} cache",
        ),
    ]
    rows = []
    for gpu, (memory, fp32, bf16) in GPUS.items():
        row = [gpu, memory]
        for used, peak in (("fp32", fp32), ("bf16", bf16)):
            shares = found.shares(plan, memory, used)
            row += [f"{found.hours(peak, fp32, plan.gpus):.1f}", shares or "too small"]
        rows.append(row)
    head = [f"{plan.gpus} GPUs", "GB", "fp32 hours", "accumulate", "bf16 hours", "accumulate"]
    note = (
        f"Hours at {USE:.0%} of the data sheets' dense peak, a guess, without reading pictures;\n"
        "accumulate: in how many shares a GPU's memory takes its part of a batch."
    )
    about = "\n".join(f"{key:13} {value}" for key, value in lines)
    return "\n\n".join([about, table(head, rows), note, plan.layout.rstrip()])


def main(arguments: Sequence[str] | None = None) -> None:
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--preset", default="kaist_full", help="of freqkd_lite/plans/, or a YAML file")
    ask.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    given = ask.parse_args(arguments)
    try:
        plan = plan_from(given.preset, given.p)
        print(report(given.preset, plan, count(plan.settings)))
    except UserError as error:
        sys.exit(f"plan: {error}")


if __name__ == "__main__":
    main()
