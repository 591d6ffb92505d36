"""From the pointer's event to a widget's picture, in Chromium, in an exported page.

The time stamp of the event, against the clock once the frame that drew its answer was handed on.
The bar for 95 % of moves is 33 ms, two frames of a screen.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.browser import VIEW, browser, drag
from benchmarks.common import finish, parser

BAR = 33  # ms

# Listens before and after the widget: on an event, the frame that it asked for has drawn by the
# time that a frame asked for later runs, and a message sent from there comes after the paint.
PROBE = """() => {
  window.freqkdWaits = [];
  let at = 0;
  const keep = (event) => { at = event.timeStamp; };
  for (const name of ["pointerdown", "pointermove"])
    window.addEventListener(name, keep, { capture: true });
  const measure = () => {
    const began = at;
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => window.freqkdWaits.push(performance.now() - began);
      port2.postMessage(0);
    });
  };
  window.addEventListener("input", measure);
  window.addEventListener("pointermove", (event) => {
    if (event.buttons && event.target.matches?.("canvas.ask")) measure();
  });
}"""


def widgets() -> dict[str, object]:
    """The widgets that are measured, on the pictures of the embedded default."""
    from freqkd_lite import data
    from freqkd_lite.features import extract, load_backbone
    from freqkd_lite.results.rows import read_results
    from freqkd_lite.widgets import fader, own_gap, patch_similarity

    pair = data.load("scenes", "val", (168, 224), limit=1)[0]
    backbone = load_backbone().freeze()
    rgb, heat = (extract(backbone, x[None], [7])[0][0] for x in (pair.visible, pair.infrared))
    real = read_results(Path(__file__).parent.parent / "results" / "scenes_gap")
    return {
        "fader": fader(pair),
        "fader, soft edge, dct": fader(pair, edge="soft", transform="dct"),
        "own_gap": own_gap(real),
        "patch_similarity": patch_similarity(pair, rgb, heat, 0.5 * (rgb + heat)),
    }


def measure(page: object, names: list[str], moves: int) -> list[list]:
    """A row [widget, moves, median ms, 95 % ms] for each widget of a page, in order; the first one
    also before anything was touched."""
    page.evaluate(PROBE)
    rows = []
    for i, name in enumerate(names):
        control = page.locator(".freqkd").nth(i).locator("input[type=range], canvas.ask").first
        for what in [f"{name}, first drag", name] if i == 0 else [name]:
            page.evaluate("() => { window.freqkdWaits.length = 0; }")
            drag(page, control, moves)
            waits = page.evaluate("() => window.freqkdWaits")
            middle, most = np.quantile(waits, [0.5, 0.95])
            rows.append([what, len(waits), f"{middle:.1f}", f"{most:.1f}"])
    return rows


def main() -> None:
    given = parser(__doc__, rounds=120).parse_args()
    found = widgets()
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        page = chromium.new_context(offline=True, viewport=VIEW).new_page()
        file = Path(folder) / "page.html"
        html = "".join(widget.page_html() for widget in found.values())
        file.write_text(f"<!doctype html><meta charset='utf-8'><body>{html}")
        page.goto(file.as_uri())
        page.locator(".freqkd").nth(len(found) - 1).wait_for()
        rows = measure(page, list(found), given.rounds)
    about = f"Chromium, {given.rounds} moves each, load {os.getloadavg()[0]:.1f}. Bar: {BAR} ms."
    finish(given, "From the pointer to the picture", about, ["what", "moves", "ms", "95 %"], rows)


if __name__ == "__main__":
    main()
