"""README: its length, its links, and every command in it, run on two small folders of pictures."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.real import real

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
# tools/wheel.py gives the commands of a package without its clone.
BIN = Path(os.environ.get("FREQKD_BIN", Path(sys.executable).parent))
TINY = "--model freqkd_tiny"
SMALL = "-p model=freqkd_tiny -p height=112 -p width=112 -p blocks=[5,7] -p read_blocks=[5,7]"
SMALL += " -p steps=2 -p batch=2 -p lora_rank=2 -p crop=[]"
# What keeps each command small; DIR, FILE.yaml and RUN are replaced by what `place` holds.
SMALLER = {
    "freqkd data check folder --visible DIR --infrared DIR --html check.html": "",
    "freqkd data list": "",
    "freqkd gap --visible DIR --infrared DIR --html gap.html": f"{TINY} --size 112x112",
    "freqkd demo --visible DIR --infrared DIR --out report": f"{TINY} --steps 2",
    "freqkd run 05_distillation --preset folder -p root=DIR": SMALL,
    "freqkd distil FILE.yaml": "",
    "freqkd compare RUN RUN": "",
    "freqkd sweep SWEEP.yaml": "",
    "python tools/plan.py --preset FILE.yaml": "",
}
REAL = {
    "freqkd run 05_distillation --preset msrs -p seed=3": f"{SMALL} -p pairs=8 -p train_pairs=8",
    "freqkd gap --data roadscene,msrs --controls all --out DIR": f"{TINY} --size 160x160 --pairs 8",
}
HELP = {*REAL, "freqkd report", "freqkd walk"}  # the last two run in test_report and as CI's walk
MAKE = {"make walk", "make test", "make lab", "make explore"}
KINDS = ("visible", "infrared")
DISTIL = """pairs: 12
settings:
  dataset: folder
  root: pairs
  size: [56, 56]
  teacher: freqkd_tiny
  blocks: [5, 7]
  steps: 2
  warmup: 1
  batch: 2
  lora_rank: 2
  loss: freqkd_code
"""
SWEEP = """notebook: 12_masks
fixed: {height: 56, width: 56, pairs: 2}
grid: {block: [1, 2]}
"""


def commands() -> set[str]:
    """All commands in README's blocks, tables and text, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.S)
    found = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:freqkd|make|python) [^`]+)`", re.sub(r"<!--.*?-->", "", README))
    return {*found, *inline}


def draw_pairs(folder: Path, count: int = 12) -> None:
    generator = np.random.default_rng(0)
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(generator.integers(0, 255, (12, 12, 3), "uint8"))
        picture = coarse.resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / "visible" / f"{i:02d}.png")
        picture.convert("L").save(folder / "infrared" / f"{i:02d}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Twelve pairs of smooth noise in two folders, settings for a distillation, and a run."""
    folder = tmp_path_factory.mktemp("readme")
    draw_pairs(folder / "pairs")
    (folder / "distil.yaml").write_text(DISTIL)
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "run").mkdir()
    (folder / "run" / "manifest.json").write_text('{"parameters": {"seed": 0}}')
    if "FREQKD_BIN" not in os.environ:
        (folder / "notebooks").symlink_to(ROOT / "notebooks")
    return folder


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    words = [sys.executable if words[0] == "python" else str(BIN / words[0]), *words[1:]]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def test_every_command_is_known_to_this_test():
    assert commands() == {*SMALLER, *HELP, *MAKE}


@pytest.mark.parametrize("command", [*SMALLER, *REAL])
def test_a_command_runs_on_two_small_folders_or_a_few_real_pairs(command, place, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(place / "runs"))
    if command in REAL:
        real("msrs361")
    text, here = command, {f"--{kind} DIR": f"--{kind} pairs/{kind}" for kind in KINDS}
    here |= {"--out DIR": "--out out", "tools/": f"{ROOT}/tools/"}
    here |= {"DIR": "pairs", "SWEEP.yaml": "sweep.yaml", "FILE.yaml": "distil.yaml", "RUN": "run"}
    for name, value in here.items():
        text = text.replace(name, value)
    done = run([*shlex.split(text), *shlex.split((SMALLER | REAL)[command])], place)
    assert done.returncode == 0, done.stderr
    assert all((place / name).exists() for name in re.findall(r"(?:--html|--out) (\S+)", text))


@pytest.mark.parametrize("command", sorted(HELP))
def test_the_help_of_a_long_command_names_its_options(command):
    done = run([*shlex.split(command)[:2], "--help"], ROOT)
    assert done.returncode == 0, done.stderr
    for option in re.findall(r"(?<= )--?\w+", command):
        assert option in done.stdout


def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    torch.manual_seed(0)
    names = {"rgb": torch.rand(2, 3, 56, 56), "infrared": torch.rand(2, 3, 56, 56)}
    exec(example, names)
    torch.testing.assert_close(names["low"] + names["high"], names["teacher"][0])
    assert names["loss"].total > 0 and names["loss"].parts


def test_it_is_short_and_its_links_lead_to_files_sections_and_papers():
    assert len(README.split()) <= 900  # tables included, as `wc -w` counts
    shown = re.sub(r"<!--.*?-->", "", README)
    assert len(shown.split("\n| ")[0].split()) < 200  # to the first table
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert target.startswith("https://arxiv.org/") or (ROOT / path).exists(), target
        headings = [h.lower().replace(" ", "-") for h in re.findall(r"^## (.+)$", README, re.M)]
        assert not anchor or anchor in headings
