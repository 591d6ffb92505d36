"""How far the features of RGB and infrared differ in each frequency band, and controls for it."""

from freqkd_lite.gap.controls import CONTROLS, Control, grey_copy, shifted
from freqkd_lite.gap.rings import (
    BAND_EDGES,
    EDGES,
    SHAPES,
    Levels,
    levels,
    log_rings,
    shape_of,
    token_rings,
)
from freqkd_lite.gap.study import Gap, load, measure

__all__ = [
    "BAND_EDGES",
    "Control",
    "CONTROLS",
    "EDGES",
    "Gap",
    "grey_copy",
    "Levels",
    "levels",
    "load",
    "log_rings",
    "measure",
    "shape_of",
    "SHAPES",
    "shifted",
    "token_rings",
]
