"""Findings follow from the numbers: change a number, and the condition or the verdict changes."""

import ast
import re

import pandas as pd
import pytest
import yaml

from freqkd_lite.results import findings
from freqkd_lite.results.findings import Number, fill, holds, read_claims, read_findings
from freqkd_lite.results.paired import COLUMNS, Comparison
from freqkd_lite.results.rows import write_results
from tests.refused import refused
from tests.rows import row
from tests.test_project import ROOT

GAIN = {"value": 0.1294, "low": 0.0541, "high": 0.187, "seeds": 3}
FINDINGS = yaml.safe_load((ROOT / "results" / "findings.yaml").read_text())
NUMBERS = {"gain": Number(GAIN, 2, True), "cost": Number({"value": 0})}


@pytest.mark.parametrize(
    ("condition", "true"),
    [
        ("gain.low > 0", True),
        ("gain > 0.1294", False),
        ("gain.low > 0 and gain.high < 0.1", False),
        ("gain.high < 0.1 or cost == 0", True),
        ("not cost != 0", True),
        ("-0.1 < gain.low < gain.high", True),
        ("gain.value <= 0.12940000001 and gain >= 0.12939999", True),  # rounded to 6 decimals
    ],
)
def test_a_condition_compares_numbers(condition, true):
    assert holds(condition, NUMBERS) is true


@pytest.mark.parametrize("condition", ["lost > 0", "gain.lost > 0", "gain.low >", "open('x') > 0"])
def test_a_condition_that_cannot_be_evaluated_is_named(condition):
    refused(re.escape(repr(condition)), holds, condition, NUMBERS)


def test_numbers_are_written_into_a_text():
    text = "Gains {gain}\nover {gain.seeds} seeds, at least {gain.low}."
    assert fill(text, NUMBERS) == "Gains +0.13 [+0.05, +0.19] over 3 seeds, at least +0.05."
    for unknown in ("{lost}", "{gain.lost}"):
        refused("lost", fill, unknown, NUMBERS)


def results(path, low=0.02):
    """Means of MSE (.5 and .7) and one difference, with a finding about both."""
    write_results(path / "study", [row("mse", 0.5), row("mse", 0.7, seed=1)], {})
    line = ["probe_ap", "msrs", "test", "none", "mean", -0.1, -0.2, -low, None, None, 2, 90, 40]
    Comparison("mse", pd.DataFrame([line], columns=COLUMNS)).write(path / "study")
    gain = {"file": "study/differences.json", "method": "none", "class": "mean", "reverse": True}
    level = {"file": "study/results.json", "metric": "probe_ap", "method": "mse", "digits": 1}
    few = {"file": "study/differences.json", "count": "high < 0"}
    text = "MSE has {level.value}, {gain} more; {few}."
    finding = {"id": "helps", "text": text, "holds": "gain.low > 0"}
    finding |= {"numbers": {"gain": gain, "level": level, "few": few}, "first": True}
    (path / "findings.yaml").write_text(yaml.safe_dump([finding]))
    return finding


def test_a_finding_has_its_numbers_from_results_files(tmp_path):
    results(tmp_path)
    (finding,) = read_findings(tmp_path)
    assert finding.text == "MSE has 0.6, +0.10 [+0.02, +0.20] more; 1."
    assert finding.first and finding.folders == ("study",)


def test_a_finding_that_is_false_is_named(tmp_path):
    results(tmp_path, low=-0.01)
    refused(r"helps.*gain\.low > 0", read_findings, tmp_path)


def moved(number: Number, by: float) -> Number:
    """The number with all its ends elsewhere."""
    row = {k: v + by if isinstance(v, float) else v for k, v in vars(number).items()}
    return Number({"value": number + by} | {k: v for k, v in row.items() if k != "text"})


@pytest.mark.parametrize("entry", FINDINGS, ids=lambda entry: entry["id"])
def test_each_number_in_a_committed_condition_can_make_it_false(entry):
    numbers = {k: findings.pick_number(ROOT / "results", of) for k, of in entry["numbers"].items()}
    assert holds(entry["holds"], numbers)
    for name in {n.id for n in ast.walk(ast.parse(entry["holds"])) if isinstance(n, ast.Name)}:
        elsewhere = [numbers | {name: moved(numbers[name], by)} for by in (-99.0, 99.0)]
        assert not all(holds(entry["holds"], each) for each in elsewhere), name


@pytest.mark.parametrize(
    ("change", "token"),
    [
        ({"method": "gram"}, "0 rows"),
        ({"file": "study/lost.json"}, "lost.json"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_number_that_is_not_there_is_named_with_its_finding(tmp_path, change, token):
    finding = results(tmp_path)
    finding["numbers"]["gain"] |= change
    (tmp_path / "findings.yaml").write_text(yaml.safe_dump([finding]))
    refused(f"helps.*{token}", read_findings, tmp_path)


CLAIM = {
    "id": "gap",
    "claim": "more at high frequency",
    "stated": "2.4x",
    "needs": "a measured gap",
    "measured": "{ratio}",
    "numbers": {"ratio": {"file": "gap/results.json", "metric": "divergence_ratio"}},
    "verdicts": [
        {"when": "ratio.low <= 2.4 and ratio.high >= 2.4", "text": "holds"},
        {"when": "ratio.low > 1", "text": "the direction holds"},
        {"text": "open"},
    ],
}


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((2.1, 2.6), "holds"), ((1.4, 1.6), "the direction holds"), ((0.9, 1.2), "open")],
)
def test_a_claim_has_the_first_verdict_that_is_true(tmp_path, interval, verdict):
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM]))
    assert read_claims(tmp_path)[0][2:] == ("nothing", "not run: needs a measured gap")
    ratio = row("real", sum(interval) / 2, interval, None, metric="divergence_ratio")
    write_results(tmp_path / "gap", [ratio], {})
    assert read_claims(tmp_path)[0][3] == verdict
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump([CLAIM | {"measured": "{lost}"}]))
    refused("gap.*lost", read_claims, tmp_path)
