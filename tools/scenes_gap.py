"""Measure how real the scenes are, by DINOv2 on scenes and on real MSRS pairs, and freeze them.

    python tools/scenes_gap.py --pairs 48 --height 168 --width 224 --out results/scenes_gap

No distilled student takes part. Takes --pairs of them by day and as many by night from each train
split (drawn with a seed). Rows have the methods "scenes" and "msrs", the splits "train/all",
"train/day" and "train/night", and the metrics
- "divergence" (classes block5/ring3, over gap.rings.EDGES, and block5/low, middle, high: rho up to
  .25, between, from .75), "divergence_ratio" and "raw_mse_ratio" (high over low, mean over blocks);
- "grey_mean", "grey_spread" and "grey_slope" of the infrared pictures (levels of 255, the package's
  spectral_slope), classes low, median and high: the quartiles over the pictures;
- "probe_ap", splits "val/RGB" and "val/infrared": a linear probe on blocks 7 and 11, fitted on
  those train pairs and scored on twice --pairs of val, by class and ("all") their mean.
Intervals are 95 % percentile bootstrap over images. Beside the rows are written freeze.yaml (the
generator's version, checksums of 20 scenes, each aim of the calibration and whether it is met) and
pairs.webp (24 scenes). Needs MSRS (FREQKD_DATA) and DINOv2 (FREQKD_WEIGHTS).
"""

import argparse
import sys
from pathlib import Path

import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.utils.data import Subset

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import patch_labels, probe
from freqkd_lite.features import extract, load_backbone
from freqkd_lite.gap.rings import BAND_EDGES, EDGES, band_levels, levels
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.scenes import GENERATOR_VERSION, render_scene
from freqkd_lite.spectrum import raw_mse, ring_counts, ring_sums, spectral_slope
from freqkd_lite.store import manifest, write_whole

MODEL, BLOCKS, TIMES = "vit_small_patch14_dinov2.lvd142m", (2, 5, 8, 11), ("day", "night")
PROBED, KINDS = (7, 11), {"RGB": "visible", "infrared": "infrared"}
FROZEN = (*range(10), *range(100_000, 100_010))  # seeds whose checksums are kept


def draw(pairs: data.PairSet, time: str, count: int, seed: int) -> list[data.Pair]:
    """`count` pairs of one time, in an order drawn with `seed`."""
    found: list[data.Pair] = []
    for index in torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed)):
        pair = pairs[int(index)]
        if pair.time_of_day == time:
            found.append(pair)
        if len(found) == count:
            return found
    raise UserError(f"--pairs {count}: {pairs.name} has only {len(found)} pairs by {time}.")


