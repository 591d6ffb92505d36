"""MFNet in its published layout, drawn here: four channels, ids, lists, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite import data
from freqkd_lite.data.check import check
from tests.refused import refused

SIZE = (48, 64)
NAMES = ["00001D", "00002N", "00003D", "00004N", "00005D"]


def draw(seed, *shape, high=256):
    return np.random.default_rng(seed).integers(0, high, shape, dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "ir_seg_dataset"
    for folder in ("images", "labels"):
        (home / folder).mkdir(parents=True)
    for k, name in enumerate([*NAMES, "00001D_flip"]):
        Image.fromarray(draw(k, *SIZE, 4), "RGBA").save(home / "images" / f"{name}.png")
        Image.fromarray(draw(k, *SIZE, high=9)).save(home / "labels" / f"{name}.png")
    lists = {"train": [*NAMES[:2], "00001D_flip"], "val": NAMES[2:3], "test": NAMES[3:]}
    for split, names in (lists | {"test_night": NAMES[3:4]}).items():
        (home / f"{split}.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def test_channels_ids_and_lists_come_as_they_were_written(root):
    sets = {s: data.load("mfnet", s, SIZE, root) for s in ("train", "val", "test", "test_night")}
    assert [s.names for s in sets.values()] == [NAMES[:2], NAMES[2:3], NAMES[3:], NAMES[3:4]]
    assert sets["train"].has == {"pairs", "masks", "splits"}
    assert len(sets["train"].mask_classes) == 9 and sets["train"].classes == ()
    pair = sets["train"][1]
    four = torch.from_numpy(draw(1, *SIZE, 4)).permute(2, 0, 1) / 255
    for found, expected in ((pair.visible, four[:3]), (pair.infrared, four[3:].repeat(3, 1, 1))):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(pair.mask, torch.from_numpy(draw(1, *SIZE, high=9).astype(np.int64)))
    assert [p.time_of_day for p in sets["test"]] == ["night", "day"]
    small = data.load("mfnet", "train", (24, 32), root)[0]
    assert small.mask.shape == (24, 32) and small.mask.max() <= 8
    assert not (seen := check("mfnet", root)).problems and not seen.doubtful["in false colour"]
    before = sets["train"].fingerprint()
    write(*SIZE)(root / "ir_seg_dataset/labels/00002N.png")  # a label decides, too, what the set is
    assert data.load("mfnet", "train", SIZE, root).fingerprint() != before


def palette(path):
    Image.open(path).convert("RGB").convert("P").save(path)


def write(*shape, high=9):
    return lambda path: Image.fromarray(draw(0, *shape, high=high)).save(path)


def listed(name):
    return lambda path: path.write_text(f"{NAMES[2]}\n{name}")


@pytest.mark.parametrize(
    ("file", "spoil", "words"),
    [
        ("labels/00003D.png", palette, "palette"),
        ("labels/00003D.png", write(*SIZE, 3), "is RGB"),
        ("labels/00003D.png", write(24, 64), "24x64 labels for 48x64"),
        ("labels/00003D.png", write(*SIZE, high=10), "the id 9, and the classes are 0 to 8"),
        ("labels/00003D.png", lambda path: path.unlink(), "labels/00003D.png is missing"),
        ("images/00003D.png", write(*SIZE, 3), "RGB and not RGB with infrared"),
        ("val.txt", listed("00009D"), "no such picture"),
        ("val.txt", listed("00004N"), "val.txt"),
    ],
)
def test_what_cannot_be_used_is_answered_in_a_sentence(root, file, spoil, words):
    spoil(root / "ir_seg_dataset" / file)
    refused(words, lambda: data.load("mfnet", "val", SIZE, root)[0])
