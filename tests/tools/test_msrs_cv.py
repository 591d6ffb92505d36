"""MSRS cross-validated, on pairs drawn here in its layout: folds, what a student saw, figures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics.functional.classification import binary_average_precision

from freqkd_lite.evaluate.probe import LogisticProbe
from freqkd_lite.results.rows import frame, pick, read_manifest, read_results
from freqkd_lite.results.summary import compare_folder
from tests.refused import refused
from tools import msrs_cv

YAML = """protocol: plan.md
seeds: [0]
folds: 2
methods: [none, mse, gram]
settings: {teacher: freqkd_tiny, dataset: "roadscene,msrs", blocks: [3, 7], size: [56, 70],
           crop: [42, 56], steps: 2, batch: 2}
read_blocks: [7]
labels: 2
repeats: 2
detector: {steps: 2}
own_detector: [mse]
draws: 20
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Eight pairs, each third a night; the box is a little brighter."""
    home, names = tmp_path / "msrs361", [f"{100 * i:05}{'NDD'[i % 3]}" for i in range(8)]
    for kind in ("vi", "ir", "boxes_ir", "boxes_vi"):
        (home / kind).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for i, name in enumerate(names):
        coarse = draw.integers(0, 215, (14, 14)).astype(np.uint8)  # unlike the others'
        pixels = np.kron(coarse, np.ones((4, 5), np.uint8))
        pixels[14:42, 14:42] += 40
        Image.fromarray(pixels).convert("RGB").save(home / "vi" / f"{name}.jpg")
        Image.fromarray(pixels).save(home / "ir" / f"{name}.webp")
        for kind in ("boxes_ir", "boxes_vi"):
            (home / kind / f"{name}.txt").write_text(f"{i % 3} .4 .5 .4 .5\n")
    (home / "split.json").write_text(json.dumps({"train": names}))
    for kind in ("vi", "ir"):
        (tmp_path / "roadscene" / kind).mkdir(parents=True)
        for i in range(2):
            noise = draw.integers(0, 255, (60, 80)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / "roadscene" / kind / f"FLIR_{i:05}.jpg")
    (tmp_path / "plan.md").write_text("A")
    (tmp_path / "small.yaml").write_text(YAML)
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("FREQKD_DATA", str(tmp_path))
    return tmp_path


def test_folds_take_whole_groups_and_share_day_and_night():
    groups, times = [0, 0, 0, 1, 1, 2, 3, 4, 5], list("DDDDDDNNN")
    folds = msrs_cv.share_folds(groups, times, 2)
    assert folds.tolist() == [0, 0, 0, 1, 1, 1, 0, 1, 0]
    draw = np.random.default_rng(1)
    groups = np.sort(draw.integers(0, 60, 300))
    times = np.where(groups % 2, "day", "night")
    folds = msrs_cv.share_folds(groups, times, 4)
    assert all(len(set(folds[groups == g])) == 1 for g in set(groups))
    for time in ("day", "night"):
        counts = np.bincount(folds[times == time], minlength=4)
        assert np.ptp(counts) <= max(np.bincount(groups))


@pytest.fixture
def fitted(monkeypatch):
    """On how many images each head was fitted."""
    counts, fit = [], LogisticProbe.fit

    def watched(self, features, *given, **more):
        counts.append(len(features))
        return fit(self, features, *given, **more)

    monkeypatch.setattr(LogisticProbe, "fit", watched)
    return counts


def mean_ap(scores, truth):
    """Of the three classes, by torchmetrics."""
    each = [binary_average_precision(scores[..., k], (truth == k).long()) for k in range(3)]
    return float(np.mean(each))


def test_every_image_is_scored_once_by_what_never_saw_it(root, fitted):
    msrs_cv.main([str(root / "small.yaml"), "--out", str(root / "out")])
    rows, made = read_results(root / "out"), read_manifest(root / "out")
    assert not made["unfinished"] and len(made["protocol"]) == 64
    assert set(fitted) == {2, 4}  # a few images, or those of the other fold
    saw = [
        {file.stem for file in (root / f"runs/msrs_cv/fold{k}-of-2/msrs361/ir").iterdir()}
        for k in range(2)
    ]
    assert not saw[0] & saw[1] and len(saw[0] | saw[1]) == 8
    files = list((root / "runs").glob("distil-*/manifest.json"))
    assert len(files) == 4  # two methods on two folds
    means = pick(rows, metric="label_free_probe_ap", klass="mean", split="all")
    assert [(row.method, row.seed) for row in means] == [("none", None), ("mse", 0), ("gram", 0)]
    assert {row.metric for row in rows if row.method == "mse"} >= {"map50", "label_free_map50"}
    table = compare_folder(root / "out").means("label_free_probe_ap").set_index("method")
    assert table.loc["gram", "value"] == pytest.approx(means[2].value - means[1].value, abs=1e-6)
    assert len(frame(rows)) == len(rows)
    (root / "small.yaml").write_text(YAML.replace("labels: 2", "labels: 3"))
    arguments = [str(root / "small.yaml"), "--out", str(root / "out")]
    refused(r"none\.npz .*settings", msrs_cv.main, arguments)


def test_figures_rank_the_scores_of_all_folds_together(root):
    study = msrs_cv.Study(**msrs_cv.read_yaml(root / "small.yaml", "small"))
    world = msrs_cv.open_world(study)
    draw = np.random.default_rng(0)
    shape = (4, *world.truth["boxes_ir"].shape[1:], 3)
    keys = [f"{k}/{b}" for k in ("label_free", "few/0", "few/1", "all") for b in world.truth]
    parts = [{k: draw.normal(size=shape).astype(np.float32) for k in keys} for _ in range(2)]
    found = msrs_cv.figures(world, parts)
    truth = world.truth["boxes_ir"]
    for name, heads in {"probe_ap": ["all"], "probe_ap_few": ["few/0", "few/1"]}.items():
        of_heads = []
        for head in heads:
            scores = torch.empty(8, *shape[1:])
            for fold in range(2):
                scores[world.folds == fold] = torch.from_numpy(parts[fold][f"{head}/boxes_ir"])
            of_heads.append(mean_ap(scores, truth))
        assert found[f"{name}/mean"][0] == pytest.approx(np.mean(of_heads), abs=1e-6)
        assert found[f"{name}/person"].shape == (1 + 20,)
    boxes = (torch.rand(2, 4), torch.zeros(0, 4))
    kinds = dict(scores=torch.rand(2), labels=torch.tensor([1, 0]))
    found = [{"boxes": b} | {key: of[: len(b)] for key, of in kinds.items()} for b in boxes]
    torch.testing.assert_close(msrs_cv.unflat(msrs_cv.flat(found)), found, rtol=0, atol=0)
