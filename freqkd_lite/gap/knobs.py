"""The effect of a scene's settings on its divergence curve: a grid of settings, measured once.

Four settings of the generator are varied: parallax and paint change the RGB picture alone, blur and
thermal contrast the infrared one alone. `tools/scene_knobs.py` measured the stored grid.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.scenes import SceneSettings
from freqkd_lite.store import read_text

KNOBS = {
    "parallax": (0.0, 0.7, 1.5, 3.0, 4.0, 6.0, 8.0),
    "paint": (0.0, 0.5, 1.0, 1.5, 2.0),
    "blur": (0.0, 0.6, 1.5, 3.0, 6.0),
    "thermal_contrast": (0.25, 0.5, 1.0, 2.0, 4.0),
}
"""Values of each knob, see `SceneSettings`: the generator's defaults are among them."""
OF_RGB = ("parallax", "paint")
STORED = Path(__file__).parent.parent / "assets" / "scene_knobs.json"


@dataclass(frozen=True)
class KnobGrid:
    """Divergence on a grid of knobs: `curves` has one axis for each knob, in the order of `values`,
    and one for the rings between `edges` of rho. `about`: the network and the scenes."""

    values: dict[str, tuple[float, ...]]
    edges: tuple[float, ...]
    curves: np.ndarray
    about: dict

    def table(self, first: str, second: str) -> np.ndarray:
        """Curves (values of `first`, values of `second`, rings), other knobs at their defaults.
        `UserError` for a knob that the grid doesn't have, or the same one twice."""
        check_known("knob", self.values, first, second)
        if first == second:
            raise UserError(f"Both knobs are {first!r}: name two different ones.")
        index = tuple(
            slice(None) if name in (first, second) else values.index(getattr(SceneSettings(), name))
            for name, values in self.values.items()
        )
        found, names = self.curves[index], list(self.values)
        return found if names.index(first) < names.index(second) else found.swapaxes(0, 1)


def read(path: Path = STORED) -> KnobGrid:
    """A grid that `tools/scene_knobs.py` wrote; by default the package's own."""
    content = json.loads(read_text(path))
    values = {name: tuple(v) for name, v in content["values"].items()}
    return KnobGrid(values, tuple(content["edges"]), np.array(content["curves"]), content["about"])


def side_by_side(longer: list, shorter: list) -> list[tuple]:
    """Pairs in which every entry of either list stands at its own index."""
    count = max(len(longer), len(shorter))
    return [(longer[i % len(longer)], shorter[i % len(shorter)]) for i in range(count)]
