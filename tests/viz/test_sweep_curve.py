"""The figure along one setting against the points that it must show."""

import numpy as np
import pandas as pd
import pytest

from freqkd_lite.results.curve import Curve, make_curve
from freqkd_lite.viz.sweep_curve import curve_figure
from tests.results.test_curve import ROWS, row
from tests.viz.conftest import lines_of, spans


def points_of(ax, size):
    """The points of all lines with markers of a size."""
    marks = [line.get_xydata() for line in ax.lines if line.get_markersize() == size]
    return {tuple(point) for point in np.concatenate(marks).round(3).tolist()}


def test_a_few_methods_are_curves_with_their_best_points_ringed():
    rows = [*ROWS, row("mse (lr=0.003)", 0.57, seed=1)]
    figure, alt = curve_figure(make_curve(rows, "probe_ap", "lr", ["mse (lr=0.03)"]))
    (ax,) = figure.axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert curves["MSE"] == [[0.001, 0.52], [0.003, pytest.approx(0.56)], [0.01, 0.5]]
    rings = points_of(ax, 11)
    assert (0.003, 0.56) in rings and len(rings) == 3
    crosses = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "x"]
    assert [0.03] in crosses
    seeds = [line.get_ydata().tolist() for line in ax.lines if line.get_markersize() == 3]
    assert [0.55, 0.57] in seeds
    assert [text.get_text() for text in ax.texts] == ["undistilled"] and "at 0.003" in alt


def test_differences_to_the_first_stand_beside_the_curves():
    curve = make_curve(ROWS, "probe_ap", "lr")
    one = dict(method="freqkd_code", at=0.001, value=-0.05, low=-0.1, high=0.01)
    curve = Curve(**vars(curve) | {"differences": pd.DataFrame([one])})
    figure, alt = curve_figure(curve)
    _, right = figure.axes
    assert lines_of(right)["FreqKD (code)"].get_ydata().tolist() == [-0.05]
    ((_, low), (_, high)) = sum(map(spans, right.collections), [])[0]
    assert (low, high) == (-0.1, 0.01)
    assert "[-0.100, +0.010] at 0.001" in alt


def many(extra=()):
    """Seven methods with one rate each but the first: .3, .31, ... .36."""
    names = ("mse", "freqkd_code", "freqkd_paper", "signed", "robust", "gram", "pkd")
    rows = [row(f"{method} (lr=0.001)", 0.3 + i / 100) for i, method in enumerate(names)]
    return [row("none", 0.2), *rows, row("mse (lr=0.003)", 0.5), *extra]


def test_many_methods_have_a_row_each_with_the_best_first_and_ringed():
    failed = ["freqkd_paper (lr=0.01)", "gram (lr=0.01)"]
    figure, alt = curve_figure(make_curve(many(), "probe_ap", "lr", failed))
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:3] == ["MSE", "PKD", "Gram"] and len(names) == 7
    rings = points_of(ax, 11)
    assert {(0.5, 0), (0.36, 1), (0.35, 2)} < rings and len(rings) == 7
    crosses = {y for line in ax.lines if line.get_marker() == "x" for y in line.get_ydata()}
    assert crosses == {2, 5} and "MSE: 0.300 at 0.001, 0.500 at 0.003" in alt


def test_what_lies_far_below_stands_at_the_edge_with_its_number():
    """The best ones and the level reach from .2 to .5, so the axis begins at .2 - .5 * .3 = .05."""
    low = [row("freqkd_code (lr=0.01)", 0.04), row("freqkd_code (lr=0.02)", 0.012)]
    figure, _ = curve_figure(make_curve(many(low), "probe_ap", "lr"))
    (ax,) = figure.axes
    points = points_of(ax, 5.5)
    assert (0.05, 6) in points and min(x for x, _ in points) == 0.05
    assert ax.texts[0].get_text() == "0.04, 0.01 \N{LEFTWARDS ARROW}"
