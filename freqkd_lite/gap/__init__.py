"""How far the features of RGB and infrared differ in each frequency band, and controls for it."""

# ruff: noqa: F401
from freqkd_lite.gap.controls import grey_copy, shifted
from freqkd_lite.gap.rings import (
    BAND_EDGES,
    EDGES,
    SHAPES,
    band_levels,
    curve_of,
    levels,
    log_rings,
    shape_of,
    token_rings,
)
from freqkd_lite.gap.study import Gap, load, measure
