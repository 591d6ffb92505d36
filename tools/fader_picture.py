"""Record README's moving picture: the fader being used on a scene of this project.

python -m tools.fader_picture docs/fader.webp
"""

import sys
from pathlib import Path

from PIL import Image

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.store import encoded
from freqkd_lite.widgets import fader
from freqkd_lite.widgets.drawing import canvas, few_colours, write
from freqkd_lite.widgets.fader import Fader

CUTOFFS = (
    *(0.5, 0.42, 0.36, 0.3, 0.26, 0.22, 0.19, 0.16, 0.14),
    *(0.12, 0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04),
)
STRIP, BLUE = 54, "#0072b2"  # height of the controls above a card, in pixels


def with_controls(shown: Fader, cutoff: float, swap: bool) -> Image.Image:
    """One state of the fader below its slider and its checkbox."""
    card = shown.card(cutoff, swap)
    picture, draw = canvas(card.width, card.height + STRIP)
    picture.paste(card, (0, STRIP))
    write(draw, 8, 6, "Cutoff")
    write(draw, 104, 6, shown.spec["swap_label"])
    draw.rounded_rectangle((80, 7, 96, 23), 3, BLUE if swap else "white", "#777")
    if swap:
        draw.line((84, 15, 87, 19, 93, 11), "white", 2)
    start, end, y = 8, card.width - 9, 40
    at = start + (end - start) * shown.cutoffs.index(cutoff) / (len(shown.cutoffs) - 1)
    draw.rounded_rectangle((start, y - 2, end, y + 2), 2, "#c9ccd0")
    draw.rounded_rectangle((start, y - 2, at, y + 2), 2, BLUE)
    draw.ellipse((at - 8, y - 8, at + 8, y + 8), BLUE)
    return picture


def record(pair: data.Pair | tuple, path: Path, limit: int = 1_500_000) -> Path:
    """Write a looping GIF or WebP (by the suffix of `path`) of the fader being used on a pair: down
    from a high cutoff, the swap, and up again. `limit`: bytes; frames are left out to keep it."""
    if path.suffix not in (".gif", ".webp"):
        raise UserError(f"{path.name} can't hold a moving picture: name it .gif or .webp.")
    shown = fader(pair)
    for stride in (1, 2, 4):
        down = CUTOFFS[::stride]
        states = [(cutoff, False) for cutoff in down] + [(cutoff, True) for cutoff in down[::-1]]
        frames = [with_controls(shown, *state) for state in states]
        rests = (0, len(down) - 1, len(down), len(frames) - 1)
        times = [1200 if i in rests else 80 * stride for i in range(len(frames))]
        if path.suffix == ".gif":
            frames = few_colours(frames, 96)
            packing = {"optimize": False, "disposal": 1}
        else:
            packing = {"quality": 70, "method": 4}
        packing |= {"save_all": True, "append_images": frames[1:], "duration": times, "loop": 0}
        content = encoded(frames[0].save, format=path.suffix[1:], **packing)
        if len(content) <= limit:
            path.write_bytes(content)
            return path
    raise UserError(f"{path.name} needs over {limit} bytes: give a smaller pair or a .webp name.")


if __name__ == "__main__":
    record(data.load("scenes", "train", (168, 224))[4], Path(sys.argv[1]))
