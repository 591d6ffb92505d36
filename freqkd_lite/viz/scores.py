"""The arms side by side: figures of notebooks 05 to 07, and the sentences under them.

Arms are named as in `distil.methods`; "teacher" stands for the teacher on RGB. Figures come back
with their description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from freqkd_lite.distil.methods import OWN
from freqkd_lite.errors import UserError, unknown
from freqkd_lite.evaluate.detection import DetectionScore
from freqkd_lite.evaluate.probe import ProbeResult
from freqkd_lite.evaluate.segmentation import SegmentationResult
from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap, percentiles
from freqkd_lite.names import NAMES
from freqkd_lite.results.rows import (
    Row,
    is_part,
    over_seeds,
    own_settings,
    pick,
    read_results,
    results_folder,
    split_arm,
)
from freqkd_lite.spectrum import RINGS, split_bands
from freqkd_lite.viz.gap import Levels
from freqkd_lite.viz.style import COLOURS

ERASED = ("erasing the low band", "erasing the high band")
REGIONS = ("interior", "border", "both", "neither")
Span = tuple[float, float]
_HALO = [withStroke(linewidth=2.8, foreground="black")]
NAMED = 0.08  # of a picture's width: a detection that is narrower carries no name
_ROUNDING = 1e-6  # of float32 features


@dataclass(frozen=True)
class Score:
    """A figure with its 95 % interval; both None where it is undefined."""

    value: float | None
    interval: Span | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        span = "" if self.interval is None else " [{:.2f}, {:.2f}]".format(*self.interval)
        return f"{self.value:.2f}{span}"


Scores = Mapping[str, Mapping[str, Score]]  # arm -> class or "mean" -> Score


def same_terms(arm: str) -> bool:
    """Whether an arm differs from others by its loss, learning rate and projector alone: another
    merge scale, or shuffled pairs, are other comparisons."""
    return not {*own_settings(arm)} & ({*OWN} - {"lr", "projector"})


def colour(arm: str) -> str:
    """The arm's own colour in every notebook, grey for a loss that has none yet."""
    return COLOURS.get(split_arm(arm)[0], COLOURS["floor"])


def name(arm: str) -> str:
    """The arm's name for people, with its own settings: `FreqKD (code) · lr=0.003`. No comma
    stands in it, for names are listed."""
    own = [f"{key}={value}" for key, value in own_settings(arm).items()]
    told = " · ".join([NAMES.get(split_arm(arm)[0], split_arm(arm)[0]), *own])
    told = told.replace("shuffled=True", "shuffled pairs")
    return told.replace("projector=True", "trained projector")


