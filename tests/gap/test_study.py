"""The study: closed forms, a slow DFT, known shifts and slopes; streamed, killed and resumed."""

import json
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite import data, gap
from freqkd_lite.data import Joined, Pair
from freqkd_lite.errors import UserError
from freqkd_lite.gap import controls, measures
from freqkd_lite.gap.coherence import Coherences
from freqkd_lite.gap.controls import CONTROLS, Views
from freqkd_lite.gap.measures import of_pictures
from freqkd_lite.gap.study import plan, stream, untrained
from freqkd_lite.gap.tables import one
from freqkd_lite.spectrum import radius
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.gap.worlds import GRID, Fields, coherent, flat, noise, pixels_backbone, rows_of

COMMITTED = Path(__file__).parents[2] / "results" / "spectral_gap"


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def backbone():
    return pixels_backbone()


def records(table, **fields):
    rows = table.to_dict("records")
    return [row for row in rows if all(row[k] == v for k, v in fields.items())]


@pytest.mark.parametrize("c", [0.0, 0.3, 0.9])
def test_fields_of_coherence_c_diverge_by_1_less_c_in_both_bands(backbone, c):
    found = gap.measure(Fields(coherent(c), 60), backbone, progress=False)
    assert found.about["blocks"] == [2, 5, 8, 11] and found.about["pairs"] == 60
    assert len(rows_of(found)) == 2 * 3 * 2 * 4
    for metric in ("normalised", "cosine"):
        for row in rows_of(found, metric=metric, control="real"):
            assert row["low"] == pytest.approx(1 - c, abs=0.03)
            assert row["high"] == pytest.approx(1 - c, abs=0.03)
            assert row["ratio"] == row["high"] / row["low"] and row["n"] == 60
            assert row["interval"][0] < 1 < row["interval"][1] or c == 0.9
        for row in rows_of(found, metric=metric, control="mismatched"):
            assert row["low"] == pytest.approx(1, abs=0.05)
    # raw MSE of white fields of variance 1 is 2 (1 - c) a channel and bin; block k multiplies by
    # (k + 1), and its square
    for row in rows_of(found, metric="mse", control="real", band="rectangle50"):
        expected = 3 * (row["block"] + 1) ** 2 * 2 * (1 - c)
        assert row["low"] == pytest.approx(expected, rel=0.05)
        assert row["high"] == pytest.approx(expected, rel=0.05)


def test_one_wave_in_each_band_by_hand(backbone):
    """Waves of 1 cycle in 16 columns (rho .125, low in both) and of 7 (rho .875, high in both): an
    amplitude A has energy A^2 / 2 a token. Infrared has the slow one tripled, the fast negated."""
    x = torch.arange(16) * 2 * torch.pi / 16

    def make(i):
        slow, fast = torch.cos(x).expand(3, *GRID), torch.cos(7 * x).expand(3, *GRID)
        return 5 + 2 * slow + fast, 3 * 2 * slow - fast

    found = gap.measure(Fields(make, 3), backbone, [0], progress=False)
    tokens, channels = GRID[0] * GRID[1], 3
    for band in ("disk25_75", "rectangle50"):
        (row,) = rows_of(found, band=band, metric="normalised", control="real")
        assert row["low"] == pytest.approx((6 - 2) ** 2 / (6**2 + 2**2), abs=1e-5)
        assert row["high"] == pytest.approx(4 / 2, abs=1e-5)
        (row,) = rows_of(found, band=band, metric="cosine", control="real")
        assert (row["low"], row["high"]) == pytest.approx((0, 2), abs=1e-5)
    # |fy| <= .25 has 7 of 12 rows, |fx| <= .25 has 9 of 16 columns; the zero bin is left out
    (row,) = rows_of(found, band="rectangle50", metric="mse", control="real")
    low, high = 4**2 / 2 * tokens * channels, 2**2 / 2 * tokens * channels
    assert row["low"] == pytest.approx(low / (7 * 9 - 1), rel=1e-5)
    assert row["high"] == pytest.approx(high / (tokens - 7 * 9), rel=1e-5)


