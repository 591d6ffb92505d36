"""The walk: every notebook run once, and shown as pages that need no server and no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from freqkd_lite.errors import UserError
from freqkd_lite.runner.execute import (
    MANIFEST,
    NOTEBOOK,
    TIMES,
    address,
    execute,
    find_notebook,
    find_notebooks,
    hidden_errors,
    measured_times,
    read_preset,
    tidy,
)
from freqkd_lite.store import PACKAGE, runs_folder, spell, write_json

TEMPLATE = PACKAGE / "runner" / "page_template"
PRIORITY = ["text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/plain"]
RESOURCES = {"img": "src", "script": "src", "iframe": "src", "link": "href", "source": "src"}
FETCHES = re.compile(r"""(?:@import|url\(|\bfrom|\bimport\(?)\s*["']?(https?:)?//""")


class MathRenderer(IPythonRenderer):
    """Markdown whose formulas become MathML, which browsers draw without a script."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body.strip(), display="block")

    def latex_environment(self, name: str, body: str) -> str:
        return convert(f"\\begin{{{name}}}{body}\\end{{{name}}}", display="block")


class PageExporter(HTMLExporter):
    """nbconvert with our own template, and outputs in the form that lives without a kernel."""

    def __init__(self) -> None:
        config = Config({"NbConvertBase": {"display_data_priority": PRIORITY}})
        super().__init__(
            config=config,
            template_name=TEMPLATE.name,
            extra_template_basedirs=[str(TEMPLATE.parent)],
        )
        self.register_filter("markdown2html", self._markdown)

    def _markdown(self, source: str) -> str:
        renderer = MathRenderer(escape=False, exclude_anchor_links=True)
        return MarkdownWithMath(renderer=renderer).render(source)

    def default_filters(self):
        """All of nbconvert's filters but its markdown, which would leave formulas to a script."""
        for name, function in super().default_filters():
            yield (name, self._markdown if name == "markdown2html" else function)


def heading(path: Path) -> dict[str, str]:
    """Title (first heading) and question (first quoted line) of a notebook, for lists of them."""
    text = next((c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown"), "")
    title = re.search(r"^# (.+)$", text, re.M)
    question = re.search(r"^> ?(.+)$", text, re.M)
    plain = [re.sub(r"[*_`]", "", found[1]).strip() if found else "" for found in (title, question)]
    return {"stem": path.stem, "title": plain[0] or path.stem, "question": plain[1]}


def shared(root: Path) -> dict[str, object]:
    """What every page shows: the list of notebooks with question and time, and the style."""
    times = measured_times(root)
    books = [heading(path) for path in find_notebooks(root / "notebooks")]
    for book in books:
        seconds = times.get(book["stem"])
        book["time"] = "" if seconds is None else spell(seconds)
    return {"books": books, "style": (TEMPLATE / "page.css").read_text()}


def write_page(root: Path, executed: Path, stem: str, folder: Path) -> Path:
    """Convert one executed notebook; a page that needs the network or hides a picture from readers
    who can't see it is refused."""
    common = shared(root)
    stems = [book["stem"] for book in common["books"]]
    here = stems.index(stem)
    near = {
        "this": common["books"][here],
        "before": common["books"][here - 1] if here else None,
        "after": common["books"][here + 1] if here + 1 < len(stems) else None,
    }
    html, _ = PageExporter().from_notebook_node(
        nbformat.read(executed, 4), resources={"page": common | near}
    )
    wrong = problems(html)
    if wrong:
        raise UserError(f"The page of {stem} {wrong[0]}: mend the notebook's cell that makes it.")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{stem}.html"
    page.write_text(html)
    return page


def write_index(root: Path, folder: Path) -> Path:
    """The list of the pages that there are: title, question, minutes."""
    loader = jinja2.FileSystemLoader(TEMPLATE)
    common = shared(root)
    for book in common["books"]:
        book["ready"] = (folder / f"{book['stem']}.html").exists()
    page = folder / "index.html"
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("contents.html.j2")
    page.write_text(template.render(page=common))
    return page


class _Page(HTMLParser):
    """Collects what `problems` reports."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.headings = 0
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inside = tag
        target = given.get(RESOURCES.get(tag, ""), "") or ""
        if re.match(r"(https?:)?//", target):
            self.found.append(f"needs the network for {target}")
        if tag == "img" and (given.get("alt") or "No description").startswith("No description"):
            self.found.append("has a picture without a description")
        if FETCHES.search(given.get("style") or ""):
            self.found.append("needs the network for a style")
        self.headings += tag == "h1"

    def handle_data(self, data: str) -> None:
        if self.inside in ("style", "script") and FETCHES.search(data):
            self.found.append(f"needs the network for a {self.inside}")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""


def problems(html: str) -> list[str]:
    """What keeps a page from being read offline and by everyone; empty when nothing does."""
    page = _Page()
    page.feed(html)
    if page.headings != 1:
        page.found.append(f"has {page.headings} first-level headings where one is needed")
    return page.found


def finished(folder: Path, preset: str, stem: str) -> Path | None:
    """The whole run of a notebook in the last walk with this preset."""
    runs = (folder / f"walk-{preset}").glob(f"{stem}-*/{MANIFEST}")
    return next((run.parent for run in runs if not run.parent.name.endswith(".failed")), None)


def walk(root: Path, preset: str = "default", only: Sequence[str] = ()) -> Path:
    """Run each notebook, or those named in `only`, that has no finished run of the same content,
    write its page at once, and return the index. One that fails, for instance for want of masks, is
    told and the rest goes on; then the end is a `UserError`."""
    todo = read_preset(root / "notebooks", preset)
    todo = {stem: values for stem, values in todo.items() if not only or stem in only}
    runs, expected = runs_folder(), measured_times(root) if preset == "default" else {}
    folder, begin, failed = pages_folder(root, preset), time.monotonic(), []
    if not only:
        shutil.rmtree(folder, ignore_errors=True)
    for number, (stem, values) in enumerate(todo.items(), 1):
        path = root / "notebooks" / f"{stem}.ipynb"
        out = runs / f"walk-{preset}" / f"{stem}-{address(path, values)}"
        line = f"[{number}/{len(todo)}] {stem}"
        if (out / MANIFEST).exists():
            print(f"{line}: finished before, nothing changed", flush=True)
        else:
            left = sum(expected.get(later, 0) for later in list(todo)[number - 1 :])
            hint = f": about {spell(expected.get(stem, 0))}, {spell(left)} to go" if left else ""
            print(line + hint, flush=True)
            try:
                execute(path, values, out, progress=sys.stderr.isatty(), preset=preset)
            except UserError as error:
                failed.append(stem)
                print(f"      not run: {error}", flush=True)
                continue
            for old in out.parent.glob(f"{stem}-*"):
                if old != out:
                    shutil.rmtree(old)
            print(f"      {spell(json.loads((out / MANIFEST).read_text())['seconds'])}", flush=True)
        write_page(root, out / NOTEBOOK, stem, folder)
        index = write_index(root, folder)
        if number == 1:
            print(f"      you can look already: {index}", flush=True)
    print(f"{len(todo) - len(failed)} notebooks in {spell(time.monotonic() - begin)}")
    if failed:
        there = "" if len(failed) == len(todo) else f"; the pages of the others: {index}"
        raise UserError(f"{', '.join(failed)} did not run, for the reason given above{there}.")
    return index


def pages_folder(root: Path, preset: str) -> Path:
    """`pages/`; the pages made with a preset stand in a folder of its name there."""
    return root / "pages" / ("" if preset == "default" else preset)


def write_finished(root: Path, preset: str = "default") -> Path:
    """Write the pages of the last walk anew, without running anything."""
    folder = pages_folder(root, preset)
    for path in find_notebooks(root / "notebooks"):
        run = finished(runs_folder(), preset, path.stem)
        if run is None:
            raise UserError(f"{path.stem} has no finished run yet: `make walk` makes it.")
        write_page(root, run / NOTEBOOK, path.stem, folder)
    return write_index(root, folder)


LIST = ("<!-- notebooks: generated by `freqkd report` -->", "<!-- end of notebooks -->")


def write_table(root: Path) -> None:
    """The notebooks with question and measured time, between README's marks."""
    lines = ["| notebook | question | time |", "|---|---|---|"]
    for book in shared(root)["books"]:
        link = f"[{book['stem']}](notebooks/{book['stem']}.ipynb)"
        lines.append(f"| {link} | {book['question']} | {book['time']} |")
    total = sum(measured_times(root).values())
    lines += [f"| the walk | all of them, one after another | {spell(total)} |"] if total else []
    readme = root / "README.md"
    head, rest = readme.read_text().split(LIST[0])
    readme.write_text("\n".join([head + LIST[0], *lines, LIST[1] + rest.split(LIST[1])[1]]))


def refresh(root: Path, only: Sequence[str] = ()) -> None:
    """Run every notebook, or those named in `only`, on its defaults and commit outputs and times to
    their places."""
    paths = find_notebooks(root / "notebooks")
    if only:
        paths = [find_notebook(root / "notebooks", name) for name in only]
    walk(root, only=[path.stem for path in paths] if only else ())
    seconds, size = measured_times(root) if only else {}, 0
    for path in paths:
        run = finished(runs_folder(), "default", path.stem)
        executed = nbformat.read(run / NOTEBOOK, 4)
        hidden = hidden_errors(executed)
        if hidden:
            raise UserError(f"{path.stem} hides an error: {hidden[0]}: mend its cell first.")
        nbformat.write(tidy(executed, root), path)
        seconds[path.stem] = json.loads((run / MANIFEST).read_text())["seconds"]
        size += path.stat().st_size
    about = {"schema": "freqkd-minutes/1", "cores": os.cpu_count(), "seconds": seconds}
    (root / TIMES).parent.mkdir(parents=True, exist_ok=True)
    write_json(root / TIMES, about)
    print(f"{len(paths)} notebooks with outputs, {size / 1e6:.1f} MB")
