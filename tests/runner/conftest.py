"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbformat.v4 import new_markdown_cell as text

from tests.runner.books import settings, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's notebooks: two of them, which only set parameters."""
    books = tmp_path / "notebooks"
    (books / "presets").mkdir(parents=True)
    write(books, "00_first", [text("# First\n\n> Why?"), settings("seed: int = 0")])
    write(books, "01_second", [text("# Second"), settings()])
    return books
