"""Boxes of three formats: random ones survive a round trip, broken ones are named."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings, strategies as st

from freqkd_lite.data.annotations import open_boxes
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.matching import Names
from freqkd_lite.errors import UserError
from tests.refused import refused

CLASSES = ("person", "other vehicle", "<&> é")
SIZE = (480, 640)  # height, width
WHOLE = 1 << 10  # boxes of whole 1/1024 pixels: exact in every format


def write_coco(folder, boxes, spelling=("annotations", "file_name")):
    """The three writers are the tests' own: what the formats say, and nothing of the package."""
    content = {
        "images": [{"id": 5, spelling[1]: "a.jpg", "height": SIZE[0], "width": SIZE[1]}],
        spelling[0]: [
            {"image_id": 5, "category_id": 10 - label, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for label, (x0, y0, x1, y1) in boxes
        ],
        # ids count down, so that their order is not that of the list
        "categories": [{"id": 10 - k, "name": name} for k, name in enumerate(CLASSES)],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return folder / "boxes.json"


def write_hituav(folder, boxes):
    return write_coco(folder, boxes, ("annotation", "filename"))


def write_yolo(folder, boxes):
    lines = [
        f"{label} {(x0 + x1) / 2 / SIZE[1]!r} {(y0 + y1) / 2 / SIZE[0]!r} "
        f"{(x1 - x0) / SIZE[1]!r} {(y1 - y0) / SIZE[0]!r}\n"
        for label, (x0, y0, x1, y1) in boxes
    ]
    (folder / "a.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return folder


def thing(*edges, name="person"):
    names = ("xmin", "ymin", "xmax", "ymax")
    inside = "".join(f"<{k}>{v}</{k}>" for k, v in zip(names, edges, strict=False))
    return f"<object><name>{name}</name><bndbox>{inside}</bndbox></object>"


def write_voc(folder, boxes):
    size = f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>"
    things = [thing(*map(repr, box), name=escape(CLASSES[label])) for label, box in boxes]
    text = f"<annotation>{size}{''.join(things)}</annotation>"
    (folder / "a.xml").write_text(text, encoding="utf-8")
    return folder


WRITERS = [write_coco, write_hituav, write_yolo, write_voc]


def read(path, classes=CLASSES, size=SIZE, **options):
    ledger = Ledger(**options)
    found = open_boxes(path, Names(["a"]), classes, ledger)
    if found is None:
        return [], ledger
    boxes, labels = found.boxes("a", size, ledger)
    return [(k, tuple(box)) for k, box in zip(labels.tolist(), boxes.tolist(), strict=True)], ledger


def file_of(path):
    """The file that holds the boxes, of what a writer gave."""
    return path if path.is_file() else next(f for f in path.iterdir() if f.stem == "a")


def sides(length):
    edges = st.integers(0, length * WHOLE)
    return st.tuples(edges, edges).filter(lambda p: abs(p[0] - p[1]) > WHOLE / 8).map(sorted)


BOXES = st.lists(
    st.tuples(st.integers(0, 2), sides(SIZE[1]), sides(SIZE[0])).map(
        lambda b: (b[0], tuple(v / WHOLE for v in (b[1][0], b[2][0], b[1][1], b[2][1])))
    ),
    max_size=5,
)


@pytest.mark.parametrize("write", WRITERS)
@settings(deadline=None, max_examples=50)
@given(boxes=BOXES, ending=st.sampled_from([str.lower, str.upper]))
def test_random_boxes_survive_the_round_trip(write, tmp_path_factory, boxes, ending):
    path = write(tmp_path_factory.mktemp("b"), boxes)
    file = file_of(path)
    renamed = file.rename(file.with_suffix(ending(file.suffix)))
    found, ledger = read(renamed if path == file else path)
    assert [label for label, _ in found] == [label for label, _ in boxes]
    for (_, got), (_, want) in zip(found, boxes, strict=True):
        assert got == pytest.approx(want, abs=1e-3)
    assert ledger.repairs == []


@pytest.mark.parametrize("write", WRITERS)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_random_damage_ends_in_a_sentence_and_never_in_another_exception(
    write, tmp_path_factory, data
):
    folder = tmp_path_factory.mktemp("b")
    path = write(folder, [(1, (10.0, 20.0, 30.0, 50.0)), (0, (0.0, 0.0, 640.0, 480.0))])
    file = file_of(path)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 12)))
        junk = st.sampled_from([b"", b"-", b"9", b"1e999", b"nan", b'"', b"null", b"[", b"<", b"0"])
        content[start:end] = data.draw(junk | st.binary(max_size=6))
    file.write_bytes(content)
    outcomes = []
    for options in ({}, {"repair": True}, {"collect": True}):
        try:
            found, ledger = read(path, **options)
        except UserError as error:
            assert file.name in str(error) and str(error).rstrip(")").endswith((".", ")"))
            outcomes.append("refused")
            continue
        for label, (x0, y0, x1, y1) in found:
            assert label in range(3) and 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 480
        outcomes.append("problems" if ledger.problems else "read")
    # a check sees a fault exactly where strict reading refuses
    assert (outcomes[0] == "refused") == (outcomes[2] != "read")


