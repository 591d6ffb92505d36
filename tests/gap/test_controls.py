"""Controls: what they do to pictures, worked by hand."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.data import Pair
from freqkd_lite.data.alignment import Offset
from freqkd_lite.gap import controls
from freqkd_lite.gap.controls import CONTROLS, Views
from tests.gap.worlds import pixels_backbone
from tests.refused import refused


@pytest.fixture
def backbone():
    made = pixels_backbone()
    made.patch = 14
    return made


def views_of(images, infrared=None, blocks=(0,), backbone=None, partner=None, **about):
    heat = images if infrared is None else infrared
    pairs = [Pair(str(i), *both) for i, both in enumerate(zip(images, heat, strict=True))]
    return Views(backbone, blocks, pairs, partner, **about)


def changed(name, images, backbone, **about):
    """What a control compares the pictures with."""
    return CONTROLS[name].maps(views_of(images, backbone=backbone, **about))[1][0]


def test_pixel_changes_by_hand(backbone):
    """A picture of 1x2: half grey, and pure red."""
    x = torch.tensor([[[0.5, 1.0]], [[0.5, 0.0]], [[0.5, 0.0]]])[None]
    greys = torch.tensor([0.5, 0.299]).expand(3, 1, 2)
    torch.testing.assert_close(controls.grey_copy(x)[0], greys, atol=1e-3, rtol=0)
    assert torch.equal(changed("gamma", x, backbone), x**2)
    # the mean of 3 x .5, 1, 0, 0 is 2.5 / 6; contrast halves about it
    torch.testing.assert_close(controls.flattened(x), (x + 2.5 / 6) / 2)
    ramp = torch.linspace(0.2, 0.6, 201).expand(1, 3, 1, 201)
    wide = controls.stretched(ramp)[0, 0, 0]
    # .5 and 99.5 % of 201 equal steps, three of each value: steps 1 and 199 become 0 and 1
    expected = torch.tensor([0, 0, 0.5, 1, 1])
    torch.testing.assert_close(wide[[0, 1, 100, 199, 200]], expected, atol=1e-2, rtol=0)


def test_blur_is_a_gaussian_of_one_pixel_and_noise_depends_on_the_place(backbone):
    dot = torch.zeros(1, 3, 9, 9)
    dot[..., 4, 4] = 1
    weights = [math.exp(-(k**2) / 2) for k in range(-3, 4)]
    side, centre = weights[4] / sum(weights), weights[3] / sum(weights)
    blurred = changed("blur", dot, backbone)[0, 0]
    assert blurred[4, 4:6].tolist() == pytest.approx([centre**2, centre * side])
    grey = torch.full((2, 3, 50, 50), 0.5)
    once, again, other = (changed("noise", grey, backbone, place=k) for k in (0, 0, 8))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert (once - grey).std() == pytest.approx(0.05, rel=0.03)
    assert (once[0] - once[1]).abs().max() > 0 and controls.noisy(grey + 0.5, 1).max() == 1


def test_a_rotated_picture_has_no_invented_border_and_is_rotated_about_its_centre():
    """A picture that is 1 everywhere stays so; of a ramp in x, the rotated window rises by cos 1 to
    the right and by sin 1 upwards or downwards, per pixel."""
    ones = controls.rotated(torch.ones(1, 3, 84, 112))
    assert all(x.shape[-2:] == (70, 98) and (x > 0.9999).all() for x in ones)
    ramp = torch.arange(112.0).expand(1, 3, 84, 112)
    plain, turned = controls.rotated(ramp)
    assert (plain[..., 1:] - plain[..., :-1]).unique().tolist() == [1.0]
    right, down = (turned.diff(dim=d)[0, 0].mean() for d in (-1, -2))
    assert right == pytest.approx(math.cos(math.radians(1)), abs=1e-4)
    assert abs(down) == pytest.approx(math.sin(math.radians(1)), abs=1e-3)
    assert float(turned.mean()) == pytest.approx(float(plain.mean()), abs=0.05)
    refused("14x14", controls.rotated, torch.ones(1, 3, 14, 14))


@pytest.mark.parametrize("pixels", [1, 2, 4, 8])
def test_shifts_share_their_left_picture_and_differ_by_their_pixels(pixels, backbone):
    images = torch.arange(3 * 14 * 56.0).reshape(1, 3, 14, 56)
    views = views_of(images, backbone=backbone)
    left, right = CONTROLS[f"shift{pixels}"].maps(views)
    assert left[0].shape[-1] == 42 and torch.equal(left[0], images[..., :42])
    assert torch.equal(right[0], images[..., pixels : pixels + 42])
    CONTROLS["shift4" if pixels != 4 else "shift2"].maps(views)
    assert sum(backbone.net.batches) == 3  # the left one was there
    refused("50 px", controls.shifted, images, 50, 14)


def test_every_control_compares_two_lists_of_maps_of_one_shape_aligned_by_whole_pixels(backbone):
    draw = np.random.default_rng(0)
    images, heat = torch.from_numpy(draw.random((2, 2, 3, 70, 84))).float()
    views = views_of(images, heat, [0, 1], backbone, partner=lambda: torch.ones(1, 3, 70, 84))
    for name, control in CONTROLS.items():
        a, b = control.maps(views)
        assert [m.shape for m in a] == [m.shape for m in b] and len(a) == 2, name
    assert controls.steps(Offset(2.6, -1.2, 9.0), 14) == (-1, 3)
    assert controls.steps(Offset(2.6, -1.2, 5.9), 14) == (0, 0)
    assert controls.steps(Offset(14.6, 0.0, 9.0), 14) == (0, 0)
