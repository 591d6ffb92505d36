"""Boxes from COCO JSON, YOLO text and Pascal VOC XML, and which of them can be used.

Coordinates are edges in pixels of the infrared picture; those of Pascal VOC are used unchanged,
since its writers do not agree on whether the first pixel is 0 or 1. A box may stick out by
`ROUNDING` pixels, about what text formats lose: that is cut off. More is a fault, and so are a box
without area and an unknown class; with `repair` the first is cut and the others are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from pydantic import AfterValidator, AliasChoices, BaseModel, Field, FiniteFloat
from torch import Tensor

from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.matching import Names, composed
from freqkd_lite.errors import UserError, explained
from freqkd_lite.store import parsed, read_text

ROUNDING = 0.5
NO_BOXES = "read as a picture without boxes"
CLASS_LIST = "classes.txt"
Size = tuple[int, int]  # height and width of a picture in pixels


class Written(NamedTuple):
    """A box as in its file: the place there, its class, and x0 y0 x1 y1 in pixels. A `crowd` is a
    region of many objects (COCO's iscrowd), or else to be ignored (KAIST's ignore)."""

    file: Path
    place: str
    label: str
    edges: tuple[float, float, float, float]
    crowd: bool = False

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: the box {' '.join(f'{e:g}' for e in self.edges)}"


class Annotations:
    """The boxes of a data set. `ignored` classes and crowds are left out, and counted."""

    classes: tuple[str, ...] = ()

    def __init__(self, source: Path, classes: Sequence[str], ignored: Sequence[str] = ()):
        self.classes, self.ignored = tuple(map(composed, classes)), frozenset(ignored)
        if not classes or len({*self.classes}) < len(classes):
            named = ", ".join(classes) or "none"
            raise UserError(f"The classes of {source} are {named}: name each of them once.")

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        """The boxes of a record as written; `size` is its picture's."""
        raise NotImplementedError

    def boxes(self, name: str, size: Size, ledger: Ledger) -> tuple[Tensor, Tensor]:
        """A record's boxes (N, 4) x0 y0 x1 y1 in pixels inside its picture, and labels (N,)."""
        boxes, labels, left_out = [], [], {}
        for row in self.read(name, size, ledger):
            if row.label in self.ignored:
                left_out.setdefault(f"of {row.label}", []).append(row)
            elif row.crowd:
                left_out.setdefault("crowds (no single objects) or to be ignored", []).append(row)
            elif row.label not in self.classes:
                wrong = f"{row.file}, {row.place}: unknown class {row.label!r}"
                remedy = f"the classes are {', '.join(self.classes)}: add it or fix the file"
                ledger.repairable("unknown class", row.file, wrong, remedy)
            elif (box := _inside(row, size, ledger)) is not None:
                boxes.append(box)
                labels.append(self.classes.index(row.label))
        for what, rows in left_out.items():
            where = f"{rows[0].file}, {rows[0].place}"
            ledger.repaired(f"{where}: {len(rows)} {what} in this picture, left out.")
        found = torch.from_numpy(np.array(boxes, dtype=np.float32).reshape(-1, 4))
        return found, torch.tensor(labels, dtype=torch.int64)


def _inside(row: Written, size: Size, ledger: Ledger) -> np.ndarray | None:
    """The box cut to its picture; None where nothing is left of it."""
    picture = f"the picture of {size[0]}x{size[1]} pixels (height x width)"
    edges = np.array(row.edges)
    inside = np.clip(edges, 0, [size[1], size[0]] * 2)
    cut = inside.astype(np.float32)  # a box that float32 makes empty has no area
    if not np.isfinite(edges).all():
        ledger.fault("annotation", row.file, f"{row} is not finite: fix it.")
    elif not (edges[2:] > edges[:2]).all():
        ledger.repairable("box without area", row.file, f"{row} has no area", "fix it")
    elif not (cut[2:] > cut[:2]).all():
        wrong = f"{row} has no area inside {picture}"
        ledger.repairable("box outside", row.file, wrong, "fix it")
    else:
        if (np.abs(edges - inside) > ROUNDING).any():
            wrong = f"{row} sticks out of {picture}"
            ledger.repairable("box outside", row.file, wrong, "fix it", "cut at the edge")
        return cut
    return None


