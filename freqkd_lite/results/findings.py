"""Checked prose: what the project found, and the claims of the paper beside what was measured.

`results/findings.yaml` is written by a person. Each finding is a text with named numbers in braces,
the results file of each number, and a condition under which the text is true:

    - id: loss_of_sign
      text: The coded loss charges {ratio} for a negated high band.
      numbers:
        ratio: {file: default/results.json, metric: cost_of_negated_high_band, method: freqkd_code}
      holds: ratio.value < 0.001

`results/claims.yaml` has the claims of the paper's abstract in the same form, each with verdicts of
which the first whose condition is true is shown. Both are as trusted as the code beside them:
conditions are Python.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import pandas as pd
import yaml

from freqkd_lite.errors import UserError
from freqkd_lite.results.paired import read_comparison
from freqkd_lite.results.rows import means, read_results
from freqkd_lite.results.text import number, table
from freqkd_lite.store import read_text

FINDINGS, CLAIMS = "findings.yaml", "claims.yaml"
PICKED_BY = {"metric", "data", "split", "method", "class"}
OPTIONS = {"file", "count", "reverse", "digits"}


class Number(float):
    """The value of a row, as a condition compares it (rounded to 6 decimals) and as a text shows it
    (with its interval, if it has one); the row's fields are attributes, each shown alone."""

    text: str

    def __new__(cls, row: Mapping[str, Any], digits: int = 2, signed: bool = False) -> Self:
        made = super().__new__(cls, round(row["value"], 6))
        interval = (row["low"], row["high"]) if len(row) > 1 else None
        made.text = number(row["value"], interval, digits, signed)
        for name, value in row.items() if interval else ():
            alone = isinstance(value, float)
            vars(made)[name] = cls({"value": value}, digits, signed) if alone else value
        return made

    def __format__(self, _: str) -> str:
        return self.text


def pick_number(results: Path, spec: dict) -> Number:
    """The number that an entry of `numbers` asks for.

    `file` and some of metric, data, split, method and class pick one row of means or differences;
    `count` counts the rows under a condition instead; `reverse` turns a difference around.
    """
    if unknown := sorted(spec.keys() - PICKED_BY - OPTIONS):
        raise UserError(f"{unknown[0]} is not one of {', '.join(sorted(PICKED_BY | OPTIONS))}")
    file = results / spec.get("file", "")
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent.name}/{file.name} is missing")
    of_differences = file.name == "differences.json"
    found = _read(file, file.stat().st_mtime_ns)
    for key in PICKED_BY & spec.keys():
        found = found.loc[found["klass" if key == "class" else key] == spec[key]]
    if "count" in spec:
        return Number({"value": len(found.round(6).query(spec["count"]))}, 0)
    if len(found) != 1:
        raise UserError(f"{len(found)} rows of {spec['file']} match {spec}, and one must")
    row = found.iloc[0].to_dict()
    if spec.get("reverse"):
        row |= {"value": -row["value"], "low": -row["high"], "high": -row["low"]}
    return Number(row, spec.get("digits", 2), of_differences)


@lru_cache(64)
def _read(file: Path, stamp: int) -> pd.DataFrame:
    """The table of a results file as it was at `stamp`; a file that changed is read again."""
    if file.suffix == ".csv":
        return pd.read_csv(file)
    comparison = read_comparison(file.parent) if file.name == "differences.json" else None
    return comparison.table if comparison else means(read_results(file.parent))


def holds(condition: str, numbers: dict[str, Number]) -> bool:
    """Whether a condition such as `gain.low > 0 and not gain > 0.1` is true of the numbers.
    `UserError` for one that can't be evaluated."""
    try:
        return bool(eval(condition, {"__builtins__": {}}, numbers))
    except Exception as error:
        raise UserError(f"the condition {condition!r} can't be evaluated ({error})") from None


def fill(text: str, numbers: dict[str, Number]) -> str:
    """`text` with {name} replaced by the number and its interval, and {name.field} by a field."""
    try:
        return " ".join(text.split()).format(**numbers)
    except (KeyError, AttributeError) as error:
        raise UserError(f"its text names a number that it doesn't have ({error})") from None


@dataclass(frozen=True)
class Finding:
    """A true sentence or two with their numbers, and the results folders that these are from."""

    text: str
    first: bool
    folders: tuple[str, ...]


def _entries(results: str | Path, name: str) -> list[dict]:
    """The entries of a file, [] without one."""
    file = Path(results) / name
    return yaml.safe_load(read_text(file)) if file.is_file() else []


def _numbers(results: str | Path, entry: dict) -> dict[str, Number]:
    asked = entry.get("numbers", {})
    return {name: pick_number(Path(results), spec) for name, spec in asked.items()}


def read_findings(results: str | Path) -> list[Finding]:
    """The findings of `results`/findings.yaml, [] without one.

    `UserError`, naming the finding, where its condition is false or a number can't be found.
    """
    found = []
    for entry in _entries(results, FINDINGS):
        try:
            numbers = _numbers(results, entry)
            text = fill(entry["text"], numbers)
            true = holds(entry["holds"], numbers)
        except (UserError, FileNotFoundError, KeyError) as error:
            raise UserError(f"The finding {entry.get('id')} of {FINDINGS}: {error}.") from None
        if not true:
            values = ", ".join(f"{name} {value}" for name, value in numbers.items())
            raise UserError(
                f"The finding {entry['id']} of {FINDINGS} is no longer true: {entry['holds']!r} is "
                f"false ({values}). Rewrite it."
            )
        folders = dict.fromkeys(spec["file"].split("/")[0] for spec in entry["numbers"].values())
        found.append(Finding(text, entry.get("first", False), tuple(folders)))
    return found


def findings_list(found: list[Finding]) -> str:
    """Findings as a Markdown list."""
    return "\n".join(f"- {finding.text}" for finding in found)


def read_claims(results: str | Path) -> list[tuple[str, str, str, str]]:
    """(claim, stated, measured here, verdict) of `results`/claims.yaml; what lacks its results
    files is "not run"."""
    rows = []
    for entry in _entries(results, CLAIMS):
        try:
            numbers = _numbers(results, entry)
            true = (v["text"] for v in entry["verdicts"] if holds(v.get("when", "True"), numbers))
            measured, verdict = fill(entry["measured"], numbers), next(true)
        except FileNotFoundError:
            measured, verdict = "nothing", f"not run: needs {entry['needs']}"
        except (UserError, KeyError, StopIteration) as error:
            raise UserError(f"The claim {entry.get('id')} of {CLAIMS}: {error}.") from None
        rows.append((entry["claim"], entry["stated"], measured, verdict))
    return rows


def claims_table(rows: list[tuple[str, str, str, str]]) -> str:
    """The claims as a Markdown table."""
    return table(("the paper says", "stated", "measured here", "verdict"), rows, "markdown")
