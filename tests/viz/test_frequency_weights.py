"""Figures of notebook 10: weights and shares worked by hand, and what is drawn of them."""

import pytest
import torch

from freqkd_lite.spectrum import radius
from freqkd_lite.viz import frequency_weights as draw


def measured(low, high):
    """Of these coherences up to rho .5 and beyond, where the power is 4 and 1."""
    columns = dict(rho=(0.0, 0.5, 0.5001, 1.0), coherence=(low, low, high, high))
    columns |= dict(power=(4.0, 4.0, 1.0, 1.0), mismatched=(0.0,) * 4)
    return {name: torch.tensor(column) for name, column in columns.items()}


TWO, BLIND = measured(0.5, 0.25), measured(1.0, 0.0)


def test_weights_and_shares_by_hand():
    """Two levels: coherence .5 and .25 over power 4 and 1, with the step between them."""
    h, w = 12, 16
    rho = radius(h, w)
    low, high = int((rho <= 0.5).sum()), int((rho > 0.5).sum())
    found = draw.weights_of(TWO, h, w)
    # unpredicted power 2 and .75
    levels = {"coherence": (1, 0.5), "gls": (0.75 / 2, 1), "step": (1, 0.1)}
    for name, (at_low, at_high) in levels.items():
        assert found[name][0, 0].item() == pytest.approx(at_low), name
        assert found[name][6, 8].item() == pytest.approx(at_high), name
    levels["mse"] = (1, 1)
    expected = {n: high * b / (low * 4 * a + high * b) for n, (a, b) in levels.items()}
    assert draw.high_shares([TWO], h, w) == pytest.approx(expected)
    assert draw.high_shares([BLIND], h, w)["coherence"] == 0
    both = draw.high_shares([TWO, BLIND], h, w)
    assert both["coherence"] == pytest.approx(expected["coherence"] / 2)


def test_the_largest_share_wins_and_ties_follow_the_name():
    shares = {"coherence": 0.1, "gls": 0.7, "step": 0.05, "mse": 0.9}
    assert draw.largest(shares) == draw.ANSWERS["gls"]
    assert draw.largest(shares | {"step": 0.7 + 1e-9}) == draw.ANSWERS["gls"]
    assert draw.largest(shares | {"coherence": 0.8}) == draw.ANSWERS["coherence"]


def test_figures_draw_the_numbers():
    figure, alt = draw.measured([TWO], [3])
    assert "block 3 0.50 to 0.25, mismatched pairs 0.00 to 0.00" in alt
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.5, 0.5, 0.25, 0.25])
    figure, alt = draw.compared([TWO], 12, 16, guess="FreqKD's step")
    shares = draw.high_shares([TWO], 12, 16)
    plain = shares.pop("mse")
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(list(shares.values()))
    assert [bar.get_linestyle() for bar in bars] == ["solid", "solid", "--"]
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(plain)
    assert f"the coherence {shares['coherence']:.0%}" in alt and f"plain MSE {plain:.0%}" in alt