def per_image(notebook: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Keep what intervals are computed from beside the notebook's results; the file's name."""
    folder = results_folder(notebook)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "per_image.npz", **arrays)
    return "per_image.npz"


def seed_scores(
    results: str | Path, notebook: str, metric: str, parameters: Mapping, weights: str | None
) -> tuple[dict[str, dict[str, Score]], str]:
    """The same scores over several seeds, from the first folder of `results` in which
    `freqkd sweep` kept runs of these parameters and `weights` (SHA-256): mean and 95 % t interval.
    Empty when there is none; the sentence says what the nearest differs in."""
    mine = {k: v for k, v in parameters.items() if k != "seed"} | {"weights' checksum": weights}
    nearest: tuple[list[str], Path, dict] | None = None
    for path in sorted(Path(results).glob("*/manifest.json")):
        about = json.loads(path.read_text()).get("notebooks", {}).get(notebook)
        if about and len(about["seeds"]) > 1:
            theirs = about["parameters"] | {"weights' checksum": about["weights"]}
            # A parameter that gives nothing says the same as one that was not there yet.
            other = sorted(k for k in theirs.keys() | mine.keys()
                           if (theirs.get(k) or None) != (mine.get(k) or None))  # fmt: skip
            if nearest is None or len(other) < len(nearest[0]):
                nearest = other, path.parent, about
    if nearest is None:
        return {}, f"No runs of {notebook} over several seeds: the figure shows this run alone."
    other, folder, about = nearest
    if other:
        told = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
        return {}, (f"No runs over several seeds have these parameters (results/{folder.name} "
                    f"differs in {told}): this run is shown alone.")  # fmt: skip
    found: dict[str, dict[str, list[float]]] = {}
    for row in pick(read_results(folder), claim="walk", metric=metric):
        if row.value is not None and not is_part(row.split):
            found.setdefault(row.arm, {}).setdefault(row.klass, []).append(row.value)
    scores = {a: {k: Score(*over_seeds(v)) for k, v in of.items()} for a, of in found.items()}
    count = len(about["seeds"])
    said = "; ".join(f"{name(a)} {of['mean']}" for a, of in scores.items() if "mean" in of)
    return scores, f"Mean over {count} seeds (results/{folder.name}), with 95 % interval: {said}."


def score_rows(scores: Scores, metric: str, **about: object) -> list[Row]:
    """A results row for each arm and class."""
    return [
        Row(arm=arm, metric=metric, klass=k, value=s.value, interval=s.interval, **about)
        for arm, of in scores.items()
        for k, s in of.items()
    ]


def level_rows(
    measured: Mapping[str, Levels], metric: str, klass: str, **about: object
) -> list[Row]:
    """A results row for each arm and ring of `Levels` of one block; classes read KLASS/ring0."""
    scores = {
        arm: {
            f"{klass}/ring{i}": Score(float(value), tuple(span.tolist()))
            for i, (value, span) in enumerate(zip(m.value[0], m.interval[:, 0].T, strict=True))
        }
        for arm, m in measured.items()
    }
    return score_rows(scores, metric, **about)


# ------------------------------------------------------------------------------- 05, distillation


def training_curves(logs: Mapping[str, Sequence[Mapping]]) -> tuple[Figure, str]:
    """Each arm's loss by step, divided by its first value: losses of two kinds have no common
    scale."""
    figure, ax = plt.subplots(figsize=(7, 2.6))
    ends = {}
    for arm, log in logs.items():
        losses = np.array([entry["loss"] for entry in log])
        ends[arm] = float(losses[-1] / losses[0])
        ax.plot(losses / losses[0], color=colour(arm), label=name(arm))
    ax.axhline(1, color=COLOURS["floor"], lw=1)
    ax.legend()
    ax.set(
        title="Does each arm learn its own lesson?", xlabel="step", ylabel="loss (first step = 1)"
    )
    ax.set_ylim(bottom=0)
    said = ", ".join(f"{name(arm)} at {end:.2f}" for arm, end in ends.items())
    return figure, f"Training loss by step, each divided by its first value. At the end: {said}."


def curves_by_arm(
    measured: Mapping[str, Levels], block: int, guess: str | None = None
) -> tuple[Figure, str]:
    """Divergence over rho (`Levels` of one block over `RINGS`) between the teacher on RGB and each
    arm on infrared, with 95 % bands; the high end of the guessed arm is traced, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.8))
    rho = (np.array(RINGS[1:]) + np.array(RINGS[:-1])) / 2
    for level, word in ((0, "the teacher itself"), (1, "unrelated")):
        ax.axhline(level, color=COLOURS["floor"], lw=1.2)
        ax.text(0.02, level + 0.02, word, fontsize=9, transform=ax.get_yaxis_transform())
    for arm, level in measured.items():
        ax.plot(rho, level.value[0], marker="o", ms=4, color=colour(arm), label=name(arm))
        ax.fill_between(rho, *level.interval[:, 0], color=colour(arm), alpha=0.15, lw=0)
        if guess == name(arm):
            high = rho > 0.75
            ax.plot(rho[high], level.value[0][high], "--", lw=5, alpha=0.55,
                    color=COLOURS["guess"], label="your guess: nearest here")  # fmt: skip
    ax.legend(loc="lower right")
    ax.set(title="Which frequencies did the student learn?", ylim=(-0.04, 1.15),
           xlabel="rho: 1 is the fastest change along an axis of tokens",
           ylabel=f"divergence from the teacher, block {block}")  # fmt: skip
    ends = "; ".join(
        f"{name(arm)} from {m.value[0, 0]:.2f} to {m.value[0, -1]:.2f}"
        for arm, m in measured.items()
    )
    return figure, (
        f"Divergence over rho between the teacher on RGB and each student on infrared, block "
        f"{block}; 0 identical, 1 unrelated. From the slowest to the fastest ring: {ends}."
    )


