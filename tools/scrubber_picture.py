"""Make what the training scrubber shows on the front page, and README's moving picture of it.

    python -m tools.scrubber_picture

Trains (or finds in FREQKD_RUNS) students as notebook 05 does, by its own parameters, and writes
results/scrubber/marks.npz and docs/scrubber.webp. About a second of one core for each step that the
notebook trains. The scene is chosen by RGB alone, whatever comes of it in infrared: of those held
out, the one in which the head finds most patches of the class that it finds least of.
"""

from pathlib import Path

from PIL import Image

from freqkd_lite import data, features
from freqkd_lite.distil.methods import distil_methods
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import labels_of
from freqkd_lite.runner.pages import MARKS
from freqkd_lite.runner.parameters import parameters
from freqkd_lite.store import Arrays, encoded, write_arrays
from freqkd_lite.widgets.drawing import canvas, write
from freqkd_lite.widgets.scrubber import Scrubber, compute_marks, rgb_head

ROOT = Path(__file__).parent.parent
METHODS = ("none", "mse", "freqkd_code", "mse (mismatched=True)")  # the last is the control
MOMENTS, LOOKED_AT = 12, 96  # scenes
STRIP, BLUE, LIMIT = 52, "#0072b2", 1_500_000  # pixels above a card, bytes


def measure() -> Arrays:
    """The marks of the chosen scene by the students of notebook 05."""
    declared = parameters(ROOT / "notebooks" / "05_distillation.ipynb")
    known = {name: each.default for name, each in declared.items()}
    known["further"] = {**known["further"], "keep_steps": MOMENTS}
    teacher = features.load_backbone(known["model"]).freeze()
    runs, _ = distil_methods(METHODS, known, teacher)
    blocks, first = known["read_blocks"], next(iter(runs.values()))
    head = rgb_head(first, teacher, blocks)
    held_out = data.load(known["dataset"], known["split"], first.settings.size, limit=LOOKED_AT)
    seen = features.extract(teacher, data.stack(held_out, "visible"), blocks)
    right = head.logits(seen).argmax(1) == labels_of(held_out, teacher.patch)

    def found(scene: int) -> tuple[int, int]:
        truth = labels_of(held_out, teacher.patch, [scene])[0]
        counts = [int(right[scene][truth == k].sum()) for k in range(len(held_out.classes))]
        return min(counts), sum(counts)

    pair = held_out[max(range(len(held_out)), key=found)]
    return compute_marks(runs, pair, head, blocks, held_out.classes)


def with_controls(shown: Scrubber, step: int, method: int) -> Image.Image:
    """One state of the scrubber below its slider and its choice of methods."""
    card, steps = shown.card(step, method), shown.steps
    picture, draw = canvas(card.width, card.height + STRIP)
    picture.paste(card, (0, STRIP))
    x = 8
    for place, name in enumerate(shown.methods):
        draw.ellipse((x, 6, x + 15, 21), "white", BLUE if place == method else "#777", 2)
        if place == method:
            draw.ellipse((x + 4, 10, x + 11, 17), BLUE)
        write(draw, x + 22, 5, name)
        x += 46 + round(draw.textlength(name, font_size=14))
    start, end, y = 8, card.width - 9, 40
    at = start + (end - start) * steps.index(step) / (len(steps) - 1)
    draw.rounded_rectangle((start, y - 2, end, y + 2), 2, "#c9ccd0")
    draw.rounded_rectangle((start, y - 2, at, y + 2), 2, BLUE)
    draw.ellipse((at - 8, y - 8, at + 8, y + 8), BLUE)
    return picture


def record(shown: Scrubber, path: Path) -> None:
    """Write a looping WebP: each method's training from the first step to the last."""
    states = [(n, m) for m in range(len(shown.methods)) for n in shown.steps]
    frames = [with_controls(shown, *state) for state in states]
    times = [1800 if n in (0, shown.steps[-1]) else 350 for n, _ in states]
    packing = dict(quality=72, method=4, save_all=True, duration=times, loop=0)
    content = encoded(frames[0].save, format="WEBP", append_images=frames[1:], **packing)
    if len(content) > LIMIT:
        raise UserError(f"{path.name} needs over {LIMIT} bytes: lower its quality.")
    path.write_bytes(content)


if __name__ == "__main__":
    found = measure()
    write_arrays(ROOT / MARKS, found, small=True)
    shown = Scrubber(found)
    record(shown, ROOT / "docs" / "scrubber.webp")
    print(shown.alt_text())
