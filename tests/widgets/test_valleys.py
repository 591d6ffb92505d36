"""Two valleys: costs in closed form, where balls come to rest, and the page in a browser."""

import math
import shutil

import numpy as np
import pytest
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.widgets.valleys import STEPS, Valleys, costs_of, rest, valleys

HIGHS = [torch.tensor([[[[0.5, -0.5], [0.5, 0.5]]]])]  # all of one size, a = 0.5


def at(curve, t):
    return float(np.interp(t, STEPS, curve))


def test_costs_in_closed_form():
    costs = costs_of(HIGHS)
    a = 0.5
    for t in (-2, -1, -0.5, 0, 0.5, 1, 1.75):
        assert at(costs["mse"], t) == pytest.approx((t - 1) ** 2)
        code = (math.log(1 + abs(t) * a) - math.log(1 + a)) ** 2 / math.log(1 + a) ** 2
        assert at(costs["code"], t) == pytest.approx(code)
        # c is the median, here a itself
        assert at(costs["robust"], t) == pytest.approx(math.log(1 + (t - 1) ** 2) / math.log(2))


def test_blocks_add_up():
    two = costs_of([HIGHS[0], 3 * HIGHS[0]])
    code = sum((math.log(1 + 2 * a) - math.log(1 + a)) ** 2 for a in (0.5, 1.5))
    none = sum(math.log(1 + a) ** 2 for a in (0.5, 1.5))
    assert at(two["code"], 2) == pytest.approx(code / none)


@pytest.mark.parametrize("start", [-2, -0.5, 0.3, 2])
def test_the_coded_loss_keeps_the_sign_a_ball_starts_with(start):
    found = {name: rest(cost, start) for name, cost in costs_of(HIGHS).items()}
    expected = {"mse": 1, "robust": 1, "code": math.copysign(1, start)}
    assert found == pytest.approx(expected, abs=0.02)


def test_words_and_picture_tell_where_the_balls_rest():
    shown = valleys(HIGHS, t=-0.5)
    assert (
        "let go at t = -0.50 comes to rest at MSE: 1.00; FreqKD (code): -1.00" in shown.alt_text()
    )
    strip = shown.filmstrip()
    assert strip.width == 3 * 244 and len(strip.getcolors(99_999)) > 4
    data = shown._repr_mimebundle_()[0]
    assert shown.alt_text() in data["text/plain"] and "http://" not in data["text/plain"]


def test_what_does_not_fit_is_told():
    with pytest.raises(UserError, match="t=3 is off the slope"):
        valleys(HIGHS, t=3)
    with pytest.raises(UserError, match="with a high band"):
        valleys([torch.zeros(1, 1, 2, 2)])


def test_a_page_without_kernel_rolls_its_balls(tmp_path):
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: no browser tests"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium: the page of the valleys is not run")
    file = tmp_path / "page.html"
    shown = Valleys(costs_of(HIGHS), t=-0.5)
    file.write_text(f"<!doctype html><meta charset='utf-8'><body>{shown.page_html()}")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(offline=True, reduced_motion="reduce")
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        root = page.locator(".freqkd-valleys")
        root.wait_for()
        words = root.locator("svg + div")
        before = words.all_inner_texts()
        assert [w.split(",")[0] for w in before] == ["t -0.50"] * 3
        assert "cost 2.25, slope -3.00" in before[0]
        # The arrow points down the slope: right on the MSE, left in the coded loss's second valley.
        arrows = [page.evaluate("(l) => l.getAttribute('x2') - l.getAttribute('x1')", line)
                  for line in root.locator("line.arrow").element_handles()]  # fmt: skip
        assert arrows[0] > 0 > arrows[1]
        root.get_by_role("button").click()
        after = [float(w.split()[1].rstrip(",")) for w in words.all_inner_texts()]
        expected = [rest(cost, -0.5) for cost in shown.costs.values()]
        assert after == pytest.approx(expected, abs=0.006)
        root.get_by_role("slider").fill("0.5")  # dragged and let go
        page.wait_for_function(
            "() => [...document.querySelectorAll('.freqkd-valleys svg + div')].length === 3"
        )
        after = [float(w.split()[1].rstrip(",")) for w in words.all_inner_texts()]
        assert after == pytest.approx([1, 1, 1], abs=0.02)
        page.screenshot(path=tmp_path / "valleys.png", full_page=True)
        assert said == []
        browser.close()
