"""Procedural RGB-infrared pairs of street scenes: one geometry, seen twice.

A scene is a list of polygons in metres before a pinhole camera, each with what its matter does
in either modality: albedo, pattern and glow for the visible picture, temperature for the infrared
one. The polygons are painted far to near as *numbers* into one raster per camera; colours,
textures, light and heat are then looked up per pixel. So masks and boxes are exact (integer
vertices from IEEE + - * / only, no transcendental function decides them) and depend on no
setting, because they belong to the infrared camera, which never moves.
"""

from dataclasses import dataclass, fields

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from freqkd_lite.errors import UserError

GENERATOR_VERSION = 1  # raised whenever any pixel, box or mask changes
CLASSES = ("person", "bicycle", "car")
MASK_CLASSES = ("background", "road", "building", "tree", "sky", "person", "bicycle", "car")
SIZE = (168, 224)
WEATHER = ("clear", "overcast", "fog", "wet")

ROAD, BUILDING, TREE, SKY, PERSON, BICYCLE, CAR = range(1, 8)
# How a pixel of a polygon finds its depth and its texture coordinates (metres).
# Columns of the table of attributes, one row a polygon.
COLOUR, UNDER, GLOW = slice(0, 3), slice(3, 6), slice(6, 9)
HEAT, PATTERN, FRAME, PLANE, DEPTH, OWNER, CLASS = range(9, 16)
FLAT, GROUND, SIDE = range(3)  # constant z: (x, y); the ground: (x, z); a wall along z: (z, y)
# pattern: cells per metre (u, v), joint darkness, contrast of cells, contrast of grain (all only
# visible); cells per metre, contrast of cells, of grain in kelvin (infrared)
PATTERNS = {
    "smooth": (1, 1, 0, 0, 0.03, 1, 0.2, 0.1),
    "stucco": (0.7, 0.5, 0, 0.10, 0.12, 0.4, 1.0, 0.3),
    "brick": (2.6, 6.5, 0.45, 0.35, 0.10, 0.5, 0.9, 0.3),
    "panel": (0.35, 1.4, 0.5, 0.12, 0.06, 0.33, 1.2, 0.2),
    "leaf": (5, 5, 0, 0.9, 0.5, 1.7, 1.2, 0.5),
    "bark": (16, 2, 0, 0.5, 0.3, 2, 1.0, 0.4),
    "asphalt": (3, 0.8, 0, 0.10, 0.30, 0.3, 0.9, 0.3),
    "paving": (1.6, 1.6, 0.35, 0.18, 0.10, 0.4, 0.9, 0.3),
    "grass": (9, 3, 0, 0.5, 0.5, 0.8, 1.2, 0.5),
    "cloth": (7, 7, 0, 0.25, 0.15, 4, 1.0, 0.3),
}
NUMBER = {name: i for i, name in enumerate(PATTERNS)}
CIRCLE = tuple(
    (x / 1000, y / 1000)
    for x, y in (
        (1000, 0),
        (866, 500),
        (500, 866),
        (0, 1000),
        (-500, 866),
        (-866, 500),
        (-1000, 0),
        (-866, -500),
        (-500, -866),
        (0, -1000),
        (500, -866),
        (866, -500),
    )
)


