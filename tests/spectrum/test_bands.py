"""Bands against a slow DFT written as sums, single cosines, Parseval and closed forms."""

import math
from itertools import product

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings, strategies as st

from freqkd_lite import spectrum
from tests.noise import noise
from tests.refused import refusals, refused

SIDE, SHAPE = st.integers(1, 23), st.sampled_from(["rectangle", "disk"])
GRIDS = [(1, 1), (1, 8), (1, 9), (7, 1), (2, 3), (6, 8), (7, 5), (8, 9), (12, 16)]


def signed(k, n):
    """Frequency of bin k as a whole number of cycles per n tokens, in -n/2 ... n/2."""
    return k if k <= n // 2 else k - n


def waves(n):
    """The waves of a DFT as a matrix (bin, token) of length 1 a row, by their definition."""
    return np.exp(2j * np.pi * np.outer(range(n), range(n)) / n) / np.sqrt(n)


def slow_spectrum(x):
    """Orthonormal DFT of x (..., h, w): its product with each wave."""
    h, w = x.shape[-2:]
    return waves(h).conj() @ x @ waves(w).conj().T


def slow_low(x, is_low):
    """The low band of x (h, w): the waves of the bins that are low, as strong as they are in x."""
    (h, w), bins = x.shape, slow_spectrum(x)
    keep = [[is_low(signed(ky, h), signed(kx, w)) for kx in range(w)] for ky in range(h)]
    return waves(h).T @ (bins * keep) @ waves(w)


def inside(shape, cutoff, h, w):
    """The definition of a band, in whole numbers: |k| / n <= cutoff / 2, or rho <= cutoff."""
    if shape == "rectangle":
        return lambda ky, kx: 2 * abs(ky) <= cutoff * h and 2 * abs(kx) <= cutoff * w
    return lambda ky, kx: (ky / h) ** 2 + (kx / w) ** 2 <= (cutoff / 2) ** 2


def wave(h, w, ky, kx, phase=0.3):
    y, z = torch.arange(h, dtype=torch.float64)[:, None], torch.arange(w, dtype=torch.float64)
    return torch.cos(2 * math.pi * (ky * y / h + kx * z / w) + phase)


def test_frequencies_and_radius_by_hand():
    fy, fx = spectrum.bands.frequencies(4, 5)
    assert fy.flatten().tolist() == [0, 0.25, -0.5, -0.25] and fy.shape == (4, 1)
    assert fx.flatten().tolist() == pytest.approx([0, 0.2, 0.4, -0.4, -0.2]) and fx.shape == (1, 5)
    rho = spectrum.radius(4, 4)
    assert rho[0, 0] == 0 and rho[2, 0] == 1 and rho[0, 1] == 0.5  # Nyquist and half of it
    assert rho[2, 2].item() == pytest.approx(math.sqrt(2))
    fy, fx = spectrum.bands.frequencies(4, 5, "dct")
    assert fy.flatten().tolist() == [0, 0.125, 0.25, 0.375]
    assert fx.flatten().tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert spectrum.radius(4, 5, "dct")[3, 4].item() == pytest.approx(2 * math.hypot(0.375, 0.4))


