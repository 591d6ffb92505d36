"""The command `freqkd distil`: a distillation from a YAML file of settings."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from freqkd_lite.errors import check_known

PLANS = Path(__file__).parent.parent / "plans"

File = Annotated[Path | None, Argument(metavar="FILE.yaml", help="YAML file of settings.")]
Preset = Annotated[str, Option(metavar="NAME", help="Without a file: freqkd_lite/plans/NAME.yaml.")]
Given = Annotated[list[str] | None, Option("-p", metavar="NAME=VALUE", help="Such as steps=60.")]


def read_plan(name: str | Path, given: Iterable[str] = ()) -> dict:
    """The content of plans/NAME.yaml, or of a file, in which each `name=value` of `given` replaces
    a setting. Settings are below `settings`, or are the whole file."""
    from freqkd_lite.runner.parameters import pairs, read_value, read_yaml, settings_of

    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        files = {path.stem: path for path in PLANS.glob("*.yaml")}
        check_known("plan", files, str(name))
        file = files[str(name)]
    content = read_yaml(file, file.name)
    plan = content if "settings" in content else {"settings": content}
    settings = settings_of(plan["settings"], file.name)
    settings |= {name: read_value(text) for name, text in pairs(given)}
    return plan


def distil(file: File = None, preset: Preset = "kaist_full", p: Given = None) -> None:
    """Distil with the settings of a file or a preset.

    On four GPUs: accelerate launch --multi_gpu --num_processes 4 -m freqkd_lite distil. Rerun the
    same command to resume a run that was stopped.
    """
    settings = read_plan(file or preset, p or [])["settings"]
    from freqkd_lite import distil as package
    from freqkd_lite.distil import memory

    memory.keep()
    run = package.distil(package.settings_from(**settings))
    typer.echo(run.folder)
    if run.settings.merge_scale != 1:
        typer.echo(
            "Its student.safetensors holds the trained weights; Run.student() merges them at "
            f"merge_scale={run.settings.merge_scale}."
        )
