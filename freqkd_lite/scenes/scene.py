"""One procedural pair: its pictures, mask and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from freqkd_lite.errors import UserError
from freqkd_lite.scenes.camera import rasterise
from freqkd_lite.scenes.light import SceneSettings, infrared, visible
from freqkd_lite.scenes.things import stream
from freqkd_lite.store import digest

SIZE = (168, 224)


@dataclass(frozen=True)
class Scene:
    """One pair. Mask, boxes and labels are in the infrared frame.

    visible (H, W, 3) and infrared (H, W) are uint8; mask (H, W) uint8 holds ids of MASK_CLASSES;
    boxes (N, 4) float32 are x0 y0 x1 y1 in pixels, the tight box of the object's visible pixels;
    labels (N,) int64 index CLASSES. An object of which under 12 pixels (at width 224) or under a
    third would be seen is not drawn at all, so nothing in the picture goes unlabelled.
    """

    visible: np.ndarray
    infrared: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    time: str
    weather: str

    def checksum(self) -> str:
        """16 hex digits of mask, boxes and labels to the bit, and of both pictures' means in twelve
        fields in steps of 16 grey levels: no processor's last bits can be seen in it."""
        height, width = (side // k for side, k in zip(self.mask.shape, (3, 4), strict=True))
        parts = [self.mask.tobytes(), self.boxes.tolist(), self.labels.tolist()]
        for picture in (self.visible, self.infrared):
            cut = picture[: 3 * height, : 4 * width].reshape(3, height, 4, width, -1)
            parts.append((cut.mean((1, 3)) / 16).round().astype(int).tolist())
        return digest(parts)


DEFAULTS = SceneSettings()


def render_scene(
    seed: int, size: tuple[int, int] = SIZE, settings: SceneSettings = DEFAULTS
) -> Scene:
    """Draw scene `seed` at `size` (height, width), always the same for the same arguments.

    Settings change pixels, never the world: masks, boxes and labels are the same for all of them.
    Raises UserError for a seed below 0 or a size under 32 pixels.
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UserError(f"seed must be a whole number of 0 or more, not {seed!r}.")
    sides = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(sides) != 2 or any(not isinstance(s, (int, np.integer)) or s < 32 for s in sides):
        raise UserError(f"size must be (height, width) of at least 32 pixels each, not {size!r}.")
    w, numbers, other, keep, drawn, baseline = rasterise(int(seed), size, settings.parallax)
    crisp = numbers[0]
    owner = w.owners[crisp]
    boxes, labels = [], []
    for i in np.flatnonzero(keep)[1:]:
        ys, xs = np.nonzero(owner == i)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
        labels.append(w.labels[i - 1])
    return Scene(
        visible=visible(w, other, drawn, baseline, size, settings.paint, stream(int(seed), 1)),
        infrared=infrared(w, numbers, drawn, size, settings, stream(int(seed), 2)),
        mask=w.classes[crisp].astype(np.uint8),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        time="night" if w.night else "day",
        weather=w.weather,
    )
