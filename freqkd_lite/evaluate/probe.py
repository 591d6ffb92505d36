"""The probe: how well a logistic regression on frozen features classifies patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from freqkd_lite.data import Pair, PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import Draws, Resampled, times_of

Maps = Tensor | Sequence[Tensor]
"""A map (N, D, h, w), or those of several blocks, which are joined along the channels."""


def patch_labels(
    boxes: Tensor, labels: Tensor, grid: tuple[int, int], patch: int, n_classes: int
) -> Tensor:
    """The class of each patch, int64 (h, w); `n_classes` means none.

    `boxes` (M, 4) are x0 y0 x1 y1 in pixels, `labels` (M,) in [0, n_classes), `grid` is (h, w)
    patches of `patch` pixels. Boxes are clipped to the grid. A patch gets the box that covers more
    than half of it; of several the one that covers more of it, then the smaller box, then the
    earlier. A box that covers no patch by more than half takes the patch of its centre, even from a
    larger box. Raises `UserError` for a label out of range or a box without area.
    """
    height, width = grid[0] * patch, grid[1] * patch
    labels = torch.as_tensor(labels).long()
    boxes = torch.as_tensor(boxes).as_subclass(Tensor).double().reshape(-1, 4)
    if len(boxes) != len(labels):
        raise UserError(f"{len(boxes)} boxes but {len(labels)} labels: give one label per box.")
    if not len(boxes):
        return torch.full(grid, n_classes)
    if labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(f"labels={labels.tolist()} must lie in 0 to {n_classes - 1}.")
    clipped = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    sides = clipped[:, 2:] - clipped[:, :2]
    if not (sides > 0).all():
        bad = int((~(sides > 0).all(1)).nonzero()[0])
        fault = f"no area within {height}x{width} pixels: correct it or take it out."
        raise UserError(f"Box {bad} {boxes[bad].tolist()} has {fault}")
    # Smaller boxes first (stable): argmax takes the first of equals, which settles ties.
    order = sides.prod(1).argsort(stable=True)
    (x0, y0, x1, y1), labels = clipped[order].T[:, :, None], labels[order]
    left, top = torch.arange(grid[1]) * patch, torch.arange(grid[0]) * patch
    along_x = (torch.minimum(x1, left + patch) - torch.maximum(x0, left)).clamp(min=0)
    along_y = (torch.minimum(y1, top + patch) - torch.maximum(y0, top)).clamp(min=0)
    covered = along_y[:, :, None] * along_x[:, None, :]  # (M, h, w) square pixels

    def winners(eligible: Tensor, otherwise: Tensor) -> Tensor:
        best = covered.where(eligible, -torch.ones_like(covered)).argmax(0)
        return labels[best].where(eligible.any(0), otherwise)

    most = covered > patch**2 / 2
    centre = torch.zeros_like(most)
    small = (~most.any(dim=(1, 2))).nonzero()[:, 0]
    centre_y, centre_x = ((y0 + y1) / 2 / patch).long()[:, 0], ((x0 + x1) / 2 / patch).long()[:, 0]
    centre[small, centre_y[small], centre_x[small]] = True
    return winners(centre, winners(most, torch.full(grid, n_classes)))


def truth_of(pair: Pair) -> tuple[Tensor, Tensor]:
    """Boxes (M, 4) and labels (M,) of a pair. `UserError` where it has none."""
    if pair.boxes is None or pair.labels is None:
        raise UserError(f"{pair.name} has no boxes: choose a data set with boxes.")
    return pair.boxes.as_subclass(Tensor), pair.labels


def labels_of(pairs: PairSet, patch: int, chosen: Sequence[int] | None = None) -> Tensor:
    """The classes of the patches (N, h, w) of all pairs, or of the `chosen` ones in their order."""
    found = []
    for pair in (pairs[i] for i in (range(len(pairs)) if chosen is None else chosen)):
        height, width = pair.infrared.shape[-2:]
        grid = (height // patch, width // patch)
        found.append(patch_labels(*truth_of(pair), grid, patch, len(pairs.classes)))
    return torch.stack(found)


def class_shares(mask: Tensor, grid: tuple[int, int], ids: Sequence[int]) -> Tensor:
    """The share of each patch's pixels that has each of `ids`: mask (..., H, W) -> float32
    (..., len(ids), h, w). Raises `UserError` when the grid does not divide the mask."""
    (height, width), (rows, columns) = mask.shape[-2:], grid
    if height % rows or width % columns:
        raise UserError(
            f"A mask of {height}x{width} pixels does not divide into {rows}x{columns} patches: "
            "give the mask at the size of the image that the features came from."
        )
    cut = mask.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1))  # (..., h, p, w, p)
    return torch.stack([(cut == i).float().mean(dim=(-3, -1)) for i in ids], dim=-3)


def as_maps(features: Maps, name: str = "features") -> Tensor:
    """One map (N, D, h, w). Raises `UserError`, naming `name` and the place, for shapes that don't
    fit or values that are not finite."""
    maps = [features] if isinstance(features, Tensor) else list(features)
    shapes = [tuple(m.shape) for m in maps]
    if {len(s) for s in shapes} != {4} or len({s[:1] + s[2:] for s in shapes}) > 1:
        raise UserError(f"{name} has the shapes {shapes}: give (N, D, h, w) that differ in D only.")
    for block, each in enumerate(maps):
        if not each.isfinite().all():
            image, channel = (~each.isfinite()).nonzero()[0][:2].tolist()
            raise UserError(
                f"{name} has a value that is not finite in map {block}, image {image}, channel "
                f"{channel}: look at the backbone's weights and precision."
            )
    return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)


def check_labels(labels: Tensor, maps: Tensor, n_classes: int, name: str) -> None:
    """Raise `UserError` unless `labels` are integers (N, h, w) in [0, n_classes) for `maps`."""
    if tuple(labels.shape) != (len(maps), *maps.shape[2:]) or not labels.numel():
        shapes = f"{tuple(labels.shape)}, the features {tuple(maps.shape)}"
        raise UserError(f"{name} has shape {shapes}: give one label per patch, at least one image.")
    if labels.is_floating_point() or labels.min() < 0 or labels.max() >= n_classes:
        raise UserError(f"{name} must be integers from 0 to {n_classes - 1}.")


class LogisticProbe:
    """Multinomial logistic regression on patches, run to convergence; deterministic.

    With z = (x - mean) / std, each channel standardised over all patches of the training images
    (population std), `fit` minimises

        J(W, b) = mean over patches of -log softmax(W z + b)[y]  +  l2 / 2 * sum(W^2).

    The bias is free, the penalty is on W in the standardised coordinates. L-BFGS sees the
    coordinates V instead, W = V (q L + l2)^(-1/2) Q^T, where Q L Q^T is the covariance of z and q
    the mean of p_k (1 - p_k) over the classes' shares p_k: an estimate of the Hessian, which
    changes the number of steps and not the optimum. All classes have the same scale, so that W
    sums to 0 over them at each step. It stops when no component of the gradient in V exceeds
    `tolerance`.
    Attributes after `fit`: `weight` (K, D), `bias` (K,), `mean`, `std` (D,), `steps`, `gradient`
    (the largest component left). Float64 throughout.
    """

    def __init__(self, l2: float = 1e-2, tolerance: float = 1e-5, max_steps: int = 500):
        if not l2 > 0:
            raise UserError(f"l2={l2} must be above 0, or separable classes have no optimum.")
        self.l2, self.tolerance, self.max_steps = l2, tolerance, max_steps

    def _standardised(self, maps: Tensor) -> Tensor:
        if maps.shape[1] != len(self.mean):
            channels = f"{maps.shape[1]} channels, the probe was fitted on {len(self.mean)}"
            raise UserError(f"features have {channels}: use the same blocks.")
        rows = maps.detach().double().permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
        return (rows - self.mean).div_(self.std)

    def fit(
        self, features: Maps, labels: Tensor, classes: Sequence[str], absent: bool = False
    ) -> Self:
        """Fit to features (N, D, h, w) and labels (N, h, w) in [0, len(classes)).

        With `absent`, classes without a patch get the bias -inf, which is the optimum's limit.
        Raises `UserError` when a class has no patch otherwise, and when `max_steps` were not
        enough.
        """
        maps = as_maps(features, "train features")
        check_labels(labels, maps, len(classes), "train labels")
        target = labels.reshape(-1).to(maps.device)
        share = torch.bincount(target, minlength=len(classes)).double() / len(target)
        missing = [c for c, s in zip(classes, share.tolist(), strict=True) if not s]
        if missing and not absent:
            none = f"No training patch is labelled {', '.join(missing)}"
            raise UserError(f"{none}: use more training images, or leave the class out.")
        std, self.mean = torch.std_mean(maps.double(), dim=(0, 2, 3), correction=0)
        # a constant channel says nothing: its rounding errors must not be blown up to unit size
        self.std = std.where(std > 1e-9 * self.mean.abs(), torch.ones_like(std))
        z = self._standardised(maps)
        spread, axes = torch.linalg.eigh(z.T @ z / len(z))
        curvature = share * (1 - share)
        scale = (curvature.mean() * spread.clamp(min=0) + self.l2).rsqrt()
        v = z.new_zeros(len(classes), z.shape[1], requires_grad=True)
        c = torch.zeros_like(share, requires_grad=True)

        def coordinates() -> tuple[Tensor, Tensor]:
            return (scale * v) @ axes.T, share.log() + c * (curvature + 1e-12).rsqrt()

        def objective() -> Tensor:
            optimiser.zero_grad()
            weight, bias = coordinates()
            value = F.cross_entropy(F.linear(z, weight, bias), target)
            value += self.l2 / 2 * weight.square().sum()
            value.backward()
            return value

        limits: dict[str, Any] = dict(max_iter=self.max_steps, max_eval=4 * self.max_steps)
        limits |= dict(tolerance_grad=self.tolerance, tolerance_change=0, history_size=20)
        optimiser = torch.optim.LBFGS([v, c], line_search_fn="strong_wolfe", **limits)
        with torch.enable_grad():
            optimiser.step(objective)
            objective()
        self.steps = optimiser.state[v]["n_iter"]
        self.gradient = max(float(x.grad.abs().max()) for x in (v, c) if x.grad is not None)
        if not self.gradient <= self.tolerance:
            raise UserError(
                f"The probe has not converged after {self.steps} steps (gradient "
                f"{self.gradient:.1e}, wanted {self.tolerance:.1e}): raise max_steps or l2."
            )
        self.weight, self.bias = (t.detach() for t in coordinates())
        return self

    def logits(self, features: Maps) -> Tensor:
        """Linear scores (N, K, h, w), float64, of features (N, D, h, w)."""
        maps = as_maps(features)
        n, _, h, w = maps.shape
        rows = F.linear(self._standardised(maps), self.weight, self.bias)
        return rows.reshape(n, h, w, -1).permute(0, 3, 1, 2)

    def scores(self, features: Maps) -> Tensor:
        """Log odds log(p / (1 - p)) of each class, float64 (N, h, w, K): they rank patches as the
        probabilities do, without the ties of those that round to 1."""
        logits = self.logits(features).permute(0, 2, 3, 1)
        others = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
        rest = logits[..., None, :].masked_fill(others, -torch.inf).logsumexp(-1)
        return logits - rest


def average_precision(scores: Tensor, positives: Tensor, weights: Tensor) -> Tensor:
    """(draws,): sum over thresholds of (recall gained) x precision; equal scores are one threshold.

    `scores` and `positives` are (N, ...), all their elements ranked together. `weights` (draws, N)
    say how often each of the N occurs. NaN where nothing is positive. No interpolation. Raises
    `UserError` for scores that are NaN.
    """
    if scores.isnan().any():
        raise UserError("scores are NaN for some patches: look at the features that gave them.")
    rows, each = len(scores), weights.double()
    scores, positives = scores.reshape(rows, -1), positives.bool().reshape(rows, -1)
    reached = positives_reached(scores, positives)
    levels = int(reached.max())
    cell = reached + torch.arange(rows)[:, None] * (levels + 1)

    def at_level(chosen: Tensor) -> Tensor:  # highest level first, (draws, levels)
        counts = torch.bincount(chosen, minlength=rows * (levels + 1)).reshape(rows, -1)
        return each @ counts[:, 1:].flip(1).double()

    gained, taken = at_level(cell[positives]), at_level(cell.flatten()).cumsum(1)
    return (gained * gained.cumsum(1) / taken.clamp(min=1e-12)).sum(1) / gained.sum(1)


def positives_reached(scores: Tensor, positives: Tensor) -> Tensor:
    """How many different scores of positives each score reaches: int64, as `scores`. Average
    precision needs only this, because precision counts only where recall rises."""
    return torch.searchsorted(scores[positives].unique(), scores.contiguous(), right=True)


def ap_draws(scores: Tensor, truth: Tensor, classes: Sequence[str], times: Tensor) -> Draws:
    """Average precision of each class, and "mean", on resampled images: (draws,) each.

    `scores` (N, h, w, K) and `truth` (N, h, w) as `ProbeResult` has them, `times` (draws, N) of
    `multiplicities`. The mean is over the classes that occur in `truth`; NaN where a draw lacks one
    of them, and for a class that does not occur. With `times` of ones it is the figure itself.
    """
    # in chunks: draws x thresholds would take much memory at once
    found, chunks = {}, times.split(200)
    for k, name in enumerate(classes):
        parts = [average_precision(scores[..., k], truth == k, chunk) for chunk in chunks]
        found[name] = torch.cat(parts).numpy()
    here = [found[name] for k, name in enumerate(classes) if (truth == k).any()]
    return found | {"mean": np.mean(here, axis=0) if here else np.full(len(times), np.nan)}


@dataclass(kw_only=True)
class ProbeResult(Resampled):
    """Average precision by class; see `Resampled` for `interval`.

    `scores` (N, h, w, K) of the test patches, `truth` their labels (N, h, w), `n` the positive
    patches by class with "images" and "patches", `model` the probe, which scores other features.
    """

    scores: Tensor
    n: dict[str, int]
    model: LogisticProbe

    def among(self, images: Sequence[int]) -> "ProbeResult":
        """The same probe judged on some of its test images alone, given by index, with intervals
        over those, in their groups. Raises `UserError` where none of the classes occurs on them."""
        scores, truth, draws = self.scores[images], self.truth[images], len(self.draws["mean"])
        groups = None if self.groups is None else np.asarray(self.groups)[images]
        return _judge(self.model, scores, truth, [*self.ap], draws, seed=self.seed, groups=groups)

    @property
    def ap(self) -> dict[str, float | None]:
        """Average precision by class, None for a class that is absent from the test images."""
        return {k: v for k, v in self.estimates.items() if k != "mean"}

    @property
    def mean_ap(self) -> float | None:
        """The mean over the classes that are present."""
        return self.estimates["mean"]


def measure(
    model: LogisticProbe,
    features: Maps,
    labels: Tensor,
    classes: Sequence[str],
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> ProbeResult:
    """Average precision of a fitted probe on features (N, D, h, w) with labels (N, h, w), in which
    len(classes) means none; the bootstrap resamples images, or whole `groups` (N,) of them
    (`draws`, `seed`, see `multiplicities`)."""
    maps = as_maps(features, "test features")
    check_labels(labels, maps, len(classes) + 1, "test labels")
    scores = model.scores(maps).cpu()[..., : len(classes)]
    return _judge(model, scores, labels.cpu(), classes, draws, seed=seed, groups=groups)


def _judge(
    model: LogisticProbe, scores: Tensor, labels: Tensor, classes: Sequence[str], draws: int, **of
) -> ProbeResult:
    """`of`: seed and groups of the bootstrap."""
    n = {name: int((labels == k).sum()) for k, name in enumerate(classes)}
    if not any(n.values()):
        raise UserError(f"No test patch is labelled {', '.join(classes)}: use more test images.")
    n |= {"images": len(scores), "patches": labels.numel()}
    found = ap_draws(scores, labels, classes, times_of(len(scores), draws, **of))
    return ProbeResult.of(found, truth=labels, scores=scores, n=n, model=model, **of)


def probe(
    train_x: Maps,
    train_y: Tensor,
    test_x: Maps,
    test_y: Tensor,
    classes: Sequence[str],
    l2: float = 1e-2,
    **bootstrap: Any,
) -> ProbeResult:
    """Fit a `LogisticProbe` on training features (N, D, h, w) and labels (N, h, w), `measure` it on
    test features. Labels are indices into `classes`; len(classes) means none."""
    model = LogisticProbe(l2=l2).fit(train_x, train_y, [*classes, "none"])
    return measure(model, test_x, test_y, classes, **bootstrap)
