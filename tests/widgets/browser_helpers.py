"""What the browser tests share: Chromium, pages from a file without network, JupyterLab, pixels."""

import os
import secrets
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest

from benchmarks.browser import VIEW, free_port, serving

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: no browser tests")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: pages are not run")

IN_PAGE = Path(__file__).parent / "in_page.js"


def new_page(browser, **options):
    """An empty page, in a context of its own, that has the functions of in_page.js."""
    context = browser.new_context(**options)
    context.add_init_script(path=IN_PAGE)
    return context.new_page()


def settle(page):
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")


def drag(page, start, end, steps=4):
    """Hold the mouse at one place and move it to another."""
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=steps)
    page.mouse.up()


def pixels(canvas):
    """What a canvas shows: (height, width, 4)."""
    height, width, *values = canvas.evaluate("readPixels")
    return np.array(values).reshape(height, width, 4)


@contextmanager
def lab(browser, folder, cell):
    """A page with JupyterLab, on loopback, in which a notebook's cell of code has been started; a
    heading stands below it, to which arrow keys would lead."""
    pytest.importorskip("jupyterlab", reason="no JupyterLab: the lab is not run")
    cells = [nbformat.v4.new_code_cell(cell.strip()), nbformat.v4.new_markdown_cell("# Below")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "lab.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    options = ["--no-browser", "--ip=127.0.0.1", "--allow-root", f"--port={port}"]
    options += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
    options += ["--ServerApp.port_retries=0"]
    options += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    names = ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    own = {name: str(folder / "own" / name) for name in names}
    command = [sys.executable, "-m", "jupyterlab", *options]
    with serving(command, port, "JupyterLab did not start.", env=os.environ | own):
        page = new_page(browser, viewport=VIEW)
        page.goto(f"http://127.0.0.1:{port}/lab/tree/lab.ipynb?token={token}")
        # Asked before the kernel is there, a cell does not run at all.
        page.get_by_text("(ipykernel) | Idle").wait_for(timeout=120_000)
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        yield page
        page.context.close()
