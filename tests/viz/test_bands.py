"""What a thumbnail keeps and what a band holds: against closed forms and numbers worked by hand."""

import importlib
import json
import re

import numpy as np
import pytest
import torch

from freqkd_lite.viz import bands
from tests.noise import noise
from tests.refused import refused
from tests.test_project import ROOT
from tests.viz.conftest import dashed, lines_of


def test_what_does_not_exist_is_refused():
    assert bands.one_pair(["a", "b"], 1) == "b"
    for wrong in (2, -1):
        refused(f"picture={wrong}", bands.one_pair, ["a", "b"], wrong)


def test_the_side_that_correlates_more_on_average_is_nearer():
    sides = {"infrared": [0.3, 0.62], "RGB": [0.1, 0.58], "neither": [0.24, 0.6]}
    for side, infrared in sides.items():
        assert bands.nearer(torch.tensor([0.2, 0.6]), torch.tensor(infrared)) == side


@pytest.mark.parametrize("guess", ["infrared", None])
def test_the_hybrid_is_drawn_with_its_thumbnails_and_the_guess_framed(guess):
    names = ("RGB", "the hybrid", "infrared")
    small = {name: noise(4, 6, seed=k) for k, name in enumerate(names)}
    figure, alt = bands.hybrid(noise(28, 42), small, "Low of one, high of other.", guess)
    big, *others = figure.axes
    assert big.images[0].get_array().shape == (28, 42)
    for ax, (name, picture) in zip(others, small.items(), strict=True):
        assert ax.get_title(loc="left") == name and name in alt
        assert np.array_equal(ax.images[0].get_array(), picture.numpy())
        assert ax.spines["top"].get_visible() == (name == guess)
    figure, alt = bands.pictures({"one": noise(28, 42), "two": noise(3, 28, 42)}, "What?")
    found = {ax.get_title(loc="left"): ax.images[0].get_array().shape for ax in figure.axes}
    assert found == {"one": (28, 42), "two": (28, 42, 3)} and "one, two" in alt


def test_the_map_names_modules_that_exist_in_their_order():
    for module, _, _ in bands.CHAIN:
        importlib.import_module(f"freqkd_lite.{module}")
    figure, alt = bands.chain()
    modules = [module for module, _, _ in bands.CHAIN]
    drawn = [text.get_text() for text in figure.axes[0].texts if text.get_text() in modules]
    assert drawn == modules and all(n in alt for _, _, n in bands.CHAIN)


def test_the_start_page_lists_every_notebook_with_its_title_and_question():
    heads = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        head = "".join(json.loads(path.read_text())["cells"][0]["source"])
        title, question = re.search(r"# (.+)\n\n> (.+)\n", head).groups()
        heads[path.name] = (title, question)
    cells = json.loads((ROOT / "notebooks" / "00_start_here.ipynb").read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    listed = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| (.+?) \|$", text, re.M)
    assert {name: (title, question) for title, name, question in listed} == heads


def test_value_at_reads_the_nearest_and_averages_blocks():
    axis = np.array([0.1, 0.4, 0.52, 0.9])
    assert bands.value_at(torch.tensor([[1.0, 2, 3, 4], [1, 2, 7, 4]]), torch.tensor(axis)) == 5
    assert bands.value_at([1.0, 2, 3, 4], axis, 0) == 1


def test_shares_are_drawn_with_the_guess_dashed():
    cutoffs = np.linspace(0.02, 1, 50)
    flat = 0.5 + cutoffs  # 1 at cutoff 0.5
    curves = {"visible": 0.95 * flat, "infrared": 0.9 * flat}
    curves |= {"visible features": np.array([0.6 * flat, 0.8 * flat])}
    curves |= {"infrared features": 0.5 * flat[None]}
    figure, alt = bands.shares(curves, cutoffs, (12, 16), 0.3)
    lines = lines_of(figure.axes[0])
    assert lines["RGB, features"].get_ydata() == pytest.approx(0.7 * flat)
    assert lines["RGB, pictures"].get_ydata() == pytest.approx(0.95 * flat)
    assert [list(line.get_ydata()) for line in dashed(figure.axes[0])] == [[0.3, 0.3]]
    assert "RGB, features 0.70" in alt and "infrared, pictures 0.90" in alt
    assert not dashed(bands.shares(curves, cutoffs, (12, 16))[0].axes[0])


def test_the_masks_figure_marks_every_bin_once_and_tells_the_lost_energy():
    figure, alt = bands.masks((6, 8), 0.037, others=[(37, 46)])
    left, right = figure.axes
    shown = left.images[0].get_array().reshape(-1, 3)
    _, counts = np.unique(shown, axis=0, return_counts=True)
    # 6x8 keeps rows -1, 0 and columns -2 ... 1: 8 bins; with partners: (0, -1), (0, 0), (0, 1)
    assert sorted(counts) == [3, 5, 40]
    assert "8 are low, 5 of these" in alt and "2.3% on 37x46" in alt
    assert list(lines_of(right)["this run's features"].get_ydata()) == pytest.approx([3.7])
