"""The study of the gap: controls worked by hand, pure shifts, known slopes, words that flip."""

import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite import data, gap
from freqkd_lite.data import Pair
from freqkd_lite.data.alignment import Offset
from freqkd_lite.data.joined import Joined
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone
from freqkd_lite.gap import changes, controls, report
from freqkd_lite.gap import folder as gap_folder
from freqkd_lite.gap import words as gap_words
from freqkd_lite.gap.coherence import CHANNELS, Coherences, thinned
from freqkd_lite.gap.controls import PAIRINGS, Views
from freqkd_lite.gap.measures import of_pictures, pixel_edges
from freqkd_lite.results import claims
from freqkd_lite.results.pages import problems
from freqkd_lite.results.rows import read_results
from freqkd_lite.spectrum import radius
from freqkd_lite.spectrum.coherence import CrossSpectrum
from freqkd_lite.viz import study
from tests.gap.test_study import GRID, Fields, Pixels, coherent, flat, noise, rows_of


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield
    plt.close("all")


@pytest.fixture
def backbone():
    return Backbone(Pixels(), "pixels", "made here", "c" * 64).freeze()


# ------------------------------------------------------------------------ what is done to pictures


def test_pixel_changes_by_hand():
    """A picture of 1x2: half grey, and pure red."""
    x = torch.tensor([[[0.5, 1.0]], [[0.5, 0.0]], [[0.5, 0.0]]])[None]
    grey = changes.grey_copy(x)
    assert grey[0, :, 0, 0].tolist() == pytest.approx([0.5] * 3, abs=1e-3)
    assert grey[0, :, 0, 1].tolist() == pytest.approx([0.299] * 3, abs=1e-3)
    assert changes.toned(x)[0, :, 0].tolist() == [[0.25, 1.0], [0.25, 0.0], [0.25, 0.0]]
    # the mean of 3 x .5, 1, 0, 0 is 2.5 / 6; contrast halves about it
    mean = 2.5 / 6
    half = changes.flattened(x)
    assert half[0, 0, 0].tolist() == pytest.approx([(0.5 + mean) / 2, (1 + mean) / 2])
    ramp = torch.linspace(0.2, 0.6, 201).expand(1, 3, 1, 201)
    wide = changes.stretched(ramp)[0, 0, 0]
    # .5 and 99.5 % of 201 equal steps, three of each value: steps 1 and 199 become 0 and 1
    assert wide[1] == pytest.approx(0, abs=1e-2) and wide[199] == pytest.approx(1, abs=1e-2)
    assert wide[100] == pytest.approx(0.5, abs=1e-3) and wide[0] == 0 and wide[200] == 1


def test_blur_is_a_gaussian_of_one_pixel_and_noise_is_drawn_by_place():
    dot = torch.zeros(1, 3, 9, 9)
    dot[..., 4, 4] = 1
    weights = [math.exp(-(k**2) / 2) for k in range(-3, 4)]
    side = weights[4] / sum(weights)
    centre = weights[3] / sum(weights)
    blurred = changes.blurred(dot)[0, 0]
    assert blurred[4, 4] == pytest.approx(centre**2) and blurred[4, 5] == pytest.approx(
        centre * side
    )
    grey = torch.full((2, 3, 50, 50), 0.5)
    once, again, other = (changes.noisy(grey, seed) for seed in (0, 0, 8))
    assert torch.equal(once, again) and not torch.equal(once, other)
    assert (once - grey).std() == pytest.approx(0.05, rel=0.03)
    assert (once[0] - once[1]).abs().max() > 0 and changes.noisy(grey + 0.5, 1).max() == 1


