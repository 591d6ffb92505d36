"""The command `freqkd`: thin commands over the package."""

import os
from pathlib import Path

from typer import Option
from typer.models import OptionInfo

from freqkd_lite.errors import UserError
from freqkd_lite.store import COPY, PACKAGE, check_place


def out_option(metavar: str, help: str) -> OptionInfo:
    """An option that names a FILE or a DIR to write to, checked before any work begins."""

    def checked(path):
        if path is not None:
            check_place(path, metavar == "DIR")
        return path

    return Option(metavar=metavar, help=help, callback=checked)


def project(rewrites: bool = False) -> Path:
    """The clone that holds the current folder, else the one that this package was installed from,
    else the wheel's copy, whose runs go to the current folder. `UserError` where a command
    `rewrites` files of a clone and there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents, PACKAGE.parent, *([] if rewrites else [COPY])):
        if (folder / "notebooks" / "presets").is_dir():
            os.environ.setdefault("FREQKD_RUNS", str((here if folder == COPY else folder) / "runs"))
            return folder
    raise UserError("This folder is not inside a clone of the repository: run this inside one.")
