"""Arms side by side: sentences follow the numbers, figures draw them, seeds are read or refused."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.detection import score_detections
from freqkd_lite.evaluate.probe import LogisticProbe, measure
from freqkd_lite.evaluate.segmentation import iou_by_border_distance
from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap import BAND_EDGES, levels
from freqkd_lite.losses import LOSSES
from freqkd_lite.names import NAMES
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.spectrum import ring_sums, split_bands
from freqkd_lite.viz import scores as arms
from freqkd_lite.viz.scores import Score


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def noise(seed, n=30, channels=4, grid=(12, 16)):
    return torch.randn(n, channels, *grid, generator=torch.Generator().manual_seed(seed))


def wordless(text):
    return re.sub(r"[-+\d.%]+", "#", text)


def test_every_loss_has_a_name_for_people_and_no_two_share_one():
    names = [arms.name(loss) for loss in LOSSES]
    assert len(set(names)) == len(names) and not any("_" in name for name in names)


# -------------------------------------------------------------------------------- distance by arm


def students(target, order=None):
    """none: a stranger; mse: much of the teacher's high band; code: its low band."""
    low, high = split_bands(target, 0.5, "disk")
    low2, high2 = split_bands(noise(9), 0.5, "disk")
    made = {"none": low2 + high2, "mse": low2 + 0.5 * high2 + 0.866 * high, "code": low + high2}
    return made if order is None else {arm: x[order] for arm, x in made.items()}


def bands(target, made):
    return {arm: levels([ring_sums(target, x, BAND_EDGES)], draws=200) for arm, x in made.items()}


def test_the_nearest_arm_is_named_in_each_band_and_shuffled_pairs_change_the_words():
    target = noise(1)
    measured = bands(target, students(target))
    text = arms.distance_conclusion(measured, NAMES["mse"])
    high, low, *moves = text.splitlines()
    assert high.startswith("High band, nearest to the teacher: MSE (") and "guessed it" in high
    assert low.startswith("Low band, nearest to the teacher: FreqKD (code) (")
    for line, ring in ((high, 2), (low, 0)):
        assert f"undistilled {measured['none'].value[0, ring]:.3f}" in line
    assert moves == [
        "Training moved MSE nowhere in the low band and nearer in the high band.",
        "Training moved FreqKD (code) nearer in the low band and nowhere in the high band.",
    ]
    order = torch.arange(len(target)).roll(1)
    shuffled = arms.distance_conclusion(bands(target, students(target, order)), NAMES["mse"])
    assert "cannot tell from" in shuffled and "nearer in" not in shuffled
    assert wordless(shuffled) != wordless(text)


def test_an_arm_that_moved_away_is_said_to():
    target = noise(1)
    near = bands(target, {"none": target + 0.1 * noise(2), "mse": -target})
    assert "moved MSE away from it in the low band and away from it in the high band" in (
        arms.distance_conclusion(near)
    )


def test_curves_hold_the_levels_and_the_guess_is_dashed():
    target = noise(1)
    measured = {
        arm: levels([ring_sums(target, x)], draws=20) for arm, x in students(target).items()
    }
    figure, alt = arms.curves_by_arm(measured, 7, NAMES["code"])
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for arm, level in measured.items():
        assert lines[NAMES[arm]].get_ydata() == pytest.approx(level.value[0].numpy())
    traced = lines["your guess: nearest here"]
    assert traced.get_linestyle() == "--" and min(traced.get_xdata()) > 0.75
    assert traced.get_ydata() == pytest.approx(measured["code"].value[0, 5:].numpy())
    assert f"MSE from {measured['mse'].value[0, 0]:.2f}" in alt
    assert not any("guess" in line.get_label()
                   for line in arms.curves_by_arm(measured, 7)[0].axes[0].get_lines())  # fmt: skip


def test_training_curves_are_divided_by_their_beginning():
    logs = {"mse": [{"loss": 4.0}, {"loss": 1.0}], "code": [{"loss": 0.1}, {"loss": 0.08}]}
    figure, alt = arms.training_curves(logs)
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert drawn["MSE"] == pytest.approx([1, 0.25])
    assert drawn["FreqKD (code)"] == pytest.approx([1, 0.8])
    assert "MSE at 0.25" in alt


