"""The street of a seed: sky, ground, houses on both sides, and the objects between."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import freqkd_lite.scenes.things as make
from freqkd_lite.scenes.things import BUILDING, GROUND, ROAD, SIDE, SKY, TREE, Matter, World, times

WALL_COLOURS = make.colours(
    "55 27 20, 62 42 30, 72 66 55, 80 78 74, 50 52 55, 62 58 45, 42 30 26, 68 60 62"
)
WALL_PATTERNS = ("brick", "brick", "stucco", "stucco", "panel", "stucco", "brick", "panel")
WALLS = list(zip(WALL_COLOURS, WALL_PATTERNS, strict=True))
FRAMES = make.colours("85 85 83, 30 25 22")
BULBS = make.colours("100 78 45, 100 88 65, 85 92 100")
DOORS = make.colours("35 20 12, 20 30 25, 50 12 10")
BOARDS = make.colours("15 30 20, 60 12 12, 12 16 40, 85 80 65")
GABLES = make.colours("50 40 33, 62 60 56, 45 30 24")
LAWN, YARD = make.colours("30 40 17, 50 48 45")
SLABS = make.colours("58 56 53, 50 46 42, 62 55 50")


def _facade(
    w: World, at: Callable, u0: float, u1: float, tall: float, shop: bool, facing: int, **frame
) -> None:
    """A wall from u0 to u1 with windows, a door or a shop; `at(u, v)` places a point of it."""

    def put(a: float, b: float, c: float, d: float, *matter, **more) -> None:  # a rectangle of it
        w.add([at(a, b), at(c, b), at(c, d), at(a, d)], Matter(*matter, **more), **frame)

    wall, pattern = w.pick(WALLS)
    heat, lit = w.between(-2.2, 3) + 0.3 * w.warmth, w.between(0.8, 1.05)
    if w.weather == "clear" and not w.night:  # the sun dazzles and warms one side
        sunlit = facing * w.sun[0] > 0
        heat += w.between(0, 7) if sunlit else 0
        lit *= 1.05 if sunlit else 0.72
    put(u0, 0, u1, tall, wall, heat, pattern, lit)
    put(u0, 0, u1, 0.5, times(wall, 0.6), heat - 0.5, "stucco", lit)
    put(u0, tall - 0.3, u1, tall, times(wall, 1.15), heat - 0.3, lit=lit)
    bays = max(1, int((u1 - u0) / w.between(2.4, 3.4)))
    step, cold, lights = (u1 - u0) / bays, w.random() < 0.75, w.pick((0.2, 0.45, 0.7))
    rim, near = Matter(w.pick(FRAMES), heat, lit=lit), at(u0, 0)[2] < 32
    for floor in range(max(int((tall - 0.8) / 3), 1)):
        y = floor * 3
        if floor and near:  # a leaky floor slab: seen by heat alone
            put(u0, y - 0.02, u1, y + 0.16, wall, heat + 0.5, pattern, lit)
        for u in (u0 + step * bay for bay in range(bays)):
            a, b, y0, y1 = u + step * 0.24, u + step * 0.76, y + 0.95, y + 2.4
            on, tint = w.random() < lights, w.pick(BULBS)
            power = w.between(0.5, 1.3) if w.night and on else 0.0
            warmth = heat + (w.between(-2.2, 0) if cold else w.between(-0.4, 1.5))
            warmth -= 0 if w.night else 1.5  # panes mirror the cold sky
            if floor == 0 and shop:
                a, b, y0, y1, power = u + step * 0.08, u + step * 0.92, 0.45, 2.35, power * 1.4
            elif floor == 0 and u == u0 + step * (bays // 2):
                put(a, 0, b - step * 0.1, 2.2, w.pick(DOORS), heat + w.between(-0.5, 0.8))
                continue
            if near:
                put(a - 0.1, y0 - 0.12, b + 0.1, y1 + 0.1, *rim)
            put(a, y0, b, y1, (0.16, 0.2, 0.25), warmth, glow=times(tint, power))
            if near and (floor or not shop):
                put((a + b) / 2 - 0.05, y0, (a + b) / 2 + 0.05, y1, *rim)
    if not shop:
        return
    board = w.pick(BOARDS)  # paint and print on a board of one temperature
    ink = (0.95, 0.92, 0.85) if board[1] < 0.7 else (0.15, 0.12, 0.1)
    more = {"under": wall, "glow": w.glow(times(board, 0.25), w.night and w.random() < 0.6)}
    put(u0 + 0.2, 2.5, u1 - 0.2, 3.05, board, heat - 0.5, **more)
    u = u0 + 0.5
    while u < u1 - 0.8:
        end = u + w.between(0.12, 0.4)
        put(u, 2.62, end, 2.92, ink, heat - 0.5, **more)
        u = end + w.pick((0.1, 0.1, 0.35))


def _row(w: World, side: int, x: float, near: float, far: float) -> None:
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
        gable = w.pick(GABLES)
        if tall < 8 and w.random() < 0.6:  # a tiled slope above the eaves
            ridge, top = back + side * 4, tall + 2.4
            slope = [(back, tall, end), (back, tall, z1), (ridge, top, z1), (ridge, top, end)]
            w.add(slope, Matter((0.4, 0.22, 0.17), -1, "panel", 0.9))
            gable_end = [(back, tall, end), (back + side * 8, tall, end), (ridge, top, end)]
            w.add(gable_end, Matter(gable, heat, "stucco", 0.7))
        w.quad(back, 0, back + side * 14, tall, end, gable, heat, "brick", 0.7)
        frame, shop = {"frame": SIDE, "plane": back}, w.random() < 0.45
        _facade(w, lambda u, v, x=back: (x, v, u), end, z1, tall, shop, side, **frame)


def _front(w: World, z: float) -> None:
    """A row of houses that closes the street at depth z."""
    w.cls, x = BUILDING, -z * 0.75
    while x < z * 0.75:
        run = w.between(6, 13)
        tall, shop = w.pick((3.9, 6.8, 9.8, 9.8, 12.8)), w.random() < 0.4
        _facade(w, lambda u, v: (u, v, z), x, x + run, tall, shop, 0)
        x += run
    w.cls = 0


class _Plan:
    """Positions of the street's parts, in metres."""

    def __init__(self, w: World):
        self.half, left, right = w.between(2.6, 4.6), w.between(1.6, 4.5), w.between(1.6, 4.5)
        self.shift = w.between(-1.5, 1.5)
        self.left, self.right = self.shift - self.half, self.shift + self.half  # of the road
        self.left_wall = min(self.left - left, -2.6)
        self.right_wall = max(self.right + right, 2.6)
        self.end = w.pick((90, 90, 30, 45))
        self.far = min(self.end - 4, 140)


