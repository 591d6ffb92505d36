"""Controls: pairs of pictures whose divergence has nothing to do with infrared.

The divergence of real pairs (RGB and infrared of one scene) means something only beside that of
mismatched pairs, of RGB and its grey copy, and of RGB and itself moved by a few pixels. `CONTROLS`
lists them by name; each compares the features of two pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from freqkd_lite.data.alignment import Offset, offset
from freqkd_lite.data.images import PERCENTILES
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, crop_size, extract

Maps = tuple[list[Tensor], list[Tensor]]
TIMES = ("day", "night")
"""Controls that are the real pairs of one time of day: taken from those, not computed again."""


# What controls do to pictures (..., 3, H, W) in [0, 1].


def grey_copy(images: Tensor) -> Tensor:
    """RGB as luminance (ITU-R BT.601) in all three channels."""
    return functional.rgb_to_grayscale(images, num_output_channels=3)


def gamma(images: Tensor) -> Tensor:
    """Each value squared: the tone curve of another camera."""
    return images**2


def blurred(images: Tensor) -> Tensor:
    """A Gaussian blur of sigma 1 px, mirrored at the border."""
    return functional.gaussian_blur(images, 7, 1.0)


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
    """Half of each picture's contrast about its mean, as if stored over twice the range of
    temperatures."""
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
    cut = []
    for i, image in enumerate(images):
        down, right = steps(moves[i], patch) if moves else (0, 0)
        top, left = patch + down, patch + right
        cut.append(image[..., top : top + height, left : left + width])
    return torch.stack(cut)


class Views:
    """Feature maps of one batch of pairs, computed when first asked for, and once.

    `views("visible")` are the maps of its RGB pictures, `views("visible", "grey", grey_copy)` those
    of changed pictures.
    """

    def __init__(
        self,
        backbone: Backbone,
        blocks: Sequence[int],
        images: dict[str, Tensor],
        before: Callable[[], list[Tensor]] | None = None,
        student: Backbone | None = None,
        random: Backbone | None = None,
        place: int = 0,
    ):
        """`images` are "visible" and "infrared" (N, 3, H, W); `before` gives the infrared maps
        (1, C, h, w) of the pair before the batch; `student` and `random` are networks that some
        controls use; `place` is the position of the batch among the pairs."""
        self.backbone, self.blocks, self.images = backbone, tuple(blocks), images
        self.before, self.student, self.random, self.place = before, student, random, place
        self.times_of_day: list[str] = []
        self._maps: dict[tuple, list[Tensor]] = {}

    def __call__(
        self,
        modality: str,
        label: str = "",
        change: Callable[[Tensor], Tensor] | None = None,
        by: Backbone | None = None,
    ) -> list[Tensor]:
        """Maps (N, C, h, w) of a modality's pictures, after the `change` that `label` names."""
        key = (modality, label, by)
        if key not in self._maps:
            pictures = self.images[modality]
            pictures = pictures if change is None else change(pictures)
            net = by or self.backbone
            self._maps[key] = extract(net, pictures, self.blocks, batch=len(pictures))
        return self._maps[key]

    def computed(self, modality: str) -> bool:
        """Whether the maps of the unchanged pictures are there already."""
        return (modality, "", None) in self._maps

    def drop(self, label: str) -> None:
        """Free the maps of one label: those of twenty controls at once would fill the memory."""
        self._maps = {k: v for k, v in self._maps.items() if k[1].split(" ")[0] != label}

    def mismatched(self) -> list[Tensor]:
        """The infrared maps moved on by one place: each pair gets those of the pair before it."""
        own = self("infrared")
        return [torch.cat([b, m[:-1]]) for b, m in zip(self.before(), own, strict=True)]

    @cached_property
    def offsets(self) -> list[Offset]:
        """Estimated shift of each infrared picture against its visible one."""
        grey = (self.images[kind].mean(1).numpy() for kind in ("visible", "infrared"))
        return [offset(a, b) for a, b in zip(*grey, strict=True)]


