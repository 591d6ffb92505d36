"""Label-free losses on lists of feature maps, by name: `build_loss`.

A new loss registers itself in a module of its own, which is added to the first import here.
"""

# ruff: noqa: F401
from freqkd_lite.losses import baselines, coherence, freqkd, subspace
from freqkd_lite.losses.base import (
    CALIBRATORS,
    LOSSES,
    LossParts,
    Statistics,
    build_loss,
    calibrate,
    load_statistics,
    needs_anchors,
    needs_mismatched,
    normalise,
    pack_statistics,
    register,
)
from freqkd_lite.losses.mean import MEANS
from freqkd_lite.losses.measures import agreement, log_deviation, relative_size
