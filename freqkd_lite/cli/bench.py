"""The commands `freqkd bench ...`: how fast things are on this machine."""

from __future__ import annotations

import json as as_json
from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(help="Measure speed on this machine.", no_args_is_help=True)


@bench.callback()
def group() -> None:
    """Measure speed on this machine."""


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


def _tell(found: dict, json: bool) -> None:
    from freqkd_lite.bench.report import text

    typer.echo(as_json.dumps(found, indent=1) if json else text(found))


def _print(part: str, json: bool, device: str) -> None:
    from freqkd_lite.bench.report import PARTS, check_device

    check_device(device)
    _tell(PARTS[part](device=device), json)


@bench.command()
def loss(json: Json = False, device: Device = "cpu") -> None:
    """Each loss beside the straightforward way to compute it, and beside MSE."""
    _print("loss", json, device)


@bench.command()
def step(json: Json = False, device: Device = "cpu") -> None:
    """A whole step of training with each loss, beside one with MSE."""
    _print("step", json, device)


@bench.command()
def cache(json: Json = False, device: Device = "cpu") -> None:
    """A step with a cached teacher, beside one of the student alone."""
    _print("cache", json, device)


@bench.command()
def tokens(json: Json = False, device: Device = "cpu") -> None:
    """Throughput and memory of a step against tokens, 16x16 to 64x80."""
    _print("tokens", json, device)


@bench.command("all")
def all_parts(
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results/bench"),
    device: Device = "cpu",
) -> None:
    """Loss, step, cache and tokens, kept as a page; goes on where it stopped."""
    from freqkd_lite.bench import report as bench_report

    page = bench_report.run_all(out, device, say=typer.echo)
    typer.echo(f"Look at {page}")


@bench.command()
def slider(
    json: Json = False,
    moves: Annotated[int, typer.Option(min=20, help="Moves of the pointer, each widget.")] = 120,
) -> None:
    """From the pointer's event to a widget's picture, in Chromium."""
    from freqkd_lite.bench import report as bench_report
    from freqkd_lite.bench import slider as benches

    _tell(benches.slider(moves) | {"manifest": bench_report.about("slider")}, json)
