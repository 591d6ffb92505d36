"""Label-free transfer and the label curve, held against curves whose answers are known."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.evaluate import transfer
from freqkd_lite.evaluate.probe import LogisticProbe, probe
from freqkd_lite.evaluate.stats import Resampled
from tests.refused import refused

CLASSES = ["person", "bicycle", "car"]


def stub(score, draws=20):
    """A scorer whose result and draws are `score(images)`, and the lists of images it was given."""
    asked = []

    def scorer(images):
        asked.append(images)
        mean = score(images)
        draw = {"mean": np.full(draws, mean)}
        return Resampled(estimates={"mean": mean}, draws=draw, truth=torch.zeros(1), seed=0)

    return scorer, asked


def curve(values, label_free, draws=20):
    """A curve with the budgets of 100 images that has these values (K - 1,) above budget 0."""
    column = np.array([label_free, *values])[:, None]
    steps = tuple(transfer.budgets(100))
    return transfer.LabelCurve(steps, column, np.repeat(column[:, :, None], draws, 2))


@pytest.mark.parametrize(
    ("n", "steps"),
    [(1, [0, 1]), (3, [0, 1, 3]), (12, [0, 1, 3, 10, 12]), (182, [0, 1, 3, 10, 30, 100, 182])],
)
def test_budgets_rise_by_half_powers_of_ten_to_all(n, steps):
    assert transfer.budgets(n) == steps


def test_a_budget_takes_the_first_images_of_an_order_that_two_students_share():
    scorer, asked = stub(lambda images: 0.0 if images is None else float(len(images)))
    found = transfer.label_curve(scorer, 12, repeats=2)
    assert found.budgets == (0, 1, 3, 10, 12)
    assert found.values.tolist() == [[0, 0], [1, 1], [3, 3], [10, 10], [12, 12]]
    assert found.draws.shape == (5, 2, 20)
    one, three, ten = asked[1:3], asked[3:5], asked[5:7]
    for first, then in ((one, three), (three, ten)):
        assert all(b[: len(a)] == a for a, b in zip(first, then, strict=True))
    assert ten[0] != ten[1] and len(set(ten[0])) == 10
    other, again = stub(lambda images: 0.0)
    transfer.label_curve(other, 12, repeats=2)
    assert again == asked
    refused("n_labelled=0", transfer.label_curve, other, 0)
    refused("repeats=0", transfer.label_curve, other, 1, 0)
    scorer, asked = stub(lambda images: 0.0)
    assert transfer.label_curve(scorer, 1, 1).values.shape == (2, 1)
    assert transfer.label_curve(scorer, 4).values.shape == (4, 5)
    assert asked[-6:-1] == [
        tuple(np.random.default_rng((0, r)).permutation(4)[:3].tolist()) for r in range(5)
    ]


def test_labels_needed_inverts_a_curve_that_is_linear_in_the_logarithm():
    steps = transfer.budgets(100)
    rising = np.array([9.0, *np.log(steps[1:])])  # the RGB head's 9 must not count
    for n in (1.5, 2, 7, 42, 99):
        assert transfer.labels_needed(steps, rising, math.log(n)) == pytest.approx(n)
    assert transfer.labels_needed(steps, rising, -1) == 1
    assert transfer.labels_needed(steps, rising, math.log(100) + 0.1) == math.inf
    # of a curve that falls again, the first time counts: 10, halfway between 1 and 100 in log
    falling = [0, 1, 100, 1000], np.array([0, 0, 1, 0.2])
    assert transfer.labels_needed(*falling, 0.5) == pytest.approx(10)


def test_worth_is_all_for_a_student_that_needs_all_and_endless_beyond():
    logs = np.log(transfer.budgets(100)[1:])
    for label_free, worth in ((logs[-1], 100), (99, math.inf), (math.log(20), 20)):
        distilled = [curve(logs, label_free)] * 2
        value, interval = transfer.worth(distilled, [curve(logs, 0.0)])
        assert value == pytest.approx(worth) and interval == pytest.approx((worth, worth))


def test_the_summary_has_a_row_a_budget_and_the_worth_of_what_is_distilled():
    logs = np.log(transfer.budgets(100)[1:])
    mse = curve(logs + 1, math.log(20))  # worth is by the labels of none
    mse.draws[0, 0] = np.linspace(math.log(5), math.log(45), 20)
    table = transfer.summary({"none": [curve(logs, 0.0)], "mse": [mse]})
    assert table["metric"].tolist() == ["label_curve"] * 12 + ["labels_worth"]
    assert table["method"].tolist() == ["none"] * 6 + ["mse"] * 7
    assert table["labels"][6:12].tolist() == [0, 1, 3, 10, 30, 100]
    free, *curved, worth = table[6:].itertuples()
    ends = np.quantile(mse.draws[0, 0], [0.025, 0.975])
    assert (free.value, free.low, free.high) == pytest.approx((math.log(20), *ends))
    assert all(row.low == row.value == row.high for row in curved)
    assert [row.value for row in curved] == pytest.approx([*(logs + 1)])
    assert (worth.value, worth.low, worth.high) == pytest.approx((20, 5, 45))


def test_the_interval_of_worth_is_that_of_its_draws():
    logs = np.log(transfer.budgets(100)[1:])
    distilled = curve(logs, math.log(10), draws=1001)
    needed = np.linspace(5, 45, 1001)
    distilled.draws[0, 0] = np.log(np.random.default_rng(0).permutation(needed))
    value, (low, high) = transfer.worth([distilled], [curve(logs, 0.0, draws=1001)])
    assert (value, low, high) == pytest.approx((10, 6, 44), abs=0.05)


def test_the_spread_of_seeds_and_of_the_choice_of_images_is_in_the_draws_and_paired():
    """S - 1 of S are drawn with replacement: the usual unbiased variance of a mean."""
    rng = np.random.default_rng(1)
    effect, values = rng.normal(size=5), rng.normal(size=(2, 6))
    value, draws = transfer.over_seeds([curve([0.0] * 5, e, draws=20000) for e in effect])
    assert value[0] == pytest.approx(effect.mean())
    assert draws[0].var() == pytest.approx(effect.var(ddof=1) / 5, rel=0.05)
    again = transfer.over_seeds([curve([1.0] * 5, e + 3, draws=20000) for e in effect])[1]
    assert again[0] - draws[0] == pytest.approx(np.full(20000, 3.0))  # paired
    one = transfer.LabelCurve((0, 1), values, np.repeat(values[:, :, None], 20000, 2))
    mean, draws = transfer.over_seeds([one])
    assert mean == pytest.approx(values.mean(1))
    assert draws.var(1) == pytest.approx(values.var(1, ddof=1) / 6, rel=0.05)
    assert transfer.over_seeds([one, one])[1] == pytest.approx(draws)
    assert np.array_equal(draws, transfer.over_seeds([one])[1])


@pytest.fixture
def world():
    """Features of two spectra: infrared's are RGB's with other channels for half of the signal."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (12, 4, 5), generator=draw)
    signal = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()
    rgb = torch.cat([signal, 0.1 * torch.randn(12, 4, 4, 5, generator=draw)], 1)
    infrared = rgb.roll(4, dims=1)
    return rgb, infrared, labels


