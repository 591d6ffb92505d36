"""Power spectra of fields of a known slope, of single waves, and of bins one by one."""

import numpy as np
import pytest
import scipy.fft
import torch

from freqkd_lite import spectrum
from tests.refused import refusals, refused
from tests.spectrum.test_bands import wave


def field(slope, n, h, w, transform, seed=0):
    """n fields whose power is rho^slope exactly, the phases (signs, of a DCT) random."""
    rng = np.random.default_rng(seed)
    scale = 1 / 2 if transform == "dct" else 1
    f = [np.arange(m) / m * scale for m in (h, w)]
    fy, fx = (x if transform == "dct" else np.minimum(x, 1 - x) for x in f)
    rho = 2 * np.hypot(fy[:, None], fx)
    rho[0, 0] = np.inf
    amplitude = rho ** (slope / 2)
    if transform == "dct":
        signs = rng.choice([-1, 1], (n, h, w))
        return torch.from_numpy(scipy.fft.idctn(signs * amplitude, axes=(1, 2), norm="ortho"))
    white = np.fft.fft2(rng.standard_normal((n, h, w)))
    return torch.from_numpy(np.fft.ifft2(white / abs(white) * amplitude, norm="ortho").real.copy())


@pytest.mark.parametrize("slope", [0.0, -1.0, -2.0, -3.0])
def test_slope_of_fields_of_known_slope(slope):
    x = field(slope, 3, 96, 128, "dct")
    found = spectrum.spectral_slope(torch.stack([x, (1e3 * x + 5)]))
    assert found.shape == (2, 3) and found.numpy() == pytest.approx(slope, abs=0.03)


@pytest.mark.parametrize("slope", [-2.0, -4.0])
def test_slope_of_a_picture_that_does_not_wrap_or_has_none(slope):
    """A window cut out of a larger field: an FFT's leakage would hide slopes beyond -3."""
    x = field(slope, 12, 384, 384, "fft")[:, :96, :128]
    assert spectrum.spectral_slope(x).mean().item() == pytest.approx(slope, abs=0.12)
    assert spectrum.spectral_slope(torch.zeros(128, 128)).isnan()
    assert spectrum.spectral_slope(field(-2.0, 2, 8, 8, "dct")).isnan().all()


def test_energy_above_a_cutoff_by_two_waves():
    slow, fast = wave(16, 16, 1, 2), wave(16, 16, 0, 6)  # rho .28 and .75
    fast = fast * (slow.square().sum() / fast.square().sum()).sqrt()
    x = torch.stack([slow + fast, slow + 2 * fast, slow, fast, wave(16, 16, 3, 3)])  # rho .53
    x += torch.arange(5)[:, None, None]  # each has a mean of its own
    assert spectrum.energy_above(x).tolist() == pytest.approx([0.5, 0.8, 0, 1, 1], abs=1e-9)
    assert spectrum.energy_above(x, 0.8).abs().max() < 1e-9
    assert spectrum.energy_above(torch.full((2, 4, 4), 3.0)).isnan().all()


test_bad_input_names_what_to_change = refusals(
    (lambda: spectrum.low_share(torch.zeros(3, 4, 4)), r"\(N, C, H, W\)"),
    (lambda: spectrum.power_spectrum(torch.zeros(4, 4), "fast"), "'fast'"),
)


def test_low_share_of_waves_follows_their_energy():
    # one wave at fx = 1/16 (low), one at fx = 6/16 (high): energies 3^2 : 1^2, whatever the mean
    x = (3 * wave(12, 16, 0, 1) + wave(12, 16, 0, 6) + 50)[None, None]
    found = [spectrum.low_share(x, cutoff) for cutoff in (0.1, 0.5, 0.8)]
    assert found == pytest.approx([0, 0.9, 1], abs=1e-5)
    low, high = wave(12, 16, 1, 0), wave(12, 16, 5, 0)  # over images and channels 4 : 1 + 1 + 1
    x = torch.stack([torch.stack([2 * low, high]), torch.stack([high, high])])
    assert spectrum.low_share(x) == pytest.approx(4 / 7, abs=1e-5)
    refused("one value .*energy", spectrum.low_share, torch.ones(1, 1, 6, 7))


def test_white_noise_has_the_share_of_the_bins():
    # 12x16: 7 by 9 bins are low (index -3 ... 3 and -4 ... 4), without the mean 62 of 191
    assert spectrum.white_share(12, 16) == pytest.approx(62 / 191)
    assert spectrum.white_share(12, 16, 1.0) == 1
