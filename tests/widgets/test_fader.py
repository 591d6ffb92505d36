"""The fader without a kernel: numbers against NumPy, the page's arithmetic against split_bands."""

import base64
import json
import re
import shutil
import subprocess
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from freqkd_lite.data import Pair
from freqkd_lite.spectrum import split_bands
from freqkd_lite.widgets import fader
from freqkd_lite.widgets.embed import module
from tests.refused import refusals, refused
from tools.fader_picture import record

NODE = shutil.which("node")


def picture(channels, h, w, seed):
    """Noise with a slope, so that every band holds something, in [0, 1] and steps of 1/255."""
    noise = np.random.default_rng(seed).normal(size=(channels, h, w))
    x = noise + noise.cumsum(1).cumsum(2) / 8
    return np.round((x - x.min()) / np.ptp(x) * 255) / 255


def pair_of(h=24, w=30):
    infrared = np.repeat(picture(1, h, w, 2), 3, 0)
    return picture(3, h, w, 1).astype(np.float32), infrared.astype(np.float32)


BANDS = list(product(("rectangle", "disk"), ("hard", "soft"), ("fft", "dct")))


def test_the_numbers_on_the_page_are_those_of_the_table():
    shown = fader(pair_of())
    for step, shares in zip(shown.spec["steps"], shown.shares.tolist(), strict=True):
        for (low, high), share in zip(step["shares"], shares, strict=True):
            assert abs(float(low) - 100 * share) <= 0.0501
            assert float(low) + float(high) == pytest.approx(100)
    half = shown.spec["steps"][49]
    assert half["cutoff"] == 0.5 and re.findall(r"[\d.]+", half["readout"]) == ["4", "0.25", "0.50"]
    low, high = (float(s) for s in fader(pair_of(), edge="soft").spec["steps"][30]["shares"][0])
    assert low + high < 99.9  # soft edges overlap


@pytest.mark.parametrize("shape, edge, transform", BANDS)
def test_shares_and_divergences_are_those_of_the_bands_themselves(shape, edge, transform):
    """Every step, against bands that were split, squared and summed in space."""
    maps = np.random.default_rng(7).normal(size=(2, 5, 9, 12))
    maps[1] = 0.6 * maps[0] + 0.5 * maps[1]
    shown = fader(features=tuple(maps), shape=shape, edge=edge, transform=transform)
    steps = {"disk": 142, "rectangle": 100}[shape]
    assert (len(shown.cutoffs), shown.cutoffs[-1]) == (steps, 1.4143 if shape == "disk" else 1.0)
    x, y = (torch.as_tensor(m - m.mean((1, 2), keepdims=True)) for m in maps)
    for cutoff, shares, parted in zip(shown.cutoffs, shown.shares, shown.divergences, strict=True):
        bands = [split_bands(z, cutoff, shape, edge=edge, transform=transform) for z in (x, y)]
        for i, z in enumerate((x, y)):
            assert abs(bands[i][0].square().sum() / z.square().sum() - shares[i]) < 1e-9
        for k, (a, b) in enumerate(zip(*bands, strict=True)):
            whole = a.square().sum() + b.square().sum()
            if whole < 1e-9 * x.square().sum():
                assert parted[k].isnan()
            else:
                assert abs((a - b).square().sum() / whole - parted[k]) < 1e-9
    assert shown.spec["steps"][-1]["divergence"].endswith("high band none")


@pytest.mark.parametrize("shape", ["rectangle", "disk"])
def test_panels_are_the_low_band_of_one_the_high_band_of_the_other_and_their_sum(shape):
    visible, infrared = (torch.as_tensor(x).double() for x in pair_of())
    shown = fader((visible, infrared), shape=shape)
    for cutoff, swap in product(shown.cutoffs, (False, True)):
        a, b = (infrared, visible) if swap else (visible, infrared)
        low, high = split_bands(a, cutoff, shape)[0], split_bands(b, cutoff, shape)[1]
        expected = (low, 0.5 + 2 * high, low + high)
        for got, want in zip(shown.panels(cutoff, swap), expected, strict=True):
            want = (want * 255).clip(0, 255).permute(1, 2, 0).numpy()
            assert abs(got - want).max() <= 0.5 + 1e-4


