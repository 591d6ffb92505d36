"""Widgets that answer while they are dragged, in the lab and in a page without a kernel."""

from freqkd_lite.widgets.fader import Fader, fader, record
from freqkd_lite.widgets.own_gap import OwnGap, own_gap
from freqkd_lite.widgets.patch import PatchSimilarity, patch_similarity

__all__ = [
    "Fader", "OwnGap", "PatchSimilarity", "fader", "own_gap", "patch_similarity", "record",
]  # fmt: skip
