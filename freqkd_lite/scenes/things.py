"""The world in polygons, in metres before the camera (x right, y up, z ahead), and the objects of a
street. Vertices come from IEEE + - * / alone, so that they are the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

GENERATOR_VERSION = 2  # raised whenever any pixel, box or mask changes
CLASSES = ("person", "bicycle", "car")
MASK_CLASSES = ("background", "road", "building", "tree", "sky", "person", "bicycle", "car")
ROAD, BUILDING, TREE, SKY, PERSON = range(1, 6)

# How a pixel of a polygon finds its depth and its texture coordinates (metres).
FLAT, GROUND, SIDE = range(3)  # constant z: (x, y); the ground: (x, z); a wall along z: (z, y)
# pattern: cells per metre (u, v), joint darkness, contrast of cells, contrast of grain (all only
# visible); cells per metre, contrast of cells, of grain in kelvin (infrared)
PATTERNS = {
    "smooth": (1, 1, 0, 0, 0.03, 1, 0.2, 0.15),
    "stucco": (0.7, 0.5, 0, 0.10, 0.12, 0.4, 0.7, 0.4),
    "brick": (2.6, 6.5, 0.45, 0.35, 0.10, 0.5, 0.7, 0.4),
    "panel": (0.35, 1.4, 0.5, 0.12, 0.06, 0.33, 0.9, 0.4),
    "leaf": (5, 5, 0, 0.9, 0.5, 1.7, 1.6, 1.6),
    "bark": (16, 2, 0, 0.5, 0.3, 2, 1.2, 0.8),
    "asphalt": (3, 0.8, 0, 0.10, 0.30, 0.5, 0.6, 0.5),
    "paving": (1.6, 1.6, 0.35, 0.18, 0.10, 0.4, 0.8, 0.6),
    "grass": (9, 3, 0, 0.5, 0.5, 0.8, 1.2, 1.2),
    "cloth": (7, 7, 0, 0.25, 0.15, 4, 2, 0.5),
}
NUMBER = {name: i for i, name in enumerate(PATTERNS)}
_QUARTER = [(1.0, 0.0), (0.866, 0.5), (0.5, 0.866)]
_HALF = [*_QUARTER, *((-b, a) for a, b in _QUARTER)]
CIRCLE = [*_HALF, *((-a, -b) for a, b in _HALF)]

Colour = tuple[float, ...]  # red, green, blue
DARK = (0, 0, 0)


def colours(percent: str) -> list[Colour]:
    """Colours from a table of percentages of red, green and blue: "16 17 20, 50 14 14"."""
    return [tuple(int(c) / 100 for c in colour.split()) for colour in percent.split(",")]


def times(colour: Sequence[float], factor: float) -> Colour:
    """A colour or a light, darker or brighter."""
    return tuple(factor * c for c in colour)


class Matter(NamedTuple):
    """What a surface is made of: its colour in RGB (`under` is that without paint and print), how
    warm it is (kelvin over the air), its pattern, how much light it gets, and its own light."""

    colour: Colour
    heat: float
    pattern: str = "smooth"
    lit: float = 1.0
    under: Colour | None = None
    glow: Colour = DARK


class World:
    """Camera, light and the polygons of one scene."""

    def __init__(self, seed: int):
        self.random = stream(seed, 0).random
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
        self.exposure = self.between(0.7, 1.55) if self.night else self.between(0.6, 1.3)
        self.warmth = 2.0 if self.night else self.between(2, 6) if self.weather == "clear" else 1.0
        self.span = self.between(12, 17)  # kelvin that the infrared camera spreads over its range

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def pick(self, options: Sequence):
        return options[int(self.random() * len(options))]

    def glow(self, light: Colour, on: bool = True) -> Colour:
        """A light as it is by night, and nothing by day."""
        return light if self.night and on else DARK

    def add(self, points: list, matter: Matter, frame: int = FLAT, plane: float = 0.0) -> None:
        """A polygon, nearer than those before it."""
        colour, heat, pattern, lit, under, glow = matter
        paint = (lit * c for c in (*colour, *(under or colour)))
        self.shapes.append(points)
        self.rows.append((*paint, *glow, heat, NUMBER[pattern], frame, plane, self.owner, self.cls))

    def quad(self, x0: float, y0: float, x1: float, y1: float, z: float, *matter, **more) -> None:
        self.add([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], Matter(*matter, **more))

    def trapezoid(self, x: float, low: tuple, high: tuple, *matter, **more) -> None:
        """A face that leans: half width, height and depth of its lower and of its upper edge."""
        (a, y0, z0), (b, y1, z1) = low, high
        corners = [(x - a, y0, z0), (x + a, y0, z0), (x + b, y1, z1), (x - b, y1, z1)]
        self.add(corners, Matter(*matter, **more))

    def limb(self, start: tuple, end: tuple, widths: tuple, z: float, *matter) -> None:
        """A tapering bar from (x, y) to (x, y), `widths` metres wide at its ends."""
        (x0, y0), (x1, y1), (w0, w1) = start, end, widths
        dx, dy = x1 - x0, y1 - y0
        n = max(abs(dx), abs(dy)) + 0.4 * min(abs(dx), abs(dy)) + 1e-9  # length, without a root
        nx, ny = -dy / n / 2, dx / n / 2
        first = [(x0 - w0 * nx, y0 - w0 * ny, z), (x0 + w0 * nx, y0 + w0 * ny, z)]
        last = [(x1 + w1 * nx, y1 + w1 * ny, z), (x1 - w1 * nx, y1 - w1 * ny, z)]
        self.add(first + last, Matter(*matter))

    def blob(self, x, y, z, rx, ry, *matter, rough: float = 0.0, **more) -> None:
        points = []
        for cx, cy in CIRCLE:
            k = 1 + rough * (self.random() - 0.5)
            points.append((x + rx * k * cx, y + ry * k * cy, z))
        self.add(points, Matter(*matter, **more))

    def ground(self, x0: float, z0: float, x1: float, z1: float, *matter, **more) -> None:
        corners = [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)]
        self.add(corners, Matter(*matter, **more), GROUND)

    def shadow(self, x: float, z: float, width: float, height: float) -> None:
        """An object's shadow on the ground: a blot under it and, in the sun, a slanted strip."""
        self.shadows.append([(x + width * 0.6 * a, 0, z + width * 0.35 * b) for a, b in CIRCLE])
        if self.weather == "clear" and not self.night:
            sx, sz = self.sun[0] * height, self.sun[1] * height
            left, right, far = x - width / 2, x + width / 2, max(z + sz, 1.2)
            strip = [(left, 0, z), (right, 0, z), (right + sx, 0, far), (left + sx, 0, far)]
            self.shadows.append(strip)

    def begin(self, label: int, z: float) -> None:
        """From here on polygons belong to a new object of a class."""
        self.labels.append(label)
        self.depths.append(z)
        self.owner, self.cls = len(self.labels), label + PERSON

    def freeze(self) -> World:
        """Lists become arrays, one entry per polygon: nothing is added afterwards."""
        table = np.array(self.rows)
        self.colours, self.unders, self.glows = np.split(table[:, :9].astype(np.float32), 3, 1)
        self.heats, self.planes = table[:, [9, 12]].astype(np.float32).T
        whole = table[:, [10, 11, 13, 14]].astype(int)
        self.patterns, self.frames, self.owners, self.classes = whole.T
        counts = [len(shape) for shape in self.shapes]
        self.first = np.cumsum([0, *counts])  # corner of each polygon
        self.corners = np.array([corner for shape in self.shapes for corner in shape])
        self.distance = np.add.reduceat(self.corners[:, 2], self.first[:-1]) / counts
        np.maximum(self.corners[:, 2], 1.2, out=self.corners[:, 2])  # nothing behind the camera
        return self


