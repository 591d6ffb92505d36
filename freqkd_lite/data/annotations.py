"""Boxes from COCO JSON, YOLO text and Pascal VOC XML, and what makes one fit for use.

Coordinates are edges in pixels of the infrared picture; Pascal VOC's are taken as they stand, since
its writers do not agree on whether the first pixel is 0 or 1. A box may stick out by `ROUNDING`
pixels, about what text formats lose: that is cut off. More is a fault, and so are a box without
area and a foreign class; `Ledger.repair` cuts the first and leaves out the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from freqkd_lite.data.faults import Ledger, read_json, read_text
from freqkd_lite.errors import UserError

ROUNDING = 0.5
LEFT_OUT, MEND = "left out", "mend it"
Size = tuple[int, int]


@dataclass(frozen=True)
class Written:
    """A box as a file has it: where it stands, its class, and x0 y0 x1 y1 in pixels."""

    file: Path
    place: str
    label: str
    edges: tuple[float, float, float, float]

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: the box {' '.join(f'{e:g}' for e in self.edges)}"


class Annotations:
    """The boxes of a data set. `ignored` classes are left out of every picture, and counted."""

    def __init__(self, classes: Sequence[str], ignored: Sequence[str] = ()):
        self.classes, self.ignored = tuple(classes), frozenset(ignored)

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        """The boxes of a record as written; `size` is its picture's (height, width)."""
        raise NotImplementedError

    def missing(self, file: Path, wrong: str, remedy: str, ledger: Ledger) -> list[Written]:
        done = "read as a picture without boxes"
        ledger.mend("no annotation", file, wrong, remedy, done)
        return []

    def settle(self, rows: Iterable[Written], size: Size, ledger: Ledger) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) x0 y0 x1 y1 in pixels inside the picture, and labels (N,)."""
        boxes, labels, ignored = [], [], []
        limit = np.array([size[1], size[0]] * 2, dtype=float)
        picture = f"the picture of {size[0]}x{size[1]} pixels (height x width)"
        for row in rows:
            edges = np.array(row.edges)
            inside = np.clip(edges, 0, limit)
            cut = inside.astype(np.float32)  # a box that float32 makes empty has no area
            if row.label in self.ignored:
                ignored.append(row)
            elif row.label not in self.classes:
                wrong = f"{row.file}, {row.place}: unknown class {row.label!r}"
                remedy = f"the classes are {', '.join(self.classes)}: add it or mend the file"
                ledger.mend("unknown class", row.file, wrong, remedy, LEFT_OUT)
            elif not np.isfinite(edges).all():
                ledger.fault("annotation", row.file, f"{row} is not finite: mend it.")
            elif not (edges[2:] > edges[:2]).all():
                ledger.mend("box without area", row.file, f"{row} has no area", MEND, LEFT_OUT)
            elif not (cut[2:] > cut[:2]).all():
                wrong = f"{row} has no area inside {picture}"
                ledger.mend("box outside", row.file, wrong, MEND, LEFT_OUT)
            else:
                if (np.abs(edges - inside) > ROUNDING).any():
                    wrong = f"{row} sticks out of {picture}"
                    ledger.mend("box outside", row.file, wrong, MEND, "cut at the edge")
                boxes.append(cut)
                labels.append(self.classes.index(row.label))
        if ignored:
            where = f"{ignored[0].file}, {ignored[0].place}"
            names = " and ".join(sorted(self.ignored))
            ledger.repairs.append(f"{where}: {len(ignored)} of {names} in this picture, left out.")
        found = torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4))
        return found, torch.tensor(labels, dtype=torch.int64)


class FileEach(Annotations):
    """One file a picture: YOLO text or Pascal VOC XML, found by the picture's name."""

    def __init__(self, folder: Path, suffix: str, find: Callable[[str], str | None],
                 classes: Sequence[str], ledger: Ledger):  # fmt: skip
        super().__init__(classes)
        self.folder, self.suffix = folder, suffix
        self.files: dict[str, Path] = {}
        for path in sorted(folder.rglob(f"*{suffix}")):
            if path.name == "classes.txt" or path.name.startswith("."):
                continue
            name = find(path.relative_to(folder).with_suffix("").as_posix())
            if name is None:
                wrong = f"{path} belongs to no picture"
                ledger.mend("absent image", path, wrong, "add it or remove the file", LEFT_OUT)
            elif name in self.files:
                text = f"{path} and {self.files[name]} are both for {name!r}: remove one of them."
                ledger.fault("listed twice", path, text)
            else:
                self.files[name] = path

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        if name not in self.files:
            file = self.folder / f"{name}{self.suffix}"
            remedy = "add it (without boxes if the picture has none)"
            return self.missing(file, f"{file} is missing", remedy, ledger)
        read = read_yolo if self.suffix == ".txt" else read_voc
        with ledger.watch("annotation", self.files[name]):
            return read(self.files[name], size, self.classes, ledger)
        return []


