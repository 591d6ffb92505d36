"""The mean over space: what an offset costs under each treatment, by hand and in closed form."""

from functools import partial

import numpy as np
import pytest
import torch

from freqkd_lite.losses import LOSSES, build_loss, calibrate
from freqkd_lite.losses.mean import centred
from tests.losses.test_base import OF_TEACHER, SEES_OFFSET, ready
from tests.noise import noise
from tests.refused import refusals

NORMALISED = sorted(set(OF_TEACHER) - SEES_OFFSET - {"pkd", "cwd"})


def cosine_of_means(a, b):
    """Mean over images of the cosine of two maps' means, by NumPy."""
    a, b = (x.numpy().mean((2, 3)) for x in (a, b))
    return np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("name", NORMALISED)
def test_an_offset_of_channels_costs_where_the_mean_is_kept(name):
    """Where it is removed, such an offset costs nothing: tests/losses/test_base.py."""
    teacher = noise(3, 7, 5, 6)
    student = teacher + noise(1, 7, 1, 1, seed=1)
    loss = ready(name, [0.5 * teacher + noise(3, 7, 5, 6, seed=4)], [teacher], mean="kept")
    assert loss([student], [teacher]).total > 1e-5 or name == "high_only"  # it is in the low band


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_matched_mean_is_a_part_of_its_own_with_its_weight(name):
    teachers = [noise(3, 7, 5, 6, seed=1), noise(3, 4, 6, 6, seed=2)]
    students = [0.5 * t + noise(*t.shape, seed=3) for t in teachers]
    plain = ready(name, students, teachers)(students, teachers)
    matched = ready(name, students, teachers, mean="matched", mean_weight=0.3)
    found = matched(students, teachers)
    cosines = map(cosine_of_means, students, teachers)
    # by hand: MSE of unit vectors of 7 channels is 2 (1 - cosine) / 7
    added = {f"block{i}/mean": 0.6 * (1 - c) / (7, 4)[i] for i, c in enumerate(cosines)}
    assert plain.parts.keys() == found.parts.keys() - added
    assert {key: found.parts[key].item() for key in added} == pytest.approx(added)
    assert (found.total - plain.total).item() == pytest.approx(sum(added.values()))


def test_kept_by_hand():
    # Two tokens (3, 4) and (4, 3) beside (1, 0) twice: cosines .6 and .8, MSE 2 (1 - .7) / 2.
    student = torch.tensor([[[[3.0, 4.0]], [[4.0, 3.0]]]])
    teacher = torch.tensor([[[[5.0, 1.0]], [[0.0, 0.0]]]])
    kept = {name: build_loss(name, mean="kept") for name in ("mse", "cosine")}
    assert kept["mse"]([student], [teacher]).total.item() == pytest.approx(0.3)
    assert kept["cosine"]([student], [teacher]).total.item() == pytest.approx(0.3)
    assert (centred(student).mean((2, 3)) == 0).all()  # afterwards, as before


def test_the_mean_is_kept_in_calibration_too():
    """A constant map of 4 channels has all of its energy at zero: 2 x 5 tokens of length 1."""
    maps = [noise(3, 4, 2, 5)], [torch.ones(3, 4, 2, 5)]
    (state,) = calibrate("coherence", [maps], mean="kept")
    zero, *others = state["power"].tolist()
    assert zero == pytest.approx(10 / 4) and others == pytest.approx([0] * len(others))


test_bad_options_name_what_to_change = refusals(
    ({"mean": "keep"}, "'kept'"),
    ({"mean_weight": 0.5}, "leave out mean_weight"),
    ({"mean": "matched", "mean_weight": -1}, "0 or more"),
    ({"means": "kept"}, "'mean'"),
    call=partial(build_loss, "gram"),
)
