"""Detection against a plain AP, numbers worked by hand, brute force and signals planted by hand."""

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from freqkd_lite.evaluate import detection
from freqkd_lite.evaluate.detection import DetectorSettings, score_detections, train_detector
from freqkd_lite.evaluate.stats import resamples
from tests.refused import refused
from tests.slow_ap import slow_ap, slow_map

CLASSES = ("person", "bicycle", "car")
THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]
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
    for _ in range(n_images):
        n, extra = draw.integers(0, per_image, 2)
        corner, side = draw.uniform(0, 100, (n, 2)), draw.uniform(8, 60, (n, 2))
        box = np.concatenate([corner, corner + side], 1)
        label = draw.integers(0, 2 if seed % 2 == 0 else 3, n)
        noisy = box.repeat(2, 0) + draw.normal(0, 3, (2 * n, 4))
        corner, side = draw.uniform(0, 100, (extra, 2)), draw.uniform(8, 60, (extra, 2))
        all_boxes = np.concatenate([noisy, np.concatenate([corner, corner + side], 1)])
        all_labels = np.concatenate([label.repeat(2), draw.integers(0, 3, extra)])
        score = draw.uniform(0, 1, len(all_boxes)).round(1 if seed % 3 == 0 else 6)
        rows = np.concatenate([all_boxes, score[:, None], all_labels[:, None]], 1)
        predictions.append(found_of(*rows[draw.permutation(len(rows))]))
        boxes.append(boxes_of(*box))
        labels.append(torch.tensor(label, dtype=torch.long))
    return predictions, boxes, labels


def score_one(found, *truths, draws=2):
    """Of one class: predictions of images against their boxes."""
    labels = [torch.zeros(len(boxes), dtype=torch.long) for boxes in truths]
    return score_detections(found, truths, labels, ["x"], draws=draws)


def test_plain_ap_by_hand():
    # Two truths. Scores .9 hits the first (recall 1/2, precision 1), .8 misses (1/2, 1/2), .7 hits
    # the second (1, 2/3). Recalls 0, .01, ... .50 (51 of them) see precision 1, the other 50 see
    # 2/3: AP = (51 + 50 * 2/3) / 101.
    box, off, short = (0, 0, 10, 10), (50, 50, 60, 60), (0, 0, 10, 9)
    detections = [(0, box, 0.9), (1, off, 0.8), (1, short, 0.7)]
    expected = (51 + 50 * 2 / 3) / 101
    assert slow_ap(detections, [(0, box), (1, box)]) == pytest.approx(expected)
    # the third detection overlaps .9: it is a miss at IoU .95, and AP = 51 / 101
    assert slow_ap(detections, [(0, box), (1, box)], 0.95) == pytest.approx(51 / 101)
    found = [found_of((*box, 0.9, 0)), found_of((*off, 0.8, 0), (*short, 0.7, 0))]
    score = score_one(found, boxes_of(box), boxes_of(box))
    assert score.estimates == pytest.approx({"x": expected, "mean": expected})
    # IoU .9 counts as a hit up to the threshold .85 for certain; .9 itself is a matter of rounding
    assert score.map * 10 == pytest.approx(9 * expected + 51 / 101, abs=0.35)


def test_a_recall_reached_exactly_counts():
    # 10 truths; hit, hit, hit, miss, hit: precision 1 up to recall .30 (31 points), 4/5 up to .40
    # (10 points). With thresholds in float32 the recall .30 would be missed.
    truth = boxes_of(*[(20 * k, 0, 20 * k + 10, 10) for k in range(10)])
    rows = [(20 * k, 0, 20 * k + 10, 10, 0.9 - 0.1 * k, 0) for k in range(3)]
    rows += [(0, 50, 10, 60, 0.5, 0), (80, 0, 90, 10, 0.4, 0)]
    score = score_one([found_of(*rows)], truth)
    assert score.estimates["mean"] == pytest.approx((31 + 10 * 0.8) / 101)


def test_of_two_equal_fits_the_last_is_taken():
    # The first detection fits both truths equally well (IoU 1/2); as in COCO it takes the last one,
    # so the second detection, which fits only the first truth, is a hit too.
    found = found_of((0, 0, 10, 20, 0.9, 0), (0, 0, 10, 10, 0.8, 0))
    score = score_one([found], boxes_of((0, 0, 10, 10), (0, 10, 10, 20)))
    assert score.estimates["mean"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(12))
