"""The measures of each image pair, from which all tables of the study are computed.

Each costs little beside the forward passes of the backbone.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freqkd_lite import spectrum
from freqkd_lite.errors import UserError
from freqkd_lite.gap.controls import Control, Views, grey_copy, steps
from freqkd_lite.gap.rings import EDGES, log_rings
from freqkd_lite.spectrum.similarity import band_hsic
from freqkd_lite.store import Arrays

CUTOFF = 0.5  # rho of pixels, above which a picture's share of energy is measured
# Controls whose CKA is measured.
SIMILAR = ("real", "mismatched", "grey", "shift4", "random", "aligned")


def masks(grid: Sequence[int], bands: Sequence[str]) -> Tensor:
    """Bool (2 x bands + rings, h, w): low and high of each of `bands`, then rings of `EDGES`."""
    h, w = grid
    pairs = [mask for name in bands for mask in spectrum.band_pair(h, w, name)]
    return torch.stack([*pairs, *spectrum.ring_masks(h, w, EDGES)])


def numbers(
    views: Views, name: str, control: Control | None, bands: Sequence[str]
) -> tuple[Arrays, Sequence[Tensor], Sequence[Tensor]]:
    """Measurements of each image of a batch under one control (None: of the pictures themselves),
    and the two lists of maps, (N, C, h, w) per block, that they come from. `UserError` for maps too
    small to have all bands."""
    if control is None:
        rgb, heat = grey_copy(views.images["visible"])[:, :1], views.images["infrared"][:, :1]
        times = np.array([pair.time_of_day for pair in views.pairs], "U8")
        return of_pictures(rgb, heat) | {"time_of_day": times}, [rgb], [heat]
    a, b = control.maps(views)
    for block, m in zip(views.blocks, a, strict=True):
        (height, width), (h, w) = views.images["visible"].shape[-2:], m.shape[-2:]
        if not masks((h, w), bands)[: 2 * len(bands)].flatten(1).any(1).all():
            raise UserError(
                f"size={height}x{width} gives block {block} of {name!r} a grid of {h}x{w}, too "
                "small for a band (8 tokens on a side are needed): enlarge it, or choose earlier "
                "blocks."
            )
    found = of_maps(a, b, bands, name in SIMILAR)
    if name == "aligned":
        reach = views.backbone.patch
        offsets = [(o.right, o.down, o.clear, any(steps(o, reach))) for o in views.offsets]
        found["offsets"] = np.array(offsets)
    return found, a, b


def of_maps(
    a: Sequence[Tensor], b: Sequence[Tensor], bands: Sequence[str], similarity: bool
) -> Arrays:
    """From maps of each block, `sums` (N, blocks, masks, 3): per image those of |A|^2, |B|^2 and
    |A - B|^2 over each of `masks`; `authors` (N, blocks, 2, 3), see `authors_reading`. With
    `similarity`, `hsic` (N, blocks, bands, 2, 3) for CKA."""
    sides = list(zip(a, b, strict=True))
    sums = [spectrum.pair_sums(x, y, masks(x.shape[-2:], bands)) for x, y in sides]
    found = {"sums": torch.stack(sums, 1).double()}
    found["authors"] = torch.stack([spectrum.authors_reading(x, y) for x, y in sides], 1).double()
    if similarity:
        found["hsic"] = torch.stack([band_hsic(x, y, bands) for x, y in sides], 1)
    return {name: values.numpy() for name, values in found.items()}


def of_pictures(rgb: Tensor, infrared: Tensor) -> Arrays:
    """For each pair of pictures of one channel (N, 1, H, W), RGB first: `power` (N, 2, rings of
    `log_rings`), `slope` (N, 2) and `energy` (N, 2), the share above `CUTOFF`; NaN where there is
    none."""
    edges, sides = log_rings(*rgb.shape[-2:]), []
    for side in (rgb, infrared):
        power = torch.stack([spectrum.radial_power(image, edges)[1] for image in side])
        slope, energy = spectrum.spectral_slope(side), spectrum.energy_above(side, CUTOFF)
        sides.append((power, slope[:, 0], energy[:, 0]))
    columns = (torch.stack(both, 1).numpy() for both in zip(*sides, strict=True))
    return dict(zip(("power", "slope", "energy"), columns, strict=True))