def _fits(file: Path, where: object, stated: Sequence[object], size: Size, ledger: Ledger) -> bool:
    """Whether the size that annotations state, where they do, is their picture's; else a fault."""
    if all(side is None or str(side) == str(own) for side, own in zip(stated, size, strict=True)):
        return True
    height, width = ("?" if side is None else side for side in stated)
    text = (
        f"{where}: it is for {height}x{width} pixels (height x width), and the picture has "
        f"{size[0]}x{size[1]}: give the boxes of this picture at this size."
    )
    ledger.fault("different sizes", file, text)
    return False


class FileEach(Annotations):
    """One file per picture: YOLO text or Pascal VOC XML, found by the picture's name."""

    def __init__(self, folder: Path, suffix: str, names: Names, classes: Sequence[str], ledger):
        super().__init__(folder, classes)
        self.folder, self.suffix = folder, suffix
        self.files: dict[str, Path] = {}
        for path in annotation_files(folder, suffix):
            name = names.find(path.relative_to(folder).with_suffix("").as_posix())
            if name is None:
                wrong = f"{path} belongs to no picture"
                ledger.repairable("absent image", path, wrong, "add it or remove the file")
            elif name in self.files:
                text = f"{path} and {self.files[name]} are both for {name!r}: remove one of them."
                ledger.fault("listed twice", path, text)
            else:
                self.files[name] = path

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        path = self.files.get(name)
        if path is None:
            path = self.folder / f"{name}{self.suffix}"
            remedy = "add it (without boxes if the picture has none)"
            ledger.repairable("no annotation", path, f"{path} is missing", remedy, NO_BOXES)
            return []
        with ledger.watch("annotation", path):
            if self.suffix == ".txt":
                return read_yolo(path, size, self.classes, ledger)
            return read_voc(path, size, ledger)
        return []


def read_yolo(path: Path, size: Size, classes: Sequence[str], ledger: Ledger) -> list[Written]:
    """Lines of class number, centre x and y, width and height as shares of the picture."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            index, *shares = line.split()
            index, (cx, cy, w, h) = int(index), map(float, shares)
        except ValueError:
            text = f"{path}, line {number}: expected 'class cx cy w h', found {line[:60]!r}"
            ledger.fault("annotation", path, f"{text}: fix the line.")
            continue
        x0, y0, x1, y1 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
        edges = (x0 * size[1], y0 * size[0], x1 * size[1], y1 * size[0])
        label = classes[index] if 0 <= index < len(classes) else f"number {index}"
        rows.append(Written(path, f"line {number}", label, edges))
    return rows


def read_voc(path: Path, size: Size, ledger: Ledger) -> list[Written]:
    """<object>s with <name> and <bndbox>; <size> must be the picture's, or 0 or None, as some
    programs write where they don't know it."""
    try:
        top = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise UserError(f"{path} is not valid XML ({error}): fix or regenerate it.") from error
    if top.tag != "annotation":
        raise UserError(f"{path} is not a Pascal VOC annotation but <{top.tag}>: regenerate it.")
    sides = [top.findtext(f"size/{side}", "").strip() for side in ("height", "width")]
    stated = [side.removesuffix(".0") or None for side in sides]
    if stated in (["0", "0"], ["None", "None"]):
        own = f"{size[0]}x{size[1]} (height x width)"
        text = f"{path}: its size is {'x'.join(sides)}; the picture's own, {own}, is used."
        ledger.repaired(text)
    elif not _fits(path, path, stated, size, ledger):
        return []
    rows = []
    for number, thing in enumerate(top.iter("object"), 1):
        corners = [thing.findtext(f"bndbox/{e}", "") for e in ("xmin", "ymin", "xmax", "ymax")]
        sides = [thing.findtext(f"bndbox/{edge}", "") for edge in "xywh"]  # KAIST's
        try:
            x0, y0, x1, y1 = map(float, sides if all(sides) else corners)
        except ValueError:
            text = f"{path}, object {number}: <bndbox> needs numbers xmin, ymin, xmax and ymax"
            ledger.fault("annotation", path, f"{text}: fix it.")
            continue
        edges = (x0, y0, x0 + x1, y0 + y1) if all(sides) else (x0, y0, x1, y1)
        label = composed(thing.findtext("name", "").strip())
        rows.append(Written(path, f"object {number}", label, edges))
    return rows


