"""The gap: closed forms, a slow DFT and hand-made grids; streamed, killed and taken up again."""

import json
import weakref
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from freqkd_lite import gap
from freqkd_lite.cli.app import app
from freqkd_lite.data import Pair, PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone
from freqkd_lite.gap import controls
from freqkd_lite.gap import measures as gap_measures
from freqkd_lite.gap import report as gap_report
from freqkd_lite.results.pages import problems
from freqkd_lite.spectrum import split_bands
from freqkd_lite.store import digest

GRID, CHANNELS = (12, 16), 5


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield
    plt.close("all")


def noise(*seed, grid=GRID, channels=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(channels, *grid))).float()


class Fields(PairSet):
    """Pairs made by a function of the index, (visible, infrared), each (3, h, w)."""

    name, has = "fields", frozenset({"pairs"})

    def __init__(self, make, count, mark="", grid=GRID):
        super().__init__("all", grid, [f"{i:03d}" for i in range(count)])
        self.make, self.mark, self.read = make, mark, []

    def __getitem__(self, index):
        self.read.append(index)
        return Pair(self.names[index], *self.make(index))

    def fingerprint(self):
        return digest([self.mark, len(self)])


class Pixels(nn.Module):
    """A network whose block k multiplies pixels by k + 1; keeps how much it saw."""

    feature_info = [{"num_chs": 3, "reduction": 1}] * 12
    pretrained_cfg = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches = []

    def forward_intermediates(self, images, indices, **about):
        self.batches.append(len(images))
        return [images * (k + 1) * self.scale for k in indices]


@pytest.fixture
def backbone():
    return Backbone(Pixels(), "pixels", "made here", "c" * 64).freeze()


def coherent(c):
    """Unrelated fields a, n of one spectrum, mixed to coherence c: b = c a + sqrt(1 - c^2) n, so
    <A B*> / <|A|^2> = c, and energies are equal in expectation."""

    def make(i):
        a, n = noise(i, 0), noise(i, 1)
        return a, c * a + (1 - c * c) ** 0.5 * n

    return make


def rows_of(found, **fields):
    return [r for r in found["rows"] if all(r[k] == v for k, v in fields.items())]


@pytest.mark.parametrize("c", [0.0, 0.3, 0.9])
def test_fields_of_coherence_c_diverge_by_1_less_c_in_both_bands(backbone, c):
    found = gap.measure(Fields(coherent(c), 60), backbone, progress=False)
    assert found["layers"] == [2, 5, 8, 11] and found["pairs"] == 60
    assert len(found["rows"]) == 2 * 3 * 2 * 4
    for metric in ("normalised", "cosine"):
        for row in rows_of(found, metric=metric, pairing="real"):
            assert row["low"] == pytest.approx(1 - c, abs=0.03)
            assert row["high"] == pytest.approx(1 - c, abs=0.03)
            assert row["ratio"] == row["high"] / row["low"] and row["n"] == 60
            assert row["interval"][0] < 1 < row["interval"][1] or c == 0.9
        for row in rows_of(found, metric=metric, pairing="shuffled"):
            assert row["low"] == pytest.approx(1, abs=0.05)
    # raw MSE of white fields of variance 1 is 2 (1 - c) a channel and bin; block k multiplies by
    # (k + 1), and its square
    for row in rows_of(found, metric="mse", pairing="real", band="rectangle50"):
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
        (row,) = rows_of(found, band=band, metric="normalised", pairing="real")
        assert row["low"] == pytest.approx((6 - 2) ** 2 / (6**2 + 2**2), abs=1e-5)
        assert row["high"] == pytest.approx(4 / 2, abs=1e-5)
        (row,) = rows_of(found, band=band, metric="cosine", pairing="real")
        assert (row["low"], row["high"]) == pytest.approx((0, 2), abs=1e-5)
    # |fy| <= .25 has 7 of 12 rows, |fx| <= .25 has 9 of 16 columns; the zero bin is left out
    (row,) = rows_of(found, band="rectangle50", metric="mse", pairing="real")
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
    a, b = (noise(s, grid=(h, w), channels=CHANNELS) for s in (1, 2))
    got = gap_measures.image_sums([a[None], 2 * a[None]], [b[None], 2 * b[None]])
    counts = gap_measures.bin_counts([(h, w), (h, w)])
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
                for channel in range(CHANNELS) if here else ():
                    left, right = (slow_dft(m[channel].double().numpy())[u, v] for m in (a, b))
                    parts = abs(left) ** 2, abs(right) ** 2, abs(left - right) ** 2
                    expected[k] += parts
    np.testing.assert_allclose(got[0, 0], expected, rtol=1e-4)
    np.testing.assert_allclose(got[0, 1], 4 * expected, rtol=1e-4)
    np.testing.assert_array_equal(counts[0], bins)


