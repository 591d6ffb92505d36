"""The probe and the bootstrap against hand-worked numbers, autograd, torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryAveragePrecision

from freqkd_lite.data import Pair
from freqkd_lite.evaluate.probe import (
    LogisticProbe,
    ap_draws,
    average_precision,
    class_shares,
    labels_of,
    measure,
    patch_labels,
    probe,
)
from freqkd_lite.evaluate.stats import multiplicities, paired_bootstrap, resamples
from tests.evaluate.test_stats import bootstrap
from tests.refused import refusals, refused

CLASSES = ("person", "bicycle", "car")
NONE = 3


def generator(seed):
    return torch.Generator().manual_seed(seed)


def labelled_maps(n=12, d=6, grid=(4, 5), seed=0, noise=1.0):
    """Features whose first channels lean towards the class; every class and none in each half."""
    g = generator(seed)
    labels = torch.randint(0, 4, (n, *grid), generator=g)
    maps = noise * torch.randn(n, d, *grid, generator=g, dtype=torch.float64)
    for k in range(4):
        maps[:, k] += labels == k
    mixing = torch.randn(d, d, generator=g, dtype=torch.float64) * torch.logspace(0, -2, d)[:, None]
    return torch.einsum("ndhw,de->nehw", maps, mixing.double()) + 5, labels


def label(*boxes):
    """Of boxes (x0, y0, x1, y1, class) on a 3x3 grid of patches of 10 px."""
    table = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5)
    return patch_labels(table[:, :4], table[:, 4].long(), (3, 3), 10, NONE).tolist()


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], [[3, 3, 3], [3, 3, 3], [3, 3, 3]]),
        # covers (0,0) whole, (0,1) 60 of 100, (1,0) 50 of 100: exactly half is not more than half
        ([(0, 0, 16, 15, 0)], [[0, 0, 3], [3, 3, 3], [3, 3, 3]]),
        # one patch in x, two in y: rows and columns are not exchanged
        ([(20, 0, 30, 20, 1)], [[3, 3, 1], [3, 3, 1], [3, 3, 3]]),
        # smaller than half a patch: the patch of its centre (25, 14), row 1, column 2
        ([(23, 12, 27, 16, 2)], [[3, 3, 3], [3, 3, 2], [3, 3, 3]]),
        # a tall thin box never covers half: one label only, at its centre (5, 15)
        ([(3, 0, 7, 30, 0)], [[3, 3, 3], [0, 3, 3], [3, 3, 3]]),
        # cut off by the edge: clipped to (26..30, 0..8), centre (28, 4)
        ([(26, -20, 90, 8, 1)], [[3, 3, 1], [3, 3, 3], [3, 3, 3]]),
        # ends exactly on the far edge, 1 px large
        ([(29, 29, 30, 30, 2)], [[3, 3, 3], [3, 3, 3], [3, 3, 2]]),
        # two over (0,0): 80 against 60 covered, the one that covers more wins, in either order
        ([(0, 0, 8, 10, 0), (0, 0, 6, 10, 1)], [[0, 3, 3], [3, 3, 3], [3, 3, 3]]),
        ([(0, 0, 6, 10, 1), (0, 0, 8, 10, 0)], [[0, 3, 3], [3, 3, 3], [3, 3, 3]]),
        # both cover (0,0) whole: the smaller box wins it, the larger keeps the rest of its own
        ([(0, 0, 20, 20, 2), (0, 0, 10, 12, 0)], [[0, 2, 3], [2, 2, 3], [3, 3, 3]]),
        ([(0, 0, 10, 12, 0), (0, 0, 20, 20, 2)], [[0, 2, 3], [2, 2, 3], [3, 3, 3]]),
        # equal boxes: the earlier
        ([(0, 0, 10, 10, 2), (0, 0, 10, 10, 1)], [[2, 3, 3], [3, 3, 3], [3, 3, 3]]),
        # a tiny box in front of a large one takes its centre's patch from it
        ([(0, 0, 30, 30, 2), (14, 14, 16, 16, 0)], [[2, 2, 2], [2, 0, 2], [2, 2, 2]]),
        # two tiny boxes in one patch: the one that covers more of it
        ([(1, 1, 3, 3, 0), (5, 5, 8, 8, 1)], [[1, 3, 3], [3, 3, 3], [3, 3, 3]]),
        # under a pixel, beside another box
        ([(5, 5, 5.5, 5.5, 0), (20, 20, 30, 30, 1)], [[0, 3, 3], [3, 3, 3], [3, 3, 1]]),
        # of many equal ones the first
        ([(0, 0, 10, 10, 2)] + 99 * [(0, 0, 10, 10, 1)], [[2, 3, 3], [3, 3, 3], [3, 3, 3]]),
    ],
)
def test_patch_labels_by_hand(boxes, expected):
    assert label(*boxes) == expected


class Boxed:
    """Three pairs of 4x6 pixels with a box each, but for the last."""

    classes = CLASSES

    def __len__(self):
        return 3

    def __getitem__(self, i):
        boxes, labels = torch.tensor([[2.0 * i, 0, 2 * i + 2, 2]]), torch.tensor([i])
        truth = dict(boxes=boxes, labels=labels) if i < 2 else {}
        return Pair(f"pair{i}", None, torch.zeros(3, 4, 6), **truth)


def test_labels_of_a_set_are_those_of_its_pairs_in_the_order_asked_for():
    own = [[[0, NONE, NONE], [NONE] * 3], [[NONE, 1, NONE], [NONE] * 3]]  # patches of 2 pixels
    assert labels_of(Boxed(), 2, [1, 0]).tolist() == own[::-1]
    refused("pair2 .*boxes", labels_of, Boxed(), 2)


def test_patch_labels_agree_with_counted_pixels():
    g = np.random.default_rng(0)
    for _ in range(20):
        x0, y0 = g.integers(0, 40, 2)
        box = (x0, y0, x0 + g.integers(5, 20), y0 + g.integers(5, 20))
        picture = np.zeros((42, 56), bool)
        picture[box[1] : box[3], box[0] : box[2]] = True
        most = picture.reshape(3, 14, 4, 14).sum((1, 3)) > 98
        got = patch_labels(torch.tensor([box]), torch.tensor([0]), (3, 4), 14, 1).numpy() == 0
        if most.any():
            assert (got == most).all()
        else:
            assert got.sum() == 1
        pixels = patch_labels(torch.tensor([box]), torch.tensor([0]), (42, 56), 1, 1).numpy() == 0
        assert (pixels == picture).all()


test_patch_labels_refuse = refusals(
    (lambda: label((0, 0, 10, 10, 0), (5, 5, 5, 9, 0)), "Box 1 .* no area"),
    (lambda: label((40, 0, 50, 10, 0)), "Box 0 .* no area within 30x30"),
    (lambda: label((0, 0, float("nan"), 10, 0)), "Box 0"),
    (lambda: label((0, 0, 10, 10, 3)), "labels=.* 0 to 2"),
    (lambda: label((0, 0, 0.5, 10, 0), (9, 9, 9, 9, 0)), "Box 1"),
    (lambda: class_shares(torch.zeros(5, 4), (2, 2), [0]), "5x4 pixels .* 2x2"),
    (lambda: class_shares(torch.zeros(4, 5), (2, 2), [0]), "4x5 pixels .* 2x2"),
    (lambda: patch_labels(torch.ones(1, 4), torch.tensor([0, 1]), (3, 3), 10, 3), "1 .* 2 labels"),
)


def objective(maps, labels, l2, weight, bias):
    """J of the docstring, written anew on rows; standardised here, by hand."""
    x = maps.double().permute(0, 2, 3, 1).flatten(0, 2)
    z = (x - x.mean(0)) / ((x - x.mean(0)) ** 2).mean(0).sqrt()
    logits = z @ weight.T + bias
    chosen = logits[torch.arange(len(z)), labels.flatten()]
    return (logits.exp().sum(1).log() - chosen).mean() + l2 / 2 * (weight**2).sum()


@pytest.mark.parametrize("l2", [1e-3, 1e-2, 1e-1])
def test_fit_is_the_optimum_by_autograds_gradient(l2):
    """J is convex, so that where its gradient is nothing there is no other optimum."""
    maps, labels = labelled_maps(n=30, d=40)
    model = LogisticProbe(l2, tolerance=1e-7).fit(maps, labels, [*CLASSES, "none"])
    weight, bias = (t.clone().requires_grad_() for t in (model.weight, model.bias))
    objective(maps, labels, l2, weight, bias).backward()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-7
    hurried = LogisticProbe(max_steps=3)
    refused("3 steps.*max_steps", hurried.fit, maps, labels, [*CLASSES, "none"])


def test_new_features_meet_the_training_statistics_and_a_constant_channel_no_weight():
    maps, labels = labelled_maps()
    model = LogisticProbe().fit(maps, labels, [*CLASSES, "none"])
    one = torch.full((1, 6, 1, 1), 5.5, dtype=torch.float64)
    z = (5.5 - maps.mean((0, 2, 3))) / maps.std((0, 2, 3), correction=0)
    expected = model.weight @ z + model.bias
    torch.testing.assert_close(model.logits(one).flatten(), expected)
    p = torch.softmax(expected, 0)
    torch.testing.assert_close(model.scores(one).flatten(), (p / (1 - p)).log())
    names = [*CLASSES, "none"]
    flat = torch.cat([maps, torch.full_like(maps[:, :1], 0.1)], 1)
    model = LogisticProbe().fit(flat, labels, names)
    assert model.weight[:, -1].abs().max() < 1e-9
    changed = flat.clone()
    changed[:, -1] += 1  # test data in which that channel does vary
    torch.testing.assert_close(model.scores(changed), model.scores(flat))


def once(scores, positives):
    """Average precision of all elements, each counted once."""
    return float(average_precision(scores[None], positives[None], torch.ones(1, 1)))


def test_average_precision_by_hand():
    # ranked + - + -: precision 1 at recall 1/2, 2/3 at recall 1
    scores, positives = torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.tensor([1, 0, 1, 0]).bool()
    assert once(scores, positives) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # + and - tied at .8 are one threshold: precision 1/2 at recall 1/2, then 2/3 at recall 1
    tied = torch.tensor([0.8, 0.8, 0.7, 0.1])
    assert once(tied, positives) == pytest.approx(0.5 * 0.5 + 0.5 * 2 / 3)
    # all equal: one threshold, the share of positives
    assert once(torch.ones(8), torch.arange(8) < 3) == pytest.approx(3 / 8)
    # the worst order: positives last of 5
    worst = once(-torch.arange(5.0), torch.arange(5) > 2)
    assert worst == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert np.isnan(once(torch.ones(4), torch.zeros(4).bool()))


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_average_precision_is_that_of_torchmetrics(decimals):
    g = generator(decimals)
    positives = torch.rand(500, generator=g) < 0.2
    # rounded, so that there are many ties, few or none
    scores = ((torch.randn(500, generator=g) + positives) / 8 + 0.5).clamp(0, 1)
    scores = (scores * 10).round(decimals=decimals) / 10
    oracle = BinaryAveragePrecision(thresholds=None)(scores, positives.long()).item()
    assert once(scores, positives) == pytest.approx(oracle, abs=1e-6)


def test_draws_of_groups_are_literal_repetitions_of_their_images():
    g = generator(4)
    scores = torch.randn(6, 3, 4, 2, generator=g)
    truth = torch.randint(0, 3, (6, 3, 4), generator=g)  # 2 stands for none
    groups = [0, 0, 1, 2, 2, 2]
    found = ap_draws(scores, truth, ("a", "b"), multiplicities(6, 250, 1, groups))
    for draw in (0, 7, 240):  # of the groups 0 to 2; more draws than are made at once
        images = [i for k in resamples(3, 250, 1)[draw] for i in range(6) if groups[i] == k]
        literal = [once(scores[images][..., k], truth[images] == k) for k in (0, 1)]
        assert found["a"][draw] == pytest.approx(literal[0])
        assert found["mean"][draw] == pytest.approx(np.mean(literal))
    # A class that is in no image is not in the mean; one that a draw lacks leaves it undefined.
    absent = truth.clone()
    absent[truth == 1] = 2
    absent[3:][truth[3:] == 0] = 2  # none in the group 2
    found = ap_draws(scores, absent, ("a", "b"), torch.tensor([[1.0] * 6, [0, 0, 0, 1, 1, 1]]))
    assert found["mean"][0] == once(scores[..., 0], absent == 0)
    assert np.isnan(found["b"]).all() and np.isnan(found["mean"][1])
    nothing = ap_draws(scores, torch.full_like(truth, 2), ("a", "b"), torch.ones(3, 6))
    assert np.isnan(nothing["mean"]).all() and nothing["mean"].shape == (3,)


def test_intervals_are_literal_resampling_and_paired_ones_resample_both_alike():
    maps, labels = labelled_maps(n=24, noise=1.5)
    good = probe(maps, labels, maps, labels, CLASSES, draws=200)
    noisier = maps + torch.randn(maps.shape, generator=generator(9), dtype=maps.dtype) * 0.4
    worse = measure(good.model, noisier, labels, CLASSES, draws=200)

    def mean_ap(of, i):
        return np.mean([once(of.scores[i][..., k], labels[i] == k) for k in range(3)])

    assert good.mean_ap == pytest.approx(mean_ap(good, np.arange(24)))
    literal = bootstrap(lambda i: mean_ap(good, i), 24, draws=200)
    assert good.interval["mean"] == pytest.approx(literal)
    difference, found = paired_bootstrap(good, worse)
    assert difference == pytest.approx(good.mean_ap - worse.mean_ap)
    literal = bootstrap(lambda i: mean_ap(good, i) - mean_ap(worse, i), 24, draws=200)
    assert found == pytest.approx(literal)
    assert paired_bootstrap(good, good) == (0.0, (0.0, 0.0))
    person, _ = paired_bootstrap(good, worse, key="person")
    assert person == pytest.approx(good.ap["person"] - worse.ap["person"])
    for changed in (dict(labels=labels.flip(0)), dict(seed=1), dict(draws=100)):
        about = dict(labels=labels, classes=CLASSES, draws=200) | changed
        other = measure(good.model, maps, **about)
        refused("test set", paired_bootstrap, good, other)
    refused("'persons'.*'person'", paired_bootstrap, good, worse, key="persons")


def test_some_of_the_images_are_judged_in_their_groups():
    maps, labels = labelled_maps(n=24, noise=1.5)
    once = probe(maps, labels, maps, labels, CLASSES, draws=200, seed=3)
    twice = [*range(24), *range(23, -1, -1)]  # each image and, in another order, its copy
    copies = (maps[twice], labels[twice], CLASSES)
    grouped, alone = (measure(once.model, *copies, 200, 3, groups) for groups in (twice, None))
    refused("test set", paired_bootstrap, grouped, alone)
    some = [i for i, of in enumerate(twice) if of % 3]  # both copies of 16 images
    part = grouped.among(some)
    assert list(part.groups) == [twice[i] for i in some] and part.n["images"] == 32
    expected = once.among([i for i in range(24) if i % 3])
    np.testing.assert_allclose(part.draws["mean"], expected.draws["mean"])
    assert expected.groups is None


def test_blocks_are_joined_and_counts_are_right():
    maps, labels = labelled_maps()
    whole = probe(maps, labels, maps, labels, CLASSES, draws=5)
    blocks = [maps[:, :2], maps[:, 2:]]
    parts = probe(blocks, labels, blocks, labels, CLASSES, draws=5)
    assert torch.equal(parts.scores, whole.scores) and whole.scores.shape == (12, 4, 5, 3)
    halves = probe(maps[:6], labels[:6], maps[6:], labels[6:], CLASSES, draws=5)
    fitted = LogisticProbe().fit(maps[:6], labels[:6], [*CLASSES, "none"])
    assert torch.equal(halves.scores, fitted.scores(maps[6:])[..., :3])
    counted = {c: int((labels == k).sum()) for k, c in enumerate(CLASSES)}
    assert whole.n == counted | {"images": 12, "patches": 240}


def test_an_absent_class_has_no_figure():
    maps, labels = labelled_maps()
    test = labels.where(labels == 0, NONE)
    test[3, 0, 0] = 2  # car in one image alone: about 1/e of the draws lack it
    result = probe(maps, labels, maps, test, CLASSES, draws=400)
    assert result.ap["bicycle"] is None and result.interval["bicycle"] is None
    assert result.mean_ap == pytest.approx((result.ap["person"] + result.ap["car"]) / 2)
    both = (result.draws["person"] + result.draws["car"]) / 2  # in a draw, too, two of three
    np.testing.assert_allclose(result.draws["mean"], both)
    lost = np.isnan(result.draws["car"]).mean()
    assert lost == pytest.approx((1 - 1 / 12) ** 12, abs=0.08)


def test_bad_input_is_one_sentence():
    maps, labels = labelled_maps()
    broken, few = maps.clone(), labels.where(labels != 1, 3)
    broken[5, 2, 1, 1] = torch.nan
    for says, *given in (
        ("train .* map 1, image 5, channel 0", [maps[:, :2], broken[:, 2:]], labels, maps, labels),
        ("test features .* map 0, image 5, channel 2", maps, labels, broken, labels),
        (r"train labels.*\(12, 2, 5\)", maps, labels[:, :2], maps, labels),
        (r"train features.*\(12, 6, 4, 2\)", [maps, maps[..., :2]], labels, maps, labels),
        ("training .*bicycle", maps, few, maps, labels),
        ("test .*person, bicycle, car", maps, labels, maps, torch.full_like(labels, NONE)),
        ("test labels .* 0 to 3", maps, labels, maps, labels + 1),
        ("train labels .*integers", maps, labels.float(), maps, labels),
    ):
        refused(says, probe, *given, CLASSES)
    model = LogisticProbe().fit(maps, labels, [*CLASSES, "none"])
    refused(" 4 .* 6: .*blocks", model.scores, maps[:, :4])
    refused("l2=0", LogisticProbe, l2=0)
    refused("NaN", once, torch.tensor([1.0, torch.nan]), torch.tensor([True, False]))
    refused("n_images=0", resamples, 0)
