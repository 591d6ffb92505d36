"""Static pictures of widgets, for places without scripts: text, curves, panels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from freqkd_lite.viz.style import COLOURS

INK, QUIET, PAPER = "#1c1c1a", "#5c5f63", "#ffffff"
FONTS = {size: ImageFont.load_default(size) for size in (12, 14, 20)}
Box = tuple[float, float, float, float]


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture, and its drawing context."""
    picture = Image.new("RGB", (width, height), PAPER)
    return picture, ImageDraw.Draw(picture)


def stacked(cards: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one width, one below the other."""
    return Image.fromarray(np.concatenate([np.asarray(card) for card in cards]))


def write(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int = 14, **options: Any):
    """Text with its upper left corner at (x, y), unless `options` say otherwise."""
    draw.text((x, y), text, options.pop("fill", INK), font=FONTS[size], **options)


def titled(draw: ImageDraw.ImageDraw, x: float, y: float, title: str, colour: str) -> None:
    """A panel's title with a bar of its colour before it."""
    draw.rectangle((x, y + 1, x + 4, y + 16), colour)
    write(draw, x + 10, y, title)


def panels(
    card: Image.Image,
    y: int,
    pictures: Iterable[Image.Image],
    titles: Sequence[str],
    colours: Sequence[str],
    size: tuple[int, int],
) -> list[int]:
    """Pictures of one `size` side by side from `y` on, each below its title; there may be more
    titles than pictures. Returns where each panel begins."""
    draw, lefts = ImageDraw.Draw(card), [8 + i * (size[0] + 16) for i in range(len(titles))]
    for x, title, colour in zip(lefts, titles, colours, strict=True):
        titled(draw, x, y, title, colour)
    for x, picture in zip(lefts, pictures, strict=False):
        card.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), (x, y + 24))
    return lefts


def place(xs: Iterable[float], ys: Iterable[float], box: Box, top: float) -> list[tuple]:
    """Points (x from 0 to 1, y from 0 to `top`) on the picture."""
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


def few_colours(pictures: list[Image.Image], count: int) -> list[Image.Image]:
    """The pictures in one palette of `count` colours, the bands' among them, without dither: small
    files, and no flicker in moving pictures."""
    sample = stacked([pictures[i * (len(pictures) - 1) // 3] for i in range(min(4, len(pictures)))])
    fixed = [channel for name in ("low", "high") for channel in ImageColor.getrgb(COLOURS[name])]
    found = sample.quantize(count - 2, method=Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(fixed + found[: 3 * (count - 2)])
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