@pytest.mark.parametrize("n", range(2, 24))
def test_a_bin_on_the_edge_is_low_however_the_cutoff_is_rounded(n):
    for k in range(1, n // 2 + 1):
        for cutoff in (2 * k / n, min(2 * k / n + 1e-12, 1), 2 * k / n - 1e-12):
            mask = spectrum.band_mask(1, n, cutoff)
            assert mask.sum() == min(2 * k + 1, n), (k, cutoff)
            assert spectrum.band_mask(n, 1, cutoff, "disk").sum() == min(2 * k + 1, n)
    assert spectrum.band_mask(n, n, 1.0).all() and spectrum.band_mask(n, n, 1.4143, "disk").all()


@settings(deadline=None)
@given(h=SIDE, w=SIDE, cutoff=st.floats(0.01, 1))
def test_centred_rectangle_is_a_slice_of_the_shifted_spectrum(h, w, cutoff):
    rows, columns = (max(1, int(n * cutoff / 2)) for n in (h, w))
    shifted = np.zeros((h, w), bool)
    for y, x in np.ndindex(h, w):
        shifted[y, x] = abs(y - h // 2 + 0.5) < rows and abs(x - w // 2 + 0.5) < columns
    expected = np.fft.ifftshift(shifted)
    assert (spectrum.centred_rectangle(h, w, cutoff).numpy() == expected).all()


def test_band_pair_by_hand():
    low, high = spectrum.band_pair(1, 8, "disk25_75")  # rho of k = 0 1 2 3 -4 ...: 0 .25 .5 .75 1
    assert low.int().tolist() == [[0, 1, 0, 0, 0, 0, 0, 1]]
    assert high.int().tolist() == [[0, 0, 0, 1, 1, 1, 0, 0]]
    low, high = spectrum.band_pair(4, 4, "rectangle50")  # the rest is high, without zero
    assert low.int().tolist() == [[0, 1, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 1]]
    assert high.int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1], [0, 0, 1, 0]]
    both = spectrum.band_pair(8, 8), spectrum.band_pair(8, 8, "disk25_75")
    assert all(map(torch.equal, *both))
    low, high = spectrum.band_pair(8, 8, "rectangle25_75")  # the larger of both axes counts
    assert low[1, 1] and high[3, 0] and high[0, 3] and not (low[2, 2] or high[2, 2])
    assert not spectrum.band_pair(12, 12, "rectangle25_75")[1][4, 4]  # rho .94, each axis .67
    soft = spectrum.band_mask(8, 8, 0.95, edge="soft")  # falls to zero at the last bin
    assert soft[4, 4] == 0 and soft[3, 3] == 1
    low, high = spectrum.band_pair(1, 8, "disk25_25")  # what lies on both edges is low
    assert not (low & high).any() and (low | high).sum() == 7


@pytest.mark.parametrize("h,w", GRIDS)
@pytest.mark.parametrize(
    "shape,cutoff", [("rectangle", 0.5), ("rectangle", 0.3), ("disk", 0.5), ("disk", 1.2)]
)
def test_low_band_is_that_of_the_slow_dft(h, w, shape, cutoff):
    x = noise(h, w)
    expected = slow_low(x.numpy(), inside(shape, cutoff, h, w))
    assert abs(expected.imag).max() < 1e-12  # the oracle's bands are real: the mask is symmetric
    low, high = spectrum.split_bands(x, cutoff, shape)
    np.testing.assert_allclose(low.numpy(), expected.real, atol=1e-12)
    np.testing.assert_allclose(high.numpy(), x.numpy() - expected.real, atol=1e-12)
    mask = torch.rand(h, w, generator=torch.Generator().manual_seed(1)) < cutoff  # whatever it is
    expected = slow_low(x.numpy(), lambda ky, kx: bool(mask[ky, kx])).real
    np.testing.assert_allclose(spectrum.split_bands(x, mask=mask)[0].numpy(), expected, atol=1e-12)


@settings(deadline=None)
@given(SIDE, SIDE, st.integers(0, 99), st.sampled_from([1e-3, 1, 1e3]), SHAPE, st.floats(0.05, 1))
def test_bands_add_up_are_orthogonal_and_keep_the_energy(h, w, seed, scale, shape, cutoff):
    x = scale * noise(2, 3, h, w, seed=seed, dtype=torch.float32)
    energy = x.double().square().sum()
    for edge, transform in product(("hard", "soft"), spectrum.TRANSFORMS):
        low, high = spectrum.split_bands(x, cutoff, shape, edge=edge, transform=transform)
        assert low.dtype == torch.float32 and low.shape == x.shape
        assert (low + high - x).abs().max() <= 1e-6 * x.abs().max()
        assert edge == "soft" or abs((low.double() * high.double()).sum()) <= 1e-6 * energy


