"""Data sets of RGB-infrared pairs, by name: `load("scenes")`, `load("msrs", split="val")`."""

from freqkd_lite.data import msrs, scene_pairs  # noqa: F401  (importing registers them)
from freqkd_lite.data.base import (
    CLASSES,
    REGISTRY,
    Pair,
    PairSet,
    load,
    register,
    require,
    stack,
)

__all__ = ["CLASSES", "REGISTRY", "Pair", "PairSet", "load", "register", "require", "stack"]
