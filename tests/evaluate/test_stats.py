"""Bootstraps over groups and seeds against enumeration, closed forms and a simulated truth."""

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm

from freqkd_lite.evaluate import stats
from freqkd_lite.evaluate.stats import crossed_bootstrap, max_t, multiplicities, percentiles
from tests.refused import refused

RESULTS = Path(__file__).parents[2] / "results"


def bootstrap(statistic, n_images, draws=1000, seed=0):
    """By its definition: 95 % percentile interval (Efron 1979) of a statistic of image indices."""
    return percentiles(
        np.array([float(statistic(i)) for i in stats.resamples(n_images, draws, seed)])
    )


GROUPS = [7, 7, 2, 7, 5, 2]  # any numbers, in any order


def test_whole_groups_are_drawn_and_as_many_as_there_are():
    assert torch.equal(multiplicities(9, 50, 4), multiplicities(9, 50, 4, groups=range(9)))
    assert not torch.equal(multiplicities(9, 50, 4), multiplicities(9, 50, 5))
    refused("5 groups .*6 images", multiplicities, 6, groups=GROUPS[:5])
    refused("n_images=0", multiplicities, 0)
    assert multiplicities(3, 1).sum() == 3
    times = multiplicities(6, 400, seed=3, groups=GROUPS)
    assert times.shape == (400, 6) and times.dtype == torch.float64
    together = torch.stack([times[:, 0], times[:, 2], times[:, 4]])  # of the groups 7, 2 and 5
    for image, group in enumerate(GROUPS):
        assert torch.equal(times[:, image], together[[7, 2, 5].index(group)])
    assert (together.sum(0) == 3).all()
    # each of the 27 draws of three groups is as likely: (2, 1, 0) comes in 3 ways, (1, 1, 1) in 6
    many = multiplicities(6, 20_000, groups=GROUPS)[:, [0, 2, 4]]
    for counts, ways in (((3, 0, 0), 1), ((2, 1, 0), 3), ((1, 1, 1), 6)):
        found = (many == torch.tensor(counts)).all(1).double().mean().item()
        assert found == pytest.approx(ways / 27, abs=0.007)


def test_the_spread_of_a_mean_under_groups_is_that_of_cluster_sampling():
    """Equal groups: the mean of all images is that of the groups' means, so its bootstrap variance
    is their population variance over their number. Of images alone it would be far less."""
    draw = np.random.default_rng(0)
    own = draw.normal(size=(12, 1)) + 0.3 * draw.normal(size=(12, 5))
    groups = np.repeat(np.arange(12), 5)
    times = multiplicities(60, 20_000, groups=groups).numpy()
    means = times @ own.ravel() / times.sum(1)
    assert means.var() == pytest.approx(own.mean(1).var() / 12, rel=0.04)
    alone = multiplicities(60, 20_000).numpy()
    assert (alone @ own.ravel() / 60).var() == pytest.approx(own.var() / 60, rel=0.04)


def test_two_seeds_by_hand():
    """Of two seeds one is drawn. The images' part is the same in all draws but for two kinds of
    draws, + and -, which alternate: four outcomes, as likely as each other."""
    sign = np.tile([1.0, -1.0], 2000)
    a = np.array([0.5, 0.7]), np.array([0.5 + 0.01 * sign, 0.7 + 0.02 * sign])
    b = np.array([0.4, 0.5]), np.array([0.4 + 0.03 * sign, 0.5 + 0.01 * sign])
    difference, found, _ = crossed_bootstrap(a, b)
    assert difference == pytest.approx(0.15)
    # seed 0: .1 -+ .02, seed 1: .2 +- .01
    assert found == pytest.approx(percentiles(np.repeat([0.08, 0.12, 0.19, 0.21], 1000)))


def test_one_seed_is_the_bootstrap_over_images():
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(2, 1, 500))
    difference, found, _ = crossed_bootstrap(([0.3], a), ([0.1], b))
    assert difference == pytest.approx(0.2) and found == percentiles((a - b)[0])
    # by default always the same draws of the seeds
    three = (np.arange(3.0), draw.normal(size=(3, 500))), (np.zeros(3), np.zeros((3, 500)))
    assert np.array_equal(crossed_bootstrap(*three)[2], crossed_bootstrap(*three, seed=0)[2])


