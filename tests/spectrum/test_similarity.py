"""`similarity` against loops over the definitions, and closed forms for normal samples."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from freqkd_lite.spectrum import band_pair
from freqkd_lite.spectrum.similarity import band_hsic, cka, correlation, hsic
from tests.noise import noise
from tests.refused import refusals, refused


@pytest.mark.parametrize("n,c", [(2, 3), (7, 2), (4, 9)])
def test_hsic_is_the_mean_over_all_pairs(n, c):
    x, y = noise(1, n, c), noise(1, n, c, seed=1)
    expected = [
        np.mean([float(u[i] @ u[j]) * float(v[i] @ v[j]) for i, j in permutations(range(n), 2)])
        for u, v in ((x[0], y[0]), (x[0], x[0]), (y[0], y[0]))
    ]
    np.testing.assert_allclose(hsic(x, y)[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("n,c", [(12, 40), (60, 8)])  # by samples' and by channels' Gram matrices
def test_cka_of_independent_samples_is_zero_and_of_related_ones_the_closed_form(n, c):
    """For x normal, y = r x + sqrt(1 - r^2) noise: |cov(x, y)|^2 = r^2 C, |cov(x, x)|^2 = C."""
    x, own = noise(3000, n, c), noise(3000, n, c, seed=1)
    for r, tolerance in ((0, 0.006), (0.5, 0.01), (0.9, 0.01)):
        y = r * x + math.sqrt(1 - r**2) * own
        assert cka(hsic(x, y)).item() == pytest.approx(r**2, abs=tolerance)


@settings(deadline=None, max_examples=20)
@given(st.integers(5, 20), st.integers(1, 12), st.integers(0, 99), st.floats(0.01, 100))
def test_cka_is_one_for_rotations_and_gains_of_channels(n, c, seed, gain):
    x, turn = noise(3, n, c, seed=seed), torch.linalg.qr(noise(c, c, seed=seed)).Q
    sums = hsic(x, gain * x @ turn)
    if sums[:, 1].mean() > 1e-3:
        assert cka(sums).item() == pytest.approx(1, abs=1e-8)


def test_cka_adds_images_before_it_divides():
    sums = torch.tensor([[1.0, 1.0, 4.0], [-0.5, 3.0, 12.0]])
    assert cka(sums).item() == pytest.approx(0.25 / math.sqrt(2 * 8))
    assert cka(torch.tensor([[1.0, -1.0, 1.0]])).isnan()


def slow_band_hsic(a, b, mask):
    """HSIC of the band's Fourier coefficients, from NumPy's transform: all products are
    those of the band's maps (Parseval), less the coefficients' own, bin by bin."""
    (h, w), spectra = a.shape[1:], [np.fft.fft2(x, norm="ortho") for x in (a, b)]
    maps = [np.fft.ifft2(s * mask, norm="ortho").real.reshape(len(s), -1) for s in spectra]
    total, own = (maps[0] @ maps[1].T) ** 2, 0
    for y, x in np.argwhere(mask):
        s, t = (spectrum[:, y, x] for spectrum in spectra)
        # f and -f both come by, and carry sqrt(2) each in two real samples, unless they are one
        times = 1 if (2 * y % h, 2 * x % w) == (0, 0) else 2
        for p, q in ((s.real, t.real), (s.imag, t.imag)):
            own += times * (p**2).sum() * (q**2).sum()
    n = mask.sum()
    return (total.sum() - own) / (n * (n - 1))


@pytest.mark.parametrize("h,w", [(8, 8), (7, 9), (8, 11)])
def test_band_hsic_is_the_slow_one(h, w):
    a, b = noise(2, 3, h, w), noise(2, 4, h, w, seed=1)
    names = ("disk40_75", "rectangle50")
    found = band_hsic(a, b, names).numpy()
    for i, j, k in np.ndindex(2, 2, 2):
        mask, one, other = band_pair(h, w, names[j])[k].numpy(), a[i].numpy(), b[i].numpy()
        pairs = ((one, other), (one, one), (other, other))
        expected = [slow_band_hsic(p, q, mask) for p, q in pairs]
        np.testing.assert_allclose(found[i, j, k], expected, atol=1e-10)


def test_a_band_of_fewer_than_four_bins_has_no_score():
    found = band_hsic(noise(2, 1, 6, 6), noise(2, 1, 6, 6), ("disk25_75", "rectangle50"))
    assert found[:, 0, 0].isnan().all() and found[:, 1].isfinite().all()
    assert band_pair(6, 6, "disk40_75")[0].sum() == 4
    assert band_hsic(noise(2, 1, 6, 6), noise(2, 1, 6, 6), ("disk40_75",)).isfinite().all()


test_bad_input_names_what_to_change = refusals(
    (lambda: hsic(noise(2, 1, 4), noise(2, 1, 4)), "2 or more"),
    (lambda: hsic(noise(2, 5, 4), noise(2, 6, 4)), r"\(N, n, C\)"),
    (lambda: band_hsic(noise(2, 1, 4, 4), noise(2, 1, 4, 5)), "one size"),
    (lambda: band_hsic(noise(2, 1, 9, 9), noise(2, 1, 9, 9), ["disc50"]), "'disk'"),
)


def test_correlation_is_pearsons():
    a, b = noise(3, 1, 6, 7), noise(3, 1, 6, 7, seed=1)
    b = b + 0.5 * a
    pairs = zip(a.numpy(), b.numpy(), strict=True)
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in pairs]
    assert correlation(a, b).numpy() == pytest.approx(expected, abs=1e-5)
    refused("picture .*one value", correlation, a, torch.full((3, 1, 6, 7), 0.3))
