"""Two valleys: costs in closed form, where balls come to rest, and the page in a browser."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.widgets import valleys
from freqkd_lite.widgets.valleys import STEPS, costs_of, resting_point
from tests.refused import refused
from tests.widgets.browser_helpers import needs_chromium, settle

HIGHS = [torch.tensor([[[[0.5, -0.5], [0.5, 0.5]]]])]  # all of one size, a = 0.5


def at(curve, t):
    return float(np.interp(t, STEPS, curve))


def test_costs_in_closed_form_add_up_over_blocks():
    costs = costs_of(HIGHS)
    a = 0.5
    for t in (-2, -1, -0.5, 0, 0.5, 1, 1.75):
        assert at(costs["mse"], t) == pytest.approx((t - 1) ** 2)
        code = (math.log(1 + abs(t) * a) - math.log(1 + a)) ** 2 / math.log(1 + a) ** 2
        assert at(costs["freqkd_code"], t) == pytest.approx(code)
        # c is the median, here a itself
        assert at(costs["robust"], t) == pytest.approx(math.log(1 + (t - 1) ** 2) / math.log(2))
    two = costs_of([HIGHS[0], torch.tensor([1.5, -1.5, 1.5, 4.5])])  # medians .5 and 1.5

    def code(t):
        each = [math.log((1 + abs(t) * a) / (1 + a)) ** 2 for a in (0.5, 1.5, 4.5)]
        return each[0] + (3 * each[1] + each[2]) / 4

    def robust(t):
        one, three = (math.log(1 + (k * (t - 1)) ** 2) for k in (1, 3))
        return 0.5**2 * one + 1.5**2 * (3 * one + three) / 4

    assert at(two["freqkd_code"], 2) == pytest.approx(code(2) / code(0))
    assert at(two["robust"], -1) == pytest.approx(robust(-1) / robust(0))


@pytest.mark.parametrize("start", [-2, -0.5, 0.3, 2])
def test_the_coded_loss_keeps_the_sign_a_ball_starts_with(start):
    found = {name: resting_point(cost, start) for name, cost in costs_of(HIGHS).items()}
    expected = {"mse": 1, "robust": 1, "freqkd_code": math.copysign(1, start)}
    assert found == pytest.approx(expected, abs=0.02)


def test_the_text_tells_where_the_balls_rest_and_what_does_not_fit_is_refused():
    assert "MSE 1.00; FreqKD (code) -1.00" in valleys(HIGHS, t=-0.5).alt_text()
    refused("t=3", valleys, HIGHS, t=3)
    refused("split_bands", valleys, [torch.zeros(1, 1, 2, 2)])


@needs_chromium
def test_a_page_without_kernel_rolls_its_balls(opened):
    shown = valleys(HIGHS, t=-0.5)
    page = opened(shown, reduced_motion="reduce")
    root = page.locator(".freqkd-valleys")
    captions = root.locator("figcaption")

    def places():
        return [float(text.split()[1].rstrip(",")) for text in captions.all_inner_texts()]

    assert places() == [-0.5] * 3
    assert "cost 2.25, slope -3.00" in captions.all_inner_texts()[0]
    # The arrow points down the slope: right on the MSE, left in the coded loss's second valley.
    arrows = [
        page.evaluate("(l) => l.getAttribute('x2') - l.getAttribute('x1')", line)
        for line in root.locator("line.arrow").element_handles()
    ]
    assert arrows[0] > 0 > arrows[1]
    root.get_by_role("button").click()
    rests = [resting_point(cost, -0.5) for cost in shown.costs.values()]
    assert places() == pytest.approx(rests, abs=0.006)
    root.get_by_role("slider").fill("50")  # to t = 0.5, and let go
    settle(page)
    assert places() == pytest.approx([1, 1, 1], abs=0.02)
