"""Data sets of RGB-infrared pairs, by name: `load("scenes")`, `load("folder", root=DIR)`."""

from freqkd_lite.data import folder, published  # noqa: F401  (importing registers them)
from freqkd_lite.data.base import (
    CLASSES,
    REGISTRY,
    Pair,
    PairSet,
    check_options,
    load,
    mismatched,
    register,
    require,
    stack,
)
from freqkd_lite.data.faults import Problem
from freqkd_lite.data.files import Survey, survey
from freqkd_lite.data.joined import open_sets
from freqkd_lite.data.matching import Record, match
from freqkd_lite.scenes import pairs as scene_pairs  # noqa: F401  (importing registers them)

__all__ = [
    "CLASSES", "REGISTRY", "Pair", "PairSet", "Problem", "Record", "Survey", "check_options",
    "load", "match", "mismatched", "open_sets", "register", "require",
    "stack", "survey",
]  # fmt: skip
