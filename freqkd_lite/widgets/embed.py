"""One output, three forms: a live widget, the same module in a page without kernel, a picture.

A notebook's output carries all three: the lab shows the widget; an exported page the HTML, which
holds the ES module and its data and needs no server; a code host, which removes scripts, the
picture (also in the HTML, where the script would replace it).
"""

import html
import json
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from string import Template
from typing import Any

import anywidget
import traitlets
from PIL import Image
from torch import Tensor

from freqkd_lite.data import Pair
from freqkd_lite.errors import UserError
from freqkd_lite.store import encoded, in_base64, read_text, sha256
from freqkd_lite.widgets.drawing import few_colours, stacked

COMMON = {*anywidget.AnyWidget.class_trait_names(sync=True), "_esm", "_css", "_anywidget_id"}
# A plain object stands in for anywidget's model; several copies of one output each find their own
# place.
_PAGE = Template(read_text(Path(__file__).parent / "page.html").rstrip())


def module(name: str) -> str:
    """The ES module of a widget: what all of them share (shared.js), then its own file."""
    here = Path(__file__).parent
    return "\n".join(read_text(here / file) for file in ("shared.js", f"{name}.js"))


def joined(pictures: Sequence[Image.Image], quality: int = 82) -> tuple[bytes, list[int]]:
    """Pictures as JPEGs, one after the other, and the places at which to cut them again."""
    jpegs = [encoded(picture.save, format="JPEG", quality=quality) for picture in pictures]
    return b"".join(jpegs), [0, *accumulate(map(len, jpegs))]


def name_and_pictures(pair: Pair) -> tuple[str, tuple[Tensor, Tensor]]:
    """A pair's name with, where it is known, its time of day; RGB and infrared. `UserError` for one
    without RGB."""
    if pair.visible is None:
        raise UserError(f"The pair {pair.name} has no RGB picture: give one that has both.")
    name = f"{pair.name} ({pair.time_of_day})" if pair.time_of_day else pair.name
    return name, (pair.visible, pair.infrared)


def nearest_step(name: str, value: float, steps: Sequence[float]) -> float:
    """The step that equals `value` up to rounding; `UserError` where none does."""
    nearest = min(steps, key=lambda step: abs(step - value))
    if not abs(nearest - value) < 1e-9:
        some = steps if len(steps) < 10 else (*steps[:2], "...", steps[-1])
        shown = ", ".join(step if isinstance(step, str) else f"{step:g}" for step in some)
        raise UserError(f"{name}={value:g} is no step of the slider: give one of {shown}.")
    return nearest


class PageWidget(anywidget.AnyWidget):
    """A widget that also works in a page and as a picture.

    A subclass sets `_esm` to its `module`, and gives `card(...)`, a picture of one state,
    `states()`, what `card` takes for each of some states worth a look (one), and `alt_text()`, what
    these show and its numbers. Its module reads `spec` and the subclass's own traits.
    """

    _esm: str
    card: Callable[..., Image.Image]
    alt_text: Callable[[], str]
    spec = traitlets.Dict().tag(sync=True)

    def states(self) -> list[tuple]:
        return [()]

    def filmstrip(self) -> Image.Image:
        """Several states, one below the other: for places where no script runs."""
        return stacked([self.card(*state) for state in self.states()])

    def page_html(self, picture: Image.Image | None = None) -> str:
        """HTML that works alone: from a file, with no kernel, server or network."""
        source = in_base64(encoded((picture or self.filmstrip()).save, format="JPEG", quality=72))
        names = set(self.trait_names(sync=True)) - COMMON
        values = {name: getattr(self, name) for name in sorted(names)}
        buffers = {name: in_base64(v) for name, v in values.items() if isinstance(v, bytes)}
        state = {name: v for name, v in values.items() if not isinstance(v, bytes)}
        # Nothing inside a script may end it.
        state, buffers = (json.dumps(x).replace("<", "\\u003c") for x in (state, buffers))
        script = str(self._esm)
        return _PAGE.substitute(
            key=sha256(script, state, buffers)[:12],
            picture=f'<img style="max-width:100%" alt="{html.escape(self.alt_text())}" '
            f'src="data:image/jpeg;base64,{source}">',
            module=in_base64(script.encode()),
            state=state,
            buffers=buffers,
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture, alt = self.filmstrip(), self.alt_text()
        small = few_colours([picture], 80)[0]
        forms = {
            "text/plain": alt,
            "text/html": self.page_html(picture),
            "image/png": in_base64(encoded(small.save, format="PNG", optimize=True)),
        }
        return {**data, **forms}, {**metadata, "image/png": {"alt": alt}}
