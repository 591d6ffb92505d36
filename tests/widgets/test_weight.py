"""Draw your own weight: the page's numbers are those of the loss and its autograd, by mouse and by
keys."""

import re

import numpy as np
import pytest
import torch

from freqkd_lite.losses import normalise
from freqkd_lite.spectrum import radius
from tests.refused import refused
from tests.widgets.browser_helpers import drag, needs_chromium, settle
from tests.widgets.test_widgets import MAPS, drawn

CURVE = [1, 0.5, 0.8, 0.1, 0.3, 0, 0.2, 0.9]


def by_autograd(weight):
    """Loss and gradient by ring of a weight at each bin, with a Fourier transform in the loss."""
    student, teacher = (normalise(x).double() for x in (MAPS[:1], MAPS[1:2]))
    student.requires_grad_()

    def cost(x):
        return (weight * torch.fft.fft2(x - teacher).abs() ** 2).sum()

    loss = cost(student) / cost(torch.zeros_like(student))
    (gradient,) = torch.autograd.grad(loss, student)
    power = (torch.fft.fft2(gradient, norm="ortho").abs() ** 2).sum((0, 1)).numpy()
    ring = np.minimum(radius(*power.shape).numpy() / 2**0.5 * 8 + 1e-6, 7).astype(int)
    return loss.item(), np.sqrt(np.bincount(ring.ravel(), power.ravel(), 8))


@needs_chromium
def test_loss_and_gradient_are_those_of_autograd_by_mouse_and_by_keys(opened):
    page = opened(drawn())
    points = page.get_by_role("slider")
    for point, value in zip(points.all(), CURVE, strict=True):
        point.press("Home")
        for _ in range(round(value / 0.05)):
            point.press("ArrowUp")
    settle(page)
    assert [float(p.get_attribute("aria-valuenow")) for p in points.all()] == CURVE
    rho = radius(*MAPS.shape[-2:])
    weight = np.interp(rho, (np.arange(8) + 0.5) * 2**0.5 / 8, CURVE)
    loss, pulls = by_autograd(torch.tensor(weight))
    plain, flat = by_autograd(torch.ones(rho.shape))
    printed = page.get_by_role("status").inner_text()
    assert f"pair: {loss:.2f}. Plain MSE: {plain:.2f}." in printed
    bars = page.get_by_role("img", name="Gradient").get_attribute("aria-label")
    bars = list(map(float, re.findall(r"\d\.\d+", bars)))
    assert bars == pytest.approx(np.append(pulls, flat) / np.linalg.norm(flat), abs=0.006)

    box = points.nth(3).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    drag(page, (x, y), (x + 3, y - 2000), steps=5)
    settle(page)
    assert points.nth(3).get_attribute("aria-valuenow") == "1.00"
    page.get_by_label("Start from").select_option("low band only")
    settle(page)
    now = [p.get_attribute("aria-valuenow") for p in points.all()]
    assert now == ["1.00"] * 3 + ["0.00"] * 5
    rows = [row.inner_text().split("\t") for row in page.locator("tbody tr").all()]
    assert [row[0] for row in rows][-2:] == ["drawn by you", "low band only"]
    assert ["coherence weight", "-0.02 [-0.12, +0.08]"] in [[row[0], row[2]] for row in rows]
    for point in points.all():
        point.press("Home")
    settle(page)
    assert "All weights are 0" in page.get_by_role("status").inner_text()


def test_weights_that_are_none_are_refused():
    shown = drawn()
    for curve in ([0.5] * 7, [1.1] * 8, [-0.1] * 8):
        refused("curve=.* 8 .* 0 to 1", setattr, shown, "curve", curve)
