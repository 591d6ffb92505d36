"""Pictures with boxes: what a detector found, missed, and saw where nothing is."""

from collections.abc import Mapping, Sequence
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from torch import Tensor

from freqkd_lite.evaluate.detection import best_threshold, one_box_each, outcomes
from freqkd_lite.viz.bands import picture_grid
from freqkd_lite.viz.style import GREEN, VERMILION, Look

LOOK: dict[str, Look] = {
    "hit": dict(color=GREEN, ls="-", lw=1.8),
    "false alarm": dict(color=VERMILION, ls="--", lw=1.6),
    "missed": dict(color="white", ls=":", lw=1.6),
}
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.8, foreground="black")]


def detection_figure(
    columns: Mapping[str, tuple[Sequence[dict[str, Tensor]] | None, str]],
    pictures: Mapping[str, Tensor],
    truth: tuple[Sequence[Tensor], Sequence[Tensor]],
    shown: Sequence[int],
    classes: Sequence[str],
    below: float = 0.0,
) -> tuple[Figure, str]:
    """The `shown` pictures, a row each, with what detectors found in them: hits solid, false alarms
    dashed, missed boxes dotted; a detection carries its class where that hides no other one's.

    `columns`: by title, a detector's predictions on all N pictures and their kind, a key of
    `pictures` (N, 3, H, W); without predictions (None) the column is left out. `truth`: boxes and
    labels of the N pictures. Shown is what scores above the threshold with the best F1 on the
    other pictures (`best_threshold`); boxes with an area under `below` px², and what is detected
    there, are not.
    """
    present = {k: (found, kind) for k, (found, kind) in columns.items() if found is not None}
    seen = {
        name.replace(", ", ",\n"): [pictures[kind][i] for i in shown]
        if kind == "visible"
        else [pictures[kind][i][0] for i in shown]  # in grey, whose contrast is stretched
        for name, (_, kind) in present.items()
    }
    drawn, axes = picture_grid(seen, width=2.6 * len(present))
    others = [i for i in range(len(truth[0])) if i not in shown] or shown
    apart = [[of[i] for i in others] for of in truth]
    names, texts = [], []
    for column, (name, (predictions, _)) in zip(axes.T, present.items(), strict=True):
        threshold = best_threshold([predictions[i] for i in others], *apart, below=below)
        counts = dict.fromkeys(LOOK, 0)
        for ax, i in zip(column, shown, strict=True):
            here, boxes, labels = one_box_each(predictions[i], threshold), truth[0][i], truth[1][i]
            hit, wrong, missed = outcomes(here, boxes, labels, below)
            for outcome, places, kinds in (
                ("hit", here["boxes"][hit], here["labels"][hit]),
                ("false alarm", here["boxes"][wrong], here["labels"][wrong]),
                ("missed", boxes[missed], labels[missed]),
            ):
                counts[outcome] += len(places)
                names += _draw(ax, outcome, places, [classes[int(k)] for k in kinds])
        texts.append(f"{name}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())}")
    lines = [Line2D([], [], label=outcome, path_effects=HALO, **of) for outcome, of in LOOK.items()]
    drawn.legend(handles=lines, loc="outside lower center", ncols=3)
    place_names(drawn, names)
    return drawn, f"{len(shown)} pictures with detections. {'; '.join(texts)}."


def _draw(
    ax: Axes, outcome: str, boxes: Tensor, names: Sequence[str]
) -> list[tuple[Text, Rectangle]]:
    found = []
    for (x0, y0, x1, y1), name in zip(boxes.tolist(), names, strict=True):
        frame = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **LOOK[outcome])
        ax.add_patch(frame).set_path_effects(HALO)
        if outcome != "missed":
            text = ax.text(x0, y0, name, fontsize=8.5, color=LOOK[outcome]["color"])
            text.set_path_effects(HALO)
            found.append((text, frame))
    return found


def place_names(drawn: Figure, names: Sequence[tuple[Text, Rectangle]]) -> None:
    """Put each name at the first corner of its box, above it or below, where it lies in the picture
    and on no earlier name of the figure; hide it where there is none."""
    drawn.canvas.draw()
    taken: list[Bbox] = []
    for text, box in names:
        assert text.axes is not None
        (x0, y0), (x1, y1), inside = box.get_xy(), box.get_corners()[2], text.axes.bbox
        for (x, ha), (y, va) in product(
            ((x0, "left"), (x1, "right")), ((y0 - 2, "bottom"), (y1 + 2, "top"))
        ):
            text.set(x=x, y=y, ha=ha, va=va)
            place = text.get_window_extent()
            within = inside.contains(*place.min) and inside.contains(*place.max)
            if within and not any(place.overlaps(other) for other in taken):
                taken.append(place)
                break
        else:
            text.set_visible(False)
