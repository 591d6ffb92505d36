"""The figure along one setting against the points that it must show."""

import matplotlib.pyplot as plt
import pytest

from freqkd_lite.results.curve import Curve, make_curve
from freqkd_lite.viz.sweep_curve import curve_figure
from tests.results.test_curve import ROWS, row


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_a_few_methods_are_curves_with_their_best_points_ringed():
    rows = [*ROWS, row("mse (lr=0.003)", 0.57, seed=1)]
    figure, alt = curve_figure(make_curve(rows, "probe_ap", "lr", ["mse (lr=0.03)"]))
    (ax,) = figure.axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert curves["MSE"] == [[0.001, 0.52], [0.003, pytest.approx(0.56)], [0.01, 0.5]]
    rings = [line.get_xydata()[0].tolist() for line in ax.lines if line.get_markersize() == 11]
    assert rings[0] == [0.003, pytest.approx(0.56)] and len(rings) == 3
    crosses = [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "x"]
    assert [0.03] in crosses
    seeds = [line.get_ydata().tolist() for line in ax.lines if line.get_markersize() == 3]
    assert [0.55, 0.57] in seeds
    assert [text.get_text() for text in ax.texts] == ["undistilled"] and "at 0.003" in alt


def test_differences_to_the_first_stand_beside_the_curves():
    curve = make_curve(ROWS, "probe_ap", "lr")
    one = {
        "method": ["freqkd_code"],
        "at": [0.001],
        "value": [-0.05],
        "low": [-0.1],
        "high": [0.01],
    }
    curve = Curve(**vars(curve) | {"differences": curve.points.iloc[:0].from_dict(one)})
    figure, alt = curve_figure(curve)
    left, right = figure.axes
    (line,) = [line for line in right.lines if line.get_label() == "FreqKD (code)"]
    assert line.get_ydata().tolist() == [-0.05] and right.get_ylabel() == "minus MSE"
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
    rings = {
        tuple(line.get_xydata()[0].round(2)) for line in ax.lines if line.get_markersize() == 11
    }
    assert {(0.5, 0), (0.36, 1), (0.35, 2)} < rings and len(rings) == 7
    crosses = {line.get_ydata()[0] for line in ax.lines if line.get_marker() == "x"}
    assert crosses == {2, 5} and "MSE: 0.300 at 0.001, 0.500 at 0.003" in alt


def test_what_lies_far_below_stands_at_the_edge_with_its_number():
    """The best ones and the level reach from .2 to .5, so the axis begins at .2 - .5 * .3 = .05."""
    low = [row("freqkd_code (lr=0.01)", 0.04), row("freqkd_code (lr=0.02)", 0.012)]
    figure, _ = curve_figure(make_curve(many(low), "probe_ap", "lr"))
    (ax,) = figure.axes
    marks = [line for line in ax.lines if line.get_marker() in list("v^osDP")]
    points = [tuple(line.get_xydata()[0].round(3)) for line in marks if len(line.get_xdata())]
    assert points.count((0.05, 6)) == 2 and min(x for x, _ in points) == 0.05
    assert ax.texts[0].get_text() == "0.04, 0.01 \N{LEFTWARDS ARROW}"
