"""The walk: every notebook run once, and shown as pages that need no server and no network."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image
from traitlets.config import Config

from freqkd_lite import store
from freqkd_lite.errors import UserError
from freqkd_lite.results import labels, text
from freqkd_lite.results.findings import read_findings
from freqkd_lite.results.pages import TEMPLATES, check, render, style
from freqkd_lite.results.rows import read_table
from freqkd_lite.runner.execute import MANIFEST, NOTEBOOK, address, execute, tidy
from freqkd_lite.runner.formulas import to_html
from freqkd_lite.runner.glossary import Glossary, terms
from freqkd_lite.runner.parameters import find_notebook, find_notebooks, read_preset
from freqkd_lite.store import FIGURES, duration, encoded, in_base64, read_text, runs_folder, sha256
from freqkd_lite.viz import label_curve
from freqkd_lite.viz.style import style as look
from freqkd_lite.widgets.scrubber import Scrubber

MARKS = "results/scrubber/marks.npz"  # data of the front page's scrubber
TEMPLATE = Path(__file__).parent / "page_template"
GUIDE = Path("docs") / "lecturer.md"
# The form of an output that lives without a kernel comes first.
PRIORITY = ["text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/plain"]
PACE = 200  # words read per minute
HEAD = 75  # words that fit above a picture on the first screen
SMALL = 640  # pixels along a small copy


def books(root: Path) -> list[dict[str, Any]]:
    """All notebooks of a clone, for lists, the optional ones last: title (first heading), question
    (first quotation), minutes to read (its text at `PACE`) and to run, also as "2 min" or "9 s"."""
    found, times = [], store.measured_times(root)
    for path in find_notebooks(root / "notebooks"):
        cells = nbformat.read(path, 4).cells
        prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        heads = (re.search(f"^{mark} (.+)$", prose, re.M) for mark in "#>")
        title, question = (re.sub(r"[*_`]", "", head[1]) if head else "" for head in heads)
        about = {"stem": path.stem, "title": title or path.stem, "question": question}
        about["read"] = str(math.ceil(len(prose.split()) / PACE))
        seconds = times.get(path.stem)
        about["run"] = "" if seconds is None else f"{seconds / 60:.1f}"
        about["time"] = "" if seconds is None else duration(seconds)
        found.append(about)
    return sorted(found, key=lambda book: "(optional)" in book["title"])


def write_table(root: Path) -> None:
    """Write the table of contents into the blocks `notebooks` of README, which has the main path
    alone, and of the lecturer's page."""
    head = ("notebook", "question", "minutes to read", "minutes to run")
    for file, up in ((root / "README.md", ""), (root / GUIDE, "../")):
        rows = [
            (f"[{b['title']}]({up}notebooks/{b['stem']}.ipynb)", b["question"], b["read"], b["run"])
            for b in books(root)
            if up or not b["title"].endswith("(optional)")
        ]
        table = text.table(head, rows, "markdown")
        if file.exists():
            store.write_whole(file, text.fill_block(read_text(file), "notebooks", table, file))


def write_page(root: Path, executed: Path, stem: str, folder: Path) -> Path:
    """Convert one executed notebook; `UserError` if the page would need the network or has a
    picture without description."""
    listed = books(root)
    here = [book["stem"] for book in listed].index(stem)
    page = {
        "this": listed[here],
        "before": listed[here - 1] if here else None,
        "after": listed[here + 1] if here + 1 < len(listed) else None,
        "style": style(),
        "script": read_text(TEMPLATE / "page.js"),
    }
    notebook = nbformat.read(executed, 4)
    picture = first_picture(notebook)
    if picture and (picture.covered or picture.words > HEAD):
        page["hero"] = picture.html("A small copy of the first figure below.")
    glossary = Glossary()
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": PRIORITY}}),
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        extra_template_paths=[str(TEMPLATES)],
        filters={"markdown2html": lambda text: glossary.mark(linked(to_html(text))), "gist": gist},
    )
    html, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    html = sharpened(html, executed.parent / FIGURES)
    check(html, stem)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{stem}.html"
    store.write_whole(file, html)
    return file


