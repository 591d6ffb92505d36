"""`coherence` against closed forms, a slow loop over NumPy's FFT, and SciPy on one axis."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings, strategies as st

from freqkd_lite.spectrum import RINGS
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.noise import noise
from tests.refused import refusals

GRIDS = [(1, 1), (1, 8), (1, 9), (7, 1), (6, 8), (7, 5), (8, 9)]


def coherence(a, b, edges=RINGS):
    """(map, rings) of the pairs a, b."""
    found = CrossSpectrum.empty(*a.shape[1:]).update(a, b)
    return found.map(), found.against_rho(edges)


def mixed(c, *shape, seed=0):
    """Maps a, b of equal spectra whose waves correlate by c: coherence c^2."""
    a, own = noise(*shape, seed=seed), noise(*shape, seed=seed + 1)
    return a, c * a + math.sqrt(1 - c**2) * own


def slow(a, b):
    """Corrected coherence (C, h, w) and weights by loops over channels and bins of NumPy's FFT."""
    spectra = [np.fft.fft2(x.numpy()) for x in (a, b)]
    value, weight = np.zeros((2, *spectra[0].shape[1:]))
    for at in np.ndindex(*value.shape):
        s, t = (spectrum[:, *at] for spectrum in spectra)
        p, q = (abs(s) ** 2).sum(), (abs(t) ** 2).sum()
        raw = abs((s * t.conj()).sum()) ** 2 / (p * q)
        floor = sum(abs(u) ** 2 * abs(v) ** 2 for u, v in zip(s, t, strict=True)) / (p * q)
        value[at], weight[at] = (raw - floor) / (1 - floor), math.sqrt(p * q)
    return value, weight


