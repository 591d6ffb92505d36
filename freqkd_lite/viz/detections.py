"""Pictures with boxes: what a detector found, missed, and saw where nothing is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from freqkd_lite.evaluate.detection import outcomes
from freqkd_lite.viz.style import GREEN, VERMILION, style

LOOK = {
    "hit": dict(color=GREEN, ls="-"),
    "false alarm": dict(color=VERMILION, ls="--"),
    "missed": dict(color="white", ls=":"),
}
HALO = [withStroke(linewidth=2.8, foreground="black")]


def detection_figure(
    columns: Mapping[str, tuple[Tensor, Sequence[dict[str, Tensor]]]],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    classes: Sequence[str],
    title: str,
) -> tuple[Figure, str]:
    """Each column's pictures (N, 3, H, W), a row each, with its detections (`one_box_each`) beside
    the true `boxes` and `labels` of each picture: hits solid, false alarms dashed, missed boxes
    dotted. A detection carries its class where that hides no other one's. With a description."""
    style()
    height, width = next(iter(columns.values()))[0].shape[-2:]
    shape = (2.6 * len(columns), 2.6 * len(boxes) * height / width + 0.9)
    drawn, axes = plt.subplots(len(boxes), len(columns), figsize=shape, squeeze=False)
    texts, said = [], []
    for column, (name, (pictures, found)) in zip(axes.T, columns.items(), strict=True):
        counts = dict.fromkeys(LOOK, 0)
        column[0].set_title(name, fontsize=10)
        for ax, picture, here, box, label in zip(
            column, pictures, found, boxes, labels, strict=True
        ):
            ax.imshow(picture.permute(1, 2, 0).clamp(0, 1))
            ax.set_axis_off()
            hit, missed = outcomes(here, box, label)
            parts = {"hit": here["boxes"][hit], "false alarm": here["boxes"][~hit]}
            for kind, of in (parts | {"missed": box[missed]}).items():
                counts[kind] += len(of)
                for x0, y0, x1, y1 in of.tolist():
                    frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, lw=1.6, **LOOK[kind])
                    ax.add_patch(frame).set_path_effects(HALO)
            for (x0, y0, *_), klass, right in zip(
                here["boxes"].tolist(), here["labels"], hit, strict=True
            ):
                shade = LOOK["hit" if right else "false alarm"]["color"]
                texts.append(
                    ax.text(x0, y0 - 2, classes[klass], fontsize=8, color=shade, clip_on=True)
                )
                texts[-1].set_path_effects(HALO)
        said.append(f"{name}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
    lines = [
        Line2D([], [], lw=1.6, path_effects=HALO, label=kind, **look) for kind, look in LOOK.items()
    ]
    drawn.legend(handles=lines, loc="outside lower center", ncols=3)
    drawn.suptitle(title, fontsize=11.5, fontweight="bold", x=0.01, ha="left")
    hide_overlaps(drawn, texts)
    return drawn, f"{len(boxes)} pictures with detections. {'; '.join(said)}."


def hide_overlaps(drawn: Figure, texts: Sequence) -> None:
    """Hide each text that would be printed over an earlier one of the figure."""
    drawn.canvas.draw()
    free = []
    for text in texts:
        place = text.get_window_extent()
        text.set_visible(not any(place.overlaps(other) for other in free))
        if text.get_visible():
            free.append(place)