def test_the_curve_knows_which_frequency_parts():
    """Two waves: at 1/4 of Nyquist both maps hold the same, at 3/4 opposite signs, so divergence
    is 0 there and 2 here, and the steps lie where the slider has these cutoffs."""
    y, x = np.mgrid[:8, :16]
    slow, fast = np.cos(np.pi * x / 4) * (y > -1), np.cos(3 * np.pi * x / 4) * (y > -1)
    maps = [np.stack([slow + sign * fast, slow, sign * fast]) for sign in (1, -1)]
    shown = fader(features=tuple(maps), shape="disk")
    curve = shown.spec["curve"]
    assert curve["divergence"] == [0, 0, 2, 2] and curve["top"] == pytest.approx(2.1)
    share = [(c - 0.01) / (1.4143 - 0.01) for c in (0.25, 0.75)]
    assert curve["x"][0] < share[0] < curve["x"][1] and curve["x"][2] < share[1] < curve["x"][3]
    parting = {s["cutoff"]: s["divergence"].split(": ")[1] for s in shown.spec["steps"]}
    assert "2 opposite" in shown.spec["steps"][0]["divergence"]
    assert parting[0.24] == "low band none, high band 1.00"
    assert parting[0.25] == "low band 0.00, high band 2.00"
    assert parting[0.75] == "low band 1.00, high band none"


def test_pictures_are_compared_by_their_luminance():
    visible, infrared = (x.astype(float) for x in pair_of())
    grey = np.tensordot((0.2989, 0.587, 0.114), visible, 1) / 0.9999
    a, b = (x - x.mean() for x in (grey, infrared[0]))
    shown = fader((visible, infrared))
    whole = shown.divergences[-1, 0].item()
    assert whole == pytest.approx(((a - b) ** 2).sum() / (a**2 + b**2).sum(), rel=2e-3)


def test_bad_values_leave_the_old_state():
    shown = fader(pair_of(), cutoff=0.3)
    for bad in (0, 1.01, 0.333, float("nan")):
        refused("cutoff=.* 0.01, 0.02", setattr, shown, "cutoff", bad)
    assert shown.cutoff == 0.3
    shown.cutoff = 0.1 + 0.2  # not 0.3 to the last bit
    assert shown.cutoff == 0.3


def test_the_filmstrip_shows_the_panels():
    shown = fader(pair_of(24, 224), cutoff=0.15)
    strip = np.asarray(shown.filmstrip())
    card = shown.card(0.06, False, footnote=False).height
    for row, cutoff in enumerate((0.06, 0.15, 0.5)):
        for column, panel in enumerate(shown.panels(cutoff)):
            y, x = row * card + 110, 8 + column * 248
            np.testing.assert_array_equal(strip[y : y + 24, x : x + 224], panel)


GREY = np.linspace(0, 1, 48).reshape(1, 6, 8)
MAP = np.random.default_rng(0).normal(size=(5, 6, 8))


test_bad_input_is_one_sentence = refusals(
    ({}, "nothing to show"),
    ({"pair": GREY}, "two arrays"),
    ({"pair": Pair("x", torch.zeros(3, 6, 8), None)}, "two arrays"),
    ({"pair": (GREY, "heat")}, "no array"),
    ({"pair": (GREY, GREY[:, :, :7])}, r"\(1, 6, 8\) and \(1, 6, 7\)"),
    ({"pair": (GREY, GREY * 2)}, r"leave \[0, 1\]"),
    ({"pair": (GREY, np.where(GREY > 0.5, np.nan, GREY))}, "finite"),
    ({"pair": (GREY, np.zeros((1, 6, 8)))}, "infrared side has one value everywhere"),
    ({"pair": (np.zeros((1, 480, 640), np.uint8),) * 2}, r"480x640.*size=\(168, 224\)"),
    ({"pair": (np.zeros((2, 6, 8)),) * 2}, "3 or 1, H, W"),
    ({"pair": (np.zeros((1, 6, 8), np.int64),) * 2}, "int64"),
    ({"pair": (GREY, GREY), "shape": "disc"}, "did you mean 'disk'"),
    ({"pair": (GREY, GREY), "edge": "sofd"}, "did you mean 'soft'"),
    ({"pair": (GREY, GREY), "transform": "dst"}, "did you mean 'dct'"),
    ({"pair": (GREY, GREY), "cutoff": 1.2}, "cutoff=1.2"),
    ({"pair": (GREY, GREY), "gain": 0}, "gain=0"),
    ({"features": (MAP, MAP[:4])}, "one backbone"),
    ({"features": (MAP[:2], MAP[:2])}, "3 channels or more"),
    call=fader,
)