def stream(seed: int, number: int) -> np.random.Generator:
    """One of a scene's streams of random numbers: 0 the world, 1 visible, 2 infrared."""
    sequence = np.random.SeedSequence([GENERATOR_VERSION, seed, number])
    return np.random.Generator(np.random.PCG64(sequence))


COATS = colours(
    "18 19 23, 56 15 14, 20 34 60, 75 73 70, 46 43 34, 72 62 18, 25 46 30, 85 85 88, 62 36 50"
)
TROUSERS = colours("14 15 20, 25 30 42, 40 36 30, 10 10 10")
SKINS = colours("82 62 50, 60 42 30, 40 27 20")
HAIR = colours("12 9 7, 35 24 14, 60 50 30, 50 50 50")
PRINTS = colours("90 90 90, 80 20 20, 15 15 20, 90 75 20")
BAGS = colours("30 16 8, 10 10 12, 60 10 10")


def person(w: World, x: float, z: float, seat: float = 0.0, turn: float = 0.0) -> None:
    """A walking person; on a saddle (`seat` metres high) it leans toward `turn` and pedals."""
    w.begin(0, z)
    s = w.between(0.88, 1.06)
    cloth, legs, skin, hair = (w.pick(of) for of in (COATS, TROUSERS, SKINS, HAIR))
    warm = w.between(0.6, 1.1)
    slim, stride = w.between(0.65, 1.0), w.between(-0.28, 0.28)
    coat, swing = w.random() < 0.3, w.between(0.0, 0.14)
    lean = 0.28 * turn
    hip = seat + 0.02 if seat else 0.86 * s
    top = hip + 0.58 * s

    def px(dx: float, y: float) -> float:  # where the body's axis is at height y
        return x + dx + lean * max(0.0, y - hip) / 0.6 - 0.12 * turn

    w.shadow(x, z, 0.45, 1.7 * s)
    for side in (-1, 1):
        fx, fy = side * (0.07 + stride), 0.06
        if seat:
            fx, fy = 0.25 * turn + 0.1 * side, hip - 0.62 + 0.12 * side
        kx, ky = x + (fx + 0.22 * turn), (hip + fy) / 2 + 0.05
        start = (px(0.08 * side * slim, hip), hip)
        w.limb(start, (kx, ky), (0.19, 0.15), z, legs, 7 * warm, "cloth")
        w.limb((kx, ky + 0.03), (x + fx, fy), (0.15, 0.11), z, legs, 5.5 * warm, "cloth")
        shoe = ((0.1, 0.1, 0.1), 2.5 * warm)
        w.quad(x + fx - 0.09, fy - 0.06, x + fx + 0.09, fy + 0.03, z, *shoe)
    wide = 0.2 * slim + 0.04
    low = hip - (0.3 if coat and not seat else 0.04)
    outline = [(-wide * 0.85, low), (-wide, top - 0.06), (-wide * 0.6, top)]
    outline += [(-dx, y) for dx, y in outline[::-1]]
    shirt = Matter(cloth, 8 * warm, "cloth", lit=w.between(0.85, 1.1))
    w.add([(px(dx, y), y, z) for dx, y in outline], shirt)
    if w.random() < 0.5:  # a printed stripe or emblem: paint alone
        y = top - w.between(0.15, 0.4)
        stripe = Matter(w.pick(PRINTS), 8 * warm, "cloth", under=cloth)
        w.quad(px(-wide * 0.8, y), y, px(wide * 0.8, y), y + 0.1, z, *stripe)
    for side in (-1, 1):
        hx, hy = side * (wide + swing), hip - 0.06
        if seat:
            hx, hy = px(0.55 * turn, hip + 0.1) - x, hip + 0.17
        shoulder, sleeve = (px(wide * side, top), top - 0.07), times(cloth, 0.85)
        w.limb(shoulder, (x + hx, hy), (0.12, 0.09), z, sleeve, 6 * warm, "cloth")
        w.blob(x + hx, hy - 0.03, z, 0.055, 0.065, skin, 13 * warm)
    if w.random() < 0.3 and not seat:
        side = w.pick((-1, 1))
        left, right = x + side * wide, x + side * (wide + 0.16)
        w.quad(left, hip - 0.1, right, hip + 0.3, z, w.pick(BAGS), 2 * warm)
    w.quad(px(-0.06, top), top - 0.03, px(0.06, top), top + 0.08, z, skin, 14 * warm)
    w.blob(px(0, top), top + 0.17 * s, z, 0.105 * s, 0.135 * s, skin, 15 * warm)
    w.blob(px(0, top) - 0.03 * turn, top + 0.235 * s, z, 0.11 * s, 0.085 * s, hair, 9 * warm)


