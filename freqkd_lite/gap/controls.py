"""Controls: pairs of pictures whose divergence is not caused by infrared.

The divergence of real pairs (RGB and infrared of one scene) means something only beside that of
mismatched pairs, of RGB and its grey copy, and of RGB and itself moved by a few pixels. `CONTROLS`
lists them by name; each compares the features of two pictures.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from freqkd_lite.data import Pair
from freqkd_lite.data.alignment import Offset, offset
from freqkd_lite.data.images import PERCENTILES
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, crop_size, extract

Maps = tuple[list[Tensor], list[Tensor]]
TIMES = ("day", "night")
"""Controls that are the real pairs of one time of day: taken from those, not computed again."""


def grey_copy(images: Tensor) -> Tensor:
    """RGB (..., 3, H, W) in [0, 1] as luminance (ITU-R BT.601) in all three channels."""
    return functional.rgb_to_grayscale(images, num_output_channels=3)


def noisy(images: Tensor, seed: int) -> Tensor:
    """White Gaussian noise of sigma .05 added, clipped to [0, 1]."""
    draw = torch.Generator().manual_seed(seed)
    return (images + 0.05 * torch.randn(images.shape, generator=draw)).clamp(0, 1)


def stretched(images: Tensor) -> Tensor:
    """Each picture from its .5 to its 99.5 percentile (`data.images.PERCENTILES`), as cameras that
    show temperatures do."""
    ends = torch.tensor(PERCENTILES, dtype=images.dtype) / 100
    low, high = torch.quantile(images.flatten(-3), ends, dim=-1)[..., None, None, None]
    return ((images - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def flattened(images: Tensor) -> Tensor:
    """Half of each picture's contrast about its mean, as if stored over twice the range."""
    mean = images.mean((-3, -2, -1), keepdim=True)
    return mean + 0.5 * (images - mean)


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
    return images[..., :height, :width], images[..., :height, pixels : pixels + width]


def rotated(images: Tensor, patch: int = 14) -> tuple[Tensor, Tensor]:
    """Each image (..., H, W) and itself turned by a degree about its centre (bilinear), both cut to
    the largest centred window that `patch` divides and that holds no invented border."""
    tall, wide = images.shape[-2:]
    sine, cosine = math.sin(math.radians(1)), math.cos(math.radians(1))
    height, width = crop_size((tall, wide), patch)
    # Corners of the window, turned back, must lie within the outermost pixels' centres.
    while (width * cosine + height * sine > wide - 1) or (
        width * sine + height * cosine > tall - 1
    ):
        height, width = height - patch, width - patch
        if min(height, width) < patch:
            raise UserError(f"{tall}x{wide} pixels can't be turned by 1.0: enlarge.")
    turned = functional.rotate(images, 1.0, interpolation=InterpolationMode.BILINEAR)
    size = [height, width]
    return functional.center_crop(images, size), functional.center_crop(turned, size)


def steps(found: Offset, reach: int) -> tuple[int, int]:
    """(down, right) in whole pixels by which a window follows an estimated shift; (0, 0) where the
    estimate is not clear, or longer than `reach` along an axis."""
    down, right = round(found.down), round(found.right)
    return (down, right) if found.clear and max(abs(down), abs(right)) <= reach else (0, 0)


def window(images: Tensor, patch: int, moves: Sequence[Offset] = ()) -> Tensor:
    """The pictures without one patch on each side; where there are `moves`, the window follows
    them by `steps` of at most a patch: nothing is interpolated, and no border is invented."""
    height, width = (n - 2 * patch for n in images.shape[-2:])
    if min(height, width) < patch:
        raise UserError(
            f"{images.shape[-2]}x{images.shape[-1]} pixels are too few to align: enlarge them."
        )
    places = [steps(move, patch) for move in moves] or [(0, 0)] * len(images)
    moved = zip(images, places, strict=True)
    corners = [x[..., patch + down :, patch + right :] for x, (down, right) in moved]
    return torch.stack([corner[..., :height, :width] for corner in corners])