def test_paired_results_need_the_same_groups_and_a_figure_of_both():
    def result(groups=None, **figures):
        draws = {k: np.arange(4.0) * (v or 0) for k, v in figures.items()}
        about = dict(truth=torch.zeros(3), seed=0, groups=groups)
        return stats.Resampled(estimates=figures, draws=draws, **about)

    assert result(mean=2.0, a=1.0).figure() == (2, pytest.approx((0.15, 5.85)))
    unknown = replace(result(mean=1.0), draws={"mean": np.full(4, np.nan)})
    assert unknown.figure() == (1, None)
    grouped = [result([0, 0, 1], mean=value) for value in (3.0, 1.0)]
    assert stats.paired_bootstrap(*grouped)[0] == 2
    refused("groups", stats.paired_bootstrap, grouped[0], result([0, 1, 1], mean=1.0))
    known, absent, fewer = result(mean=1.0, a=2.0), result(mean=1.0, a=None), result(mean=1.0)
    for pair in ((known, absent), (absent, known)):
        refused("'a'.*another key", stats.paired_bootstrap, *pair, "a")
    for pair in ((known, fewer), (fewer, known)):
        refused("'a'.*mean", stats.paired_bootstrap, *pair, "a")


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_seeds_variance_is_that_of_their_mean(seeds):
    """Images that say the same in every draw: what is left is the usual s^2 / S of the mean, with
    S - 1 below the fraction of s^2, and the interval that of the enumerated draws."""
    d = np.random.default_rng(seeds).normal(size=seeds)
    rows = np.repeat(d[:, None], 20_000, axis=1)
    nothing = np.zeros(seeds), np.zeros_like(rows)
    _, found, _ = crossed_bootstrap((d, rows), nothing)
    outcomes = [d[list(i)].mean() for i in product(range(seeds), repeat=seeds - 1)]
    assert np.var(outcomes) == pytest.approx(d.var(ddof=1) / seeds)
    assert found == pytest.approx(np.quantile(outcomes, [0.025, 0.975], method="inverted_cdf"))


def test_coverage_of_a_known_truth():
    """Students of five seeds on 64 images in 32 groups: a true difference, to which each seed,
    group and image adds its own, and each seed on each image. Images or seeds alone cover less."""
    draw, truth, runs, hits = np.random.default_rng(0), 0.3, 300, np.zeros(3)
    groups = np.repeat(np.arange(32), 2)
    for run in range(runs):
        own = draw.normal(size=(5, 1)) * 0.15 + np.repeat(draw.normal(size=32), 2) * 0.7
        own = truth + own + draw.normal(size=64) * 0.2 + draw.normal(size=(5, 64)) * 0.3
        shared = draw.normal(size=(5, 64))  # what is hard for both cancels
        for k, of in enumerate((groups, None, groups)):
            times = multiplicities(64, 200, run, of).numpy()
            arms = [(x.mean(1), x @ times.T / times.sum(1)) for x in (own + shared, shared)]
            if k == 2:  # images without seeds
                arms = [(e[:1], d.mean(0, keepdims=True)) for e, d in arms]
            difference, (low, high), _ = crossed_bootstrap(*arms, seed=run + 1)
            hits[k] += low <= truth <= high
    covered, ungrouped, one = hits / runs
    assert 0.9 < covered < 0.97 and ungrouped < covered - 0.03 and one < covered - 0.02


def test_the_coverage_that_is_stated_is_the_one_that_was_simulated():
    rows = json.loads((RESULTS / "bootstrap" / "results.json").read_text())["rows"]
    plain = [row for row in rows if row["class"] == "95 %"]
    stated = re.findall(r"(\d+) to (\d+) %", crossed_bootstrap.__doc__)
    for seeds, ends in zip("35", stated, strict=True):
        found = [100 * row["value"] for row in plain if row["method"].startswith(seeds)]
        assert [round(min(found)), round(max(found))] == [*map(int, ends)]


def test_methods_that_do_not_fit_are_refused():
    one = [1.0], [[1.0]]
    for a, b in (
        (([1.0], [[1.0, 2.0]]), one),  # draws
        (one, ([1.0, 2.0], [[1.0], [2.0]])),  # seeds
        (([1.0, 2.0], [[1.0]]), one),
        (one, ([1.0], [1.0])),
    ):
        refused("of a and b", crossed_bootstrap, a, b)


def test_intervals_that_hold_at_once_are_sidaks_for_figures_that_vary_apart():
    """Of K independent normal figures all stay within c standard errors in (2 Phi(c) - 1)^K of the
    cases; of K that go together in 2 Phi(c) - 1, as one does."""
    draws = 3 + np.random.default_rng(0).normal(size=(8, 200_000)) * np.arange(1, 9)[:, None] / 10
    for k in (1, 8):
        c = norm.ppf((1 + 0.95 ** (1 / k)) / 2)
        found = np.array(max_t(np.arange(k), draws[:k]))
        half = c * np.arange(1, k + 1) / 10
        wanted = np.stack([np.arange(k) - half, np.arange(k) + half], 1)
        assert np.allclose(found, wanted, rtol=0.01, atol=0.005)
    together = np.repeat(draws[:1], 5, axis=0)
    alone = max_t([0], draws[:1])[0]
    assert max_t([0] * 5, together) == [alone] * 5
    still = np.full(200_000, 0.5)  # an arm that never varies widens nobody
    assert max_t([0.5, 0], [still, draws[0]]) == [(0.5, 0.5), alone]