def distance_conclusion(bands: Mapping[str, Levels], guess: str | None = None) -> str:
    """Which arm ends nearest the teacher, in words: `Levels` of one block over `gap.BANDS` by arm.
    Arms share their draws of images, so their differences are paired."""
    lines = []
    for band, ring in (("high", -1), ("low", 0)):
        draws = {arm: level.draws[:, 0, ring].numpy() for arm, level in bands.items()}
        order = sorted(bands, key=lambda arm: float(bands[arm].value[0, ring]))
        first, second = order[:2]
        told = _side(percentiles(draws[first] - draws[second]), ("yes", "no", "yes")) == "yes"
        values = ", ".join(f"{name(a)} {float(bands[a].value[0, ring]):.3f}" for a in order)
        lines.append(
            f"{band.capitalize()} band, nearest to the teacher: {name(first)}"
            f"{'' if told else f', which these images cannot tell from {name(second)}'}"
            f" ({values})."
        )
        if band == "high" and guess:
            lines[-1] += " You guessed it." if guess == name(first) else f" You guessed {guess}."
    for arm in bands:
        if arm != "none":
            moved = []
            for band, ring in (("low", 0), ("high", -1)):
                change = (bands[arm].draws - bands["none"].draws)[:, 0, ring].numpy()
                word = _side(percentiles(change), ("away from it", "nowhere", "nearer"))
                moved.append(f"{word} in the {band} band")
            lines.append(f"Training moved {name(arm)} {' and '.join(moved)}.")
    return "\n".join(lines)


# ------------------------------------------------------------------------ scores of any notebook


def dots(
    scores: Scores, classes: Sequence[str], title: str, xlabel: str, seeds: Scores | None = None
) -> tuple[Figure, str]:
    """A row for each class and in it a dot with 95 % whiskers for each arm; a pale bar behind a
    dot is the interval over several seeds."""
    rows = len(classes) * len(scores)
    figure, ax = plt.subplots(figsize=(7, 1.2 + rows * (0.21 if rows < 20 else 0.15)))
    step = 0.8 / len(scores)
    for i, arm in enumerate(scores):
        at = {k: y + step * (i - (len(scores) - 1) / 2) for y, k in enumerate(classes)}
        for klass, y in at.items():
            score = scores[arm].get(klass, Score(None))
            many = (seeds or {}).get(arm, {}).get(klass)
            if many and many.interval:
                ax.plot(many.interval, (y, y), color=colour(arm), lw=9, alpha=0.3,
                        solid_capstyle="butt", label=None)  # fmt: skip
                ax.plot(many.value, y, "|", ms=9, mew=2, color="white")
            if score.value is not None:
                ax.plot(score.value, y, "o", ms=6, color=colour(arm))
                ax.plot(score.interval or (), (y, y) if score.interval else (), lw=1.5,
                        color=colour(arm))  # fmt: skip
        ax.plot([], [], "o-", color=colour(arm), label=name(arm))
    if seeds:
        ax.plot([], [], color="black", lw=9, alpha=0.3, label="over seeds")
    figure.legend(loc="outside lower center", ncols=min(5, len(scores) + bool(seeds)), fontsize=9.5)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(title=title, xlabel=xlabel, ylim=(len(classes) - 0.45, -0.55))
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    said = "; ".join(
        f"{k}: " + ", ".join(f"{name(a)} {scores[a].get(k, Score(None))}" for a in scores)
        for k in classes
    )
    return figure, f"{xlabel}, by class and arm, with 95 % intervals. {said}."


def as_scores(result: Resampled) -> dict[str, Score]:
    """The mean and each class of a probe, a detector or a segmenter as `Score`."""
    spans = result.interval
    return {k: Score(result.estimates[k], spans[k]) for k in ("mean", *_classes(result))}


def gain_conclusion(gains: Mapping[str, tuple[float, Span]], metric: str, over: str) -> str:
    """Who gained on `over`, in words, from paired differences with their intervals."""
    lines = []
    for arm, (value, (low, high)) in gains.items():
        word = _side((low, high), ("above", "not to be told from", "below"))
        lines.append(f"{metric} of {name(arm)} is {word} that of {over}: {value:+.3f} "
                     f"[{low:+.3f}, {high:+.3f}].")  # fmt: skip
    return "\n".join(lines)


