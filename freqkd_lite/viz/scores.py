"""Figures of notebooks 05 to 07: methods side by side. Each returns a figure and its description.

Methods are named as in `freqkd_lite.names`; "teacher" stands for the teacher on RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.names import method_name
from freqkd_lite.results.notebooks import Score, Scores
from freqkd_lite.spectrum import RINGS
from freqkd_lite.viz.style import COLOURS, colour

ERASED = ("erasing the low band", "erasing the high band")
REGIONS = ("interior", "border", "both", "neither")
NAMED = 0.08  # of a picture's width: a narrower detection carries no name
_HALO = [withStroke(linewidth=2.8, foreground="black")]


# ------------------------------------------------------------------------------- 05, distillation


def training_curves(logs: Mapping[str, Sequence[Mapping]]) -> tuple[Figure, str]:
    """Each method's loss by step, divided by its first value: two losses have two scales."""
    figure, ax = plt.subplots(figsize=(7, 2.6))
    ends = {}
    for method, log in logs.items():
        losses = np.array([entry["loss"] for entry in log])
        ends[method] = float(losses[-1] / losses[0])
        ax.plot(losses / losses[0], color=colour(method), label=method_name(method))
    ax.axhline(1, color=COLOURS["floor"], lw=1)
    ax.legend()
    ax.set(title="Does each method reduce its loss?", xlabel="step", ylabel="loss (first step = 1)")
    ax.set_ylim(bottom=0)
    ends_text = ", ".join(f"{method_name(method)} at {end:.2f}" for method, end in ends.items())
    return (
        figure,
        f"Training loss by step, each divided by its first value. At the end: {ends_text}.",
    )


