"""Chromium, servers on loopback and a dragged slider, for benchmarks, tests and pictures."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from freqkd_lite.errors import UserError

VIEW = {"width": 1200, "height": 900}


@contextmanager
def browser() -> Iterator[object]:
    """Chromium, headless; `UserError` where it or Playwright is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise UserError("This needs Playwright: pip install -e '.[test]'.") from None
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
    """Hold a slider or picture and move along it and back, about 60 times a second; a point that
    stands for a value is moved down and up."""
    upright = control.get_attribute("aria-orientation") == "vertical"
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    y = box["y"] + box["height"] / 2
    there = np.linspace(0.15, 0.85, moves // 2)
    page.mouse.move(box["x"] + (0.5 if upright else 0.1) * box["width"], y)
    page.mouse.down()
    for share in (*there, *there[::-1]):
        across, down = (0.5, 100 * share) if upright else (share, 0)
        page.mouse.move(box["x"] + float(across) * box["width"], y + float(down))
        page.wait_for_timeout(12)
    page.mouse.up()
    page.wait_for_timeout(200)
