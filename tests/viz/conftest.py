"""Figures in the project's style, and what the tests ask of a figure."""

import matplotlib.pyplot as plt
import pytest

from freqkd_lite.viz.style import style


@pytest.fixture(autouse=True)
def styled():
    with plt.rc_context():
        style()
        yield


def lines_of(ax):
    """The lines of a panel by their label."""
    return {line.get_label(): line for line in ax.get_lines()}


def dashed(ax):
    """What is drawn dashed, as guesses are: lines, and frames."""
    return [x for x in (*ax.get_lines(), *ax.patches) if x.get_linestyle() == "--"]


def spans(collection):
    """The intervals of `hlines` or `vlines`: ((x, y), (x, y)) each."""
    return [tuple(map(tuple, segment.round(6).tolist())) for segment in collection.get_segments()]
