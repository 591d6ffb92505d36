"""The teacher: a frozen backbone, and one whose features of fixed views are cached on disk.

A view is what the teacher sees: one picture, resized, cropped, perhaps flipped. Its features are in
one file, in fp16, named by the checksum of the view's pixels, in a folder for teacher, blocks and
what may change the last bits (versions, threads, device). Any number of processes may share a
cache. Each file holds its own checksum, which is checked whenever it is read.

Features are computed one view at a time and rounded to fp16, with a cache or without, so a run has
the same bits in both cases.
"""

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import timm
import torch
from torch import Tensor

from freqkd_lite.distil.checkpoint import Refused, load_sealed, save_sealed
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, find_weights, load_backbone
from freqkd_lite.store import RECIPE, cache_folder, run_key, sha256, sha256_file

DAY = 86_400  # seconds after which a half-written file is abandoned


class Teacher:
    """A frozen backbone on `device`, loaded when first needed; random weights follow `seed`."""

    device = torch.device("cpu")

    def __init__(self, name: str, weights: str | None, blocks: Sequence[int], seed: int = 0):
        self.name, self.weights, self.blocks, self.seed = name, weights, tuple(blocks), seed
        self.path = None if weights == "random" else find_weights(name, weights)

    @cached_property
    def backbone(self) -> Backbone:
        # Forked, so that the time of loading does not change a run's dropout.
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(self.seed)
            return load_backbone(self.name, self.weights).freeze()

    @cached_property
    def checksum(self) -> str | None:
        """SHA-256 of the weights, known from a file without loading the network."""
        return sha256_file(self.path) if self.path else self.backbone.checksum

    @property
    def source(self) -> str:
        return self.path.name if self.path else self.backbone.source

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of the blocks for images (N, 3, H, W) in [0, 1]."""
        return self.backbone.to(self.device)(images.to(self.device), self.blocks)


class CachedTeacher(Teacher):
    """A teacher of fixed views. After `use_cache`, it reads features from disk and stores new ones.

    Its maps are computed in float32 (under autocast too), rounded to fp16, and given as float32.
    """

    folder: Path | None = None
    full = False

    def use_cache(self, blank: Tensor, views: int, limit: float) -> None:
        """Use the cache from here on, until it holds `limit` bytes of all teachers together.

        Prints first what `views` views like `blank` (3, H, W) take. At the limit, or on a full
        disk, training continues without storing more, and prints that.
        """
        about = {"weights": self.checksum, "blocks": self.blocks, "made by": made_by(self.device)}
        self.folder = cache_folder("teacher") / f"{self.name}-{run_key(about)}"
        self.limit, self.used, self.since = limit, tidy(self.folder.parent), 0
        size = views * sum(m.nbytes for m in self._maps(blank))
        print(
            f"Teacher cache {self.folder}: the {views} views of this run take at most "
            f"{size / 1e9:.3g} GB; {self.used / 1e9:.3g} of {limit / 1e9:.3g} GB are used.",
            flush=True,
        )

    def __call__(self, images: Tensor) -> list[Tensor]:
        each = [self._maps(image) for image in images]
        # float first: autocast refuses to stack tensors in half precision.
        return [torch.stack([m.float() for m in maps]) for maps in zip(*each, strict=True)]

    def _maps(self, image: Tensor) -> list[Tensor]:
        if self.folder is None:
            return self._compute(image)
        file = view_file(self.folder, image)
        if file.is_file():
            try:
                return load_sealed(file)["maps"]
            except Refused as reason:
                print(f"{file} in the teacher cache is computed again: {reason}.", flush=True)
        maps = self._compute(image)
        if all(m.isfinite().all() for m in maps) and not self.full:
            self._store(file, maps)
        return maps

    @torch.no_grad()
    def _compute(self, image: Tensor) -> list[Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            found = super().__call__(image[None])
        maps = [m[0].half().cpu() for m in found]
        for rounded, exact in zip(maps, found, strict=True):
            # Maps that are not finite before rounding stop the step, which names the pictures.
            if (rounded.isfinite() != exact[0].cpu().isfinite()).any():
                raise UserError(
                    f"Features of {self.name} don't fit half precision: set crop_list=0, which "
                    "keeps float32 and computes them at each step."
                )
        return maps

    def _store(self, file: Path, maps: list[Tensor]) -> None:
        size, reason = sum(m.nbytes for m in maps), ""
        if self.since > self.limit / 100:  # other processes write as well
            self.used, self.since = tidy(cache_folder("teacher")), 0
        if self.used + size > self.limit:
            reason = f"has reached cache_limit_gb={self.limit / 1e9:g}"
        else:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                save_sealed(file, {"maps": maps}, durable=False)
            except OSError as error:  # a full or read-only disk costs time, not the run
                reason = f"can't be written ({error.strerror})"
        self.used, self.since, self.full = self.used + size, self.since + size, bool(reason)
        if self.full:
            print(
                f"The teacher cache {cache_folder('teacher')} {reason}: training continues and "
                "computes what is not cached; delete old files or raise the limit.",
                flush=True,
            )


def view_file(folder: Path, image: Tensor) -> Path:
    """The file of a view (3, H, W), named after its pixels."""
    pixels = image.contiguous().numpy()
    name = sha256(str(pixels.shape), pixels.tobytes())
    return folder / name[:2] / f"{name}.pt"


def made_by(device: torch.device) -> dict:
    """What may change a feature's last bits, beside weights and pixels."""
    versions = {"torch": torch.__version__, "timm": timm.__version__, "recipe": RECIPE}
    if device.type == "cpu":
        return versions | {"threads": torch.get_num_threads()}
    return versions | {"device": device.type}


def tidy(folder: Path) -> int:
    """Bytes in use; removes the half-written files of processes that were killed."""
    used = 0
    for file in folder.rglob("*"):
        try:
            found = file.lstat()
            if file.suffix == ".part" and time.time() - found.st_mtime > DAY:
                file.unlink()
            elif not file.is_dir():
                used += found.st_size
        except FileNotFoundError:  # another process was quicker
            continue
    return used
