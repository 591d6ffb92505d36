"""What a scene's settings do to its divergence curve: a grid of settings, measured once.

Four settings of the generator are varied here: parallax and paint change the RGB picture alone,
blur and thermal contrast the infrared one alone. So a grid over all four needs the network's
features of far fewer pictures than it has points.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.features import Backbone, extract
from freqkd_lite.scenes import SceneSettings, render_scene
from freqkd_lite.scenes.pairs import as_pair
from freqkd_lite.spectrum import ring_masks
from freqkd_lite.store import no_bar

SCHEMA = "freqkd-knobs/1"
KNOBS = {
    "parallax": (0.0, 0.7, 1.5, 3.0, 4.0, 6.0, 8.0),
    "paint": (0.0, 0.5, 1.0, 1.5, 2.0),
    "blur": (0.0, 0.6, 1.5, 3.0, 6.0),
    "thermal_contrast": (0.25, 0.5, 1.0, 2.0, 4.0),
}
"""Values of each knob, see `SceneSettings`: the generator's defaults are among them."""
OF_RGB = ("parallax", "paint")
STORED = Path(__file__).parent.parent / "assets" / "scene_knobs.json"


@dataclass(frozen=True)
class KnobGrid:
    """Divergence on a grid of knobs: `curves` has one axis for each knob, in the order of `values`,
    and one for the rings between `edges` of rho. `about`: the network and the scenes."""

    values: dict[str, tuple[float, ...]]
    edges: tuple[float, ...]
    curves: np.ndarray
    about: dict

    def table(self, first: str, second: str) -> np.ndarray:
        """Curves (values of `first`, values of `second`, rings), other knobs at their defaults.
        `UserError` for a knob that the grid doesn't have, or the same one twice."""
        for name in (first, second):
            if name not in self.values:
                raise unknown("knob", name, self.values)
        if first == second:
            raise UserError(f"Both knobs are {first!r}: name two different ones.")
        index = tuple(
            slice(None) if name in (first, second) else values.index(getattr(SceneSettings(), name))
            for name, values in self.values.items()
        )
        found, names = self.curves[index], list(self.values)
        return found if names.index(first) < names.index(second) else found.swapaxes(0, 1)


def measure(
    backbone: Backbone,
    block: int,
    seeds: Sequence[int],
    size: tuple[int, int],
    edges: Sequence[float],
    values: dict[str, tuple[float, ...]] = KNOBS,
    progress: bool = False,
) -> KnobGrid:
    """`spectrum.divergence` of a block's maps in rings of rho between `edges`, summed over scenes
    `seeds` of `size` pixels, at each point of the grid."""
    of_heat_names = tuple(name for name in values if name not in OF_RGB)
    points = [
        [dict(zip(names, point, strict=True)) for point in product(*(values[n] for n in names))]
        for names in (OF_RGB, of_heat_names)
    ]
    own, other, both = 0.0, 0.0, 0.0
    for seed in tqdm(seeds, "scenes", disable=no_bar(progress)):
        settings = [SceneSettings(**rgb, **heat) for rgb, heat in side_by_side(*points)]
        pairs = [as_pair(render_scene(seed, size, each), str(seed), size) for each in settings]
        pictures = [pair.visible for pair in pairs[: len(points[0])]]
        rgb = _by_ring(extract(backbone, torch.stack(pictures), [block])[0], edges)
        pictures = [pair.infrared for pair in pairs[: len(points[1])]]
        heat = _by_ring(extract(backbone, torch.stack(pictures), [block])[0], edges)
        own = own + torch.stack([x.square().sum(1) for x in rgb])  # (rings, points)
        other = other + torch.stack([x.square().sum(1) for x in heat])
        both = both + torch.stack([a @ b.T for a, b in zip(rgb, heat, strict=True)])
    curves = 1 - 2 * both / (own[:, :, None] + other[:, None, :])  # (rings, RGB's, infrared's)
    ordered = {name: tuple(values[name]) for name in (*OF_RGB, *of_heat_names)}
    shape = [len(of) for of in ordered.values()]
    curves = curves.permute(1, 2, 0).reshape(*shape, len(edges) - 1).numpy()
    about = {"model": backbone.name, "weights": backbone.checksum, "block": block}
    about |= {"scenes": list(seeds), "size": list(size)}
    return KnobGrid(ordered, tuple(edges), curves, about)


def write(grid: KnobGrid, path: Path, **about: object) -> None:
    """Write a grid as JSON, curves to three decimals."""
    content = {"schema": SCHEMA, "about": grid.about | about, "values": grid.values}
    content |= {"edges": grid.edges, "curves": grid.curves.round(3).tolist()}
    path.write_text(json.dumps(content, separators=(",", ":")).replace('],"', '],\n"') + "\n")


def read(path: str | Path = STORED) -> KnobGrid:
    """A grid that `write` wrote; by default the package's own, made by tools/scene_knobs.py."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is no grid of knobs ({error}): run tools/scene_knobs.py."
        ) from None
    if content.get("schema") != SCHEMA:
        raise UserError(f"{path} has schema {content.get('schema')!r}, expected {SCHEMA!r}.")
    values = {name: tuple(v) for name, v in content["values"].items()}
    return KnobGrid(values, tuple(content["edges"]), np.array(content["curves"]), content["about"])


def side_by_side(longer: list, shorter: list) -> list[tuple]:
    """Pairs in which every entry of either list stands at its own index."""
    count = max(len(longer), len(shorter))
    return [(longer[i % len(longer)], shorter[i % len(shorter)]) for i in range(count)]


def _by_ring(maps: Tensor, edges: Sequence[float]) -> list[Tensor]:
    """The Fourier coefficients of maps (N, C, h, w) in each ring, as real vectors (N, ...)."""
    spectrum = torch.fft.fft2(maps.double(), norm="ortho")
    rings = ring_masks(*maps.shape[-2:], edges)
    return [torch.view_as_real(spectrum[..., ring]).flatten(1) for ring in rings]
