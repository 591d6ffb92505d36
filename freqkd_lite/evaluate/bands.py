"""Features with one band of frequencies erased."""

from torch import Tensor

from freqkd_lite.errors import check_known
from freqkd_lite.spectrum import split_bands


def keep_band(features: Tensor, cutoff: float, band: str) -> Tensor:
    """Maps (N, C, h, w) reduced to the "low" (rho <= cutoff) or "high" band. The mean of each map
    (zero frequency) stays in both: erasing it would shift every channel."""
    check_known("band", ("low", "high"), band)
    low, high = split_bands(features, cutoff, "disk")
    return low if band == "low" else high + features.mean((2, 3), keepdim=True)