def slow_dft(field):
    """By its definition, orthonormal: (h, w) complex from (h, w) real."""
    h, w = field.shape
    y, x = np.arange(h), np.arange(w)
    rows = np.exp(-2j * np.pi * np.outer(y, y) / h)
    return rows @ field @ np.exp(-2j * np.pi * np.outer(x, x) / w) / np.sqrt(h * w)


def test_sums_of_an_image_equal_a_slow_dft_sorted_into_bands():
    h, w = 9, 10
    a, b = (noise(s, grid=(h, w), channels=5) for s in (1, 2))
    got = measures.image_sums([a[None], 2 * a[None]], [b[None], 2 * b[None]])
    counts = measures.bin_counts([(h, w), (h, w)])
    expected, bins = np.zeros(got.shape[2:]), np.zeros(got.shape[2], int)
    for u in range(h):
        for v in range(w):
            fy, fx = min(u, h - u) / h, min(v, w - v) / w
            rho = 2 * (fy**2 + fx**2) ** 0.5
            if u == v == 0:
                continue
            inside = fy <= 0.25 and fx <= 0.25
            rings = [lo < rho <= hi for lo, hi in zip(gap.EDGES, gap.EDGES[1:], strict=False)]
            for k, here in enumerate([rho <= 0.25, rho >= 0.75, inside, not inside, *rings]):
                bins[k] += here
                for channel in range(5) if here else ():
                    left, right = (slow_dft(m[channel].double().numpy())[u, v] for m in (a, b))
                    parts = abs(left) ** 2, abs(right) ** 2, abs(left - right) ** 2
                    expected[k] += parts
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-4)
    np.testing.assert_allclose(got[0, 1], 4 * expected, rtol=1e-4)
    np.testing.assert_array_equal(counts[0], bins)


def test_identical_folders_have_no_gap(backbone):
    found = gap.measure(Fields(lambda i: (noise(i), noise(i)), 10), backbone, progress=False)
    for row in rows_of(found, control="real"):
        assert row["low"] == row["high"] == 0
        assert row["ratio"] is None and row["interval"] is None
    flat(found)  # plain JSON, without NaN


def test_the_interval_is_a_bootstrap_over_images(backbone):
    """By another way: resample the per-image sums, add them up, take the ratio."""
    pairs = Fields(coherent(0.5), 30)
    found = gap.measure(pairs, backbone, [1], progress=False)
    (row,) = rows_of(found, band="rectangle50", metric="normalised", control="real")
    sums = np.concatenate(
        [
            measures.image_sums([a[None]], [b[None]])[:, 0, 2:4]
            for a, b in map(pairs.make, range(30))
        ]
    )
    draw = np.random.default_rng(7)
    ratios = []
    for _ in range(2000):
        a, b, d = np.moveaxis(sums[draw.integers(0, 30, 30)].sum(0), -1, 0)
        low, high = d / (a + b)
        ratios.append(high / low)
    # 2000 draws against 1000 others: ends agree to a tenth of the width
    width = row["interval"][1] - row["interval"][0]
    assert row["interval"] == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.1 * width)


@pytest.mark.parametrize("stop", [1, 8, 9, 16, 20])
def test_killed_and_started_again_it_gives_the_same_numbers(backbone, tmp_path, stop):
    names = ("real", "mismatched", "grey")
    about = dict(controls=names, blocks=[2], progress=False)
    whole = gap.measure(Fields(coherent(0.4), 21), backbone, runs=tmp_path / "a", **about)

    class Killed(BaseException):
        pass

    class Dying(Fields):
        def __getitem__(self, index):
            if len(self.read) == stop:
                raise Killed
            return super().__getitem__(index)

    with pytest.raises(Killed):
        gap.measure(Dying(coherent(0.4), 21), backbone, runs=tmp_path / "b", **about)
    again = Fields(coherent(0.4), 21)
    assert flat(gap.measure(again, backbone, runs=tmp_path / "b", **about)) == flat(whole)
    finished = max(0, stop - 1) // 8 * 8  # the partner of the first pair is read first
    assert len(again.read) == 21 - finished + 1
    third = Fields(coherent(0.4), 21)
    assert flat(gap.measure(third, backbone, runs=tmp_path / "b", **about)) == flat(whole)
    assert third.read == []


