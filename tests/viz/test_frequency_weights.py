"""Figures of notebook 10: what is drawn of weights and shares."""

import pytest

from freqkd_lite.losses.coherence import high_shares
from freqkd_lite.viz import frequency_weights as draw
from tests.losses.test_coherence import TWO


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
    shares = high_shares([TWO], 12, 16)
    plain = shares.pop("mse")
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(list(shares.values()))
    assert [bar.get_linestyle() for bar in bars] == ["solid", "solid", "--"]
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(plain)
    assert f"the coherence {shares['coherence']:.0%}" in alt and f"plain MSE {plain:.0%}" in alt
