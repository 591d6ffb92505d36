"""COCO's average precision written slowly and plainly: the oracle of the detection tests.

Boxes are (x1, y1, x2, y2); a detection is (image, box, score), a truth is (image, box), all of one
class. Nothing here is shared with `freqkd_lite`.
"""


def overlap(a, b):
    """Intersection over union of two boxes."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def slow_ap(detections, truths, threshold=0.5, limit=100):
    """AP of one class at one IoU threshold: 101 recalls, at most `limit` detections an image."""
    if not truths:
        return None
    kept = []  # best score first; of equal scores the earlier image, then the earlier detection
    for image in sorted({d[0] for d in detections}):
        mine = [d for d in detections if d[0] == image]
        kept += sorted(mine, key=lambda d: -d[2])[:limit]
    kept = sorted(kept, key=lambda d: -d[2])
    taken = set()
    curve = []  # (recall, precision) after each detection
    hits = 0
    for seen, (image, box, _) in enumerate(kept, start=1):
        best, best_overlap = None, threshold
        for number, (where, truth) in enumerate(truths):
            if where != image or number in taken:
                continue
            if overlap(box, truth) >= best_overlap:
                best, best_overlap = number, overlap(box, truth)
        if best is not None:
            taken.add(best)
            hits += 1
        curve.append((hits / len(truths), hits / seen))
    total = 0.0
    for step in range(101):
        total += max((p for r, p in curve if r >= step * 0.01 - 1e-12), default=0.0)
    return total / 101


def slow_map(predictions, boxes, labels, n_classes, thresholds):
    """Mean AP over classes with truths and over IoU thresholds; inputs as `score_detections`."""
    aps = []
    for label in range(n_classes):
        detections = [
            (i, box, score)
            for i, found in enumerate(predictions)
            for box, score, k in zip(
                found["boxes"].tolist(),
                found["scores"].tolist(),
                found["labels"].tolist(),
                strict=True,
            )
            if k == label
        ]
        truths = [
            (i, box)
            for i, (image_boxes, image_labels) in enumerate(zip(boxes, labels, strict=True))
            for box, k in zip(image_boxes.tolist(), image_labels.tolist(), strict=True)
            if k == label
        ]
        if truths:
            aps += [slow_ap(detections, truths, t) for t in thresholds]
    return sum(aps) / len(aps)
