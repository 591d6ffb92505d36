"""Divergence in rings and its bootstrap, against closed forms."""

import numpy as np
import pytest
import torch

from freqkd_lite import gap, spectrum
from freqkd_lite.spectrum import band_pair, divergence, pair_sums, ring_sums
from tests.noise import noise
from tests.refused import refused


def white(seed):
    return noise(40, 6, 12, 16, seed=seed, dtype=torch.float32)


def test_levels_of_known_pairs():
    a = white(3)
    mixed = (a + white(4)) / 2**0.5  # equal spectra, coherence 1 / sqrt(2)
    for b, expected in ((a, 0), (white(4), 1), (-a, 2), (2 * a, 1 / 5), (mixed, 1 - 2**-0.5)):
        found = gap.levels([5], [ring_sums(a, b)], draws=20)
        assert gap.curve_of(found, 5)[0] == pytest.approx([expected] * 8, abs=0.05)
    found = gap.levels([2, 5], [ring_sums(x, y, gap.BAND_EDGES) for x, y in ((a, a), (a, mixed))])
    low_and_high = divergence(pair_sums(a, mixed, band_pair(12, 16))).tolist()
    assert gap.curve_of(found, 5)[0][::2] == pytest.approx(low_and_high, rel=1e-5)
    assert gap.curve_of(found, 2)[0] == [0, 0, 0]


def test_draws_resample_images_and_the_interval_holds_95_percent():
    # one ring whose difference is 0 for half of the images and the whole energy for the others:
    # the level is the share of the latter, a binomial proportion with known spread
    n = 100
    sums = torch.ones(n, 1, 3)
    sums[: n // 2, 0, 2] = 0
    sums[n // 2 :, 0, 2] = 2
    value, interval = gap.levels([0], [sums], draws=4000, seed=1).figure("block0/ring0")
    half = 1.96 * (0.5 * 0.5 / n) ** 0.5
    assert (value, *interval) == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=0.015)


def test_ratio_is_taken_in_each_block_and_then_averaged():
    a = white(3)
    low, high = spectrum.split_bands(a, 0.5, "disk")
    # a gain g gives the divergence (1 - g)^2 / (1 + g^2): ratios 1 / (1 / 5) and (1 / 5) / 1
    found = gap.band_levels([a, a], [2 * low + 0 * high, 0 * low + 2 * high])
    assert found.estimates == pytest.approx({"low": 0.6, "high": 0.6, "ratio": (5 + 1 / 5) / 2})
    assert found.draws["ratio"] == pytest.approx(np.full(1000, 2.6))
    refused("enlarge", gap.levels, [0], [torch.zeros(3, 8, 3)])


@pytest.mark.parametrize("grid", [(12, 16), (15, 20), (18, 24), (30, 40)])
def test_every_ring_up_to_one_holds_both_axes(grid):
    edges = gap.token_rings(*grid)
    assert edges == list(gap.EDGES)
    for n in grid:
        on_axis = np.arange(1, n // 2 + 1) / n / 0.5
        inside = on_axis[on_axis <= edges[5]]  # rings 0 to 4 end below 1
        assert (np.histogram(inside, edges[:6])[0] > 0).all()


def test_rings_leave_no_frequency_out_and_none_is_empty():
    edges = gap.token_rings(6, 8)  # the slowest wave has rho 1/4: the first ring is empty
    assert edges == [0.0, *gap.EDGES[2:]]
    for size, each in (((6, 8), edges), ((168, 224), gap.log_rings(168, 224))):
        counts = spectrum.ring_counts(*size, each)
        assert (counts > 0).all() and counts.sum() == size[0] * size[1] - 1


def test_a_step_and_a_jump_are_more_than_half_of_the_rise_at_once():
    beginnings = {"B": (0.3, 0.3, 0.57), "C": (0.3, 0.3, 0.4), "D": (0.3, 0.6, 0.7)}
    for letter, first in beginnings.items():
        assert gap.shape_of([*first, 0.8, 0.8, 0.8, 0.8, 0.8])[0] == letter
