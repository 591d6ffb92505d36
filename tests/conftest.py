"""Each test has a folder of its own for runs, and leaves no figure open."""

import sys

import pytest


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """The folder of the test's runs."""
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield tmp_path / "runs"
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
