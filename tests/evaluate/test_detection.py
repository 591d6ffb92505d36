"""Detection against pycocotools, numbers worked by hand, brute force and planted signals."""

import numpy as np
import pytest
import torch
import torchvision
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from freqkd_lite.evaluate import detection
from freqkd_lite.evaluate.detection import DetectorSettings, score_detections, train_detector
from freqkd_lite.evaluate.stats import resamples
from tests.refused import refusals, refused

CLASSES = ("person", "bicycle", "car")
SIZE, GRID, WIDTH = (112, 140), (8, 10), 24
SMALL = DetectorSettings(channels=32, steps=160, batch=8, lr=4e-3)


def by_class(score):
    """AP of each class, without their mean."""
    return {k: v for k, v in score.estimates.items() if k != "mean"}


def boxes_of(*rows):
    return torch.tensor(np.array(rows), dtype=torch.float32).reshape(-1, 4)


def found_of(*rows):
    """Rows of (x1, y1, x2, y2, score, label) as a prediction."""
    table = torch.tensor(np.array(rows), dtype=torch.float32).reshape(-1, 6)
    return {"boxes": table[:, :4], "scores": table[:, 4], "labels": table[:, 5].long()}


def random_case(seed, n_images=6, per_image=6):
    """Boxes and noisy copies of them with stray ones; class 2 has detections but no truths when the
    seed is even, some images are empty, scores are rounded to tenths (ties) for seeds 3k."""
    draw = np.random.default_rng(seed)
    predictions, boxes, labels = [], [], []

    def somewhere(count):
        corner, side = draw.uniform(0, 100, (count, 2)), draw.uniform(8, 60, (count, 2))
        return np.concatenate([corner, corner + side], 1)

    for _ in range(n_images):
        n, extra = draw.integers(0, per_image, 2)
        box, label = somewhere(n), draw.integers(0, 2 if seed % 2 == 0 else 3, n)
        noisy = box.repeat(2, 0) + draw.normal(0, 3, (2 * n, 4))
        all_boxes = np.concatenate([noisy, somewhere(extra)])
        all_labels = np.concatenate([label.repeat(2), draw.integers(0, 3, extra)])
        score = draw.uniform(0, 1, len(all_boxes)).round(1 if seed % 3 == 0 else 6)
        rows = np.concatenate([all_boxes, score[:, None], all_labels[:, None]], 1)
        predictions.append(found_of(*rows[draw.permutation(len(rows))]))
        boxes.append(boxes_of(*box))
        labels.append(torch.tensor(label, dtype=torch.long))
    return predictions, boxes, labels


def coco_ap(predictions, boxes, labels, below=0):
    """AP by pycocotools, (thresholds of IoU, classes), NaN for a class without true boxes. Those
    with an area under `below` px² are crowds there."""
    theirs, rows, found = COCO(), [], []
    for i, (box, label, mine) in enumerate(zip(boxes, labels, predictions, strict=True)):
        both = ((rows, box, label, label), (found, mine["boxes"], mine["labels"], mine["scores"]))
        for to, corners, kinds, scores in both:
            sides = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).tolist()
            for (x, y, w, h), k, s in zip(sides, kinds.tolist(), scores.tolist(), strict=True):
                at = dict(id=len(to) + 1, image_id=i, category_id=k, score=s, area=w * h)
                to.append(at | dict(bbox=[x, y, w, h], iscrowd=int(w * h < below)))
    kinds, images = ([{"id": k} for k in range(n)] for n in (len(CLASSES), len(boxes)))
    theirs.dataset = dict(images=images, annotations=rows, categories=kinds)
    theirs.createIndex()
    scored = COCOeval(theirs, theirs.loadRes(found), "bbox")
    scored.params.recThrs = np.arange(101) / 100  # its own miss recalls that are reached exactly
    scored.evaluate()
    scored.accumulate()
    found = scored.eval["precision"][..., 0, -1].mean(1)
    return np.where(found < 0, np.nan, found)


