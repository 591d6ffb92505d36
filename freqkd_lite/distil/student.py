"""The student: a backbone, LoRA inside it, and 1x1 convolutions where widths differ."""

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from freqkd_lite.distil.settings import DistilSettings
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, load_backbone

# The authors' attn.qkv, mlp.fc1 and mlp.fc2, and what timm's other transformers have instead.
LORA_TARGETS = r".*(attn\.(qkv|q_proj|k_proj|v_proj)|mlp\.(fc1|fc1_g|fc1_x|fc2))"


class Student(nn.Module):
    """A backbone whose maps come on the teacher's grids and with the teacher's channels.

    `widths` are (student's, teacher's) channels of each block. Where they differ, or with
    `projector` everywhere, a 1x1 convolution maps one to the other.
    """

    def __init__(
        self,
        backbone: Backbone,
        blocks: Sequence[int],
        widths: Sequence[tuple[int, int]],
        projector: bool = False,
    ):
        super().__init__()
        self.backbone, self.blocks = backbone, tuple(blocks)
        self.adapters = nn.ModuleList(
            adapter(own, theirs) if projector or own != theirs else nn.Identity()
            for own, theirs in widths
        )

    def forward(self, images: Tensor, grids: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Maps (N, C, h, w) by block for images (N, 3, H, W) in [0, 1]."""
        own, found = self.backbone(images, self.blocks), []
        for adapt, maps, grid in zip(self.adapters, own, grids, strict=True):
            # Convolved and resized, first what needs less memory: the two commute, and a wide
            # teacher's channels on the fine grid of an early stage would take gigabytes.
            if maps[0, 0].numel() <= math.prod(grid):
                found.append(resize(adapt(maps), grid))
            else:
                found.append(adapt(resize(maps, grid)))
        return found


def adapter(own: int, theirs: int) -> nn.Conv2d:
    """A 1x1 convolution, at first the identity where the widths are the same."""
    convolution = nn.Conv2d(own, theirs, 1)
    if own == theirs:
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.get_parameter("bias"))
    return convolution


def resize(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps (N, C, h, w) on a grid, bilinearly, as the authors do."""
    return maps if tuple(maps.shape[-2:]) == grid else interpolate(maps, grid, mode="bilinear")


def first_student(settings: DistilSettings) -> Backbone:
    """The student's backbone before training. Seeds torch: random weights follow from that, as do
    LoRA's first weights and dropout."""
    torch.manual_seed(settings.seed)
    return load_backbone(settings.student_name, settings.first_weights)


def add_lora(backbone: Backbone, settings: DistilSettings) -> Any:
    """Put LoRA on `LORA_TARGETS` inside the backbone; returns peft's model. `UserError` for a
    network without such layers."""
    from peft import LoraConfig, get_peft_model  # takes seconds, which finished runs don't need

    found = [re.fullmatch(LORA_TARGETS, name) for name, _ in backbone.net.named_modules()]
    if {match[1].partition(".")[0] for match in found if match} != {"attn", "mlp"}:
        raise UserError(
            f"student={backbone.name!r} has no attn.qkv, mlp.fc1, mlp.fc2 for LoRA: "
            "set lora_rank=0 to train the whole network."
        )
    for module in backbone.net.modules():
        if hasattr(module, "qkv_bias_separate"):
            module.qkv_bias_separate = True  # timm calls the layer, and with it LoRA's
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,  # pyright: ignore[reportArgumentType] floats will do
        lora_dropout=settings.lora_dropout,
        target_modules=LORA_TARGETS,
    )
    return get_peft_model(backbone.net, config)