def test_a_turned_picture_has_no_invented_border_and_is_turned_about_its_centre():
    """A picture that is 1 everywhere stays so; of a ramp in x, the turned window rises by cos 1 to
    the right and by sin 1 upwards or downwards, per pixel."""
    ones = changes.rotated(torch.ones(1, 3, 84, 112))
    assert all(x.shape[-2:] == (70, 98) and (x > 0.9999).all() for x in ones)
    ramp = torch.arange(112.0).expand(1, 3, 84, 112)
    plain, turned = changes.rotated(ramp)
    assert (plain[..., 1:] - plain[..., :-1]).unique().tolist() == [1.0]
    right, down = (turned.diff(dim=d)[0, 0].mean() for d in (-1, -2))
    assert right == pytest.approx(math.cos(math.radians(1)), abs=1e-4)
    assert abs(down) == pytest.approx(math.sin(math.radians(1)), abs=1e-3)
    assert float(turned.mean()) == pytest.approx(float(plain.mean()), abs=0.05)
    with pytest.raises(UserError, match="can't be turned"):
        changes.rotated(torch.ones(1, 3, 14, 14))


@pytest.mark.parametrize("pixels", [1, 2, 4, 8])
def test_shifts_share_their_left_picture_and_differ_by_their_pixels(pixels, backbone):
    backbone.patch = 14
    images = torch.arange(3 * 14 * 56.0).reshape(1, 3, 14, 56)
    views = Views(backbone, [0], {"visible": images})
    left, right = PAIRINGS[f"shift{pixels}"](views)
    assert left[0].shape[-1] == 42 and torch.equal(left[0], images[..., :42])
    assert torch.equal(right[0], images[..., pixels : pixels + 42])
    looked = views.looked
    PAIRINGS["shift4" if pixels != 4 else "shift2"](views)
    assert views.looked == looked + 1  # the left one was there


def texture(seed, size=(140, 196)):
    """A picture of blobs of all sizes, (3, H, W)."""
    draw = np.random.default_rng(seed).normal(size=size)
    rho = radius(*size).numpy()
    field = np.fft.ifft2(np.fft.fft2(draw) / np.maximum(rho, 0.02)).real
    field = (field - field.min()) / np.ptp(field)
    return torch.from_numpy(field).float().expand(3, -1, -1).clone()


def test_aligned_undoes_a_known_shift_and_says_how_many_were_clear(backbone):
    """Infrared is RGB moved by 5 px to the right and 3 up, within a larger picture: aligned pairs
    are the same pixel by pixel, cropped ones are not. Every third has noise for infrared."""
    backbone.patch = 14
    big = [texture(i, (180, 236)) for i in range(6)]

    def make(i):
        visible = big[i][:, 20:160, 20:216]
        moved = big[i][:, 23:163, 15:211]  # visible[y, x] lies at moved[y - 3, x + 5]
        return visible, noise(i, 9, grid=(140, 196)) if i % 3 == 2 else moved

    found = gap.measure(
        Fields(make, 6, grid=(140, 196)), backbone, [0], ("real", "cropped", "aligned"),
        progress=False,
    )  # fmt: skip
    about = found["alignment"]
    assert (about["n"], about["clear"], about["moved"]) == (6, 4, 4)
    assert about["median"] == pytest.approx(math.hypot(5, 3), abs=0.1)
    pairs = [make(i) for i in (0, 2)]
    images = {k: torch.stack([p[j] for p in pairs]) for j, k in enumerate(("visible", "infrared"))}
    a, b = controls.aligned(Views(backbone, [0], images))
    assert torch.equal(a[0][0], b[0][0])  # undone exactly
    assert torch.equal(b[0][1], images["infrared"][1, :, 14:-14, 14:-14])  # left as it is
    share = about["share"][0]
    high = {r["pairing"]: r["high"] for r in rows_of(found, metric="normalised", band="disk25_75")}
    assert share["high"] == pytest.approx(high["aligned"] / high["cropped"])
    assert high["aligned"] < high["cropped"]


def test_steps_are_whole_pixels_and_only_of_clear_short_shifts():
    assert changes.steps(Offset(2.6, -1.2, 9.0), 14) == (-1, 3)
    assert changes.steps(Offset(2.6, -1.2, 5.9), 14) == (0, 0)
    assert changes.steps(Offset(14.6, 0.0, 9.0), 14) == (0, 0)


