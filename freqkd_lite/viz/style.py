"""The look of all figures, and one colour for one thing in every notebook."""

from __future__ import annotations

import matplotlib.pyplot as plt

from freqkd_lite.names import split_method

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
# Names of before the package was put in order, until every room uses the new ones.
COLOURS |= {"code": COLOURS["freqkd_code"], "shuffled": COLOURS["mismatched"]}
LOOK = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


def colour(method: str) -> str:
    """A method's colour in every figure; grey for a loss without one of its own."""
    return COLOURS.get(split_method(method)[0], COLOURS["floor"])


def style() -> None:
    """Set matplotlib's defaults for every figure of this project."""
    plt.rcParams.update(LOOK)
