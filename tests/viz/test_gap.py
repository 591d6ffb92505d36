"""Figures of the gap draw the numbers they are given, and describe them."""

import numpy as np
import pytest
import torch

from freqkd_lite import gap
from freqkd_lite.gap import shape_of
from freqkd_lite.gap.tables import select
from freqkd_lite.names import NAMES
from freqkd_lite.results.pages import problems
from freqkd_lite.results.rows import Row
from freqkd_lite.spectrum import ring_sums
from freqkd_lite.viz import gap as draw, study, style
from tests.gap.worlds import GRID, Fields, coherent, pixels_backbone
from tests.noise import noise
from tests.refused import refused
from tests.results.test_gap_tables import gap_of
from tests.viz.conftest import dashed, lines_of

ANALYSIS = "disk25_75"


@pytest.fixture(scope="module")
def pair():
    return tuple(noise(40, 3, *GRID, seed=k) for k in (0, 1))


@pytest.mark.parametrize("shape", gap.SHAPES)
def test_each_sketch_is_recognised_as_itself(shape):
    centres = style.centres(gap.EDGES)
    assert shape_of(draw.shape_curve(shape, centres)) == shape
    refused("'F'", draw.shape_curve, "F", centres)


def test_the_curves_are_drawn_from_the_numbers_with_the_guess_dashed(pair):
    sums = [ring_sums(*pair, gap.EDGES), ring_sums(pair[0], pair[0], gap.EDGES)]
    measured, raw = gap.levels([2, 5], sums, draws=20), torch.linspace(2, 5, 8).expand(2, 8)
    power = {"visible": (torch.tensor([0.1, 1.0]), torch.tensor([2.0, float("nan")]))}
    pixels = torch.linspace(0.5, 0.9, 8)
    figure, alt = draw.curves(measured, [2, 5], pixels, power, raw, 14, gap.SHAPES[1])
    lines = lines_of(figure.axes[0])
    for block in (2, 5):
        drawn = list(lines[f"features, block {block}"].get_ydata())
        assert drawn == [measured.estimates[f"block{block}/ring{k}"] for k in range(8)]
    assert dashed(figure.axes[0]) == [lines[f"your guess, {gap.SHAPES[1]}"]]
    assert "block 5 0.00 to 0.00, raw MSE x 2.5" in alt and "0.50 to 0.90" in alt
    assert not dashed(draw.curves(measured, [2, 5], pixels, power, raw, 14)[0].axes[0])


def test_the_dumbbell_draws_levels_and_prints_ratios(pair):
    a, b = pair
    sides = {"real": b, "mismatched": b.flip(0), "grey": a + 0.2 * b, "shift4": a + 0.1 * b}
    measured = {name: gap.band_levels([a], [x]) for name, x in sides.items()}
    figure, alt = draw.dumbbell(measured, NAMES["grey"])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [NAMES[k] for k in measured]
    printed = {t.get_text().split(" [")[0] for t in ax.texts}
    assert {f"{level.estimates['ratio']:.2f}" for level in measured.values()} <= printed
    for band in ("low", "high"):
        assert tuple(lines_of(ax)[band].get_xydata()[0]) == (measured["real"].estimates[band], 0)
    (frame,) = dashed(ax)
    assert frame.get_y() < list(measured).index("grey") < frame.get_y() + frame.get_height()
    assert "grey copy" in alt


def scenes_rows(offset):
    """Rows of real pairs, whose divergence rises from .4 to .8, and of scenes, `offset` above."""
    about = dict(claim="gap_ratio", seed=None, split="train/all", n=5, metric="divergence")
    rows = []
    for data, first in (("msrs", 0.4), ("scenes", 0.4 + offset)):
        own = about | dict(data=data, method=data)
        rows.append(Row(klass="block5/low", value=9.0, **own))
        for ring, v in enumerate(np.linspace(first, first + 0.4, 8)):
            rows.append(Row(klass=f"block5/ring{ring}", value=v, interval=(v - 0.01, v), **own))
    return rows


