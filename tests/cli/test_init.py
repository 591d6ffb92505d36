"""Where commands find notebooks and results: in a clone, else in what a wheel brought."""

import os

import pytest
from typer.testing import CliRunner

from freqkd_lite import cli, store
from freqkd_lite.cli.app import app
from freqkd_lite.runner.pages import pages_folder
from tests.refused import refused


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package as a wheel installs it; the user stands in a folder called `here`."""
    package, here = tmp_path / "site-packages" / "freqkd_lite", tmp_path / "above" / "here"
    for folder in (package / "clone" / "notebooks" / "presets", here):
        folder.mkdir(parents=True)
    monkeypatch.setattr(cli, "PACKAGE", package)
    for module in (cli, store):
        monkeypatch.setattr(module, "COPY", package / "clone")
    monkeypatch.delenv("FREQKD_RUNS")
    monkeypatch.chdir(here)
    return package


def test_without_a_clone_its_copy_is_read_and_the_user_s_folder_written(installed, tmp_path):
    (tmp_path / "above" / "notebooks").mkdir()  # the user's own
    assert cli.project() == installed / "clone"
    assert os.environ["FREQKD_RUNS"] == str(tmp_path / "above" / "here" / "runs")
    assert pages_folder(cli.project(), "msrs") == tmp_path / "above" / "here/runs/pages/msrs"


def test_a_clone_in_which_the_user_stands_comes_first(installed, tmp_path):
    for clone in (tmp_path / "above", installed.parent):  # the other is what pip installed from
        (clone / "notebooks" / "presets").mkdir(parents=True)
    assert cli.project() == cli.project(rewrites=True) == tmp_path / "above"
    assert os.environ["FREQKD_RUNS"] == str(tmp_path / "above" / "runs")
    assert pages_folder(cli.project(), "default") == tmp_path / "above" / "pages"


@pytest.mark.parametrize("command", ["refresh", "report", "exercises check"])
def test_what_needs_a_clone_says_so(installed, command):
    refused("inside", CliRunner().invoke, app, command.split(), catch_exceptions=False)