@pytest.mark.parametrize("h,w,unpaired,pink", [(37, 46, 39, 0.014), (16, 16, 15, 0.046)])
def test_what_the_coded_mask_loses(h, w, unpaired, pink):
    """Of a bin f that is low while -f is high, half of the pair's energy is in neither real part.
    Without a partner are the first row and the first column of the rectangle, which share one bin:
    of 18 x 22 kept bins 22 + 18 - 1 = 39, of 8 x 8 15; of white noise's energy 2.3 % and 5.9 %.
    The figures known for the method, 1.4 % and 4.6 %, are of power that falls as 1/f^2."""
    mask = spectrum.centred_rectangle(h, w)
    ky, kx = mask.nonzero(as_tuple=True)
    assert (~mask[-ky % h, -kx % w]).sum() == unpaired

    def lost(x):
        bands = spectrum.split_bands(x, mask=mask)
        return 1 - (sum(band.square().sum() for band in bands) / x.square().sum()).item()

    white, rho = noise(400, h, w), spectrum.radius(h, w)
    rho[0, 0] = math.inf
    assert spectrum.band_overlap(mask)[0] == pytest.approx(unpaired / (h * w))
    assert lost(white) == pytest.approx(unpaired / (h * w), rel=0.02)
    assert lost(torch.fft.ifft2(torch.fft.fft2(white) / rho).real) == pytest.approx(pink, abs=0.001)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    x = noise(2, 3, 15, 20).to(dtype)  # 15 and 20 are not powers of two
    low, high = spectrum.split_bands(x)
    full_low, full_high = spectrum.split_bands(x.float())
    assert low.dtype == high.dtype == dtype
    assert (low == full_low.to(dtype)).all() and (high == full_high.to(dtype)).all()
    assert spectrum.split_bands(x.double())[0].dtype == torch.float64


def test_soft_masks_by_hand():
    mask = spectrum.band_mask(1, 32, 0.5, "disk", edge="soft")[0, :17]  # rho = k / 16
    assert mask[:7].tolist() == [1] * 7 and mask[10:].tolist() == [0] * 7  # outside .375 ... .625
    half = math.sqrt(0.5) / 2
    assert mask[7:10].tolist() == pytest.approx([0.5 + half, 0.5, 0.5 - half])
    square = spectrum.band_mask(32, 32, 0.5, edge="soft")
    assert square[9, 3] == square[3, 9] == square[9, -9] == mask[9]  # by the larger of the two
    disk = spectrum.band_mask(32, 32, 0.5, "disk", edge="soft")
    assert disk[6, 8].item() == pytest.approx(0)  # rho = .625 again: a hypotenuse


@settings(deadline=None)
@given(SIDE, SIDE, st.integers(1, 100), SHAPE, st.sampled_from(spectrum.TRANSFORMS))
def test_soft_masks_fall_from_one_to_zero_around_the_hard_edge(h, w, percent, shape, transform):
    cutoff = percent / 100
    soft = spectrum.band_mask(h, w, cutoff, shape, edge="soft", transform=transform)
    hard = spectrum.band_mask(h, w, cutoff, shape, transform=transform)
    assert soft[0, 0] == 1 and soft.min() >= 0 and soft.max() <= 1
    assert (soft[hard] >= 0.5 - 1e-6).all() and (soft[~hard] <= 0.5 + 1e-6).all()
    limit = spectrum.CUTOFF_LIMITS[shape]  # which keeps every bin
    assert (spectrum.band_mask(h, w, limit, shape, edge="soft", transform=transform) == 1).all()


def test_rings_hold_each_bin_once_and_their_edges_rise_from_zero():
    rho = spectrum.radius(8, 8)
    whole = spectrum.ring_masks(8, 8, [0, 0.5, 1, 1.5])
    assert (whole.sum(0) == (rho > 0)).all() and spectrum.ring_masks(8, 8, [0.5, 1]).shape[0] == 1
    assert whole[0, 0, 2] and not whole[1, 0, 2]  # rho .5: an edge belongs to the ring below it
    for edges in ([0.5], [-0.1, 0.5], [0.1, 0.1, 0.2], [0.2, 0.1]):
        refused(r"edges=\(.*rho", spectrum.ring_masks, 8, 8, edges)


