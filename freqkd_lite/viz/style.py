"""The style of all figures, with the same colours in every notebook."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from freqkd_lite.names import split_method
from freqkd_lite.store import FIGURES, encoded, sha256, write_whole

Look = dict[str, Any]  # keyword arguments of matplotlib
SIDES = ("RGB", "infrared")
# Colours of Okabe and Ito, distinguishable with any kind of colour vision.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
DARK_GREEN = "#00664A"  # darker than PURPLE when printed in grey, unlike GREEN
ORANGE, SKY, BLACK, GREY, LIGHT_GREY = "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#B0B0B0"
COLOURS = {
    "visible": BLUE,
    "infrared": VERMILION,
    "low": DARK_GREEN,
    "high": PURPLE,
    "teacher": BLACK,
    "guess": BLACK,
    "floor": LIGHT_GREY,
    # methods
    "none": GREY,
    "mse": BLUE,
    "freqkd_code": ORANGE,
    "cosine": SKY,
    "swapped": VERMILION,
    "coherence": GREEN,
    "anchor": PURPLE,
    "gram": SKY,
    # controls
    "real": VERMILION,
    "mismatched": GREY,
    "grey": SKY,
    "shift4": PURPLE,
}
RHO = "rho: 1 is the fastest change along an axis of tokens"
LARGE = 200_000  # bytes


def colour(method: str) -> str:
    """A method's colour in every figure; grey for a loss without one of its own."""
    return COLOURS.get(split_method(method)[0], COLOURS["floor"])


def style() -> None:
    """Set matplotlib's defaults for every figure of this project."""
    plt.style.use(Path(__file__).with_name("freqkd.mplstyle"))


def save_sharp(figure: Figure, shown: bytes, folder: Path) -> None:
    """Save the figure in a run's `folder`, at twice the resolution of the PNG that is `shown` and
    under that one's hash: lossless, or, where that takes more than `LARGE`, as a photograph."""
    file = folder / FIGURES / f"{sha256(shown)[:16]}.webp"
    file.parent.mkdir(parents=True, exist_ok=True)
    for options in ({"lossless": True}, {"quality": 85}):
        figure.savefig(file, dpi=2 * figure.dpi, pil_kwargs=options)
        if file.stat().st_size <= LARGE:
            return


def save_described(figure: Figure, alt: str, path: Path) -> None:
    """Save a figure with its description, in the same bytes each time, and close it."""
    about = {"Software": None, "Description": alt}
    write_whole(path, encoded(figure.savefig, format="png", metadata=about))
    plt.close(figure)


def headline(figure: Figure, title: str) -> None:
    """A title over all panels, from the left."""
    figure.suptitle(title, x=0.01, ha="left")


def legend_below(figure: Figure, ax: Axes, columns: int = 2) -> None:
    """One legend for all panels, below them, of what one of them shows."""
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=columns)


def curve(
    ax: Axes, x: ArrayLike, y: ArrayLike, interval: Iterable[ArrayLike] | None = None, **look: Any
) -> None:
    """A line with a dot for each value and, pale, the band of its `interval` (low, high)."""
    ax.plot(x, y, **{"marker": "o", "ms": 4} | look)
    if interval is not None:
        low, high = interval
        ax.fill_between(x, low, high, color=look["color"], alpha=0.15, lw=0)


def name_rows(ax: Axes, names: Sequence[str], places: Sequence[int] | None = None) -> None:
    """A row for each name, from top to bottom."""
    places = places or range(len(names))
    ax.set_yticks(places, names)
    ax.set_ylim(places[-1] + 0.5, -0.6)
    ax.grid(axis="y", visible=False)


def limits(ax: Axes, words: bool = True, identical: str = "identical") -> None:
    """Lines at divergence 0 and 1, with what they mean."""
    for level, word in ((0, identical), (1, "unrelated")):
        ax.axhline(level, color=COLOURS["floor"], lw=1.2)
        if words:
            ax.text(0.02, level + 0.02, word, fontsize=9, transform=ax.get_yaxis_transform())


def shades(count: int, last: float = 0.85) -> np.ndarray:
    """`count` ordered colours (blocks, values of a setting), from dark to light."""
    return plt.get_cmap("viridis")(np.linspace(0, last, count))


def centres(edges: Sequence[float]) -> np.ndarray:
    """The middle of each ring between the edges."""
    return (np.array(edges[1:]) + np.array(edges[:-1])) / 2


def listed(values: Iterable[float]) -> str:
    """Numbers in a figure's description."""
    return ", ".join(f"{value:.2f}" for value in values)
