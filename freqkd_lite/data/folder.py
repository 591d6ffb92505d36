"""Anyone's pairs: two folders of pictures, with boxes and splits if there are some.

`load("folder", visible=DIR, infrared=DIR)`, or `load("folder", root=DIR)` where DIR holds folders
called as in `FOUND`, or a file pairs.yaml with the options below (paths relative to it):

    visible: rgb/            # folder; null for infrared alone
    infrared: thermal/       # folder
    boxes: labels/           # YOLO .txt or Pascal VOC .xml, a COCO .json or a folder of such
    classes: [person, car]   # else the COCO file's own, else classes.txt beside the boxes
    split_files: lists/      # folder of train.txt, val.txt, or a JSON file; else by seed:
    shares: [0.6, 0.2, 0.2]  # of train, val and test
    split_seed: 0
    unpaired: refuse         # or skip: leave out what has no counterpart, and list it
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from pathlib import Path

import yaml

from freqkd_lite.data.annotations import open_boxes
from freqkd_lite.data.base import register
from freqkd_lite.data.faults import Ledger, read_text
from freqkd_lite.data.files import (
    Collection,
    FilePairs,
    Names,
    matched,
    read_splits,
    share_out,
)
from freqkd_lite.errors import UserError, unknown

# What a folder or file below the root is taken for by its name, whatever its case.
FOUND = {
    "visible": ("visible", "vi", "vis", "rgb"),
    "infrared": ("infrared", "ir", "thermal", "lwir"),
    "boxes": ("boxes", "boxes_ir", "labels", "annotations"),
    "split_files": ("split.json", "splits.json", "splits"),
}


def _at_root(root: Path) -> dict[str, object]:
    """The options that a root folder gives: its pairs.yaml, or what its folders are called."""
    if not root.is_dir():
        what = "is a file: give the folder above it" if root.exists() else "does not exist: give a "
        raise UserError(f"The data root {root} {what}{'' if root.exists() else 'folder of pairs'}.")
    if (file := root / "pairs.yaml").is_file():
        try:
            options = yaml.safe_load(read_text(file)) or {}
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise UserError(f"{file} is no valid YAML ({where}): mend it.") from error
        if not isinstance(options, dict):
            raise UserError(f"{file} must hold options such as 'visible: rgb/': write it so.")
        valid = list(inspect.signature(Folder.collect).parameters)[2:]
        for option in options:
            if option not in valid:
                raise unknown(f"option in {file}", option, valid)
        return options
    options = {}
    for option, called in FOUND.items():
        here = sorted(path for path in root.iterdir() if path.name.lower() in called)
        if len(here) > 1:
            both = " and ".join(path.name for path in here)
            raise UserError(f"{root} holds {both}: name the one to use in {file} as {option}.")
        if here:
            options[option] = here[0].name
        elif option in ("visible", "infrared"):
            raise UserError(
                f"{root} holds no folder called {', '.join(called)}: rename yours, or write "
                f"{file} with the lines 'visible: FOLDER' and 'infrared: FOLDER'."
            )
    return options


@register("folder")
class Folder(FilePairs):
    name = "folder"
    layout = __doc__

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, visible: str | Path | None = None,
                infrared: str | Path | None = None, boxes: str | Path | None = None,
                classes: Sequence[str] | None = None, split_files: str | Path | None = None,
                shares: Sequence[float] = (0.6, 0.2, 0.2), split_seed: int = 0,
                unpaired: str = "refuse") -> Collection:  # fmt: skip
        """See the module's docstring; paths are relative to the root if there is one."""
        base = Path(root or ".").expanduser()
        if infrared is None and root is not None:
            given = {"visible": visible, "boxes": boxes, "classes": classes,
                     "split_files": split_files}  # fmt: skip
            given = {option: value for option, value in given.items() if value is not None}
            options = {"shares": shares, "split_seed": split_seed, "unpaired": unpaired}
            options |= _at_root(base) | given
            if options.get("infrared") is None:
                raise UserError(f"{base / 'pairs.yaml'} does not name 'infrared': add the line.")
            return cls.collect(base, ledger, **options)
        if infrared is None:
            raise UserError("folder needs root=DIR, or visible=DIR and infrared=DIR.")
        at = base / Path(infrared).expanduser()
        eye = None if visible is None else base / Path(visible).expanduser()
        records, skipped = matched(eye, at, ledger, unpaired)
        names = [record.name for record in records]
        if split_files is not None:
            lists = base / Path(split_files).expanduser()
            splits, note = read_splits(lists, names, skipped, ledger), f"Split by {lists}."
        else:
            _check_shares(shares)
            parts = dict(zip(("train", "val", "test"), shares, strict=True))
            splits = share_out(names, parts, split_seed)
            note = (
                f"Split by seed {split_seed} into {'/'.join(map(str, shares))} of train, val and "
                "test: neighbouring frames of a video may lie on both sides."
            )
        found = None
        if boxes is not None:
            where = base / Path(boxes).expanduser()
            found = open_boxes(where, Names([*names, *skipped]), classes, ledger)
        return Collection(records, splits, found, note)


def _check_shares(shares: Sequence[float]) -> None:
    good = (
        isinstance(shares, list | tuple)
        and len(shares) == 3
        and all(isinstance(s, int | float) and s >= 0 for s in shares)
    )
    if not good or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UserError(
            f"shares={shares!r} must be three numbers for train, val and test that add up to 1, "
            "such as [0.6, 0.2, 0.2]."
        )