def test_scenes_are_drawn_beside_real_pairs():
    figure, alt = draw.scenes_against_pairs(scenes_rows(0.1))
    curves = [line.get_ydata() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 8]
    assert curves[0] == pytest.approx(np.linspace(0.4, 0.8, 8))
    assert curves[1] == pytest.approx(np.linspace(0.5, 0.9, 8)) and "0.50 to 0.90" in alt
    real = [row for row in scenes_rows(0) if row.data == "msrs"]
    refused(r"tools/scenes_gap\.py", draw.scenes_against_pairs, real)


def test_kinds_of_pairs_are_drawn_one_above_the_other():
    pictures = {name: torch.rand(2, 3, 6, 8) for name in ("real", "grey")}
    figure, alt = draw.kinds_of_pairs({name: tuple(both) for name, both in pictures.items()})
    expected = torch.stack([*pictures.values()], 1).flatten(0, 1).permute(0, 2, 3, 1)
    assert np.array_equal([ax.images[0].get_array() for ax in figure.axes], expected)
    assert NAMES["grey"] in alt


def levels_of(**highs):
    return gap_of([(c, "normalised", ANALYSIS, "mean", 0.2, h, (2, 4)) for c, h in highs.items()])


def test_the_shift_curve_is_drawn_with_the_level_of_real_pairs():
    found = levels_of(real=0.8, shift1=0.1, shift2=0.2, shift4=0.6, shift8=0.7)
    figure, alt = draw.shift_figure(found)
    drawn = figure.axes[1].lines
    assert list(drawn[0].get_xdata()) == [0, 1, 2, 4, 8]
    assert list(drawn[0].get_ydata()) == [0, 0.1, 0.2, 0.6, 0.7]
    assert set(drawn[1].get_ydata()) == {0.8} and f"{NAMES['real']} 0.80" in alt


def test_controls_without_infrared_stand_below_the_others():
    figure, alt = draw.controls_figure(levels_of(real=0.6, grey=0.5, mismatched=0.9))
    ax = figure.axes[0]
    ticks = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert ticks == {NAMES["real"]: 0, NAMES["mismatched"]: 1, NAMES["grey"]: 3}
    dots = np.concatenate([x.get_xydata() for x in ax.lines if x.get_marker() == "o"]).round(6)
    expected = {(0.2, 0), (0.6, 0), (0.2, 1), (0.9, 1), (0.2, 3), (0.5, 3)}
    assert {*map(tuple, dots.tolist())} == expected
    assert "grey copy 0.20, 0.50, ratio 3.00" in alt


def test_curves_and_page_show_what_was_measured(tmp_path):
    pairs, controls = Fields(coherent(0.4), 12), ("real", "mismatched", "shift1", "shift2")
    found = gap.measure(pairs, pixels_backbone(), [2, 5], controls, progress=False)
    figure, alt = draw.by_block(found)
    values = select(found.rings, control="real", block=2)["value"].tolist()
    assert lines_of(figure.axes[0])["block 2"].get_ydata() == pytest.approx(values)
    assert f"block 2 from {values[0]:.2f} to {values[-1]:.2f}" in alt

    figure, alt = draw.spectra(found)
    _, features, pictures = figure.axes
    own = found.coherence[found.coherence["control"] != "mismatched"]
    for ax, label, block in ((pictures, "pictures", "pictures"), (features, "block 5", 5)):
        values = select(own, block=block)["value"].dropna().tolist()
        assert lines_of(ax)[label].get_ydata() == pytest.approx(values)

    page = study.write_folder(found, tmp_path / "out", "freqkd gap --size 1x2")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"gap.json", "index.html", "misalignment.png", "results.json", "manifest.json"}
    drawn = [page, page.with_name("misalignment.png")]
    before = [path.read_bytes() for path in drawn]
    page.unlink()
    study.draw_folder(tmp_path / "out")  # from the files alone, and the same
    assert before == [path.read_bytes() for path in drawn]
    html = page.read_text()
    assert problems(html) == [] and "c" * 64 in html and "freqkd gap --size 1x2" in html
