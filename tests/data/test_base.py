"""Data sets: boxes land where hand arithmetic puts them, and bad files are named."""

import json

import pytest
import torch
from PIL import Image

from freqkd_lite import data
from freqkd_lite.errors import UserError


@pytest.fixture
def msrs(tmp_path):
    """Two pairs of 40x80 pixels in MSRS's layout: a red square on black, hot in infrared."""
    for folder in ("vi", "ir", "boxes_ir"):
        (tmp_path / "msrs361" / folder).mkdir(parents=True)
    root = tmp_path / "msrs361"
    for name in ("00001D", "00002N"):
        visible = Image.new("RGB", (80, 40))
        visible.paste((255, 0, 0), (20, 10, 40, 30))
        visible.save(root / "vi" / f"{name}.png")
        infrared = Image.new("L", (80, 40))
        infrared.paste(255, (20, 10, 40, 30))
        infrared.save(root / "ir" / f"{name}.png")
        # 20..40 of 80 and 10..30 of 40: centre (30/80, 20/40), size (20/80, 20/40)
        (root / "boxes_ir" / f"{name}.txt").write_text("2 0.375 0.5 0.25 0.5\n")
    (root / "split.json").write_text(json.dumps({"train": ["00001D"], "val": ["00002N"]}))
    return tmp_path


def test_a_box_follows_its_picture_through_a_resize(msrs):
    pair = data.load("msrs", "train", size=(20, 40), root=msrs)[0]
    assert pair.boxes.tolist() == [[10.0, 5.0, 20.0, 15.0]]
    assert pair.labels.tolist() == [2] and pair.time_of_day == "day"
    hot = pair.infrared[0] > 0.5
    rows, columns = torch.nonzero(hot, as_tuple=True)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (10, 5, 20, 15)
    assert pair.visible[:, 10, 15].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert torch.equal(pair.infrared[0], pair.infrared[2])


def test_night_is_read_off_the_name(msrs):
    assert data.load("msrs", "val", size=(20, 40), root=msrs)[0].time_of_day == "night"


def test_the_root_may_be_the_set_itself_or_an_environment_variable(msrs, monkeypatch):
    assert len(data.load("msrs", root=msrs / "msrs361")) == 1
    monkeypatch.setenv("FREQKD_DATA", str(msrs))
    assert len(data.load("msrs")) == 1


def test_a_wrong_explicit_root_is_not_replaced_by_the_environment(msrs, monkeypatch):
    monkeypatch.setenv("FREQKD_DATA", str(msrs))
    with pytest.raises(UserError, match="not found in .*elsewhere.*FREQKD_DATA"):
        data.load("msrs", root=msrs / "elsewhere")


