"""The commands `freqkd plan` and `freqkd distil`: a distillation at full scale."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

Plan = Annotated[str, Option("--preset", metavar="NAME", help="Of freqkd_lite/plans/NAME.yaml.")]
Given = Annotated[
    list[str] | None, Option("-p", metavar="NAME=VALUE", help="A setting, as in lora_rank=16.")
]


def plan(preset: Plan = "kaist_full", p: Given = None) -> None:
    """Say what a distillation takes: memory, disk, hours by GPU."""
    from freqkd_lite.distil import planning

    chosen = planning.read_plan(preset, p or [])
    typer.echo(planning.tell(preset, chosen, planning.count(chosen.settings)))


def distil(preset: Plan = "kaist_full", p: Given = None) -> None:
    """Distil at full scale; accelerate launch -m freqkd_lite runs it too.

    On four GPUs: accelerate launch --multi_gpu --num_processes 4 -m freqkd_lite distil. A run that
    was stopped goes on when the same command is given again.
    """
    from freqkd_lite.distil import distil as run
    from freqkd_lite.distil import memory, planning

    memory.keep()
    made = run(planning.read_plan(preset, p or [], shared=False).settings)
    typer.echo(made.folder)
    if made.settings.merge_scale != 1:
        typer.echo(f"Its student.safetensors is the trained one; Run.student() takes it at "
                   f"merge_scale={made.settings.merge_scale}, as asked.")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(plan)
    app.command()(distil)