def build(seed: int) -> World:
    """The world of a seed: all its random numbers are drawn here, independent of the settings."""
    w = World(seed)
    plan = _Plan(w)
    if w.night and w.random() < 0.6:  # our own headlights
        w.lamps.append((w.between(-0.5, 0.5), 0.4, w.between(4, 7), 5, 0.40, 0.45, 0.36))
    _distance(w)
    _ground(w, plan)
    things = _sides(w, plan)
    _traffic(w, plan, things)
    for _, draw in sorted(things, key=lambda item: -item[0]):
        w.owner = w.cls = 0
        draw()
    return w.freeze()


def _distance(w: World) -> None:
    """The sky, and a distant skyline of towers and woods."""
    w.cls = SKY
    w.quad(-900, -20, 900, 900, 400, (0.5, 0.5, 0.5), 0)
    x = -380.0
    while x < 380:
        w.cls = w.pick((BUILDING, TREE, TREE, 0))
        run, tall = w.between(12, 40), w.between(6, 34)
        if w.cls == BUILDING:
            more = {"glow": w.glow((0.02, 0.018, 0.012))}
            w.quad(x, 0, x + run, tall, 300, (0.45, 0.46, 0.5), 1, "panel", **more)
        elif w.cls == TREE:
            wood = Matter((0.2, 0.3, 0.16), -1, "leaf")
            w.blob(x + run / 2, 2, 300, run * 0.7, tall * 0.5, *wood, rough=0.3)
        x += run * w.between(0.6, 1)
    w.cls = 0


def _ground(w: World, plan: _Plan) -> None:
    """Lawn or yard, pavement, kerbs, road and what is painted on it."""
    left, right, far, warmth = plan.left, plan.right, plan.far, w.warmth
    soft = w.pick((LAWN, YARD))
    w.ground(-400, 1.2, 400, 400, soft, 1.0, "grass" if soft is LAWN else "paving")
    if plan.end < 90:
        _front(w, plan.end)
    tone, slab = w.between(0.85, 1.1), w.pick(SLABS)
    pavement = Matter(slab, warmth * 0.6 + w.between(-1, 1), "paving", tone)
    w.ground(plan.left_wall, 1.2, plan.right_wall, far, *pavement)
    for edge, side in ((left, -1), (right, 1)):
        w.ground(edge, 1.2, edge + side * 0.25, far, (0.68, 0.67, 0.65), warmth + 0.8)
    w.cls = ROAD
    tar = Matter(times((1, 1.01, 1.04), w.between(0.28, 0.42)), warmth, "asphalt", tone)
    w.ground(left, 1.2, right, far, *tar)
    if plan.end < 90:
        w.ground(-80, plan.end - 10, 80, plan.end - 3, *tar)
    for rut in (-0.66, -0.34, 0.34, 0.66):  # warmer where tyres run: heat alone
        c = plan.shift + plan.half * rut
        w.ground(c - 0.2, 1.2, c + 0.2, far, *tar._replace(heat=warmth + 0.4))
    chalk = tar._replace(colour=(0.82, 0.82, 0.78), under=tar.colour)
    marks = w.pick(("dashes", "dashes", "line", "none"))
    z = 1.2
    while z < min(far, 60) and marks != "none":
        w.ground(plan.shift - 0.08, z, plan.shift + 0.08, z + 3, *chalk)
        z += 3 if marks == "line" else 6.5
    if w.random() < 0.5:
        for edge in (left + 0.25, right - 0.25):
            w.ground(edge - 0.06, 1.2, edge + 0.06, far, *chalk)
    if w.random() < 0.4:  # a zebra crossing
        z, x = w.between(5, 16), left + 0.3
        while x < right - 0.4:
            w.ground(x, z, x + 0.45, z + 3, *chalk)
            x += 0.95
    for _ in range(int(w.random() * 3)):  # manholes
        x, z = w.between(left + 0.6, right - 0.6), w.between(5, 14)
        lid = [(x + 0.36 * a, 0, z + 0.36 * b) for a, b in make.CIRCLE]
        w.add(lid, Matter((0.2, 0.2, 0.2), warmth + w.between(-1, 2)), GROUND)