METALS = colours("70 12 10, 10 25 55, 80 80 82, 12 12 12, 20 50 35")


def bicycle(w: World, x: float, z: float, ridden: bool) -> None:
    """A bicycle, parked or ridden by a person."""
    w.begin(1, z)
    turn = w.pick((-1.0, 1.0)) * w.pick((1.0, 0.9, 0.35, 0.2))  # seen from the side or end on
    metal, tepid = w.pick(METALS), w.warmth * 0.6 + w.pick((-1, 1)) * w.between(0, 3)
    w.shadow(x, z, 1.3 * abs(turn) + 0.2, 0.7)
    hub, loop = 0.52 * turn, CIRCLE + CIRCLE[:1]
    for side in (-1, 1):
        cx, r, k = x + hub * side, 0.34, max(abs(turn), 0.12)
        rim = [(cx + r * k * a, 0.35 + r * b, z) for a, b in loop]
        r -= 0.055
        rim += [(cx + r * k * a, 0.35 + r * b, z) for a, b in loop[::-1]]
        w.add(rim, Matter((0.09, 0.09, 0.09), tepid + 0.6 * ridden))
    pedals, front, rear = (-0.05 * turn, 0.3), (hub, 0.35), (-hub, 0.35)
    bars = [(rear, pedals), (pedals, (-0.2 * turn, 0.88)), (pedals, (0.36 * turn, 0.8))]
    bars += [((-0.2 * turn, 0.75), (0.36 * turn, 0.82)), (front, (0.34 * turn, 1.0))]
    bars += [(rear, (-0.18 * turn, 0.72))]
    for (x0, y0), (x1, y1) in bars:
        w.limb((x + x0, y0), (x + x1, y1), (0.05, 0.05), z, metal, tepid)
    w.quad(x - 0.32 * turn - 0.06, 0.86, x - 0.1 * turn + 0.06, 0.93, z, (0.1, 0.08, 0.07), tepid)
    reach = 0.22 * (1.1 - abs(turn))
    start, end = (x + 0.34 * turn - reach, 1.0), (x + 0.42 * turn + reach, 1.04)
    w.limb(start, end, (0.06, 0.06), z, (0.15, 0.15, 0.15), tepid)
    if w.night and ridden:
        w.blob(x + 0.5 * turn, 0.9, z, 0.05, 0.05, (0.9, 0.9, 0.8), 3, glow=(2.5, 2.5, 2.2))
    if ridden:
        person(w, x, z - 0.01, seat=0.93, turn=turn)


