"""What the two cameras see of a world: light and paint in colour, heat in infrared."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from freqkd_lite.scenes.camera import Size, geometry, raster
from freqkd_lite.scenes.things import (
    CLASS,
    COLOUR,
    FRAME,
    GLOW,
    GROUND,
    HEAT,
    PATTERN,
    PATTERNS,
    SKY,
    UNDER,
    World,
)

SUN = {
    "clear": (1.0, 0.95, 0.86),
    "overcast": (0.62, 0.64, 0.67),
    "fog": (0.6, 0.61, 0.62),
    "wet": (0.5, 0.52, 0.55),
}
COLD = {"clear": -14, "overcast": -7, "fog": -3, "wet": -6}  # kelvin over the air: the sky


def visible(
    w: World,
    numbers: np.ndarray,
    drawn: np.ndarray,
    baseline: float,
    size: Size,
    paint: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """uint8 (H, W, 3): albedo x texture x light, then air, glow and the camera. `numbers` are the
    visible camera's polygons, `drawn` all that are drawn, for the reflection of a wet street."""
    z, x, y, u, v = geometry(w, numbers, baseline)
    wet, fog, clear = w.weather == "wet", w.weather == "fog", w.weather == "clear"
    colour = w.table[:, UNDER] + paint * (w.table[:, COLOUR] - w.table[:, UNDER])
    sky = (w.table[:, CLASS] == SKY)[numbers]
    ground = (w.table[:, FRAME] == GROUND)[numbers]
    image = _planes(np.square(np.clip(colour.astype(np.float32), 0, 1.2)), numbers)
    image *= _texture(w, numbers, (z, u, v), paint, rng)
    light = _light(w, (x, y, z), _shade(w, numbers.shape, baseline) * ground)
    if wet:
        image *= 1 - 0.45 * ground
    image *= light
    heaven = _heaven(w, numbers.shape, rng)
    image = np.where(sky, heaven, image)
    if w.night:  # nothing glows by day
        glow = _planes(w.table[:, GLOW].astype(np.float32), numbers)
        image += glow * 0.5
    thick = 0.045 if fog else 0.012 if wet else 0.005 if clear else 0.007
    veil = 1 - np.exp(-thick * np.minimum(z, 200))
    if w.night:
        exposure, air = 2.2, _rgb(0.035, 0.03, 0.026) * (1.4 if fog else 0.25)
    else:
        exposure, air = 1.9, _rgb(0.42, 0.45, 0.5) * (1 if clear else 0.9)
    image += (veil if fog else veil * ~sky) * (air - image)
    if wet:  # the street as a mirror: the same world with y turned over
        upright = w.table[drawn, FRAME] != GROUND
        other = raster(w, size, drawn[upright], baseline, mirror=True)
        ghost = _planes(np.square(colour).astype(np.float32), other) * light * 0.8
        ghost = ghost + _planes(w.table[:, GLOW], other) * 0.5
        ghost = np.where((w.table[:, CLASS] == SKY)[other], heaven[:, ::-1], ghost)
        ghost = np.concatenate([ghost[:, -9:], ghost, ghost[:, :9]], 1)
        smear = sum(ghost[:, k : k + len(numbers)] for k in range(18, -1, -3)) / 7
        gloss = (0.25 + 0.35 * _clouds(rng, numbers.shape, 9)) * ground
        image += gloss * (smear.astype(np.float32) - image * 0.3)
    image = _halve(image)
    if w.night:
        for haze in _bloom(glow, fog, size):
            image += haze
    image = 1 - np.exp(-exposure * np.maximum(image, 0))
    image = (np.sqrt(image) * 255).transpose(1, 2, 0)
    image = image + rng.standard_normal(image.shape, np.float32) * (3.5 if w.night else 1.5)
    return (np.clip(image, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _texture(w: World, numbers: np.ndarray, at: tuple, paint: float, rng) -> np.ndarray:
    """Cells (bricks, slabs, leaves) with joints, and grain, as a factor (2H, 2W)."""
    z, u, v = at
    ku, kv, joint, cell, grain = _patterns(w, numbers, range(5))
    if max(numbers.shape) <= 512:
        noise = _tile(rng, 512)[: numbers.shape[0], : numbers.shape[1]]
    else:
        noise = rng.random(numbers.shape, dtype=np.float32) - np.float32(0.5)
    loose = np.where(joint == 0, noise, np.float32(0)) * 1.6
    row = v * kv + loose
    whole = np.floor(row)
    column = u * ku + np.where(joint > 0, whole * np.float32(0.5), loose[::-1])
    texture = cell * _cells(_tile(rng), column, row) + 2 * grain * noise
    fade = 1 / (1 + np.square(z / 28))
    seam = ((row - whole < 0.16) | (column - np.floor(column) < 0.1)) * joint
    return 1 + np.float32(paint) * (texture - fade * seam + 0.2 * seam)


def _shade(w: World, shape: Size, baseline: float) -> np.ndarray:
    """Where shadows fall, 0 to 1."""
    (height, width), scale = shape, w.focal * shape[1] / 224
    shade = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(shade)
    for points in w.shadows:
        corners = [
            (
                w.centre * width + scale * (x + baseline) / z,
                w.horizon * height + scale * w.height / z,
            )
            for x, _, z in points
        ]
        draw.polygon(corners, fill=255)
    return np.asarray(shade.filter(ImageFilter.BoxBlur(2)), np.float32) / 255


def _light(w: World, at: tuple, shade: np.ndarray) -> np.ndarray:
    """The light on each pixel (3, 2H, 2W): lamps by night, sun and sky by day."""
    x, y, z = at
    if w.night:
        light = np.full((3, *z.shape), _rgb(0.012, 0.014, 0.022))
        for lx, ly, lz, reach, *power in w.lamps:
            d = np.square(x - lx) + 0.5 * np.square(y - ly) + np.square(z - lz)
            fall = 1 / (1 + d / np.float32(reach * reach))
            light += fall * np.sqrt(fall) * _rgb(*power)
        light *= 1 - 0.5 * shade
        return light
    sun = 1 - shade * (0.62 if w.weather == "clear" else 0.3)
    return _rgb(*SUN[w.weather]) * sun + _rgb(0.12, 0.16, 0.24)


def _heaven(w: World, shape: Size, rng) -> np.ndarray:
    """The sky: a gradient with clouds."""
    clear, top = w.weather == "clear", w.horizon * shape[0]
    up = np.clip((top - np.arange(shape[0], dtype=np.float32)) / top, 0, 1)[:, None]
    cloud = _clouds(rng, shape, 5) * 0.6 + _clouds(rng, shape, 14) * 0.4
    cover = np.clip((cloud - (0.55 if clear else 0.2)) * 3, 0, 1)
    if w.night:
        base = _rgb(0.030, 0.026, 0.024) * (1 - up) + up * _rgb(0.004, 0.005, 0.010)
        return base * (1 + (0.4 if clear else 1.2) * cover)
    if clear:
        base = _rgb(0.62, 0.74, 0.88) * (1 - up) + up * _rgb(0.16, 0.34, 0.74)
        return base + cover * (_rgb(0.95, 0.95, 0.96) - base) * 0.8
    return _rgb(0.66, 0.68, 0.71) * (1 - 0.25 * up - 0.25 * cover * (w.weather != "fog"))


def _bloom(glow: np.ndarray, fog: bool, size: Size) -> Iterable[np.ndarray]:
    """The haze of lamps around themselves, each (3, H, W)."""
    bright = (np.clip(_halve(glow) / 4, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(bright))
    for radius, power in ((1.5, 0.8), (7, 2.2 if fog else 1.1), (22, 1.6 if fog else 0.4)):
        haze = np.asarray(picture.filter(ImageFilter.GaussianBlur(radius * size[1] / 224)))
        yield haze.transpose(2, 0, 1).astype(np.float32) * np.float32(power / 255)


def infrared(
    w: World,
    numbers: np.ndarray,
    size: Size,
    settings: object,
    rng: np.random.Generator,
) -> np.ndarray:
    """uint8 (H, W): temperature, air, optics, auto-gain and the sensor."""
    z, _, _, u, v = geometry(w, numbers)
    k, cell, grain = _patterns(w, numbers, (5, 6, 7))
    heat = w.table[:, HEAT].astype(np.float32)[numbers]
    noise = rng.random(z.shape, dtype=np.float32) - np.float32(0.5)
    heat += cell * _cells(_tile(rng), u * k + noise, v * k + noise[::-1]) + grain * noise
    heat += 1.6 * (_clouds(rng, z.shape, 8) - 0.5)
    up = np.clip(1 - np.arange(z.shape[0], dtype=np.float32) / (w.horizon * z.shape[0]), 0, 1)
    sky = COLD[w.weather] * (0.35 + 0.65 * up[:, None]) + 1.5 * _clouds(rng, z.shape, 5)
    heat = np.where((w.table[:, CLASS] == SKY)[numbers], sky, heat)
    heat *= np.exp(-np.minimum(z, 150) * (0.02 if w.weather == "fog" else 0.004))
    heat = _blur(_halve(heat), settings.blur * size[1] / 224)
    low, high = np.percentile(heat, (1, 99.5))
    span = max(high - low, 14.0)  # the auto-gain stops where there is little to see
    grey = 0.06 + 0.8 * (heat - low) / span
    grey = 0.25 + settings.thermal_contrast * (grey - 0.25)
    columns = rng.standard_normal((1, size[1]), np.float32) * 0.35
    rows = rng.standard_normal((size[0], 1), np.float32) * 0.25
    grey = grey + settings.noise * (rng.standard_normal(size, np.float32) + (columns + rows))
    return (np.clip(grey, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def _planes(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Columns of a table (N, C) at each pixel's polygon, (C, 2H, 2W)."""
    return np.stack([column[numbers] for column in table.T])


def _patterns(w: World, numbers: np.ndarray, columns: Iterable[int]) -> Iterable[np.ndarray]:
    values = np.array(list(PATTERNS.values()), np.float32)[w.table[:, PATTERN].astype(int)]
    return (values[:, k][numbers] for k in columns)


def _rgb(*colour: float) -> np.ndarray:
    return np.array(colour, np.float32)[:, None, None]


def _tile(rng: np.random.Generator, cells: int = 128) -> np.ndarray:
    return rng.random((cells, cells), dtype=np.float32) - np.float32(0.5)


def _cells(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = (np.floor(a).astype(np.int32) & 127 for a in (u, v))
    return tile.ravel()[128 * v + u]


def _halve(a: np.ndarray) -> np.ndarray:
    """Half the size: the mean of 2x2 pixels."""
    four = a[..., ::2, ::2] + a[..., 1::2, ::2] + a[..., ::2, 1::2] + a[..., 1::2, 1::2]
    return four * np.float32(0.25)


def _clouds(rng: np.random.Generator, shape: Size, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1] of a given shape."""
    grid = Image.fromarray((rng.random((cells, cells * 2)) * 255).astype(np.uint8))
    big = grid.resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(big, np.float32) / 255


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Separable Gaussian blur of (H, W) float32 with replicated borders."""
    if sigma <= 0:
        return image
    reach = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(image, [(reach, reach), (0, 0)], "edge")
        image = sum(k * padded[i : i + len(image)] for i, k in enumerate(kernel)).T
    return image
