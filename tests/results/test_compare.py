"""Two runs side by side, against folders that are written by hand."""

import json
import re
from pathlib import Path

import numpy as np

from freqkd_lite.evaluate.stats import resamples
from freqkd_lite.results.compare import compare
from freqkd_lite.results.rows import Row, write_results
from tests.refused import refused

MANIFEST = {
    "schema": "freqkd-manifest/1",
    "made": "today",
    "seconds": 3,
    "command": "x",
    "code": "c0de",
    "versions": {"torch": "2.9", "python": "3.12"},
    "device": "cpu",
    "threads": 2,
    "precision": "fp32",
    "weights": "aa",
    "data": "bb",
    "parameters": {"lr": 0.001, "seed": 0},
}


def row(method: str, value: float | None, interval=None, **about) -> Row:
    base = dict(claim="walk", seed=0, data="msrs", split="val", metric="map50", klass="mean")
    return Row(method=method, value=value, interval=interval, **(base | about))


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


def test_runs_that_are_alike(tmp_path):
    rows = [row("none", 0.5, (0.4, 0.6)), row("mse", 0.7, (0.6, 0.8))]
    one = folder(tmp_path / "a", rows)
    text = compare(one, folder(tmp_path / "b", rows, made="tomorrow", seconds=9, command="y"))
    assert kinds(text) == set() and "both: 2, equal: 2" in text


def test_a_figure_that_neither_has_is_equal_and_one_that_one_lacks_is_not(tmp_path):
    one = folder(tmp_path / "a", [row("none", None), row("mse", 0.5)])
    assert "equal: 2" in compare(one, one)
    assert "equal: 1" in compare(one, folder(tmp_path / "b", [row("none", 0.4), row("mse", 0.5)]))


def test_what_differs_is_listed_by_kind_with_both_values(tmp_path):
    one = folder(tmp_path / "a", [row("none", 0.5)])
    other = folder(
        tmp_path / "b",
        [row("none", 0.5)],
        code="0ther",
        threads=1,
        weights="cc",
        data="dd",
        versions={"torch": "2.10", "python": "3.12"},
        parameters={"lr": 0.01, "seed": 0, "new": [1]},
    )
    text = compare(one, other)
    assert kinds(text) == {"parameters", "recipe", "environment", "weights", "data"}
    assert cells(text, "parameters", "lr") == ["0.001", "0.01"]
    assert cells(text, "parameters", "new") == ["null", "[1]"]
    assert cells(text, "environment", "torch") == ['"2.9"', '"2.10"']
    assert "seed" not in text and "python" not in text


def test_intervals_side_by_side_are_apart_or_overlap(tmp_path):
    both = [
        ("none", (0.5, 0.4, 0.6), (0.55, 0.45, 0.65)),
        ("mse", (0.5, 0.4, 0.6), (0.8, 0.7, 0.9)),
    ]
    first = [row(method, v[0], v[1:]) for method, v, _ in both]
    second = [row(method, v[0], v[1:]) for method, _, v in both]
    one = folder(tmp_path / "a", [*first, row("gram", 0.5), row("only", 0.1), row("gone", None)])
    other = folder(tmp_path / "b", [*second, row("gram", 0.25), row("gone", 0.5)])
    text = compare(one, other)
    assert cells(text, "map50 none mean")[-2:] == ["+0.050", "intervals overlap"]
    assert cells(text, "map50 mse mean")[-2:] == ["+0.300", "higher"]
    assert cells(text, "map50 mse mean")[:2] == ["0.500 [0.400, 0.600]", "0.800 [0.700, 0.900]"]
    assert "-0.250" in cells(text, "map50 gram mean")
    assert "missing in one" in cells(text, "map50 gone mean")
    assert "A alone: 1" in text


def test_seeds_are_compared_by_their_means(tmp_path):
    one = folder(tmp_path / "a", [row("mse", 0.2), row("mse", 0.4, seed=1)])
    other = folder(tmp_path / "b", [row("mse", 0.68), row("mse", 0.72, seed=4)])
    # t(0.975, 1) = 12.706205: half widths 12.706205 * 0.1 and 12.706205 * 0.02
    spans = ["0.300 [-0.971, 1.571]", "0.700 [0.446, 0.954]"]
    found = cells(compare(one, other), "map50 mse mean")
    assert found == [*spans, "+0.400", "intervals overlap"]


def probe_file(path: Path, hits: list[float], truth: np.ndarray) -> None:
    """Scores of one class: each image has two patches, and its positive one is ranked first where
    `hits` is 1, last where it is 0."""
    scores = np.stack([[[h, 0.5]] for h in hits])[..., None]
    np.savez(path, truth=truth, mse=scores.astype("float16"))


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
    assert kinds(same) == set() and "weights are the same" in same
    assert kinds(other) == {"parameters"} and "weights are different" in other


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    one = folder(tmp_path / "a", [])
    refused("a/x", compare, one, one / "x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text("{")
    refused("b/manifest.json", compare, one, tmp_path / "b")
