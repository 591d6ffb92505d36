"""Several sets of pairs measured as one: `open_sets("roadscene,msrs", "all", (420, 560))`."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from freqkd_lite.data.base import Pair, PairSet, load
from freqkd_lite.errors import UserError
from freqkd_lite.store import digest


class Joined(PairSet):
    """Sets of one split and size, one after the other; names are told apart by their set's."""

    def __init__(self, sets: list[PairSet]):
        self.sets, self.name = sets, "+".join(part.name for part in sets)
        self.has = frozenset.intersection(*(part.has for part in sets))
        names = [f"{part.name}/{name}" for part in sets for name in part.names]
        super().__init__(sets[0].split, sets[0].size, names)
        self.ends = list(accumulate(map(len, sets)))
        self.note = " ".join(part.note for part in sets if part.note)
        self.repairs = [f"{part.name}: {line}" for part in sets for line in part.repairs]

    def part(self, index: int) -> int:
        return bisect_right(self.ends, index)

    def __getitem__(self, index: int) -> Pair:
        which = self.part(index)
        return self.sets[which][index - (self.ends[which - 1] if which else 0)]

    def fingerprint(self) -> str:
        return digest(part.fingerprint() for part in self.sets)


def open_sets(
    names: str,
    split: str = "train",
    size: tuple[int, int] = (168, 224),
    root: str | Path | None = None,
    **options: object,
) -> PairSet:
    """`load` of one name, or of several with commas between them, as one set."""
    chosen = [name.strip() for name in names.split(",")]
    if len(set(chosen)) < len(chosen):
        raise UserError(f"{names} names a data set twice: name each once.")
    sets = [load(name, split, size, root, **options) for name in chosen]
    return sets[0] if len(sets) == 1 else Joined(sets)