def test_an_rgb_head_finds_everything_for_the_teacher_and_little_in_other_channels(world):
    rgb, infrared, labels = world
    head = LogisticProbe().fit(rgb, labels, [*CLASSES, "none"])
    same = transfer.probe_scorer(head, rgb, labels, rgb, labels, CLASSES, draws=10)
    assert same(None).mean_ap == 1
    assert same(range(12)).estimates == probe(rgb, labels, rgb, labels, CLASSES, draws=10).estimates
    other = transfer.probe_scorer(head, infrared, labels, infrared, labels, CLASSES, draws=10)
    assert other(None).mean_ap < 0.5 < other(range(12)).mean_ap
    for i, name in ((1, "train features"), (3, "test features")):
        given = [head, rgb, labels, rgb, labels, CLASSES]
        given[i] = rgb * torch.nan
        refused(f"{name} .*map 0, image 0", transfer.probe_scorer, *given)


def test_a_class_without_a_label_scores_its_share_of_patches(world):
    rgb, _, labels = world
    head = LogisticProbe().fit(rgb, labels, [*CLASSES, "none"])

    def found(first):
        """Scores by the labels of image 0 alone, which are these."""
        known = torch.cat([first[None], labels[1:]])
        return transfer.probe_scorer(head, rgb, known, rgb, labels, CLASSES, draws=10)((0,)).ap

    shares = [float((labels == k).float().mean()) for k in range(3)]
    without = found(torch.where(labels[0] == 1, 3, labels[0]))  # image 0 has no bicycle
    assert without["bicycle"] == pytest.approx(shares[1]) and without["car"] > 0.9
    nothing = found(torch.full_like(labels[0], 3))  # but ground
    assert [*nothing.values()] == pytest.approx(shares)


def test_absent_classes_leave_the_others_fit_as_it_is_without_them(world):
    rgb, _, labels = world
    three = torch.where(labels == 1, 3, labels)
    open_to_all = LogisticProbe().fit(rgb, three, [*CLASSES, "none"], absent=True)
    index = torch.tensor([0, 2, 3])
    alone = LogisticProbe().fit(rgb, torch.searchsorted(index, three), ["person", "car", "none"])
    assert open_to_all.weight[index] == pytest.approx(alone.weight, abs=1e-3)
    assert open_to_all.bias[1] == -torch.inf