def test_the_fingerprint_changes_with_size_and_file(msrs):
    root = msrs / "msrs361"
    first = data.load("msrs", root=root).fingerprint()
    assert first == data.load("msrs", root=root).fingerprint()
    assert first != data.load("msrs", root=root, size=(42, 56)).fingerprint()
    (root / "boxes_ir" / "00001D.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.1 0.1\n")
    assert first != data.load("msrs", root=root).fingerprint()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda r: (r / "ir/00001D.png").unlink(),
            "vi/00001D.png has no counterpart.*ir holds no '00001D': add it",
        ),
        (lambda r: (r / "ir/00001D.png").write_bytes(b""), "00001D.png can't be read"),
        (lambda r: (r / "vi/00001D.png").write_text("words"), "00001D.png can't be read"),
        (lambda r: (r / "boxes_ir/00001D.txt").unlink(), "00001D.txt is missing"),
        (lambda r: (r / "boxes_ir/00001D.txt").write_text("0 .5 .5 0 .5"), "line 1.*area"),
        (
            lambda r: (r / "boxes_ir/00001D.txt").write_text("7 .5 .5 .1 .5"),
            "line 1: unknown class 'number 7': the classes are person, bicycle, car",
        ),
        (lambda r: (r / "boxes_ir/00001D.txt").write_text("0 .5 .5 .1"), "expected 'class cx cy"),
        (lambda r: (r / "boxes_ir/00001D.txt").write_text("0 .5 nan .1 .1"), "line 1"),
        (
            lambda r: Image.new("L", (8, 8)).save(r / "ir/00001D.png"),
            "vi/00001D.png has 40x80 .*ir/00001D.png 8x8: .*aligned and of one size",
        ),
        (lambda r: (r / "split.json").unlink(), "split.json is missing"),
        (lambda r: (r / "split.json").write_text("{"), "split.json is no valid JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_remedy(msrs, break_it, message):
    break_it(msrs / "msrs361")
    with pytest.raises(UserError, match=message) as caught:
        data.load("msrs", root=msrs)[0]
    assert "\n" not in str(caught.value)


def test_a_box_that_sticks_out_is_cut_on_demand_and_listed(msrs):
    (msrs / "msrs361/boxes_ir/00001D.txt").write_text("1 0.05 0.5 0.2 1.0\n\n")
    with pytest.raises(UserError, match="00001D.txt, line 1: the box -4 0 12 40 sticks out"):
        data.load("msrs", root=msrs)
    pairs = data.load("msrs", size=(40, 80), root=msrs, repair=True)
    assert pairs[0].boxes.tolist() == [[0.0, 0.0, pytest.approx(12.0), 40.0]]
    assert pairs[0].labels.tolist() == [1] and len(pairs.repairs) == 1


def test_a_choice_is_spread_over_the_whole_set(capsys):
    assert data.spread(182, 4) == [0, 45, 91, 136] and not capsys.readouterr().out
    assert data.spread(3, 16) == [0, 1, 2] and "pairs=16" in capsys.readouterr().out
    with pytest.raises(UserError, match="pairs=0"):
        data.spread(4, 0)


def test_every_split_list_is_part_of_all(msrs):
    assert data.load("msrs", "all", root=msrs).names == ["00001D", "00002N"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(name="scene"), "did you mean 'scenes'"),
        (dict(name="scenes", split="trian"), "did you mean 'train'"),
        (dict(name="scenes", limit=0), "limit=0"),
        (dict(name="scenes", limit=10_000), "limit=10000.*400"),
        (dict(name="scenes", size=(8, 8)), "smaller than one patch"),
        (dict(name="scenes", root="x"), "leave root empty"),
        (dict(name="scenes", unpaired="skip"), "no option of scenes called 'unpaired': .*settings"),
        (dict(name="folder", inrared="x"), "option of folder called 'inrared': .* 'infrared'"),
        (
            dict(name="msrs", repiar=True),
            "no option of msrs called 'repiar': did you mean 'repair'",
        ),
        (dict(name="folder"), "needs root=DIR, or visible=DIR and infrared=DIR"),
    ],
)
def test_a_wrong_argument_is_told_in_one_sentence(call, message):
    with pytest.raises(UserError, match=message):
        data.load(**call)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(dataset="folder", data_options={"visibel": "x"}), "called 'visibel': .* 'visible'"),
        (dict(dataset="folder", data_options={"split": "x"}), "no option of folder called 'split'"),
        (dict(data_options={"root": "x"}), "no option of scenes called 'root': choose .*settings"),
        (dict(dataset="fodler"), "no data set called 'fodler': did you mean 'folder'"),
    ],
)
def test_a_wrong_data_option_of_a_distillation_is_told_before_it_begins(values, message):
    from freqkd_lite.distil import settings_from

    with pytest.raises(UserError, match=message):
        settings_from(**values)


def test_a_notebook_says_what_the_data_lacks(msrs):
    pairs = data.load("msrs", root=msrs)
    data.require(pairs, "boxes")
    with pytest.raises(
        UserError, match="07_segmentation needs masks.*'msrs' has only boxes, pairs"
    ):
        data.require(pairs, "masks", notebook="07_segmentation")


@pytest.mark.parametrize("parts", [[0, 0], [0] * 7, [0] * 5 + [1] * 43, [1, 0, 1, 0]])
def test_mismatched_pairs_are_others_of_the_same_set_and_each_is_one_once(parts):
    for seed in range(20):
        partner = data.mismatched(parts, seed)
        assert sorted(partner) == list(range(len(parts)))
        assert all(i != j and parts[i] == parts[j] for i, j in enumerate(partner))
    orders = {tuple(data.mismatched([0] * 7, seed)) for seed in range(20)}
    assert len(orders) > 10 and data.mismatched(parts, 3) == data.mismatched(parts, 3)
    with pytest.raises(UserError, match="two or more"):
        data.mismatched([*parts, 5])
