"""Figures of notebook 10: shares by hand, and words that follow from them."""

import matplotlib.pyplot as plt
import pytest
import torch

from freqkd_lite.spectrum import radius
from freqkd_lite.viz import weights as draw


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def state(coherence, power, mismatched=0.0):
    points = (0.0, 0.5, 0.5001, 1.0)
    return {"rho": torch.tensor(points), "coherence": torch.tensor(coherence),
            "power": torch.tensor(power), "mismatched": torch.full((4,), mismatched)}  # fmt: skip


TWO = state([0.5, 0.5, 0.25, 0.25], [4.0, 4.0, 1.0, 1.0])


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
    expected = {n: high * b / (low * 4 * a + high * b) for n, (a, b) in levels.items()}
    assert draw.high_shares([TWO], h, w) == pytest.approx(expected)
    one = draw.high_shares([state([1.0, 1.0, 0.0, 0.0], [4.0, 4.0, 1.0, 1.0])], h, w)
    assert one["coherence"] == 0
    both = draw.high_shares([TWO, state([1.0, 1.0, 0.0, 0.0], [4.0, 4.0, 1.0, 1.0])], h, w)
    assert both["coherence"] == pytest.approx(expected["coherence"] / 2)


def test_the_words_follow_the_shares():
    shares = {"coherence": 0.1, "gls": 0.7, "step": 0.05}
    text = draw.conclusion(shares, "the coherence")
    assert "generalised least squares asks for the most (70%" in text
    assert "FreqKD's step for the least (5%" in text and "You guessed: the coherence." in text
    turned = draw.conclusion({**shares, "gls": 0.01}, "the coherence")
    assert "the coherence asks for the most (10%" in turned and "You guessed it." in turned
    assert "guess" not in draw.conclusion(shares)


def test_figures_draw_the_numbers_and_say_them():
    figure, alt = draw.measured([TWO], [3])
    assert "block 3: 0.50 to 0.25, mismatched 0.00 to 0.00" in alt
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.5, 0.5, 0.25, 0.25])
    figure, alt = draw.compared([TWO], 12, 16, guess="FreqKD's step")
    shares = draw.high_shares([TWO], 12, 16)
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx(list(shares.values()))
    assert [bar.get_linestyle() for bar in bars] == ["solid", "solid", "--"]
    assert f"the coherence {shares['coherence']:.0%}" in alt
    # plain MSE weighs the teacher's power alone, here 4 up to the cutoff and 1 beyond it
    low, high = ((radius(12, 16) <= 0.5).sum().item(), (radius(12, 16) > 0.5).sum().item())
    plain = high / (4 * low + high)
    assert draw.plain_share([TWO], 12, 16) == pytest.approx(plain)
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(plain)
    assert f"plain MSE {plain:.0%}." in alt
