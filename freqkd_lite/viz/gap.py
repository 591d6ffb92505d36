"""Figures of the gap: divergence against frequency, and its controls."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from torch import Tensor

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap.controls import CONTROLS
from freqkd_lite.gap.rings import BAND_EDGES, EDGES, SHAPES, curve_of
from freqkd_lite.gap.study import PICTURES, Gap
from freqkd_lite.gap.tables import as_entry, select
from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.gap_tables import ENDS, rings_by_block, shifts
from freqkd_lite.results.rows import Row, frame
from freqkd_lite.results.text import number
from freqkd_lite.spectrum import CORNER
from freqkd_lite.viz import style
from freqkd_lite.viz.bands import picture_grid
from freqkd_lite.viz.style import COLOURS, RHO, Look, centres, limits, shades


def shape_curve(shape: str, rho: np.ndarray) -> np.ndarray:
    """Divergence at rho of a sketch of one of `SHAPES`."""
    check_known("sketch", SHAPES, shape)
    sketched = (
        0.7 + 0 * rho,
        0.3 + 0.45 * rho,
        np.where(rho <= 0.5, 0.35, 0.85),
        0.85 - 0.5 / (1 + np.exp((rho - 0.18) / 0.02)),
        0.3 + 0.6 * np.exp(-2 * rho),
    )
    return sketched[SHAPES.index(shape)]


def kinds_of_pairs(pictures: dict[str, tuple[Tensor, Tensor]]) -> tuple[Figure, str]:
    """Both pictures (3, H, W) of each kind of pair, in a column, all as wide as the narrowest."""
    width = min(picture.shape[-1] for pair in pictures.values() for picture in pair)
    columns = {NAMES[k]: [x[..., :width] for x in pair] for k, pair in pictures.items()}
    figure, _ = picture_grid(columns)
    return figure, f"The two pictures of a pair of each kind: {', '.join(columns)}."


def curves(
    measured: Resampled,
    blocks: Sequence[int],
    pixels: Tensor,
    power: dict[str, tuple[Tensor, Tensor]],
    raw: Tensor,
    patch: int,
    guess: str | None = None,
    edges: Sequence[float] = EDGES,
) -> tuple[Figure, str]:
    """Notebook 01: divergence against rho by block (`levels`), with 95 % bands, and of the `pixels`
    (rings,) at the same frequencies; below it the pictures' `power` (name -> `radial_power` over
    rho of pixels) and raw MSE per bin `raw` (blocks, rings)."""
    figure, axes = plt.subplot_mosaic("aa;bc", figsize=(7, 6.4), height_ratios=(1.5, 1))
    rho, (top, left, right) = centres(edges), axes.values()
    limits(top)
    _shade_bands(top)
    if guess:
        fine = np.linspace(rho[0], rho[-1], 200)
        label = f"your guess, {guess}"
        top.plot(fine, shape_curve(guess, fine), color=COLOURS["guess"], ls="--", label=label)
    top.plot(rho, pixels, color=COLOURS["none"], ls=":", marker=".", label="pixels")
    ends = []
    for i, (block, colour) in enumerate(zip(blocks, shades(len(blocks)), strict=True)):
        (value, interval), label = curve_of(measured, block), f"features, block {block}"
        style.curve(top, rho, value, interval, color=colour, label=label)
        style.curve(right, rho, raw[i] / raw[i, 0], color=colour)
        first, last = number(value[0]), number(value[-1])
        ends.append(f"block {block} {first} to {last}, raw MSE x {raw[i, -1] / raw[i, 0]:.2g}")
    ends.append(f"pixels {number(float(pixels[0]))} to {number(float(pixels[-1]))}")
    top.legend(loc="lower right")
    top.set(title="Where do RGB and infrared differ?", ylabel="divergence", xlabel=RHO)
    top.set_ylim(-0.04, max(1.12, float(pixels.max()) + 0.05))
    for name, (at, values) in power.items():
        seen = values.isfinite()
        left.loglog(at[seen] / 2, values[seen], color=COLOURS[name], label=NAMES[name])
    left.axvline(0.5 / patch, color=COLOURS["floor"], ls=":", label="limit of tokens")
    left.legend()
    left.set(title="Power of the pictures", xlabel="cycles per pixel", ylabel="power per bin")
    right.set(title="Raw MSE", xlabel="rho", yscale="log", ylabel="MSE per bin, relative")
    return figure, (
        "Divergence and raw MSE against rho, and power spectra of the pictures. Slowest to fastest "
        f"ring: {'; '.join(ends)}."
    )


def dumbbell(measured: dict[str, Resampled], guess: str | None = None) -> tuple[Figure, str]:
    """Notebook 03: low and high level of each control (`band_levels`) with 95 % whiskers,
    and their ratio at the side; the guessed row is framed, dashed."""
    rows = {name: as_entry(level) for name, level in measured.items()}
    figure, ax, described = _control_rows(rows, range(len(rows)))
    for y, name in enumerate(measured):
        if guess == NAMES[name]:
            look = Look(fill=False, ls="--", lw=1.5, color=COLOURS["guess"], clip_on=False)
            ax.axhspan(y - 0.4, y + 0.4, **look)
    ax.set_title("Is that gap about infrared?")
    return figure, f"Divergence in two bands by kind of pair. {described}."


def controls_figure(gap: Gap) -> tuple[Figure, str]:
    """Low and high level of every control with 95 % whiskers, and the ratio at the side. Those that
    compare RGB with itself are below the others."""
    same = {name for name in gap.controls if name in CONTROLS and not CONTROLS[name].infrared}
    names = sorted(gap.controls, key=lambda name: name in same)
    rows = {name: row for name in names if (row := gap.level(name))}
    first = len(rows) - len(same)
    places = [y + (y >= first) for y in range(len(rows))]
    figure, ax, described = _control_rows(rows, places)
    if same:
        ax.axhline(first, color=COLOURS["floor"], lw=0.8)
        side = Look(ha="right", va="top", transform=ax.get_yaxis_transform())
        ax.text(0.99, first + 0.1, "below: RGB with itself", fontsize=9, **side)
    ax.set_title("Which pairs have a gap, and how large?")
    return figure, f"Divergence in the low and the high band. {described}."


def _control_rows(rows: dict[str, dict], places: Sequence[int]) -> tuple[Figure, Axes, str]:
    """One row per control, as in `Gap.level`, at the height given by `places`."""
    figure, ax = plt.subplots(figsize=(7, 1.3 + 0.32 * len(rows)))
    side = Look(fontsize=9, va="center", transform=ax.get_yaxis_transform())
    described = []
    for y, (name, row) in zip(places, rows.items(), strict=True):
        ends = [row[level] for level in ENDS]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=3, zorder=1, solid_capstyle="round")
        for level in ENDS:
            ax.plot(row[f"{level}_interval"], (y, y), color=COLOURS[level], lw=1.5)
            label = None if y else level
            ax.plot(row[level], y, "o", ms=7, color=COLOURS[level], label=label)
        ratio = number(row["ratio"], row["interval"])
        ax.text(1.02, y, ratio, **side)
        described.append(f"{method_name(name)} {style.listed(ends)}, ratio {ratio}")
    style.name_rows(ax, list(map(method_name, rows)), places)
    for level in (0, 1):
        ax.axvline(level, color=COLOURS["floor"], lw=1, zorder=0)
    ax.text(1.02, -0.75, "high / low", **side)
    ax.set_xlabel("divergence, mean over blocks: 0 identical, 1 unrelated")
    style.legend_below(figure, ax)
    return figure, ax, "; ".join(described)


def block_panels(
    blocks: Sequence[int], title: str, ylabel: str, identical: str = "identical"
) -> tuple[Figure, Sequence[Axes]]:
    """An empty panel of divergence against rho for each block, under one title."""
    figure, axes = plt.subplots(1, len(blocks), figsize=(7, 3), sharey=True, squeeze=False)
    for ax, block in zip(axes[0], blocks, strict=True):
        limits(ax, words=ax is axes[0, 0], identical=identical)
        ax.set(title=f"block {block}", xlabel="rho", ylim=(-0.04, 1.15))
        ax.set(xlim=(0, CORNER), xticks=(0, 0.5, 1))
    axes[0, 0].set_ylabel(ylabel)
    style.headline(figure, title)
    return figure, axes[0]


def scenes_against_pairs(rows: Sequence[Row]) -> tuple[Figure, str]:
    """DINOv2's divergence on rendered scenes over that on real pairs, one panel per block, from the
    rows that tools/scenes_gap.py wrote."""
    sets = {"msrs": ("real pairs (MSRS)", "real", "o"), "scenes": ("scenes", "none", "s")}
    table = {name: rings_by_block(rows, name) for name in sets}
    blocks = sorted(table["msrs"])
    if not blocks or blocks != sorted(table["scenes"]):
        raise UserError("The scenes_gap rows lack a data set: run tools/scenes_gap.py again.")
    title = "Do scenes differ as real pairs do? (DINOv2 ViT-S/14)"
    figure, axes = block_panels(blocks, title, "divergence")
    described = []
    for ax, block in zip(axes, blocks, strict=True):
        for name, (label, colour, marker) in sets.items():
            value, *interval = frame(table[name][block])[["value", "low", "high"]].to_numpy().T
            look = dict(marker=marker, color=COLOURS[colour], label=label)
            style.curve(ax, centres(EDGES), value, interval, **look)
            described.append(f"block {block}, {label}: {value[0]:.2f} to {value[-1]:.2f}")
    style.legend_below(figure, axes[0])
    return figure, f"Divergence against rho, slowest to fastest ring. {'; '.join(described)}."


def by_block(gap: Gap) -> tuple[Figure, str]:
    """Normalised divergence over rho, a line per block, 95 % bands; mismatched pairs are dashed."""
    figure, ax = plt.subplots(figsize=(7, 4))
    limits(ax)
    _shade_bands(ax)
    blocks, described = gap.about["blocks"], []
    for block, colour in zip(blocks, shades(len(blocks)), strict=True):
        pale, real = (select(gap.rings, control=c, block=block) for c in ("mismatched", "real"))
        draw_curve(ax, pale, color=colour, marker="", alpha=0.3, lw=1.5, ls="--")
        described += draw_curve(ax, real, f"block {block}", color=colour)
    if "mismatched" in gap.controls:
        ax.plot([], [], label=NAMES["mismatched"], color="black", alpha=0.4, lw=1.5, ls="--")
    ax.set(title="Where do RGB and infrared differ?", xlabel=RHO, ylabel="divergence")
    ax.set(xlim=(0, CORNER), ylim=(-0.04, max(1.12, ax.get_ylim()[1])))
    ax.legend(loc="lower right")
    return figure, f"Divergence against rho, slowest to fastest ring. {'; '.join(described)}."


def _shade_bands(ax: Axes) -> None:
    """The bands whose levels and ratios are printed."""
    for level, inner, outer in (("low", *BAND_EDGES[:2]), ("high", *BAND_EDGES[2:])):
        ax.axvspan(inner, outer, color=COLOURS[level], alpha=0.1, lw=0, label=f"{level} band")


def draw_curve(ax: Axes, rows: DataFrame, name: str | None = None, **look: Any) -> list[str]:
    """Draw `value` against the middle of `rho`, where the line has a `name` with its band of
    intervals; the line's ends as text."""
    rows = rows.dropna(subset="value")
    if rows.empty:
        return []
    rho, value = [sum(edges) / 2 for edges in rows["rho"]], rows["value"].tolist()
    interval = None
    if name and all(rows["interval"].notna()):
        interval = zip(*rows["interval"], strict=True)
    style.curve(ax, rho, value, interval, label=name, **look)
    return [f"{name} from {value[0]:.2f} to {value[-1]:.2f}"] if name else []


