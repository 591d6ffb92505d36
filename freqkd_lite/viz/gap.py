"""Figures of the gap: divergence against frequency, and its controls.

Each figure comes with its description for readers who can't see it: `show(*curves(...))`.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from torch import Tensor

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.evaluate.stats import percentiles
from freqkd_lite.gap.controls import CONTROLS
from freqkd_lite.gap.rings import BAND_EDGES, EDGES, SHAPES, Levels
from freqkd_lite.gap.study import PICTURES, Gap
from freqkd_lite.gap.tables import select
from freqkd_lite.names import NAMES
from freqkd_lite.results.gap_tables import rings_by_block, shifts
from freqkd_lite.results.rows import Row
from freqkd_lite.results.text import number
from freqkd_lite.spectrum import CORNER
from freqkd_lite.viz.style import COLOURS

RHO = "rho: 1 is the fastest change along an axis of tokens"


def shape_curve(shape: str, rho: np.ndarray) -> np.ndarray:
    """Divergence at rho of a sketch of one of `SHAPES`."""
    if shape not in SHAPES:
        raise unknown("sketch", shape, SHAPES)
    sketched = (
        0.7 + 0 * rho,
        0.9 - 0.6 * np.exp(-2 * rho),
        np.where(rho <= 0.5, 0.35, 0.85),
        0.3 + 0.6 * np.exp(-2 * rho),
    )
    return sketched[SHAPES.index(shape)]


def sketches() -> tuple[Figure, str]:
    """The four candidate curves to guess from."""
    figure, axes = plt.subplots(1, 4, figsize=(7, 1.75), sharey=True)
    rho = np.linspace(0, 1.41, 300)
    for ax, shape in zip(axes, SHAPES, strict=True):
        ax.plot(rho, shape_curve(shape, rho), color=COLOURS["guess"], ls="--")
        ax.set_title(shape, fontsize=9.5, fontweight="normal")
        ax.set(ylim=(0, 1.05), xticks=(0, 0.5, 1), yticks=(0, 1), xlabel="rho")
    axes[0].set_yticklabels(("identical", "unrelated"))
    return figure, "Four sketches of divergence against rho. " + "; ".join(SHAPES) + "."


def block_colours(blocks: Sequence[int]) -> np.ndarray:
    """A colour a block, from the first one, dark, to the last, light."""
    return plt.get_cmap("viridis")(np.linspace(0, 0.85, len(blocks)))


def centres(edges: Sequence[float]) -> np.ndarray:
    """The middle of each ring between the edges."""
    return (np.array(edges[1:]) + np.array(edges[:-1])) / 2


def limits(ax: Axes, words: bool = True, identical: str = "identical") -> None:
    """Lines at divergence 0 and 1, with what they mean."""
    for level, word in ((0, identical), (1, "unrelated")):
        ax.axhline(level, color=COLOURS["floor"], lw=1.2)
        if words:
            ax.text(0.02, level + 0.02, word, fontsize=9, transform=ax.get_yaxis_transform())


def kinds_of_pairs(pictures: dict[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """The two pictures (3, H, W) of each kind of pair, one above the other."""
    figure, axes = plt.subplots(2, len(pictures), figsize=(7, 3), squeeze=False)
    for column, (name, pair) in zip(axes.T, pictures.items(), strict=True):
        for ax, picture in zip(column, pair, strict=True):
            ax.imshow(picture.permute(1, 2, 0).clamp(0, 1))
            ax.set_axis_off()
        column[0].set_title(NAMES[name], fontsize=9.5, fontweight="normal")
    kinds = ", ".join(NAMES[name] for name in pictures)
    return figure, f"The two pictures of a pair of each kind: {kinds}."


def curves(
    measured: Levels,
    blocks: Sequence[int],
    pixels: Tensor,
    power: dict[str, tuple[Tensor, Tensor]],
    raw: Tensor,
    patch: int,
    guess: str | None = None,
    edges: Sequence[float] = EDGES,
) -> tuple[Figure, str]:
    """Notebook 01: divergence against rho by block (with 95 % bands) and of the `pixels` (rings,)
    at the same frequencies; below it the pictures' `power` (name -> `radial_power` over rho of
    pixels) and raw MSE per bin `raw` (blocks, rings)."""
    figure, axes = plt.subplot_mosaic("aa;bc", figsize=(7, 6.4), height_ratios=(1.5, 1))
    rho, top = centres(edges), axes["a"]
    limits(top)
    if guess:
        fine = np.linspace(rho[0], rho[-1], 200)
        label = f"your guess, {guess}"
        top.plot(fine, shape_curve(guess, fine), color=COLOURS["guess"], ls="--", label=label)
    top.plot(rho, pixels, color=COLOURS["none"], ls=":", marker=".", label="pixels")
    for i, (block, colour) in enumerate(zip(blocks, block_colours(blocks), strict=True)):
        line = dict(color=colour, marker="o", ms=4)
        top.plot(rho, measured.value[i], label=f"features, block {block}", **line)
        top.fill_between(rho, *measured.interval[:, i], color=colour, alpha=0.15, lw=0)
        axes["c"].plot(rho, raw[i] / raw[i, 0], **line)
    top.legend(loc="lower right", fontsize=9)
    highest = max(1.12, float(pixels.max()) + 0.05)
    top.set(title="Where do RGB and infrared differ?", ylabel="divergence", xlabel=RHO)
    top.set_ylim(-0.04, highest)
    for name, (at, values) in power.items():
        seen = values.isfinite()
        axes["b"].loglog(at[seen] / 2, values[seen], color=COLOURS[name], label=NAMES[name])
    axes["b"].legend(loc="upper right", fontsize=9)
    axes["b"].axvline(0.5 / patch, color=COLOURS["floor"], ls=":")
    axes["b"].annotate(
        "limit of\ntokens",
        (0.5 / patch, 0.04),
        (-4, 0),
        ha="right",
        fontsize=9,
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
    )
    axes["b"].set(title="Power of the pictures", xlabel="cycles per pixel", ylabel="power per bin")
    axes["c"].set(title="Raw MSE", xlabel="rho", yscale="log", ylabel="MSE per bin, relative")
    ends = [
        f"block {b} {number(float(v[0]))} to {number(float(v[-1]))}, raw MSE x {r[-1] / r[0]:.2g}"
        for b, v, r in zip(blocks, measured.value, raw, strict=True)
    ]
    ends.append(f"pixels {number(float(pixels[0]))} to {number(float(pixels[-1]))}")
    return figure, (
        "Divergence and raw MSE against rho, and power spectra of the pictures. Slowest to fastest "
        f"ring: {'; '.join(ends)}."
    )


def dumbbell(measured: dict[str, Levels], guess: str | None = None) -> tuple[Figure, str]:
    """Notebook 03: low and high level of each control over `BAND_EDGES` (mean over blocks) with
    95 % whiskers, and their ratio at the side; the guessed row is framed, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.3))
    described = []
    for y, (name, level) in enumerate(measured.items()):
        mean, (ratio, draws) = level.mean(), level.ratio()
        ends = [float(mean.value[0, ring]) for ring in (0, -1)]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=4, zorder=1, solid_capstyle="round")
        for band, ring, at in zip(("low", "high"), (0, -1), ends, strict=True):
            ax.plot(mean.interval[:, 0, ring], (y, y), color=COLOURS[band], lw=1.5, marker="|")
            ax.plot(at, y, "o", ms=9, color=COLOURS[band])
            if not y:
                side = "right" if at == min(ends) else "left"
                ax.text(at, -0.5, band, color=COLOURS[band], ha=side, fontweight="bold")
        low, high = percentiles(draws)
        ax.text(1.1, y, f"{ratio:.1f}x", va="center", fontweight="bold")
        ax.text(1.27, y, f"[{low:.2f}, {high:.2f}]", va="center", fontsize=9)
        if guess == NAMES[name]:
            frame = dict(fill=False, ls="--", lw=1.5, color=COLOURS["guess"], clip_on=False)
            ax.axhspan(y - 0.4, y + 0.4, **frame)
        described.append(f"{NAMES[name]} low {ends[0]:.2f}, high {ends[1]:.2f}, ratio {ratio:.1f}")
    for at, word in ((0, "identical"), (1, "unrelated")):
        ax.axvline(at, color=COLOURS["floor"], lw=1, zorder=0)
        ax.text(at, len(measured) - 0.45, word, ha="center", fontsize=9)
    ax.text(1.1, -0.6, "high / low", fontsize=9)
    ax.set(title="Is the gap about infrared?", xlabel="divergence, mean over blocks")
    ax.set(ylim=(len(measured) - 0.3, -0.8), xlim=(-0.08, 1.54), xticks=np.linspace(0, 1, 6))
    ax.set_yticks(range(len(measured)), [NAMES[name] for name in measured])
    ax.grid(axis="y", visible=False)
    return figure, f"Divergence in two bands by kind of pair. {'; '.join(described)}."