class Measured:
    """All rows of one data set, measured by one backbone."""

    def __init__(self, name: str, count: int, size: tuple[int, int], seed: int):
        self.name, self.rows, self.backbone = name, [], load_backbone(MODEL).freeze()
        train = data.load(name, "train", size)
        self.fingerprint, self.grid = train.fingerprint(), [s // self.backbone.patch for s in size]
        self.pairs = [pair for time in TIMES for pair in draw(train, time, count, seed)]
        self.maps = self.features(self.pairs)
        for i, time in enumerate(("all", *TIMES)):
            chosen = slice(None) if time == "all" else slice((i - 1) * count, i * count)
            self.gap(f"train/{time}", chosen)
            if time != "all":
                self.greys(f"train/{time}", chosen)
        self.probe(data.load(name, "val", size), 2 * count)

    def add(self, split: str, metric: str, klass: str, value: float, **more) -> None:
        where = dict(claim="gap_ratio", method=self.name, seed=None, data=self.name)
        self.rows.append(Row(split=split, metric=metric, klass=klass, value=value, **where, **more))

    def features(self, pairs: list[data.Pair]) -> dict[str, dict[int, Tensor]]:
        """Maps of every block, of either kind of picture."""
        blocks = sorted({*BLOCKS, *PROBED})
        pictures = {k: torch.stack([getattr(p, a) for p in pairs]) for k, a in KINDS.items()}
        return {
            kind: dict(zip(blocks, extract(self.backbone, images, blocks), strict=True))
            for kind, images in pictures.items()
        }

    def gap(self, split: str, chosen: slice) -> None:
        """Divergence by block and ring, and its ratios."""
        sides = [[m[b][chosen] for b in BLOCKS] for m in self.maps.values()]
        ring, band = (
            [ring_sums(*both, edges) for both in zip(*sides, strict=True)]
            for edges in (EDGES, BAND_EDGES)
        )
        names, n = [f"ring{i}" for i in range(len(EDGES) - 1)], len(ring[0])
        for sums, klasses in ((ring, names), (band, ("low", "middle", "high"))):
            found = levels(BLOCKS, sums)
            for key, interval in found.interval.items():
                block, _, place = key.partition("/ring")
                where = (split, "divergence", f"{block}/{klasses[int(place)]}")
                self.add(*where, found.estimates[key], interval=interval, n=n)
        ratio, interval = band_levels(*sides).figure("ratio")
        self.add(split, "divergence_ratio", "all", ratio, interval=interval, n=n)
        raw = [raw_mse(block, ring_counts(*self.grid, BAND_EDGES)) for block in band]
        opposite = float(torch.stack([bins[-1] / bins[0] for bins in raw]).mean())
        self.add(split, "raw_mse_ratio", "all", opposite, n=n)

    def greys(self, split: str, chosen: slice) -> None:
        """Quartiles of the infrared pictures' mean, spread and spectral slope."""
        grey = 255 * torch.stack([pair.infrared[0] for pair in self.pairs[chosen]]).double()
        figures = {"grey_mean": grey.mean((1, 2)), "grey_spread": grey.std((1, 2))}
        for metric, values in (figures | {"grey_slope": spectral_slope(grey)}).items():
            quartiles = values.double().quantile(values.new_tensor([0.25, 0.5, 0.75]).double())
            for klass, value in zip(("low", "median", "high"), quartiles.tolist(), strict=True):
                self.add(split, metric, klass, value, n=len(values))

    def probe(self, val: data.PairSet, count: int) -> None:
        """Average precision of a linear probe on either kind of picture."""
        scored = list(Subset(val, range(min(count, len(val)))))
        there, classes = self.features(scored), val.classes
        fit_y, score_y = (
            torch.stack([patch_labels(p.boxes, p.labels, self.grid, 14, 3) for p in pairs])
            for pairs in (self.pairs, scored)
        )
        for kind in KINDS:
            fit_x, score_x = ([m[kind][b] for b in PROBED] for m in (self.maps, there))
            found = probe(fit_x, fit_y, score_x, score_y, classes)
            for klass in (*classes, "mean"):
                name, value = "all" if klass == "mean" else klass, found.estimates[klass]
                where = (f"val/{kind}", "probe_ap", name, value)
                self.add(*where, interval=found.interval[klass], n=len(scored))


def aims(rows: list[Row]) -> list[dict]:
    """What the scenes were calibrated to: each figure, what is wanted, and whether it is met."""
    at = {(r.data, r.split, r.metric, r.klass): r for r in rows}
    found = []

    def aim(name: str, value: float, low: float, high: float) -> None:
        low, high, value = (round(x, 3) for x in (low, high, value))
        found.append(dict(name=name, value=value, low=low, high=high, met=low <= value <= high))

    def ahead(klass: str) -> float:
        rgb, heat = (at["scenes", f"val/{kind}", "probe_ap", klass].value for kind in KINDS)
        return rgb - heat

    aim("probe: RGB above infrared, mean", ahead("all"), 0.12, 1)
    aim("probe: RGB above infrared, person", ahead("person"), -1, 0)
    for klass in ("bicycle", "car"):
        aim(f"probe: RGB above infrared, {klass}", ahead(klass), 0.15, 1)
    for time in TIMES:
        for metric in ("grey_mean", "grey_spread", "grey_slope"):
            low, high = (at["msrs", f"train/{time}", metric, k].value for k in ("low", "high"))
            value = at["scenes", f"train/{time}", metric, "median"].value
            aim(f"infrared: {metric} by {time}, within MSRS's quartiles", value, low, high)
    both = [
        (row, at["scenes", *key[1:]])
        for key, row in at.items()
        if key[:3] == ("msrs", "train/all", "divergence") and "/ring" in key[3]
    ]
    distance = sum(abs(a.value - b.value) for a, b in both) / len(both)
    touching = sum(
        a.interval[0] <= b.interval[1] and b.interval[0] <= a.interval[1] for a, b in both
    )
    aim("divergence: mean distance from MSRS", distance, 0, 0.03)
    aim(f"divergence: touching intervals of {len(both)}", touching, 24, len(both))
    return found


def sheet(seeds: range, path: Path) -> None:
    """Scenes as RGB beside infrared, four to a row."""
    picture = Image.new("RGB", (4 * 452, -(-len(seeds) // 4) * 170))
    for i, seed in enumerate(seeds):
        scene, left, top = render_scene(seed), i % 4 * 452, i // 4 * 170
        picture.paste(Image.fromarray(scene.visible), (left, top))
        picture.paste(Image.fromarray(scene.infrared), (left + 225, top))
    picture.save(path, quality=80, method=6)


def main() -> None:
    """Read the arguments, measure both sets, write rows and manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=48, help="pairs of each time and set")
    parser.add_argument("--height", type=int, default=168, help="pixels")
    parser.add_argument("--width", type=int, default=224, help="pixels")
    parser.add_argument("--seed", type=int, default=0, help="which pairs are drawn")
    parser.add_argument("--out", default="results/scenes_gap", help="folder for the results")
    args = parser.parse_args()
    options = {k: v for k, v in vars(args).items() if k != "out"}
    command = " ".join(["python tools/scenes_gap.py"] + [f"--{k} {v}" for k, v in options.items()])
    size = (args.height, args.width)
    measured = {name: Measured(name, args.pairs, size, args.seed) for name in ("msrs", "scenes")}
    rows = [row for each in measured.values() for row in each.rows]
    about = manifest(
        command=command,
        parameters=options,
        model=MODEL,
        blocks=BLOCKS,
        rings=EDGES,
        weights=load_backbone(MODEL).checksum,
        generator=GENERATOR_VERSION,
        data={name: each.fingerprint for name, each in measured.items()},
        notes={name: data.note_of(name) for name in measured},
    )
    path = write_results(args.out, rows, about)
    checksums = {seed: render_scene(seed).checksum() for seed in FROZEN}
    frozen = dict(generator=GENERATOR_VERSION, command=command, checksums=checksums)
    text = yaml.safe_dump(frozen | {"aims": aims(rows)}, sort_keys=False, width=100)
    write_whole(path.with_name("freeze.yaml"), text.encode())
    sheet(range(24), path.with_name("pairs.webp"))
    print(f"{text}\nWrote {path}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"scenes_gap: {error}")
