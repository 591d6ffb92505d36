"""The mean over space, which no loss teaches: figures of notebook 13."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from freqkd_lite.names import with_settings
from freqkd_lite.results.rows import lines_of
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import BLUE, COLOURS, VERMILION, headline, legend_below, name_rows

TREATED = {
    "mse": "MSE\nmean removed",
    "freqkd_code": "FreqKD (code)\nmean removed",
    "mse (mean=kept)": "MSE\nmean kept",
    "mse (mean=matched)": "MSE\nmean matched",
}
TRAINED = {"flir": ("pairs of the same camera (FLIR)", BLUE, -0.1)}
TRAINED |= {"msrs": ("another camera's (MSRS)", VERMILION, 0.1)}
LINES = {"none": ("undistilled", COLOURS["none"], "--"), "teacher": ("RGB on RGB", "black", ":")}


def mean_and_rest(x: Tensor) -> tuple[Figure, str]:
    """Of a map (C, h, w) the channel in which both the mean and the rest are large: the channel,
    its mean, and what is left."""
    means, spread = x.mean((1, 2)), x.std((1, 2))
    channel = int((means.abs() * spread).argmax())
    one, mean = x[channel].numpy(), float(means[channel])
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.2))
    most = float(abs(one).max())
    titles = (f"channel {channel}", f"its mean, {mean:.2f}", "what is left")
    for ax, part, title in zip(axes, (one, one * 0 + mean, one - mean), titles, strict=True):
        drawn = ax.imshow(part, cmap="RdBu_r", vmin=-most, vmax=most)
        ax.set_title(title)
        ax.axis("off")
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    headline(figure, "A channel = frequency zero + all other frequencies")
    return figure, (
        f"Channel {channel} of a map of features, its mean over space, {mean:.2f}, and what is "
        f"left, with standard deviation {float(spread[channel]):.2f}."
    )


def treatments(found: pd.DataFrame) -> tuple[Figure, str]:
    """Scores of students by what became of the mean, and by the pairs that they were distilled on
    (`rows.means` of methods such as `mse (mean=kept, on=flir)`); lines: no distillation, and the
    head on the pictures that it was fitted on."""
    of = {row.method: row for row in lines_of(found)}
    figure, ax = plt.subplots(figsize=(7.5, 3.6))
    texts = []
    for name, (label, colour, line) in LINES.items():
        ax.axvline(of[name].value, color=colour, ls=line, label=label)
        texts.append(f"{label} {number(of[name].value)}")
    for pairs, (label, colour, off) in TRAINED.items():
        for y, method in enumerate(TREATED):
            row = of[with_settings(method, f"on={pairs}")]
            ax.plot((row.low, row.high), (y + off, y + off), color=colour, lw=3, alpha=0.5)
            ax.plot(row.value, y + off, "o", color=colour, ms=7)
            treated = TREATED[method].replace("\n", ", ")
            texts.append(f"{treated}, {pairs} {number(row.value, (row.low, row.high))}")
        ax.plot([], [], "o-", color=colour, label=label)
    name_rows(ax, list(TREATED.values()))
    legend_below(figure, ax, 2)
    ax.set(title="What a pooled head finds without infrared labels", xlabel="balanced accuracy")
    return figure, f"Balanced accuracy by treatment of the mean: {'; '.join(texts)}."
