"""The settings of a distillation, checked."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from freqkd_lite import data
from freqkd_lite.errors import UserError, check_known, explained
from freqkd_lite.features import TINY
from freqkd_lite.losses.base import check_options, loss_name
from freqkd_lite.names import OLD_NAMES


class DistilSettings(BaseModel):
    """Everything that decides a distillation. Sizes are (height, width) in pixels; blocks count
    from 0. `exclude` marks what is not part of a run's address: paths (checksums stand for their
    content), what only saves time, and the merge scale, which is applied when the student is read.

    - `dataset`: one name or several with commas between them; `limit` counts the pairs of each.
    - `crop`: train on random crops of this size. With `crop_list=k` each pair has k crops, drawn
      once, so that the teacher's features can be cached on disk in fp16, up to `cache_limit_gb` in
      all (0: no cache, same result); with 0 each step draws new ones.
    - `projector`: a trained 1x1 convolution, at first the identity, between each of the student's
      maps and the loss, which is dropped afterwards (the regressor of FitNets, arXiv 1412.6550). A
      student of another width than its teacher's has one in any case.
    - `mismatched`: each RGB picture meets the infrared one of another pair (`data.mismatched`).
    - `lora_rank=0` trains the whole network. `merge_scale` is how far `Run.student` goes from the
      first weights to the trained ones (the authors' stage 2 uses 0.5).
    - `batch` is that of all processes together. Each takes its part in `accumulate` shares, and the
      loss is their mean: that of the whole batch, except for losses that are not means over images
      (`unic`, `pkd`, `freqkd_paper`) and for batch norm, which sees one share at a time.
    - `clip`: the largest norm of the gradient; None for no limit.
    - `precision="auto"` is bf16 on a GPU that computes in it, else fp32.
    - `checkpoint_every` counts steps; None writes checkpoints by time.
    - `keep_steps=12` saves the trained weights at 12 moments, for `Run.students`; see `moments`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = "scenes"
    root: str | None = Field(None, exclude=True)
    data_options: dict[str, Any] = Field({}, exclude=True)
    split: str = "train"
    limit: int | None = Field(None, ge=1)
    size: tuple[int, int] = (168, 224)
    crop: tuple[int, int] | None = None
    crop_list: int = Field(0, ge=0)
    teacher: str = TINY
    teacher_weights: str | None = Field(None, exclude=True)
    student: str | None = None
    student_weights: str | None = Field(None, exclude=True)
    blocks: tuple[int, ...] = (1, 3, 5, 7)
    student_blocks: tuple[int, ...] | None = None
    loss: str = "freqkd_code"
    loss_options: dict[str, float | str] = {}
    projector: bool = False
    mismatched: bool = False
    lora_rank: int = Field(16, ge=0)
    lora_alpha: float = Field(16.0, gt=0)
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    merge_scale: float = Field(1.0, ge=0, exclude=True)
    steps: int = Field(80, ge=1)
    batch: int = Field(8, ge=1)
    accumulate: int = Field(1, ge=1)
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(10, ge=0)
    clip: float | None = Field(1.0, gt=0)
    flip: float = Field(0.5, ge=0, le=1)
    seed: int = Field(0, ge=0, lt=2**32)
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every: int | None = Field(None, ge=1, exclude=True)
    keep_steps: int = Field(0, ge=0, le=1000, exclude=True)
    cache_limit_gb: float = Field(20.0, ge=0, exclude=True)

    @property
    def student_name(self) -> str:
        """The student's timm model: the teacher's unless `student` names another."""
        return self.student or self.teacher

    @property
    def first_weights(self) -> str | None:
        """The weights that the student begins with: the teacher's where it is the same model."""
        if self.student_name == self.teacher and self.student_weights is None:
            return self.teacher_weights
        return self.student_weights

    @property
    def own_blocks(self) -> tuple[int, ...]:
        """The student's blocks, one for each of the teacher's `blocks`."""
        return self.student_blocks or self.blocks

    @property
    def moments(self) -> list[int]:
        """The steps after which weights are saved, close together at first, up to the last one."""
        count = self.keep_steps
        return sorted({math.ceil(self.steps * i**2 / count**2) for i in range(1, count + 1)})

    @property
    def view_size(self) -> tuple[int, int]:
        """The (height, width) that teacher and student see."""
        return self.crop or self.size


def settings_from(**values: Any) -> DistilSettings:
    """`DistilSettings`, or a `UserError` that names the wrong one. Older names are accepted."""
    fields = DistilSettings.model_fields
    values = {OLD_NAMES.get(k, k) if k not in fields else k: v for k, v in values.items()}
    check_known("setting of a distillation", fields, *values)
    if isinstance(values.get("loss"), str):
        values["loss"] = loss_name(values["loss"])
    with explained():
        settings = DistilSettings(**values)
    check_options(settings.loss, settings.loss_options)
    for name in settings.dataset.split(","):
        data.check_options(name.strip(), settings.data_options)
    if len(settings.own_blocks) != len(settings.blocks):
        raise UserError(
            f"student_blocks={list(settings.own_blocks)} must be as many as "
            f"blocks={list(settings.blocks)}: the first is matched to the first and so on."
        )
    return settings
