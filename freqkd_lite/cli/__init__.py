"""The command `freqkd`: thin commands over the package."""

import os
from pathlib import Path

from typer import Option
from typer.models import OptionInfo

from freqkd_lite.errors import UserError
from freqkd_lite.store import check_place


def main() -> None:
    """The entry point; it imports the commands only when it is called."""
    from freqkd_lite.cli.app import main as run

    run()


def out_option(metavar: str, help: str) -> OptionInfo:
    """An option that names a FILE or a DIR to write to, which is looked at before any work
    begins."""

    def checked(path):
        if path is not None:
            check_place(path, metavar == "DIR")
        return path

    return Option(metavar=metavar, help=help, callback=checked)


def project() -> Path:
    """The clone that the user stands in, else the one that this package was installed from."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "notebooks").is_dir():
            os.environ.setdefault("FREQKD_RUNS", str(folder / "runs"))
            return folder
    raise UserError("There is no folder 'notebooks' here or above: run this inside a clone.")
