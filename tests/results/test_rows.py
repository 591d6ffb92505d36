"""Result files: what older ones say is read with today's names, and means are over seeds."""

import json
import math

import pytest

from freqkd_lite.results import rows as results
from freqkd_lite.results.rows import means, pick, read_results, seed_means, whole
from tests.refused import refused
from tests.rows import row


def test_rows_are_read_back_as_they_were_written(tmp_path):
    rows = [row("mse", 0.1, (0.0, 0.2), n=3, per_image="x.npz"), row("mse", None, klass="car")]
    results.write_results(tmp_path, rows, {"made": "today"})
    assert read_results(tmp_path) == rows and results.read_manifest(tmp_path) == {"made": "today"}
    raw = json.loads((tmp_path / "results.json").read_text())
    assert raw["schema"] == "freqkd-results/1" and raw["rows"][1]["class"] == "car"
    assert pick(rows, klass="mean", seed=0) == rows[:1] and pick(rows, klass="tram") == []


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (None, "missing"),
        ("{", "json"),
        ('{"schema": "other", "rows": []}', "schema='other'"),
        ('{"schema": "freqkd-results/1", "rows": [{"method": "x"}]}', "rows.0.claim"),
    ],
)
def test_a_file_that_is_no_results_file_is_named(tmp_path, text, token):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    refused(f"results.json.*{token}", read_results, tmp_path)


def test_several_seeds_have_a_t_interval():
    # s = .01, t(.975, 2) = 4.302653, half width 4.302653 * .01 / sqrt 3
    rows = [row("mse", value, seed=seed) for seed, value in enumerate((0.3, 0.31, 0.32))]
    (m,) = means(rows).itertuples()
    assert (m.value, m.low, m.high) == pytest.approx((0.31, 0.28516, 0.33484), abs=1e-5)
    assert (m.over, m.seeds) == ("seeds", 3)


@pytest.mark.parametrize("other", [0.9, 0.9009])  # processors round an untrained method otherwise
def test_what_no_seed_changes_has_its_rows_interval(other):
    rows = [row("none", 0.9, (0.8, 0.95)), row("none", other, (0.81, 0.96), seed=1)]
    (m,) = means(rows).itertuples()
    assert (m.low, m.high, m.over, m.seeds) == (0.8, 0.95, "images", 2)
    (over_seeds,) = seed_means(rows, "probe_ap").itertuples()
    assert over_seeds.value == m.value and math.isnan(over_seeds.low)
    trained = [r.model_copy(update={"method": "mse"}) for r in rows]
    assert means(trained)["over"][0] == ("images" if other == 0.9 else "seeds")


def test_a_missing_value_counts_for_no_seed():
    rows = [row("mse", None), row("mse", 0.5, seed=1), row("mse", None, klass="car")]
    first, second = means(rows).itertuples()
    assert (first.value, first.over, first.seeds) == (0.5, "", 1)
    assert math.isnan(second.value) and second.seeds == 0


def test_parts_of_a_split_count_where_there_is_nothing_else():
    parts = [row("mse", 0.1, split="val/day"), row("mse", 0.2, split="val/night")]
    assert whole(means([row("mse", 0.3), *parts]), "probe_ap")["value"].tolist() == [0.3]
    assert whole(means(parts), "probe_ap")["value"].tolist() == [0.1, 0.2]
