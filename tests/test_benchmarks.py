"""The benchmarks run, and their ratios are those of the same round."""

import json

import pytest

from benchmarks import cache, common, losses, step, tokens
from freqkd_lite.features import TINY


@pytest.fixture(scope="module")
def small():
    return common.Step(TINY, (56, 70), 2, (3, 7))


def test_every_loss_has_a_row_beside_mse():
    rows = losses.measure(["freqkd_code", "anchor", "projected"], [(2, 16, 8, 10)], 1)
    assert [name for _, name, *_ in rows] == ["mse", "freqkd_code", "anchor", "projected"]
    assert rows[0][-1] == "1.00"


def test_a_step_is_relative_to_mse(small, monkeypatch):
    rows = step.measure(small, ["robust", "coherence"], 1, whole=["robust"])
    assert [row[0] for row in rows] == ["mse", "robust", "coherence"]
    assert rows[0][2:] == ["1.000", "1.000"] and rows[2][3] == ""
    alone = {"mse": [1.0, 2.0, 3.0], "robust": [1.2, 2.1, 3.3]}
    seconds = iter([alone, {"mse": [10.0, 20.0, 20.0], "robust": [11.0, 21.0, 20.0]}])
    monkeypatch.setattr(step, "by_turns", lambda *given: next(seconds))
    rows = step.measure(small, ["robust"], 3, whole=["robust"])
    assert rows[1] == ["robust", "2100.0", "1.010", "1.050"]  # 1 + .2 / 20; median of 1.1, 1.05, 1


def test_a_cached_teacher_gives_the_computed_one_s_step(small, capsys):
    rows = cache.measure(small, 1)
    assert [row[0] for row in rows] == ["in memory", "cached", "computed"]
    assert rows[0][2] == "1.000" and float(rows[2][1]) > 0
    assert "Teacher cache" in capsys.readouterr().out


def test_time_against_tokens():
    rows = tokens.measure([(4, 5), (4, 6)], 1)
    assert [row[:2] for row in rows] == [["4x5", 20], ["4x6", 24]]
    assert tokens.exponent([10, 20, 40], [3, 12, 48]) == pytest.approx(2)


def test_a_folder_gets_a_table(tmp_path):
    given = common.parser(common.__doc__, 1).parse_args(["--out", str(tmp_path / "bench")])
    common.finish(given, "Speed", "Here.", ["what", "ms"], [["mse", "1.0"]])
    assert "| mse | 1.0 |" in (tmp_path / "bench" / "README.md").read_text()
    assert json.loads((tmp_path / "bench" / "bench.json").read_text())["rows"] == [["mse", "1.0"]]
