"""The pinhole camera: polygons as numbers in a raster, and where each pixel lies in the world."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from freqkd_lite.scenes.street import build
from freqkd_lite.scenes.things import DEPTH, FRAME, GROUND, OWNER, PLANE, SIDE, World

Size = tuple[int, int]


def raster(
    w: World, size: Size, which: np.ndarray, baseline: float = 0.0, mirror: bool = False
) -> np.ndarray:
    """Numbers of the polygons `which` (2H, 2W) int32, the camera moved `baseline` metres left;
    `mirror` turns the world upside down, as a wet street shows it."""
    height, width = 2 * size[0], 2 * size[1]
    scale = w.focal * width / 224
    x, y, z = w.corners.T
    points = np.empty((len(x), 2))  # whole numbers, so that rounding is ours and not Pillow's
    points[:, 0] = np.floor(w.centre * width + scale * (x + baseline) / z + 0.5)
    y = w.height + y if mirror else w.height - y
    points[:, 1] = np.floor(w.horizon * height + scale * y / z + 0.5)
    low, high = (f.reduceat(points, w.first[:-1]) for f in (np.minimum, np.maximum))
    inside = ((high >= 0) & (low < (width, height))).all(1)
    image = Image.new("I", (width, height), 0)
    draw, flat, first = ImageDraw.Draw(image), points.ravel().tolist(), (2 * w.first).tolist()
    for n in which[inside[which]].tolist():
        draw.polygon(flat[first[n] : first[n + 1]], fill=n)
    return np.asarray(image)


def take(
    seed: int, size: Size, parallax: float = 0.0
) -> tuple[World, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """World, polygon numbers in the infrared and in the visible frame, instances that are kept (0
    is none), numbers of the polygons drawn, metres between the cameras."""
    w = build(seed)
    count, owner = len(w.labels), w.table[:, OWNER].astype(int)
    drawn = np.arange(len(owner))
    numbers = raster(w, size, drawn)
    seen = np.bincount(owner[numbers[::2, ::2]].ravel(), minlength=count + 1)
    keep = seen >= 12 * size[1] * size[1] / (224 * 224)
    keep[0] = True
    for i in np.flatnonzero(keep)[1:]:
        whole = np.count_nonzero(raster(w, size, np.flatnonzero(owner == i))[::2, ::2])
        keep[i] = 3 * seen[i] >= whole
    if not keep.all():
        drawn = np.flatnonzero(keep[owner])
        numbers = raster(w, size, drawn)
    near = min([z for z, k in zip(w.depths, keep[1:], strict=True) if k], default=5.0)
    baseline = parallax * near / w.focal
    other = raster(w, size, drawn, baseline) if parallax else numbers
    return w, numbers, other, keep, drawn, baseline


def geometry(w: World, numbers: np.ndarray, baseline: float = 0.0) -> tuple[np.ndarray, ...]:
    """Per pixel: depth z, world x and y, texture coordinates u and v (all float32, metres)."""
    rows, columns = numbers.shape
    scale = np.float32(w.focal * columns / 224)
    dx = np.arange(columns, dtype=np.float32)[None] - np.float32(w.centre * columns) + 0.25
    dy = np.arange(rows, dtype=np.float32)[:, None] - np.float32(w.horizon * rows) + 0.25
    on_ground, on_side = ((w.table[:, FRAME] == kind)[numbers] for kind in (GROUND, SIDE))
    plane = (scale * (w.table[:, PLANE].astype(np.float32) + np.float32(baseline)))[numbers]
    wall = np.clip(plane / np.where(np.abs(dx) < 1, np.float32(1), dx), 1, 300)
    z = np.where(on_side, wall, w.table[:, DEPTH].astype(np.float32)[numbers])
    z = np.where(on_ground, scale * np.float32(w.height) / np.maximum(dy, 1), z)
    x = dx * z / scale - np.float32(baseline)
    y = np.float32(w.height) - dy * z / scale
    return z, x, y, np.where(on_side, z, x), np.where(on_ground, z, y)
