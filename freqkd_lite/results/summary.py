"""The tables of a results folder: means over seeds, differences, and how the numbers were made."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from freqkd_lite.errors import check_known
from freqkd_lite.names import NAMES, method_name, own_settings, split_method
from freqkd_lite.results.curve import Curve, sweep_differences
from freqkd_lite.results.paired import COLUMNS, METRICS, Comparison, differences, not_compared
from freqkd_lite.results.rows import OVERALL, frame, lines_of, read_manifest, read_results, whole
from freqkd_lite.results.text import Table, number, table, verdict
from freqkd_lite.store import write_whole


def headline(found: pd.DataFrame, wanted: str | None = None) -> str:
    """The metric of the figure: the one asked for, else the first with a mean over classes, else
    the first. `UserError` for a metric that is not there."""
    metrics = found["metric"].unique().tolist()
    if wanted is None:
        overall = [found.loc[found["klass"] == klass, "metric"] for klass in OVERALL]
        return [*overall[0], *overall[1], *metrics][0]
    check_known("metric in these results", metrics, wanted)
    return wanted


def figure_text(row: Any, digits: int = 3, signed: bool = False) -> str:
    """A row's value with its interval."""
    return number(row.value, (row.low, row.high), digits, signed)


def means_table(found: pd.DataFrame, metric: str) -> Table:
    """The headline metric by class, then the overall figures of every other metric."""
    first = found["metric"] == metric
    chosen = pd.concat([found.loc[first], found.loc[~first & found["klass"].isin(OVERALL)]])
    rows = [
        (m.metric, f"{m.data} ({m.split})", method_name(m.method), m.klass, figure_text(m), m.over)
        for m in lines_of(chosen)
    ]
    return ["metric", "data", "method", "class", "value [95 % interval]", "over"], rows


def write_csv(found: pd.DataFrame, path: Path) -> None:
    """All means as CSV; a method's settings have a column of their own."""
    wide = found.rename(columns={"klass": "class"})
    loss, settings = zip(*map(split_method, wide["method"]), strict=True)
    wide["method"] = loss
    wide.insert(wide.columns.tolist().index("method") + 1, "settings", settings)
    write_whole(path, wide.drop(columns="n").to_csv(index=False, lineterminator="\n"))


def compare_folder(folder: Path) -> Comparison | None:
    """The differences of a results folder, computed from its files of images.

    In every metric that has such files, each method minus the manifest's `reference` ("none", the
    undistilled student, where it names none); of a sweep along a setting, each of two or three
    methods minus the first. None where there is nothing to compare. `UserError` where a `reference`
    that the manifest names can't be compared with.
    """
    rows, made = frame(read_results(folder)), read_manifest(folder)
    if made.get("curve"):
        along = sweep_differences(rows, folder, made["metric"], made["curve"])
        return Comparison(*along) if along else None
    asked = made.get("reference")
    reference, tables, missed = asked or "none", [], []
    for metric in METRICS:
        there = whole(rows, metric).dropna(subset="value")
        if asked and metric != made.get("metric") or reference not in set(there["method"]):
            continue
        if asked or all(there["per_image"].notna()):
            tables.append(differences(rows, folder, reference, metric))
            missed += not_compared(rows, reference, metric)
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    if found.empty and not missed:
        return None
    more = made.get("preregistered"), made.get("post_hoc") or [], list(dict.fromkeys(missed))
    return Comparison(reference, found, *more)


def differences_table(comparison: Comparison, metric: str) -> Table:
    """Each method minus the reference: mean with its verdict, joint interval, classes, seeds."""
    of, rows = comparison.table.loc[comparison.table["metric"] == metric], []
    classes = [k for k in of["klass"].unique() if k != "mean"]
    for mean in lines_of(comparison.means(metric)):
        own = of.loc[of["method"] == mean.method].set_index("klass")
        cells = [figure_text(own.loc[k], 3, True) if k in own.index else "" for k in classes]
        joint = number(mean.value, (mean.joint_low, mean.joint_high), 3, True).partition(" ")[2]
        label = method_name(mean.method) + (" †" if mean.method in comparison.post_hoc else "")
        phrase = verdict(mean.low, mean.high)
        rows.append((label, figure_text(mean, 3, True), phrase, joint, *cells, mean.seeds))
    head = ["method", "mean [95 % interval]", "verdict", "joint interval", *classes, "seeds"]
    return head, rows


def study_table(comparison: Comparison, metric: str, losses: Sequence[str]) -> Table:
    """Of `differences_table` the methods of some losses on the same terms, without the details."""
    table = comparison.table
    shown = [split_method(m)[0] in losses and comparable(m) for m in table["method"]]
    _, rows = differences_table(replace(comparison, table=table.loc[shown]), metric)
    name = f"{NAMES.get(metric, metric)} minus {method_name(comparison.reference)}"
    head = ["method", f"{name} [95 % interval]", "verdict", "seeds"]
    return head, [(*row[:3], row[-1]) for row in rows]


def comparable(method: str) -> bool:
    """Whether a method differs from others by loss, options of the loss, learning rate and
    projector alone: another merge scale, or mismatched pairs, are other comparisons."""
    return not own_settings(method).keys() & {"merge_scale", "mismatched", "lora_rank", "steps"}


def best_table(curve: Curve, losses: Sequence[str] | None = None) -> Table:
    """Each method at its best value of the setting, best first; those of some `losses` alone."""
    rows = []
    for top in lines_of(curve.best()):
        if losses is None or (split_method(top.method)[0] in losses and comparable(top.method)):
            end = ("yes" if top.end else "") if top.tried > 1 else "one value"
            rows.append((method_name(top.method), figure_text(top), f"{top.at:g}", top.tried, end))
    return ["method", curve.label, f"at {curve.setting}", "tried", "best at the limit"], rows


MADE = {
    "command": "command",
    "failed": "failed runs",
    "unfinished": "runs that are not finished yet",
    "data": "checksum of the data scored on",
    "train_data": "checksum of the labelled data of probes and heads",
    "lessons": "checksum of the pairs distilled on",
    "weights": "checksum of the weights",
    "protocol": "checksum of the protocol",
    "images": "files of images",
}
MADE |= {key: key for key in ("seeds", "versions", "device", "threads", "recipe", "made")}


def _words(entry: object) -> list[str]:
    """An entry in words, `?` where it is unknown; checksums by their first 16 digits."""
    if isinstance(entry, dict):
        return [", ".join(f"{key} {' '.join(_words(entry[key]))}" for key in sorted(entry))]
    if isinstance(entry, list):
        return [word for each in entry for word in _words(each)]
    text = "?" if entry is None else str(entry)
    return [f"`{text[:16]}`" if re.fullmatch("[0-9a-f]{16,}", text) else text]


def made_table(manifest: dict) -> str:
    """How the numbers were made, in Markdown: entries of the manifest or its notebooks, once."""
    rows = []
    for key, label in MADE.items():
        books = [book.get(key) for book in manifest.get("notebooks", {}).values()]
        words = list(dict.fromkeys(_words(books if any(books) else manifest.get(key))))
        if words not in ([], ["?"]):
            text = "; ".join(words)
            rows.append((label, f"`{text}`" if key == "command" else text))
    return table(("item", "value"), rows, "markdown")