def coco(**changes):
    def write(folder):
        path = write_coco(folder, [(0, (1.0, 2.0, 3.0, 4.0))])
        content = json.loads(path.read_text())
        for key, change in changes.items():
            content[key] = change(content[key])
        path.write_text(json.dumps(content))
        return path

    return write


def text(name, content):
    def write(folder):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path if path.suffix == ".json" else folder

    return write


def voc(inside):
    return text("a.xml", f"<annotation>{inside}</annotation>")


def first(**change):
    return lambda entries: [{**entries[0], **change}, *entries[1:]]


BAD, CLASS, AREA, OUT = "annotation", "unknown class", "box without area", "box outside"
ABSENT, SIZES, TWICE = "absent image", "different sizes", "listed twice"
FAULTS = [  # how it is written, kind of fault, place, boxes left after a repair
    (text("a.txt", "0 .5 .5 .5"), BAD, "a.txt, line 1:", None),
    (text("a.txt", "0 .5 .5 .5 .5 .9"), BAD, "a.txt, line 1:", None),
    (text("a.txt", "\n0 .5 .5 x .5"), BAD, "a.txt, line 2:", None),
    (text("a.txt", "0 .5 .5 nan .5"), BAD, "a.txt, line 1:", None),
    (text("a.txt", b"\xff\xfe"), BAD, "a.txt", None),
    (text("a.txt", "3 .5 .5 .5 .5"), CLASS, "a.txt, line 1:", 0),
    (text("a.txt", "0 .5 .5 0 .5"), AREA, "a.txt, line 1:", 0),
    (text("a.txt", "0 .5 .5 -.1 .5"), AREA, "a.txt, line 1:", 0),
    (text("a.txt", "0 0 .5 .2 .5"), OUT, "line 1: the box -64 120 64 360 ", 1),
    (text("a.txt", "0 2 .5 .2 .5"), OUT, "a.txt, line 1:", 0),
    (lambda f: text("b.txt", "")(f) and text("a.txt", "")(f), ABSENT, "b.txt", 0),
    (text("a.xml", "<annotation>"), BAD, "a.xml", None),
    (text("a.xml", "<html/>"), BAD, "a.xml", None),
    (voc(thing(1, 2, 3, "four")), BAD, "a.xml, object 1:", None),
    (voc(thing(1, 2, 3, 4, name="cat")), CLASS, "a.xml, object 1:", 0),
    (voc(thing(5, 2, 3, 4)), AREA, "a.xml, object 1:", 0),
    (voc(thing(1, 2, 641, 4)), OUT, "a.xml, object 1: the box 1 2 641 4 ", 1),
    (voc("<size><width>1</width><height>2</height></size>"), SIZES, "a.xml: .* 2x1 ", None),
    (voc(f"<size><width>64</width></size>{thing(1, 2, 641, 4)}"), SIZES, r" \?x64 ", None),
    (text("b.json", "{"), BAD, "b.json", None),
    (text("b.json", "[1]"), BAD, "b.json", None),
    (coco(images=lambda v: None), BAD, "boxes.json: images=", None),
    (coco(images=lambda v: v * 2), TWICE, "images.1:", None),
    (coco(images=lambda v: [*v, {**v[0], "id": 7}]), TWICE, "images.1:", None),
    (coco(images=first(height=9), annotations=first(bbox=[1, 2, 900, 3])), SIZES, " 9x640 ", None),
    (coco(images=first(width=9, height=None)), SIZES, r"image 'a': .* \?x9 ", None),
    (coco(categories=lambda v: [*v, {**v[0], "name": "z"}]), TWICE, "categories.3: .* 10 ", None),
    (coco(images=lambda v: [*v, {"id": 7, "file_name": "z/none.png"}]), ABSENT, "images.1:", 1),
    (coco(annotations=first(bbox=[1, 2, 3])), BAD, "annotations.0.bbox.3", None),
    (coco(annotations=first(bbox=[1, 2, 3, 10**400])), BAD, "annotations.0.bbox.3=", None),
    (coco(annotations=first(image_id=6)), ABSENT, "annotations.0:", 0),
    (coco(annotations=lambda v: [v[0] | {"image_id": 6}] * 3), ABSENT, "annotations.0:", 0),
    (coco(annotations=first(category_id=6)), CLASS, "annotations.0:", 0),
    (coco(annotations=first(bbox=[1, 2, 0, 3])), AREA, "annotations.0: the box 1 2 1 5", 0),
    (coco(annotations=first(bbox=[-9, 2, 20, 3])), OUT, "annotations.0: the box -9 2 11 5", 1),
    (coco(annotations=first(bbox=[3, 2, 1e-9, 3])), OUT, "annotations.0: the box .*", 0),
]


