"""Result files: one versioned schema, read by every notebook, page and table.

A folder of results holds `results.json` (rows), `manifest.json` (how they were made) and, where an
interval was bootstrapped, files with one entry an image.
"""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

import pandas as pd
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from scipy.special import stdtrit

from freqkd_lite.errors import UserError, explained
from freqkd_lite.names import split_method
from freqkd_lite.store import parsed, read_text, write_json, write_whole

SCHEMA = "freqkd-results/1"
REMEDY = "give a folder that holds it, or regenerate it"
OVERALL = ("mean", "all")
"""Classes that stand for all others."""
ROUNDING = 1e-3
"""By how much a figure of a method without training may differ between processors."""
FIGURE = ["metric", "data", "split", "method", "klass"]
"""What identifies a figure; its rows differ in the seed."""


class Row(BaseModel):
    """One measured number.

    `interval` is its 95 % interval (a percentile bootstrap over images unless the manifest says
    otherwise), `n` the number of images or pairs, `per_image` a file beside the results with what
    the interval was computed from. Files say `class` for `klass`.
    """

    model_config = ConfigDict(extra="forbid")

    claim: str
    method: str
    seed: int | None
    data: str
    split: str
    metric: str
    klass: str = Field(
        "all", validation_alias=AliasChoices("klass", "class"), serialization_alias="class"
    )
    value: float | None
    interval: tuple[float, float] | None = None
    n: int | None = None
    per_image: str | None = None


class ResultsFile(BaseModel):
    """The content of `results.json`."""

    kind: Literal["freqkd-results/1"] = Field(alias="schema")
    rows: list[Row]


def lines_of(table: pd.DataFrame) -> Iterable[Any]:
    """Its lines, with the columns as attributes."""
    return table.itertuples()


def as_json(rows: Iterable[Row]) -> list[dict]:
    """Rows as they stand in a file."""
    return [row.model_dump(mode="json", by_alias=True) for row in rows]


def write_results(folder: str | Path, rows: Iterable[Row], manifest: dict) -> Path:
    """Write rows and manifest into `folder`, made if missing; returns the results file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in as_json(rows))
    text = f'{{"schema": "{SCHEMA}", "rows": [\n{lines}\n]}}\n'
    write_whole(folder / "results.json", text)
    write_json(folder / "manifest.json", manifest)
    return folder / "results.json"


def read_results(folder: str | Path) -> list[Row]:
    """The rows of a folder; `UserError` for a missing, foreign or broken file."""
    path = Path(folder) / "results.json"
    with explained(path, REMEDY):
        return ResultsFile.model_validate_json(read_text(path, REMEDY)).rows


def read_manifest(folder: str | Path) -> dict:
    """The manifest of a folder; `UserError` without one."""
    return parsed(Path(folder) / "manifest.json", REMEDY)


def results_folder(notebook: str) -> Path:
    """Where a notebook writes: the run folder (FREQKD_RUN) if there is one, else runs/NOTEBOOK."""
    return Path(os.environ.get("FREQKD_RUN") or Path("..") / "runs" / notebook)


def folders(results: str | Path) -> list[Path]:
    """The folders of `results` that hold a results file, by name."""
    return [path.parent for path in sorted(Path(results).glob("*/results.json"))]


def at_hand(folder: str | Path) -> bool:
    """Whether a folder of committed results exists; prints a note where it doesn't."""
    folder = Path(folder)
    if not folder.is_dir():
        print(f"{folder.parent.name}/{folder.name} is missing: to see it, run this in a clone.")
    return folder.is_dir()


def read_table(file: str | Path) -> pd.DataFrame | None:
    """A CSV file of a results folder; None, with a note, where the folder is missing."""
    file = Path(file)
    return pd.read_csv(file) if at_hand(file.parent) and file.is_file() else None


def pick(rows: Iterable[Row], **fields: object) -> list[Row]:
    """The rows whose fields equal the given ones."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in fields.items())]


def is_trained(method: str) -> bool:
    """Whether a method trains a student, unlike "none" and "teacher", which stand beside the others
    and don't compete with them."""
    return split_method(method)[0] not in ("none", "teacher")


def over_seeds(values: Iterable[float]) -> tuple[float, tuple[float, float] | None]:
    """Mean over seeds and its 95 % t interval; no interval for a single seed, or for equal values,
    whose spread is unknown."""
    values = list(values)
    if len({*values}) < 2:
        return values[0], None
    half = stdtrit(len(values) - 1, 0.975) * stdev(values) / len(values) ** 0.5
    return mean(values), (mean(values) - half, mean(values) + half)


def frame(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """Rows as a table with the fields of `Row` as columns; `low` and `high` are the interval. What
    is such a table already is returned as it is."""
    if isinstance(rows, pd.DataFrame):
        return rows
    table = pd.DataFrame(map(vars, rows), columns=list(Row.model_fields), dtype=object)
    ends = [interval or (math.nan, math.nan) for interval in table.pop("interval")]
    table["low"], table["high"] = [low for low, _ in ends], [high for _, high in ends]
    return table.astype({"value": float})


def means(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """Each figure over its seeds, in the order of first occurrence.

    Columns: those of `FIGURE`, value, low, high, `over` ("seeds": a t interval; "images": that of
    the row; "" without one), seeds and n. A figure of a single seed, or one that no seed changes
    (an untrained method, up to `ROUNDING`), has the interval of its first row.
    """
    found = []
    for _, group in frame(rows).groupby(FIGURE, sort=False):
        there, first = group.dropna(subset="value"), group.iloc[0]
        values = there["value"].tolist() or [math.nan]
        value, interval = over_seeds(values)
        least = 0 if is_trained(first["method"]) else ROUNDING
        over = "seeds"
        if not interval or max(values) - min(values) <= least:
            interval = first["low"], first["high"]
            over = "" if math.isnan(interval[0]) else "images"
        seeds = there["seed"].nunique(dropna=False)
        found.append((*first[FIGURE], value, *interval, over, seeds, first["n"]))
    return pd.DataFrame(found, columns=[*FIGURE, "value", "low", "high", "over", "seeds", "n"])


def whole(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric's figures on whole splits; parts such as `val/day` where there is nothing else."""
    chosen = table.loc[table["metric"] == metric]
    parts = chosen["split"].str.contains("/").astype(bool)
    return chosen if parts.all() else chosen[~parts]


def seed_means(rows: Iterable[Row] | pd.DataFrame, metric: str) -> pd.DataFrame:
    """`means` of a metric on whole splits; an interval over images is not one over seeds: NaN."""
    found = means(whole(frame(rows), metric))
    found.loc[found["over"] != "seeds", ["low", "high"]] = math.nan
    return found


def check_one_place(table: pd.DataFrame, metric: str, remedy: str) -> None:
    """`UserError`, ending in `remedy`, for figures of several data sets or splits."""
    places = sorted(set(table["data"] + " " + table["split"]))
    if len(places) > 1:
        raise UserError(f"{metric} was measured on {', '.join(places)}: {remedy}.")