def test_a_torn_or_altered_batch_is_measured_anew(backbone, tmp_path):
    whole = gap.measure(Fields(coherent(0.4), 20), backbone, runs=tmp_path, progress=False)
    files = sorted(tmp_path.glob("gap-real-*/*.npz"))
    assert len(files) == 3
    torn, altered = files[0].read_bytes(), bytearray(files[1].read_bytes())
    files[0].write_bytes(torn[: len(torn) // 2])
    altered[len(altered) // 3] ^= 1
    files[1].write_bytes(altered)
    files[2].write_bytes(b"")
    again = Fields(coherent(0.4), 20)
    assert flat(gap.measure(again, backbone, runs=tmp_path, progress=False)) == flat(whole)
    assert set(again.read) == set(range(20))


def test_other_content_is_measured_anew_and_more_pairings_reuse_the_first(backbone, tmp_path):
    def made(mark="", names=("real",), blocks=(1,), count=8, net=backbone):
        pairs = Fields(coherent(0.4), 10, mark)
        gap.measure(pairs, net, blocks, names, count, runs=tmp_path, progress=False)
        return len(pairs.read)

    other = pixels_backbone("d" * 64)
    assert made() == 8 and made() == 0
    assert made("other") == 8 and made(blocks=(2,)) == 8 and made(count=9) == 9
    assert made(net=other) == 8
    seen = len(backbone.net.batches)
    assert made(names=("real", "grey")) == 8
    assert backbone.net.batches[seen:] == [8, 8]  # RGB and grey; infrared is not looked at again


def test_features_are_computed_once_and_no_more_than_a_batch_is_alive(tmp_path, monkeypatch):
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
        backbone = pixels_backbone()
        gap.measure(
            Fields(coherent(0.2), count),
            backbone,
            [0, 1],
            ("real", "mismatched", "grey"),
            runs=tmp_path,
            progress=False,
        )
        return sum(backbone.net.batches), max(most)

    few, many = run(24), run(120)
    # RGB and infrared of each, grey of the hundred that controls are measured on, and one picture
    # more: the partner of the first
    assert few[0] == 3 * 24 + 1 and many[0] == 2 * 120 + 100 + 1
    layers = 2
    assert few[1] == many[1] <= (3 * 8 + 1) * layers


def test_every_picture_is_the_partner_of_another_one_once(backbone, monkeypatch):
    """Pictures whose pixels are waves of strength i tell who was compared with whom."""
    count = 19
    wave = torch.cos(torch.arange(16) * 2 * torch.pi / 16).expand(3, *GRID)

    def make(i):
        return (i + 1) * wave, (i + 1) * wave

    met = []
    pairs, kept = Fields(make, count), measures.image_sums

    def watched(a, b, bands):
        met.extend(zip(a[0].amax((1, 2, 3)).tolist(), b[0].amax((1, 2, 3)).tolist(), strict=True))
        return kept(a, b, bands)

    monkeypatch.setattr(measures, "image_sums", watched)
    gap.measure(pairs, backbone, [0], ("mismatched",), progress=False)
    left, right = ([round(m[k]) for m in met] for k in (0, 1))
    assert sorted(left) == sorted(right) == list(range(1, count + 1))
    assert all(a != b for a, b in met)
    assert left != sorted(left)  # the order is drawn, not the files'


def test_count_takes_evenly_spread_pairs(backbone):
    pairs = Fields(coherent(0.2), 40)
    found = gap.measure(pairs, backbone, [0], ("real",), count=4, progress=False)
    assert sorted(pairs.read) == [0, 10, 20, 30] and found.about["pairs"] == 4


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (dict(controls=("grau",)), "'grau'"),
        (dict(blocks=[12]), "0 to 11"),
        (dict(count=1), "2 pairs"),
    ],
)
def test_wrong_arguments_are_answered_in_a_sentence(backbone, about, says):
    with pytest.raises(UserError, match=says):
        gap.measure(Fields(coherent(0), 10), backbone, progress=False, **about)


def test_maps_without_a_low_or_any_energy_are_refused(backbone):
    small = Fields(lambda i: (noise(i, grid=(5, 7)),) * 2, 3, grid=(5, 7))
    with pytest.raises(UserError, match="block 0 of 'real' .* 5x7"):
        gap.measure(small, backbone, [0], progress=False)
    even = Fields(lambda i: (torch.ones(3, *GRID), torch.ones(3, *GRID)), 3)
    with pytest.raises(UserError, match="one colour"):
        gap.measure(even, backbone, [0], progress=False)


# ------------------------------------------------------------------------------------- measures


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
        Fields(make, 6, grid=(140, 196)),
        backbone,
        [0],
        ("real", "cropped", "aligned"),
        progress=False,
    )
    about = found.alignment
    assert (about["n"], about["clear"], about["moved"]) == (6, 4, 4)
    assert about["median"] == pytest.approx(math.hypot(5, 3), abs=0.1)
    pairs = [make(i) for i in (0, 2)]
    images = {k: torch.stack([p[j] for p in pairs]) for j, k in enumerate(("visible", "infrared"))}
    a, b = CONTROLS["aligned"].maps(Views(backbone, [0], images))
    assert torch.equal(a[0][0], b[0][0])  # undone exactly
    assert torch.equal(b[0][1], images["infrared"][1, :, 14:-14, 14:-14])  # left as it is
    share = about["share"][0]
    high = {r["control"]: r["high"] for r in rows_of(found, metric="normalised", band="disk25_75")}
    assert share["high"] == pytest.approx(high["aligned"] / high["cropped"])
    assert high["aligned"] < high["cropped"]


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
    (row,) = rows_of(found, band="disk25_75", metric="normalised", control="real")
    assert row["high"] == pytest.approx(float(expected[rho >= 0.75 - 1e-9].mean()), abs=0.02)
    inside = (rho <= 0.25 + 1e-9) & (rho > 0)
    assert row["low"] == pytest.approx(float(expected[inside].mean()), abs=0.02)
    rings = records(found.coherence, control="real")
    assert len(rings) == 8 and all(e["value"] == pytest.approx(1, abs=1e-6) for e in rings)
    others = records(found.coherence, control="mismatched")
    assert all(abs(e["value"]) < 0.1 and e["interval"][0] < 0.05 for e in others)
    where = dict(control="real", measure="cka", level="high", band="rectangle50")
    (alike,) = records(found.similarity, **where)
    assert alike["n"] == 40 and alike["interval"][0] <= alike["value"] <= alike["interval"][1]