# ------------------------------------------------------------------------------------- measures


def test_a_pure_shift_is_coherent_and_diverges_as_its_phase_says(backbone):
    """b(x) = a(x - 1) on a torus: A B* has the phase 2 pi fx, so coherence is 1, and the divergence
    of white fields in a band is the mean of 1 - cos(2 pi fx) over it."""

    def make(i):
        a = noise(i)
        return a, a.roll(1, -1)

    found = gap.measure(Fields(make, 40), backbone, [0], progress=False)
    h, w = GRID
    fx = torch.fft.fftfreq(w).expand(h, w)
    expected = 1 - torch.cos(2 * torch.pi * fx)
    rho = radius(h, w)
    (row,) = rows_of(found, band="disk25_75", metric="normalised", pairing="real")
    assert row["high"] == pytest.approx(float(expected[rho >= 0.75 - 1e-9].mean()), abs=0.02)
    inside = (rho <= 0.25 + 1e-9) & (rho > 0)
    assert row["low"] == pytest.approx(float(expected[inside].mean()), abs=0.02)
    rings = [e for e in found["coherence"] if e["pairing"] == "real"]
    assert len(rings) == 8 and all(e["value"] == pytest.approx(1, abs=1e-6) for e in rings)
    strangers = [e for e in found["coherence"] if e["pairing"] == "shuffled"]
    assert all(abs(e["value"]) < 0.1 and e["interval"][0] < 0.05 for e in strangers)
    (alike,) = (e for e in found["cka"] if e["pairing"] == "real" and e["level"] == "high"
                and e["band"] == "rectangle50")  # fmt: skip
    assert alike["n"] == 40 and alike["interval"][0] <= alike["value"] <= alike["interval"][1]


def test_likeness_by_band_of_maps_whose_answer_is_known(backbone):
    """Infrared = 3 x RGB: CKA 1 in every band; unrelated: 0. Unequal clouds have an MMD."""
    same = gap.measure(Fields(lambda i: (noise(i), 3 * noise(i)), 30, "x3"), backbone, [0],
                       ("real", "shuffled"), progress=False)  # fmt: skip
    for entry in same["cka"]:
        at = 1 if entry["pairing"] == "real" else 0
        assert entry["value"] == pytest.approx(at, abs=0.1 if not at else 1e-5)
    assert all(e["value"] > 0.1 for e in same["mmd"] if e["pairing"] == "real")
    alike = gap.measure(Fields(coherent(0), 30), backbone, [0], ("real",), progress=False)
    assert all(abs(e["value"]) < 0.02 for e in alike["mmd"])


def test_pictures_of_known_slope_and_their_spectrum():
    """Power rho^-2 over all frequencies: the slope by the DCT, the share beyond .5 by a sum over
    bins, and each ring's mean power."""
    size = (96, 128)
    rho = radius(*size)
    shape = rho.clamp_min(1e-9) ** -1.0  # amplitude
    shape[0, 0] = 0
    draw = torch.Generator().manual_seed(0)
    fields = torch.fft.ifft2(
        torch.fft.fft2(torch.randn(40, 1, *size, generator=draw, dtype=torch.float64)) * shape
    ).real
    grey = fields.float().expand(-1, 3, -1, -1)
    kept = of_pictures({"visible": grey, "infrared": grey.flip(0)}, ["day"] * 40)
    assert kept["slope"].mean(0).tolist() == pytest.approx([-2, -2], abs=0.1)
    power = shape**2
    share = float(power[rho > 0.5].sum() / power.sum())
    # of a ratio of sums the mean lies a little above the ratio of means
    assert kept["energy"].mean(0) == pytest.approx([share] * 2, rel=0.1)
    edges = pixel_edges(size)
    for k in (3, 8, 12):
        ring = (rho > edges[k]) & (rho <= edges[k + 1])
        expected = float(power[ring].mean())
        assert kept["power"][:, 0, k].mean() == pytest.approx(expected, rel=0.1)
    assert kept["power"].shape == (40, 2, len(edges) - 1) and set(kept["light"]) == {"day"}
    even = of_pictures({"visible": grey[:1] * 0, "infrared": grey[:1]}, [""])
    assert np.isnan(even["slope"][0, 0]) and np.isfinite(even["slope"][0, 1])


