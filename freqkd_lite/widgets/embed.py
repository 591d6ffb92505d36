"""One output, three forms: a live widget, the same module in a page without kernel, a picture.

A notebook's output carries them side by side and each place takes what it can show: the lab the
widget; an exported page the HTML, which holds the ES module and its data and asks no server; a code
host, which removes scripts, the picture (in the HTML too, where the script would take its place).
"""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path

import anywidget
from PIL import Image, ImageColor

from freqkd_lite.store import sha256
from freqkd_lite.viz.style import COLOURS

# A plain object plays anywidget's model; several copies of one output each find their own place.
_PAGE = """<div data-freqkd="{key}">{picture}</div>
<script type="module">
const place = document.querySelector('[data-freqkd="{key}"]:not([data-live])');
if (place) {{
  place.dataset.live = "";
  const module = await import("data:text/javascript;base64,{module}");
  const state = {state}, heard = {{}};
  for (const [name, text] of Object.entries({buffers}))
    state[name] = new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const picture = [...place.childNodes];
  module.default.render({{ el: place, model: {{
    get: (name) => state[name],
    set: (name, value) => {{
      if (state[name] === value) return;
      state[name] = value;
      for (const call of heard["change:" + name] ?? []) call();
    }},
    on: (name, call) => (heard[name] ??= new Set()).add(call),
    off: (name, call) => heard[name]?.delete(call),
    save_changes: () => {{}},
  }} }});
  for (const node of picture) node.remove();
}}
</script>"""


def module(name: str) -> str:
    """The ES module of a widget: what all of them share (shared.js), then its own file."""
    here = Path(__file__).parent
    return "\n".join((here / file).read_text() for file in ("shared.js", f"{name}.js"))


class PageWidget(anywidget.AnyWidget):
    """An anywidget that can be kept. A subclass names in `_page` the traits that its module reads,
    and gives `filmstrip()`, a picture of several of its states, and `alt_text()`, its words."""

    _page: tuple[str, ...] = ()

    def filmstrip(self) -> Image.Image:
        raise NotImplementedError

    def alt_text(self) -> str:
        raise NotImplementedError

    def page_html(self, picture: Image.Image | None = None) -> str:
        """HTML that works alone: from a file, with no kernel, server or network."""
        picture = picture or self.filmstrip()
        state, buffers = {}, {}
        for name in self._page:
            value = getattr(self, name)
            if isinstance(value, bytes):
                buffers[name] = base64.b64encode(value).decode()
            else:
                state[name] = value
        module = str(self._esm)
        # Nothing inside a script may end it.
        state_json, buffers_json = (json.dumps(x).replace("<", "\\u003c") for x in (state, buffers))
        key = sha256(module, state_json, buffers_json)[:12]
        source = base64.b64encode(encode(picture, "JPEG", quality=72)).decode()
        return _PAGE.format(
            key=key,
            picture=f'<img style="max-width:100%" alt="{html.escape(self.alt_text())}" '
            f'src="data:image/jpeg;base64,{source}">',
            module=base64.b64encode(module.encode()).decode(),
            state=state_json,
            buffers=buffers_json,
        )

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = self.filmstrip()
        small = few_colours([picture], 80)[0]
        forms = {
            "text/plain": self.alt_text(),
            "text/html": self.page_html(picture),
            "image/png": base64.b64encode(encode(small, "PNG", optimize=True)).decode(),
        }
        return {**data, **forms}, {**metadata, "image/png": {"alt": self.alt_text()}}


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a picture in a format of Pillow."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def few_colours(pictures: list[Image.Image], count: int) -> list[Image.Image]:
    """The pictures in one palette of `count` colours, the bands' among them, without
    dither: that keeps them small, and moving ones calm."""
    sample = Image.new("RGB", (pictures[0].width, pictures[0].height * min(4, len(pictures))))
    for i in range(min(4, len(pictures))):
        sample.paste(pictures[i * (len(pictures) - 1) // 3], (0, i * pictures[0].height))
    fixed = [channel for name in ("low", "high") for channel in ImageColor.getrgb(COLOURS[name])]
    found = sample.quantize(count - 2, method=Image.Quantize.MEDIANCUT).getpalette()
    palette = Image.new("P", (1, 1))
    palette.putpalette(fixed + found[: 3 * (count - 2)])
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
