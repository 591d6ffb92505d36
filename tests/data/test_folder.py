"""Anyone's folders and the published layouts: matched by name, split, cropped, and checked."""

import json
import os
import re
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite import data
from freqkd_lite.data.check import check
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.matching import Names, Record, match, name_of, share_out
from freqkd_lite.data.published import by_folder
from freqkd_lite.errors import UserError
from tests.data.test_annotations import thing
from tests.refused import refused

SIZE = (16, 32)


def picture(path, height=32, width=64, hot=None):
    """A black picture with one white rectangle (x0, y0, x1, y1), in grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width), dtype=np.uint8)
    if hot:
        pixels[hot[1] : hot[3], hot[0] : hot[2]] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pairs(tmp_path):
    """Five pairs of 32x64 in rgb/ and thermal/, with one YOLO box each: x 16-32, y 8-24."""
    for k in range(5):
        picture(tmp_path / f"rgb/{k}.png", hot=(16, 8, 32, 24))
        picture(tmp_path / f"thermal/{k}.png", hot=(16, 8, 32, 24))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{k}.txt").write_text("0 0.375 0.5 0.25 0.5\n")
    (tmp_path / "labels/classes.txt").write_text("person\n")
    return tmp_path


def load(root, split="all", size=SIZE, **options):
    return data.load("folder", split, size, root, **options)


def test_a_root_is_read_by_the_names_of_its_folders(pairs):
    found = load(pairs)
    assert found.names == ["0", "1", "2", "3", "4"] and found.classes == ("person",)
    assert found.has == {"pairs", "boxes", "splits"} and found.repairs == []
    pair = found[3]
    assert pair.boxes.tolist() == [[8, 4, 16, 12]]
    assert torch.equal(pair.visible, pair.infrared) and pair.infrared[0, 8, 12] == 1


def test_two_folders_are_enough(pairs):
    found = data.load("folder", "all", SIZE, visible=pairs / "rgb", infrared=str(pairs / "thermal"))
    assert len(found) == 5 and found.has == {"pairs", "splits"} and found[0].boxes is None
    alone = data.load("folder", "all", SIZE, infrared=pairs / "thermal", boxes=pairs / "labels")
    assert alone.has == {"boxes", "splits"} and alone[0].visible is None


def test_pairs_yaml_gives_the_options_and_arguments_go_before_it(pairs):
    (pairs / "rgb").rename(pairs / "colour camera")
    text = "visible: colour camera\ninfrared: thermal/\nclasses: [pedestrian]\nboxes: labels\n"
    (pairs / "pairs.yaml").write_text(f"{text}shares: [0.2, 0.4, 0.4]\nsplit_seed: 3\n")
    found = load(pairs, "train")
    assert len(found) == 1 and found.classes == ("pedestrian",)
    assert "20 % train, 40 % val, 40 % test" in found.note
    assert load(pairs, "train", shares=(1, 0, 0)).names == load(pairs).names
    for wrong in ((1, 1, -1), (0.5, 0.2, 0.2)):
        refused("shares=", load, pairs, shares=wrong)
    refused("unpaired='drop'", load, pairs, unpaired="drop")
    refused("'train'.*'folder'", load, pairs, "train", shares=(0, 1, 0))


def test_names_match_without_suffix_and_spectrum_and_short_ones_where_they_are_clear(tmp_path):
    for name in ("a/1_vi.png", "a/2_rgb.png", "3-visible.png", "FLIR_4_RGB.jpg", "5.png"):
        picture(tmp_path / "v" / name)
    names = ["a/1_ir.png", "a/2_Thermal.tif", "infrared-3.png", "FLIR_4_PreviewData.jpeg"]
    for name in (*names, "ir_5.png", ".hidden/6.png"):
        picture(tmp_path / "i" / name)
    records, _ = match(tmp_path / "v", tmp_path / "i", Ledger())
    assert sorted((r.name, r.visible.name, r.infrared.name) for r in records) == [
        ("3", "3-visible.png", "infrared-3.png"),
        ("5", "5.png", "ir_5.png"),
        ("FLIR_4", "FLIR_4_RGB.jpg", "FLIR_4_PreviewData.jpeg"),
        ("a/1", "1_vi.png", "1_ir.png"),
        ("a/2", "2_rgb.png", "2_Thermal.tif"),
    ]
    whole = ["ir", "ir_", "stir_vision"]
    assert [name_of(f"{name}.png") for name in whole] == whole
    names = Names(["a/1", "b/1", "b/2"])
    found = [names.find(name) for name in ("1", "b/1.png", "2", "x/2", "3")]
    assert found == [None, "b/1", "b/2", "b/2", None]


def test_endings_in_capitals_are_found_too(pairs):
    for file in list(pairs.glob("*/*.*")):
        file.rename(file.with_suffix(file.suffix.upper()))
    (pairs / "labels/classes.TXT").rename(pairs / "labels/CLASSES.TXT")
    (pairs / "rgb").rename(pairs / "RGB")
    (pairs / "splits").mkdir()
    (pairs / "splits/train.TXT").write_text("3.PNG\n")
    assert load(pairs, limit=2).names == ["0", "1"]
    (found,) = load(pairs, "train")
    assert found.name == "3" and found.boxes.tolist() == [[8, 4, 16, 12]]


def test_names_that_are_no_utf_8_hold_escapes_or_are_composed_in_two_ways_are_paired(tmp_path):
    sides = {"rgb": (b"stra\xdf\x1be", "gr\u00fcn"), "thermal": (b"stra\xdf\x1be", "gru\u0308n")}
    for side, (latin, composed) in sides.items():
        picture(tmp_path / side / f"{composed}.png")
        picture(tmp_path / side / "x.png")
        os.rename(tmp_path / side / "x.png", os.fsencode(tmp_path / side) + b"/" + latin + b".png")
    (tmp_path / "split.json").write_text(json.dumps({"train": ["gru\u0308n"], "val": []}))
    found = load(tmp_path)
    assert found.names == ["gr\u00fcn", r"stra\udcdf\x1be"] and len(found.fingerprint()) == 16
    assert load(tmp_path, "train").names == ["gr\u00fcn"]
    assert r"stra\udcdf\x1be" in found.repairs[0]
    picture(tmp_path / "rgb/gru\u0308n.png")
    refused(r"'gr\\xfcn.png'.*'gru\\u0308n.png'", load, tmp_path)
    os.remove(tmp_path / "rgb/gru\u0308n.png")
    os.remove(os.fsencode(tmp_path) + b"/rgb/stra\xdf\x1be.png")
    refused(r"thermal/stra\\udcdf\\x1be.png .*unpaired='skip'", load, tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_text_and_deep_json_is_refused(pairs):
    (pairs / "labels/classes.txt").write_bytes(b"\xef\xbb\xbfperson\n")
    (pairs / "split.json").write_bytes(b'\xef\xbb\xbf{"train": ["3"]}')
    found = load(pairs, "train")
    assert found.names == ["3"] and found.classes == ("person",)
    (pairs / "split.json").write_text("[" * 200_000)
    refused("split.json", load, pairs)


def test_a_missing_counterpart_is_refused_or_left_out_and_listed(pairs):
    (pairs / "rgb/1.png").unlink()
    (pairs / "thermal/4.png").unlink()
    refused("rgb/4.png", load, pairs)
    found = load(pairs, unpaired="skip")
    assert found.names == ["0", "2", "3"]
    (pairs / "split.json").write_text('{"train": ["0", "1", "2"]}')  # "1" is left out, no fault
    assert load(pairs, "train", unpaired="skip").names == ["0", "2"]
    for line, file in zip(found.repairs, ("rgb/4.png", "thermal/1.png"), strict=True):
        assert line.startswith(f"{file} ")


def test_a_seeded_share_is_whole_disjoint_and_follows_from_names_alone():
    names = [f"n{k}" for k in range(10)]
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    first = share_out(names, shares, 0)
    assert [len(first[s]) for s in shares] == [6, 2, 2]
    assert sorted(sum(first.values(), [])) == names
    assert first == share_out(names[::-1], shares, 0) != share_out(names, shares, 1)
    # by the program sha256sum: "0:a" 9df3..., "0:c" be08..., "0:b" e021...
    thirds = share_out("abc", {"train": 1 / 3, "val": 1 / 3, "test": 1 / 3}, 0)
    assert thirds == {"train": ["a"], "val": ["c"], "test": ["b"]}


@pytest.mark.parametrize("form", ["json", "folder"])
def test_splits_are_read_from_lists(pairs, form):
    lists = {"train": ["0.png", "thermal/1"], "val": ["2_ir"], "test": ["3"]}
    if form == "json":
        (pairs / "split.json").write_text(json.dumps(lists))
    else:
        (pairs / "splits").mkdir()
        for split, names in lists.items():
            (pairs / f"splits/{split}.txt").write_text("\n".join(names) + "\n\n")
    found = load(pairs, "train")
    assert found.names == ["0", "1"] and load(pairs, "val").names == ["2"]
    assert len(found.repairs) == 1 and found.repairs[0].endswith(": 4.")
    refused("'tset'.*'test'", load, pairs, "tset")


def rename(root):
    for file in sorted((root / "rgb").iterdir()):
        file.rename(file.with_stem("x" + file.stem))


def settings(text):
    return lambda root: (root / "pairs.yaml").write_text(text)


def lists(content):
    return lambda root: (root / "split.json").write_text(json.dumps(content))


BAD = [  # boxes, annotations and pictures have theirs in files of their own
    (lambda r: os.truncate(r / "rgb/2.png", 60), "rgb/2.png"),
    (lambda r: picture(r / "rgb/2.png", 32, 63), "rgb/2.png .*32x63.*thermal/2.png 32x64"),
    (lambda r: picture(r / "rgb/2.jpg"), "rgb/2.png .*2.jpg"),
    (lambda r: picture(r / "rgb/7.jpg"), "rgb/7.jpg"),
    (lambda r: (r / "labels/2.txt").write_text("0 0 .5 .9 .5"), "2.txt, line 1"),
    (lambda r: (r / "labels/classes.txt").unlink(), "classes.txt"),
    (lambda r: [f.unlink() for f in (r / "rgb").iterdir()], "/rgb "),
    (rename, "x0.png, x1.png, x2.png .* 0.png, 1.png, 2.png"),
    (lambda r: (r / "vis").mkdir(), "rgb and vis.*pairs.yaml"),
    (lambda r: (r / "rgb").rename(r / "colours"), "visible or"),
    (settings("visible: ["), "pairs.yaml"),
    (settings("visible: rgb"), "pairs.yaml"),
    (settings("infrared: thermal\nvisibel: rgb"), "'visibel'.*'visible'"),
    (settings("infrared: thermal\nshares: [1]"), "pairs.yaml: shares"),
    (settings("infrared: warm"), "/warm "),
    (settings("infrared: pairs.yaml"), "pairs.yaml"),
    (settings("infrared: thermal\nboxes: nothing"), "/nothing "),
    (settings("infrared: thermal\nsplit_files: none.json"), "none.json"),
    (lists({"train": ["0", "9"]}), "split.json .*'9'"),
    (lists({"train": ["0", "0"]}), "split.json .*'0'"),
    (lists({"train": ["0"], "val": ["0.png"]}), "split.json .*'0.png'"),
    (lists({"train": [1]}), "split.json"),
    (lists([]), "split.json"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD)
def test_bad_input_ends_in_one_sentence_and_a_survey_lists_it(pairs, spoil, message):
    spoil(pairs)
    sentence = refused(message, lambda: list(load(pairs)))
    assert str(pairs) in sentence
    try:
        problems = [problem.sentence for problem in check("folder", pairs).problems]
    except UserError as error:
        problems = [str(error)]
    assert problems == [sentence]


def test_repair_may_be_asked_for_in_a_call_or_in_pairs_yaml(pairs):
    (pairs / "labels/2.txt").write_text("0 0 .5 .5 .5\n0 .5 .5 0 .5\n")  # x from -16 to 16
    by_call = load(pairs, repair=True)
    (pairs / "pairs.yaml").write_text("infrared: thermal\nboxes: labels\nrepair: true\n")
    for found in (by_call, load(pairs)):
        assert found[2].boxes.tolist() == [[0, 4, 8, 12]]
        assert len(found.repairs) == 2
    assert len(check("folder", pairs).repairs) == 2


def test_a_root_that_is_a_file_or_absent_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("folder", "llvip"):
        refused("/file ", data.load, name, root=tmp_path / "file")
    refused("/nowhere ", load, tmp_path / "nowhere")
    monkeypatch.setenv("FREQKD_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    refused("'llvip'", data.load, "llvip")


def test_a_picture_that_changes_after_loading_is_refused(pairs):
    found = load(pairs)
    picture(pairs / "thermal/0.png", 64, 64)
    refused("thermal/0.png", found.__getitem__, 0)


def test_another_aspect_is_cut_about_the_centre_and_boxes_are_counted(tmp_path):
    # 32x64 to a square: columns 16 to 48 stay. The first box loses its left half and its centre
    # is on the edge (kept), the second its right 4 columns, the third lies outside.
    for side in ("visible", "infrared"):
        picture(tmp_path / side / "0.png", hot=(24, 8, 40, 24))
    (tmp_path / "boxes").mkdir()
    edges = [(12, 8, 20, 24), (44, 8, 50, 24), (50, 0, 60, 32), (24, 8, 40, 24)]
    with (tmp_path / "boxes/0.txt").open("w") as file:
        for k, (a, b, c, d) in enumerate(edges):
            file.write(f"{k} {(a + c) / 128} {(b + d) / 64} {(c - a) / 64} {(d - b) / 32}\n")
    found = load(tmp_path, size=(16, 16), classes=list("abcd"))
    pair = found[0]
    assert pair.boxes.tolist() == [[0, 4, 2, 12], [14, 4, 16, 12], [4, 4, 12, 12]]
    assert pair.labels.tolist() == [0, 1, 3]
    rows, columns = torch.nonzero(pair.infrared[0] > 0.5, as_tuple=True)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (4, 4, 12, 12)
    assert re.findall(r" (\d)[ .]", found.repairs[0]) == ["1", "2", "4"]
    assert load(tmp_path, size=(32, 64), classes=list("abcd")).repairs == []


def test_the_fingerprint_is_of_content_and_not_of_place_or_time(pairs, tmp_path):
    (pairs / "rgb/0.png").unlink()
    picture(pairs / "rgb/0.bmp")
    first = load(pairs).fingerprint()
    other = pairs.with_name("elsewhere")
    pairs.rename(other)
    os.utime(other / "rgb/0.bmp", (0, 0))
    assert load(other).fingerprint() == first != load(other, size=(32, 64)).fingerprint()
    for spoil in (
        lambda: picture(other / "rgb/0.bmp", hot=(16, 8, 32, 24)),
        lambda: picture(other / "rgb/0.bmp", hot=(16, 8, 32, 25)),  # of the same length
        lambda: (other / "labels/0.txt").write_text("0 0.375 0.5 0.25 0.25\n"),
        lambda: (other / "labels/classes.txt").write_text("people\ncars\n"),
        lambda: (other / "labels/0.txt").write_text("1 0.375 0.5 0.25 0.25\n"),
    ):
        spoil()
        assert (later := load(other).fingerprint()) != first
        first = later


def test_16_bits_are_noted_beside_the_results(pairs):
    deep = np.arange(32 * 64, dtype=np.uint16).reshape(32, 64) + 29000
    for k in range(2):
        Image.fromarray(deep).save(pairs / f"thermal/{k}.png")
    assert "2 of 5 infrared" in load(pairs).note
    assert load(pairs)[0].infrared.mean() == pytest.approx(0.5, abs=0.01)


def test_a_published_val_stays_and_else_the_last_eighth_of_train_becomes_it():
    parts = {"train": ["train/0", "train/1"], "val": ["val/0"], "test": ["test/0"]}
    assert by_folder([Record(n, None, None) for n in sum(parts.values(), [])]) == parts
    # by the program sha256sum: "0:train/0" has the greatest sum of the eight, d1df...
    assert by_folder([Record(f"train/{k}", None, None) for k in range(8)])["val"] == ["train/0"]


def test_roadscene_is_split_by_seed_in_either_layout(tmp_path):
    layouts = [("a/roadscene/vi", "a/roadscene/ir"), ("b/crop_LR_visible", "b/cropinfrared")]
    for k, (visible, infrared) in product(range(10), layouts):
        picture(tmp_path / visible / f"FLIR_{k}.jpg", 20 + k, 40, hot=(0, 0, 40, 20 + k))
        picture(tmp_path / infrared / f"FLIR_{k}.jpg", 20 + k, 40)
    sets = {s: data.load("roadscene", s, SIZE, tmp_path / "a") for s in ("train", "val", "test")}
    assert [len(part) for part in sets.values()] == [6, 2, 2]
    published = data.load("roadscene", "val", SIZE, tmp_path / "b")
    assert sets["val"].names == published.names
    for found in (sets["val"][0], published[0]):
        assert found.visible.min() > 0.9 and found.infrared.max() < 0.1
    assert sets["val"].has == {"pairs", "splits"} and "seed 0" in sets["val"].note


def test_hituav_has_boxes_no_visible_and_leaves_out_dont_care(tmp_path):
    root = tmp_path / "hituav"
    categories = ["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"]
    (root / "annotations").mkdir(parents=True)
    for split, count in (("train", 16), ("test", 2)):
        for k in range(count):
            picture(root / f"{split}/{split}_{k}.jpg")
        images = [{"filename": f"{split}_{k}.jpg", "id": k} for k in range(count)]
        boxes = [{"image_id": 0, "category_id": c, "bbox": [8, 4, 16, 8]} for c in (1, 4)]
        named = [{"id": k, "name": name} for k, name in enumerate(categories)]
        content = {"images": images, "annotation": boxes, "categories": named}
        (root / f"annotations/{split}.json").write_text(json.dumps(content))
    sets = {s: data.load("hituav", s, SIZE, tmp_path) for s in ("train", "val", "test", "all")}
    assert [len(part) for part in sets.values()] == [14, 2, 2, 18]
    assert not set(sets["train"].names) & set(sets["val"].names)
    assert sets["all"].has == {"boxes", "splits"} and sets["all"].classes == tuple(categories[:4])
    pair = sets["test"][0]
    assert (pair.visible, pair.labels.tolist()) == (None, [1])
    assert pair.boxes.tolist() == [[4, 2, 12, 6]]
    (line,) = sets["test"].repairs
    assert "test.json, annotations.1" in line and "1 of DontCare" in line
    (root / "annotations/test.json").unlink()
    refused("test.json", data.load, "hituav", "train", SIZE, tmp_path)


def test_llvip_reads_the_published_layout(tmp_path):
    root = tmp_path / "LLVIP"
    (root / "Annotations").mkdir(parents=True)
    size = "<size><width>64</width><height>32</height><depth>3</depth></size>"
    for k in (*range(8), 100):
        for spectrum in ("visible", "infrared"):
            picture(root / f"{spectrum}/{'train' if k < 100 else 'test'}/{k:06d}.jpg")
        content = f"<annotation>{size}{thing(8, 4, 24, 12)}</annotation>"
        (root / f"Annotations/{k:06d}.xml").write_text(content)
    sets = {s: data.load("llvip", s, SIZE, tmp_path) for s in ("train", "val", "test")}
    assert [len(part) for part in sets.values()] == [7, 1, 1]
    pair = sets["test"][0]
    assert (pair.name, pair.labels.tolist()) == ("test/000100", [0])
    assert pair.boxes.tolist() == [[4, 2, 12, 6]] and sets["test"].classes == ("person",)
    assert "val is an eighth of train by seed 0" in sets["val"].note