def test_coherence_in_groups_is_that_of_all_images_and_its_interval_holds_it(tmp_path):
    draw = torch.Generator().manual_seed(1)
    a, n = (torch.randn(120, 4, 6, 8, generator=draw) for _ in range(2))
    b = 0.6 * a + 0.8 * n  # coherence .36
    kept = Coherences(tmp_path)
    for number, start in enumerate(range(0, 120, 8)):
        kept.add(number, start, [a[start : start + 8]], [b[start : start + 8]])
        kept.add(number, start, [a[start : start + 8]], [b[start : start + 8]])  # once only
    edges = (0, 0.7, 1.5)
    (rings,) = kept.against_rho(edges)
    whole = CrossSpectrum.empty(4, 6, 8).update(a, b).against_rho(edges)
    assert [r["value"] for r in rings] == pytest.approx(whole.tolist())
    for ring in rings:
        assert ring["interval"][0] < 0.36 < ring["interval"][1] and ring["n"] == 120
        assert ring["interval"][1] - ring["interval"][0] < 0.2
    assert Coherences(tmp_path).against_rho(edges) == [rings]
    (tmp_path / "3.npz").write_bytes(b"torn")
    again = Coherences(tmp_path)
    assert not again.holds(24) and again.holds(16)
    assert thinned(torch.zeros(1, 384, 2, 2)).shape[1] == CHANNELS


def test_coherence_of_a_torn_group_is_measured_anew(backbone, tmp_path):
    pairs = Fields(coherent(0.5), 20)
    whole = gap.measure(pairs, backbone, [0], runs=tmp_path, progress=False)
    (file,) = tmp_path.glob("gap-real-*/coherence/1.npz")
    file.write_bytes(b"")
    again = Fields(coherent(0.5), 20)
    assert flat(gap.measure(again, backbone, [0], runs=tmp_path, progress=False)) == flat(whole)
    assert 8 <= len(again.read) <= 9  # the second batch, and the stranger of its first


# --------------------------------------------------------------------------- which pairs, and when


class Lit(Fields):
    """Day, night and unknown in turn."""

    def __getitem__(self, index):
        pair = super().__getitem__(index)
        return Pair(
            pair.name, pair.visible, pair.infrared, time_of_day=("day", "night", "")[index % 3]
        )


def test_day_and_night_are_the_real_pairs_of_their_time(backbone):
    """Coherence .9 by day, .2 by night, 0 where the time is not known."""

    def make(i):
        return coherent((0.9, 0.2, 0.0)[i % 3])(i)

    found = gap.measure(Lit(make, 90), backbone, [0], ("real", "day", "night"), progress=False)
    for name, level in (("day", 0.1), ("night", 0.8)):
        (row,) = rows_of(found, band="rectangle50", metric="normalised", pairing=name)
        assert row["high"] == pytest.approx(level, abs=0.03) and row["n"] == 30
    assert found["light"] == {"day": 30, "night": 30, "unknown": 30}
    assert found["notes"] == ["The time of day is not known of 30 of 90 pairs: they count as "
                              "neither day nor night."]  # fmt: skip
    dark = gap.measure(Fields(coherent(0), 9), backbone, [0], ("real", "day"), progress=False)
    assert dark["notes"][0].startswith("Day is left out: only 0 of the pairs")
    assert not rows_of(dark, pairing="day")
    with pytest.raises(UserError, match="measure 'real' first"):
        gap.measure(Fields(coherent(0), 9), backbone, [0], ("grey", "day"), progress=False)


