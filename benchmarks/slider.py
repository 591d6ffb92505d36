"""From the pointer's event to the picture, in Chromium: every widget of the committed pages.

The time stamp of the event, against the clock once the frame that drew its answer was handed on.
The bar for 95 % of moves is 33 ms, two frames of a screen.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.browser import VIEW, browser, drag
from benchmarks.common import finish, parser
from freqkd_lite.runner.pages import write_page

ROOT = Path(__file__).parent.parent
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
    if (event.buttons && event.target.closest?.("canvas.ask, .point")) measure();
  });
}"""


def measure(page: object, moves: int) -> list[list]:
    """A row [widget, moves, median ms, 95 % ms] for each widget of an opened page, in order; the
    first one also before anything was touched."""
    page.evaluate(PROBE)
    rows = []
    for i, widget in enumerate(page.locator(".freqkd").all()):
        name = widget.get_attribute("class").replace("freqkd", "").strip(" -")
        control = widget.locator("input[type=range], canvas.ask, .point").first
        for what in [f"{name}, first drag", name] if i == 0 else [name]:
            page.evaluate("() => { window.freqkdWaits.length = 0; }")
            drag(page, control, moves)
            waits = page.evaluate("() => window.freqkdWaits")
            middle, most = np.quantile(waits, [0.5, 0.95])
            rows.append([what, len(waits), f"{middle:.1f}", f"{most:.1f}"])
    return rows


def main() -> None:
    given = parser(__doc__, rounds=120).parse_args()
    rows = []
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
            file = write_page(ROOT, notebook, notebook.stem, Path(folder))
            page = chromium.new_context(offline=True, viewport=VIEW).new_page()
            page.goto(file.as_uri())
            rows += [[notebook.stem, *row] for row in measure(page, given.rounds)]
    about = f"Chromium, {given.rounds} moves each, load {os.getloadavg()[0]:.1f}. Bar: {BAR} ms."
    head = ["page", "widget", "moves", "ms", "95 %"]
    finish(given, "From the pointer to the picture", about, head, rows)


if __name__ == "__main__":
    main()
