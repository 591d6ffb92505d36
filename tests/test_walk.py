"""What a page of the walk asks of a reader stays within bounds."""

import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from freqkd_lite.runner.execute import hidden_errors

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WIDGETS = r"\b(widgets\.fader|widgets\.valleys|own_gap|patch_similarity|scrubber)\("


def calls(source: str, name: str) -> list[str]:
    """Each call of a function in a cell, with its arguments."""
    found = []
    for start in re.finditer(rf"(?<![\w.]){name}\(", source):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(source[end], 0)
            end += 1
        found.append(source[start.start() : end])
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short(path):
    """At most 12 cells of code of 15 lines (parameters aside), 5 imports, 3 figures not folded,
    2 widgets, and 5 printed lines a cell: more numbers are a table. No error hides in it."""
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    first, asked = code.pop(0), []  # the same in all
    assert first.metadata.tags == ["install"] and not first.outputs
    shell = SimpleNamespace(run_line_magic=lambda *line: asked.append(line[0]))
    for found in (None, "here"):  # pip is asked where the package is missing, and only there
        source = first.source.replace("from importlib.util import find_spec", "")
        exec(source, {"find_spec": {"freqkd_lite": found}.get, "get_ipython": lambda: shell})
    assert asked == ["pip"]
    assert len(code) <= 12 and not hidden_errors(nbformat.read(path, 4))
    for cell in code:
        if "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 15, cell.source
        printed = [o.text for o in cell.outputs if o.output_type == "stream"]
        assert len("".join(printed).splitlines()) <= 5, cell.source
    source = "\n".join(cell.source for cell in code)
    assert len(re.findall(r"^(?:from|import) ", source, re.M)) <= 5
    assert len([call for call in calls(source, "show") if "fold=" not in call]) <= 3
    assert len(re.findall(WIDGETS, source)) <= 2
    assert not re.search(r"print\(.*\btable\(", source), "show_table draws tables"


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.stem[0] == "1"], ids=lambda p: p.stem)
def test_a_side_path_says_so_in_its_title(path):
    assert nbformat.read(path, 4).cells[0].source.splitlines()[0].endswith(" (optional)")
