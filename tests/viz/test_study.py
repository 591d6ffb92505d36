"""The study's file follows from the search before it, and from what was set beforehand."""

from pathlib import Path

import pytest
import yaml

from freqkd_lite.distil.methods import NONE, arm_settings
from freqkd_lite.losses import LOSSES, loss_name
from freqkd_lite.losses import baselines as rivals
from freqkd_lite.results.rows import means, read_results, split_arm, with_settings
from freqkd_lite.viz.sweep_curve import best, series

ROOT = Path(__file__).parents[2] / "results"
SEARCH, STUDY = ROOT / "distillation_rates", ROOT / "distillation" / "sweep.yaml"


@pytest.fixture(scope="module")
def study():
    return yaml.safe_load(STUDY.read_text())


def without_lr(arm):
    settings = arm_settings(arm).model_dump(exclude={"lr", "merge_scale"}, mode="json")
    return tuple(sorted((key, str(value)) for key, value in settings.items()))


def best_rates(folder):
    found = series(means(read_results(folder)), "probe_ap", "lr")
    return {without_lr(arm): best(points).at for arm, points in found.items()}


def test_every_arm_has_the_rate_that_a_search_on_val_found_best(study):
    """One seed's search, and for some arms one of three seeds beside it. But for the anchored loss
    at .0001: it entered before .003 was tried, at which it stands beside."""
    one, three = best_rates(SEARCH), best_rates(ROOT / "distillation_val")
    for run in study["runs"]:
        for arm in run["arms"]:
            if arm not in (NONE, "anchor (lr=0.0001)"):
                key = without_lr(arm)
                assert arm_settings(arm).lr in (one[key], three.get(key)), arm
    assert arm_settings(study["named"]).lr == one[without_lr(study["named"])]


def test_the_search_is_alike_for_all_arms_and_as_long_as_the_study(study):
    """Three rates for each arm of the study, merged ones too, and for what others published, and a
    fourth for the study's where the highest of them was best, but for the anchored loss, which was
    tried at a lower one. What else was only tried has two at least."""
    search = yaml.safe_load((SEARCH / "sweep.yaml").read_text())
    asked = [arm_settings(arm) for run in search["runs"] for arm in run["arms"] if arm != NONE]
    compared = {without_lr(arm) for run in study["runs"] for arm in run["arms"] if arm != NONE}
    checked = set()
    for arm, points in series(means(read_results(SEARCH)), "probe_ap", "lr").items():
        tried, plain = {p.at for p in points}, split_arm(arm)[0]
        checked.add(without_lr(arm))
        of_others = LOSSES[loss_name(plain)].__module__ == rivals.__name__
        asked_for = {a.lr for a in asked if a == arm_settings(with_settings(arm, f"lr={a.lr}"))}
        if without_lr(arm) not in compared and of_others:
            assert {0.0003, 0.001, 0.003} <= asked_for, arm
            continue
        assert {0.001, 0.003} <= tried | asked_for, arm
        if without_lr(arm) in compared:
            assert 0.0003 in tried and best(points).at < 0.01, arm
            if arm == "anchor":
                assert 0.0001 in tried
                continue
            highest = arm_settings(with_settings(arm, "lr=0.01"))
            assert best(points).at < 0.003 or highest in asked, arm
    assert compared <= checked
    for key in ("distil_dataset", "further"):
        assert study["fixed"][key] == search["fixed"][key]
    assert "split" not in search["fixed"] and study["fixed"]["split"] == "test"
    assert "steps" not in study["fixed"] and "steps" not in search["fixed"]


def test_the_comparison_was_named_and_the_arms_that_matter_have_five_seeds(study):
    assert split_arm(study["named"])[0] == "code" and split_arm(study["against"])[0] == "mse"
    seeds = {}
    for run in study["runs"]:
        assert run["arms"][0] == NONE
        for arm in run["arms"]:
            seeds.setdefault(arm, set()).add(run["seed"])
    for arm, had in seeds.items():
        plain, own = split_arm(arm)
        many = plain in ("none", "mse", "code", "coherence", "projected", "gram")
        many &= "shuffled" not in own and arm != "code (lr=0.001)"  # added later
        assert had == (set(range(5)) if many else {0, 1, 2}), arm