@pytest.mark.parametrize("h,w", GRIDS)
def test_map_and_rings_are_those_of_the_slow_loop(h, w):
    a, b = mixed(0.6, 5, 3, h, w)
    a = a * torch.tensor([3.0, 1.0, 0.2])[:, None, None]  # so that weights matter
    value, weight = slow(a, b)
    mean = (value * weight).sum(0) / weight.sum(0)
    edges = (0.0, 0.4, 0.9, 1.4143)
    area, rings = coherence(a, b, edges)
    np.testing.assert_allclose(area.numpy(), mean, atol=1e-9)
    power = (abs(np.fft.fft2(a.numpy(), norm="ortho")) ** 2).mean((0, 1))
    found = CrossSpectrum.empty(3, h, w).update(a, b).power()
    np.testing.assert_allclose(found.numpy(), power, atol=1e-9)
    rho = 2 * np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    for ring, (inner, outer) in zip(rings, pairwise(edges), strict=True):
        inside = (rho > inner) & (rho <= outer)
        with np.errstate(invalid="ignore"):  # a ring without a bin has none
            expected = (value * weight)[:, inside].sum() / weight[:, inside].sum()
        assert ring.item() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_uncorrected_it_is_scipys_coherence():
    n, length = 12, 16
    a, b = mixed(0.5, n, 1, 1, length)
    about = dict(window="boxcar", nperseg=length, noverlap=0, detrend=False)
    _, expected = scipy.signal.coherence(a.flatten().numpy(), b.flatten().numpy(), **about)
    real, imaginary, p, q, both = CrossSpectrum.empty(1, 1, length).update(a, b).sums[:, 0, 0]
    raw = (real**2 + imaginary**2) / (p * q)
    np.testing.assert_allclose(raw.numpy(), expected, atol=1e-12)
    floor = both / (p * q)
    corrected = coherence(a, b)[0][0, : length // 2 + 1]
    torch.testing.assert_close(corrected, (raw - floor) / (1 - floor))


@pytest.mark.parametrize("n", [3, 6, 20])
def test_bias_of_unrelated_pairs_is_taken_away_however_powers_vary(n):
    """Uncorrected, unrelated pairs score 1/n; with powers that vary from image to image in the
    same way for both, as contrast does, more. The estimate is 0 on average for both."""
    for power in (torch.ones(n), torch.logspace(0, 1.5, n)):
        a, b = (noise(n, 4000, 2, 4, seed=s) * power.sqrt()[:, None, None, None] for s in (1, 2))
        found = CrossSpectrum.empty(4000, 2, 4).update(a, b)
        real, imaginary, p, q, _ = found.sums
        raw = ((real**2 + imaginary**2) / (p * q)).mean().item()
        assert raw > 1.2 / n if power[-1] > 1 else raw == pytest.approx(1 / n, rel=0.02)
        assert abs(found.map().mean()) < 0.01


@pytest.mark.parametrize("c", [0.5, 0.8])
def test_bias_between_nothing_and_all_is_the_stated_one(c):
    """For complex normal waves: Carter's E[raw] = C + (1 - C)^2 / n and E[q] = (1 + C) / n to
    first order in 1/n, so E[(raw - q) / (1 - q)] = C - 2 C (1 - C) / n."""
    n = 24
    each = zip(*(x.split(1, 1) for x in mixed(c, n, 4000, 1, 16, seed=5)), strict=True)
    inner = [coherence(*channel)[0][0, 1:8].mean().item() for channel in each]  # complex bins
    bias = np.mean(inner) - c**2
    assert bias == pytest.approx(-2 * c**2 * (1 - c**2) / n, rel=0.2)


def test_any_fixed_filter_is_wholly_coherent_and_changing_ones_are_not():
    a = noise(300, 2, 8, 8)
    response = torch.fft.fft2(noise(2, 8, 8, seed=3))
    b = torch.fft.ifft2(torch.fft.fft2(a) * response).real
    assert coherence(a, b)[0].numpy() == pytest.approx(1)
    assert coherence(a, -2 * a.roll((1, -2), (2, 3)))[0].numpy() == pytest.approx(1)
    signs = torch.where(noise(300, 1, 1, 1, seed=4) > 0, 1.0, -1.0)
    assert coherence(a, signs * a)[0].abs().max() < 0.1  # each pair is a filter: squared first, 1


SIDE = st.integers(1, 9)


@settings(deadline=None, max_examples=25)
@given(SIDE, SIDE, st.lists(st.integers(1, 6), max_size=3), st.integers(0, 99))
def test_batches_and_partial_sums_give_the_same(h, w, cuts, seed):
    a, b = mixed(0.5, 7, 2, h, w, seed=seed)
    whole = CrossSpectrum.empty(2, h, w).update(a, b)
    bounds = [0, *sorted(set(cuts)), 7]
    parts = CrossSpectrum.empty(2, h, w)
    for start, stop in pairwise(bounds):
        part = CrossSpectrum.empty(2, h, w).update(a[start:stop], b[start:stop])
        parts = parts + part if start % 2 else parts.update(a[start:stop], b[start:stop])
    torch.testing.assert_close(parts.sums, whole.sums)
    assert parts.images == whole.images == 7


def test_half_and_single_precision_agree_with_double():
    a, b = mixed(0.7, 20, 3, 6, 10)
    exact = coherence(a, b)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 5e-3)):
        found = coherence(a.to(dtype), b.to(dtype))  # in double: assert_close compares dtypes
        torch.testing.assert_close(found, exact, atol=tolerance, rtol=0)


def test_what_has_no_power_has_no_weight():
    a, b = mixed(0.5, 30, 2, 4, 4)
    silent = torch.zeros(30, 1, 4, 4, dtype=torch.float64)
    expected = coherence(a, b)
    found = CrossSpectrum.empty(3, 4, 4).update(
        torch.cat([a, silent], 1), torch.cat([b, b[:, :1]], 1)
    )
    torch.testing.assert_close(found.map(), expected[0])
    torch.testing.assert_close(found.against_rho(), expected[1], equal_nan=True)
    for x in (a, b):  # one image alone has power: |A B*|^2 / (|A|^2 |B|^2) says nothing
        x[1:] *= 1e-8
    assert CrossSpectrum.empty(2, 4, 4).update(a, b).map().isnan().all()


test_bad_input_names_what_to_change = refusals(
    (lambda: coherence(noise(1, 2, 4, 4), noise(1, 2, 4, 4)), "1 pairs"),
    (lambda: CrossSpectrum.empty(2, 4, 4).map(), "0 pairs"),
    (lambda: coherence(noise(3, 2, 4, 4), noise(3, 2, 4, 5)), r"b is .*5\).*\(N, 2, 4, 4\)"),
    (lambda: coherence(noise(3, 2, 4, 4), noise(2, 2, 4, 4)), "3 images but b 2"),
    (lambda: coherence(noise(2, 1, 2, 2).long(), noise(2, 1, 2, 2)), "int64"),
    (lambda: coherence(noise(2, 1, 4, 4), noise(2, 1, 4, 4), (1, 0)), "edges"),
)
