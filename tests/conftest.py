"""Each test has a folder of its own for runs, and leaves no figure open and no loss registered."""

import sys

import pytest

from freqkd_lite.losses import LOSSES


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    """The folder of the test's runs."""
    losses = set(LOSSES)
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield tmp_path / "runs"
    for name in set(LOSSES) - losses:
        del LOSSES[name]
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
