"""What a notebook measured, as rows, and beside the committed seeds."""

import numpy as np
import pandas as pd
import pytest
import torch

from freqkd_lite.evaluate.probe import LogisticProbe, measure
from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap
from freqkd_lite.results.notebooks import (
    TIE,
    by_time_of_day,
    find_seeds,
    probe_rows,
    read_seeds,
    rows_of,
    seed_differences,
)
from freqkd_lite.results.paired import COLUMNS, Comparison, resample
from freqkd_lite.results.rows import pick, write_results
from tests.rows import row

PARAMETERS = {"steps": 40, "lr": 0.001, "split": "val", "seed": 0}


def result(**draws):
    draws = {k: np.array(v, float) for k, v in draws.items()}
    values = {k: float(v.mean()) for k, v in draws.items()}
    return Resampled(estimates=values, draws=draws, truth=torch.zeros(1), seed=0)


RUN = {
    "none": result(mean=[0.2, 0.4], car=[0.5, 0.7]),
    "mse": result(mean=[0.4, 0.6], car=[0.4, 0.6]),
}


def committed(path, weights="abc", seeds=(0, 1, 2), **changed):
    """Rows of "none" .3 .31 .32 and "mse" .5 .51 .52, with parts and another metric."""
    levels = {"none": 0.3, "mse": 0.5}
    rows = [row(m, levels[m] + seed / 100, seed=seed) for m in levels for seed in seeds]
    rows += [row("none", 9.0, split="val/day")]
    same = {k: v for k, v in PARAMETERS.items() if k != "seed"} | changed
    about = {"parameters": same, "weights": weights, "seeds": list(seeds)}
    write_results(path, rows, {"notebooks": {"05_distillation": about}})


def seeds_of(path, weights="abc", **changed):
    return find_seeds(path, "05_distillation", PARAMETERS | changed, weights)


