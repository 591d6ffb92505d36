"""Result files: one versioned schema, read by every notebook, page and README table.

A folder of results holds `results.json` (rows), `manifest.json` (how they came to be) and, where an
interval was bootstrapped, files with one entry an image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from scipy.special import stdtrit

from freqkd_lite.errors import UserError
from freqkd_lite.names import own_settings, split_method, with_settings
from freqkd_lite.store import write_json

SCHEMA = "freqkd-results/1"
FIELDS = {"arm": "method", "class": "klass"}
split_arm = split_method  # until every room says method
__all__ = ["own_settings", "with_settings"]
UNTRAINED = ("none", "teacher")
"""Arms that are not distilled: what is set beside the others and does not compete with them."""
ROUNDING = 1e-3
"""By how much less a figure of such an arm differs between processors."""


class Row(BaseModel):
    """One measured number. `interval` is the 95 % interval that `note` or the manifest explains
    (by default a percentile bootstrap over images), `n` what it was averaged over."""

    model_config = ConfigDict(extra="forbid")

    claim: str
    method: str
    seed: int | None
    data: str
    split: str
    metric: str
    klass: str = "all"
    value: float | None
    interval: tuple[float, float] | None = None
    n: int | None = None
    per_image: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, given: dict) -> dict:
        """Older files say `arm` for `method`; a file says `class` for `klass`."""
        new = {FIELDS.get(key, key): value for key, value in given.items()}
        return new

    @property
    def arm(self) -> str:  # until every room says method
        return self.method


def as_json(rows: Iterable[Row]) -> list[dict]:
    """Rows as they stand in a file."""
    return [
        {"class" if k == "klass" else k: v for k, v in row.model_dump(mode="json").items()}
        for row in rows
    ]


def write_results(folder: str | Path, rows: Iterable[Row], manifest: dict) -> Path:
    """Write rows and manifest into `folder`, made if missing; returns the results file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", {"schema": SCHEMA, "rows": as_json(rows)})
    write_json(folder / "manifest.json", manifest)
    return folder / "results.json"


def read_results(folder: str | Path) -> list[Row]:
    """The rows of a folder; a missing, foreign or broken file is told in one sentence."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: run the notebook that writes it first.")
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}): run what wrote it again.") from error
    if content.get("schema") != SCHEMA:
        raise UserError(f"{path} has schema {content.get('schema')!r}, expected {SCHEMA!r}.")
    try:
        return [Row(**row) for row in content["rows"]]
    except ValidationError as error:
        raise UserError(f"{path}: {error.errors()[0]['msg']} in a row: write it again.") from error


def results_folder(notebook: str) -> Path:
    """Where a notebook writes: the run folder (FREQKD_RUN) if there is one, else runs/NOTEBOOK."""
    return Path(os.environ.get("FREQKD_RUN") or Path("..") / "runs" / notebook)


def at_hand(folder: str | Path) -> bool:
    """Whether a folder of committed results exists; prints a note where it doesn't, as with a
    notebook taken out of its clone."""
    folder = Path(folder)
    if not folder.is_dir():
        print(f"{folder.parent.name}/{folder.name} is missing: to see it, run this in a clone.")
    return folder.is_dir()


def pick(rows: Iterable[Row], **fields: object) -> list[Row]:
    """The rows whose fields equal the given ones."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in fields.items())]


def is_part(split: str) -> bool:
    """Whether a row is about a part of a split, such as `val/day`, and not the whole one."""
    return "/" in split


def check_one_place(found: Iterable[Row | Mean], metric: str, remedy: str) -> None:
    """`UserError`, ending in `remedy`, for figures of several sets or splits."""
    places = sorted({f"{each.data} {each.split}" for each in found})
    if len(places) > 1:
        raise UserError(f"{metric} was measured on {', '.join(places)}: {remedy}.")


def over_seeds(values: Iterable[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean over seeds and its 95 % t interval; None for a single seed, and for what no seed
    changes, which has no spread that could be told."""
    values = list(values)
    if len({*values}) < 2:
        return values[0], None
    half = stdtrit(len(values) - 1, 0.975) * stdev(values) / len(values) ** 0.5
    return mean(values), (mean(values) - half, mean(values) + half)


@dataclass(frozen=True)
class Mean:
    """One figure over its `rows`, which differ in the seed alone: over several seeds the mean and
    its t interval. A single one, or one that no seed changes (an arm that is not trained, up to
    `ROUNDING`), has its row's own interval. `over` is what the interval is over, "seeds" or
    "images", "" without one. `value` is None where no row has one."""

    arm: str
    data: str
    split: str
    metric: str
    klass: str
    value: float | None
    interval: tuple[float, float] | None
    over: str
    rows: tuple[Row, ...]

    @property
    def seeds(self) -> int:
        """How many of them have a value."""
        return len({row.seed for row in self.rows if row.value is not None})


def means(rows: Iterable[Row]) -> list[Mean]:
    """Each figure over its seeds (`over_seeds`), in the order in which they first occur."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row.arm, row.data, row.split, row.metric, row.klass)
        groups.setdefault(key, []).append(row)
    found = []
    for key, group in groups.items():
        values = [row.value for row in group if row.value is not None]
        value, interval = over_seeds(values) if values else (None, None)
        least = ROUNDING if split_method(key[0])[0] in UNTRAINED else 0
        trained = bool(values) and max(values) - min(values) > least
        interval = interval if trained else group[0].interval
        over = ("seeds" if trained else "images") if interval else ""
        found.append(Mean(*key, value, interval, over, tuple(group)))
    return found
