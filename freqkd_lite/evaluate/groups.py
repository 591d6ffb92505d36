"""Which pictures of a split a bootstrap draws together: near copies, frames near in a sequence."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from freqkd_lite.data import PairSet
from freqkd_lite.errors import UserError

THUMBNAIL = (24, 32)
# Of MSRS val's 3655 pairs of pictures one comes above: two views of one street corner from one
# spot, at .56. By eye, the next ones, from .16 on, show other places or other views;
# of pictures far apart in the drive none exceeds .13.
ALIKE = 0.3
REACH = 10  # the largest difference between neighbours' numbers; MSRS's are 4 to 12 apart
BLOCK = 4  # neighbours that stay together: about as many frames of MSRS show one street
SEQUENCES = ("msrs", "roadscene")  # data sets whose file names give the order of recording


def numbered(pairs: PairSet, chosen: Sequence[int]) -> list[str] | None:
    """The names of the chosen pairs, if their numbers say in which order they were taken."""
    return [pairs.names[i] for i in chosen] if pairs.name in SEQUENCES else None


def likeness(pictures: Tensor) -> Tensor:
    """Correlation (N, N) of the edges of pictures (N, C, H, W): of both differences of small grey
    thumbnails, minus their mean. Edges, because grey levels correlate by the layout that all road
    pictures share, up to .85 between pictures of different places; 0 for a blank picture."""
    small = adaptive_avg_pool2d(pictures.double().mean(1, keepdim=True), THUMBNAIL)
    down, right = small.diff(dim=2)[..., :-1], small.diff(dim=3)[..., :-1, :]
    edges = torch.cat([down, right], 1).flatten(1)
    edges = torch.nn.functional.normalize(edges - edges.mean(1, keepdim=True), dim=1)
    return edges @ edges.T


def near_duplicates(
    spectra: Sequence[Tensor], names: Sequence[str] | None = None, block: int = BLOCK
) -> np.ndarray:
    """The number of each picture's group, (N,) integers from 0: what `multiplicities` takes.

    `spectra` are the pictures (N, C, H, W), of RGB, infrared or both: near copies are alike (above
    `ALIKE`) in all of them. `names`, only where their numbers say in which order the pictures were
    taken (`numbered`): stretches whose numbers differ by at most `REACH` are cut into blocks
    of `block` successive pictures, which stay together (Carlstein, Annals of Statistics 14, 1986);
    1 for none. Groups that share a picture are one. MSRS val: 85 groups of its 86 pictures without
    names, 24 with them. Raises `UserError` for what doesn't fit.
    """
    counts = {len(each) for each in (*spectra, names) if each is not None}
    if len(counts) != 1 or block < 1:
        found = f"{sorted(counts)} pictures and names, block={block}"
        raise UserError(f"{found}: give as many of each and a block of 1 or more.")
    together = torch.stack([likeness(pictures) for pictures in spectra]).amin(0) > ALIKE
    for one, other in _neighbours(names or (), block):
        together[one, other] = True
    return connected_components(together.numpy(), directed=False)[1]


def _neighbours(names: Sequence[str], block: int) -> list[tuple[int, int]]:
    """Pairs of places in `names` of pictures that follow each other in one block."""
    found, place, numbered = [], 0, []
    for at, name in enumerate(names):
        digits = re.findall(r"\d+", name)
        if not digits:
            raise UserError(f"The name {name!r} has no number: it gives no place in a sequence.")
        before, after = name.rsplit(digits[-1], 1)
        numbered.append((before, after, int(digits[-1]), at))
    for one, other in pairwise(sorted(numbered)):
        follows = one[:2] == other[:2] and other[2] - one[2] <= REACH
        place = place + 1 if follows else 0
        if place % block:
            found.append((one[3], other[3]))
    return found
