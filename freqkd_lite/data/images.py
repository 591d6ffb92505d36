"""Image files of either spectrum, in whatever way cameras and their makers store them.

Pillow decodes. EXIF orientation is honoured. Transparency is ignored: the colours stay as stored.
Infrared becomes one grey channel: of a picture in false colours that is the luma (ITU-R 601).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import v2

from freqkd_lite.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
PERCENTILES = (0.5, 99.5)  # of a picture's own values: they become black and white
STRETCHED = (
    f"Pictures of more than 8 bits are stretched, each from its {PERCENTILES[0]} to its "
    f"{PERCENTILES[1]} percentile, so that absolute temperatures are lost."
)
_DEEP = ("I", "F")  # how the names of Pillow's modes of more than 8 bits a channel begin


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} is missing: put the file there or take its name off the lists.")
    if isinstance(error, PermissionError | IsADirectoryError):
        why = error.strerror.lower()
    elif path.stat().st_size == 0:
        why = "it is empty (0 bytes)"
    elif isinstance(error, UnidentifiedImageError):
        why = "its content is in no known image format, whatever its name says"
    else:
        why = f"it is cut off or damaged ({str(error).rstrip('.') or type(error).__name__})"
    why = " ".join(why.split())
    return UserError(
        f"{path} can't be read as an image, {why}: replace the file or take it out with its "
        "counterpart."
    )


def read_image(path: Path, modality: Literal["visible", "infrared"]) -> Tensor:
    """An image file as float32 (3, H, W) in [0, 1]; infrared is one channel three times over.

    8 bits are divided by 255; more than 8 are stretched (see `STRETCHED`). Raises `UserError` that
    names the file where it is missing, empty, cut off or no image.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if not image.mode.startswith(_DEEP):
                image = image.convert("RGB").convert("RGB" if modality == "visible" else "L")
            pixels = np.array(image)
    except Exception as error:  # Pillow's decoders raise all kinds for broken bytes
        raise _unreadable(path, error) from error
    planes = torch.from_numpy(_stretch(pixels, path) if image.mode.startswith(_DEEP) else pixels)
    planes = planes.expand(3, -1, -1) if planes.ndim == 2 else planes.permute(2, 0, 1)
    return v2.functional.to_dtype(planes.contiguous(), torch.float32, scale=True)


def _stretch(pixels: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(pixels).all():
        raise UserError(f"{path} holds values that are not finite: write it again without them.")
    low, high = np.percentile(pixels, PERCENTILES)
    span = max(high - low, np.finfo(np.float32).tiny)
    return np.clip((pixels - low) / span, 0, 1).astype(np.float32)


def image_header(path: Path) -> tuple[tuple[int, int], bool]:
    """(height, width) in pixels after EXIF orientation, and whether the picture has more than 8
    bits, without decoding it. Errors as `read_image`."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            deep = image.mode.startswith(_DEEP)
    except Exception as error:
        raise _unreadable(path, error) from error
    return ((width, height) if turned else (height, width)), deep