# ------------------------------------------------------------------------------ scores and seeds

PARAMETERS = {"steps": 40, "lr": 0.001, "split": "val", "seed": 0}


def folder_of_seeds(path, weights="abc", seeds=(0, 1, 2), **changed):
    rows = [
        Row(claim="walk", arm=arm, seed=seed, data="scenes", split="val", metric="probe_ap",
            klass="mean", value=value + seed / 100)
        for arm, value in (("none", 0.3), ("mse", 0.5)) for seed in seeds
    ]  # fmt: skip
    for other in ({"metric": "map50"}, {"split": "val/day"}):
        rows.append(rows[0].model_copy(update=other | {"value": 9.0}))
    same = {k: v for k, v in PARAMETERS.items() if k != "seed"} | changed
    about = {"parameters": same, "weights": weights, "seeds": list(seeds)}
    write_results(path, rows, {"notebooks": {"05_distillation": about}})


def read(results, weights="abc", **changed):
    parameters = PARAMETERS | changed
    return arms.seed_scores(results, "05_distillation", "probe_ap", parameters, weights)


def test_seeds_are_averaged_with_their_t_interval(tmp_path):
    folder_of_seeds(tmp_path / "a", lr=0.1)
    folder_of_seeds(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text("{}")  # of something else
    scores, said = read(tmp_path, seed=4)  # another seed is the point of it
    # three values .30 .31 .32: mean .31, sd .01, t(.975, 2) = 4.303, half width .02484
    assert scores["none"]["mean"].value == pytest.approx(0.31)
    assert scores["none"]["mean"].interval == pytest.approx((0.28516, 0.33484), abs=1e-5)
    assert said.startswith("Mean over 3 seeds (results/b)") and "MSE 0.51 [0.49, 0.53]" in said


def test_seeds_of_other_settings_are_not_drawn_and_it_is_said(tmp_path):
    folder_of_seeds(tmp_path / "single", seeds=(0,))
    assert read(tmp_path)[0] == {} and read(tmp_path)[1].endswith("shows this run alone.")
    folder_of_seeds(tmp_path / "far", steps=41, lr=0.2)
    folder_of_seeds(tmp_path / "near", steps=41)
    assert read(tmp_path) == ({}, "No runs over several seeds have these parameters (results/near "
                                  "differs in steps): this run is shown alone.")  # fmt: skip
    changed = dict(lr=3, split="test", batch=1, crop=[8, 8])
    assert "differs in batch, crop, lr and 2 more)" in read(tmp_path, **changed)[1]
    assert read(tmp_path, steps=41)[0]
    assert "weights' checksum" in read(tmp_path, "another", steps=41)[1]
    other = arms.seed_scores(tmp_path, "06_detection", "x", PARAMETERS, "abc")
    assert other == ({}, "No runs of 06_detection over several seeds: the figure shows this run "
                         "alone.")  # fmt: skip


def test_dots_stand_at_the_scores_and_seeds_behind_them():
    scores = {
        "none": {"mean": Score(0.3, (0.2, 0.4)), "car": Score(None)},
        "mse": {"mean": Score(0.5, (0.45, 0.6)), "car": Score(0.1, (0.05, 0.2))},
    }
    seeds = {"mse": {"mean": Score(0.52, (0.5, 0.54))}}
    figure, alt = arms.dots(scores, ["mean", "car"], "Which?", "AP", seeds)
    lines = [x for x in figure.axes[0].get_lines() if len(x.get_xdata())]
    markers = [float(x.get_xdata()[0]) for x in lines if x.get_marker() == "o"]
    assert sorted(markers) == [0.1, 0.3, 0.5]  # and none for what is undefined
    (bar,) = [x for x in lines if x.get_linewidth() == 9]
    assert tuple(bar.get_xdata()) == (0.5, 0.54)
    assert "undistilled 0.30 [0.20, 0.40]" in alt and "car: undistilled none" in alt


def test_a_gain_is_named_only_where_its_interval_leaves_out_zero():
    gains = {"mse": (0.1, (0.05, 0.2)), "code": (0.1, (-0.01, 0.2)), "cosine": (-0.1, (-0.2, -0.1))}
    above, even, below = arms.gain_conclusion(gains, "mAP50", "undistilled").splitlines()
    assert above == "mAP50 of MSE is above that of undistilled: +0.100 [+0.050, +0.200]."
    assert "not to be told from" in even and "cosine is below" in below


def result(**draws):
    return Resampled(
        estimates={k: float(np.mean(v)) for k, v in draws.items()} | {"absent": None},
        draws={k: np.array(v, float) for k, v in draws.items()} | {"absent": np.full(2, np.nan)},
        truth=torch.zeros(1), seed=0,
    )  # fmt: skip


def test_classes_beyond_noise_are_named_and_the_mean_does_not_hide_them():
    none = result(mean=[0.5, 0.5], person=[0.2, 0.4], car=[0.6, 0.8], accuracy=[0, 0])
    mse = result(mean=[0.5, 0.5], person=[0.3, 0.5], car=[0.5, 0.7], accuracy=[1, 1])
    assert list(arms.as_scores(none)) == ["mean", "person", "car", "absent"]
    text = arms.class_conclusion({"teacher": none, "none": none, "mse": mse})
    assert text.splitlines() == [
        "By class, teacher on RGB against undistilled: no difference beyond noise.",
        "By class, MSE against undistilled: above for person; below for car.",
    ]


def test_rows_keep_value_interval_and_class():
    (row,) = arms.score_rows({"mse": {"car": Score(0.1, (0, 0.2))}}, "probe_ap", claim="walk",
                             seed=3, data="scenes", split="val")  # fmt: skip
    assert (row.arm, row.klass, row.value, row.interval, row.seed) == (
        "mse",
        "car",
        0.1,
        (0, 0.2),
        3,
    )
    target = noise(1)
    measured = {"none": levels([ring_sums(target, noise(2), BAND_EDGES)], draws=20)}
    rows = arms.level_rows(measured, "divergence", "block7", claim="walk", seed=0, data="scenes",
                           split="val")  # fmt: skip
    assert [row.klass for row in rows] == ["block7/ring0", "block7/ring1", "block7/ring2"]
    assert rows[2].value == pytest.approx(float(measured["none"].value[0, 2]))
    spans = measured["none"].interval[:, 0]
    assert [row.interval for row in rows] == [tuple(spans[:, k].tolist()) for k in range(3)]


def test_per_image_arrays_stand_beside_the_results(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUN", str(tmp_path / "run"))
    file = arms.per_image("05_distillation", {"truth": np.arange(3)})
    assert np.load(tmp_path / "run" / file)["truth"].tolist() == [0, 1, 2]


# ------------------------------------------------------------------------------------ day and night


def test_day_and_night_are_judged_apart_and_a_gain_in_one_is_told_there():
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(2, (40, 4, 4), generator=generator)  # 0: a person, 1: none
    lights = ["day", "night", "", "day"] * 10
    night = torch.tensor([light == "night" for light in lights])
    signal = (1.0 - truth)[:, None]
    noisy = signal + torch.randn(40, 1, 4, 4, generator=generator)
    better = torch.where(night[:, None, None, None], signal, noisy)  # sees people by night
    model = LogisticProbe().fit(signal + 0.1 * noisy, truth, ["person", "none"])
    probes = {arm: measure(model, maps, truth, ["person"], draws=200)
              for arm, maps in {"none": noisy, "mse": better}.items()}  # fmt: skip
    apart = arms.by_light(probes, lights)
    assert list(apart) == ["day", "night"]
    for light, results in apart.items():
        here = torch.tensor([each == light for each in lights])
        alone = measure(model, better[here], truth[here], ["person"], draws=200)
        assert results["mse"].ap == alone.ap and results["mse"].n == alone.n
        assert results["mse"].interval == alone.interval
    by_day, by_night = arms.light_conclusion(apart).splitlines()
    assert "(20 images)" in by_day and "MSE +0.000 [+0.000, +0.000]" in by_day
    assert apart["night"]["mse"].ap["person"] == 1 and "(10 images)" in by_night
    gain = 1 - apart["night"]["none"].ap["person"]
    assert f"MSE {gain:+.3f}" in by_night
    assert "does not tell day from night" in arms.light_conclusion(arms.by_light(probes, [""] * 40))


# -------------------------------------------------------------------------------------- detection


def scored(hits, n=40):
    """A detector that finds the one box of each of the first `hits` images, elsewhere nothing."""
    box = torch.tensor([[2.0, 2, 12, 12]])
    found = {"boxes": box, "scores": torch.tensor([0.9]), "labels": torch.tensor([0])}
    empty = {"boxes": box[:0], "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=int)}
    guesses = [found if i < hits else empty for i in range(n)]
    return score_detections(guesses, [box] * n, [torch.tensor([0])] * n, ["person"], draws=200)


def test_keep_band_leaves_one_band_and_the_mean():
    x = noise(3) + 5
    low, high = (arms.keep_band(x, 0.5, band) for band in ("low", "high"))
    for kept in (low, high):
        assert kept.mean((2, 3)).numpy() == pytest.approx(x.mean((2, 3)).numpy(), abs=1e-4)
    assert torch.allclose(low + high - x.mean((2, 3), keepdim=True), x, atol=1e-4)
    column = torch.arange(16.0)
    slow, fast = (
        torch.cos(2 * torch.pi * f * column).expand(1, 1, 12, 16) for f in (1 / 16, 7 / 16)
    )
    assert torch.allclose(arms.keep_band(slow + fast + 3, 0.5, "low"), slow + 3, atol=1e-4)
    assert torch.allclose(arms.keep_band(slow + fast + 3, 0.5, "high"), fast + 3, atol=1e-4)
    with pytest.raises(UserError, match="'low'"):
        arms.keep_band(x, 0.5, "lo")


def test_scores_come_with_their_intervals_and_the_mean_first():
    result = scored(20)
    scores = arms.as_scores(result)
    assert list(scores) == ["mean", "person"] and scores["mean"].value == result.map50
    low, high = scores["person"].interval
    assert low < 0.5 < high  # half of the boxes were found, each with precision 1


def test_the_worse_erasure_is_named_and_the_guess_judged():
    text = arms.band_conclusion(scored(30), scored(5), scored(40), 0.85, arms.ERASED[0])
    assert "erasing the low band hurts more" in text and "You guessed it" in text
    assert "85%" in text
    text = arms.band_conclusion(scored(5), scored(30), scored(40), 0.85, arms.ERASED[0])
    assert "erasing the high band hurts more" in text and f"You guessed {arms.ERASED[0]}" in text
    assert "can't be told apart" in arms.band_conclusion(scored(9), scored(9), scored(40), 0.85)


def test_the_guessed_loser_is_pointed_at_in_the_detectors_panel():
    kept = {"low": [Score(0.1, (0, 0.2)), Score(0.3, (0.2, 0.4))],
            "high": [Score(0.2, (0.1, 0.3)), Score(0.05, (0, 0.1))]}  # fmt: skip
    both = {"detector": kept, "probe": kept}
    whole = {"detector": Score(0.4), "probe": Score(0.6)}
    figure, alt = arms.band_curves(both, [0.25, 0.5], whole, 0.5, "code", arms.ERASED[0])
    # who erases the low band keeps the high one: its curve is the one expected to be lower
    (arrow,) = figure.axes[0].texts
    assert arrow.xy == (0.5, 0.05) and arrow.arrow_patch.get_linestyle() == "--"
    assert not figure.axes[1].texts
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[1].get_lines()}
    assert drawn["both bands"][0] == 0.6 and list(drawn["high band only"]) == [0.2, 0.05]
    assert "detector, low band only, 0.10, 0.30" in alt and "probe 0.60" in alt


def test_as_many_detections_are_drawn_as_there_are_true_boxes():
    box = torch.tensor([[1.0, 2, 11, 12], [3, 3, 9, 9]])
    found = {"boxes": box, "scores": torch.tensor([0.9, 0.1]), "labels": torch.tensor([1, 0])}
    truth = torch.tensor([[0.0, 0, 5, 5]])
    figure, alt = arms.detections(torch.zeros(1, 3, 20, 30), [truth], {"mse": [found]}, ["a", "b"])
    drawn = [(p.get_x(), p.get_y(), p.get_width()) for p in figure.axes[0].patches]
    assert drawn == [(0, 0, 5), (1, 2, 10)]  # the truth, and the surer one of two detections
    assert [t.get_text() for t in figure.axes[0].texts] == ["b"] and "MSE 1" in alt
    # beside a picture of 200 pixels a box of 10 is too narrow for a name
    figure, _ = arms.detections(torch.zeros(1, 3, 20, 200), [truth], {"mse": [found]}, ["a", "b"])
    assert not figure.axes[0].texts and len(figure.axes[0].patches) == 2


# ----------------------------------------------------------------------------------- segmentation


def street():
    """Masks of sky (0) over road (1) with a thin pole (2) in the road: (6, 40, 40)."""
    mask = torch.zeros(6, 40, 40, dtype=torch.int64)
    mask[:, 20:] = 1
    mask[:, 24:, 18:20] = 2
    return mask


CLASSES = ("sky", "road", "pole", "car")


def spoiled(mask, border=0.0, interior=0.0):
    """Predictions wrong for a share of the pixels within 3 px of a border, or further away."""
    from freqkd_lite.evaluate.segmentation import border_distance

    chance = torch.rand(mask.shape, generator=torch.Generator().manual_seed(5))
    near = border_distance(mask) < 3
    wrong = (near & (chance < border)) | (~near & (chance < interior))
    return torch.where(wrong, (mask + 1) % 2, mask)


def rings(predictions):
    return iou_by_border_distance(predictions, street(), [1, 3, float("inf")], CLASSES, draws=100)


def test_only_classes_that_have_an_interior_are_compared():
    perfect = rings(street())
    assert arms.lasting(perfect, CLASSES) == ["sky", "road"]
    assert arms.iou_score(perfect[1, 3], ["sky", "road"]) == Score(1.0, (1.0, 1.0))


@pytest.mark.parametrize(
    ("arm", "region"),
    [
        (dict(border=0, interior=0.4), "border"),
        (dict(border=0.4, interior=0), "interior"),
        (dict(border=0, interior=0), "both"),
        (dict(border=0.4, interior=0.4), "neither"),
    ],
)
def test_the_region_of_the_gain_is_found(arm, region):
    none, better = rings(spoiled(street(), 0.4, 0.4)), rings(spoiled(street(), **arm))
    gains = [
        arms.region_gain(better[k], none[k], ["sky", "road"]) for k in ((1, 3), (3, float("inf")))
    ]
    assert arms.gained_region(gains[0][1], gains[1][1]) == region
    text = arms.region_conclusion({"code": tuple(gains)}, region)
    assert text.startswith(f"FreqKD (code) gained in: {region}") and text.endswith("guessed it.")
    assert "You guessed both" in arms.region_conclusion({"code": tuple(gains)}, "both") or (
        region == "both"
    )


def test_border_curves_hold_the_means_and_frame_the_guess():
    results = {"none": rings(spoiled(street(), 0.4)), "code": rings(street())}
    figure, alt = arms.border_curves(results, ["sky", "road"], "interior")
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    assert drawn["FreqKD (code)"] == pytest.approx([1, 1])
    r = results["none"][1, 3].estimates
    assert drawn["undistilled"][0] == pytest.approx((r["sky"] + r["road"]) / 2)
    frames = [p for p in figure.axes[0].patches if p.get_linestyle() == "--"]
    assert [round(p.get_x() + p.get_width() / 2) for p in frames] == [1]
    assert "1 to 3, over 3" in alt


def test_mean_iou_averages_the_named_classes_and_their_draws():
    result = Resampled(
        estimates={"a": 0.2, "b": 0.6, "c": 1.0}, truth=torch.zeros(1), seed=0,
        draws={"a": np.array([0.1, 0.3]), "b": np.array([0.5, 0.7]), "c": np.ones(2)},
    )  # fmt: skip
    value, draws = arms.mean_iou(result, ["a", "b"])
    assert value == pytest.approx(0.4) and draws == pytest.approx([0.3, 0.5])
