"""The golden test behind `RECIPE`: the same settings must go on giving the same numbers.

`python -m tests.distil.test_recipe --write` stores the numbers of the code as it is.
"""

import json
import math
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load_file

from freqkd_lite import data
from freqkd_lite.data.base import Pair, PairSet
from freqkd_lite.distil import distil, settings_from
from freqkd_lite.features import create_net
from freqkd_lite.losses import LOSSES

FILE = Path(__file__).with_name("recipe.json")
TOLERANCE = 1e-4
MEANS = "raise RECIPE in freqkd_lite/store.py and run this file with --write, or undo the change"
SMALL = dict(dataset="waves", size=(64, 96), crop=(48, 64), teacher="test_vit", blocks=(1, 4))
SMALL |= dict(teacher_weights="random", steps=3, batch=4, lr=1e-3, warmup=1)
SMALL |= dict(lora_rank=4, lora_dropout=0.0)
WHOLE = dict(lora_rank=0, lr=1e-4)
# One of each thing beside the loss that changes what is trained.
OTHERS = {
    "mse, projector": dict(projector=True),
    "mse, mismatched pairs": dict(shuffled=True),
    "mse, cached teacher": dict(crop_list=2, cache_limit_gb=0.0),
    "mse, shares": dict(accumulate=2),
    "mse, bfloat16": dict(precision="bf16"),
    "mse, whole network": WHOLE,
    "mse, other student": WHOLE
    | dict(student="test_resnet", student_weights="random", student_blocks=(2, 3)),
}
CASES = {name: dict(loss=name) for name in LOSSES}
CASES |= {name: dict(loss="mse") | values for name, values in OTHERS.items()}


class Waves(PairSet):
    """Twelve pairs of sums of waves and a little noise, the same bits on any processor."""

    name, has = "waves", frozenset({"pairs"})

    def __init__(self, split, size, root=None, limit=None):
        super().__init__(split, size, [f"wave{i}" for i in range(12)])

    def __getitem__(self, i):
        y, x = torch.meshgrid(*map(torch.arange, self.size), indexing="ij")
        noise = torch.rand(2, 3, *self.size, generator=torch.Generator().manual_seed(i))
        bars = ((x * (i + 2) + y * (7 - i % 5)) % 48 < 20).float()
        spot = ((x - 8 * i).square() + (y - 30).square() < 300).float()
        visible = 0.5 * bars + 0.3 * spot + 0.2 * noise[0]
        infrared = 0.2 * bars + 0.6 * spot + 0.2 * noise[1]
        return Pair(self.names[i], visible, infrared)

    def fingerprint(self):
        return f"waves-{self.size}"


def measured(name: str, folder: Path) -> dict[str, list[float]]:
    """Loss and gradient norm of each step, and by how much the weights moved (root mean square)."""
    data.REGISTRY["waves"] = Waves
    settings = settings_from(**SMALL | CASES[name])
    run = distil(settings, folder, progress=False)
    torch.manual_seed(settings.seed)
    first = create_net(settings.student or settings.teacher).state_dict()
    last = load_file(run.folder / "student.safetensors")
    moved = [float((last[key] - first[key]).float().square().sum()) for key in last]
    logged = {key: [entry[key] for entry in run.log] for key in ("loss", "gradient_norm")}
    return logged | {"moved": [math.sqrt(sum(moved))]}


@pytest.mark.parametrize("name", CASES)
def test_the_recipe_gives_the_numbers_that_it_gave(name, tmp_path, monkeypatch):
    monkeypatch.setitem(data.REGISTRY, "waves", Waves)  # taken out again
    stored = json.loads(FILE.read_text())
    if name in LOSSES and name not in stored:
        pytest.skip(f"{name} is new: python -m tests.distil.test_recipe --write stores its numbers")
    found = measured(name, tmp_path)
    tolerance = 2e-2 if "bfloat16" in name else TOLERANCE
    for key, values in stored[name].items():
        assert found[key] == pytest.approx(values, rel=tolerance), f"{key} of {name}: {MEANS}"


def write() -> None:
    with TemporaryDirectory() as folder:
        found = {name: measured(name, Path(folder) / name) for name in CASES}
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__" and "--write" in sys.argv:
    write()
