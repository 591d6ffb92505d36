"""Sets of pairs that lie in files: matched by name, inspected before they are used, read one by one.

All that can be seen without decoding a picture (counterparts, sizes, boxes, splits) is checked when
a set is loaded, so that a run of hours does not end at a bad file; `survey` lists all faults.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from torchvision import tv_tensors

from freqkd_lite.data.annotations import Annotations
from freqkd_lite.data.base import (
    REGISTRY,
    Pair,
    PairSet,
    at_size,
    centre_window,
    crop_boxes,
    digest,
)
from freqkd_lite.data.faults import Ledger, Problem, read_json, read_text
from freqkd_lite.data.images import STRETCHED, SUFFIXES, image_header, read_image
from freqkd_lite.errors import UserError, unknown

# Parts of file names that tell the spectrum and not the scene: "0001_rgb" and "0001_thermal" match.
SPECTRUM = "visible|vis|vi|rgb|colou?r|infrared|ir|thermal|lwir|previewdata"
_AFFIX = re.compile(rf"(?:^|(?<=/))(?:{SPECTRUM})[_\-. ]|[_\-. ](?:{SPECTRUM})$", re.IGNORECASE)


@dataclass(frozen=True)
class Record:
    """Where one pair lies. `name` is the path inside its folder, without suffix and spectrum."""

    name: str
    visible: Path | None
    infrared: Path
    light: str = ""


@dataclass
class Collection:
    """A data set as its files say: all records, the names in each split, and the boxes."""

    records: list[Record]
    splits: dict[str, list[str]]
    boxes: Annotations | None = None
    note: str = ""


@dataclass
class Inspected:
    """What is known of a record without decoding it: (height, width) in pixels, whether it has
    more than 8 bits, boxes (N, 4) x0 y0 x1 y1 in pixels and labels (N,)."""

    size: tuple[int, int]
    deep: bool
    boxes: Tensor | None = None
    labels: Tensor | None = None


def name_of(file: str | PurePosixPath) -> str:
    """The name of a picture by the file's path inside its folder: no suffix, no spectrum."""
    path = PurePosixPath(file)
    stem = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return _AFFIX.sub("", str(stem)) or str(stem)


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder and those below it, sorted; hidden ones are left alone.
    Raises `UserError` if it is absent, a file, or holds no image."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: give the folder that holds the images.")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise UserError(f"{folder} holds no image ({', '.join(SUFFIXES)}): give another folder.")
    return found


def _by_name(folder: Path) -> tuple[dict[str, Path], list[Problem]]:
    files, problems = {}, []
    for path in list_images(folder):
        name = name_of(path.relative_to(folder).as_posix())
        if name in files:
            text = f"{path} and {files[name].name} are both called {name!r}: remove or rename one."
            problems.append(Problem("listed twice", path, text))
        files.setdefault(name, path)
    return files, problems


def match(visible: Path | None, infrared: Path) -> tuple[list[Record], list[Problem]]:
    """Pairs by file name, and what stands in the way: pictures without counterpart, two of one
    name, no match at all. `visible=None` makes records of infrared alone.

    Names are compared without suffix, and without a first or last part that tells the spectrum
    (`SPECTRUM`). Raises `UserError` for a folder that is absent or empty."""
    warm, problems = _by_name(Path(infrared))
    if visible is None:
        return [Record(name, None, path) for name, path in warm.items()], problems
    seen, more = _by_name(Path(visible))
    problems += more
    if not seen.keys() & warm.keys():
        examples = (", ".join(p.name for p in list(side.values())[:3]) for side in (seen, warm))
        text = (
            "No file of {} matches one of {}: there are {} on the one side and {} on the other; "
            "rename them so that both files of a pair have one name."
        ).format(visible, infrared, *examples)
        return [], [*problems, Problem("nothing matched", Path(visible), text)]
    for side, other, folder in ((seen, warm, infrared), (warm, seen, visible)):
        for name in side.keys() - other.keys():
            text = (
                f"{side[name]} has no counterpart, {folder} holds no {name!r}: add it, take the "
                "picture out, or set unpaired='skip'."
            )
            problems.append(Problem("missing counterpart", side[name], text))
    problems.sort(key=lambda problem: problem.file)
    return [Record(n, path, warm[n]) for n, path in seen.items() if n in warm], problems


def matched(visible: Path | None, infrared: Path, ledger: Ledger,
            unpaired: str = "refuse") -> tuple[list[Record], set[str]]:  # fmt: skip
    """`match`, reported to the ledger: the records, and the names left out by unpaired="skip"."""
    if unpaired not in ("refuse", "skip"):
        raise unknown("way with unpaired pictures", unpaired, ("refuse", "skip"))
    records, problems = match(visible, infrared)
    skipped = set()
    for problem in problems:
        if unpaired == "skip" and problem.kind == "missing counterpart":
            folder = Path(infrared if problem.file.is_relative_to(visible) else visible)
            ledger.repairs.append(f"{problem.file} has no counterpart in {folder}: left out.")
            home = visible if problem.file.is_relative_to(visible) else infrared
            skipped.add(name_of(problem.file.relative_to(home).as_posix()))
        else:
            ledger.fault(problem.kind, problem.file, problem.sentence)
    return records, skipped


