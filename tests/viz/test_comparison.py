"""Figures of methods side by side against numbers that they must show."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from freqkd_lite.results.paired import COLUMNS, Comparison
from freqkd_lite.results.rows import Row, frame, means
from freqkd_lite.results.summary import differences_table
from freqkd_lite.viz.comparison import comparison_figure, means_figure, near_teacher


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def line(method, value, low, high, klass="mean", joint=math.nan, seeds=5):
    about = ["probe_ap", "msrs", "test", method, klass, value, low, high]
    return [*about, low - joint, high + joint, seeds, 93, 40]


TABLE = pd.DataFrame(
    [
        line("none", -0.1, -0.15, -0.05),
        line("none", 0.3, 0.2, 0.4, "car"),
        line("anchor (lr=0.001)", 0.02, 0.005, 0.04, joint=0.02, seeds=3),
        line("freqkd_code (lr=0.003)", -0.02, -0.03, 0.01, joint=0.02),
    ],
    columns=COLUMNS,
)
STUDY = Comparison("mse (lr=0.001)", TABLE, "freqkd_code (lr=0.003)", ["anchor (lr=0.001)"])


def row(method, value, seed=0, metric="divergence_band", klass="block11/ring0", **about):
    base = dict(claim="walk", data="msrs", split="test")
    return Row(method=method, seed=seed, value=value, metric=metric, klass=klass, **(base | about))


BANDS = [row("none", v, klass=f"block11/ring{i}") for i, v in enumerate((0.8, 0.85, 0.9))]
BANDS += [
    row("mse (lr=0.001)", value, seed, klass=f"block11/ring{ring}")
    for ring, values in enumerate([(0.5, 0.6), (0.6, 0.6), (0.7, 0.8)])
    for seed, value in enumerate(values)
]


def test_nearness_is_the_first_and_the_last_band_over_seeds():
    found = means(BANDS)
    assert near_teacher(found, "none") == (0.8, 0.9)
    assert near_teacher(found, "mse (lr=0.001)") == pytest.approx((0.55, 0.75))
    assert near_teacher(found, "gram") is None


def test_methods_stand_in_their_order_with_the_reference_at_zero():
    figure, alt = comparison_figure(STUDY, means(BANDS), "probe_ap")
    left, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "anchored · lr=0.001 †",
        "MSE · lr=0.001",
        "FreqKD (code) · lr=0.003",
        "undistilled",
    ]
    lines = [drawn for drawn in left.lines if len(drawn.get_xdata()) == 1]
    marks = {int(drawn.get_ydata()[0]): float(drawn.get_xdata()[0]) for drawn in lines}
    assert marks == {0: 0.02, 1: 0, 2: -0.02, 3: -0.1}
    hollow = [drawn.get_ydata()[0] for drawn in lines if drawn.get_markerfacecolor() == "white"]
    assert hollow == [0]  # of fewer seeds
    spans = {}
    for drawn in left.lines:
        if len(drawn.get_xdata()) == 2:
            spans.setdefault(drawn.get_linewidth(), []).append(tuple(drawn.get_xdata()))
    assert spans[4.5] == [(-0.03, 0.01)]  # preregistered
    assert spans[2.5] == [(0.005, 0.04), (-0.15, -0.05)]
    assert spans[0.8] == [pytest.approx((-0.015, 0.06)), pytest.approx((-0.05, 0.03))]  # joint
    dots = [drawn for drawn in right.lines if drawn.get_marker() == "o" and len(drawn.get_xdata())]
    places = [(float(drawn.get_xdata()[0]), drawn.get_ydata()[0]) for drawn in dots]
    assert places == [(pytest.approx(0.55), 1), (pytest.approx(0.75), 1), (0.8, 3), (0.9, 3)]
    assert "anchored · lr=0.001 +0.020 [+0.005, +0.040]" in alt


def test_the_table_has_a_verdict_for_each_method():
    cells = [line.split(" | ") for line in differences_table(STUDY, "probe_ap").splitlines()]
    verdicts = [row[2] for row in cells[2:]]
    assert verdicts == ["higher", "no detectable difference", "lower"]
    assert "car" in cells[0] and cells[2][0].endswith("†")


def test_means_have_a_panel_for_each_class_with_something_to_compare():
    rows = [row(m, v, s, "probe_ap", "mean") for m, s, v in (("mse", 0, 0.5), ("mse", 1, 0.7))]
    rows += [row("none", 0.4, 0, "probe_ap", "mean"), row("mse", 0.9, 0, "probe_ap", "car")]
    rows += [row("mse", 0.1, 0, "probe_ap", "mean", split="test/day")]
    figure, alt = means_figure(means(rows), frame(rows), "probe_ap")
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "mean"
    small = [drawn.get_xdata().tolist() for drawn in ax.lines if drawn.get_markersize() == 3]
    assert small == [[0.5, 0.7]]
    large = [
        float(drawn.get_xdata()[0])
        for drawn in ax.lines
        if drawn.get_markersize() == 6 and drawn.get_marker() == "o"
    ]
    assert large == [pytest.approx(0.6), 0.4] and "MSE 0.60" in alt