BODIES = colours(
    "75 76 78, 85 85 85, 88 88 86, 16 16 18, 38 40 43, 62 10 8, 14 26 58, 30 44 38, 66 58 42"
)
HEADLIGHT, TAILLIGHT = (0.9, 0.9, 0.85), (0.6, 0.05, 0.05)


def car(w: World, x: float, z: float, across: bool, driven: bool, oncoming: bool) -> None:
    """A car along the street (nearest face at z) or across it; driven ones have warm engines."""
    w.begin(2, z)
    long, wide = w.between(3.7, 4.7), w.between(1.65, 1.85)
    tall = w.pick((1.42, 1.48, 1.55, 1.85, 2.1))
    body = w.pick(BODIES)
    hot = w.between(0.8, 1.2) if driven else 0.0
    skin = w.warmth * 0.7 + w.between(-2.8, 1.6)
    pane = skin + w.between(-2.5, 0.3) + 0.5 * hot
    deck, rear = (0.92, 1.3) if tall < 1.8 else (1.0, 0.5)  # bonnet's height, slope of the tail
    c = long, wide, tall, deck, rear, body, hot, skin, pane
    flip = oncoming if not across else w.random() < 0.5

    def at(along: float, y: float, out: float = 0.0) -> tuple:  # a point of the side that we see
        run = long - along if flip else along
        if across:
            return x - long / 2 + run, y, z + out
        return x + (wide / 2 - out if x < 0 else out - wide / 2), y, z + run

    w.shadow(x, z + (0.5 if across else 1.6), long if across else wide * 1.3, tall * 0.7)
    if not across:
        w.shadow(x, z + 0.3, wide * 1.1, 0.2)
    _car_side(w, c, at, {} if across else {"frame": SIDE, "plane": at(0, 0)[0]})
    if across:
        lights = ((long - 0.12, HEADLIGHT, (3, 3, 2.6)), (0.1, TAILLIGHT, (1.2, 0.05, 0.03)))
        for along, colour, light in lights:
            glow = w.glow(light, driven)
            w.blob(at(along, 0.68)[0], 0.68, z, 0.1, 0.09, colour, skin + 3 * hot, glow=glow)
    else:
        _car_end(w, c, x, z, driven, oncoming)
        if w.night and driven:
            ahead = (x, 0.5, max(z - 4, 1.5), 2.5, 1.6, 1.5, 1.2)
            w.lamps.append(ahead if oncoming else (x, 0.5, z - 0.6, 0.9, 0.8, 0.06, 0.04))


