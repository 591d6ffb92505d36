"""Real waves against NumPy's complex transforms, and the coded mask against `split_bands`."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import filters
from freqkd_lite.losses.filters import coded_bands, coded_form, kept_form, quadratic_form, waves
from freqkd_lite.spectrum import band_mask, centred_rectangle, radius, split_bands

GRIDS = [(1, 1), (1, 4), (2, 5), (3, 4), (8, 8), (7, 9), (12, 16)]


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights(h, w):
    rho = radius(h, w)
    product = torch.exp2(-((rho / 0.4) ** 2))
    return {"smooth": 1 / (1 + rho), "product": product, "nearly one": product * (1 + 0.01 * rho),
            "step": 0.1 + 0.9 * band_mask(h, w, 0.5).double(),
            "disk": band_mask(h, w, 0.7, "disk").double(), "one": torch.ones(h, w)}  # fmt: skip


def test_waves_by_hand():
    basis, cycles = waves(4)
    # constant; cosine and sine of one cycle; Nyquist, whose sine is 0 on the grid
    r = 2**-0.5
    expected = [[0.5, r, 0, 0.5], [0.5, 0, r, -0.5], [0.5, -r, 0, 0.5], [0.5, 0, -r, -0.5]]
    torch.testing.assert_close(basis, torch.tensor(expected, dtype=torch.float64))
    assert cycles.tolist() == [0, 1, 1, 2]
    assert waves(9, 2)[1].tolist() == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("n", [1, 2, 3, 8, 37])
def test_all_waves_are_an_orthonormal_basis(n):
    basis, _ = waves(n)
    torch.testing.assert_close(basis.T @ basis, torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("h,w", GRIDS)
def test_energies_and_filters_are_those_of_numpy(h, w):
    x = noise(2, 3, h, w)
    spectrum = np.fft.fft2(x.numpy(), norm="ortho")
    for name, weight in weights(h, w).items():
        energy = (abs(spectrum) ** 2 * weight.numpy()).sum()
        form = quadratic_form(weight, x)
        back = np.fft.ifft2(spectrum * weight.numpy(), norm="ortho").real
        value, filtered = form(x)
        assert value.item() == pytest.approx(energy), name
        np.testing.assert_allclose(filtered.numpy(), back, atol=1e-12)


@pytest.mark.parametrize("h,w", [*GRIDS, (37, 46)])
@pytest.mark.parametrize("cutoff", [0.3, 0.5, 0.75, 1.0])
def test_coded_bands_are_those_of_the_transform(h, w, cutoff):
    x = noise(2, 2, h, w)
    expected = split_bands(x, mask=centred_rectangle(h, w, cutoff))
    for one, other in zip(coded_bands(x, cutoff), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("h,w", [*GRIDS, (37, 46)])
@pytest.mark.parametrize("cutoff", [0.3, 0.5, 0.75, 1.0])
def test_the_coded_low_band_s_energy_is_that_of_the_transform(h, w, cutoff):
    """Its mask is lopsided on even grids, so the energy is that of the real part of what it keeps,
    and the maps beside it are that band cut out once more."""
    x, mask = noise(2, 2, h, w), centred_rectangle(h, w, cutoff)
    low, _ = split_bands(x, mask=mask)
    energy, back = coded_form(h, w, cutoff, x.dtype, x.device)(x)
    assert energy.item() == pytest.approx(low.square().sum().item())
    torch.testing.assert_close(back, split_bands(low, mask=mask)[0], atol=1e-12, rtol=0)


def test_a_weight_that_is_huge_at_the_zero_frequency_is_no_product():
    weight = weights(6, 10)["smooth"]
    weight[0, 0] = 1e9
    x = noise(1, 2, 6, 10)
    x -= x.mean((2, 3), keepdim=True)
    spectrum = np.fft.fft2(x.numpy(), norm="ortho")
    expected = (abs(spectrum) ** 2 * weight.numpy()).sum()
    assert quadratic_form(weight, x)(x)[0].item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["smooth", "step"])
def test_gradients(name):
    x = noise(1, 2, 9, 12).requires_grad_()
    form = quadratic_form(weights(9, 12)[name], x)
    (slope,) = torch.autograd.grad(form(x)[0], x)  # twice the second, as it says
    torch.testing.assert_close(slope, 2 * form(x)[1])
    assert torch.autograd.gradcheck(lambda x: form(x)[1], x)
    assert torch.autograd.gradcheck(coded_bands, x)


def slanted(h, w, slope):
    return 1 / (1 + slope * radius(h, w))


def test_bases_that_inference_built_first_can_enter_a_gradient():
    shape = (1, 2, 6, 10)
    for kept in (filters._waves, filters._coded, filters._kept, filters.coded_form):
        kept.cache_clear()
    with torch.inference_mode():
        coded_form(6, 10, 0.5, torch.float64, torch.device("cpu"))(noise(*shape))
        kept_form(slanted, noise(*shape), 2.0)(noise(*shape))
        coded_bands(noise(*shape))
    x = noise(*shape).requires_grad_()
    kept_form(slanted, x, 2.0)(x)[1].square().sum().backward()
    assert x.grad.isfinite().all()
    coded_form(6, 10, 0.5, x.dtype, x.device)(x)[1].square().sum().backward()
    kept = filters._coded(6, 10, 0.5, x.dtype, x.device)
    assert not any(part.is_inference() for part in kept if part is not None)


def test_a_kept_form_is_its_weights_and_its_grids_and_types_own():
    asked = []

    def weight(h, w, slope):
        asked.append((h, w, slope))
        return slanted(h, w, slope)

    first, wide = noise(1, 2, 6, 10), noise(1, 2, 6, 12)
    for x, slope in [(first, 2.0), (first, 3.0), (wide, 2.0), (first.float(), 2.0)] * 2:
        form = quadratic_form(slanted(*x.shape[-2:], slope), x)
        found, expected = kept_form(weight, x, slope)(x), form(x)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == x.dtype and torch.equal(one, other)
    assert asked == [(6, 10, 2.0), (6, 10, 3.0), (6, 12, 2.0), (6, 10, 2.0)]  # each once
