"""Methods side by side: differences to one of them, and means by class."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.paired import MARGIN, Comparison
from freqkd_lite.results.rows import whole
from freqkd_lite.results.summary import OVERALL, figure_text, labels
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import COLOURS, colour, style

PANELS = 6


def near_teacher(found: pd.DataFrame, method: str) -> tuple[float, float] | None:
    """(low, high): a method's divergence from the teacher in the two bands, over seeds."""
    of = found[(found["metric"] == "divergence_band") & (found["method"] == method)]
    return (of["value"].iloc[0], of["value"].iloc[-1]) if len(of) else None


def comparison_figure(
    comparison: Comparison, found: pd.DataFrame, metric: str
) -> tuple[Figure, str]:
    """Left, each method minus the reference with its paired 95 % interval (thin: the joint one);
    right, its divergence from the teacher by band (`found`: means). With a description."""
    rows = comparison.means(metric)
    ahead = int((rows["value"] > 0).sum())
    methods = rows["method"].tolist()
    methods.insert(ahead, comparison.reference)  # which stands at 0
    style()
    shape = dict(figsize=(10, 1.8 + 0.32 * len(methods)), sharey=True, width_ratios=(3, 2))
    drawn, (left, right) = plt.subplots(1, 2, **shape)
    left.axvline(0, color=COLOURS["floor"], lw=1.2)
    left.axvline(MARGIN, color=COLOURS["floor"], lw=1.2, ls=":")
    left.plot(0, ahead, "D", ms=7, color=colour(comparison.reference))
    most, lines = rows["seeds"].max(), []
    for d in rows.itertuples():
        y, paint = methods.index(d.method), colour(d.method)
        if not math.isnan(d.joint_low):
            left.plot((d.joint_low, d.joint_high), (y, y), lw=0.8, color=paint)
        width = 4.5 if d.method == comparison.preregistered else 2.5
        left.plot((d.low, d.high), (y, y), lw=width, color=paint)
        hollow = "white" if d.seeds < most else None
        left.plot(d.value, y, "o", ms=7, color=paint, mfc=hollow)
        lines.append(f"{method_name(d.method)} {figure_text(d, 3, True)}")
    for y, method in enumerate(methods):
        if near := near_teacher(found, method):
            right.plot(near, (y, y), color=COLOURS["floor"], lw=1)
            for value, band in zip(near, ("low", "high"), strict=True):
                right.plot(value, y, "o", ms=7, color=COLOURS[band])
    for band in ("low", "high"):
        right.plot([], [], "o", color=COLOURS[band], label=f"{band} band")
    below = -0.7 / drawn.get_figheight()  # under the axis' name, however tall the figure is
    right.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2)
    note = (
        f"thin: joint intervals (max-t); thick: preregistered;\nhollow: fewer than {most} seeds; "
    )
    note += f"dotted: {MARGIN:g};\n† added after the first test results"
    left.annotate(note, (0, below), xycoords="axes fraction", va="top", fontsize=8.5)
    ticks = [method_name(m) + " †" * (m in comparison.post_hoc) for m in methods]
    left.set_yticks(range(len(methods)), ticks)
    label = f"{NAMES.get(metric, metric)} minus {method_name(comparison.reference)}"
    left.set(ylim=(len(methods) - 0.5, -0.5), xlabel=label, title="Which method helps?")
    right.set(xlabel="divergence, last block", title="How near?")
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    return drawn, f"{label}, with 95 % intervals over images and seeds. {'; '.join(lines)}."


def means_figure(found: pd.DataFrame, seeds: pd.DataFrame, metric: str) -> tuple[Figure, str]:
    """A dot with its 95 % interval for each method, a panel for each class with something to
    compare (the first six), pale dots for single seeds (`seeds`: `frame` of the rows)."""
    chosen = whole(found, metric)
    chosen = chosen.assign(label=labels(chosen))
    names = list(dict.fromkeys(chosen["label"]))
    counts = chosen["klass"].value_counts()
    classes = sorted(dict.fromkeys(chosen["klass"]), key=lambda k: k not in OVERALL)
    shown = ([k for k in classes if counts[k] > 1] or classes)[:PANELS]
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    lines = -(-len(shown) // columns)
    style()
    shape = (2.2 + 2.2 * columns, lines * (0.9 + 0.3 * len(names)))
    drawn, axes = plt.subplots(lines, columns, figsize=shape, squeeze=False, sharey=True)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    texts = []
    for ax, klass in zip(axes.flat, shown, strict=False):
        of_class = chosen[chosen["klass"] == klass]
        for m in of_class.itertuples():
            y, paint = names.index(m.label), colour(m.method)
            same = (seeds["method"] == m.method) & (seeds["klass"] == klass)
            same &= (seeds["metric"] == metric) & (seeds["split"] == m.split)
            single = seeds.loc[same & (seeds["data"] == m.data), "value"].dropna()
            if len(single) > 1:
                ax.plot(single, np.full(len(single), y - 0.22), "o", ms=3, color=paint, alpha=0.5)
            ax.plot((m.low, m.high), (y, y), lw=1.5, color=paint)
            ax.plot(m.value, y, "o", ms=6, color=paint)
        ax.set(title=klass, ylim=(len(names) - 0.5, -0.6))
        ax.set_yticks(range(len(names)), names)
        ax.grid(axis="y", visible=False)
        values = (f"{m.label} {number(m.value, (m.low, m.high))}" for m in of_class.itertuples())
        texts.append(f"{klass}: {', '.join(values)}")
    label = NAMES.get(metric, metric)
    drawn.supxlabel(label, fontsize=10.5)
    return drawn, f"{label} by class, with 95 % intervals. {'; '.join(texts)}."
