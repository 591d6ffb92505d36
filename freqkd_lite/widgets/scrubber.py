"""The training scrubber: drag the step and watch a head that never saw infrared find objects.

Two controls: the training step and the method. Two panels: an infrared picture with the marks that
an RGB-trained head gives by that student at that step, and the RGB picture with the head's own.
scrubber.js picks and draws what `compute_marks` gives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.distil import Run
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import LogisticProbe, labels_of, patch_labels
from freqkd_lite.features import Backbone, extract, load_backbone
from freqkd_lite.names import method_name
from freqkd_lite.store import Arrays
from freqkd_lite.viz import style
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.embed import PageWidget, joined, module, name_and_pictures, nearest_step

COLOURS = (style.ORANGE, style.SKY, style.PURPLE, style.VERMILION)  # of classes, in turn
SURE, FAINT = 128, 13  # of 255: marks above are framed; below the second, not drawn
FILL = 0.6  # how opaque a mark of probability 1 is
TITLES = ("Infrared: the same head, no infrared label", "RGB: what the head was trained on")
FOOTNOTE = (
    "A patch is as strongly coloured as the head is sure that it shows that class, and framed from "
    "a probability of one half on: found, where that class is. White corners: what is there."
)


def rgb_head(run: Run, teacher: Backbone, blocks: Sequence[int]) -> LogisticProbe:
    """A head fitted on the teacher's features of the RGB pictures that the run learned from."""
    asked = run.settings
    options = asked.data_options | {"limit": asked.limit}
    pairs = data.open_sets(asked.dataset, "train", asked.size, asked.root, **options)
    data.require(pairs, "boxes", notebook="An RGB head")
    maps = extract(teacher, data.stack(pairs, "visible"), blocks)
    return LogisticProbe().fit(maps, labels_of(pairs, teacher.patch), [*pairs.classes, "none"])


def compute_marks(
    runs: Mapping[str, Run],
    pair: data.Pair,
    head: LogisticProbe | None = None,
    blocks: Sequence[int] | None = None,
    classes: Sequence[str] = data.CLASSES,
) -> Arrays:
    """What the head marks in a pair that has boxes, by runs that saved weights at the same steps.

    `head` reads `blocks`, by default the last two that were matched; without one, it is fitted here
    (`rgb_head`). Gives `on_rgb` (K, h, w) and `on_infrared` (methods, steps, K, h, w), the
    probability of each class per patch, uint8, 255 is 1; `truth` (h, w), the patches' classes, K
    for none; and the pair's name, pictures (2, H, W, 3), boxes, classes, methods and steps.
    """
    moments = {(0, *run.settings.moments) for run in runs.values()}
    if len(moments) != 1 or moments == {(0,)}:
        raise UserError(
            f"The runs {', '.join(runs)} saved no weights at the same steps: distil them with "
            "keep_steps=12, which trains again and adds them, and as many steps each."
        )
    if pair.boxes is None or pair.labels is None:
        raise UserError(f"The pair {pair.name} has no boxes: give one of a data set that has them.")
    about, (visible, infrared) = name_and_pictures(pair)
    run = next(iter(runs.values()))
    teacher = load_backbone(run.settings.teacher, run.settings.teacher_weights).freeze()
    blocks = blocks or run.settings.blocks[-2:]
    head = head or rgb_head(run, teacher, blocks)

    def marks(net: Backbone, picture: Tensor) -> np.ndarray:
        chances = head.logits(extract(net, picture[None], blocks))[0].softmax(0)
        return (255 * chances[: len(classes)]).round().byte().numpy()

    on_rgb = marks(teacher, visible)
    students = [[marks(net, infrared) for _, net in run.students()] for run in runs.values()]
    pictures = torch.stack([infrared, visible]).permute(0, 2, 3, 1)
    known = pair.boxes, pair.labels, on_rgb.shape[1:], teacher.patch, len(classes)
    found = {"about": about, "classes": classes, "steps": moments.pop()}
    found |= {"methods": [*map(method_name, runs)], "pictures": (255 * pictures).round().byte()}
    found |= {"boxes": np.asarray(pair.boxes, "float32").round(1), "truth": patch_labels(*known)}
    found |= {"on_rgb": on_rgb, "on_infrared": students}
    return {name: np.asarray(value) for name, value in found.items()}


