"""A figure along one setting of the methods: the search of a learning rate, a longer training."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqkd_lite.names import method_name
from freqkd_lite.results.curve import Curve
from freqkd_lite.results.rows import lines_of
from freqkd_lite.results.summary import figure_text
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import COLOURS, Look, colour, name_rows, shades

CURVES = 6  # methods that share a panel; more have a row each
MARKERS = "v^osDP"
RING = Look(marker="o", ls="", ms=11, mfc="none", mew=1.5)  # around a method's best point
LEVEL = Look(color=COLOURS["floor"], lw=1, ls=":")  # of a method without such a setting


def curve_figure(curve: Curve) -> tuple[Figure, str]:
    """The metric against the setting: up to six methods as curves, with the differences to the
    first one beside them where there are some; more methods a row each, the best first.

    A method's best point is ringed; crosses are runs that failed, dotted lines methods without such
    a setting, and a number with an arrow lies below the axis.
    """
    few = len(set(curve.points["method"])) <= CURVES
    drawn = _curves(curve) if few else _rows(curve)
    lines = []
    for method, points in curve.points.groupby("method", sort=False):
        values = ", ".join(f"{figure_text(p)} at {p.at:g}" for p in lines_of(points))
        lines.append(f"{method_name(str(method))}: {values}")
    lines += [f"{method_name(m)}: {number(v, digits=3)}" for m, v in curve.levels.items()]
    if curve.differences is not None:
        for d in lines_of(curve.differences):
            difference = f"{figure_text(d, 3, True)} at {d.at:g}"
            lines.append(f"{method_name(d.method)} minus the first {difference}")
    return drawn, f"{curve.label} against {curve.axis}, by method. {'; '.join(lines)}."


def _curves(curve: Curve) -> Figure:
    """Left the methods' curves; right each one minus the first, paired over images and seeds."""
    columns = 1 if curve.differences is None else 2
    shape = (1.0 + 3.6 * columns, 3.5)
    drawn, axes = plt.subplots(1, columns, figsize=shape, squeeze=False, sharex=True)
    left, values = axes[0, 0], sorted(set(curve.points["at"]))
    for method, value in curve.levels.items():
        left.axhline(value, **LEVEL)
        left.text(values[0], value, method_name(method), fontsize=8.5, va="bottom")
    for method, points in curve.points.groupby("method", sort=False):
        _curve(left, points, curve.seeds.loc[curve.seeds["method"] == method], str(method))
    left.set(title="How far does each method come?", ylabel=f"{curve.label}, {curve.place}")
    if curve.differences is not None:
        right, (first, *others) = axes[0, 1], curve.points["method"].unique()
        right.axhline(0, color=COLOURS["floor"], lw=1.2)
        for i, method in enumerate(others):
            of, shade = curve.differences, colour(method)
            of = of.loc[of["method"] == method]
            at = of["at"] * (1 + 0.06 * (i - (len(others) - 1) / 2))
            right.vlines(at, of["low"], of["high"], lw=2.5, color=shade)
            right.plot(at, of["value"], "o-", ms=6, lw=1, label=method_name(method), color=shade)
        right.set(title="Do they meet?", ylabel=f"minus {method_name(first)}")
    for ax in axes.flat:
        if min(values) > 0:
            ax.set_xscale("log")
        ax.set_xticks(values, [f"{v:g}" for v in values], fontsize=8)
        ax.minorticks_off()
        ax.margins(x=0.12, y=0.12)
        ax.set_xlabel(curve.axis)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return drawn


def _curve(ax: Axes, points: pd.DataFrame, seeds: pd.DataFrame, method: str) -> None:
    """A method's points, pale dots for its seeds, and intervals over three seeds or more (over two
    they are wider than any panel); the best point ringed."""
    there, shade = points.dropna(subset="value"), colour(method)
    ax.plot(there["at"], there["value"], "o-", ms=5, label=method_name(method), color=shade)
    failed = points.loc[points["value"].isna(), "at"]
    foot = np.full(len(failed), 0.06)
    ax.plot(failed, foot, "x", ms=7, mew=2, transform=ax.get_xaxis_transform(), color=shade)
    several = seeds.loc[seeds["at"].isin(there.loc[there["seeds"] > 1, "at"])]
    ax.plot(several["at"], several["value"], "o", ms=3, alpha=0.5, color=shade)
    many = there.loc[there["seeds"] > 2]
    ax.vlines(many["at"], many["low"], many["high"], lw=1.5, color=shade)
    top = there.loc[there["value"].idxmax()]
    ax.plot(top["at"], top["value"], **RING, color=shade)


def _rows(curve: Curve) -> Figure:
    """One row per method, a shade for each value of the setting, the mean over seeds alone."""
    best = curve.best()
    methods = best["method"].tolist()
    drawn, ax = plt.subplots(figsize=(8.2, 1.3 + 0.27 * len(methods)))
    name_rows(ax, [method_name(method) for method in methods])
    # Values far below every method's best would compress the range that is compared.
    tops = [*best["value"], *curve.levels.values()]
    edge = min(tops) - 0.5 * (max(tops) - min(tops))
    points = curve.points.assign(y=curve.points["method"].map(methods.index))
    points["shown"] = points["value"].clip(lower=edge)
    ends = points.groupby("y")["shown"].agg(["min", "max"])
    ax.hlines(ends.index, ends["min"], ends["max"], lw=1, color=COLOURS["floor"], zorder=1)
    by_value = points.groupby("at")
    tints = shades(len(by_value), 0.92)
    for i, (value, of) in enumerate(by_value):
        mark, shade = MARKERS[i % len(MARKERS)], tints[i]
        ax.plot(of["shown"], of["y"], mark, ms=5.5, color=shade, label=f"{value:g}")
        failed = of.loc[of["value"].isna(), "y"]
        foot, side = np.full(len(failed), 0.02), ax.get_yaxis_transform()
        ax.plot(foot, failed, "x", ms=6, mew=2, color=shade, transform=side)
    far = points.loc[points["value"] < edge]
    for y, of in far.groupby("y"):
        place = Look(textcoords="offset points", ha="right", va="center", fontsize=8.5)
        numbers = ", ".join(f"{value:.2f}" for value in of["value"])
        ax.annotate(f"{numbers} \N{LEFTWARDS ARROW}", (edge, y), (-6, 0), **place)
    ax.plot(best["value"], range(len(methods)), color=COLOURS["teacher"], **RING)
    ax.set_title(f"At which {curve.axis} is each method best?", pad=20 if curve.levels else None)
    ax.set_xlabel(curve.label)
    ax.margins(x=0.1)
    if len(far):  # room for the numbers
        ax.set_xlim(left=edge - 0.12 * (best["value"].max() - edge))
    for i, (method, value) in enumerate(sorted(curve.levels.items(), key=lambda item: item[1])):
        ax.axvline(value, **LEVEL)
        place = Look(transform=ax.get_xaxis_transform(), ha="left" if i else "right")
        ax.text(value, 1.005, method_name(method), fontsize=8.5, va="bottom", **place)
    title = f"{curve.axis}; ringed: the best of a method"
    look = Look(ncols=len(by_value) + 1, handletextpad=0.1, title=title, title_fontsize=9)
    drawn.legend(loc="outside lower center", **look)
    return drawn
