"""Figures of methods side by side against numbers that they must show."""

import math

import pandas as pd
import pytest

from freqkd_lite.results.paired import COLUMNS, Comparison
from freqkd_lite.results.rows import frame, means
from freqkd_lite.results.summary import differences_table
from freqkd_lite.viz.comparison import comparison_figure, means_figure, near_teacher
from tests.rows import row
from tests.viz.conftest import spans


def line(method, value, low, high, klass="mean", joint=math.nan, seeds=5):
    about = ["probe_ap", "msrs", "test", method, klass, value, low, high]
    return [*about, low - joint, high + joint, seeds, 93, 40]


LINES = [line("none", -0.1, -0.15, -0.05), line("none", 0.3, 0.2, 0.4, "car")]
LINES += [line("anchor (lr=0.001)", 0.02, 0.005, 0.04, joint=0.02, seeds=3)]
LINES += [line("freqkd_code (lr=0.003)", -0.02, -0.03, 0.01, joint=0.02)]
TABLE = pd.DataFrame(LINES, columns=COLUMNS)
STUDY = Comparison("mse (lr=0.001)", TABLE, "freqkd_code (lr=0.003)", ["anchor (lr=0.001)"])


BANDS = []
for ring, (none, *mse) in enumerate([(0.8, 0.5, 0.6), (0.85, 0.6, 0.6), (0.9, 0.7, 0.8)]):
    about = dict(metric="divergence_band", klass=f"block11/ring{ring}")
    BANDS += [row("none", none, **about)]
    BANDS += [row("mse (lr=0.001)", value, seed=seed, **about) for seed, value in enumerate(mse)]


def test_nearness_is_the_first_and_the_last_band_over_seeds():
    found = means(BANDS)
    assert near_teacher(found, "none") == (0.8, 0.9)
    assert near_teacher(found, "mse (lr=0.001)") == pytest.approx((0.55, 0.75))
    assert near_teacher(found, "gram") is None


def names_of(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_methods_stand_in_their_order_with_the_reference_at_zero():
    figure, alt = comparison_figure(STUDY, means(BANDS), "probe_ap")
    left, right = figure.axes
    names = names_of(figure)
    expected = ["anchored", "MSE", "FreqKD (code)", "undistilled"]
    assert [name.split(" ·")[0] for name in names] == expected
    assert names[0].endswith("†") and "†" not in "".join(names[1:])  # added after the first test
    assert left.yaxis_inverted()  # the best one above
    (diamond,) = [drawn for drawn in left.lines if drawn.get_marker() == "D"]
    assert diamond.get_xydata().tolist() == [[0, 1]]
    joint, paired, dots = left.collections
    assert dict(zip(*dots.get_offsets().T, strict=True)) == {0.02: 0, -0.02: 2, -0.1: 3}
    hollow = [bool((face[:3] == 1).all()) for face in dots.get_facecolors()]
    assert hollow == [True, False, False]  # of fewer seeds
    assert spans(joint)[:2] == [((-0.015, 0), (0.06, 0)), ((-0.05, 2), (0.03, 2))]
    found = [(a[0], b[0]) for a, b in spans(paired)]
    assert found == [(0.005, 0.04), (-0.03, 0.01), (-0.15, -0.05)]
    widths = paired.get_linewidths()
    assert widths[1] > widths[0] == widths[2]  # the preregistered one
    places = [spot for dots in right.collections for spot in dots.get_offsets().ravel().tolist()]
    assert places == pytest.approx([0.55, 1, 0.75, 1, 0.8, 3, 0.9, 3])
    assert "+0.020 [+0.005, +0.040]" in alt
    figure, _ = comparison_figure(STUDY, means(BANDS), "probe_ap", ["anchor (lr=0.001)"])
    assert [name.split(" ·")[0] for name in names_of(figure)] == ["anchored", "MSE"]


def test_the_table_has_a_verdict_for_each_method():
    head, rows = differences_table(STUDY, "probe_ap")
    verdicts = [row[2] for row in rows]
    assert verdicts == ["higher", "no detectable difference", "lower"] and "car" in head


def test_means_have_a_panel_for_each_class_with_something_to_compare():
    rows = [row("mse", 0.5), row("mse", 0.7, seed=1), row("none", 0.4)]
    rows += [row("mse", 0.9, klass="car"), row("mse", 0.1, split="val/day")]
    figure, alt = means_figure(means(rows), frame(rows), "probe_ap")
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "mean"
    single, _, of = (drawn for drawn in ax.collections)
    assert single.get_offsets()[:, 0].tolist() == [0.5, 0.7]
    assert of.get_offsets().tolist() == [[pytest.approx(0.6), 0], [0.4, 1]]
    assert "MSE 0.60" in alt