def curves_by_method(
    measured: Mapping[str, object], block: int, guess: str | None = None
) -> tuple[Figure, str]:
    """Divergence over rho (`Levels` of one block over `RINGS`) between the teacher on RGB and each
    method on infrared, with 95 % bands; the high end of the guessed method is traced, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.8))
    rho = (np.array(RINGS[1:]) + np.array(RINGS[:-1])) / 2
    for level, word in ((0, "the teacher itself"), (1, "unrelated")):
        ax.axhline(level, color=COLOURS["floor"], lw=1.2)
        ax.text(0.02, level + 0.02, word, fontsize=9, transform=ax.get_yaxis_transform())
    for method, level in measured.items():
        ax.plot(
            rho, level.value[0], marker="o", ms=4, color=colour(method), label=method_name(method)
        )
        ax.fill_between(rho, *level.interval[:, 0], color=colour(method), alpha=0.15, lw=0)
        if guess == method:
            high = rho > 0.75
            ax.plot(
                rho[high],
                level.value[0][high],
                "--",
                lw=5,
                alpha=0.55,
                color=COLOURS["guess"],
                label="your guess: nearest here",
            )
    ax.legend(loc="lower right")
    ax.set(
        title="Which frequencies did the student learn?",
        ylim=(-0.04, 1.15),
        xlabel="rho: 1 is the fastest change along an axis of tokens",
        ylabel=f"divergence from the teacher, block {block}",
    )
    ends = "; ".join(
        f"{method_name(method)} from {m.value[0, 0]:.2f} to {m.value[0, -1]:.2f}"
        for method, m in measured.items()
    )
    return figure, (
        f"Divergence over rho between the teacher on RGB and each student on infrared, block "
        f"{block}; 0 identical, 1 unrelated. From the slowest to the fastest ring: {ends}."
    )


# ------------------------------------------------------------------------ scores of any notebook


def dots(
    scores: Scores, classes: Sequence[str], title: str, xlabel: str, seeds: Scores | None = None
) -> tuple[Figure, str]:
    """A row for each class and in it each method: this run's score as a dot with its 95 % interval
    over images; with `seeds`, pale bars are intervals over seeds, and this run is the dot alone."""
    rows = len(classes) * len(scores)
    figure, ax = plt.subplots(figsize=(7, 1.2 + rows * (0.21 if rows < 20 else 0.15)))
    step = 0.8 / len(scores)
    for i, method in enumerate(scores):
        at = {k: y + step * (i - (len(scores) - 1) / 2) for y, k in enumerate(classes)}
        for klass, y in at.items():
            score = scores[method].get(klass, Score(None))
            many = (seeds or {}).get(method, {}).get(klass)
            if many and many.interval:
                look = dict(lw=9, alpha=0.3, solid_capstyle="butt")
                ax.plot(many.interval, (y, y), color=colour(method), **look)
                ax.plot(many.value, y, "|", ms=9, mew=2, color="white")
            if score.value is not None:
                ax.plot(score.value, y, "o", ms=6, color=colour(method))
            if score.interval and not many:
                ax.plot(score.interval, (y, y), lw=1.5, color=colour(method))
        ax.plot([], [], "o-", color=colour(method), label=method_name(method))
    if seeds:
        ax.plot([], [], color="black", lw=9, alpha=0.3, label="interval over seeds")
    figure.legend(loc="outside lower center", ncols=min(5, len(scores) + bool(seeds)), fontsize=9.5)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(title=title, xlabel=xlabel, ylim=(len(classes) - 0.45, -0.55))
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    texts = "; ".join(
        f"{k}: " + ", ".join(f"{method_name(a)} {scores[a].get(k, Score(None))}" for a in scores)
        for k in classes
    )
    return figure, f"{xlabel}, by class and method, with 95 % intervals. {texts}."


# ----------------------------------------------------------------------------------- 06, detection


def detections(
    images: Tensor,
    boxes: Sequence[Tensor],
    found: Mapping[str, Sequence[Mapping[str, Tensor]]],
    classes: Sequence[str],
) -> tuple[Figure, str]:
    """Infrared pictures (N, 3, H, W), one a row, with true boxes (white, dotted) and, one method a
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
    texts = []
    for column, (method, predictions) in enumerate(found.items()):
        counts = []
        for ax, image, truth, each in zip(axes[:, column], images, boxes, predictions, strict=True):
            low, high = np.percentile(image[0].numpy(), (0.5, 99.5))  # some sets are nearly black
            ax.imshow(image[0].numpy(), vmin=low, vmax=max(high, low + 1e-3))
            ax.set_axis_off()
            for box in truth.tolist():
                _box(ax, box, color="white", ls=":", lw=1.4)
            surest = {k: v[: len(truth)] for k, v in each.items()}  # scores fall
            for box, label in zip(surest["boxes"].tolist(), surest["labels"], strict=True):
                _box(ax, box, color=colour(method), lw=1.6, path_effects=_HALO)
                if box[2] - box[0] > image.shape[-1] * NAMED:
                    ax.text(
                        box[0],
                        box[1] - 2,
                        classes[label],
                        color=colour(method),
                        fontsize=7,
                        path_effects=_HALO,
                        clip_on=True,
                    )
            counts.append(len(surest["boxes"]))
        axes[0, column].set_title(method_name(method), color=colour(method), fontsize=10.5)
        texts.append(f"{method_name(method)} {', '.join(map(str, counts))}")
    truths = ", ".join(str(len(each)) for each in boxes)
    return figure, (
        f"{len(images)} infrared pictures with their true boxes ({truths}), dotted in white, and "
        f"as many of the surest detections where there are. Number by method: {'; '.join(texts)}."
    )


