"""Differences between methods against figures computed one image at a time."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.evaluate.detection import score_detections
from freqkd_lite.evaluate.segmentation import measure_segmentation
from freqkd_lite.evaluate.stats import crossed_bootstrap, max_t
from freqkd_lite.results.paired import (
    Comparison,
    differences,
    not_compared,
    read_comparison,
    resample,
)
from tests.refused import refused
from tests.rows import row

CLASSES = ("person", "car")
TRUTH = np.random.default_rng(5).integers(0, 3, (12, 2, 3))  # 2 stands for none
MSE = "mse (lr=0.1, steps=3)"
NAMES = [("none", "none", 0), ("mse (lr=0.1)", MSE, 2), ("freqkd_code", "freqkd_code", 1)]
METHODS = [  # name in the file, name of the row, seed, skill
    (stored, method, seed, skill) for stored, method, skill in NAMES for seed in (0, 1)
]


def precision(scores, positive):
    """Average precision by its definition, without ties."""
    order = np.argsort(-scores.ravel())
    hit = positive.ravel()[order]
    return float(np.mean(np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)))


def mean_ap(scores):
    return np.mean([precision(scores[..., k], k == TRUTH) for k in range(2)])


def scores_of(seed, skill):
    """Ranks, which half precision holds exactly and without ties."""
    noise = np.random.default_rng(seed).normal(size=(*TRUTH.shape, 2))
    better = noise + skill * np.stack([TRUTH == 0, TRUTH == 1], -1)
    return better.ravel().argsort().argsort().reshape(better.shape).astype("float16")


def folder(path, methods=METHODS, truth=None, **shared):
    """Rows and files of a sweep; `truth` of some methods, arrays `shared` by all files."""
    rows = []
    for stored, method, seed, skill in methods:
        scores = scores_of(0 if method == "none" else seed + 10, skill)
        file = f"{stored}-{seed}.npz"
        arrays = {stored: scores, "truth": (truth or {}).get(method, TRUTH)} | shared
        np.savez(path / file, **arrays)
        values = {k: precision(scores[..., i], i == TRUTH) for i, k in enumerate(CLASSES)}
        values["mean"] = mean_ap(scores)
        about = dict(seed=seed, split="test", per_image=file)
        rows += [row(method, value, klass=k, **about) for k, value in values.items()]
    rows.append(rows[0].model_copy(update={"split": "test/day", "value": 0.0}))
    return rows


def own_ap(seed, skill):
    """What a trained method of that seed and skill has."""
    return mean_ap(scores_of(seed + 10, skill))


def compared(rows, path, reference=MSE):
    table = differences(rows, path, reference, "probe_ap")
    return {(d.method, d.klass): d for d in table.itertuples()}


def test_with_one_group_the_interval_is_over_seeds_alone(tmp_path):
    found = compared(folder(tmp_path, groups=np.zeros(12, int)), tmp_path)
    expected = [(m, k) for m in ("none", "freqkd_code") for k in ("mean", *CLASSES)]
    assert list(found) == expected
    # all images come once in every draw, and of two seeds one is drawn: the interval's ends are
    # the two seeds' own differences
    base, code = ([own_ap(seed, skill) for seed in (0, 1)] for skill in (2, 1))
    none = [mean_ap(scores_of(0, 0))] * 2
    for method, own in (("none", none), ("freqkd_code", code)):
        d, apart = found[method, "mean"], np.subtract(own, base)
        assert d.value == pytest.approx(apart.mean())
        assert (d.low, d.high) == pytest.approx(tuple(sorted(apart)))
        assert (d.seeds, d.images, d.groups) == (2, 12, 1)


def test_without_groups_each_image_is_drawn_by_itself(tmp_path):
    d = compared(folder(tmp_path), tmp_path)["freqkd_code", "mean"]
    assert d.groups == d.images == 12
    apart = [own_ap(seed, 1) - own_ap(seed, 2) for seed in (0, 1)]
    assert d.low < min(apart) - 0.01 and max(apart) + 0.01 < d.high


def test_a_method_of_fewer_seeds_is_compared_on_those(tmp_path):
    d = compared(folder(tmp_path, METHODS[:4] + METHODS[5:]), tmp_path)["freqkd_code", "mean"]
    assert d.seeds == 1
    assert d.value == pytest.approx(own_ap(1, 1) - own_ap(1, 2))


def test_methods_that_share_no_seed_with_the_reference_are_listed(tmp_path):
    rows = folder(tmp_path, [*METHODS, ("pkd", "pkd", 7, 1), ("pkd", "pkd", 8, 1)])
    assert not_compared(rows, MSE, "probe_ap") == ["pkd"]
    assert "pkd" not in {method for method, _ in compared(rows, tmp_path)}
    assert not_compared(rows, "pkd", "probe_ap") == [MSE, "freqkd_code"]


def test_an_untrained_method_stands_beside_seeds_that_it_was_not_run_with(tmp_path):
    rows = folder(tmp_path, [*METHODS, ("mse (lr=0.1)", MSE, 2, 2)])
    none = compared(rows, tmp_path)["none", "mean"]
    base = np.mean([own_ap(seed, 2) for seed in (0, 1, 2)])
    assert none.seeds == 3 and none.value == pytest.approx(mean_ap(scores_of(0, 0)) - base)


def test_an_untrained_method_of_several_seeds_is_paired_seed_by_seed(tmp_path):
    """A detector of the undistilled student is trained with a seed too."""
    methods = [("none", "none (pairs=9)", seed, 3.0 * seed) for seed in (0, 1)]
    methods += [("mse", "mse (pairs=9)", seed, 2.0) for seed in (0, 1)]
    rows = folder(tmp_path, methods)
    none = compared(rows, tmp_path, "mse (pairs=9)")["none (pairs=9)", "mean"]
    own = [own_ap(seed, skill) for *_, seed, skill in methods]
    assert own[0] != own[1] and math.isnan(none.joint_low)
    assert none.value == pytest.approx(np.mean(own[:2]) - np.mean(own[2:]))
    assert not_compared(rows[:4], "mse (pairs=9)", "probe_ap") == []


def test_what_cannot_be_compared_is_refused(tmp_path):
    rows = folder(tmp_path)
    refused("'mse'", compared, rows, tmp_path, "mse")
    lost = [row.model_copy(update={"per_image": None}) for row in rows]
    refused("probe_ap of none", compared, lost, tmp_path)
    val = [row.model_copy(update={"split": "val"}) for row in rows if row.split == "test"]
    refused("msrs test, msrs val", compared, rows + val, tmp_path)
    other = folder(tmp_path, truth={"freqkd_code": 1 - np.minimum(TRUTH, 1)})
    refused("freqkd_code", compared, other, tmp_path)


@pytest.mark.parametrize("regrouped", ["none-0", "none-1", "mse (lr=0.1)-1", "freqkd_code-0"])
def test_files_with_other_groups_are_refused(tmp_path, regrouped):
    rows, file = folder(tmp_path), tmp_path / f"{regrouped}.npz"
    with np.load(file) as arrays:
        np.savez(file, **arrays, groups=np.arange(12) // 2)
    refused("mse .lr=0.1, steps=3. .*groups", compared, rows, tmp_path)


def test_files_of_detectors_and_segmenters_give_their_own_draws_again(tmp_path):
    draw = torch.Generator().manual_seed(6)
    groups = [0, 3, 1, 1, 0, 2, 2, 2]
    masks, guesses = torch.randint(2, (2, 8, 4, 5), generator=draw)
    pixels = measure_segmentation(guesses, masks, CLASSES, groups=groups)
    box = torch.tensor([[2.0, 2, 12, 12]])
    kinds = [torch.tensor([i % 2]) for i in range(8)]
    scores = torch.rand(8, 1, generator=draw)
    found = [
        {"boxes": box + 20 * (i % 3 == 0), "scores": scores[i], "labels": kind}
        for i, kind in enumerate(kinds)
    ]
    boxes = score_detections(found, [box] * 8, kinds, CLASSES, groups=groups)
    np.savez(tmp_path / "07.npz", mse=pixels.confusion.numpy(), groups=groups)
    arrays = {f"mse/{k}": v for k, v in boxes.arrays().items()}
    np.savez(tmp_path / "06.npz", **arrays, groups=groups)
    for metric, file, result in (("miou", "07.npz", pixels), ("map50", "06.npz", boxes)):
        again = resample(tmp_path / file, metric, "mse", CLASSES)
        np.testing.assert_allclose(again.draws["mean"], result.draws["mean"])
        assert again.estimates["mean"] == pytest.approx(result.estimates["mean"], abs=1e-6)
        assert again.groups.tolist() == groups and np.nanstd(again.draws["mean"]) > 0.01


def test_a_class_that_the_images_lack_has_no_difference_and_the_others_do(tmp_path):
    """As notebook 05 writes it: "tram" stands first among the classes, and nothing is a tram."""
    rows, truth = [], TRUTH + 1
    for method, seed in (("mse", 10), ("gram", 11)):
        scores = scores_of(seed, 1)
        scores = np.concatenate([np.zeros_like(scores[..., :1]), scores], -1)
        np.savez(tmp_path / f"{method}.npz", **{method: scores, "truth": truth})
        values = {k: precision(scores[..., i], i == truth) for i, k in ((1, "person"), (2, "car"))}
        values = {"mean": np.mean(list(values.values())), "tram": None} | values
        rows += [row(method, v, klass=k, per_image=f"{method}.npz") for k, v in values.items()]
    found = compared(rows, tmp_path, "mse")
    assert [klass for _, klass in found] == ["mean", "person", "car"]
    by_method = {(row.method, row.klass): row.value for row in rows}
    for (_, klass), d in found.items():
        assert d.value == pytest.approx(by_method["gram", klass] - by_method["mse", klass])


def test_of_two_beginnings_of_a_name_the_longer_one_is_the_method_s_own(tmp_path):
    scores = {"mse": scores_of(1, 0), "mse (lr=0.1)": scores_of(2, 2)}
    np.savez(tmp_path / "images.npz", **scores, truth=TRUTH)
    found = resample(tmp_path / "images.npz", "probe_ap", MSE, CLASSES)
    assert found.estimates["mean"] == pytest.approx(mean_ap(scores["mse (lr=0.1)"]))


def test_day_and_night_are_compared_on_their_own_images(tmp_path):
    key = "time_of_day"
    time = np.array(["day", "night"] * 5 + ["night", ""])
    groups = np.where(time == "day", 0, np.arange(12))  # all of the day come and go together
    found = compared(folder(tmp_path, groups=groups, **{key: time}), tmp_path)
    for name in ("day", "night"):
        here, apart = time == name, []
        for seed in (10, 11):
            code, mse = (scores_of(seed, skill)[here] for skill in (1, 2))
            aps = [[precision(x[..., k], k == TRUTH[here]) for k in range(2)] for x in (code, mse)]
            apart.append(np.mean(aps[0]) - np.mean(aps[1]))
        d = found["freqkd_code", name]
        assert d.value == pytest.approx(np.mean(apart)) and math.isnan(d.joint_low)
        over_seeds_alone = (d.low, d.high) == pytest.approx(tuple(sorted(apart)))
        assert over_seeds_alone == (name == "day")
    alone = tmp_path / "without"
    alone.mkdir()
    rows = folder(alone, **{key: time})
    with np.load(alone / rows[0].per_image) as arrays:
        np.savez(alone / rows[0].per_image, **{k: v for k, v in arrays.items() if k != key})
    assert ("none", "day") not in compared(rows, alone)


def test_joint_intervals_are_of_trained_methods_and_their_own_draws(tmp_path):
    rows = folder(tmp_path, [*METHODS, ("pkd", "pkd", 0, 1.5), ("pkd", "pkd", 1, 1.5)])
    found = compared(rows, tmp_path)

    def side(stored, method):
        files = (tmp_path / f"{stored}-{seed}.npz" for seed in (0, 1))
        of = [resample(file, "probe_ap", method, CLASSES) for file in files]
        return [f.estimates["mean"] for f in of], [f.draws["mean"] for f in of]

    base = side("mse (lr=0.1)", MSE)
    own = [crossed_bootstrap(side(method, method), base) for method in ("freqkd_code", "pkd")]
    wanted = max_t([value for value, *_ in own], [draws for *_, draws in own])
    for method, interval in zip(("freqkd_code", "pkd"), wanted, strict=True):
        d = found[method, "mean"]
        assert (d.joint_low, d.joint_high) == interval
    assert math.isnan(found["none", "mean"].joint_low)


def test_a_comparison_is_read_back_as_it_was_written(tmp_path):
    assert read_comparison(tmp_path) is None
    table = differences(folder(tmp_path), tmp_path, MSE, "probe_ap")
    kept = Comparison(MSE, table, "freqkd_code", post_hoc=["gram"], not_compared=["pkd"])
    kept.write(tmp_path)
    again = read_comparison(tmp_path)
    assert (again.reference, again.preregistered) == (MSE, "freqkd_code")
    assert (again.post_hoc, again.not_compared) == (["gram"], ["pkd"])
    for left, right in zip(again.table.itertuples(), table.itertuples(), strict=True):
        assert left[1:6] == right[1:6] and left[6:] == pytest.approx(right[6:], nan_ok=True)
    assert again.means("probe_ap")["value"].is_monotonic_decreasing
