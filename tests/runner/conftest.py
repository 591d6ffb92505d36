"""What the tests of this folder share."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from freqkd_lite import data
from freqkd_lite.cli.app import main
from freqkd_lite.errors import UserError
from tests.runner.books import settings, text, write


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    """A project without notebooks, in which the user stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "presets").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Path:
    """A project's notebooks: two of them, which only set parameters."""
    books = root / "notebooks"
    write(books, "00_first", [text("# First\n\n> Why?"), settings("seed: int = 0")])
    write(books, "01_second", [text("# Second"), settings()])
    return books


@pytest.fixture
def freqkd(monkeypatch, capsys):
    """The command, called as its entry point is: gives exit status, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["freqkd", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return (end.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def splits(monkeypatch) -> SimpleNamespace:
    """In place of data sets: `content` by (names, split), "missing" for one that can't be read, and
    what was `asked` for."""
    found = SimpleNamespace(content={}, asked=[])

    def open_sets(names, split, root=None):
        found.asked.append((names, split))
        if found.content.get((names, split)) == "missing":
            raise UserError(f"{names} is missing.")
        return SimpleNamespace(fingerprint=lambda: found.content.get((names, split), "old"))

    monkeypatch.setattr(data, "open_sets", open_sets)
    return found
