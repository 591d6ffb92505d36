"""The explorer: the widgets with every option at once, asked from the kernel, for `make explore`.

A notebook's widget has two controls and answers in the browser; here are all of them, and a picture
of at most 1280x480 comes back from Python, drawn from features that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets
from PIL import Image
from torch import Tensor

from freqkd_lite.data import PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, extract
from freqkd_lite.gap.knobs import KNOBS
from freqkd_lite.results.rows import Row
from freqkd_lite.scenes.world import SceneSettings
from freqkd_lite.spectrum import CUTOFF_LIMITS, TRANSFORMS
from freqkd_lite.widgets import fader, own_gap, patch_similarity
from freqkd_lite.widgets.embed import encode
from freqkd_lite.widgets.fader import Fader
from freqkd_lite.widgets.own_gap import LABELS
from freqkd_lite.widgets.patch import PatchSimilarity

LIMIT = (1280, 480)  # pixels of the picture
PIXELS = "pixels"


class Explorer:
    """Tabs of controls above one picture: `bands` (the fader's options), `knobs` (all four of a
    scene's) and, given a student, `patches`. `controls[tab][name]` is an ipywidget; `show()` gives
    what a notebook displays, `picture()` what it shows now."""

    def __init__(
        self,
        pairs: PairSet,
        backbone: Backbone,
        real: Sequence[Row],
        student: Backbone | None = None,
    ):
        """pairs: what is looked at; real: rows of results/scenes_gap, see `own_gap`."""
        self.pairs, self.networks = pairs, {"teacher": backbone, "student": student}
        self._gap = own_gap(real)
        self.maps, self._faders = lru_cache(96)(self._maps), lru_cache(32)(self._fader)
        self._patches = lru_cache(32)(self._patch)
        block = ipywidgets.IntSlider(
            min=0, max=backbone.depth - 1, value=backbone.depth - 1, description="Block"
        )
        pair = dict(min=0, max=len(pairs) - 1, description="Pair")
        self.controls = {
            "bands": {
                "pair": ipywidgets.IntSlider(**pair),
                "cutoff": ipywidgets.IntSlider(min=1, max=141, value=50, description="Cutoff, %"),
                "swap": ipywidgets.Checkbox(description="Swap modalities"),
                "of": _choice("Of", [PIXELS, *(f"block {b}" for b in range(backbone.depth))]),
                "shape": _choice("Shape", CUTOFF_LIMITS),
                "edge": _choice("Edge", ("hard", "soft")),
                "transform": _choice("Transform", TRANSFORMS),
                "gain": ipywidgets.IntSlider(min=1, max=8, value=2, description="Gain of high"),
            },
            "knobs": {
                name: ipywidgets.SelectionSlider(
                    options=[(LABELS[name][1].format(v), v) for v in values],
                    value=getattr(SceneSettings(), name),
                    description=LABELS[name][0],
                )
                for name, values in KNOBS.items()
            },
        }
        if student is not None:
            rows, columns = (edge // backbone.patch for edge in pairs.size)
            self.controls["patches"] = {
                "pair": ipywidgets.IntSlider(**pair),
                "row": ipywidgets.IntSlider(min=0, max=rows - 1, description="Row"),
                "column": ipywidgets.IntSlider(min=0, max=columns - 1, description="Column"),
                "block": block,
                "swap": ipywidgets.Checkbox(description="Ask from infrared"),
            }
        self._tabs = ipywidgets.Tab([
            ipywidgets.GridBox(
                list(group.values()), layout={"grid_template_columns": "repeat(2, minmax(0, 1fr))"}
            )
            for group in self.controls.values()
        ], titles=[name.capitalize() for name in self.controls])  # fmt: skip
        self._image = ipywidgets.Image(
            format="jpeg", layout={"max_width": "100%", "align_self": "flex-start"}
        )
        self._said = ipywidgets.HTML()
        for group in self.controls.values():
            for control in group.values():
                control.style = {"description_width": "9em"}
                control.layout = {"width": "auto"}
                control.observe(self._draw, "value")
        self._tabs.observe(self._draw, "selected_index")
        self._draw()

    def show(self) -> ipywidgets.Widget:
        """Controls, picture and, where something can't be shown, why."""
        return ipywidgets.VBox([self._tabs, self._said, self._image])

    def picture(self) -> Image.Image:
        """What the controls of the open tab ask for, within `LIMIT`."""
        tab = list(self.controls)[self._tabs.selected_index or 0]
        asked = {name: control.value for name, control in self.controls[tab].items()}
        drawn = {"bands": self._bands, "knobs": self._gap.card, "patches": self._similarity}
        card = drawn[tab](asked)
        card.thumbnail(LIMIT)
        return card

    def _draw(self, change: object = None) -> None:
        try:
            self._image.value = encode(self.picture(), "JPEG", quality=85)
            self._said.value = ""
        except UserError as error:  # in a callback it would be seen by nobody
            self._said.value = f"<b>{error}</b>"

    def _bands(self, asked: dict) -> Image.Image:
        names = ("pair", "of", "shape", "edge", "transform", "gain")
        found = self._faders(*(asked[name] for name in names))
        cutoff = found.cutoffs[min(asked["cutoff"], len(found.cutoffs)) - 1]
        return found.card(cutoff, asked["swap"])

    def _similarity(self, asked: dict) -> Image.Image:
        found = self._patches(asked["pair"], asked["block"])
        return found.card(asked["row"] * found.grid[1] + asked["column"], asked["swap"])

    def _maps(self, pair: int, kind: str, network: str, block: int) -> Tensor:
        picture = getattr(self.pairs[pair], kind)
        return extract(self.networks[network], picture[None], [block])[0][0]

    def _fader(self, pair: int, of: str, shape: str, edge: str, transform: str, gain: int) -> Fader:
        band = dict(shape=shape, gain=gain, edge=edge, transform=transform)
        if of == PIXELS:
            return fader(self.pairs[pair], **band)
        block = int(of.removeprefix("block "))
        maps = tuple(self.maps(pair, kind, "teacher", block) for kind in ("visible", "infrared"))
        return fader(features=maps, **band)

    def _patch(self, pair: int, block: int) -> PatchSimilarity:
        asked = (("visible", "teacher"), ("infrared", "teacher"), ("infrared", "student"))
        maps = (self.maps(pair, kind, network, block) for kind, network in asked)
        return patch_similarity(self.pairs[pair], *maps)


def _choice(label: str, options: Sequence[str] | dict) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=list(options), description=label)
