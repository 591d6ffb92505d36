"""A figure along one setting: points and best ones against numbers worked by hand."""

import math

import pytest

from freqkd_lite.results.curve import failed_methods, make_curve, read_curve, sweep_differences
from freqkd_lite.results.paired import Comparison, differences
from freqkd_lite.results.rows import write_results
from freqkd_lite.results.summary import best_table
from tests.refused import refused
from tests.results.test_paired import folder
from tests.rows import row

ROWS = [
    row("none", 0.42),
    row("mse (lr=0.01)", 0.50),
    row("mse (lr=0.001)", 0.52),
    row("mse (lr=0.003)", 0.55, (0.5, 0.6)),
    row("mse (lr=0.003)", 0.9, klass="car"),
    row("mse (lr=0.003)", 0.8, split="val/day"),
    row("mse (lr=0.003)", 0.7, metric="other"),
    row("mse (mismatched=True, lr=0.001)", 0.41),
    row("mse (mismatched=True, lr=0.01)", 0.43),
    row("freqkd_code (lr=0.001)", 0.46),
    row("freqkd_code (lr=0.001)", 0.48, seed=1),
]


def test_points_are_in_order_and_of_the_whole_alone():
    curve = make_curve(ROWS, "probe_ap", "lr")
    points = [(p.method, p.at, p.value) for p in curve.points.itertuples()]
    assert points == [
        ("mse", 0.001, 0.52),
        ("mse", 0.003, 0.55),
        ("mse", 0.01, 0.50),
        ("mse (mismatched=True)", 0.001, 0.41),
        ("mse (mismatched=True)", 0.01, 0.43),
        ("freqkd_code", 0.001, 0.47),
    ]
    assert curve.levels == {"none": 0.42} and curve.place == "msrs val"
    assert (curve.label, curve.axis) == ("probe AP", "learning rate")
    *single, code = curve.points.itertuples()
    half = 12.706205 * 0.01  # s / sqrt 2 = .01
    assert (code.low, code.high) == pytest.approx((0.47 - half, 0.47 + half), abs=1e-5)
    assert all(math.isnan(point.low) for point in single)  # one over images is none over seeds
    assert curve.seeds["value"].tolist() == [0.5, 0.52, 0.55, 0.41, 0.43, 0.46, 0.48]


def test_the_best_points_stand_best_first_and_say_whether_they_are_at_an_end():
    best = make_curve(ROWS, "probe_ap", "lr").best()
    lines = [(b.method, b.at, b.tried, b.end) for b in best.itertuples()]
    assert lines == [
        ("mse", 0.003, 3, False),
        ("freqkd_code", 0.001, 1, False),
        ("mse (mismatched=True)", 0.01, 2, True),
    ]
    _, (row,) = best_table(make_curve(ROWS, "probe_ap", "lr"), ["mse"])
    assert row[:3] == ("MSE", "0.550", "0.003")


def test_a_run_that_failed_is_a_point_without_a_value_and_no_best_one():
    line = "05 methods=['none', 'freqkd_code (lr=0.01)'] seed=0: it's over"
    failed = failed_methods([line, "05 methods=['gram (lr=1)']: x"])
    assert failed == ["none", "freqkd_code (lr=0.01)", "gram (lr=1)"]
    curve = make_curve(ROWS, "probe_ap", "lr", [*failed, "mse (lr=0.01)"])
    code = curve.points[curve.points["method"] == "freqkd_code"]
    assert code["at"].tolist() == [0.001, 0.01] and math.isnan(code["value"].iloc[1])
    assert set(curve.points["method"]) == {"mse", "mse (mismatched=True)", "freqkd_code"}
    top = curve.best().set_index("method").loc["freqkd_code"]
    assert (top["at"], top["tried"], top["end"]) == (0.001, 2, True)


def test_what_is_no_curve_is_refused(tmp_path):
    refused("steps", make_curve, ROWS, "probe_ap", "steps")
    refused("mismatched=True", make_curve, ROWS, "probe_ap", "mismatched")
    elsewhere = [*ROWS, row("mse (lr=0.1)", 0.5, split="test")]
    refused("msrs test, msrs val", make_curve, elsewhere, "probe_ap", "lr")
    assert read_curve(tmp_path) is None
    write_results(tmp_path, ROWS, {"metric": "probe_ap"})
    refused("curve", read_curve, tmp_path)


def test_a_few_methods_are_compared_with_the_first_at_each_value(tmp_path):
    skills = {("mse", 30): 2, ("pkd", 30): 1, ("gram", 30): 1.5, ("mse", 60): 2, ("pkd", 60): 2}
    methods = [
        (f"{method} (steps={n})", f"{method} (steps={n})", seed, skill)
        for (method, n), skill in skills.items()
        for seed in (0, 1)
    ]
    rows = [each for each in folder(tmp_path, methods) if each.split == "test"]
    first, table = sweep_differences(rows, tmp_path, "probe_ap", "steps")
    assert first == "mse"
    assert table["method"].tolist() == ["pkd (steps=30)", "gram (steps=30)", "pkd (steps=60)"]
    here = [each for each in rows if "steps=60" in each.method]
    wanted = differences(here, tmp_path, "mse (steps=60)", "probe_ap")
    assert table["low"].iloc[2] == wanted[wanted["klass"] == "mean"]["low"].iloc[0]
    write_results(tmp_path, rows, {"metric": "probe_ap", "curve": "steps"})
    Comparison(first, table).write(tmp_path)
    along = read_curve(tmp_path).differences
    found = [(d.method, d.at) for d in along.itertuples()]
    assert found == [("pkd", 30), ("gram", 30), ("pkd", 60)]
    alone = [each for each in rows if each.method.startswith("mse")]
    assert sweep_differences(alone, tmp_path, "probe_ap", "steps") is None
    assert sweep_differences(ROWS, tmp_path, "probe_ap", "lr") is None  # no files of images
