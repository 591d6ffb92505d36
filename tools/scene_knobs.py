"""Measure what the scenes' knobs do to DINOv2's divergence curve, for the widget `own_gap`.

    python tools/scene_knobs.py --scenes 12 --block 8

Half of the scenes by day, half by night, the first of the train split. The network, its block, the
size and the rings are those of `tools/scenes_gap.py`, so that the curve of real pairs in
results/scenes_gap can be drawn beside. Writes freqkd_lite/assets/scene_knobs.json; takes minutes.
Needs DINOv2 (FREQKD_WEIGHTS).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, extract, load_backbone
from freqkd_lite.gap import knobs
from freqkd_lite.gap.rings import EDGES
from freqkd_lite.scenes import GENERATOR_VERSION, SceneSettings, render_scene
from freqkd_lite.scenes.pairs import as_pair
from freqkd_lite.spectrum import ring_masks
from freqkd_lite.store import no_bar

MODEL, SIZE = "vit_small_patch14_dinov2.lvd142m", (168, 224)


def choose(count: int) -> list[int]:
    """The first seeds of which half are drawn by day and half by night."""
    found = {"day": [], "night": []}
    for seed in range(400):
        of_light = found[render_scene(seed, (32, 32)).time]
        if len(of_light) < count // 2:
            of_light.append(seed)
    return sorted(found["day"] + found["night"])


def measure(
    backbone: Backbone,
    block: int,
    seeds: Sequence[int],
    size: tuple[int, int],
    edges: Sequence[float],
    values: dict[str, tuple[float, ...]] = knobs.KNOBS,
    progress: bool = False,
) -> knobs.KnobGrid:
    """`spectrum.divergence` of a block's maps in rings of rho between `edges`, summed over scenes
    `seeds` of `size` pixels, at each point of the grid."""
    of_heat_names = tuple(name for name in values if name not in knobs.OF_RGB)
    points = [
        [dict(zip(names, point, strict=True)) for point in product(*(values[n] for n in names))]
        for names in (knobs.OF_RGB, of_heat_names)
    ]
    own, other, both = 0.0, 0.0, 0.0
    for seed in tqdm(seeds, "scenes", disable=no_bar(progress)):
        settings = [SceneSettings(**rgb, **heat) for rgb, heat in knobs.side_by_side(*points)]
        pairs = [as_pair(render_scene(seed, size, each), str(seed), size) for each in settings]
        pictures = [pair.visible for pair in pairs[: len(points[0])]]
        rgb = _by_ring(extract(backbone, torch.stack(pictures), [block])[0], edges)
        pictures = [pair.infrared for pair in pairs[: len(points[1])]]
        heat = _by_ring(extract(backbone, torch.stack(pictures), [block])[0], edges)
        own = own + torch.stack([x.square().sum(1) for x in rgb])  # (rings, points)
        other = other + torch.stack([x.square().sum(1) for x in heat])
        both = both + torch.stack([a @ b.T for a, b in zip(rgb, heat, strict=True)])
    curves = 1 - 2 * both / (own[:, :, None] + other[:, None, :])  # (rings, RGB's, infrared's)
    ordered = {name: tuple(values[name]) for name in (*knobs.OF_RGB, *of_heat_names)}
    shape = [len(of) for of in ordered.values()]
    curves = curves.permute(1, 2, 0).reshape(*shape, len(edges) - 1).numpy()
    about = {"model": backbone.name, "weights": backbone.checksum, "block": block}
    about |= {"scenes": list(seeds), "size": list(size)}
    return knobs.KnobGrid(ordered, tuple(edges), curves, about)


def _by_ring(maps: Tensor, edges: Sequence[float]) -> list[Tensor]:
    """The Fourier coefficients of maps (N, C, h, w) in each ring, as real vectors (N, ...)."""
    spectrum = torch.fft.fft2(maps.double(), norm="ortho")
    rings = ring_masks(*maps.shape[-2:], edges)
    return [torch.view_as_real(spectrum[..., ring]).flatten(1) for ring in rings]


def write(grid: knobs.KnobGrid, path: Path, **about: object) -> None:
    """Write a grid as JSON, curves to three decimals."""
    content = {"schema": "freqkd-knobs/1", "about": grid.about | about, "values": grid.values}
    content |= {"edges": grid.edges, "curves": grid.curves.round(3).tolist()}
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"') + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=12, help="even: half by day, half by night")
    parser.add_argument("--block", type=int, default=8, help="of DINOv2, counted from 0")
    args = parser.parse_args()
    backbone = load_backbone(MODEL).freeze()
    grid = measure(backbone, args.block, choose(args.scenes), SIZE, EDGES, progress=True)
    command = f"python tools/scene_knobs.py --scenes {args.scenes} --block {args.block}"
    write(grid, knobs.STORED, generator=GENERATOR_VERSION, command=command)
    print(f"Wrote {knobs.STORED}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"scene_knobs: {error}")
