"""Figures of notebooks 05 to 07 against the numbers that they must show."""

import numpy as np
import pandas as pd
import pytest
import torch

from freqkd_lite.evaluate.segmentation import border_distance, iou_by_border_distance
from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap.rings import EDGES, levels
from freqkd_lite.losses import LOSSES
from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.notebooks import by_distance, shared_classes
from freqkd_lite.spectrum import ring_sums
from freqkd_lite.viz import scores as figures
from tests.viz.conftest import dashed, lines_of, noise


def test_every_loss_has_a_name_for_people_and_no_two_share_one():
    names = [method_name(loss) for loss in LOSSES]
    assert len(set(names)) == len(names) and not any("_" in name for name in names)


def test_curves_hold_the_levels():
    target, one, other = (noise(seed, 30, 4, 12, 16) for seed in (1, 9, 2))
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
    kept = {
        "low": [result(mean=(0.1, (0, 0.2))), result(mean=(0.3, (0.2, 0.4)))],
        "high": [result(mean=(0.2, (0.1, 0.3))), result(mean=(0.05, (0, 0.1)))],
    }
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


CLASSES = ("sky", "road", "pole", "car")


def street():
    """Masks of sky (0) over road (1) with a thin pole (2) in the road: (6, 40, 40)."""
    mask = torch.zeros(6, 40, 40, dtype=torch.int64)
    mask[:, 20:] = 1
    mask[:, 24:, 18:20] = 2
    return mask


def spoiled(mask, share):
    """Predictions wrong for a share of the pixels within 3 px of a border."""
    chance = torch.rand(mask.shape, generator=torch.Generator().manual_seed(5))
    wrong = (border_distance(mask) < 3) & (chance < share)
    return torch.where(wrong, (mask + 1) % 2, mask)


def rings(predictions):
    return iou_by_border_distance(predictions, street(), [1, 3, float("inf")], CLASSES, draws=100)


def test_border_curves_hold_the_means_and_frame_the_guess():
    found = {"none": rings(spoiled(street(), 0.4)), "freqkd_code": rings(street())}
    shared = shared_classes(found["none"], CLASSES)
    assert shared == ["sky", "road"]  # a pole has no interior, and there is no car
    distances = {method: by_distance(of, shared) for method, of in found.items()}
    figure, alt = figures.border_curves(distances, shared, "interior")
    drawn = lines_of(figure.axes[0])
    assert drawn["FreqKD (code)"].get_ydata() == pytest.approx([1, 1])
    of = found["none"][1, 3].estimates
    assert drawn["undistilled"].get_ydata()[0] == pytest.approx((of["sky"] + of["road"]) / 2)
    frames = dashed(figure.axes[0])
    assert [round(p.get_x() + p.get_width() / 2) for p in frames] == [1]
    assert "1-3, 3 and more" in alt


def test_by_distance_averages_the_named_classes_and_their_draws():
    ring = Resampled(
        estimates={"a": 0.2, "b": 0.6, "c": 1.0},
        truth=torch.zeros(1),
        seed=0,
        draws={"a": np.array([0.1, 0.3]), "b": np.array([0.5, 0.7]), "c": np.ones(2)},
    )
    found = by_distance({(1.0, 3.0): ring}, ["a", "b"])
    assert found.estimates == {"1-3px": pytest.approx(0.4)}
    assert found.draws["1-3px"] == pytest.approx([0.3, 0.5])
