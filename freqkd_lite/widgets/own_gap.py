"""Make your own gap: a scene's knobs move its divergence curve over that of real pairs.

Only a generator knows the causes. Two sliders, three panels: the pair that they draw, and the
curve over scenes so drawn, above that of real pairs, pale. Every point was measured once (`knobs`),
so the page interpolates nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import traitlets
from PIL import Image

from freqkd_lite.errors import UserError
from freqkd_lite.gap.knobs import OF_RGB, KnobGrid, read, side_by_side
from freqkd_lite.results.rows import Row, pick
from freqkd_lite.scenes.pairs import cached_scene
from freqkd_lite.scenes.world import SceneSettings
from freqkd_lite.viz.style import COLOURS
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.drawing import write
from freqkd_lite.widgets.embed import PageWidget, encode, module

LABELS = {
    "parallax": ("Parallax", "{:g} px"),
    "blur": ("Blur of the infrared", "{:g} px"),
    "paint": ("Paint and print", "{:g} x"),
    "thermal_contrast": ("Thermal contrast", "{:g} x"),
}
TOP = 1.12  # of the plot
TITLES = ("RGB", "Infrared")


def own_gap(
    real: Sequence[Row],
    knobs: tuple[str, str] = ("parallax", "blur"),
    seed: int = 8,
    grid: KnobGrid | None = None,
) -> OwnGap:
    """An `OwnGap` of two of the `knobs.KNOBS`, the others as scenes are drawn by default.

    real: rows of results/scenes_gap, which hold the curve of real pairs by the same network, block
    and rings. seed: the scene that is shown; the curve is that of the grid's scenes. grid: another
    one of `knobs.measure`. `UserError` for knobs or rows that don't fit.
    """
    return OwnGap(grid or read(), real, tuple(knobs), seed)


class OwnGap(PageWidget):
    """What `own_gap` returns. `first` and `second` are the values of the two knobs, in pixels or as
    factors; they follow the reader, can be set and be observed."""

    _esm = module("own_gap")
    _page = ("_spec", "_pictures", "first", "second")
    _spec = traitlets.Dict().tag(sync=True)
    _pictures = traitlets.Bytes().tag(sync=True)
    first = traitlets.Float().tag(sync=True)
    second = traitlets.Float().tag(sync=True)

    def __init__(self, grid: KnobGrid, real: Sequence[Row], knobs: tuple[str, str], seed: int):
        if len(knobs) != 2:
            raise UserError(f"knobs={knobs} are {len(knobs)}: name two.")
        table = grid.table(*knobs)
        self.grid, self.knobs, self.seed = grid, knobs, seed
        self.real = real_curve(real, grid)
        self.size = tuple(grid.about["size"])
        values = [grid.values[name] for name in knobs]
        points = [dict(zip(knobs, (a, b), strict=True)) for a in values[0] for b in values[1]]
        shown, jpegs = self._draw(points)
        about = grid.about
        spec = {
            "title": "Make your own gap: a scene's knobs and its divergence",
            "about": f"scene {seed}",
            "size": self.size,
            "titles": [*TITLES, _title(grid)],
            "colours": [COLOURS["visible"], COLOURS["infrared"], COLOURS["none"]],
            "unmoved": "No knob of this side.",
            "knobs": [
                {
                    "label": LABELS[name][0],
                    "values": values[i],
                    "texts": [LABELS[name][1].format(v) for v in values[i]],
                    "panel": int(name not in OF_RGB),
                }
                for i, name in enumerate(knobs)
            ],
            "curves": table.reshape(len(points), -1).round(3).tolist(),
            "said": [said(curve, self.real) for curve in table.reshape(len(points), -1)],
            "shown": shown,
            "cuts": [0, *accumulate(map(len, jpegs))],
            "plot": {
                "rho": _centres(grid.edges).round(4).tolist(),
                "top": TOP,
                "real": self.real[0].round(3).tolist(),
                "low": self.real[1].round(3).tolist(),
                "high": self.real[2].round(3).tolist(),
                "colours": [COLOURS["real"], COLOURS["none"]],
                "labels": {
                    "legend": ["real pairs", "these scenes"],
                    "identical": "identical",
                    "unrelated": "unrelated",
                    "axis": "rho: 1 is the Nyquist frequency of an axis of tokens",
                },
            },
            "footnote": f"Curves: divergence over {len(about['scenes'])} scenes so drawn, and over "
            f"real pairs (MSRS) with their 95 % interval, both by {about['model'].split('.')[0]}, "
            f"block {about['block']}. Scenes are drawn by this project: they prove nothing.",
        }
        default = SceneSettings()
        first, second = (getattr(default, name) for name in knobs)
        super().__init__(_spec=spec, _pictures=b"".join(jpegs), first=first, second=second)

    def _draw(self, points: list[dict]) -> tuple[list[tuple[int, int]], list[bytes]]:
        """For each point the numbers of its two pictures, and the pictures as JPEG."""
        rgb = list(dict.fromkeys(_of(point, True) for point in points))
        heat = list(dict.fromkeys(_of(point, False) for point in points))
        drawn = [self.scene(dict(a) | dict(b)) for a, b in side_by_side(rgb, heat)]
        pictures = [pair[0] for pair in drawn[: len(rgb)]] + [p[1] for p in drawn[: len(heat)]]
        shown = [
            (rgb.index(_of(point, True)), len(rgb) + heat.index(_of(point, False)))
            for point in points
        ]
        return shown, [encode(picture, "JPEG", quality=80) for picture in pictures]

    def scene(self, point: dict[str, float]) -> tuple[Image.Image, Image.Image]:
        """The pair of the shown scene at values of any knobs."""
        scene = cached_scene(self.seed, self.size, SceneSettings(**point))
        return Image.fromarray(scene.visible), Image.fromarray(scene.infrared)

    @traitlets.validate("first", "second")
    def _known_value(self, proposal: dict) -> float:
        name = self.knobs[proposal["trait"].name == "second"]
        values, given = self.grid.values[name], proposal["value"]
        nearest = min(values, key=lambda v: abs(v - given))
        if not abs(nearest - given) < 1e-9:
            steps = ", ".join(f"{v:g}" for v in values)
            raise UserError(f"{name}={given:g} was not measured: give one of {steps}.")
        return nearest

    def alt_text(self) -> str:
        """What the filmstrip shows, in words."""
        rows = "; ".join(
            f"{_words(point)}: {said(self.curve(point), self.real)}" for point in self._strip()
        )
        return f"Scene {self.seed} in RGB and infrared, and its divergence over rho. {rows}"

    def curve(self, point: dict[str, float]) -> np.ndarray:
        """Divergence in each ring at values of any knobs."""
        drawn = SceneSettings(**point)
        index = tuple(v.index(getattr(drawn, name)) for name, v in self.grid.values.items())
        return self.grid.curves[index]

    def _strip(self) -> list[dict[str, float]]:
        now = dict(zip(self.knobs, (self.first, self.second), strict=True))
        return [now] + [now | {name: self.grid.values[name][-1]} for name in self.knobs]

    def filmstrip(self) -> Image.Image:
        """The pair and its curve now, and with either knob at its end."""
        cards = [self.card(point) for point in self._strip()]
        strip, _ = drawing.canvas(cards[0].width, sum(card.height for card in cards))
        for i, card in enumerate(cards):
            strip.paste(card, (0, i * cards[0].height))
        return strip

    def card(self, point: dict[str, float]) -> Image.Image:
        """One point, at values of any knobs, drawn as a picture."""
        w, h = 240, round(240 * self.size[0] / self.size[1])
        card, draw = drawing.canvas(3 * w + 72, h + 58)
        write(draw, 8, 4, f"{_words(point)}")
        colours = self._spec["colours"]
        for i, picture in enumerate(self.scene(point)):
            x = 8 + i * (w + 16)
            drawing.titled(draw, x, 24, TITLES[i], colours[i])
            card.paste(picture.convert("RGB").resize((w, h), Image.Resampling.LANCZOS), (x, 48))
        x = 8 + 2 * (w + 16)
        drawing.titled(draw, x, 24, _title(self.grid), colours[2])
        box = (x + 20, 52, x + 20 + w, 48 + h - 18)
        drawing.levels(draw, box, TOP)
        for level in (0, 1):
            at = drawing.place((0,), (level,), box, TOP)[0]
            write(draw, at[0] - 6, at[1], str(level), 12, anchor="rm")
        rho = _centres(self.grid.edges) / self.grid.edges[-1]
        value, low, high = self.real
        band = drawing.place([*rho, *rho[::-1]], [*high, *low[::-1]], box, TOP)
        draw.polygon(band, "#fbe6d8")
        draw.line(drawing.place(rho, value, box, TOP), "#eda97a", 2)
        spots = drawing.place(rho, self.curve(point), box, TOP)
        draw.line(spots, colours[2], 3, joint="curve")
        for spot in spots:
            draw.circle(spot, 3, colours[2])
        write(draw, box[2], box[3] - 34, "real pairs (pale)", 12, fill=COLOURS["real"], anchor="ra")
        write(draw, box[2], box[3] - 19, "these scenes", 12, fill="#5c5f63", anchor="ra")
        write(draw, (box[0] + box[2]) / 2, box[3] + 4, "rho, 0 to 1.41", 12, anchor="ma")
        return card


def real_curve(rows: Sequence[Row], grid: KnobGrid) -> np.ndarray:
    """(3, rings): divergence of the real pairs, low and high end of its interval, at the grid's
    block and rings, from rows of results/scenes_gap."""
    block, rings = grid.about["block"], len(grid.edges) - 1
    names = [f"block{block}/ring{ring}" for ring in range(rings)]
    found = {
        row.klass: row
        for row in pick(rows, arm="msrs", metric="divergence", split="train/all")
        if row.klass.startswith(f"block{block}/ring")
    }
    if sorted(found) != sorted(names):
        raise UserError(
            f"The rows lack real pairs at block {block} in {rings} rings: give "
            "read_results('results/scenes_gap')."
        )
    return np.array([(found[n].value, *found[n].interval) for n in names]).T


def said(curve: np.ndarray, real: np.ndarray) -> str:
    """A curve beside the real one, in words."""
    apart = float(np.abs(curve - real[0]).mean())
    outside = int(((curve < real[1]) | (curve > real[2])).sum())
    return (
        f"Divergence {curve[0]:.2f} in the slowest ring, {curve[-1]:.2f} in the fastest (real "
        f"pairs {real[0][0]:.2f}, {real[0][-1]:.2f}); off the real curve by {apart:.2f} on "
        f"average, outside its interval in {outside} of {len(curve)} rings."
    )


def _of(point: dict[str, float], rgb: bool) -> tuple:
    return tuple((name, value) for name, value in point.items() if (name in OF_RGB) == rgb)


def _words(point: dict[str, float]) -> str:
    return ", ".join(f"{LABELS[n][0]} {LABELS[n][1].format(v)}" for n, v in point.items())


def _title(grid: KnobGrid) -> str:
    return f"Divergence at block {grid.about['block']}"


def _centres(edges: Sequence[float]) -> np.ndarray:
    return (np.array(edges[1:]) + np.array(edges[:-1])) / 2