def class_conclusion(results: Mapping[str, Resampled]) -> str:
    """For which classes each arm differs from the undistilled student beyond noise, in words, from
    paired differences; a mean can hide that one class rises while another one falls."""
    base, lines = results["none"], []
    for arm, result in results.items():
        told: dict[str, list[str]] = {"above": [], "below": []}
        for klass in _classes(result):
            if arm == "none" or None in (result.estimates[klass], base.estimates[klass]):
                continue
            side = _side(paired_bootstrap(result, base, klass)[1], ("above", "", "below"))
            told.get(side, []).append(klass)
        words = "; ".join(f"{side} for {', '.join(of)}" for side, of in told.items() if of)
        if arm != "none":
            lines.append(f"By class, {name(arm)} against {name('none')}: {words or 'no difference'}"
                         f"{'' if words else ' beyond noise'}.")  # fmt: skip
    return "\n".join(lines)


def by_light(
    probes: Mapping[str, ProbeResult], lights: Sequence[str]
) -> dict[str, dict[str, ProbeResult]]:
    """The probes judged by day and by night apart, from each image's `Pair.time_of_day`; a time
    without any object, and images whose time is not known, are left out."""
    apart = {}
    for light in sorted(set(lights) - {""}):
        images = [i for i, each in enumerate(lights) if each == light]
        with suppress(UserError):
            apart[light] = {arm: result.among(images) for arm, result in probes.items()}
    return apart


def light_conclusion(apart: Mapping[str, Mapping[str, ProbeResult]]) -> str:
    """What each arm gained on the undistilled student by day and by night, in words."""
    lines = []
    for light, results in apart.items():
        gains = [f"{name(arm)} {{:+.3f}} [{{:+.3f}}, {{:+.3f}}]".format(value, *span)
                 for arm in results if arm not in ("none", "teacher")
                 for value, span in [paired_bootstrap(results[arm], results["none"])]]  # fmt: skip
        scores = as_scores(results["none"])
        lines.append(f"By {light} ({results['none'].n['images']} images): {name('none')} "
                     f"{scores['mean']}; against it {', '.join(gains)}.")  # fmt: skip
    return "\n".join(lines) or "This data set does not tell day from night."


# ----------------------------------------------------------------------------------- 06, detection


def keep_band(features: Tensor, cutoff: float, band: str) -> Tensor:
    """Maps (N, C, h, w) of which only the "low" (rho <= cutoff) or "high" band is left. The mean
    of each map (zero frequency) stays in both, or erasing "low" would shift every channel."""
    if band not in ("low", "high"):
        raise unknown("band", band, ("low", "high"))
    low, high = split_bands(features, cutoff, "disk")
    return low if band == "low" else high + features.mean((2, 3), keepdim=True)


def detections(
    images: Tensor,
    boxes: Sequence[Tensor],
    found: Mapping[str, Sequence[Mapping[str, Tensor]]],
    classes: Sequence[str],
) -> tuple[Figure, str]:
    """Infrared pictures (N, 3, H, W), one a row, with true boxes (white, dotted) and, one arm a
    column, its detector's surest boxes: as many in each picture as there are true ones. Boxes
    that are wide enough carry their class."""
    ratio = images.shape[-2] / images.shape[-1]
    shape = (len(images), len(found))
    width = 7 / shape[1]
    figure, axes = plt.subplots(
        *shape,
        figsize=(7, 0.3 + shape[0] * width * ratio),
        squeeze=False,
        gridspec_kw={"wspace": 0},
    )
    said = []
    for column, (arm, predictions) in enumerate(found.items()):
        counts = []
        for ax, image, truth, each in zip(axes[:, column], images, boxes, predictions, strict=True):
            low, high = np.percentile(image[0].numpy(), (0.5, 99.5))  # some sets are nearly black
            ax.imshow(image[0].numpy(), vmin=low, vmax=max(high, low + 1e-3))
            ax.set_axis_off()
            for box in truth.tolist():
                _box(ax, box, color="white", ls=":", lw=1.4)
            surest = {k: v[: len(truth)] for k, v in each.items()}  # scores fall
            for box, label in zip(surest["boxes"].tolist(), surest["labels"], strict=True):
                _box(ax, box, color=colour(arm), lw=1.6, path_effects=_HALO)
                if box[2] - box[0] > image.shape[-1] * NAMED:
                    ax.text(box[0], box[1] - 2, classes[label], color=colour(arm), fontsize=7,
                            path_effects=_HALO, clip_on=True)  # fmt: skip
            counts.append(len(surest["boxes"]))
        axes[0, column].set_title(name(arm), color=colour(arm), fontsize=10.5)
        said.append(f"{name(arm)} {', '.join(map(str, counts))}")
    truths = ", ".join(str(len(each)) for each in boxes)
    return figure, (
        f"{len(images)} infrared pictures with their true boxes ({truths}), dotted in white, and "
        f"as many of the surest detections where there are. Number by arm: {'; '.join(said)}."
    )


