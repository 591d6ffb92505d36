"""Class masks drawn over pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from freqkd_lite.evaluate.segmentation import SegmentationResult
from freqkd_lite.results.text import number
from freqkd_lite.viz.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, style

# One for each class, in their order; the last ones are those of things.
SHADES = (BLACK, GREY, PURPLE, GREEN, SKY, VERMILION, ORANGE, BLUE)


def mask_figure(
    columns: Mapping[str, tuple[Tensor, Tensor | SegmentationResult]],
    shown: Sequence[int],
    classes: Sequence[str],
) -> tuple[Figure, str]:
    """The `shown` pictures, a row each: each column's pictures (N, 3, H, W) under a mask (N, H, W),
    or under what a segmenter predicted, whose IoU stands above. With a description."""
    style()
    height, width = next(iter(columns.values()))[0].shape[-2:]
    shape = (2.1 * len(columns), 2.1 * len(shown) * height / width + 0.9)
    drawn, axes = plt.subplots(len(shown), len(columns), figsize=shape, squeeze=False)
    shades = np.array(
        [plt.matplotlib.colors.to_rgb(SHADES[k % len(SHADES)]) for k in range(len(classes))]
    )
    said = []
    for column, (name, (pictures, mask)) in zip(axes.T, columns.items(), strict=True):
        said.append(name)
        if isinstance(mask, SegmentationResult):
            said[-1] += f" {number(mask.miou)}"
            mask = mask.predictions
        column[0].set_title(name.replace(", ", ",\n"), fontsize=9.5)
        for ax, i in zip(column, shown, strict=True):
            under = pictures[i].permute(1, 2, 0).numpy()
            if np.ptp(under, axis=2).max() == 0:  # infrared, which is dark
                under = (under / np.percentile(under, 99).clip(1e-3)).clip(0, 1)
            ax.imshow(0.5 * under + 0.5 * shades[mask[i].numpy()])
            ax.set_axis_off()
    patches = [Patch(color=shade, label=name) for shade, name in zip(shades, classes, strict=True)]
    drawn.legend(handles=patches, loc="outside lower center", ncols=len(classes), fontsize=8.5)
    return drawn, f"{len(shown)} pictures with masks of their classes. Mean IoU: {'; '.join(said)}."
