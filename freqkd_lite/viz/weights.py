"""What an infrared student can follow, and what it is asked for: figures of notebook 10.

Figures come back with their description for readers who can't see them: `show(*measured(...))`.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from freqkd_lite.losses import Statistics
from freqkd_lite.losses.coherence import on_grid, weight_curve
from freqkd_lite.spectrum import radius
from freqkd_lite.viz.style import COLOURS

ANSWERS = {
    "coherence": "the coherence",
    "gls": "generalised least squares",
    "step": "FreqKD's step",
}
LOOKS = {"coherence": (COLOURS["low"], "-"), "gls": (COLOURS["high"], "-"),
         "step": (COLOURS["code"], "--")}  # fmt: skip


def weights_of(state: Statistics, h: int, w: int, cutoff: float = 0.5) -> dict[str, Tensor]:
    """The three weights of a block at each bin (h, w), each with its largest value 1: the measured
    coherence, the inverse of the power that can't be predicted, and FreqKD's step of 1 and 0.1."""
    found = {"coherence": on_grid(state, weight_curve(state), h, w),
             "gls": on_grid(state, weight_curve(state, "gls"), h, w),
             "step": torch.where(radius(h, w) <= cutoff, 1.0, 0.1).double()}  # fmt: skip
    return {name: weight / weight.max() for name, weight in found.items()}


def high_shares(
    states: Sequence[Statistics], h: int, w: int, cutoff: float = 0.5
) -> dict[str, float]:
    """By weight the share of the cost that lies beyond the cutoff for a student that gives nothing:
    sum of weight x teacher's power over those bins, of that over all; mean over blocks."""
    high, shares = radius(h, w) > cutoff, {name: [] for name in ANSWERS}
    for state in states:
        power = on_grid(state, state["power"], h, w)
        for name, weight in weights_of(state, h, w, cutoff).items():
            cost = weight * power
            shares[name].append(float(cost[high].sum() / cost.sum()))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def plain_share(states: Sequence[Statistics], h: int, w: int, cutoff: float = 0.5) -> float:
    """The same share under plain MSE: that of the teacher's power; mean over blocks."""
    powers = [on_grid(state, state["power"], h, w) for state in states]
    return float(np.mean([float(p[radius(h, w) > cutoff].sum() / p.sum()) for p in powers]))


def measured(states: Sequence[Statistics], blocks: Sequence[int]) -> tuple[Figure, str]:
    """Coherence over rho, each block and what mismatched pairs share; beside it the teacher's power
    per bin, on a logarithmic axis."""
    figure, (ax, right) = plt.subplots(1, 2, figsize=(7.5, 3.4))
    shades = plt.cm.viridis(np.linspace(0.1, 0.85, len(states)))
    for state, block, colour in zip(states, blocks, shades, strict=True):
        ax.plot(state["rho"], state["coherence"], color=colour, label=f"block {block}")
        ax.plot(state["rho"], state["mismatched"], color=colour, lw=1, ls=":")
        right.plot(state["rho"], state["power"], color=colour)
    ax.plot([], [], color=COLOURS["none"], lw=1, ls=":", label="mismatched pairs")
    ax.set(title="What can be followed", xlabel="rho (1 = Nyquist of an axis)",
           ylabel="coherence, teacher and infrared", ylim=(-0.05, 1))  # fmt: skip
    ax.legend(fontsize=8.5)
    right.set(title="What there is", xlabel="rho", ylabel="teacher's power per bin", yscale="log")
    ends = "; ".join(
        f"block {block}: {s['coherence'][1]:.2f} to {s['coherence'][-1]:.2f}, "
        f"mismatched {s['mismatched'][1]:.2f} to {s['mismatched'][-1]:.2f}"
        for s, block in zip(states, blocks, strict=True)
    )
    return figure, f"Coherence from the lowest to the highest ring of rho. {ends}."


def compared(
    states: Sequence[Statistics], h: int, w: int, cutoff: float = 0.5, guess: str | None = None
) -> tuple[Figure, str]:
    """The three weights over the measured coherence, each as the mean over blocks with its largest
    value 1; and by weight the share of the cost beyond the cutoff, the guess framed."""
    figure, (ax, right) = plt.subplots(1, 2, figsize=(7.5, 3.6), width_ratios=(3, 2))
    rho = radius(h, w).flatten()
    order = rho.argsort()
    lines = {name: torch.stack([weights_of(s, h, w, cutoff)[name] for s in states]).mean(0)
             for name in ANSWERS}  # fmt: skip
    bare = torch.stack([on_grid(s, s["coherence"], h, w) for s in states]).mean(0).flatten()
    ax.fill_between(rho[order], bare[order].clamp_min(0), color=COLOURS["floor"], alpha=0.5, lw=0,
                    label="coherence as measured")  # fmt: skip
    for name, line in lines.items():
        colour, dash = LOOKS[name]
        ax.plot(rho[order], line.flatten()[order], dash, color=colour, label=ANSWERS[name])
    ax.set(title="Three weights", xlabel="rho (1 = Nyquist of an axis)",
           ylabel="weight, largest = 1; area: coherence", ylim=(0, 1.35),
           yticks=(0, 0.5, 1))  # fmt: skip
    ax.legend(fontsize=8.5, ncols=2, loc="upper center")
    shares = high_shares(states, h, w, cutoff)
    plain = plain_share(states, h, w, cutoff)
    bars = right.barh([ANSWERS[n].replace(" ", "\n") for n in shares], list(shares.values()),
                      color=[LOOKS[n][0] for n in shares])  # fmt: skip
    right.axvline(plain, color=COLOURS["mse"], lw=1.5, ls=":")
    right.annotate(f"plain MSE {plain:.0%}", (plain, 1), (3, 3), xycoords=("data", "axes fraction"),
                   textcoords="offset points", fontsize=8.5, color=COLOURS["mse"])  # fmt: skip
    for name, bar in zip(shares, bars, strict=True):
        right.annotate(f"{shares[name]:.0%}", (bar.get_width(), bar.get_y() + bar.get_height() / 2),
                       (3, 0), textcoords="offset points", va="center", fontsize=9)  # fmt: skip
        if guess == ANSWERS[name]:
            bar.set(edgecolor=COLOURS["guess"], linestyle="--", linewidth=1.5)
    right.set(xlim=(0, 1.15), xticks=(0, 0.5, 1), xlabel="share of a blank student's cost")
    right.set_title(f"Cost beyond {cutoff:g}", pad=18)
    right.grid(False)
    told = ", ".join(f"{ANSWERS[n]} {share:.0%}" for n, share in shares.items())
    return figure, (
        "Left: the measured coherence as an area, and three weights over rho, each with its "
        f"largest value 1. Right: share of the cost beyond rho {cutoff:g}: {told}; "
        f"plain MSE {plain:.0%}."
    )


def conclusion(shares: dict[str, float], guess: str | None = None) -> str:
    """Which weight loads the high band most, and which least, in words; from `high_shares`."""
    most, least = (ANSWERS[pick(shares, key=shares.get)] for pick in (max, min))
    verdict = ""
    if guess:
        verdict = "\nYou guessed it." if guess == most else f"\nYou guessed: {guess}."
    return (
        f"Beyond the cutoff {most} asks for the most ({max(shares.values()):.0%} of the cost), "
        f"{least} for the least ({min(shares.values()):.0%}).{verdict}"
    )
