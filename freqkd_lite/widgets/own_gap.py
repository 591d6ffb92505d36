"""Make your own gap: sliders for a scene's settings, its divergence curve, and that of real pairs.

Two sliders, three panels: the pair drawn with these settings, and the curve over such scenes above
the pale one of real pairs. Every point was measured (`gap.knobs`); nothing is interpolated.
"""

from collections.abc import Sequence

import numpy as np
import traitlets
from PIL import Image

from freqkd_lite.errors import UserError
from freqkd_lite.gap.knobs import OF_RGB, KnobGrid, read, side_by_side
from freqkd_lite.results.gap_tables import rings_by_block
from freqkd_lite.results.rows import Row, frame
from freqkd_lite.scenes import SceneSettings
from freqkd_lite.scenes.pairs import cached_scene
from freqkd_lite.viz.style import COLOURS, centres
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.drawing import write
from freqkd_lite.widgets.embed import PageWidget, joined, module, nearest_step

LABELS = {
    "parallax": ("Parallax", "{:g} px"),
    "blur": ("Blur of the infrared", "{:g} px"),
    "paint": ("Paint and print", "{:g} x"),
    "thermal_contrast": ("Thermal contrast", "{:g} x"),
}
TOP = 1.12  # of the plot
Point = dict[str, float]


class OwnGap(PageWidget):
    """Two of the `knobs.KNOBS` as sliders, the others at the scenes' default.

    real: rows of results/scenes_gap, which hold the curve of real pairs by the same network, block
    and rings. seed: the scene that is shown; the curve is that of the grid's scenes. grid: another
    one, by `tools.scene_knobs.measure`. `UserError` for knobs or rows that don't fit. `first` and
    `second` are the values of the two knobs, in pixels or as factors; they follow the reader, can
    be set and observed.
    """

    _esm = module("own_gap")
    jpegs = traitlets.Bytes().tag(sync=True)
    first = traitlets.Float().tag(sync=True)
    second = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        real: Sequence[Row],
        knobs: tuple[str, str] = ("parallax", "blur"),
        seed: int = 6,
        grid: KnobGrid | None = None,
    ):
        grid = grid or read()
        if len(knobs) != 2:
            raise UserError(f"knobs={knobs} are {len(knobs)}: name two.")
        curves = grid.table(*knobs).reshape(-1, len(grid.edges) - 1)
        self.grid, self.knobs, self.seed = grid, knobs, seed
        self.real, self.size = real_curve(real, grid), tuple(grid.about["size"])
        values = [grid.values[name] for name in knobs]
        points = [dict(zip(knobs, (a, b), strict=True)) for a in values[0] for b in values[1]]
        shown, pictures = self._pictures_of(points)
        jpegs, cuts = joined(pictures)
        about = grid.about
        spec = {
            "title": "Make your own gap: a scene's settings and its divergence",
            "about": f"scene {seed}",
            "size": self.size,
            "titles": ["RGB", "Infrared", f"Divergence at block {grid.about['block']}"],
            "colours": [COLOURS["visible"], COLOURS["infrared"], COLOURS["none"]],
            "knobs": [
                {
                    "label": LABELS[name][0],
                    "values": of,
                    "texts": [LABELS[name][1].format(v) for v in of],
                    "panel": int(name not in OF_RGB),
                }
                for name, of in zip(knobs, values, strict=True)
            ],
            "curves": curves.round(3).tolist(),
            "readouts": [readout(curve, self.real) for curve in curves],
            "shown": shown,
            "cuts": cuts,
            "plot": {
                "rho": centres(grid.edges).round(4).tolist(),
                "top": TOP,
                **dict(zip(("real", "low", "high"), self.real.round(3).tolist(), strict=True)),
                "colours": [COLOURS["real"], COLOURS["none"]],
            },
            "footnote": f"Curves: divergence over {len(about['scenes'])} scenes so drawn, and over "
            f"real pairs (MSRS) with 95 % interval, both by {about['model'].split('.')[0]}, block "
            f"{about['block']}. Scenes are drawn by this project: they prove nothing.",
        }
        first, second = (getattr(SceneSettings(), name) for name in knobs)
        super().__init__(spec=spec, jpegs=jpegs, first=first, second=second)

    def _pictures_of(self, points: list[Point]) -> tuple[list[tuple[int, int]], list[Image.Image]]:
        """By point the numbers of its two pictures, and the pictures, each only once."""

        def settings(point: Point, of_rgb: bool) -> tuple:
            return tuple(item for item in point.items() if (item[0] in OF_RGB) == of_rgb)

        rgb, heat = (list(dict.fromkeys(settings(p, of) for p in points)) for of in (True, False))
        drawn = [self.scene(dict(a) | dict(b)) for a, b in side_by_side(rgb, heat)]
        pictures = [pair[0] for pair in drawn[: len(rgb)]] + [p[1] for p in drawn[: len(heat)]]
        shown = [
            (rgb.index(settings(p, True)), len(rgb) + heat.index(settings(p, False)))
            for p in points
        ]
        return shown, pictures

    def scene(self, point: Point) -> tuple[Image.Image, Image.Image]:
        """The pair of the shown scene at values of any knobs."""
        scene = cached_scene(self.seed, self.size, SceneSettings(**point))
        return Image.fromarray(scene.visible), Image.fromarray(scene.infrared)

    @traitlets.validate("first", "second")
    def _known_value(self, proposal: dict) -> float:
        name = self.knobs[proposal["trait"].name == "second"]
        return nearest_step(name, proposal["value"], self.grid.values[name])

    def curve(self, point: Point) -> np.ndarray:
        """Divergence in each ring at values of any knobs."""
        drawn = SceneSettings(**point)
        index = tuple(v.index(getattr(drawn, name)) for name, v in self.grid.values.items())
        return self.grid.curves[index]

    def states(self) -> list[tuple[Point]]:
        """The current point, and those with either knob at its end."""
        now = dict(zip(self.knobs, (self.first, self.second), strict=True))
        ends = [now | {name: self.grid.values[name][-1]} for name in self.knobs]
        return [(point,) for point in (now, *ends)]

    def alt_text(self) -> str:
        rows = [f"{_label(p)}: {readout(self.curve(p), self.real)}" for (p,) in self.states()]
        about = f"Scene {self.seed} in RGB and infrared, and its divergence over rho."
        return " ".join([about, *rows])

    def card(self, point: Point) -> Image.Image:
        """One point, at values of any knobs, drawn as a picture."""
        w, h = 240, round(240 * self.size[0] / self.size[1])
        card, draw = drawing.canvas(3 * w + 72, h + 58)
        write(draw, 8, 4, _label(point))
        colours = self.spec["colours"]
        lefts = drawing.panels(card, 24, self.scene(point), self.spec["titles"], colours, (w, h))
        x = lefts[2]
        box = (x + 20, 52, x + 20 + w, 48 + h - 18)
        drawing.levels(draw, box, TOP)
        for level in (0, 1):
            left, y = drawing.place((0,), (level,), box, TOP)[0]
            write(draw, left - 6, y, str(level), 12, anchor="rm")
        rho = centres(self.grid.edges) / self.grid.edges[-1]
        value, low, high = self.real
        band = drawing.place([*rho, *rho[::-1]], [*high, *low[::-1]], box, TOP)
        draw.polygon(band, "#fbe6d8")
        draw.line(drawing.place(rho, value, box, TOP), "#eda97a", 2)
        spots = drawing.place(rho, self.curve(point), box, TOP)
        draw.line(spots, colours[2], 3, joint="curve")
        for spot in spots:
            draw.circle(spot, 3, colours[2])
        write(draw, box[2], box[3] - 34, "real pairs (pale)", 12, fill=COLOURS["real"], anchor="ra")
        write(draw, box[2], box[3] - 19, "these scenes", 12, fill=drawing.QUIET, anchor="ra")
        write(draw, (box[0] + box[2]) / 2, box[3] + 4, "rho, 0 to 1.41", 12, anchor="ma")
        return card