@pytest.mark.parametrize(("write", "kind", "place", "left"), FAULTS)
def test_a_fault_is_named_and_repaired_only_on_demand(tmp_path, write, kind, place, left):
    path = write(tmp_path)
    sentence = refused(place, read, path)
    assert str(tmp_path) in sentence
    _, ledger = read(path, collect=True)
    assert [(p.kind, p.sentence) for p in ledger.problems] == [(kind, sentence)]
    if path.suffix == ".json":  # with the file's own classes too, a fault counts once
        assert len(read(path, classes=None, collect=True)[1].problems) == 1
    if left is None:
        refused("", read, path, repair=True)
    else:
        found, ledger = read(path, repair=True)
        assert len(found) == left and ledger.repairs


def test_a_repair_cuts_the_box_and_a_rounding_error_is_no_fault(tmp_path):
    # x 0.05 of 640 = 32, half of 0.2 of 640 = 64: from -32 to 96
    (tmp_path / "a.txt").write_text("1 0.05 0.5 0.2 1.0\n")
    found, ledger = read(tmp_path, repair=True)
    assert found == [(1, (0.0, 0.0, pytest.approx(96.0), 480.0))]
    assert ledger.repairs[0].endswith("cut at the edge")
    (tmp_path / "a.txt").write_text("1 0.0995 0.5 0.2 1.0\n")  # sticks out by 0.32 px
    found, ledger = read(tmp_path)
    assert found[0][1][0] == 0 and not ledger.repairs


