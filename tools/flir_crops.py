"""Label-free transfer and the label curve of heads that pool, on FLIR's object crops.

    python -m tools.flir_crops results/flir/sweep.yaml --out results/flir

The YAML file (see results/flir/sweep.yaml) names methods, seeds and what the students are
distilled on. Students are kept by address in the runs folder (FREQKD_RUNS), and the classes that
their heads name beside the results, in predictions/: a stopped sweep resumes. Figures are balanced
accuracies on the test crops, or those of `score`; whole frames are resampled for the intervals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.data.published import FlirCrops
from freqkd_lite.distil import distil
from freqkd_lite.distil.methods import NONE, method_settings
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.crops import fit_head, predict_crops, score_crops
from freqkd_lite.features import Backbone, joined, load_backbone
from freqkd_lite.names import with_settings
from freqkd_lite.results.rows import Row
from freqkd_lite.store import RECIPE, read_arrays, run_key, write_arrays
from tools import msrs_cv

CHUNK = 256  # crops in memory at a time


class Study(BaseModel):
    """What the YAML file may hold. `limit` takes the first crops of each split, to try it out;
    `recentre` scores heads of RGB alone, on features moved by a mean over this many unlabelled
    infrared crops."""

    model_config = ConfigDict(extra="forbid")

    protocol: str | None = None
    seeds: list[int] = Field([0], min_length=1)
    methods: list[str] = Field(min_length=2)
    train: dict[str, dict[str, Any]] = Field(min_length=1)
    settings: dict[str, Any]
    read_blocks: list[int]
    score: str = "test"
    budgets: list[int] = []
    repeats: int = Field(3, ge=1)
    root: str | None = None
    limit: int | None = None
    recentre: int | None = None
    draws: int = 1000


def pooled(
    backbone: Backbone,
    pairs: FlirCrops,
    modality: str,
    blocks: list[int],
    count: int | None = None,
) -> Tensor:
    """Features (N, D) of all crops, or `count` evenly spread ones: blocks side by side, averaged
    over the crop."""
    chosen = data.spread(len(pairs), len(pairs) if count is None else count)
    parts = (chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK))
    return torch.cat(
        [joined(backbone, data.stack(pairs, modality, part), blocks).mean((2, 3)) for part in parts]
    )


def choices(labels: Tensor, budget: int, repeats: int) -> list[Tensor]:
    """`repeats` random choices of `budget` crops, the same for all students."""
    draws = [np.random.default_rng((budget, r)) for r in range(repeats)]
    return [torch.from_numpy(d.permutation(len(labels))[:budget]) for d in draws]


def predictions(
    student: Backbone, heads: dict[str, Any], train: FlirCrops, test: FlirCrops, study: Study
) -> dict[str, np.ndarray]:
    """The class of each test crop: "label_free" by the RGB head and, where a study has budgets,
    "all" by one fitted on all infrared crops, "10/0", "10/1", ... by heads on 10 of them. Where a
    study recentres, "label_free" alone, of features moved to have the mean of RGB crops."""
    y = pooled(student, test, "infrared", study.read_blocks)
    if study.recentre or study.budgets:
        x = pooled(student, train, "infrared", study.read_blocks, study.recentre)
    if study.recentre:
        y = y - x.mean(0) + heads["mean"]
    found = {"label_free": predict_crops(heads["rgb"], y)}
    if study.budgets and not study.recentre:
        labels = train.labels()
        found["all"] = predict_crops(fit_head(x, labels, train.classes), y)
        for budget in (b for b in study.budgets if b < len(train)):
            for r, chosen in enumerate(choices(labels, budget, study.repeats)):
                head = fit_head(x[chosen], labels[chosen], train.classes)
                found[f"{budget}/{r}"] = predict_crops(head, y)
    return {key: value.numpy().astype(np.uint8) for key, value in found.items()}


class Scores:
    """Rows and files of images of all students."""

    def __init__(self, test: FlirCrops, out: Path, draws: int):
        self.test, self.out, self.draws, self.rows = test, out, draws, []
        times = np.array([record.time_of_day for record in test.records])
        self.parts = {t: torch.from_numpy(times == t) for t in ("day", "night")}
        self.parts = {t: of for t, of in self.parts.items() if of.any()}
        self.truth, self.frames = test.labels(), test.frames()
        self.about = {"truth": self.truth.numpy().astype(np.uint8), "time_of_day": times}
        self.about["groups"] = np.unique(self.frames, return_inverse=True)[1].astype(np.uint16)

    def add_row(self, **fields: Any) -> None:
        split = self.test.split
        self.rows.append(Row(**{"claim": "flir", "data": "flir_crops", "split": split} | fields))

    def add(self, metric: str, method: str, seed: int | None, predicted: np.ndarray) -> None:
        """The rows of one figure, and its file of images."""
        groups = self.about["groups"].tolist()
        found = score_crops(
            torch.from_numpy(predicted.astype(int)),
            self.truth,
            self.test.classes,
            self.parts,
            self.draws,
            groups=groups,
        )
        key = run_key({"metric": metric, "method": method, "seed": seed})
        file = self.out / "per_image" / f"{key}.npz"
        write_arrays(file, {method: predicted} | self.about, small=True)
        about: Any = dict(metric=metric, method=method, seed=seed, n=len(self.truth))
        about["per_image"] = f"per_image/{file.name}"
        for k, v in found.estimates.items():
            place = {"klass": k}
            if k in self.parts:
                place = {"klass": "mean", "split": f"{self.test.split}/{k}"}
            self.add_row(value=v, interval=found.interval[k], **about | place)

    def add_curve(self, method: str, seed: int | None, found: dict[str, np.ndarray]) -> None:
        """Balanced accuracy by the number of labelled infrared crops, mean over their choices."""
        values: dict[str, list[float]] = {}
        for key, predicted in found.items():
            guess = torch.from_numpy(predicted.astype(int))
            own = score_crops(guess, self.truth, self.test.classes, draws=1).estimates["mean"]
            values.setdefault(key.split("/")[0], []).append(own)
        names = {"label_free": "0"}
        about: Any = dict(metric="by_labels", method=method, seed=seed)
        for k, v in values.items():
            self.add_row(klass=names.get(k, k), value=float(np.mean(v)), **about)


def measure(study: Study, out: Path) -> Iterator[tuple[list[Row], dict]]:
    """All students, distilled and scored: all rows so far, and checksums, after each of them."""
    size, model = tuple(study.settings["size"]), study.settings["teacher"]
    train, test = (
        data.load("flir_crops", part, size, study.root, study.limit)
        for part in ("train", study.score)
    )
    teacher = load_backbone(model, study.settings.get("teacher_weights")).freeze()
    x, y = (pooled(teacher, pairs, "visible", study.read_blocks) for pairs in (train, test))
    heads = {"rgb": fit_head(x, train.labels(), train.classes), "mean": x.mean(0)}
    scores = Scores(test, out, study.draws)
    on_rgb = predict_crops(heads["rgb"], y).numpy().astype(np.uint8)
    scores.add("label_free_balanced_accuracy", "teacher", None, on_rgb)
    address = {
        "train": train.fingerprint(),
        "test": test.fingerprint(),
        "teacher": teacher.checksum,
    }
    sums = {"data": address["test"], "train_data": address["train"], "weights": teacher.checksum}
    address |= {
        "recipe": RECIPE,
        "read": study.read_blocks,
        "budgets": study.budgets,
        "repeats": study.repeats,
    } | ({"recentre": study.recentre} if study.recentre else {})
    for name, recipe in study.train.items():
        for seed in study.seeds:
            for method in study.methods:
                full = with_settings(method, f"on={name}")
                if method == NONE:  # beside every seed, so that it can be compared with
                    if name != next(iter(study.train)):
                        continue
                    full, settings = method, None
                else:
                    settings = study.settings | {"limit": study.limit, "root": study.root} | recipe
                    settings = method_settings(method, **settings, seed=seed)
                about = address | {"settings": settings and settings.model_dump(mode="json")}
                file = out / "predictions" / f"{run_key(about)}.npz"
                if not (found := read_arrays(file)):
                    student = distil(settings).student() if settings else teacher
                    found = predictions(student, heads, train, test, study)
                    write_arrays(file, found, small=True)
                print(f"{full}, seed {seed}", flush=True)
                scores.add("label_free_balanced_accuracy", full, seed, found["label_free"])
                if "all" in found:
                    scores.add("balanced_accuracy", full, seed, found["all"])
                    scores.add_curve(full, seed, found)
                yield scores.rows, sums


def main(given: list[str] | None = None) -> None:
    args = msrs_cv.arguments(__doc__, "results/flir", given)
    study = msrs_cv.read_study(args.file, Study)
    trained = [method for method in study.methods if method != NONE]
    total = len(study.seeds) * (len(study.train) * len(trained) + (NONE in study.methods))
    more = {"metric": "label_free_balanced_accuracy"}
    more["reference"] = with_settings(trained[0], f"on={next(iter(study.train))}")
    found = measure(study, args.out)
    msrs_cv.write_each(args, "-m tools.flir_crops", study, total, found, **more)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
