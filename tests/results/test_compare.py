"""Two runs side by side, against folders that are written by hand."""

import json
import re
from pathlib import Path

import numpy as np

from freqkd_lite.evaluate.stats import resamples
from freqkd_lite.results.compare import compare
from freqkd_lite.results.rows import Row, write_results
from tests.refused import refused
from tests.rows import row

MANIFEST = dict(made="today", seconds=3, command="x", code="c0de", device="cpu", threads=2)
MANIFEST |= dict(weights="aa", data="bb", parameters={"lr": 0.001, "seed": 0})
MANIFEST |= dict(versions={"torch": "2.9", "python": "3.12"})


def folder(path: Path, rows: list[Row], **changed) -> Path:
    write_results(path, rows, MANIFEST | changed)
    return path


def kinds(text: str) -> set[str]:
    """What kinds of entries differ, from the line that says so."""
    (line,) = re.findall(r"^They differ in: (.*)\.$", text, re.M)
    return set() if line == "nothing" else {*line.split(", ")}


def cells(text: str, *start: str) -> list[str]:
    """The cells of the table's line that begins with these words."""
    lines = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines())
    (found,) = (line for line in lines if tuple(line[: len(start)]) == start)
    return found[len(start) :]


def test_runs_that_are_alike_and_figures_that_neither_or_one_of_them_has(tmp_path):
    rows = [row("none", None), row("mse", 0.7, (0.6, 0.8))]
    one = folder(tmp_path / "a", rows)
    text = compare(one, folder(tmp_path / "b", rows, made="tomorrow", seconds=9, command="y"))
    assert kinds(text) == set() and "both: 2, equal: 2" in text
    assert "equal: 1" in compare(one, folder(tmp_path / "c", [row("none", 0.4), rows[1]]))


def test_what_differs_is_listed_by_kind_with_both_values(tmp_path):
    one = folder(tmp_path / "a", [row("none", 0.5)])
    changed = dict(code="0ther", threads=1, weights="cc", data="dd")
    changed |= dict(versions={"torch": "2.10", "python": "3.12"})
    changed |= dict(parameters={"lr": 0.01, "seed": 0, "new": [1]})
    text = compare(one, folder(tmp_path / "b", [row("none", 0.5)], **changed))
    assert kinds(text) == {"parameters", "recipe", "environment", "weights", "data"}
    assert cells(text, "parameters", "lr") == ["0.001", "0.01"]
    assert cells(text, "parameters", "new") == ["null", "[1]"]
    assert cells(text, "environment", "torch") == ['"2.9"', '"2.10"']
    assert "seed" not in text and "python" not in text and "equal: 1" in text


def test_intervals_side_by_side_are_apart_or_overlap(tmp_path):
    span = (0.4, 0.6)
    rows = [row("none", 0.5, span), row("mse", 0.5, span), row("pkd", 0.5, span)]
    rows += [row("gram", 0.2), row("gram", 0.4, seed=1), row("only", 0.1), row("gone", None)]
    others = [row("none", 0.55, (0.45, 0.65)), row("mse", 0.8, (0.7, 0.9)), row("gone", 0.5)]
    others += [row("pkd", 0.2, (0.1, 0.3)), row("gram", 0.25)]
    text = compare(folder(tmp_path / "a", rows), folder(tmp_path / "b", others))
    assert cells(text, "probe_ap none mean")[-2:] == ["+0.050", "intervals overlap"]
    both = ["0.500 [0.400, 0.600]", "0.800 [0.700, 0.900]"]
    assert cells(text, "probe_ap mse mean") == [*both, "+0.300", "higher"]
    assert cells(text, "probe_ap pkd mean")[-1] == "lower"
    # the mean of two seeds: t(0.975, 1) = 12.706205, half width 12.706205 * 0.1
    over_seeds = ["0.300 [-0.971, 1.571]", "0.250", "-0.050"]
    assert cells(text, "probe_ap gram mean") == over_seeds
    assert "missing in one" in cells(text, "probe_ap gone mean")
    assert "A alone: 1" in text and "B alone" not in text


def probe_file(path: Path, hits: list[float], truth: np.ndarray) -> None:
    """Scores of one class: each image has two patches, and its positive one is ranked first where
    `hits` is 1, last where it is 0."""
    scores = np.stack([[[h, 0.5]] for h in hits])[..., None]
    np.savez(path, truth=truth, mse=scores.astype("float16"))


def precision(hits: np.ndarray) -> float:
    """Average precision by the definition, for `probe_file`: scores 1 (hits), 0.5 (all the
    negatives), 0 (misses) are three thresholds."""
    return hits.mean() + (1 - hits.mean()) / 2


def test_differences_are_paired_over_images_where_both_have_the_files(tmp_path):
    a = np.array([1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0.0])
    b = np.array([1, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1.0])
    truth = np.zeros((len(a), 1, 2), "uint8")
    truth[..., 1] = 1  # the second patch holds nothing
    about = dict(metric="probe_ap", per_image="images.npz")
    runs = []
    for name, hits in (("a", a), ("b", b)):
        value = precision(hits)
        rows = [row("mse", value, (0.0, 1.0), klass=k, **about) for k in ("mean", "person")]
        runs.append(folder(tmp_path / name, rows))
        probe_file(tmp_path / name / "images.npz", list(hits), truth)
    text = compare(*runs)
    draws = [precision(b[i]) - precision(a[i]) for i in resamples(len(a))]
    low, high = np.quantile(draws, [0.025, 0.975])
    expected = f"{precision(b) - precision(a):+.3f} [{low:+.3f}, {high:+.3f}] paired"
    for klass in ("mean", "person"):
        assert cells(text, f"probe_ap mse {klass}")[-2:] == [expected, "higher"]
    # other groups: a draw does not hold the same images
    with np.load(runs[1] / "images.npz") as arrays:
        np.savez(runs[1] / "images.npz", **arrays, groups=np.arange(len(a)) // 2)
    assert "paired" not in compare(*runs).replace(str(tmp_path), "")
    # other truth: these are not the same images
    probe_file(runs[1] / "images.npz", list(b), truth[..., ::-1])
    assert "paired" not in compare(*runs).replace(str(tmp_path), "")


def test_distillations_say_whether_their_students_are_the_same(tmp_path):
    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "student.safetensors").write_bytes(weights)
        lr = 0.1 if name == "c" else 0.2
        about = {"settings": {"lr": lr}, "code": "c", "weights": {"teacher": "t"}, "data": "d"}
        (tmp_path / name / "manifest.json").write_text(json.dumps(about))
    same, other = (compare(tmp_path / "a", tmp_path / name) for name in "bc")
    assert kinds(same) == set() and same.endswith("weights are the same.")
    assert kinds(other) == {"parameters"} and "weights are different" in other


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    one = folder(tmp_path / "a", [])
    refused("a/x", compare, one, one / "x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text("{")
    refused("b/manifest.json", compare, one, tmp_path / "b")
