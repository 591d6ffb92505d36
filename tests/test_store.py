"""Run folders appear whole or not at all; result files come back as they were written."""

import json

import pytest

from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import Row, over_seeds, pick, read_results, write_results
from freqkd_lite.store import RECIPE, manifest, run_key, whole_folder

ROW = Row(
    claim="walk",
    method="mse",
    seed=1,
    data="scenes",
    split="test",
    metric="ap",
    klass="car",
    value=0.5,
    interval=(0.4, 0.6),
    n=40,
)


def test_a_failed_run_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "run") as part:
        (part / "half.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "run") as part:
        (part / "a.txt").write_text("a")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "a.txt").read_text() == "a"
    with whole_folder(tmp_path / "run") as part:
        (part / "b.txt").write_text("b")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["b.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="run is a file"), whole_folder(tmp_path / "run"):
        pass


def test_the_key_depends_on_content_and_not_on_order():
    assert run_key({"a": 1, "b": [2]}) == run_key({"b": [2], "a": 1})
    assert run_key({"a": 1}) != run_key({"a": 2})


def test_the_manifest_names_versions_and_what_it_is_given():
    from importlib.metadata import version

    entry = manifest(command="x")
    assert entry["versions"]["torch"] == version("torch") and entry["command"] == "x"
    assert entry["recipe"] == RECIPE and entry["precision"] == "fp32"


def test_rows_survive_a_round_trip(tmp_path):
    write_results(tmp_path, [ROW], {"m": 1})
    raw = json.loads((tmp_path / "results.json").read_text())
    assert raw["schema"] == "freqkd-results/1" and raw["rows"][0]["class"] == "car"
    assert read_results(tmp_path) == [ROW]
    assert pick(read_results(tmp_path), klass="car", method="mse") == [ROW]
    assert pick([ROW], klass="person") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"schema": "other/1", "rows": []}', "has schema 'other/1'"),
        ('{"schema": "freqkd-results/1", "rows": [{"arm": "x"}]}', "is missing"),
    ],
)
def test_a_broken_results_file_is_told(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_results(tmp_path)


def test_missing_results_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="run the notebook"):
        read_results(tmp_path)


def test_the_interval_over_seeds_is_students():
    # by hand: mean 2, s = 1, n = 3, t(.975, 2) = 4.302653, half = 4.302653 / sqrt(3) = 2.484138
    mean, (low, high) = over_seeds([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-5)
    assert over_seeds([4.0]) == over_seeds([4.0, 4.0, 4.0]) == (4.0, None)
