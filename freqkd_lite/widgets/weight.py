"""Draw your own weight: a curve over rho, its loss and gradient on one pair, and its place among
weights that students were trained with. weight.js computes what follows a curve."""

import numpy as np
import traitlets
from PIL import Image
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.gap.rings import EDGES
from freqkd_lite.losses import Statistics, normalise
from freqkd_lite.losses.coherence import weight_curve
from freqkd_lite.names import NAMES, own_settings, split_method
from freqkd_lite.results.paired import Comparison
from freqkd_lite.results.rows import lines_of
from freqkd_lite.results.text import number
from freqkd_lite.spectrum import power_spectrum, radius
from freqkd_lite.viz.style import COLOURS
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.embed import PageWidget, module

POINTS, CUTOFF = len(EDGES) - 1, 0.5
WEIGHTS = {
    "mse": lambda rho, _: np.ones_like(rho),
    "coherence": lambda rho, of: np.interp(rho, of["rho"], weight_curve(of)),
    "freqkd_code": lambda rho, _: np.where(rho <= CUTOFF, 1, 0.1),  # without its logarithm
    "lowpass": lambda rho, _: np.exp2(-((rho / 0.35) ** 2)),
    "low_only": lambda rho, _: np.where(rho <= CUTOFF, 1.0, 0.0),
}
"""Weights, at rho and from a block's statistics, of losses that students were trained with."""


def gain_of(loss: str, trained: Comparison) -> str:
    """The AP of a loss minus that of MSE, with its interval, at its better learning rate."""
    for row in lines_of(trained.means("probe_ap")):
        if split_method(row.method)[0] == loss and own_settings(row.method).keys() == {"lr"}:
            return number(row.value, (row.low, row.high), signed=True)
    return "the reference" if loss == "mse" else "not trained"


class DrawnWeight(PageWidget):
    """A weight for the loss of one pair's maps (1, C, h, w), with the `statistics` of their block
    and the results of training. `curve`, `POINTS` numbers from 0 to 1, follows the reader, can be
    set and observed."""

    _esm = module("weight")
    curve = traitlets.List(traitlets.Float(), [1.0] * POINTS).tag(sync=True)

    def __init__(self, student: Tensor, teacher: Tensor, statistics: Statistics, of: Comparison):
        h, w = teacher.shape[-2:]
        at = np.minimum(radius(h, w).numpy().round(6), EDGES[-1])
        rho, target = np.unique(at), normalise(teacher.detach())
        spec = {"edges": EDGES, "cutoff": CUTOFF, "rho": rho.tolist()}
        for name, x in (("cost", normalise(student.detach()) - target), ("power", target)):
            whole = power_spectrum(x).sum((0, 1)).double().numpy()
            spec[name] = [round(float(whole[at == r].sum()), 6) for r in rho]
        spec["weights"] = [
            dict(name=NAMES[k], brought=gain_of(k, of), at_rho=w(rho, statistics).round(4).tolist())
            for k, w in WEIGHTS.items()
        ]
        super().__init__(spec=spec)

    @traitlets.validate("curve")
    def _within(self, proposal: dict) -> list[float]:
        if len(curve := proposal["value"]) == POINTS and 0 <= min(curve) <= max(curve) <= 1:
            return curve
        raise UserError(f"curve={curve} must be {POINTS} weights from 0 to 1.")

    def alt_text(self) -> str:
        trained = "; ".join(f"{of['name']} {of['brought']}" for of in self.spec["weights"])
        return (
            f"Weights that a reader draws over rho: {self.curve}. Beside them the loss and the "
            f"gradient that they make. Average precision minus that of MSE: {trained}."
        )

    def card(self) -> Image.Image:
        """Each trained weight over rho."""
        weights, rho = self.spec["weights"], np.divide(self.spec["rho"], EDGES[-1])
        card, draw = drawing.canvas(144 * len(weights), 150)
        for left, of in zip(range(8, card.width, 144), weights, strict=True):
            drawing.write(draw, left, 4, of["name"], 12)
            box, top = (left, 30, left + 128, 140), max(of["at_rho"])
            draw.line(drawing.place(rho, of["at_rho"], box, top), COLOURS["mse"], 3)
        return card