def test_likeness_by_band_of_maps_whose_answer_is_known(backbone):
    """Infrared = 3 x RGB: CKA 1 in every band; unrelated: 0. Unequal clouds have an MMD."""
    same = gap.measure(
        Fields(lambda i: (noise(i), 3 * noise(i)), 30, "x3"),
        backbone,
        [0],
        ("real", "mismatched"),
        progress=False,
    )
    for entry in records(same.similarity, measure="cka"):
        at = 1 if entry["control"] == "real" else 0
        assert entry["value"] == pytest.approx(at, abs=0.1 if not at else 1e-5)
    assert all(e["value"] > 0.1 for e in records(same.similarity, measure="mmd", control="real"))
    alike = gap.measure(Fields(coherent(0), 30), backbone, [0], ("real",), progress=False)
    assert all(abs(e["value"]) < 0.02 for e in records(alike.similarity, measure="mmd"))


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
    edges = gap.log_rings(*size)
    for k in (3, 8, 12):
        ring = (rho > edges[k]) & (rho <= edges[k + 1])
        expected = float(power[ring].mean())
        assert kept["power"][:, 0, k].mean() == pytest.approx(expected, rel=0.1)
    assert kept["power"].shape == (40, 2, len(edges) - 1) and set(kept["time_of_day"]) == {"day"}
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


def test_coherence_of_a_torn_group_is_measured_anew(backbone, tmp_path):
    pairs = Fields(coherent(0.5), 20)
    whole = gap.measure(pairs, backbone, [0], runs=tmp_path, progress=False)
    (file,) = tmp_path.glob("gap-real-*/coherence/1.npz")
    file.write_bytes(b"")
    again = Fields(coherent(0.5), 20)
    assert flat(gap.measure(again, backbone, [0], runs=tmp_path, progress=False)) == flat(whole)
    assert 8 <= len(again.read) <= 9  # the second batch, and the partner of its first


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
        (row,) = rows_of(found, band="rectangle50", metric="normalised", control=name)
        assert row["high"] == pytest.approx(level, abs=0.03) and row["n"] == 30
    assert found.about["time_of_day"] == {"day": 30, "night": 30, "unknown": 30}
    dark = gap.measure(Fields(coherent(0), 9), backbone, [0], ("real", "day"), progress=False)
    assert dark.controls == ["real"] and "day" in dark.about["controls"]
    with pytest.raises(UserError, match="'real'"):
        gap.measure(Fields(coherent(0), 9), backbone, [0], ("grey", "day"), progress=False)


