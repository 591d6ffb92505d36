"""The fader without a kernel: numbers against NumPy, the page's arithmetic against split_bands."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from freqkd_lite.data import Pair
from freqkd_lite.errors import UserError
from freqkd_lite.spectrum import split_bands
from freqkd_lite.widgets import fader, record

MODULE = Path(__file__).parent.parent / "freqkd_lite" / "widgets" / "fader.js"
NODE = shutil.which("node")


def picture(channels, h, w, seed):
    """Noise with a slope, so that every band holds something, in [0, 1] and steps of 1/255."""
    noise = np.random.default_rng(seed).normal(size=(channels, h, w))
    x = noise + noise.cumsum(1).cumsum(2) / 8
    x = (x - x.min()) / (x.max() - x.min())
    return np.round(x * 255) / 255


def pair_of(h=24, w=30):
    infrared = np.repeat(picture(1, h, w, 2), 3, 0)
    return picture(3, h, w, 1).astype(np.float32), infrared.astype(np.float32)


def numpy_low(x, cutoff, shape):
    """The low band by NumPy's full complex FFT."""
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in x.shape[-2:]), indexing="ij")
    reach = np.hypot(fy, fx) if shape == "disk" else np.maximum(abs(fy), abs(fx))
    return np.fft.ifft2(np.fft.fft2(x) * (reach <= cutoff / 2 + 1e-9)).real


@pytest.mark.parametrize("shape", ["rectangle", "disk"])
def test_shares_and_panels_agree_with_numpy_at_every_step(shape):
    visible, infrared = (x.astype(float) for x in pair_of())
    shown = fader((visible, infrared), shape=shape)
    assert shown.cutoffs[-1] == (1.4143 if shape == "disk" else 1.0)
    assert len(shown.cutoffs) == (142 if shape == "disk" else 100)
    for cutoff, shares in zip(shown.cutoffs, shown.shares, strict=True):
        for x, share in zip((visible, infrared), shares, strict=True):
            centred = x - x.mean((1, 2), keepdims=True)
            low = numpy_low(centred, cutoff, shape)
            assert abs((low**2).sum() / (centred**2).sum() - share.item()) < 1e-6
        for swap in (False, True):
            a, b = (infrared, visible) if swap else (visible, infrared)
            low = numpy_low(a, cutoff, shape)
            high = b - numpy_low(b, cutoff, shape)
            expected = (low, 0.5 + 2 * high, low + high)
            for got, want in zip(shown.panels(cutoff, swap), expected, strict=True):
                want = (want * 255).clip(0, 255).transpose(1, 2, 0)
                assert abs(got - want).max() <= 0.5 + 1e-4


def test_the_numbers_on_the_page_are_those_of_the_table():
    shown = fader(pair_of())
    for step, shares in zip(shown._spec["steps"], shown.shares.tolist(), strict=True):
        for (low, high), share in zip(step["shares"], shares, strict=True):
            assert abs(float(low) - 100 * share) <= 0.0501
            assert float(low) + float(high) == pytest.approx(100)
    half = shown._spec["steps"][49]
    assert half["cutoff"] == 0.5
    assert half["readout"] == (
        "waves of 4 pixels and longer are low (0.25 cycles per pixel, 0.50 of Nyquist)"
    )


def test_every_state_can_be_reached_and_observed():
    shown, seen = fader(pair_of(), cutoff=0.5), []
    shown.observe(lambda change: seen.append((change["name"], change["new"])))
    for swap in (True, False):
        shown.swap = swap
        for cutoff in shown.cutoffs:
            shown.cutoff = cutoff
    assert [value for name, value in seen if name == "cutoff"] == list(shown.cutoffs) * 2
    assert [value for name, value in seen if name == "swap"] == [True, False]


def test_an_observers_error_is_not_swallowed():
    shown = fader(pair_of())

    def broken(change):
        raise ZeroDivisionError

    shown.observe(broken, "cutoff")
    with pytest.raises(ZeroDivisionError):
        shown.cutoff = 0.25


def test_bad_values_leave_the_old_state():
    shown = fader(pair_of(), cutoff=0.3)
    for bad in (0, 1.01, 0.333, float("nan")):
        with pytest.raises(UserError, match="no step of the slider: give hundredths from 0.01 to"):
            shown.cutoff = bad
    with pytest.raises(TraitError, match="'swap' trait"):
        shown.swap = "infrared"
    with pytest.raises(TraitError, match="'cutoff' trait"):
        shown.cutoff = "half"
    assert (shown.cutoff, shown.swap) == (0.3, False)
    shown.cutoff = 0.1 + 0.2  # not 0.3 to the last bit
    assert shown.cutoff == 0.3


