"""The gap's levels, controls and sentences: against closed forms, and changed by shuffled pairs."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from freqkd_lite.data import mismatched
from freqkd_lite.errors import UserError
from freqkd_lite.gap import controls
from freqkd_lite.names import NAMES
from freqkd_lite.results.rows import Row
from freqkd_lite.spectrum import band_divergence, raw_mse, ring_counts, ring_sums, split_bands
from freqkd_lite.viz import gap

GRID = (12, 16)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def noise(seed, n=40, channels=6, grid=GRID):
    return torch.randn(n, channels, *grid, generator=torch.Generator().manual_seed(seed))


def steep(x):
    """x with its low band (up to the third ring) ten times as strong, as natural spectra are."""
    low, high = split_bands(x, gap.EDGES[3], "disk")
    return 10 * low + high


@pytest.fixture(scope="module")
def pair():
    """Two maps that agree in the low band alone: (a, b)."""
    low, high = split_bands(noise(0), gap.EDGES[3], "disk")
    other = split_bands(noise(1), gap.EDGES[3], "disk")[1]
    return steep(low + high), steep(
        low + 0.3 * split_bands(noise(2), gap.EDGES[3], "disk")[0] + other
    )


def wordless(text):
    return re.sub(r"[-\d.]+", "#", text)


# ------------------------------------------------------------------------------------- controls


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match="pairs=5 can't be taken from 4"):
        controls.spread(4, 5)


def test_spread_is_even_and_takes_each_index_once():
    assert controls.spread(182, 4) == [0, 45, 91, 136]
    assert controls.spread(5, 5) == [0, 1, 2, 3, 4]


def test_the_shift_shows_the_same_pixels_at_another_place_and_invents_none():
    ramp = torch.arange(42.0).expand(1, 3, 30, 42)  # each pixel says which column it came from
    a, b = controls.shifted(ramp, 4, 14)
    assert a.shape == b.shape == (1, 3, 28, 28)
    assert (b - a == 4).all() and a[0, 0, 0, 0] == 0 and b.max() == 31
    with pytest.raises(UserError, match="A shift of 30 px"):
        controls.shifted(ramp, 30, 14)


def test_grey_is_the_luminance_of_bt601():
    colour = torch.tensor([1.0, 0.5, 0.25]).reshape(1, 3, 1, 1)
    expected = 0.299 * 1 + 0.587 * 0.5 + 0.114 * 0.25
    assert torch.allclose(controls.grey_copy(colour), torch.full((1, 3, 1, 1), expected), atol=1e-3)


# --------------------------------------------------------------------------------------- levels


def test_levels_of_known_pairs():
    a = noise(3)
    for b, expected in ((a, 0), (noise(4), 1), (-a, 2), (2 * a, 1 / 5)):
        found = gap.levels([ring_sums(a, b)], draws=20)
        assert found.value[0].numpy() == pytest.approx(expected, abs=0.05)
    mixed = (a + noise(4)) / 2**0.5  # equal spectra, coherence 1 / sqrt(2)
    level = gap.levels([ring_sums(a, mixed)], draws=20).value
    assert level.numpy() == pytest.approx(1 - 2**-0.5, abs=0.05)


def test_bands_are_the_radial_bands_of_the_analysis(pair):
    level = gap.levels([ring_sums(*pair, gap.BANDS)], draws=5).value[0]
    low, high = band_divergence(*pair)
    assert torch.allclose(level[[0, 2]], torch.stack([low, high]).double(), rtol=1e-5)


def test_draws_resample_images_and_the_interval_holds_95_percent():
    # one ring whose difference is 0 for half of the images and the whole energy for the others:
    # the level is the share of the latter, a binomial proportion with known spread
    n = 100
    sums = torch.ones(n, 1, 3)
    sums[: n // 2, 0, 2] = 0
    sums[n // 2 :, 0, 2] = 2
    found = gap.levels([sums], draws=4000, seed=1)
    half = 1.96 * (0.5 * 0.5 / n) ** 0.5
    assert found.value.item() == pytest.approx(0.5)
    assert found.interval[:, 0, 0].tolist() == pytest.approx([0.5 - half, 0.5 + half], abs=0.015)


def test_copies_in_one_group_are_one_image():
    sums = torch.rand(10, 3, 3, generator=torch.Generator().manual_seed(2)) + 0.1
    twice = [*range(10), *range(9, -1, -1)]  # each image and, in another order, its copy
    once, alone = gap.levels([sums]), gap.levels([sums[twice]])
    grouped = gap.levels([sums[twice]], groups=twice)
    assert torch.allclose(grouped.draws, once.draws)
    widths = [(level.interval[1] - level.interval[0]).mean() for level in (alone, grouped)]
    assert widths[0] < 0.85 * widths[1]  # 1 / sqrt(2), were there no luck of the draws


def test_ratio_is_taken_in_each_block_and_then_averaged():
    one, two = torch.ones(3, 2, 3), torch.ones(3, 2, 3)
    one[:, :, 2] = torch.tensor([0.5, 1.0])  # levels .25, .5: ratio 2
    two[:, :, 2] = torch.tensor([0.2, 1.6])  # levels .1, .8: ratio 8
    found = gap.levels([one, two], draws=10)
    assert found.ratio()[0] == pytest.approx(5) and found.ratio()[1] == pytest.approx([5.0] * 10)
    assert found.mean().value[0].tolist() == pytest.approx([0.175, 0.65])


def test_a_ring_without_energy_is_refused():
    with pytest.raises(UserError, match="enlarge the pictures"):
        gap.levels([torch.zeros(3, 8, 3)])


@pytest.mark.parametrize("grid", [(12, 16), (15, 20), (18, 24), (30, 40)])
def test_every_ring_up_to_one_holds_both_axes(grid):
    edges = gap.token_rings(*grid)
    assert edges == list(gap.EDGES)
    for n in grid:
        on_axis = np.arange(1, n // 2 + 1) / n / 0.5
        inside = on_axis[on_axis <= edges[5]]  # rings 0 to 4 end below 1
        assert (np.histogram(inside, edges[:6])[0] > 0).all()


def test_a_ring_without_frequency_joins_the_next():
    edges = gap.token_rings(6, 8)  # the slowest wave has rho 1/4: the first ring is empty
    assert edges == [0.0, *gap.EDGES[2:]] and (ring_counts(6, 8, edges) > 0).all()
    assert ring_counts(6, 8, edges).sum() == 6 * 8 - 1


def test_log_rings_leave_no_frequency_out():
    edges = gap.log_rings(168, 224)
    assert ring_counts(168, 224, edges).sum() == 168 * 224 - 1
    assert (ring_counts(168, 224, edges) > 0).all()


# ------------------------------------------------------------------------------------ sentences


@pytest.mark.parametrize("shape", gap.SHAPES)
def test_each_sketch_is_recognised_as_itself(shape):
    centres = (np.array(gap.EDGES[1:]) + np.array(gap.EDGES[:-1])) / 2
    assert gap.shape_of(gap.shape_curve(shape, centres)) == shape
    with pytest.raises(UserError, match="no sketch"):
        gap.shape_curve("E", centres)


def test_a_rise_over_two_rings_is_no_step():
    assert gap.shape_of([0.3, 0.3, 0.57, 0.8, 0.8, 0.8, 0.8, 0.8]) == gap.SHAPES[1]
    assert gap.shape_of([0.3, 0.3, 0.40, 0.8, 0.8, 0.8, 0.8, 0.8]) == gap.SHAPES[2]


def test_words_follow_the_level():
    words = [gap.kinship(x) for x in (0.1, 0.5, 0.8, 0.95)]
    assert words == ["mostly shared", "partly shared", "mostly unrelated", "practically unrelated"]


def conclusion(a, b, guess=None):
    sums = [ring_sums(a, b, gap.EDGES)]
    raw = raw_mse(sums[0], ring_counts(*a.shape[-2:], gap.EDGES))[None]
    return gap.curve_conclusion(gap.levels(sums, draws=50), raw, guess)


def test_shuffled_pairs_change_the_conclusion_about_the_curve(pair):
    a, b = pair
    real = conclusion(a, b, gap.SHAPES[2])
    assert gap.SHAPES[2] in real and "was right" in real
    assert "mostly shared" in real and "practically unrelated" in real
    assert "Raw MSE per bin is lower" in real and "says the opposite" in real
    shuffled = conclusion(a, b[mismatched([0] * len(b))], gap.SHAPES[2])
    assert gap.SHAPES[0] in shuffled and "was another" in shuffled and "shared" not in shuffled
    assert wordless(real) != wordless(shuffled)


def test_raw_mse_agrees_where_the_spectrum_is_flat():
    low, high = split_bands(noise(5), gap.EDGES[3], "disk")
    assert "higher" in conclusion(low + high, low + split_bands(noise(6), gap.EDGES[3], "disk")[1])
    assert "says the same" in conclusion(
        low + high, low + split_bands(noise(6), gap.EDGES[3], "disk")[1]
    )


def controlled(a, b, order=None):
    """Levels of the four controls made of features: grey is a little noise, the shift is a roll."""
    b = b if order is None else b[order]
    sides = {
        "real": (a, b), "shuffled": (a, b[mismatched([0] * len(b), 1)]),
        "grey": (a, a + 0.2 * steep(noise(7))), "shift4": (a, a + 0.2 * split_bands(noise(8))[1]),
    }  # fmt: skip
    return {k: gap.levels([ring_sums(*v, gap.BANDS)], draws=200) for k, v in sides.items()}


def test_shuffled_pairs_change_the_conclusion_about_controls(pair):
    real = gap.control_conclusion(controlled(*pair))
    low, high = real.splitlines()[-2:]
    assert "a pair shares more" in low and "nothing shows" in high
    shuffled = gap.control_conclusion(controlled(*pair, mismatched([0] * len(pair[0]))))
    assert all("nothing shows" in line for line in shuffled.splitlines()[-2:])
    assert wordless(real) != wordless(shuffled)


def test_the_ratio_is_called_no_sign_only_when_a_control_reaches_it(pair):
    measured = controlled(*pair)
    text = gap.control_conclusion(measured, NAMES["real"])
    assert f"belongs to: {NAMES['shift4']}" in text and f"You guessed {NAMES['real']}" in text
    assert "no sign of a gap" in text and NAMES["shift4"] in text.splitlines()[2]
    assert NAMES["grey"] not in text.splitlines()[2]  # its ratio is 1, far below
    # strangers hold infrared, so their ratio is no evidence
    strange = gap.control_conclusion(measured | {"shuffled": measured["shift4"]})
    assert NAMES["shuffled"] not in strange.splitlines()[2]
    del measured["shift4"]
    text = gap.control_conclusion(measured, NAMES["real"])
    assert "the ratio would tell them apart" in text and "You guessed it" in text


# -------------------------------------------------------------------------------------- figures


def test_the_curves_are_drawn_from_the_numbers_with_the_guess_dashed(pair):
    sums = [ring_sums(*pair, gap.EDGES), ring_sums(pair[0], pair[0], gap.EDGES)]
    measured, counts = gap.levels(sums, draws=20), ring_counts(*GRID, gap.EDGES)
    raw = torch.stack([raw_mse(s, counts) for s in sums]) + 1
    power = {"visible": (torch.tensor([0.1, 1.0]), torch.tensor([2.0, float("nan")]))}
    pixels = torch.linspace(0.5, 0.9, 8)
    figure, alt = gap.curves(measured, [2, 5], pixels, power, raw, 14, gap.SHAPES[1])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for i, block in enumerate((2, 5)):
        assert lines[f"features, block {block}"].get_ydata() == pytest.approx(measured.value[i])
    assert lines[f"your guess, {gap.SHAPES[1]}"].get_linestyle() == "--"
    assert "block 5 from 0.00 to 0.00" in alt and "0.50 to 0.90" in alt
    unanswered, _ = gap.curves(measured, [2, 5], pixels, power, raw, 14)
    assert not any("guess" in line.get_label() for line in unanswered.axes[0].get_lines())


def test_the_dumbbell_draws_levels_and_prints_ratios(pair):
    measured = controlled(*pair)
    figure, alt = gap.dumbbell(measured, NAMES["grey"])
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


def reality(offset, width=0.01):
    curves = {"msrs": np.linspace(0.4, 0.8, 8), "scenes": np.linspace(0.4, 0.8, 8) + offset}
    return [
        Row(claim="gap_ratio", arm=arm, seed=None, data=arm, split="train/all", n=5,
            metric="divergence", klass=f"block5/{name}", value=v, interval=(v - width, v + width))
        for arm, curve in curves.items()
        for name, v in [*((f"ring{i}", v) for i, v in enumerate(curve)), ("low", 9.0)]
    ]  # fmt: skip


def test_scenes_are_set_beside_real_pairs_from_rows():
    text = gap.scenes_distance(reality(0.1))
    assert "lies above" in text and "0.10 on average, 0.10 at most; in 8 of 8" in text
    text = gap.scenes_distance(reality(0.01))
    assert "lies around" in text and "in 0 of 8" in text
    assert "lies below" in gap.scenes_distance(reality(-0.1))
    figure, alt = gap.scenes_against_pairs(reality(0.1))
    curves = [line.get_ydata() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 8]
    assert curves[0] == pytest.approx(np.linspace(0.4, 0.8, 8))
    assert curves[1] == pytest.approx(np.linspace(0.5, 0.9, 8)) and "0.50 to 0.90" in alt
    with pytest.raises(UserError, match=r"run tools/scenes_gap\.py"):
        gap.scenes_against_pairs([r for r in reality(0) if r.arm == "msrs"])
