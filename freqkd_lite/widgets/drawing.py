"""What the pictures of the widgets are drawn with, where no script runs: words, curves, maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

INK, QUIET, PAPER = "#1c1c1a", "#5c5f63", "#ffffff"
FONTS = {size: ImageFont.load_default(size) for size in (12, 14, 20)}
Box = tuple[float, float, float, float]


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture, and what draws on it."""
    picture = Image.new("RGB", (width, height), PAPER)
    return picture, ImageDraw.Draw(picture)


def write(draw: ImageDraw.ImageDraw, x: float, y: float, words: str, size: int = 14, **options):
    """Words with their upper left corner at (x, y)."""
    draw.text((x, y), words, options.pop("fill", INK), font=FONTS[size], **options)


def wrapped(words: str, width: float, size: int = 12) -> list[str]:
    """Words in lines no wider than `width`."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if FONTS[size].getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def as_picture(pixels: np.ndarray, width: int) -> Image.Image:
    """uint8 (h, w, 3) at about `width`, by whole factors, so that a token stays a square."""
    scale = max(1, width // pixels.shape[1])
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)


def titled(draw: ImageDraw.ImageDraw, x: float, y: float, words: str, colour: str) -> None:
    """A panel's title with a bar of its colour before it."""
    draw.rectangle((x, y + 1, x + 4, y + 16), colour)
    write(draw, x + 10, y, words)


def place(xs: Sequence[float], ys: Sequence[float], box: Box, top: float) -> list:
    """Points (0 to 1, 0 to `top`) on the picture."""
    left, upper, right, lower = box
    return [
        (left + x * (right - left), lower - y / top * (lower - upper))
        for x, y in zip(xs, ys, strict=True)
    ]


def levels(draw: ImageDraw.ImageDraw, box: Box, top: float) -> None:
    """The lines of divergence 0, identical, and 1, unrelated."""
    for level in (0, 1):
        draw.line(place((0, 1), (level, level), box, top), "#b0b3b7", 1)


def cut_curve(
    draw: ImageDraw.ImageDraw, box: Box, curve: dict, share: float, colours: Sequence[str]
) -> None:
    """A divergence curve in the low band's colour up to `share` of the axis, then in the high's."""
    levels(draw, box, curve["top"])
    at = box[0] + share * (box[2] - box[0])
    pale = [tuple((c + 255) // 2 for c in ImageColor.getrgb(colour)) for colour in colours[:2]]
    spots = place(curve["x"], curve["divergence"], box, curve["top"])
    for (x0, y), (x1, _) in zip(spots[::2], spots[1::2], strict=True):
        if min(x1, at) > x0:
            draw.rectangle((x0, y, min(x1, at), box[3]), pale[0])
        if x1 > max(x0, at):
            draw.rectangle((max(x0, at), y, x1, box[3]), pale[1])
    draw.line(spots, INK, 1)
    draw.line((at, box[1], at, box[3]), INK, 2)