def test_scores_equal_the_plain_ap(seed):
    predictions, boxes, labels = random_case(seed)
    score = score_detections(predictions, boxes, labels, CLASSES, draws=3)
    mean = score.estimates["mean"]
    assert mean == pytest.approx(slow_map(predictions, boxes, labels, 3, [0.5]), abs=1e-6)
    assert score.map == pytest.approx(slow_map(predictions, boxes, labels, 3, THRESHOLDS), abs=1e-6)
    for k, name in enumerate(CLASSES):
        count = sum(int((y == k).sum()) for y in labels)
        assert score.n[name] == count and (by_class(score)[name] is None) == (count == 0)
        one = [{key: v[p["labels"] == k] for key, v in p.items()} for p in predictions]
        if count:
            plain = slow_map(one, boxes, [torch.where(y == k, y, 9) for y in labels], 3, [0.5])
            assert by_class(score)[name] == pytest.approx(plain, abs=1e-6)
    if seed % 2 == 0:
        assert score.interval["car"] is None


@pytest.mark.parametrize("seed", range(6))
def test_small_boxes_are_ignored_as_coco_ignores_crowds(seed):
    predictions, boxes, labels = random_case(seed)
    theirs, rows, found = COCO(), [], []
    for i, (box, label, mine) in enumerate(zip(boxes, labels, predictions, strict=True)):
        both = ((rows, box, label, label), (found, mine["boxes"], mine["labels"], mine["scores"]))
        for to, corners, kinds, scores in both:
            sides = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).tolist()
            for (x, y, w, h), k, s in zip(sides, kinds.tolist(), scores.tolist(), strict=True):
                at = dict(id=len(to) + 1, image_id=i, category_id=k, score=s, area=w * h)
                to.append(at | dict(bbox=[x, y, w, h], iscrowd=int(w * h < 900)))
    kinds = [{"id": k} for k in range(3)]
    theirs.dataset = dict(images=[{"id": i} for i in range(6)], annotations=rows, categories=kinds)
    theirs.createIndex()
    scored = COCOeval(theirs, theirs.loadRes(found), "bbox")
    scored.evaluate()
    scored.accumulate()
    score = score_detections(predictions, boxes, labels, CLASSES, draws=3, below=900)
    for k, name in enumerate(CLASSES):
        plain = scored.eval["precision"][0, :, k, 0, -1].mean()  # -1 where there is no true box
        assert by_class(score)[name] == (None if plain == -1 else pytest.approx(plain, abs=1e-6))
    present = [v for v in by_class(score).values() if v is not None]
    assert score.estimates["mean"] == pytest.approx(np.mean(present), abs=1e-6)


def test_only_the_best_hundred_detections_of_an_image_count():
    misses = [(50, 50, 60, 60, 0.9 - 0.001 * k, 0) for k in range(100)]
    for left_out, ap in ((0, 0), (1, 0.01)):
        found = [found_of(*misses[left_out:], (0, 0, 10, 10, 0.1, 0))]
        score = score_one(found, boxes_of((0, 0, 10, 10)))
        assert score.estimates["mean"] == pytest.approx(ap)


def test_draws_equal_literally_repeated_images():
    predictions, boxes, labels = random_case(seed=7, n_images=9)
    score = score_detections(predictions, boxes, labels, CLASSES, draws=20, seed=5)
    undefined = 0
    for draw, images in enumerate(resamples(9, 20, 5)):
        images = sorted(images)
        repeated = [[thing[i] for i in images] for thing in (predictions, boxes, labels)]
        values = []
        for k, name in enumerate(CLASSES):
            if not any((y == k).any() for y in repeated[2]):
                assert np.isnan(score.draws[name][draw])
                undefined += 1
                continue
            found = [{key: v[p["labels"] == k] for key, v in p.items()} for p in repeated[0]]
            only = [torch.where(y == k, y, 9) for y in repeated[2]]
            values.append(slow_map(found, repeated[1], only, 3, [0.5]))
            assert score.draws[name][draw] == pytest.approx(values[-1], abs=1e-9)
        if len(values) == 3:
            assert score.draws["mean"][draw] == pytest.approx(np.mean(values), abs=1e-9)
    assert undefined < 10 and np.nanstd(score.draws["mean"]) > 0.01
    assert score.interval["mean"][0] < score.estimates["mean"] < score.interval["mean"][1]