@dataclass
class Views:
    """One batch of pairs, and the feature maps of its pictures that controls compare.

    `partner` reads the infrared picture (1, 3, H, W) of the pair before this batch, for mismatched
    pairs; `place`: the index of the batch's first pair; `student` and `random`: networks that some
    controls use.
    """

    backbone: Backbone
    blocks: Sequence[int]
    pairs: Sequence[Pair]
    partner: Callable[[], Tensor]
    place: int = 0
    student: Backbone | None = None
    random: Backbone | None = None
    maps: dict[str, list[Tensor]] = field(default_factory=dict)

    @cached_property
    def images(self) -> dict[str, Tensor]:
        """The pictures (N, 3, H, W), "visible" and "infrared"."""
        kinds = ("visible", "infrared")
        return {k: torch.stack([getattr(pair, k) for pair in self.pairs]) for k in kinds}

    def __call__(
        self, pictures: Tensor, name: str = "", by: Backbone | None = None
    ) -> list[Tensor]:
        """Maps (N, C, h, w) of a batch of pictures, by the backbone or another network. Those with
        a `name` are cached for later controls: all of twenty controls would fill the memory."""
        if name not in self.maps:
            maps = extract(by or self.backbone, pictures, self.blocks, batch=len(pictures))
            if not name:
                return maps
            self.maps[name] = maps
        return self.maps[name]

    def both(self, pictures: Iterable[Tensor], by: Backbone | None = None) -> Maps:
        """Maps of two batches of pictures."""
        first, second = (self(each, by=by) for each in pictures)
        return first, second

    @property
    def visible(self) -> list[Tensor]:
        """Maps of the RGB pictures as they are."""
        return self(self.images["visible"], "visible")

    @property
    def infrared(self) -> list[Tensor]:
        """Maps of the infrared pictures as they are."""
        return self(self.images["infrared"], "infrared")

    @cached_property
    def offsets(self) -> list[Offset]:
        """Estimated shift of each infrared picture against its visible one."""
        grey = (self.images[kind].mean(1).numpy() for kind in ("visible", "infrared"))
        return [offset(a, b) for a, b in zip(*grey, strict=True)]


@dataclass(frozen=True)
class Control:
    """`about`: what is compared; `maps` returns the two lists of maps, one (N, C, h, w) per block;
    `infrared`: whether an infrared picture is among them."""

    about: str
    maps: Callable[[Views], Maps]
    infrared: bool = True


def _real(views: Views) -> Maps:
    return views.visible, views.infrared


def _mismatched(views: Views) -> Maps:
    before = views(views.partner())
    moved = [torch.cat([b, m[:-1]]) for b, m in zip(before, views.infrared, strict=True)]
    return views.visible, moved


def _of_rgb(about: str, change: Callable[[Tensor], Tensor]) -> Control:
    """RGB beside itself changed."""
    return Control(about, lambda v: (v.visible, v(change(v.images["visible"]))), infrared=False)


def _of_infrared(about: str, change: Callable[[Tensor], Tensor]) -> Control:
    """RGB beside infrared changed."""
    return Control(about, lambda v: (v.visible, v(change(v.images["infrared"]))))


def _shift(pixels: int) -> Control:
    """Shifts of up to a patch cut the same left picture, whose maps are computed once."""

    def maps(views: Views) -> Maps:
        left, right = shifted(views.images["visible"], pixels, views.backbone.patch)
        return views(left, f"left {left.shape[-1]}"), views(right)

    about = f"RGB and itself {pixels} px further right, on a grid of one token column fewer."
    return Control(about, maps, infrared=False)


def _window(views: Views, moves: Sequence[Offset] = ()) -> Maps:
    patch, images = views.backbone.patch, views.images
    visible = views(window(images["visible"], patch), "window")
    return visible, views(window(images["infrared"], patch, moves))


CONTROLS = {
    "real": Control("RGB and infrared of one scene.", _real),
    "day": Control("The real pairs taken by day.", _real),
    "night": Control("The real pairs taken by night.", _real),
    "mismatched": Control(
        "RGB of one scene, infrared of another one of the same set, in random order.", _mismatched
    ),
    "grey": _of_rgb("RGB and its own luminance.", grey_copy),
    "gamma": _of_rgb("RGB and itself with each value squared.", torch.square),
    "blur": _of_rgb(
        "RGB and itself after a Gaussian blur of 1 px.",
        lambda images: functional.gaussian_blur(images, [7, 7], [1.0, 1.0]),
    ),
    "noise": Control(
        "RGB and itself with white noise of 5 % of white.",
        lambda views: (views.visible, views(noisy(views.images["visible"], views.place))),
        infrared=False,
    ),
    **{f"shift{pixels}": _shift(pixels) for pixels in (1, 2, 4, 8)},
    "rotate1": Control(
        "RGB and itself rotated by 1 degree (bilinear), cut so that no border is invented.",
        lambda v: v.both(rotated(v.images["visible"], v.backbone.patch)),
        infrared=False,
    ),
    "random": Control(
        "The real pairs, through the same model with random weights.",
        lambda views: views.both(views.images.values(), by=views.random),
    ),
    "stretch": _of_infrared(
        "The real pairs with infrared stretched from its .5 to its 99.5 percentile.", stretched
    ),
    "unstretch": _of_infrared(
        "The real pairs with infrared at half of its contrast about its mean.", flattened
    ),
    "cropped": Control(
        "The real pairs without one patch on each side: the reference for aligned pairs.", _window
    ),
    "aligned": Control(
        "The real pairs without one patch on each side, each moved by the best translation in "
        "whole pixels; a pair without a clear estimate is not moved.",
        lambda views: _window(views, views.offsets),
    ),
}
