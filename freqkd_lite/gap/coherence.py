"""Coherence of a stream of pairs, with intervals, in memory that does not grow.

Coherence needs the cross spectrum of all images before it is squared, so sums per image don't give
it. Batches take turns in `GROUPS` groups, each a `CrossSpectrum` a block that is kept in a file;
intervals are a jackknife over groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from freqkd_lite.gap import store
from freqkd_lite.spectrum.coherence import CrossSpectrum

GROUPS = 10
CHANNELS = 96  # of a map's, evenly spread: coherence is an average over channels


def thinned(maps: Tensor) -> Tensor:
    """At most `CHANNELS` channels of maps (N, C, h, w), evenly spread."""
    return maps[:, :: math.ceil(maps.shape[1] / CHANNELS)]


class Coherences:
    """Coherence of one pairing, a `CrossSpectrum` for each block and group, in a folder's files."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.starts: list[list[int]] = []
        self.sums: list[list[CrossSpectrum]] = []
        for group in range(GROUPS):
            kept = store.read(self._file(group)) or {}
            self.starts.append(kept.pop("starts", np.empty(0, int)).tolist())
            self.sums.append([
                CrossSpectrum(torch.from_numpy(kept[f"sums{i}"]), *kept[f"about{i}"].tolist())
                for i in range(len(kept) // 2)
            ])  # fmt: skip

    def _file(self, group: int) -> Path:
        return self.folder / f"{group}.npz"

    def holds(self, start: int) -> bool:
        """Whether the batch that starts at this place is in."""
        return any(start in starts for starts in self.starts)

    def add(self, number: int, start: int, a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        """Add a batch, the `number`-th of the stream, and keep its group; once only."""
        if self.holds(start):
            return
        group = number % GROUPS
        a, b = ([thinned(m) for m in maps] for maps in (a, b))
        if not self.sums[group]:
            self.sums[group] = [CrossSpectrum.empty(*m.shape[1:]) for m in a]
        for into, x, y in zip(self.sums[group], a, b, strict=True):
            into.update(x, y)
        self.starts[group].append(start)
        arrays = {"starts": np.array(self.starts[group])}
        for i, kept in enumerate(self.sums[group]):
            arrays[f"sums{i}"] = kept.sums.numpy()
            arrays[f"about{i}"] = np.array([kept.images, kept.width])
        store.write(self._file(group), arrays)

    def against_rho(self, edges: Sequence[float]) -> list[list[dict]]:
        """For each block and ring of rho: `rho`, `value`, `interval`, `n`; None where there is
        none, as of fewer than two images."""
        parts = [part for part in self.sums if part]
        found = []
        for block in zip(*parts, strict=True):
            total = sum(block[1:], block[0])
            if total.images < 2:
                continue
            value = total.against_rho(edges).numpy()
            span = _jackknife(total, block, edges)
            found.append([
                {"rho": [inner, outer], "n": total.images,
                 "value": float(value[k]) if np.isfinite(value[k]) else None,
                 "interval": span[:, k].tolist() if np.isfinite(span[:, k]).all() else None}
                for k, (inner, outer) in enumerate(zip(edges, edges[1:], strict=False))
            ])  # fmt: skip
        return found


def _jackknife(
    total: CrossSpectrum, parts: Sequence[CrossSpectrum], edges: Sequence[float]
) -> np.ndarray:
    """95 % interval (2, rings) by leaving out one group at a time (Tukey, 1958), with Student's t;
    NaN for fewer than three groups."""
    count, value = len(parts), total.against_rho(edges).numpy()
    if count < 3 or any(total.images - part.images < 2 for part in parts):
        return np.full((2, len(value)), np.nan)
    without = np.stack([
        CrossSpectrum(total.sums - part.sums, total.images - part.images, part.width)
        .against_rho(edges).numpy()
        for part in parts
    ])  # fmt: skip
    spread = np.sqrt((count - 1) / count * ((without - without.mean(0)) ** 2).sum(0))
    half = stdtrit(count - 1, 0.975) * spread
    return np.stack([value - half, value + half])
