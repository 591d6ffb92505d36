"""`freqkd exercises`: check a learner's functions."""

import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from freqkd_lite.cli import project
from freqkd_lite.errors import UserError

exercises = typer.Typer(
    help="Exercises: check what you wrote.", no_args_is_help=True, rich_markup_mode=None
)
Names = Annotated[list[str] | None, Argument(metavar="NAME", help="Default: all.")]
File = Annotated[Path | None, Option(metavar="FILE", help="A notebook or .py file [exercises/]")]
Json = Annotated[bool, Option("--json", help="Print JSON, for marking.")]


@exercises.command()
def check(names: Names = None, file: File = None, as_json: Json = False) -> None:
    """Say what is wrong with your functions; exit status 1 unless all are right.

    This runs code on this machine: a notebook's cells tagged `setup` and `answer`, or a .py file.
    """
    folder = project() / "exercises"
    if not (folder / "checkers.py").is_file():
        raise UserError(f"{folder} holds no exercises: run this inside a clone.")
    sys.path.insert(0, str(folder))
    attempts = importlib.import_module("checkers").attempts
    found = attempts.judge_all(names or (), file)
    typer.echo(attempts.as_json(found) if as_json else attempts.as_text(found))
    raise typer.Exit(any(verdict.state != "solved" for verdict in found))
