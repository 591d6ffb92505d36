"""The study: closed forms, known shifts and slopes; streamed, killed and resumed."""

import math
import weakref
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite import data, gap, spectrum
from freqkd_lite.data import Joined
from freqkd_lite.gap import controls
from freqkd_lite.gap.controls import CONTROLS, Control, Views
from freqkd_lite.gap.measures import of_pictures
from freqkd_lite.gap.parts import Part
from freqkd_lite.gap.study import untrained
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.data.test_check import scene
from tests.gap import worlds
from tests.gap.worlds import GRID, Fields, coherent, noise, records, rows_of, study
from tests.refused import refusals, refused
from tests.spectrum.test_power import field


@pytest.mark.parametrize("c", [0.0, 0.3, 0.9])
def test_fields_of_coherence_c_diverge_by_1_less_c_in_both_bands(c):
    """Raw MSE of white fields of variance 1 is 2 (1 - c) a channel and bin; block k multiplies by
    k + 1, and its square."""
    found = study(Fields(coherent(c), 60), blocks=None)
    assert found.about["blocks"] == [2, 5, 8, 11] and len(rows_of(found)) == 2 * 3 * 3 * 4
    for row in rows_of(found):
        if row["band"] != "authors":  # see test_divergence
            expected = 1 - (row["control"] == "real") * c
            if row["metric"] == "mse":
                expected *= 3 * (row["block"] + 1) ** 2 * 2
            assert (row["low"], row["high"]) == pytest.approx((expected,) * 2, rel=0.06, abs=0.03)
            assert row["interval"][0] < 1 < row["interval"][1] or c == 0.9
    rings = records(found.rings, control="real", block=5)
    assert [ring["rho"] for ring in rings] == [list(gap.EDGES[k : k + 2]) for k in range(8)]
    assert all(ring["value"] == pytest.approx(1 - c, abs=0.05) for ring in rings)


def test_one_wave_in_each_band_by_hand():
    """Waves of 1 cycle in 16 columns (rho .125, low in both) and of 7 (rho .875, high in both): an
    amplitude A has energy A^2 / 2 a token. Infrared has the slow one tripled, the fast negated."""
    x = torch.arange(16) * 2 * torch.pi / 16
    slow, fast = torch.cos(x).expand(3, *GRID), torch.cos(7 * x).expand(3, *GRID)
    rgb, infrared = 5 + 2 * slow + fast, 3 * 2 * slow - fast
    found = study(Fields(lambda i: (rgb, infrared), 3))
    expected = {"normalised": ((6 - 2) ** 2 / (6**2 + 2**2), 4 / 2), "cosine": (0, 2)}
    for band, metric in product(("disk25_75", "rectangle50"), expected):
        (row,) = rows_of(found, band=band, metric=metric, control="real")
        assert (row["low"], row["high"]) == pytest.approx(expected[metric], abs=1e-5)
    rings = [ring["value"] for ring in records(found.rings, control="real")]
    assert [rings[0], rings[4]] == pytest.approx([expected["normalised"][0], 2], abs=1e-5)
    power = [records(found.power, modality=m)[0]["value"] for m in ("visible", "infrared")]
    assert power[1] == pytest.approx(3**2 * power[0], rel=1e-3)
    authors = spectrum.authors_reading(rgb[None], infrared[None])[0].T.tolist()
    for metric, levels in zip(spectrum.METRICS, authors, strict=True):
        (row,) = rows_of(found, band="authors", metric=metric, control="real")
        assert [row["low"], row["high"]] == pytest.approx(levels, rel=1e-4)
    # |fy| <= .25 has 7 of 12 rows, |fx| <= .25 has 9 of 16 columns; the zero bin is left out
    (row,) = rows_of(found, band="rectangle50", metric="mse", control="real")
    tokens, channels = GRID[0] * GRID[1], 3
    low, high = 4**2 / 2 * tokens * channels, 2**2 / 2 * tokens * channels
    assert row["low"] == pytest.approx(low / (7 * 9 - 1), rel=1e-5)
    assert row["high"] == pytest.approx(high / (tokens - 7 * 9), rel=1e-5)


