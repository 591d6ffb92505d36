"""Differences between arms against figures worked out one image at a time."""

import numpy as np
import pytest
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.detection import score_detections
from freqkd_lite.evaluate.segmentation import measure_segmentation
from freqkd_lite.evaluate.stats import at_once, crossed_bootstrap
from freqkd_lite.results.paired import differences, lights, not_compared, resample
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.results.summary import write_page
from freqkd_lite.store import manifest

CLASSES = ("person", "car")
TRUTH = np.random.default_rng(5).integers(0, 3, (12, 2, 3))  # 2 stands for none


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


def folder(path, arms, groups=None, **changed):
    """Rows and files of a sweep: `arms` gives (name in the file, name of the row, seed, skill)."""
    rows = []
    for stored, arm, seed, skill in arms:
        scores = scores_of(0 if arm == "none" else seed + 10, skill)
        file = f"{stored}-{seed}.npz"
        more = {} if groups is None else {"groups": groups}
        np.savez(path / file, **{stored: scores, "truth": changed.get(arm, TRUTH)}, **more)
        about = dict(claim="walk", seed=seed, data="msrs", split="test", metric="probe_ap")
        values = {k: precision(scores[..., i], i == TRUTH) for i, k in enumerate(CLASSES)}
        values["mean"] = mean_ap(scores)
        rows += [Row(arm=arm, klass=k, value=v, per_image=file, **about) for k, v in values.items()]
    rows.append(rows[0].model_copy(update={"split": "test/day", "value": 0.0}))
    return rows


ARMS = [("none", "none", 0, 0), ("none", "none", 1, 0)] + [
    (stored, arm, seed, skill)
    for stored, arm, skill in (("mse (lr=0.1)", "mse (lr=0.1, steps=3)", 2), ("code", "code", 1))
    for seed in (0, 1)
]


def test_with_one_group_the_interval_is_over_seeds_alone(tmp_path):
    rows = folder(tmp_path, ARMS, groups=np.zeros(12, int))
    found = differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")
    assert [(d.arm, d.klass) for d in found] == [
        (arm, k) for arm in ("none", "code") for k in ("mean", *CLASSES)
    ]
    # all images come once in every draw, and of two seeds one is drawn: the interval's ends are
    # the two seeds' own differences
    base = [mean_ap(scores_of(seed + 10, 2)) for seed in (0, 1)]
    for d, own in zip(found[::3], ([mean_ap(scores_of(0, 0))] * 2,
                                   [mean_ap(scores_of(s + 10, 1)) for s in (0, 1)]),
                      strict=True):  # fmt: skip
        apart = np.subtract(own, base)
        assert d.value == pytest.approx(apart.mean())
        assert d.interval == pytest.approx(sorted(apart))
        assert (d.seeds, d.images, d.groups) == (2, 12, 1)


