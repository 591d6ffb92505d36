"""The widgets that pick and compare, without a kernel: numbers against the features themselves."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from pandas import DataFrame
from PIL import Image

from freqkd_lite import data
from freqkd_lite.data import Pair
from freqkd_lite.distil import Run, distil, settings_from
from freqkd_lite.evaluate.probe import LogisticProbe, labels_of
from freqkd_lite.features import extract, load_backbone
from freqkd_lite.gap import knobs
from freqkd_lite.results.paired import Comparison
from freqkd_lite.results.rows import pick, read_results
from freqkd_lite.scenes import SceneSettings, render_scene
from freqkd_lite.spectrum import divergence, ring_sums
from freqkd_lite.widgets import draw_weight, fader, own_gap, patch_similarity, valleys
from freqkd_lite.widgets.embed import module
from freqkd_lite.widgets.own_gap import readout
from freqkd_lite.widgets.scrubber import Scrubber, compute_marks
from tests.refused import refused
from tests.widgets.test_fader import pair_of
from tools import scene_knobs

RESULTS = Path(__file__).parents[2] / "results" / "scenes_gap"
REAL = read_results(RESULTS)


def test_a_point_of_the_grid_is_the_divergence_of_scenes_drawn_so():
    """The grid takes pictures apart by modality and products by ring; here each point is drawn,
    read and transformed by itself."""
    values = dict(parallax=(0.0, 0.7, 6.0), paint=(1.0,), blur=(0.6, 4.0))
    values |= dict(thermal_contrast=(0.3, 1.0))
    edges, size, seeds = (0.0, 0.5, 1.0, 1.4143), (84, 112), (0, 3)
    backbone = load_backbone().freeze()
    grid = scene_knobs.measure(backbone, 5, seeds, size, edges, values)
    assert grid.curves.shape == (3, 1, 2, 2, 3)
    for i, j, k in ((0, 0, 1), (2, 0, 1), (1, 1, 0)):
        place = dict(parallax=i, blur=j, thermal_contrast=k)
        settings = SceneSettings(**{name: values[name][at] for name, at in place.items()})
        sums = []
        for seed in seeds:
            scene = render_scene(seed, size, settings)
            infrared = np.repeat(scene.infrared[..., None], 3, 2)
            pictures = np.stack([scene.visible, infrared]).transpose(0, 3, 1, 2) / 255
            maps = extract(backbone, torch.from_numpy(pictures).float(), [5])[0]
            sums.append(ring_sums(maps[:1], maps[1:], edges))
        expected = divergence(torch.cat(sums)).numpy()
        np.testing.assert_allclose(grid.curves[i, 0, j, k], expected, atol=2e-5)


def test_the_grid_keeps_its_shape_on_disk_and_gives_two_knobs_in_either_order(tmp_path):
    values = dict(parallax=(0.0, 0.7), paint=(1.0,), blur=(0.6, 1.0, 2.0))
    values |= dict(thermal_contrast=(1.0,))
    curves = np.arange(2 * 1 * 3 * 1 * 4).reshape(2, 1, 3, 1, 4) / 8
    grid = knobs.KnobGrid(values, (0, 0.4, 0.7, 1.0, 1.4143), curves, {"block": 3})
    scene_knobs.write(grid, tmp_path / "grid.json", command="x")
    again = knobs.read(tmp_path / "grid.json")
    assert again.values == values and again.edges == grid.edges
    assert again.about == {"block": 3, "command": "x"}
    np.testing.assert_array_equal(again.curves, curves.round(3))
    np.testing.assert_array_equal(grid.table("parallax", "blur"), curves[:, 0, :, 0])
    np.testing.assert_array_equal(grid.table("blur", "parallax"), curves[:, 0, :, 0].swapaxes(0, 1))
    # the knob that is not asked for stands at its default, 0.7
    np.testing.assert_array_equal(grid.table("blur", "paint")[:, 0], curves[1, 0, :, 0])
    refused("'blurr'.*'blur'", grid.table, "blurr", "paint")
    refused("'blur'.*two", grid.table, "blur", "blur")


def test_the_stored_grid_is_by_the_network_of_the_real_pairs():
    grid = knobs.read()
    about = json.loads((RESULTS / "manifest.json").read_text())
    assert grid.values == knobs.KNOBS and grid.about["weights"] == about["weights"]
    assert grid.about["block"] in about["blocks"] and list(grid.edges) == about["rings"]
    assert grid.about["size"] == [about["parameters"][k] for k in ("height", "width")]
    assert grid.about["generator"] == about["generator"]
    lights = [render_scene(seed, (32, 32)).time for seed in grid.about["scenes"][:2]]
    assert set(lights) == {"day", "night"}
    assert grid.curves.shape == (7, 5, 5, 5, 8) and (grid.curves > 0).all()
    # at the default point, where scenes_gap measured other scenes of the same kind
    name = f"block{grid.about['block']}/ring"
    rows = pick(REAL, method="scenes", split="train/all", metric="divergence")
    scenes = [row.value for row in rows if row.klass.startswith(name)]
    assert abs(grid.table("parallax", "blur")[1, 1] - scenes).max() < 0.08


def test_the_real_curve_is_that_of_the_results():
    spec = own_gap(REAL).spec
    rows = {r.klass: r for r in pick(REAL, method="msrs", split="train/all", metric="divergence")}
    rows = [rows[f"block{knobs.read().about['block']}/ring{ring}"] for ring in range(8)]
    curves = zip(*((row.value, *row.interval) for row in rows), strict=True)
    for name, curve in zip(("real", "low", "high"), curves, strict=True):
        assert spec["plot"][name] == [round(value, 3) for value in curve]
    real = np.array([[0.4, 0.8], [0.3, 0.7], [0.5, 0.9]])
    text = readout(np.array([0.54, 0.6]), real)  # above the one interval, and below the other
    numbers = [float(x) for x in re.findall(r"\d\.\d\d", text)]
    assert numbers == [0.54, 0.4, 0.6, 0.8, 0.17] and "2 of 2" in text


def test_own_gap_refuses_what_was_not_measured():
    shown = own_gap(REAL)
    assert (shown.first, shown.second) == (0.7, 0.6)
    refused("parallax=2 .* 0, 0.7, 1.5", setattr, shown, "first", 2.0)
    assert shown.first == 0.7
    refused("'print'.*'paint'", own_gap, REAL, ("parallax", "print"))
    refused("knobs=.*two", own_gap, REAL, ("parallax",))
    refused("block 8 .*8 rings", own_gap, [])


MAPS = torch.from_numpy(np.random.default_rng(4).normal(size=(3, 20, 4, 6)))
MAPS[2] = MAPS[0] + 2 * MAPS[2]
Y, X = np.mgrid[:56, :84] / 84
PICTURES = [torch.from_numpy(np.stack(x)).float() for x in ((X, Y, X * Y), 3 * (1 - X * X,))]
PAIR = Pair("street", *PICTURES, time_of_day="day")


def cosines(patch, from_infrared):
    """(2, h, w) by torch's own function."""
    flat = (MAPS - MAPS.mean((2, 3), keepdim=True)).flatten(2)
    asked, other = (flat[1:], flat[:1]) if from_infrared else (flat[:1], flat[1:])
    found = torch.nn.functional.cosine_similarity(asked[..., patch, None], other, dim=1)
    return found.reshape(2, 4, 6).numpy()


