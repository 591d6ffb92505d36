"""Divergences against a slow DFT written as sums, and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from freqkd_lite import spectrum
from tests.noise import noise
from tests.refused import refused
from tests.spectrum.test_bands import GRIDS, SIDE, signed, slow_spectrum


@pytest.mark.parametrize("h,w", GRIDS)
def test_ring_sums_and_power_are_those_of_the_slow_dft(h, w):
    a, b = noise(2, 3, h, w), noise(2, 3, h, w, seed=1)
    edges = (0.0, 0.3, 0.8, 1.4143)
    fy, fx = ([signed(k, n) / n for k in range(n)] for n in (h, w))
    rho = 2 * np.hypot.outer(fy, fx)
    rings = [(rho > inner) & (rho <= outer) for inner, outer in pairwise(edges)]
    counts = np.array([ring.sum() for ring in rings])
    powers = [abs(slow_spectrum(x.numpy())) ** 2 for x in (a, b, a - b)]
    expected = np.array([[p[..., ring].sum((1, 2)) for ring in rings] for p in powers]).T
    sums = spectrum.ring_sums(a, b, edges)
    np.testing.assert_allclose(sums.numpy(), expected, atol=1e-10)
    assert spectrum.ring_counts(h, w, edges).tolist() == counts.tolist()
    with np.errstate(invalid="ignore"):
        power = expected[..., 0].sum(0) / (2 * 3 * counts)
        raw = expected[..., 2].sum(0) / (2 * counts)
    centres, measured = spectrum.radial_power(a, edges)
    np.testing.assert_allclose(measured.numpy(), power, atol=1e-10)  # NaN where a ring is empty
    assert centres.tolist() == pytest.approx([0.15, 0.55, 1.10715])
    raw_measured = spectrum.raw_mse(sums, spectrum.ring_counts(h, w, edges))
    np.testing.assert_allclose(raw_measured.numpy(), raw, atol=1e-10)


def test_metrics_by_hand_add_images_before_they_divide():
    sums = torch.tensor([[[1.0, 1.0, 2.0]], [[10.0, 8.0, 3.0]]])  # divergences of images: 1, 1/6
    expected = {"mse": 2.5 / 5, "normalised": 5 / 20, "cosine": 1 - 15 / (2 * 99**0.5)}
    assert spectrum.METRICS.keys() == expected.keys()
    for metric, value in expected.items():
        # the mean over images stands for all of them, so a bootstrap needs no more
        for rows in (sums, sums.mean(0, keepdim=True)):
            found = spectrum.METRICS[metric](rows, torch.tensor([5]))
            assert found.tolist() == pytest.approx([value]), metric
    assert spectrum.divergence(torch.zeros(1, 1, 3)).isnan().all()
    sums = torch.tensor([[[4.0, 9.0, 13.0], [4.0, 9.0, 1.0], [1.0, 1.0, 4.0], [0.0, 1.0, 1.0]]])
    found = spectrum.cosine_distance(sums)  # Re<A, B> = 0, 6, -1
    assert found[:3].tolist() == [1, 0, 2] and found[3].isnan()
    refused(r"4, 4\).*4, 5\)", spectrum.ring_sums, torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 5))


BANDS = ["disk25_75", "disk100", "rectangle50", "rectangle30_80"]


@settings(deadline=None)
@given(SIDE, SIDE, st.integers(0, 99), st.sampled_from(BANDS))
def test_pair_sums_are_the_energies_of_the_split_maps(h, w, seed, name):
    a, b = (noise(3, 2, h, w, seed=s) for s in (seed, seed + 100))
    masks = spectrum.band_pair(h, w, name)
    sums = spectrum.pair_sums(a, b, masks)
    for k, mask in enumerate(masks):
        u, v = (spectrum.split_bands(x, mask=mask)[0] for x in (a, b))
        expected = torch.stack([x.square().sum((1, 2, 3)) for x in (u, v, u - v)], 1)
        torch.testing.assert_close(sums[:, k], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("h,w", [(8, 8), (18, 24), (16, 12), (9, 14), (14, 9)])
def test_the_authors_reading_is_that_of_bands_in_space(h, w):
    """By the shifted grid, one image at a time: each band's map in space, as NumPy makes it."""
    a, b = (noise(2, 3, h, w, seed=k) + 0.5 for k in (0, 1))
    y, x = np.mgrid[:h, :w]
    reach = np.hypot(y - h // 2, x - w // 2) / min(h // 2, w // 2)
    expected = np.zeros((2, 2, 3))
    for n in range(2):
        maps = [m[n].numpy() - m[n].numpy().mean((1, 2), keepdims=True) for m in (a, b)]
        maps = [m / np.sqrt((m**2).sum(0)) for m in maps]
        for i, mask in enumerate((reach <= 0.25, reach >= 0.75)):
            spectra = [np.fft.fftshift(np.fft.fft2(m), axes=(1, 2)) * mask for m in maps]
            p, q = (np.fft.ifft2(np.fft.ifftshift(s, axes=(1, 2))).real.ravel() for s in spectra)
            squares = ((p - q) ** 2).sum()
            cosine = p @ q / np.linalg.norm(p) / np.linalg.norm(q)
            expected[n, i] = squares / (3 * h * w), squares / (p @ p), 1 - cosine
    np.testing.assert_allclose(spectrum.authors_reading(a, b), expected, rtol=1e-9)
