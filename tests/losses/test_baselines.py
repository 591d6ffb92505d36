"""Rivals against NumPy, SciPy, numbers worked by hand and closed forms."""

import math

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


def test_haar_by_hand_and_that_it_keeps_the_energy():
    x = torch.tensor([[[[1.0, 2.0, 5.0], [3.0, 8.0, 5.0]]]])  # the odd last column is repeated
    low, details = haar(x)
    assert low.tolist() == [[[[7.0, 10.0]]]]
    # left less right, top less bottom, diagonal; each half
    assert details[0, :, 0, 0, 0].tolist() == [-3.0, -4.0, 2.0]
    assert details[0, :, 0, 0, 1].tolist() == [0.0, 0.0, 0.0]
    low, details = haar(noise(2, 3, 8, 6))
    whole = noise(2, 3, 8, 6).square().sum().item()
    assert (low.square().sum() + details.square().sum()).item() == pytest.approx(whole)


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
def test_spectralkd_is_that_of_numpy_and_nearly_raw_mse(h, w):
    s, t = noise(2, 3, h, w), noise(2, 3, h, w, seed=1)
    spectrum = np.fft.fft2((s - t).numpy(), norm="ortho")[..., : w // 2 + 1]
    expected = (spectrum.real**2 + spectrum.imag**2).mean() / 2
    assert parts("spectralkd", s, t)["all"] == pytest.approx(expected)
    # A single wave inside the half: all of the energy but its mirror image's half.
    wave = torch.cos(2 * math.pi * torch.arange(w, dtype=torch.float64) / w).expand(1, 1, h, w)
    mse, stored = wave.square().sum().item(), 2 * h * (w // 2 + 1)
    assert parts("spectralkd", wave, 0 * wave)["all"] == pytest.approx(mse / 2 / stored)


def test_gram_by_loops_and_blind_to_rotations():
    s, t = (x.flatten(2).numpy() for x in (S, T))
    total = 0
    for n, i, j in np.ndindex(3, 30, 30):
        one, other = (1 - scipy_cosine(x[n, :, i], x[n, :, j]) for x in (s, t))
        total += (one - other) ** 2
    assert parts("gram", S, T)["all"] == pytest.approx(total / (3 * 30 * 30))
    turn = torch.linalg.qr(noise(4, 4, seed=3))[0]
    turned = torch.einsum("dc,nchw->ndhw", turn, T)
    assert parts("gram", turned, T)["all"] < 1e-12
    assert parts("mse_raw", turned, T)["all"] > 0.1


def test_attention_by_hand():
    # Squares summed over channels: 9+16, 0 against 0, 4; to norm 1: (1, 0) against (0, 1).
    s = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    t = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])
    assert parts("attention", s, t)["all"] == pytest.approx(2)
    # (25, 25) against (25, 0): 1/sqrt 2 each against 1, 0
    s = torch.tensor([[[[3.0, 5.0]], [[4.0, 0.0]]]])
    t = torch.tensor([[[[3.0, 0.0]], [[4.0, 0.0]]]])
    r = 2**-0.5
    assert parts("attention", s, t)["all"] == pytest.approx((1 - r) ** 2 + r**2)
