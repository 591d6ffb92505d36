"""How fast the widgets answer, measured in Chromium: in an exported page and in JupyterLab.

From the pointer's event to the picture: the time stamp of the event, against the clock once the
frame that drew its answer has been handed on. What the kernel answers is measured from a key's
event to the loaded picture. Load averages stand beside, since a busy machine measures itself.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np

from freqkd_lite.errors import UserError

# Listens before and after the widget: on an event, the frame that it asked for has drawn by the
# time that a frame asked for later runs, and a message sent from there comes after the paint.
PROBE = """() => {
  if (window.freqkdWaits) return;
  window.freqkdWaits = [];
  let at = 0;
  const keep = (event) => { at = event.timeStamp; };
  for (const name of ["pointerdown", "pointermove"])
    window.addEventListener(name, keep, { capture: true });
  const measure = (event) => {
    const began = at;
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => window.freqkdWaits.push(performance.now() - began);
      port2.postMessage(0);
    });
  };
  window.addEventListener("input", measure);
  window.addEventListener("pointermove", (event) => {
    if (event.buttons && event.target.matches?.("canvas.ask")) measure(event);
  });
}"""

# One step of a control by key: resolves with the time from the key's event to the picture.
STEP = """(image) => new Promise((resolve) => {
  let at = 0;
  window.addEventListener("keydown", (event) => { at = event.timeStamp; },
    { capture: true, once: true });
  image.addEventListener("load", () => requestAnimationFrame(() =>
    resolve(performance.now() - at)), { once: true });
  window.freqkdReady = true;
})"""

CELLS = {
    "widgets": """
from pathlib import Path
from IPython.display import display
from freqkd_lite.bench.slider import subjects
for widget in subjects().values():
    display(widget)""",
    "explorer": """
from freqkd_lite.bench.slider import explorer
explorer().show()""",
}


def subjects() -> dict[str, object]:
    """The widgets that are measured, as the walk shows them: on its default size."""
    from freqkd_lite import data
    from freqkd_lite.features import extract, load_backbone
    from freqkd_lite.widgets import fader, own_gap, patch_similarity

    pair = data.load("scenes", "val", (168, 224), limit=1)[0]
    backbone = load_backbone().freeze()
    rgb, heat = (extract(backbone, x[None], [7])[0][0] for x in (pair.visible, pair.infrared))
    return {
        "fader": fader(pair),
        "fader, soft edge, dct": fader(pair, edge="soft", transform="dct"),
        "own_gap": own_gap(_real()),
        "patch_similarity": patch_similarity(pair, rgb, heat, 0.5 * (rgb + heat)),
    }


def explorer() -> object:
    """The explorer on its default."""
    from freqkd_lite import data
    from freqkd_lite.features import load_backbone
    from freqkd_lite.widgets.explore import Explorer

    return Explorer(data.load("scenes", "val", (168, 224)), load_backbone().freeze(), _real())


def slider(moves: int = 120) -> dict:
    """All of it: {"rows": [{"where", "what", "n", "median_ms", "p95_ms", "load"}, ...], ...}."""
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        found = subjects()
        page = chromium.new_context(offline=True, viewport=VIEW).new_page()
        file = Path(folder) / "page.html"
        file.write_text("<!doctype html><meta charset='utf-8'><body>"
                        + "".join(widget.page_html() for widget in found.values()))  # fmt: skip
        page.goto(file.as_uri())
        page.locator(".freqkd").nth(len(found) - 1).wait_for()
        rows = _drag_all(page, "exported page", list(found), moves)
        version = chromium.version
        with lab(chromium, folder, CELLS["widgets"]) as page:
            page.locator(".freqkd").nth(len(found) - 1).wait_for(timeout=120_000)
            rows += _drag_all(page, "JupyterLab", list(found), moves)
        with lab(chromium, folder, CELLS["explorer"]) as page:
            rows.append(_ask_kernel(page, "JupyterLab, kernel", max(20, moves // 3)))
    return {"schema": "freqkd-bench/1", "what": "slider", "chromium": version,
            "cores": os.cpu_count(), "rows": rows}  # fmt: skip


VIEW = {"width": 1200, "height": 900}


@contextmanager
def browser() -> Iterator[object]:
    """Chromium, headless; `UserError` where it or Playwright is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise UserError("The bench needs Playwright: pip install -e '.[test]'.") from None
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as play:
        try:
            started = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except Error as error:
            raise UserError(
                "Chromium does not start: install Debian's (apt install chromium), or give "
                "`playwright install chromium`."
            ) from error
        yield started
        started.close()