@pytest.mark.parametrize("transform", spectrum.TRANSFORMS)
@pytest.mark.parametrize("shape", ["rectangle", "disk"])
def test_overlap_is_what_soft_bands_lack(shape, transform):
    x = noise(3, 2, 12, 15)
    mask = spectrum.band_mask(12, 15, 0.5, shape, edge="soft", transform=transform)
    low, high = spectrum.split_bands(x, 0.5, shape, edge="soft", transform=transform)
    power = spectrum.power_spectrum(x, transform).mean((0, 1))
    lacking, cosine = spectrum.band_overlap(mask, power, transform)
    energies = [band.square().sum() for band in (x, low, high)]
    assert lacking == pytest.approx((1 - (energies[1] + energies[2]) / energies[0]).item())
    assert cosine == pytest.approx(((low * high).sum() / (energies[1] * energies[2]).sqrt()).item())
    faint = spectrum.band_overlap(mask, 1e-12 * power, transform)
    assert faint == pytest.approx((lacking, cosine))
    assert spectrum.band_overlap(mask) == spectrum.band_overlap(mask, 1.0, "fft")
    white = spectrum.band_overlap(mask, transform=transform)[0]
    assert white == pytest.approx((2 * mask * (1 - mask)).mean().item()) and 0.02 < white < 0.2
    hard = spectrum.band_mask(12, 15, 0.5, shape, transform=transform)
    assert spectrum.band_overlap(hard, power, transform) == (0, 0)


@pytest.mark.parametrize("h,w", GRIDS)
@pytest.mark.parametrize("shape,cutoff", [("rectangle", 0.5), ("disk", 0.7)])
def test_dct_bands_are_scipys(h, w, shape, cutoff):
    x = noise(2, h, w)
    bins = scipy.fft.dctn(x.numpy(), axes=(1, 2), norm="ortho")
    power = spectrum.power_spectrum(x, "dct").numpy()
    np.testing.assert_allclose(power, bins**2, atol=1e-12, rtol=1e-9)
    is_low = inside(shape, cutoff, 2 * h, 2 * w)  # k half cycles
    hard = np.array([[is_low(ky, kx) for kx in range(w)] for ky in range(h)])
    soft = spectrum.band_mask(h, w, cutoff, shape, edge="soft", transform="dct").numpy()
    for edge, keep in (("hard", hard), ("soft", soft)):
        expected = scipy.fft.idctn(bins * keep, axes=(1, 2), norm="ortho")
        low, _ = spectrum.split_bands(x, cutoff, shape, edge=edge, transform="dct")
        np.testing.assert_allclose(low.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape,limit", [("rectangle", "1.0"), ("disk", "1.4143")])
@pytest.mark.parametrize("cutoff", [0, -0.1, 1.5, math.nan, "0.5", None, True])
def test_a_cutoff_out_of_range_is_refused_with_the_range(shape, limit, cutoff):
    says = rf"cutoff={cutoff!r}.*{shape}.*\(0, {limit}\]"
    refused(says, spectrum.split_bands, torch.zeros(4, 4), cutoff, shape)


SMALL = torch.zeros(4, 4)


test_bad_input_names_what_to_change = refusals(
    (lambda: spectrum.centred_rectangle(4, 4, 1.2), r"cutoff=1.2"),
    (lambda: spectrum.band_mask(4, 4, 0.5, "disc"), "did you mean 'disk'"),
    (lambda: spectrum.bands.frequencies(0, 4), "0x4"),
    (lambda: spectrum.bands.frequencies(4, 4, "dtc"), "'dct'"),
    (lambda: spectrum.split_bands(torch.zeros(4, 4, dtype=torch.uint8)), "uint8"),
    (lambda: spectrum.split_bands(torch.zeros(4)), r"\(4,\)"),
    (lambda: spectrum.split_bands(SMALL, mask=torch.ones(4, 5)), "make it 4x4"),
    (lambda: spectrum.ring_counts(4, 4, (0.5, 0.2)), "edges"),
    (lambda: spectrum.band_mask(4, 4, edge="sof"), "'soft'"),
    (lambda: spectrum.split_bands(SMALL, transform="dtc"), "'dct'"),
    (lambda: spectrum.split_bands(SMALL, mask=torch.ones(4, 4), transform="dtc"), "'dct'"),
    (lambda: spectrum.band_pair(4, 4, "disk"), "'disk25_75'"),
    (lambda: spectrum.band_pair(4, 4, "disc25_75"), "'disk'"),
    (lambda: spectrum.band_pair(4, 4, "disk75_25"), "high must be 0.75 or more"),
    (lambda: spectrum.band_pair(4, 4, "rectangle120"), r"cutoff=1.2.*\(0, 1.0\]"),
)