class Names:
    """From any way to write a picture's name in a list to its record's name: with suffix or
    without, with spectrum or without, with the folders above it or, if that is clear, without."""

    def __init__(self, names: Iterable[str]):
        self.known = {name: name for name in names}
        self.short: dict[str, str | None] = {}
        for name in self.known:
            last = name.rsplit("/", 1)[-1]
            self.short[last] = None if last in self.short else name

    def __call__(self, written: str) -> str | None:
        name = name_of(written)
        return self.known.get(name) or self.short.get(name.rsplit("/", 1)[-1])


def read_splits(source: Path, names: Iterable[str], skipped: set[str], ledger: Ledger,
                ) -> dict[str, list[str]]:  # fmt: skip
    """Names by split, from a JSON file {split: [names]} or a folder of lists, one SPLIT.txt each.

    A name without picture, twice in the lists, or in two of them is a fault; pictures that no list
    names are counted in the repairs."""
    lists: dict[str, list[str]] = {}
    if source.is_dir():
        for file in sorted(source.glob("*.txt")):
            lists[file.stem] = [line.strip() for line in read_text(file).splitlines()]
    elif source.is_file():
        lists = read_json(source)
        if not isinstance(lists, dict) or not all(
            isinstance(part, list) and all(isinstance(name, str) for name in part)
            for part in lists.values()
        ):
            raise UserError(f'{source} must hold {{"train": ["name", ...], ...}}: write it so.')
    if not lists:
        raise UserError(
            f"{source} has no lists of names: give split.json or a folder of SPLIT.txt."
        )
    find, names = Names([*names, *skipped]), list(names)
    home: dict[str, str] = {}
    splits: dict[str, list[str]] = {}
    for split, listed in lists.items():
        splits[split] = []
        for written in filter(None, listed):
            name = find(written)
            if name is None:
                text = f"{source} lists {written!r} for {split}, and there is no such picture: "
                ledger.fault("absent image", source, text + "add it or take it off the list.")
            elif name in home:
                text = f"{source} lists {written!r} twice, for {home[name]} and for {split}: "
                ledger.fault("listed twice", source, text + "keep one of them.")
            else:
                home[name] = split
                if name not in skipped:
                    splits[split].append(name)
    if unused := [name for name in names if name not in home]:
        ledger.repairs.append(
            f"{len(unused)} pictures stand in no list of {source} and are only in the split 'all': "
            f"{', '.join(unused)}."
        )
    return splits


def share_out(names: Iterable[str], shares: dict[str, float], seed: int) -> dict[str, list[str]]:
    """Splits by seed: names in the order of the SHA-256 of seed and name, cut at the shares. It
    needs no random generator, so it is the same on every machine."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    splits, done = {}, 0.0
    for split, share in shares.items():
        first, done = round(done * len(order)), done + share
        splits[split] = sorted(order[first : round(done * len(order))])
    return splits


@lru_cache(maxsize=None)
def _checksum(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksum(path: Path) -> str:
    """The SHA-256 of a file's content; computed once in a process while size and time stay."""
    stat = path.stat()
    return _checksum(path, stat.st_size, stat.st_mtime_ns)


def look_at(record: Record, collection: Collection, ledger: Ledger) -> Inspected | None:
    """A record without decoding its pictures; None where a fault was collected that hides them."""
    found = None
    with ledger.watch("unreadable", record.infrared):
        found = Inspected(*image_header(record.infrared))
    if record.visible is not None:
        with ledger.watch("unreadable", record.visible):
            other, _ = image_header(record.visible)
            if found and other != found.size:
                ledger.fault("different sizes", record.infrared, _sizes(record, other, found.size))
    if found and collection.boxes:
        rows = collection.boxes.read(record, found.size, ledger)
        found.boxes, found.labels = collection.boxes.settle(rows, found.size, ledger)
    return found


def _sizes(record: Record, visible: Sequence[int], infrared: Sequence[int]) -> str:
    ours, theirs = (f"{h}x{w}" for h, w in (visible, infrared))
    return (
        f"{record.visible} has {ours} pixels (height x width) and {record.infrared} {theirs}: "
        "a pair must be aligned and of one size, so resample one onto the other."
    )


