"""Two runs side by side: what differs in how they were made, and in what they measured."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap
from freqkd_lite.results.paired import reproduces, resample, same_images
from freqkd_lite.results.rows import FIGURE, frame, means, read_manifest, read_results
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
OWN |= {
    "reference",
    "curve",
    "protocol",
    "preregistered",
    "post_hoc",
    "answer",
    "unfinished",
    "seeds",
}
FOLDERS = ("notebooks", "parameters", "settings", "versions")
STUDENT = "student.safetensors"


def _entries(node: object, parts: tuple[str, ...] = ()) -> dict[tuple[str, str], object]:
    """The entries of a manifest by (kind, name), without what is a run's own."""
    if isinstance(node, dict) and (node or not parts):
        found = {}
        for key, value in node.items():
            found |= _entries(value, (*parts, key))
        return found
    kind = next((kind for kind, keys in KINDS.items() if keys & {*parts}), "parameters")
    if {"parameters", "settings"} & {*parts}:
        kind = "parameters"
    elif OWN & {parts[0], parts[-1]}:
        return {}
    return {(kind, " ".join(part for part in parts if part not in FOLDERS)): node}


def _rows(folder: Path) -> pd.DataFrame:
    """The rows of a folder, with the paths of their files of images; none of a distillation."""
    there = (folder / "results.json").is_file()
    rows = frame(read_results(folder) if there else [])
    rows["file"] = [folder / (name or "none") for name in rows["per_image"]]
    return rows


def _resampled(rows: pd.DataFrame, figure: Sequence[str]) -> dict[str, Resampled]:
    """By class, what the file of images gives for a figure (`FIGURE` without the class) of one
    seed, where it reproduces that."""
    own = rows[(rows[FIGURE[:-1]] == list(figure)).all(axis=1)]
    if len(own) == 0 or own["klass"].duplicated().any():
        return {}
    metric, *_, method = figure
    classes = [klass for klass in own["klass"] if klass != "mean"]
    found = resample(own["file"].iloc[0], metric, method, classes)
    own = own.dropna(subset="value")
    return {row.klass: found for row in own.itertuples() if reproduces(found, row)}


def _difference(m: object, one: Resampled | None, other: Resampled | None) -> tuple[str, str]:
    """(B - A with its paired interval where there is one, verdict) of a line of both means."""
    a, b = (m.value_a, m.low_a), (m.value_b, m.low_b)
    if np.array_equal(a, b, equal_nan=True):
        return "", "equal"
    if math.isnan(m.value_a) or math.isnan(m.value_b):
        return "", "missing in one"
    if one and other and same_images(one, other):
        value, span = paired_bootstrap(other, one, m.klass)
        return f"{number(value, span, 3, True)} paired", verdict(*span)
    text = number(m.value_b - m.value_a, None, 3, True)
    if math.isnan(m.low_a) or math.isnan(m.low_b):
        return text, ""
    apart = "higher" if m.high_a < m.low_b else "lower" if m.high_b < m.low_a else ""
    return text, apart or "intervals overlap"


def _results(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """The lines about the results."""
    mine, theirs = means(one), means(other)
    shared, rows = mine.merge(theirs, on=FIGURE, suffixes=("_a", "_b")), []
    for figure, lines in shared.groupby(FIGURE[:-1], sort=False):
        images = [_resampled(each, figure) for each in (one, other)]
        for m in lines.itertuples():
            text, said = _difference(m, *(each.get(m.klass) for each in images))
            values = (
                number(m.value_a, (m.low_a, m.high_a), 3),
                number(m.value_b, (m.low_b, m.high_b), 3),
            )
            rows.append((f"{m.metric} {m.method} {m.klass}", *values, text, said))
    differ = [row for row in rows if row[-1] != "equal"]
    lines = [f"Results in both: {len(rows)}, equal: {len(rows) - len(differ)}."]
    lines += [table(("result", "A", "B", "B - A", "verdict"), differ)] if differ else []
    for name, own in (("A", mine), ("B", theirs)):
        if len(own) > len(rows):
            lines.append(f"Results in {name} alone: {len(own) - len(rows)}.")
    return lines


def compare(one: Path, other: Path) -> str:
    """What differs between two folders that hold a manifest.json, as text.

    The first lines say what kinds of entries differ. Differences of results are B - A: paired over
    images where both have the files for it and the same truth, else the verdict says whether the
    two intervals overlap.
    """
    folders = Path(one), Path(other)
    mine, theirs = (_entries(read_manifest(folder)) for folder in folders)
    keys = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
    rows = [(*key, *(json.dumps(of.get(key)) for of in (mine, theirs))) for key in sorted(keys)]
    kinds = ", ".join(sorted({kind for kind, _ in keys})) or "nothing"
    lines = [f"A  {one}", f"B  {other}", f"They differ in: {kinds}."]
    lines += ["", table(("kind", "entry", "A", "B"), rows), ""] if rows else []
    files = [folder / STUDENT for folder in folders]
    if all(file.is_file() for file in files):
        same = sha256_file(files[0]) == sha256_file(files[1])
        lines.append(f"The students' weights are {'the same' if same else 'different'}.")
    results = [_rows(folder) for folder in folders]
    if any(map(len, results)):
        lines += _results(*results)
    return "\n".join(lines)
