"""What the high-band term charges and what losses pull at, against numbers worked by hand."""

import runpy

import numpy as np
import pytest
import torch

from freqkd_lite import losses
from freqkd_lite.spectrum import RINGS, ring_masks
from freqkd_lite.viz import high_band
from freqkd_lite.viz.style import COLOURS
from tests.noise import noise
from tests.viz.conftest import dashed, lines_of

T = np.linspace(-2, 2, 81)
FOLDED = {"freqkd_code": (np.abs(T) - 1) ** 2, "signed": (T - 1) ** 2}


def test_the_valleys_are_drawn_with_the_guess_dashed_at_the_nearest_cost():
    figure, alt = high_band.valleys(T, FOLDED, "four times as much as that")
    (ax,) = figure.axes
    assert lines_of(ax)["FreqKD (code)"].get_ydata() == pytest.approx(FOLDED["freqkd_code"])
    (guess,) = dashed(ax)
    left, right = guess.get_xdata()
    assert list(guess.get_ydata()) == [4, 4] and left < -1 < right
    assert "FreqKD (code) 0.00 at -1, 1.00 at 0, 0.00 at 1" in alt and "4.00 at -1" in alt
    assert not dashed(high_band.valleys(T, FOLDED)[0].axes[0])
    nothing, one, four = high_band.COSTS
    found = [high_band.nearest_cost(cost) for cost in (0.0, 0.4, 0.7, 2.4, 2.6, 9)]
    assert found == [nothing, nothing, one, one, four, four]


def test_the_histogram_holds_the_elements_and_marks_their_rms():
    elements = 0.04 * noise(4000)
    figure, alt = high_band.logs(elements)
    above, below = figure.axes
    counted = sum(patch.get_height() for patch in below.patches)
    assert counted == pytest.approx(4000, rel=0.002)
    marks = [float(np.ravel(line.get_xdata())[0]) for line in below.get_lines()]
    rms = float(elements.square().mean().sqrt())
    assert marks == pytest.approx([rms], rel=1e-4)
    straight, log = above.get_lines()[:2]
    assert log.get_ydata() == pytest.approx(np.log(1 + straight.get_xdata()))
    assert f"RMS {rms:.3f}" in alt


def wave_maps(k, size=1.0, n=16):
    """Two channels (1, 2, n, n): a cosine and a sine of k cycles along x."""
    angle = 2 * np.pi * k * torch.arange(n, dtype=torch.float64).expand(n, n) / n
    return size * torch.stack([angle.cos(), angle.sin()])[None]


def test_gradients_are_scaled_to_one_power_by_block_with_plain_mse_in_each_panel():
    low, high = wave_maps(1), wave_maps(7)
    sent = {"mse": [low + 2 * high, 100 * low], "freqkd_code": [low, low], "gram": [low, low]}
    figure, alt = high_band.gradients(sent)
    # rings: rho .125 in the first, .875 in the one up to .875; energies 1/5 and 4/5, then 1 and 0
    counts = [int(ring.sum()) for ring in ring_masks(16, 16, RINGS)]
    level = np.zeros(8)
    level[0], level[5] = (0.2 + 1) / 2 * 256 / counts[0], (0.8 + 0) / 2 * 256 / counts[5]
    for ax, name in zip(figure.axes, ("FreqKD (code)", "Gram"), strict=True):
        _, mse, other = ax.lines
        assert (mse.get_label(), other.get_label()) == ("MSE", name)
        assert mse.get_ydata() == pytest.approx(np.sqrt(level), abs=1e-9)
        assert other.get_ydata()[0] == pytest.approx(np.sqrt(256 / counts[0]))
    assert f"MSE {np.sqrt(level[0]):.2g} to 0" in alt


def test_every_loss_has_its_place_and_no_two_lines_of_a_panel_look_alike():
    drawn = ("mse", "cosine", *sum(high_band.PANELS.values(), ()))
    assert sorted(drawn) == sorted(losses.LOSSES)  # the cosine's gradient is MSE's, up to a factor
    for names in high_band.PANELS.values():
        spare = iter(high_band.SPARE)
        looks = [(COLOURS[n], "-") if n in COLOURS else next(spare) for n in ("mse", *names)]
        assert len({*looks}) == len(looks)


def test_a_new_loss_stands_in_a_panel_of_its_own():
    losses.register("l1")(losses.LOSSES["mse"])
    assert runpy.run_path(high_band.__file__)["PANELS"] == high_band.PANELS | {"Others": ("l1",)}
