"""The commands `freqkd gap`, `freqkd demo` and `freqkd distil`."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from freqkd_lite.cli import out_option
from freqkd_lite.errors import UserError

File = Annotated[Path | None, Argument(metavar="FILE.yaml", help="YAML file of settings.")]
Plan = Annotated[str, Option(metavar="NAME", help="Without a file: freqkd_lite/plans/NAME.yaml.")]
Given = Annotated[list[str] | None, Option("-p", metavar="NAME=VALUE", help="Such as steps=60.")]
Visible = Annotated[Path | None, Option(metavar="DIR", help="RGB pictures.")]
Infrared = Annotated[Path | None, Option(metavar="DIR", help="Infrared pictures, same names.")]
Model = Annotated[str | None, Option(metavar="NAME", help="A timm model [DINOv2 ViT-S/14].")]
Weights = Annotated[str | None, Option(metavar="PATH", help="Safetensors, or 'random'.")]
Data = Annotated[str | None, Option(metavar="NAME", help="A data set, or several: A,B.")]
Root = Annotated[Path | None, Option(metavar="DIR", help="Folder of that data set.")]
BLOCKS = Option(
    "--blocks", "--layers", metavar="LIST", help="Blocks, counted from 0 [last of each quarter]."
)


def _source(visible: Path | None, infrared: Path | None, data: str | None) -> tuple[str, dict]:
    """Name and options of the data set that the options ask for."""
    if data is None and visible and infrared:
        return "folder", {"visible": str(visible), "infrared": str(infrared)}
    if data is not None and not (visible or infrared):
        return data, {}
    raise UserError("Give --visible DIR and --infrared DIR, or --data NAME instead of both.")


def _numbers(option: str, text: str, pattern: str, like: str) -> list[int]:
    if not re.fullmatch(pattern, text):
        raise UserError(f"{option} {text} can't be read: write {like}.")
    return [int(number) for number in re.findall(r"\d+", text)]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def gap(
    visible: Visible = None,
    infrared: Infrared = None,
    data: Data = None,
    root: Root = None,
    split: Annotated[str, Option(metavar="NAME", help="Split to use.")] = "all",
    model: Model = None,
    weights: Weights = None,
    blocks: Annotated[str | None, BLOCKS] = None,
    size: Annotated[str, Option(metavar="HxW", help="Pixels.")] = "252x336",
    pairs: Annotated[int | None, Option(metavar="N", help="Pairs, evenly spread [all].")] = None,
    controls: Annotated[str, Option(metavar="LIST", help="By name, or all.")] = "mismatched",
    control_pairs: Annotated[int, Option(metavar="N", help="Pairs used for the controls.")] = 100,
    bands: Annotated[str, Option(metavar="LIST", help="More bands, such as disk50.")] = "",
    json: Annotated[Path | None, out_option("FILE", "Write the numbers.")] = None,
    html: Annotated[Path | None, out_option("FILE", "Write a report.")] = None,
    out: Annotated[Path | None, out_option("DIR", "Write both, and results.")] = None,
) -> None:
    """Measure how far RGB and infrared features differ, by band."""
    from freqkd_lite.data import open_sets
    from freqkd_lite.distil import memory
    from freqkd_lite.features import load_backbone
    from freqkd_lite.gap.controls import CONTROLS
    from freqkd_lite.gap.study import DEFAULT_MODEL, measure
    from freqkd_lite.runner.report import write_page
    from freqkd_lite.spectrum import BANDS
    from freqkd_lite.viz import study

    memory.keep()
    name, options = _source(visible, infrared, data)
    height, width = _numbers("--size", size, r"\d+[xX]\d+", "height x width, such as 252x336")
    chosen = None
    if blocks is not None:
        chosen = _numbers("--blocks", blocks, r"\s*\d+(\s*,\s*\d+)*\s*", "2,5,8,11 or so")
    backbone = load_backbone(model or DEFAULT_MODEL, weights).freeze()
    fitted = backbone.crop((height, width))
    found_pairs = open_sets(name, split, fitted, root, **options)
    for line in found_pairs.repairs:
        typer.echo(line, err=True)
    names = tuple(dict.fromkeys(["real", *(CONTROLS if controls == "all" else _names(controls))]))
    all_bands = tuple(dict.fromkeys([*BANDS, *_names(bands)]))
    about = {"bands": all_bands, "control_pairs": control_pairs}
    found = measure(found_pairs, backbone, chosen, names, pairs, **about)
    typer.echo(study.terminal(found))
    if json:
        json.parent.mkdir(parents=True, exist_ok=True)
        found.save(json)
    if html:
        typer.echo(f"\nLook at {study.write_page(found, html, command_line())}")
    if out:
        page = study.write_folder(found, out, command_line())
        write_page(out)
        typer.echo(f"\nLook at {page}")


def demo(
    visible: Visible = None,
    infrared: Infrared = None,
    model: Model = None,
    weights: Weights = None,
    out: Annotated[Path, out_option("DIR", "Folder of the report.")] = Path("demo"),
    steps: Annotated[int, Option(min=1, metavar="N", help="Training steps.")] = 60,
    loss: Annotated[str, Option(metavar="NAME", help="Such as mse or unic.")] = "freqkd_code",
    pictures: Annotated[bool, Option(help="Show the data's own pictures.")] = True,
    boxes: Annotated[
        Path | None, Option(metavar="PATH", help="YOLO, VOC, COCO: test an RGB head on infrared.")
    ] = None,
) -> None:
    """Write a report: check, gap and a short distillation."""
    from freqkd_lite.distil import memory
    from freqkd_lite.runner.demo import demo as run_demo

    memory.keep()
    if visible is None or infrared is None:
        raise UserError("Give both --visible DIR and --infrared DIR.")
    settings = model, weights, out, steps, loss, pictures, command_line(), boxes
    page = run_demo(visible, infrared, *settings)
    typer.echo(f"Look at {page}")
    options = shlex.join(["--visible", str(visible), "--infrared", str(infrared)])
    typer.echo(f"Next: freqkd gap {options} --controls all --out gap")


def distil(file: File = None, preset: Plan = "kaist_full", p: Given = None) -> None:
    """Distil with the settings of a file or a preset.

    On four GPUs: accelerate launch --multi_gpu --num_processes 4 -m freqkd_lite distil. Rerun the
    same command to resume a run that was stopped.
    """
    from freqkd_lite.runner.parameters import read_plan

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


def command_line() -> str:
    """The command as typed, absolute paths cut to two parts: a report is shown to others."""
    short = ["/".join(Path(a).parts[-2:]) if Path(a).is_absolute() else a for a in sys.argv[1:]]
    return shlex.join(["freqkd", *short])