def _car_side(w: World, c: tuple, at: Callable[..., tuple], frame: dict) -> None:
    """Roof, bonnet and the side that we see."""
    long, wide, tall, deck, rear, body, hot, skin, pane = c
    # metres along the car from its tail, height
    profile = [(0, 0.3), (0.05, deck), (0.15 * rear, deck + 0.05), (0.15 + 0.45 * rear, tall)]
    profile += [(long * 0.62, tall), (long * 0.78, deck), (long - 0.1, deck - 0.12), (long, 0.3)]
    panes = [(0.3 + 0.42 * rear, tall - 0.1), (long * 0.60, tall - 0.1)]
    panes += [(long * 0.73, deck + 0.02), (0.25 + 0.15 * rear, deck + 0.02)]
    bonnet = [(long * 0.74, deck - 0.1), (long, deck - 0.15), (long, 0.35), (long * 0.74, 0.35)]
    pillar = [(long * 0.42, tall), (long * 0.44, tall), (long * 0.44, 0.4), (long * 0.42, 0.4)]
    roof, hood = (*profile[3:5], skin - 0.7), (profile[5], (long, deck - 0.12), skin + 6 * hot)
    for (a, y0), (b, y1), heat in (roof, hood):
        top = [at(a, y0), at(b, y1), at(b, y1, wide), at(a, y0, wide)]
        w.add(top, Matter(body, heat, lit=1.1))
    w.add([at(*p) for p in profile], Matter(body, skin, lit=0.85), **frame)
    w.add([at(*p) for p in bonnet], Matter(body, skin + 7 * hot, lit=0.85), **frame)
    w.add([at(*p) for p in panes], Matter((0.10, 0.13, 0.16), pane), **frame)
    w.add([at(*p) for p in pillar], Matter(times(body, 0.7), skin), **frame)
    for axle in (0.17, 0.8):
        for r, grey, heat in ((0.34, 0.06, 6 * hot - 0.8), (0.2, 0.55, 8 * hot)):  # tyre, rim
            wheel = [at(long * axle + r * a, 0.34 + r * b) for a, b in CIRCLE]
            w.add(wheel, Matter((grey, grey, grey), skin + heat), **frame)


def _car_end(w: World, c: tuple, x: float, z: float, driven: bool, oncoming: bool) -> None:
    """The end that faces the camera."""
    long, wide, tall, deck, rear, body, hot, skin, pane = c
    h, base = wide / 2, deck - 0.12 if oncoming else deck
    slope = long * (0.78 - 0.62) if oncoming else 0.45 * rear
    start = z + (long * (1 - 0.78) if oncoming else 0.15 * rear)
    end = start + slope
    if oncoming:
        w.trapezoid(x, (h, base, z), (h, deck, start), body, skin + 8 * hot, lit=1.1)
    w.trapezoid(x, (h * 0.95, deck, start), (h * 0.8, tall, end), body, skin, lit=0.9)
    low, high = (h * 0.86, deck + 0.05, start), (h * 0.74, tall - 0.08, end)
    w.trapezoid(x, low, high, (0.10, 0.13, 0.16), pane)
    front = skin + (8 * hot if oncoming else 1.5 * hot)
    w.quad(x - h, 0.3, x + h, base, z, body, front, lit=0.78)
    w.quad(x - h * 0.98, 0.22, x + h * 0.98, 0.42, z, times(body, 0.45), skin + 3 * hot)
    w.quad(x - 0.26, 0.5, x + 0.26, 0.62, z, (0.85, 0.85, 0.8), skin + hot, under=body)
    if oncoming:
        w.quad(x - h * 0.5, 0.56, x + h * 0.5, 0.74, z, (0.05, 0.05, 0.05), 13 * hot + skin)
    colour, light = (0.6, 0.04, 0.04), (2.2, 0.08, 0.05)
    if oncoming:
        colour, light = HEADLIGHT, (6, 5.6, 4.6)
    lamp = Matter(colour, skin + 3 * hot, glow=w.glow(light, driven))
    for side in (-1, 1):
        left, right = x + side * h * 0.94, x + side * h * 0.66
        w.quad(left, base - 0.28, right, base - 0.1, z, *lamp)
        left, right = x + side * h * 0.95, x + side * h * 0.7
        w.quad(left, 0, right, 0.3, z + 0.02, (0.05, 0.05, 0.05), skin + 7 * hot)
    if driven and not oncoming:
        w.blob(x + h * 0.5, 0.27, z, 0.09, 0.06, (0.2, 0.2, 0.2), 22 * hot)


