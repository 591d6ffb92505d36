"""Check a data set before hours are spent on it: what loading would refuse, and what it would not
notice: copies, near copies across splits, and misaligned pictures."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from freqkd_lite.data.alignment import SMALLEST, Offset, offset
from freqkd_lite.data.base import REGISTRY, find_set, spread
from freqkd_lite.data.faults import Ledger, Problem
from freqkd_lite.data.files import Collection, FilePairs, Inspected, checksum, look_at
from freqkd_lite.data.images import read_four, read_image
from freqkd_lite.errors import UserError, check_known, unknown

# Bits of 64 in which near copies may differ, in each spectrum. No two of 361 MSRS pairs come below
# 14; in HIT-UAV, which has frames of the same flights, the counts by bits have a low at 7.
NEAR = 6
OFFSETS = 200  # pairs whose shift is measured, spread over the set
# A pair fits where its shift is clear and at most half a token: 7 of 336 pixels of width, as
# `freqkd gap` and `demo` see it. All of 120 pairs of MSRS and RoadScene do, and 3 of 420 mismatched
# ones have a clear shift at all. Usable: this share of the pairs; below the second: not usable.
FITS, GOOD, FAIR = 7 / 336, 0.9, 0.5
DOUBTS = {
    "in false colour": "export them as greyscale; colours are not temperatures.",
    "with hardly any contrast": "is there a value for missing data, such as 0 or -9999?",
    "with embedded temperatures": "export those as TIFF; the JPEG is only a preview.",
}  # what infrared pictures may be, and what to do
COLOURED = 0.05  # mean distance of the highest and lowest channel, from which infrared has colours
# Of full scale, in pictures of more than 8 bits: at most so much between the quartiles, or as much
# without any value, and the contrast is spent on a value for missing data.
EVEN, GAP = 0.01, 0.5
RADIOMETRIC = re.compile(rb"\xff\xe1..FLIR\0", re.DOTALL)  # in JPEG files of FLIR's cameras


def dhash(image: Tensor) -> int:
    """64 bits that survive resizing, recoding and slight changes of a picture (dHash): whether each
    of 8 x 8 means is darker than its right neighbour, in a grid of 8 rows and 9 columns."""
    grey = Image.fromarray((image.mean(0).numpy() * 255).astype(np.float32))
    grid = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(grid[:, :-1] < grid[:, 1:]).tobytes())


class Near(NamedTuple):
    """Two nearly equal pictures of different splits; `bits`: how many bits differ."""

    bits: int
    first: str
    second: str
    splits: tuple[str, str]


def near_copies(hashes: dict[str, tuple[int, ...]], splits: dict[str, list[str]]) -> list[Near]:
    """All pairs of names in two splits whose hashes differ by at most `NEAR` bits in every
    spectrum, the closest first. `hashes` holds one hash per spectrum."""
    found = []
    parts = {s: [n for n in names if n in hashes] for s, names in splits.items() if s != "all"}
    for one, two in combinations([s for s, names in parts.items() if names], 2):
        table = np.array([hashes[name] for name in parts[two]], dtype=np.uint64)
        for name in parts[one]:
            bits = np.bitwise_count(table ^ np.array(hashes[name], dtype=np.uint64)).max(axis=1)
            for k in np.flatnonzero(bits <= NEAR):
                if parts[two][k] != name:
                    found.append(Near(int(bits[k]), name, parts[two][k], (one, two)))
    return sorted(found, key=lambda near: (near.bits, near.first, near.second))


class Shift(NamedTuple):
    """What the `clear` ones of `measured` pairs share, in pixels: infrared lies `right` and `down`
    of visible (medians). Half of the pairs lie within `spread` of that."""

    measured: int
    clear: int
    right: float = 0.0
    down: float = 0.0
    spread: float = 0.0


def shared_shift(offsets: Sequence[Offset]) -> Shift:
    """The shift of a set from those of its pairs."""
    clear = [(o.right, o.down) for o in offsets if o.clear]
    if not clear:
        return Shift(len(offsets), 0)
    right, down = np.median(clear, axis=0).tolist()
    scatter = float(np.median(np.hypot(*(np.array(clear) - (right, down)).T)))
    return Shift(len(offsets), len(clear), right, down, scatter)


@dataclass
class Report:
    """What was found in the records `names`, out of `total`; `inspected` is what was seen of each
    record of the set by name. `problems` are faults that loading refuses; `doubtful` are infrared
    files that are no temperatures, by the kinds of `DOUBTS`."""

    name: str
    collection: Collection
    inspected: dict[str, Inspected]
    repairs: list[str]
    problems: list[Problem]
    total: int
    names: list[str]
    sizes: Counter = field(default_factory=Counter)
    classes: Counter = field(default_factory=Counter)
    empty: int = 0
    identical: list[tuple[Path, Path]] = field(default_factory=list)
    near: list[Near] = field(default_factory=list)
    offsets: dict[str, Offset] = field(default_factory=dict)
    doubtful: dict[str, list[Path]] = field(default_factory=lambda: {kind: [] for kind in DOUBTS})

    @property
    def splits(self) -> dict[str, list[str]]:
        """The names in each split, without the one that holds all."""
        return {s: n for s, n in self.collection.splits.items() if s != "all"}

    def fits(self, name: str) -> bool:
        """Whether a measured pair is aligned to half a token."""
        off = self.offsets[name]
        return off.clear and off.pixels <= FITS * self.inspected[name].size[1]

    @property
    def fit(self) -> float | None:
        """The share of the measured pairs that fit; None where none was measured."""
        return float(np.mean([*map(self.fits, self.offsets)])) if self.offsets else None

    @property
    def verdict(self) -> str:
        """Whether the set can be used, by its problems, its `fit` and what else was found."""
        if self.problems or (self.fit is not None and self.fit < FAIR):
            return "not usable"
        known = self.fit is not None or self.collection.records[0].visible is None
        doubts = self.identical or self.near or any(self.doubtful.values()) or not known
        return "usable with care" if doubts or (self.fit or 1) < GOOD else "usable"

    def worst(self, count: int = 5) -> list[str]:
        """The measured pairs that fit worst, those without a clear shift first."""

        def badness(name: str) -> tuple[bool, float, str]:
            off = self.offsets[name]
            return off.clear, round(-off.pixels if off.clear else off.peak, 6), name

        return sorted(self.offsets, key=badness)[:count]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes; None where the set has no boxes."""
        return self.collection.boxes and self.collection.boxes.classes


