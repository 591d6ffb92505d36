"""The study of the gap: what a shift alone costs, every control, and the pictures' own spectra."""

from __future__ import annotations

from collections.abc import Collection

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqkd_lite.names import NAMES
from freqkd_lite.viz.style import COLOURS


def misalignment(
    shifts: list[tuple[int, dict]], levels: dict[str, dict], alignment: dict | None = None
) -> tuple[Figure, str]:
    """Divergence of RGB against itself over the shift in pixels (from `gap.words.shifts`), a panel
    a band, with the levels of other pairings drawn through it (`levels`: name -> summary entry).
    Parts misalignment from modality: where real pairs lie above the curve, no shift explains
    them."""
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
    pixels = [p for p, _ in shifts]
    said = []
    for ax, level in zip(axes, ("low", "high"), strict=True):
        values = [e[level] for _, e in shifts]
        low, high = zip(*(e[f"{level}_interval"] for _, e in shifts), strict=True)
        ax.fill_between(pixels, low, high, color=COLOURS["visible"], alpha=0.2, lw=0)
        ax.plot(pixels, values, marker="o", ms=4, color=COLOURS["visible"],
                label="RGB against itself, shifted")  # fmt: skip
        said.append(f"{level} band: " + ", ".join(
            f"{v:.2f} at {p} px" for p, v in zip(pixels, values, strict=True)))  # fmt: skip
        for name, entry in levels.items():
            dashes = {"real": "-", "aligned": "--", "shuffled": ":"}.get(name, "-.")
            colour = COLOURS["real" if name == "aligned" else name]
            label = {"real": "real pairs"}.get(name, NAMES.get(name, name))
            ax.axhline(entry[level], color=colour, ls=dashes, lw=1.8, label=label)
            if name == "real":
                ax.axhspan(*entry[f"{level}_interval"], color=colour, alpha=0.2, lw=0)
            said.append(f"{label} {entry[level]:.2f}")
        ax.set(title=f"{level} band", xlabel="shift in pixels", xticks=pixels,
               ylim=(-0.04, max(1.12, *values)))  # fmt: skip
    axes[0].set_ylabel("divergence, mean over blocks")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
                  fontsize=9)  # fmt: skip
    left = ""
    if alignment:
        left = f" {alignment['moved']} of {alignment['n']} pairs were moved to align them."
    return figure, (
        "Energy-normalised divergence, 0 identical, 1 unrelated, of RGB against itself over a "
        f"deliberate shift, with other pairs' levels as lines. {'; '.join(said)}.{left}"
    )


def all_controls(levels: dict[str, dict], bare: Collection[str] = ()) -> tuple[Figure, str]:
    """Low and high level of every pairing with 95 % whiskers, and the ratio at the side. Those in
    `bare`, which compare RGB with itself, stand below the others."""
    names = sorted(levels, key=lambda name: name in bare)
    first = next((i for i, name in enumerate(names) if name in bare), len(names))
    figure, ax = plt.subplots(figsize=(7, 1.2 + 0.3 * len(names)))
    said, places = [], [i + (i >= first) for i in range(len(names))]
    for y, name in zip(places, names, strict=True):
        entry = levels[name]
        ends = [entry[level] for level in ("low", "high")]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=3, zorder=1, solid_capstyle="round")
        for level, at in zip(("low", "high"), ends, strict=True):
            ax.plot(entry[f"{level}_interval"], (y, y), color=COLOURS[level], lw=1.5)
            ax.plot(at, y, "o", ms=6, color=COLOURS[level], label=level if not y else None)
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.1f}x"
        ax.text(1.02, y, ratio, va="center", fontsize=9, transform=ax.get_yaxis_transform())
        said.append(f"{_label(name)} low {ends[0]:.2f}, high {ends[1]:.2f} {ratio}".strip())
    if first < len(names):
        ax.axhline(first, color=COLOURS["floor"], lw=0.8)
        ax.text(0.99, first + 0.1, "below: RGB with itself, no infrared", ha="right", va="top",
                fontsize=9, transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set(title="Which pairs have a gap, and how large?", ylim=(places[-1] + 0.5, -0.8),
           xlabel="divergence, mean over blocks: 0 identical, 1 unrelated")  # fmt: skip
    ax.set_yticks(places, [_label(name) for name in names])
    ax.text(1.02, -0.8, "high / low", fontsize=9, transform=ax.get_yaxis_transform())
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    ax.grid(axis="y", visible=False)
    return figure, f"Divergence in both bands by kind of pair. {'; '.join(said)}."


def _label(name: str) -> str:
    return "real pairs" if name == "real" else NAMES.get(name, name)


def spectra(found: dict) -> tuple[Figure, str]:
    """Left, over rho of pixels, the pictures' power and, below it, the coherence of RGB and
    infrared; right, over rho of tokens, the coherence of each block's features, with that of
    shuffled pairs dotted."""
    figure, axes = plt.subplot_mosaic("ac;bc", figsize=(7, 4.4), height_ratios=(1.3, 1))
    power, own, features = (axes[k] for k in "abc")
    for entry in found["images"]:
        points = [p for p in entry["power"] if p["value"] and p["interval"]]
        _curve(power, points, color=COLOURS[entry["modality"]], label=NAMES[entry["modality"]])
    power.set(xscale="log", yscale="log", title="What do pictures hold?", ylabel="power per bin")
    power.legend(fontsize=9)
    said = _coherence(own, found, "pictures", None, "pictures", color=COLOURS["none"])
    own.set(xscale="log", xlim=power.get_xlim(), xlabel="rho of pixels",
            title="Are the pictures coherent?")  # fmt: skip
    colours = plt.get_cmap("viridis")([0.85 * i / max(1, len(found["layers"]) - 1)
                                       for i in range(len(found["layers"]))])  # fmt: skip
    for block, colour in zip(found["layers"], colours, strict=True):
        said += _coherence(features, found, "real", block, f"block {block}", color=colour)
        _coherence(features, found, "shuffled", block, None, color=colour, ls=":", lw=1.2)
    features.plot([], [], color="black", ls=":", lw=1.2, label="shuffled pairs")
    features.set(title="Are the features?", xlabel="rho of tokens")
    features.legend(fontsize=9)
    for ax in (own, features):
        ax.set(ylim=(-0.08, 1.02), ylabel="coherence")
    return figure, (
        "Left: mean power of the pictures against rho of pixels, both axes logarithmic, and their "
        "coherence below it. Right: coherence of features against rho of tokens. Coherence is 1 "
        f"for one fixed filter, 0 for unrelated: {'; '.join(said)}. Dotted: shuffled pairs."
    )


def _coherence(
    ax: Axes, found: dict, pairing: str, block: int | None, label: str | None, **look: object
) -> list[str]:
    """Draw one curve of coherence, if it was measured; its ends in words."""
    points = [p for p in found["coherence"] if (p["pairing"], p["block"]) == (pairing, block)
              and p["value"] is not None]  # fmt: skip
    if not points:
        return []
    _curve(ax, points, label=label, **look)
    return [f"{label} from {points[0]['value']:.2f} to {points[-1]['value']:.2f}"]


def _curve(ax: Axes, points: list[dict], **look: object) -> None:
    at = [_middle(p) for p in points]
    ax.plot(at, [p["value"] for p in points], **look)
    if all(p["interval"] for p in points):
        low, high = zip(*(p["interval"] for p in points), strict=True)
        ax.fill_between(at, low, high, color=look["color"], alpha=0.15, lw=0)


def _middle(point: dict) -> float:
    return sum(point["rho"]) / 2