def test_controls_take_their_own_spread_pairs_and_differences_those_of_both(backbone):
    pairs = Fields(coherent(0.3), 60)
    found = gap.measure(pairs, backbone, [0], ("real", "grey"), control_pairs=10, progress=False)
    n = {r["pairing"]: r["n"] for r in found["rows"]}
    assert n == {"real": 60, "grey": 10} and sum(backbone.net.batches) == 2 * 60 + 10
    assert sorted(pairs.read[:10]) == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54]
    few = Fields(coherent(0.3), 60)
    alone = gap.measure(few, backbone, [0], ("real", "grey"), count=10, progress=False)
    a, b = (gap_words.pick(f, "contrasts", pairing="grey", metric="normalised", band="disk25_75")
            for f in (found, alone))  # fmt: skip
    assert a["low"] == pytest.approx(b["low"]) and a["high"] == pytest.approx(b["high"])


def test_strangers_come_from_the_same_set_of_several(backbone):
    """Waves of strength 1 ... 5 in one set and 11 ... 17 in the other tell who met whom."""
    wave = torch.cos(torch.arange(16) * 2 * torch.pi / 16).expand(3, *GRID)
    first = Fields(lambda i: ((i + 1) * wave,) * 2, 5, "one")
    second = Fields(lambda i: ((i + 11) * wave,) * 2, 7, "two")
    both = Joined([first, second])
    assert both.name == "fields+fields" and len(both) == 12 and both.names[5] == "fields/000"
    assert [both.part(i) for i in (0, 4, 5, 11)] == [0, 0, 1, 1]
    assert torch.equal(both[5].visible, second[0].visible)
    order, batches = gap.plan(both, 12, 12, 0, 3)
    met = []
    for _, views in gap.stream(both, order, batches, backbone, [0]):
        a, b = controls.shuffled(views)
        met += [tuple(round(float(m[i].max())) for m in (a[0], b[0])) for i in range(len(a[0]))]
    assert sorted(a for a, _ in met) == sorted(b for _, b in met) == [1, 2, 3, 4, 5, *range(11, 18)]
    assert all(a != b and (a > 10) == (b > 10) for a, b in met)


def test_several_sets_are_opened_by_name_and_a_name_twice_is_refused(tmp_path):
    assert data.open_sets("scenes", "train", (28, 42)).name == "scenes"
    with pytest.raises(UserError, match="twice"):
        data.open_sets("scenes,scenes")
    for kind in ("vi", "ir"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / kind / "FLIR_1.png")
    both = data.open_sets("roadscene,folder", "all", (48, 64), tmp_path)
    assert both.names == ["roadscene/FLIR_1", "folder/FLIR_1"] and "thermal noise" in both.note


def test_random_weights_are_the_same_model_drawn_by_seed(monkeypatch):
    made = gap._untrained(Backbone(Pixels(), "freqkd_tiny", "x", None), 3)
    again, other = (gap._untrained(Backbone(Pixels(), "freqkd_tiny", "x", None), s) for s in (3, 4))
    assert made.name == "freqkd_tiny" and made.checksum == again.checksum != other.checksum


# -------------------------------------------------------------------------------------- the words


def found_of(ratios, shifts=None, layers=(2, 5)):
    """What `gap.measure` gives, as far as the verdict reads it: {(metric, band): [interval of the
    mean, of each block]}."""
    rows, summary = [], []
    for (metric, band), (mean, *blocks) in ratios.items():
        about = {"metric": metric, "band": band, "pairing": "real", "n": 100}
        summary.append({**about, "low": 0.4, "high": 0.8, "ratio": sum(mean) / 2, "interval": mean,
                        "low_interval": [0.3, 0.5], "high_interval": [0.7, 0.9]})  # fmt: skip
        rows += [{**about, "block": b, "interval": span, "ratio": sum(span) / 2}
                 for b, span in zip(layers, blocks, strict=True)]  # fmt: skip
    for name, high in (shifts or {}).items():
        summary.append({"metric": "normalised", "band": "disk25_75", "pairing": name, "n": 100,
                        "low": 0.01, "high": high, "ratio": high / 0.01,
                        "interval": [high / 0.01 - 1, high / 0.01 + 1]})  # fmt: skip
    return {"rows": rows, "summary": summary, "layers": list(layers), "pairs": 100,
            "bands": ["disk25_75"]}  # fmt: skip


