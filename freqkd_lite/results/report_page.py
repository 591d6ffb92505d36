"""One self-contained HTML page: the answer in a sentence first, then what it rests on.

    page = ReportPage("Do these pairs agree?", "Yes: 220 of 221 pairs can be used.")
    page.section("What was found")
    page.table(("pair", "pixels"), [("a.png", 2.5)])
    page.figure(figure, "Histogram of offsets: most lie below 3 pixels.")
    page.write("check.html")

Pictures and style are inside, so the page needs no network; it follows the reader's dark mode and
the width of the screen, and every picture carries words for readers who can't see it.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from freqkd_lite.errors import UserError
from freqkd_lite.runner.pages import TEMPLATE, problems
from freqkd_lite.store import write_whole

FOLDED = 20  # entries of a list, above which it opens on a click
POINTS = 96  # CSS pixels in an inch; pictures are stored twice as fine, for dense screens


class ReportPage:
    """Collects the parts of a page in reading order. All text is plain and is escaped."""

    def __init__(self, title: str, answer: str):
        self.title, self.answer, self.parts = title, answer, []

    def section(self, heading: str) -> None:
        """A second-level heading."""
        self.parts.append({"kind": "section", "heading": heading})

    def text(self, *paragraphs: str) -> None:
        """Paragraphs of plain text."""
        self.parts += [{"kind": "text", "text": text} for text in paragraphs]

    def bullets(self, entries: Iterable[str]) -> None:
        """A list of plain sentences; nothing when there are none, folded when over `FOLDED`."""
        entries = list(entries)
        fold = len(entries) > FOLDED
        self.parts += [{"kind": "list", "entries": entries, "fold": fold}] if entries else []

    def code(self, text: str) -> None:
        """A command or another text whose lines and spaces count."""
        self.parts.append({"kind": "code", "text": text})

    def figure(self, picture: Figure | Image.Image, alt: str, caption: str = "") -> None:
        """A matplotlib figure (closed afterwards) or a Pillow image, with its description."""
        buffer = io.BytesIO()
        if isinstance(picture, Figure):
            picture.savefig(buffer, format="png", dpi=2 * POINTS)
            width = round(picture.get_figwidth() * POINTS)
            plt.close(picture)
        else:
            picture.save(buffer, format="png")
            width = picture.width
        self.parts.append(
            {"kind": "figure", "png": base64.b64encode(buffer.getvalue()).decode(),
             "width": width, "alt": " ".join(alt.split()), "caption": caption}
        )  # fmt: skip

    def sheet(self, rows: Iterable[tuple[str, Sequence[tuple[bytes, str]]]]) -> None:
        """A contact sheet: for each row a caption, and JPEG pictures with their descriptions."""
        rows = [
            (caption, [(base64.b64encode(jpeg).decode(), alt) for jpeg, alt in pictures])
            for caption, pictures in rows
        ]
        self.parts.append({"kind": "sheet", "rows": rows})

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = ""
    ) -> None:
        """A table. Floats are written with 3 significant digits, None as nothing, texts as they
        are; a column of numbers or intervals alone, be they texts, stands right, unbroken."""
        texts = [[_cell(cell) for cell in row] for row in rows]
        if any(len(row) != len(header) for row in texts):
            raise ValueError(f"A row of the table {caption!r} has not {len(header)} cells.")
        right = [all(map(_is_number, column)) for column in zip(*texts, strict=True)]
        right = right or [False] * len(header)
        head, *body = (list(zip(row, right, strict=True)) for row in [header, *texts])
        part = {"kind": "table", "header": head, "rows": body, "caption": caption}
        self.parts.append(part)

    def html(self) -> str:
        """The whole page."""
        loader = jinja2.FileSystemLoader(TEMPLATE)
        environment = jinja2.Environment(loader=loader, autoescape=True)
        style = (TEMPLATE / "page.css").read_text()
        return environment.get_template("report.html.j2").render(page=self, style=style)

    def write(self, path: str | Path) -> Path:
        """Write the page, whole or not at all; returns the path.
        `UserError` if it would need the network or shows a picture without description."""
        html, path = self.html(), Path(path)
        wrong = problems(html)
        if wrong:
            raise UserError(f"The page {path} {wrong[0]}: mend what makes it.")
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file such as {path / 'report.html'}.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, html.encode())
        return path


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _is_number(text: str) -> bool:
    number = r"[-+]?[\d.]+(e[-+]\d+)?"
    return re.fullmatch(rf"({number})?|\[{number}, {number}\]", text) is not None
