"""Figures of notebooks 05 to 07 against the numbers that they must show."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from freqkd_lite.evaluate.segmentation import iou_by_border_distance
from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap.rings import EDGES, levels
from freqkd_lite.losses import LOSSES
from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.notebooks import by_distance, shared_classes
from freqkd_lite.spectrum import ring_sums
from freqkd_lite.viz import scores as figures
from tests.noise import noise
from tests.viz.conftest import dashed, lines_of


def test_every_loss_has_a_name_for_people_and_no_two_share_one():
    names = [method_name(loss) for loss in LOSSES]
    assert len(set(names)) == len(names) and not any("_" in name for name in names)


def test_curves_hold_the_levels():
    target, one, other = (noise(30, 4, 12, 16, seed=s) for s in range(3))
    maps = {"none": one, "mse": target + one, "freqkd_code": target + other / 2}
    measured = {m: levels([7], [ring_sums(target, x, EDGES)], draws=20) for m, x in maps.items()}
    figure, alt = figures.curves_by_method(measured, 7, EDGES)
    lines = lines_of(figure.axes[0])
    for method, level in measured.items():
        assert list(lines[NAMES[method]].get_ydata()) == [*level.estimates.values()]
    assert f"MSE from {measured['mse'].estimates['block7/ring0']:.2f}" in alt


def result(**figures):
    """Figures (value, interval), each with draws whose percentiles the interval is."""
    spans = {k: np.repeat([low, value, high], 20) for k, (value, (low, high)) in figures.items()}
    values = {k: value for k, (value, _) in figures.items()}
    return Resampled(estimates=values, draws=spans, truth=torch.zeros(1), seed=0)


def test_dots_stand_at_the_scores_and_seeds_behind_them():
    results = {
        "none": result(mean=(0.3, (0.2, 0.4))),
        "mse": result(mean=(0.5, (0.45, 0.6)), car=(0.1, (0.05, 0.2))),
    }
    seeds = pd.DataFrame([dict(method="mse", klass="mean", value=0.52, low=0.5, high=0.54)])
    figure, alt = figures.dots(results, ["mean", "car"], "Which?", "AP", seeds)
    lines = [x for x in figure.axes[0].get_lines() if len(x.get_xdata())]
    markers = [float(x.get_xdata()[0]) for x in lines if x.get_marker() == "o"]
    assert sorted(markers) == [0.1, 0.3, 0.5]  # and none for what is undefined
    (bar,) = [x for x in lines if x.get_linewidth() == 9]
    assert tuple(bar.get_xdata()) == (0.5, 0.54)
    assert "undistilled 0.30 [0.20, 0.40]" in alt and "car: undistilled none" in alt


def test_the_guessed_loser_is_pointed_at_in_the_detectors_panel():
    kept = {"low": [result(mean=(0.1, (0, 0.2))), result(mean=(0.3, (0.2, 0.4)))]}
    kept["high"] = [result(mean=(0.2, (0.1, 0.3))), result(mean=(0.05, (0, 0.1)))]
    both = {"detector": kept, "probe": kept}
    whole = {"detector": result(mean=(0.4, (0.4, 0.4))), "probe": result(mean=(0.6, (0.6, 0.6)))}
    low = figures.ERASED[0]
    figure, alt = figures.band_curves(both, [0.25, 0.5], whole, 0.5, "freqkd_code", low)
    # who erases the low band keeps the high one: its curve is the one expected to be lower
    (arrow,) = figure.axes[0].texts
    assert arrow.xy == (0.5, 0.05) and arrow.arrow_patch.get_linestyle() == "--"
    assert not figure.axes[1].texts
    drawn = lines_of(figure.axes[1])
    assert drawn["both bands"].get_ydata()[0] == 0.6
    assert list(drawn["high band only"].get_ydata()) == [0.2, 0.05]
    assert "detector, low band only, 0.10, 0.30" in alt and "probe 0.60" in alt


def test_border_curves_hold_the_means_and_frame_the_guess():
    far = result(a=(1, (1, 1)), b=(1, (1, 1)), c=(1, (1, 1)))
    near = result(a=(0.2, (0.1, 0.3)), b=(0.6, (0.5, 0.7)), c=(1, (1, 1)))
    found = by_distance({(1.0, 3.0): near, (3.0, math.inf): far}, ["a", "b"])
    assert found.estimates == pytest.approx({"1-3px": 0.4, "3-infpx": 1})
    assert found.interval["1-3px"] == pytest.approx((0.3, 0.5))
    distances = {"none": found, "mse": by_distance({(1.0, 3.0): far, (3.0, math.inf): far}, "ab")}
    figure, alt = figures.border_curves(distances, ["a", "b"], "interior")
    drawn = lines_of(figure.axes[0])
    assert drawn["MSE"].get_ydata() == pytest.approx([1, 1])
    assert drawn["undistilled"].get_ydata() == pytest.approx([0.4, 1])
    frames = dashed(figure.axes[0])
    assert [round(p.get_x() + p.get_width() / 2) for p in frames] == [1]
    assert "1-3, 3 and more" in alt


def test_classes_are_shared_that_have_true_pixels_at_every_distance():
    """A thin pole in the road has no interior, and there is no car."""
    street = torch.zeros(1, 40, 40, dtype=torch.int64)
    street[:, 20:] = 1
    street[:, 24:, 18:20] = 2
    classes = ("sky", "road", "pole", "car")
    rings = iou_by_border_distance(street, street, [1, 3, math.inf], classes, draws=2)
    assert shared_classes(rings, classes) == ["sky", "road"]
