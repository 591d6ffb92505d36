"""Frequencies of feature maps: bands, divergence, power; also `coherence` and `similarity`."""

# ruff: noqa: F401
from freqkd_lite.spectrum.bands import (
    BANDS,
    CORNER,
    CUTOFF_LIMITS,
    RINGS,
    TRANSFORMS,
    at_least_float32,
    band_mask,
    band_overlap,
    band_pair,
    centred_rectangle,
    radius,
    ring_masks,
    split_bands,
)
from freqkd_lite.spectrum.divergence import (
    METRICS,
    authors_reading,
    cosine_distance,
    divergence,
    pair_sums,
    raw_mse,
    ring_counts,
    ring_sums,
)
from freqkd_lite.spectrum.power import (
    energy_above,
    low_share,
    power_spectrum,
    radial_power,
    spectral_slope,
    white_share,
)
from freqkd_lite.spectrum.similarity import correlation, standardised