def plant(n_images, seed):
    """Noise with each object added to the channel of its class, by covered share of each patch.
    Every fourth image is empty. Boxes 18 to 60 px."""
    draw = torch.Generator().manual_seed(seed)
    uniform = lambda low, high: low + (high - low) * torch.rand(1, generator=draw).item()  # noqa: E731
    features = 0.3 * torch.randn(n_images, WIDTH, *GRID, generator=draw)
    boxes, labels = [], []
    for i in range(n_images):
        rows, kinds = [], []
        for side in range(2 if i % 4 else 0):  # one object in each half: they do not overlap
            wide, high = uniform(18, 60), uniform(18, 60)
            x, y = uniform(70 * side, 70 * side + 70 - wide), uniform(0, SIZE[0] - high)
            kind = int(uniform(0, 3))
            left, top = 14 * torch.arange(GRID[1]), 14 * torch.arange(GRID[0])
            across = ((left + 14).clamp(max=x + wide) - left.clamp(min=x)).clamp(min=0) / 14
            down = ((top + 14).clamp(max=y + high) - top.clamp(min=y)).clamp(min=0) / 14
            features[i, kind] += 6 * down[:, None] * across
            rows.append((x, y, x + wide, y + high))
            kinds.append(kind)
        boxes.append(boxes_of(*rows))
        labels.append(torch.tensor(kinds, dtype=torch.long))
    return features, boxes, labels


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


def test_same_seed_same_bits_and_the_callers_random_numbers_stay():
    features, boxes, labels = plant(6, seed=3)
    few = SMALL.model_copy(update={"steps": 4, "batch": 2})
    torch.manual_seed(1)
    expected_next = torch.rand(3)
    torch.manual_seed(1)
    runs = [train_detector(features, boxes, labels, SIZE, CLASSES, few) for _ in range(2)]
    assert torch.equal(torch.rand(3), expected_next)
    for a, b in zip(*(run.model.state_dict().values() for run in runs), strict=True):
        assert torch.equal(a, b)
    other = few.model_copy(update={"seed": 1})
    assert train_detector(features, boxes, labels, SIZE, CLASSES, other).losses != runs[0].losses


def test_the_scale_of_the_features_does_not_matter():
    features, boxes, labels = plant(6, seed=3)
    few = SMALL.model_copy(update={"steps": 3})
    scale, shift = torch.logspace(-2, 2, WIDTH), torch.linspace(-9, 9, WIDTH)
    other = features * scale[:, None, None] + shift[:, None, None]
    a, b = (train_detector(f, boxes, labels, SIZE, CLASSES, few) for f in (features, other))
    assert a.losses == pytest.approx(b.losses, rel=1e-3)
    frozen = train_detector(features, boxes, labels, SIZE, CLASSES, few)  # and input stays as it is
    assert torch.equal(features, plant(6, seed=3)[0]) and frozen.losses == a.losses


def street_7(*box, label=0):
    """Two images, the second of which has this box."""
    labels = [torch.tensor([0]), torch.tensor([label])]
    return dict(boxes=[boxes_of((1, 1, 9, 9)), boxes_of(box)], labels=labels)


NO_BOXES = dict(boxes=[boxes_of()] * 2, labels=[torch.zeros(0, dtype=torch.long)] * 2)
NOT_A_NUMBER = torch.full((2, WIDTH, *GRID), float("nan"))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"image_size": (112, 147)}, "8x10"),
        ({"image_size": (224, 140)}, "8x10"),
        (NO_BOXES, "No image has a box"),
        ({"boxes": [boxes_of((1, 1, 9, 9))]}, "one each per image"),
        ({"labels": [torch.tensor([0]), torch.tensor([0, 1])], "names": None}, "number 1"),
        ({"labels": [torch.tensor([0.0]), torch.tensor([0])]}, "whole numbers"),
        ({"features": NOT_A_NUMBER}, "NaN"),
        (street_7(10, 10, 10, 20), r"street_7.*\[10.0, 10.0, 10.0, 20.0\].*no area"),
        (street_7(10, 30, 20, 20), "street_7.*no area"),
        (street_7(float("nan"), 0, 20, 20), "street_7.*no area"),
        (street_7(10, 10, 200, 20), r"street_7.*\(112, 140\)"),
        (street_7(10, 10, 20, 20, label=3), r"street_7.*labels \[3\].*0 to 2"),
        (street_7(10, 10, 20, 20, label=-1), "street_7.*0 to 2"),
    ],
)
def test_bad_input_is_told_in_a_sentence_and_a_bad_box_by_the_name_of_its_image(change, words):
    given = dict(features=torch.randn(2, WIDTH, *GRID), boxes=[boxes_of((1, 1, 9, 9))] * 2)
    given |= dict(labels=[torch.tensor([0])] * 2, image_size=SIZE, classes=CLASSES)
    refused(words, train_detector, **given | {"names": ["street_6", "street_7"]} | change)


def test_bad_settings_other_widths_and_a_test_set_without_boxes_are_refused(trained):
    refused("did you mean 'channels'", DetectorSettings, chanels=64)
    refused("channels=48", DetectorSettings, channels=48)
    refused("steps", DetectorSettings, steps=0)
    refused("lr='fast'", DetectorSettings, lr="fast")
    refused("24, h, w", trained.predict, torch.randn(2, WIDTH + 1, *GRID))
    refused("No image has a box", score_one, [found_of()], boxes_of())
