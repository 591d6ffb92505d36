"""Data sets: boxes land where hand arithmetic puts them, and bad files are named."""

import json

import pytest

from freqkd_lite import data
from tests.data.test_folder import picture
from tests.refused import refusals, refused


@pytest.fixture
def msrs(tmp_path):
    """Two pairs of 40x80 pixels in MSRS's layout, with one object."""
    root = tmp_path / "msrs361"
    (root / "boxes_ir").mkdir(parents=True)
    for name in ("00001D", "00002N"):
        for kind in ("vi", "ir"):
            picture(root / kind / f"{name}.png", 40, 80)
        # 20..40 of 80 and 10..30 of 40: centre (30/80, 20/40), size (20/80, 20/40)
        (root / "boxes_ir" / f"{name}.txt").write_text("2 0.375 0.5 0.25 0.5\n")
    (root / "split.json").write_text(json.dumps({"train": ["00001D"], "val": ["00002N"]}))
    return tmp_path


def test_a_box_follows_its_picture_through_a_resize(msrs):
    pair = data.load("msrs", "train", size=(20, 40), root=msrs)[0]
    assert pair.boxes.tolist() == [[10.0, 5.0, 20.0, 15.0]]
    assert pair.labels.tolist() == [2] and pair.time_of_day == "day"
    assert data.load("msrs", "val", size=(20, 40), root=msrs)[0].time_of_day == "night"
    assert data.load("msrs", "all", root=msrs).names == ["00001D", "00002N"]


def test_a_root_is_the_set_or_a_variable_which_replaces_no_wrong_one(msrs, monkeypatch):
    assert len(data.load("msrs", root=msrs / "msrs361")) == 1
    monkeypatch.setenv("FREQKD_DATA", str(msrs))
    assert len(data.load("msrs")) == 1
    refused("elsewhere", data.load, "msrs", root=msrs / "elsewhere")
    (msrs / "msrs361/split.json").unlink()  # splits must be listed
    refused("split.json", data.load, "msrs")


def test_a_choice_is_spread_over_the_whole_set(capsys):
    assert data.spread(182, 4) == [0, 45, 91, 136] and not capsys.readouterr().out
    assert data.spread(3, 16) == [0, 1, 2] and "pairs=16" in capsys.readouterr().out
    refused("pairs=0", data.spread, 4, 0)


test_a_wrong_argument_is_named = refusals(
    (dict(name="scene"), "'scenes'"),
    (dict(name="scenes", split="trian"), "'train'"),
    (dict(name="scenes", limit=0), "limit=0"),
    (dict(name="scenes", limit=10_000), "limit=10000.*400"),
    (dict(name="scenes", size=(13, 32)), r"size=\(13, 32\)"),
    (dict(name="scenes", root="x"), "root"),
    (dict(name="scenes", unpaired="skip"), "scenes.*'unpaired'.*settings"),
    (dict(name="folder", inrared="x"), "folder.*'inrared'.*'infrared'"),
    (dict(name="msrs", repiar=True), "msrs.*'repiar'.*'repair'"),
    (dict(name="folder"), "root=DIR"),
    call=data.load,
)


def test_a_notebook_says_what_the_data_lacks(msrs):
    pairs = data.load("msrs", root=msrs)
    data.require(pairs, "boxes")
    lacks = "07_segmentation.*masks.*'msrs'.*boxes, pairs"
    refused(lacks, data.require, pairs, "masks", notebook="07_segmentation")


@pytest.mark.parametrize("parts", [[0, 0], [0] * 7, [0] * 5 + [1] * 43, [1, 0, 1, 0]])
def test_mismatched_pairs_are_others_of_the_same_set_and_each_is_one_once(parts):
    for seed in range(20):
        partner = data.mismatched(parts, seed)
        assert sorted(partner) == list(range(len(parts)))
        assert all(i != j and parts[i] == parts[j] for i, j in enumerate(partner))
    orders = {tuple(data.mismatched([0] * 7, seed)) for seed in range(20)}
    assert len(orders) > 10 and data.mismatched(parts, 3) == data.mismatched(parts, 3)
    refused("^Mismatched .*pairs.*limit", data.mismatched, [*parts, 5])
