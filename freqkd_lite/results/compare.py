"""Two runs side by side: what differs in how they were made, and in what they measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import percentiles
from freqkd_lite.results.paired import Figures, reproduces, resample
from freqkd_lite.results.rows import FIGURE, Row, means, read_manifest, read_results
from freqkd_lite.results.text import number, table, verdict
from freqkd_lite.store import sha256_file

KINDS = {
    "environment": {"versions", "device", "threads", "precision"},
    "recipe": {"recipe", "code"},  # `code` in older manifests
    "weights": {"weights"},
    "data": {"data", "train_data", "lessons"},
}
# What every run has of its own, and what repeats something else in the manifest.
OWN = {"made", "seconds", "command", "schema", "sweep", "runs", "failed", "note", "notes", "metric"}
OWN |= {"reference", "curve", "preregistered", "post_hoc", "answer", "unfinished", "seeds"}
FOLDERS = ("notebooks", "parameters", "settings", "versions")
STUDENT = "student.safetensors"


def _kind(parts: Sequence[str]) -> str | None:
    """The kind of an entry of a manifest; None for what is a run's own."""
    if {"parameters", "settings"} & set(parts):
        return "parameters"
    if parts[0] in OWN or parts[-1] in OWN:
        return None
    return next((kind for kind, keys in KINDS.items() if keys & set(parts)), "parameters")


def _entries(node: object, parts: tuple[str, ...] = ()) -> dict[tuple[str, str], object]:
    """The entries of a manifest by (kind, name)."""
    if isinstance(node, dict) and (node or not parts):
        found = {}
        for key, value in node.items():
            found |= _entries(value, (*parts, key))
        return found
    kind = _kind(parts)
    return {(kind, " ".join(p for p in parts if p not in FOLDERS)): node} if kind else {}


@dataclass(frozen=True)
class Folder:
    """One of the two: its manifest, its rows (none for a distillation) and their means."""

    path: Path
    manifest: dict
    rows: list[Row]

    @classmethod
    def read(cls, path: Path) -> Folder:
        if not (path / "manifest.json").is_file():
            raise UserError(f"{path} is no run: give a folder that holds a manifest.json.")
        there = (path / "results.json").is_file()
        return cls(path, read_manifest(path), read_results(path) if there else [])

    def figures(self) -> dict[tuple, object]:
        """The means over seeds by what identifies them."""
        found = means(self.rows) if self.rows else None
        lines = [] if found is None else found.itertuples()
        return {tuple(getattr(line, key) for key in FIGURE): line for line in lines}

    def resampled(self, figure: tuple) -> Figures | None:
        """What its file of images gives for a figure of one seed; None without such a file."""
        about = dict(zip(FIGURE, figure, strict=True))
        klass = about.pop("klass")
        beside = [r for r in self.rows if all(getattr(r, k) == v for k, v in about.items())]
        own = [row for row in beside if row.klass == klass]
        if len(own) != 1 or not own[0].per_image or own[0].value is None:
            return None
        classes = tuple(dict.fromkeys(row.klass for row in beside if row.klass != "mean"))
        file = self.path / own[0].per_image
        found = resample(file, about["metric"], about["method"], classes)
        return found if reproduces(found, own[0]) else None


def _difference(one: Folder, other: Folder, figure: tuple, a, b) -> tuple[str, str]:
    """(b - a with its paired interval where there is one, verdict)."""
    if np.array_equal((a.value, a.low), (b.value, b.low), equal_nan=True):
        return "", "equal"
    if math.isnan(a.value) or math.isnan(b.value):
        return "", "missing in one"
    mine, theirs = one.resampled(figure), other.resampled(figure)
    if mine and theirs and mine.paired(theirs):
        klass = figure[FIGURE.index("klass")]
        span = percentiles(theirs.draws[klass] - mine.draws[klass])
        return f"{number(b.value - a.value, span, 3, True)} paired", verdict(*span)
    text = number(b.value - a.value, None, 3, True)
    if math.isnan(a.low) or math.isnan(b.low):
        return text, ""
    apart = "higher" if a.high < b.low else "lower" if b.high < a.low else ""
    return text, apart or "intervals overlap"


def _results(one: Folder, other: Folder) -> list[str]:
    """The lines about the results."""
    mine, theirs = one.figures(), other.figures()
    shared, rows, equal = [figure for figure in mine if figure in theirs], [], 0
    for figure in shared:
        a, b = mine[figure], theirs[figure]
        text, said = _difference(one, other, figure, a, b)
        equal += said == "equal"
        if said != "equal":
            values = [number(m.value, (m.low, m.high), 3) for m in (a, b)]
            about = dict(zip(FIGURE, figure, strict=True))
            name = f"{about['metric']} {about['method']} {about['klass']}"
            rows.append((name, *values, text, said))
    lines = [f"Results in both: {len(shared)}, equal: {equal}."]
    lines += [table(("result", "A", "B", "B - A", "verdict"), rows)] if rows else []
    for name, own in (("A", mine), ("B", theirs)):
        lines += [f"Results in {name} alone: {len(own) - len(shared)}."] * (len(own) > len(shared))
    return lines


def compare(one: Path, other: Path) -> str:
    """What differs between two folders that hold a manifest.json, as text.

    The first lines say what kinds of entries differ. Differences of results are B - A: paired over
    images where both have the files for it and the same truth, else the verdict says whether the
    two intervals overlap.
    """
    a, b = Folder.read(Path(one)), Folder.read(Path(other))
    mine, theirs = _entries(a.manifest), _entries(b.manifest)
    keys = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
    rows = [(*key, *(json.dumps(of.get(key)) for of in (mine, theirs))) for key in sorted(keys)]
    kinds = ", ".join(sorted({kind for kind, _ in keys})) or "nothing"
    lines = [f"A  {one}", f"B  {other}", f"They differ in: {kinds}."]
    lines += ["", table(("kind", "entry", "A", "B"), rows), ""] if rows else []
    files = [folder.path / STUDENT for folder in (a, b)]
    if all(file.is_file() for file in files):
        same = sha256_file(files[0]) == sha256_file(files[1])
        lines.append(f"The students' weights are {'the same' if same else 'different'}.")
    if a.rows or b.rows:
        lines += _results(a, b)
    return "\n".join(lines)
