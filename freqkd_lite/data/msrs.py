"""MSRS: aligned pairs of street scenes, 640x480, by day and night, with boxes on the infrared.

Layout: vi/NAME.jpg or .png, ir/NAME.webp or .png, boxes_ir/NAME.txt (YOLO: class, centre, width and
height as shares of the picture), split.json (lists of names for train, val and test). The names end
in D (day) or N (night). Images: Tang et al., PIAFusion (Information Fusion 2022), derived from
MFNet; boxes: github.com/Lele-3/MSRS-detection-label.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from freqkd_lite.data.base import Pair, PairSet, at_size, data_root, digest, register
from freqkd_lite.errors import UserError, unknown


def read_image(path: Path) -> Tensor:
    """An image file as float32 (3, H, W) in [0, 1], grey repeated; names the file if it can't."""
    try:
        with Image.open(path) as opened:
            image = v2.functional.pil_to_tensor(opened.convert("RGB"))
    except (OSError, SyntaxError) as error:  # Pillow raises both for broken files
        raise UserError(f"{path} can't be read as an image: replace the file.") from error
    return v2.functional.to_dtype(image, torch.float32, scale=True)


def read_yolo(path: Path, size: tuple[int, int], n_classes: int) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) x0 y0 x1 y1 in pixels of a picture of `size`, and labels (N,)."""
    boxes, labels = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, cx, cy, w, h = line.split()
            label, cx, cy, w, h = int(label), float(cx), float(cy), float(w), float(h)
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: expected 'class cx cy w h', found {line!r}: mend the line."
            ) from error
        if not (0 <= label < n_classes and w > 0 and h > 0 and 0 <= cx <= 1 and 0 <= cy <= 1):
            raise UserError(
                f"{path}, line {number}: class must be 0 to {n_classes - 1} and the box have an "
                f"area inside the picture, found {line!r}: mend the line."
            )
        edges = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        boxes.append([min(max(e, 0.0), 1.0) * size[1 - k % 2] for k, e in enumerate(edges)])
        labels.append(label)
    return torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64)


@register("msrs")
class Msrs(PairSet):
    name = "msrs"
    has = frozenset({"pairs", "boxes", "splits"})
    note = "MSRS: its infrared is contrast-enhanced by its authors; boxes drawn on infrared."

    def __init__(self, split: str, size: tuple[int, int], root: object, limit: int | None):
        self.root = data_root("msrs", "msrs361", root)
        listing = self.root / "split.json"
        if not listing.is_file():
            raise UserError(f"{listing} is missing: it lists the names of train, val and test.")
        splits = json.loads(listing.read_text())
        if split not in splits:
            raise unknown("split of msrs", split, splits)
        super().__init__(split, size, splits[split][:limit])

    def _file(self, folder: str, name: str) -> Path:
        for suffix in (".jpg", ".png", ".webp"):
            path = self.root / folder / f"{name}{suffix}"
            if path.is_file():
                return path
        raise UserError(
            f"{self.root / folder / name}.jpg, .png or .webp is missing, though split.json lists "
            f"{name}: add the file or take the name off the list."
        )

    def __getitem__(self, index: int) -> Pair:
        name = self.names[index]
        visible, infrared = (read_image(self._file(f, name)) for f in ("vi", "ir"))
        if visible.shape != infrared.shape:
            raise UserError(
                f"{name}: visible is {tuple(visible.shape[1:])} and infrared "
                f"{tuple(infrared.shape[1:])} pixels: pairs must be aligned and of one size."
            )
        height, width = infrared.shape[-2:]
        labels_file = self.root / "boxes_ir" / f"{name}.txt"
        if not labels_file.is_file():
            raise UserError(
                f"{labels_file} is missing: add it (empty if the picture has no boxes)."
            )
        boxes, labels = read_yolo(labels_file, (height, width), len(self.classes))
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
        light = {"D": "day", "N": "night"}.get(name[-1], "")
        return at_size(Pair(name, visible, infrared, boxes, labels, light=light), self.size)

    def fingerprint(self) -> str:
        files = []
        for name in self.names:
            paths = [self._file("vi", name), self._file("ir", name)]
            paths.append(self.root / "boxes_ir" / f"{name}.txt")
            files += [(p.name, p.stat().st_size) for p in paths if p.is_file()]
        return digest([self.name, self.split, self.size, *files])