def test_similarity_is_torch_s_cosine_without_the_mean_patch():
    shown = patch_similarity(PAIR, *MAPS)
    assert shown.patch == 2 * 6 + 3
    for patch in range(24):
        for side in (False, True):
            want = cosines(patch, side)
            np.testing.assert_allclose(shown.similarity(patch, side), want, atol=1e-9)
            for words, x in zip(shown.captions(patch, side), want.reshape(2, -1), strict=True):
                rank = sorted(x, reverse=True).index(x[patch]) + 1
                assert words == f"Same place: cosine {x[patch]:.2f}, rank {rank} of 24"
    best = [np.mean([cosines(p, False)[i].argmax() == p for p in range(24)]) for i in (0, 1)]
    assert shown.at_same_place == pytest.approx(best) and best[1] > best[0]


def test_many_patches_are_sent_in_fewer_dimensions_and_the_loss_is_told():
    """Maps of 12 strong directions and some noise: what is left out is small, and is measured."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(384, 12))
    shared, own, rest = (random.normal(size=s) for s in ((12, 1200), (3, 12, 1200), (3, 384, 1200)))
    maps = torch.from_numpy(basis @ (shared + 0.3 * own) + 0.5 * rest).reshape(3, 384, 30, 40)
    picture = torch.rand(3, 420, 560, generator=torch.Generator().manual_seed(0))
    shown = patch_similarity(Pair("big", picture, picture), *maps)
    assert shown.spec["width"] == 41 and len(shown.vectors) <= 300_000
    vectors = np.frombuffer(shown.vectors, "<i2").reshape(3, 1200, 41) / 32767
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-3)
    off = abs(vectors[1] @ vectors[0][7] - shown.similarity(7)[0].ravel()).max()
    assert off < 0.2
    told = float(shown.spec["footnote"].split("errors up to ")[1].rstrip("."))
    assert off <= told + 0.005


def test_bad_patches_and_maps_are_one_sentence():
    shown = patch_similarity(PAIR, *MAPS, patch=(0, 5))
    assert shown.patch == 5
    refused("patch=24 .*0 to 23", setattr, shown, "patch", 24)
    refused(r"patch=\(4, 0\) .*4x6", patch_similarity, PAIR, *MAPS, patch=(4, 0))
    refused(r"\(20, 3, 6\).*three", patch_similarity, PAIR, MAPS[0], MAPS[1], MAPS[2][:, :3])
    refused("heat .*RGB", patch_similarity, Pair("heat", None, PAIR.infrared), *MAPS)
    refused("56x84 .*3x6", patch_similarity, PAIR, *MAPS[:, :, :3])


RANDOM = np.random.default_rng(1)
MARKS = dict(about="street", classes=("person", "car"), methods=("MSE", "Gram"), steps=range(12))
MARKS |= dict(pictures=np.full((2, 56, 84, 3), 40, "uint8"), boxes=[[14.0, 14.0, 28.0, 42.0]])
MARKS |= dict(on_rgb=RANDOM.integers(0, 128, (2, 4, 6), "uint8"))
MARKS |= dict(on_infrared=RANDOM.integers(0, 256, (2, 12, 2, 4, 6), "uint8"))
MARKS = {k: np.asarray(v) for k, v in (MARKS | {"truth": RANDOM.integers(0, 3, (4, 6))}).items()}


def test_marks_are_the_head_s_probabilities_by_the_student_of_each_step(tmp_path):
    same = dict(limit=12, size=(84, 112), blocks=(5, 7), steps=3, batch=2, warmup=1, lora_rank=2)
    run = distil(settings_from(loss="mse", keep_steps=2, **same), tmp_path, False)
    pairs, teacher = data.load("scenes", "train", (84, 112), limit=12), load_backbone().freeze()
    learned = extract(teacher, data.stack(pairs, "visible"), [5, 7])
    head = LogisticProbe().fit(learned, labels_of(pairs, 14), [*pairs.classes, "none"])
    pair, found = pairs[3], compute_marks({"mse": run}, pairs[3])
    first, _, last = found["on_infrared"][0]
    asked = (teacher, pair.visible, found["on_rgb"]), (teacher, pair.infrared, first)
    for net, picture, got in (*asked, (run.student(), pair.infrared, last)):
        odds = head.scores(extract(net, picture[None], [5, 7]))[0, ..., :3]
        assert abs(got - 255 * odds.sigmoid().permute(2, 0, 1).numpy()).max() < 1
    assert (found["truth"] == labels_of(pairs, 14)[3].numpy()).all()
    bare = Run(run.folder, run.settings.model_copy(update={"keep_steps": 0}))
    refused("mse .*keep_steps=12", compute_marks, {"mse": bare}, pair)
    refused("street .*boxes", compute_marks, {"mse": run}, PAIR)


def drawn():
    """Weights of a pair whose students were trained with one of them."""
    rows = [("coherence (lr=0.001)", -0.2), ("coherence (lr=0.003)", -0.02)]
    rows = [dict(method=m, value=v, low=v - 0.1, high=v + 0.1) for m, v in rows]
    trained = Comparison("mse", DataFrame(rows).assign(metric="probe_ap", klass="mean"))
    curves = {"rho": torch.tensor([0, 0.7, 1.4]), "coherence": torch.tensor([0.8, 0.2, 0.1])}
    return draw_weight(MAPS[:1], MAPS[1:2], curves, trained)


MAKE = {
    "fader": lambda: fader(Pair("street", *map(torch.as_tensor, pair_of(168, 224)))),
    "own_gap": lambda: own_gap(REAL),
    "patch": lambda: patch_similarity(PAIR, *MAPS),
    "scrubber": lambda: Scrubber(MARKS),
    "valleys": lambda: valleys([MAPS[:1]]),
    "weight": drawn,
}


@pytest.mark.parametrize("name", MAKE)
def test_a_widget_is_live_a_page_and_a_picture(name):
    shown = MAKE[name]()
    data, metadata = shown._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    page, alt = data["text/html"], data["text/plain"]
    assert metadata["image/png"]["alt"] == alt and not set("{}") & set(alt)
    assert page == MAKE[name]().page_html()  # nothing random: a notebook run again is the same
    assert len(page) < 600_000
    script = base64.b64decode(re.search(r"base64,([^\"]+)\"\);", page)[1]).decode()
    assert script == module(name)
    for text in (page, script):
        text = text.replace("http://www.w3.org/2000/svg", "")  # a name, not a place
        assert not re.search(r"https?:|//cdn|@import|\bfetch\(", text)
    # where scripts are removed, picture and words stay
    rest = BeautifulSoup(re.sub(r"<script.*?</script>", "", page, flags=re.S), "html.parser")
    assert rest.img["alt"] == alt and rest.get_text().strip() == ""
    for kind, code in (("PNG", data["image/png"]), ("JPEG", rest.img["src"].split(",")[1])):
        image = Image.open(io.BytesIO(base64.b64decode(code)))
        assert image.format == kind and image.width > 600
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20
