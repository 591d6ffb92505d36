"""Baselines against NumPy, SciPy, numbers worked by hand and closed forms."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.special import huber, softmax
from scipy.stats import entropy

from freqkd_lite.losses import build_loss
from freqkd_lite.losses.baselines import haar
from tests.noise import noise


def parts(name, student, teacher, **options):
    found = build_loss(name, **options)([student], [teacher]).parts
    return {key.removeprefix("block0/"): value.item() for key, value in found.items()}


S, T = noise(3, 4, 5, 6), noise(3, 4, 5, 6, seed=1) * 2 + 0.5


def test_mse_raw_is_the_square_and_pkd_one_minus_pearson_by_channel():
    assert parts("mse_raw", S, T)["all"] == pytest.approx(((S - T).numpy() ** 2).mean())
    rs = [np.corrcoef(S[:, c].ravel(), T[:, c].ravel())[0, 1] for c in range(4)]
    assert parts("pkd", S, T)["all"] == pytest.approx(1 - np.mean(rs))


def test_unic_is_cosine_and_huber_of_channels_standardised_by_the_teacher():
    tokens = [x.movedim(1, -1).reshape(-1, 4).numpy() for x in (S, T)]
    mean, spread = tokens[1].mean(0), tokens[1].std(0, ddof=1)
    s, t = ((x - mean) / spread for x in tokens)
    cosine = np.mean([scipy_cosine(a, b) for a, b in zip(s, t, strict=True)])
    expected = {"cosine": cosine / 2, "smooth_l1": huber(1, s - t).mean() / 2}
    assert parts("unic", S, T) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_cwd_is_scipys_entropy_of_distributions_over_space(temperature):
    s, t = (softmax(x.flatten(2).numpy() / temperature, axis=2) for x in (S, T))
    expected = temperature**2 * entropy(t, s, axis=2).mean()
    assert parts("cwd", S, T, temperature=temperature)["all"] == pytest.approx(expected)


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


@pytest.mark.parametrize("h,w", [(5, 6), (4, 7)])
def test_spectralkd_is_that_of_numpy(h, w):
    s, t = noise(2, 3, h, w), noise(2, 3, h, w, seed=1)
    spectrum = np.fft.fft2((s - t).numpy(), norm="ortho")[..., : w // 2 + 1]
    expected = (spectrum.real**2 + spectrum.imag**2).mean() / 2
    assert parts("spectralkd", s, t)["all"] == pytest.approx(expected)


def test_gram_by_loops():
    s, t = (x.flatten(2).numpy() for x in (S, T))
    total = 0
    for n, i, j in np.ndindex(3, 30, 30):
        one, other = (1 - scipy_cosine(x[n, :, i], x[n, :, j]) for x in (s, t))
        total += (one - other) ** 2
    assert parts("gram", S, T)["all"] == pytest.approx(total / (3 * 30 * 30))


def test_attention_by_hand():
    # Squares summed over channels: 25, 25 against 25, 0; to norm 1: 1/sqrt 2 each against 1, 0.
    s = torch.tensor([[[[3.0, 5.0]], [[4.0, 0.0]]]])
    t = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    r = 2**-0.5
    assert parts("attention", s, t)["all"] == pytest.approx((1 - r) ** 2 + r**2)