@dataclass(frozen=True)
class SceneSettings:
    """What may be varied without touching the world. Pixel units are those of a width of 224.

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
    noise: float = 0.012

    def __post_init__(self) -> None:
        limits = {
            "parallax": (-16, 16),
            "blur": (0, 8),
            "paint": (0, 2),
            "thermal_contrast": (0, 4),
            "noise": (0, 0.5),
        }
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), limits[field.name]
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and low <= value <= high):
                raise UserError(
                    f"{field.name} must be a number from {low} to {high}, not {value!r}."
                )


@dataclass(frozen=True)
class Scene:
    """One pair. Mask, boxes and labels are in the infrared frame.

    visible (H, W, 3) and infrared (H, W) are uint8; mask (H, W) uint8 holds ids of MASK_CLASSES;
    boxes (N, 4) float32 are x0 y0 x1 y1 in pixels, the tight box of the object's visible pixels;
    labels (N,) int64 index CLASSES. An object of which under 12 pixels (at width 224) or under a
    third would be seen is not drawn at all, so nothing in the picture goes unlabelled.
    """

    visible: np.ndarray
    infrared: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    time: str
    weather: str


def _stream(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([GENERATOR_VERSION, seed, stream]))
    )


class _World:
    """Camera, light and the polygons of one scene, in metres: x right, y up, z ahead."""

    def __init__(self, seed: int):
        self.random = _stream(seed, 0).random
        self.shapes: list[list[tuple]] = []  # corners (x, y, z) of each polygon, far to near
        self.rows: list[tuple] = []  # its attributes, see add()
        self.shadows: list[list[tuple]] = []
        self.lamps: list[tuple] = []  # x, y, z, reach in metres, red, green, blue
        self.labels: list[int] = []  # class of instance i + 1
        self.depths: list[float] = []
        self.owner, self.cls = 0, 0
        self.night = self.random() < 0.5
        self.weather = self.pick(("clear", "clear", "clear", "overcast", "fog", "wet"))
        self.focal = self.between(190, 270)
        self.height = self.between(1.35, 2.3)
        self.horizon = self.between(0.36, 0.55)  # share of the picture's height
        self.centre = self.between(0.34, 0.66)  # share of its width
        self.sun = (self.between(-1.3, 1.3), self.between(-0.4, 0.9))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def pick(self, options):
        return options[int(self.random() * len(options))]

    def add(
        self,
        points,
        colour,
        heat,
        pattern="smooth",
        lit=1.0,
        frame=FLAT,
        plane=0.0,
        glow=(0, 0, 0),
        under=None,
    ):
        """A polygon: colour in RGB (`under` it without paint), heat in kelvin over the air."""
        self.shapes.append(points)
        self.rows.append(
            (
                *colour,
                *(under or colour),
                *glow,
                heat,
                NUMBER[pattern],
                frame,
                plane,
                lit,
                self.owner,
                self.cls,
            )
        )

    def quad(self, x0, y0, x1, y1, z, *args, **options):
        self.add([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], *args, **options)

    def limb(self, x0, y0, x1, y1, w0, w1, z, *args, **options):
        """A tapering bar from (x0, y0) to (x1, y1), w0 and w1 metres wide."""
        dx, dy = x1 - x0, y1 - y0
        n = max(abs(dx), abs(dy)) + 0.4 * min(abs(dx), abs(dy)) + 1e-9  # length, without a root
        nx, ny = -dy / n / 2, dx / n / 2
        self.add(
            [
                (x0 - w0 * nx, y0 - w0 * ny, z),
                (x0 + w0 * nx, y0 + w0 * ny, z),
                (x1 + w1 * nx, y1 + w1 * ny, z),
                (x1 - w1 * nx, y1 - w1 * ny, z),
            ],
            *args,
            **options,
        )

    def blob(self, x, y, z, rx, ry, *args, rough=0.0, **options):
        points = []
        for cx, cy in CIRCLE:
            k = 1 + rough * (self.random() - 0.5)
            points.append((x + rx * k * cx, y + ry * k * cy, z))
        self.add(points, *args, **options)

    def ground(self, points, *args, **options):
        self.add([(x, 0, z) for x, z in points], *args, frame=GROUND, **options)

    def shadow(self, x, z, width, height):
        """What a thing throws on the ground: a blot under it and, in the sun, a slanted strip."""
        self.shadows.append([(x + width * 0.6 * a, 0, z + width * 0.35 * b) for a, b in CIRCLE])
        if self.weather == "clear" and not self.night:
            sx, sz = self.sun[0] * height, self.sun[1] * height
            self.shadows.append(
                [
                    (x - width / 2, 0, z),
                    (x + width / 2, 0, z),
                    (x + width / 2 + sx, 0, max(z + sz, 1.2)),
                    (x - width / 2 + sx, 0, max(z + sz, 1.2)),
                ]
            )

    def begin(self, label: int, z: float):
        self.labels.append(label)
        self.depths.append(z)
        self.owner, self.cls = len(self.labels), label + PERSON

    def end(self):
        self.owner, self.cls = 0, 0

    def freeze(self):
        """Lists become arrays: nothing is added hereafter."""
        self.table = np.array(self.rows)  # one row of attributes a polygon
        self.corners = np.array([corner for shape in self.shapes for corner in shape])
        counts = [len(shape) for shape in self.shapes]
        self.first = np.cumsum([0, *counts])
        self.table[:, :6] *= self.table[:, DEPTH, None]  # it held `lit` up to here
        self.table[:, DEPTH] = np.add.reduceat(self.corners[:, 2], self.first[:-1]) / counts
        np.maximum(self.corners[:, 2], 1.2, out=self.corners[:, 2])  # nothing behind the camera
        return self


# ---------------------------------------------------------------- things that stand in the street
def _person(w: _World, x: float, z: float, seat: float = 0.0, turn: float = 0.0) -> None:
    """A walking person; on a saddle (`seat` metres high) it leans toward `turn` and pedals."""
    w.begin(0, z)
    s = w.between(0.88, 1.06)
    cloth = w.pick(
        (
            (0.16, 0.17, 0.2),
            (0.5, 0.14, 0.14),
            (0.2, 0.3, 0.5),
            (0.75, 0.73, 0.7),
            (0.35, 0.33, 0.25),
            (0.62, 0.55, 0.2),
            (0.25, 0.4, 0.28),
            (0.85, 0.85, 0.88),
        )
    )
    legs = w.pick(((0.14, 0.15, 0.2), (0.25, 0.3, 0.42), (0.4, 0.36, 0.3), (0.1, 0.1, 0.1)))
    skin = w.pick(((0.82, 0.62, 0.5), (0.6, 0.42, 0.3), (0.4, 0.27, 0.2)))
    hair = w.pick(((0.12, 0.09, 0.07), (0.35, 0.24, 0.14), (0.6, 0.5, 0.3), (0.5, 0.5, 0.5)))
    warm = w.between(0.85, 1.15)
    slim, stride = w.between(0.65, 1.0), w.between(-0.28, 0.28)
    coat, swing = w.random() < 0.3, w.between(0.0, 0.14)
    lean = 0.28 * turn
    hip = seat + 0.02 if seat else 0.86 * s
    top = hip + 0.58 * s

    def px(dx, y):  # where the body's axis is at height y
        return x + dx + lean * max(0.0, y - hip) / 0.6 - 0.12 * turn

    w.shadow(x, z, 0.45, 1.7 * s)
    for side in (-1, 1):
        foot = (
            (0.25 * turn + 0.1 * side, hip - 0.62 + 0.12 * side)
            if seat
            else (side * (0.07 + stride), 0.06)
        )
        knee = ((foot[0] + 0.22 * turn), (hip + foot[1]) / 2 + 0.05)
        w.limb(
            px(0.08 * side * slim, hip),
            hip,
            x + knee[0],
            knee[1],
            0.19,
            0.15,
            z,
            legs,
            7 * warm,
            "cloth",
        )
        w.limb(
            x + knee[0],
            knee[1] + 0.03,
            x + foot[0],
            foot[1],
            0.15,
            0.11,
            z,
            legs,
            5.5 * warm,
            "cloth",
        )
        w.quad(
            x + foot[0] - 0.09,
            foot[1] - 0.06,
            x + foot[0] + 0.09,
            foot[1] + 0.03,
            z,
            (0.1, 0.1, 0.1),
            2.5 * warm,
        )
    wide = 0.2 * slim + 0.04
    low = hip - (0.3 if coat and not seat else 0.04)
    w.add(
        [
            (px(-wide * 0.85, low), low, z),
            (px(-wide, top - 0.06), top - 0.06, z),
            (px(-wide * 0.6, top), top, z),
            (px(wide * 0.6, top), top, z),
            (px(wide, top - 0.06), top - 0.06, z),
            (px(wide * 0.85, low), low, z),
        ],
        cloth,
        8 * warm,
        "cloth",
        lit=w.between(0.85, 1.1),
    )
    if w.random() < 0.5:  # a printed stripe or emblem: paint alone
        y = top - w.between(0.15, 0.4)
        print_colour = w.pick(
            ((0.9, 0.9, 0.9), (0.8, 0.2, 0.2), (0.15, 0.15, 0.2), (0.9, 0.75, 0.2))
        )
        w.quad(
            px(-wide * 0.8, y),
            y,
            px(wide * 0.8, y),
            y + 0.1,
            z,
            print_colour,
            8 * warm,
            "cloth",
            under=cloth,
        )
    for side in (-1, 1):
        hand = (
            (px(0.55 * turn, hip + 0.1) - x, hip + 0.17)
            if seat
            else (side * (wide + swing), hip - 0.06)
        )
        w.limb(
            px(wide * side, top),
            top - 0.07,
            x + hand[0],
            hand[1],
            0.12,
            0.09,
            z,
            tuple(c * 0.85 for c in cloth),
            6 * warm,
            "cloth",
        )
        w.blob(x + hand[0], hand[1] - 0.03, z, 0.055, 0.065, skin, 13 * warm)
    if w.random() < 0.3 and not seat:
        side = w.pick((-1, 1))
        w.quad(
            x + side * wide,
            hip - 0.1,
            x + side * (wide + 0.16),
            hip + 0.3,
            z,
            w.pick(((0.3, 0.16, 0.08), (0.1, 0.1, 0.12), (0.6, 0.1, 0.1))),
            2 * warm,
        )
    w.quad(px(-0.06, top), top - 0.03, px(0.06, top), top + 0.08, z, skin, 14 * warm)
    w.blob(px(0, top), top + 0.17 * s, z, 0.105 * s, 0.135 * s, skin, 15 * warm)
    w.blob(px(0, top) - 0.03 * turn, top + 0.235 * s, z, 0.11 * s, 0.085 * s, hair, 9 * warm)
    w.end()


def _bicycle(w: _World, x: float, z: float, ridden: bool) -> None:
    w.begin(1, z)
    turn = w.pick((-1.0, 1.0)) * w.pick((1.0, 0.9, 0.35, 0.2))  # seen from the side or end on
    metal = w.pick(
        (
            (0.7, 0.12, 0.1),
            (0.1, 0.25, 0.55),
            (0.8, 0.8, 0.82),
            (0.12, 0.12, 0.12),
            (0.2, 0.5, 0.35),
        )
    )
    w.shadow(x, z, 1.3 * abs(turn) + 0.2, 0.7)
    hub = 0.52 * turn
    for side in (-1, 1):
        cx, r, k = x + hub * side, 0.34, max(abs(turn), 0.12)
        loop = CIRCLE + CIRCLE[:1]
        w.add(
            [(cx + r * k * a, 0.35 + r * b, z) for a, b in loop]
            + [(cx + (r - 0.055) * k * a, 0.35 + (r - 0.055) * b, z) for a, b in loop[::-1]],
            (0.09, 0.09, 0.09),
            4.0 if ridden else -0.5,
        )
    bars = (
        ((-hub, 0.35), (-0.05 * turn, 0.3)),
        ((-0.05 * turn, 0.3), (-0.2 * turn, 0.88)),
        ((-0.2 * turn, 0.75), (0.36 * turn, 0.82)),
        ((-0.05 * turn, 0.3), (0.36 * turn, 0.8)),
        ((hub, 0.35), (0.34 * turn, 1.0)),
        ((-hub, 0.35), (-0.18 * turn, 0.72)),
    )
    for (x0, y0), (x1, y1) in bars:
        w.limb(x + x0, y0, x + x1, y1, 0.05, 0.05, z, metal, 1.0 if ridden else -1.5)
    w.quad(x - 0.32 * turn - 0.06, 0.86, x - 0.1 * turn + 0.06, 0.93, z, (0.1, 0.08, 0.07), 3.0)
    w.limb(
        x + 0.34 * turn - 0.22 * (1.1 - abs(turn)),
        1.0,
        x + 0.42 * turn + 0.22 * (1.1 - abs(turn)),
        1.04,
        0.06,
        0.06,
        z,
        (0.15, 0.15, 0.15),
        0.5,
    )
    if w.night and ridden:
        w.blob(x + 0.5 * turn, 0.9, z, 0.05, 0.05, (0.9, 0.9, 0.8), 3, glow=(2.5, 2.5, 2.2))
    w.end()
    if ridden:
        _person(w, x, z - 0.01, seat=0.93, turn=turn)


def _car(w: _World, x: float, z: float, across: bool, driven: bool, oncoming: bool) -> None:
    """A car along the street (nearest face at z) or across it; driven ones are warm."""
    w.begin(2, z)
    long, wide = w.between(3.7, 4.7), w.between(1.65, 1.85)
    tall = w.pick((1.45, 1.5, 1.85))
    deck = 0.92 if tall < 1.8 else 1.0
    body = w.pick(
        (
            (0.75, 0.76, 0.78),
            (0.85, 0.85, 0.85),
            (0.12, 0.12, 0.14),
            (0.3, 0.32, 0.35),
            (0.55, 0.08, 0.08),
            (0.1, 0.18, 0.4),
            (0.25, 0.35, 0.3),
            (0.6, 0.52, 0.35),
        )
    )
    hot = w.between(0.8, 1.2) if driven else 0.0
    skin_heat = 1.5 * hot if driven else w.between(-2.5, 0.5)
    glass, glass_heat = (0.10, 0.13, 0.16), w.between(-4, -2) + 3 * hot
    rear = 1.3 if tall < 1.8 else 0.5
    # the side's outline: metres along the car from its tail, height
    profile = [
        (0, 0.3),
        (0.05, deck),
        (0.15 * rear, deck + 0.05),
        (0.15 + 0.45 * rear, tall),
        (long * 0.62, tall),
        (long * 0.78, deck),
        (long - 0.1, deck - 0.12),
        (long, 0.3),
    ]
    panes = [
        (0.3 + 0.42 * rear, tall - 0.1),
        (long * 0.60, tall - 0.1),
        (long * 0.73, deck + 0.02),
        (0.25 + 0.15 * rear, deck + 0.02),
    ]
    flip = oncoming if not across else w.random() < 0.5

    def at(along, y, out=0.0):  # a point of the side that we see
        run = long - along if flip else along
        return (
            (x - long / 2 + run, y, z + out)
            if across
            else (x + (wide / 2 - out if x < 0 else out - wide / 2), y, z + run)
        )

    frame = {} if across else {"frame": SIDE, "plane": at(0, 0)[0]}
    w.shadow(x, z + (0.5 if across else 1.6), long if across else wide * 1.3, tall * 0.7)
    if not across:
        w.shadow(x, z + 0.3, wide * 1.1, 0.2)
    w.add(
        [
            at(0.15 + 0.45 * rear, tall),
            at(long * 0.62, tall),
            at(long * 0.62, tall, wide),
            at(0.15 + 0.45 * rear, tall, wide),
        ],
        body,
        skin_heat - 2,
        lit=1.1,
    )
    w.add(
        [
            at(long * 0.78, deck),
            at(long, deck - 0.12),
            at(long, deck - 0.12, wide),
            at(long * 0.78, deck, wide),
        ],
        body,
        skin_heat + 6 * hot,
        lit=1.1,
    )
    w.add([at(a, y) for a, y in profile], body, skin_heat, lit=0.85, **frame)
    w.add(
        [at(long * 0.74, deck - 0.1), at(long, deck - 0.15), at(long, 0.35), at(long * 0.74, 0.35)],
        body,
        skin_heat + 7 * hot,
        lit=0.85,
        **frame,
    )
    w.add([at(a, y) for a, y in panes], glass, glass_heat, **frame)
    w.add(
        [at(long * 0.42, tall), at(long * 0.44, tall), at(long * 0.44, 0.4), at(long * 0.42, 0.4)],
        tuple(c * 0.7 for c in body),
        skin_heat,
        **frame,
    )
    for axle in (0.17, 0.8):
        for r, colour, heat in (
            (0.34, (0.06, 0.06, 0.06), 6 * hot - 0.5),
            (0.2, (0.55, 0.55, 0.56), 9 * hot - 1),
        ):
            w.add([at(long * axle + r * a, 0.34 + r * b) for a, b in CIRCLE], colour, heat, **frame)
    if across:
        for along, colour, glow in (
            (long - 0.12, (0.9, 0.9, 0.85), (3, 3, 2.6)),
            (0.1, (0.6, 0.05, 0.05), (1.2, 0.05, 0.03)),
        ):
            end = at(along, 0.68)
            w.blob(
                end[0],
                0.68,
                z,
                0.1,
                0.09,
                colour,
                skin_heat + 3 * hot,
                glow=glow if w.night and driven else (0, 0, 0),
            )
        w.end()
        return
    h, mid = wide / 2, x  # the end that faces the camera
    base = deck - 0.12 if oncoming else deck
    slope = long * (0.78 - 0.62) if oncoming else 0.45 * rear
    start = long * (1 - 0.78) if oncoming else 0.15 * rear
    if oncoming:
        w.add(
            [
                (mid - h, base, z),
                (mid + h, base, z),
                (mid + h, deck, z + start),
                (mid - h, deck, z + start),
            ],
            body,
            skin_heat + 8 * hot,
            lit=1.1,
        )
    w.add(
        [
            (mid - h * 0.95, deck, z + start),
            (mid + h * 0.95, deck, z + start),
            (mid + h * 0.8, tall, z + start + slope),
            (mid - h * 0.8, tall, z + start + slope),
        ],
        body,
        skin_heat,
        lit=0.9,
    )
    w.add(
        [
            (mid - h * 0.86, deck + 0.05, z + start),
            (mid + h * 0.86, deck + 0.05, z + start),
            (mid + h * 0.74, tall - 0.08, z + start + slope),
            (mid - h * 0.74, tall - 0.08, z + start + slope),
        ],
        glass,
        glass_heat,
    )
    w.quad(
        mid - h,
        0.3,
        mid + h,
        base,
        z,
        body,
        skin_heat + (8 * hot if oncoming else 1.5 * hot),
        lit=0.78,
    )
    w.quad(
        mid - h * 0.98,
        0.22,
        mid + h * 0.98,
        0.42,
        z,
        tuple(c * 0.45 for c in body),
        skin_heat + 3 * hot,
    )
    w.quad(mid - 0.26, 0.5, mid + 0.26, 0.62, z, (0.85, 0.85, 0.8), skin_heat + hot, under=body)
    if oncoming:
        w.quad(
            mid - h * 0.5, 0.56, mid + h * 0.5, 0.74, z, (0.05, 0.05, 0.05), 13 * hot + skin_heat
        )
    for side in (-1, 1):
        colour, glow = (
            ((0.9, 0.9, 0.85), (6, 5.6, 4.6))
            if oncoming
            else ((0.6, 0.04, 0.04), (2.2, 0.08, 0.05))
        )
        w.quad(
            mid + side * h * 0.94,
            base - 0.28,
            mid + side * h * 0.66,
            base - 0.1,
            z,
            colour,
            skin_heat + 3 * hot,
            glow=glow if w.night and driven else (0, 0, 0),
        )
        w.quad(
            mid + side * h * 0.95,
            0,
            mid + side * h * 0.7,
            0.3,
            z + 0.02,
            (0.05, 0.05, 0.05),
            8 * hot - 0.5,
        )
    if driven and not oncoming:
        w.blob(mid + h * 0.5, 0.27, z, 0.09, 0.06, (0.2, 0.2, 0.2), 22 * hot)
    if w.night and driven:
        w.lamps.append(
            (x, 0.5, max(z - 4, 1.5), 2.5, 1.6, 1.5, 1.2)
            if oncoming
            else (x, 0.5, z - 0.6, 0.9, 0.8, 0.06, 0.04)
        )
    w.end()


def _tree(w: _World, x: float, z: float, low: bool = False) -> None:
    """A leafy or bare tree; `low`: a bush."""
    w.cls = TREE
    tall = w.between(0.9, 1.5) if low else w.between(4.5, 9.5)
    green = w.pick(((0.22, 0.36, 0.12), (0.28, 0.4, 0.16), (0.18, 0.3, 0.14), (0.42, 0.38, 0.12)))
    bark, chill = (0.24, 0.19, 0.15), w.between(-1.5, 0.5)
    w.shadow(x, z, 1.2 if low else tall * 0.45, tall * 0.9)
    if not low:
        thick = tall * 0.05
        w.limb(
            x,
            0,
            x + w.between(-0.3, 0.3),
            tall * 0.55,
            thick * 1.3,
            thick * 0.8,
            z,
            bark,
            chill + 2,
            "bark",
        )
        bare = w.random() < 0.25
        tips = [
            (x, tall * 0.42, w.between(-0.35, -0.1), 1.0, tall * 0.3),
            (x, tall * 0.42, w.between(0.1, 0.35), 1.0, tall * 0.3),
            (x, tall * 0.3, w.between(-0.7, 0.7), 0.9, tall * 0.26),
        ]
        for level in range(4 if bare else 2):  # twigs fork by shears, so that no sine is needed
            forks = []
            for x0, y0, dx, dy, run in tips:
                x1, y1 = x0 + dx * run, y0 + dy * run
                width = max(thick * (0.6, 0.35, 0.2, 0.12)[level], 0.035)
                w.limb(x0, y0, x1, y1, width, width * 0.7, z, bark, chill + 1.5, "bark")
                bend = w.between(0.25, 0.7)
                forks += [
                    (x1, y1, dx + bend * dy, dy - bend * dx, run * 0.6),
                    (x1, y1, dx - bend * dy, dy + bend * dx, run * 0.6),
                ]
            tips = forks
        if bare:
            w.cls = 0
            return
    size = 1.0 if low else tall * 0.28
    centre = tall * 0.45 if low else tall * 0.7
    count = 7 if low else 26
    for i in range(count):
        shade = 0.55 + 0.6 * i / count
        dx, dy = w.between(-1, 1), w.between(-1, 1)
        if dx * dx + dy * dy > 1:
            dx, dy = dx * 0.6, dy * 0.6
        r = size * w.between(0.22, 0.55) * (1 if i > count // 3 else 1.3)
        w.blob(
            x + dx * size,
            centre + dy * (tall * 0.4 if low else size) + (shade - 0.8) * r,
            z,
            r,
            r * (0.5 if low else 0.8),
            green,
            chill + w.between(-0.8, 0.8),
            "leaf",
            lit=shade + w.between(-0.1, 0.1),
            rough=0.7,
        )
    w.cls = 0


def _lamp(w: _World, x: float, z: float) -> None:
    tall, side = w.between(4.5, 6.5), 1 if x < 0 else -1
    grey = (0.3, 0.32, 0.33)
    w.shadow(x, z, 0.15, tall)
    w.limb(x, 0, x, tall, 0.16, 0.1, z, grey, -0.5)
    w.limb(x, tall, x + side * 1.1, tall + 0.25, 0.09, 0.08, z, grey, -0.5)
    colour = w.pick(((1, 0.72, 0.38), (1, 0.86, 0.62), (0.85, 0.95, 1)))
    w.quad(
        x + side * 0.9,
        tall + 0.12,
        x + side * 1.5,
        tall + 0.28,
        z,
        (0.8, 0.8, 0.75),
        14 if w.night else 1,
        glow=tuple(7 * c for c in colour) if w.night else (0, 0, 0),
    )
    if w.night:
        w.lamps.append((x + side * 1.2, tall - 1, z, 2.6, *(1.15 * c for c in colour)))


def _sign(w: _World, x: float, z: float) -> None:
    """A traffic sign: its plate has one temperature, its picture is paint."""
    plate = w.pick(((0.75, 0.1, 0.1), (0.1, 0.25, 0.6), (0.9, 0.75, 0.1), (0.9, 0.9, 0.9)))
    w.limb(x, 0, x, 2.3, 0.07, 0.07, z, (0.45, 0.45, 0.45), -0.5)
    w.blob(x, 2.5, z, 0.36, 0.36, plate, -2.0, under=(0.55, 0.55, 0.55))
    w.quad(
        x - 0.24,
        2.42,
        x + 0.24,
        2.58,
        z - 0.01,
        (0.95, 0.95, 0.95) if plate[1] < 0.7 else (0.1, 0.1, 0.1),
        -2.0,
        under=(0.55, 0.55, 0.55),
    )


# ------------------------------------------------------------------------------ walls and ground
def _facade(w: _World, at, u0: float, u1: float, tall: float, shop: bool, **frame) -> None:
    """A wall from u0 to u1 with windows, a door or a shop; `at(u, v)` places a point of it."""
    wall, pattern = w.pick(
        (
            ((0.55, 0.27, 0.2), "brick"),
            ((0.62, 0.42, 0.3), "brick"),
            ((0.72, 0.66, 0.55), "stucco"),
            ((0.8, 0.78, 0.74), "stucco"),
            ((0.5, 0.52, 0.55), "panel"),
            ((0.62, 0.58, 0.45), "stucco"),
            ((0.42, 0.3, 0.26), "brick"),
            ((0.68, 0.6, 0.62), "panel"),
        )
    )
    heat = w.between(0.5, 4.0)
    lit = w.between(0.8, 1.05)

    def put(a, b, c, d, colour, warmth, style="smooth", **options):
        w.add([at(a, b), at(c, b), at(c, d), at(a, d)], colour, warmth, style, **frame, **options)

    put(u0, 0, u1, tall, wall, heat, pattern, lit=lit)
    put(u0, 0, u1, 0.5, tuple(c * 0.6 for c in wall), heat - 0.8, "stucco", lit=lit)
    put(u0, tall - 0.3, u1, tall, tuple(c * 1.15 for c in wall), heat - 1.5, lit=lit)
    bays = max(1, int((u1 - u0) / w.between(2.4, 3.4)))
    step, cold = (u1 - u0) / bays, w.random() < 0.35
    lights = w.pick((0.2, 0.45, 0.7))
    frame_colour, floors = w.pick(((0.85, 0.85, 0.83), (0.3, 0.25, 0.22))), int((tall - 0.8) / 3)
    for floor in range(max(floors, 1)):
        if floor and at is not None:  # a leaky floor slab: seen by heat alone
            put(u0, floor * 3 - 0.02, u1, floor * 3 + 0.16, wall, heat + 1.6, pattern, lit=lit)
        for bay in range(bays):
            a, b = u0 + step * (bay + 0.24), u0 + step * (bay + 0.76)
            y0, y1 = floor * 3 + 0.95, floor * 3 + 2.4
            on = w.random() < lights
            tint = w.pick(((1, 0.78, 0.45), (1, 0.88, 0.65), (0.85, 0.92, 1)))
            power = w.between(0.5, 1.3) if w.night and on else 0.0
            pane, warmth = (0.16, 0.2, 0.25), (heat - 5 if cold else heat + w.between(1, 5))
            if floor == 0 and shop:
                a, b, y0, y1 = u0 + step * (bay + 0.08), u0 + step * (bay + 0.92), 0.45, 2.35
                power *= 1.4
            elif floor == 0 and bay == bays // 2:
                doors = ((0.35, 0.2, 0.12), (0.2, 0.3, 0.25), (0.5, 0.12, 0.1))
                put(a, 0, b - step * 0.1, 2.2, w.pick(doors), heat + 2.5)
                continue
            put(a - 0.1, y0 - 0.12, b + 0.1, y1 + 0.1, frame_colour, heat + 0.5, lit=lit)
            put(a, y0, b, y1, pane, warmth, glow=tuple(power * c for c in tint))
            if not shop or floor:
                m = (a + b) / 2
                put(m - 0.05, y0, m + 0.05, y1, frame_colour, heat + 0.5, lit=lit)
    if shop:  # the name board: paint and print on a board of one temperature
        board = w.pick(((0.15, 0.3, 0.2), (0.6, 0.12, 0.12), (0.12, 0.16, 0.4), (0.85, 0.8, 0.65)))
        ink = (0.95, 0.92, 0.85) if board[1] < 0.7 else (0.15, 0.12, 0.1)
        glow = tuple(0.25 * c for c in board) if w.night and w.random() < 0.6 else (0, 0, 0)
        put(u0 + 0.2, 2.5, u1 - 0.2, 3.05, board, heat - 0.5, under=wall, glow=glow)
        u = u0 + 0.5
        while u < u1 - 0.8:
            b = u + w.between(0.12, 0.4)
            put(u, 2.62, b, 2.92, ink, heat - 0.5, under=wall, glow=glow)
            u = b + w.pick((0.1, 0.1, 0.35))


def _row(w: _World, side: int, x: float, near: float, far: float) -> None:
    """Houses along the street, far to near, each with its gable toward the camera."""
    w.cls = BUILDING
    cuts = [near]
    while cuts[-1] < far:
        cuts.append(cuts[-1] + w.between(6, 13))
    for z0, z1 in list(zip(cuts[:-1], cuts[1:], strict=True))[::-1]:
        if w.random() < 0.12:
            continue
        tall, back = w.pick((3.9, 6.8, 6.8, 9.8, 12.8, 16)), side * (abs(x) + w.pick((0, 0, 0.6)))
        heat, end = w.between(0, 2), z0 + w.between(0, 0.8)
        gable = w.pick(((0.5, 0.4, 0.33), (0.62, 0.6, 0.56), (0.45, 0.3, 0.24)))
        if tall < 8 and w.random() < 0.6:  # a tiled slope above the eaves
            w.add(
                [
                    (back, tall, end),
                    (back, tall, z1),
                    (back + side * 4, tall + 2.4, z1),
                    (back + side * 4, tall + 2.4, end),
                ],
                (0.4, 0.22, 0.17),
                -2,
                "panel",
                lit=0.9,
            )
            w.add(
                [
                    (back, tall, end),
                    (back + side * 8, tall, end),
                    (back + side * 4, tall + 2.4, end),
                ],
                gable,
                heat,
                "stucco",
                lit=0.7,
            )
        w.quad(back, 0, back + side * 14, tall, end, gable, heat, "brick", lit=0.7)
        _facade(
            w,
            lambda u, v, back=back: (back, v, u),
            end,
            z1,
            tall,
            w.random() < 0.45,
            frame=SIDE,
            plane=back,
        )
    w.cls = 0


def _front(w: _World, z: float) -> None:
    """A row of houses that closes the street at depth z."""
    w.cls, x = BUILDING, -z * 0.75
    while x < z * 0.75:
        run = w.between(6, 13)
        _facade(
            w,
            lambda u, v: (u, v, z),
            x,
            x + run,
            w.pick((3.9, 6.8, 9.8, 9.8, 12.8)),
            w.random() < 0.4,
        )
        x += run
    w.cls = 0


def _build(seed: int) -> _World:
    """The world of a seed: all its random numbers are drawn here, whatever the settings."""
    w = _World(seed)
    night, r = w.night, w.random
    half, left, right = w.between(2.6, 4.6), w.between(1.6, 4.5), w.between(1.6, 4.5)
    shift = w.between(-1.5, 1.5)
    l_road, r_road = shift - half, shift + half
    l_wall, r_wall = min(l_road - left, -2.6), max(r_road + right, 2.6)
    end = w.pick((90, 90, 30, 45))
    warm_road = (2.5 if night else 5.0) * (0.4 if w.weather in ("fog", "wet") else 1)
    w.cls = SKY
    w.quad(-900, -20, 900, 900, 400, (0.5, 0.5, 0.5), 0)
    w.cls = 0
    x = -380.0
    while x < 380:  # a distant skyline of towers and woods
        w.cls = w.pick((BUILDING, TREE, TREE, 0))
        run, tall = w.between(12, 40), w.between(6, 34)
        if w.cls == BUILDING:
            w.quad(
                x,
                0,
                x + run,
                tall,
                300,
                (0.45, 0.46, 0.5),
                1,
                "panel",
                glow=(0.02, 0.018, 0.012) if night else (0, 0, 0),
            )
        elif w.cls == TREE:
            w.blob(
                x + run / 2, 2, 300, run * 0.7, tall * 0.5, (0.2, 0.3, 0.16), -1, "leaf", rough=0.3
            )
        x += run * w.between(0.6, 1)
    w.cls = 0
    soft = w.pick(((0.3, 0.4, 0.17), (0.5, 0.48, 0.45)))  # a park's lawn or a paved yard
    w.ground(
        [(-400, 1.2), (400, 1.2), (400, 400), (-400, 400)],
        soft,
        1.0,
        "grass" if soft[1] < 0.45 and soft[0] < 0.4 else "paving",
    )
    if end < 90:
        _front(w, end)
    tone = w.between(0.85, 1.1)
    slab = w.pick(((0.58, 0.56, 0.53), (0.5, 0.46, 0.42), (0.62, 0.55, 0.5)))
    far = min(end - 4, 140)
    w.ground(
        [(l_wall, 1.2), (r_wall, 1.2), (r_wall, far), (l_wall, far)],
        slab,
        warm_road * 0.6,
        "paving",
        lit=tone,
    )
    for edge, side in ((l_road, -1), (r_road, 1)):
        w.ground(
            [(edge, 1.2), (edge + side * 0.25, 1.2), (edge + side * 0.25, far), (edge, far)],
            (0.68, 0.67, 0.65),
            warm_road * 0.8,
        )
    w.cls = ROAD
    tar = tuple(w.between(0.3, 0.4) * k for k in (1, 1.01, 1.04))
    w.ground(
        [(l_road, 1.2), (r_road, 1.2), (r_road, far), (l_road, far)],
        tar,
        warm_road,
        "asphalt",
        lit=tone,
    )
    if end < 90:
        w.ground(
            [(-80, end - 10), (80, end - 10), (80, end - 3), (-80, end - 3)],
            tar,
            warm_road,
            "asphalt",
            lit=tone,
        )
    for rut in (-0.5, 0.5):  # warmer where tyres run: heat alone
        for edge in (-0.35, 0.35):
            c = shift + half * (rut + edge * 0.45)
            w.ground(
                [(c - 0.2, 1.2), (c + 0.2, 1.2), (c + 0.2, far), (c - 0.2, far)],
                tar,
                warm_road + 0.7,
                "asphalt",
                lit=tone,
            )
    chalk, marks = (0.82, 0.82, 0.78), w.pick(("dashes", "dashes", "line", "none"))
    paint = {"under": tar, "lit": tone}
    z = 1.2
    while z < min(far, 60) and marks != "none":
        w.ground(
            [(shift - 0.08, z), (shift + 0.08, z), (shift + 0.08, z + 3), (shift - 0.08, z + 3)],
            chalk,
            warm_road,
            "asphalt",
            **paint,
        )
        z += 3 if marks == "line" else 6.5
    if r() < 0.5:
        for edge in (l_road + 0.25, r_road - 0.25):
            w.ground(
                [(edge - 0.06, 1.2), (edge + 0.06, 1.2), (edge + 0.06, far), (edge - 0.06, far)],
                chalk,
                warm_road,
                "asphalt",
                **paint,
            )
    if r() < 0.4:  # a zebra crossing
        z, x = w.between(5, 16), l_road + 0.3
        while x < r_road - 0.4:
            w.ground(
                [(x, z), (x + 0.45, z), (x + 0.45, z + 3), (x, z + 3)],
                chalk,
                warm_road,
                "asphalt",
                **paint,
            )
            x += 0.95
    for _ in range(int(r() * 3)):  # manholes and patches
        x, z = w.between(l_road + 0.6, r_road - 0.6), w.between(5, 14)
        w.ground(
            [(x + 0.36 * a, z + 0.36 * b) for a, b in CIRCLE], (0.2, 0.2, 0.2), warm_road + 2.5
        )
    w.cls = 0
    styles = [w.pick(("houses", "houses", "trees", "mixed")) for _ in range(2)]
    things = []  # (depth, draw)
    sides = ((-1, l_wall, l_road, styles[0]), (1, r_wall, r_road, styles[1]))
    for side, wall, kerb, style in sides:
        if style != "trees":
            _row(w, side, wall, w.between(2, 12), min(far, 75))
        else:  # a park: hedge and woods behind the pavement
            z = w.between(5, 9)
            while z < min(far, 60):
                at = wall + side * w.between(0.6, 5)
                things.append((z, lambda x=at, z=z: _tree(w, x, z)))
                if z < 30:
                    at = wall + side * 0.6
                    things.append((z + 0.1, lambda x=at, z=z: _tree(w, x, z, low=True)))
                z += w.between(2.5, 7)
        lamp = r() < (0.85 if night else 0.5)
        z = w.between(6, 14)
        while z < min(far, 55):
            x = kerb + side * 0.6
            if lamp:
                things.append((z, lambda x=x, z=z: _lamp(w, x, z)))
            if style == "mixed":
                things.append((z + 4, lambda x=x, z=z + 4: _tree(w, x, z)))
            z += w.between(9, 15)
        if r() < 0.35:
            things.append((z := w.between(7, 20), lambda x=kerb + side * 0.5, z=z: _sign(w, x, z)))
    quiet = r() < 0.07

    def place(low_z, top_z, left_x, right_x, skew=True):  # even in size on the picture
        t = r() * (r() if skew else 1)
        z = 1 / (1 / top_z + t * (1 / low_z - 1 / top_z))
        x = (w.between(0.03, 0.97) - w.centre) * 224 * z / w.focal
        return min(max(x, left_x), right_x), z

    reach = min(far - 1, 42)
    for _ in range(0 if quiet else w.pick((0, 1, 2, 2, 3, 3, 4, 6))):
        x, z = place(4.6, reach, l_wall + 0.5, r_wall - 0.5)
        for k in range(w.pick((1, 1, 1, 2))):
            things.append((z + 0.3 * k, lambda x=x + 0.65 * k, z=z + 0.3 * k: _person(w, x, z)))
    for _ in range(0 if quiet else w.pick((0, 0, 1, 1, 2, 2))):
        x, z = place(5.2, min(reach, 30), l_wall + 0.6, r_wall - 0.6)
        ridden = r() < 0.6
        things.append((z, lambda x=x, z=z, on=ridden: _bicycle(w, x, z, on)))
    taken: list[float] = []
    for _ in range(0 if quiet else w.pick((0, 1, 1, 2, 2, 3))):
        z = place(5.5, min(reach, 45), 0, 0)[1]
        lane = w.pick((-1, 1))
        if any(abs(z - t) < 5.5 for t in taken):
            continue
        taken.append(z)
        across, driven = end < 90 and r() < 0.3, r() < 0.6
        if across:
            x, z, driven = w.between(-0.4, 0.4) * z * 224 / w.focal, end - w.between(5, 8), True
        else:
            x = shift + lane * (half * 0.45 if driven else half - 0.95)
        things.append((z, lambda x=x, z=z, a=across, d=driven, o=lane < 0: _car(w, x, z, a, d, o)))
    for _, draw in sorted(things, key=lambda item: -item[0]):
        draw()
    return w.freeze()


# ------------------------------------------------------------------------------------- rendering
def _raster(w: _World, size, which, baseline: float = 0.0, mirror: bool = False):
    """Numbers of the polygons `which` (2H, 2W) int32, the camera moved `baseline` metres left."""
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


def _render_instances(seed: int, size=SIZE, parallax: float = 0.0):
    """World, polygon numbers in the infrared and in the visible frame, instances kept (0 is none),
    numbers of the polygons drawn, metres between the cameras."""
    w = _build(seed)
    count, owner = len(w.labels), w.table[:, OWNER].astype(int)
    drawn = np.arange(len(owner))
    numbers = _raster(w, size, drawn)
    seen = np.bincount(owner[numbers[::2, ::2]].ravel(), minlength=count + 1)
    keep = seen >= 12 * size[1] * size[1] / (224 * 224)
    keep[0] = True
    for i in np.flatnonzero(keep)[1:]:
        whole = np.count_nonzero(_raster(w, size, np.flatnonzero(owner == i))[::2, ::2])
        keep[i] = 3 * seen[i] >= whole
    if not keep.all():
        drawn = np.flatnonzero(keep[owner])
        numbers = _raster(w, size, drawn)
    near = min([z for z, k in zip(w.depths, keep[1:], strict=True) if k], default=5.0)
    baseline = parallax * near / w.focal
    other = _raster(w, size, drawn, baseline) if parallax else numbers
    return w, numbers, other, keep, drawn, baseline


def _geometry(w: _World, numbers, baseline=0.0):
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


def _patterns(w: _World, numbers, columns):
    values = np.array(list(PATTERNS.values()), np.float32)[w.table[:, PATTERN].astype(int)]
    return (values[:, k][numbers] for k in columns)


def _rgb(*colour):
    return np.array(colour, np.float32)[:, None, None]


def _tile(rng, cells=128):
    return rng.random((cells, cells), dtype=np.float32) - np.float32(0.5)


def _cells(tile, u, v):
    u, v = (np.floor(a).astype(np.int32) & 127 for a in (u, v))
    return tile.ravel()[128 * v + u]


def _halve(a):
    return (
        a[..., ::2, ::2] + a[..., 1::2, ::2] + a[..., ::2, 1::2] + a[..., 1::2, 1::2]
    ) * np.float32(0.25)


def _clouds(rng, shape, cells=6):
    """Smooth noise in [0, 1] of a given shape."""
    grid = Image.fromarray((rng.random((cells, cells * 2)) * 255).astype(np.uint8))
    big = grid.resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(big, np.float32) / 255


def _blur(image, sigma: float):
    """Separable Gaussian blur of (H, W) float32 with replicated borders."""
    if sigma <= 0:
        return image
    reach = max(1, int(3 * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], "edge")
        image = sum(
            k * (padded[i : i + image.shape[0]] if axis == 0 else padded[:, i : i + image.shape[1]])
            for i, k in enumerate(kernel)
        )
    return image


def _visible(w: _World, numbers, drawn, baseline, size, paint, rng):
    """uint8 (H, W, 3): albedo x texture x light, then air, glow and the camera."""
    shape, (height, width) = numbers.shape, numbers.shape
    z, x, y, u, v = _geometry(w, numbers, baseline)
    wet, fog, clear = w.weather == "wet", w.weather == "fog", w.weather == "clear"
    colour = w.table[:, UNDER] + paint * (w.table[:, COLOUR] - w.table[:, UNDER])
    sky = (w.table[:, CLASS] == SKY)[numbers]
    ground = (w.table[:, FRAME] == GROUND)[numbers]
    planes = np.square(np.clip(colour.astype(np.float32), 0, 1.2)).T
    image = np.stack([plane[numbers] for plane in planes])
    # texture: cells (bricks, slabs, leaves) with joints, and grain
    ku, kv, joint, cell, grain = _patterns(w, numbers, range(5))
    noise = (
        _tile(rng, 512)[:height, :width]
        if max(shape) <= 512
        else (rng.random(shape, dtype=np.float32) - np.float32(0.5))
    )
    loose = np.where(joint == 0, noise, np.float32(0)) * 1.6
    row = v * kv + loose
    whole = np.floor(row)
    column = u * ku + np.where(joint > 0, whole * np.float32(0.5), loose[::-1])
    texture = cell * _cells(_tile(rng), column, row) + 2 * grain * noise
    fade = 1 / (1 + np.square(z / 28))
    seam = ((row - whole < 0.16) | (column - np.floor(column) < 0.1)) * joint
    image *= 1 + np.float32(paint) * (texture - fade * seam + 0.2 * seam)
    # light
    shade = Image.new("L", (width, height), 0)
    draw, scale = ImageDraw.Draw(shade), w.focal * width / 224
    for points in w.shadows:
        draw.polygon(
            [
                (
                    w.centre * width + scale * (a + baseline) / c,
                    w.horizon * height + scale * w.height / c,
                )
                for a, _, c in points
            ],
            fill=255,
        )
    shade = np.asarray(shade.filter(ImageFilter.BoxBlur(2)), np.float32) / 255 * ground
    if w.night:
        light = np.full((3, *shape), _rgb(0.012, 0.014, 0.022))
        for lx, ly, lz, reach, *power in w.lamps:
            d = np.square(x - lx) + 0.5 * np.square(y - ly) + np.square(z - lz)
            fall = 1 / (1 + d / np.float32(reach * reach))
            light += fall * np.sqrt(fall) * _rgb(*power)
        light *= 1 - 0.5 * shade
        exposure, air = 2.2, _rgb(0.035, 0.03, 0.026) * (1.4 if fog else 0.25)
    else:
        sun = {
            "clear": (1.0, 0.95, 0.86),
            "overcast": (0.62, 0.64, 0.67),
            "fog": (0.6, 0.61, 0.62),
            "wet": (0.5, 0.52, 0.55),
        }[w.weather]
        light = _rgb(*sun) * (1 - shade * (0.62 if clear else 0.3)) + _rgb(0.12, 0.16, 0.24)
        exposure, air = 1.9, _rgb(0.42, 0.45, 0.5) * (1 if clear else 0.9)
    if wet:
        image *= 1 - 0.45 * ground
    image *= light
    # sky: a gradient with clouds
    top = w.horizon * height
    up = np.clip((top - np.arange(height, dtype=np.float32)) / top, 0, 1)[:, None]
    cloud = _clouds(rng, shape, 5) * 0.6 + _clouds(rng, shape, 14) * 0.4
    cover = np.clip((cloud - (0.55 if clear else 0.2)) * 3, 0, 1)
    if w.night:
        base = _rgb(0.030, 0.026, 0.024) * (1 - up) + up * _rgb(0.004, 0.005, 0.010)
        heaven = base * (1 + (0.4 if clear else 1.2) * cover)
    elif clear:
        base = _rgb(0.62, 0.74, 0.88) * (1 - up) + up * _rgb(0.16, 0.34, 0.74)
        heaven = base + cover * (_rgb(0.95, 0.95, 0.96) - base) * 0.8
    else:
        heaven = _rgb(0.66, 0.68, 0.71) * (1 - 0.25 * up - 0.25 * cover * (not fog))
    image = np.where(sky, heaven, image)
    if w.night:  # nothing glows by day
        glow = np.stack([plane[numbers] for plane in w.table[:, GLOW].T.astype(np.float32)])
        image += glow * 0.5
    thick = 0.045 if fog else 0.012 if wet else 0.005 if clear else 0.007
    veil = 1 - np.exp(-thick * np.minimum(z, 200))
    image += (veil if fog else veil * ~sky) * (air - image)
    if wet:  # the street as a mirror: the same world with y turned over
        upright = w.table[drawn, FRAME] != GROUND
        other = _raster(w, size, drawn[upright], baseline, mirror=True)
        ghost = np.stack([plane[other] for plane in np.square(colour).T.astype(np.float32)])
        ghost = ghost * light * 0.8 + np.stack([g[other] for g in w.table[:, GLOW].T]) * 0.5
        ghost = np.where((w.table[:, CLASS] == SKY)[other], heaven[:, ::-1], ghost)
        ghost = np.concatenate([ghost[:, -9:], ghost, ghost[:, :9]], 1)
        smear = sum(ghost[:, k : k + height] for k in range(18, -1, -3)) / 7
        gloss = (0.25 + 0.35 * _clouds(rng, shape, 9)) * ground
        image += gloss * (smear.astype(np.float32) - image * 0.3)
    image = _halve(image)
    if w.night:
        bloom = (np.clip(_halve(glow) / 4, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        bloom = Image.fromarray(np.ascontiguousarray(bloom))
        for radius, power in ((1.5, 0.8), (7, 2.2 if fog else 1.1), (22, 1.6 if fog else 0.4)):
            haze = np.asarray(bloom.filter(ImageFilter.GaussianBlur(radius * size[1] / 224)))
            image += haze.transpose(2, 0, 1).astype(np.float32) * np.float32(power / 255)
    image = 1 - np.exp(-exposure * np.maximum(image, 0))
    image = (np.sqrt(image) * 255).transpose(1, 2, 0)
    image = image + rng.standard_normal(image.shape, np.float32) * (3.5 if w.night else 1.5)
    return (np.clip(image, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _infrared(w: _World, numbers, size, settings, rng):
    """uint8 (H, W): temperature, air, optics, auto-gain and the sensor."""
    z, _, _, u, v = _geometry(w, numbers)
    k, cell, grain = _patterns(w, numbers, (5, 6, 7))
    heat = w.table[:, HEAT].astype(np.float32)[numbers]
    noise = rng.random(z.shape, dtype=np.float32) - np.float32(0.5)
    heat += cell * _cells(_tile(rng), u * k + noise, v * k + noise[::-1]) + grain * noise
    heat += 1.6 * (_clouds(rng, z.shape, 8) - 0.5)
    cold = {"clear": -14, "overcast": -7, "fog": -3, "wet": -6}[w.weather]
    up = np.clip(1 - np.arange(z.shape[0], dtype=np.float32) / (w.horizon * z.shape[0]), 0, 1)
    sky = cold * (0.35 + 0.65 * up[:, None]) + 1.5 * _clouds(rng, z.shape, 5)
    heat = np.where((w.table[:, CLASS] == SKY)[numbers], sky, heat)
    heat *= np.exp(-np.minimum(z, 150) * (0.02 if w.weather == "fog" else 0.004))
    heat = _blur(_halve(heat), settings.blur * size[1] / 224)
    low, high = np.percentile(heat, (1, 99.5))
    span = max(high - low, 14.0)  # the auto-gain stops where there is little to see
    grey = 0.06 + 0.8 * (heat - low) / span
    grey = 0.25 + settings.thermal_contrast * (grey - 0.25)
    fixed = (
        rng.standard_normal((1, size[1]), np.float32) * 0.35
        + rng.standard_normal((size[0], 1), np.float32) * 0.25
    )
    grey = grey + settings.noise * (rng.standard_normal(size, np.float32) + fixed)
    return (np.clip(grey, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def render_scene(
    seed: int, size: tuple[int, int] = SIZE, settings: SceneSettings = SceneSettings()
) -> Scene:  # noqa: B008 (frozen)
    """Draw scene `seed` at `size` (height, width), always the same for the same arguments.

    Settings change pixels, never the world: masks, boxes and labels are the same for all of them.
    Raises UserError for a seed below 0 or a size under 32 pixels.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UserError(f"seed must be a whole number of 0 or more, not {seed!r}.")
    sides = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or any(not isinstance(s, (int, np.integer)) or s < 32 for s in sides):
        raise UserError(f"size must be (height, width) of at least 32 pixels each, not {size!r}.")
    w, numbers, other, keep, drawn, baseline = _render_instances(int(seed), size, settings.parallax)
    crisp = numbers[::2, ::2]
    mask, owner = w.table[:, CLASS].astype(np.uint8)[crisp], w.table[:, OWNER].astype(int)[crisp]
    boxes, labels = [], []
    for i in np.flatnonzero(keep)[1:]:
        ys, xs = np.nonzero(owner == i)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        labels.append(w.labels[i - 1])
    return Scene(
        _visible(w, other, drawn, baseline, size, settings.paint, _stream(int(seed), 1)),
        _infrared(w, numbers, size, settings, _stream(int(seed), 2)),
        mask,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        "night" if w.night else "day",
        w.weather,
    )
