"""The miss rate against numbers worked by hand, and against what three detectors published."""

import numpy as np
import pytest
import torch

from freqkd_lite.evaluate.detection import IGNORED, MISS, Matches, assign
from freqkd_lite.evaluate.missrate import miss_rate, outside_reasonable_subset, rank, score_people
from freqkd_lite.evaluate.stats import paired_bootstrap, times_of
from tests.evaluate.test_detection import boxes_of, found_of
from tests.real import real
from tests.refused import refused
from tools import kaist_missrate


def person(x):
    return (x, 100, x + 30, 200)


def by_hand():
    """Ten images, four people that count and one crowd. By falling score: hit, false positive, hit,
    in the crowd, hit, false positive."""
    people = [[person(10), person(300)], [person(10)], [person(10)]] + [[]] * 7
    boxes = [boxes_of(*each) for each in people]
    ignored = [torch.zeros(len(box), dtype=torch.bool) for box in boxes]
    boxes[3], ignored[3] = boxes_of((300, 50, 600, 300)), torch.tensor([True])
    # one person is found once
    rows = [[(10, 0.9)], [(10, 0.7), (12, 0.4)], [(14, 0.5)], [(400, 0.6)], [(50, 0.8)]] + [[]] * 5
    found = [found_of(*((*person(x), score, 0) for x, score in row)) for row in rows]
    return found, boxes, ignored


def test_miss_rate_by_hand():
    # Of 4 people the first is found at 0 false positives per image, two more at 1/10, no further
    # one at 2/10: 3/4 are missed at the four points below .1, 1/4 at .1, .178, .316, .562 and 1.
    ranked = rank(*by_hand())
    assert ranked.hit.tolist() == [True, False, True, True, False]
    assert miss_rate(ranked) == pytest.approx((0.75**4 * 0.25**5) ** (1 / 9))
    without = rank(*([each[k] for k in (0, 1, 2)] for each in by_hand()))
    # without the image of the surest false positive three are found at none
    assert miss_rate(without) == pytest.approx(0.25)


def test_points_are_not_rounded():
    # 18 false positives in 1000 images come before the one hit: not within .01 or .01778
    truths = np.array([2] + [0] * 999)
    ranked = Matches(np.zeros(19, int), np.array([False] * 18 + [True]), truths)
    assert miss_rate(ranked) == pytest.approx(0.5 ** (7 / 9))


def test_before_the_first_detection_nothing_is_found():
    # the false positive alone is 1/10 per image already
    ranked = Matches(np.zeros(2, int), np.array([False, True]), np.array([2] + [0] * 9))
    assert miss_rate(ranked) == pytest.approx(0.5 ** (5 / 9))


def test_images_without_a_detection_and_copies_of_images_count():
    found, boxes, ignored = by_hand()
    times = np.array([2, 0, 1, 1, 3, 0, 1, 0, 0, 2])
    again = np.repeat(np.arange(10), times)
    copied = rank(*([each[k] for k in again] for each in by_hand()))
    assert miss_rate(rank(found, boxes, ignored), times) == pytest.approx(miss_rate(copied))
    lost = rank([*found[:2], found_of(), *found[3:]], boxes, ignored)
    assert miss_rate(lost) == pytest.approx((0.75**4 * 0.5**5) ** (1 / 9))


def test_who_counts_and_what_a_detection_takes():
    people = [(5, 5, 30, 60), (5, 5, 30, 59.9), (4, 5, 30, 99), (600, 5, 635.5, 99)]
    boxes, occlusion = boxes_of(*people, (9, 450, 30, 507)), torch.tensor([1, 0, 0, 0, 2])
    assert outside_reasonable_subset(boxes, occlusion).tolist() == [False, True, True, True, True]
    two = boxes_of(person(10), person(18))  # a detection takes the one that it overlaps most
    assert assign(boxes_of(person(17), person(11)), two, torch.tensor([False, False])) == [1, 0]
    # half of its own area in an ignored box is enough, though the IoU is far below
    wide = boxes_of((0, 100, 300, 400))
    half, less = (-15, 100, 15, 200), (-15.1, 100, 14.9, 200)
    assert assign(boxes_of(half, less), wide, torch.tensor([True])) == [IGNORED, MISS]
    # a person that counts goes first; the second detection there is ignored by the crowd around
    both = torch.cat([wide, boxes_of(person(50))])
    assert assign(both[1:].repeat(2, 1), both, torch.tensor([True, False])) == [1, IGNORED]


def test_day_and_night_are_scored_apart_and_intervals_hold_the_figures():
    night = np.array([False, True] * 5)
    found = score_people(rank(*by_hand()), night, draws=200)
    # by day: images 0, 2, 4, 6, 8 with three people, of whom two are found, one at 0 and one at 1/5
    assert found.estimates["day"] == pytest.approx(((2 / 3) ** 6 * (1 / 3) ** 3) ** (1 / 9))
    assert all(low <= found.estimates[k] <= high for k, (low, high) in found.interval.items())
    refused(" 0, 0 and 0 ", rank, [], [], [])
    refused(" 2, 1 and 1 ", rank, [found_of()] * 2, [boxes_of()], [torch.zeros(0)])


def test_draws_are_those_of_images_or_groups_and_can_be_paired():
    night, ranked, groups = np.arange(10) % 2 == 1, rank(*by_hand()), [0, 0, 1, 1, 2, 2, 2, 3, 3, 4]
    for of in (None, groups):
        found = score_people(ranked, night, 50, of)
        assert [*found.estimates] == ["all", "day", "night"]
        for k, times in enumerate(times_of(10, 50, 0, of).long().numpy()[1:]):
            rates = miss_rate(ranked, times), miss_rate(ranked, ~night * times)
            drawn = [found.draws[side][k] for side in ("all", "day")]
            assert drawn == pytest.approx(np.array(rates, float), nan_ok=True)
        assert paired_bootstrap(found, found, "day") == (0, (0, 0))
        for draws, apart in ((51, of), (50, groups[::-1])):
            other = score_people(ranked, night, draws, apart)
            refused("groups", paired_bootstrap, found, other, "day")


PUBLISHED = {"MLPD": [7.58, 7.95, 6.95], "MBNet": [8.13, 8.28, 7.86]}
PUBLISHED |= {"MSDS-RCNN": [11.34, 10.53, 12.94]}


@pytest.mark.parametrize("method", kaist_missrate.PUBLISHED)
def test_published_figures_are_reproduced_to_two_decimals(method):
    folder = real("kaist_eval")
    found = kaist_missrate.score(folder, folder / "results" / f"{method}_result.txt", draws=2)
    assert [round(100 * value, 2) for value in found.estimates.values()] == PUBLISHED[method]