class Picture(NamedTuple):
    """A notebook's first picture."""

    image: Image.Image
    covered: bool  # it answers a question that the reader is to guess first
    words: int  # of text before it

    def html(self, alt: str) -> str:
        """A small copy, blurred where the picture itself is covered."""
        small, kind = self.image.convert("RGB"), "hero veiled" if self.covered else "hero"
        small.thumbnail((SMALL, 2 * SMALL))
        data = in_base64(encoded(small.save, format="webp", quality=80))
        return f'<img class="{kind}" src="data:image/webp;base64,{data}" alt="{alt}">'


def first_picture(notebook: NotebookNode) -> Picture | None:
    """The first one among the outputs, widgets' included; covered as page.js covers it."""
    asked, words = False, 0
    for cell in notebook.cells:
        words += len(cell.source.split()) if cell.cell_type == "markdown" else 0
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            html = data.get("text/html", "")
            found = re.search(r'<img[^>]* src="data:image/[a-z]+;base64,([^"]+)"', html)
            if found or "image/png" in data:
                content = base64.b64decode(found[1] if found else data["image/png"])
                return Picture(Image.open(io.BytesIO(content)), asked, words)
            asked = (asked or 'class="predict"' in html) and 'class="judgement"' not in html
    return None


def gist(source: str) -> str:
    """The line that is shown for a folded cell: its last statement."""
    starts = [found.start() for found in re.finditer(r"^\w", source, re.M)] or [0]
    return " ".join(source[starts[-1] :].split())[:160]


def sharpened(html: str, figures: Path) -> str:
    """A page in which pictures that `figures` also holds are replaced by those, of twice the
    resolution, at the same width."""

    def sharp(match: re.Match) -> str:
        shown = base64.b64decode(match[1])
        file = figures / f"{sha256(shown)[:16]}.webp"
        if not file.exists():
            return match[0]
        width, content = int.from_bytes(shown[16:20]), in_base64(file.read_bytes())
        return f'src="data:image/webp;base64,{content}" width="{width}"'

    return re.sub(r'src="data:image/png;base64,([A-Za-z0-9+/=\n]+)"', sharp, html)


def write_index(root: Path, folder: Path) -> Path:
    """The front page, with cards of all notebooks and links to existing pages, and the glossary."""
    listed = books(root)
    for book in listed:
        path = root / "notebooks" / f"{book['stem']}.ipynb"
        picture = first_picture(nbformat.read(path, 4))
        book["picture"] = picture and picture.html(f"The first figure of {book['title']}.")
    ready = [book["stem"] for book in listed if (folder / f"{book['stem']}.html").exists()]
    found = [finding for finding in read_findings(root / "results") if finding.first]
    content = {"books": listed, "ready": ready, "findings": found, "figure": labels_figure(root)}
    content["guide"] = (root / GUIDE).exists()
    if marks := store.read_arrays(root / MARKS):
        content["scrubber"] = Scrubber(marks).page_html()
    pages = {"index": render("contents.html.j2", **content)}
    pages["glossary"] = render("glossary.html.j2", terms=terms())
    if content["guide"]:
        pages["lecturer"] = text_page(root / GUIDE, "index.html")
    for name, html in pages.items():
        check(html, name)
        store.write_whole(folder / f"{name}.html", html)
    return folder / "index.html"


def linked(html: str, folder: str = "") -> str:
    """HTML whose links to notebooks lead to their pages in a folder."""
    return re.sub(r'"(?:[./]*notebooks/)?(\d\d_\w+)\.ipynb"', rf'"{folder}\1.html"', html)


def text_page(file: Path, back: str = "", notebooks: str = "") -> str:
    """A Markdown file as a page, with the folder of the notebooks' pages, and a link `back`."""
    source = read_text(file)
    title, body = re.search("^# (.+)$", source, re.M), linked(to_html(source), notebooks)
    return render("text.html.j2", title=title[1] if title else file.stem, body=body, back=back)


@cache
def labels_figure(root: Path) -> dict[str, object] | None:
    """The front page's figure, where the results behind it exist."""
    real = read_table(root / "results/msrs" / labels.FILE)
    if real is None:
        return None
    with plt.rc_context():
        look()
        figure, alt = label_curve.label_curve_figure(real)
        width, sharp = round(figure.get_figwidth() * figure.dpi), dict(dpi=2 * figure.dpi)
        picture = encoded(figure.savefig, format="webp", **sharp, pil_kwargs={"lossless": True})
        plt.close(figure)
    return {"content": in_base64(picture), "width": width, "alt": alt}


