"""Published sets, each in the layout that its publishers chose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from freqkd_lite.data.annotations import Coco, open_boxes
from freqkd_lite.data.base import CLASSES, data_root
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.files import Collection, FilePairs, Options
from freqkd_lite.data.matching import SHARES, Names, Record, match, read_splits, share_out
from freqkd_lite.errors import UserError

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
