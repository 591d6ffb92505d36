"""The registry's view of the procedural scenes: splits are disjoint ranges of seeds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, astuple
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from freqkd_lite.data.base import Pair, PairSet, as_boxes
from freqkd_lite.errors import UserError, check_known
from freqkd_lite.scenes import GENERATOR_VERSION, MASK_CLASSES, Scene, SceneSettings, render_scene
from freqkd_lite.store import cache_folder, digest, read_arrays, write_arrays

# First seed and number of scenes. freqkd_tiny was trained on "pretrain", which nothing else uses.
SPLITS = {
    "train": (0, 400),
    "val": (100_000, 200),
    "test": (200_000, 400),
    "pretrain": (1_000_000, 100_000),
}


@cache
def scene_cache() -> Path:
    """Where drawn scenes are cached, apart for each version of the generator."""
    return cache_folder("scenes") / f"v{GENERATOR_VERSION}"


@lru_cache(maxsize=1000)
def cached_scene(seed: int, size: tuple[int, int], settings: SceneSettings) -> Scene:
    """`render_scene`, cached in memory and on disk (0.2 MB per scene): several notebooks want the
    same ones. A damaged file fails the archive's checksum and is drawn again."""
    path = scene_cache() / f"{seed}-{digest([size, astuple(settings)])}.npz"
    if cached := read_arrays(path):
        parts: dict[str, Any] = {k: v if v.ndim else v.item() for k, v in cached.items()}
        return Scene(**parts)
    scene = render_scene(seed, size, settings)
    with suppress(OSError, UserError):  # a full or read-only disk costs time, not the scene
        write_arrays(path, asdict(scene))
    return scene


def _image(pixels) -> Tensor:
    image = torch.from_numpy(pixels.copy()).float() / 255
    return image.expand(3, -1, -1).clone() if image.ndim == 2 else image.permute(2, 0, 1)


def as_pair(scene: Scene, name: str, size: tuple[int, int]) -> Pair:
    """A rendered scene as a `Pair`."""
    return Pair(
        name=name,
        visible=_image(scene.visible).contiguous(),
        infrared=_image(scene.infrared),
        boxes=as_boxes(torch.from_numpy(scene.boxes).reshape(-1, 4), size),
        labels=torch.from_numpy(scene.labels),
        mask=torch.from_numpy(scene.mask.copy()).long(),
        time_of_day=scene.time,
    )


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
        check_known("split of scenes", SPLITS, split)
        first, count = SPLITS[split]
        if limit is not None and limit > count:
            raise UserError(f"limit={limit}: the {split!r} split of scenes has {count} scenes.")
        self.settings = settings or SceneSettings()
        self._seeds = range(first, first + (limit or count))
        super().__init__(split, size, [f"scene{seed:07d}" for seed in self._seeds])

    def __getitem__(self, index: int) -> Pair:
        scene = cached_scene(self._seeds[index], self.size, self.settings)
        return as_pair(scene, self.names[index], self.size)

    def fingerprint(self) -> str:
        return digest([GENERATOR_VERSION, self._seeds, self.size, self.settings])