def test_identical_folders_have_no_gap(backbone, tmp_path):
    def make(i):
        return noise(i), noise(i)

    found = gap.measure(Fields(make, 10), backbone, progress=False)
    for row in rows_of(found, pairing="real"):
        assert row["low"] == row["high"] == 0
        assert row["ratio"] is None and row["interval"] is None
    assert gap_report.answer(found).startswith("No: the features of the two folders are the same")
    json.dumps(found, allow_nan=False)
    page = gap_report.write_page(found, tmp_path / "page.html", "freqkd gap").read_text()
    assert problems(page) == [] and "10 pairs" in page


def test_the_interval_is_a_bootstrap_over_images(backbone):
    """By another way: resample the per-image sums, add them up, take the ratio."""
    pairs = Fields(coherent(0.5), 30)
    found = gap.measure(pairs, backbone, [1], progress=False)
    (row,) = rows_of(found, band="rectangle50", metric="normalised", pairing="real")
    sums = np.concatenate([
        gap_measures.image_sums([a[None]], [b[None]])[:, 0, 2:4]
        for a, b in map(pairs.make, range(30))
    ])  # fmt: skip
    draw = np.random.default_rng(7)
    ratios = []
    for _ in range(2000):
        a, b, d = np.moveaxis(sums[draw.integers(0, 30, 30)].sum(0), -1, 0)
        low, high = d / (a + b)
        ratios.append(high / low)
    # 2000 draws against 1000 others: ends agree to a tenth of the width
    width = row["interval"][1] - row["interval"][0]
    assert row["interval"] == pytest.approx(np.quantile(ratios, [0.025, 0.975]), abs=0.1 * width)


def flat(found):
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("stop", [1, 8, 9, 16, 20])
def test_killed_and_started_again_it_gives_the_same_numbers(backbone, tmp_path, stop):
    pairings = ("real", "shuffled", "grey")
    about = dict(pairings=pairings, layers=[2], progress=False)
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
    finished = max(0, stop - 1) // 8 * 8  # stranger of the first batch is read first of all
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
    def made(mark="", pairings=("real",), layers=(1,), count=8, net=backbone):
        pairs = Fields(coherent(0.4), 10, mark)
        gap.measure(pairs, net, layers, pairings, count, runs=tmp_path, progress=False)
        return len(pairs.read)

    other = Backbone(Pixels(), "pixels", "made here", "d" * 64).freeze()
    assert made() == 8 and made() == 0
    assert made("other") == 8 and made(layers=(2,)) == 8 and made(count=9) == 9
    assert made(net=other) == 8
    seen = len(backbone.net.batches)
    assert made(pairings=("real", "grey")) == 8
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
        backbone = Backbone(Pixels(), "pixels", "made here", "c" * 64).freeze()
        gap.measure(Fields(coherent(0.2), count), backbone, [0, 1], ("real", "shuffled", "grey"),
                    runs=tmp_path, progress=False)  # fmt: skip
        return sum(backbone.net.batches), max(most)

    few, many = run(24), run(120)
    # RGB and infrared of each, grey of the hundred that controls are measured on, and one picture
    # more: the stranger of the first
    assert few[0] == 3 * 24 + 1 and many[0] == 2 * 120 + 100 + 1
    layers = 2
    assert few[1] == many[1] <= (3 * 8 + 1) * layers


