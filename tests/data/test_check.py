"""`freqkd data check`: known shifts, copies and faults are found; true pairs raise no alarm."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from freqkd_lite.data.alignment import CLEAR, Offset, offset
from freqkd_lite.data.check import check, dhash, doubts, near_copies, shared_shift
from freqkd_lite.data.images import read_image
from tests.real import real
from tests.refused import refused


def scene(seed, height=180, width=240):
    """Boxes of many sizes and shades on a ramp, as (H, W) in [0, 1]."""
    random = np.random.default_rng(seed)
    picture = np.linspace(0.2, 0.5, height)[:, None] * np.ones(width)
    for _ in range(30):
        y, x = random.integers(0, height - 10), random.integers(0, width - 10)
        h, w = random.integers(8, 60, 2)
        picture[y : y + h, x : x + w] = random.uniform()
    return ndimage.gaussian_filter(picture, 0.7)


def moved(picture, down, right):
    """The picture shifted by any fraction of a pixel, by its Fourier transform: the oracle."""
    fy, fx = np.fft.fftfreq(picture.shape[0])[:, None], np.fft.fftfreq(picture.shape[1])[None]
    turn = np.exp(-2j * np.pi * (fy * down + fx * right))
    return np.fft.ifft2(np.fft.fft2(picture) * turn).real


@pytest.mark.parametrize("moves", [(0, 0), (3, -5), (-7, 2), (0.5, 0.25), (-2.3, 4.7), (12, 9)])
def test_a_known_shift_is_recovered_below_a_pixel(moves):
    picture = scene(1)
    found = offset(picture, moved(picture, *moves))
    assert (found.down, found.right) == pytest.approx(moves, abs=0.1)
    assert found.clear and found.pixels == pytest.approx(np.hypot(*moves), abs=0.15)


def test_the_shift_does_not_care_which_side_of_an_edge_is_bright():
    picture = scene(2)
    # A rule that is not monotonic: bright and dark things may both be warm.
    thermal = np.where(picture > 0.5, 1.2 - picture, 0.3 + picture**2)
    for infrared in (1 - picture, thermal):
        found = offset(picture, moved(infrared, -4, 6.5))
        assert (found.down, found.right) == pytest.approx((-4, 6.5), abs=0.35) and found.clear


def test_unrelated_pictures_have_no_clear_peak():
    peaks = [offset(scene(k), scene(100 + k)).peak for k in range(20)]
    related = [offset(scene(k), moved(1 - scene(k), 2, 3)).peak for k in range(20)]
    assert np.median(peaks) < CLEAR - 1 and sum(peak >= CLEAR for peak in peaks) <= 1
    assert min(related) > CLEAR + 3
    assert not offset(np.zeros((100, 100)), scene(1, 100, 100)).clear  # flat
    assert offset(scene(1, 40, 200), scene(1, 40, 200)).peak == 0  # too small


def test_what_pairs_share_and_how_they_differ_are_two_numbers():
    """By hand. Right: 0, 3, -3, 0. Down: 0, 4, 4, -2, whose median is 2. From (0, 2) the four lie
    2, 13**.5, 13**.5 and 4 off, median 13**.5; a fifth pair is not clear."""
    unclear = Offset(50, 50, CLEAR - 1)
    offsets = [Offset(0, 0, 9), Offset(3, 4, 9), Offset(-3, 4, 9), Offset(0, -2, 9)]
    found = shared_shift([*offsets, unclear])
    assert (found.measured, found.clear, found.right, found.down) == (5, 4, 0, 2)
    assert found.spread == pytest.approx(13**0.5)
    assert (shared_shift([unclear]).measured, shared_shift([unclear]).clear) == (1, 0)


def test_dhash_by_hand():
    """Nine columns of grey, each darker than its right neighbour but for one step down."""
    shades = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.35, 0.5, 0.6, 0.7, 0.8])
    image = shades.repeat_interleave(4).expand(3, 16, 36)  # 2 rows and 4 columns to a mean
    assert dhash(image) == int("11101111" * 8, 2)
    assert dhash(1 - image) == int("00010000" * 8, 2)
    assert dhash(image.repeat_interleave(3, -1)) == dhash(image)


def test_near_copies_are_found_across_splits_only_and_in_every_spectrum():
    far = (1 << 20) - 1  # 20 bits
    hashes = {"a": (0, 0), "b": (0b111111, 0), "c": (0b1111111, 0), "d": (0, far), "e": (0, 1)}
    # "e" is in both splits, and no near copy of itself
    splits = {"train": ["a", "e"], "test": ["b", "c", "d", "e"], "all": list("abcde")}
    found = near_copies(hashes, splits)
    assert [(n.bits, n.first + n.second) for n in found] == [(1, "ae"), (6, "ab"), (6, "eb")]
    assert found[0].splits == ("train", "test")


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8)).save(path)


@pytest.fixture
def pairs(tmp_path):
    """Six pairs of 240x180, infrared inverted and 2 px right, 1 px up; a box in each but one."""
    for k in range(6):
        picture = scene(k)
        save(tmp_path / "rgb" / f"n{k}.png", np.stack([picture] * 3, -1))
        save(tmp_path / "thermal" / f"n{k}.png", moved(1 - picture, -1, 2))
        (tmp_path / "labels").mkdir(exist_ok=True)
        # x 12..36 of 240, y 18..54 of 180
        text = "" if k == 5 else f"{k % 2} 0.1 0.2 0.1 0.2\n"
        (tmp_path / "labels" / f"n{k}.txt").write_text(text)
    (tmp_path / "labels" / "classes.txt").write_text("person\ncar\n")
    lists = {"train": ["n0", "n1", "n2"], "test": ["n3", "n4", "n5"]}
    (tmp_path / "split.json").write_text(json.dumps(lists))
    return tmp_path


def test_a_good_set_has_its_numbers_and_no_problems(pairs):
    report = check("folder", pairs)
    assert report.total == 6 and report.problems == report.identical == report.near == []
    assert report.sizes == {(180, 240): 6} and report.empty == 1
    assert report.classes == {"person": 3, "car": 2} and report.labels == ("person", "car")
    shift = shared_shift(report.offsets.values())
    assert shift.clear == 6 and (shift.right, shift.down) == pytest.approx((2, -1), abs=0.1)
    assert shift.spread < 0.1 and not any(report.doubtful.values())


CARE = "usable with care"
CASES = [(0, 0, 0, "usable"), (1, 0, 0, "usable"), (1, 1, 0, CARE), (0, 0, 1, CARE)]
CASES += [(3, 2, 0, CARE), (3, 3, 0, "not usable")]  # 90 % and 50 % are the limits


@pytest.mark.parametrize(("unclear", "far", "copies", "verdict"), CASES)
def test_the_verdict_is_the_share_aligned_to_half_a_token(pairs, unclear, far, copies, verdict):
    """Half a token is 7 of 336 pixels: 5.0 of 240."""
    report = check("folder", pairs)
    shifts = [0] * unclear + [5.1] * far + [4.9] * (10 - unclear - far)
    off = [Offset(0, down, CLEAR - (k < unclear) * (1 + k)) for k, down in enumerate(shifts)]
    report.offsets = {f"p{k}": each for k, each in enumerate(off)}
    report.inspected = dict.fromkeys(report.offsets, report.inspected["n0"])
    report.identical = [(pairs, pairs)] * copies
    assert report.verdict == verdict and report.fit == 1 - (unclear + far) / 10
    worst = [*reversed(range(unclear)), *range(unclear, 10)]
    assert report.worst(5) == [f"p{k}" for k in worst[:5]]


def test_pairs_too_small_to_be_measured_are_used_with_care(pairs):
    for file in (*pairs.glob("rgb/*"), *pairs.glob("thermal/*")):
        Image.open(file).resize((80, 60)).save(file)
    report = check("folder", pairs)
    assert report.fit is None and report.verdict == "usable with care" and report.worst() == []


def test_copies_and_near_copies_are_found_but_are_no_problem(pairs):
    for folder in ("rgb", "thermal"):
        body = (pairs / folder / "n0.png").read_bytes()
        (pairs / folder / "n1.png").write_bytes(body)  # an exact copy within train
        brighter = np.asarray(Image.open(pairs / folder / "n2.png")) * 0.9 / 255
        save(pairs / folder / "n4.png", brighter)  # a near copy in test
    report = check("folder", pairs)
    copies = {(one.name, two.name, one.parent.name) for one, two in report.identical}
    assert copies == {("n0.png", "n1.png", "rgb"), ("n0.png", "n1.png", "thermal")}
    assert [(n.first, n.second) for n in report.near] == [("n2", "n4")] and not report.problems


def test_infrared_that_is_no_temperature_is_found(pairs):
    rainbow = np.stack([scene(1), 1 - scene(1), np.roll(scene(1), 40, 1)], -1)
    save(pairs / "thermal" / "n1.png", rainbow)
    kelvin = 290 + scene(2).astype(np.float32)
    kelvin[:, :30] = -9999  # missing: the percentiles then leave nothing of the scene
    (pairs / "thermal" / "n2.png").unlink()
    Image.fromarray(kelvin).save(pairs / "thermal" / "n2.tif")
    save(pairs / "thermal" / "n3.png", scene(3) * 0 + 0.5)  # not stretched: there to be seen
    camera = pairs / "thermal" / "n4.jpg"
    Image.open(camera.with_suffix(".png")).save(camera, quality=95)
    camera.with_suffix(".png").unlink()
    body = camera.read_bytes()
    camera.write_bytes(body[:2] + b"\xff\xe1\0\x0aFLIR\0\1\0\1" + body[2:])
    found = check("folder", pairs).doubtful.values()
    assert [[path.name for path in each] for each in found] == [["n1.png"], ["n2.tif"], ["n4.jpg"]]


@pytest.mark.parametrize("value", [None, 0, 65535, 27315 - 23415])
@pytest.mark.parametrize("columns", [2, 30, 200])
def test_a_value_for_missing_data_is_seen_in_any_share_of_the_picture(tmp_path, value, columns):
    raw = (28000 + 3000 * scene(2)).astype(np.uint16)
    if value is not None:
        raw[:, :columns] = value
        if columns == 30:  # as resampling leaves its edge
            raw[:, 30] = raw[:, 30] * 0.5 + value * 0.5
    Image.fromarray(raw).save(file := tmp_path / "a.png")
    found = doubts(file, read_image(file, "visible"), deep=True)
    assert found == ["with hardly any contrast"] * (value is not None)


def test_every_fault_is_listed_by_kind_and_what_is_sound_is_looked_at(pairs):
    (pairs / "rgb" / "n1.png").write_bytes((pairs / "rgb" / "n1.png").read_bytes()[:900])
    (pairs / "thermal" / "n2.png").write_text("no picture")
    save(pairs / "thermal" / "n3.png", scene(3, 90, 120))
    (pairs / "labels" / "n4.txt").write_text("0 2 2 .1 .1\n0 .5 .5 0 0\n0 .5 .5 .5 .5\n")
    (pairs / "thermal" / "n5.png").unlink()
    report = check("folder", pairs)
    assert sorted((p.kind, p.file.name) for p in report.problems) == [
        ("absent image", "n5.txt"),
        ("absent image", "split.json"),
        ("box outside", "n4.txt"),
        ("box without area", "n4.txt"),
        ("different sizes", "n3.png"),
        ("missing counterpart", "n5.png"),
        ("unreadable", "n1.png"),
        ("unreadable", "n2.png"),
    ]
    assert sorted(report.offsets) == ["n0", "n4"] and "n5" not in report.inspected
    assert report.inspected["n4"].boxes.tolist() == [[60, 45, 180, 135]]
    refused("'scenes'", check, "scenes")


def test_only_what_was_asked_for_is_looked_at(pairs):
    assert check("folder", pairs, split="test").sizes.total() == 3
    report = check("folder", pairs, limit=2)
    assert (report.total, report.names, report.sizes.total()) == (6, ["n0", "n1"], 2)
    for wrong, token in ((dict(split="tset"), "'test'"), (dict(limit=-1), "limit=-1")):
        refused(token, check, "folder", pairs, **wrong)


# pictures, and boxes of each class; HIT-UAV has 34 of DontCare, too: 5167 in all
REAL = {"msrs361": (361, [1174, 242, 379]), "hituav": (600, [2682, 1508, 914, 29])}


@pytest.mark.parametrize("folder", [*REAL, "roadscene"])
def test_real_sets_are_ready_and_as_they_are_known(folder):
    report = check(folder.removesuffix("361"), real(folder), limit=12)
    labels = [seen.labels for seen in report.inspected.values() if seen.labels is not None]
    boxes = torch.cat(labels).bincount().tolist() if labels else []
    assert (report.total, boxes) == REAL.get(folder, (221, []))
    assert report.problems == [] and not any(report.doubtful.values())
    if folder != "hituav":  # which is infrared alone
        shift = shared_shift(report.offsets.values())
        assert shift.clear >= 10 and np.hypot(shift.right, shift.down) < 4
