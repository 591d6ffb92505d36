"""Detection: how well a detector works on frozen features, with intervals.

torchvision's FCOS (Tian et al. 2019, arXiv 1904.01355) uses a simple feature pyramid (ViTDet, Li et
al. 2022, arXiv 2203.16527). The ViT is frozen, so its features are computed once; FCOS takes them
where it would take images, and only pyramid and head are trained.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_area, box_iou, nms
from tqdm.auto import trange

from freqkd_lite.data import PairSet
from freqkd_lite.distil import learning_rate
from freqkd_lite.errors import UserError, check_known, explained
from freqkd_lite.evaluate.probe import truth_of
from freqkd_lite.evaluate.stats import Draws, Resampled, times_of
from freqkd_lite.store import no_bar

LEVELS = (0.5, 1.0, 2.0)  # strides of the pyramid in patches: 7, 14 and 28 px at patch 14
CENTRE = 1.5  # a positive point is nearer than this to its box's centre, in strides, as in FCOS
MAX_DETECTIONS = 100  # per image and class, as in COCO
# exact, as 7/20 == 35/100: torchmetrics' defaults (float32) and COCO's own (linspace) miss some
RECALLS = np.arange(101) / 100
IOUS = np.arange(50, 100, 5) / 100
MISS, IGNORED = -1, -2  # what a detection is that takes no true box


class DetectorSettings(BaseModel):
    """How a detector is trained and read; a wrong name, type or range is a `UserError`.

    `channels`: width of pyramid and head (a multiple of 32: FCOS normalises in 32 groups). `lr`:
    AdamW's, after `warmup` steps, then half a cosine down to zero. `reach`: FCOS's
    regression range. The finest level predicts boxes whose farthest side is less than `reach`
    strides from the point, each coarser level twice as far (21 and 42 px at patch 14).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(64, ge=32, multiple_of=32)
    convs: int = Field(2, ge=1)
    steps: int = Field(120, ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(12, ge=0)
    clip: float = Field(5.0, gt=0)
    reach: float = Field(3.0, gt=0)
    score_threshold: float = Field(0.05, ge=0, lt=1)
    nms_threshold: float = Field(0.6, gt=0, le=1)
    seed: int = Field(0, ge=0)

    def __init__(self, **values: Any) -> None:
        check_known("setting of a detector", type(self).model_fields, *values)
        with explained("The detector"):
            super().__init__(**values)


class Pyramid(nn.Module):
    """Maps (N,C,h,w) of one stride -> `channels` wide maps of half, the same and twice that stride.

    Input channels are standardised by the training features' `mean` and `std` (C,).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, channels: int) -> None:
        super().__init__()
        self.out_channels = channels
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("std", std.view(1, -1, 1, 1).clamp(min=1e-6))
        self.reduce = nn.Sequential(nn.Conv2d(len(mean), channels, 1), nn.GroupNorm(32, channels))
        finer = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        coarser = nn.MaxPool2d(2, ceil_mode=True)  # an odd grid's last row and column stay
        self.scales = nn.ModuleList([finer, nn.Identity(), coarser])
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels))
            for _ in LEVELS
        )

    def forward(self, features: Tensor) -> OrderedDict[str, Tensor]:
        x = self.reduce((features - self.mean) / self.std)
        levels = zip(LEVELS, self.scales, self.smooth, strict=True)
        return OrderedDict((str(stride), smooth(scale(x))) for stride, scale, smooth in levels)


class Points(AnchorGenerator):
    """FCOS's points, as squares about the centres of the cells.

    torchvision's generator puts them on the cells' corners, half a stride up and left of what the
    cell sees, and rounds the squares' sides, from which FCOS derives which level takes which box.
    """

    def __init__(self, strides: Sequence[float], sides: Sequence[float]) -> None:
        super().__init__(tuple((s,) for s in sides), ((1.0,),) * len(sides))
        self.strides = strides

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        squares = []
        for stride, (side,), level in zip(self.strides, self.sizes, feature_maps, strict=True):
            y, x = (stride * (torch.arange(n, device=level.device) + 0.5) for n in level.shape[-2:])
            centres = torch.cartesian_prod(y, x).flip(1)
            squares.append(torch.cat([centres - side / 2, centres + side / 2], 1))
        return [torch.cat(squares)] * len(image_list.image_sizes)


class NoTransform(nn.Module):
    """Stands for FCOS's image transform: stacks the features and neither resizes nor pads."""

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.image_size = image_size

    def forward(self, maps: list[Tensor], targets: list[dict] | None) -> tuple[ImageList, object]:
        return ImageList(torch.stack(maps), [self.image_size] * len(maps)), targets

    def postprocess(self, result: list[dict], *sizes: object) -> list[dict]:
        return result


@dataclass
class Detector:
    """A trained FCOS over features (N,C,h,w), and its losses at each step."""

    model: FCOS
    losses: list[float]

    @torch.no_grad()
    def predict(self, features: Tensor, batch: int = 32) -> list[dict[str, Tensor]]:
        """For each image `boxes` (n,4) XYXY px, falling `scores` (n,), `labels` (n,); CPU."""
        mean = self.model.backbone.get_buffer("mean")
        width = mean.shape[1]
        if features.ndim != 4 or features.shape[1] != width:
            raise UserError(f"The features are {tuple(features.shape)}: give (N, {width}, h, w).")
        self.model.eval()
        parts = features.split(batch)
        found = [d for part in parts for d in self.model(list(part.to(mean.device)))]
        return [{key: value.cpu() for key, value in d.items()} for d in found]


def boxes_of(
    pairs: PairSet, chosen: Sequence[int] | None = None
) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes (n,4) and labels (n,) of all pairs, or of the `chosen` ones in their order."""
    found = [truth_of(pairs[i]) for i in (range(len(pairs)) if chosen is None else chosen)]
    return [boxes for boxes, _ in found], [labels for _, labels in found]


def check_boxes(
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    n_images: int,
    n_classes: int,
    image_size: tuple[int, int] = (10**5, 10**5),
    names: Sequence[str] | None = None,
) -> None:
    """`UserError` naming the image whose box has no area, leaves the picture or has no class, and
    where no image has a box."""
    if not len(boxes) == len(labels) == n_images:
        counts = f"{n_images} images, {len(boxes)} lists of boxes and {len(labels)} of labels"
        raise UserError(f"{counts}: give one each per image.")
    edge = torch.tensor(image_size[::-1] * 2) + 1  # a pixel of grace for rounding
    for i, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        image = f"Image {names[i] if names else f'number {i}'}"
        whole = not label.is_floating_point() and ((label >= 0) & (label < n_classes)).all()
        if box.shape != (len(label), 4) or not whole:
            found = f"boxes {tuple(box.shape)} and labels {label.tolist()}"
            known = f"whole numbers from 0 to {n_classes - 1}"
            raise UserError(f"{image} has {found}: give (n, 4) and n {known}.")
        inside = (box >= -1) & (box <= edge)
        bad = ~((box[:, 2:] > box[:, :2]) & inside[:, 2:] & inside[:, :2]).all(1)  # NaN too
        if bad.any():
            raise UserError(
                f"{image}: box {box[bad][0].tolist()} (XYXY) has no area or leaves the "
                f"{image_size} px: scale, clip or remove it."
            )
    if not any(len(b) for b in boxes):
        raise UserError("No image has a box: use more images, or a data set with boxes.")


def build_fcos(
    pyramid: nn.Module,
    strides: Sequence[float],
    image_size: tuple[int, int],
    n_classes: int,
    settings: DetectorSettings,
) -> FCOS:
    """An untrained FCOS on a `Pyramid`, or another module that gives maps of `strides` px by name.
    Labels are 0..n_classes-1: its sigmoids need no background.

    Anchor sizes and the sampling radius are set so that FCOS's fixed factors (a level takes 4 to 8
    anchor sizes) give `reach` and `CENTRE` strides. The bias of the regression starts in the middle
    of its range: at torchvision's zero its ReLU can die.
    """
    model = FCOS(
        pyramid,
        n_classes,
        anchor_generator=Points(strides, [settings.reach * stride / 8 for stride in strides]),
        head=FCOSHead(settings.channels, 1, n_classes, settings.convs),
        center_sampling_radius=CENTRE * 8 / settings.reach,
        score_thresh=settings.score_threshold,
        nms_thresh=settings.nms_threshold,
        detections_per_img=MAX_DETECTIONS,
    )
    model.register_module("transform", NoTransform(image_size))
    nn.init.constant_(model.get_parameter("head.regression_head.bbox_reg.bias"), 4.0)
    return model


def train_detector(
    features: Tensor,
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    image_size: tuple[int, int],
    classes: Sequence[str],
    settings: DetectorSettings | None = None,
    *,
    build: Callable[[], FCOS] | None = None,
    names: Sequence[str] | None = None,
    progress: bool = False,
) -> Detector:
    """Train pyramid and head on frozen `features` (N,C,h,w), on the device where these lie.

    `boxes` (n,4) XYXY px and `labels` (n,) int64 from 0, one each per image; an image may have
    none. `names` of the images are for messages. `build`, called after torch is seeded, makes
    another model of `build_fcos` than the one on the grid of patches. The same seed, data and
    number of CPU threads give the same detector. Errors: `UserError`.
    """
    settings, n, (h, w) = settings or DetectorSettings(), len(features), features.shape[-2:]
    image_size = (image_size[0], image_size[1])  # also of a list
    patch = image_size[0] // h
    if build is None and (patch * h, patch * w) != image_size:
        raise UserError(
            f"A grid of {h}x{w} patches does not fit image_size {image_size}: give the size in "
            "pixels that the backbone saw."
        )
    check_boxes(boxes, labels, n, len(classes), image_size, names)
    if not features.isfinite().all():
        raise UserError("The features hold NaN or infinity: check the backbone's weights.")

    def on_patches() -> FCOS:
        mean, std = features.mean((0, 2, 3)).cpu(), features.std((0, 2, 3)).cpu()
        pyramid, strides = Pyramid(mean, std, settings.channels), [patch * s for s in LEVELS]
        return build_fcos(pyramid, strides, image_size, len(classes), settings)

    device = features.device
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.default_generator.manual_seed(settings.seed)
        model = (build or on_patches)()
    model.to(device).train()
    targets = [
        {"boxes": torch.as_tensor(b).float().to(device), "labels": torch.as_tensor(y).to(device)}
        for b, y in zip(boxes, labels, strict=True)
    ]
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=settings.weight_decay)
    draw = torch.Generator().manual_seed(settings.seed)
    order: list[int] = []
    losses: list[float] = []
    for step in trange(settings.steps, desc="detector", disable=no_bar(progress)):
        while len(order) < settings.batch:
            order += torch.randperm(n, generator=draw).tolist()
        chosen, order = order[: settings.batch], order[settings.batch :]
        torch.rand(settings.batch, generator=draw)  # without it, other orders than in results/
        parts = model([features[i] for i in chosen], [targets[i] for i in chosen])
        loss = sum(parts.values(), torch.zeros((), device=device))
        if not loss.isfinite():
            raise UserError(f"The detector's loss is {loss.item()} at step {step}: lower lr.")
        rate = learning_rate(step, settings.lr, settings.warmup, settings.steps)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        losses.append(loss.item())
    return Detector(model, losses)


@dataclass(frozen=True)
class Matches:
    """One class at IoU .5: the detections that count, by falling score, `image` (D,) and `hit`
    (D,), and the number of true boxes `truths` (N,) that count in each image."""

    image: np.ndarray
    hit: np.ndarray
    truths: np.ndarray

    def ap(self, times: np.ndarray) -> float | None:
        """COCO's AP (101 recalls) if image i counted `times[i]` times (N,); None without truths.

        Equal to repeating the images (copies next to each other where scores tie).
        """
        total = int((times * self.truths).sum())
        if total == 0:
            return None
        weight = times[self.image]
        found, seen = (weight * self.hit).cumsum(), weight.cumsum()
        precision = found / np.maximum(seen, 1)
        # the best precision at this recall or a higher one; 0 beyond the last recall reached
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return float(best[np.searchsorted(found / total, RECALLS)].mean())


def matched_draws(matches: Mapping[str, Matches], times: Tensor) -> Draws:
    """AP of each class, and "mean" over those with true boxes, if image i counted `times[:, i]`
    times: (draws,) each, NaN where a draw has none."""
    whole = times.long().numpy()
    found = {k: np.array([m.ap(t) for t in whole], float) for k, m in matches.items()}
    here = [found[k] for k, m in matches.items() if m.truths.any()]
    return found | {"mean": np.mean(here, axis=0)}


def assign(found: Tensor, truth: Tensor, aside: Tensor) -> list[int]:
    """COCO's greedy matching. For each detection (d,4), most confident first: the index of the free
    true box (t,4) with the highest IoU, at least .5; else `IGNORED` if an ignored box, `aside`
    (t,), covers half of the detection (any number may share it: COCO's crowds, KAIST's ignored
    people); else `MISS`."""
    found, truth, taken = found.double(), truth.double(), []
    overlap = box_iou(found, truth).masked_fill(aside, -1).numpy()
    start = torch.maximum(found[:, None, :2], truth[:, :2])
    end = torch.minimum(found[:, None, 2:], truth[:, 2:])
    covered = (end - start).clamp(min=0).prod(2) >= 0.5 * box_area(found)[:, None]
    for row, left in zip(overlap, (covered & aside).any(1).tolist(), strict=True):
        best = len(row) - 1 - row[::-1].argmax() if len(row) else 0  # of equals the last
        hit = len(row) and row[best] >= 0.5
        taken.append(int(best) if hit else IGNORED if left else MISS)
        if hit:
            overlap[:, best] = -1
    return taken


def small(boxes: Tensor, below: float) -> Tensor:
    """(n,): which boxes (n,4) XYXY have an area under `below` px²."""
    return box_area(boxes) < below


def matched(
    found: Sequence[tuple[Tensor, Tensor]],
    truths: Sequence[Tensor],
    aside: Sequence[Tensor],
    most: int | None = None,
) -> Matches:
    """Each image's `most` most confident detections, boxes (d,4) and scores (d,), matched to its
    true boxes (t,4) by `assign`; ignored ones, `aside` (t,), and detections of them don't count."""
    image, hit, score = [], [], []
    for i, ((boxes, scores), truth, ignored) in enumerate(zip(found, truths, aside, strict=True)):
        order = scores.argsort(descending=True, stable=True)[:most]
        taken = np.array(assign(boxes[order], truth, ignored), int)
        counted = taken != IGNORED
        hit.append(taken[counted] >= 0)
        score.append(scores[order].numpy()[counted])
        image.append(np.full(counted.sum(), i))
    order = np.argsort(-np.concatenate(score), kind="stable")
    count = np.array([int((~ignored).sum()) for ignored in aside])
    return Matches(np.concatenate(image)[order], np.concatenate(hit)[order], count)