def test_shuffled_pairs_are_strangers_and_each_picture_is_one_once(backbone, monkeypatch):
    """Pictures whose pixels are waves of strength i tell who was compared with whom."""
    count = 19
    wave = torch.cos(torch.arange(16) * 2 * torch.pi / 16).expand(3, *GRID)

    def make(i):
        return (i + 1) * wave, (i + 1) * wave

    met = []
    pairs, kept = Fields(make, count), gap_measures.image_sums

    def watched(a, b, bands):
        met.extend(zip(a[0].amax((1, 2, 3)).tolist(), b[0].amax((1, 2, 3)).tolist(), strict=True))
        return kept(a, b, bands)

    monkeypatch.setattr(gap_measures, "image_sums", watched)
    gap.measure(pairs, backbone, [0], ("shuffled",), progress=False)
    left, right = ([round(m[k]) for m in met] for k in (0, 1))
    assert sorted(left) == sorted(right) == list(range(1, count + 1))
    assert all(a != b for a, b in met)
    assert left != sorted(left)  # the order is drawn, not the files'


def test_count_takes_evenly_spread_pairs(backbone):
    pairs = Fields(coherent(0.2), 40)
    found = gap.measure(pairs, backbone, [0], ("real",), count=4, progress=False)
    assert sorted(pairs.read) == [0, 10, 20, 30] and found["pairs"] == 4


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (dict(pairings=("grau",)), "no pairing called 'grau'"),
        (dict(layers=[12]), "blocks 0 to 11"),
        (dict(count=1), "2 pairs or more"),
        (dict(count=50), "can't be taken from 10"),
    ],
)
def test_wrong_arguments_are_answered_in_a_sentence(backbone, about, says):
    with pytest.raises(UserError, match=says):
        gap.measure(Fields(coherent(0), 10), backbone, progress=False, **about)


def test_maps_without_a_low_or_any_energy_are_refused(backbone):
    small = Fields(lambda i: (noise(i, grid=(5, 7)),) * 2, 3, grid=(5, 7))
    with pytest.raises(UserError, match="block 0 of 'real' a grid of 5x7, too small"):
        gap.measure(small, backbone, [0], progress=False)
    even = Fields(lambda i: (torch.ones(3, *GRID), torch.ones(3, *GRID)), 3)
    with pytest.raises(UserError, match="one colour"):
        gap.measure(even, backbone, [0], progress=False)


# ------------------------------------------------------------------------------------ the words


def steep_or_flat(low, high):
    """Pairs of divergence `low` and `high` in the bands, up to noise."""

    def make(i):
        a, n = noise(i, 0), noise(i, 1)
        parts = zip(split_bands(a, 0.5, "disk"), split_bands(n, 0.5, "disk"), strict=True)
        mixed = [c * x + (1 - c * c) ** 0.5 * y
                 for c, (x, y) in zip((1 - low, 1 - high), parts, strict=True)]  # fmt: skip
        return a, sum(mixed)

    return make


@pytest.mark.parametrize(
    ("low", "high", "begins"),
    [(0.3, 0.8, "Yes: "), (0.8, 0.3, "No, less: "), (0.6, 0.6, "These can't tell: ")],
)
def test_the_answer_flips_when_the_numbers_do(backbone, low, high, begins):
    found = gap.measure(Fields(steep_or_flat(low, high), 40, f"{low}{high}"), backbone,
                        progress=False)  # fmt: skip
    said = gap_report.answer(found)
    assert said.startswith(begins) and "energy-normalised" in said and "40 pairs" in said
    real = gap_report.pick(found, band="disk25_75", metric="normalised", pairing="real")
    assert f"{real['ratio']:.2f} [{real['interval'][0]:.2f}" in said
    assert f"({real['high']:.2f}, " in said and f"as at low ({real['low']:.2f}, " in said
    beside = " ".join(gap_report.remarks(found))
    assert "a pair shares more than strangers do" in beside
    strangers = gap.measure(Fields(coherent(0), 40, "strangers"), backbone, progress=False)
    assert "nothing shows that these are pairs" in " ".join(gap_report.remarks(strangers))


