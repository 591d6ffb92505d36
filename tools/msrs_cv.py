"""Cross-validation on MSRS: every image scored once, by students and heads that never saw it.

    python tools/msrs_cv.py results/msrs_cv/sweep.yaml
    python tools/msrs_cv.py results/cnn/sweep.yaml --out results/cnn

The YAML file (see results/msrs_cv/sweep.yaml) names methods, seeds and settings. Students and the
scores of each fold are kept by address in the runs folder (FREQKD_RUNS), those of a student of all
folds beside the results, so a stopped run resumes. Heads: that of labelled RGB ("label-free"), and
heads fitted on `labels` labelled infrared images, and on all, of the other folds. A student of
another network than its teacher's (`settings.student`) has other channels, so there is no head of
RGB for it; a convolutional one's detector stands on a top-down pyramid of the stages that are read.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import grid_sample
from torchvision.ops import FeaturePyramidNetwork

from freqkd_lite import data
from freqkd_lite.data.files import FilePairs
from freqkd_lite.distil import distil
from freqkd_lite.distil.methods import NONE, method_settings
from freqkd_lite.errors import UserError, explained
from freqkd_lite.evaluate.detection import (
    Detector,
    DetectorSettings,
    boxes_of,
    build_fcos,
    score_detections,
    train_detector,
)
from freqkd_lite.evaluate.groups import near_duplicates, numbered
from freqkd_lite.evaluate.probe import LogisticProbe, ap_draws, labels_of
from freqkd_lite.evaluate.stats import percentiles, times_of
from freqkd_lite.features import Backbone, extract, load_backbone
from freqkd_lite.results.rows import Row, is_trained, write_results
from freqkd_lite.runner.parameters import read_yaml
from freqkd_lite.runner.sweep import protocol_checksum
from freqkd_lite.store import (
    Arrays,
    manifest,
    read_arrays,
    run_key,
    runs_folder,
    write_arrays,
)

METRICS = {"label_free": "label_free_probe_ap", "few": "probe_ap_few", "all": "probe_ap"}
DETECTOR_METRICS = {"label_free": "label_free_map50", "few": "map50_few", "all": "map50"}
DETECTION = ("boxes", "scores", "labels")
PARTS = ("day", "night", "boxes_vi")
DRAWS = 1000  # for classes, day and night; means have `Study.draws`
CHUNK = 32  # images in memory at a time


class Study(BaseModel):
    """What the YAML file may hold. `limit` takes the first images, to try it out."""

    model_config = ConfigDict(extra="forbid")

    protocol: str | None = None
    seeds: list[int] = Field([0], min_length=1)
    folds: int = Field(4, ge=2)
    methods: list[str] = Field(min_length=2)
    settings: dict[str, Any]
    read_blocks: list[int]
    labels: int = Field(10, ge=1)
    repeats: int = Field(3, ge=1)
    detector: dict[str, Any] | None = None
    own_detector: list[str] = []
    draws: int = Field(10_000, ge=1)
    limit: int | None = None


def share_folds(groups: Sequence[int], times: Sequence[str], count: int) -> np.ndarray:
    """The fold (N,) of each image: whole groups, largest first, each into the fold that holds the
    fewest images of its time of day (of equals the one with fewer images, then the first)."""
    groups, times = np.asarray(groups), np.asarray(times)
    folds = np.full(len(groups), -1)
    sizes = {g: int((groups == g).sum()) for g in dict.fromkeys(groups.tolist())}
    for g in sorted(sizes, key=lambda g: (-sizes[g], np.flatnonzero(groups == g)[0])):
        here = groups == g
        time = times[here][0]
        held = [((folds == k) & (times == time), folds == k) for k in range(count)]
        folds[here] = min(range(count), key=lambda k: tuple(int(of.sum()) for of in held[k]))
    if len(set(folds.tolist())) < count:
        raise UserError(f"folds={count} leaves one empty: there are {len(sizes)} groups of images.")
    return folds


def link_set(home: Path, pairs: FilePairs, chosen: Sequence[int], boxes: str = "boxes_ir") -> Path:
    """A data root whose MSRS holds the chosen pairs alone, with one of its sets of boxes, beside
    the other data sets: links to the files themselves."""
    first = pairs.records[0].infrared.parents[1]
    target = home / "msrs361"
    for kind in ("vi", "ir", "boxes_ir"):
        (target / kind).mkdir(parents=True, exist_ok=True)
    links = {home / "roadscene": first.parent / "roadscene"}
    for record in (pairs.records[i] for i in chosen):
        links |= {target / "vi" / record.visible.name: record.visible}
        links |= {target / "ir" / record.infrared.name: record.infrared}
        labels = f"{record.name}.txt"
        links |= {target / "boxes_ir" / labels: first / boxes / labels}
    for link, file in links.items():
        if file.exists():
            with suppress(FileExistsError):  # of an earlier run, or one beside this
                link.symlink_to(file.resolve())
    names = [pairs.names[i] for i in chosen]
    (target / "split.json").write_text(json.dumps({"train": names}))
    return home


def stages(backbone: Backbone, pairs: data.PairSet, modality: str, blocks: list[int]) -> list:
    """Maps (N, C, h, w) of each block, of all pairs."""
    starts = range(0, len(pairs), CHUNK)
    parts = (range(start, min(start + CHUNK, len(pairs))) for start in starts)
    each = [extract(backbone, data.stack(pairs, modality, part), blocks) for part in parts]
    return [torch.cat(maps) for maps in zip(*each, strict=True)]


def on_patches(maps: Sequence[Tensor], strides: Sequence[int], patch: int, size: tuple) -> Tensor:
    """Maps of `strides` px, (N, D, h, w), on the grid of patches of pictures of `size`, side by
    side: where a stride is another one, what lies under the patches' centres, bilinearly."""
    y, x = (patch * (torch.arange(edge // patch) + 0.5) for edge in size)
    found = []
    for own, stride in zip(maps, strides, strict=True):
        if stride != patch:  # a last cell may reach over the edge, so the stride gives the scale
            height, width = (stride * cells for cells in own.shape[2:])
            at = torch.meshgrid(2 * x / width - 1, 2 * y / height - 1, indexing="xy")
            at = torch.stack(at, -1).expand(len(own), -1, -1, -1)
            own = grid_sample(own, at, padding_mode="border", align_corners=False)
        found.append(own)
    return torch.cat(found, dim=1)


def strides_of(backbone: Backbone, blocks: Sequence[int]) -> list[int]:
    return [backbone.infos[block]["reduction"] for block in blocks]


def packed(maps: Sequence[Tensor]) -> Tensor:
    """Maps (N, C, h, w) of several grids in a row, (N, 1, 1, L), as one detector's features."""
    return torch.cat([own.flatten(1) for own in maps], dim=1)[:, None, None]


class TopDown(nn.Module):
    """Maps of several grids, `packed` -> as many of `channels`, by torchvision's feature pyramid
    (Lin et al. 2017, arXiv 1612.03144). Each channel is standardised by the training maps."""

    def __init__(self, maps: Sequence[Tensor], channels: int):
        super().__init__()
        self.shapes, self.out_channels = [tuple(own.shape[1:]) for own in maps], channels
        moments = [(m.mean((0, 2, 3), True), m.std((0, 2, 3), keepdim=True)) for m in maps]
        for name, each in zip(("mean", "std"), zip(*moments, strict=True), strict=True):
            wide = [of.expand(1, *shape) for of, shape in zip(each, self.shapes, strict=True)]
            self.register_buffer(name, packed(wide))
        norm = partial(nn.GroupNorm, 32)
        self.fpn = FeaturePyramidNetwork([s[0] for s in self.shapes], channels, norm_layer=norm)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        row = ((features - self.mean) / self.std.clamp(min=1e-6)).flatten(1)
        cut = row.split([torch.Size(shape).numel() for shape in self.shapes], dim=1)
        own = {str(k): part.unflatten(1, self.shapes[k]) for k, part in enumerate(cut)}
        return self.fpn(own)


@dataclass
class Folds:
    """MSRS and its folds."""

    study: Study
    pairs: FilePairs
    groups: np.ndarray
    folds: np.ndarray
    times: np.ndarray

    def others(self, fold: int) -> np.ndarray:
        return np.flatnonzero(self.folds != fold)

    def student(self, first: Backbone, method: str, seed: int | None, fold: int) -> tuple:
        """A student distilled on the other folds, `first` for "none", and its run's name."""
        if method == NONE:
            return first, None
        home = runs_folder() / "msrs_cv" / f"fold{fold}-of-{self.study.folds}"
        root = link_set(home, self.pairs, self.others(fold))
        settings = self.study.settings | {"root": str(root), "split": "all", "seed": seed}
        run = distil(method_settings(method, **settings))
        return run.student(), run.folder.name


@dataclass
class World(Folds):
    """Images to score, too: labels of their patches from each set of boxes, the boxes of the main
    set, the undistilled student and what the teacher sees (None: there is no head of RGB).
    `weights` are checksums, `patch` is that of the labels in px."""

    truth: dict[str, Tensor]
    boxes: tuple[list[Tensor], list[Tensor]]
    classes: tuple[str, ...]
    first: Backbone
    weights: str | dict
    patch: int
    rgb: Tensor | None

    def labelled(self, fold: int) -> Iterator[tuple[str, np.ndarray]]:
        """The labelled infrared images of each head by name; the same for all students."""
        others = self.others(fold)
        for r in range(self.study.repeats):
            order = np.random.default_rng((fold, r)).permutation(others)
            yield f"few/{r}", order[: self.study.labels]
        yield "all", others

    def sums(self) -> dict:
        return {"data": self.pairs.fingerprint(), "weights": self.weights}


def open_folds(study: Study) -> Folds:
    pairs = data.load("msrs", "all", tuple(study.settings["size"]), None, study.limit)
    spectra = [data.stack(pairs, modality) for modality in ("visible", "infrared")]
    groups = near_duplicates(spectra, numbered(pairs, range(len(pairs))))
    times = np.array([record.time_of_day for record in pairs.records])
    return Folds(study, pairs, groups, share_folds(groups, times, study.folds), times)


def open_world(study: Study) -> World:
    own, settings, read = open_folds(study), study.settings, study.read_blocks
    pairs, teacher = own.pairs, load_backbone(settings["teacher"]).freeze()
    first, weights, rgb = teacher, teacher.checksum, None
    if settings.get("student"):
        first = load_backbone(settings["student"], settings.get("student_weights")).freeze()
        weights = {"teacher": teacher.checksum, "student": first.checksum}
    else:
        maps = stages(teacher, pairs, "visible", read)
        rgb = on_patches(maps, strides_of(teacher, read), teacher.patch, pairs.size)
    home = runs_folder() / "msrs_cv" / run_key({"data": pairs.fingerprint()})
    root = link_set(home, pairs, range(len(pairs)), "boxes_vi")
    other = data.load("msrs", "all", pairs.size, root)
    return World(
        **vars(own),
        truth={
            "boxes_ir": labels_of(pairs, teacher.patch),
            "boxes_vi": labels_of(other, teacher.patch),
        },
        boxes=boxes_of(pairs),
        classes=pairs.classes,
        first=first,
        weights=weights,
        patch=teacher.patch,
        rgb=rgb,
    )


def flat(found: Sequence[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """Detections of images in a row; `counts` (N,) says how many each has."""
    arrays = {f"det_{k}": torch.cat([f[k] for f in found]).numpy() for k in found[0]}
    return arrays | {"det_counts": np.array([len(f["scores"]) for f in found])}


def unflat(arrays: dict[str, np.ndarray]) -> list[dict[str, Tensor]]:
    counts = arrays["det_counts"].tolist()
    split = {k: torch.from_numpy(arrays[f"det_{k}"]).split(counts) for k in DETECTION}
    return [dict(zip(split, parts, strict=True)) for parts in zip(*split.values(), strict=True)]


class Heads:
    """The heads of labelled RGB, one a fold, which all students share; each is fitted once."""

    def __init__(self, world: World):
        self.world, self.probe, self.detector = world, cache(self._probe), cache(self._detector)

    def _probe(self, fold: int, boxes: str) -> LogisticProbe:
        return fit_probe(self.world, self.world.rgb, self.world.others(fold), boxes)

    def _detector(self, fold: int) -> Detector:
        return fit_detector(self.world, [self.world.rgb], self.world.others(fold))


def fit_probe(world: World, maps: Tensor, chosen: np.ndarray, boxes: str) -> LogisticProbe:
    names = [*world.classes, "none"]
    return LogisticProbe().fit(maps[chosen], world.truth[boxes][chosen], names, absent=True)


def fit_detector(world: World, maps: Sequence[Tensor], chosen: np.ndarray) -> Detector:
    """FCOS on maps of one grid side by side, or on a top-down pyramid of those of several."""
    settings = DetectorSettings(**world.study.detector)
    boxes, labels = ([of[i] for i in chosen] for of in world.boxes)
    given = (boxes, labels, tuple(world.pairs.size), world.classes, settings)
    if not several(maps):
        return train_detector(detector_features(maps)[chosen], *given)
    own = [each[chosen] for each in maps]

    def build() -> nn.Module:
        strides = strides_of(world.first, world.study.read_blocks)
        pyramid = TopDown(own, settings.channels)
        return build_fcos(pyramid, strides, given[2], len(world.classes), settings)

    return train_detector(packed(own), *given, build=build)


def several(maps: Sequence[Tensor]) -> bool:
    return len({own.shape[2:] for own in maps}) > 1


def detector_features(maps: Sequence[Tensor]) -> Tensor:
    return packed(maps) if several(maps) else torch.cat(list(maps), dim=1)


def fold_scores(world: World, heads: Heads, student: Backbone, method: str, fold: int) -> Arrays:
    """What a student's heads give on the images of a fold: by head and set of boxes the log odds
    (n, h, w, K) of the probe, float32, and by head the detections. Each probe is scored on the set
    of boxes that it was fitted on."""
    study, test = world.study, np.flatnonzero(world.folds == fold)
    maps = stages(student, world.pairs, "infrared", study.read_blocks)
    strides = strides_of(student, study.read_blocks)
    tokens, found = on_patches(maps, strides, world.patch, world.pairs.size), {}
    if not several(maps):
        maps = [tokens]  # held once
    for boxes in world.truth:
        models = {} if world.rgb is None else {"label_free": heads.probe(fold, boxes)}
        for name, chosen in world.labelled(fold):
            models[name] = fit_probe(world, tokens, chosen, boxes)
        for name, model in models.items():
            scores = model.scores(tokens[test])[..., : len(world.classes)]
            found[f"{name}/{boxes}"] = scores.float().numpy()
    if study.detector:
        detectors = {} if world.rgb is None else {"label_free": heads.detector(fold)}
        if method in study.own_detector:
            own = dict(world.labelled(fold))
            detectors |= {k: fit_detector(world, maps, own[k]) for k in ("few/0", "all")}
        for name, detector in detectors.items():
            arrays = flat(detector.predict(detector_features([own[test] for own in maps])))
            found |= {f"{name}/{key}": value for key, value in arrays.items()}
    return found


def joined_scores(world: World, parts: Sequence[Arrays], key: str) -> Tensor:
    """The log odds of all folds in the order of the images."""
    out = np.empty((len(world.folds), *parts[0][key].shape[1:]), np.float32)
    for fold, arrays in enumerate(parts):
        out[world.folds == fold] = arrays[key]
    return torch.from_numpy(out).double()


def figures(world: World, parts: Sequence[Arrays]) -> Arrays:
    """A student's figures from the scores of its folds, each with its draws (1 + draws,), the first
    on all images: METRIC/KLASS for a mean, class or time of day, METRIC/boxes_vi for the mean on
    the visible pictures' boxes. Figures of a metric's repeats are averaged."""
    classes, n = list(world.classes), len(world.folds)
    many = times_of(n, world.study.draws, groups=world.groups)
    found: dict[str, list[np.ndarray]] = {}
    for head, metric in METRICS.items():
        names = [k for k in parts[0] if k.split("/")[0] == head and k.endswith("boxes_ir")]
        for name in names:
            scores = joined_scores(world, parts, name)
            truth = world.truth["boxes_ir"]
            own = ap_draws(scores, truth, classes, many)
            found.setdefault(f"{metric}/mean", []).append(own["mean"])
            for k in classes:
                found.setdefault(f"{metric}/{k}", []).append(own[k][: 1 + DRAWS])
            for time in (t for t in ("day", "night") if t in world.times):
                here = torch.from_numpy(world.times == time)
                times = many[: 1 + DRAWS, here]
                own = ap_draws(scores[here], truth[here], classes, times)["mean"]
                found.setdefault(f"{metric}/{time}", []).append(own)
            if "boxes_vi" in world.truth:
                other = name.replace("boxes_ir", "boxes_vi")
                scores, truth = joined_scores(world, parts, other), world.truth["boxes_vi"]
                own = ap_draws(scores, truth, classes, many[: 1 + DRAWS])["mean"]
                found.setdefault(f"{metric}/boxes_vi", []).append(own)
    arrays = {k: np.mean(v, axis=0).astype(np.float32) for k, v in found.items()}
    for head, metric in DETECTOR_METRICS.items():
        key = "few/0" if head == "few" else head
        if all(f"{key}/det_counts" in part for part in parts):
            arrays |= detection_figures(world, parts, key, metric)
    return arrays


def detection_figures(world: World, parts: Sequence[Arrays], key: str, metric: str) -> Arrays:
    """AP50 of each class and their mean, as `figures`."""
    found: list[dict[str, Tensor]] = [{}] * len(world.folds)
    for fold, arrays in enumerate(parts):
        own = {k.removeprefix(f"{key}/"): v for k, v in arrays.items() if k.startswith(f"{key}/")}
        for place, each in zip(np.flatnonzero(world.folds == fold), unflat(own), strict=True):
            found[place] = each
    score = score_detections(
        found, *world.boxes, world.classes, draws=DRAWS, groups=world.groups.tolist()
    )
    return {
        f"{metric}/{k}": np.array([value, *score.draws[k]], np.float32)
        for k, value in score.estimates.items()
    }


def rows_of(method: str, seed: int | None, arrays: Arrays, about: dict) -> list[Row]:
    """The rows of a student, from the arrays of its file; `about` has claim, data, split and the
    file's name."""
    rows = []
    for key, values in arrays.items():
        metric, _, klass = key.partition("/")
        if klass:
            part = klass in PARTS
            place = {"metric": metric, "klass": "mean" if part else klass}
            place |= {"split": f"{about['split']}/{klass}"} if part else {}
            place |= {"method": method, "seed": seed, "n": len(arrays["groups"])}
            known = np.isfinite(values[0])  # unknown where these images lack a class
            place |= {"value": float(values[0]) if known else None}
            place |= {"interval": percentiles(values[1:]) if known else None}
            rows.append(Row(**about | place))
    return rows


def slug(method: str, seed: int | None) -> str:
    words = re.sub(r"[^a-z0-9.]+", "-", method.lower()).strip("-")
    return f"{words}.npz" if seed is None else f"{words}-seed{seed}.npz"


def students(study: Study) -> Iterator[tuple[str, int | None]]:
    """In order of seed; what is not trained has none and comes first."""
    yield from ((m, None) for m in study.methods if not is_trained(m))
    yield from ((m, seed) for seed in study.seeds for m in study.methods if is_trained(m))


def packable(values: np.ndarray) -> np.ndarray:
    """Figures with their draws to four decimals, which take half the room in a file."""
    if values.dtype != np.float32:
        return values
    return np.concatenate([values[:1], values[1:].round(4)])


def each_student(
    study: Study,
    out: Path,
    address: dict,
    about: dict,
    compute: Callable[[str, int | None], Arrays],
) -> Iterator[tuple[list[Row], dict]]:
    """All rows so far, and checksums, after each student. What `compute` gives of a method and seed
    is kept beside the results; `address` and the two say what it was made with."""
    rows: list[Row] = []
    for method, seed in students(study):
        name = f"per_image/{slug(method, seed)}"
        own = run_key(address | {"method": method, "seed": seed})
        arrays = read_arrays(out / name)
        if arrays and str(arrays["address"]) != own:
            raise UserError(f"{out / name} was made with other settings or data: move it away.")
        if not arrays:
            arrays = {k: packable(v) for k, v in compute(method, seed).items()} | {"address": own}
            write_arrays(out / name, arrays, small=True)
        rows += rows_of(method, seed, arrays, about | {"per_image": name})
        print(f"{method}, seed {seed}", flush=True)  # no score before all seeds are in
        yield rows, {key: address[key] for key in ("data", "weights")}


def measure(study: Study, out: Path) -> Iterator[tuple[list[Row], dict]]:
    """All students, distilled and scored: all rows so far, and checksums, after each of them."""
    world = open_world(study)
    heads = Heads(world)
    address = world.sums() | study.model_dump(exclude={"protocol", "seeds", "methods"})

    def compute(method: str, seed: int | None) -> Arrays:
        parts = [fold_of(world, heads, method, seed, fold) for fold in range(study.folds)]
        return figures(world, parts) | {"groups": world.groups}

    about = dict(claim="cnn" if world.rgb is None else "msrs_cv", data="msrs", split="all")
    return each_student(study, out, address, about, compute)


def fold_of(world: World, heads: Heads, method: str, seed: int | None, fold: int) -> Arrays:
    """`fold_scores` of a student that is distilled first, kept in the runs folder."""
    student, run = world.student(world.first, method, seed, fold)
    about = {"study": world.study.model_dump(exclude={"protocol"})} | ({"run": run} if run else {})
    about |= world.sums() | {"fold": fold}
    file = runs_folder() / "msrs_cv" / f"scores-{run_key(about)}.npz"
    if not (found := read_arrays(file)):
        found = fold_scores(world, heads, student, method, fold)
        write_arrays(file, found, small=True)
    return found


def arguments(about: str, out: str, given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE.yaml")
    parser.add_argument("--out", type=Path, default=Path(out))
    return parser.parse_args(given)


def read_study(file: Path, kind: type[BaseModel]) -> BaseModel:
    """A sweep file as a checked `kind`, with the protocol that it names there."""
    with explained(file.name):
        study = kind(**read_yaml(file, file.name))
    protocol_checksum(file, study.protocol)
    return study


def write_each(
    args: argparse.Namespace, tool: str, study: BaseModel, total: int, found: Iterator, **more
) -> None:
    """The results folder, written after each of `total` students of `found`; `more` stands in its
    manifest."""
    for done, (rows, sums) in enumerate(found, start=1):
        made = manifest(
            command=f"python {tool} {args.file} --out {args.out}",
            sweep=args.file.read_text(),
            protocol=protocol_checksum(args.file, study.protocol),
            seeds=study.seeds,
            unfinished=[f"{total - done} of {total} students"] if done < total else [],
            **more,
            **sums,
        )
        write_results(args.out, rows, made)


class Moved(BaseModel):
    """What the YAML file of a study of one fold's students may hold: the sweep that made them, and
    `methods`, those of that sweep if not given. `limit` takes the first images, to try it out."""

    model_config = ConfigDict(extra="forbid")

    protocol: str | None = None
    students: str
    fold: int = Field(0, ge=0)
    methods: list[str] | None = None
    limit: int | None = None

    def address(self, own: Study) -> dict:
        """What the two files say of a student's figures."""
        mine = self.model_dump(exclude={"protocol", "students", "methods"})
        return mine | {"own": own.model_dump(exclude={"protocol", "seeds", "methods"})}


def run_moved(
    about: str,
    name: str,
    kind: type[Moved],
    measure: Callable,
    metric: str,
    given: list[str] | None,
) -> None:
    """The command of a tool for such a study: `measure(study, its sweep, folder)`, written."""
    args = arguments(about, f"results/{name}", given)
    study = read_study(args.file, kind)
    own = read_study(args.file.parent / study.students, Study)
    own = own.model_copy(
        update={
            "protocol": study.protocol,
            "methods": study.methods or own.methods,
            "limit": study.limit or own.limit,
        }
    )
    found, total = measure(study, own, args.out), len(list(students(own)))
    write_each(args, f"-m tools.{name}", own, total, found, metric=metric)


def main(given: list[str] | None = None) -> None:
    args = arguments(__doc__, "results/msrs_cv", given)
    study = read_study(args.file, Study)
    own = study.settings.get("student")
    more = {"metric": "probe_ap" if own else "label_free_probe_ap"}
    more["reference"] = "none" if own else next(filter(is_trained, study.methods), None)
    found, total = measure(study, args.out), len(list(students(study)))
    write_each(args, "tools/msrs_cv.py", study, total, found, **more)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
