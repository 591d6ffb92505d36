"""Widgets that respond while they are dragged, in the lab and in a page without a kernel."""

from freqkd_lite.widgets.fader import Fader as fader
from freqkd_lite.widgets.own_gap import OwnGap as own_gap
from freqkd_lite.widgets.patch import PatchSimilarity as patch_similarity
from freqkd_lite.widgets.scrubber import scrubber
from freqkd_lite.widgets.valleys import Valleys as valleys
from freqkd_lite.widgets.weight import DrawnWeight as draw_weight

__all__ = ["draw_weight", "fader", "own_gap", "patch_similarity", "scrubber", "valleys"]
