"""Measure how real the scenes are: DINOv2's divergence on scenes and on real MSRS pairs.

    python tools/scenes_gap.py --pairs 48 --height 168 --width 224 --out results/scenes_gap

Takes so many pairs by day and as many by night from each train split (drawn with a seed). Rows have
the methods "scenes" and "msrs", the splits "train/all", "train/day" and "train/night", the metrics
"divergence" (classes block5/ring3, over gap.rings.EDGES, and block5/low, middle, high: rho up to
.25, between, from .75), "divergence_ratio" and "raw_mse_ratio" (high over low, mean over blocks).
Intervals are 95 % percentile bootstrap over images. Needs MSRS (FREQKD_DATA) and DINOv2
(FREQKD_WEIGHTS).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import percentiles
from freqkd_lite.features import Backbone, extract, load_backbone
from freqkd_lite.gap.rings import BAND_EDGES, EDGES, Levels, levels
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.scenes import GENERATOR_VERSION
from freqkd_lite.spectrum import raw_mse, ring_counts, ring_sums
from freqkd_lite.store import manifest

MODEL, BLOCKS, LIGHTS = "vit_small_patch14_dinov2.lvd142m", (2, 5, 8, 11), ("day", "night")


def draw(pairs: data.PairSet, light: str, count: int, seed: int) -> list[data.Pair]:
    """`count` pairs of one light, in an order drawn with `seed`."""
    found: list[data.Pair] = []
    for index in torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)):
        pair = pairs[int(index)]
        if pair.time_of_day == light:
            found.append(pair)
        if len(found) == count:
            return found
    raise UserError(f"--pairs {count}: {pairs.name} has only {len(found)} pairs by {light}.")


def sums(backbone: Backbone, pairs: list[data.Pair]) -> list[list[Tensor]]:
    """`ring_sums` of each of BLOCKS, (pairs, rings, 3), over EDGES and over BAND_EDGES."""
    rgb, heat = (
        extract(backbone, torch.stack([getattr(p, kind) for p in pairs]), BLOCKS)
        for kind in ("visible", "infrared")
    )
    return [
        [ring_sums(a, b, edges) for a, b in zip(rgb, heat, strict=True)]
        for edges in (EDGES, BAND_EDGES)
    ]


def rows(method: str, split: str, measured: Levels, names: list[str]) -> Iterator[Row]:
    """A row for each block and ring."""
    for i, block in enumerate(BLOCKS):
        for j, name in enumerate(names):
            yield Row(
                claim="gap_ratio",
                method=method,
                seed=None,
                data=method,
                split=split,
                metric="divergence",
                klass=f"block{block}/{name}",
                value=float(measured.value[i, j]),
                interval=tuple(measured.interval[:, i, j].tolist()),
                n=measured.images,
            )


def measure(method: str, pairs: int, size: tuple[int, int], seed: int) -> tuple[list[Row], str]:
    """All rows of one data set, and its fingerprint."""
    backbone, found = load_backbone(MODEL).freeze(), data.load(method, "train", size)
    ring, band = {}, {}
    for light in LIGHTS:
        ring[light], band[light] = sums(backbone, draw(found, light, pairs, seed))
    for table in (ring, band):
        table["all"] = [torch.cat(both) for both in zip(*table.values(), strict=True)]
    out: list[Row] = []
    for light in ("all", *LIGHTS):
        split = f"train/{light}"
        bands = levels(band[light])
        out += rows(method, split, levels(ring[light]), [f"ring{i}" for i in range(len(EDGES) - 1)])
        out += rows(method, split, bands, ["low", "middle", "high"])
        ratio, draws = bands.ratio()
        about = dict(claim="gap_ratio", method=method, seed=None, data=method, split=split)
        about["n"] = bands.images
        interval = percentiles(draws)
        out.append(Row(metric="divergence_ratio", value=ratio, interval=interval, **about))
        grid = (size[0] // backbone.patch, size[1] // backbone.patch)
        raw = [raw_mse(block, ring_counts(*grid, BAND_EDGES)) for block in band[light]]
        opposite = float(torch.stack([bins[-1] / bins[0] for bins in raw]).mean())
        out.append(Row(metric="raw_mse_ratio", value=opposite, **about))
        print(f"{method} {light}: high over low {ratio:.2f} normalised, {opposite:.2f} raw MSE")
    return out, found.fingerprint()


def main() -> None:
    """Read the arguments, measure both sets, write rows and manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=48, help="pairs of each light and set")
    parser.add_argument("--height", type=int, default=168, help="pixels")
    parser.add_argument("--width", type=int, default=224, help="pixels")
    parser.add_argument("--seed", type=int, default=0, help="which pairs are drawn")
    parser.add_argument("--out", default="results/scenes_gap", help="folder for the results")
    args = parser.parse_args()
    options = {k: v for k, v in vars(args).items() if k != "out"}
    command = " ".join(["python tools/scenes_gap.py"] + [f"--{k} {v}" for k, v in options.items()])
    measured = {
        method: measure(method, args.pairs, (args.height, args.width), args.seed)
        for method in ("msrs", "scenes")
    }
    about = manifest(
        command=command,
        parameters=options,
        model=MODEL,
        blocks=BLOCKS,
        rings=EDGES,
        weights=load_backbone(MODEL).checksum,
        generator=GENERATOR_VERSION,
        data={method: fingerprint for method, (_, fingerprint) in measured.items()},
        notes={method: data.note_of(method) for method in measured},
    )
    path = write_results(args.out, [row for out, _ in measured.values() for row in out], about)
    print(f"Wrote {path}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"scenes_gap: {error}")
