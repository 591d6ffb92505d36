"""How a figure changes along one setting of the methods: a learning rate, or steps of training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES, join_method, own_settings, split_method, up_to_date
from freqkd_lite.results.paired import METRICS, differences, read_comparison
from freqkd_lite.results.rows import (
    Row,
    check_one_place,
    is_part,
    means,
    read_manifest,
    read_results,
    whole,
)

SETTINGS = {"lr": "learning rate", "steps": "steps of training"}
FEW = 3  # methods that are compared with the first one, value by value


def failed_methods(failed: Sequence[str]) -> list[str]:
    """The methods of failed runs, from the sentences of a sweep's manifest."""
    lists = (re.search(r"(?:arms|methods)=\[((?:'[^']*'(?:, )?)*)\]", line) for line in failed)
    quoted = [method for found in lists if found for method in re.findall(r"'([^']+)'", found[1])]
    return [up_to_date(method) for method in quoted]


def without(method: str, setting: str) -> tuple[str, float | None]:
    """(the method without one of its settings, that setting or None)."""
    own = own_settings(method)
    if setting not in own:
        return method, None
    value = own.pop(setting)
    try:
        return join_method(split_method(method)[0], own), float(value)
    except ValueError:
        raise UserError(
            f"{setting}={value} is no number, as an axis needs: correct `curve` of the sweep."
        ) from None


@dataclass(frozen=True)
class Curve:
    """A sweep along one `setting`.

    `points`: method (without the setting), at, value (NaN: the run failed), low, high (over seeds,
    NaN for a single one), seeds. `levels`: the value of each method that has no such setting.
    `seeds`: method, at, value of each seed. `differences`: of a few methods, each minus the first
    at the same value (method, at, and `paired.COLUMNS`), or None.
    """

    metric: str
    setting: str
    place: str
    points: pd.DataFrame
    levels: dict[str, float]
    seeds: pd.DataFrame
    differences: pd.DataFrame | None = None

    @property
    def label(self) -> str:
        """The metric for people."""
        return NAMES.get(self.metric, self.metric)

    @property
    def axis(self) -> str:
        """The setting for people."""
        return SETTINGS.get(self.setting, self.setting)

    def best(self) -> pd.DataFrame:
        """Each method's best point, best method first; of equal points the one that comes first.

        More columns: `tried`, how many values were tried, failed or not, and `end`, whether the
        best one is the first or the last of several.
        """
        lines = []
        for method, points in self.points.groupby("method", sort=False):
            top = points.loc[points["value"].idxmax()].to_dict()
            ends = {points["at"].iloc[0], points["at"].iloc[-1]}
            end = len(points) > 1 and top["at"] in ends
            lines.append(top | {"method": method, "tried": len(points), "end": end})
        found = pd.DataFrame(lines)
        return found.sort_values(["value", "method"], ascending=[False, True], ignore_index=True)


def make_curve(rows: Sequence[Row], metric: str, setting: str, failed: Sequence[str] = ()) -> Curve:
    """The curve of the mean over classes on whole splits; `failed` are methods of failed runs.

    `UserError` where no method has the setting, and for figures of several data sets or splits.
    """
    of_mean = [row for row in rows if row.klass in ("mean", "all") and not is_part(row.split)]
    of_mean = [row for row in of_mean if row.metric == metric and row.value is not None]
    check_one_place(of_mean, metric, f"a curve along {setting} shows one of them")
    points, levels = [], {}
    for m in whole(means(of_mean), metric).itertuples():
        method, at = without(m.method, setting)
        ends = (m.low, m.high) if m.over == "seeds" else (np.nan, np.nan)
        if at is None:
            levels[method] = m.value
        else:
            points.append((method, at, m.value, *ends, m.seeds))
    there = {(method, at) for method, at, *_ in points}
    for method, at in (without(each, setting) for each in dict.fromkeys(failed)):
        if at is not None and (method, at) not in there and method in {m for m, _ in there}:
            points.append((method, at, np.nan, np.nan, np.nan, 0))
    if not points:
        raise UserError(f"No method has a setting {setting!r}: name one that the sweep's have.")
    order = list(dict.fromkeys(method for method, *_ in points))
    points.sort(key=lambda point: (order.index(point[0]), point[1]))
    table = pd.DataFrame(points, columns=["method", "at", "value", "low", "high", "seeds"])
    seeds = [(*without(row.method, setting), row.value) for row in of_mean]
    seeds = pd.DataFrame(seeds, columns=["method", "at", "value"]).dropna(subset="at")
    place = " ".join(dict.fromkeys(f"{row.data} {row.split}" for row in of_mean))
    return Curve(metric, setting, place, table, levels, seeds)


def differences_along(
    rows: Sequence[Row], folder: Path, metric: str, setting: str
) -> tuple[str, pd.DataFrame] | None:
    """(first method, each of two or three methods minus it at each value of the setting that both
    have): `paired.differences` of means. None for one method, for many, and without files of
    images."""
    of = [row for row in rows if row.metric == metric and row.value is not None]
    if metric not in METRICS or not all(row.per_image for row in of if not is_part(row.split)):
        return None
    by_value: dict[float, dict[str, str]] = {}
    for method in dict.fromkeys(row.method for row in of):
        plain, at = without(method, setting)
        if at is not None:
            by_value.setdefault(at, {})[plain] = method
    plain = list(dict.fromkeys(each for methods in by_value.values() for each in methods))
    if not 2 <= len(plain) <= FEW:
        return None
    found = []
    for _, methods in sorted(by_value.items()):
        if plain[0] in methods and len(methods) > 1:
            here = [row for row in rows if row.method in methods.values()]
            table = differences(here, folder, methods[plain[0]], metric)
            found.append(table[table["klass"] == "mean"])
    return (plain[0], pd.concat(found, ignore_index=True)) if found else None


def read_curve(folder: str | Path) -> Curve | None:
    """The curve of a results folder; None where there are no results. `UserError` for results that
    are no sweep along a setting."""
    folder = Path(folder)
    if not (folder / "results.json").is_file():
        return None
    made, comparison = read_manifest(folder), read_comparison(folder)
    setting = made.get("curve")
    if not setting:
        raise UserError(f"{folder.name} is no sweep along a setting: its file lacks `curve`.")
    rows, failed = read_results(folder), failed_methods(made.get("failed", []))
    found = make_curve(rows, made["metric"], setting, failed)
    if comparison is None or comparison.table.empty:
        return found
    table = comparison.table.copy()
    table[["method", "at"]] = [without(method, setting) for method in table["method"]]
    return Curve(**vars(found) | {"differences": table})
