"""Files that are damaged at random, by bytes or in their structure: each is read, or refused in a
sentence that names the file or the entry. FREQKD_CASES sets how many of each kind (25).
"""

import copy
import json
import os
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from safetensors.torch import save_file

from freqkd_lite import data
from freqkd_lite.data.images import image_header, read_image
from freqkd_lite.distil import settings_from
from freqkd_lite.errors import UserError
from freqkd_lite.features import create_net, load_into
from freqkd_lite.gap.study import load as load_gap
from freqkd_lite.results.rows import means, read_manifest, read_results
from freqkd_lite.runner.parameters import parameters, read_plan
from freqkd_lite.runner.sweep import read_sweep
from tests.test_readme import DISTIL, ROOT, draw_pairs

CASES = int(os.environ.get("FREQKD_CASES", "25"))
SWEEP = """notebook: 12_masks
preset: smoke
fixed: {height: 112, width: 112}
grid: {seed: [0, 1], block: [3, 7]}
metric: unaccounted_energy
"""
PAIRS = """visible: visible/
infrared: infrared/
shares: [0.6, 0.2, 0.2]
split_seed: 0
unpaired: refuse
repair: false
"""
SPLITS = {"train": [f"{i:02d}" for i in range(8)], "val": ["08", "09"], "test": ["10", "11"]}
JUNK = st.sampled_from(
    [None, True, -1, 0, 10**30, 0.5, float("nan"), float("inf"), "", "x", "nan", "é\x00", "../x"]
) | st.sampled_from([[], {}, [[]], {"x": 1}, ["x"], [None]])
SETTINGS = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))
NET = create_net("test_vit.r160_in1k")


def text(name: str, content: str, pairs: bool = False) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        if pairs:
            draw_pairs(folder)
        (folder / name).write_text(content)
        return folder / name

    return write


def copied(source: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copy(ROOT / source, folder))


def draw(name: str, kind: str = "uint8", **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        shape = (20, 30, 3) if kind == "uint8" else (20, 30)  # others have one channel
        pixels = np.random.default_rng(0).integers(0, 255, shape).astype(kind)
        Image.fromarray(pixels).save(folder / name, **options)
        return folder / name

    return write


def write_weights(folder: Path) -> Path:
    save_file(NET.state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def look(file: Path) -> None:
    image_header(file)
    for modality in ("visible", "infrared"):
        assert read_image(file, modality).isfinite().all()


def distil(file: Path) -> None:
    settings_from(**read_plan(file)["settings"])


def pairs(file: Path) -> None:
    data.load("folder", "train", (56, 56), file.parent).fingerprint()


def rows(file: Path) -> None:
    means(read_results(file.parent))


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "sweep.yaml": (text("sweep.yaml", SWEEP), lambda file: read_sweep(ROOT, file)),
    "distil.yaml": (text("distil.yaml", DISTIL), distil),
    "pairs.yaml": (text("pairs.yaml", PAIRS, pairs=True), pairs),
    "splits.json": (text("splits.json", json.dumps(SPLITS), pairs=True), pairs),
    "results.json": (copied("results/kaist/results.json"), rows),
    "manifest.json": (copied("results/kaist/manifest.json"), lambda f: read_manifest(f.parent)),
    "gap.json": (copied("results/spectral_gap/gap.json"), lambda file: load_gap(file.parent)),
    "notebook": (copied("notebooks/12_masks.ipynb"), parameters),
    "weights": (write_weights, lambda file: load_into(copy.deepcopy(NET), file, "test_vit")),
    "tiff": (draw("a.tif", compression="tiff_lzw"), look),
    "tiff of 16 bits": (draw("a.tif", "uint16"), look),
    "tiff of floats": (draw("a.tif", "float32"), look),
}
READERS |= {kind: (draw(f"a.{kind}"), look) for kind in ("png", "jpeg", "webp", "bmp")}
ENTRIES = {*yaml.safe_load(SWEEP), *yaml.safe_load(PAIRS), *yaml.safe_load(DISTIL)["settings"]}
TREES = [kind for kind in READERS if kind.endswith((".yaml", ".json"))] + ["notebook"]


def damage_bytes(file: Path, draws: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(draws.draw(st.integers(1, 4))):
        start = draws.draw(st.integers(0, len(content)))
        end = draws.draw(st.integers(start, min(len(content), start + 12)))
        content[start:end] = draws.draw(st.binary(max_size=6))
    file.write_bytes(content[: draws.draw(st.integers(0, len(content)) | st.just(len(content)))])


def damage_tree(file: Path, draws: st.DataObject) -> None:
    """Another value, key or length somewhere in a YAML or JSON file."""
    as_yaml = file.suffix == ".yaml"
    tree = (yaml.safe_load if as_yaml else json.loads)(file.read_text())
    for _ in range(draws.draw(st.integers(1, 2))):
        node, parent, key = tree, None, None
        while isinstance(node, dict | list) and node and draws.draw(st.integers(0, 4)):
            parent, keys = node, list(node) if isinstance(node, dict) else range(len(node))
            key = draws.draw(st.sampled_from(keys))
            node = parent[key]
        if parent is None:
            tree = copy.deepcopy(draws.draw(JUNK))
            break
        how = draws.draw(st.sampled_from(["replace", "remove", "rename"]))
        if how == "rename" and isinstance(parent, dict):
            parent[draws.draw(st.sampled_from(["x", "", "seed ", "Größe"]))] = parent.pop(key)
        elif how == "remove":
            del parent[key]
        else:
            parent[key] = copy.deepcopy(draws.draw(JUNK))
    file.write_text(yaml.safe_dump(tree) if as_yaml else json.dumps(tree))


@pytest.mark.parametrize(
    ("kind", "damage"), [*product(READERS, [damage_bytes]), *product(TREES, [damage_tree])]
)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(kind, damage, tmp_path_factory):
    write, read = READERS[kind]

    @settings(max_examples=CASES, derandomize=CASES < 100, **SETTINGS)
    @given(draws=st.data())
    def check(draws):
        folder = tmp_path_factory.mktemp("bad")
        file = write(folder)
        damage(file, draws)
        try:
            read(file)
        except UserError as error:
            told, content = str(error), file.read_text("utf-8", "replace")
            known = {file.name, "12_masks", "split of folder", *ENTRIES}
            # or what the file itself holds, in quotes or as the sentence's first word
            held = {*re.findall("'(.+?)'", told), Path(told.split()[0]).name}
            assert any(name in told for name in known) or any(h in content for h in held), told
            assert len(told) < 600

    check()
