"""Run notebooks with several seeds and gather what they measured into one results folder.

    python tools/default_results.py
    python tools/default_results.py --preset msrs --seeds 0 \\
        --notebooks 05_distillation 06_detection --out results/msrs_first

A notebook with arms is run once for each seed, another one once. Finished runs are kept in runs/
and read again, so a run that was cut off goes on where it stopped. The folder then holds all rows,
a manifest with each notebook's parameters, and the files of each image in per_image/; what it held
before is replaced. Means over seeds are taken on reading (`results.over_seeds`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from freqkd_lite import execute
from freqkd_lite.errors import UserError
from freqkd_lite.features import find_weights, sha256_file
from freqkd_lite.results import Row, read_results, write_results
from freqkd_lite.runs import CORE, code_version, manifest, run_key, runs_folder

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ("04_frequency_loss", "05_distillation", "06_detection", "07_segmentation")
NUMBERS = (*CORE, "evaluate/*.py", "figures/*.py", "controls.py")  # the code that decides them
SAME = ("parameters", "weights", "data", "train_data")  # what all seeds of a notebook share


def address(path: Path, values: dict) -> str:
    """The key of a run: the notebook's code, its parameters, weights and what computes numbers.

    `execute.address` holds the committed results too, which this tool itself replaces.
    """
    defaults = {name: p.default for name, p in execute.parameters(path).items()}
    chosen = defaults | values
    weights = find_weights(chosen.get("model", ""), chosen.get("weights"))
    source = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return run_key(
        {
            "source": source,
            "parameters": chosen,
            "code": code_version(NUMBERS),
            "weights": sha256_file(weights) if weights else None,
        }
    )


def run(path: Path, values: dict, preset: str) -> Path:
    """The folder of a finished run, made now if there is none."""
    seed = f"-seed{values['seed']}" if "seed" in values else ""
    out = runs_folder() / "seeds" / f"{path.stem}-{preset}{seed}-{address(path, values)}"
    print(f"{path.stem}{seed.replace('-', ' ')}: ", end="", flush=True)
    if (out / execute.MANIFEST).is_file():
        print("finished before", flush=True)
        return out
    execute.execute(path, values, out, preset=preset)
    print(f"{json.loads((out / execute.MANIFEST).read_text())['seconds']:.0f} s", flush=True)
    return out


def gather(runs: dict[str, dict[int | None, Path]], out: Path) -> tuple[list[Row], dict]:
    """The rows of all runs, by notebook and seed, and what to say of each notebook; files of
    images are copied to `out`/per_image. `UserError` if two seeds differ in more than the seed."""
    shutil.rmtree(out / "per_image", ignore_errors=True)
    rows, about = [], {}
    for stem, by_seed in runs.items():
        for seed, folder in by_seed.items():
            told = json.loads((folder / execute.MANIFEST).read_text())
            told["parameters"].pop("seed", None)
            said = {key: told.get(key) for key in SAME}
            first = about.setdefault(stem, said | {"seeds": [], "seconds": []})
            other = [key for key in SAME if first[key] != said[key]]
            if other:
                raise UserError(
                    f"{stem}: the run of seed {seed} in {folder} differs in {', '.join(other)}: "
                    "remove that folder and start again."
                )
            first["seeds"].append(seed)
            first["seconds"].append(told["seconds"])
            rows += [row.model_copy(update={"per_image": keep(row.per_image, folder, out, seed)})
                     for row in read_results(folder)]  # fmt: skip
    return rows, about


def keep(file: str | None, folder: Path, out: Path, seed: int | None) -> str | None:
    """Copy a run's file of images into the results folder; its path there."""
    if file is None:
        return None
    stem = folder.name.split("-")[0]
    target = Path("per_image") / f"{stem}{'' if seed is None else f'-seed{seed}'}-{file}"
    if not (out / target).exists():
        (out / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file, out / target)
    return str(target)


def collect(preset: str, seeds: Sequence[int], notebooks: Sequence[str], out: Path) -> Path:
    """Run what is not finished and write the results folder; returns its results file."""
    chosen = execute.read_preset(ROOT / "notebooks", preset)
    runs: dict[str, dict[int | None, Path]] = {}
    for stem in notebooks:
        path = execute.find_notebook(ROOT / "notebooks", stem)
        known, values = execute.parameters(path), chosen[path.stem]
        several = {"arms", "seed"} <= known.keys()
        runs[path.stem] = {
            seed: run(path, values if seed is None else values | {"seed": seed}, preset)
            for seed in (seeds if several else [None])
        }
    rows, about = gather(runs, out)
    command = ["python tools/default_results.py", "--preset", preset, "--seeds", *map(str, seeds)]
    command += ["--notebooks", *runs]
    return write_results(
        out, rows, manifest(command=" ".join(command), preset=preset, notebooks=about)
    )


def main() -> None:
    """Read the arguments and collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="default", help="settings: notebooks/presets/NAME.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "default")
    args = parser.parse_args()
    os.environ.setdefault("FREQKD_RUNS", str(ROOT / "runs"))
    print(f"Wrote {collect(args.preset, args.seeds, args.notebooks, args.out)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"default_results: {error}")