def test_components_are_those_of_a_known_mixture():
    """Three orthogonal waves of falling energy, turned into eight channels: the components are
    the waves again, whichever modality they come from."""
    y, x = np.mgrid[:12, :16]
    waves = np.stack([np.cos(2 * np.pi * k * x / 16) * (y > -1) for k in (1, 2, 3)])
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))[0][:, :3]
    maps = np.einsum("cw,wyx->cyx", turn * [9, 3, 1], waves)
    shown = fader(features=(maps + 5, -2 * maps))  # a constant is not part of it
    for got, other, wave in zip(*(p - 0.5 for p in shown.pictures), waves, strict=True):
        assert abs(np.corrcoef(got.ravel(), wave.ravel())[0, 1]) > 1 - 1e-6
        np.testing.assert_allclose(other, -2 * got, atol=1e-6)


def test_a_recording_moves_and_loops(tmp_path):
    y, x = np.mgrid[:21, :28] / 28
    smooth = (np.stack([x, y, np.sin(9 * x) ** 2]), (np.cos(14 * x * y) ** 2)[None])
    path = record(smooth, tmp_path / "fader.gif")
    movie = Image.open(path)
    assert movie.n_frames == 34 and movie.info["loop"] == 0
    assert path.stat().st_size <= 1_500_000
    first = np.asarray(movie.convert("RGB"))
    movie.seek(17)
    assert (np.asarray(movie.convert("RGB")) != first).mean() > 0.05
    refused("fader.mp4", record, smooth, tmp_path / "fader.mp4")
    refused("100 bytes", record, smooth, tmp_path / "small.gif", limit=100)
    assert not (tmp_path / "small.gif").exists()


SPLIT = """import * as m from "data:text/javascript;base64,%s";
import { readFileSync } from "node:fs";
const { x, h, w, states } = JSON.parse(readFileSync(0, "utf8"));
const low = { fft: m.splitter(x, h, w), dct: m.splitter(x, h, w, "dct") };
console.log(JSON.stringify(states.map(([cutoff, shape, edge, kind]) =>
  low[kind]({ cutoff, shape, edge }).map((band) => [...band]))));"""


@pytest.mark.skipif(NODE is None, reason="no node: fader.js is not run outside a page")
@pytest.mark.parametrize(
    "size", [(12, 16), (13, 17), (9, 10), (14, 15), (1, 6), (24, 44), (21, 28), (25, 49)]
)
def test_the_module_splits_bands_as_split_bands_does_at_every_step(size):
    x = torch.as_tensor(np.random.default_rng(5).normal(size=(3, *size)))  # odd: one goes alone
    every = 1 if size == (13, 17) else 5
    steps = [c / 100 for c in range(1, 142)] + [1.4143]
    cutoffs = {"rectangle": steps[99::-every], "disk": steps[::-every]}
    states = [(cutoff, *band) for band in BANDS for cutoff in cutoffs[band[0]]]
    script = SPLIT % base64.b64encode(module("fader").encode()).decode()
    given = {"x": x.flatten(1).tolist(), "h": size[0], "w": size[1], "states": states}
    command = [NODE, "--input-type=module", "-e", script]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    for (cutoff, shape, edge, transform), low in zip(states, got, strict=True):
        want, _ = split_bands(x, cutoff, shape, edge=edge, transform=transform)
        worst = (torch.tensor(low, dtype=torch.float64).reshape(x.shape) - want).abs().max()
        assert worst < 1e-12, (cutoff, shape, edge, transform)