class CocoImage(BaseModel):
    id: int | str
    file_name: str = Field(validation_alias=AliasChoices("file_name", "filename", "im_name"))
    height: int | None = None
    width: int | None = None


class CocoBox(BaseModel):
    image_id: int | str
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]  # x, y, width, height
    iscrowd: bool = Field(False, validation_alias=AliasChoices("iscrowd", "ignore"))


class CocoCategory(BaseModel):
    id: int
    name: Annotated[str, AfterValidator(composed)]
    supercategory: object = None


class CocoFile(BaseModel):
    """The part of COCO's format that is used, also as HIT-UAV and KAIST spell it."""

    images: list[CocoImage]
    annotations: list[CocoBox] = Field(validation_alias=AliasChoices("annotations", "annotation"))
    categories: list[CocoCategory]


class Coco(Annotations):
    """COCO's JSON, one file or several."""

    def __init__(
        self,
        files: Sequence[Path],
        names: Names,
        classes: Sequence[str] | None,
        ledger: Ledger,
        ignored: Sequence[str] = (),
    ):
        self.files, self.whole = list(files), True
        self.rows: dict[str, tuple[Path, CocoImage, list[Written]]] = {}
        found: list[str] = []
        parents, used = set(), set()
        for file in self.files:
            content = None
            with ledger.watch("annotation", file), explained(file, "write it as COCO does"):
                content = CocoFile.model_validate(parsed(file))
            if content is None:
                self.whole = False
                continue
            kinds = content.categories
            labels = _labels(file, kinds, ledger)
            found += [labels[key] for key in sorted(labels)]
            parents |= {str(k.supercategory) for k in kinds if k.supercategory != k.name}
            used |= {labels.get(box.category_id) for box in content.annotations}
            self._add(file, content, labels, names, ledger)
        if classes is None:
            roots = (parents - used) & set(found)
            for name in sorted(roots):
                text = f"the category {name!r} has no boxes and is a parent of others"
                ledger.repaired(f"{self.files[0]}: {text}: left out of the classes.")
            classes = [n for n in dict.fromkeys(found) if n not in {*ignored, *roots}]
        if classes or self.whole:  # else the fault is reported
            super().__init__(self.files[0], classes, ignored)

    def _add(
        self, file: Path, content: CocoFile, labels: dict[int, str], names: Names, ledger: Ledger
    ) -> None:
        images: dict[int | str, str | None] = {}
        for number, image in enumerate(content.images):
            where, name = f"{file}, images.{number}", names.find(image.file_name)
            if image.id in images or name in self.rows:
                text = f"{where}: {image.file_name!r} or its id {image.id!r} is listed twice"
                ledger.fault("listed twice", file, f"{text}: keep one entry.")
                name = images.get(image.id)
            elif name is None:
                wrong = f"{where}: there is no picture {image.file_name!r}"
                ledger.repairable("absent image", file, wrong, "add it or take it off")
            else:
                self.rows[name] = (file, image, [])
            images[image.id] = name
        for number, box in enumerate(content.annotations):
            place = f"annotations.{number}"
            if box.image_id not in images:
                count = sum(other.image_id == box.image_id for other in content.annotations)
                wrong = f"{file}, {place}: there is no image with the id {box.image_id!r}"
                wrong += f" ({count} boxes)" if count > 1 else ""
                ledger.repairable("absent image", file, wrong, "list the image or fix it")
                images[box.image_id] = None  # said once, for all its boxes
            elif name := images[box.image_id]:
                label = labels.get(box.category_id, f"number {box.category_id}")
                x, y, width, height = box.bbox
                edges = (x, y, x + width, y + height)
                self.rows[name][2].append(Written(file, place, label, edges, box.iscrowd))

    def read(self, name: str, size: Size, ledger: Ledger) -> list[Written]:
        if name in self.rows:
            file, image, rows = self.rows[name]
            stated = [image.height, image.width]
            return rows if _fits(file, f"{file}, image {name!r}", stated, size, ledger) else []
        if self.whole:
            wrong = f"{' or '.join(map(str, self.files))} does not list the picture {name!r}"
            remedy = "list it among the images (without annotations if it has no boxes)"
            ledger.repairable("no annotation", self.files[0], wrong, remedy, NO_BOXES)
        return []


