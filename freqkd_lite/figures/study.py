"""The study of the gap: what a shift alone costs, every control, and the pictures' own spectra."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqkd_lite.notebook import COLOURS, NAMES


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


def all_controls(levels: dict[str, dict]) -> tuple[Figure, str]:
    """Low and high level of every pairing with 95 % whiskers, and the ratio at the side."""
    figure, ax = plt.subplots(figsize=(7, 0.9 + 0.3 * len(levels)))
    said = []
    for y, (name, entry) in enumerate(levels.items()):
        ends = [entry[level] for level in ("low", "high")]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=3, zorder=1, solid_capstyle="round")
        for level, at in zip(("low", "high"), ends, strict=True):
            ax.plot(entry[f"{level}_interval"], (y, y), color=COLOURS[level], lw=1.5)
            ax.plot(at, y, "o", ms=6, color=COLOURS[level], label=level if not y else None)
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.1f}x"
        ax.text(1.02, y, ratio, va="center", fontsize=9, transform=ax.get_yaxis_transform())
        said.append(f"{_label(name)} low {ends[0]:.2f}, high {ends[1]:.2f} {ratio}".strip())
    ax.set(title="Every control, low and high band", ylim=(len(levels) - 0.5, -0.8),
           xlabel="divergence, mean over blocks: 0 identical, 1 unrelated")  # fmt: skip
    ax.set_yticks(range(len(levels)), [_label(name) for name in levels])
    ax.text(1.02, -0.8, "ratio", fontsize=9, transform=ax.get_yaxis_transform())
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    ax.grid(axis="y", visible=False)
    return figure, f"Divergence in both bands by kind of pair. {'; '.join(said)}."


def _label(name: str) -> str:
    return "real pairs" if name == "real" else NAMES.get(name, name)


def spectra(found: dict) -> tuple[Figure, str]:
    """Left, the pictures' power over rho of pixels; right, coherence of RGB and infrared over rho:
    of the pictures, and of each block's features with that of shuffled pairs pale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4))
    said = []
    for entry in found["images"]:
        points = [p for p in entry["power"] if p["value"] and p["interval"]]
        at = [_middle(p) for p in points]
        colour = COLOURS[entry["modality"]]
        left.plot(at, [p["value"] for p in points], color=colour, label=NAMES[entry["modality"]])
        low, high = zip(*(p["interval"] for p in points), strict=True)
        left.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
    left.set(xscale="log", yscale="log", title="What do pictures hold?", xlabel="rho of pixels",
             ylabel="power per bin")  # fmt: skip
    left.legend(fontsize=9)
    colours = plt.get_cmap("viridis")([0.85 * i / max(1, len(found["layers"]) - 1)
                                       for i in range(len(found["layers"]))])  # fmt: skip
    lines = [("pictures", None, "pictures", COLOURS["none"], "-")]
    for block, colour in zip(found["layers"], colours, strict=True):
        lines.append(("real", block, f"block {block}", colour, "-"))
        lines.append(("shuffled", block, None, colour, ":"))
    for pairing, block, label, colour, dashes in lines:
        points = [p for p in found["coherence"] if (p["pairing"], p["block"]) == (pairing, block)
                  and p["value"] is not None]  # fmt: skip
        if points:
            _curve(right, points, color=colour, ls=dashes, label=label,
                   lw=2 if dashes == "-" else 1.2)  # fmt: skip
            if label:
                said.append(f"{label} from {points[0]['value']:.2f} to {points[-1]['value']:.2f}")
    right.set(title="Coherence of RGB and infrared", xlabel="rho (of tokens; pictures: of pixels)",
              ylabel="coherence", ylim=(-0.08, 1.02))  # fmt: skip
    right.legend(fontsize=9)
    return figure, (
        "Left: mean power of the pictures against rho of pixels, both axes logarithmic. Right: "
        f"coherence, 1 one fixed filter, 0 unrelated: {'; '.join(said)}. Dotted: shuffled pairs."
    )


def _curve(ax: Axes, points: list[dict], **look: object) -> None:
    at = [_middle(p) for p in points]
    ax.plot(at, [p["value"] for p in points], **look)
    if all(p["interval"] for p in points):
        low, high = zip(*(p["interval"] for p in points), strict=True)
        ax.fill_between(at, low, high, color=look["color"], alpha=0.12, lw=0)


def _middle(point: dict) -> float:
    return sum(point["rho"]) / 2