def test_controls_take_their_own_spread_pairs_and_differences_those_of_both(backbone):
    pairs = Fields(coherent(0.3), 60)
    found = gap.measure(pairs, backbone, [0], ("real", "grey"), control_pairs=10, progress=False)
    n = {r["control"]: r["n"] for r in rows_of(found)}
    assert n == {"real": 60, "grey": 10} and sum(backbone.net.batches) == 2 * 60 + 10
    assert sorted(pairs.read[:10]) == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54]
    few = Fields(coherent(0.3), 60)
    alone = gap.measure(few, backbone, [0], ("real", "grey"), count=10, progress=False)
    where = dict(control="grey", metric="normalised", band="disk25_75")
    a, b = (one(f.contrasts, **where) for f in (found, alone))
    assert a["low"] == pytest.approx(b["low"]) and a["high"] == pytest.approx(b["high"])


def test_mismatched_pairs_are_of_the_same_set_of_several(backbone):
    """Waves of strength 1 ... 5 in one set and 11 ... 17 in the other tell who met whom."""
    wave = torch.cos(torch.arange(16) * 2 * torch.pi / 16).expand(3, *GRID)
    first = Fields(lambda i: ((i + 1) * wave,) * 2, 5, "one")
    second = Fields(lambda i: ((i + 11) * wave,) * 2, 7, "two")
    both = Joined([first, second])
    assert both.name == "fields+fields" and len(both) == 12 and both.names[5] == "fields/000"
    assert [both.part(i) for i in (0, 4, 5, 11)] == [0, 0, 1, 1]
    assert torch.equal(both[5].visible, second[0].visible)
    order, batches = plan(both, 12, 12, 0, 3)
    met = []
    for _, views in stream(both, order, batches, backbone, [0]):
        a, b = CONTROLS["mismatched"].maps(views)
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


def test_random_weights_are_the_same_model_drawn_by_seed():
    tiny = pixels_backbone()
    tiny.name = "freqkd_tiny"
    made, again, other = (untrained(tiny, seed) for seed in (3, 3, 4))
    assert made.name == "freqkd_tiny" and made.checksum == again.checksum != other.checksum


# ----------------------------------------------------------------------------------------- files


def test_a_saved_gap_is_read_again_and_a_broken_one_is_refused(backbone, tmp_path):
    found = gap.measure(Fields(coherent(0.4), 6), backbone, [0], progress=False)
    found.save(tmp_path / "gap.json")
    assert flat(gap.load(tmp_path)) == flat(found)
    for content in (None, "{", "[1]", '{"schema": "freqkd-gap/0"}'):
        (tmp_path / "gap.json").unlink()
        if content:
            (tmp_path / "gap.json").write_text(content)
        else:
            content = ""
        with pytest.raises(UserError, match=r"gap\.json .* run `freqkd gap --out"):
            gap.load(tmp_path)
        (tmp_path / "gap.json").write_text(content)


def test_a_file_of_an_earlier_version_is_read_with_todays_names():
    found, old = gap.load(COMMITTED), json.loads((COMMITTED / "gap.json").read_text())
    if old["schema"] != "freqkd-gap/1":
        pytest.skip("the committed study was measured again")
    before = {(e["pairing"], e["metric"], e["band"]): e for e in old["summary"]}
    for (pairing, metric, band), entry in before.items():
        control = {"shuffled": "mismatched"}.get(pairing, pairing)
        row = found.level(control, metric=metric, band=band)
        assert (row["low"], row["ratio"], row["n"]) == (entry["low"], entry["ratio"], entry["n"])
    assert len(found.levels) == len(old["summary"]) + len(old["rows"])
    assert found.about["blocks"] == old["layers"] and found.about["time_of_day"] == old["light"]
    assert len(found.power) == sum(len(image["power"]) for image in old["images"])
