"""How much each frequency counts under three weights: figures of notebook 10.

`statistics` are those that `losses.calibrate("coherence", ...)` returns, one dictionary per block.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from freqkd_lite.losses import Statistics
from freqkd_lite.losses.coherence import high_shares, on_grid, weights_of
from freqkd_lite.spectrum import radius
from freqkd_lite.viz.style import COLOURS, shades

ANSWERS = dict(coherence="the coherence", gls="generalised least squares", step="FreqKD's step")
AXIS = "rho (1 = Nyquist of an axis)"
LINES = {
    "coherence": (COLOURS["low"], "-"),
    "gls": (COLOURS["high"], "-"),
    "step": (COLOURS["freqkd_code"], "--"),
}


def largest(shares: dict[str, float]) -> str:
    """The answer with the largest share; of two that agree to a percent, the first by name."""
    return ANSWERS[min(ANSWERS, key=lambda name: (-round(shares[name], 2), name))]


def measured(statistics: Sequence[Statistics], blocks: Sequence[int]) -> tuple[Figure, str]:
    """Coherence over rho by block, and that of mismatched pairs; beside it the teacher's power."""
    figure, (ax, right) = plt.subplots(1, 2, figsize=(7.5, 3.4))
    ends = []
    for of, block, colour in zip(statistics, blocks, shades(len(statistics)), strict=True):
        ax.plot(of["rho"], of["coherence"], color=colour, label=f"block {block}")
        ax.plot(of["rho"], of["mismatched"], color=colour, lw=1, ls=":")
        right.plot(of["rho"], of["power"], color=colour)
        real, other = (f"{of[k][1]:z.2f} to {of[k][-1]:z.2f}" for k in ("coherence", "mismatched"))
        ends.append(f"block {block} {real}, mismatched pairs {other}")
    ax.plot([], [], color=COLOURS["none"], lw=1, ls=":", label="mismatched pairs")
    ax.set(title="What can be predicted", xlabel=AXIS, ylim=(-0.05, 1))
    ax.set_ylabel("coherence, teacher and infrared")
    ax.legend()
    right.set(title="What there is", xlabel="rho", ylabel="teacher's power per bin", yscale="log")
    return figure, f"Coherence from the lowest to the highest ring of rho: {'; '.join(ends)}."


def compared(
    statistics: Sequence[Statistics], h: int, w: int, cutoff: float = 0.5, guess: str | None = None
) -> tuple[Figure, str]:
    """The three weights over the measured coherence, means over blocks; beside them `high_shares`,
    the guess with a dashed frame."""
    figure, (ax, right) = plt.subplots(1, 2, figsize=(7.5, 3.6), width_ratios=(3, 2))
    rho = radius(h, w).flatten()
    order = rho.argsort()
    coherence = torch.stack([on_grid(s, s["coherence"], h, w) for s in statistics]).mean(0)
    area = dict(color=COLOURS["floor"], alpha=0.5, lw=0, label="coherence as measured")
    ax.fill_between(rho[order], coherence.flatten()[order].clamp_min(0), **area)
    by_block = [weights_of(block, h, w, cutoff) for block in statistics]
    for name, (colour, dash) in LINES.items():
        line = torch.stack([weights[name] for weights in by_block]).mean(0).flatten()
        ax.plot(rho[order], line[order], dash, color=colour, label=ANSWERS[name])
    ax.set(title="Three weights", xlabel=AXIS, ylabel="weight, largest = 1; area: coherence")
    ax.set(ylim=(0, 1.35), yticks=(0, 0.5, 1))
    ax.legend(ncols=2, loc="upper center", fontsize=8.5)
    shares = high_shares(statistics, h, w, cutoff)
    plain = shares.pop("mse")
    names = [ANSWERS[name].replace(" ", "\n") for name in shares]
    bars = right.barh(names, list(shares.values()), color=[LINES[name][0] for name in shares])
    right.bar_label(bars, [f"{share:.0%}" for share in shares.values()], padding=3, fontsize=9)
    for name, bar in zip(shares, bars, strict=True):
        if guess == ANSWERS[name]:
            bar.set(edgecolor=COLOURS["guess"], linestyle="--", linewidth=1.5)
    right.axvline(plain, color=COLOURS["mse"], lw=1.5, ls=":")
    top = dict(transform=right.get_xaxis_transform(), color=COLOURS["mse"], fontsize=8.5)
    right.text(plain, 1.02, f"plain MSE {plain:.0%}", **top)
    right.set(xlim=(0, 1.15), xticks=(0, 0.5, 1), xlabel="share of a blank student's cost")
    right.set_title(f"Cost beyond {cutoff:g}", pad=18)
    right.grid(False)
    numbers = ", ".join(f"{ANSWERS[name]} {share:.0%}" for name, share in shares.items())
    return figure, (
        "Left: three weights over rho, and the measured coherence as an area. Right: share of the "
        f"cost beyond rho {cutoff:g}: {numbers}, plain MSE {plain:.0%}."
    )
