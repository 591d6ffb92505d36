"""Two runs side by side: what differs in how they were made, and in what they measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import percentiles
from freqkd_lite.results.paired import Figures, gives, resample
from freqkd_lite.results.rows import Mean, means, read_results
from freqkd_lite.results.summary import aligned, number, span
from freqkd_lite.store import sha256_file

KINDS = ("parameters", "code", "environment", "weights", "data")
# What every run has of its own, and what says the same as something else in the manifest.
OWN = {"made", "seconds", "command", "schema", "sweep", "runs", "failed", "note", "notes", "metric",
       "against", "along", "named", "answer", "unfinished"}  # fmt: skip
STUDENT = "student.safetensors"


def _kind(parts: Sequence[str]) -> str | None:
    """Which of `KINDS` an entry of a manifest tells about; None for what is its own."""
    if {"parameters", "settings"} & set(parts):
        return "parameters"
    if parts[0] in OWN or parts[-1] in OWN:
        return None
    if {"versions", "device", "threads", "precision"} & set(parts):
        return "environment"
    for kind, names in (("code", {"code", "recipe"}), ("weights", {"weights"}),
                        ("data", {"data", "train_data"})):  # fmt: skip
        if names & set(parts):
            return kind
    return "parameters"


def _entries(manifest: dict) -> dict[str, dict[str, object]]:
    """The manifest's entries by kind and name; the folders that parameters lie in are left out of
    their names."""
    found: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}

    def walk(node: object, parts: tuple[str, ...]) -> None:
        kind = _kind(parts) if parts else None
        if isinstance(node, dict) and (node or not parts):
            for key, value in node.items():
                walk(value, (*parts, key))
        elif kind:
            left = ("notebooks", "parameters", "settings", "versions")
            found[kind][" ".join(p for p in parts if p not in left)] = node

    walk(manifest, ())
    return found


@dataclass(frozen=True)
class Folder:
    """One of the two: its manifest, and its rows as means over seeds (none for a distillation)."""

    path: Path
    manifest: dict
    means: list[Mean]

    @classmethod
    def read(cls, path: Path) -> Folder:
        file = path / "manifest.json"
        if not file.is_file():
            raise UserError(f"{path} is no run: give a folder that holds a manifest.json.")
        try:
            manifest = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"{file} is not JSON ({error}): run what wrote it again.") from None
        there = (path / "results.json").is_file()
        return cls(path, manifest, means(read_results(path)) if there else [])

    def resampled(self, mean: Mean) -> Figures | None:
        """What its file of images gives for a figure of one seed; None where there is no file that
        gives this figure again."""
        row = mean.rows[0]
        if len(mean.rows) > 1 or not row.per_image or row.value is None:
            return None
        about = (mean.arm, mean.data, mean.split, mean.metric)
        beside = [m for m in self.means if (m.arm, m.data, m.split, m.metric) == about]
        classes = tuple(m.klass for m in beside if m.klass != "mean")
        found = resample(self.path / row.per_image, row.metric, row.arm, classes)
        return found if gives(found, row) else None


def _difference(one: Folder, other: Folder, a: Mean, b: Mean) -> tuple[str, bool | None]:
    """(difference b - a with its interval where there is one, whether the two are told apart)."""
    if a.value is None and b.value is None:
        return "equal", False
    if a.value is None or b.value is None:
        return "", None
    told = f"{b.value - a.value:+.3f}"
    if a.value == b.value and a.interval == b.interval:
        return "equal", False
    mine, theirs = one.resampled(a), other.resampled(b)
    if mine and theirs and mine.paired(theirs):
        low, high = percentiles(theirs.draws[b.klass] - mine.draws[a.klass])
        return f"{told} [{low:+.3f}, {high:+.3f}] paired", low > 0 or high < 0
    if a.interval and b.interval:
        apart = a.interval[1] < b.interval[0] or b.interval[1] < a.interval[0]
        return f"{told} {'apart' if apart else 'overlap'}", apart
    return told, None


def _results(one: Folder, other: Folder) -> tuple[str, list[str]]:
    """What to say of the results in the first sentence, and the lines about them."""
    key = {folder.path: {(m.metric, m.data, m.split, m.arm, m.klass): m for m in folder.means}
           for folder in (one, other)}  # fmt: skip
    mine, theirs = key[one.path], key[other.path]
    shared = [k for k in mine if k in theirs]
    rows, apart, equal = [], 0, 0
    for k in shared:
        words, told = _difference(one, other, mine[k], theirs[k])
        equal += words == "equal"
        apart += bool(told)
        if words != "equal":
            metric, _, _, arm, klass = k
            beside = "" if "paired" in words else " {}"
            values = [
                f"{number(m.value)}{beside.format(span(m.interval))}".strip()
                for m in (mine[k], theirs[k])
            ]
            rows.append((f"{metric} {arm} {klass}", *values, words))
    lines = [aligned(("result", "A", "B", "B - A"), rows)] if rows else []
    for folder, name, count in (
        (one, "A", len(mine) - len(shared)),
        (other, "B", len(theirs) - len(shared)),
    ):
        if count:
            lines.append(f"{count} results stand in {name} ({folder.path.name}) alone.")
    if not shared:
        return "no result stands in both", lines
    if equal == len(shared):
        return f"all {equal} results that both have are equal", lines
    return f"{apart} of {len(shared)} results are told apart by their intervals", lines


def _students(one: Folder, other: Folder) -> str | None:
    """Whether two distillations ended with the same weights; None where one has none."""
    files = [folder.path / STUDENT for folder in (one, other)]
    if not all(file.is_file() for file in files):
        return None
    same = sha256_file(files[0]) == sha256_file(files[1])
    return f"the students' weights are {'the same, bit by bit' if same else 'not the same'}"


def compare(one: Path, other: Path) -> str:
    """What differs between two folders that hold a manifest.json, as text whose first line is the
    answer. Differences of results are B - A: paired over images where both have the files for it
    and the same truth, else "apart" or "overlap" says how the two intervals lie."""
    a, b = Folder.read(one), Folder.read(other)
    mine, theirs = _entries(a.manifest), _entries(b.manifest)
    lines, differ, same = [], [], []
    for kind in KINDS:
        names = [n for n in mine[kind] | theirs[kind] if mine[kind].get(n) != theirs[kind].get(n)]
        (differ if names else same).append(
            f"{kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else kind
        )
        if names:
            rows = [(n, *(json.dumps(of[kind].get(n)) for of in (mine, theirs))) for n in names]
            lines += ["", kind, aligned(("", "A", "B"), rows)]
    how = f"They differ in {', '.join(differ)}" if differ else "They were made alike"
    alike = f"; {', '.join(same)} are the same" if differ and same else ""
    students = _students(a, b)
    said, found = _results(a, b)
    parts = [p for p in (students, said if a.means or b.means or not students else None) if p]
    return "\n".join(
        [f"{how}{alike}; {'; '.join(parts)}.", f"A  {one}", f"B  {other}", *lines,
         *(["", *found] if found else [])]
    )  # fmt: skip
