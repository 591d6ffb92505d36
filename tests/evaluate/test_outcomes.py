"""What a detector's picture shows: hits, false alarms and missed boxes, worked out by hand."""

import pytest
import torch

from freqkd_lite.evaluate.detection import best_threshold, one_box_each, outcomes
from tests.evaluate.test_detection import boxes_of, found_of

BOXES = boxes_of((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
LABELS = torch.tensor([0, 0, 1])


FIRST = found_of(
    (0, 0, 10, 9, 0.9, 0),  # a hit
    (0, 0, 10, 10, 0.8, 1),  # the same object under another class
    (20, 0, 24, 10, 0.7, 0),  # half a person
    (40, 0, 50, 10, 0.6, 1),  # a car where a car is
    (60, 60, 70, 70, 0.2, 0),  # nothing there
)


def test_one_box_an_object_keeps_the_surest_of_any_class():
    kept = one_box_each(FIRST, 0.5)
    assert kept["scores"].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert kept["labels"].tolist() == [0, 0, 1]
    assert len(one_box_each(FIRST, 0.1)["boxes"]) == 4
    assert len(one_box_each(FIRST, 0.95)["boxes"]) == 0


def test_hits_and_missed_boxes():
    hit, wrong, missed = outcomes(one_box_each(FIRST, 0.1), BOXES, LABELS)
    assert hit.tolist() == [True, False, True, False] == (~wrong).tolist()
    assert missed.tolist() == [False, True, False]
    hit, _, missed = outcomes(one_box_each(FIRST, 0.95), BOXES, LABELS)
    assert hit.tolist() == [] and missed.all()
    hit, wrong, missed = outcomes(FIRST, BOXES[:0], LABELS[:0])
    assert not hit.any() and wrong.all() and len(missed) == 0


def test_small_boxes_are_neither_found_nor_missed_and_a_box_is_hit_once():
    # Below 101 px² no box counts: what lies in one is no hit and no false alarm.
    hit, wrong, missed = outcomes(one_box_each(FIRST, 0.1), BOXES, LABELS, 101)
    assert not hit.any() and wrong.tolist() == [False, False, False, True] and not missed.any()
    twice = found_of((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0))
    assert outcomes(twice, BOXES[:1], LABELS[:1])[0].tolist() == [True, False]


def test_the_threshold_with_the_highest_f1():
    # from .6: 2 hits, 1 false, 1 missed (F1 2/3); from .7: 1, 1, 2 (.4); from .2: 2, 2, 1 (.57)
    assert best_threshold([FIRST], [BOXES], [LABELS]) == pytest.approx(0.25)
    # the lowest of those that show the same boxes
    assert best_threshold([found_of()], [BOXES], [LABELS]) == pytest.approx(0.05)
