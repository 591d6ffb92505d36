"""A metric along one setting of the methods: a learning rate, or steps of training."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES, join_method, own_settings, split_method
from freqkd_lite.results.paired import METRICS, differences, read_comparison
from freqkd_lite.results.rows import (
    OVERALL,
    Row,
    check_one_place,
    frame,
    read_manifest,
    read_results,
    seed_means,
    whole,
)

SETTINGS = {"lr": "learning rate", "steps": "steps of training"}
FEW = 3  # methods that are compared with the first one, value by value


def failed_methods(failed: Sequence[str]) -> list[str]:
    """The methods of failed runs, from the sentences of a sweep's manifest."""
    lists = re.findall(r"methods=\[((?:'[^']*'(?:, )?)*)\]", "\n".join(failed))
    return [method for each in lists for method in re.findall(r"'([^']+)'", each)]


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
        """The metric's display name."""
        return NAMES.get(self.metric, self.metric)

    @property
    def axis(self) -> str:
        """The setting's display name."""
        return SETTINGS.get(self.setting, self.setting)

    def best(self) -> pd.DataFrame:
        """Each method's best point, best method first; of equal points the one that comes first.

        More columns: `tried`, how many values were tried, failed or not, and `end`, whether the
        best one is the first or the last of several.
        """
        groups = self.points.groupby("method", sort=False)
        found = self.points.loc[groups["value"].idxmax()].set_index("method")
        at, values = found["at"], groups["at"]
        found["tried"] = values.size()
        found["end"] = (found["tried"] > 1) & ((at == values.first()) | (at == values.last()))
        order = dict(by=["value", "method"], ascending=[False, True])
        return found.reset_index().sort_values(**order, ignore_index=True)


def _split(table: pd.DataFrame, setting: str) -> pd.DataFrame:
    """The table with `method` without the setting, and the setting in a column `at`: NaN of a
    method that has none."""
    methods, values = [], []
    for method in table["method"]:
        own = own_settings(method)
        value = own.pop(setting, "nan")
        try:
            values.append(float(value))
        except ValueError:
            fault = f"{setting}={value} is not a number: correct `curve` of the sweep."
            raise UserError(fault) from None
        methods.append(join_method(split_method(method)[0], own))
    return table.assign(method=methods, at=values)


def make_curve(rows: Iterable[Row], metric: str, setting: str, failed: Sequence[str] = ()) -> Curve:
    """The curve of the mean over classes on whole splits; `failed` are methods of failed runs.

    `UserError` where no method has the setting, and for figures of several data sets or splits.
    """
    of_mean = whole(frame(rows), metric).dropna(subset="value")
    of_mean = of_mean.loc[of_mean["klass"].isin(OVERALL)]
    check_one_place(of_mean, metric, f"a curve along {setting} shows one of them")
    found = _split(seed_means(of_mean, metric), setting)
    levels = found.loc[found["at"].isna()].set_index("method")["value"].to_dict()
    points = found.loc[found["at"].notna(), ["method", "at", "value", "low", "high", "seeds"]]
    if points.empty:
        raise UserError(f"No method has a setting {setting!r}: name one that the sweep's have.")
    order = points["method"].unique().tolist()
    lost = _split(pd.DataFrame({"method": list(failed), "seeds": 0}), setting).dropna(subset="at")
    lost = lost.loc[lost["method"].isin(order)]
    # What failed may have a value of another seed.
    points = pd.concat([points, lost], ignore_index=True).drop_duplicates(["method", "at"])
    points["method"] = pd.Categorical(points["method"], order)
    points = points.sort_values(["method", "at"], ignore_index=True).astype({"method": object})
    seeds = _split(of_mean, setting).dropna(subset="at").loc[:, ["method", "at", "value"]]
    place = " ".join((of_mean["data"] + " " + of_mean["split"]).unique())
    return Curve(metric, setting, place, points, levels, seeds)


def sweep_differences(
    rows: Iterable[Row], folder: Path, metric: str, setting: str
) -> tuple[str, pd.DataFrame] | None:
    """(first method, each of two or three methods minus it at each value of the setting that both
    have): `paired.differences` of means. None for one method, for many, and without files of
    images."""
    of = whole(frame(rows), metric)
    plain = _split(of, setting).dropna(subset=["at", "value"])
    methods = plain["method"].unique()
    if metric not in METRICS or any(of["per_image"].isna()) or not 2 <= len(methods) <= FEW:
        return None
    found = []
    for _, here in plain.groupby("at"):
        names = of.loc[here.index, "method"]
        own = names[here["method"] == methods[0]]
        if len(own) and names.nunique() > 1:
            table = differences(of[of["method"].isin(names)], folder, own.iloc[0], metric)
            found.append(table[table["klass"] == "mean"])
    return (methods[0], pd.concat(found, ignore_index=True)) if found else None


def read_curve(folder: str | Path) -> Curve | None:
    """The curve of a results folder; None where there are no results. `UserError` for results that
    are not a sweep along a setting."""
    folder = Path(folder)
    if not (folder / "results.json").is_file():
        return None
    made, comparison = read_manifest(folder), read_comparison(folder)
    setting = made.get("curve")
    if not setting:
        raise UserError(f"{folder.name} is not a sweep along a setting: no `curve` in it.")
    rows, failed = read_results(folder), failed_methods(made.get("failed", []))
    found = make_curve(rows, made["metric"], setting, failed)
    if comparison is None or comparison.table.empty:
        return found
    return replace(found, differences=_split(comparison.table, setting))
