"""Two runs side by side: what differs in how they were made, and in what they measured."""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap
from freqkd_lite.results.paired import scored
from freqkd_lite.results.rows import FIGURE, frame, lines_of, means, read_manifest, read_results
from freqkd_lite.results.text import number, table, verdict
from freqkd_lite.store import sha256_file

KINDS = {
    "parameters": {"parameters", "settings", "preset", "model", "size", "blocks"},
    "environment": {"versions", "device", "threads", "precision"},
    "recipe": {"recipe", "generator", "code"},  # `code` in older manifests
    "weights": {"weights"},
    "data": {"data", "train_data", "lessons"},
}
"""What of a manifest says how a run was made; all else is its own, or repeats this."""
FOLDERS = ("notebooks", "parameters", "settings", "versions")
STUDENT = "student.safetensors"


def _entries(node: object, parts: tuple[str, ...] = ()) -> dict[tuple[str, str], object]:
    """The entries of a manifest that say how a run was made, by (kind, name)."""
    if isinstance(node, dict) and (node or not parts):
        found = {}
        for key, value in node.items():
            found |= _entries(value, (*parts, key))
        return found
    kind = next((kind for kind, keys in KINDS.items() if keys & {*parts}), None)
    name = " ".join(part for part in parts if part not in FOLDERS)
    return {(kind, name): node} if kind else {}


def _resampled(rows: pd.DataFrame, folder: Path, figure: pd.Series) -> list[Resampled]:
    """What the files of images give for a figure (`FIGURE` without the class), by seed; nothing
    where they don't reproduce it."""
    own = rows.loc[(rows[FIGURE[:-1]] == figure).all(axis=1)]
    with suppress(UserError):
        return [result for seeds in scored(own, folder).values() for result in seeds.values()]
    return []


def _difference(m: Any, one: Sequence[Resampled], other: Sequence[Resampled]) -> tuple[str, str]:
    """(B - A with its paired interval where there is one, verdict) of a line of both means."""
    a, b = (m.value_a, m.low_a), (m.value_b, m.low_b)
    if np.array_equal(a, b, equal_nan=True):
        return "", "equal"
    if math.isnan(m.value_a) or math.isnan(m.value_b):
        return "", "missing in one"
    if len(one) == len(other) == 1:
        with suppress(UserError):  # they are about other images
            value, span = paired_bootstrap(other[0], one[0], m.klass)
            return f"{number(value, span, 3, True)} paired", verdict(*span)
    text = number(m.value_b - m.value_a, None, 3, True)
    if math.isnan(m.low_a) or math.isnan(m.low_b):
        return text, ""
    apart = "higher" if m.high_a < m.low_b else "lower" if m.high_b < m.low_a else ""
    return text, apart or "intervals overlap"


def _results(folders: Sequence[Path]) -> list[str]:
    """The lines about the results; none where neither folder holds some."""
    both = [  # no rows of a distillation
        (frame(read_results(folder) if (folder / "results.json").is_file() else []), folder)
        for folder in folders
    ]
    mine, theirs = (means(rows) for rows, _ in both)
    if len(mine) == len(theirs) == 0:
        return []
    shared, rows = mine.merge(theirs, on=FIGURE, suffixes=("_a", "_b")), []
    for _, lines in shared.groupby(FIGURE[:-1], sort=False):
        figure = lines[FIGURE[:-1]].iloc[0]
        images = [_resampled(*each, figure) for each in both]
        for m in lines_of(lines):
            text, phrase = _difference(m, *images)
            a = number(m.value_a, (m.low_a, m.high_a), 3)
            b = number(m.value_b, (m.low_b, m.high_b), 3)
            rows.append((f"{m.metric} {m.method} {m.klass}", a, b, text, phrase))
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
    return "\n".join(lines + _results(folders))
