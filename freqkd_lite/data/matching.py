"""Who belongs to whom, by file name: pictures to their counterparts, names to splits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from freqkd_lite.data.faults import Ledger, Problem, read_json, read_text
from freqkd_lite.data.images import SUFFIXES
from freqkd_lite.errors import UserError
from freqkd_lite.store import sha256

# Parts of file names that tell the spectrum and not the scene: "0001_rgb" and "0001_thermal" match.
SPECTRUM = "visible|vis|vi|rgb|colou?r|infrared|ir|thermal|lwir|previewdata"
_AFFIX = re.compile(rf"(?:^|(?<=/))(?:{SPECTRUM})[_\-. ]|[_\-. ](?:{SPECTRUM})$", re.IGNORECASE)


SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # where nobody says how to split


@dataclass(frozen=True)
class Record:
    """Where one pair lies. `name` is the path inside its folder, without suffix and spectrum."""

    name: str
    visible: Path | None
    infrared: Path
    time_of_day: str = ""


def name_of(file: str) -> str:
    """The name of a picture by the file's path inside its folder: no suffix, no spectrum."""
    path = PurePosixPath(file)
    stem = str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)
    return _AFFIX.sub("", stem) or stem


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder and those below it, sorted; hidden ones are left alone.
    Raises `UserError` if it is absent, a file, or holds no image."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: give the folder that holds the images.")
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    images = [path for path in inside if path.suffix.lower() in SUFFIXES]
    shown = [path for path in images if not any(part.startswith(".") for part in path.parts)]
    if not shown:
        raise UserError(f"{folder} holds no image ({', '.join(SUFFIXES)}): give another folder.")
    return [folder / path for path in shown]


def match(visible: Path | None, infrared: Path) -> tuple[list[Record], list[Problem]]:
    """Pairs by file name, and what stands in the way: pictures without counterpart, two of one
    name, no match at all. `visible=None` makes records of infrared alone.

    Names are compared without suffix, and without a first or last part that tells the spectrum
    (`SPECTRUM`). Raises `UserError` for a folder that is absent or empty."""
    problems: list[Problem] = []
    sides: list[dict[str, Path]] = []
    folders = [Path(folder) for folder in (visible, infrared) if folder is not None]
    for folder in folders:
        files: dict[str, Path] = {}
        for path in list_images(folder):
            name = name_of(path.relative_to(folder).as_posix())
            if name in files:
                text = f"{path} and {files[name]} are both called {name!r}: rename or remove one."
                problems.append(Problem("listed twice", path, text))
            files.setdefault(name, path)
        sides.append(files)
    if visible is None:
        return [Record(name, None, path) for name, path in sides[0].items()], problems
    seen, warm = sides
    if not seen.keys() & warm.keys():
        examples = [", ".join(path.name for path in list(side.values())[:3]) for side in sides]
        text = (
            f"No file of {visible} matches one of {infrared}: there are {examples[0]} on the one "
            f"side and {examples[1]} on the other; give both files of a pair the same name."
        )
        return [], [*problems, Problem("nothing matched", Path(visible), text)]
    for side, other, folder in ((seen, warm, infrared), (warm, seen, visible)):
        for name in sorted(side.keys() - other.keys()):
            text = (
                f"{side[name]} has no counterpart, {folder} holds no {name!r}: add it, take the "
                "picture out, or set unpaired='skip'."
            )
            problems.append(Problem("missing counterpart", side[name], text))
    return [Record(name, path, warm[name]) for name, path in seen.items() if name in warm], problems


def matched(
    visible: Path | None, infrared: Path, ledger: Ledger, unpaired: str
) -> tuple[list[Record], Names]:
    """`match`, reported to the ledger: the records, and the names that lists may use, among them
    those of pictures left out by unpaired="skip"."""
    records, problems = match(visible, infrared)
    skipped = []
    for problem in problems:
        if problem.kind == "nothing matched":
            raise UserError(problem.sentence)
        if problem.kind == "missing counterpart" and unpaired == "skip":
            ledger.repairs.append(f"{problem.file} has no counterpart: left out.")
            home = visible if problem.file.is_relative_to(visible) else infrared
            skipped.append(name_of(problem.file.relative_to(home).as_posix()))
        else:
            ledger.fault(problem.kind, problem.file, problem.sentence)
    return records, Names([record.name for record in records], skipped)


class Names:
    """`find` gives a record's name for any way to write it in a list: with suffix and spectrum or
    without, with the folders above it or, where that is clear, without. None if there is none."""

    def __init__(self, names: Iterable[str], skipped: Iterable[str] = ()):
        self.used, self.skipped = list(names), set(skipped)
        self._known = {*self.used, *self.skipped}
        self._short: dict[str, str | None] = {}
        for name in self._known:
            last = name.rsplit("/", 1)[-1]
            self._short[last] = None if last in self._short else name

    def find(self, written: str) -> str | None:
        name = name_of(written)
        return name if name in self._known else self._short.get(name.rsplit("/", 1)[-1])


def read_splits(source: Path, names: Names, ledger: Ledger) -> dict[str, list[str]]:
    """Names by split, from a JSON file {split: [names]} or a folder of lists, one SPLIT.txt each.

    A name without picture, or twice in the lists, is a fault; pictures that no list names are
    counted in the repairs."""
    if source.is_dir():
        files = [file for file in sorted(source.iterdir()) if file.suffix.lower() == ".txt"]
        lists = {file.stem: read_text(file).splitlines() for file in files}
    else:
        lists = read_json(source)
    if not (isinstance(lists, dict) and lists) or not all(
        isinstance(listed, list) and all(isinstance(name, str) for name in listed)
        for listed in lists.values()
    ):
        raise UserError(
            f'{source} has no lists of names: give a JSON file {{"train": ["name", ...], ...}} or '
            "a folder of train.txt, val.txt, test.txt."
        )
    home: dict[str, str] = {}
    for split, listed in lists.items():
        for written in filter(None, map(str.strip, listed)):
            name = names.find(written)
            if name is None:
                text = f"{source} lists {written!r} for {split}, and there is no such picture"
                ledger.fault("absent image", source, f"{text}: add it or take it off the list.")
            elif name in home:
                text = f"{source} lists {written!r} twice, for {home[name]} and for {split}"
                ledger.fault("listed twice", source, f"{text}: keep one of them.")
            else:
                home[name] = split
    if unused := [name for name in names.used if name not in home]:
        text = f"{len(unused)} pictures stand in no list of {source}, only in the split 'all'"
        ledger.repairs.append(f"{text}: {', '.join(unused)}.")
    kept = [name for name in home if name not in names.skipped]
    return {split: [name for name in kept if home[name] == split] for split in lists}


def share_out(names: Iterable[str], shares: dict[str, float], seed: int) -> dict[str, list[str]]:
    """Splits by seed: names in the order of the SHA-256 of seed and name, cut at the shares. It
    needs no random generator, so it is the same on every machine."""
    order = sorted(names, key=lambda name: sha256(f"{seed}:{name}"))
    splits, done = {}, 0.0
    for split, share in shares.items():
        first, done = round(done * len(order)), done + share
        splits[split] = sorted(order[first : round(done * len(order))])
    return splits