def shift_figure(gap: Gap) -> tuple[Figure, str]:
    """Divergence of RGB against itself over the shift in pixels, one panel per band, with the
    levels of real, aligned and mismatched pairs as lines. Where real pairs lie above the curve, no
    shift explains them."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    pixels, rows = zip(*shifts(gap), strict=True)
    described, label = [], "RGB against itself, shifted"
    for ax, level in zip(axes, ENDS, strict=True):
        values = [row[level] for row in rows]
        interval = zip(*(row[f"{level}_interval"] for row in rows), strict=True)
        style.curve(ax, pixels, values, interval, color=COLOURS["visible"], label=label)
        described += [f"{p} px {v:.2f}" for p, v in zip(pixels, values, strict=True)]
        for name, dashes in (("mismatched", ":"), ("real", "-"), ("aligned", "--")):
            if not (row := gap.level(name)):
                continue
            colour = COLOURS["mismatched" if name == "mismatched" else "real"]
            ax.axhline(row[level], color=colour, ls=dashes, lw=1.8, label=NAMES[name])
            if name == "real":
                ax.axhspan(*row[f"{level}_interval"], color=colour, alpha=0.2, lw=0)
            described.append(f"{NAMES[name]} {row[level]:.2f}")
        described[-1] += f" ({level} band)"
        ax.set(title=f"{level} band", xlabel="shift in pixels", xticks=pixels)
        ax.set_ylim(-0.04, max(1.12, *values))
    axes[0].set_ylabel("divergence, mean over blocks")
    style.legend_below(figure, axes[0])
    return figure, f"Divergence of RGB against itself over a shift. {'; '.join(described)}."


def spectra(gap: Gap) -> tuple[Figure, str]:
    """Left, over rho of pixels, the pictures' power and the coherence of RGB and infrared; right,
    over rho of tokens, that of each block's features; mismatched pairs dotted."""
    figure, axes = plt.subplot_mosaic("ac;bc", figsize=(7, 4.4), height_ratios=(1.3, 1))
    power, features, pictures = axes.values()
    for modality in ("visible", "infrared"):
        rows = select(gap.power, modality=modality)
        rows = rows.loc[rows["value"] > 0]  # of an empty ring there is no log
        draw_curve(power, rows, NAMES[modality], color=COLOURS[modality], marker="")
    power.set(xscale="log", yscale="log", title="Power of the pictures", ylabel="power per bin")
    power.legend()
    rows = select(gap.coherence, control=PICTURES)
    described = draw_curve(pictures, rows, "pictures", color=COLOURS["none"], marker="")
    pictures.set(xscale="log", xlim=power.get_xlim(), xlabel="rho of pixels")
    pictures.set_title("Coherence of the pictures")
    blocks = gap.about["blocks"]
    for block, colour in zip(blocks, shades(len(blocks)), strict=True):
        own, other = (select(gap.coherence, control=c, block=block) for c in ("real", "mismatched"))
        described += draw_curve(features, own, f"block {block}", color=colour, marker="")
        draw_curve(features, other, color=colour, marker="", ls=":", lw=1.2)
    features.plot([], [], color="black", ls=":", lw=1.2, label=NAMES["mismatched"])
    features.set(title="Coherence of features", xlabel="rho of tokens")
    features.legend()
    for ax in (pictures, features):
        ax.set(ylim=(-0.08, 1.02), ylabel="coherence")
    return figure, f"Power of the pictures, and coherence against rho: {'; '.join(described)}."
