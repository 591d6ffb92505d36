"""Data sets of RGB-infrared pairs, by name: `load("scenes")`, `load("folder", root=DIR)`."""

from freqkd_lite.data.base import (
    CLASSES,
    REGISTRY,
    Joined,
    Pair,
    PairSet,
    check_options,
    find_set,
    load,
    mismatched,
    note_of,
    open_sets,
    require,
    spread,
    stack,
)
from freqkd_lite.data.faults import Problem
from freqkd_lite.data.files import Survey, survey
from freqkd_lite.data.matching import Record, match

__all__ = [
    "CLASSES",
    "REGISTRY",
    "Joined",
    "Pair",
    "PairSet",
    "Problem",
    "Record",
    "Survey",
    "check_options",
    "find_set",
    "load",
    "match",
    "mismatched",
    "note_of",
    "open_sets",
    "require",
    "spread",
    "stack",
    "survey",
]