def scenes_against_pairs(rows: Sequence[Row], time: str = "all") -> tuple[Figure, str]:
    """DINOv2's divergence on rendered scenes over that on real pairs, a panel a block, from the
    rows that tools/scenes_gap.py wrote; `time` is "all", "day" or "night"."""
    sets = {"msrs": ("real pairs (MSRS)", "real", "o"), "scenes": ("scenes", "none", "s")}
    table = {name: rings_by_block(rows, name, time) for name in sets}
    blocks = sorted(table["msrs"])
    if not blocks or blocks != sorted(table["scenes"]):
        raise UserError("The scenes_gap rows lack a data set: run tools/scenes_gap.py again.")
    figure, axes = plt.subplots(1, len(blocks), figsize=(7, 2.9), sharey=True, squeeze=False)
    described = []
    for ax, block in zip(axes[0], blocks, strict=True):
        limits(ax, words=ax is axes[0, 0])
        for name, (label, colour, marker) in sets.items():
            value, low, high = np.array([(r.value, *r.interval) for r in table[name][block]]).T
            line = dict(marker=marker, ms=4, color=COLOURS[colour], label=label)
            ax.plot(centres(EDGES), value, **line)
            ax.fill_between(centres(EDGES), low, high, color=COLOURS[colour], alpha=0.2, lw=0)
            described.append(f"block {block}, {label}: {value[0]:.2f} to {value[-1]:.2f}")
        ax.set(title=f"block {block}", xlabel="rho", ylim=(-0.04, 1.15), xticks=(0, 0.5, 1))
    axes[0, 0].set_ylabel("divergence")
    title = "Do scenes differ as real pairs do? (DINOv2 ViT-S/14)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure, f"Divergence against rho, slowest to fastest ring. {'; '.join(described)}."


