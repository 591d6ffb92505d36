"""Pairs and splits by file name."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.images import SUFFIXES
from freqkd_lite.errors import UserError, plain
from freqkd_lite.store import parsed, read_text, sha256

# Parts of file names for the spectrum and not the scene: "0001_rgb" and "0001_thermal" match.
SPECTRUM = "visible|vis|vi|rgb|colou?r|infrared|ir|thermal|lwir|previewdata"
_AFFIX = re.compile(rf"(?:^|(?<=/))(?:{SPECTRUM})[_\-. ]|[_\-. ](?:{SPECTRUM})$", re.IGNORECASE)
composed = partial(unicodedata.normalize, "NFC")  # one way to write an accent
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # the default


@dataclass(frozen=True)
class Record:
    """Where one pair lies. `name` is the path inside its folder, without suffix and spectrum. Of a
    picture with four channels `visible` and `infrared` are one file."""

    name: str
    visible: Path | None
    infrared: Path
    time_of_day: str = ""
    mask: Path | None = None


def name_of(file: str) -> str:
    """The name of a picture by the file's path inside its folder: no suffix, no spectrum, and one
    way to write an accent or a byte that is not UTF-8."""
    path = PurePosixPath(composed(plain(file)))
    stem = str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)
    return _AFFIX.sub("", stem) or stem


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder and those below it, sorted; hidden ones are left alone.
    Raises `UserError` if it is absent, a file, or holds no image."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: give the folder that holds the images.")
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    shown = [path for path in found if "/." not in f"/{path.relative_to(folder).as_posix()}"]
    if not shown:
        raise UserError(f"{folder} holds no image ({', '.join(SUFFIXES)}): give another folder.")
    return shown


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


def match(
    visible: Path | None, infrared: Path, ledger: Ledger, unpaired: str = "refuse"
) -> tuple[list[Record], Names]:
    """Pairs by file name, and the names that lists may use. Reports pictures without counterpart,
    which unpaired="skip" leaves out, and two of one name. `visible=None` makes records of infrared
    alone.

    Names are compared without suffix, and without a first or last part that names the spectrum
    (`SPECTRUM`). Raises `UserError` for a folder that is absent or empty, or if nothing matches.
    """
    warm = _by_name(infrared, ledger)
    if visible is None:
        return [Record(name, None, path) for name, path in warm.items()], Names(warm)
    seen = _by_name(visible, ledger)
    if not seen.keys() & warm.keys():
        examples = [", ".join(p.name for p in list(side.values())[:3]) for side in (seen, warm)]
        raise UserError(
            f"No file of {visible} matches one of {infrared}: there are {examples[0]} on the one "
            f"side and {examples[1]} on the other; give both files of a pair the same name."
        )
    skipped = []
    for side, other, folder in ((seen, warm, infrared), (warm, seen, visible)):
        for name in sorted(side.keys() - other.keys()):
            if unpaired == "skip":
                ledger.repaired(f"{side[name]} has no counterpart: left out.")
                skipped.append(name)
                continue
            text = (
                f"{side[name]} has no counterpart, {folder} holds no {name!r}: add it, take the "
                "picture out, or set unpaired='skip'."
            )
            ledger.fault("missing counterpart", side[name], text)
    pairs = [Record(name, path, warm[name]) for name, path in seen.items() if name in warm]
    return pairs, Names([record.name for record in pairs], skipped)


def _by_name(folder: Path, ledger: Ledger) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in list_images(folder):
        name = name_of(path.relative_to(folder).as_posix())
        if name in files:
            both = f"{path} and {files[name]}"
            if not both.isascii():  # accents written in two ways look alike
                both += f" ({path.name!a} and {files[name].name!a})"
            text = f"{both} are both called {name!r}: rename or remove one."
            ledger.fault("listed twice", path, text)
        files.setdefault(name, path)
    return files


def read_splits(source: Path, names: Names, ledger: Ledger) -> dict[str, list[str]]:
    """Names by split, from a JSON file {split: [names]} or a folder of lists, one SPLIT.txt each.

    A name without picture, or twice in the lists, is a fault; pictures that no list names are
    counted in the repairs."""
    if source.is_dir():
        files = [file for file in sorted(source.iterdir()) if file.suffix.lower() == ".txt"]
        lists = {file.stem: read_text(file).splitlines() for file in files}
    else:
        lists = parsed(source)
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
        text = f"{len(unused)} pictures are in no list of {source}, only in the split 'all'"
        ledger.repaired(f"{text}: {', '.join(unused)}.")
    used = [name for name in home if name not in names.skipped]
    return {split: [name for name in used if home[name] == split] for split in lists}


def share_out(names: Iterable[str], shares: dict[str, float], seed: int) -> dict[str, list[str]]:
    """Splits by seed: names in the order of the SHA-256 of seed and name, cut at the shares. It
    needs no random generator, so it is the same on every machine."""
    order = sorted(names, key=lambda name: sha256(f"{seed}:{name}"))
    splits, done = {}, 0.0
    for split, share in shares.items():
        first, done = round(done * len(order)), done + share
        splits[split] = sorted(order[first : round(done * len(order))])
    return splits
