"""Measure what the scenes' knobs do to DINOv2's divergence curve, for the widget `own_gap`.

    python tools/scene_knobs.py --scenes 12 --block 8

Half of the scenes by day, half by night, the first of the train split. The network, its block, the
size and the rings are those of `tools/scenes_gap.py`, so that the curve of real pairs in
results/scenes_gap can be drawn beside. Writes freqkd_lite/assets/scene_knobs.json; takes minutes.
Needs DINOv2 (FREQKD_WEIGHTS).
"""

from __future__ import annotations

import argparse
import sys

from freqkd_lite.errors import UserError
from freqkd_lite.features import load_backbone
from freqkd_lite.gap import knobs
from freqkd_lite.gap.rings import EDGES
from freqkd_lite.scenes import GENERATOR_VERSION, render_scene

MODEL, SIZE = "vit_small_patch14_dinov2.lvd142m", (168, 224)


def choose(count: int) -> list[int]:
    """The first seeds of which half are drawn by day and half by night."""
    found = {"day": [], "night": []}
    for seed in range(400):
        of_light = found[render_scene(seed, (32, 32)).time]
        if len(of_light) < count // 2:
            of_light.append(seed)
    return sorted(found["day"] + found["night"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12, help="even: half by day, half by night")
    parser.add_argument("--block", type=int, default=8, help="of DINOv2, counted from 0")
    args = parser.parse_args()
    backbone = load_backbone(MODEL).freeze()
    grid = knobs.measure(backbone, args.block, choose(args.scenes), SIZE, EDGES, progress=True)
    command = f"python tools/scene_knobs.py --scenes {args.scenes} --block {args.block}"
    knobs.write(grid, knobs.STORED, generator=GENERATOR_VERSION, command=command)
    print(f"Wrote {knobs.STORED}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"scene_knobs: {error}")