def by_block(gap: Gap) -> tuple[Figure, str]:
    """Normalised divergence against rho, a line a block with its 95 % band; mismatched pairs are
    dashed and pale."""
    figure, ax = plt.subplots(figsize=(7, 4))
    limits(ax)
    for level, inner, outer in (("low", *BAND_EDGES[:2]), ("high", *BAND_EDGES[2:])):
        ax.axvspan(inner, outer, color=COLOURS[level], alpha=0.1, lw=0, label=f"{level} band")
    blocks, described = gap.about["blocks"], []
    for block, colour in zip(blocks, block_colours(blocks), strict=True):
        pale, real = (select(gap.rings, control=c, block=block) for c in ("mismatched", "real"))
        draw_curve(ax, pale, color=colour, alpha=0.3, lw=1.5, ls="--")
        described += draw_curve(ax, real, f"block {block}", color=colour, marker="o", ms=4)
    if "mismatched" in gap.controls:
        pale = dict(color="black", alpha=0.4, lw=1.5, ls="--")
        ax.plot([], [], label=NAMES["mismatched"], **pale)
    ax.set(title="Where do RGB and infrared differ?", xlabel=RHO, ylabel="divergence")
    ax.set(xlim=(0, CORNER), ylim=(-0.04, max(1.12, ax.get_ylim()[1])))
    ax.legend(loc="lower right", fontsize=9)
    return figure, f"Divergence against rho, slowest to fastest ring. {'; '.join(described)}."


def draw_curve(ax: Axes, rows: DataFrame, name: str | None = None, **look: object) -> list[str]:
    """Draw `value` against the middle of `rho`, where the line has a `name` with its band of
    intervals; the line's ends as text."""
    rows = rows[rows["value"].notna()]
    if not len(rows):
        return []
    rho, value = [sum(edges) / 2 for edges in rows["rho"]], rows["value"].tolist()
    ax.plot(rho, value, label=name, **look)
    if name is None:
        return []
    if rows["interval"].notna().all():
        low, high = zip(*rows["interval"], strict=True)
        ax.fill_between(rho, low, high, color=look["color"], alpha=0.15, lw=0)
    return [f"{name} from {value[0]:.2f} to {value[-1]:.2f}"]