class FilePairs(PairSet):
    """A set of pairs in files, at one size. A subclass says in `collect` where they lie.

    `unpaired="skip"` leaves out pictures without counterpart, `repair=True` mends boxes; either is
    listed in `repairs`. Pictures of another aspect than `size` are cut about their centre, never
    distorted (`base.at_size`). The split "all" holds every picture.
    """

    has = frozenset({"pairs", "boxes", "splits"})

    def __init__(self, split: str, size: tuple[int, int], root: str | Path | None = None,
                 limit: int | None = None, repair: bool = False, **options: object):  # fmt: skip
        ledger = Ledger(repair=repair)
        self.collection = gather(type(self), root, ledger, **options)
        if split not in self.collection.splits:
            raise unknown(f"split of {self.name}", split, self.collection.splits)
        super().__init__(split, size, self.collection.splits[split][:limit])
        by_name = {record.name: record for record in self.collection.records}
        self.records = [by_name[name] for name in self.names]
        self._seen = [look_at(record, self.collection, ledger) for record in self.records]
        self.repairs = ledger.repairs
        self._describe()

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, **options: object) -> Collection:
        """Find the files; report to the ledger what is wrong with them."""
        raise NotImplementedError

    def _describe(self) -> None:
        """`has`, `classes` and `note` as they are for these files, and what the crop costs."""
        lacks = set() if self.records[0].visible else {"pairs"}
        boxes = self.collection.boxes
        if boxes is None:
            lacks.add("boxes")
        else:
            self.classes = boxes.classes
            uses = [self._crop(seen) for seen in self._seen]
            gone = sum(int((~inside).sum()) for _, inside in uses)
            cut = sum(int((changed & inside).sum()) for changed, inside in uses)
            if gone or cut:
                self.repairs.append(
                    f"The centre crop to the aspect of size={self.size} leaves out {gone} boxes "
                    f"and cuts {cut} of {sum(len(s.boxes) for s in self._seen)}."
                )
        self.has = type(self).has - lacks
        notes = [self.note, self.collection.note]
        if deep := sum(seen.deep for seen in self._seen):
            notes.append(f"{deep} of {len(self)} infrared: {STRETCHED}")
        self.note = " ".join(filter(None, notes))

    def _crop(self, seen: Inspected) -> tuple[Tensor, Tensor]:
        """Which boxes the crop to `size` changes, and which it keeps."""
        top, left, height, width = centre_window(seen.size, self.size)
        cut, inside = crop_boxes(seen.boxes, (top, left, height, width))
        moved = seen.boxes - seen.boxes.new_tensor([left, top, left, top])
        return (cut != moved).any(1), inside

    def __getitem__(self, index: int) -> Pair:
        record, seen = self.records[index], self._seen[index]
        infrared = read_image(record.infrared, "infrared")
        visible = record.visible and read_image(record.visible, "visible")
        for picture in (infrared, visible):
            if picture is not None and tuple(picture.shape[1:]) != seen.size:
                raise UserError(f"The pair {record.name!r} changed since it was loaded: load anew.")
        boxes = seen.boxes
        if boxes is not None:
            boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=seen.size)
        pair = Pair(record.name, visible, infrared, boxes, seen.labels, light=record.light)
        return at_size(pair, self.size)

    def fingerprint(self) -> str:
        """Of the pictures' content, the boxes, their classes, and the way they are read."""
        files = [
            (r.name, *(path and checksum(path) for path in (r.visible, r.infrared)), r.light)
            for r in self.records
        ]
        boxes = [s.boxes is not None and (s.boxes.tolist(), s.labels.tolist()) for s in self._seen]
        return digest([self.name, self.split, self.size, self.classes, STRETCHED, files, boxes])


def check_options(kind: type[FilePairs], options: Iterable[str]) -> None:
    """Raise `UserError` for an option that the set does not take."""
    valid = list(inspect.signature(kind.collect).parameters)[2:]
    for option in options:
        if option not in valid:
            raise unknown(f"option of {kind.name}", option, [*valid, "repair"])


def gather(kind: type[FilePairs], root: str | Path | None, ledger: Ledger,
           **options: object) -> Collection:  # fmt: skip
    """`kind.collect`, with its options' names checked and the split "all" added."""
    check_options(kind, options)
    collection = kind.collect(root, ledger, **options)
    collection.splits["all"] = [record.name for record in collection.records]
    return collection


@dataclass
class Survey:
    """All that a check needs: the collection, what was seen of each record by name, every problem
    and repair."""

    name: str
    collection: Collection
    inspected: dict[str, Inspected]
    problems: list[Problem] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)


def survey(name: str, root: str | Path | None = None, pixels: bool = True, repair: bool = False,
           **options: object) -> Survey:  # fmt: skip
    """Look at a whole set and list what is wrong with it, instead of raising the first fault.

    `pixels` also decodes every picture. A record whose head can't be read has no entry in
    `inspected`. Raises `UserError` only for an unknown name or option.
    """
    kind = REGISTRY.get(name)
    if not (isinstance(kind, type) and issubclass(kind, FilePairs)):
        raise unknown("data set of files", name, [n for n in REGISTRY if n != "scenes"])
    check_options(kind, options)
    ledger = Ledger(collect=True, repair=repair)
    collection = Collection([], {})
    with ledger.watch("not found", Path(root or name)):
        collection = gather(kind, root, ledger, **options)
    seen = {}
    for record in collection.records:
        if found := look_at(record, collection, ledger):
            seen[record.name] = found
        for modality in ("visible", "infrared") if found and pixels else ():
            if path := getattr(record, modality):
                with ledger.watch("unreadable", path):
                    read_image(path, modality)
    problems = list(dict.fromkeys(ledger.problems))
    return Survey(name, collection, seen, problems, ledger.repairs)
