"""Methods side by side: differences to one of them, and means by class."""

from collections.abc import Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.paired import MARGIN, Comparison
from freqkd_lite.results.rows import OVERALL, lines_of, whole
from freqkd_lite.results.summary import figure_text
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import COLOURS, Look, colour, name_rows

PANELS = 6
FEW = (
    *("freqkd_code (lr=0.003)", "freqkd_code (lr=0.001)", "gram (lr=0.001)"),
    *("coherence (lr=0.003)", "projected (lr=0.001)", "none"),
)
"""The methods of `results/distillation` that notebooks 11 and 90 show; the others are folded."""


def near_teacher(found: pd.DataFrame, method: str) -> tuple[float, float] | None:
    """(low, high): a method's divergence from the teacher in the two bands, over seeds."""
    of = found.loc[(found["metric"] == "divergence_band") & (found["method"] == method)]
    return (of["value"].iloc[0], of["value"].iloc[-1]) if len(of) else None


def comparison_figure(
    comparison: Comparison, found: pd.DataFrame, metric: str, few: Sequence[str] | None = None
) -> tuple[Figure, str]:
    """Left, each method (or a `few`) minus the reference with its paired 95 % interval (thin: the
    joint one); right, where it was measured, its divergence from the teacher by band (`found`:
    means)."""
    rows = comparison.means(metric)
    rows = rows if few is None else rows.loc[rows["method"].isin(few)]
    methods, ahead = rows["method"].tolist(), len(rows.loc[rows["value"] > 0])
    methods.insert(ahead, comparison.reference)  # which stands at 0
    near = {m: there for m in methods if (there := near_teacher(found, m))}
    size = (10 if near else 7.5, 1.8 + 0.32 * len(methods))
    ratios = (3, 2) if near else (1,)
    about = Look(figsize=size, sharey=True, width_ratios=ratios, squeeze=False)
    drawn, ((left, *beside),) = plt.subplots(1, len(ratios), **about)
    left.axvline(0, color=COLOURS["floor"], lw=1.2)
    left.plot(0, ahead, "D", ms=7, color=colour(comparison.reference))
    paints, ys = rows["method"].map(colour), rows["method"].map(methods.index)
    first = rows["method"] == comparison.preregistered
    left.hlines(ys, rows["joint_low"], rows["joint_high"], colors=paints, lw=0.8)
    left.hlines(ys, rows["low"], rows["high"], colors=paints, lw=np.where(first, 4.5, 2.5))
    most = rows["seeds"].max()
    notes = ["thin: joint intervals (max-t)"]
    if any(first):
        left.axvline(MARGIN, color=COLOURS["floor"], lw=1.2, ls=":")
        notes.append(f"thick: preregistered; dotted: {MARGIN:g}")
    notes += [f"hollow: fewer than {most} seeds"] * any(rows["seeds"] < most)
    fills = paints.where(rows["seeds"] == most, "white")
    left.scatter(rows["value"], ys, s=49, c=fills, edgecolors=paints, zorder=3)
    below = -0.7 / drawn.get_figheight()  # under the axis' name, however tall the figure is
    for right in beside:
        for method, there in near.items():
            y = methods.index(method)
            right.plot(there, (y, y), color=COLOURS["floor"], lw=1, zorder=1)
            right.scatter(there, (y, y), s=49, c=[COLOURS["low"], COLOURS["high"]])
        for band in ("low", "high"):
            right.plot([], [], "o", color=COLOURS[band], label=f"{band} band")
        right.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2)
        right.grid(axis="y", visible=False)
        right.set(xlabel="divergence, last block", title="How near?")
    notes += ["† added after the first test results"] * bool(comparison.post_hoc)
    note = fill("; ".join(notes), 52)
    left.annotate(note, (0, below), xycoords="axes fraction", va="top", fontsize=8.5)
    name_rows(left, [method_name(m) + " †" * (m in comparison.post_hoc) for m in methods])
    label = f"{NAMES.get(metric, metric)} minus {method_name(comparison.reference)}"
    left.set(xlabel=label, title="Which method helps?")
    left.locator_params(axis="x", nbins=7)
    lines = (f"{method_name(d.method)} {figure_text(d, 3, True)}" for d in lines_of(rows))
    return drawn, f"{label}, with 95 % intervals over images and seeds. {'; '.join(lines)}."


def means_figure(found: pd.DataFrame, seeds: pd.DataFrame, metric: str) -> tuple[Figure, str]:
    """A dot with its 95 % interval for each method, a panel for each class with something to
    compare (the first six), pale dots for single seeds (`seeds`: `frame` of the rows)."""
    chosen = whole(found, metric)
    parts = chosen[["method", "data", "split"]].assign(method=chosen["method"].map(method_name))
    several = [key for key in parts if len(set(chosen[key])) > 1] or ["method"]
    label = parts[several].agg(lambda cells: ", ".join(cells.unique()), axis=1)
    chosen = chosen.assign(label=label, paint=chosen["method"].map(colour))
    names = list(dict.fromkeys(chosen["label"]))
    chosen["y"] = chosen["label"].map(names.index)
    counts = chosen["klass"].value_counts().to_dict()
    classes = sorted(dict.fromkeys(chosen["klass"]), key=lambda k: k not in OVERALL)
    shown = ([k for k in classes if counts[k] > 1] or classes)[:PANELS]
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    lines = -(-len(shown) // columns)
    shape = (2.2 + 2.2 * columns, lines * (0.9 + 0.3 * len(names)))
    drawn, axes = plt.subplots(lines, columns, figsize=shape, squeeze=False, sharey=True)
    about = ["metric", "method", "data", "split", "klass"]
    single = seeds[[*about, "value"]].dropna().merge(chosen[[*about, "y", "paint"]], on=about)
    single = single.loc[single.duplicated(about, keep=False)]
    texts = []
    for ax, klass in zip(axes.flat, shown, strict=False):
        each, of = (table.loc[table["klass"] == klass] for table in (single, chosen))
        ax.scatter(each["value"], each["y"] - 0.22, s=9, c=each["paint"], alpha=0.5)
        ax.hlines(of["y"], of["low"], of["high"], colors=of["paint"], lw=1.5)
        ax.scatter(of["value"], of["y"], s=36, c=of["paint"], zorder=3)
        name_rows(ax, names)
        ax.set_title(klass)
        values = (f"{m.label} {number(m.value, (m.low, m.high))}" for m in lines_of(of))
        texts.append(f"{klass}: {', '.join(values)}")
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    label = NAMES.get(metric, metric)
    drawn.supxlabel(label, fontsize=10.5)
    return drawn, f"{label} by class, with 95 % intervals. {'; '.join(texts)}."
