"""Controls: pairs of pictures whose divergence has nothing to do with infrared.

Levels and ratios of "real" pairs (RGB and infrared of one place) mean something only beside those
of "shuffled" pairs, of RGB beside its "grey" copy, and of RGB beside itself moved by 4 px.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from freqkd_lite.errors import UserError
from freqkd_lite.features import crop_size

CONTROLS = ("real", "shuffled", "grey", "shift4")


def spread(total: int, count: int) -> list[int]:
    """`count` of the indices 0 ... total - 1, evenly spread, so that neighbouring frames of one
    drive don't fill a small sample."""
    if not 1 <= count <= total:
        raise UserError(f"pairs={count} can't be taken from {total} pairs: use 1 to {total}.")
    return [i * total // count for i in range(count)]


def derangement(count: int, seed: int = 0) -> Tensor:
    """A random order (count,) that leaves no index in its place: one cycle through all of them."""
    if count < 2:
        raise UserError(f"pairs={count} can't be shuffled: use 2 or more.")
    cycle = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(-1)
    return order


def grey_copy(images: Tensor) -> Tensor:
    """RGB (..., 3, H, W) as luminance (ITU-R BT.601) in all three channels."""
    return functional.rgb_to_grayscale(images, num_output_channels=3)


def shifted(images: Tensor, pixels: int = 4, patch: int = 14) -> tuple[Tensor, Tensor]:
    """Two crops of each image (..., H, W), the second `pixels` further right.

    Both lie within the picture, so no border is invented; both have the largest size that fits
    and that `patch` divides (one token column fewer than the picture, if it was divisible).
    """
    height, width = images.shape[-2:]
    if pixels < 0 or width - pixels < patch:
        raise UserError(
            f"A shift of {pixels} px leaves less than a patch of {width} px: use a smaller one."
        )
    height, width = crop_size((height, width - pixels), patch)
    cropped = images[..., :height, :]
    return cropped[..., :width], cropped[..., pixels : pixels + width]
