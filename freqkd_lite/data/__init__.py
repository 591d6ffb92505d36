"""Data sets of RGB-infrared pairs, by name: `load("scenes")`, `load("folder", root=DIR)`."""

# ruff: noqa: F401
from freqkd_lite.data.base import (
    CLASSES,
    REGISTRY,
    Joined,
    Pair,
    PairSet,
    check_options,
    load,
    mismatched,
    note_of,
    open_sets,
    require,
    spread,
    stack,
)
