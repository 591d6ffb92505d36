"""Anyone's pairs: two folders of pictures, with boxes and splits if there are some.

`load("folder", visible=DIR, infrared=DIR)`, or `load("folder", root=DIR)` where DIR holds folders
called as in `FOUND`, or a file pairs.yaml with these options (paths relative to it):

    visible: rgb/            # folder; leave it out for infrared alone
    infrared: thermal/       # folder
    boxes: labels/           # YOLO .txt or Pascal VOC .xml, a COCO .json or a folder of such
    classes: [person, car]   # else the COCO file's own, else classes.txt beside the boxes
    split_files: lists/      # folder of train.txt, val.txt, or a JSON file; else by seed:
    shares: [0.6, 0.2, 0.2]  # of train, val and test
    split_seed: 0
    unpaired: refuse         # or skip: leave out what has no counterpart, and list it
    repair: false            # true: cut boxes that stick out, leave out bad ones, and list them
"""

import math
from pathlib import Path
from typing import Any

import yaml

from freqkd_lite.data.annotations import open_boxes
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.files import Collection, FileOptions, FilePairs
from freqkd_lite.data.matching import SHARES, match, read_splits, share_out
from freqkd_lite.errors import UserError
from freqkd_lite.store import parsed

# What a folder or file below the root is taken for by its name, whatever its case.
FOUND = {
    "visible": ("visible", "vi", "vis", "rgb"),
    "infrared": ("infrared", "ir", "thermal", "lwir"),
    "boxes": ("boxes", "boxes_ir", "labels", "annotations"),
    "split_files": ("split.json", "splits.json", "splits"),
}


class FolderOptions(FileOptions):
    """See the module's docstring."""

    visible: Path | None = None
    infrared: Path | None = None
    boxes: Path | None = None
    classes: tuple[str, ...] | None = None
    split_files: Path | None = None
    shares: tuple[float, float, float] = (SHARES["train"], SHARES["val"], SHARES["test"])
    split_seed: int = 0


def _at_root(root: Path) -> dict[str, Any]:
    """The options that a root folder gives: its pairs.yaml, or what its folders are called."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise UserError(f"The data root {root} {what}: give the folder that holds the pairs.")
    file = root / "pairs.yaml"
    if file.is_file():
        options = parsed(file, parse=yaml.safe_load)
        if not isinstance(options, dict) or options.get("infrared") is None:
            raise UserError(f"{file} must name a folder, as in 'infrared: thermal/': add the line.")
        return FolderOptions.of(file, options).model_dump(exclude_unset=True)
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
                f"{root} holds no folder called {' or '.join(called)}: rename yours, or name it "
                f"in {file} by a line '{option}: FOLDER'."
            )
    return options


class Folder(FilePairs):
    name = "folder"
    Options = FolderOptions

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, options: FolderOptions) -> Collection:
        base = Path(root or ".").expanduser()
        if root is not None and options.infrared is None:
            given = options.model_dump(exclude_unset=True)
            options = FolderOptions.of(base, _at_root(base) | given)
        if options.infrared is None:
            raise UserError("folder needs root=DIR, or visible=DIR and infrared=DIR.")
        if math.fsum(options.shares) != 1 or min(options.shares) < 0:
            raise UserError(f"shares={options.shares} must be three numbers that add up to 1.")
        ledger.repair = options.repair  # pairs.yaml may say so
        others = (options.visible, options.boxes, options.split_files)
        visible, where, lists = (path and base / path.expanduser() for path in others)
        infrared = base / options.infrared.expanduser()
        ledger.root = base if root else infrared.parent
        records, names = match(visible, infrared, ledger, options.unpaired)
        if lists is not None:
            splits, note = read_splits(lists, names, ledger), f"Split by {lists.name}."
        else:
            shares = dict(zip(SHARES, options.shares, strict=True))
            splits = share_out(names.used, shares, options.split_seed)
            parts = ", ".join(f"{100 * share:.3g} % {split}" for split, share in shares.items())
            note = (
                f"Split by seed {options.split_seed} into {parts}. Neighbouring frames of a video "
                "may lie on both sides."
            )
        boxes = where and open_boxes(where, names, options.classes, ledger)
        return Collection(records, splits, boxes, note)