GREY = np.linspace(0, 1, 48).reshape(1, 6, 8)
MAP = np.random.default_rng(0).normal(size=(5, 6, 8))


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({}, "nothing to show"),
        ({"pair": GREY}, "two arrays"),
        ({"pair": (GREY, None)}, "two arrays"),
        ({"pair": Pair("x", torch.zeros(3, 6, 8), None)}, "two arrays"),
        ({"pair": (GREY, "heat")}, "no array"),
        ({"pair": (GREY, GREY[:, :, :7])}, r"\(1, 6, 8\) and \(1, 6, 7\)"),
        ({"pair": (GREY, GREY * 2)}, r"leave \[0, 1\]"),
        ({"pair": (GREY, np.where(GREY > 0.5, np.nan, GREY))}, "not finite"),
        ({"pair": (GREY, np.zeros((1, 6, 8)))}, "infrared side has one value everywhere"),
        ({"pair": (np.zeros((1, 480, 640), np.uint8),) * 2}, r"480x640.*size=\(168, 224\)"),
        ({"pair": (np.zeros((2, 6, 8)),) * 2}, "3 or 1, H, W"),
        ({"pair": (np.zeros((1, 6, 8), np.int64),) * 2}, "int64"),
        ({"pair": (GREY, GREY), "shape": "disc"}, "did you mean 'disk'"),
        ({"pair": (GREY, GREY), "cutoff": 1.2}, "cutoff=1.2"),
        ({"pair": (GREY, GREY), "gain": 0}, "gain=0"),
        ({"features": (MAP, MAP[:4])}, "one backbone"),
        ({"features": (MAP[:2], MAP[:2])}, "3 channels or more"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        fader(**arguments)


def test_components_are_those_of_a_known_mixture():
    """Three orthogonal waves of falling energy, turned into eight channels: the components are
    the waves again, whichever modality they come from."""
    y, x = np.mgrid[:12, :16]
    waves = np.stack([np.cos(2 * np.pi * k * x / 16) * (y > -1) for k in (1, 2, 3)])
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))[0][:, :3]
    maps = np.einsum("cw,wyx->cyx", turn * [9, 3, 1], waves)
    shown = fader(features=(maps + 5, -2 * maps))  # a constant is no part of it
    for got, other, wave in zip(*shown.pictures, waves, strict=True):
        got, other = got.numpy() - 0.5, other.numpy() - 0.5
        assert abs(np.corrcoef(got.ravel(), wave.ravel())[0, 1]) > 1 - 1e-6
        np.testing.assert_allclose(other, -2 * got, atol=1e-6)
    # all the energy of the three waves: at 1/8, 2/8 and 3/8 of the axis' Nyquist frequency
    low = dict(zip(shown.cutoffs, shown.shares[:, 0].tolist(), strict=True))
    assert low[0.12] == pytest.approx(0, abs=1e-9) and low[0.38] == pytest.approx(1)
    assert low[0.13] == pytest.approx(81 / 91) and low[0.25] == pytest.approx(90 / 91)


def test_the_bundle_has_three_forms():
    shown = fader(Pair("street", *map(torch.as_tensor, pair_of()), light="night"))
    data, metadata = shown._repr_mimebundle_()
    assert set(data) >= {
        "application/vnd.jupyter.widget-view+json", "text/html", "image/png", "text/plain",
    }  # fmt: skip
    page = data["text/html"]
    module = base64.b64decode(re.search(r"base64,([^\"]+)\"\);", page)[1]).decode()
    assert module == MODULE.read_text()
    for text in (page, module):
        assert not re.search(r"https?:|//cdn|@import|\bfetch\(", text)
    # where scripts are removed, picture and words stay
    rest = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    alt = re.search(r'<img [^>]*alt="([^"]+)"', rest)[1]
    assert "street (night)" in alt and "Low band of RGB" in alt and "{" not in rest
    assert metadata["image/png"]["alt"] in data["text/plain"]
    for kind, text in (
        ("PNG", data["image/png"]),
        ("JPEG", re.search(r"jpeg;base64,([^\"]+)", rest)[1]),
    ):
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        assert image.format == kind and image.width > 600
    assert page == shown.page_html()  # nothing random: a notebook run again is the same


def test_the_payload_at_the_walk_s_size():
    page = fader(pair_of(168, 224)).page_html()
    assert len(page) < 500_000  # noise, the worst for its picture


