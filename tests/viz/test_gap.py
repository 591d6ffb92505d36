"""Figures of the gap draw the numbers they are given, and describe them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from freqkd_lite import gap
from freqkd_lite.errors import UserError
from freqkd_lite.gap import shape_of
from freqkd_lite.names import NAMES
from freqkd_lite.results.pages import problems
from freqkd_lite.spectrum import raw_mse, ring_counts, ring_sums
from freqkd_lite.viz import gap as draw
from freqkd_lite.viz import study
from tests.gap.worlds import GRID, Fields, coherent, noise, pixels_backbone
from tests.results.test_gap_tables import gap_of, scenes_rows

ANALYSIS = "disk25_75"


@pytest.fixture(autouse=True)
def closed_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pair():
    return tuple(torch.stack([noise(i, k) for i in range(40)]) for k in (0, 1))


@pytest.mark.parametrize("shape", gap.SHAPES)
def test_each_sketch_is_recognised_as_itself(shape):
    centres = (np.array(gap.EDGES[1:]) + np.array(gap.EDGES[:-1])) / 2
    assert shape_of(draw.shape_curve(shape, centres)) == shape
    assert shape in draw.sketches()[1]
    with pytest.raises(UserError, match="'E'"):
        draw.shape_curve("E", centres)


def test_the_curves_are_drawn_from_the_numbers_with_the_guess_dashed(pair):
    sums = [ring_sums(*pair, gap.EDGES), ring_sums(pair[0], pair[0], gap.EDGES)]
    measured, counts = gap.levels(sums, draws=20), ring_counts(*GRID, gap.EDGES)
    raw = torch.stack([raw_mse(s, counts) for s in sums]) + 1
    power = {"visible": (torch.tensor([0.1, 1.0]), torch.tensor([2.0, float("nan")]))}
    pixels = torch.linspace(0.5, 0.9, 8)
    figure, alt = draw.curves(measured, [2, 5], pixels, power, raw, 14, gap.SHAPES[1])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for i, block in enumerate((2, 5)):
        assert lines[f"features, block {block}"].get_ydata() == pytest.approx(measured.value[i])
    assert lines[f"your guess, {gap.SHAPES[1]}"].get_linestyle() == "--"
    assert "block 5 0.00 to 0.00" in alt and "0.50 to 0.90" in alt
    unanswered, _ = draw.curves(measured, [2, 5], pixels, power, raw, 14)
    assert not any("guess" in line.get_label() for line in unanswered.axes[0].get_lines())


def test_the_dumbbell_draws_levels_and_prints_ratios(pair):
    a, b = pair
    sides = {"real": b, "mismatched": b.flip(0), "grey": a + 0.2 * b, "shift4": a + 0.1 * b}
    sums = {name: [ring_sums(a, x, gap.BAND_EDGES)] for name, x in sides.items()}
    measured = {name: gap.levels(each, draws=50) for name, each in sums.items()}
    figure, alt = draw.dumbbell(measured, NAMES["grey"])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [NAMES[k] for k in measured]
    printed = {t.get_text() for t in ax.texts}
    assert {f"{level.ratio()[0]:.1f}x" for level in measured.values()} <= printed
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [float(np.ravel(d.get_xdata())[0]) for d in dots[:2]] == pytest.approx(
        measured["real"].mean().value[0, [0, 2]].tolist()
    )
    (frame,) = [p for p in ax.patches if p.get_linestyle() == "--"]
    assert frame.get_y() < list(measured).index("grey") < frame.get_y() + frame.get_height()
    assert "grey copy low" in alt


def test_scenes_are_drawn_beside_real_pairs():
    figure, alt = draw.scenes_against_pairs(scenes_rows(0.1))
    curves = [line.get_ydata() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 8]
    assert curves[0] == pytest.approx(np.linspace(0.4, 0.8, 8))
    assert curves[1] == pytest.approx(np.linspace(0.5, 0.9, 8)) and "0.50 to 0.90" in alt
    with pytest.raises(UserError, match=r"tools/scenes_gap\.py"):
        draw.scenes_against_pairs([r for r in scenes_rows(0) if r.data == "msrs"])


def test_kinds_of_pairs_are_drawn_one_above_the_other():
    pictures = {name: (torch.rand(3, 6, 8), torch.rand(3, 6, 8)) for name in ("real", "grey")}
    figure, alt = draw.kinds_of_pairs(pictures)
    shown = [ax.images[0].get_array().data for ax in figure.axes]
    expected = [pictures[name][i].permute(1, 2, 0).numpy() for i in (0, 1) for name in pictures]
    assert all(np.array_equal(a, b) for a, b in zip(shown, expected, strict=True))
    assert NAMES["grey"] in alt


# --------------------------------------------------------------------------------- of `freqkd gap`


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
    dots = {
        (float(x), float(y))
        for line in ax.lines
        if line.get_marker() == "o"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert dots == {(0.2, 0), (0.6, 0), (0.2, 1), (0.9, 1), (0.2, 3), (0.5, 3)}
    assert "grey copy 0.20, 0.50 3.0x" in alt


def test_curves_and_page_show_what_was_measured(tmp_path):
    backbone = pixels_backbone()
    backbone.patch = 1
    pairs = Fields(coherent(0.4), 12)
    controls = ("real", "mismatched", "shift1", "shift2")
    found = gap.measure(pairs, backbone, [2, 5], controls, progress=False)
    figure, alt = draw.by_block(found)
    rings = [r for r in found.rings.to_dict("records") if (r["control"], r["block"]) == ("real", 2)]
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "block 2"]
    assert line.get_ydata() == pytest.approx([r["value"] for r in rings])
    assert f"block 2 from {rings[0]['value']:.2f} to {rings[-1]['value']:.2f}" in alt

    figure, alt = draw.spectra(found)
    lines = {(ax.get_xlabel(), line.get_label()): line for ax in figure.axes for line in ax.lines}
    for axis, control, block in (("pixels", "pictures", "pictures"), ("tokens", "real", 5)):
        rows = [
            r
            for r in found.coherence.to_dict("records")
            if (r["control"], r["block"]) == (control, block)
        ]
        drawn = lines[f"rho of {axis}", "pictures" if axis == "pixels" else "block 5"]
        values = [r["value"] for r in rows if r["value"] is not None]
        assert drawn.get_ydata() == pytest.approx(values)

    page = study.write_folder(found, tmp_path / "out", "freqkd gap --size 1x2")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"gap.json", "index.html", "misalignment.png", "results.json", "manifest.json"}
    before = [(tmp_path / "out" / name).read_bytes() for name in ("index.html", "misalignment.png")]
    page.unlink()
    study.draw_folder(tmp_path / "out")  # from the files alone, and the same
    again = [(tmp_path / "out" / name).read_bytes() for name in ("index.html", "misalignment.png")]
    assert before == again
    html = page.read_text()
    assert problems(html) == [] and "c" * 64 in html and "freqkd gap --size 1x2" in html
