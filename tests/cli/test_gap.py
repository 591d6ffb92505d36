"""The command `freqkd gap`: what it prints and writes, and what it refuses."""

import json

import pytest
from typer.testing import CliRunner

from freqkd_lite.cli.app import app
from freqkd_lite.gap import load
from freqkd_lite.results import gap_tables
from freqkd_lite.results.pages import problems
from tests.refused import refused
from tests.test_readme import KINDS, draw_pairs


@pytest.fixture
def folders(tmp_path):
    draw_pairs(tmp_path, count=4)
    return [word for kind in KINDS for word in (f"--{kind}", str(tmp_path / kind))]


def run(*args):
    words = ["gap", *args]
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"}, catch_exceptions=False)


@pytest.mark.parametrize("names", [("mismatched", "--blocks"), ("shuffled", "--layers")])
def test_the_command_prints_the_answer_and_writes_both_files(folders, tmp_path, names):
    """With the names of today and of before."""
    control, blocks = names
    options = f"--model freqkd_tiny --size 115x115 {blocks} 0,3 --controls {control},shift4"
    written = ["--json", str(tmp_path / "out/gap.json"), "--html", str(tmp_path / "out/gap.html")]
    got = run(*folders, *options.split(), *written)
    found = load(tmp_path / "out")
    assert gap_tables.answer(found) in got.output
    assert found.about["size"] == [112, 112] and "using 112x112" in got.output
    assert found.about["model"] == "freqkd_tiny" and len(found.about["checksum"]) == 64
    assert found.controls == ["real", "mismatched", "shift4"]
    assert set(found.levels["block"]) == {0, 3, "mean"}
    assert problems((tmp_path / "out" / "gap.html").read_text()) == []


def test_a_folder_of_results_is_written_for_all_controls(folders, tmp_path):
    about = ["--model", "freqkd_tiny", "--size", "140x182", "--blocks", "1"]
    got = run(*folders, *about, "--controls", "all", "--out", str(tmp_path / "out"))
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert len({row["method"] for row in rows}) == 16  # all but day and night, which are unknown
    assert got.output.count("left out") == 2


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--visible", "a"], "--infrared DIR, or --data"),
        (["--data", "scenes", "--size", "12"], "--size 12"),
        (["--data", "scenes", "--model", "freqkd_tiny", "--blocks", "2;3"], "--blocks 2;3"),
        (["--data", "scenes", "--model", "freqkd_tiny", "--split", "all"], "scenes"),
    ],
)
def test_wrong_options_are_named(args, names, monkeypatch):
    monkeypatch.delenv("FREQKD_WEIGHTS", raising=False)
    tiny = [] if "--model" in args else ["--model", "freqkd_tiny"]
    refused(names, run, *args, *tiny)


@pytest.mark.parametrize(
    ("command", "option", "place"),
    [("gap", "--json", "here"), ("gap", "--html", "here"), ("gap", "--out", "here/file/out")]
    + [("demo", "--out", "here/file"), ("run", "--out", "here/file")]
    + [("sweep", "--out", "here/file"), ("data check", "--html", "here/file/x.html")],
)
def test_a_place_that_cannot_be_written_is_named_before_any_work(
    command, option, place, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("")
    needed = ["name"] if command in ("run", "sweep", "data check") else []
    words = [*command.split(), *needed, option, place]
    refused("^here", CliRunner().invoke, app, words, catch_exceptions=False)