def test_a_picture_without_annotation_is_refused_or_read_as_empty(tmp_path):
    (tmp_path / "classes.txt").write_text("person")
    ledger = Ledger()
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("")
    found = open_boxes(tmp_path, Names(["a", "b", "c"]), None, ledger)
    assert found.classes == ("person",) and len(found.boxes("a", SIZE, ledger)[1]) == 0
    refused("c.txt .*repair=True", found.boxes, "c", SIZE, ledger)
    ledger.repair = True
    assert len(found.boxes("c", SIZE, ledger)[1]) == 0
    assert len(ledger.repairs) == 1 and str(tmp_path / "c.txt") in ledger.repairs[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, ".json, .xml or .txt"),
        ({"a.txt": "", "a.xml": ""}, ".xml and .txt"),
        ({"a.txt": ""}, "classes=.*classes.txt"),
        ({"a.txt": "", "classes.txt": "a\nb\na"}, " a, b, a:"),
        ({"a.txt": "", "a_ir.txt": "", "classes.txt": "a"}, "'a'"),
    ],
)
def test_a_folder_that_is_not_clear_is_refused(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    refused(message, read, tmp_path, classes=None)
    refused("nowhere", read, Path(tmp_path / "nowhere"))


def test_crowds_are_no_objects_left_out_and_counted(tmp_path):
    crowds = coco(annotations=lambda v: [v[0], v[0] | {"iscrowd": 1}] * 2)
    found, ledger = read(crowds(tmp_path))
    assert found == [(0, (1.0, 2.0, 3.0, 4.0))] * 2
    assert len(ledger.repairs) == 1 and "annotations.1: 2 crowds" in ledger.repairs[0]


@pytest.mark.parametrize("unknown", ["0", "None"])
def test_a_voc_size_that_is_not_known_is_taken_for_the_pictures_own(tmp_path, unknown):
    file = write_voc(tmp_path, [(0, (1.0, 2.0, 3.0, 4.0))]) / "a.xml"
    file.write_text(file.read_text().replace("640</w", "640.0</w"))
    assert read(tmp_path)[0] and not read(tmp_path)[1].repairs
    file.write_text(file.read_text().replace("640.0</w", f"{unknown}</w"))
    refused(f"a.xml: .* 480x{unknown} ", read, tmp_path)  # of one side alone it is a fault
    file.write_text(file.read_text().replace("480</h", f"{unknown}</h"))
    found, ledger = read(tmp_path)
    assert found == [(0, (1.0, 2.0, 3.0, 4.0))]
    assert len(ledger.repairs) == 1 and str(file) in ledger.repairs[0]


def test_coco_classes_come_in_the_order_of_their_ids_unless_given(tmp_path):
    path = write_coco(tmp_path, [(0, (1.0, 2.0, 3.0, 4.0))])
    assert read(path, classes=None)[0][0][0] == 2  # ids 8, 9, 10: the reverse of CLASSES
    assert open_boxes(path, Names(["a"]), None, Ledger()).classes == CLASSES[::-1]


@pytest.mark.parametrize(
    ("categories", "boxes_of", "classes", "told"),
    [
        # Roboflow's root: no boxes, and named by the others; COCO's person is its own supercategory
        (["things none", "car things", "person person"], [1], "car person", "'things'"),
        (["things none", "car things"], [0, 1], "things car", None),
        (["car none", "van none"], [0], "car van", None),  # a class may lack boxes
        (["car x", "van x", "car y"], [0, 2], "car van", "0 are both called 'car'"),
        (["caf\u00e9 x", "van x", "cafe\u0301 y"], [0], "caf\u00e9 van", "0 are both called"),
    ],
)
def test_a_root_category_is_no_class_and_two_of_one_name_are_one(
    tmp_path, categories, boxes_of, classes, told
):
    keys = ("id", "name", "supercategory")
    named = [dict(zip(keys, (k, *line.split()), strict=True)) for k, line in enumerate(categories)]
    things = [{"image_id": 5, "category_id": k, "bbox": [1, 2, 3, 4]} for k in boxes_of]
    path = coco(categories=lambda v: named, annotations=lambda v: things)(tmp_path)
    ledger = Ledger()
    found = open_boxes(path, Names(["a"]), None, ledger)
    assert " ".join(found.classes) == classes
    assert [told in line for line in ledger.repairs] == ([True] if told else [])
    _, labels = found.boxes("a", SIZE, ledger)
    assert [found.classes[k] for k in labels] == [categories[k].split()[0] for k in boxes_of]
