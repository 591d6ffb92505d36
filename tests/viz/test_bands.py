"""What a thumbnail keeps, what a band holds and what the high-band term sees: against closed forms
and hand-worked numbers; shuffled pairs and changed numbers change the sentences."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from freqkd_lite.data import mismatched
from freqkd_lite.errors import UserError
from freqkd_lite.losses import LOSSES, build_loss, normalise
from freqkd_lite.spectrum import RINGS, band_mask, centred_rectangle, ring_masks, split_bands
from freqkd_lite.viz import bands
from freqkd_lite.viz.style import COLOURS


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def soft(seed, n=12, size=(56, 84)):
    """Pictures (n, 1, H, W) with most of their energy at long waves, as real ones."""
    low, high = split_bands(noise(seed, n, 1, *size), 0.1, "disk")
    return bands.standard(6 * low + 0.5 * high)


def wordless(text):
    return re.sub(r"[-\d.]+%?", "#", text)


def test_a_picture_that_is_not_there_is_told():
    assert bands.one_pair(["a", "b"], 1) == "b"
    for wrong in (2, -1):
        with pytest.raises(UserError, match=f"picture={wrong} is none of the pairs: use 0 to 1"):
            bands.one_pair(["a", "b"], wrong)


# --------------------------------------------------------------------------------- 00: thumbnails


def test_standard_pictures_have_mean_0_and_deviation_1():
    x = bands.standard(7 + 3 * noise(0, 2, 1, 9, 11)).double()
    assert x.mean((2, 3)).numpy() == pytest.approx(0, abs=1e-5)
    assert x.flatten(1).std(1).numpy() == pytest.approx(1, rel=1e-5)
    with pytest.raises(UserError, match="one value everywhere"):
        bands.standard(torch.full((1, 1, 4, 4), 0.3))


def test_correlation_is_pearsons():
    a, b = noise(1, 3, 1, 6, 7), noise(2, 3, 1, 6, 7)
    b = b + 0.5 * a
    expected = [
        np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a.numpy(), b.numpy(), strict=True)
    ]
    assert bands.correlation(a, b).numpy() == pytest.approx(expected, abs=1e-5)
    assert bands.correlation(a, -2 * a + 1).numpy() == pytest.approx(-1, abs=1e-5)


def thumbnails(slow, fast, rgb, heat, guess=None):
    mixed = split_bands(slow, 0.1, "disk")[0] + split_bands(fast, 0.1, "disk")[1]
    small = [avg_pool2d(x, 7) for x in (mixed, rgb, heat)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    return bands.thumbnail_conclusion(*(bands.correlation(small[i], small[j]) for i, j in pairs),
                                      guess)  # fmt: skip


def test_the_thumbnail_shows_whose_low_band_it_is():
    rgb, heat = soft(3), soft(4)
    text = thumbnails(heat, rgb, rgb, heat, "RGB")
    assert "shows: heat" in text and "You guessed RGB" in text and "12 of 12" in text
    text = thumbnails(rgb, heat, rgb, heat, "RGB")
    assert "shows: RGB" in text and "You guessed it" in text and "0 of 12" in text


def test_shuffled_pairs_change_what_the_thumbnail_shows():
    rgb, heat = soft(5), soft(6)
    real = thumbnails(heat, rgb, rgb, heat)
    shuffled = thumbnails(heat, rgb, rgb, heat[mismatched([0] * 12)])
    assert "shows: heat" in real and "neither more than the other" in shuffled
    assert wordless(real) != wordless(shuffled)


def test_the_hybrid_is_drawn_with_its_thumbnails_and_the_guess_framed():
    small = {"RGB": noise(7, 4, 6), "the hybrid": noise(8, 4, 6), "heat (infrared)": noise(9, 4, 6)}
    figure, alt = bands.hybrid(noise(7, 28, 42), small, "Low of one, high of other.", "heat")
    big, *others = figure.axes
    assert big.images[0].get_array().shape == (28, 42)
    for ax, (name, picture) in zip(others, small.items(), strict=True):
        assert ax.get_title(loc="left") == name
        assert np.array_equal(ax.images[0].get_array(), picture.numpy())
        assert len(ax.patches) == ("heat" in name)
    assert "28 by 42" in alt and "4 by 6" in alt and "Low of one, high of other." in alt
    unanswered, _ = bands.hybrid(noise(7, 28, 42), small, "")
    assert not any(ax.patches for ax in unanswered.axes)


def test_the_map_names_modules_that_there_are_in_their_order():
    import importlib

    for module, _, _ in bands.CHAIN:
        importlib.import_module(f"freqkd_lite.{module}")
    figure, alt = bands.chain()
    drawn = [text.get_text() for text in figure.axes[0].texts]
    places = [drawn.index(module) for module, _, _ in bands.CHAIN]
    assert places == sorted(places) and all(n in alt for _, _, n in bands.CHAIN)


# ------------------------------------------------------------------------------------- 02: shares


def wave(h, w, ky, kx, amplitude=1.0):
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return (amplitude * torch.cos(2 * torch.pi * (ky * y / h + kx * x / w)))[None, None]


def test_low_share_of_two_waves_follows_their_amplitudes():
    # one wave at fx = 1/16 (low), one at fx = 6/16 (high): energies 3^2 : 1^2, whatever the mean
    x = wave(12, 16, 0, 1, 3.0) + wave(12, 16, 0, 6, 1.0) + 50
    assert bands.low_share(x) == pytest.approx(0.9, abs=1e-5)
    assert bands.low_share(x, 0.1) == pytest.approx(0, abs=1e-5)
    assert bands.low_share(x, 0.8) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="no energy"):
        bands.low_share(torch.ones(1, 2, 4, 4))


def test_a_flat_spectrum_has_the_share_of_its_bins():
    # 12x16: 7 by 9 bins are low (index -3 ... 3 and -4 ... 4), without the mean 62 of 191
    assert bands.flat_share(12, 16) == pytest.approx(62 / 191)
    white = noise(17, 400, 4, 12, 16)
    assert bands.low_share(white) == pytest.approx(62 / 191, rel=0.01)
    assert bands.flat_share(12, 16, 1.0) == 1


def test_low_share_weighs_images_and_channels_by_their_energy():
    low, high = wave(12, 16, 1, 0), wave(12, 16, 5, 0)
    x = torch.cat([torch.cat([2 * low, high], 1), torch.cat([high, high], 1)])  # 4 : 1 + 1 + 1
    assert bands.low_share(x) == pytest.approx(4 / 7, abs=1e-5)


CUTOFFS = np.linspace(0.02, 1, 50)


def curves(features=0.7, heat=0.7, pictures=0.95):
    flat = 0.5 + CUTOFFS  # 1 at cutoff 0.5, where the words look
    return {"visible": pictures * flat, "infrared": pictures * flat,
            "visible features": np.array([(features - 0.1) * flat, (features + 0.1) * flat]),
            "infrared features": heat * flat[None]}  # fmt: skip


def test_value_at_reads_the_nearest_and_averages_blocks():
    axis = np.array([0.1, 0.4, 0.52, 0.9])
    assert bands.value_at(np.array([1.0, 2, 3, 4]), axis) == 3
    assert bands.value_at(np.array([[1.0, 2, 3, 4], [1, 2, 7, 4]]), axis) == 5
    assert bands.value_at(np.array([1.0, 2, 3, 4]), axis, 0) == 1


def test_the_words_about_shares_follow_the_numbers():
    text = bands.share_conclusion(curves(), CUTOFFS, (12, 16), 0.4)
    assert "holds 70% of the features' energy on RGB and 70% on infrared" in text
    assert "40% for features of RGB: too little" in text and "more than the 32% that" in text
    assert "keeps less of its energy in its low band than" in text
    text = bands.share_conclusion(curves(0.32, 0.2, 0.34), CUTOFFS, (12, 16), 0.9)
    assert "too much" in text and "about the 32% that" in text and "as much of its" in text
    assert "low band as the picture" in text
    text = bands.share_conclusion(curves(0.1, 0.2, 0.02), CUTOFFS, (64, 64))
    assert "guessed" not in text and "less than the 27% that" in text and "keeps more of" in text
    assert "close" in bands.share_conclusion(curves(), CUTOFFS, (12, 16), 0.68)


def test_noise_of_the_same_energy_changes_the_words_about_shares():
    smooth = split_bands(noise(10, 20, 4, 12, 16))[0]
    features = {
        "real": smooth,
        "scrambled": smooth.flatten(2)[
            ..., torch.randperm(192, generator=torch.Generator().manual_seed(1))
        ],
    }
    texts = []
    for x in features.values():
        share = bands.low_share(x.reshape(20, 4, 12, 16))
        texts.append(bands.share_conclusion(curves(share, share), CUTOFFS, (12, 16)))
    assert "holds 100% of the features'" in texts[0] and "more than the 32%" in texts[0]
    assert "about the 32% that its bins" in texts[1]


def test_shares_are_drawn_with_the_guess_dashed():
    figure, alt = bands.shares(curves(), CUTOFFS, (12, 16), 0.3)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert lines["RGB, features"].get_ydata() == pytest.approx(0.7 * (0.5 + CUTOFFS))
    assert lines["RGB, pictures"].get_ydata() == pytest.approx(0.95 * (0.5 + CUTOFFS))
    dashed = [line for line in lines.values() if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[0.3, 0.3]]
    assert "RGB, features 0.70" in alt and "infrared, pictures 0.95" in alt
    unanswered, _ = bands.shares(curves(), CUTOFFS, (12, 16))
    assert all(line.get_linestyle() != "--" for line in unanswered.axes[0].get_lines())


# -------------------------------------------------------------------------------------- 02: masks


@pytest.mark.parametrize("grid", [(12, 16), (16, 16), (15, 20), (11, 9)])
@pytest.mark.parametrize("steep", [False, True])
def test_overlap_is_what_split_bands_lose_on_fields_of_that_spectrum(grid, steep):
    power = bands.falling(*grid) if steep else torch.ones(grid)
    spectrum = torch.fft.fft2(noise(11, 3000, *grid).double(), norm="ortho") * power.sqrt()
    x = torch.fft.ifft2(spectrum, norm="ortho").real
    mask = centred_rectangle(*grid)
    low, high = split_bands(x, mask=mask)
    lost = 1 - (low.square().sum() + high.square().sum()) / x.square().sum()
    cosine = (low * high).sum() / (low.norm() * high.norm())
    assert bands.overlap(mask, power) == pytest.approx((float(lost), float(cosine)), rel=0.05)


def test_overlap_by_hand_and_by_published_numbers():
    # 4x4: the mask keeps indices -1, 0 on each axis. (0, 0) is whole; (0, -1), (-1, 0), (-1, -1)
    # and their mirrors are halves: 6 of 16 bins at m (1 - m) = 1/4, so 2 * 6/4 / 16 = 3/16 is lost.
    # low = 1 + 6/4, high = 9 + 6/4, both = 6/4.
    cosine = 1.5 / (2.5 * 10.5) ** 0.5
    assert bands.overlap(centred_rectangle(4, 4)) == pytest.approx((3 / 16, cosine))
    for grid, white, steep in (((37, 46), 0.023, 0.014), ((16, 16), 0.059, 0.046)):
        mask = centred_rectangle(*grid)
        assert bands.overlap(mask)[0] == pytest.approx(white, abs=6e-4)
        assert bands.overlap(mask, bands.falling(*grid))[0] == pytest.approx(steep, abs=6e-4)
    for grid in ((16, 16), (15, 20), (11, 9)):
        assert bands.overlap(band_mask(*grid)) == (0, 0)


def test_falling_power_is_one_over_rho_squared():
    power = bands.falling(8, 8)
    assert power[0, 0] == 0 and power[0, 4] == pytest.approx(1)
    assert power[0, 2] == pytest.approx(4) and power[4, 4] == pytest.approx(0.5)


def test_the_words_about_a_mask_follow_its_symmetry():
    coded = bands.mask_conclusion("This mask", *bands.overlap(centred_rectangle(16, 16)))
    assert "5.9% of the energy is missing" in coded and "not orthogonal (cosine 0.073)" in coded
    assert "are orthogonal" in bands.mask_conclusion("That", *bands.overlap(band_mask(16, 16)))
    assert "counted twice" in bands.mask_conclusion("It", -0.01, -0.02)


def test_the_masks_figure_marks_every_bin_once():
    figure, alt = bands.masks((6, 8), 0.037, others=[(37, 46)])
    left, right = figure.axes
    shown = left.images[0].get_array().reshape(-1, 3)
    _, counts = np.unique(shown, axis=0, return_counts=True)
    # 6x8 keeps rows -1, 0 and columns -2 ... 1: 8 bins; with partners: (0, -1), (0, 0), (0, 1)
    assert sorted(counts) == [3, 5, 40]
    assert "8 bins are low, 5 of them without" in alt and "On 37x46, white noise: 2.3 %" in alt
    (dot,) = [line for line in right.get_lines() if line.get_marker() == "o"]
    assert list(dot.get_ydata()) == pytest.approx([3.7])


# ----------------------------------------------------------------------------- 04: the high term


T = np.linspace(-2, 2, 81)
FOLDED = {"code": (np.abs(T) - 1) ** 2, "signed": (T - 1) ** 2}
SIGNED = {"code": (T - 1) ** 2, "signed": (T - 1) ** 2}


def test_the_words_about_valleys_follow_the_curve():
    blind = bands.valley_conclusion(T, FOLDED, "nothing")
    assert "costs nothing" in blind and "A second valley" in blind and "charge 4.00" in blind
    assert "You guessed it" in blind
    sees = bands.valley_conclusion(T, SIGNED, "nothing")
    assert "No second valley" in sees and "costs 4.00" in sees and "You guessed: nothing" in sees
    half = {**SIGNED, "code": SIGNED["code"] / 2 + (T == 0) / 2}  # 2 at -1, 1 at 0
    assert "No second valley" in bands.valley_conclusion(T, half)
    shallow = {**FOLDED, "code": FOLDED["code"] + 0.3 * (T < -0.5)}
    assert "second, shallower valley" in bands.valley_conclusion(T, shallow)


def test_the_package_has_a_second_valley_and_the_one_with_signs_has_not():
    teacher = noise(12, 2, 32, 12, 16)
    negated = build_loss("freqkd_code")([-teacher], [teacher]).parts
    assert negated["block0/high"] == 0 and negated["block0/low"] > 0
    high = split_bands(normalise(teacher), mask=centred_rectangle(12, 16))[1]
    by_hand = 0.1 * (torch.log1p(0 * high) - torch.log1p(high.abs())).square().mean()
    assert by_hand > 0


def test_the_valleys_are_drawn_with_the_guess_dashed_at_its_cost():
    pictures = {x: noise(13, 8, 9) for x in (1, 0, -1)}
    figure, alt = bands.valleys(T, FOLDED, pictures, "four times as much as that")
    ax = figure.axes[-1]
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["FreqKD (code)"].get_ydata() == pytest.approx(FOLDED["code"])
    (dashed,) = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    left, right = dashed.get_xdata()
    assert list(dashed.get_ydata()) == [4, 4] and left < -1 < right
    assert "FreqKD (code): 0.00 at -1, 1.00 at 0, 0.00 at 1" in alt and "4.00 at -1" in alt
    unanswered, _ = bands.valleys(T, FOLDED, pictures)
    assert all(line.get_linestyle() != "--" for line in unanswered.axes[-1].get_lines())


def test_log_deviation_by_hand():
    student, teacher = torch.tensor([0.3, -0.3]), torch.tensor([-0.1, 0.1])
    found = bands.log_deviation(student, teacher)
    rms = ((0.09 + 0.01) / 2) ** 0.5
    assert found["rms"] == pytest.approx(rms)
    assert found["element"] == pytest.approx(1 - np.log1p(rms) / rms)
    assert found["element p99"] == pytest.approx(1 - np.log(1.3) / 0.3)
    # magnitudes .3 and .1: (ln 1.3 - ln 1.1)^2 = .02791 against .04
    assert found["term"] == pytest.approx(1 - np.log(1.3 / 1.1) ** 2 / 0.04, rel=1e-5)


def test_the_log_deviates_by_what_is_known_at_width_1024():
    """At unit norm and width 1024 with RMS .014: at 3.2 times the RMS log1p is 2.2 % off."""
    found = bands.log_deviation(torch.tensor([3.2 * 0.014]), torch.tensor([3.2 * 0.014 + 1e-3]))
    assert found["element"] == pytest.approx(0.022, abs=1e-3)


def test_the_words_about_the_log_follow_the_elements_size():
    texts = [
        bands.log_conclusion(bands.log_deviation(scale * noise(14, 500), scale * noise(15, 500)))
        for scale in (0.002, 0.03, 1.0)
    ]
    words = ("does next to nothing", "by a few percent", "does change it")
    assert all(word in text for word, text in zip(words, texts, strict=True))
    assert all("lower with the log" in text for text in texts)
    deviation = {"rms": 0.04, "element": 0.02, "element p99": 0.05, "term": 0.084}
    told = bands.log_conclusion(deviation, deviation | {"term": 0.037})
    assert "With 1024 channels the term would be 3.7% lower, if elements shrink" in told
    assert told.endswith("no measurement of such a network.") and "8.4% lower with" in told


def test_the_histogram_holds_the_elements_and_marks_both_widths():
    elements = 0.04 * noise(16, 4000)
    figure, alt = bands.logs(elements, 256)
    above, below = figure.axes
    counted = sum(patch.get_height() for patch in below.patches)
    assert counted == pytest.approx(4000, rel=0.002)
    marks = [float(np.ravel(line.get_xdata())[0]) for line in below.get_lines()]
    rms = float(elements.square().mean().sqrt())
    assert marks == pytest.approx([rms / 2, rms], rel=1e-4)  # 256 channels to 1024: half
    straight, log = above.get_lines()[:2]
    assert log.get_ydata() == pytest.approx(np.log(1 + straight.get_xdata()))
    assert f"{rms:.3f} at 256 channels" in alt


# ------------------------------------------------------------------------------ 04: the gradients


def wave_maps(k, size=1.0, n=16):
    """Two channels (1, 2, n, n): a cosine and a sine of k cycles along x."""
    angle = 2 * np.pi * k * torch.arange(n, dtype=torch.float64).expand(n, n) / n
    return size * torch.stack([angle.cos(), angle.sin()])[None]


def test_gradient_spectra_scale_each_block_to_one_power():
    low, high = wave_maps(1), wave_maps(7)
    sent = {"mse": [low + 2 * high, 100 * low], "freqkd_code": [low, low]}
    found = bands.gradient_spectra(sent)
    # rings: rho .125 in the first, .875 in the one up to .875; energies 1/5 and 4/5, then 1 and 0
    counts = [int(ring.sum()) for ring in ring_masks(16, 16, RINGS)]
    level = np.zeros(8)
    level[0], level[5] = (0.2 + 1) / 2 * 256 / counts[0], (0.8 + 0) / 2 * 256 / counts[5]
    assert found["mse"] == pytest.approx(level, abs=1e-9)
    assert found["freqkd_code"][0] == pytest.approx(256 / counts[0])
    figure, alt = bands.gradients(sent | {"gram": sent["freqkd_code"]})
    assert f"MSE {np.sqrt(level[0]):.2g} to 0" in alt
    lines = [{line.get_label(): line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 8}
             for ax in figure.axes]  # fmt: skip
    # a panel for each group that has a loss, plain MSE in each
    assert [list(of) for of in lines] == [["MSE", "FreqKD (code)"], ["MSE", "Gram"]]
    for of, name in zip(lines, ("FreqKD (code)", "Gram"), strict=True):
        assert of["MSE"] == pytest.approx(np.sqrt(level), abs=1e-9)
        assert of[name][0] == pytest.approx(np.sqrt(256 / counts[0]))
    plt.close(figure)


def test_the_gradients_of_every_loss_have_their_place():
    told = ("mse", "cosine", *sum(bands.SENT.values(), ()))
    assert sorted(told) == sorted(LOSSES)  # the cosine is MSE's, up to a factor
    for names in bands.SENT.values():  # no two lines of a panel look alike
        spare = iter(bands.SPARE)
        looks = [(COLOURS[n], "-") if n in COLOURS else next(spare) for n in ("mse", *names)]
        assert len({*looks}) == len(looks)


def test_agreement_is_a_cosine():
    one, other = wave_maps(1), wave_maps(3)
    assert bands.agreement([one, one], [2 * one, -one]) == pytest.approx(0)
    assert bands.agreement([one], [one + other]) == pytest.approx(2**-0.5)


def test_the_gradients_words_follow_the_numbers():
    low, high = wave_maps(1), wave_maps(7)
    sent = {"mse": [low + high], "freqkd_code": [low]}
    text = bands.gradient_conclusion(sent, {"freqkd_code": [0.1 * high], "signed": [high]})
    assert "MSE 50%, FreqKD (code) 0%" in text and "10.0% of the whole" in text
    assert "nearly the same way (cosine 1.00)" in text
    text = bands.gradient_conclusion(sent, {"freqkd_code": [high], "signed": [-high]})
    assert "different ways (cosine -1.00)" in text
    text = bands.gradient_conclusion(sent, {"freqkd_code": [high], "signed": [high + low]})
    assert "partly the same way (cosine 0.71)" in text
