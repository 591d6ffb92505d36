"""A figure along one setting of the methods: the search of a learning rate, a longer training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqkd_lite.names import method_name
from freqkd_lite.results.curve import Curve
from freqkd_lite.results.summary import figure_text
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import COLOURS, colour, style

CURVES = 6  # methods that share a panel; more have a row each
MARKERS = "v^osDP"


def curve_figure(curve: Curve) -> tuple[Figure, str]:
    """The metric against the setting: up to six methods as curves, with the differences to the
    first one beside them where there are some; more methods a row each, the best first.

    A method's best point is ringed; crosses are runs that failed, dotted lines methods without such
    a setting, and a number with an arrow lies below the axis. With a description.
    """
    style()
    few = curve.points["method"].nunique() <= CURVES
    drawn = _curves(curve) if few else _rows(curve)
    lines = []
    for method, points in curve.points.groupby("method", sort=False):
        values = ", ".join(f"{figure_text(p)} at {p.at:g}" for p in points.itertuples())
        lines.append(f"{method_name(method)}: {values}")
    lines += [f"{method_name(m)}: {number(v, digits=3)}" for m, v in curve.levels.items()]
    if curve.differences is not None:
        for d in curve.differences.itertuples():
            lines.append(f"{method_name(d.method)} minus the first {figure_text(d, 3, True)}")
            lines[-1] += f" at {d.at:g}"
    return drawn, f"{curve.label} against {curve.axis}, by method. {'; '.join(lines)}."


def _curves(curve: Curve) -> Figure:
    """Left the methods' curves; right each one minus the first, paired over images and seeds."""
    columns = 1 if curve.differences is None else 2
    shape = (1.0 + 3.6 * columns, 3.5)
    drawn, axes = plt.subplots(1, columns, figsize=shape, squeeze=False, sharex=True)
    left = axes[0, 0]
    values = sorted(set(curve.points["at"]))
    _levels(left, curve.levels, values)
    for method, points in curve.points.groupby("method", sort=False):
        seeds = curve.seeds[curve.seeds["method"] == method]
        _curve(left, points, seeds, colour(method), method_name(method))
    left.set(title="How far does each method come?", ylabel=f"{curve.label}, {curve.place}")
    if columns == 2:
        _differences(axes[0, 1], curve)
    for ax in axes.flat:
        if min(values) > 0:
            ax.set_xscale("log")
        ax.set_xticks(values, [f"{v:g}" for v in values], fontsize=8)
        ax.minorticks_off()
        ax.margins(x=0.12, y=0.12)
        ax.set_xlabel(curve.axis)
        ax.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return drawn


def _levels(ax: Axes, levels: dict[str, float], values: Sequence[float]) -> None:
    for method, value in levels.items():
        ax.axhline(value, color=COLOURS["floor"], lw=1, ls=":")
        ax.text(values[0], value, method_name(method), fontsize=8.5, va="bottom")


def _curve(ax: Axes, points: pd.DataFrame, seeds: pd.DataFrame, shade: str, label: str) -> None:
    """A method's points, pale dots for its seeds, and intervals over three seeds or more (over two
    they are wider than any panel); the best point ringed."""
    there = points.dropna(subset="value")
    ax.plot(there["at"], there["value"], "o-", ms=5, color=shade, label=label)
    failed = points.loc[points["value"].isna(), "at"]
    foot = np.full(len(failed), 0.06)
    ax.plot(failed, foot, "x", ms=7, mew=2, color=shade, transform=ax.get_xaxis_transform())
    several = seeds[seeds["at"].isin(there.loc[there["seeds"] > 1, "at"])]
    ax.plot(several["at"], several["value"], "o", ms=3, alpha=0.5, color=shade)
    for p in there[there["seeds"] > 2].itertuples():
        ax.plot((p.at, p.at), (p.low, p.high), lw=1.5, color=shade)
    top = there.loc[there["value"].idxmax()]
    _ring(ax, top["at"], top["value"], shade)


