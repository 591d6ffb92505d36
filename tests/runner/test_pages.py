"""Pages: offline, described, linked; and the walk that makes them once."""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from freqkd_lite.notebook import show
from freqkd_lite.results.pages import problems
from freqkd_lite.results.text import block_marks
from freqkd_lite.runner.formulas import formula
from freqkd_lite.runner.glossary import terms
from freqkd_lite.runner.pages import refresh, walk, write_index, write_page, write_table
from tests.refused import refused
from tests.runner.books import code, new_output, settings, text, write

FORMULA = r"Let $x = x_{\text{low}} + x_{\text{high}}$ and" + "\n\n$$\\rho = \\sqrt{f_y^2}$$"


def png() -> str:
    """A grey picture of 40 by 20 pixels."""
    buffer = io.BytesIO()
    Image.new("L", (40, 20), 128).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def picture(alt: str | None) -> dict:
    about = {} if alt is None else {"image/png": {"alt": alt}}
    return new_output("display_data", data={"image/png": png(), "text/plain": "F"}, metadata=about)


@pytest.fixture
def root(root: Path) -> Path:
    """A project of two small notebooks, the first already executed."""
    both = {
        "text/html": '<div id="live">live form</div>',
        "text/plain": "Fader()",
        "application/vnd.jupyter.widget-view+json": {"model_id": "gone"},
    }
    first = [
        text(f"# 00 · Start here\n\n> What *survives*?\n\n{FORMULA}"),
        settings("seed: int = 0"),
        code("show(1 < 2)", outputs=[picture('Two "curves" < three')]),
        code("fader()", outputs=[new_output("display_data", data=both)]),
    ]
    log = "import os, pathlib\nlog = pathlib.Path('log.txt')\n"
    log += "log.write_text((log.read_text() if log.exists() else '') + str(seed))"
    second = [text("# 01 · Gap\n\n> Where?"), settings("seed: int = 0"), code(log)]
    for name, cells in {"00_start": first, "01_gap": second}.items():
        write(root / "notebooks", name, cells)
    return root


def page(root: Path) -> str:
    made = write_page(root, root / "notebooks" / "00_start.ipynb", "00_start", root / "pages")
    return made.read_text()


