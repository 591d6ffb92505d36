"""What each data set is, who made it, under which licence, and how to get it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from freqkd_lite.data import REGISTRY, find_set
from freqkd_lite.data.download import Source
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.files import FilePairs
from freqkd_lite.errors import UserError


@dataclass(frozen=True)
class Entry:
    """One data set for `freqkd data describe`. `source` is set where the publisher lets anyone
    download it, else `how` is the way to get it; `loader` says how to read a set that has no loader
    of its own."""

    about: str
    has: str
    size: str
    licence: str
    cite: str
    origin: str
    how: str = ""
    loader: str = ""
    source: Source | None = None


ROADSCENE = Source(
    url="https://raw.githubusercontent.com/hanna-xu/RoadScene/HEAD/",
    folders={"crop_LR_visible": "vi", "cropinfrared": "ir"},
    size=8_737_623,
    unpacked=8_737_623,
    files=442,
    verified=(
        "All 442 files are compared with SHA-256 checksums of a copy as published. The repository "
        "has no releases, so its default branch is read; its folder names were not seen there "
        "itself but in public code that reads the set."
    ),
)
HITUAV = Source(
    url=(
        "https://github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset/releases/download/"
        "v1.2.1/HIT-UAV.zip"
    ),
    folders={"HIT-UAV/normal_json": "", "HIT-UAV/LICENSE": "LICENSE"},
    size=812_468_971,
    unpacked=207_000_000,
    files=2898,
    verified=(
        "600 of the 2,898 images are compared with SHA-256 checksums of a copy as published, the "
        "other files with the archive's own CRC-32. The publisher gives no checksum of release "
        "v1.2.1; its size and layout were read in public code that uses it."
    ),
)
CATALOGUE = {
    "scenes": Entry(
        about="Street scenes that this package draws in both spectra from one geometry.",
        has="pairs, boxes, masks, splits",
        size="nothing on disk",
        licence="Apache-2.0, as this package",
        cite="this package",
        origin="drawn by freqkd_lite.scenes",
        how="Nothing to get: every scene is drawn from its seed.",
    ),
    "msrs": Entry(
        about=(
            "Aligned street scenes 640x480 by day and night, derived from MFNet; its authors "
            "enhanced the contrast of the infrared. Boxes of people, bicycles and cars."
        ),
        has="pairs, boxes, splits",
        size="361 labelled pairs, about 75 MB (MSRS has 1,444 pairs in all)",
        licence="none stated for the images or the boxes: ask the authors before you pass them on",
        cite="Tang et al., PIAFusion, Information Fusion 2022; Ha et al., MFNet, IROS 2017",
        origin="github.com/Linfeng-Tang/MSRS; boxes: github.com/Lele-3/MSRS-detection-label",
        how=(
            "Clone both repositories. Put the test images into msrs361/vi and msrs361/ir, the "
            "label files into msrs361/boxes_ir, and the names of train, val and test into "
            "msrs361/split.json."
        ),
    ),
    "roadscene": Entry(
        about="Aligned road scenes cropped from FLIR video; sizes vary, no boxes.",
        has="pairs",
        size="221 pairs, 8.7 MB",
        licence="none stated; the authors ask to be cited, and FLIR's terms cover the video",
        cite="Xu et al., FusionDN, AAAI 2020",
        origin="github.com/hanna-xu/RoadScene",
        source=ROADSCENE,
    ),
    "hituav": Entry(
        about=(
            "Infrared pictures 640x512 from a drone 60 to 130 m up, with boxes of people, cars, "
            "bicycles and other vehicles. No visible images, so no stage 1."
        ),
        has="infrared, boxes, splits",
        size="2,898 images: 812 MB to transfer, 207 MB to keep",
        licence="CC BY 4.0; the publisher's LICENSE file comes with it, read it",
        cite="Suo et al., HIT-UAV, Scientific Data 2023 (arXiv 2204.03245)",
        origin="github.com/suojiashun/HIT-UAV-Infrared-Thermal-Dataset, release v1.2.1",
        source=HITUAV,
    ),
    "llvip": Entry(
        about="Aligned surveillance pictures 1280x1024 in low light, with boxes of people.",
        has="pairs, boxes, splits",
        size="15,488 pairs",
        licence="LLVIP's own: non-commercial only, cite it, identify nobody",
        cite="Jia et al., LLVIP, ICCV Workshops 2021",
        origin="bupt-ai-cz.github.io/LLVIP",
        how="Accept the terms on that page; it gives the link. Unpack it to DATA/LLVIP.",
    ),
    "kaist": Entry(
        about="Day and night driving video 640x512 with boxes of people, the paper's main set.",
        has="pairs, boxes, splits",
        size="95,328 pairs, 36 GB of video",
        licence="CC BY-NC-SA 4.0",
        cite="Hwang et al., CVPR 2015; sanitised annotations: Li et al., BMVC 2018",
        origin="github.com/SoonminHwang/rgbt-ped-detection",
        how=(
            "Ask there. Take the sanitised training and improved test annotations as well, without "
            "which results can't be compared; where they lie is told in "
            "github.com/CalayZhou/Multispectral-Pedestrian-Detection-Resource."
        ),
        loader="`folder`, with visible/, lwir/ and VOC XML",
    ),
    "flir": Entry(
        about="FLIR ADAS driving pictures 640x512; 'aligned' is the part made into pairs.",
        has="pairs, boxes, splits",
        size="5,142 aligned pairs: 4,129 to train, 1,013 to test",
        licence="Teledyne FLIR's terms, accepted in its form",
        cite="Teledyne FLIR ADAS; aligned pairs: Zhang et al., ICIP 2020",
        origin="flir.com/oem/adas/adas-dataset-form",
        how=(
            "Fill in the form for the set itself. For the aligned pairs ask their authors; where "
            "they lie is told in github.com/CalayZhou/Multispectral-Pedestrian-Detection-Resource."
        ),
        loader="`folder`, with VOC XML (its few stray 'dog' boxes are reported)",
    ),
    "mfnet": Entry(
        about="Street scenes 640x480 by day and night with label maps of 8 classes.",
        has="pairs, masks, splits",
        size="1,569 pairs: 784 to train, 392 val, 393 to test",
        licence="none stated: ask the authors",
        cite="Ha et al., MFNet, IROS 2017",
        origin="mi.t.u-tokyo.ac.jp/static/projects/mil_multispectral",
        how="Ask there. Its images are PNG with 4 channels: RGB, then infrared.",
        loader="save channels 1-3 and 4 as two folders for `folder`; no masks yet",
    ),
    "folder": Entry(
        about="Your own pairs: a folder of visible and one of infrared images, matched by name.",
        has="pairs, perhaps boxes, splits",
        size="yours",
        licence="yours",
        cite="yours",
        origin="your disk",
        how="freqkd data check folder --visible DIR --infrared DIR [--boxes FILE_OR_DIR]",
        loader="load('folder', visible=..., infrared=..., boxes=...): COCO, YOLO or VOC boxes",
    ),
}


def how_to_get(name: str) -> str:
    """The command, or where to ask."""
    return CATALOGUE[name].how or f"freqkd data get {name}"


def loader(name: str) -> str:
    """How `freqkd_lite.data` reads a set."""
    if name not in REGISTRY:
        return f"none of its own: {CATALOGUE[name].loader}"
    layout = find_set(name).layout
    return f"load({name!r})" + (f": {layout}" if layout else "")


def find(name: str) -> str:
    """Whether a set lies where `load` looks without a root: how many pictures and where."""
    if name not in REGISTRY:
        return "no loader of its own, use `folder`"
    kind = find_set(name)
    if not issubclass(kind, FilePairs):
        return "always here"
    if name == "folder":
        return "where you say"
    try:
        records = kind.collect(None, Ledger(collect=True), kind.Options()).records
    except UserError:
        return "not here"
    folders = {path.parent for r in records for path in (r.visible, r.infrared) if path}
    return f"{len(records)} in {os.path.commonpath(folders)}"