def one_box_each(found: dict[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """An image's detections for display: those with a score of at least `threshold`, and of boxes
    that overlap by more than half, of any class, the most confident."""
    sure = found["scores"] >= threshold
    best = nms(found["boxes"][sure], found["scores"][sure], 0.5)
    return {key: value[sure][best] for key, value in found.items()}


def outcomes(
    found: dict[str, Tensor], boxes: Tensor, labels: Tensor, below: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Which of an image's detections (surest first) are hits at IoU .5, (d,), which are false
    alarms, (d,), and which of its true boxes (t,4) with `labels` (t,) are missed, (t,). Boxes with
    an area under `below` px² are in none of the three (see `assign`)."""
    hit, wrong = torch.zeros(2, len(found["boxes"]), dtype=torch.bool)
    missed = ~small(boxes, below)
    for label in found["labels"].unique():
        mine, theirs = found["labels"] == label, (labels == label).nonzero()[:, 0]
        truth = boxes[theirs]
        taken = torch.tensor(assign(found["boxes"][mine], truth, small(truth, below)))
        hit[mine], wrong[mine] = taken >= 0, taken == MISS
        missed[theirs[taken[taken >= 0]]] = False
    return hit, wrong, missed


def best_threshold(
    predictions: Sequence[dict[str, Tensor]],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    below: float = 0.0,
) -> float:
    """The score, of .05, .1, ... .95, above which `one_box_each` has the highest F1: the harmonic
    mean of the share of detections that are hits and the share of true boxes that are found, of
    those that count (`outcomes`)."""
    scored = {}
    for threshold in np.arange(1, 20) / 20:
        counts = torch.zeros(3)  # hits, false alarms, missed
        for found, box, label in zip(predictions, boxes, labels, strict=True):
            each = outcomes(one_box_each(found, threshold), box, label, below)
            counts += torch.stack([of.sum() for of in each])
        scored[float(threshold)] = float(2 * counts[0] / (counts.sum() + counts[0]).clamp(min=1))
    return max(scored, key=lambda threshold: (round(scored[threshold], 6), -threshold))


@dataclass(kw_only=True)
class DetectionScore(Resampled):
    """AP50 by class, with mAP50 as "mean"; see `Resampled` for `interval`.

    mAP50 and `map`, the mean over IoU .5 to .95, are torchmetrics'; AP50 by class and the draws of
    the bootstrap come from `matches`. `n` counts the true boxes by class, and "images".
    """

    map: float
    n: dict[str, int]
    matches: dict[str, Matches]

    def arrays(self) -> dict[str, np.ndarray]:
        """The matches as arrays for a per-image file (`numpy.savez`): person_hit, ..."""
        return {f"{k}_{part}": a for k, m in self.matches.items() for part, a in vars(m).items()}


def score_detections(
    predictions: Sequence[dict[str, Tensor]],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    classes: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[int] | None = None,
    below: float = 0.0,
) -> DetectionScore:
    """Score detections (dicts as from `Detector.predict`) against true boxes and labels (CPU).

    COCO's rules: 100 detections per image and class, 101 recalls; a class without a true box has
    no AP and does not enter the mean. Boxes with an area under `below` px² are ignored as COCO's
    crowds are: to find one is neither a hit nor a false alarm. `draws` and `seed` are the
    bootstrap's, over images or whole `groups` (N,) of them (see `multiplicities`).
    """
    check_boxes(boxes, labels, len(predictions), len(classes))
    from torchmetrics.detection import MeanAveragePrecision  # it loads matplotlib

    metric = MeanAveragePrecision(iou_thresholds=IOUS.tolist(), rec_thresholds=RECALLS.tolist())
    metric.warn_on_many_detections = False
    boxes = [b.as_subclass(Tensor).float() for b in boxes]
    truths = [
        {"boxes": b, "labels": y, "iscrowd": small(b, below).int()}
        for b, y in zip(boxes, labels, strict=True)
    ]
    metric.update(list(predictions), truths)
    result = metric.compute()
    matches = {}
    for k, name in enumerate(classes):
        mine = [(d, d["labels"] == k) for d in predictions]
        found = [(d["boxes"][own], d["scores"][own]) for d, own in mine]
        own = [box[of == k] for box, of in zip(boxes, labels, strict=True)]
        matches[name] = matched(found, own, [small(each, below) for each in own], MAX_DETECTIONS)
    owner = torch.repeat_interleave(torch.tensor([len(b) for b in boxes]))
    score = DetectionScore.of(
        matched_draws(matches, times_of(len(boxes), draws, seed, groups)),
        truth=torch.cat([owner[:, None], torch.cat(list(labels))[:, None], torch.cat(boxes)], 1),
        seed=seed,
        groups=groups,
        map=result["map"].item(),
        n={c: int(m.truths.sum()) for c, m in matches.items()} | {"images": len(boxes)},
        matches=matches,
    )
    score.estimates["mean"] = result["map_50"].item()
    return score