def parsed(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


@contextmanager
def changed(root: Path):
    """The cells of the first notebook, written when they are changed."""
    path = root / "notebooks" / "00_start.ipynb"
    notebook = nbformat.read(path, 4)
    yield notebook.cells
    nbformat.write(notebook, path)


def test_a_page_asks_the_network_for_nothing_and_formulas_are_drawn(root):
    html = page(root)
    assert problems(html) == []
    (image,) = parsed(html).find_all("img")
    assert image["alt"] == 'Two "curves" < three'
    assert f"base64,{png()}" in html
    assert '<div id="live">live form</div>' in html and "Fader()" not in html
    assert "<mtext>low</mtext>" in html and "<msqrt>" in html
    assert "$" not in parsed(html).main.text


def test_a_formula_is_drawn_and_also_spoken():
    inline, block = (parsed(formula("f_y", in_block)).span for in_block in (False, True))
    assert inline["class"] == ["math"] and block["class"] == ["math", "block"]
    assert inline.math["display"] == "inline"
    assert [letter.text for letter in inline.find_all("mi")] == ["f", "y"]
    for drawn in (inline.svg, block.svg):
        assert drawn["aria-hidden"] == "true" and len(drawn.find_all("path")) == 2
        assert {path["fill"] for path in drawn.find_all("path")} == {"currentColor"}
        assert 0.5 < float(drawn["width"].removesuffix("em")) < 1.2
    # The subscript starts below the line that the letter stands on.
    places = [re.findall(r"-?[\d.]+", path["d"])[1::2] for path in inline.find_all("path")]
    letter, index = ([float(y) for y in of] for of in places)
    assert max(index) > 0 and min(index) > min(letter)


def test_pages_are_linked_and_listed_with_question_and_measured_minutes(root):
    times = root / "results" / "default" / "minutes.json"
    times.parent.mkdir(parents=True)
    times.write_text('{"seconds": {"00_start": 44.4, "01_gap": 170}}')
    html = page(root)
    assert 'rel="next"' in html and 'href="01_gap.html"' in html and 'rel="prev"' not in html
    index = write_index(root, root / "pages").read_text()
    assert problems(index) == []
    assert "What survives?" in index and "44 s" in index and "3 min" in index
    # Only what was made is a link.
    assert "01 · Gap" in index and 'href="01_gap.html"' not in index
    cards = parsed(index).find_all("li", class_="card")
    assert [card.a and card.a["href"] for card in cards] == ["00_start.html", None]
    assert "first figure" in cards[0].img["alt"] and cards[1].img is None
    assert "What was found" not in index  # there are no results here
    readme = root / "README.md"
    readme.write_text("\n".join(block_marks("notebooks")))
    write_table(root)
    row = next(line for line in readme.read_text().splitlines() if "Gap" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["[01 · Gap](notebooks/01_gap.ipynb)", "Where?", "1", "2.8"]


def test_terms_are_marked_once_a_page_and_explained_in_the_glossary(root):
    with changed(root) as cells:
        cells[0].source += "\n\n## The token\n\nA `token`, a token and tokens; a probe."
        cells.append(text("Another token, and a low band."))
    marked = parsed(page(root)).find_all("span", class_="term")
    assert [term.a.text for term in marked] == ["token", "probe", "low band"]
    write_index(root, root / "pages")
    listed = parsed((root / "pages" / "glossary.html").read_text())
    for term in marked:
        file, _, key = term.a["href"].partition("#")
        meaning = listed.find("dt", id=key).find_next("dd").text
        note = term.find("span", role="tooltip")
        assert file == "glossary.html" and meaning.startswith(note.text)
        assert term.a["aria-describedby"] == note["id"]
    names = [word for entry in terms() for word in (entry["term"], *entry.get("also", []))]
    assert len(terms()) <= 25 and len(names) == len(set(names))


def test_code_is_folded_to_its_last_statement_and_its_output_is_not(root):
    source = "import torch\nfor x in y:\n    f(x)\nshow(\n    x < 3,\n)"
    with changed(root) as cells:
        cells.insert(2, code(source, outputs=[new_output("stream", text="takes 9 s")]))
    soup = parsed(page(root))
    folded = [each.extract() for each in soup.find_all("details")]
    lines = [each.summary.get_text() for each in folded]
    assert lines == ["parameters", "show( x < 3, )", "show(1 < 2)", "fader()"]
    assert "import torch" in folded[1].get_text() and not folded[1].has_attr("open")
    assert "takes 9 s" in soup.get_text()


def test_a_page_shows_the_sharp_copy_of_a_picture_where_the_run_left_one(root, monkeypatch):
    monkeypatch.setenv("FREQKD_RUN", str(root / "notebooks"))
    monkeypatch.setattr("freqkd_lite.notebook.display", lambda image, **kwargs: made.append(image))
    made = []
    figure = plt.figure(figsize=(4, 2))
    figure.text(0.5, 0.5, "x")
    show(figure, "A letter.")
    with changed(root) as cells:
        cells[2].outputs[0].data["image/png"] = base64.b64encode(made[0].data).decode()
    image = parsed(page(root)).find("img")
    kind, _, content = image["src"].partition(",")
    size = Image.open(io.BytesIO(base64.b64decode(content))).size
    before = Image.open(io.BytesIO(made[0].data)).size
    assert kind == "data:image/webp;base64" and size == (2 * before[0], 2 * before[1])
    assert image["width"] == str(before[0]) and image["alt"] == 'Two "curves" < three'


def test_a_picture_far_down_is_also_shown_at_the_top_and_blurred_if_it_answers(root):
    assert "hero" not in parsed(page(root)).find("img").get("class", [])
    with changed(root) as cells:
        cells[0].source += " word" * 200
    first, second = parsed(page(root)).find_all("img")
    assert first["class"] == ["hero"] and first.find_parent("section") and "curves" in second["alt"]
    asked = new_output("display_data", data={"text/html": '<form class="predict"></form>'})
    with changed(root) as cells:
        cells.insert(1, code("predict()", outputs=[asked]))
    assert parsed(page(root)).img["class"] == ["hero", "veiled"]


def test_a_picture_without_description_is_refused(root):
    with changed(root) as cells:
        cells[2].outputs = [picture(None)]
    refused("00_start .*description", page, root)


def test_the_walk_runs_each_notebook_once_until_it_changes(root, capsys, freqkd):
    first = root / "notebooks" / "00_start.ipynb"
    write(first.parent, first.stem, [text("# Start"), settings("seed: int = 0")])
    log = root / "notebooks" / "log.txt"
    assert "00_start has no finished run" in freqkd("pages")[2]
    index = walk(root)
    assert (index, log.read_text()) == (root / "pages" / "index.html", "0")
    assert (root / "pages" / "01_gap.html").exists()
    assert "first page ready" in capsys.readouterr().out
    walk(root)
    assert log.read_text() == "0" and capsys.readouterr().out.count("up to date") == 2
    (root / "notebooks" / "presets" / "smoke.yaml").write_text("01_gap: {seed: 5}")
    assert walk(root, "smoke") == root / "pages" / "smoke" / "index.html"
    assert log.read_text() == "05"
    # A run without its manifest did not finish: it is made again.
    (made,) = (root / "runs" / "walk-default").glob("01_gap-*/manifest.json")
    made.unlink()
    refresh(root)
    assert log.read_text() == "050"
    kept = nbformat.read(root / "notebooks" / "01_gap.ipynb", 4)
    assert [cell.get("execution_count") for cell in kept.cells] == [None, 1, 2]
    assert "papermill" not in kept.metadata and (root / "results/default/minutes.json").exists()
    # New outputs and times do not change the content.
    walk(root)
    assert log.read_text() == "050"
    # One alone: the other keeps its outputs, its time and its page.
    times = root / "results/default/minutes.json"
    times.write_text('{"seconds": {"00_start": -1, "01_gap": -2}}')
    first.write_text(first.read_text().replace("# Start", "# Begin"))
    other = root / "notebooks" / "01_gap.ipynb"
    other.write_text(other.read_text().replace('"# Gap', '"# Wide gap'))
    refresh(root, ["00_start"])
    after = json.loads(times.read_text())["seconds"]
    assert log.read_text() == "050"
    assert after == {"00_start": after["00_start"], "01_gap": -2} and after["00_start"] > 0
    assert (root / "pages" / "01_gap.html").exists()


def test_a_notebook_that_lacks_its_data_does_not_stop_the_walk(root, capsys):
    (root / "notebooks" / "presets" / "smoke.yaml").write_text("00_start: {seed: -1}")
    path = root / "notebooks" / "00_start.ipynb"
    cells = [text("# Start"), settings("seed: int = 0"), code("assert seed >= 0, 'bad'")]
    write(path.parent, path.stem, cells)
    refused("^00_start .*smoke/index.html", walk, root, "smoke")
    printed = capsys.readouterr().out
    assert "AssertionError: bad" in printed and "1 notebooks in" in printed
    pages = root / "pages" / "smoke"
    assert (pages / "01_gap.html").exists() and not (pages / "00_start.html").exists()
    assert list((root / "runs" / "walk-smoke").glob("00_start-*.failed/error.txt"))
