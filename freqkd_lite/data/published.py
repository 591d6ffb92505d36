"""Published sets, each in the layout that its publishers chose."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from freqkd_lite.data.annotations import Annotations, Coco, FileEach, open_boxes
from freqkd_lite.data.base import CLASSES, Pair, data_root
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.files import Collection, FileOptions, FilePairs
from freqkd_lite.data.matching import SHARES, Names, Record, match, read_splits, share_out
from freqkd_lite.errors import UserError, check_known
from freqkd_lite.store import read_text

TIMES = {"D": "day", "N": "night"}  # the last letter of a name in MFNet, from which MSRS is made
FRAMES = "they are frames of videos, so neighbours may lie on both sides"


class Published(FilePairs):
    """A set that lies in one of `folders` below the data root, or in the root itself: where
    anything matches one of the glob patterns `markers`."""

    folders: tuple[str, ...]
    markers: tuple[str, ...]

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, options: FileOptions) -> Collection:
        ledger.root = data_root(cls.name, cls.folders, root, cls.markers)
        return cls.read(ledger.root, ledger, options)

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        """What lies in `home`; see `FilePairs.collect`."""
        raise NotImplementedError


class Msrs(Published):
    """Aligned street scenes of 640x480 by day and night (Tang et al., PIAFusion, Information Fusion
    2022, from MFNet); boxes: github.com/Lele-3/MSRS-detection-label."""

    name = "msrs"
    folders, markers = ("msrs361", "msrs"), ("ir",)
    note = "MSRS: its infrared is contrast-enhanced by its authors; boxes drawn on infrared."

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        listing = home / "split.json"
        if not listing.is_file():
            raise UserError(f"{listing} is missing: it lists the names of train, val and test.")
        records, names = match(home / "vi", home / "ir", ledger, options.unpaired)
        records = [replace(r, time_of_day=TIMES.get(r.name[-1], "")) for r in records]
        boxes = open_boxes(home / "boxes_ir", names, CLASSES, ledger)
        return Collection(records, read_splits(listing, names, ledger), boxes)


class RoadScene(Published):
    """221 aligned pairs of many sizes, cut from FLIR's video (Xu et al., FusionDN, AAAI 2020)."""

    name = "roadscene"
    folders, markers = ("roadscene", "RoadScene"), ("ir/FLIR_*", "cropinfrared/FLIR_*")
    has = frozenset({"pairs", "splits"})
    note = (
        "RoadScene: thermal noise was removed by its authors; no split is published: train, val "
        f"and test are 0.6, 0.2 and 0.2 by seed 0, and {FRAMES}."
    )

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        ours = (home / "ir").is_dir()
        visible, infrared = ("vi", "ir") if ours else ("crop_LR_visible", "cropinfrared")
        records, names = match(home / visible, home / infrared, ledger, options.unpaired)
        return Collection(records, share_out(names.used, SHARES, seed=0))


def by_folder(records: list[Record]) -> dict[str, list[str]]:
    """Splits from the first folder of the names; without val, an eighth of train becomes it."""
    splits: dict[str, list[str]] = {}
    for record in records:
        splits.setdefault(record.name.split("/")[0], []).append(record.name)
    if "val" not in splits:
        splits |= share_out(splits.get("train", []), {"train": 7 / 8, "val": 1 / 8}, seed=0)
    return splits


class HitUav(Published):
    """Infrared from a drone, with boxes and without visible pictures (Suo et al., Scientific Data
    2023). The boxes that it calls DontCare are left out and counted."""

    name = "hituav"
    folders, markers = ("hituav", "normal_json"), ("annotations/train.json",)
    note = (
        "HIT-UAV: infrared alone, boxes of DontCare left out; where no val is published it is an "
        f"eighth of train by seed 0, and {FRAMES}."
    )

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        parts = [part for part in ("train", "val", "test") if (home / part).is_dir()] or ["train"]
        records = []
        for part in parts:
            found, _ = match(None, home / part, ledger, options.unpaired)
            records += [replace(record, name=f"{part}/{record.name}") for record in found]
        files = [home / "annotations" / f"{part}.json" for part in parts]
        names = Names(record.name for record in records)
        boxes = Coco(files, names, None, ledger, ignored=("DontCare",))
        return Collection(records, by_folder(records), boxes)