@dataclass(frozen=True)
class Control:
    """`about` says what is compared, `maps` gives the two lists of maps, one (N, C, h, w) a block;
    `infrared`: whether an infrared picture is among them."""

    about: str
    maps: Callable[[Views], Maps]
    infrared: bool = True


def real(views: Views) -> Maps:
    """RGB and infrared as they are."""
    return views("visible"), views("infrared")


def _mismatched(views: Views) -> Maps:
    return views("visible"), views.mismatched()


def _changed(name: str, modality: str, change: Callable[[Tensor], Tensor]) -> Callable:
    return lambda views: (views("visible"), views(modality, name, change))


def _noise(views: Views) -> Maps:
    return views("visible"), views("visible", "noise", lambda x: noisy(x, views.place))


def _shift(pixels: int) -> Callable[[Views], Maps]:
    """All shifts of up to a patch cut the same left picture, whose maps are computed once."""

    def maps(views: Views) -> Maps:
        patch, width = views.backbone.patch, views.images["visible"].shape[-1]
        left = f"left {crop_size((patch, width - pixels), patch)[1]}"
        here, there = (lambda x, i=i: shifted(x, pixels, patch)[i] for i in (0, 1))
        return views("visible", left, here), views("visible", f"shift{pixels}", there)

    return maps


def _rotated(views: Views) -> Maps:
    here, there = (lambda x, i=i: rotated(x, 1.0, views.backbone.patch)[i] for i in (0, 1))
    return views("visible", "rotate1", here), views("visible", "rotate1 turned", there)


def _random(views: Views) -> Maps:
    return tuple(views(kind, "random", by=views.random) for kind in ("visible", "infrared"))


def _cropped(views: Views) -> Maps:
    patch = views.backbone.patch
    both = ("visible", "infrared")
    return tuple(views(kind, "window", lambda x: window(x, patch)) for kind in both)


def _aligned(views: Views) -> Maps:
    patch = views.backbone.patch
    moved = views("infrared", "aligned", lambda x: window(x, patch, views.offsets))
    return views("visible", "window", lambda x: window(x, patch)), moved


CONTROLS = {
    "real": Control("RGB and infrared of one scene.", real),
    "day": Control("The real pairs taken by day.", real),
    "night": Control("The real pairs taken by night.", real),
    "mismatched": Control(
        "RGB of one scene, infrared of another one of the same set, in random order.", _mismatched
    ),
    "grey": Control(
        "RGB and its own luminance.", _changed("grey", "visible", grey_copy), infrared=False
    ),
    "gamma": Control(
        "RGB and itself with each value squared.",
        _changed("gamma", "visible", gamma),
        infrared=False,
    ),
    "blur": Control(
        "RGB and itself after a Gaussian blur of 1 px.",
        _changed("blur", "visible", blurred),
        infrared=False,
    ),
    "noise": Control("RGB and itself with white noise of 5 % of white.", _noise, infrared=False),
    **{
        f"shift{n}": Control(
            f"RGB and itself {n} px further right, on a grid of one token column fewer.",
            _shift(n),
            infrared=False,
        )
        for n in (1, 2, 4, 8)
    },
    "rotate1": Control(
        "RGB and itself rotated by 1 degree (bilinear), cut so that no border is invented.",
        _rotated,
        infrared=False,
    ),
    "random": Control("The real pairs, through the same model with random weights.", _random),
    "stretch": Control(
        "The real pairs with infrared stretched from its .5 to its 99.5 percentile.",
        _changed("stretch", "infrared", stretched),
    ),
    "unstretch": Control(
        "The real pairs with infrared at half of its contrast about its mean.",
        _changed("unstretch", "infrared", flattened),
    ),
    "cropped": Control(
        "The real pairs without one patch on each side: the reference for aligned pairs.", _cropped
    ),
    "aligned": Control(
        "The real pairs without one patch on each side, each moved by the best translation in "
        "whole pixels; a pair without a clear estimate is not moved.",
        _aligned,
    ),
}
