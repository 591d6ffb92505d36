"""Class masks drawn over pictures."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from freqkd_lite.evaluate.segmentation import SegmentationResult
from freqkd_lite.results.text import number
from freqkd_lite.viz.bands import picture_grid
from freqkd_lite.viz.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# One for each class, in their order; the last ones are those of things.
SHADES = (BLACK, GREY, PURPLE, GREEN, SKY, VERMILION, ORANGE, BLUE)


def mask_figure(
    columns: Mapping[str, tuple[Tensor, Tensor | SegmentationResult]],
    shown: Sequence[int],
    classes: Sequence[str],
) -> tuple[Figure, str]:
    """The `shown` pictures, one row each: each column's pictures (N, 3, H, W) under a mask (N, H,
    W), or under what a segmenter predicted, whose IoU is in the title."""
    shades = torch.tensor([to_rgb(shade) for shade, _ in zip(cycle(SHADES), classes, strict=False)])
    blended, iou = {}, []
    for name, (pictures, mask) in columns.items():
        iou.append(name)
        if isinstance(mask, SegmentationResult):
            iou[-1] += f" {number(mask.miou)}"
            mask = mask.predictions
        blended[name.replace(", ", ",\n")] = [
            0.5 * _brightened(pictures[i]) + 0.5 * shades[mask[i]].permute(2, 0, 1) for i in shown
        ]
    drawn, _ = picture_grid(blended, width=2.1 * len(columns))
    patches = [Patch(color=c, label=name) for c, name in zip(shades.tolist(), classes, strict=True)]
    drawn.legend(handles=patches, loc="outside lower center", ncols=len(classes), fontsize=8.5)
    return drawn, f"{len(shown)} pictures with masks of their classes. Mean IoU: {'; '.join(iou)}."


def _brightened(picture: Tensor) -> Tensor:
    """Infrared (three equal channels), which is dark, up to its lightest percent."""
    if not torch.equal(picture[0], picture[1]):
        return picture
    return (picture / picture.quantile(0.99).clamp(min=1e-3)).clamp(0, 1)
