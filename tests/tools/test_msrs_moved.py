"""Students of the cross-validation elsewhere: HIT-UAV, a CNN, masks without label maps."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchmetrics.functional.classification import multiclass_jaccard_index

from freqkd_lite import data
from freqkd_lite.evaluate.probe import LogisticProbe
from freqkd_lite.features import create_net, extract, load_backbone
from freqkd_lite.results.rows import pick, read_manifest, read_results
from tests.noise import noise
from tests.tools.test_msrs_cv import YAML, fitted, mean_ap, root  # noqa: F401  (fixtures)
from tools import hituav, mfnet, msrs_cv


def stopped_and_resumed(tool, arguments, out, monkeypatch, owner, name, count, at=2):
    """The rows of a sweep of `count` computations that is stopped in its second student and then
    resumes."""
    work, calls = getattr(owner, name), []

    def stops(*given):
        calls.append(given)
        if len(calls) == at:
            raise KeyboardInterrupt
        return work(*given)

    monkeypatch.setattr(owner, name, stops)
    with pytest.raises(KeyboardInterrupt):
        tool.main([*arguments, "--out", str(out)])
    total = read_manifest(out)["unfinished"][0]
    assert total.startswith(f"{int(total.split()[2]) - 1} of ")
    first = read_results(out)
    tool.main([*arguments, "--out", str(out)])
    rows, made = read_results(out), read_manifest(out)
    assert rows[: len(first)] == first and len(rows) > len(first) and not made["unfinished"]
    assert len(made["protocol"]) == 64
    tool.main([*arguments, "--out", str(out)])
    assert len(calls) == count + 1 and read_results(out) == rows  # nothing is scored twice
    return rows


@pytest.fixture
def flights(root):  # noqa: F811
    """16 train and 6 test images in HIT-UAV's layout; one box each, a little brighter."""
    home, draw = root / "hituav", np.random.default_rng(5)
    categories = ["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"]
    (home / "annotations").mkdir(parents=True)
    for part, numbers in (("train", range(16)), ("test", range(100, 106))):
        (home / part).mkdir()
        images, boxes = [], []
        for k in numbers:
            pixels = np.kron(draw.integers(0, 200, (14, 14)), np.ones((4, 5))).astype(np.uint8)
            pixels[14:42, 14:42] += 10 + 10 * (k % 4)
            Image.fromarray(pixels).save(home / part / f"1_60_30_0_{k:05}.jpg")
            images.append({"filename": f"1_60_30_0_{k:05}.jpg", "id": k, "height": 56, "width": 70})
            boxes.append({"image_id": k, "category_id": k % 4, "bbox": [14, 14, 28, 28], "id": k})
        kinds = [{"id": k, "name": name} for k, name in enumerate(categories)]
        content = {"images": images, "annotation": boxes, "categories": kinds}
        (home / f"annotations/{part}.json").write_text(json.dumps(content))
    moved = "protocol: plan.md\nstudents: small.yaml\nsize: [56, 70]\n"
    (root / "moved.yaml").write_text(moved)
    return root


def test_students_of_fold_0_are_scored_on_hituav_with_labels(flights, fitted, monkeypatch):  # noqa: F811
    arguments, out = [str(flights / "moved.yaml")], flights / "out"
    rows = stopped_and_resumed(hituav, arguments, out, monkeypatch, msrs_cv, "fold_scores", 3)
    assert set(fitted) == {2, 16} and not [r for r in rows if "label_free" in r.metric]
    means = {r.method: r for r in pick(rows, metric="probe_ap", klass="mean", split="test")}
    assert [*means] == ["none", "mse", "gram"] and means["none"].n == 6
    assert {r.method for r in rows if r.metric == "map50"} == {"mse"}

    teacher = load_backbone("freqkd_tiny").freeze()  # the figure of "none" by other means
    pairs = data.load("hituav", "all", (56, 70))
    maps = extract(teacher, data.stack(pairs, "infrared"), [7])[0]
    truth = torch.full((22, 4, 5), 3)  # of 14 px; Person, Car and Bicycle are classes 0, 2 and 1
    for k in range(22):
        truth[k, 1:3, 1:3] = [0, 2, 1, 3][int(pairs.names[k].split("_")[-1]) % 4]
    train = torch.tensor([name.startswith("train") for name in pairs.names])
    model = LogisticProbe().fit(maps[train], truth[train], ["a", "b", "c", "none"])
    by_hand = mean_ap(model.scores(maps[~train]), truth[~train])
    assert means["none"].value == pytest.approx(by_hand, abs=1e-5)

    study = msrs_cv.read_study(flights / "small.yaml", msrs_cv.Study)
    before = {path.name for path in (flights / "runs").glob("distil-*")}
    _, run = msrs_cv.open_folds(study).student(teacher, "mse", 0, 0)
    assert run in before and len(before) == 2  # what the cross-validation takes for its fold 0


