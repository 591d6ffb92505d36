"""Partial results in files: numbers of each image, and sums for coherence.

An interrupted measurement continues after the last batch that was written, and memory does not grow
with the number of pairs. Coherence needs the cross spectrum summed over all images before it is
squared, so numbers of single images are not enough. Batches take turns in `GROUPS` groups, each a
file with one `CrossSpectrum` per block; intervals are a jackknife over groups.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from freqkd_lite.spectrum.coherence import CrossSpectrum
from freqkd_lite.store import Arrays, read_arrays, write_arrays

PICTURES = "pictures"  # in place of a control where the pictures themselves are compared
COHERENT = (PICTURES, "real", "mismatched")  # controls whose coherence is measured
GROUPS = 10
CHANNELS = 96  # of a map, evenly spread: coherence is an average over channels


class Part:
    """Partial results of one control (or of the pictures), in `GROUPS` files of a folder.
    `starts`: the index of each batch's first pair.

    The arrays of a file have one row per image, `place` and `grids` (blocks, 2) among them, except
    `cross0`, `cross1` ..., which are the `CrossSpectrum.sums` of the blocks.
    """

    def __init__(self, name: str, folder: Path, starts: Sequence[int]):
        self.name, self.starts = name, starts
        self.files = [folder / f"{group}.npz" for group in range(GROUPS)]
        self.groups = [read_arrays(file) for file in self.files]

    def lacks(self, start: int) -> bool:
        """Whether the batch that begins there is yet to be measured."""
        return start in self.starts and not any(start in g.get("place", ()) for g in self.groups)

    def add(self, start: int, arrays: Arrays, a: Sequence[Tensor], b: Sequence[Tensor]) -> None:
        """Keep and write a batch's measurements, and add the maps (N, C, h, w) of each block, from
        which they come, to the sums for coherence."""
        count, group = len(a[0]), self.starts.index(start) % GROUPS
        grids = np.array([[m.shape[-2:] for m in a]] * count)
        new = arrays | {"place": np.arange(start, start + count), "grids": grids}
        old = self.groups[group]
        if old:
            new = {name: np.concatenate([old[name], values]) for name, values in new.items()}
        for i in range(len(a) if self.name in COHERENT else 0):
            x, y = (m[i][:, :: math.ceil(m[i].shape[1] / CHANNELS)] for m in (a, b))
            sums = _cross(old, i) if old else CrossSpectrum.empty(*x.shape[1:])
            new[f"cross{i}"] = sums.update(x, y).sums.numpy()
        write_arrays(self.files[group], new)
        self.groups[group] = new

    def joined(self) -> Arrays:
        """The rows of all images, in the order of their places."""
        groups = [group for group in self.groups if group]
        order = np.argsort(np.concatenate([group["place"] for group in groups]))
        names = [name for name in groups[0] if not name.startswith("cross")]
        return {name: np.concatenate([g[name] for g in groups])[order] for name in names}

    def coherence(self, blocks: Sequence[object], edges: Sequence[float]) -> list[dict]:
        """For each block and ring of rho: `control`, `block`, `rho`, `value`, `interval` (None: not
        defined), `n`; empty for a control whose coherence is not measured."""
        found = []
        for i, block in enumerate(blocks if self.name in COHERENT else ()):
            groups = [_cross(group, i) for group in self.groups if group]
            total = sum(groups[1:], groups[0])
            value, interval = total.against_rho(edges).tolist(), _jackknife(total, groups, edges)
            for k, ends in enumerate(interval.T):
                span = ends.tolist() if np.isfinite(ends).all() else None
                ring = {"rho": list(edges[k : k + 2]), "value": value[k], "interval": span}
                found.append({"control": self.name, "block": block} | ring | {"n": total.images})
        return found


def _cross(group: Arrays, block: int) -> CrossSpectrum:
    sums, width = torch.from_numpy(group[f"cross{block}"]), int(group["grids"][0, block, 1])
    return CrossSpectrum(sums, len(group["place"]), width)


def _jackknife(
    total: CrossSpectrum, parts: Sequence[CrossSpectrum], edges: Sequence[float]
) -> np.ndarray:
    """95 % interval (2, rings) by leaving out one group at a time (Tukey, 1958), with Student's t;
    NaN for fewer than three groups."""
    value, count = total.against_rho(edges).numpy(), len(parts)
    if count < 3:
        return np.full((2, len(value)), np.nan)
    others = [
        CrossSpectrum(total.sums - part.sums, total.images - part.images, part.width)
        for part in parts
    ]
    without = np.stack([other.against_rho(edges).numpy() for other in others])
    half = stdtrit(count - 1, 0.975) * np.sqrt((count - 1) * without.var(0))
    return np.stack([value - half, value + half])