@contextmanager
def lab(chromium: object, folder: str | Path, cell: str) -> Iterator[object]:
    """A page with JupyterLab, on loopback, in which a notebook of one cell has been started."""
    folder = Path(folder)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "bench.ipynb")
    port = free_port()
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--allow-root",
               f"--port={port}", f"--IdentityProvider.token={token}",
               f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    names = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(folder / "own" / name) for name in names}
    failed = "JupyterLab did not start: try `jupyter lab` by hand, which says why."
    with serving(command, port, failed, env=os.environ | own):
        context = chromium.new_context(viewport=VIEW)
        try:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/lab/tree/bench.ipynb?token={token}")
            # Asked before the kernel is there, a cell does not run at all.
            page.get_by_text("(ipykernel) | Idle").wait_for(timeout=120_000)
            page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Control+Enter")
            yield page
        finally:
            context.close()


def free_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(
    command: list[str], port: int, failed: str, seconds: float = 90, **where: object
) -> Iterator[None]:
    """A server that answers at `port` on loopback, ended afterwards; `UserError` with the sentence
    `failed` where it ends or takes more than `seconds` to answer. `where` goes to `Popen`."""
    quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    server = subprocess.Popen(command, **quiet, **where)
    try:
        until = time.monotonic() + seconds
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > until:
                raise UserError(failed)
            time.sleep(0.3)
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def drag(page: object, control: object, moves: int) -> None:
    """Hold a slider or picture and move along it and back, about 60 times a second."""
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    y = box["y"] + box["height"] / 2
    there = np.linspace(0.15, 0.85, moves // 2)
    page.mouse.move(box["x"] + 0.1 * box["width"], y)
    page.mouse.down()
    for share in (*there, *there[::-1]):
        page.mouse.move(box["x"] + float(share) * box["width"], y)
        page.wait_for_timeout(12)
    page.mouse.up()
    page.wait_for_timeout(200)


def row(where: str, what: str, waits: list[float]) -> dict:
    """Waits in milliseconds as a row of the answer."""
    if not waits:
        raise UserError(f"{what} in {where} never answered: look at it in a browser.")
    return {"where": where, "what": what, "n": len(waits),
            "median_ms": round(float(np.median(waits)), 1),
            "p95_ms": round(float(np.quantile(waits, 0.95)), 1),
            "load": round(os.getloadavg()[0], 2)}  # fmt: skip


def _drag_all(page: object, where: str, names: list[str], moves: int) -> list[dict]:
    """Every widget dragged once it has been touched; the first one also before that, while its page
    has only just opened: nothing is compiled or computed ahead."""
    page.evaluate(PROBE)
    rows = []
    for i, name in enumerate(names):
        control = page.locator(".freqkd").nth(i).locator("input[type=range], canvas.ask").first
        first = _waits(page, control, 12 if i else moves)
        if i == 0:
            rows.append(row(where, f"{name}, first drag", first))
        rows.append(row(where, name, _waits(page, control, moves)))
    return rows


def _waits(page: object, control: object, moves: int) -> list[float]:
    page.evaluate("() => { window.freqkdWaits.length = 0; }")
    drag(page, control, moves)
    return page.evaluate("() => window.freqkdWaits")


def _ask_kernel(page: object, where: str, count: int) -> dict:
    image = page.locator(".jp-OutputArea img.widget-image").first
    image.wait_for(timeout=120_000)
    page.wait_for_timeout(1000)
    handle = page.locator(".noUi-handle").nth(1)  # of the cutoff
    handle.focus()
    waits = []
    for i in range(count + 3):
        page.evaluate("() => { window.freqkdReady = false; }")
        page.evaluate("(image) => { window.freqkdWait = (" + STEP + ")(image); }",
                      image.element_handle())  # fmt: skip
        page.keyboard.press("ArrowRight" if i % 40 < 20 else "ArrowLeft")
        waits.append(page.evaluate("() => window.freqkdWait"))
        page.wait_for_timeout(30)
    return row(where, "explorer, cutoff", waits[3:])  # the first ones build what is kept


def _real() -> list:
    from freqkd_lite.results.rows import read_results

    return read_results(Path(__file__).parent.parent / "results" / "scenes_gap")