def test_maps_of_stages_are_read_under_the_centres_of_patches():
    for size, patch in (((252, 308), 14), ((56, 70), 14)):
        maps, strides = [], (8, 14, 16, 32)
        for stride in strides:
            y, x = (stride * (torch.arange(-(-edge // stride)) + 0.5) for edge in size)
            maps.append(torch.stack(torch.meshgrid(y, x, indexing="ij"))[None])
        found = msrs_cv.on_patches(maps, strides, patch, size)
        y, x = (patch * (torch.arange(edge // patch) + 0.5) for edge in size)
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij"))[None]
        for k, stride in enumerate(strides):
            inside = (centres >= stride / 2) & (centres <= maps[k].amax((2, 3), keepdim=True))
            own = found[:, 2 * k : 2 * k + 2]  # each position is what lies there
            assert torch.allclose(own[inside], centres[inside], atol=1e-3) and inside.any()


def test_the_pyramid_of_stages_gets_them_standardised_and_whole():
    shapes = (3, 5, 7, 9), (3, 6, 4, 5)
    maps = [noise(*shape, dtype=torch.float32) * 4 + 2 for shape in shapes]
    pyramid = msrs_cv.TopDown(maps, 32)
    found = pyramid(msrs_cv.packed(maps))
    by_hand = {
        str(k): (m - m.mean((0, 2, 3))[:, None, None]) / m.std((0, 2, 3))[:, None, None]
        for k, m in enumerate(maps)
    }
    for name, level in pyramid.fpn(by_hand).items():
        assert level.shape[1:] == (32, *maps[int(name)].shape[2:])
        assert torch.allclose(found[name], level, atol=1e-5)


def test_a_convolutional_student_is_scored_with_labels_alone(root, monkeypatch):  # noqa: F811
    torch.manual_seed(0)
    save_file(create_net("tf_efficientnet_lite0").state_dict(), root / "lite.safetensors")
    student = f"student: tf_efficientnet_lite0, student_weights: {root}/lite.safetensors,"
    text = YAML.replace("{", f"{{{student} student_blocks: [2, 3], lora_rank: 0, ", 1)
    text = text.replace("read_blocks: [7]", "read_blocks: [2, 3]").replace(", gram", "")
    (root / "cnn.yaml").write_text(text.replace('dataset: "roadscene,msrs"', "dataset: msrs"))
    arguments, out = [str(root / "cnn.yaml")], root / "cnn"
    rows = stopped_and_resumed(msrs_cv, arguments, out, monkeypatch, msrs_cv, "fold_scores", 4, 4)
    assert {r.metric for r in rows} == {"probe_ap_few", "probe_ap", "map50_few", "map50"}
    assert {*read_manifest(out)["weights"]} == {"teacher", "student"}
    assert {r.claim for r in rows} == {"cnn"}
    world = msrs_cv.open_world(msrs_cv.read_study(root / "cnn.yaml", msrs_cv.Study))
    scores = torch.empty(8, 4, 5, 3)  # of "none", by other means: stages 2 and 3, resampled
    stages = extract(world.first, data.stack(world.pairs, "infrared"), [2, 3])
    maps = msrs_cv.on_patches(stages, (8, 16), 14, (56, 70))
    for fold in (0, 1):
        test = torch.from_numpy(world.folds == fold)
        names, truth = [*"abc", "none"], world.truth["boxes_ir"]
        model = LogisticProbe().fit(maps[~test], truth[~test], names, absent=True)
        scores[test] = model.scores(maps[test])[..., :3].float()
    (mean,) = pick(rows, metric="probe_ap", klass="mean", split="all", method="none")
    assert mean.value == pytest.approx(mean_ap(scores, truth), abs=1e-5)


def test_weak_masks_are_boxes_without_their_borders():
    boxes = [torch.tensor([[2.0, 3, 12, 14], [4.6, 5.5, 9.4, 20]]), torch.zeros(0, 4)]
    labels = [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64)]
    masks = mfnet.weak_masks(boxes, labels, (16, 18))
    weak = mfnet.without_borders(masks, 2)
    assert not masks[1].any() and not weak[1].any()
    for y in range(16):
        for x in range(18):
            inside = [b[0] <= x + 0.5 < b[2] and b[1] <= y + 0.5 < b[3] for b in boxes[0].tolist()]
            own = 1 if inside[1] else 3 if inside[0] else 0  # the smaller box lies on top
            assert masks[0, y, x] == own
            others = (masks[0] != own).nonzero()
            near = (others - torch.tensor([y, x])).square().sum(1) <= 4
            assert weak[0, y, x] == (-1 if near.any() else own)


def test_agreement_is_the_iou_of_infrared_with_rgb(root, monkeypatch):  # noqa: F811
    text = "protocol: plan.md\nstudents: small.yaml\nmethods: [teacher, none, mse]\nborder: 1\n"
    (root / "weak.yaml").write_text(text)
    arguments, out = [str(root / "weak.yaml")], root / "weak"
    owner, name = mfnet.Segmentation, "student"
    rows = stopped_and_resumed(mfnet, arguments, out, monkeypatch, owner, name, 3)
    measured = {(r.metric, r.method) for r in rows}
    wanted = {("weak_miou", m) for m in ("teacher", "none", "mse")}
    assert measured == wanted | {("agreement", m) for m in ("none", "mse")}
    study = mfnet.Study(students="small.yaml", methods=["none", "mse"], border=1)
    own = msrs_cv.read_study(root / "small.yaml", msrs_cv.Study)
    world = mfnet.Segmentation(study, own)
    itself = world.scored(world.on_rgb, agreement=world.on_rgb)
    assert itself["agreement/mean"][0] == itself["agreement/pixels"][0] == 1
    found = world.found(world.teacher, "infrared")
    for metric, truth in (("agreement", world.on_rgb), ("weak_miou", world.weak)):
        mine = multiclass_jaccard_index(found, truth, 4, "none", ignore_index=-1)
        for k, name in enumerate(world.classes):
            for row in pick(rows, metric=metric, klass=name, method="none", split="fold0"):
                assert row.value is None or row.value == pytest.approx(float(mine[k]), abs=1e-5)
    assert not set(world.test) & set(world.msrs.others(0))
    whole = world.student("none", None)
    with np.load(out / "per_image/none.npz") as kept:  # draws are rounded, figures are not
        (first, *stored), (value, *draws) = (of["agreement/mean"] for of in (kept, whole))
        assert first == value and np.allclose(stored, draws, atol=6e-5, equal_nan=True)
        assert np.array_equal(kept["groups"], whole["groups"])
