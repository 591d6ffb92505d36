"""HTML pages that need no network: their templates, the check that they are readable, and reports.

    page = ReportPage("Do these pairs agree?", "Yes: 220 of 221 pairs can be used.")
    page.section("What was found")
    page.table(("pair", "pixels"), [("a.png", 2.5)])
    page.figure(figure, "Histogram of offsets: most lie below 3 pixels.")
    page.write("check.html")

Pictures and style are inside the page, which follows the reader's dark mode and screen width.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from bs4 import BeautifulSoup

from freqkd_lite.errors import UserError
from freqkd_lite.results import text
from freqkd_lite.store import check_place, encoded, in_base64, read_text, write_whole

TEMPLATES = Path(__file__).parent / "templates"
FOLDED = 20  # a longer list opens on a click
POINTS = 96  # CSS pixels in an inch; pictures are stored twice as fine, for dense screens
RESOURCES = {"img": "src", "script": "src", "iframe": "src", "link": "href", "source": "src"}
FETCHES = re.compile(r"""(?:@import|url\(|\bfrom|\bimport\(?)\s*["']?(https?:)?//""")


def style() -> str:
    """The style sheet of all pages."""
    return read_text(TEMPLATES / "page.css")


def render(template: str, **content: object) -> str:
    """One of the templates filled in, with the style sheet; all text is escaped."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True)
    return environment.get_template(template).render(style=style(), **content)


class ReportPage:
    """Collects the parts of a page in reading order. All text is plain and is escaped."""

    def __init__(self, title: str, answer: str):
        self.title, self.answer = title, answer
        self.parts: list[dict[str, Any]] = []

    def section(self, heading: str) -> None:
        """A second-level heading."""
        self.parts.append({"kind": "section", "heading": heading})

    def text(self, *paragraphs: str) -> None:
        """Paragraphs of plain text."""
        self.parts += [{"kind": "text", "text": paragraph} for paragraph in paragraphs]

    def bullets(self, entries: Iterable[str]) -> None:
        """A list, folded where it has more than `FOLDED` entries; an empty one is left out."""
        entries = list(entries)
        if entries:
            self.parts.append({"kind": "list", "entries": entries, "fold": len(entries) > FOLDED})

    def code(self, source: str) -> None:
        """A command, or another preformatted text."""
        self.parts.append({"kind": "code", "text": source})

    def figure(self, picture: Any, alt: str, caption: str = "") -> None:
        """A matplotlib figure (closed afterwards), with its description."""
        lossless = {"format": "webp", "pil_kwargs": {"lossless": True}}  # half as large as PNG
        webp = encoded(picture.savefig, dpi=2 * POINTS, **lossless)
        width = round(picture.get_figwidth() * POINTS)
        sys.modules["matplotlib.pyplot"].close(picture)  # whoever drew it has imported it
        about = {"width": width, "alt": " ".join(alt.split()), "caption": caption}
        self.parts.append({"kind": "figure", "webp": in_base64(webp)} | about)

    def sheet(self, rows: Iterable[tuple[str, Sequence[tuple[bytes, str]]]]) -> None:
        """A contact sheet: for each row a caption, and JPEG pictures with their descriptions."""
        inside = [(caption, [(in_base64(jpeg), alt) for jpeg, alt in of]) for caption, of in rows]
        self.parts.append({"kind": "sheet", "rows": inside})

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = ""
    ) -> None:
        """A table, floats with 3 significant digits. `ValueError` if a row is too long or short."""
        cells = [[f"{x:.3g}" if isinstance(x, float) else x for x in row] for row in rows]
        html = text.table(head, cells, "html")
        self.parts.append({"kind": "table", "html": html, "caption": caption})

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all; returns the path. `UserError` if the page would need
        the network or has a picture without description."""
        html, path = render("report.html.j2", page=self), Path(path)
        check(html, str(path))
        check_place(path, folder=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, html)
        return path


def problems(html: str) -> list[str]:
    """Why a page can't be read offline or by everyone; empty when it can."""
    page, needs = BeautifulSoup(html, "html.parser"), "needs the network for"
    targets = [str(tag.get(key, "")) for name, key in RESOURCES.items() for tag in page(name)]
    found = [f"{needs} {target}" for target in targets if re.match(r"(https?:)?//", target)]
    alts = [str(picture.get("alt") or "No description") for picture in page("img")]
    if any(alt.startswith("No description") for alt in alts):
        found.append("has a picture without a description")
    code = [(tag.name, tag.get_text()) for tag in page(["style", "script"])]
    code += [("style", str(tag["style"])) for tag in page(style=True)]
    found += [f"{needs} a {kind}" for kind, text in code if FETCHES.search(text)]
    headings = len(page("h1"))
    if headings != 1:
        found.append(f"has {headings} first-level headings where one is needed")
    return found


def check(html: str, name: str) -> None:
    """`UserError` for the first of the `problems` of the page called `name`."""
    for problem in problems(html)[:1]:
        raise UserError(f"The page {name} {problem}: fix what writes it.")
