"""Published sets, each in the layout that its publishers chose."""

import re
from dataclasses import replace
from pathlib import Path

from freqkd_lite.data.annotations import Annotations, Coco, FileEach, open_boxes
from freqkd_lite.data.base import CLASSES, data_root
from freqkd_lite.data.faults import Ledger, read_text
from freqkd_lite.data.files import Collection, FilePairs, Options
from freqkd_lite.data.matching import SHARES, Names, Record, match, read_splits, share_out
from freqkd_lite.errors import UserError

KINDS = ("visible", "lwir")
FRAMES = "they are frames of videos, so neighbours may lie on both sides"


class Published(FilePairs):
    """A set that lies in one of `folders` below the data root, or in the root itself: where
    anything matches one of the glob patterns `markers`."""

    folders: tuple[str, ...]
    markers: tuple[str, ...]

    @classmethod
    def collect(cls, root: str | Path | None, ledger: Ledger, options: Options) -> Collection:
        return cls.read(data_root(cls.name, cls.folders, root, cls.markers), ledger, options)

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: Options) -> Collection:
        """What lies in `home`; see `FilePairs.collect`."""
        raise NotImplementedError


class Msrs(Published):
    """Aligned street scenes of 640x480 by day and night (Tang et al., PIAFusion, Information Fusion
    2022, from MFNet); boxes: github.com/Lele-3/MSRS-detection-label."""

    name = "msrs"
    folders, markers = ("msrs361", "msrs"), ("ir",)
    note = "MSRS: its infrared is contrast-enhanced by its authors; boxes drawn on infrared."

    @classmethod
    def read(cls, home: Path, ledger: Ledger, options: Options) -> Collection:
        listing = home / "split.json"
        if not listing.is_file():
            raise UserError(f"{listing} is missing: it lists the names of train, val and test.")
        records, names = match(home / "vi", home / "ir", ledger, options.unpaired)
        times = {"D": "day", "N": "night"}
        records = [
            replace(record, time_of_day=times.get(record.name[-1], "")) for record in records
        ]
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
    def read(cls, home: Path, ledger: Ledger, options: Options) -> Collection:
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
    def read(cls, home: Path, ledger: Ledger, options: Options) -> Collection:
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
    def read(cls, home: Path, ledger: Ledger, options: Options) -> Collection:
        records, names = match(home / "visible", home / "infrared", ledger, options.unpaired)
        boxes = open_boxes(home / "Annotations", names, ("person",), ledger)
        return Collection(records, by_folder(records), boxes)


class KaistFiles(Options):
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
        "KAIST: people alone; its people, person? and cyclist are left out and are no negatives to "
        f"evaluate.missrate; val is an eighth of train by seed 0, and {FRAMES}."
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
                Record(name, *(home / "images" / at / kind / f"{image}.jpg" for kind in KINDS))
                for name in dict.fromkeys(splits["train"] + splits["test"])
                for at, image in [name.rsplit("/", 1)]
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
