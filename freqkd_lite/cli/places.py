"""Options that name a place to write to, which is looked at before any work begins."""

from __future__ import annotations

from pathlib import Path

from typer import Option
from typer.models import OptionInfo

from freqkd_lite.store import check_place


def _checked(path: Path | None, folder: bool) -> Path | None:
    if path is not None:
        check_place(path, folder)
    return path


def out_file(help: str) -> OptionInfo:
    return Option(metavar="FILE", help=help, callback=lambda path: _checked(path, False))


def out_folder(help: str) -> OptionInfo:
    return Option(metavar="DIR", help=help, callback=lambda path: _checked(path, True))
