"""Methods, named as in `freqkd_lite.names`, side by side: figures of notebooks 05 to 07."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap.rings import curve_of
from freqkd_lite.names import method_name
from freqkd_lite.results.rows import lines_of
from freqkd_lite.results.text import number
from freqkd_lite.viz import style
from freqkd_lite.viz.style import COLOURS, RHO, colour, listed

ERASED = ("erasing the low band", "erasing the high band")
REGIONS = ("interior", "border", "both", "neither")


def curves_by_method(
    measured: Mapping[str, Resampled], block: int, edges: Sequence[float]
) -> tuple[Figure, str]:
    """Divergence over rho (`gap.levels` over rings of these `edges`) between the teacher on RGB and
    each method on infrared, with 95 % bands."""
    figure, ax = plt.subplots(figsize=(7, 3.8))
    rho, ends = style.centres(edges), []
    style.limits(ax, identical="the teacher itself")
    for method, level in measured.items():
        (value, interval), name = curve_of(level, block), method_name(method)
        style.curve(ax, rho, value, interval, color=colour(method), label=name)
        ends.append(f"{name} from {value[0]:.2f} to {value[-1]:.2f}")
    ax.legend(loc="lower right")
    ax.set(title="Which frequencies did the student learn?", xlabel=RHO, ylim=(-0.04, 1.15))
    ax.set_ylabel(f"divergence from the teacher, block {block}")
    return figure, (
        f"Divergence over rho between the teacher on RGB and each student on infrared, block "
        f"{block}; 0 identical, 1 unrelated. From the slowest to the fastest ring: "
        f"{'; '.join(ends)}."
    )


def dots(
    results: Mapping[str, Resampled],
    classes: Sequence[str],
    title: str,
    xlabel: str,
    seeds: pd.DataFrame,
) -> tuple[Figure, str]:
    """A row for each class and in it each method: this run's score as a dot with its 95 % interval
    over images; where there are `seeds` (`rows.seed_means`), a pale bar with a tick is the interval
    over them with its mean, and this run is the dot alone."""
    rows = len(classes) * len(results)
    many = {(m.method, m.klass): m for m in lines_of(seeds)}
    figure, ax = plt.subplots(figsize=(7, 1.2 + rows * (0.21 if rows < 20 else 0.15)))
    style.name_rows(ax, classes)
    texts = {klass: [] for klass in classes}
    for i, (method, result) in enumerate(results.items()):
        shade = colour(method)
        for row, klass in enumerate(classes):
            y = row + 0.8 * ((i + 0.5) / len(results) - 0.5)
            (value, interval), own = result.figure(klass), many.get((method, klass))
            if own and not np.isnan(own.low):
                ends = own.low, own.high
                ax.plot(ends, (y, y), lw=9, alpha=0.3, solid_capstyle="butt", color=shade)
                ax.plot(own.value, y, "|", ms=9, mew=1.5, color=shade)
            if value is not None:
                ax.plot(value, y, "o", ms=6, color=shade)
            if interval and not own:
                ax.plot(interval, (y, y), lw=1.5, color=shade)
            texts[klass].append(f"{method_name(method)} {number(value, interval)}")
        ax.plot([], [], "o-", label=method_name(method), color=shade)
    if many:
        look = style.Look(color=(0, 0, 0, 0.3), mec="black", lw=9, ms=9, mew=1.5)
        ax.plot([], [], "|-", label="mean and interval over seeds", **look)
    style.legend_below(figure, ax, 4)
    ax.set(title=title, xlabel=xlabel)
    ax.set_xlim(left=0)
    numbers = "; ".join(f"{klass}: {', '.join(each)}" for klass, each in texts.items())
    return figure, f"{xlabel}, by class and method, with 95 % intervals. {numbers}."


def band_curves(
    by_band: Mapping[str, Mapping[str, Sequence[Resampled]]],
    cutoffs: Sequence[float],
    whole: Mapping[str, Resampled],
    at: float,
    method: str,
    guess: str | None = None,
) -> tuple[Figure, str]:
    """AP of what sees one band only, against the cutoff, with 95 % bands: `by_band` by reader
    ("detector", "probe") and band ("low", "high"), `whole` the reader's result on both bands. A
    dashed arrow marks the curve that the guess expects to be the lower one at the cutoff `at`."""
    figure, axes = plt.subplots(1, len(by_band), figsize=(7, 3.5), squeeze=False)
    texts = []
    for ax, (reader, bands) in zip(axes[0], by_band.items(), strict=True):
        both = whole[reader].estimates["mean"]
        ax.axhline(both, color=COLOURS["floor"], lw=1.2, label="both bands")
        ax.axvline(at, color=COLOURS["floor"], ls=":")
        for band, results in bands.items():
            values, spans = zip(*(result.figure() for result in results), strict=True)
            name, interval = f"{band} band only", zip(*spans, strict=True)
            style.curve(ax, cutoffs, values, interval, color=COLOURS[band], label=name)
            texts.append(f"{reader}, {name}, {listed(values)}")
            erased = ERASED[band == "low"]  # what is erased where only this band is left
            if guess == erased and at in cutoffs and ax is axes[0, 0]:
                arrow = dict(arrowstyle="->", ls="--", color=COLOURS["guess"])
                look = dict(textcoords=("data", "axes fraction"), arrowprops=arrow, fontsize=9.5)
                point = (at, values[list(cutoffs).index(at)])
                ax.annotate("your guess:\nthe lower one", point, (at + 0.12, 0.5), **look)
        ax.set(xlabel="cutoff, rho", ylim=(0, None))
        ax.set_title(f"a {reader}", fontweight="normal")
    axes[0, 0].set_ylabel("AP")
    style.headline(figure, f"Which band is read? Features: {method_name(method)}")
    style.legend_below(figure, axes[0, 0], 3)
    both = ", ".join(f"{reader} {number(*of.figure())}" for reader, of in whole.items())
    return figure, (
        f"Average precision on features of {method_name(method)} against the cutoff in rho, at "
        f"{listed(cutoffs)}: {'; '.join(texts)}. With both bands: {both}."
    )


def border_curves(
    distances: Mapping[str, Resampled], classes: Sequence[str], guess: str | None = None
) -> tuple[Figure, str]:
    """Mean IoU over `classes` by distance from the border, for each method (`by_distance`); the
    guessed regions are framed, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.4))
    rings = list(next(iter(distances.values())).estimates)
    texts = []
    for i, (method, result) in enumerate(distances.items()):
        values = np.array([*result.estimates.values()], float)
        x = np.arange(len(rings)) + 0.07 * (i - (len(distances) - 1) / 2)
        ax.vlines(x, *zip(*result.interval.values(), strict=True), color=colour(method), lw=1.5)
        style.curve(ax, x, values, color=colour(method), label=method_name(method))
        texts.append(f"{method_name(method)} {listed(values)}")
    framed = {"border": (0,), "interior": (len(rings) - 1,), "both": (0, len(rings) - 1)}
    if guess:
        for k in framed.get(guess, ()):
            ax.axvspan(k - 0.3, k + 0.3, fill=False, ls="--", lw=1.5, color=COLOURS["guess"])
        ax.text(0.5, 0.96, f"your guess: {guess}", ha="center", transform=ax.transAxes)
    ticks = [ring.removesuffix("px").replace("-inf", " and more") for ring in rings]
    ax.set_xticks(range(len(rings)), ticks)
    style.legend_below(figure, ax, 4)
    ax.set(title="Regions or borders?", ylabel="mean IoU", xlim=(-0.5, len(rings) - 0.5))
    ax.set_xlabel("distance from the nearest border, px")
    return figure, (
        f"Mean IoU over {', '.join(classes)} by distance from the border in pixels "
        f"({', '.join(ticks)}): {'; '.join(texts)}."
    )
