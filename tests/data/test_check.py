"""`freqkd data check`: known shifts, copies and faults are found; true pairs raise no alarm."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from freqkd_lite.cli.app import app
from freqkd_lite.data import check as checks
from freqkd_lite.data.alignment import BEYOND, CLEAR, Offset, offset
from freqkd_lite.data.check import (
    Report,
    as_text,
    check,
    colour_name,
    dhash,
    near_copies,
    write_page,
)
from freqkd_lite.data.images import read_image
from freqkd_lite.errors import UserError
from freqkd_lite.runner.pages import problems


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


@pytest.mark.parametrize(
    "down, right", [(0, 0), (3, -5), (-7, 2), (0.5, 0.25), (-2.3, 4.7), (12, 9)]
)
def test_a_known_shift_is_recovered_below_a_pixel(down, right):
    picture = scene(1)
    found = offset(picture, moved(picture, down, right))
    assert (found.down, found.right) == pytest.approx((down, right), abs=0.1)
    assert found.clear and found.pixels == pytest.approx(np.hypot(down, right), abs=0.15)


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


def test_flat_and_tiny_pictures_have_no_shift():
    assert not offset(np.zeros((100, 100)), scene(1, 100, 100)).clear
    assert offset(scene(1, 40, 200), scene(1, 40, 200)).peak == 0


def test_the_two_halves_tell_how_far_noise_moves_a_shift():
    """Pairs without any shift whose edges agree in part: what is found is error alone, and its
    median length is what the halves say. Clean pairs have next to none."""
    random, off = np.random.default_rng(0), []
    for k in range(20):
        rain = 0.75 * ndimage.gaussian_filter(random.normal(size=(180, 240)), 1.5)
        off.append(offset(scene(k), 1 - scene(k) + rain + 0.8 * scene(500 + k)))
    off = [o for o in off if o.clear]
    assert len(off) > 12
    error, noise = (np.median([getattr(o, k) for o in off]) for k in ("pixels", "noise"))
    assert error > 0.2 and error / 2 < noise < 2 * error
    clean = [offset(scene(k), moved(1 - scene(k), 3, -2)).noise for k in range(10)]
    assert max(clean) < 0.15


@pytest.mark.parametrize("folder", ["msrs361", "roadscene"])
def test_a_known_shift_of_real_infrared_moves_the_estimate_by_itself(folder):
    """Another library's splines shift it; both pictures lose the rim that comes from outside."""
    root = Path(os.environ.get("FREQKD_DATA", "")) / folder
    if not root.is_dir():
        pytest.skip(f"FREQKD_DATA holds no {folder}")
    errors, inside = [], np.s_[12:-12, 12:-12]
    for name in [path.stem for path in sorted((root / "vi").iterdir())[::60]]:
        visible, infrared = (read_image(next((root / part).glob(f"{name}.*")), kind)[:, :, :400]
                             .mean(0).numpy() for part, kind in (("vi", "visible"),
                                                                 ("ir", "infrared")))  # fmt: skip
        before = offset(visible[inside], infrared[inside])
        for down, right in ((0, 3), (-5.7, 6.3), (0.5, 0.25)):
            turned = ndimage.shift(infrared, (down, right), order=5, mode="mirror")
            after = offset(visible[inside], turned[inside])
            if before.clear and after.clear:
                errors += [after.down - before.down - down, after.right - before.right - right]
    assert len(errors) >= 18
    assert np.median(np.abs(errors)) < 0.1 and np.abs(errors).max() < 0.7


def test_what_pairs_share_is_told_apart_from_how_they_differ_and_from_noise():
    """By hand: lengths 0, 5, 5, 2 and a pair that is not clear. The median shift is (0, 1)."""
    report = Report("folder", "x", 5, 5, True, {"all": 5}, "", [], [])
    report.offsets = [
        Offset(0, 0, 9, 0.5), Offset(3, 4, 9, 1.5), Offset(-3, 4, 9, 1.0), Offset(0, -2, 9, 1.0),
        Offset(50, 50, CLEAR - 1, 30),
    ]  # fmt: skip
    # Right: 0, 3, -3, 0. Down: 0, 4, 4, -2, whose median is 2. From (0, 2) the four lie 2, 13**.5,
    # 13**.5 and 4 off, median 3.6; 2.08 times the noise of 1.0 is passed by the two of length 5.
    assert abs(BEYOND - 2.079) < 1e-3
    assert report.misaligned == [
        ("misaligned", "2.0 px: the infrared lies 0.0 px right and 2.0 px down (median; clear in "
                       "4 of 5 pairs measured)"),
        ("single pairs", "half of them within 3.6 px of that; measuring alone moves one by 1.0 px; "
                         "50 % are off by more than noise"),
    ]  # fmt: skip
    report.offsets = report.offsets[-1:]
    assert report.misaligned == [("misaligned", "not to be told: clear in 0 of 1 pairs measured")]


