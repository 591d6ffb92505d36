"""What the high-band term charges, and what each loss pulls at: figures of notebook 04."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from freqkd_lite.losses import LOSSES
from freqkd_lite.names import NAMES
from freqkd_lite.spectrum import radial_power
from freqkd_lite.viz.bands import value_at
from freqkd_lite.viz.style import COLOURS, headline

COSTS = {"nothing": 0.0, "as much as no high band at all": 1.0, "four times as much as that": 4.0}
"""The choices of notebook 04's question, and the cost that each stands for."""
PANELS = {
    "FreqKD and its variants": (
        *("freqkd_code", "signed", "low_only", "high_only", "freqkd_paper", "robust", "swapped"),
    ),
    "Weighted by frequency or channel": ("step", "lowpass", "coherence", "anchor", "projected"),
    "Published baselines": (
        *("mse_raw", "unic", "pkd", "cwd", "wavelet", "spectralkd", "gram", "attention"),
    ),
}
# The gradient of the cosine is that of MSE, up to a factor.
PANELS["Others"] = tuple(sorted(LOSSES.keys() - {"mse", "cosine"}.union(*PANELS.values())))
"""The losses whose gradients are drawn, by panel; plain MSE is in each."""
SPARE = ("#000000", "#5E3C99", "#7F7F7F", "#8C564B", "#D55E00", "#009E73", "#17BECF")
"""Colours of losses that have none in `COLOURS`."""
DASHES = ("-.", "-", "--", ":")
"""Line styles in the order of the losses: neighbours differ in more than colour."""


def nearest_cost(cost: float) -> str:
    """The choice of `COSTS` that is nearest to a cost."""
    return min(COSTS, key=lambda choice: abs(COSTS[choice] - cost))


def valleys(
    t: np.ndarray, costs: dict[str, np.ndarray], guess: str | None = None
) -> tuple[Figure, str]:
    """The cost of a high band that is t times the teacher's, against t.

    costs: (t,) of "freqkd_code" and of "signed", in units of what the latter charges for no high
    band. guess: one of `COSTS`, drawn dashed at t = -1.
    """
    figure, ax = plt.subplots(figsize=(7, 3.7))
    numbers = []
    for name, like in (("signed", "mse"), ("freqkd_code", "freqkd_code")):
        label = "MSE, with signs" if name == "signed" else NAMES[name]
        ax.plot(t, costs[name], color=COLOURS[like], label=label)
        found = (f"{value_at(costs[name], t, at):.2f} at {at}" for at in (-1, 0, 1))
        numbers.append(f"{label} {', '.join(found)}")
    for at in (-1, 1):
        ax.axvline(at, color=COLOURS["floor"], lw=1, zorder=0)
    if guess:
        cost = COSTS[guess]
        ax.plot((-1.6, -0.4), (cost, cost), color=COLOURS["guess"], ls="--", lw=1.5)
        ax.annotate("your guess", (-1.6, cost), (0, 5), textcoords="offset points", fontsize=9)
    ax.set(ylim=(-0.3, 5), title="What does the high-band term punish?")
    ax.set(xlabel="t: the student's high band is t times the teacher's")
    ax.set(ylabel="cost (MSE without high band = 1)")
    ax.set_xticks(range(-2, 3), ["-2", "-1\nnegated", "0\nnone", "1\nthe teacher's", "2"])
    ax.legend(loc="upper right")
    return figure, f"Cost against t: {'; '.join(numbers)}."


def logs(elements: Tensor) -> tuple[Figure, str]:
    """log(1 + |a|) beside |a|; below, a histogram of the high band's `elements` and their RMS."""
    a = elements.abs().flatten().double().numpy()
    rms, end = np.square(a).mean() ** 0.5, np.quantile(a, 0.9995, method="closest_observation")
    figure, (ax, below) = plt.subplots(2, 1, figsize=(7, 4), height_ratios=(2, 1), sharex=True)
    x = np.linspace(0, end, 200)
    ax.plot(x, x, color=COLOURS["mse"], lw=1.5, label="|a|: a plain magnitude")
    ax.plot(x, np.log1p(x), color=COLOURS["freqkd_code"], label="log(1 + |a|): as coded")
    ax.set(title="Does the log bend anything?", ylabel="what the loss compares")
    for axes in (ax, below):
        axes.axvline(rms, color=COLOURS["none"], lw=1, ls=":", label=f"RMS {rms:.3f}")
    ax.legend()
    below.hist(a, bins=60, range=(0, end), color=COLOURS["high"])
    below.set(xlabel="|a|, elements of the high band when tokens have length 1")
    below.set(ylabel="elements", yticks=(), xlim=(0, end))
    return figure, (
        f"Top: |a| and log(1 + |a|) from 0 to {end:.2f}, where the log is "
        f"{1 - np.log1p(end) / end:.1%} lower. Bottom: histogram of the elements, RMS {rms:.3f}."
    )


def gradients(sent: dict[str, Sequence[Tensor]]) -> tuple[Figure, str]:
    """The size of each loss's gradient over rho, in the panels of `PANELS`. sent: by loss its
    gradients, maps (N, C, h, w) by block, of "mse" and of at least one of `PANELS`. Each block is
    scaled to mean power 1, then the mean of power over blocks is taken."""
    panels = {title: [n for n in names if n in sent] for title, names in PANELS.items()}
    panels = {title: ["mse", *names] for title, names in panels.items() if names}
    size = (max(7, 1.2 + 3.1 * len(panels)), 4.4)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    spectra = {}
    for name, blocks in sent.items():
        levels = [radial_power(g / g.square().mean().sqrt())[1] for g in blocks]
        spectra[name] = torch.stack(levels).mean(0).sqrt().cpu().numpy()
    rho = radial_power(sent["mse"][0])[0]
    for ax, (title, names) in zip(axes[0], panels.items(), strict=True):
        ax.axvline(0.5, color=COLOURS["floor"], lw=1, zorder=0)
        widths, spare = np.linspace(4, 2, len(names)), cycle(SPARE)
        # Lines on top of each other stay visible.
        for name, lw, dash in zip(names, widths, cycle(DASHES), strict=False):
            colour = COLOURS.get(name) or next(spare)
            ax.plot(rho, spectra[name], dash, color=colour, label=NAMES[name], lw=lw)
        ax.set(xlabel="rho", yscale="log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        if len(panels) > 1:
            ax.set_title(title, fontsize=10)
        columns = 4 if len(panels) == 1 else 2
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, handlelength=3)
    axes[0, 0].set_ylabel("gradient per bin (RMS of all = 1)")
    headline(figure, "What does each loss pull at?")
    ends = "; ".join(f"{NAMES[n]} {line[0]:.2g} to {line[-1]:.2g}" for n, line in spectra.items())
    return figure, f"Size of the gradient over rho, in the lowest and the highest ring: {ends}."