def finished(preset: str, stem: str) -> Path:
    """The finished run of a notebook in the last walk with this preset; `UserError` without one."""
    for manifest in (runs_folder() / f"walk-{preset}").glob(f"{stem}-*/{MANIFEST}"):
        if manifest.parent.suffix != ".failed":
            return manifest.parent
    raise UserError(f"{stem} has no finished run yet: `freqkd walk` makes it.")


def pages_folder(root: Path, preset: str) -> Path:
    """`pages/` of a clone, else of the runs, and for a preset the folder of its name there."""
    home = runs_folder() if root == store.COPY else root
    return home / "pages" / ("" if preset == "default" else preset)


def walk(root: Path, preset: str = "default", only: Sequence[str] = ()) -> Path:
    """Run each notebook, or those named in `only`, that has no finished run of the same content,
    write its page at once, and return the index.

    One that fails, for instance because a data set has no masks, is reported and the others run; a
    `UserError` follows at the end.
    """
    todo = read_preset(root / "notebooks", preset)
    todo = {stem: values for stem, values in todo.items() if not only or stem in only}
    expected = store.measured_times(root) if preset == "default" else {}
    folder, begin, failed = pages_folder(root, preset), time.monotonic(), []
    index = folder / "index.html"
    if not only:
        shutil.rmtree(folder, ignore_errors=True)
    for number, (stem, values) in enumerate(todo.items(), 1):
        left = sum(expected.get(later, 0) for later in list(todo)[number - 1 :])
        hint = f" (about {duration(expected.get(stem, 0))}, {duration(left)} to go)" if left else ""
        print(f"[{number}/{len(todo)}] {stem}{hint}", flush=True)
        try:
            run = run_once(root / "notebooks" / f"{stem}.ipynb", values, preset)
        except UserError as error:
            failed.append(stem)
            print(f"      failed: {error}", flush=True)
            continue
        write_page(root, run / NOTEBOOK, stem, folder)
        index = write_index(root, folder)
        if number == 1:
            print(f"      first page ready: {index}", flush=True)
    print(f"{len(todo) - len(failed)} notebooks in {duration(time.monotonic() - begin)}")
    if failed:
        raise UserError(f"{', '.join(failed)} failed, as reported above; other pages: {index}.")
    return index


def run_once(path: Path, values: dict, preset: str) -> Path:
    """The finished run of this notebook with this content, made if there is none; an older one of
    the same notebook is removed."""
    out = runs_folder() / f"walk-{preset}" / f"{path.stem}-{address(path, values)}"
    if (out / MANIFEST).exists():
        print("      up to date, skipped", flush=True)
        return out
    execute(path, values, out, progress=sys.stderr.isatty(), preset=preset)
    for old in out.parent.glob(f"{path.stem}-*"):
        if old != out:
            shutil.rmtree(old)
    print(f"      {duration(json.loads(read_text(out / MANIFEST))['seconds'])}", flush=True)
    return out


def write_finished(root: Path, preset: str = "default") -> Path:
    """Write the pages of the last walk again, without running anything."""
    folder = pages_folder(root, preset)
    for path in find_notebooks(root / "notebooks"):
        write_page(root, finished(preset, path.stem) / NOTEBOOK, path.stem, folder)
    return write_index(root, folder)


def refresh(root: Path, only: Sequence[str] = ()) -> None:
    """Run all notebooks, or those of `only`, on their defaults; keep outputs and times here."""
    folder = root / "notebooks"
    paths = [find_notebook(folder, name) for name in only] or find_notebooks(folder)
    walk(root, only=[path.stem for path in paths] if only else ())
    seconds = store.measured_times(root) if only else {}
    for path in paths:
        run = finished("default", path.stem)
        nbformat.write(tidy(nbformat.read(run / NOTEBOOK, 4), root), path)
        seconds[path.stem] = json.loads(read_text(run / MANIFEST))["seconds"]
    about = {"schema": "freqkd-minutes/1", "cores": os.cpu_count(), "seconds": seconds}
    (root / store.TIMES).parent.mkdir(parents=True, exist_ok=True)
    store.write_json(root / store.TIMES, about)
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} notebooks with outputs, {size / 1e6:.1f} MB")
