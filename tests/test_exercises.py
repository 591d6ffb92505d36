"""The exercises: their own solutions pass, and typical wrong attempts are told what is wrong."""

import json
import linecache
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from tools import handouts

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "exercises"
sys.path.insert(0, str(FOLDER))

import attempts  # noqa: E402
import checkers  # noqa: E402, F401

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SETUP = """import math
import torch
from torch.nn.functional import mse_loss
from checkers import band_divergence
"""


def solved(path: Path) -> nbformat.NotebookNode:
    """A notebook with its own solutions as answers."""
    notebook = nbformat.read(path, 4)
    for i, cell in enumerate(notebook.cells):
        if "answer" in cell.metadata.get("tags", []):
            folded = notebook.cells[i + 2].source
            assert folded.count("<details>") == 3, "two hints and a solution"
            cell.source = re.search(r"```python\n(.*?)\n```", folded, re.S)[1]
    return notebook


SOLUTIONS = {
    re.match(r"def (\w+)", cell.source)[1]: cell.source
    for path in NOTEBOOKS
    for cell in solved(path).cells
    if "answer" in cell.metadata.get("tags", [])
}
WRONG = yaml.safe_load((FOLDER / "wrong.yaml").read_text())


def judged(folder: Path, name: str, source: str) -> attempts.Verdict:
    (folder / "mine.py").write_text(SETUP + source)
    (found,) = attempts.judge_all([name], folder / "mine.py")
    return found


@pytest.mark.parametrize("name", attempts.EXERCISES)
def test_a_typical_wrong_attempt_is_told_what_is_wrong(name, tmp_path):
    assert judged(tmp_path, name, SOLUTIONS[name]).state == "solved"
    for attempt in WRONG[name]:
        source = SOLUTIONS[name]
        for old, new in attempt["change"].items():
            assert old in source
            source = source.replace(old, new)
        found = judged(tmp_path, name, source)
        assert found.state == "wrong" and attempt["told"] in found.message, (source, found)


BAD = {
    "    return [1.0]": "returns a list, where a tensor",
    "    return x[0]": "returns (1, 8, 8), not (1, 1, 8, 8)",
    "    return x * math.nan": "not finite",
    "    x -= 1\n    return x": "It changes what it is given",
    "    return torch.rand_like(x)": "two different things",
    "    y = 1\n    return x.nothing": "Line 7, `return x.nothing`: AttributeError",
    "    exit()": "Line 6, `exit()`: SystemExit",
    "    while True:\n        pass": "not done after 1 seconds",
    "    return (": "mine.py, line 6, can't be run: SyntaxError: '(' was never closed",
    "    return x\nlow_band = 3": "is a int, and no function",
    "    return x\ndef low_band(x): return x": "can't be called as low_band(x, cutoff)",
}


@pytest.mark.parametrize("body", BAD)
def test_whatever_a_function_does_ends_in_a_sentence(body, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "LIMIT", 1)
    found = judged(tmp_path, "low_band", f"def low_band(x, cutoff):\n{body}\n")
    assert found.state == "wrong" and BAD[body] in found.message


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_with_its_solutions_runs_and_is_solved(path, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path))
    monkeypatch.setattr(attempts, "_told", {})
    names: dict = {"__name__": "notebook"}
    for i, cell in enumerate(solved(path).cells):
        assert not cell.get("outputs") and not cell.get("execution_count")
        if cell.cell_type == "code":
            place, lines = f"{path.name} {i}", cell.source.splitlines(True)
            linecache.cache[place] = (0, None, lines, place)
            exec(compile(cell.source, place, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"steps": 1, "pairs": 6, "size": [56, 70]}
    shown = capsys.readouterr().out
    assert not re.search(": (wrong|open)", shown) and re.search(r"(\d+) of \1 solved", shown)
    assert ("yours" in shown) == path.stem.startswith("04")


def test_the_notebooks_have_all_exercises_with_their_minutes():
    shown = []
    for path in NOTEBOOKS:
        text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        shown += re.findall(r"^`(.+)` · (\d+) minutes · difficulty (●+)", text, re.M)
        assert f"](../notebooks/{path.stem}.ipynb)" in text
    every = attempts.EXERCISES.values()
    assert shown == [(e.call, str(e.minutes), "●" * e.difficulty) for e in every]


def test_the_command_marks_a_notebook_in_json(tmp_path):
    notebook = solved(FOLDER / "02_band_split.ipynb")
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    words = [sys.executable, "-m", "freqkd_lite", "exercises", "check", "--json", "--file"]
    words += [str(tmp_path / "mine.ipynb")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    states = {row["exercise"]: row["state"] for row in json.loads(done.stdout)}
    assert done.returncode == 1 and done.stderr == ""
    assert states.pop("low_band") == states.pop("band_energy") == "solved"
    assert {*states.values()} == {"open"}


def test_the_handouts_open_from_a_stick(tmp_path):
    (tmp_path / "pages").mkdir()
    for name in ("index", "00_start_here", "90_claims", "04_frequency_loss"):
        (tmp_path / "pages" / f"{name}.html").write_text(f"<p>{name}</p>")
    with zipfile.ZipFile(handouts.write(tmp_path / "handouts.zip", tmp_path / "pages")) as bundle:
        assert not [n for n in bundle.namelist() if n.startswith("/") or ".." in n]
        bundle.extractall(tmp_path / "stick")
    (stick,) = (tmp_path / "stick").iterdir()
    names = {file.name for file in stick.glob("exercises/*")}
    assert {file.name for file in FOLDER.glob("*.*")} <= names
    for page in stick.rglob("*.html"):
        text = page.read_text()
        assert str(ROOT) not in text and str(Path.home()) not in text
        for link in re.findall(r'(?:href|src)="(?!data:)([^"#]+)', text):
            there = (page.parent / link).exists() or link.startswith("../pages/")
            assert there and not link.startswith(("/", "http")), f"{page.name}: {link}"
    first = (stick / "exercises" / "04_frequency_loss.html").read_text()
    assert "<details>" in first and 'class="math' in first and "$" not in first


def test_the_lecturer_s_page_names_every_exercise_and_no_number_of_a_run():
    text = (ROOT / "docs" / "lecturer.md").read_text()
    assert all(f"`{name}`" in text for name in attempts.EXERCISES)
    plan = re.findall(r"^\| (\d+) \|", text, re.M)
    assert list(map(int, plan)) == sorted(map(int, plan)) and int(plan[-1]) < 90