class Scrubber(PageWidget):
    """The marks of `compute_marks`, along training. `step` (one of `steps`) and `method` (its place
    in `methods`) follow the reader, can be set and observed."""

    _esm = module("scrubber")
    jpegs = traitlets.Bytes().tag(sync=True)
    values = traitlets.Bytes().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    method = traitlets.Int().tag(sync=True)

    def __init__(self, marks: Arrays, step: int = 0, method: int = 0):
        self.marks, self.truth = marks, marks["truth"]
        lists = {k: marks[k].tolist() for k in ("about", "classes", "methods", "steps", "boxes")}
        self.classes, self.methods, self.steps = (lists[k] for k in ("classes", "methods", "steps"))
        self.colours = [COLOURS[k % len(COLOURS)] for k in range(len(self.classes))]
        self.counts = [int((self.truth == k).sum()) for k in range(len(self.classes))]
        self.pictures = [Image.fromarray(pixels) for pixels in marks["pictures"]]
        self.cell = self.pictures[0].width // self.truth.shape[1]
        by_step = [[self.found(each) for each in method] for method in marks["on_infrared"]]
        on_rgb = self.found(marks["on_rgb"])
        most = max(wrong for _, wrong in (*sum(by_step, []), on_rgb))
        jpegs, cuts = joined(self.pictures, quality=95)
        spec = lists | {
            "title": "Training scrubber: what an RGB head marks in infrared",
            "size": self.truth.shape,
            "cell": self.cell,
            "counts": self.counts,
            "colours": self.colours,
            "bars": [style.COLOURS["infrared"], style.COLOURS["visible"]],
            "found": by_step,
            "on_rgb": on_rgb,
            "wrong": [f"{n} false mark{'' if n == 1 else 's'}" for n in range(most + 1)],
            "looks": [SURE, FAINT, FILL],
            "titles": TITLES,
            "cuts": cuts,
            "footnote": FOOTNOTE,
        }
        values = marks["on_rgb"].tobytes() + marks["on_infrared"].tobytes()
        super().__init__(spec=spec, jpegs=jpegs, values=values, step=step, method=method)

    @traitlets.validate("step", "method")
    def _known(self, proposal: dict) -> float:
        known = self.steps if proposal["trait"].name == "step" else range(len(self.methods))
        return nearest_step(proposal["trait"].name, proposal["value"], known)

    def found(self, marks: np.ndarray) -> tuple[list[int], int]:
        """Patches with their class's mark (one half or more), by class, and with another's."""
        of_class = self.truth == np.arange(len(marks))[:, None, None]
        marked = marks >= SURE
        return (marked & of_class).sum((1, 2)).tolist(), int((marked & ~of_class).sum())

    def describe(self, marks: np.ndarray) -> str:
        """How many patches of each class are found."""
        found, wrong = self.found(marks)
        each = zip(self.classes, found, self.counts, strict=True)
        words = ", ".join(f"{name} {n} of {count}" for name, n, count in each)
        return f"{words}; {self.spec['wrong'][wrong]}"

    def at(self, step: int, method: int) -> np.ndarray:
        """The marks in infrared, uint8 (K, h, w), at a step by a method, given by its place."""
        return self.marks["on_infrared"][method, self.steps.index(step)]

    def states(self) -> list[tuple]:
        """Before training, and each method at its end."""
        return [(0, self.method), *((self.steps[-1], m) for m in range(len(self.methods)))]

    def alt_text(self) -> str:
        first, *ends = (self.describe(self.at(*state)) for state in self.states())
        last = "; ".join(f"{name}, {end}" for name, end in zip(self.methods, ends, strict=True))
        return (
            f"{self.spec['title']}, {self.spec['about']}. Patches found in RGB: "
            f"{self.describe(self.marks['on_rgb'])}. In infrared, undistilled: {first}. "
            f"At step {self.steps[-1]}: {last}."
        )

    def card(self, step: int, method: int) -> Image.Image:
        """One state drawn as a picture."""
        w = 368
        h = round(w * self.truth.shape[0] / self.truth.shape[1])
        card, draw = drawing.canvas(2 * w + 32, h + 76)
        name = self.methods[method] if step else "undistilled"
        drawing.write(draw, 8, 4, f"Training step {step} of {self.steps[-1]}, {name}")
        both = self.at(step, method), self.marks["on_rgb"]
        shown = map(self.marked, self.pictures, both)
        lefts = drawing.panels(card, 24, shown, TITLES, self.spec["bars"], (w, h))
        for x, marks in zip(lefts, both, strict=True):
            drawing.write(draw, x, h + 54, f"Found: {self.describe(marks)}", 12)
        return card

    def marked(self, picture: Image.Image, marks: np.ndarray) -> Image.Image:
        """A picture under marks, three times as large, much as the page draws it."""
        side, size = 3 * self.cell, (3 * picture.width, 3 * picture.height)
        over = Image.new("RGBA", size)
        draw = ImageDraw.Draw(over)
        for (y, x), value in np.ndenumerate(marks.max(0)):
            if value >= FAINT:
                colour = ImageColor.getrgb(self.colours[marks[:, y, x].argmax()])
                box = (x * side, y * side, (x + 1) * side - 1, (y + 1) * side - 1)
                frame = colour if value >= SURE else None
                draw.rectangle(box, (*colour, round(FILL * value)), frame, 3)
        for box in self.spec["boxes"]:
            draw.rectangle([3 * edge for edge in box], None, "#ffffff", 1)
        shown = picture.resize(size, Image.Resampling.BICUBIC).convert("RGBA")
        return Image.alpha_composite(shown, over).convert("RGB")


def scrubber(runs: Mapping[str, Run], pair: data.Pair, *a: Any, **k: Any) -> Scrubber:
    """The scrubber of a pair over finished runs that saved weights; see `compute_marks`."""
    return Scrubber(compute_marks(runs, pair, *a, **k))
