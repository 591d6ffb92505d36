"""The commands `freqkd bench ...`: how fast things are on this machine."""

from __future__ import annotations

import json as as_json
from typing import Annotated

import typer

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)


@bench.callback()
def group() -> None:
    """Measure speed on this machine."""


@bench.command()
def slider(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    moves: Annotated[int, typer.Option(min=20, help="Moves of the pointer, each widget.")] = 120,
) -> None:
    """From the pointer's event to a widget's picture, in Chromium."""
    from freqkd_lite import bench as benches

    found = benches.slider(moves)
    typer.echo(as_json.dumps(found, indent=1) if json else benches.table(found))
