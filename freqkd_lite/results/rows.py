"""Result files: one versioned schema, read by every notebook, page and table.

A folder of results holds `results.json` (rows), `manifest.json` (how they were made) and, where an
interval was bootstrapped, files with one entry an image.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from scipy.special import stdtrit

from freqkd_lite.errors import UserError, invalid
from freqkd_lite.names import renamed, split_method, up_to_date
from freqkd_lite.store import write_json, write_whole

SCHEMA = "freqkd-results/1"
FIELDS = {"arm": "method", "class": "klass"}
UNTRAINED = ("none", "teacher")
"""Methods without training: they stand beside the others and don't compete with them."""
ROUNDING = 1e-3
"""By how much a figure of such a method may differ between processors."""
FIGURE = ["metric", "data", "split", "method", "klass"]
"""What identifies a figure; its rows differ in the seed."""


class Row(BaseModel):
    """One measured number.

    `interval` is its 95 % interval (a percentile bootstrap over images unless the manifest says
    otherwise), `n` the number of images or pairs, `per_image` a file beside the results with what
    the interval was computed from.
    """

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
    def _today(cls, given: dict) -> dict:
        """Older files say `arm` for `method`, and have other names of losses and settings."""
        new = {FIELDS.get(key, key): value for key, value in given.items()}
        return new | {"method": up_to_date(new["method"])} if "method" in new else new


def as_json(rows: Iterable[Row]) -> list[dict]:
    """Rows as they stand in a file."""
    return [
        {"class" if key == "klass" else key: v for key, v in row.model_dump(mode="json").items()}
        for row in rows
    ]


def write_results(folder: str | Path, rows: Iterable[Row], manifest: dict) -> Path:
    """Write rows and manifest into `folder`, made if missing; returns the results file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in as_json(rows))
    text = f'{{"schema": "{SCHEMA}", "rows": [\n{lines}\n]}}\n'
    write_whole(folder / "results.json", text.encode())
    write_json(folder / "manifest.json", manifest)
    return folder / "results.json"


def read_results(folder: str | Path) -> list[Row]:
    """The rows of a folder; `UserError` for a missing, foreign or broken file."""
    path = Path(folder) / "results.json"
    content = _read_json(path, "run the notebook that writes it first")
    if content.get("schema") != SCHEMA:
        raise UserError(f"{path} has schema {content.get('schema')!r}, expected {SCHEMA!r}.")
    try:
        return [Row(**row) for row in content["rows"]]
    except ValidationError as error:
        raise invalid(error, f"A row of {path}", "write it again") from error


def read_manifest(folder: str | Path) -> dict:
    """The manifest of a folder, with today's keys and names of methods; `UserError` without one."""
    return renamed(_read_json(Path(folder) / "manifest.json", "give a folder that holds one"))


def _read_json(path: Path, remedy: str) -> dict:
    if not path.is_file():
        raise UserError(f"{path} is missing: {remedy}.")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}): run what wrote it again.") from error


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


def is_trained(method: str) -> bool:
    """Whether a method trains a student, unlike "none" and "teacher"."""
    return split_method(method)[0] not in UNTRAINED


def check_one_place(rows: Iterable[Row], metric: str, remedy: str) -> None:
    """`UserError`, ending in `remedy`, for rows of several data sets or splits."""
    places = sorted({f"{row.data} {row.split}" for row in rows})
    if len(places) > 1:
        raise UserError(f"{metric} was measured on {', '.join(places)}: {remedy}.")


def over_seeds(values: Iterable[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean over seeds and its 95 % t interval; no interval for a single seed, or for equal values,
    whose spread is unknown."""
    values = list(values)
    if len({*values}) < 2:
        return values[0], None
    half = stdtrit(len(values) - 1, 0.975) * stdev(values) / len(values) ** 0.5
    return mean(values), (mean(values) - half, mean(values) + half)


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table with the fields of `Row` as columns; `low` and `high` are the interval."""
    table = pd.DataFrame([row.model_dump() for row in rows], columns=list(Row.model_fields))
    ends = [interval or (math.nan, math.nan) for interval in table.pop("interval")]
    table["low"], table["high"] = [low for low, _ in ends], [high for _, high in ends]
    table["value"] = table["value"].astype(float)
    return table


def means(rows: Iterable[Row]) -> pd.DataFrame:
    """Each figure over its seeds, in the order of first occurrence.

    Columns: those of `FIGURE`, value, low, high, `over` ("seeds": a t interval; "images": that of
    the row; "" without one) and seeds. A figure of a single seed, or one that no seed changes (an
    untrained method, up to `ROUNDING`), has the interval of its first row.
    """
    found = []
    for key, group in frame(rows).groupby(FIGURE, sort=False):
        there = group.dropna(subset="value")
        values = there["value"].tolist()
        value, interval = over_seeds(values) if values else (math.nan, None)
        least = 0 if is_trained(key[FIGURE.index("method")]) else ROUNDING
        over = "seeds"
        if not values or max(values) - min(values) <= least:
            interval, over = (group["low"].iloc[0], group["high"].iloc[0]), "images"
        low, high = interval or (math.nan, math.nan)
        over = "" if math.isnan(low) else over
        seeds = there["seed"].nunique(dropna=False)
        found.append((*key, value, low, high, over, seeds, group["n"].iloc[0]))
    return pd.DataFrame(found, columns=[*FIGURE, "value", "low", "high", "over", "seeds", "n"])


def whole(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric's figures on whole splits; parts such as `val/day` where there is nothing else."""
    chosen = table[table["metric"] == metric]
    parts = chosen["split"].map(is_part).astype(bool)
    return chosen[~parts] if not parts.all() else chosen
