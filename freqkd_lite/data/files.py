"""Sets of pairs in files: found, inspected before use, read one by one.

All that can be seen without decoding a picture (counterparts, sizes, boxes, splits) is checked when
a set is loaded, so that a run of hours does not end at a bad file; `check.check` lists all faults.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from freqkd_lite.data.annotations import Annotations
from freqkd_lite.data.base import Pair, PairSet, as_boxes, at_size, centre_window, crop_boxes
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.images import STRETCHED, image_header, read_four, read_ids, read_image
from freqkd_lite.data.matching import Record
from freqkd_lite.errors import UserError, check_known, explained
from freqkd_lite.store import digest, sha256_file


class FileOptions(BaseModel):
    """Options of every set in files. `unpaired="skip"` leaves out pictures without counterpart,
    `repair=True` repairs boxes (see `annotations`); both are listed in the set's `repairs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unpaired: Literal["refuse", "skip"] = "refuse"
    repair: bool = False

    @classmethod
    def of(cls, source: object, values: dict[str, Any]) -> Self:
        """Checked options; `source` is where they were written, for the error."""
        check_known(f"option of {source}", cls.model_fields, *values)
        with explained(source):
            return cls(**values)


@dataclass
class Collection:
    """All records of a data set, the names in each split, and the boxes."""

    records: list[Record]
    splits: dict[str, list[str]]
    boxes: Annotations | None = None
    note: str = ""

    def __post_init__(self) -> None:
        self.splits["all"] = [record.name for record in self.records]


@dataclass
class Inspected:
    """A record without decoding it: (height, width) in pixels, whether infrared has more than 8
    bits, boxes (N, 4) x0 y0 x1 y1 in pixels and labels (N,)."""

    size: tuple[int, int]
    deep: bool
    boxes: Tensor | None = None
    labels: Tensor | None = None


def look_at(record: Record, boxes: Annotations | None, ledger: Ledger) -> Inspected | None:
    """A record without decoding its pictures; None where a collected fault hides it."""
    found = None
    with ledger.watch("unreadable", record.infrared):
        found = Inspected(*image_header(record.infrared))
    if record.visible is not None:
        with ledger.watch("unreadable", record.visible):
            size = image_header(record.visible)[0]
            if found and found.size != size:
                text = (
                    f"{record.visible} has {size[0]}x{size[1]} pixels (height x width) and "
                    f"{record.infrared} {found.size[0]}x{found.size[1]}: a pair must be aligned "
                    "and of one size, so resample one of them."
                )
                ledger.fault("different sizes", record.infrared, text)
    if record.mask is not None:
        with ledger.watch("unreadable", record.mask):
            image_header(record.mask)
    if found and boxes:
        found.boxes, found.labels = boxes.boxes(record.name, found.size, ledger)
    return found


class FilePairs(PairSet):
    """A set of pairs in files, at one size (see `base.at_size`); a subclass says in `collect` where
    they lie. The split "all" holds every picture."""

    has = frozenset({"pairs", "boxes", "masks", "splits"})
    classes: tuple[str, ...] = ()
    Options: type[FileOptions] = FileOptions

    def __init__(self, split: str, size: tuple[int, int], root=None, limit=None, **options: Any):
        checked = self.Options.of(self.name, options)
        ledger = Ledger(repair=checked.repair)
        collection = self.collect(root, ledger, checked)
        check_known(f"split of {self.name}", collection.splits, split)
        super().__init__(split, size, collection.splits[split][:limit])
        by_name = {record.name: record for record in collection.records}
        self.records = [by_name[name] for name in self.names]
        looked = (look_at(record, collection.boxes, ledger) for record in self.records)
        self._seen = [seen for seen in looked if seen]  # all: this ledger raises
        self.repairs = ledger.repairs
        given = {"pairs": self.records[0].visible, "boxes": collection.boxes, "splits": True}
        given["masks"] = self.records[0].mask
        self.has = type(self).has & {kind for kind, source in given.items() if source}
        self.classes = collection.boxes.classes if collection.boxes else self.classes
        self._count_crops(ledger)
        notes = [self.note, collection.note]
        if deep := sum(seen.deep for seen in self._seen):
            notes.append(f"{deep} of {len(self)} infrared: {STRETCHED}")
        self.note = " ".join(filter(None, notes))

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, options: FileOptions) -> Collection:
        """Find the files; report to the ledger what is wrong with them."""
        raise NotImplementedError

    def _count_crops(self, ledger: Ledger) -> None:
        gone = cut = total = 0
        for seen in self._seen:
            if seen.boxes is None:
                continue
            boxes, stays = crop_boxes(seen.boxes, centre_window(seen.size, self.size))
            whole = (boxes[:, 2:] - boxes[:, :2] == seen.boxes[:, 2:] - seen.boxes[:, :2]).all(1)
            gone, cut = gone + int((~stays).sum()), cut + int((stays & ~whole).sum())
            total += len(boxes)
        if gone or cut:
            text = f"The centre crop to the aspect of size={self.size} leaves out {gone} boxes and"
            ledger.repaired(f"{text} cuts {cut} of {total}.")

    def __getitem__(self, index: int) -> Pair:
        record, seen = self.records[index], self._seen[index]
        if record.visible == record.infrared:
            visible, infrared = read_four(record.infrared)
        else:
            infrared = read_image(record.infrared, "infrared")
            visible = record.visible and read_image(record.visible, "visible")
        for picture in (infrared, visible):
            if picture is not None and tuple(picture.shape[1:]) != seen.size:
                raise UserError(f"{record.infrared} or its counterpart changed: reload the set.")
        boxes = None if seen.boxes is None else as_boxes(seen.boxes, seen.size)
        mask = record.mask and read_ids(record.mask, seen.size, len(self.mask_classes))
        time = record.time_of_day
        return self.fitted(Pair(record.name, visible, infrared, boxes, seen.labels, mask, time))

    def fitted(self, pair: Pair) -> Pair:
        """The pair at the set's size."""
        return at_size(pair, self.size)

    def fingerprint(self) -> str:
        parts: list[object] = [self.name, self.split, self.size, self.classes, STRETCHED]
        for record, seen in zip(self.records, self._seen, strict=True):
            files = [path and checksum(path) for path in (record.visible, record.infrared)]
            files += [checksum(record.mask)] if record.mask else []
            boxes = tuple(x.tolist() for x in (seen.boxes, seen.labels) if x is not None) or False
            parts.append((record.name, record.time_of_day, files, boxes))
        return digest(parts)


@cache
def _checksum(path: Path, size: int, modified: int) -> str:
    return sha256_file(path)


def checksum(path: Path) -> str:
    """The SHA-256 of a file's content; computed once in a process while size and time stay."""
    stat = path.stat()
    return _checksum(path, stat.st_size, stat.st_mtime_ns)