class Llvip(Published):
    """Pairs of street scenes by night, from above (Jia et al., LLVIP, ICCV workshops 2021)."""

    name = "llvip"
    folders, markers = ("LLVIP", "llvip"), ("infrared/train",)
    note = f"LLVIP: people alone; val is an eighth of train by seed 0, and {FRAMES}."

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        records, names = match(home / "visible", home / "infrared", ledger, options.unpaired)
        boxes = open_boxes(home / "Annotations", names, ("person",), ledger)
        return Collection(records, by_folder(records), boxes)


class KaistFiles(FileOptions):
    """Lists of names below imageSets/, and what holds the boxes: a folder of XML, or a JSON."""

    train: str = "train-all-02"
    test: str = "test-all-20"
    annotations: str = "annotations-xml-new-sanitized"


class SanitisedXml(FileEach):
    """One XML file a picture; there are more than the lists name."""

    def __init__(self, folder: Path, names: Names):
        Annotations.__init__(self, folder, ("person",), Kaist.ignored)
        self.folder, self.suffix = folder, ".xml"
        files = {name: folder / f"{name}.xml" for name in names.used}
        self.files = {name: file for name, file in files.items() if file.is_file()}


class Kaist(Published):
    """Driving video 640x512 by day and night (Hwang et al., CVPR 2015) as the benchmark lists it,
    or some pairs of it: visible/ and lwir/ with set06_V001_I00459.png, and annotation.json."""

    name = "kaist"
    folders, markers = ("kaist-cvpr15", "kaist", "kaist_demo9"), ("imageSets/*.txt", "lwir/set*")
    ignored = ("people", "person?", "person?a", "cyclist", "__ignore__")
    note = (
        "KAIST: people alone; its people, person? and cyclist are left out, and are not negatives "
        f"to evaluate.missrate; val is an eighth of train by seed 0, and {FRAMES}."
    )
    Options = KaistFiles

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: KaistFiles) -> Collection:
        if (home / "lwir").is_dir():
            found, _ = match(home / "visible", home / "lwir", ledger, options.unpaired)
            records = [replace(record, name=record.name.replace("_", "/")) for record in found]
            splits, source = {"test": [r.name for r in records]}, home / "annotation.json"
        else:
            splits = {part: cls.listed(home, getattr(options, part)) for part in ("train", "test")}
            records = [
                Record(name, file.parent / "visible" / file.name, file.parent / "lwir" / file.name)
                for name in dict.fromkeys(splits["train"] + splits["test"])
                for file in [home / "images" / f"{name}.jpg"]
            ]
            splits |= share_out(splits["train"], {"train": 7 / 8, "val": 1 / 8}, seed=0)
            source = home / options.annotations
        times = ("day", "day", "day", "night", "night", "night")
        records = [replace(r, time_of_day=times[int(r.name[3:5]) % 6]) for r in records]
        names = Names(record.name for record in records)
        if source.suffix == ".json":
            boxes = Coco([source], names, ("person",), ledger, cls.ignored)
        else:
            boxes = SanitisedXml(source, names)
        return Collection(records, splits, boxes)

    @staticmethod
    def listed(home: Path, name: str) -> list[str]:
        """The names in a list, each once."""
        source = home / "imageSets" / f"{name}.txt"
        found = list(dict.fromkeys(read_text(source).split()))
        for entry in found:
            if not re.fullmatch(r"set(0\d|1[01])/V\d+/I\d+", entry):
                raise UserError(f"{source} lists {entry!r}: write names as set06/V001/I00459.")
        return found