@pytest.mark.parametrize(("unclear", "told"), [(2, False), (3, True)])
def test_pairs_whose_edges_do_not_meet_are_told_once_they_are_most(unclear, told):
    report = Report("folder", "x", 5, 5, True, {"all": 5}, "", [], [])
    report.offsets = [Offset(0, 0, CLEAR - (k < unclear), 0.5) for k in range(5)]
    assert bool(report.notices) == told
    assert not told or report.notices[0].startswith("In 3 of 5 pairs no shift brings the edges")


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
    assert [(n.bits, n.first, n.second) for n in found] == [
        (1, "a", "e"), (6, "a", "b"), (6, "e", "b")
    ]  # fmt: skip
    assert found[0].splits == ("train", "test")


def test_of_many_classes_the_colours_begin_anew():
    names = [colour_name(k) for k in range(9)]
    assert len(set(names[:6])) == 6 and names[6:] == names[:3]


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


def test_a_good_set_is_ready_with_its_numbers(pairs):
    report = check("folder", pairs)
    assert report.answer == "6 pairs, ready" and report.problems == [] == report.notices
    assert report.sizes == {(180, 240): 6} and report.empty == 1
    assert report.classes == {"person": 3, "car": 2}
    assert len(report.shifts) == 6
    assert np.median(report.shifts, axis=0) == pytest.approx([2, -1, 0], abs=0.2)
    text = as_text(report)
    assert text.startswith("6 pairs, ready\n")
    assert re.search(r"misaligned +2\.[1-3] px: the .*clear in 6 of 6", text)
    assert re.search(r"infrared lies (1\.9|2\.[01]) px right and (0\.9|1\.[01]) px up", text)
    assert re.search(r"single pairs +half of them within 0\.[01] px .* 100 % are off", text)
    assert "240x180: 6" in text and "person 3, car 2; 1 pictures without" in text


def test_copies_and_near_copies_are_told_but_do_not_stop(pairs):
    for folder in ("rgb", "thermal"):
        body = (pairs / folder / "n0.png").read_bytes()
        (pairs / folder / "n1.png").write_bytes(body)  # an exact copy within train
        brighter = np.asarray(Image.open(pairs / folder / "n2.png")) * 0.9 / 255
        save(pairs / folder / "n4.png", brighter)  # a near copy in test
    report = check("folder", pairs)
    assert report.answer == "6 pairs, ready; 2 to know"
    copies = {(one.name, two.name, one.parent.name) for one, two in report.identical}
    assert copies == {("n0.png", "n1.png", "rgb"), ("n0.png", "n1.png", "thermal")}
    assert [(n.first, n.second) for n in report.near] == [("n2", "n4")]
    assert "1 of 3 pictures in test nearly equal one in train" in as_text(report)


def test_pairs_that_do_not_belong_together_are_told(pairs):
    for k in range(6):
        save(pairs / "thermal" / f"n{k}.png", scene(50 + k))
    report = check("folder", pairs)
    assert any("no shift brings the edges together" in line for line in report.notices)


def test_every_fault_is_listed_and_counted(pairs):
    (pairs / "rgb" / "n1.png").write_bytes((pairs / "rgb" / "n1.png").read_bytes()[:900])
    (pairs / "thermal" / "n2.png").write_text("no picture")
    save(pairs / "thermal" / "n3.png", scene(3, 90, 120))
    (pairs / "labels" / "n4.txt").write_text("0 0.99 0.2 0.1 0.2\n")
    report = check("folder", pairs)
    kinds = sorted(problem.kind for problem in report.problems)
    assert kinds == ["box outside", "different sizes", "unreadable", "unreadable"]
    assert report.answer.startswith("4 problems: 2 unreadable, ")
    text = as_text(report)
    assert "n1.png can't be read" in text and "n2.png can't be read" in text
    assert len(report.offsets) == 3  # n0, n4, n5


def test_only_what_was_asked_for_is_looked_at(pairs):
    assert check("folder", pairs, split="test").sizes.total() == 3
    report = check("folder", pairs, limit=2)
    assert report.answer == "6 pairs, 2 of them looked at, ready" and report.sizes.total() == 2
    with pytest.raises(UserError, match="split of folder called 'tset': did you mean 'test'"):
        check("folder", pairs, split="tset")
    with pytest.raises(UserError, match="limit=0"):
        check("folder", pairs, limit=0)
    with pytest.raises(UserError, match="elsewhere does not exist"):
        check("folder", pairs / "elsewhere")


def test_a_choice_is_spread_over_the_whole_set():
    assert checks._spread(list("abcdefgh"), 4) == set("aceg")
    assert checks._spread(list("abc"), 9) == set("abc")


