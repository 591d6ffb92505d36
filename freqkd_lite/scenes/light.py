"""What the two cameras see of a world: light and paint in colour, heat in infrared; and what may
be varied in it.

Albedo, glow and heat are averaged over 2x2 subpixels, so that edges are smooth; patterns, light and
air are computed once per pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from freqkd_lite.errors import UserError
from freqkd_lite.scenes.camera import Size, geometry, project, raster
from freqkd_lite.scenes.things import GROUND, PATTERNS, SKY, World

SUN = {
    "clear": (1.25, 1.14, 0.95),
    "overcast": (0.44, 0.46, 0.48),
    "fog": (0.5, 0.51, 0.52),
    "wet": (0.36, 0.38, 0.41),
}
COLD = {"clear": -11, "overcast": -7, "fog": -3, "wet": -6}  # kelvin over the air: the sky
DARK_LEVEL = 20 / 255  # of infrared: about that of the ground, where `thermal_contrast` turns

LIMITS = dict(
    parallax=(-16, 16), blur=(0, 8), paint=(0, 2), thermal_contrast=(0, 4), noise=(0, 0.5)
)


@dataclass(frozen=True)
class SceneSettings:
    """Settings that don't change the world. Pixel units are those of a width of 224.

    parallax: shift (px, -16 to 16) of the nearest object between the cameras; far things less.
    blur: sigma (px, 0 to 8) of the infrared optics.
    paint: contrast (0 to 2) of paint, print and texture that exist only in RGB; 0 is none.
    thermal_contrast: factor (0 to 4) on temperature differences within the infrared picture.
    noise: infrared sensor noise (0 to 0.5), standard deviation as a share of full scale.
    """

    parallax: float = 0.7
    blur: float = 0.6
    paint: float = 1.0
    thermal_contrast: float = 1.0
    noise: float = 0.009

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                raise UserError(f"{name} must be a number from {low} to {high}, not {value!r}.")


def visible(
    w: World, numbers: np.ndarray, drawn: np.ndarray, baseline: float, size: Size, paint: float, rng
) -> np.ndarray:
    """uint8 (H, W, 3): albedo x texture x light, then air, glow and the camera. `numbers` are the
    visible camera's polygons, `drawn` all that are drawn, for the reflection of a wet street."""
    crisp = numbers[0]
    z, x, y, u, v = geometry(w, crisp, baseline)
    wet, fog, clear = w.weather == "wet", w.weather == "fog", w.weather == "clear"
    colour = w.unders + np.float32(paint) * (w.colours - w.unders)
    colour = np.square(np.clip(colour, 0, 1.2))
    above = (w.classes == SKY).astype(np.float32)
    colour *= 1 - above[:, None]
    sky = _planes(above[:, None], numbers)[0]
    ground = (w.frames == GROUND)[crisp]
    light = _light(w, (x, y, z), _shade(w, size, baseline) * ground)
    image = _planes(colour, numbers) * (light * _texture(w, crisp, (z, u, v), paint, rng))
    if wet:
        image *= 1 - 0.45 * ground
    backdrop = _sky(w, size, rng)
    image += sky * backdrop
    if w.night:  # nothing glows by day
        glow = _planes(w.glows, numbers)
        image += glow * np.float32(0.5)
    veil = 1 - np.exp(-np.minimum(z, 200) * (0.045 if fog else 0.012 if wet else 0.004))
    air = _rgb(0.42, 0.45, 0.5) * (0.9 if clear else 0.8)
    if w.night:
        air = _rgb(0.035, 0.03, 0.026) * (1.0 if fog else 0.12)
    image += (veil if fog else veil * (1 - sky)) * (air - image)
    if wet:  # the street as a mirror: the same world with y turned over
        upright = w.frames[drawn] != GROUND
        other = raster(w, size, project(w, size, baseline, mirror=True), drawn[upright])
        ghost = _planes(colour, other) * light * np.float32(0.8)
        ghost += _planes(w.glows, other) * np.float32(0.5)
        ghost += _planes(above[:, None], other) * backdrop[:, ::-1]
        ghost = np.concatenate([ghost[:, -4:], ghost, ghost[:, :4]], 1)
        smear = sum(ghost[:, k : k + size[0]] for k in range(0, 9, 2)) / np.float32(5)
        image += (0.25 + 0.35 * _clouds(rng, size, 9)) * ground * (smear - image * 0.3)
    if w.night:
        for haze in _bloom(glow, fog, size):
            image += haze
    image = 1 - np.exp(-np.float32(w.exposure) * np.maximum(image, 0))
    image = np.sqrt(image)
    image = image * (0.3 + image * (2.1 - 1.4 * image))  # deep shadows, as cameras render them
    image = (image * 255).transpose(1, 2, 0)
    image = image + rng.standard_normal(image.shape, np.float32) * 1.5
    return (np.clip(image, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _texture(w: World, crisp: np.ndarray, at: tuple, paint: float, rng) -> np.ndarray:
    """Cells (bricks, slabs, leaves) with joints, and grain, as a factor (H, W)."""
    z, u, v = at
    ku, kv, joint, cell, grain = _patterns(w, crisp, range(5))
    noise = rng.random(crisp.shape, dtype=np.float32) - np.float32(0.5)
    loose = np.where(joint == 0, noise, np.float32(0)) * np.float32(1.6)
    row = v * kv + loose
    whole = np.floor(row)
    column = u * ku + np.where(joint > 0, whole * np.float32(0.5), loose[::-1])
    texture = cell * _cells(rng, column, row) + 2 * grain * noise
    fade = 1 / (1 + np.square(z / 28))
    seam = ((row - whole < 0.16) | (column - np.floor(column) < 0.1)) * joint
    return 1 + np.float32(paint) * (texture - fade * seam + np.float32(0.2) * seam)


def _shade(w: World, size: Size, baseline: float) -> np.ndarray:
    """Where shadows fall, 0 to 1."""
    (height, width), scale = size, w.focal * size[1] / 224
    shade = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(shade)
    for points in w.shadows:
        x, _, z = np.array(points).T
        across = w.centre * width + scale * (x + baseline) / z
        down = w.horizon * height + scale * w.height / z
        draw.polygon(np.stack([across, down], 1).ravel().tolist(), fill=255)
    return np.asarray(shade.filter(ImageFilter.BoxBlur(1)), np.float32) / 255


def _light(w: World, at: tuple, shade: np.ndarray) -> np.ndarray:
    """The light on each pixel (3, H, W): lamps by night, sun and sky by day."""
    x, y, z = at
    if w.night:
        light = np.full((3, *z.shape), _rgb(0.014, 0.017, 0.018))
        for lx, ly, lz, reach, *power in w.lamps:
            d = np.square(x - lx) + 0.5 * np.square(y - ly) + np.square(z - lz)
            fall = 1 / (1 + d * np.float32(1 / (reach * reach)))
            light += fall * np.sqrt(fall) * _rgb(*power)
        light *= 1 - 0.5 * shade
        return light
    sun = 1 - shade * (0.85 if w.weather == "clear" else 0.35)
    return _rgb(*SUN[w.weather]) * sun + _rgb(0.09, 0.115, 0.16)


def _sky(w: World, size: Size, rng) -> np.ndarray:
    """The sky: a gradient with clouds."""
    clear, top = w.weather == "clear", w.horizon * size[0]
    up = np.clip((top - np.arange(size[0], dtype=np.float32)) / top, 0, 1)[:, None]
    cloud = _clouds(rng, size, 5) * 0.6 + _clouds(rng, size, 14) * 0.4
    cover = np.clip((cloud - (0.55 if clear else 0.2)) * 3, 0, 1)
    if w.night:
        base = _rgb(0.012, 0.011, 0.011) * (1 - up) + up * _rgb(0.0015, 0.002, 0.003)
        return base * (1 + (0.4 if clear else 1.2) * cover)
    if clear:
        base = _rgb(1.3, 1.4, 1.5) * (1 - up) + up * _rgb(0.35, 0.65, 1.2)
        return base + cover * (_rgb(1.8, 1.8, 1.8) - base) * 0.8
    return _rgb(1.3, 1.33, 1.37) * (1 - 0.25 * up - 0.25 * cover * (w.weather != "fog"))


def _bloom(glow: np.ndarray, fog: bool, size: Size) -> Iterable[np.ndarray]:
    """The haze of lamps around themselves, each (3, H, W)."""
    bright = (np.clip(glow / 4, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(bright))
    for radius, power in ((1.5, 0.6), (6, 1.2 if fog else 0.35), (22, 0.8 if fog else 0.06)):
        haze = np.asarray(picture.filter(ImageFilter.GaussianBlur(radius * size[1] / 224)))
        yield haze.transpose(2, 0, 1).astype(np.float32) * np.float32(power / 255)


def infrared(
    w: World, numbers: np.ndarray, drawn: np.ndarray, size: Size, settings: SceneSettings, rng
) -> np.ndarray:
    """uint8 (H, W): temperature and air, then optics with halo and ghost, the gain that leaves the
    street dark, and the sensor's noise and fixed pattern."""
    crisp = numbers[0]
    z, _, _, u, v = geometry(w, crisp)
    k, cell, grain = _patterns(w, crisp, (5, 6, 7))
    above = (w.classes == SKY).astype(np.float32)
    heat, sky = _planes(np.stack([w.heats, above], 1), numbers)
    noise = rng.random(z.shape, dtype=np.float32) - np.float32(0.5)
    heat += cell * _cells(rng, u * k + noise, v * k + noise[::-1]) + grain * noise
    heat += 0.8 * (_clouds(rng, size, 8) - 0.5)
    if w.weather == "clear" and not w.night:  # what the sun doesn't reach stays cool
        heat -= 2.5 * _shade(w, size, 0) * (w.frames == GROUND)[crisp]
    if w.weather == "wet":  # a film of water mirrors what is warm
        upright = w.frames[drawn] != GROUND
        other = raster(w, size, project(w, size, mirror=True), drawn[upright])
        (ghost,) = _planes(w.heats[:, None], other)
        heat += 0.12 * (w.frames == GROUND)[crisp] * (ghost - heat)
    up = np.clip(1 - np.arange(size[0], dtype=np.float32) / (w.horizon * size[0]), 0, 1)
    cold = COLD[w.weather] * (0.5 + 0.5 * up[:, None]) + 1.5 * _clouds(rng, size, 5)
    heat += sky * (cold - heat)
    heat *= np.exp(-np.minimum(z, 150) * (0.02 if w.weather == "fog" else 0.004))
    focus = 1.12 if w.night else 1.0  # a lens that cools down loses its focus
    heat = _blur(heat, focus * settings.blur * size[1] / 224)
    hot = np.maximum(heat - 5, 0)
    dy, dx = (int(n) for n in rng.integers(-14, 15, 2))
    heat += 0.12 * _blur(hot, 4 * size[1] / 224) + 0.05 * np.roll(hot, (dy, dx), (0, 1))
    heat += (6.0 if w.night else 7.2) - 0.7 * w.warmth
    grey = 0.55 * np.square(np.maximum(heat, 0) / np.float32(w.span))
    grey = DARK_LEVEL + settings.thermal_contrast * (grey - DARK_LEVEL)
    columns = rng.standard_normal((1, size[1]), np.float32) * 0.35
    rows = rng.standard_normal((size[0], 1), np.float32) * 0.3
    grey = grey + settings.noise * (rng.standard_normal(size, np.float32) + (columns + rows))
    return (np.clip(grey, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def _planes(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Columns of a table (N, C) at each pixel, the mean over its four subpixels: (C, H, W)."""
    table = np.ascontiguousarray(table.T) * np.float32(0.25)
    return np.stack([sum(column.take(part) for part in numbers) for column in table])


def _patterns(w: World, crisp: np.ndarray, columns: Iterable[int]) -> Iterable[np.ndarray]:
    values = np.array(list(PATTERNS.values()), np.float32)[w.patterns]
    return (values[:, k][crisp] for k in columns)


def _rgb(*colour: float) -> np.ndarray:
    return np.array(colour, np.float32)[:, None, None]


def _cells(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A random number from -0.5 to 0.5 for each cell of unit size; they repeat after 128."""
    tile = rng.random(128 * 128, dtype=np.float32) - np.float32(0.5)
    u, v = (np.floor(a).astype(np.int32) & 127 for a in (u, v))
    return tile[128 * v + u]


def _clouds(rng: np.random.Generator, size: Size, cells: int) -> np.ndarray:
    """Smooth noise in [0, 1] of a given size."""
    grid = Image.fromarray((rng.random((cells, cells * 2)) * 255).astype(np.uint8))
    return np.asarray(grid.resize((size[1], size[0]), Image.Resampling.BICUBIC), np.float32) / 255


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Separable Gaussian blur of (H, W) float32 with replicated borders."""
    if sigma <= 0:
        return image
    reach = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(image, [(reach, reach), (0, 0)], "edge")
        image = np.transpose(sum(k * padded[i : i + len(image)] for i, k in enumerate(kernel)))
    return image
