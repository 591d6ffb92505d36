"""Coherence of a stream of pairs, with intervals, in memory that does not grow.

Coherence needs the cross spectrum summed over all images before it is squared, so sums of single
images are not enough. Batches take turns in `GROUPS` groups, each with a `CrossSpectrum` a block,
stored in a file; intervals are a jackknife over groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from freqkd_lite.gap import cache
from freqkd_lite.spectrum.coherence import CrossSpectrum

GROUPS = 10
CHANNELS = 96  # of a map, evenly spread: coherence is an average over channels


class Coherences:
    """Coherence of one control, a `CrossSpectrum` for each block and group, in a folder's files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.starts: list[list[int]] = []
        self.sums: list[list[CrossSpectrum]] = []
        for group in range(GROUPS):
            stored = cache.read(self._file(group)) or {}
            self.starts.append(stored.pop("starts", np.empty(0, int)).tolist())
            spectra = []
            for i in range(len(stored) // 2):
                sums, about = torch.from_numpy(stored[f"sums{i}"]), stored[f"about{i}"].tolist()
                spectra.append(CrossSpectrum(sums, *about))
            self.sums.append(spectra)

    def _file(self, group: int) -> Path:
        return self.folder / f"{group}.npz"

    def holds(self, start: int) -> bool:
        """Whether the batch that starts at this place is in."""
        return any(start in starts for starts in self.starts)

    def add(self, number: int, start: int, a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        """Add maps (N, C, h, w) of the `number`-th batch and store its group; once only."""
        if self.holds(start):
            return
        group = number % GROUPS
        a, b = ([m[:, :: math.ceil(m.shape[1] / CHANNELS)] for m in maps] for maps in (a, b))
        if not self.sums[group]:
            self.sums[group] = [CrossSpectrum.empty(*m.shape[1:]) for m in a]
        for spectrum, x, y in zip(self.sums[group], a, b, strict=True):
            spectrum.update(x, y)
        self.starts[group].append(start)
        arrays = {"starts": np.array(self.starts[group])}
        for i, spectrum in enumerate(self.sums[group]):
            arrays[f"sums{i}"] = spectrum.sums.numpy()
            arrays[f"about{i}"] = np.array([spectrum.images, spectrum.width])
        cache.write(self._file(group), arrays)

    def against_rho(self, edges: Sequence[float]) -> list[list[dict]]:
        """For each block and ring of rho: `rho`, `value`, `interval`, `n`; None for a value that
        is not defined. Empty for fewer than two images."""
        groups = [group for group in self.sums if group]
        found = []
        for block in zip(*groups, strict=True):
            total = sum(block[1:], block[0])
            if total.images < 2:
                continue
            value = total.against_rho(edges).tolist()
            low, high = _jackknife(total, block, edges).tolist()
            found.append(
                [
                    {
                        "rho": list(edges[k : k + 2]),
                        "value": value[k] if math.isfinite(value[k]) else None,
                        "interval": [low[k], high[k]] if math.isfinite(low[k]) else None,
                        "n": total.images,
                    }
                    for k in range(len(value))
                ]
            )
        return found


def _jackknife(
    total: CrossSpectrum, parts: Sequence[CrossSpectrum], edges: Sequence[float]
) -> np.ndarray:
    """95 % interval (2, rings) by leaving out one group at a time (Tukey, 1958), with Student's t;
    NaN for fewer than three groups."""
    count, value = len(parts), total.against_rho(edges).numpy()
    if count < 3 or any(total.images - part.images < 2 for part in parts):
        return np.full((2, len(value)), np.nan)
    others = [
        CrossSpectrum(total.sums - part.sums, total.images - part.images, part.width)
        for part in parts
    ]
    without = np.stack([other.against_rho(edges).numpy() for other in others])
    spread = np.sqrt((count - 1) / count * ((without - without.mean(0)) ** 2).sum(0))
    half = stdtrit(count - 1, 0.975) * spread
    return np.stack([value - half, value + half])
