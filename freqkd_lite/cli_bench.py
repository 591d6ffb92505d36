"""The commands `freqkd bench ...`: how fast things are on this machine."""

from __future__ import annotations

import json as as_json
from typing import Annotated

import typer

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)


@bench.callback()
def group() -> None:
    """Measure speed on this machine."""


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


def _print(found: dict, json: bool, table: str) -> None:
    typer.echo(as_json.dumps(found, indent=1) if json else table)


@bench.command()
def loss(json: Json = False, device: Device = "cpu") -> None:
    """Each loss beside the straightforward way to compute it, and beside MSE."""
    from freqkd_lite import bench_losses

    found = bench_losses.losses(device=device)
    _print(found, json, bench_losses.table(found))


@bench.command()
def step(json: Json = False, device: Device = "cpu") -> None:
    """A whole step of training with each loss, beside one with MSE."""
    from freqkd_lite import bench_step

    found = bench_step.step(device=device)
    _print(found, json, as_json.dumps(found, indent=1))


@bench.command()
def cache(json: Json = False, device: Device = "cpu") -> None:
    """A step with a cached teacher, beside one of the student alone."""
    from freqkd_lite import bench_step

    found = bench_step.cache(device=device)
    _print(found, json, as_json.dumps(found, indent=1))


@bench.command()
def slider(
    json: Json = False,
    moves: Annotated[int, typer.Option(min=20, help="Moves of the pointer, each widget.")] = 120,
) -> None:
    """From the pointer's event to a widget's picture, in Chromium."""
    from freqkd_lite import bench as benches

    found = benches.slider(moves)
    _print(found, json, benches.table(found))