def score_one(found, *truths, draws=2):
    """Of one class, as "x" and, by torchmetrics, "mean": predictions of images against boxes."""
    labels = [torch.zeros(len(boxes), dtype=torch.long) for boxes in truths]
    return score_detections(found, truths, labels, ["x"], draws=draws)


def test_ap_by_hand():
    # Two truths. Scores .9 hits the first (recall 1/2, precision 1), .8 misses (1/2, 1/2), .7 hits
    # the second (1, 2/3). Recalls 0, .01, ... .50 (51 of them) see precision 1, the other 50 see
    # 2/3: AP = (51 + 50 * 2/3) / 101.
    box, off, short = (0, 0, 10, 10), (50, 50, 60, 60), (0, 0, 10, 9)
    expected = (51 + 50 * 2 / 3) / 101
    found = [found_of((*box, 0.9, 0)), found_of((*off, 0.8, 0), (*short, 0.7, 0))]
    score = score_one(found, boxes_of(box), boxes_of(box))
    assert score.estimates == pytest.approx({"x": expected, "mean": expected})
    # the third detection overlaps .9: it is a hit up to the threshold .85 for certain, and a miss
    # at .95, where AP = 51 / 101; .9 itself is a matter of rounding
    assert score.map * 10 == pytest.approx(9 * expected + 51 / 101, abs=0.35)


def test_a_recall_reached_exactly_counts():
    # 10 truths; hit, hit, hit, miss, hit: precision 1 up to recall .30 (31 points), 4/5 up to .40
    # (10 points). With thresholds in float32 the recall .30 would be missed.
    truth = boxes_of(*[(20 * k, 0, 20 * k + 10, 10) for k in range(10)])
    rows = [(20 * k, 0, 20 * k + 10, 10, 0.9 - 0.1 * k, 0) for k in range(3)]
    rows += [(0, 50, 10, 60, 0.5, 0), (80, 0, 90, 10, 0.4, 0)]
    score = score_one([found_of(*rows)], truth)
    assert [*score.estimates.values()] == pytest.approx([(31 + 10 * 0.8) / 101] * 2)