def _labels(file: Path, categories: Sequence[CocoCategory], ledger: Ledger) -> dict[int, str]:
    """The categories' names by their ids."""
    labels: dict[int, str] = {}
    ids: dict[str, int] = {}
    for number, entry in enumerate(categories):
        where = f"{file}, categories.{number}"
        if labels.setdefault(entry.id, entry.name) != entry.name:
            both = f"the id {entry.id} is of {labels[entry.id]!r} and of {entry.name!r}"
            ledger.fault("listed twice", file, f"{where}: {both}: give each its own id.")
        elif ids.setdefault(entry.name, entry.id) != entry.id:
            both = f"{entry.id} and {ids[entry.name]} are both called {entry.name!r}"
            ledger.repaired(f"{where}: the ids {both}, and are read as one class.")
    return labels


def annotation_files(folder: Path, suffix: str) -> list[Path]:
    """The files with a suffix, in either case, in a folder and below, without hidden ones and
    classes.txt."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() == suffix)
    return [p for p in found if p.name.lower() != CLASS_LIST and not p.name.startswith(".")]


def open_boxes(
    path: Path, names: Names, classes: Sequence[str] | None, ledger: Ledger
) -> Annotations | None:
    """The boxes in a COCO .json, or in a folder of such, of YOLO .txt or of Pascal VOC .xml; None
    where a collected fault hides all of them.

    Classes: those given, else COCO's categories in the order of their ids, else the lines of
    classes.txt in the folder or the one above it.
    """
    with ledger.watch("annotation", path):
        if path.is_file() and path.suffix.lower() == ".json":
            held = {".json": [path]}
        elif path.is_dir():
            held = {suffix: annotation_files(path, suffix) for suffix in (".json", ".xml", ".txt")}
        else:
            what = "is not a .json file" if path.exists() else "does not exist"
            raise UserError(f"{path} {what}: give a COCO .json or a folder of annotations.")
        kinds = [suffix for suffix, files in held.items() if files]
        if len(kinds) != 1:
            listed = " and ".join(kinds) or "no .json, .xml or .txt"
            raise UserError(f"{path} holds {listed}: give a folder with annotations of one format.")
        if kinds == [".json"]:
            found = Coco(held[".json"], names, classes, ledger)
            return found if found.classes else None
        return FileEach(path, kinds[0], names, classes or _class_list(path), ledger)
    return None


def _class_list(path: Path) -> list[str]:
    near = [file for place in (path, path.parent) for file in sorted(place.iterdir())]
    there = [file for file in near if file.name.lower() == CLASS_LIST and file.is_file()]
    if not there:
        raise UserError(f"{path} needs class names: give classes=... or {path / CLASS_LIST}.")
    return [line.strip() for line in read_text(there[0]).splitlines() if line.strip()]
