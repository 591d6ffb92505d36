"""The pinhole camera: polygons as numbers in a raster, and where each pixel lies in the world."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from freqkd_lite.scenes.street import build
from freqkd_lite.scenes.things import GROUND, SIDE, World

Size = tuple[int, int]


def project(w: World, size: Size, baseline: float = 0.0, mirror: bool = False) -> np.ndarray:
    """Corners (N, 2) in a raster (2H, 2W), the camera moved `baseline` metres left; whole numbers,
    so that rounding is ours and not Pillow's. `mirror` turns the world over, as water shows it."""
    height, width = 2 * size[0], 2 * size[1]
    scale = w.focal * width / 224
    x, y, z = w.corners.T
    y = w.height + y if mirror else w.height - y
    across = w.centre * width + scale * (x + baseline) / z
    down = w.horizon * height + scale * y / z
    return np.floor(np.stack([across, down], 1) + 0.5)


def raster(w: World, size: Size, points: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Numbers of the polygons `which`, painted over each other in that order, int (4, H, W): those
    of the four subpixels of each pixel, of which the first gives mask and boxes."""
    height, width = 2 * size[0], 2 * size[1]
    low, high = (f.reduceat(points, w.first[:-1]) for f in (np.minimum, np.maximum))
    inside = np.all((high >= 0) & (low < (width, height)), 1) & np.any(high > low, 1)
    image = Image.new("I", (width, height), 0)
    draw, flat, first = ImageDraw.Draw(image), points.ravel().tolist(), (2 * w.first).tolist()
    for n in which[inside[which]].tolist():
        draw.polygon(flat[first[n] : first[n + 1]], fill=n)
    four = np.asarray(image).reshape(size[0], 2, size[1], 2).transpose(1, 3, 0, 2)
    return four.reshape(4, *size).astype(np.intp)


def rasterise(
    seed: int, size: Size, parallax: float = 0.0
) -> tuple[World, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """World, polygon numbers in the infrared and in the visible frame, which instances are kept
    (0 is none), numbers of the polygons drawn, metres between the cameras."""
    w = build(seed)
    count, owner = len(w.labels), w.owners
    drawn = np.arange(len(owner))
    points = project(w, size)
    numbers = raster(w, size, points, drawn)
    seen = np.bincount(owner[numbers[0]].ravel(), minlength=count + 1)
    keep = seen >= 12 * size[1] * size[1] / (224 * 224)
    keep[0] = True
    for i in np.flatnonzero(keep)[1:]:
        mine = np.flatnonzero(owner == i)
        corners = points[w.first[mine[0]] : w.first[mine[-1] + 1]]
        sides = np.ptp(np.clip(corners, 0, (2 * size[1], 2 * size[0])), 0) // 2 + 1
        if 3 * seen[i] < sides.prod():  # else it fills a third of its box, and so of itself
            keep[i] = 3 * seen[i] >= np.count_nonzero(raster(w, size, points, mine)[0])
    if not keep.all():
        drawn = np.flatnonzero(keep[owner])
        numbers = raster(w, size, points, drawn)
    near = min([z for z, k in zip(w.depths, keep[1:], strict=True) if k], default=5.0)
    baseline = parallax * near / w.focal
    other = raster(w, size, project(w, size, baseline), drawn) if parallax else numbers
    return w, numbers, other, keep, drawn, baseline


def geometry(w: World, numbers: np.ndarray, baseline: float = 0.0) -> tuple[np.ndarray, ...]:
    """Per pixel: depth z, world x and y, texture coordinates u and v (all float32, metres)."""
    rows, columns = numbers.shape
    scale = np.float32(w.focal * columns / 224)
    dx = np.arange(columns, dtype=np.float32)[None] - np.float32(w.centre * columns) + 0.25
    dy = np.arange(rows, dtype=np.float32)[:, None] - np.float32(w.horizon * rows) + 0.25
    on_ground, on_side = ((w.frames == kind)[numbers] for kind in (GROUND, SIDE))
    plane = (scale * (w.planes + np.float32(baseline)))[numbers]
    wall = np.clip(plane / np.where(np.abs(dx) < 1, np.float32(1), dx), 1, 300)
    z = np.where(on_side, wall, w.distance.astype(np.float32)[numbers])
    z = np.where(on_ground, scale * np.float32(w.height) / np.maximum(dy, 1), z)
    x = dx * z / scale - np.float32(baseline)
    y = np.float32(w.height) - dy * z / scale
    return z, x, y, np.where(on_side, z, x), np.where(on_ground, z, y)