def test_the_filmstrip_shows_the_panels():
    shown = fader(pair_of(24, 224), cutoff=0.15)
    strip = np.asarray(shown.filmstrip())
    card = shown.card(0.06, False, footnote=False).height
    for row, cutoff in enumerate((0.06, 0.15, 0.5)):
        for column, panel in enumerate(shown.panels(cutoff)):
            y, x = row * card + 54, 8 + column * 248
            np.testing.assert_array_equal(strip[y : y + 24, x : x + 224], panel)


def test_a_recording_moves_and_loops(tmp_path):
    y, x = np.mgrid[:21, :28] / 28
    smooth = (np.stack([x, y, np.sin(9 * x) ** 2]), (np.cos(14 * x * y) ** 2)[None])
    path = record(smooth, tmp_path / "out" / "fader.gif")
    movie = Image.open(path)
    assert movie.n_frames == 34 and movie.info["loop"] == 0
    assert path.stat().st_size <= 1_500_000
    first = np.asarray(movie.convert("RGB"))
    movie.seek(17)
    assert (np.asarray(movie.convert("RGB")) != first).mean() > 0.05
    with pytest.raises(UserError, match="name it .gif or .webp"):
        record(smooth, tmp_path / "fader.mp4")
    with pytest.raises(UserError, match="needs over 100 bytes"):
        record(smooth, tmp_path / "small.gif", limit=100)
    assert not (tmp_path / "small.gif").exists()


def run_node(script, given):
    module = base64.b64encode(MODULE.read_bytes()).decode()
    done = subprocess.run(
        [NODE, "--input-type=module", "-e",
         f'import * as m from "data:text/javascript;base64,{module}";'
         'import { readFileSync } from "node:fs";'
         f'const given = JSON.parse(readFileSync(0, "utf8"));'
         f"console.log(JSON.stringify(({script})(m, given)));"],
        input=json.dumps(given), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_node = pytest.mark.skipif(NODE is None, reason="no node: fader.js is not run outside a page")


@needs_node
@pytest.mark.parametrize("size", [(12, 16), (13, 17), (9, 10), (14, 15), (1, 6), (24, 44)])
def test_the_module_splits_bands_as_split_bands_does(size):
    x = torch.as_tensor(np.random.default_rng(5).normal(size=(3, *size)))  # odd: one goes alone
    states = [
        (cutoff / 100, shape)
        for shape, last in (("rectangle", 100), ("disk", 141))
        for cutoff in range(1, last + 1, 3)
    ] + [(1.4143, "disk"), (0.5, "rectangle")]
    got = run_node(
        "(m, {x, h, w, states}) => { const low = m.splitter(x, h, w);"
        " return states.map(([c, s]) => low(c, s).map((band) => [...band])); }",
        {"x": x.flatten(1).tolist(), "h": size[0], "w": size[1], "states": states},
    )
    for (cutoff, shape), low in zip(states, got, strict=True):
        want, _ = split_bands(x, cutoff, shape)
        worst = (torch.tensor(low, dtype=torch.float64).reshape(x.shape) - want).abs().max()
        assert worst < 1e-12, (cutoff, shape)


@needs_node
@pytest.mark.parametrize("kind", ["pair", "grey pair", "features"])
def test_the_module_draws_what_python_draws(kind):
    if kind == "features":
        shown = fader(features=(MAP, MAP[:, ::-1].copy()), shape="disk")
    else:
        visible, infrared = pair_of(12, 15)
        shown = fader((visible[:1] if kind == "grey pair" else visible, infrared))
    cutoffs = shown.cutoffs[::7]
    got = run_node(
        """(m, {spec, bytes, cutoffs}) => {
          const view = new DataView(Uint8Array.from(bytes).buffer);
          const channels = m.channelsOf(spec, view);
          const low = m.splitter(channels, spec.height, spec.width);
          return cutoffs.flatMap((cutoff) => [false, true].map((swap) => {
            const out = [0, 1, 2].map(() => new Uint8ClampedArray(4 * channels[0].length));
            m.panels(spec, channels, low(cutoff, spec.shape), swap, out);
            return out.map((panel) => [...panel]);
          }));
        }""",
        {"spec": shown._spec, "bytes": list(shown._pixels), "cutoffs": cutoffs},
    )
    states = [(cutoff, swap) for cutoff in cutoffs for swap in (False, True)]
    for state, drawn in zip(states, got, strict=True):
        for panel, want in zip(drawn, shown.panels(*state), strict=True):
            panel = np.array(panel).reshape(*want.shape[:2], 4)[..., :3]
            assert abs(panel - want.astype(int)).max() <= 1, state
