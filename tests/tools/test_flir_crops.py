"""FLIR's crops, drawn here in their layout, from the list to the results folder."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from freqkd_lite import data
from freqkd_lite.results.paired import differences
from freqkd_lite.results.rows import frame, pick, read_manifest, read_results
from freqkd_lite.results.summary import compare_folder
from tools import flir_crops

MSE = "mse (on=flir)"
CLASSES = ("person", "bicycle", "car")
YAML = """protocol: plan.md
seeds: [0]
methods: [none, mse, mse (mean=matched)]
train: {flir: {dataset: flir_crops}}
settings: {teacher: freqkd_tiny, blocks: [3, 7], size: [56, 56], steps: 2, batch: 4}
read_blocks: [7]
budgets: [10]
repeats: 2
draws: 20
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """24 train crops in eight frames and 12 test crops in four; stripes tell the classes."""
    home = tmp_path / "flir_crops"
    lines = ["split,time,class,name,frame,width,height"]
    for split, frames in (("train", range(1, 9)), ("test", range(11, 15))):
        for kind in ("rgb", "ir"):
            (home / kind / split).mkdir(parents=True)
        for number in frames:
            for k, name in enumerate(CLASSES):
                time, size = ("day", "night")[number % 2], (40 + 10 * k, 50)
                lines.append(f"{split},{time},{name},{number:05}_{k},{number},{size[0]},{size[1]}")
                bars = (np.arange(size[0]) // (k + 2) % 2 * 200 + number).astype(np.uint8)
                image = Image.fromarray(np.tile(bars, (size[1], 1)))
                for kind in ("rgb", "ir"):
                    image.save(home / kind / split / f"{number:05}_{k}.jpg")
    (home / "list.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "plan.md").write_text("H7")
    (tmp_path / "small.yaml").write_text(YAML)
    monkeypatch.setenv("FREQKD_DATA", str(tmp_path))
    return tmp_path


def test_crops_come_whole_with_their_class_frame_and_time(root):
    train, val, test = (data.load("flir_crops", s, (56, 70)) for s in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (21, 3, 12)  # a frame of eight is val
    assert not {*train.frames()} & {*val.frames()} and {*test.frames()} == {11, 12, 13, 14}
    pair = test[2]
    assert pair.visible.shape == pair.infrared.shape == (3, 56, 70) and pair.time_of_day == "night"
    assert test.names[2] == "car/00011_2" and test.labels()[:3].tolist() == [0, 1, 2]
    # a crop of 60 columns in bars of 4 is warped, not cut: all 15 bars are left
    row = (data.load("flir_crops", "test", (56, 120))[2].visible[0, 30] > 0.45).int()
    assert int((row[1:] != row[:-1]).sum()) == 14


def test_the_tool_scores_pooled_heads_and_goes_on_where_it_was_stopped(root, monkeypatch):
    flir_crops.main([str(root / "small.yaml"), "--out", str(root / "out")])
    rows, made = read_results(root / "out"), read_manifest(root / "out")
    assert made["protocol"] == hashlib.sha256(b"H7").hexdigest() and not made.get("unfinished")
    methods = ["teacher", "none", MSE, "mse (mean=matched, on=flir)"]
    label_free = pick(rows, metric="label_free_balanced_accuracy", klass="mean", split="test")
    assert [row.method for row in label_free] == methods and label_free[0].n == 12
    assert {row.klass for row in pick(rows, metric="by_labels")} == {"0", "10", "all"}
    (night,) = pick(rows, metric="balanced_accuracy", split="test/night", method="none")
    assert night.klass == "mean"
    found = compare_folder(root / "out").means("label_free_balanced_accuracy")
    values = {row.method: row.value for row in label_free}
    assert dict(zip(found["method"], found["value"], strict=True)) == pytest.approx(
        {m: values[m] - values[MSE] for m in methods if m != MSE}
    )
    table = differences(frame(rows), root / "out", "none", "balanced_accuracy")
    assert set(table["groups"]) == {4} and set(table["klass"]) == {"mean", *CLASSES, "day", "night"}
    (root / "val.yaml").write_text(YAML.replace("budgets: [10]", "score: val"))
    flir_crops.main([str(root / "val.yaml"), "--out", str(root / "val")])
    places = {(row.metric[:10], row.split) for row in read_results(root / "val")}
    assert places == {("label_free", "val"), ("label_free", "val/night")}  # one frame
    monkeypatch.delattr(flir_crops, "predictions")  # nothing is scored twice
    flir_crops.main([str(root / "small.yaml"), "--out", str(root / "out")])
    assert read_results(root / "out") == rows


def test_recentring_undoes_what_an_offset_does_to_a_head(root, monkeypatch):
    """Infrared crops that are the RGB ones, of which a network's features are off by a constant."""
    plain = flir_crops.pooled

    def off(backbone, pairs, modality, *more):
        return plain(backbone, pairs, modality, *more) + 5 * (modality == "infrared")

    monkeypatch.setattr(flir_crops, "pooled", off)
    scores = {}
    for name, more in {"plain": "", "recentred": "recentre: 21\n"}.items():
        (root / f"{name}.yaml").write_text(YAML + more)
        flir_crops.main([str(root / f"{name}.yaml"), "--out", str(root / name)])
        rows = pick(read_results(root / name), metric="label_free_balanced_accuracy", split="test")
        scores[name] = {row.method: row.value for row in pick(rows, klass="mean")}
    assert scores["recentred"]["none"] == scores["recentred"]["teacher"] > scores["plain"]["none"]
