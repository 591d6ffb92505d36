"""The interface of a data set of RGB-infrared pairs."""

import inspect
import os
import pkgutil
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.store import digest

CLASSES = ("person", "bicycle", "car")


@dataclass(frozen=True)
class Pair:
    """One scene in two spectra. Images are float32 (3, H, W) in [0, 1]; infrared is one grey
    channel three times over, so that any RGB backbone takes it. Boxes are (N, 4) x0 y0 x1 y1 in
    pixels of the infrared picture, labels (N,) indices into the set's classes, mask (H, W) ids."""

    name: str
    visible: Tensor | None
    infrared: Tensor
    boxes: tv_tensors.BoundingBoxes | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None
    time_of_day: str = ""


class PairSet(Dataset[Pair]):
    """A split of a data set at one size. `has` lists what it can give, out of pairs, boxes, masks
    and splits; `note` is the caveat printed with any result on it; `repairs` lists what was left
    out or changed while it was read, one sentence each."""

    name: str
    has: frozenset[str]
    classes: tuple[str, ...] = CLASSES
    mask_classes: tuple[str, ...] = ()
    note: str = ""

    def __init__(self, split: str, size: tuple[int, int], names: Sequence[str]):
        self.repairs: list[str] = []
        self.split, self.size, self.names = split, size, list(names)
        if not self.names:
            raise UserError(f"The {split!r} split of {self.name!r} is empty: choose another split.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Pair:
        raise NotImplementedError

    def part(self, index: int) -> int:
        """Which of several joined sets a pair belongs to, from 0."""
        return 0

    def fingerprint(self) -> str:
        """A checksum of everything that decides what the pairs are, as 16 hex digits."""
        raise NotImplementedError


def mismatched(parts: Sequence[int], seed: int = 0) -> list[int]:
    """For each pair the place of another one, whose infrared picture it gets in mismatched pairs:
    the next one of the same set in a random order, so that every pair is a partner once.

    `parts` says which set each pair belongs to (`PairSet.part`). `UserError` for a set of one."""
    draw, partner = torch.Generator().manual_seed(seed), [0] * len(parts)
    for part in dict.fromkeys(parts):
        places = [place for place, other in enumerate(parts) if other == part]
        if len(places) < 2:
            raise UserError("Mismatched pairs need two or more pairs of each set: raise limit.")
        order = [places[i] for i in torch.randperm(len(places), generator=draw)]
        for place, following in zip(order, order[1:] + order[:1], strict=True):
            partner[place] = following
    return partner


def centre_window(image: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height, width of the largest window of `size`'s aspect in the middle of a picture
    of (height, width) pixels."""
    scale = min(image[0] / size[0], image[1] / size[1])
    height, width = round(size[0] * scale), round(size[1] * scale)
    return (image[0] - height) // 2, (image[1] - width) // 2, height, width


def crop_boxes(boxes: Tensor, window: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) in the frame of a window (top, left, height, width), clipped to it, and which of
    them stay (N,): those with their centre in the window, as SSD's crops do (Liu et al., 2016)."""
    top, left, height, width = window
    moved = boxes - boxes.new_tensor([left, top, left, top])
    edge = boxes.new_tensor([width, height])
    centre = (moved[:, :2] + moved[:, 2:]) / 2
    inside = ((centre >= 0) & (centre < edge)).all(1)
    return moved.clamp(min=0).minimum(edge.repeat(2)), inside


def as_boxes(edges: Tensor, size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    """Edges (N, 4) x0 y0 x1 y1 in a picture of (height, width) pixels, as torchvision has them."""
    # Its __new__ takes these; torch's stub gives every tensor an __init__ that does not.
    return tv_tensors.BoundingBoxes(edges, format="XYXY", canvas_size=size)  # pyright: ignore[reportCallIssue]


def at_size(pair: Pair, size: tuple[int, int]) -> Pair:
    """The pair at (height, width) pixels, never distorted: cut to `size`'s aspect about its centre,
    then resized (bilinear, antialiased). Boxes and mask follow, see `crop_boxes`."""
    height, width = pair.infrared.shape[-2:]
    if (height, width) == size:
        return pair
    window = centre_window((height, width), size)
    boxes, labels = pair.boxes, pair.labels
    if boxes is not None and labels is not None:
        cut, stays = crop_boxes(boxes.as_subclass(Tensor), window)
        cut = v2.functional.resize(as_boxes(cut[stays], window[2:]), list(size))
        boxes, labels = as_boxes(cut, size), labels[stays]

    def resized(plane: Tensor, kind: type = tv_tensors.Image) -> Tensor:
        cut = v2.functional.crop(kind(plane), *window)
        return v2.functional.resize(cut, list(size), antialias=True).as_subclass(Tensor).clone()

    visible = None if pair.visible is None else resized(pair.visible)
    mask = None if pair.mask is None else resized(pair.mask, tv_tensors.Mask)
    return Pair(pair.name, visible, resized(pair.infrared), boxes, labels, mask, pair.time_of_day)


def data_root(
    name: str, folders: Sequence[str], root: str | Path | None, markers: Sequence[str]
) -> Path:
    """The folder of a data set: in `root`, else in FREQKD_DATA, else in ~/.local/share/freqkd, the
    first of `folders`, or the place itself, that holds a file matching a glob of `markers`."""
    usual = os.environ.get("FREQKD_DATA"), Path.home() / ".local/share/freqkd"
    places = filter(None, [root] if root else usual)  # no silent substitute for a wrong root
    tried = [Path(place).expanduser() for place in places]
    for base in tried:
        for candidate in (*(base / folder for folder in folders), base):
            if candidate.is_file():
                raise UserError(f"The data root {candidate} is a file: give the folder above it.")
            if any(True for marker in markers for _ in candidate.glob(marker)):
                return candidate
    raise UserError(
        f"The data set {name!r} was not found in {' or '.join(map(str, tried))} (no "
        f"{' or '.join(markers)} there or in {' or '.join(folders)}): pass root=FOLDER or set the "
        "environment variable FREQKD_DATA to the folder that holds it."
    )


COMMON = ("split", "size", "root", "limit")
# Every data set by name: a class that takes `COMMON` and then its own options, or where it is, so
# that only the ones in use are imported.
REGISTRY: dict[str, str | type[PairSet]] = {
    "scenes": "freqkd_lite.scenes.pairs:Scenes",
    "msrs": "freqkd_lite.data.published:Msrs",
    "roadscene": "freqkd_lite.data.published:RoadScene",
    "hituav": "freqkd_lite.data.published:HitUav",
    "llvip": "freqkd_lite.data.published:Llvip",
    "kaist": "freqkd_lite.data.published:Kaist",
    "flir_crops": "freqkd_lite.data.published:FlirCrops",
    "mfnet": "freqkd_lite.data.published:Mfnet",
    "folder": "freqkd_lite.data.folder:Folder",
}


def find_set(name: str) -> type[PairSet]:
    """The class of a data set; `UserError` for a name that is not registered."""
    check_known("data set", REGISTRY, name)
    found = REGISTRY[name]
    return pkgutil.resolve_name(found) if isinstance(found, str) else found


def note_of(name: str) -> str:
    """The caveat for results on a data set; empty for one that is not registered."""
    return find_set(name).note if name in REGISTRY else ""


def check_options(name: str, options: Iterable[str]) -> None:
    """`UserError` for a data set that is not registered, or an option that it does not take."""
    build = find_set(name)
    own = getattr(build, "Options", None)  # of sets in files
    taken = own.model_fields if own else [*inspect.signature(build).parameters][len(COMMON) :]
    check_known(f"option of {name}", taken, *options)


def load(
    name: str,
    split: str = "train",
    size: tuple[int, int] = (168, 224),
    root: str | Path | None = None,
    limit: int | None = None,
    **options: Any,
) -> PairSet:
    """A split of a registered data set at `size` (height, width) in pixels.

    `limit` takes only the first pairs. Raises `UserError` for an unknown name or split, a size that
    no network could take, or a root that does not hold the data.
    """
    check_options(name, options)
    size = (int(size[0]), int(size[1]))
    if min(size) < 16:
        raise UserError(f"size={size} is smaller than one patch: use at least 16 x 16 pixels.")
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit} leaves no pairs: use 1 or more, or None for all.")
    common = dict[str, Any](split=split, size=size, root=root, limit=limit)
    return find_set(name)(**common, **options)


class Joined(PairSet):
    """Sets of one split and size, one after the other; names begin with their set's."""

    def __init__(self, sets: list[PairSet]):
        self.sets, self.name = sets, "+".join(part.name for part in sets)
        self.has = frozenset.intersection(*(part.has for part in sets))
        names = [f"{part.name}/{name}" for part in sets for name in part.names]
        super().__init__(sets[0].split, sets[0].size, names)
        self.joined: ConcatDataset[Pair] = ConcatDataset(sets)
        self.note = " ".join(part.note for part in sets if part.note)
        self.repairs = [f"{part.name}: {line}" for part in sets for line in part.repairs]

    def part(self, index: int) -> int:
        return bisect_right(self.joined.cumulative_sizes, index)

    def __getitem__(self, index: int) -> Pair:
        return self.joined[index]

    def fingerprint(self) -> str:
        return digest(part.fingerprint() for part in self.sets)


def open_sets(names: str, *given: Any, **options: Any) -> PairSet:
    """`load` of one name, or of several with commas between them, as one set. The rest is for
    `load`: split, size, root, limit and the data set's own options."""
    chosen = [name.strip() for name in names.split(",")]
    if len(set(chosen)) < len(chosen):
        raise UserError(f"{names} names a data set twice: name each once.")
    sets = [load(name, *given, **options) for name in chosen]
    return sets[0] if len(sets) == 1 else Joined(sets)


def spread(total: int, count: int) -> list[int]:
    """`count` of the indices 0 ... total - 1, evenly spread, so that neighbouring frames of one
    drive don't fill a small sample. If there are fewer, says so and returns all."""
    if count < 1:
        raise UserError(f"pairs={count} leaves nothing: use 1 or more.")
    if count > total:
        print(f"pairs={count}, but there are {total}: all of them are used.")
    count = min(count, total)
    return [i * total // count for i in range(count)]


def require(pairs: PairSet, *needs: str, notebook: str = "this step") -> None:
    """Raise one sentence when a notebook needs what the data set does not have."""
    missing = [need for need in needs if need not in pairs.has]
    if missing:
        raise UserError(
            f"{notebook} needs {' and '.join(missing)}, and the data set {pairs.name!r} has only "
            f"{', '.join(sorted(pairs.has))}: choose another data set, for instance 'scenes'."
        )


def stack(pairs: PairSet, modality: str, indices: Iterable[int] | None = None) -> Tensor:
    """All "visible" or "infrared" images (N, 3, H, W), or each "mask" (N, H, W), of a set."""
    check_known("modality", ("visible", "infrared", "mask"), modality)
    chosen = range(len(pairs)) if indices is None else indices
    return torch.stack([getattr(pairs[i], modality) for i in chosen])
