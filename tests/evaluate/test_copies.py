"""Copies of an image that stand in one group are one image, in the draws of every figure."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite import gap
from freqkd_lite.evaluate.detection import score_detections
from freqkd_lite.evaluate.segmentation import iou_by_border_distance, segment
from tests.evaluate import test_detection, test_segmentation
from tests.noise import noise

N = 20
TWICE = [*range(N), *range(N - 1, -1, -1)]  # each image and, in another order, its copy
ABC = test_segmentation.ABC


def masks():
    """Truth, and guesses of which half are right."""
    truth, guess = (test_segmentation.random_masks(n=N, seed=seed) for seed in (3, 4))
    guess[: N // 2] = truth[: N // 2]
    return truth, guess


def of_boxes(images, **about):
    case = test_detection.random_case(seed=7, n_images=N)  # no two scores of a class are equal
    chosen = [[thing[i] for i in images] for thing in case]
    return score_detections(*chosen, test_detection.CLASSES, **about).draws


def of_distances(images, **about):
    truth, guess = masks()
    limits = [0, 1.5, math.inf]
    rings = iou_by_border_distance(guess[images], truth[images], limits, ABC, **about)
    near, far = (ring.draws["mean"] for ring in rings.values())
    return {"mean": near, "far": far}


def of_segmenter(images, **about):
    truth, _ = masks()
    maps = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()  # patches of one pixel
    seen = maps + 2 * noise(*maps.shape, seed=5)
    return segment(maps, truth, seen[images], truth[images], ABC, **about)[0].draws


def of_levels(images, **about):
    sums = noise(N, 3, 3).abs() + 0.1
    return {"mean": gap.levels([0], [sums[images]], **about).draws["block0/ring0"]}


@pytest.mark.parametrize("draws_of", [of_boxes, of_distances, of_segmenter, of_levels])
def test_copies_in_one_group_are_one_image(draws_of):
    about = dict(draws=200, seed=5)
    once, alone = draws_of(list(range(N)), **about), draws_of(TWICE, **about)
    grouped = draws_of(TWICE, groups=TWICE, **about)
    for key, draws in once.items():
        np.testing.assert_allclose(grouped[key], draws)
    # 1 / sqrt(2), were there no luck of the draws
    assert np.nanstd(alone["mean"]) < 0.85 * np.nanstd(grouped["mean"])
