"""Checked prose: what the project found, and the claims of the paper beside what was measured.

`results/findings.yaml` is written by a person. Each finding is a text with named numbers in braces,
the results file of each number, and a condition under which the text is true:

    - id: loss_of_sign
      text: The coded loss charges {ratio} for a negated high band.
      numbers:
        ratio: {file: default/results.json, metric: cost_of_negated_high_band, method: freqkd_code}
      holds: ratio.value < 0.001

`results/claims.yaml` has the claims of the paper's abstract in the same form, each with verdicts of
which the first whose condition is true is shown.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import yaml

from freqkd_lite.errors import UserError
from freqkd_lite.names import up_to_date
from freqkd_lite.results.paired import read_comparison
from freqkd_lite.results.rows import means, read_results
from freqkd_lite.results.text import number, table

FINDINGS, CLAIMS = "findings.yaml", "claims.yaml"
PICKED_BY = {"metric", "data", "split", "method", "class"}
OPTIONS = {"file", "count", "reverse", "digits"}
COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


# ---------------------------------------------------------------------------------- conditions


def holds(condition: str, numbers: dict[str, dict]) -> bool:
    """Whether a condition such as `gain.low > 0 and not gain.value > 0.1` is true.

    It may compare numbers and `NAME.FIELD` of `numbers` (`NAME` alone is its value), joined by
    `and`, `or` and `not`; `UserError` for anything else. Values are rounded to 6 decimals first.
    """
    try:
        return bool(_evaluate(ast.parse(condition.strip(), mode="eval").body, numbers))
    except (SyntaxError, KeyError, TypeError) as error:
        raise UserError(f"the condition {condition!r} can't be evaluated ({error})") from None


def _evaluate(node: ast.AST, numbers: dict[str, dict]) -> float | bool:
    if isinstance(node, ast.BoolOp):
        parts = [_evaluate(part, numbers) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _evaluate(node.operand, numbers)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, numbers)
    if isinstance(node, ast.Compare):
        sides = [_evaluate(side, numbers) for side in (node.left, *node.comparators)]
        pairs = zip(node.ops, sides, sides[1:], strict=False)
        return all(COMPARE[type(op)](round(a, 6), round(b, 6)) for op, a, b in pairs)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        return numbers[node.id]["value"]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return numbers[node.value.id][node.attr]
    raise TypeError(f"{ast.unparse(node)!r} is no comparison of numbers")


# ------------------------------------------------------------------------------------- numbers


@lru_cache(64)
def _read(file: Path, stamp: int) -> pd.DataFrame:
    """The table of a results file as it was at `stamp`; a file that changed is read again."""
    if file.name == "differences.json":
        return read_comparison(file.parent).table
    return means(read_results(file.parent))


def _pick(results: Path, spec: dict) -> dict:
    """The number that an entry of `numbers` asks for: the fields of its row, and how it is written.

    `file` and some of metric, data, split, method and class pick one row of means or differences;
    `count` counts the rows under a condition instead; `reverse` turns a difference around.
    """
    if unknown := sorted(spec.keys() - PICKED_BY - OPTIONS):
        raise UserError(f"{unknown[0]} is none of {', '.join(sorted(PICKED_BY | OPTIONS))}")
    file = results / spec.get("file", "")
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent.name}/{file.name} is missing")
    found = _read(file, file.stat().st_mtime_ns)
    for key in PICKED_BY & spec.keys():
        wanted = up_to_date(spec[key]) if key == "method" else spec[key]
        found = found[found["klass" if key == "class" else key] == wanted]
    digits, signed = spec.get("digits", 2), file.name == "differences.json"
    if "count" in spec:
        rows = found.to_dict("records")
        count = sum(holds(spec["count"], {k: {"value": v} for k, v in row.items()}) for row in rows)
        return {"value": count, "digits": 0, "signed": False}
    if len(found) != 1:
        raise UserError(f"{len(found)} rows of {spec['file']} match {spec}, and one must")
    row = found.iloc[0].to_dict()
    if spec.get("reverse"):
        row |= {"value": -row["value"], "low": -row["high"], "high": -row["low"]}
    return row | {"digits": digits, "signed": signed}


def fill(text: str, numbers: dict[str, dict]) -> str:
    """`text` with {name} replaced by the number and its interval, and {name.field} by a field."""

    def written(match: re.Match) -> str:
        name, field = match[1], match[2]
        if name not in numbers or (field and field not in numbers[name]):
            raise UserError(f"{match[0]} in its text is no number that it names")
        row = numbers[name]
        if field in ("seeds", "images", "groups"):
            return str(int(row[field]))
        if field:
            return number(row[field], None, row["digits"], row["signed"])
        interval = (row.get("low", math.nan), row.get("high", math.nan))
        return number(row["value"], interval, row["digits"], row["signed"])

    return re.sub(r"\{(\w+)(?:\.(\w+))?\}", written, " ".join(text.split()))


# ---------------------------------------------------------------------------- findings, claims


@dataclass(frozen=True)
class Finding:
    """A true sentence or two with their numbers, and the results folders that these are from."""

    id: str
    text: str
    first: bool
    folders: tuple[str, ...]


def _entries(results: Path, name: str) -> list[dict]:
    file = results / name
    return yaml.safe_load(file.read_text()) if file.is_file() else []


def read_findings(results: str | Path) -> list[Finding]:
    """The findings of `results`/findings.yaml, [] without one.

    `UserError`, naming the finding, where its condition is false or a number can't be found.
    """
    results, found = Path(results), []
    for entry in _entries(results, FINDINGS):
        try:
            numbers = {name: _pick(results, spec) for name, spec in entry["numbers"].items()}
            text = fill(entry["text"], numbers)
            true = holds(entry["holds"], numbers)
        except (UserError, FileNotFoundError, KeyError) as error:
            raise UserError(f"The finding {entry.get('id')} of {FINDINGS}: {error}.") from None
        if not true:
            values = ", ".join(f"{name} {fill(f'{{{name}}}', numbers)}" for name in numbers)
            raise UserError(
                f"The finding {entry['id']} of {FINDINGS} is no longer true: {entry['holds']!r} is "
                f"false ({values}). Rewrite it."
            )
        folders = dict.fromkeys(spec["file"].split("/")[0] for spec in entry["numbers"].values())
        found.append(Finding(entry["id"], text, entry.get("first", False), tuple(folders)))
    return found


def findings_list(found: list[Finding]) -> str:
    """Findings as a Markdown list."""
    return "\n".join(f"- {finding.text}" for finding in found)


def read_claims(results: str | Path) -> list[tuple[str, str, str, str]]:
    """(claim, stated, measured here, verdict) of `results`/claims.yaml; what lacks its results
    files is "not run"."""
    results, rows = Path(results), []
    for entry in _entries(results, CLAIMS):
        try:
            numbers = {k: _pick(results, spec) for k, spec in entry.get("numbers", {}).items()}
            verdicts = [
                v["text"] for v in entry["verdicts"] if holds(v.get("when", "1 == 1"), numbers)
            ]
            measured, said = fill(entry["measured"], numbers), verdicts[0]
        except FileNotFoundError:
            measured, said = "nothing", f"not run: needs {entry['needs']}"
        except (UserError, KeyError, IndexError) as error:
            raise UserError(f"The claim {entry.get('id')} of {CLAIMS}: {error}.") from None
        rows.append((entry["claim"], entry["stated"], measured, said))
    return rows


def claims_table(rows: list[tuple[str, str, str, str]]) -> str:
    """The claims as a Markdown table."""
    return table(("the paper says", "stated", "measured here", "verdict"), rows, "markdown")
