"""Two valleys: a ball rolls on what a loss charges for a high band that is t times the teacher's.

One slider sets t for three losses; each shows its cost as a valley, a ball on it, and the gradient
as an arrow. Let go, and every ball rolls to where its loss would take a student. Costs and slopes
are computed here; valleys.js draws them and moves the balls.
"""

from collections.abc import Callable, Sequence

import numpy as np
import traitlets
from PIL import Image
from torch import Tensor, log1p

from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES
from freqkd_lite.viz.style import COLOURS
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.embed import PageWidget, module

STEPS = np.linspace(-2, 2, 161)
TOP = 4.5  # of the plot, in units of the cost of no high band
MARKS = [[-1, "negated"], [0, "none"], [1, "teacher's"]]
RATE = 0.05  # step size of the descent, and the longest step
LOOKS = {
    "mse": ("MSE", COLOURS["mse"]),
    "freqkd_code": (NAMES["freqkd_code"], COLOURS["freqkd_code"]),
    "robust": ("robust, with signs", COLOURS["low"]),
}


def costs_of(highs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Cost of t times the teacher's high band at `STEPS` under three losses, (steps,) each, in
    units of the cost of no high band; summed over blocks. The constant of `robust` is what it would
    measure on a student without a high band, median |h|."""
    blocks = [h.detach().flatten().double() for h in highs]
    if not blocks or not all(h.any() for h in blocks):
        raise UserError("valleys() needs maps with a high band: give split_bands(map)[1] of each.")
    medians = [h.abs().median().clamp_min(1e-12) for h in blocks]

    def total(cost: Callable[[Tensor, Tensor, float], Tensor]) -> np.ndarray:
        pairs = list(zip(blocks, medians, strict=True))
        at = np.array([sum(float(cost(h, m, t).mean()) for h, m in pairs) for t in (*STEPS, 0.0)])
        return at[:-1] / at[-1]

    return {
        "mse": total(lambda h, m, t: (t * h - h) ** 2),
        "freqkd_code": total(lambda h, m, t: (log1p((t * h).abs()) - log1p(h.abs())) ** 2),
        "robust": total(lambda h, m, t: m**2 * log1p(((t * h - h) / m) ** 2)),
    }


def resting_point(cost: np.ndarray, t: float) -> float:
    """Where a ball that starts at t comes to rest on a cost over `STEPS`: what valleys.js does."""
    slope = np.gradient(cost, STEPS)
    for _ in range(600):
        move = RATE * np.clip(np.interp(t, STEPS, slope), -1, 1)
        t = float(np.clip(t - move, STEPS[0], STEPS[-1]))
        if abs(move) < 1e-4:
            break
    return t


class Valleys(PageWidget):
    """The valleys of the teacher's high bands, maps (N, C, h, w) by block. `t`, where the balls
    start, follows the reader, can be set and observed. `UserError` for a t beyond 2, or maps
    without a high band."""

    _esm = module("valleys")
    t = traitlets.Float(-0.5).tag(sync=True)

    def __init__(self, highs: Sequence[Tensor], t: float = -0.5):
        self.costs = costs_of(highs)
        losses = []
        for key, cost in self.costs.items():
            name, colour = LOOKS[key]
            curves = {"cost": cost, "slope": np.gradient(cost, STEPS)}
            curves = {what: curve.round(5).tolist() for what, curve in curves.items()}
            losses.append({"name": name, "colour": colour, **curves})
        spec = {"marks": MARKS, "rate": RATE, "steps": STEPS.round(4).tolist(), "top": TOP}
        spec["losses"] = losses
        super().__init__(spec=spec, t=t)

    @traitlets.validate("t")
    def _within(self, proposal: dict) -> float:
        if not -2 <= proposal["value"] <= 2:
            raise UserError(f"t={proposal['value']:g} is outside the plot: give -2 to 2.")
        return proposal["value"]

    def alt_text(self) -> str:
        ends = {LOOKS[name][0]: resting_point(c, self.t) for name, c in self.costs.items()}
        return (
            "Cost against t, from -2 to 2, for a high band that is t times the teacher's. "
            f"A ball let go at t = {self.t:.2f} comes to rest at "
            f"{'; '.join(f'{name} {t:.2f}' for name, t in ends.items())}."
        )

    def card(self) -> Image.Image:
        """The three valleys with a ball at t, hollow, and where it comes to rest, full."""
        w, h, gap = 224, 150, 20
        card, draw = drawing.canvas(len(self.costs) * (w + gap), h + 52)
        for i, (name, cost) in enumerate(self.costs.items()):
            label, colour = LOOKS[name]
            left = i * (w + gap) + gap // 2
            box = (left, 24, left + w, 24 + h)

            def at(t: float, box: drawing.Box = box, cost: np.ndarray = cost) -> tuple:
                level = min(float(np.interp(t, STEPS, cost)), TOP)
                return drawing.place([(t + 2) / 4], [level], box, TOP)[0]

            drawing.write(draw, left, 4, label, 12, fill=colour)
            draw.line([at(t) for t, y in zip(STEPS, cost, strict=True) if y < TOP], colour, 2)
            for t, fill in ((self.t, "white"), (resting_point(cost, self.t), colour)):
                x, y = at(t)
                draw.ellipse((x - 6, y - 13, x + 6, y - 1), fill, drawing.INK)
            for t, mark in MARKS:
                drawing.write(draw, at(t)[0], h + 30, mark, 12, anchor="ma")
        return card
