"""Controls: pairs of pictures whose divergence has nothing to do with infrared.

Levels and ratios of "real" pairs (RGB and infrared of one place) mean something only beside those
of "shuffled" pairs, of RGB beside its "grey" copy, and of RGB beside itself moved by 4 px.

`PAIRINGS` holds them by name for a stream of pairs: a function each, which takes the `Views` of one
batch and returns the maps to compare, each a list of (N, C, h, w) with an entry a layer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from freqkd_lite.data.alignment import Offset
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, crop_size, extract
from freqkd_lite.gap.changes import (
    blurred,
    flattened,
    grey_copy,
    noisy,
    offsets,
    rotated,
    shifted,
    stretched,
    toned,
    window,
)

CONTROLS = ("real", "shuffled", "grey", "shift4")


def spread(total: int, count: int) -> list[int]:
    """`count` of the indices 0 ... total - 1, evenly spread, so that neighbouring frames of one
    drive don't fill a small sample."""
    if not 1 <= count <= total:
        raise UserError(f"pairs={count} can't be taken from {total} pairs: use 1 to {total}.")
    return [i * total // count for i in range(count)]


class Views:
    """What one batch of pairs looks like to a backbone.

    `views("visible")` are the maps of its RGB pictures, `views("visible", "grey", grey_copy)` those
    of changed pictures. Each is computed when first asked for, and once.
    """

    def __init__(
        self,
        backbone: Backbone,
        layers: Sequence[int],
        images: dict[str, Tensor],
        before: Callable[[], list[Tensor]] | None = None,
        student: Backbone | None = None,
        random: Backbone | None = None,
        place: int = 0,
    ):
        """`images` are "visible" and "infrared" (N, 3, H, W); `before` gives the infrared maps
        (1, C, h, w) of the pair that precedes the batch; `student` and `random`, the same model of
        other weights, look where they are asked for; `place` is the batch's in the stream."""
        self.backbone, self.layers, self.images = backbone, tuple(layers), images
        self._before, self.student, self.random, self.place = before, student, random, place
        self.looked, self._maps = 0, {}

    def __call__(
        self,
        modality: str,
        label: str = "",
        change: Callable[[Tensor], Tensor] | None = None,
        by: Backbone | None = None,
    ) -> list[Tensor]:
        """Maps (N, C, h, w) of a modality's pictures, `change`d in the way that `label` names."""
        key = (modality, label, by)
        if key not in self._maps:
            seen = self.images[modality]
            seen = seen if change is None else change(seen)
            self.looked += len(seen)
            self._maps[key] = extract(by or self.backbone, seen, self.layers, batch=len(seen))
        return self._maps[key]

    def seen(self, modality: str) -> bool:
        """Whether these maps are there already."""
        return (modality, "", None) in self._maps

    def drop(self, label: str) -> None:
        """Forget the maps of one label: with twenty controls, all at once would fill the memory."""
        self._maps = {k: v for k, v in self._maps.items() if k[1].split(" ")[0] != label}

    def strangers(self) -> list[Tensor]:
        """The infrared maps moved on by one place: each pair gets those of the pair before it."""
        own = self("infrared")
        return [torch.cat([b, m[:-1]]) for b, m in zip(self._before(), own, strict=True)]

    @cached_property
    def offsets(self) -> list[Offset]:
        """How far each infrared picture lies off its visible one."""
        return offsets(self.images["visible"], self.images["infrared"])


Maps = tuple[list[Tensor], list[Tensor]]
PAIRINGS: dict[str, Callable[[Views], Maps]] = {}
LIGHTS = ("day", "night")
"""Pairings that are the real pairs of one time of day: taken from those, not computed again."""


def pairing(function: Callable | None = None, *, looks: int = 1) -> Callable:
    """Decorator: make a function the pairing of its name. `looks`: about how many pictures of a
    pair the backbone must see for it, which the time left is reckoned from."""
    if function is None:
        return partial(pairing, looks=looks)
    function.looks = looks
    PAIRINGS[function.__name__] = function
    return function


def said(name: str) -> str:
    """What a pairing is, in a sentence or two: its docstring."""
    return " ".join(inspect.getdoc(PAIRINGS[name]).split())


@pairing(looks=2)
def real(views: Views) -> Maps:
    """RGB and infrared of one scene."""
    return views("visible"), views("infrared")


@pairing
def day(views: Views) -> Maps:
    """The real pairs that were taken by day."""
    return real(views)


@pairing
def night(views: Views) -> Maps:
    """The real pairs that were taken by night."""
    return real(views)


@pairing(looks=0)
def shuffled(views: Views) -> Maps:
    """RGB of one scene, infrared of another of the same set: the pair before it in the stream,
    whose order is drawn at random, so that neighbours are no neighbouring frames."""
    return views("visible"), views.strangers()


@pairing
def grey(views: Views) -> Maps:
    """RGB and its own luminance: what colour alone makes of it."""
    return views("visible"), views("visible", "grey", grey_copy)


@pairing
def gamma(views: Views) -> Maps:
    """RGB and itself under another tone curve: each value squared."""
    return views("visible"), views("visible", "gamma", toned)


@pairing
def blur(views: Views) -> Maps:
    """RGB and itself under a Gaussian blur of 1 px."""
    return views("visible"), views("visible", "blur", blurred)


@pairing
def noise(views: Views) -> Maps:
    """RGB and itself with white noise of 5 % of white."""
    return views("visible"), views("visible", "noise", lambda x: noisy(x, views.place))


def _shift(pixels: int) -> Callable[[Views], Maps]:
    """The pairing of a shift. All of up to a patch cut the same left picture, looked at once."""

    def shift(views: Views) -> Maps:
        patch, width = views.backbone.patch, views.images["visible"].shape[-1]
        left = f"left {crop_size((patch, width - pixels), patch)[1]}"
        here, there = (lambda x, i=i: shifted(x, pixels, patch)[i] for i in (0, 1))
        return views("visible", left, here), views("visible", f"shift{pixels}", there)

    shift.__name__ = f"shift{pixels}"
    shift.__doc__ = (
        f"RGB and itself {pixels} px further right, on a grid of one token column fewer."
    )
    return pairing(shift)


for _pixels in (1, 2, 4, 8):
    _shift(_pixels)


@pairing(looks=2)
def rotate1(views: Views) -> Maps:
    """RGB and itself turned by 1 degree (bilinear), cut so that no border is invented."""
    here, there = (lambda x, i=i: rotated(x, 1.0, views.backbone.patch)[i] for i in (0, 1))
    return views("visible", "rotate1", here), views("visible", "rotate1 turned", there)


@pairing(looks=2)
def random(views: Views) -> Maps:
    """The real pairs, seen by the same model with random weights."""
    return (views("visible", "random", by=views.random),
            views("infrared", "random", by=views.random))  # fmt: skip


@pairing
def stretch(views: Views) -> Maps:
    """The real pairs with infrared stretched from its .5 to its 99.5 percentile."""
    return views("visible"), views("infrared", "stretch", stretched)


@pairing
def unstretch(views: Views) -> Maps:
    """The real pairs with infrared at half of its contrast about its mean."""
    return views("visible"), views("infrared", "unstretch", flattened)


def _window(views: Views, modality: str) -> list[Tensor]:
    return views(modality, "window", lambda x: window(x, views.backbone.patch))


@pairing(looks=2)
def cropped(views: Views) -> Maps:
    """The real pairs less one patch on each side: what aligned pairs must be held against."""
    return _window(views, "visible"), _window(views, "infrared")


@pairing
def aligned(views: Views) -> Maps:
    """The real pairs less one patch on each side, each moved by the translation that fits best,
    to whole pixels; one without a clear estimate stays as it is."""
    patch = views.backbone.patch
    moved = views("infrared", "aligned", lambda x: window(x, patch, views.offsets))
    return _window(views, "visible"), moved


BY_CHOICE = tuple(PAIRINGS)
"""The pairings above, by name: all that may be asked for where pairs are measured."""
