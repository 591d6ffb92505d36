"""Verdicts of the preregistration, on results whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from freqkd_lite.results.rows import pick, write_results
from freqkd_lite.store import write_arrays
from tests.rows import row
from tools import verdicts


@pytest.mark.parametrize(
    ("low", "high", "sign", "judged"),
    [
        (0.01, 0.05, 1, 1),
        (-0.05, -0.01, 1, -1),
        (-0.01, 0.019, 1, -1),  # too small a gain to matter
        (-0.01, 0.03, 1, 0),
        (-0.05, -0.01, -1, 1),
        (0.01, 0.05, -1, -1),
        (-0.01, 0.019, -1, 0),  # no gain is claimed
    ],
)
def test_an_interval_is_judged_by_the_side_that_is_claimed(low, high, sign, judged):
    assert verdicts.judge(low, high, sign) == judged


def test_all_differences_must_hold_or_one_is_enough():
    for each, every, one in (([1, 1], 1, 1), ([1, 0], 0, 1), ([1, -1], -1, 1), ([-1, 0], -1, 0)):
        assert verdicts.whole_verdict(each, True) == every
        assert verdicts.whole_verdict(each, False) == one
    assert verdicts.whole_verdict([-1, -1], False) == -1


def test_flir_is_judged_from_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "DRAWS", 200)
    draw = np.random.default_rng(0)
    truth = np.arange(300) % 3
    right = {"none": 0.7, "mse (on=flir)": 0.4, "mse (mean=matched, on=flir)": 0.95}
    rows, metric = [], "label_free_balanced_accuracy"
    parts = {f"class{k}": truth == k for k in range(3)} | {"mean": truth >= 0}
    for method, share in right.items():
        for seed in range(3):
            named = np.where(draw.random(300) < share, truth, (truth + 1) % 3).astype(np.uint8)
            own = dict(seed=seed, metric=metric, per_image=f"per_image/{len(rows)}.npz")
            arrays = {method: named, "truth": truth, "groups": np.arange(300) // 3}
            write_arrays(tmp_path / "flir" / own["per_image"], arrays)
            for k, of in parts.items():
                rows.append(row(method, float((named == truth)[of].mean()), klass=k, **own))
    write_results(tmp_path / "flir", rows, {})
    (tmp_path / "preregistration.md").write_text("H7")
    verdicts.main(["--results", str(tmp_path)])
    found = pd.read_csv(tmp_path / "verdicts" / "verdicts.csv").set_index(["klass", "metric"])
    found, beside = found.drop("shown"), found.loc["shown"].set_index("method")
    assert found.loc[("H7", "verdict"), ["method", "value"]].tolist() == ["supported", 1]
    gained = {m: np.mean([r.value for r in pick(rows, method=m, klass="mean")]) for m in right}
    own = found[found["method"] == "mse (on=flir) minus none"].set_index("split")
    plain, corrected = own.loc["test"], own.loc["corrected"]
    assert plain.value == pytest.approx(gained["mse (on=flir)"] - gained["none"])
    assert corrected.low < plain.low < plain.value < plain.high < corrected.high
    assert [*beside.loc["mse (on=flir) minus none", ["low", "high"]]] == [plain.low, plain.high]
    page = (tmp_path / "verdicts" / "README.md").read_text()
    assert "| H7 | supported |" in page and "H1, H2, H3, H4, H5, H6." in page


def test_order_of_methods_is_kept_where_it_is_the_same():
    noise = np.random.default_rng(0).normal(size=(5, 3, 101)) / 100
    free = {f"m{k}": dict(enumerate(k + noise[k])) for k in range(5)}
    value, draws = verdicts.order_kept(free | {"none": {None: noise[0, 0]}}, free)
    assert (value, draws.min()) == pytest.approx((1, 1))
    turned = {f"m{k}": dict(enumerate(-k + noise[k])) for k in range(5)}
    assert verdicts.order_kept(free, turned)[0] == pytest.approx(-1)


def test_every_label_budget_is_a_difference_to_mse():
    draws = {verdicts.MSE: {0: np.full(9, 0.5)}, verdicts.NONE: {None: np.full(9, 0.4)}}
    assert verdicts.budgets(lambda *_: draws)[1].count("-0.100 [-0.100, -0.100]") == 3


def part_of(folder, metric, means, seeds=3, spread=0.002):
    """A results folder whose figures have these means, and draws close about them."""
    rows, draw = [], np.random.default_rng(len(means))
    for method, mean in means.items():
        for seed in range(seeds) if method != "none" else [None]:
            values = mean + spread * draw.normal(size=201)
            file = f"per_image/{len(rows)}.npz"
            write_arrays(folder / file, {f"{metric}/mean": values, "groups": np.arange(9)})
            about = dict(seed=seed, metric=metric, per_image=file)
            rows.append(row(method, float(values[0]), **about))
    return rows


@pytest.mark.parametrize(
    ("of_a", "on_hituav", "on_cnn", "judged"),
    [
        ((0.3, 0.4, 0.5, 0.45), (0.3, 0.4, 0.5, 0.45), (0.2, 0.3, 0.4), 1),
        ((0.3, 0.4, 0.3, 0.35), (0.3, 0.4, 0.3, 0.35), (0.2, 0.3, 0.2), -1),  # FLIR's is a gain
        ((0.3, 0.4, 0.5, 0.4), (0.3, 0.4, 0.5, 0.45), (0.2, 0.3, 0.4), 0),  # A has no sign
        ((0.3, 0.4, 0.3, 0.4), (0.3, 0.4, 0.3, 0.35), (0.2, 0.3, 0.2), 0),  # nor here
        ((0.3, 0.4, 0.5, 0.45), (0.3, 0.4, 0.5, 0.45), (0.3, 0.2, 0.4), -1),
        ((0.3, 0.4, 0.5, 0.45), (0.3, 0.4, 0.5, 0.405), (0.2, 0.3, 0.4), -1),  # too small a gain
    ],
)
def test_a_sign_is_carried_over_where_all_parts_have_it(of_a, on_hituav, on_cnn, judged, tmp_path):
    names = (verdicts.NONE, verdicts.MSE, verdicts.CODE, verdicts.PAPER)
    metrics = {"msrs_cv": verdicts.FREE, "hituav": verdicts.ALL, "cnn": verdicts.ALL}
    free = "label_free_balanced_accuracy"
    on_flir = {"none": 0.5, "mse (on=flir)": 0.6, "freqkd_code (on=flir)": 0.7}
    write_results(tmp_path / "flir", part_of(tmp_path / "flir", free, on_flir), {})
    for part, means in zip(metrics, (of_a, on_hituav, on_cnn), strict=True):
        rows = part_of(tmp_path / part, metrics[part], dict(zip(names, means, strict=False)))
        write_results(tmp_path / part, rows, {})
    of = lambda part, metric: verdicts.drawn(tmp_path / part, metric)  # noqa: E731
    h6 = verdicts.carried_over(of)
    assert {d.part for d in h6.differences} == {"flir", "hituav", "cnn"} and h6.every
    found, verdict = verdicts.judged([h6], of)
    assert verdict == {"H6": judged} and len(found) == 7
    assert {d.part for d in verdicts.carried_over(of, ["msrs_cv", "flir"]).differences} == {"flir"}
    assert verdicts.stands(h6, judged, True) and verdicts.stands(h6, judged, False) == (judged < 1)
    first = next(j for j in found if j.of.part == "hituav" and j.of.method.startswith("mse"))
    assert first.value == pytest.approx(on_hituav[1] - on_hituav[0], abs=0.01)


def test_nothing_is_judged_before_all_students_are_there(tmp_path, capsys):
    (tmp_path / "preregistration.md").write_text("H6")
    for part in verdicts.PARTS:
        write_results(tmp_path / part, [], {"unfinished": ["3 of 7 students"]})
    verdicts.main(["--results", str(tmp_path)])
    assert not (tmp_path / "verdicts").exists()
    out = capsys.readouterr().out
    assert all(f"{part}: not all" in out for part in verdicts.PARTS)