def band_curves(
    kept: Mapping[str, Mapping[str, Sequence[Score]]],
    cutoffs: Sequence[float],
    whole: Mapping[str, Score],
    at: float,
    arm: str,
    guess: str | None = None,
) -> tuple[Figure, str]:
    """AP of what sees one band only, against the cutoff, with 95 % bands: `kept` by reader
    ("detector", "probe") and band ("low", "high"), `whole` the reader's score on both bands. A
    dashed arrow marks the curve that the guess expects to be the lower one at the cutoff `at`."""
    figure, axes = plt.subplots(1, len(kept), figsize=(7, 3.5), squeeze=False)
    said = []
    for ax, (reader, bands) in zip(axes[0], kept.items(), strict=True):
        ax.axhline(whole[reader].value, color=COLOURS["floor"], lw=1.2, label="both bands")
        ax.axvline(at, color=COLOURS["floor"], ls=":")
        for band, scores in bands.items():
            values, edges = [s.value for s in scores], np.array([s.interval for s in scores]).T
            ax.plot(cutoffs, values, "o-", ms=4, color=COLOURS[band], label=f"{band} band only")
            ax.fill_between(cutoffs, *edges, color=COLOURS[band], alpha=0.15, lw=0)
            said.append(f"{reader}, {band} band only, {_list(values)}")
            if guess == _erased(band) and at in cutoffs and ax is axes[0, 0]:
                arrow = dict(arrowstyle="->", ls="--", color=COLOURS["guess"])
                ax.annotate("your guess:\nthe lower one", (at, values[list(cutoffs).index(at)]),
                            (at + 0.12, 0.5), textcoords=("data", "axes fraction"),
                            arrowprops=arrow, fontsize=9.5)  # fmt: skip
        ax.set(xlabel="cutoff, rho", ylim=(0, None))
        ax.set_title(f"a {reader}", fontweight="normal")
    axes[0, 0].set_ylabel("AP")
    figure.suptitle(f"Which band is read? Features: {name(arm)}", x=0.01, ha="left", fontsize=11.5,
                    fontweight="bold")  # fmt: skip
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure, (
        f"Average precision on features of {name(arm)} against the cutoff in rho, at "
        f"{_list(cutoffs)}: {'; '.join(said)}. With both bands: "
        + ", ".join(f"{reader} {score}" for reader, score in whole.items()) + "."
    )  # fmt: skip


def _erased(left: str) -> str:
    """What was erased when only the band `left` is left."""
    return ERASED[0] if left == "high" else ERASED[1]


def band_conclusion(
    low_only: DetectionScore,
    high_only: DetectionScore,
    whole: DetectionScore,
    share: float,
    guess: str | None = None,
) -> str:
    """Which erasure hurts more at one cutoff, in words; `share` of the energy lies in the low
    band."""
    difference, span = paired_bootstrap(low_only, high_only)
    worse = _side(span, (*ERASED[:1], "neither", *ERASED[1:]))
    verdict = ""
    if guess:
        verdict = " You guessed it." if guess == worse else f" You guessed {guess}."
    tells = "the two can't be told apart" if worse == "neither" else f"{worse} hurts more"
    return (
        f"At this cutoff {tells}: mAP50 {low_only.map50:.3f} with the low band only, "
        f"{high_only.map50:.3f} with the high band only, {whole.map50:.3f} with both.{verdict}\n"
        f"Low minus high: {difference:+.3f} [{span[0]:+.3f}, {span[1]:+.3f}]. The low band holds "
        f"{share:.0%} of the features' energy around their mean."
    )


# -------------------------------------------------------------------------------- 07, segmentation


def lasting(rings: Mapping[Span, SegmentationResult], classes: Sequence[str]) -> list[str]:
    """The classes that have true pixels in every ring of distance: only these can be compared from
    ring to ring, for thin things have no interior."""
    seen = torch.stack([r.confusion.sum((0, 2)) > 0 for r in rings.values()]).all(0)
    return [c for c, here in zip(classes, seen.tolist(), strict=True) if here]


