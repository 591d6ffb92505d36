"""The label curve: what a distilled student's label-free score is worth in labelled images."""

import math
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from freqkd_lite.names import method_name
from freqkd_lite.results.rows import lines_of
from freqkd_lite.results.text import number
from freqkd_lite.viz import style
from freqkd_lite.viz.style import COLOURS, colour

ZERO = 0.3  # where "no labels" stands on the axis of labelled images, which is logarithmic


def labels_text(value: float, n: float) -> str:
    """A number of labelled images of `n` as a reader takes it: "about 180", "more than 182"."""
    if math.isinf(value):
        return f"more than {n:g}"
    if value <= 1:
        return "1 or fewer"
    return f"about {round(value, -1 if value >= 100 else 0):.0f}"


def worth_text(worth: Any, n: float) -> str:
    """`labels_text` of a line of `labels_worth`, with its interval: "about 63 [19, 175]"."""
    ends = (
        f"more than {n:g}" if math.isinf(end) else f"{end:.0f}" for end in (worth.low, worth.high)
    )
    return f"{labels_text(worth.value, n)} [{', '.join(ends)}]"


def label_curve_figure(
    table: pd.DataFrame, rgb: float | None = None, of_what: str = ""
) -> tuple[Figure, str]:
    """`evaluate.transfer.summary` as a figure: each method's score against the number of labelled
    infrared images, and from each label-free score across to where the undistilled student reaches
    it. `rgb`: the teacher's score on RGB; `of_what`: ends the title."""
    drawn, ax = plt.subplots(figsize=(7.6, 4.2))
    budgets = table.loc[table["metric"] == "label_curve"]
    most = budgets["labels"].max()
    worths = {of.method: of for of in lines_of(table.loc[table["metric"] == "labels_worth"])}
    texts = {method: f"worth {worth_text(of, most)}" for method, of in worths.items()}
    parts, scores = [], {}
    for method, of in budgets.groupby("method", sort=False):
        shade, name = colour(method), method_name(method)
        x = of["labels"].replace(0, ZERO)
        free, own = of.iloc[0], of.iloc[1:]
        label = f"{name}: {texts[method]}" if method in texts else name
        scores[method] = free["value"]
        style.curve(ax, x[1:], own["value"], (own["low"], own["high"]), color=shade, label=label)
        ax.vlines(ZERO, free["low"], free["high"], lw=3, alpha=0.4, color=shade)
        ax.plot(ZERO, free["value"], "D", ms=8, color=shade)
        parts.append(f"{name} {number(free['value'], (free['low'], free['high']))} without labels")
        parts[-1] += f", {number(of['value'].iloc[-1])} with {most:g}"
    foot = ax.get_ylim()[0]
    for method, worth in worths.items():
        shade, end, score = colour(method), min(worth.value, most), scores[method]
        ax.plot((ZERO, end), (score, score), ":", lw=1.5, color=shade)
        if end == worth.value:
            ax.plot((end, end), (foot, score), ":", lw=1.5, color=shade)
        parts.append(f"{method_name(method)} is {texts[method]} labels")
    if rgb is not None:
        ax.axhline(rgb, color=COLOURS["teacher"], lw=1.2, ls="--")
        ax.text(most, rgb, "teacher on RGB", fontsize=9, ha="right", va="bottom")
        parts.append(f"teacher on RGB {number(rgb)}")
    ticks = [ZERO, *(n for n in sorted(set(budgets["labels"])) if n)]
    ax.set_xscale("log")
    names = ["none: RGB head", *(f"{n:g}" for n in ticks[1:])]
    if most < 1.5 * ticks[-2]:
        names[-2] = ""  # it would run into the last one
    ax.set_xticks(ticks, names)
    ax.minorticks_off()
    xlabel = "labelled infrared images that the head was fitted on"
    ax.set(xlabel=xlabel, ylabel="mean AP", ylim=(foot, None))
    ax.set_title(f"How many labels is a distilled student worth? {of_what}".strip())
    style.legend_below(drawn, ax, 2 if budgets["method"].nunique() > 3 else 3)
    return drawn, f"Score against labelled infrared images. {'; '.join(parts)}."
