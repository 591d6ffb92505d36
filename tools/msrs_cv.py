"""Cross-validation on MSRS: every image scored once, by students and heads that never saw it.

    python tools/msrs_cv.py results/msrs_cv/sweep.yaml

The YAML file (see results/msrs_cv/sweep.yaml) names methods, seeds and settings. Students and the
scores of each fold are kept by address in the runs folder (FREQKD_RUNS), those of a student of all
folds beside the results, so a stopped run goes on. Heads: that of labelled RGB ("label-free"), and
heads fitted on `labels` labelled infrared images, and on all, of the other folds.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.data.files import FilePairs
from freqkd_lite.distil import distil
from freqkd_lite.distil.methods import NONE, method_settings
from freqkd_lite.errors import UserError, explained
from freqkd_lite.evaluate.detection import (
    Detector,
    DetectorSettings,
    boxes_of,
    score_detections,
    train_detector,
)
from freqkd_lite.evaluate.groups import near_duplicates, numbered
from freqkd_lite.evaluate.probe import LogisticProbe, ap_draws, labels_of
from freqkd_lite.evaluate.stats import percentiles, times_of
from freqkd_lite.features import Backbone, joined, load_backbone
from freqkd_lite.results.rows import Row, write_results
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
        if file.exists() and not link.is_symlink():
            link.symlink_to(file.resolve())
    names = [pairs.names[i] for i in chosen]
    (target / "split.json").write_text(json.dumps({"train": names}))
    return home


def features(backbone: Backbone, pairs: data.PairSet, modality: str, blocks: list[int]) -> Tensor:
    """Maps (N, D, h, w) of all pairs, the blocks side by side."""
    starts = range(0, len(pairs), CHUNK)
    parts = (range(start, min(start + CHUNK, len(pairs))) for start in starts)
    return torch.cat([joined(backbone, data.stack(pairs, modality, p), blocks) for p in parts])


@dataclass
class World:
    """MSRS, its folds, labels of patches from both sets of boxes, and what the teacher sees."""

    study: Study
    pairs: FilePairs
    groups: np.ndarray
    folds: np.ndarray
    times: np.ndarray
    truth: dict[str, Tensor]
    boxes: tuple[list[Tensor], list[Tensor]]
    teacher: Backbone
    rgb: Tensor

    def others(self, fold: int) -> np.ndarray:
        return np.flatnonzero(self.folds != fold)

    def labelled(self, fold: int) -> Iterator[tuple[str, np.ndarray]]:
        """The labelled infrared images of each head by name; the same for all students."""
        others = self.others(fold)
        for r in range(self.study.repeats):
            order = np.random.default_rng((fold, r)).permutation(others)
            yield f"few/{r}", order[: self.study.labels]
        yield "all", others


def open_world(study: Study) -> World:
    size = tuple(study.settings["size"])
    pairs = data.load("msrs", "all", size, None, study.limit)
    teacher = load_backbone(study.settings["teacher"]).freeze()
    spectra = [data.stack(pairs, modality) for modality in ("visible", "infrared")]
    groups = near_duplicates(spectra, numbered(pairs, range(len(pairs))))
    times = np.array([record.time_of_day for record in pairs.records])
    folds = share_folds(groups, times, study.folds)
    home = runs_folder() / "msrs_cv" / run_key({"data": pairs.fingerprint()})
    other = data.load("msrs", "all", size, link_set(home, pairs, range(len(pairs)), "boxes_vi"))
    truth = {
        "boxes_ir": labels_of(pairs, teacher.patch),
        "boxes_vi": labels_of(other, teacher.patch),
    }
    rgb = features(teacher, pairs, "visible", study.read_blocks)
    return World(study, pairs, groups, folds, times, truth, boxes_of(pairs), teacher, rgb)


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
        return fit_detector(self.world, self.world.rgb, self.world.others(fold))


def fit_probe(world: World, maps: Tensor, chosen: np.ndarray, boxes: str) -> LogisticProbe:
    names = [*world.pairs.classes, "none"]
    return LogisticProbe().fit(maps[chosen], world.truth[boxes][chosen], names, absent=True)


def fit_detector(world: World, maps: Tensor, chosen: np.ndarray) -> Detector:
    settings = DetectorSettings(**world.study.detector)
    boxes, labels = ([of[i] for i in chosen] for of in world.boxes)
    size = tuple(world.pairs.size)
    return train_detector(maps[chosen], boxes, labels, size, world.pairs.classes, settings)


def fold_scores(world: World, heads: Heads, student: Backbone, method: str, fold: int) -> Arrays:
    """What a student's heads give on the images of a fold: by head and set of boxes the log odds
    (n, h, w, K) of the probe, float32, and by head the detections. Each probe is scored on the set
    of boxes that it was fitted on."""
    study, test = world.study, np.flatnonzero(world.folds == fold)
    maps = features(student, world.pairs, "infrared", study.read_blocks)
    found: Arrays = {}
    for boxes in world.truth:
        models = {"label_free": heads.probe(fold, boxes)}
        for name, chosen in world.labelled(fold):
            models[name] = fit_probe(world, maps, chosen, boxes)
        for name, model in models.items():
            scores = model.scores(maps[test])[..., : len(world.pairs.classes)]
            found[f"{name}/{boxes}"] = scores.float().numpy()
    if study.detector:
        detectors = {"label_free": heads.detector(fold)}
        if method in study.own_detector:
            own = dict(world.labelled(fold))
            detectors |= {k: fit_detector(world, maps, own[k]) for k in ("few/0", "all")}
        for name, detector in detectors.items():
            arrays = flat(detector.predict(maps[test]))
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
    classes, n = list(world.pairs.classes), len(world.folds)
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
            for time in ("day", "night"):
                here = torch.from_numpy(world.times == time)
                times = many[: 1 + DRAWS, here]
                own = ap_draws(scores[here], truth[here], classes, times)["mean"]
                found.setdefault(f"{metric}/{time}", []).append(own)
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
        found, *world.boxes, world.pairs.classes, draws=DRAWS, groups=world.groups.tolist()
    )
    return {
        f"{metric}/{k}": np.array([value, *score.draws[k]], np.float32)
        for k, value in score.estimates.items()
    }


def rows_of(method: str, seed: int | None, arrays: Arrays, file: str) -> list[Row]:
    """The rows of a student, from its file."""
    rows = []
    for key, values in arrays.items():
        metric, _, klass = key.partition("/")
        if klass:
            part = klass in PARTS
            about = dict(claim="msrs_cv", method=method, seed=seed, data="msrs")
            about |= {"metric": metric, "klass": "mean" if part else klass, "per_image": file}
            about |= {"split": f"all/{klass}" if part else "all", "n": len(arrays["groups"])}
            rows.append(Row(value=float(values[0]), interval=percentiles(values[1:]), **about))
    return rows


def slug(method: str, seed: int | None) -> str:
    words = re.sub(r"[^a-z0-9.]+", "-", method.lower()).strip("-")
    return f"{words}.npz" if seed is None else f"{words}-seed{seed}.npz"


def students(study: Study) -> Iterator[tuple[str, int | None]]:
    """In order of seed; the undistilled one has none and comes first."""
    yield from ((m, None) for m in study.methods if m == NONE)
    yield from ((m, seed) for seed in study.seeds for m in study.methods if m != NONE)


def measure(study: Study, out: Path) -> Iterator[tuple[list[Row], dict]]:
    """All students, distilled and scored: all rows so far, and checksums, after each of them."""
    world = open_world(study)
    heads, rows = Heads(world), []
    sums = {"data": world.pairs.fingerprint(), "weights": world.teacher.checksum}
    shared = sums | study.model_dump(exclude={"protocol", "seeds", "methods"})
    for method, seed in students(study):
        name = f"per_image/{slug(method, seed)}"
        address = run_key(shared | {"method": method, "seed": seed})
        arrays = read_arrays(out / name)
        if arrays and str(arrays["address"]) != address:
            raise UserError(f"{out / name} was made with other settings or data: move it away.")
        if not arrays:
            parts = [fold_of(world, heads, method, seed, fold) for fold in range(study.folds)]
            arrays = figures(world, parts) | {"groups": world.groups, "address": address}
            write_arrays(out / name, arrays, small=True)
        print(f"{method}, seed {seed}: {arrays['label_free_probe_ap/mean'][0]:.3f}", flush=True)
        rows += rows_of(method, seed, arrays, name)
        yield rows, sums


def fold_of(world: World, heads: Heads, method: str, seed: int | None, fold: int) -> Arrays:
    """`fold_scores` of a student that is distilled first, kept in the runs folder."""
    student, about = world.teacher, {"study": world.study.model_dump(exclude={"protocol"})}
    if method != NONE:
        home = runs_folder() / "msrs_cv" / f"fold{fold}-of-{world.study.folds}"
        root = link_set(home, world.pairs, world.others(fold))
        settings = world.study.settings | {"root": str(root), "split": "all", "seed": seed}
        run = distil(method_settings(method, **settings))
        student, about["run"] = run.student(), run.folder.name
    about |= {"data": world.pairs.fingerprint(), "weights": world.teacher.checksum, "fold": fold}
    file = runs_folder() / "msrs_cv" / f"scores-{run_key(about)}.npz"
    if not (found := read_arrays(file)):
        found = fold_scores(world, heads, student, method, fold)
        write_arrays(file, found, small=True)
    return found


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE.yaml")
    parser.add_argument("--out", type=Path, default=Path("results/msrs_cv"))
    args = parser.parse_args(given)
    with explained(args.file.name):
        study = Study(**read_yaml(args.file, args.file.name))
    protocol = protocol_checksum(args.file, study.protocol)
    total = len(list(students(study)))
    for done, (rows, sums) in enumerate(measure(study, args.out), start=1):
        made = manifest(
            command=f"python tools/msrs_cv.py {args.file}",
            sweep=args.file.read_text(),
            protocol=protocol,
            seeds=study.seeds,
            metric="label_free_probe_ap",
            reference=next((m for m in study.methods if m != NONE), None),
            unfinished=[f"{total - done} of {total} students"] if done < total else [],
            **sums,
        )
        write_results(args.out, rows, made)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