def mean_iou(result: SegmentationResult, classes: Sequence[str]) -> tuple[float, np.ndarray]:
    """The mean IoU over `classes` and its bootstrap draws (draws,)."""
    value = np.mean([result.estimates[c] for c in classes])
    return float(value), np.mean([result.draws[c] for c in classes], axis=0)


def iou_score(result: SegmentationResult, classes: Sequence[str]) -> Score:
    """`mean_iou` with its 95 % interval."""
    value, draws = mean_iou(result, classes)
    return Score(value, percentiles(draws))


def region_gain(
    arm: SegmentationResult, none: SegmentationResult, classes: Sequence[str]
) -> tuple[float, Span]:
    """Gain in mean IoU over `classes` and its paired 95 % interval."""
    (a, a_draws), (b, b_draws) = mean_iou(arm, classes), mean_iou(none, classes)
    return a - b, percentiles(a_draws - b_draws)


def gained_region(border: Span, interior: Span) -> str:
    """Which of `REGIONS` gained beyond noise, from the two gains' intervals."""
    return REGIONS[{(0, 1): 0, (1, 0): 1, (1, 1): 2, (0, 0): 3}[border[0] > 0, interior[0] > 0]]


def border_curves(
    rings: Mapping[str, Mapping[Span, SegmentationResult]],
    classes: Sequence[str],
    guess: str | None = None,
) -> tuple[Figure, str]:
    """Mean IoU over `classes` by distance from the border: `rings` by arm, from
    `iou_by_border_distance`; the guessed regions are framed, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.4))
    spans = list(next(iter(rings.values())))
    said = []
    for i, (arm, results) in enumerate(rings.items()):
        scores = [iou_score(results[span], classes) for span in spans]
        values, edges = [s.value for s in scores], np.array([s.interval for s in scores]).T
        x = np.arange(len(spans)) + 0.07 * (i - (len(rings) - 1) / 2)
        ax.vlines(x, *edges, color=colour(arm), lw=1.5)
        ax.plot(x, values, marker="o", ms=5, color=colour(arm), label=name(arm))
        said.append(f"{name(arm)} {_list(values)}")
    framed = {"border": (0,), "interior": (len(spans) - 1,), "both": (0, len(spans) - 1)}
    for k in framed.get(guess or "", ()):
        ax.axvspan(k - 0.3, k + 0.3, fill=False, ls="--", lw=1.5, color=COLOURS["guess"])
    if guess:
        ax.text(0.5, 0.96, f"your guess: {guess}", ha="center", transform=ax.transAxes)
    ticks = [
        f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}" for low, high in spans
    ]
    ax.set_xticks(range(len(spans)), ticks)
    ax.legend(loc="lower right")
    ax.set(title="Regions or borders?", xlabel="distance from the nearest border, px",
           ylabel="mean IoU", xlim=(-0.5, len(spans) - 0.5))  # fmt: skip
    return figure, (
        f"Mean IoU over {', '.join(classes)} by distance from the border in pixels "
        f"({', '.join(ticks)}): {'; '.join(said)}."
    )


def region_conclusion(
    gains: Mapping[str, tuple[tuple[float, Span], tuple[float, Span]]], guess: str | None = None
) -> str:
    """Where each arm gained on the undistilled student, in words; `gains` are (border, interior),
    each with its paired interval. The guess is about the last arm."""
    lines = []
    for arm, (border, interior) in gains.items():
        where = gained_region(border[1], interior[1])
        both = (("border", border), ("interior", interior))
        told = [
            f"{word} {value:+.3f} [{low:+.3f}, {high:+.3f}]" for word, (value, (low, high)) in both
        ]
        lines.append(f"{name(arm)} gained in: {where} ({', '.join(told)}).")
    if guess:
        lines[-1] += " You guessed it." if guess == where else f" You guessed {guess}."
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------- helpers


def _classes(result: Resampled) -> list[str]:
    return [k for k in result.estimates if k not in ("mean", "accuracy")]


def _side(interval: Span, words: tuple[str, str, str]) -> str:
    """The word for an interval above, around or below 0; rounding is no difference."""
    return (
        words[0] if interval[0] > _ROUNDING else words[2] if -interval[1] > _ROUNDING else words[1]
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def _box(ax: Axes, box: Sequence[float], **line: object) -> None:
    """Outline a box x0 y0 x1 y1."""
    color = line.pop("color")
    x0, y0, x1, y1 = box
    ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, **line))