LEAVES = colours("17 30 9, 23 34 12, 14 25 11, 46 36 10, 40 20 8")
BARK = (0.24, 0.19, 0.15)


def tree(w: World, x: float, z: float, low: bool = False) -> None:
    """A leafy or bare tree; `low`: a bush."""
    w.cls = TREE
    tall = w.between(0.9, 1.5) if low else w.between(4.5, 9.5)
    green, chill = w.pick(LEAVES), w.between(-2, 1.2) + 0.3 * w.warmth
    w.shadow(x, z, 1.2 if low else tall * 0.45, tall * 0.9)
    if not low and _trunk(w, x, z, tall, chill):
        return
    size, count = (1.0, 6) if low else (tall * 0.28, 18)
    centre = tall * 0.45 if low else tall * 0.7
    for i in range(count):
        shade = 0.55 + 0.6 * i / count
        dx, dy = w.between(-1, 1), w.between(-1, 1)
        if dx * dx + dy * dy > 1:
            dx, dy = dx * 0.6, dy * 0.6
        r = size * w.between(0.22, 0.55) * (1 if i > count // 3 else 1.3)
        y = centre + dy * (tall * 0.4 if low else size) + (shade - 0.8) * r
        heat, lit = chill + w.between(-0.8, 0.8), shade + w.between(-0.1, 0.1)
        leaf = Matter(green, heat, "leaf", lit)
        w.blob(x + dx * size, y, z, r, r * (0.5 if low else 0.8), *leaf, rough=0.7)


def _trunk(w: World, x: float, z: float, tall: float, chill: float) -> bool:
    """Trunk and twigs; whether the tree is bare."""
    thick = tall * 0.05
    crown = (x + w.between(-0.3, 0.3), tall * 0.55)
    w.limb((x, 0), crown, (thick * 1.3, thick * 0.8), z, BARK, chill + 2, "bark")
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
            w.limb((x0, y0), (x1, y1), (width, width * 0.7), z, BARK, chill + 1.5, "bark")
            bend = w.between(0.25, 0.7)
            forks += [(x1, y1, dx + k * dy, dy - k * dx, run * 0.6) for k in (bend, -bend)]
        tips = forks
    return bare


def lamp(w: World, x: float, z: float) -> None:
    """A street lamp over the road."""
    tall, side = w.between(4.5, 6.5), 1 if x < 0 else -1
    grey = (0.3, 0.32, 0.33)
    w.shadow(x, z, 0.15, tall)
    w.limb((x, 0), (x, tall), (0.16, 0.1), z, grey, -0.5)
    w.limb((x, tall), (x + side * 1.1, tall + 0.25), (0.09, 0.08), z, grey, -0.5)
    colour = w.pick(((1, 0.72, 0.38), (1, 0.86, 0.62), (0.85, 0.95, 1)))
    bulb = Matter((0.8, 0.8, 0.75), 14 if w.night else 1, glow=w.glow(times(colour, 7)))
    w.quad(x + side * 0.9, tall + 0.12, x + side * 1.5, tall + 0.28, z, *bulb)
    if w.night:
        w.lamps.append((x + side * 1.2, tall - 1, z, 3.0, *times(colour, 1.15)))


PLATES = colours("75 10 10, 10 25 60, 90 75 10, 90 90 90")


def sign(w: World, x: float, z: float) -> None:
    """A traffic sign: its plate has one temperature, its picture is paint."""
    plate, bare = w.pick(PLATES), (0.55, 0.55, 0.55)
    w.limb((x, 0), (x, 2.3), (0.07, 0.07), z, (0.45, 0.45, 0.45), -0.5)
    w.blob(x, 2.5, z, 0.36, 0.36, plate, -2.0, under=bare)
    bar = (0.95, 0.95, 0.95) if plate[1] < 0.7 else (0.1, 0.1, 0.1)
    w.quad(x - 0.24, 2.42, x + 0.24, 2.58, z - 0.01, bar, -2.0, under=bare)