def _sides(w: World, plan: _Plan) -> list[tuple[float, Callable]]:
    """The houses, drawn; and what stands before them: its depth and what draws it."""
    things = []
    styles = [w.pick(("houses", "houses", "trees", "mixed")) for _ in range(2)]
    sides = ((-1, plan.left_wall, plan.left), (1, plan.right_wall, plan.right))
    for style, (side, wall, kerb) in zip(styles, sides, strict=True):
        if style != "trees":
            _row(w, side, wall, w.between(2, 12), min(plan.far, 75))
        else:  # a park: hedge and woods behind the pavement
            z = w.between(5, 9)
            while z < min(plan.far, 60):
                things.append((z, partial(make.tree, w, wall + side * w.between(0.6, 5), z)))
                if z < 30:
                    things.append((z + 0.1, partial(make.tree, w, wall + side * 0.6, z, low=True)))
                z += w.between(2.5, 7)
        lamps, x = w.random() < (0.85 if w.night else 0.5), kerb + side * 0.6
        z = w.between(6, 14)
        while z < min(plan.far, 55):
            if lamps:
                things.append((z, partial(make.lamp, w, x, z)))
            if style == "mixed":
                things.append((z + 4, partial(make.tree, w, x, z + 4)))
            z += w.between(9, 15)
        if w.random() < 0.35:
            z = w.between(7, 20)
            things.append((z, partial(make.sign, w, kerb + side * 0.5, z)))
    return things


def _traffic(w: World, plan: _Plan, things: list[tuple[float, Callable]]) -> None:
    """Adds people, bicycles and cars to the things that will be drawn."""
    if w.random() < 0.07:
        return  # a quiet street

    def place(near: float, far: float, margin: float) -> tuple[float, float]:
        t = w.random() * w.random()
        z = 1 / (1 / far + t * (1 / near - 1 / far))  # even in size on the picture
        x = (w.between(0.03, 0.97) - w.centre) * 224 * z / w.focal
        return min(max(x, plan.left_wall + margin), plan.right_wall - margin), z

    reach = min(plan.far - 1, 42)
    for _ in range(w.pick((0, 1, 2, 2, 3, 3, 4, 6))):
        x, z = place(4.6, reach, 0.5)
        for k in range(w.pick((1, 1, 1, 2))):
            things.append((z + 0.3 * k, partial(make.person, w, x + 0.65 * k, z + 0.3 * k)))
    if w.random() < 0.15:  # a crowd
        x, z = place(9, reach, 1)
        for _ in range(int(w.between(5, 13))):
            at = x + w.between(-2.5, 2.5), z + w.between(-1.5, 4)
            things.append((at[1], partial(make.person, w, *at)))
    for _ in range(w.pick((0, 0, 1, 1, 2, 2))):
        x, z = place(5.2, min(reach, 30), 0.6)
        things.append((z, partial(make.bicycle, w, x, z, w.random() < 0.6)))
    if w.random() < 0.2:  # bicycles in a row at the wall
        z, x = w.between(6, 14), w.pick((plan.left_wall + 0.9, plan.right_wall - 0.9))
        for _ in range(int(w.between(3, 8))):
            things.append((z, partial(make.bicycle, w, x + w.between(-0.2, 0.2), z, False)))
            z += w.between(0.6, 1.1)
    for lane in (-1, 1):
        z, row = place(6, reach, 0)[1], w.random() < 0.3
        for _ in range(int(w.between(2, 7)) if row else w.pick((0, 0, 1, 1))):
            driven = not row and w.random() < 0.65
            across = driven and plan.end < 90 and w.random() < 0.4
            x = plan.shift + lane * (plan.half * 0.45 if driven else plan.half - 0.95)
            if across:
                z = plan.end - w.between(5, 8)
                x = w.between(-0.4, 0.4) * z * 224 / w.focal
            if z < plan.far:
                things.append((z, partial(make.car, w, x, z, across, driven, lane < 0)))
            z += w.between(5.2, 7)