def test_of_two_equal_fits_the_last_is_taken():
    # The first detection fits both truths equally well (IoU 1/2); as in COCO it takes the last one,
    # so the second detection, which fits only the first truth, is a hit too.
    found = found_of((0, 0, 10, 20, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    score = score_one([found], boxes_of((0, 0, 10, 10), (0, 10, 10, 20)))
    assert [*score.estimates.values()] == pytest.approx([1, 1])


@pytest.mark.parametrize("below", [0, 900])
@pytest.mark.parametrize("seed", range(12))
def test_scores_are_those_of_pycocotools_also_where_small_boxes_are_ignored(seed, below):
    predictions, boxes, labels = case = random_case(seed)
    score, expected = score_detections(*case, CLASSES, draws=3, below=below), coco_ap(*case, below)
    assert score.estimates["mean"] == pytest.approx(np.nanmean(expected[0]), abs=1e-6)
    assert score.map == pytest.approx(np.nanmean(expected), abs=1e-6)
    area = torchvision.ops.box_area(torch.cat(boxes))
    for k, name in enumerate(CLASSES):
        count = int(((torch.cat(labels) == k) & (area >= below)).sum())
        assert score.n[name] == count and (score.interval[name] is None) == (count == 0)
        ap = expected[0, k] if count else None
        assert score.estimates[name] == pytest.approx(ap, abs=1e-6)


def test_only_the_best_hundred_detections_of_an_image_count():
    misses = [(50, 50, 60, 60, 0.9 - 0.001 * k, 0) for k in range(100)]
    for left_out, ap in ((0, 0), (1, 0.01)):
        found = [found_of(*misses[left_out:], (0, 0, 10, 10, 0.1, 0))]
        score = score_one(found, boxes_of((0, 0, 10, 10)))
        assert [*score.estimates.values()] == pytest.approx([ap, ap])


@pytest.mark.parametrize("seed", [7, 8])  # of the second case no image has a car
def test_draws_equal_literally_repeated_images(seed):
    case = random_case(seed, n_images=9)
    score = score_detections(*case, CLASSES, draws=20, seed=5)
    found = np.array([score.draws[name] for name in CLASSES])
    for draw, images in enumerate(resamples(9, 20, 5)):
        repeated = [[thing[i] for i in sorted(images)] for thing in case]
        np.testing.assert_allclose(found[:, draw], coco_ap(*repeated)[0], atol=1e-6)
    here = torch.cat(case[2]).unique()
    np.testing.assert_allclose(score.draws["mean"], found[here].mean(0))
    assert np.isfinite(score.draws["mean"]).sum() > 10 and np.nanstd(score.draws["mean"]) > 0.01
    assert score.interval["mean"][0] < score.estimates["mean"] < score.interval["mean"][1]


def plant(n_images, seed):
    """Noise with each object added to the channel of its class, by covered share of each patch.
    Every fourth image is empty. Boxes 18 to 60 px."""
    draw = np.random.default_rng(seed)
    features = 0.3 * draw.normal(size=(n_images, WIDTH, *GRID))
    left, top = 14 * np.arange(GRID[1]), 14 * np.arange(GRID[0])
    boxes, labels = [], []
    for i in range(n_images):
        rows, kinds = [], draw.integers(0, 3, 2 if i % 4 else 0)
        for half, kind in enumerate(kinds):  # one object in each half: they do not overlap
            wide, high = draw.uniform(18, 60, 2)
            x, y = 70 * half + draw.uniform(0, 70 - wide), draw.uniform(0, SIZE[0] - high)
            across = (np.minimum(left + 14, x + wide) - np.maximum(left, x)).clip(min=0) / 14
            down = (np.minimum(top + 14, y + high) - np.maximum(top, y)).clip(min=0) / 14
            features[i, kind] += 6 * down[:, None] * across
            rows.append((x, y, x + wide, y + high))
        boxes.append(boxes_of(*rows))
        labels.append(torch.tensor(kinds))
    return torch.tensor(features).float(), boxes, labels


@pytest.fixture(scope="module")
def trained():
    """A detector that saw class k in channel k."""
    return train_detector(*plant(96, seed=0), SIZE, CLASSES, SMALL)


def test_planted_objects_are_found_where_and_as_what_they_are(trained):
    features, boxes, labels = plant(48, seed=1)
    score = score_detections(trained.predict(features), boxes, labels, CLASSES, draws=50)
    assert score.estimates["mean"] > 0.8 and min(by_class(score).values()) > 0.6
    # the same detections against the boxes of other images: no skill is left
    wrong = score_detections(trained.predict(features.roll(1, 0)), boxes, labels, CLASSES, draws=2)
    assert wrong.estimates["mean"] < 0.15
    # names follow the labels: with two classes swapped in the truth, those two are lost
    swapped = [torch.tensor([1, 0, 2])[y] for y in labels]
    lost = score_detections(trained.predict(features), boxes, swapped, CLASSES, draws=2)
    assert max(by_class(lost)["person"], by_class(lost)["bicycle"]) < 0.15
    assert by_class(lost)["car"] == by_class(score)["car"]


LARGE = (100, 60, 190, 150), (0, 0, 280, 210), (225, 150, 280, 210)


@pytest.mark.parametrize("box", [(30, 30, 44, 40), (61, 100, 103, 131), *LARGE])
def test_points_that_answer_for_a_box(box, monkeypatch):
    """FCOS's rules, point by point: inside the box, nearer than 1.5 strides to its centre, and the
    farthest side within the level's reach (21 px, 42 px, all)."""
    expected = []
    for stride, low, high in ((7, 0, 21), (14, 21, 42), (28, 42, float("inf"))):
        for row in range(-(-210 // stride)):  # 210 px are 7.5 cells of 28: the half one counts
            for column in range(-(-280 // stride)):
                x, y = stride * (column + 0.5), stride * (row + 0.5)
                sides = (x - box[0], y - box[1], box[2] - x, box[3] - y)
                off = max(abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2))
                expected.append(min(sides) > 0 and off < 1.5 * stride and low < max(sides) < high)
    settings = DetectorSettings(channels=32)
    pyramid = detection.Pyramid(torch.zeros(8), torch.ones(8), settings.channels)
    model = detection.build_fcos(pyramid, [7.0, 14.0, 28.0], (210, 280), 3, settings)
    seen = {}

    def spy(targets, head_outputs, anchors, matched):
        seen["matched"], seen["anchors"] = matched[0], anchors[0]
        seen["distances"] = head_outputs["bbox_regression"]
        return {}

    monkeypatch.setattr(model.head, "compute_loss", spy)
    target = {"boxes": boxes_of(box), "labels": torch.tensor([2])}
    model.train()(list(torch.randn(1, 8, 15, 20)), [target])
    assert (seen["matched"] >= 0).tolist() == expected and any(expected)
    assert (seen["distances"] > 0).all()  # no ReLU is dead at the start
    assert seen["anchors"][0].tolist() == [3.5 - 1.3125, 3.5 - 1.3125, 3.5 + 1.3125, 3.5 + 1.3125]


def test_each_level_sees_what_lies_under_its_points():
    # A lone bright cell must come out, at every level, at the point nearest to the cell's centre.
    pyramid = detection.Pyramid(torch.zeros(1), torch.ones(1), 32)
    for row, column in ((0, 0), (6, 9), (14, 19)):
        lone = torch.zeros(1, 1, 15, 20)
        lone[0, 0, row, column] = 1
        for scale, level in zip(pyramid.scales, detection.LEVELS, strict=True):
            if isinstance(scale, torch.nn.ConvTranspose2d):
                torch.nn.init.constant_(scale.weight, 1.0)
                torch.nn.init.zeros_(scale.bias)
            bright = scale(lone.expand(1, 32, 15, 20))[0, 0]
            rows, columns = torch.where(bright == bright.max())
            y, x = level * (rows + 0.5), level * (columns + 0.5)  # in patches
            assert (y - row - 0.5).abs().max() <= 0.5 and (x - column - 0.5).abs().max() <= 0.5


def test_same_seed_same_bits_whatever_the_features_scale_and_the_caller_s_state_stays():
    features, boxes, labels = plant(6, seed=3)
    given = features.clone()

    def few(features=features, **about):
        settings = SMALL.model_copy(update={"steps": 4, "batch": 2} | about)
        return train_detector(features, boxes, labels, SIZE, CLASSES, settings)

    state = torch.get_rng_state()
    one, again = few(), few()
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(features, given)
    for a, b in zip(*(run.model.state_dict().values() for run in (one, again)), strict=True):
        assert torch.equal(a, b)
    assert few(seed=1).losses != one.losses
    scale, shift = torch.logspace(-2, 2, WIDTH), torch.linspace(-9, 9, WIDTH)
    other = few(features * scale[:, None, None] + shift[:, None, None])
    assert other.losses == pytest.approx(one.losses, rel=1e-3)


def train_on(box=(1, 1, 9, 9), label=0, **change):
    """Two images, the second of which has this box."""
    given = dict(features=torch.randn(2, WIDTH, *GRID), image_size=SIZE, classes=CLASSES)
    given |= dict(boxes=[boxes_of((1, 1, 9, 9)), boxes_of(box)], names=["street_6", "street_7"])
    given |= dict(labels=[torch.tensor([0]), torch.tensor([label])])
    return train_detector(**given | change)


test_bad_input_is_told_in_a_sentence_and_a_bad_box_by_the_name_of_its_image = refusals(
    ({"image_size": (112, 147)}, "8x10"),
    (dict(boxes=[boxes_of()] * 2, labels=[torch.zeros(0).long()] * 2), "box"),
    ({"boxes": [boxes_of((1, 1, 9, 9))]}, "one each per image"),
    ({"labels": [torch.tensor([0]), torch.tensor([0, 1])], "names": None}, "number 1"),
    ({"labels": [torch.tensor([0.0]), torch.tensor([0])]}, "whole numbers"),
    ({"features": torch.full((2, WIDTH, *GRID), float("nan"))}, "NaN"),
    ({"box": (10, 10, 10, 20)}, r"street_7.*\[10.0, 10.0, 10.0, 20.0\].*no area"),
    ({"box": (10, 30, 20, 20)}, "street_7.*no area"),
    ({"box": (float("nan"), 0, 20, 20)}, "street_7.*no area"),
    ({"box": (10, 10, 200, 20)}, r"street_7.*\(112, 140\)"),
    ({"label": 3}, r"street_7.*labels \[3\].*0 to 2"),
    ({"label": -1}, "street_7.*0 to 2"),
    call=train_on,
)


def test_bad_settings_other_widths_and_a_test_set_without_boxes_are_refused(trained):
    refused("'chanels'.*'channels'", DetectorSettings, chanels=64)
    refused("channels=48", DetectorSettings, channels=48)
    refused("24, h, w", trained.predict, torch.randn(2, WIDTH + 1, *GRID))
    refused(r"^No image .*data set", score_one, [found_of()], boxes_of())


THREE = boxes_of((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
KINDS = torch.tensor([0, 0, 1])


SEEN = found_of(
    (0, 0, 10, 9, 0.9, 0),  # a hit
    (0, 0, 10, 10, 0.8, 1),  # the same object under another class
    (20, 0, 24, 10, 0.7, 0),  # half a person
    (40, 0, 50, 10, 0.6, 1),  # a car where a car is
    (60, 60, 70, 70, 0.2, 0),  # nothing there
)


def test_one_box_an_object_keeps_the_surest_of_any_class():
    kept = detection.one_box_each(SEEN, 0.5)
    assert kept["scores"].tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert kept["labels"].tolist() == [0, 0, 1]
    assert len(detection.one_box_each(SEEN, 0.1)["boxes"]) == 4
    assert len(detection.one_box_each(SEEN, 0.95)["boxes"]) == 0


def test_hits_and_missed_boxes():
    hit, wrong, missed = detection.outcomes(detection.one_box_each(SEEN, 0.1), THREE, KINDS)
    assert hit.tolist() == [True, False, True, False] == (~wrong).tolist()
    assert missed.tolist() == [False, True, False]
    hit, _, missed = detection.outcomes(detection.one_box_each(SEEN, 0.95), THREE, KINDS)
    assert hit.tolist() == [] and missed.all()
    hit, wrong, missed = detection.outcomes(SEEN, THREE[:0], KINDS[:0])
    assert not hit.any() and wrong.all() and len(missed) == 0


def test_small_boxes_are_neither_found_nor_missed_and_a_box_is_hit_once():
    # Below 101 px² no box counts: what lies in one is neither hit nor false alarm.
    hit, wrong, missed = detection.outcomes(detection.one_box_each(SEEN, 0.1), THREE, KINDS, 101)
    assert not hit.any() and wrong.tolist() == [False, False, False, True] and not missed.any()
    twice = found_of((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0))
    assert detection.outcomes(twice, THREE[:1], KINDS[:1])[0].tolist() == [True, False]


def test_the_threshold_with_the_highest_f1():
    # from .6: 2 hits, 1 false, 1 missed (F1 2/3); from .7: 1, 1, 2 (.4); from .2: 2, 2, 1 (.57)
    assert detection.best_threshold([SEEN], [THREE], [KINDS]) == pytest.approx(0.25)
    # the lowest of those that show the same boxes
    assert detection.best_threshold([found_of()], [THREE], [KINDS]) == pytest.approx(0.05)