class FlirCrops(Published):
    """Aligned RGB-thermal crops of single objects, cut from FLIR ADAS v1 (github.com/Eureka-JTX/
    rgbt_detection): rgb/ and ir/ with train/ and test/, and list.csv. A pair's name is car/05000_1,
    its class and its frame; it has one label and no box. Crops are warped to the set's size."""

    name = "flir_crops"
    folders, markers = ("flir_crops",), ("list.csv",)
    has, classes = frozenset({"pairs", "splits"}), CLASSES
    note = (
        "FLIR's crops: train, val and test share no frame, val is an eighth of train's frames by "
        "seed 0; RoadScene is cut from the same video."
    )

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        records, splits = [], {"train": [], "val": [], "test": []}
        rows = list(csv.DictReader(read_text(home / "list.csv").splitlines()))
        if not rows or not {"split", "time", "class", "name", "frame"} <= rows[0].keys():
            raise UserError(f"{home / 'list.csv'} lacks split, time, class, name or frame: add it.")
        frames = {row["frame"] for row in rows if row["split"] == "train"}
        held = {*share_out(frames, {"train": 7 / 8, "val": 1 / 8}, seed=0)["val"]}
        for row in rows:
            check_known(f"class in {home / 'list.csv'}", CLASSES, row["class"])
            part = "val" if row["split"] == "train" and row["frame"] in held else row["split"]
            name, file = f"{row['class']}/{row['name']}", f"{row['split']}/{row['name']}.jpg"
            records.append(Record(name, home / "rgb" / file, home / "ir" / file, row["time"]))
            splits.setdefault(part, []).append(name)
        return Collection(records, splits)

    def frames(self) -> list[int]:
        """The number of each pair's frame, whose crops are not independent."""
        return [int(re.split("[/_]", name)[1]) for name in self.names]

    def labels(self) -> Tensor:
        """The class of each pair (N,), int64, an index into `classes`."""
        return torch.tensor([CLASSES.index(name.split("/")[0]) for name in self.names])

    def fitted(self, pair: Pair) -> Pair:
        kinds = ("visible", "infrared")
        return replace(pair, **{k: resize(getattr(pair, k), list(self.size)) for k in kinds})


class Mfnet(Published):
    """Street scenes 640x480 by day and night with label maps (Ha et al., IROS 2017): PNG of four
    channels in images/, ids of the nine classes in labels/, names in train.txt, val.txt, test.txt
    and, where they are there, parts of these such as test_day.txt."""

    name = "mfnet"
    folders, markers = ("ir_seg_dataset", "mfnet", "MFNet"), ("labels/*.png",)
    has = frozenset({"pairs", "masks", "splits"})
    mask_classes = ("unlabelled", "car", "person", "bike", "curve", "car stop", "guardrail")
    mask_classes += ("color cone", "bump")
    note = "MFNet: unlabelled pixels are a class of their own; give mIoU with and without it."

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: FileOptions) -> Collection:
        found, names = match(None, home / "images", ledger)
        records = [
            replace(
                record,
                visible=record.infrared,
                time_of_day=TIMES.get(record.name[-1], ""),
                mask=home / "labels" / f"{record.name}.png",
            )
            for record in found
            if not record.name.endswith("_flip")  # mirrored copies that some programs write
        ]
        splits: dict[str, list[str]] = {}
        for file in sorted(home.glob("*.txt")):
            listed = [name.removesuffix(".png") for name in read_text(file).split()]
            splits[file.stem] = [name for name in listed if not name.endswith("_flip")]
            for name in splits[file.stem]:
                if names.find(name) != name:
                    text = f"{file} lists {name!r}, and there is no such picture"
                    ledger.fault("absent image", file, f"{text}: add it or take it off the list.")
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            if both := {*splits.get(one, ())} & {*splits.get(other, ())}:
                text = f"{min(both)!r} is in {one}.txt and in {other}.txt: keep one of them."
                ledger.fault("listed twice", home / f"{one}.txt", text)
        return Collection(records, splits)