def read_yolo(path: Path, size: Size, classes: Sequence[str], ledger: Ledger) -> list[Written]:
    """Lines of class number, centre x and y, width and height as shares of the picture."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            label, cx, cy, w, h = line.split()
            label, cx, cy, w, h = int(label), float(cx), float(cy), float(w), float(h)
        except ValueError:
            text = f"{where}: expected 'class cx cy w h', found {line[:60]!r}: mend the line."
            ledger.fault("annotation", path, text)
            continue
        edges = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        scaled = tuple(edge * size[1 - k % 2] for k, edge in enumerate(edges))
        known = 0 <= label < len(classes)
        label = classes[label] if known else f"number {label}"
        rows.append(Written(path, f"line {number}", label, scaled))
    return rows


def read_voc(path: Path, size: Size, classes: Sequence[str], ledger: Ledger) -> list[Written]:
    """<object>s with <name> and <bndbox>; a <size> must be the picture's."""
    try:
        top = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise UserError(f"{path} is no valid XML ({error}): mend it or write it anew.") from error
    if top.tag != "annotation":
        raise UserError(f"{path} is no Pascal VOC annotation but <{top.tag}>: write it anew.")
    stated = [top.findtext(f"size/{side}") for side in ("height", "width")]
    _check_size(path, path, stated, size, ledger)
    rows = []
    for number, thing in enumerate(top.iter("object"), 1):
        try:
            edges = tuple(
                float(thing.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
            )
        except (TypeError, ValueError):
            text = f"{path}, object {number}: <bndbox> needs the numbers xmin, ymin, xmax and ymax: mend it."
            ledger.fault("annotation", path, text)
            continue
        label = (thing.findtext("name") or "").strip()
        rows.append(Written(path, f"object {number}", label, edges))
    return rows


def _check_size(file: Path, where: object, stated: Sequence[object], size: Size,
                ledger: Ledger) -> None:  # fmt: skip
    if any(side is not None for side in stated) and [str(side) for side in stated] != [
        str(side) for side in size
    ]:
        text = (
            f"{where}: it says {stated[0]}x{stated[1]} pixels (height x width), and the picture "
            f"has {size[0]}x{size[1]}: give the boxes of this picture at this size."
        )
        ledger.fault("different sizes", file, text)


class Coco(Annotations):
    """COCO's JSON, one file or several. HIT-UAV's spelling (`annotation`, `filename`) is known."""

    def __init__(self, files: Sequence[Path], find: Callable[[str], str | None],
                 classes: Sequence[str] | None, ledger: Ledger, ignored: Sequence[str]):  # fmt: skip
        self.files = list(files)
        self.rows: dict[str, tuple[Path, dict, list[Written]]] = {}
        found: dict[str, None] = {}
        for file in self.files:
            with ledger.watch("annotation", file):
                found |= dict.fromkeys(self._add(file, find, ledger))
        own = [name for name in found if name not in ignored]
        super().__init__(own if classes is None else classes, ignored)

    def _add(self, file: Path, find: Callable[[str], str | None], ledger: Ledger) -> list[str]:
        """Take in one file; returns its categories' names in the order of their ids."""
        content = read_json(file)
        if not isinstance(content, dict):
            raise UserError(f"{file} is no COCO annotation: it must hold images and annotations.")
        content.setdefault("annotations", content.get("annotation"))
        for key in ("images", "annotations", "categories"):
            entries = content.get(key)
            if not (isinstance(entries, list) and all(isinstance(e, dict) for e in entries)):
                raise UserError(f"{file} has no list of {key}: write it as COCO describes.")
        category: dict[int, str] = {}
        for number, entry in enumerate(content["categories"]):
            key, name = entry.get("id"), entry.get("name")
            if not (isinstance(key, int) and isinstance(name, str)) or (
                key in category or name in category.values()
            ):
                text = f"{file}, categories[{number}]: needs an id and a name of its own: mend it."
                raise UserError(text)
            category[key] = name
        images = self._images(file, content["images"], find, ledger)
        for number, entry in enumerate(content["annotations"]):
            where, image = f"{file}, annotations[{number}]", entry.get("image_id")
            if not isinstance(image, int | str) or image not in images:
                wrong = (
                    f"{where}: it is for the image {image!r}, which is not in the list of images"
                )
                ledger.mend("absent image", file, wrong, "add the image or mend it", LEFT_OUT)
                continue
            box, key = entry.get("bbox"), entry.get("category_id")
            if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
                text = f"{where}: bbox must be [x, y, width, height] in pixels: mend it."
                ledger.fault("annotation", file, text)
                continue
            x, y, width, height = map(float, box)
            known = isinstance(key, int) and key in category
            label = category[key] if known else f"number {key!r}"
            if name := images[image]:
                edges = (x, y, x + width, y + height)
                row = Written(file, f"annotations[{number}]", label, edges)
                self.rows[name][2].append(row)
        return [category[key] for key in sorted(category)]

    def _images(self, file: Path, listed: list[dict], find: Callable[[str], str | None],
                ledger: Ledger) -> dict[int | str, str | None]:  # fmt: skip
        """Record names by image id; None where the picture is absent."""
        images: dict[int | str, str | None] = {}
        for number, entry in enumerate(listed):
            where, key = f"{file}, images[{number}]", entry.get("id")
            written = entry.get("file_name", entry.get("filename"))
            if not (isinstance(key, int | str) and isinstance(written, str) and written):
                ledger.fault("annotation", file, f"{where}: needs id and file_name: mend it.")
                continue
            name = find(written)
            if key in images or (name and name in self.rows):
                text = f"{where}: {written!r}, or its id {key!r}, is listed twice: keep one entry."
                ledger.fault("listed twice", file, text)
                continue
            images[key] = name
            if name is None:
                wrong = f"{where}: there is no picture {written!r}"
                ledger.mend("absent image", file, wrong, "add it or take it off", LEFT_OUT)
            else:
                self.rows[name] = (file, entry, [])
        return images

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        if name not in self.rows:
            files = " or ".join(map(str, self.files))
            remedy = "list it among the images (without annotations if it has no boxes)"
            wrong = f"{files} does not list the picture {name!r}"
            return self.missing(self.files[0], wrong, remedy, ledger)
        file, entry, rows = self.rows[name]
        stated = [entry.get("height"), entry.get("width")]
        _check_size(file, f"{file}, image {name!r}", stated, size, ledger)
        return rows


def _is_number(value: object) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and abs(value) < 1e15  # more is no pixel, and an int might not fit a float


def open_boxes(path: Path, find: Callable[[str], str | None], classes: Sequence[str] | None,
               ledger: Ledger, ignored: Sequence[str] = ()) -> Annotations:  # fmt: skip
    """The boxes in a COCO .json, or in a folder of such, of YOLO .txt or of Pascal VOC .xml.

    `find` gives a record's name for the name of a file. Classes: those given, else COCO's own
    categories, else the lines of classes.txt in the folder or the one above it.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return Coco([path], find, classes, ledger, ignored)
    if not path.is_dir():
        what = "is no .json file" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}: give a COCO .json or a folder of annotations.")
    found = {
        suffix: [p for p in sorted(path.rglob(f"*{suffix}")) if p.name != "classes.txt"]
        for suffix in (".json", ".xml", ".txt")
    }
    kinds = [suffix for suffix, files in found.items() if files]
    if len(kinds) != 1:
        held = " and ".join(kinds) or "no .json, .xml or .txt"
        raise UserError(f"{path} holds {held}: give a folder with annotations of one format.")
    if kinds == [".json"]:
        return Coco(found[".json"], find, classes, ledger, ignored)
    if classes is None:
        lists = [place / "classes.txt" for place in (path, path.parent)]
        there = [file for file in lists if file.is_file()]
        if not there:
            raise UserError(f"{path} needs names of classes: give classes=... or {lists[0]}.")
        classes = [line.strip() for line in read_text(there[0]).splitlines() if line.strip()]
        if not classes or len(set(classes)) < len(classes):
            raise UserError(f"{there[0]} must name every class once, one a line: mend it.")
    return FileEach(path, kinds[0], find, classes, ledger)