def shift_figure(gap: Gap) -> tuple[Figure, str]:
    """Divergence of RGB against itself over the shift in pixels, a panel a band, with the levels of
    real, aligned and mismatched pairs as lines. Where real pairs lie above the curve, no shift
    explains them."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    curve, described = shifts(gap), []
    pixels = [p for p, _ in curve]
    for ax, level in zip(axes, ("low", "high"), strict=True):
        values = [entry[level] for _, entry in curve]
        low, high = zip(*(entry[f"{level}_interval"] for _, entry in curve), strict=True)
        colour = COLOURS["visible"]
        ax.fill_between(pixels, low, high, color=colour, alpha=0.2, lw=0)
        line = dict(marker="o", ms=4, color=colour, label="RGB against itself, shifted")
        ax.plot(pixels, values, **line)
        described += [f"{p} px {v:.2f}" for p, v in zip(pixels, values, strict=True)]
        for name, dashes in (("mismatched", ":"), ("real", "-"), ("aligned", "--")):
            entry = gap.level(name)
            if entry is None:
                continue
            colour = COLOURS["mismatched" if name == "mismatched" else "real"]
            ax.axhline(entry[level], color=colour, ls=dashes, lw=1.8, label=NAMES[name])
            if name == "real":
                ax.axhspan(*entry[f"{level}_interval"], color=colour, alpha=0.2, lw=0)
            described.append(f"{NAMES[name]} {entry[level]:.2f}")
        described[-1] += f" ({level} band)"
        ax.set(title=f"{level} band", xlabel="shift in pixels", xticks=pixels)
        ax.set_ylim(-0.04, max(1.12, *values))
    axes[0].set_ylabel("divergence, mean over blocks")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=9)
    return figure, f"Divergence of RGB against itself over a shift. {'; '.join(described)}."


def controls_figure(gap: Gap) -> tuple[Figure, str]:
    """Low and high level of every control with 95 % whiskers, and the ratio at the side. Those that
    compare RGB with itself are below the others."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for name in gap.controls:
        groups[name not in CONTROLS or CONTROLS[name].infrared].append(name)
    names, first = groups[True] + groups[False], len(groups[True])
    figure, ax = plt.subplots(figsize=(7, 1.2 + 0.3 * len(names)))
    described, places = [], [i + (i >= first) for i in range(len(names))]
    for y, name in zip(places, names, strict=True):
        entry = gap.level(name)
        ends = [entry[level] for level in ("low", "high")]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=3, zorder=1, solid_capstyle="round")
        for level, at in zip(("low", "high"), ends, strict=True):
            ax.plot(entry[f"{level}_interval"], (y, y), color=COLOURS[level], lw=1.5)
            ax.plot(at, y, "o", ms=6, color=COLOURS[level], label=None if y else level)
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.1f}x"
        ax.text(1.02, y, ratio, va="center", fontsize=9, transform=ax.get_yaxis_transform())
        described.append(f"{NAMES.get(name, name)} {ends[0]:.2f}, {ends[1]:.2f} {ratio}".strip())
    side = dict(fontsize=9, transform=ax.get_yaxis_transform())
    if groups[False]:
        ax.axhline(first, color=COLOURS["floor"], lw=0.8)
        ax.text(0.99, first + 0.1, "below: RGB with itself", ha="right", va="top", **side)
    ax.set(title="Which pairs have a gap, and how large?", ylim=(places[-1] + 0.5, -0.8))
    ax.set_xlabel("divergence, mean over blocks: 0 identical, 1 unrelated")
    ax.set_yticks(places, [NAMES.get(name, name) for name in names])
    ax.text(1.02, -0.8, "high / low", **side)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    ax.grid(axis="y", visible=False)
    return figure, f"Divergence in the low and the high band. {'; '.join(described)}."


def spectra(gap: Gap) -> tuple[Figure, str]:
    """Left, over rho of pixels, the pictures' power and, below it, the coherence of RGB and
    infrared; right, over rho of tokens, the coherence of each block's features, with that of
    mismatched pairs dotted."""
    figure, axes = plt.subplot_mosaic("ac;bc", figsize=(7, 4.4), height_ratios=(1.3, 1))
    power, pictures, features = (axes[k] for k in "abc")
    for modality in ("visible", "infrared"):
        rows = select(gap.power, modality=modality)
        rows = rows[[bool(value) for value in rows["value"]]]  # of an empty ring there is no log
        draw_curve(power, rows, NAMES[modality], color=COLOURS[modality])
    power.set(xscale="log", yscale="log", title="Power of the pictures", ylabel="power per bin")
    power.legend(fontsize=9)
    rows = select(gap.coherence, control=PICTURES)
    described = draw_curve(pictures, rows, "pictures", color=COLOURS["none"])
    pictures.set(xscale="log", xlim=power.get_xlim(), xlabel="rho of pixels")
    pictures.set_title("Coherence of the pictures")
    blocks = gap.about["blocks"]
    for block, colour in zip(blocks, block_colours(blocks), strict=True):
        own, other = (select(gap.coherence, control=c, block=block) for c in ("real", "mismatched"))
        described += draw_curve(features, own, f"block {block}", color=colour)
        draw_curve(features, other, color=colour, ls=":", lw=1.2)
    features.plot([], [], color="black", ls=":", lw=1.2, label=NAMES["mismatched"])
    features.set(title="Coherence of features", xlabel="rho of tokens")
    features.legend(fontsize=9)
    for ax in (pictures, features):
        ax.set(ylim=(-0.08, 1.02), ylabel="coherence")
    return figure, f"Power of the pictures, and coherence against rho: {'; '.join(described)}."