def doubts(path: Path, infrared: Tensor, deep: bool) -> list[str]:
    """Those of `DOUBTS` that an infrared picture (3, H, W), `deep` or of 8 bits, gives rise to."""
    low, high = np.quantile(values := np.sort(infrared[0].numpy(), axis=None), (0.25, 0.75))
    widest = np.diff(values).max(initial=0)
    for side in (values, 1 - values[::-1]):  # what is missing has soft edges once resampled
        if (held := np.sum(side == side[0])) > 0.03 * side.size:
            widest = max(widest, side[held:][: side.size // 50].max(initial=0) - side[0])
    found = (
        (infrared.amax(0) - infrared.amin(0)).mean() > COLOURED,
        deep and (high - low < EVEN or widest > GAP),
        RADIOMETRIC.search(path.read_bytes()),
    )
    return [kind for kind, is_so in zip(DOUBTS, found, strict=True) if is_so]


def check(
    name: str,
    root: str | Path | None = None,
    split: str = "all",
    limit: int | None = None,
    **options: Any,
) -> Report:
    """List what is wrong with a whole set in files, instead of raising the first fault, and check
    every picture (the first `limit` of `split`), one at a time.

    Raises `UserError` without any data.
    """
    kind = find_set(name)
    if not issubclass(kind, FilePairs):
        raise unknown("data set in files", name, [n for n in REGISTRY if n != "scenes"])
    checked = kind.Options.of(name, options)
    ledger = Ledger(collect=True, repair=checked.repair)
    collection = kind.collect(root, ledger, checked)
    check_known(f"split of {name}", collection.splits, split)
    whole = collection.splits[split]
    names = whole[: limit if limit is None else max(limit, 0)]
    if not names:
        raise UserError(
            f"split={split!r} and limit={limit} leave nothing of {name} to look at: choose another "
            "split, or a limit of 1 or more."
        )
    records = {record.name: record for record in collection.records}
    looked = {each: look_at(records[each], collection.boxes, ledger) for each in records}
    inspected = {each: seen for each, seen in looked.items() if seen}
    report = Report(name, collection, inspected, ledger.repairs, ledger.problems, len(whole), names)
    measured = {names[k] for k in spread(len(names), min(OFFSETS, len(names)))}
    hashes: dict[str, tuple[int, ...]] = {}
    first: dict[str, Path] = {}
    for each in tqdm(names, desc="looked at", unit="pair", disable=not sys.stderr.isatty()):
        record, seen = records[each], inspected.get(each)
        paths = list(filter(None, (record.visible, record.infrared)))
        pictures: list[Tensor] = []
        for path in dict.fromkeys(paths):
            with ledger.watch("unreadable", path):
                both = record.visible == record.infrared
                pictures += read_four(path) if both else [read_image(path, "visible")]  # in colour
        if seen is None or len(pictures) < len(paths):
            continue
        report.sizes[seen.size] += 1
        if seen.labels is not None and collection.boxes:
            report.classes.update(collection.boxes.classes[k] for k in seen.labels.tolist())
            report.empty += not len(seen.labels)
        for path in paths:
            if (twin := first.setdefault(checksum(path), path)) != path:
                report.identical.append((twin, path))
        hashes[each] = tuple(map(dhash, pictures))
        greys = [image.mean(0).numpy() for image in pictures]
        alike = len(greys) == 2 and greys[0].shape == greys[1].shape
        if each in measured and alike and min(greys[0].shape) >= SMALLEST:
            report.offsets[each] = offset(*greys)
        for kind in doubts(record.infrared, pictures[-1], seen.deep):
            report.doubtful[kind].append(record.infrared)
    report.near = near_copies(hashes, report.splits)
    report.problems = list(dict.fromkeys(ledger.problems))
    return report
