"""Controls: pairs of pictures whose divergence has nothing to do with infrared.

Levels and ratios of "real" pairs (RGB and infrared of one place) mean something only beside those
of "shuffled" pairs, of RGB beside its "grey" copy, and of RGB beside itself moved by 4 px.

`PAIRINGS` holds them by name for a stream of pairs: a function each, which takes the `Views` of one
batch and returns the maps to compare, each a list of (N, C, h, w) with an entry a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, crop_size, extract

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


class Views:
    """What one batch of pairs looks like to a backbone.

    `views("visible")` are the maps of its RGB pictures, `views("visible", grey_copy)` those of
    changed pictures. Each is computed when first asked for, and once.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[int],
        images: dict[str, Tensor],
        before: Callable[[], list[Tensor]] | None = None,
        student: Backbone | None = None,
    ):
        """`images` are "visible" and "infrared" (N, 3, H, W); `before` gives the infrared maps
        (1, C, h, w) of the pair that precedes the batch; `student` looks where it is asked for."""
        self.backbone, self.layers, self.images = backbone, tuple(layers), images
        self._before, self.student, self._maps = before, student, {}

    def __call__(
        self,
        modality: str,
        change: Callable[[Tensor], Tensor] | None = None,
        by: Backbone | None = None,
    ) -> list[Tensor]:
        key = (modality, change, by)
        if key not in self._maps:
            seen = self.images[modality]
            seen = seen if change is None else change(seen)
            self._maps[key] = extract(by or self.backbone, seen, self.layers, batch=len(seen))
        return self._maps[key]

    def seen(self, modality: str) -> bool:
        """Whether these maps are there already."""
        return (modality, None, None) in self._maps

    def strangers(self) -> list[Tensor]:
        """The infrared maps moved on by one place: each pair gets those of the pair before it."""
        own = self("infrared")
        return [torch.cat([b, m[:-1]]) for b, m in zip(self._before(), own, strict=True)]


Pairing = Callable[[Views], tuple[list[Tensor], list[Tensor]]]
PAIRINGS: dict[str, Pairing] = {}


def pairing(function: Pairing) -> Pairing:
    """Decorator: make a function the pairing of its name."""
    PAIRINGS[function.__name__] = function
    return function


@pairing
def real(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """RGB and infrared of one scene."""
    return views("visible"), views("infrared")


@pairing
def shuffled(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """RGB of one scene, infrared of another: the pair before it in the stream, whose order is
    drawn at random, so that neighbours are no neighbouring frames."""
    return views("visible"), views.strangers()


@pairing
def grey(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """RGB and its own luminance: what colour alone makes of it."""
    return views("visible"), views("visible", grey_copy)


@pairing
def shift4(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """RGB and itself 4 px further right, on a grid of one token column fewer."""
    return views("visible", _left), views("visible", _right)


def _left(images: Tensor) -> Tensor:
    return shifted(images, 4)[0]


def _right(images: Tensor) -> Tensor:
    return shifted(images, 4)[1]
