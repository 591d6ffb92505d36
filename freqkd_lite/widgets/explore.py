"""The explorer: all options of the widgets, computed by the kernel, for `make explore`.

A notebook's widget has two controls and answers in the browser; here are all of them, and a picture
of at most 1280x480 pixels comes back from Python, drawn from cached features.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import ipywidgets
from PIL import Image
from torch import Tensor

from freqkd_lite.data import PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, extract
from freqkd_lite.gap.knobs import KNOBS
from freqkd_lite.results.rows import Row
from freqkd_lite.scenes import SceneSettings
from freqkd_lite.spectrum import CUTOFF_LIMITS, TRANSFORMS
from freqkd_lite.store import encoded
from freqkd_lite.widgets.fader import Fader
from freqkd_lite.widgets.own_gap import LABELS, OwnGap
from freqkd_lite.widgets.patch import PatchSimilarity

LIMIT = (1280, 480)  # pixels of the picture
PIXELS = "pixels"
Controls = dict[str, Any]  # ipywidgets by name


class Explorer:
    """Tabs of controls above one picture: `bands` (the fader's options), `knobs` (all four of a
    scene's) and, given a student, `patches`. `controls[tab][name]` is an ipywidget, `tabs` the
    tabs, `image` and `message` what is shown; `show()` gives what a notebook displays."""

    def __init__(
        self,
        pairs: PairSet,
        backbone: Backbone,
        real: Sequence[Row],
        student: Backbone | None = None,
    ):
        """pairs: the pairs to show; real: rows of results/scenes_gap, see `OwnGap`."""
        self.pairs, self.networks = pairs, {"teacher": backbone, "student": student}
        self.gap = OwnGap(real)
        self.maps, self.faders = lru_cache(96)(self._maps), lru_cache(32)(self._fader)
        self.patches = lru_cache(32)(self._patch)
        self.controls = self._controls()
        layout = {"grid_template_columns": "repeat(2, minmax(0, 1fr))"}
        groups = [list(group.values()) for group in self.controls.values()]
        boxes = [ipywidgets.GridBox(group, layout=layout) for group in groups]
        self.tabs = ipywidgets.Tab(boxes, titles=[name.capitalize() for name in self.controls])
        layout = {"max_width": "100%", "align_self": "flex-start"}
        self.image = ipywidgets.Image(format="jpeg", layout=layout)
        self.message = ipywidgets.HTML()
        for control in sum(groups, []):
            control.style = {"description_width": "9em"}
            control.layout = {"width": "auto"}
            control.observe(self._draw, "value")
        self.tabs.observe(self._draw, "selected_index")
        self._draw()

    def show(self) -> ipywidgets.Widget:
        """Controls, picture and, where something can't be shown, why."""
        return ipywidgets.VBox([self.tabs, self.message, self.image])

    def picture(self) -> Image.Image:
        """What the controls of the open tab ask for, within `LIMIT`."""
        tab = list(self.controls)[self.tabs.selected_index or 0]
        asked = {name: control.value for name, control in self.controls[tab].items()}
        draw = {"bands": self._bands, "knobs": self.gap.card, "patches": self._similarity}
        card = draw[tab](asked)
        card.thumbnail(LIMIT)
        return card

    def _draw(self, change: object = None) -> None:
        try:
            self.image.value = encoded(self.picture().save, format="JPEG", quality=85)
            self.message.value = ""
        except UserError as error:  # an error in a callback would not be shown
            self.message.value = f"<b>{error}</b>"

    def _controls(self) -> dict[str, Controls]:
        network = self.networks["teacher"]
        pair, last = len(self.pairs) - 1, network.depth - 1
        found = {
            "bands": {
                "pair": _slider("Pair", pair),
                "cutoff": _slider("Cutoff, %", 141, low=1, value=50),
                "swap": ipywidgets.Checkbox(description="Swap modalities"),
                "of": _choice("Of", [PIXELS, *(f"block {b}" for b in range(last + 1))]),
                "shape": _choice("Shape", CUTOFF_LIMITS),
                "edge": _choice("Edge", ("hard", "soft")),
                "transform": _choice("Transform", TRANSFORMS),
                "gain": _slider("Gain of high", 8, low=1, value=2),
            },
            "knobs": {
                name: ipywidgets.SelectionSlider(
                    options=[(LABELS[name][1].format(value), value) for value in values],
                    value=getattr(SceneSettings(), name),
                    description=LABELS[name][0],
                )
                for name, values in KNOBS.items()
            },
        }
        if self.networks["student"] is not None:
            rows, columns = (edge // network.patch for edge in self.pairs.size)
            found["patches"] = {
                "pair": _slider("Pair", pair),
                "row": _slider("Row", rows - 1),
                "column": _slider("Column", columns - 1),
                "block": _slider("Block", last, value=last),
                "swap": ipywidgets.Checkbox(description="Ask from infrared"),
            }
        return found

    def _bands(self, asked: dict) -> Image.Image:
        names = ("pair", "of", "shape", "edge", "transform", "gain")
        found = self.faders(*(asked[name] for name in names))
        cutoff = found.cutoffs[min(asked["cutoff"], len(found.cutoffs)) - 1]
        return found.card(cutoff, asked["swap"])

    def _similarity(self, asked: dict) -> Image.Image:
        found = self.patches(asked["pair"], asked["block"])
        return found.card(asked["row"] * found.grid[1] + asked["column"], asked["swap"])

    def _maps(self, pair: int, kind: str, network: str, block: int) -> Tensor:
        picture = getattr(self.pairs[pair], kind)
        return extract(self.networks[network], picture[None], [block])[0][0]

    def _fader(self, pair: int, of: str, shape: str, edge: str, transform: str, gain: int) -> Fader:
        band: dict[str, Any] = dict(shape=shape, gain=gain, edge=edge, transform=transform)
        if of == PIXELS:
            return Fader(self.pairs[pair], **band)
        block = int(of.removeprefix("block "))
        maps = tuple(self.maps(pair, kind, "teacher", block) for kind in ("visible", "infrared"))
        return Fader(features=maps, **band)

    def _patch(self, pair: int, block: int) -> PatchSimilarity:
        asked = (("visible", "teacher"), ("infrared", "teacher"), ("infrared", "student"))
        of_rgb, before, after = (self.maps(pair, kind, net, block) for kind, net in asked)
        return PatchSimilarity(self.pairs[pair], of_rgb, before, after)


def _slider(label: str, high: int, low: int = 0, value: int = 0) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(min=low, max=high, value=value, description=label)


def _choice(label: str, options: Iterable[str]) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=list(options), description=label)
