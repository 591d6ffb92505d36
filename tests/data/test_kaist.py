"""KAIST in its published layout, drawn here, and nine of its own pairs."""

import json

import pytest
from PIL import Image

from freqkd_lite import data
from tests.real import real
from tests.refused import refused

SIZE = (126, 154)
OBJECT = "<object><name>{}</name><bndbox><x>{}</x><y>9</y><w>20</w><h>60</h></bndbox></object>"
NAMES = [f"set{s:02}/V000/I{n:05}" for s in range(12) for n in (1, 3)]


@pytest.fixture
def root(tmp_path):
    """Two frames of each of the twelve sets, and one that no list names and that has no picture."""
    home = tmp_path / "kaist-cvpr15"
    (home / "imageSets").mkdir(parents=True)
    (home / "imageSets" / "train-all-02.txt").write_text("\n".join(NAMES[:12]) + "\n")
    (home / "imageSets" / "sanitised.txt").write_text("\n".join(NAMES[2:12]))
    (home / "imageSets" / "test-all-20.txt").write_text("\n".join(NAMES[12:]))
    for number, name in enumerate([*NAMES, "set00/V000/I00099"]):
        for kind in ("visible", "lwir"):
            file = home / "images" / name.replace("/I", f"/{kind}/I")
            file.parent.mkdir(parents=True, exist_ok=True)
            if "99" not in name:
                Image.new("RGB", (640, 512), (number, 9, 9)).save(file.with_suffix(".jpg"))
        file = home / "annotations-xml-new-sanitized" / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        things = [OBJECT.format("person", 100 + number)]
        things += [OBJECT.format(kind, 300) for kind in ("people", "person?", "cyclist")]
        size = "<size><width>640</width><height>512</height></size>"
        file.write_text(f"<annotation>{size}{''.join(things)}</annotation>")
    return tmp_path


def test_the_published_layout_by_its_lists(root):
    sets = {s: data.load("kaist", s, (512, 640), root) for s in ("train", "val", "test")}
    assert [len(s) for s in sets.values()] == [10, 2, 12] and sets["test"].names == NAMES[12:]
    assert sorted(sets["train"].names + sets["val"].names) == NAMES[:12]
    nights = [pair.name[:5] for s in sets.values() for pair in s if pair.time_of_day == "night"]
    assert sorted(nights) == sorted(2 * [f"set{k:02}" for k in (3, 4, 5, 9, 10, 11)])
    pair = sets["test"][3]
    assert pair.boxes.tolist() == [[115, 9, 135, 69]] and pair.labels.tolist() == [0]
    assert sum("people" in line or "person?" in line for line in sets["test"].repairs) == 24
    own = data.load("kaist", "train", SIZE, root, train="sanitised")
    assert not {*own.names} & {*NAMES[:2]}


def test_what_is_refused(root):
    home = root / "kaist-cvpr15"
    wrong = {"none.txt": {"train": "none"}, "I00001.xml is missing": {"annotations": "xml"}}
    for names, options in (wrong | {"'lists'": {"lists": "x"}}).items():
        refused(names, data.load, "kaist", "train", SIZE, root, **options)
    (home / "images" / "set00/V000/lwir/I00001.jpg").unlink()
    (home / "imageSets" / "sanitised.txt").write_text("set00/V000/I00001\nimages/I00003.jpg")
    refused("I00003.jpg'", data.load, "kaist", "train", SIZE, root, train="sanitised")
    refused("lwir/I00001.jpg is missing", data.load, "kaist", "all", SIZE, root)


def test_nine_real_pairs():
    home = real("kaist_demo9")
    found = data.load("kaist", "test", (512, 640), home)
    told = json.loads((home / "annotation.json").read_text())
    ids = {entry["im_name"]: entry["id"] for entry in told["images"]}
    assert len(found) == 9 and {*found.names} == {*ids}
    for name, pair in zip(found.names, found, strict=True):
        assert pair.time_of_day == ("day" if ids[name] < 1455 else "night")
        own = [e for e in told["annotations"] if e["image_id"] == ids[name] and not e["ignore"]]
        assert len(pair.boxes) == len(own) and pair.visible.shape == (3, 512, 640)