def real_curve(rows: Sequence[Row], grid: KnobGrid) -> np.ndarray:
    """(3, rings): divergence of the real pairs, low and high end of its interval, at the grid's
    block and rings, from rows of results/scenes_gap."""
    block, rings = grid.about["block"], len(grid.edges) - 1
    found = rings_by_block(rows, "msrs").get(block, [])
    if len(found) != rings:
        raise UserError(
            f"The rows lack real pairs at block {block} in {rings} rings: give "
            "read_results('results/scenes_gap')."
        )
    return frame(found)[["value", "low", "high"]].to_numpy().T


def readout(curve: np.ndarray, real: np.ndarray) -> str:
    """A curve's numbers beside those of the real one."""
    apart = float(np.abs(curve - real[0]).mean())
    outside = int(((curve < real[1]) | (curve > real[2])).sum())
    return (
        f"Divergence in the lowest ring {curve[0]:.2f} (real pairs {real[0][0]:.2f}), in the "
        f"highest {curve[-1]:.2f} ({real[0][-1]:.2f}); mean distance {apart:.2f}, outside the "
        f"interval in {outside} of {len(curve)} rings."
    )


def _label(point: Point) -> str:
    return ", ".join(f"{LABELS[n][0]} {LABELS[n][1].format(v)}" for n, v in point.items())
