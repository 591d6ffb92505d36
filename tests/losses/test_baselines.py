"""The wavelet by hand and UNIC's parts by SciPy; all but the wavelet stand beside their original
code in test_peers."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.special import huber

from freqkd_lite.losses import build_loss
from freqkd_lite.losses.baselines import haar
from tests.noise import noise


def parts(name, student, teacher, **options):
    found = build_loss(name, **options)([student], [teacher]).parts
    return {key.removeprefix("block0/"): value.item() for key, value in found.items()}


def test_unic_is_cosine_and_huber_of_channels_standardised_by_the_teacher():
    student, teacher = noise(3, 4, 5, 6), noise(3, 4, 5, 6, seed=1) * 2 + 0.5
    tokens = [x.movedim(1, -1).reshape(-1, 4).numpy() for x in (student, teacher)]
    mean, spread = tokens[1].mean(0), tokens[1].std(0, ddof=1)
    s, t = ((x - mean) / spread for x in tokens)
    cosine = np.mean([scipy_cosine(a, b) for a, b in zip(s, t, strict=True)])
    expected = {"cosine": cosine / 2, "smooth_l1": huber(1, s - t).mean() / 2}
    assert parts("unic", student, teacher) == pytest.approx(expected)


def test_haar_by_hand():
    x = torch.tensor([[[[1.0, 2.0, 5.0], [3.0, 8.0, 5.0]]]])  # the odd last column is repeated
    low, details = haar(x)
    assert low.tolist() == [[[[7.0, 10.0]]]]
    # left less right, top less bottom, diagonal; each half
    assert details[0, :, 0, 0, 0].tolist() == [-3.0, -4.0, 2.0]
    assert details[0, :, 0, 0, 1].tolist() == [0.0, 0.0, 0.0]


def test_wavelet_of_one_wave_by_hand():
    """A checkerboard of +-1 is all diagonal detail of the first level, of size 2; so is a constant
    of 1 all coarse: 2 after one level, 4 after two."""
    y, x = torch.arange(8)[:, None], torch.arange(8)
    board, zero = (1.0 - 2 * ((x + y) % 2))[None, None], torch.zeros(1, 1, 8, 8)
    # one of three details at the first of two levels
    assert parts("wavelet", board, zero, levels=2.0) == pytest.approx({"low": 0, "high": 2 / 3 / 2})
    assert parts("wavelet", zero + 1, zero, levels=2.0) == pytest.approx({"low": 4, "high": 0})
    half = parts("wavelet", board, zero, levels=1.0, high_weight=0.5)
    assert half == pytest.approx({"low": 0, "high": 1 / 3})
    # A side of 1 ends it: levels that don't exist cost nothing.
    assert parts("wavelet", zero + 1, zero, levels=9.0)["low"] == pytest.approx(8)