def test_identical_pictures_have_no_gap():
    found = study(Fields(lambda i: (noise(i), noise(i)), 10))
    for row in rows_of(found, control="real"):
        assert (row["low"], row["high"], row["ratio"], row["interval"]) == (0, 0, None, None)
    worlds.flat(found)  # plain JSON, without NaN


def test_intervals_are_a_bootstrap_over_images():
    """By another way: sums over the bands, added up over resampled images."""
    pairs = Fields(coherent(0.5), 30)
    about = dict(band="rectangle50", metric="normalised", control="real", block="mean")
    (row,) = records(study(pairs).levels, **about)
    a, b = (torch.stack(side) for side in zip(*map(pairs.make, range(30)), strict=True))
    sums = spectrum.pair_sums(a, b, spectrum.band_pair(*GRID, "rectangle50")).numpy()

    def ratio(images):
        a, b, difference = sums[images].sum(0).T
        low, high = difference / (a + b)
        return high / low

    assert row["ratio"] == pytest.approx(ratio(np.arange(30)), rel=1e-5)
    ratios = [ratio(i) for i in np.random.default_rng(7).integers(0, 30, (2000, 30))]
    # 2000 draws against 1000 others: ends agree to a tenth of the width
    width = row["interval"][1] - row["interval"][0]
    assert row["interval"] == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.1 * width)


@pytest.mark.parametrize("stop", [1, 8, 10, 17, 22])
def test_killed_and_started_again_it_gives_the_same_numbers(stop, tmp_path, monkeypatch):
    """Batches are of 8, and each reads the picture before it, too."""

    class Killed(BaseException):
        pass

    class Dying(Fields):
        def __getitem__(self, index):
            if len(self.read) == stop:
                raise Killed
            return super().__getitem__(index)

    names = ("real", "mismatched", "grey")
    whole = study(Fields(coherent(0.4), 21), names)
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "killed"))
    with pytest.raises(Killed):
        study(Dying(coherent(0.4), 21), names)
    again, third = Fields(coherent(0.4), 21), Fields(coherent(0.4), 21)
    assert worlds.flat(study(again, names)) == worlds.flat(whole)
    finished = stop // 9  # batches
    assert len(again.read) == 21 - 8 * finished + 3 - finished
    assert worlds.flat(study(third, names)) == worlds.flat(whole) and third.read == []