def test_without_groups_each_image_is_drawn_by_itself(tmp_path):
    code = differences(folder(tmp_path, ARMS), tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")[3]
    assert code.groups == code.images == 12
    apart = [mean_ap(scores_of(s + 10, 1)) - mean_ap(scores_of(s + 10, 2)) for s in (0, 1)]
    assert code.interval[0] < min(apart) - 0.01 and max(apart) + 0.01 < code.interval[1]


def test_an_arm_of_fewer_seeds_is_compared_on_those(tmp_path):
    rows = folder(tmp_path, [arm for arm in ARMS if arm[1] != "code" or arm[2] == 1])
    code = differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")[3]
    assert code.seeds == 1
    apart = mean_ap(scores_of(11, 1)) - mean_ap(scores_of(11, 2))
    assert code.value == pytest.approx(apart)


def test_arms_that_share_no_seed_with_the_other_are_told(tmp_path):
    more = [*ARMS, ("eq", "eq", 7, 1), ("eq", "eq", 8, 1)]
    rows = folder(tmp_path, more)
    against = "mse (lr=0.1, steps=3)"
    assert not_compared(rows, against, "probe_ap") == ["eq"]
    assert "eq" not in {d.arm for d in differences(rows, tmp_path, against, "probe_ap")}
    assert not_compared(rows, "eq", "probe_ap") == [against, "code"]
    write_results(tmp_path, rows, manifest(metric="probe_ap", against=against))
    assert write_page(tmp_path) == "No arm is ahead of MSE · lr=0.1 · steps=3 by 0.01 or more."
    page = (tmp_path / "README.md").read_text()
    assert ("Of no seed that MSE · lr=0.1 · steps=3 has, so not compared: FreqKD (equations).\n"
            in page)  # fmt: skip


def test_what_cannot_be_paired_is_refused(tmp_path):
    rows = folder(tmp_path, ARMS, code=1 - np.minimum(TRUTH, 1))
    with pytest.raises(UserError, match="gives probe_ap of code, .*, again: run it again"):
        differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")
    with pytest.raises(
        UserError,
        match="arm to compare with called 'mse': choose one of code, mse .lr=0.1, steps=3., none",
    ):
        differences(rows, tmp_path, "mse", "probe_ap")
    lost = [row.model_copy(update={"per_image": None}) for row in rows]
    with pytest.raises(UserError, match="no file of images that gives probe_ap of none"):
        differences(lost, tmp_path, "code", "probe_ap")


@pytest.mark.parametrize("regrouped", ["none-0", "none-1", "mse (lr=0.1)-1", "code-0"])
def test_files_that_tell_other_groups_are_refused(tmp_path, regrouped):
    rows, file = folder(tmp_path, ARMS), tmp_path / f"{regrouped}.npz"
    with np.load(file) as arrays:
        np.savez(file, **arrays, groups=np.arange(12) // 2)
    with pytest.raises(UserError, match="scored on the same images and groups of them: run both"):
        differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")


def test_files_of_detectors_and_segmenters_give_their_own_draws_again(tmp_path):
    draw = torch.Generator().manual_seed(6)
    groups = [0, 3, 1, 1, 0, 2, 2, 2]
    masks, guesses = torch.randint(2, (2, 8, 4, 5), generator=draw)
    pixels = measure_segmentation(guesses, masks, CLASSES, groups=groups)
    box = torch.tensor([[2.0, 2, 12, 12]])
    kinds = [torch.tensor([i % 2]) for i in range(8)]
    found = [{"boxes": box + 20 * (i % 3 == 0), "scores": torch.rand(1, generator=draw),
              "labels": kind} for i, kind in enumerate(kinds)]  # fmt: skip
    boxes = score_detections(found, [box] * 8, kinds, CLASSES, groups=groups)
    np.savez(tmp_path / "07.npz", code=pixels.confusion.numpy(), groups=groups)
    np.savez(tmp_path / "06.npz", **{f"code/{k}": v for k, v in boxes.arrays().items()},
             groups=groups)  # fmt: skip
    for metric, file, result in (("miou", "07.npz", pixels), ("map50", "06.npz", boxes)):
        again = resample(tmp_path / file, metric, "code", CLASSES)
        np.testing.assert_allclose(again.draws["mean"], result.draws["mean"])
        assert again.values["mean"] == pytest.approx(result.estimates["mean"], abs=1e-6)
        assert again.groups.tolist() == groups and np.nanstd(again.draws["mean"]) > 0.01


def test_an_arm_that_no_seed_changes_stands_beside_seeds_that_it_was_not_run_with(tmp_path):
    more = [*ARMS, ("mse (lr=0.1)", "mse (lr=0.1, steps=3)", 2, 2)]
    none, *_ = differences(folder(tmp_path, more), tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")
    assert none.arm == "none" and none.seeds == 3
    base = np.mean([mean_ap(scores_of(seed + 10, 2)) for seed in (0, 1, 2)])
    assert none.value == pytest.approx(mean_ap(scores_of(0, 0)) - base)


def test_rows_of_two_splits_are_not_mixed(tmp_path):
    rows = folder(tmp_path, ARMS)
    rows += [row.model_copy(update={"split": "val"}) for row in rows if row.split == "test"]
    with pytest.raises(UserError, match="probe_ap was measured on msrs test, msrs val"):
        differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")


def test_a_class_that_the_images_lack_has_no_difference_and_the_others_do(tmp_path):
    """As notebook 05 keeps it: "tram" stands first among the classes, and nothing is a tram."""
    rows, truth = [], TRUTH + 1
    for arm, seed in (("mse", 10), ("code", 11)):
        scores = scores_of(seed, 1)
        scores = np.concatenate([np.zeros_like(scores[..., :1]), scores], -1)
        np.savez(tmp_path / f"{arm}.npz", **{arm: scores, "truth": truth})
        values = {k: precision(scores[..., i], i == truth) for i, k in ((1, "person"), (2, "car"))}
        values = {"mean": np.mean(list(values.values())), "tram": None} | values
        about = dict(claim="walk", seed=0, data="msrs", split="test", metric="probe_ap")
        rows += [
            Row(arm=arm, klass=k, value=v, per_image=f"{arm}.npz", **about)
            for k, v in values.items()
        ]
    found = differences(rows, tmp_path, "mse", "probe_ap")
    assert [d.klass for d in found] == ["mean", "person", "car"]
    by_arm = {(row.arm, row.klass): row.value for row in rows}
    for d in found:
        assert d.value == pytest.approx(by_arm["code", d.klass] - by_arm["mse", d.klass])


def test_a_file_that_is_written_again_is_read_again(tmp_path):
    file, asked = tmp_path / "images.npz", ("probe_ap", "mse", CLASSES)
    assert resample(file, *asked) is None
    for seed in (1, 2):
        np.savez(file, mse=scores_of(seed, 1), truth=TRUTH)
        assert resample(file, *asked).values["mean"] == pytest.approx(mean_ap(scores_of(seed, 1)))


def test_of_two_beginnings_of_a_name_the_longer_one_is_the_arm_s_own(tmp_path):
    scores = {"mse": scores_of(1, 0), "mse (lr=0.1)": scores_of(2, 2)}
    np.savez(tmp_path / "images.npz", **scores, truth=TRUTH)
    found = resample(tmp_path / "images.npz", "probe_ap", "mse (lr=0.1, steps=3)", CLASSES)
    assert found.values["mean"] == pytest.approx(mean_ap(scores["mse (lr=0.1)"]))


def test_day_and_night_are_compared_on_their_own_images(tmp_path):
    """As if the others were not there: files of those images alone give the same."""
    light = np.array(["day"] * 5 + ["night"] * 6 + [""])
    rows = folder(tmp_path, ARMS)
    for file in {row.per_image for row in rows}:
        with np.load(tmp_path / file) as arrays:
            kept = dict(arrays)
        np.savez(tmp_path / file, light=light, **kept)
    against = "mse (lr=0.1, steps=3)"
    found = {(d.arm, d.klass): d for d in differences(rows, tmp_path, against, "probe_ap")}
    assert lights(tmp_path / rows[0].per_image) == ["day", "night"]
    apart = tmp_path / "day"
    apart.mkdir()
    for row in rows:
        with np.load(tmp_path / row.per_image) as arrays:
            some = {k: v[light == "day"] for k, v in arrays.items() if k != "light"}
        np.savez(apart / row.per_image, **some)

    def of_day(row):
        with np.load(apart / row.per_image) as arrays:
            scores = next(arrays[k] for k in arrays if k not in ("truth", "light"))
            own = [precision(scores[..., k], k == arrays["truth"]) for k in range(2)]
        values = dict(zip(CLASSES, own, strict=True)) | {"mean": np.mean(own)}
        return row.model_copy(update={"value": values[row.klass]})

    days = [of_day(row) for row in rows if row.split == "test"]
    alone = {(d.arm, d.klass): d for d in differences(days, apart, against, "probe_ap")}
    for arm in ("none", "code"):
        day, same = found[arm, "day"], alone[arm, "mean"]
        assert (day.value, day.interval, day.images) == (same.value, same.interval, 5)
        assert day.among is None and found[arm, "night"].images == 6


def test_what_holds_at_once_is_of_trained_arms_and_their_own_draws(tmp_path):
    more = [*ARMS, ("eq", "eq", 0, 1.5), ("eq", "eq", 1, 1.5)]
    rows = folder(tmp_path, more)
    against = "mse (lr=0.1, steps=3)"
    found = {d.arm: d for d in differences(rows, tmp_path, against, "probe_ap")
             if d.klass == "mean"}  # fmt: skip
    stored = {against: "mse (lr=0.1)", "code": "code", "eq": "eq"}
    scored = {arm: [resample(tmp_path / f"{stem}-{seed}.npz", "probe_ap", arm, CLASSES)
                    for seed in (0, 1)] for arm, stem in stored.items()}  # fmt: skip
    sides = {arm: ([f.values["mean"] for f in of], [f.draws["mean"] for f in of])
             for arm, of in scored.items()}  # fmt: skip
    less = [crossed_bootstrap(sides[arm], sides[against]) for arm in ("code", "eq")]
    wanted = at_once([value for value, _, _ in less], [draws for _, _, draws in less])
    assert [found["code"].among, found["eq"].among] == wanted
    assert found["none"].among is None


def test_an_untrained_arm_that_has_several_seeds_is_paired_seed_by_seed(tmp_path):
    """A detector of the undistilled student is trained with a seed too. Named with what varies in a
    sweep it is still no arm that competes."""
    arms = [("none", "none (pairs=9)", 0, 0.0), ("none", "none (pairs=9)", 1, 3.0),
            ("mse", "mse (pairs=9)", 0, 2.0), ("mse", "mse (pairs=9)", 1, 2.0)]  # fmt: skip
    rows = folder(tmp_path, arms)
    none, *_ = differences(rows, tmp_path, "mse (pairs=9)", "probe_ap")
    own = [mean_ap(scores_of(seed + 10, skill)) for _, arm, seed, skill in arms]
    assert none.value == pytest.approx(np.mean(own[:2]) - np.mean(own[2:]))
    assert own[0] != own[1] and none.among is None
    assert not_compared(rows[:4], "mse (pairs=9)", "probe_ap") == []


def test_files_that_group_the_images_otherwise_are_refused(tmp_path):
    rows = folder(tmp_path, ARMS, groups=np.arange(12) // 2)
    with np.load(tmp_path / "code-1.npz") as arrays:
        kept = {k: v for k, v in arrays.items() if k != "groups"}
    np.savez(tmp_path / "code-1.npz", **kept)
    with pytest.raises(UserError, match="groups of them: run both again"):
        differences(rows, tmp_path, "mse (lr=0.1, steps=3)", "probe_ap")
