"""The study's file follows from the search before it, and from what was set beforehand."""

from pathlib import Path

import pytest
import yaml

from freqkd_lite.distil.methods import NONE, method_settings
from freqkd_lite.losses import LOSSES, baselines, loss_name
from freqkd_lite.names import split_method, up_to_date, with_settings
from freqkd_lite.results.curve import make_curve
from freqkd_lite.results.rows import read_results

ROOT = Path(__file__).parents[2] / "results"
SEARCH, STUDY = ROOT / "distillation_rates", ROOT / "distillation" / "sweep.yaml"


@pytest.fixture(scope="module")
def study():
    return yaml.safe_load(STUDY.read_text())


def without_rate(method):
    settings = method_settings(method).model_dump(exclude={"lr", "merge_scale"}, mode="json")
    return tuple(sorted((key, str(value)) for key, value in settings.items()))


def curve_of(folder):
    return make_curve(read_results(folder), "probe_ap", "lr")


def best_rates(folder):
    best = curve_of(folder).best()
    return {without_rate(m): at for m, at in zip(best["method"], best["at"], strict=True)}


def trained(sweep):
    return [method for run in sweep["runs"] for method in run["arms"] if method != NONE]


def test_every_method_has_the_rate_that_a_search_on_val_found_best(study):
    """One seed's search, and for some methods one of three seeds beside it. But for the anchored
    loss at .0001: it entered before .003 was tried, at which it stands beside."""
    one, three = best_rates(SEARCH), best_rates(ROOT / "distillation_val")
    for method in trained(study):
        if method != "anchor (lr=0.0001)":
            key = without_rate(method)
            assert method_settings(method).lr in (one[key], three.get(key)), method
    assert method_settings(study["named"]).lr == one[without_rate(study["named"])]


def test_the_search_is_alike_for_all_methods_and_as_long_as_the_study(study):
    """Three rates for each method of the study and each baseline, and a fourth for the study's
    where the highest of them was best, but for the anchored loss, which was tried at a lower one.
    What else was only tried has two at least."""
    search = yaml.safe_load((SEARCH / "sweep.yaml").read_text())
    asked = [method_settings(method) for method in trained(search)]
    compared = {without_rate(method) for method in trained(study)}
    checked, curve = set(), curve_of(SEARCH)
    best = curve.best().set_index("method")["at"]
    for method, points in curve.points.groupby("method", sort=False):
        tried, plain = {*points["at"]}, split_method(method)[0]
        checked.add(without_rate(method))
        rates = {a.lr for a in asked if a == method_settings(with_settings(method, f"lr={a.lr}"))}
        baseline = LOSSES[loss_name(plain)].__module__ == baselines.__name__
        if without_rate(method) not in compared and baseline:
            assert {0.0003, 0.001, 0.003} <= rates, method
            continue
        assert {0.001, 0.003} <= tried | rates, method
        if without_rate(method) in compared:
            assert 0.0003 in tried and best[method] < 0.01, method
            if method == "anchor":
                assert 0.0001 in tried
                continue
            highest = method_settings(with_settings(method, "lr=0.01"))
            assert best[method] < 0.003 or highest in asked, method
    assert compared <= checked
    for key in ("distil_dataset", "further"):
        assert study["fixed"][key] == search["fixed"][key]
    assert "split" not in search["fixed"] and study["fixed"]["split"] == "test"
    assert "steps" not in study["fixed"] and "steps" not in search["fixed"]


def test_the_comparison_was_preregistered_and_what_matters_has_five_seeds(study):
    plain, reference = (split_method(up_to_date(study[key]))[0] for key in ("named", "against"))
    assert (plain, reference) == ("freqkd_code", "mse")
    seeds = {}
    for run in study["runs"]:
        assert run["arms"][0] == NONE
        for method in run["arms"]:
            seeds.setdefault(up_to_date(method), set()).add(run["seed"])
    for method, found in seeds.items():
        plain, own = split_method(method)
        many = plain in ("none", "mse", "freqkd_code", "coherence", "projected", "gram")
        many &= "mismatched" not in own and method != "freqkd_code (lr=0.001)"  # added later
        assert found == (set(range(5)) if many else {0, 1, 2}), method