@pytest.mark.parametrize("name", ["real", "mismatched", "pictures"])
def test_a_torn_or_altered_file_is_measured_anew(name, runs):
    whole = study(Fields(coherent(0.4), 30))
    files = sorted(runs.glob(f"gap-{name}-*/*.npz"))
    assert len(files) == 4  # the batches' groups
    torn, altered = files[0].read_bytes(), bytearray(files[1].read_bytes())
    files[0].write_bytes(torn[: len(torn) // 2])
    altered[len(altered) // 3] ^= 1
    files[1].write_bytes(altered)
    files[3].write_bytes(b"")
    again = Fields(coherent(0.4), 30)
    assert worlds.flat(study(again)) == worlds.flat(whole)
    assert len(set(again.read)) in (22, 23)  # three of four batches, and partners


def test_groups_of_batches_are_joined_in_order_and_their_coherence_is_that_of_all(tmp_path):
    draw = torch.Generator().manual_seed(1)
    a, n = (torch.randn(120, 4, 6, 7, generator=draw) for _ in range(2))
    b = 0.6 * a + 0.8 * n  # coherence .36
    starts, edges = range(0, 120, 8), (0, 0.7, 1.5)
    kept = Part("real", tmp_path, starts)
    for start in starts:
        assert kept.lacks(start)
        x, y = ([m[start : start + 8]] for m in (a, b))
        kept.add(start, {"first": x[0][:, 0, 0, 0].numpy()}, x, y)
    for part in (kept, Part("real", tmp_path, starts)):
        assert not any(part.lacks(start) for start in starts)
        np.testing.assert_array_equal(part.joined()["first"], a[:, 0, 0, 0])
        rings = part.coherence([5], edges)
        whole = CrossSpectrum.empty(4, 6, 7).update(a, b).against_rho(edges)
        assert [r["value"] for r in rings] == pytest.approx(whole.tolist())
        # Tukey's jackknife: each of the ten groups left out, the t of 9 degrees of freedom
        group = torch.arange(120) // 8 % 10
        parts = [(a[group != g], b[group != g]) for g in range(10)]
        rest = [CrossSpectrum.empty(4, 6, 7).update(*x).against_rho(edges) for x in parts]
        rest = torch.stack(rest)
        half = 2.262157 * (0.9 * (rest - rest.mean(0)).square().sum(0)).sqrt()
        for ring, value, h in zip(rings, whole.tolist(), half.tolist(), strict=True):
            assert ring["interval"] == pytest.approx([value - h, value + h]) and ring["n"] == 120
            assert ring["interval"][0] < 0.36 < ring["interval"][1]


def test_other_content_is_measured_anew_and_more_controls_reuse_the_first():
    backbone = worlds.pixels_backbone()

    def made(mark="", names=("real",), blocks=(1,), count=8, net=backbone):
        pairs = Fields(coherent(0.4), 10, mark)
        study(pairs, names, blocks, net, count=count)
        return len(pairs.read)

    assert made() == 8 and made() == 0
    assert made("other") == 8 and made(blocks=(2,)) == 8 and made(count=9) == 9
    assert made(net=worlds.pixels_backbone("d" * 64)) == 8
    seen = len(backbone.net.batches)
    assert made(names=("real", "grey")) == 8
    assert backbone.net.batches[seen:] == [8, 8]  # RGB and grey; infrared is not looked at again


def test_features_are_computed_once_and_no_more_than_a_batch_is_alive(monkeypatch):
    plain = controls.extract

    def run(count):
        """(pictures that the network saw, the most of whose maps were alive at once)"""
        alive, most = [], []

        def watched(*args, **about):
            maps = plain(*args, **about)
            alive.extend(weakref.ref(m) for m in maps)
            most.append(sum(len(m()) for m in alive if m() is not None))
            return maps

        monkeypatch.setattr(controls, "extract", watched)
        backbone, names = worlds.pixels_backbone(), ("real", "mismatched", "grey")
        study(Fields(coherent(0.2), count), names, [0, 1], backbone)
        return sum(backbone.net.batches), max(most)

    few, many = run(24), run(120)
    # RGB and infrared of each; of the hundred that controls are measured on, grey, and a partner
    # for each batch
    assert few[0] == 3 * 24 + 3 and many[0] == 2 * 120 + 100 + 13
    blocks = 2
    assert few[1] == many[1] <= (3 * 8 + 1) * blocks


def test_every_picture_is_the_partner_of_another_one_of_its_set_once():
    """Waves of strength 1 ... 9 in one set and 11 ... 27 in the other tell who met whom."""
    wave = torch.cos(torch.arange(16) * 2 * torch.pi / 16).expand(3, *GRID)
    first = Fields(lambda i: ((i + 1) * wave,) * 2, 9, "one")
    second = Fields(lambda i: ((i + 11) * wave,) * 2, 17, "two")
    both, met = Joined([first, second]), []

    def watched(views):
        a, b = CONTROLS["mismatched"].maps(views)
        met.extend(zip(*(m[0].amax((1, 2, 3)).round().int().tolist() for m in (a, b)), strict=True))
        return a, b

    study(both, ("watched",), known={"watched": Control("Mismatched.", watched)})
    left, right = zip(*met, strict=True)
    assert sorted(left) == sorted(right) == [*range(1, 10), *range(11, 28)]
    assert all(a != b and (a > 10) == (b > 10) for a, b in met)
    assert list(left) != sorted(left)  # the order is drawn, not the files'


def test_controls_take_their_own_spread_pairs_and_differences_those_of_both():
    pairs, few, net = Fields(coherent(0.3), 60), Fields(coherent(0.3), 60), worlds.pixels_backbone()
    found = study(pairs, ("real", "grey"), backbone=net, control_pairs=10)
    n = {r["control"]: r["n"] for r in rows_of(found)}
    assert n == {"real": 60, "grey": 10} and sum(net.net.batches) == 2 * 60 + 10
    assert sorted(pairs.read[:10]) == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54]
    alone = study(few, ("real", "grey"), count=10)
    assert sorted(few.read) == sorted(pairs.read[:10]) and alone.about["pairs"] == 10
    where = dict(control="grey", metric="normalised", band="disk25_75")
    (a,), (b,) = (records(f.contrasts, **where) for f in (found, alone))
    assert a["low"] == pytest.approx(b["low"]) and a["high"] == pytest.approx(b["high"])
    levels = [alone.level(name) for name in ("real", "grey")]
    assert b["high"] == pytest.approx(levels[0]["high"] - levels[1]["high"])


def test_several_sets_are_opened_by_name_and_a_name_twice_is_refused(tmp_path):
    assert data.open_sets("scenes", "train", (28, 42)).name == "scenes"
    refused("twice", data.open_sets, "scenes,scenes")
    for kind in ("vi", "ir"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / kind / "FLIR_1.png")
    both = data.open_sets("roadscene,folder", "all", (48, 64), tmp_path)
    assert both.names == ["roadscene/FLIR_1", "folder/FLIR_1"] and "thermal noise" in both.note


def measured(make=None, grid=GRID, **about):
    return study(Fields(make or coherent(0), 10, grid=grid), **about)


test_what_cannot_be_measured_is_named = refusals(
    (dict(controls=("grau",)), "'grau'"),
    (dict(blocks=[12]), "0 to 11"),
    (dict(count=1), "2 pairs"),
    (dict(controls=("grey", "day")), "'real'"),
    (
        dict(make=lambda i: (torch.ones(3, 5, 7),) * 2, grid=(5, 7)),
        "size=5x7 .*block 0 of 'real' .* 5x7",
    ),
    (dict(make=lambda i: (torch.ones(3, *GRID),) * 2), "one colour"),
    call=measured,
)


def test_aligned_undoes_a_known_shift_and_says_how_many_were_clear():
    """Infrared is RGB moved by 5 px to the right and 3 up, within a larger picture: aligned pairs
    are the same pixel by pixel, cropped ones are not. Two of three have noise for infrared."""
    backbone = worlds.pixels_backbone()
    backbone.patch = 14
    big = [torch.from_numpy(scene(i, 180, 236)).float().expand(3, -1, -1) for i in range(6)]

    def make(i):
        visible = big[i][:, 20:160, 20:216]
        moved = big[i][:, 23:163, 15:211]  # visible[y, x] lies at moved[y - 3, x + 5]
        return visible, noise(i, 9, grid=(140, 196)) if i % 3 else moved

    pairs = Fields(make, 6, grid=(140, 196))
    found = study(pairs, ("real", "cropped", "aligned"), backbone=backbone)
    about = found.alignment
    assert (about["n"], about["clear"], about["moved"]) == (6, 2, 2)
    assert about["median"] == pytest.approx(math.hypot(5, 3), abs=0.1)
    a, b = CONTROLS["aligned"].maps(Views(backbone, [0], [pairs[0], pairs[2]], None))
    assert torch.equal(a[0][0], b[0][0])  # undone exactly
    assert torch.equal(b[0][1], pairs[2].infrared[:, 14:-14, 14:-14])  # left as it is
    share = about["share"][0]
    high = {r["control"]: r["high"] for r in rows_of(found, metric="normalised", band="disk25_75")}
    assert share["high"] == pytest.approx(high["aligned"] / high["cropped"])
    assert high["aligned"] < high["cropped"]


def test_a_pure_shift_is_coherent_and_diverges_as_its_phase_says():
    """b(x) = a(x - 1) on a torus: A B* has the phase 2 pi fx, so coherence is 1, and the divergence
    of white fields in a band is the mean of 1 - cos(2 pi fx) over it."""
    found = study(Fields(lambda i: (noise(i), noise(i).roll(1, -1)), 40))
    expected = 1 - torch.cos(2 * torch.pi * torch.fft.fftfreq(GRID[1]).expand(GRID))
    means = [float(expected[mask].mean()) for mask in spectrum.band_pair(*GRID, "disk25_75")]
    (row,) = rows_of(found, band="disk25_75", metric="normalised", control="real")
    assert [row["low"], row["high"]] == pytest.approx(means, abs=0.02)
    rings = records(found.coherence, control="real")
    assert len(rings) == 8 and all(e["value"] == pytest.approx(1, abs=1e-6) for e in rings)
    others = records(found.coherence, control="mismatched")
    assert all(abs(e["value"]) < 0.1 and e["interval"][0] < 0.05 for e in others)
    assert {e["block"] for e in records(found.coherence, control="pictures")} == {"pictures"}


def slow_shared(i):
    """Infrared has RGB's low band, 3 times as strong, and the high band of another field."""
    (low, _), (_, high) = (spectrum.split_bands(noise(i, k)) for k in (0, 1))
    return noise(i, 0), 3 * low + high


def test_similarity_of_maps_whose_answer_is_known():
    """CKA is 1 for 3 x RGB and in a band that is shared, 0 for unrelated ones."""
    same = study(Fields(lambda i: (noise(i), 3 * noise(i)), 30, "x3"))
    for entry in records(same.similarity, measure="cka"):
        at = 1 if entry["control"] == "real" else 0
        assert entry["value"] == pytest.approx(at, abs=0.1 if not at else 1e-5)
        assert entry["interval"][0] - 1e-9 <= entry["value"] <= entry["interval"][1] + 1e-9
    expected = {"low": (1, 1e-4), "high": (0, 0.1)}
    for entry in records(study(Fields(slow_shared, 30), ("real",)).similarity):
        value, tolerance = expected[entry["level"]]
        assert entry["value"] == pytest.approx(value, abs=tolerance)


def test_pictures_of_known_slope_and_their_spectrum():
    """Power rho^-2 over all frequencies in RGB, and in infrared 9 times as much of rho^-1: the
    slope by the DCT, the share beyond .5 by a sum over bins, and each ring's mean power."""
    size, rho, edges = (96, 128), spectrum.radius(96, 128), gap.log_rings(96, 128)
    sides = [k * field(s, 20, *size, "fft")[:, None].float() for k, s in ((1, -2.0), (3, -1.0))]
    kept = of_pictures(*sides)
    for i, (gain, slope) in enumerate(((1, -2.0), (9, -1.0))):
        assert kept["slope"][:, i].mean() == pytest.approx(slope, abs=0.1)
        power = gain * rho.clamp_min(1e-9) ** slope * (rho > 0)
        share = float(power[rho > 0.5].sum() / power.sum())
        assert kept["energy"][:, i] == pytest.approx([share] * 20, rel=1e-3)
        rings = [float(power[(rho > a) & (rho <= b)].mean()) for a, b in pairwise(edges)]
        assert kept["power"][:, i].mean(0)[3:13] == pytest.approx(rings[3:13], rel=1e-3)
    dark = of_pictures(sides[0][:1] * 0, sides[1][:1])
    assert np.isnan(dark["slope"][0, 0]) and np.isfinite(dark["slope"][0, 1])


def test_day_and_night_are_the_real_pairs_of_their_time():
    """Coherence .9 by day, .2 by night, 0 where the time is not known."""

    def make(i):
        return coherent((0.9, 0.2, 0.0)[i % 3])(i)

    times = ("day", "night", "")
    found = study(Fields(make, 90, times=times), ("real", "day", "night"))
    for name, level in (("day", 0.1), ("night", 0.8)):
        (row,) = rows_of(found, band="rectangle50", metric="normalised", control=name)
        assert row["high"] == pytest.approx(level, abs=0.03) and row["n"] == 30
    assert found.about["time_of_day"] == {"day": 30, "night": 30, "unknown": 30}
    dark = study(Fields(coherent(0), 9), ("real", "day"))
    assert dark.controls == ["real"] and "day" in dark.about["controls"]


def test_random_weights_are_the_same_model_drawn_by_seed():
    tiny = worlds.pixels_backbone()
    tiny.name = "freqkd_tiny"
    made, again, other = (untrained(tiny, seed) for seed in (3, 3, 4))
    assert made.name == "freqkd_tiny" and made.checksum == again.checksum != other.checksum


def test_a_saved_gap_is_read_again_and_a_broken_one_is_refused(tmp_path):
    found = study(Fields(coherent(0.4), 6))
    found.save(tmp_path / "gap.json")
    assert worlds.flat(gap.load(tmp_path)) == worlds.flat(found)
    for content in (b"{", b"[1]", b"\xff", b'{"schema": "freqkd-gap/0"}', None):
        (tmp_path / "gap.json").unlink()
        if content:
            (tmp_path / "gap.json").write_bytes(content)
        refused(r"gap\.json .*`freqkd gap --out", gap.load, tmp_path)
        (tmp_path / "gap.json").touch()
