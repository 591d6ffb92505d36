"""Segmentation against hand-worked 4x4 masks, torchmetrics and brute-force loops."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchmetrics.classification import MulticlassJaccardIndex

from freqkd_lite.evaluate import segmentation
from freqkd_lite.evaluate.segmentation import LinearSegmenter, measure_segmentation, segment
from freqkd_lite.evaluate.stats import paired_bootstrap
from tests.evaluate.test_stats import bootstrap
from tests.refused import refused

ABC = ("a", "b", "c")
by_border = segmentation.iou_by_border_distance
# predicted a lot like the truth: 16 pixels, truth 6 a, 6 b, 4 c
TRUTH = torch.tensor([[[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 2, 2]]])
GUESS = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 2], [2, 2, 2, 0]]])


def random_masks(n=5, size=(9, 11), k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, k, (n, 1, 3, 4), generator=g).float()
    return torch.nn.functional.interpolate(coarse, size=size).long()[:, 0]


def test_iou_by_hand_without_a_class_in_neither_and_with_a_false_one():
    result = measure_segmentation(GUESS, TRUTH, ABC, draws=3)
    # rows are the truth: a 5 of 6 (one taken for b), b 4 of 6 (one for a, one for c), c 3 of 4
    assert result.confusion.tolist() == [[[5, 1, 0], [1, 4, 1], [1, 0, 3]]]
    assert result.iou == pytest.approx({"a": 5 / 8, "b": 4 / 7, "c": 3 / 5})
    assert result.miou == pytest.approx((5 / 8 + 4 / 7 + 3 / 5) / 3)
    assert result.estimates["accuracy"] == pytest.approx(12 / 16)
    assert result.interval["mean"] == pytest.approx((result.miou,) * 2)  # one image: no spread
    truth, guess = torch.zeros(2, 4, 4).long(), torch.zeros(2, 4, 4).long()
    guess[0, 0] = 1
    result = measure_segmentation(guess, truth, ABC, draws=10)
    assert result.iou == {"a": pytest.approx(28 / 32), "b": 0.0, "c": None}
    assert result.miou == pytest.approx(28 / 32 / 2)


def test_iou_is_that_of_torchmetrics():
    truth, guess = random_masks(seed=1, k=4), random_masks(seed=2, k=4)
    oracle = MulticlassJaccardIndex(4, average=None)(guess, truth)
    result = measure_segmentation(guess, truth, "abcd", draws=3)
    assert list(result.iou.values()) == pytest.approx(oracle.tolist(), abs=1e-6)
    assert result.miou == pytest.approx(oracle.mean().item(), abs=1e-6)
    without = result.without("a")  # the mean over the other three; pixels of a still count
    assert without.miou == pytest.approx(oracle[1:].mean().item(), abs=1e-6)
    others = 4 * result.draws["mean"] - result.draws["a"]
    assert without.draws["mean"] == pytest.approx(others / 3)
    assert result.miou != without.miou and without.iou == result.iou


def test_interval_is_literal_resampling_of_images():
    truth, guess = random_masks(n=8, seed=3), random_masks(n=8, seed=4)
    guess[:4] = truth[:4]  # half of the images are perfect, so the draws spread
    result = measure_segmentation(guess, truth, ABC, draws=80, seed=2)

    def literal(i):
        return MulticlassJaccardIndex(3)(guess[i], truth[i]).item()

    low, high = result.interval["mean"]
    assert (low, high) == pytest.approx(bootstrap(literal, 8, draws=80, seed=2), abs=1e-6)
    assert low < result.miou - 0.05 and high > result.miou + 0.05
    other = measure_segmentation(truth, truth, ABC, draws=80, seed=2)
    difference, (below, _) = paired_bootstrap(other, result)
    assert (difference, below) == pytest.approx((1 - result.miou, 1 - high))


def test_prediction_is_the_argmax_of_bilinear_logits():
    """By scipy, with pixel centres at (i + .5) / n and clamped at the edges."""
    masks = random_masks(n=6, size=(12, 20), seed=5)
    maps = torch.randn(6, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    model = LinearSegmenter(ABC).fit(maps, masks)
    logits = model.probe.logits(maps).numpy()
    predicted = model.predict(maps, (12, 20), batch=4)
    large = ndimage.zoom(logits, (1, 1, 4, 4), order=1, mode="nearest", grid_mode=True)
    assert (predicted.numpy() == large.argmax(1)).all()


def test_perfect_features_put_the_border_between_two_patches():
    masks = torch.zeros(4, 8, 16).long()
    masks[:2, :, 8:], masks[2:, :, :8] = 1, 1
    maps = torch.nn.functional.avg_pool2d(masks[:, None].float(), 4)
    result, _ = segment(maps, masks, maps, masks, ("a", "b"))
    assert result.miou == 1 and torch.equal(result.predictions, masks)
    swapped, _ = segment(maps, masks, maps.flip(0), masks, ("a", "b"))
    assert swapped.miou == 0


def test_patches_learn_their_most_frequent_class_and_classes_without_a_patch_keep_the_ids():
    # patches 2x2: b b b d -> b; d d b b -> b (tie); a a a a -> a; a c c d -> c
    mask = torch.tensor([[[1, 1, 3, 3], [1, 3, 1, 1], [0, 0, 0, 2], [0, 0, 2, 3]]])
    maps = torch.tensor([[[[1.0, 1.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, 1.0]]]])
    model = LinearSegmenter("abcd", l2=1e-4).fit(maps, mask)
    assert model.trained.tolist() == [0, 1, 2]
    assert model.predict(maps, (2, 2)).tolist() == [[[1, 1], [0, 2]]]
    mask, maps = torch.tensor([[[1, 1, 3, 3], [1, 1, 3, 3]]]), torch.tensor([[[[0.0, 1.0]]]])
    model = LinearSegmenter("abcd").fit(maps, mask)
    assert model.predict(maps, (1, 2)).tolist() == [[[1, 3]]] and model.trained.tolist() == [1, 3]


def slow_distance(mask):
    places = [*np.ndindex(*mask.shape)]
    out = np.full(mask.shape, np.inf)
    for at in places:
        others = [math.dist(at, other) for other in places if mask[other] != mask[at]]
        out[at] = min(others, default=np.inf)
    return out


def test_border_distance_by_brute_force():
    masks = random_masks(n=4, seed=6)
    masks[2] = 1  # one class: no border
    masks[3] = 0
    masks[3, 0, 0] = 2  # distances to a single pixel, and the picture's edge is not a border
    found = segmentation.border_distance(masks)
    for mask, distance in zip(masks.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(distance, slow_distance(mask), rtol=1e-6)


def test_rings_of_distance_by_hand_and_together_make_the_whole():
    # truth a|b between columns 3 and 4 of 8: distances 4 3 2 1 1 2 3 4
    truth = (torch.arange(8) > 3).long().expand(1, 2, 8).contiguous()
    guess = (torch.arange(8) > 4).long().expand(1, 2, 8).contiguous()  # the border 1 px too far
    rings = by_border(guess, truth, [1, 2, 4, math.inf], ("a", "b"), draws=3)
    assert list(rings) == [(1, 2), (2, 4), (4, math.inf)]
    near, middle, far = rings.values()
    # next to the border: 4 pixels, 2 a both right, 2 b both taken for a
    assert near.confusion.tolist() == [[[2, 0], [2, 0]]]
    assert near.iou == {"a": pytest.approx(0.5), "b": 0.0}
    assert near.estimates["accuracy"] == 0.5
    assert middle.miou == 1 and middle.confusion.sum() == 8 and far.confusion.sum() == 4
    total = sum(ring.confusion for ring in rings.values())
    assert torch.equal(total, segmentation.confusion_matrices(guess, truth, 2))


def test_rings_by_brute_force_over_images():
    truth, guess = random_masks(n=6, seed=7), random_masks(n=6, seed=8)
    truth[5] = 0  # without a border: infinitely far, in the last ring
    slow = np.stack([slow_distance(m) for m in truth.numpy()])
    rings = by_border(guess, truth, [0, 1.5, 3, math.inf], ABC, draws=40)
    for (low, high), ring in rings.items():
        inside = torch.from_numpy((slow >= low) & ((slow < high) | np.isinf(high)))
        for n, t, p in np.ndindex(6, 3, 3):
            at = inside[n] & (truth[n] == t) & (guess[n] == p)
            assert ring.confusion[n, t, p] == at.sum()
    middle = rings[1.5, 3.0]

    def accuracy(i):
        chosen = middle.confusion[i].sum(0)
        return float(chosen.trace() / chosen.sum())

    assert middle.interval["accuracy"] == pytest.approx(bootstrap(accuracy, 6, draws=40))


def test_bad_input_is_one_sentence():
    masks = random_masks(n=2, size=(8, 8))
    maps = torch.randn(2, 3, 4, 4)
    endless = maps.clone()
    endless[1, 2] = torch.inf
    refused("8x8 .*3x3", LinearSegmenter(ABC).fit, maps[..., :3, :3], masks)
    refused(r"train masks.*\(1, 8, 8\)", LinearSegmenter(ABC).fit, maps, masks[:1])
    refused("train masks .* 0 to 2, .* 2 classes", LinearSegmenter("ab").fit, maps, masks)
    refused("train .* image 1, channel 2", LinearSegmenter(ABC).fit, endless, masks)
    wild = masks.where(masks != 1, 9)
    refused(r"\(2, 8, 8\).*\(1, 8, 8\)", measure_segmentation, masks, masks[:1], ABC)
    refused("^predictions .* 0 to 9", measure_segmentation, wild, masks, ABC)
    refused("^masks .* 0 to 9", measure_segmentation, masks, wild, ABC)
    for edges in ([3], [3, 3], [4, 2]):
        refused("edges_px", by_border, masks, masks, edges, ABC)
    refused("100.0 to 200.0 px.*edges_px", by_border, masks, masks, [0, 100, 200], ABC)
