"""Take README's picture of the explorer in Chromium, as `make explore` serves it.

    python -m tools.explorer_picture docs/explorer.webp

Voila runs on this machine alone, while the picture is taken. It shows one of a network's blocks, in
which RGB and infrared are cut by a soft disk, on a scene that this project draws.
"""

import io
import sys
from pathlib import Path

from PIL import Image, ImageChops

from benchmarks.browser import browser, free_port, serving
from freqkd_lite.errors import UserError

ROOT = Path(__file__).parent.parent
SECONDS = 300  # to wait for the kernel, which loads torch
VIEW = {"width": 830, "height": 800}  # as wide as GitHub shows it; the page scrolls within
SCALE = 2  # for dense screens
CHOICES = {"Of": "block 3", "Shape": "disk", "Edge": "soft", "Transform": "dct"}
MARGIN, LIMIT = 16, 300_000  # pixels of white that stay below; bytes


def take(page: object) -> Image.Image:
    """The page once every choice is made, cut below what it shows."""
    shown = page.locator("img").first
    shown.wait_for(timeout=1000 * SECONDS)
    for label, option in CHOICES.items():
        before = shown.get_attribute("src")
        page.get_by_label(label, exact=True).select_option(option)
        page.wait_for_function(
            "([image, before]) => image.src !== before && image.complete",
            arg=[shown.element_handle(), before],
        )
    page.mouse.click(5, 5)  # no control keeps the focus
    page.wait_for_timeout(500)
    whole = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    ends = ImageChops.difference(whole, Image.new("RGB", whole.size, whole.getpixel((0, 0))))
    return whole.crop((0, 0, whole.width, min(whole.height, ends.getbbox()[3] + SCALE * MARGIN)))


def main(out: Path) -> None:
    """Serve the explorer, look at it, write the picture."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "voila",
        "notebooks/explore.ipynb",
        "--no-browser",
        "--Voila.ip=127.0.0.1",
        f"--port={port}",
        "--port_retries=0",
    ]
    failed = "Voila did not start: `make explore` says why."
    with serving(command, port, failed, SECONDS, cwd=ROOT), browser() as chromium:
        page = chromium.new_page(viewport=VIEW, device_scale_factor=SCALE)
        page.goto(f"http://127.0.0.1:{port}/", timeout=1000 * SECONDS)
        picture = take(page)
    picture.save(out, quality=80, method=6)
    print(f"Wrote {out}: {picture.width}x{picture.height} pixels, {out.stat().st_size} bytes")
    if out.stat().st_size > LIMIT:
        raise UserError(f"{out} has over {LIMIT} bytes: make SCALE smaller.")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "explorer.webp"))
    except UserError as error:
        sys.exit(f"explorer_picture: {error}")