def test_long_lists_are_cut_in_the_terminal_but_not_unreadable_files(tmp_path):
    from freqkd_lite.data import Problem

    found = [Problem(kind, tmp_path, f"{kind} {k}") for kind in ("unreadable", "box outside")
             for k in range(30)]  # fmt: skip
    report = Report("folder", "x", 9, 9, True, {"all": 9}, "", found, [])
    text = as_text(report)
    assert "- unreadable 29" in text and "- box outside 20" not in text and "and 10 more" in text
    assert "box outside 29" in write_page(report, tmp_path / "page.html").read_text()


def test_the_page_is_readable_offline_and_describes_its_pictures(pairs):
    page = write_page(check("folder", pairs, sheet=True), pairs / "page.html").read_text()
    assert problems(page) == []
    assert page.index("6 pairs, ready") < page.index("Numbers") < page.index("Contact sheet")
    assert page.count('src="data:image/jpeg;base64,') == 12
    assert 'alt="The infrared picture of n1 with boxes: 1 car."' in page
    assert "Boxes: person orange, car sky blue." in page
    assert "n0: 1 person; 2.2 px off" in page


def test_boxes_are_drawn_where_they_are(pairs, monkeypatch):
    monkeypatch.setattr(checks, "WIDTH", 480)  # twice the size
    report = check("folder", pairs, sheet=True)
    jpeg, _ = report.samples[0].pictures[0]
    import io

    picture = np.asarray(Image.open(io.BytesIO(jpeg)), dtype=int)
    # The scene is grey, so red stands above blue only where the orange outline is, JPEG or not.
    ys, xs = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == pytest.approx((24, 36, 72, 108), abs=2)


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_check_ends_with_status_1_where_loading_would_refuse(pairs):
    good = run("check", "folder", "--root", pairs, "--html", pairs / "page.html")
    assert good.exit_code == 0 and good.output.startswith("6 pairs, ready\n")
    assert (pairs / "page.html").is_file()
    two = ("--visible", pairs / "rgb", "--infrared", pairs / "thermal")
    assert run("check", "folder", *two).output.startswith("6 pairs, ready\n")
    assert "boxes" not in run("check", "folder", *two).output
    (pairs / "rgb" / "n1.png").write_bytes(b"")
    bad = run("check", "folder", "--root", pairs)
    assert bad.exit_code == 1 and bad.output.startswith("1 problem: 1 unreadable")


def test_names_that_can_not_be_checked_are_answered():
    with pytest.raises(UserError, match="kaist has no loader of its own to check it with.*folder"):
        raise run("check", "kaist").exception
    with pytest.raises(UserError, match="'rodscene': did you mean 'roadscene'"):
        raise run("check", "rodscene").exception
    with pytest.raises(UserError, match="llvip can't be downloaded by a command: Accept"):
        raise run("get", "llvip").exception


def test_list_and_describe_say_what_is_here_and_where_to_ask(monkeypatch, tmp_path):
    monkeypatch.setenv("FREQKD_DATA", str(tmp_path))
    for k in range(2):
        save(tmp_path / "roadscene" / "vi" / f"FLIR_{k}.jpg", scene(k))
        save(tmp_path / "roadscene" / "ir" / f"FLIR_{k}.jpg", scene(k))
    lines = {line.split()[0]: line for line in run("list").output.splitlines()}
    assert lines["roadscene"].endswith(f"2 in {tmp_path / 'roadscene'}")
    assert lines["msrs"].endswith("not here") and lines["scenes"].endswith("always here")
    for name, ask in {"kaist": "rgbt-ped-detection", "flir": "adas-dataset-form"}.items():
        text = run("describe", name).output
        assert ask in text and "`folder`" in text
    assert "CC BY 4.0" in run("describe", "hituav").output


def test_get_asks_and_does_nothing_without_a_yes(monkeypatch, tmp_path):
    from freqkd_lite.data import download

    asked = []
    monkeypatch.setattr(download, "get", lambda *a: asked.append(a) or tmp_path / "roadscene")
    answer = CliRunner().invoke(app, ["data", "get", "roadscene", "--root", str(tmp_path)], "n\n")
    assert answer.exit_code == 1 and not asked
    assert "8.7 MB" in answer.output and "Licence: none stated" in answer.output
    done = run("get", "roadscene", "--root", tmp_path, "--yes")
    assert done.exit_code == 0 and len(asked) == 1 and "442 files are compared" in done.output


@pytest.mark.parametrize("name, pictures", [("msrs", 361), ("roadscene", 221)])
def test_real_pairs_are_ready_and_their_shift_is_clear(name, pictures):
    folder = {"msrs": "msrs361"}.get(name, name)
    if not os.path.isdir(os.path.join(os.environ.get("FREQKD_DATA", ""), folder)):
        pytest.skip(f"FREQKD_DATA holds no {folder}")
    report = check(name, limit=12)
    assert (report.records, report.problems) == (pictures, [])
    middle = np.hypot(*np.median(report.shifts[:, :2], axis=0))
    assert len(report.shifts) >= 10 and middle < 4
