"""What controls do to pictures (..., 3, H, W) in [0, 1]: each takes away or moves one thing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from freqkd_lite.data.alignment import Offset, offset
from freqkd_lite.data.images import PERCENTILES
from freqkd_lite.errors import UserError
from freqkd_lite.features import crop_size

GAMMA, BLUR, NOISE = 2.0, 1.0, 0.05  # exponent; sigma in pixels; sigma in units of white
CONTRAST = 0.5


def grey_copy(images: Tensor) -> Tensor:
    """RGB (..., 3, H, W) as luminance (ITU-R BT.601) in all three channels."""
    return functional.rgb_to_grayscale(images, num_output_channels=3)


def toned(images: Tensor) -> Tensor:
    """Each value to the power of `GAMMA`: another camera's tone curve."""
    return images**GAMMA


def blurred(images: Tensor) -> Tensor:
    """A Gaussian blur of `BLUR` pixels, mirrored at the border."""
    return functional.gaussian_blur(images, 2 * math.ceil(3 * BLUR) + 1, BLUR)


def noisy(images: Tensor, seed: int) -> Tensor:
    """White Gaussian noise of sigma `NOISE` added and clipped to [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    return (images + NOISE * torch.randn(images.shape, generator=draw)).clamp(0, 1)


def stretched(images: Tensor) -> Tensor:
    """Each picture from its .5 to its 99.5 percentile (`data.images.PERCENTILES`), as cameras that
    show temperatures do."""
    ends = torch.tensor(PERCENTILES, dtype=images.dtype) / 100
    low, high = torch.quantile(images.flatten(-3), ends, dim=-1)[..., None, None, None]
    return ((images - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def flattened(images: Tensor) -> Tensor:
    """The contrast of each picture about its mean times `CONTRAST`: as if it had been stored over
    twice the range of temperatures."""
    mean = images.mean((-3, -2, -1), keepdim=True)
    return mean + CONTRAST * (images - mean)


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


def rotated(images: Tensor, degrees: float = 1.0, patch: int = 14) -> tuple[Tensor, Tensor]:
    """Each image (..., H, W) and itself turned about its centre (bilinear), both cut to the largest
    centred window that `patch` divides and that holds no invented border."""
    full = images.shape[-2:]
    sine, cosine = math.sin(math.radians(abs(degrees))), math.cos(math.radians(degrees))
    height, width = crop_size(full, patch)
    # Corners of the window, turned back, must lie within the outermost pixels' centres.
    while (width * cosine + height * sine > full[1] - 1) or (
        width * sine + height * cosine > full[0] - 1
    ):
        height, width = height - patch, width - patch
        if min(height, width) < patch:
            raise UserError(f"{full[0]}x{full[1]} pixels can't be turned by {degrees}: enlarge.")
    turned = functional.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    return tuple(functional.center_crop(x, [height, width]) for x in (images, turned))


def offsets(visible: Tensor, infrared: Tensor) -> list[Offset]:
    """How far each infrared picture lies off its visible one, from (N, 3, H, W) of each."""
    grey = (x.mean(1).numpy() for x in (visible, infrared))
    return [offset(a, b) for a, b in zip(*grey, strict=True)]


def steps(found: Offset, reach: int) -> tuple[int, int]:
    """(down, right) in whole pixels by which a window follows a shift; none where the shift is not
    clear, or longer than `reach` along an axis."""
    down, right = round(found.down), round(found.right)
    return (down, right) if found.clear and max(abs(down), abs(right)) <= reach else (0, 0)


def window(images: Tensor, patch: int, moves: Sequence[Offset] = ()) -> Tensor:
    """The pictures less one patch on each side; where there are `moves`, the window follows
    them by `steps` of at most a patch: nothing is interpolated, and no border is invented."""
    height, width = (n - 2 * patch for n in images.shape[-2:])
    if min(height, width) < patch:
        raise UserError(
            f"{images.shape[-2]}x{images.shape[-1]} pixels are too few to align: enlarge them."
        )
    cut = []
    for i, image in enumerate(images):
        down, right = steps(moves[i], patch) if moves else (0, 0)
        top, left = patch + down, patch + right
        cut.append(image[..., top : top + height, left : left + width])
    return torch.stack(cut)