def _differences(ax: Axes, curve: Curve) -> None:
    first, *others = curve.points["method"].unique()
    ax.axhline(0, color=COLOURS["floor"], lw=1.2)
    for i, method in enumerate(others):
        of = curve.differences[curve.differences["method"] == method]
        shifted = of["at"] * (1 + 0.06 * (i - (len(others) - 1) / 2))
        ax.vlines(shifted, of["low"], of["high"], lw=2.5, color=colour(method))
        ax.plot(
            shifted, of["value"], "o-", ms=6, lw=1, color=colour(method), label=method_name(method)
        )
    ax.set(title="Do they meet?", ylabel=f"minus {method_name(first)}")


def _rows(curve: Curve) -> Figure:
    """A row a method, a shade for each value of the setting, the mean over seeds alone."""
    best, values = curve.best(), sorted(set(curve.points["at"]))
    methods = best["method"].tolist()
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(values)))
    look = {
        value: dict(color=shade, marker=MARKERS[i % len(MARKERS)], ls="")
        for i, (value, shade) in enumerate(zip(values, shades, strict=True))
    }
    drawn, ax = plt.subplots(figsize=(8.2, 1.3 + 0.27 * len(methods)))
    # What lies far below every method's best would press together all that is to be compared.
    tops = [*best["value"], *curve.levels.values()]
    edge = min(tops) - 0.5 * (max(tops) - min(tops))
    for y, method in enumerate(methods):
        points = curve.points[curve.points["method"] == method]
        there = points.dropna(subset="value")
        shown = there["value"].clip(lower=edge)
        ax.plot((shown.min(), shown.max()), (y, y), lw=1, color=COLOURS["floor"], zorder=1)
        for at, value in zip(there["at"], shown, strict=True):
            ax.plot(value, y, ms=5.5, **look[at])
        for at in points.loc[points["value"].isna(), "at"]:
            side = ax.get_yaxis_transform()
            ax.plot(0.02, y, "x", ms=6, mew=2, color=look[at]["color"], transform=side)
        far = ", ".join(f"{v:.2f}" for v in there["value"] if v < edge)
        if far:
            place = dict(textcoords="offset points", ha="right", va="center", fontsize=8.5)
            ax.annotate(f"{far} \N{LEFTWARDS ARROW}", (edge, y), (-6, 0), **place)
        _ring(ax, best["value"][y], y, COLOURS["teacher"])
    for value in values:
        ax.plot([], [], label=f"{value:g}", **look[value])
    ax.set_yticks(range(len(methods)), [method_name(method) for method in methods])
    ax.set(ylim=(len(methods) - 0.4, -0.6), xlabel=curve.label)
    ax.set_title(f"At which {curve.axis} is each method best?", pad=20 if curve.levels else None)
    ax.margins(x=0.1)
    if (curve.points["value"] < edge).any():  # room for the numbers
        ax.set_xlim(left=edge - 0.12 * (best["value"].max() - edge))
    ax.grid(axis="y", visible=False)
    for i, (method, value) in enumerate(sorted(curve.levels.items(), key=lambda item: item[1])):
        ax.axvline(value, color=COLOURS["floor"], lw=1, ls=":")
        ax.text(
            value,
            1.005,
            method_name(method),
            transform=ax.get_xaxis_transform(),
            fontsize=8.5,
            ha="left" if i else "right",
            va="bottom",
        )
    title = f"{curve.axis}; ringed: the best of a method"
    drawn.legend(
        loc="outside lower center",
        ncols=len(values) + 1,
        handletextpad=0.1,
        title=title,
        title_fontsize=9,
        fontsize=9,
    )
    return drawn


def _ring(ax: Axes, x: float, y: float, shade: str) -> None:
    ax.plot(x, y, "o", ms=11, mfc="none", mec=shade, mew=1.5)
