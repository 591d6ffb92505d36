"""The registry's view of the procedural scenes: splits are disjoint ranges of seeds."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torchvision import tv_tensors

from freqkd_lite.data.base import Pair, PairSet, digest, register
from freqkd_lite.data.scenes import GENERATOR_VERSION, MASK_CLASSES, Scene, SceneSettings
from freqkd_lite.data.scenes import render_scene as _render
from freqkd_lite.errors import UserError, unknown

# First seed and number of scenes. freqkd_tiny was trained on "pretrain", which nothing else uses.
SPLITS = {
    "train": (0, 400),
    "val": (100_000, 200),
    "test": (200_000, 400),
    "pretrain": (1_000_000, 100_000),
}

# A rendered scene takes some 0.2 MB; the bound keeps long sessions in memory, about 400 MB.
render_scene = lru_cache(maxsize=2000)(_render)


def _image(pixels) -> Tensor:
    image = torch.from_numpy(pixels.copy()).float() / 255
    return image.expand(3, -1, -1).clone() if image.ndim == 2 else image.permute(2, 0, 1)


def as_pair(scene: Scene, name: str, size: tuple[int, int]) -> Pair:
    """A rendered scene as a `Pair`."""
    boxes = tv_tensors.BoundingBoxes(
        torch.from_numpy(scene.boxes).reshape(-1, 4), format="XYXY", canvas_size=size
    )
    return Pair(
        name=name,
        visible=_image(scene.visible).contiguous(),
        infrared=_image(scene.infrared),
        boxes=boxes,
        labels=torch.from_numpy(scene.labels),
        mask=torch.from_numpy(scene.mask.copy()).long(),
        light=scene.time,
    )


@register("scenes")
class Scenes(PairSet):
    name = "scenes"
    has = frozenset({"pairs", "boxes", "masks", "splits"})
    mask_classes = MASK_CLASSES
    note = "Scenes are drawn by this project: they show the method, they prove nothing about it."

    def __init__(
        self,
        split: str,
        size: tuple[int, int],
        root: object = None,
        limit: int | None = None,
        settings: SceneSettings | None = None,
    ):
        if root is not None:
            raise UserError("scenes are drawn, not read: leave root empty.")
        if split not in SPLITS:
            raise unknown("split of scenes", split, SPLITS)
        first, count = SPLITS[split]
        if limit is not None and limit > count:
            raise UserError(f"limit={limit}: the {split!r} split of scenes has {count} scenes.")
        self.settings = settings or SceneSettings()
        self._seeds = range(first, first + (limit or count))
        super().__init__(split, size, [f"scene{seed:07d}" for seed in self._seeds])

    def __getitem__(self, index: int) -> Pair:
        scene = render_scene(self._seeds[index], self.size, self.settings)
        return as_pair(scene, self.names[index], self.size)

    def fingerprint(self) -> str:
        return digest([GENERATOR_VERSION, self._seeds, self.size, self.settings])