def test_raw_mse_is_said_to_contradict_only_where_it_does(backbone):
    """A spectrum ten times as strong at low frequency turns raw MSE over, not the others."""

    def steep(i):
        out = []
        for x in steep_or_flat(0.3, 0.8)(i):
            slow, fast = split_bands(x, 0.5, "disk")
            out.append(10 * slow + fast)
        return tuple(out)

    white = gap.measure(Fields(steep_or_flat(0.3, 0.8), 40, "w"), backbone, progress=False)
    pink = gap.measure(Fields(steep, 40, "p"), backbone, progress=False)
    for found, raw in ((white, "More"), (pink, "Less")):
        sides = {s.split()[0]: s for s in gap_report.verdict(found)}
        assert ("raw MSE" in sides[raw]) and "cosine distance" in sides["More"]
        assert sum("raw MSE" in s for s in sides.values()) == 1


def test_the_page_says_what_was_measured(backbone, tmp_path):
    found = gap.measure(Fields(steep_or_flat(0.3, 0.8), 40), backbone, progress=False)
    page = gap_report.write_page(found, tmp_path / "gap.html", "freqkd gap --size 1x2").read_text()
    assert problems(page) == []
    plain = page.replace("&#39;", "'").replace("&lt;", "<")
    for text in (gap_report.answer(found), "c" * 64, "freqkd gap --size 1x2", "12x16 pixels",
                 *gap_report.remarks(found)):  # fmt: skip
        assert text in plain
    assert page.index("Yes: ") < page.index("data:image/png") < page.index("<table")
    assert page.count("2.4 times holds") == 1
    figure, alt = gap_report.by_block(found)
    ring = [r for r in found["rings"] if (r["pairing"], r["block"]) == ("real", 2)]
    assert f"block 2 from {ring[0]['value']:.2f} to {ring[-1]['value']:.2f}" in alt
    drawn = [line for line in figure.axes[0].lines if line.get_label() == "block 2"]
    assert drawn[0].get_ydata() == pytest.approx([r["value"] for r in ring])


# --------------------------------------------------------------------------------- the command


@pytest.fixture
def folders(tmp_path):
    draw = np.random.default_rng(0)
    for kind in ("vi", "ir"):
        (tmp_path / kind).mkdir()
        for i in range(4):
            pixels = draw.integers(0, 255, (150, 200, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
    return ["--visible", str(tmp_path / "vi"), "--infrared", str(tmp_path / "ir")]


def run(*args):
    """Exit code, output and error of `freqkd gap`."""
    got = CliRunner().invoke(app, ["gap", *args], env={"COLUMNS": "80"})
    return SimpleNamespace(code=got.exit_code, text=got.output, error=got.exception)


def test_the_command_prints_the_answer_and_writes_both_files(folders, tmp_path):
    out = [str(tmp_path / "out" / name) for name in ("gap.json", "gap.html")]
    got = run(*folders, "--model", "freqkd_tiny", "--size", "115x115", "--layers", "0,3",
              "--controls", "shuffled,shift4", "--json", out[0], "--html", out[1])  # fmt: skip
    assert got.code == 0, got.error
    found = json.loads((tmp_path / "out" / "gap.json").read_text())
    assert gap_report.answer(found) in got.text
    assert found["size"] == [112, 112] and "using 112x112" in got.text
    assert found["model"] == "freqkd_tiny" and len(found["checksum"]) == 64
    assert {r["pairing"] for r in found["rows"]} == {"real", "shuffled", "shift4"}
    assert {r["block"] for r in found["rows"]} == {0, 3}
    assert set(found["rows"][0]) == {"block", "band", "metric", "pairing", "low", "high", "ratio",
                                     "interval", "n"}  # fmt: skip
    assert problems((tmp_path / "out" / "gap.html").read_text()) == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--visible", "a"], "Give --visible DIR and --infrared DIR, or --data NAME"),
        (["--data", "scenes", "--size", "12"], "--size 12 can't be read"),
        (["--data", "scenes", "--model", "freqkd_tiny", "--layers", "2;3"], "--layers 2;3 can't"),
        (["--data", "scenes", "--model", "freqkd_tiny", "--split", "all"], "no split of scenes"),
    ],
)
def test_wrong_options_are_answered_in_a_sentence(args, says, monkeypatch):
    monkeypatch.delenv("FREQKD_WEIGHTS", raising=False)
    tiny = [] if "--model" in args else ["--model", "freqkd_tiny"]
    got = run(*args, *tiny)
    assert isinstance(got.error, UserError) and says in str(got.error)


def test_help_fits_a_screen():
    lines = run("--help").text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
