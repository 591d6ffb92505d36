"""Two runs side by side, against folders that are written by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import resamples
from freqkd_lite.results.compare import compare
from freqkd_lite.results.rows import Row, write_results

MANIFEST = {
    "schema": "freqkd-manifest/1", "made": "today", "seconds": 3, "command": "x", "code": "c0de",
    "versions": {"torch": "2.9", "python": "3.12"}, "device": "cpu", "threads": 2,
    "precision": "fp32", "weights": "aa", "data": "bb", "parameters": {"lr": 0.001, "seed": 0},
}  # fmt: skip


def row(arm: str, value: float | None, interval=None, **about) -> Row:
    base = dict(claim="walk", seed=0, data="msrs", split="val", metric="map50", klass="mean")
    return Row(arm=arm, value=value, interval=interval, **(base | about))


def folder(path: Path, rows: list[Row], **changed) -> Path:
    write_results(path, rows, MANIFEST | changed)
    return path


def test_runs_that_are_alike_are_called_so_in_the_first_line(tmp_path):
    rows = [row("none", 0.5, (0.4, 0.6)), row("code", 0.7, (0.6, 0.8))]
    one = folder(tmp_path / "a", rows)
    other = folder(tmp_path / "b", rows, made="tomorrow", seconds=9, command="y")
    lines = compare(one, other).splitlines()
    assert lines[0] == "They were made alike; all 2 results that both have are equal."
    assert lines[1:] == [f"A  {one}", f"B  {other}"]


def test_a_figure_that_neither_has_is_equal_and_one_that_one_lacks_is_not(tmp_path):
    one = folder(tmp_path / "a", [row("none", None), row("code", 0.5)])
    assert compare(one, one).splitlines()[0].endswith("all 2 results that both have are equal.")
    other = folder(tmp_path / "b", [row("none", 0.4), row("code", 0.5)])
    assert "equal." not in compare(one, other).splitlines()[0]


def test_what_differs_is_told_by_kind_with_both_values(tmp_path):
    one = folder(tmp_path / "a", [row("none", 0.5)])
    other = folder(
        tmp_path / "b", [row("none", 0.5)], code="0ther", threads=1, weights="cc", data="dd",
        versions={"torch": "2.10", "python": "3.12"},
        parameters={"lr": 0.01, "seed": 0, "new": [1]},
    )  # fmt: skip
    text = compare(one, other)
    assert text.splitlines()[0].startswith(
        "They differ in parameters (lr, new), code (code), environment (threads, torch), "
        "weights (weights), data (data); "
    )
    for line in ("lr    0.001  0.01", "new    null   [1]", 'torch    "2.9"  "2.10"'):
        assert re.search(re.sub(r" +", " +", re.escape(line).replace(r"\ ", " ")), text), line
    assert "seed" not in text and "python" not in text


def test_what_the_runs_of_a_sweep_were_made_on_is_environment(tmp_path):
    books = [{"05": {"threads": t, "versions": {"torch": v}, "parameters": {"lr": 1}}}
             for t, v in ((2, "2.9"), ([2, 1], "2.10"))]  # fmt: skip
    one, other = (folder(tmp_path / name, [row("none", 0.5)], notebooks=book)
                  for name, book in zip("ab", books, strict=True))  # fmt: skip
    first = compare(one, other).splitlines()[0]
    assert first.startswith("They differ in environment (05 threads, 05 torch); ")


def test_intervals_side_by_side_say_apart_or_overlap(tmp_path):
    one = folder(tmp_path / "a", [
        row("none", 0.5, (0.4, 0.6)), row("mse", 0.5, (0.4, 0.6)), row("code", 0.5),
        row("only", 0.1), row("gone", None),
    ])  # fmt: skip
    other = folder(tmp_path / "b", [
        row("none", 0.55, (0.45, 0.65)), row("mse", 0.8, (0.7, 0.9)), row("code", 0.25),
        row("gone", 0.5),
    ])  # fmt: skip
    lines = compare(one, other).splitlines()
    assert lines[0].endswith("; 1 of 4 results are told apart by their intervals.")
    told = {line.split()[1]: line for line in lines if line.startswith("map50")}
    assert told["none"].endswith("+0.050 overlap") and told["mse"].endswith("+0.300 apart")
    assert "0.500 [0.400, 0.600]  0.800 [0.700, 0.900]" in told["mse"]
    assert told["code"].endswith("-0.250") and "none" in told["gone"]
    assert lines[-1] == "1 results stand in A (a) alone."


def test_seeds_are_compared_by_their_means(tmp_path):
    one = folder(tmp_path / "a", [row("code", 0.2), row("code", 0.4, seed=1)])
    other = folder(tmp_path / "b", [row("code", 0.68), row("code", 0.72, seed=4)])
    # t(0.975, 1) = 12.706205: half widths 12.706205 * 0.1 and 12.706205 * 0.02
    assert "0.300 [-0.971, 1.571]  0.700 [0.446, 0.954]  +0.400 overlap" in compare(one, other)


def probe_file(path: Path, hits: list[float], truth: np.ndarray) -> None:
    """Scores of one class: each image has two patches, and its positive one is ranked first where
    `hits` is 1, last where it is 0."""
    scores = np.stack([[[h, 0.5]] for h in hits])[..., None]
    np.savez(path, truth=truth, code=scores.astype("float16"))


def precision(hits: np.ndarray) -> float:
    """Average precision by the definition, for `probe_file`: scores 1 (hits), 0.5 (all the
    negatives), 0 (misses) are three thresholds."""
    n, first = len(hits), hits.sum()
    value = first / n * 1.0
    return value + (n - first) / n * (n / (2 * n))


def test_differences_are_paired_over_images_where_both_have_the_files(tmp_path):
    a = np.array([1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0.0])
    b = np.array([1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1.0])
    truth = np.zeros((len(a), 1, 2), "uint8")
    truth[..., 1] = 1  # the second patch holds nothing
    about = dict(metric="probe_ap", per_image="images.npz")
    runs = []
    for name, hits in (("a", a), ("b", b)):
        value = precision(hits)
        told = [row("code", value, (0.0, 1.0), klass=k, **about) for k in ("mean", "person")]
        runs.append(folder(tmp_path / name, told))
        probe_file(tmp_path / name / "images.npz", list(hits), truth)
    text = compare(*runs)
    draws = [precision(b[i]) - precision(a[i]) for i in resamples(len(a))]
    low, high = np.quantile(draws, [0.025, 0.975])
    expected = f"{precision(b) - precision(a):+.3f} [{low:+.3f}, {high:+.3f}] paired"
    assert text.count(expected) == 2 and low > 0
    assert text.splitlines()[0].endswith("2 of 2 results are told apart by their intervals.")
    # other groups: a draw does not hold the same images
    with np.load(runs[1] / "images.npz") as arrays:
        np.savez(runs[1] / "images.npz", **arrays, groups=np.arange(len(a)) // 2)
    assert "paired" not in compare(*runs).replace(str(tmp_path), "")
    # other truth: these are not the same images
    probe_file(runs[1] / "images.npz", list(b), truth[..., ::-1])
    assert "paired" not in compare(*runs).replace(str(tmp_path), "")


def test_pixels_and_boxes_are_paired_too(tmp_path):
    better = np.tile([[8, 2], [1, 9]], (6, 1, 1)).astype("int32")
    worse = np.tile([[5, 5], [1, 9]], (6, 1, 1)).astype("int32")
    # IoU of road and sky: 8/11 and 9/12, 5/11 and 9/15; every image is alike, so no draw differs
    iou = {"a": (5 / 11, 9 / 15), "b": (8 / 11, 9 / 12)}
    for name, counts in (("a", worse), ("b", better)):
        road, sky = iou[name]
        values = {"mean": (road + sky) / 2, "road": road, "sky": sky}
        told = [row("code", v, metric="miou", klass=k, per_image="pixels.npz")
                for k, v in values.items()]  # fmt: skip
        # one box an image: a finds the first three of six, b all
        found = 3 if name == "a" else 6
        ap = (51 if name == "a" else 101) / 101  # recalls 0 to 0.5 of 101 are reached
        told += [row("code", ap, klass=k, per_image="boxes.npz") for k in ("mean", "car")]
        folder(tmp_path / name, told)
        np.savez(tmp_path / name / "pixels.npz", code=counts)
        parts = {"image": np.arange(found), "hit": np.ones(found, bool), "truths": np.ones(6, int)}
        np.savez(tmp_path / name / "boxes.npz", **{f"code/car_{k}": v for k, v in parts.items()})
    text = compare(tmp_path / "a", tmp_path / "b")
    gain = 8 / 11 - 5 / 11
    assert f"{gain:+.3f} [{gain:+.3f}, {gain:+.3f}] paired" in text
    assert re.search(
        r"map50 code car +0\.505 +1\.000 +\+0\.495 \[\+0\.\d+, \+0\.\d+\] paired", text
    )
    assert "5 of 5 results are told apart" in text


def test_distillations_say_whether_their_students_are_the_same(tmp_path):
    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "student.safetensors").write_bytes(weights)
        lr = 0.1 if name == "c" else 0.2
        about = {"settings": {"lr": lr}, "code": "c", "weights": {"teacher": "t"}, "data": "d"}
        (tmp_path / name / "manifest.json").write_text(json.dumps(about))
    same = compare(tmp_path / "a", tmp_path / "b").splitlines()[0]
    assert same == "They were made alike; the students' weights are the same, bit by bit."
    other = compare(tmp_path / "a", tmp_path / "c").splitlines()[0]
    assert other.startswith("They differ in parameters (lr); code, environment, weights, data are")
    assert other.endswith("the students' weights are not the same.")


def test_a_folder_that_is_no_run_is_told_in_a_sentence(tmp_path):
    one = folder(tmp_path / "a", [])
    with pytest.raises(UserError, match="a/x is no run: give a folder that holds a manifest.json"):
        compare(one, one / "x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="b/manifest.json is not JSON"):
        compare(one, tmp_path / "b")
