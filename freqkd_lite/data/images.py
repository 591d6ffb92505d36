"""Image files of either spectrum, in the formats that cameras write.

Pillow decodes. EXIF orientation is honoured. Transparency is ignored: the colours stay as stored.
Infrared becomes one grey channel: of a picture in false colours that is the luma (ITU-R 601).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError
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
_SIGNED, _FLOAT = (2,), (3,)  # TIFF's SampleFormat
# Floats that Pillow's table of TIFFs lacks: those of 64 bits, and those of 16, which have no mode
# of their own and are read as integers of the same bits.
for _start, _order in ((b"II", ""), (b"MM", "B")):
    for _photometric in (0, 1):
        _kind = (_start, _photometric, _FLOAT, 1)
        TiffImagePlugin.OPEN_INFO[*_kind, (16,), ()] = (f"I;16{_order}", f"I;16{_order}")
        TiffImagePlugin.OPEN_INFO[*_kind, (64,), ()] = ("F", f"F;64{_order}F")


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path} is missing: add the file or remove its name from the lists.")
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return UserError(f"{path} is too large to open: downscale or crop both images.")
    why = f"it is cut off or damaged ({str(error).rstrip('.') or type(error).__name__})"
    if isinstance(error, PermissionError | IsADirectoryError):
        why = str(error.strerror).lower()
    elif not path.stat().st_size:
        why = "it is empty (0 bytes)"
    elif isinstance(error, UnidentifiedImageError):
        why = "its content is not in a known image format, despite its name"
    remedy = "replace the file or remove it and its counterpart"
    return UserError(f"{path} can't be read as an image, {' '.join(why.split())}: {remedy}.")


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The file, not yet decoded; all its faults are `UserError`s."""
    try:
        # A stream, since Pillow maps a file given by name into memory, and then mixes up the rows
        # of a turned TIFF.
        with path.open("rb") as stream, Image.open(stream) as image:
            tags, deep = getattr(image, "tag_v2", {}), image.mode.startswith(_DEEP)
            signed = image.mode == "L" and tags.get(TiffImagePlugin.SAMPLEFORMAT) == _SIGNED
            bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
            if signed or (not deep and (bits > 8 or re.search(";16[BLN]", str(image.tile)))):
                kind = "bytes with a sign" if signed else "colours or transparency of 16 bits"
                raise UserError(f"{path} has {kind}: save it as grey of 16 bits or RGB of 8.")
            yield image
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise all kinds for broken bytes
        raise _unreadable(path, error) from error


def read_image(path: Path, modality: Literal["visible", "infrared"]) -> Tensor:
    """An image file as float32 (3, H, W) in [0, 1]; infrared is one channel three times over.

    8 bits are divided by 255; more than 8 are stretched (see `STRETCHED`). Raises `UserError` that
    names the file where it is missing, empty, cut off, too large, no image or of a kind that is not
    read: colours or transparency of 16 bits, bytes with a sign.
    """
    with _opened(path) as opened:
        tags = getattr(opened, "tag_v2", {})
        of_floats = tags.get(TiffImagePlugin.SAMPLEFORMAT) == _FLOAT
        if of_floats and opened.tile[0][0] == "libtiff":  # which puts the bytes in order itself
            mode, *rest = tuple(opened.tile[0].args or ())
            opened.tile = [opened.tile[0]._replace(args=(mode.replace("BF", "NF"), *rest))]
        image = ImageOps.exif_transpose(opened)
        deep = image.mode.startswith(_DEEP)
        if not deep:
            image = image.convert("RGB").convert("RGB" if modality == "visible" else "L")
        pixels = np.array(image)
    if of_floats and pixels.itemsize == 2:
        pixels = pixels.view(pixels.dtype.str.replace("u", "f")).astype(np.float32)
    if deep and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        pixels = -pixels.astype(np.float64)
    planes = torch.from_numpy(_stretch(pixels, path) if deep else pixels)
    planes = planes.expand(3, -1, -1) if planes.ndim == 2 else planes.permute(2, 0, 1)
    return v2.functional.to_dtype(planes.contiguous(), torch.float32, scale=True)


def read_four(path: Path) -> tuple[Tensor, Tensor]:
    """(visible, infrared), as `read_image` gives them, of a picture with four channels: RGB, and
    infrared where others have transparency. `UserError` for another number of channels."""
    with _opened(path) as opened:
        pixels, mode = np.array(opened), opened.mode
    if mode != "RGBA":
        raise UserError(
            f"{path} is {mode} and not RGB with infrared as fourth channel: replace it."
        )
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    planes = v2.functional.to_dtype(planes, torch.float32, scale=True)
    return planes[:3].clone(), planes[3:].repeat(3, 1, 1)


def read_ids(path: Path, size: tuple[int, int], classes: int) -> Tensor:
    """A label picture of one grey channel of 8 bits as ids (H, W), int64. `UserError` for colours
    or a palette, for another size (height, width), and for ids of `classes` or more."""
    with _opened(path) as opened:
        ids, mode = torch.from_numpy(np.array(opened).astype(np.int64)), opened.mode
    if mode != "L":
        kind = {"P": "a palette picture, whose numbers are colour indices"}.get(mode, mode)
        raise UserError(
            f"{path} is {kind}: labels are ids of classes in one grey channel of 8 bits."
        )
    if tuple(ids.shape) != tuple(size):
        raise UserError(
            f"{path} has {ids.shape[0]}x{ids.shape[1]} labels for {size[0]}x{size[1]} "
            "pixels (height x width): give the labels of this picture."
        )
    if ids.max() >= classes:
        raise UserError(f"{path} holds the id {ids.max()}, and the classes are 0 to {classes - 1}.")
    return ids


def _stretch(pixels: np.ndarray, path: Path) -> np.ndarray:
    if not np.isfinite(pixels).all():
        raise UserError(f"{path} holds values that are not finite: write it again without them.")
    low, high = np.percentile(pixels, PERCENTILES)
    span = max(high - low, np.finfo(np.float32).tiny)
    return np.clip((pixels - low) / span, 0, 1).astype(np.float32)


def image_header(path: Path) -> tuple[tuple[int, int], bool]:
    """(height, width) in pixels after EXIF orientation, and whether the picture has more than 8
    bits, without decoding it. Errors as `read_image`."""
    with _opened(path) as image:
        # The size as stored: of a TIFF Pillow may give the upright one.
        tags = getattr(image, "tag_v2", {})
        width = tags.get(TiffImagePlugin.IMAGEWIDTH, image.width)
        height = tags.get(TiffImagePlugin.IMAGELENGTH, image.height)
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return ((width, height) if turned else (height, width)), image.mode.startswith(_DEEP)