def band_curves(
    kept: Mapping[str, Mapping[str, Sequence[Score]]],
    cutoffs: Sequence[float],
    whole: Mapping[str, Score],
    at: float,
    method: str,
    guess: str | None = None,
) -> tuple[Figure, str]:
    """AP of what sees one band only, against the cutoff, with 95 % bands: `kept` by reader
    ("detector", "probe") and band ("low", "high"), `whole` the reader's score on both bands. A
    dashed arrow marks the curve that the guess expects to be the lower one at the cutoff `at`."""
    figure, axes = plt.subplots(1, len(kept), figsize=(7, 3.5), squeeze=False)
    texts = []
    for ax, (reader, bands) in zip(axes[0], kept.items(), strict=True):
        ax.axhline(whole[reader].value, color=COLOURS["floor"], lw=1.2, label="both bands")
        ax.axvline(at, color=COLOURS["floor"], ls=":")
        for band, scores in bands.items():
            values, edges = [s.value for s in scores], np.array([s.interval for s in scores]).T
            ax.plot(cutoffs, values, "o-", ms=4, color=COLOURS[band], label=f"{band} band only")
            ax.fill_between(cutoffs, *edges, color=COLOURS[band], alpha=0.15, lw=0)
            texts.append(f"{reader}, {band} band only, {_list(values)}")
            erased = ERASED[band == "low"]  # what is erased where only this band is left
            if guess == erased and at in cutoffs and ax is axes[0, 0]:
                arrow = dict(arrowstyle="->", ls="--", color=COLOURS["guess"])
                ax.annotate(
                    "your guess:\nthe lower one",
                    (at, values[list(cutoffs).index(at)]),
                    (at + 0.12, 0.5),
                    textcoords=("data", "axes fraction"),
                    arrowprops=arrow,
                    fontsize=9.5,
                )
        ax.set(xlabel="cutoff, rho", ylim=(0, None))
        ax.set_title(f"a {reader}", fontweight="normal")
    axes[0, 0].set_ylabel("AP")
    title = f"Which band is read? Features: {method_name(method)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure, (
        f"Average precision on features of {method_name(method)} against the cutoff in rho, at "
        f"{_list(cutoffs)}: {'; '.join(texts)}. With both bands: "
        + ", ".join(f"{reader} {score}" for reader, score in whole.items())
        + "."
    )


# -------------------------------------------------------------------------------- 07, segmentation


def border_curves(
    distances: Mapping[str, Resampled], classes: Sequence[str], guess: str | None = None
) -> tuple[Figure, str]:
    """Mean IoU over `classes` by distance from the border, for each method (`by_distance`); the
    guessed regions are framed, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.4))
    rings = list(next(iter(distances.values())).estimates)
    texts = []
    for i, (method, result) in enumerate(distances.items()):
        values, spans = list(result.estimates.values()), list(result.interval.values())
        x = np.arange(len(rings)) + 0.07 * (i - (len(distances) - 1) / 2)
        ax.vlines(x, *np.array(spans).T, color=colour(method), lw=1.5)
        ax.plot(x, values, marker="o", ms=5, color=colour(method), label=method_name(method))
        texts.append(f"{method_name(method)} {_list(values)}")
    framed = {"border": (0,), "interior": (len(rings) - 1,), "both": (0, len(rings) - 1)}
    for k in framed.get(guess or "", ()):
        ax.axvspan(k - 0.3, k + 0.3, fill=False, ls="--", lw=1.5, color=COLOURS["guess"])
    if guess:
        ax.text(0.5, 0.96, f"your guess: {guess}", ha="center", transform=ax.transAxes)
    ticks = [ring.removesuffix("px").replace("-inf", " and more") for ring in rings]
    ax.set_xticks(range(len(rings)), ticks)
    ax.legend(loc="lower right")
    ax.set(
        title="Regions or borders?",
        xlabel="distance from the nearest border, px",
        ylabel="mean IoU",
        xlim=(-0.5, len(rings) - 0.5),
    )
    return figure, (
        f"Mean IoU over {', '.join(classes)} by distance from the border in pixels "
        f"({', '.join(ticks)}): {'; '.join(texts)}."
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def _box(ax: Axes, box: Sequence[float], **line: object) -> None:
    """Outline a box x0 y0 x1 y1."""
    color = line.pop("color")
    x0, y0, x1, y1 = box
    ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, **line))