NORMALISED, RAW = ("normalised", "disk25_75"), ("mse", "disk25_75")


@pytest.mark.parametrize(
    ("ratios", "says", "not_said"),
    [
        ({NORMALISED: [(1.5, 1.6)] * 3, RAW: [(0.02, 0.03)] * 3},
         ["2.4 times holds in none of 2 readings of metric and bands;",
          "block by block in none of 4.",
          "More at high frequency, but less than 2.4 times: energy-normalised 1.55 in the analysis "
          "bands.", "Less at high than at low frequency: raw MSE 0.025 in the analysis bands."],
         ["More than", "About"]),
        ({NORMALISED: [(2.3, 2.6), (2.2, 2.5), (3.0, 3.5)]},
         ["holds in 1 of 1 readings of metric and bands (energy-normalised in the analysis bands);",
          "in 1 of 2 (energy-normalised in the analysis bands, block 2).",
          "About 2.4 times: energy-normalised 2.45 in the analysis bands."],
         ["none", "Less at high", "More than"]),
        ({NORMALISED: [(3.0, 3.5)] * 3, RAW: [(2.3, 2.5), (0.9, 1.1), (2.39, 2.41)],
          ("cosine", "disk50"): [(0.9, 1.1), (0.5, 0.6), (2.5, 2.6)]},
         ["in 1 of 3 readings of metric and bands (raw MSE in the analysis bands);",
          "More than 2.4 times: energy-normalised 3.25 in",
          "in 1 of 6 (raw MSE in the analysis bands, block 5).",
          "Neither more nor less at high frequency: cosine distance 1.00 in disk50."],
         ["none of", "but less than"]),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_the_intervals(ratios, says, not_said):
    said = "\n".join(gap_words.verdict(found_of(ratios)))
    assert all(text in said for text in says), said
    assert not any(text in said for text in not_said), said


def test_a_shift_that_explains_the_gap_is_named_and_one_that_does_not_is_not():
    shifts = {"shift1": 0.1, "shift2": 0.2, "shift4": 0.6, "shift8": 1.0}
    far = found_of({NORMALISED: [(1.5, 1.6)] * 3}, shifts)  # real pairs at .8: halfway from 4 to 8
    assert "reaches that at 6.0 px" in gap_words.misalignment(far)[0]
    near = found_of({NORMALISED: [(1.5, 1.6)] * 3}, shifts | {"shift8": 0.7})
    said = gap_words.misalignment(near)[0]
    assert "by 8 px reaches 0.70: no shift up to there explains the gap." in said
    said = gap_words.beyond_real(far)[0]
    assert "no smaller where no infrared is compared: 1 px shift 10.00" in said
    less = found_of({NORMALISED: [(400, 500)] * 3}, shifts)
    assert gap_words.beyond_real(less)[0].startswith("No control without infrared reaches")


def test_the_figure_draws_the_levels_it_says():
    shifts = {"shift1": 0.1, "shift2": 0.2, "shift4": 0.6, "shift8": 0.7}
    found = found_of({NORMALISED: [(1.5, 1.6)] * 3}, shifts)
    for entry in found["summary"]:
        entry |= {"low_interval": [0, 1], "high_interval": [0, 1]}
    real = gap_words.pick(found, pairing="real")
    figure, alt = study.misalignment(gap_words.shifts(found), {"real": real})
    drawn = figure.axes[1].lines
    assert list(drawn[0].get_xdata()) == [0, 1, 2, 4, 8]
    assert list(drawn[0].get_ydata()) == [0, 0.1, 0.2, 0.6, 0.7]
    assert set(drawn[1].get_ydata()) == {0.8} and "real pairs 0.80" in alt


def test_every_reading_stands_in_the_table_at_its_place():
    """Metric m, bands b and block k have the ratio that their place says; mean 9.mb."""
    entries = {}
    for m, metric in enumerate(("mse", "normalised", "cosine")):
        for b, band in enumerate(("disk25_75", "rectangle50")):
            spans = [(x - 0.01, x + 0.01) for x in (10 * m + b + 9, 10 * m + b + 1, 10 * m + b + 2)]
            entries[metric, band] = spans
    found = found_of(entries) | {"bands": ["disk25_75", "rectangle50"]}
    for row in found["rows"]:
        row |= {"low": 0.5, "high": 0.5}
    head, rows = report.readings(found)
    assert head == ["metric", "bands", "high / low", "95 % interval", "block 2", "block 5"]
    assert ["cosine distance", "training", "30.00", "[29.99, 30.01]", "22.00", "23.00"] in rows
    assert ["raw MSE", "analysis", "9.00", "[8.99, 9.01]", "1.00", "2.00"] in rows
    assert len(rows) == 6 and rows[0][:2] == ["energy-normalised", "analysis"]
    small = ["a", "b", "c"], [["long", "x", "1.0"], ["s", "yy", 10]]
    assert report.columns(*small) == "a     b     c\nlong  x   1.0\ns     yy   10"
    assert report.markdown(*small) == (
        "| a | b | c |\n| --- | --- | --: |\n| long | x | 1.0 |\n| s | yy | 10 |"
    )


def test_controls_without_infrared_stand_below_the_others():
    entry = {"low": 0.2, "high": 0.6, "ratio": 3.0, "low_interval": [0, 1], "high_interval": [0, 1]}
    levels = {"real": entry, "grey": entry | {"low": 0.1}, "shuffled": entry | {"high": 0.9}}
    figure, alt = study.all_controls(levels, {"grey"})
    ax = figure.axes[0]
    ticks = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert ticks == {"real pairs": 0, "shuffled pairs": 1, "grey copy": 3}
    dots = {(float(x), float(y)) for line in ax.lines if line.get_marker() == "o"
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}  # fmt: skip
    assert dots == {(0.2, 0), (0.6, 0), (0.2, 1), (0.9, 1), (0.1, 3), (0.6, 3)}
    assert "grey copy low 0.10, high 0.60 3.0x" in alt


def test_coherence_is_drawn_on_the_axis_of_its_unit_and_said_by_its_ends():
    def ring(pairing, block, *values):
        return [{"pairing": pairing, "block": block, "rho": [i / 2, i / 2 + 0.5], "value": v,
                 "interval": None} for i, v in enumerate(values)]  # fmt: skip

    power = [{"rho": [0.1, 0.3], "value": 8.0, "interval": [7, 9]},
             {"rho": [0.3, 0.5], "value": 2.0, "interval": [1, 3]}]  # fmt: skip
    found = {
        "layers": [2, 5],
        "images": [{"modality": m, "power": power} for m in ("visible", "infrared")],
        "coherence": [*ring("pictures", None, 0.25, 0.125), *ring("real", 2, 0.5, 0.3, -0.001),
                      *ring("shuffled", 2, 0.4, None, 0.04), *ring("real", 5, 0.6, 0.7)],
    }  # fmt: skip
    figure, alt = study.spectra(found)
    lines = {(ax.get_xlabel(), line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
             for ax in figure.axes for line in ax.lines}  # fmt: skip
    assert lines["rho of pixels", "pictures"] == ([0.25, 0.75], [0.25, 0.125])
    assert lines["rho of tokens", "block 2"] == ([0.25, 0.75, 1.25], [0.5, 0.3, -0.001])
    assert lines["rho of tokens", "block 5"][1] == [0.6, 0.7]
    assert "block 5 from 0.60 to 0.70" in alt
    assert gap_words.coherences(found) == [
        "Coherence of the pictures themselves: 0.25 in the slowest ring, 0.12 in the fastest.",
        "Coherence of features in the slowest and the fastest ring, in brackets that of shuffled "
        "pairs: block 2 0.50 (0.40) and 0.00 (0.04); block 5 0.60 and 0.70.",
    ]
    assert gap_words.coherences({"layers": [2], "coherence": []}) == []


# ----------------------------------------------------------------------------- folder and claims


def test_a_study_that_is_missing_or_broken_is_refused(tmp_path):
    file = tmp_path / "gap.json"
    other = '{"schema": "freqkd-gap/0"}'
    wrong = {None: "is missing", "{": "is not JSON", "[1]": "doesn't hold", other: "doesn't hold"}
    for content, says in wrong.items():
        if content:
            file.write_text(content)
        with pytest.raises(
            UserError, match=rf"gap\.json {says}.*: run `freqkd gap --out .*` again"
        ):
            gap_folder.read_gap(tmp_path)
    about = {"schema": "freqkd-gap/1", "pairs": 12, "data": {"name": "msrs"}, "size": [70, 84],
             "model": "some_vit"}  # fmt: skip
    file.write_text(json.dumps(about))
    found = gap_folder.read_gap(tmp_path)
    assert found == about
    assert gap_words.measured(found) == "12 pairs (msrs, 70x84 pixels), features of some_vit."


def test_the_folder_holds_the_rows_that_the_claims_table_judges(backbone, tmp_path):
    backbone.patch = 1
    pairs = Fields(coherent(0.4), 30)
    pairs.name = "msrs"
    found = gap.measure(pairs, backbone, [0, 1], ("real", "shuffled", "shift1", "shift2"),
                        progress=False)  # fmt: skip
    folder = tmp_path / "spectral_gap"
    page = gap_folder.write(found, folder, "freqkd gap --data msrs")
    names = {path.name for path in folder.iterdir()}
    before = page.read_bytes(), (folder / "misalignment.png").read_bytes()
    page.unlink()
    assert gap_folder.draw(folder) == page  # from the files alone, and the same
    assert (page.read_bytes(), (folder / "misalignment.png").read_bytes()) == before
    assert names == {"gap.json", "index.html", "misalignment.png", "results.json", "manifest.json",
                     "README.md", "figure.png", "table.csv"}  # fmt: skip
    assert problems(page.read_text()) == [] and json.loads((folder / "gap.json").read_text())
    readme = (folder / "README.md").read_text()
    assert "freqkd gap --data msrs" in readme and "(index.html)" in readme
    rows = read_results(folder)
    measured, verdict = claims.judge_gap({"spectral_gap": rows})
    real = gap_words.pick(found, band="disk25_75", metric="normalised", pairing="real")
    assert f"{real['ratio']:.2f} [" in measured and "(30 MSRS pairs)" in measured
    assert "of 12 readings" in verdict  # three metrics, two pairs of bands, two blocks
    spans = [r["interval"] for r in rows_of(found, pairing="real")]
    holding = sum(low <= 2.4 <= high for low, high in spans)
    assert f"in the interval of {holding} of 12" in verdict
    lifted = [r.model_copy(update={"value": 2.4, "interval": (2.3, 2.5)}) for r in rows]
    assert "the size holds" in claims.judge_gap({"spectral_gap": lifted})[1]
    assert "of 12 of 12 readings" in claims.judge_gap({"spectral_gap": lifted})[1]
    scenes = [r.model_copy(update={"data": "scenes"}) for r in rows]
    assert claims.judge_gap({"spectral_gap": scenes})[0] == "not run"