def test_committed_seeds_are_those_with_the_same_parameters(tmp_path):
    committed(tmp_path / "a", lr=0.1)
    committed(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text("{}")  # of something else
    seeds = seeds_of(tmp_path, seed=4)  # another seed is the point of it
    assert seeds.folder.name == "b" and "results/b" in seeds.note
    values = [each.value for each in pick(seeds.rows, method="none", split="val")]
    assert values == [0.3, 0.31, 0.32]
    assert read_seeds(tmp_path / "b", "05_distillation") == seeds  # whatever the parameters


@pytest.mark.parametrize("changed", [{"steps": 41}, {"weights": "another"}, {"new": 1}])
def test_seeds_of_other_parameters_are_not_taken_and_named(tmp_path, changed):
    committed(tmp_path / "single", seeds=(0,))
    assert seeds_of(tmp_path).folder is None
    committed(tmp_path / "near")
    weights = changed.pop("weights", "abc")
    seeds = seeds_of(tmp_path, weights, **changed)
    assert seeds.folder is None and "results/near" in seeds.note
    assert next(iter(changed), "weights") in seeds.note
    assert seeds_of(tmp_path, empty="").folder is not None  # as one that did not exist yet


def test_differences_are_those_of_the_committed_seeds_in_their_order_of_precision(tmp_path):
    alone = seeds_of(tmp_path).differences("probe_ap", RUN)
    value, (low, high) = paired_bootstrap(RUN["mse"], RUN["none"])
    assert alone.iloc[0].tolist() == ["mse", "mean", value, low, high]
    committed(tmp_path / "a")
    over_seeds = seeds_of(tmp_path).differences("probe_ap", RUN)
    assert over_seeds["value"].tolist() == pytest.approx([0.2])  # of the rows, not of this run
    line = ["probe_ap", "msrs", "val", "mse", "mean", 0.2, 0.1, 0.3, 0.0, 0.4, 3, 96, 90]
    lines = [line, ["map50", *line[1:]]]
    Comparison("none", pd.DataFrame(lines, columns=COLUMNS)).write(tmp_path / "a")
    assert seeds_of(tmp_path).verdicts("probe_ap", RUN) == {("mse", "mean"): "higher"}
    paired = seeds_of(tmp_path).differences("probe_ap", RUN)
    assert paired.iloc[0].tolist() == ["mse", "mean", 0.2, 0.1, 0.3]
    with_teacher = RUN | {"teacher": RUN["mse"]}  # which competes with nothing
    measures = {"own head": ("probe_ap", RUN), "RGB head": ("x", with_teacher)}
    head, (row,), note = seeds_of(tmp_path).table(measures, classes={"mean": "all of them"})
    assert head[1] == "own head minus undistilled" and head[2::2] == ["verdict", "verdict"]
    assert row[:3] == ["MSE, all of them", "+0.200 [+0.100, +0.300]", "higher"]
    assert len(row) == 5 and "results/a" in note and "alone: RGB head" in note


def test_seed_differences_are_paired_by_seed():
    values = {"none": (0.5, 0.6), "mse": (0.4, 0.7), "gram": (0.4, 0.5)}
    rows = [row(m, value, seed=seed) for m in values for seed, value in enumerate(values[m])]
    mse, gram = seed_differences(rows, "probe_ap", "none").itertuples()
    half = 12.706205 * 0.1  # differences -.1 and +.1: s / sqrt 2 = .1
    assert (mse.value, mse.low, mse.high) == pytest.approx((0, -half, half), abs=1e-5)
    assert gram.value == pytest.approx(-0.1) and not gram.low > -0.1


def test_the_best_method_is_no_teacher_and_leaves_the_others_behind_or_ties(tmp_path):
    run = {"mse": result(low=[0.7]), "gram": result(low=[0.5]), "none": result(low=[0.4])}
    run["teacher"] = result(low=[0.9])
    assert seeds_of(tmp_path).best("x", run, "low") == "mse"  # no draws, so no width
    run["gram"] = result(low=[0.7, 0.6, 0.9])
    run |= {m: result(low=3 * [v]) for m, v in (("mse", 0.75), ("none", 0.4), ("teacher", 1))}
    assert seeds_of(tmp_path).best("x", run, "low") == TIE


def test_the_one_band_that_is_left_is_a_method(tmp_path):
    committed(tmp_path / "a")
    seeds = seeds_of(tmp_path)
    for band, values in {"low": (0.3, 0.31), "high": (0.1, 0.1)}.items():
        about = dict(metric=f"map50_{band}_only", klass="rho0.5")
        seeds.rows.extend(row("mse", v, seed=seed, **about) for seed, v in enumerate(values))
    found = seeds.one_band("mse", "rho0.5").differences("map50_one_band", {}, "high band only")
    assert found["method"].tolist() == ["low band only"] and found["klass"].tolist() == ["mean"]
    assert found["value"].iloc[0] == pytest.approx(0.205)


def test_rows_hold_value_interval_and_class():
    run = {"mse": result(car=[0.4, 0.6], accuracy=[1.0], mean=[0.2, 0.4])}
    mean, car = rows_of(run, "probe_ap", claim="walk", seed=3, data="scenes", split="val")
    assert (mean.method, mean.klass, mean.value) == ("mse", "mean", pytest.approx(0.3))
    assert (car.klass, car.interval) == ("car", pytest.approx((0.405, 0.595)))


def test_probes_are_judged_by_day_and_by_night_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUN", str(tmp_path))
    generator = torch.Generator().manual_seed(3)
    truth = torch.randint(2, (40, 4, 4), generator=generator)  # 0: a person, 1: none
    times = ["day", "night", "", "day"] * 10
    signal = (1.0 - truth)[:, None]
    noisy = signal + torch.randn(40, 1, 4, 4, generator=generator)
    model = LogisticProbe().fit(signal + 0.1 * noisy, truth, ["person", "none"])
    groups = np.arange(40)
    probes = {"none": measure(model, noisy, truth, ["person"], draws=200, groups=groups)}
    apart = by_time_of_day(probes, times)
    assert list(apart) == ["day", "night"]
    here = torch.tensor([each == "night" for each in times])
    alone = measure(model, noisy[here], truth[here], ["person"], draws=200)
    assert apart["night"]["none"].ap == alone.ap and apart["night"]["none"].n == alone.n
    about = dict(claim="walk", seed=0, data="scenes", split="val")
    rows = probe_rows("05_distillation", probes, times, **about)
    assert {row.split for row in rows} == {"val", "val/day", "val/night"}
    with np.load(tmp_path / rows[0].per_image) as arrays:
        assert arrays["time_of_day"].tolist() == times
        assert arrays["none"].dtype == np.uint16 and arrays["truth"].shape == (40, 4, 4)
    (whole,) = pick(rows, split="val", klass="person")
    read = resample(tmp_path / whole.per_image, "probe_ap", "none", ["person"])
    assert read.estimates["person"] == whole.value == probes["none"].ap["person"]
    apart = {row.split: row.value for row in rows if row.klass == "person"}
    assert read.estimates["night"] == apart["val/night"]
    assert by_time_of_day(probes, [""] * 40) == {}
