"""Verdicts follow from the numbers by their rules: change the numbers and the words change."""

from dataclasses import replace

import pytest

from freqkd_lite.errors import UserError
from freqkd_lite.results.claims import (
    CLAIMS,
    FOUND,
    MARKS,
    finding,
    judge_gap,
    judge_loss,
    table,
    write_into,
)
from freqkd_lite.results.paired import Difference, Differences
from freqkd_lite.results.rows import Row, write_results


def gap(ratio, interval, raw=0.05):
    common = dict(claim="gap_ratio", arm="msrs", seed=0, data="msrs", split="train/all", n=48)
    return {"scenes_gap": [
        Row(metric="divergence_ratio", value=ratio, interval=interval, **common),
        Row(metric="raw_mse_ratio", value=raw, **common),
    ]}  # fmt: skip


@pytest.mark.parametrize(
    ("ratio", "interval", "raw", "words"),
    [
        (1.5, (1.4, 1.6), 0.05, "direction holds .*size does not, and raw MSE says the opposite"),
        (2.3, (2.1, 2.6), 1.5, "direction holds once energy is divided out, the size holds$"),
        (0.9, (0.8, 0.95), 0.05, "direction fails once energy is divided out, the size does not$"),
        (1.05, (0.9, 1.2), 0.05, "direction is open"),
    ],
)
def test_the_gap_is_judged_by_its_interval(ratio, interval, raw, words):
    import re

    measured, verdict = judge_gap(gap(ratio, interval, raw))
    assert re.search(words, verdict) and f"{ratio:.2f}" in measured and "48 MSRS pairs" in measured


def test_scenes_earn_no_verdict():
    rows = gap(2.4, (2.3, 2.5))
    scenes = [row.model_copy(update={"data": "scenes"}) for row in rows["scenes_gap"]]
    assert judge_gap({"scenes_gap": scenes})[0] == "not run"


@pytest.mark.parametrize(("cost", "word"), [(0.0, "cannot see"), (0.4, "sees signs")])
def test_the_loss_is_judged_by_the_cost_of_a_sign(cost, word):
    row = Row(claim="loss", arm="code", seed=0, data="scenes", split="train",
              metric="cost_of_negated_high_band", value=cost)  # fmt: skip
    assert word in judge_loss({"default": [row]})[1]


def test_what_was_not_run_says_what_it_needs(tmp_path):
    rows = {claim.id: row for claim, row in zip(CLAIMS, table(tmp_path), strict=True)}
    assert len(rows) == 6
    assert rows["kaist_map50"][3] == "not run: needs KAIST"
    assert rows["gap_ratio"][2] == "not run" and "MFNet" in rows["mfnet_miou"][3]


def test_msrs_stands_beside_kaist_and_never_for_it(tmp_path):
    rows = [Row(claim="walk", arm=arm, seed=seed, data="msrs", split=split, metric="probe_ap",
                klass="mean", value=v, interval=(v - 0.1, v + 0.1))
            for arm, v in [("none", 0.5), ("mse", 0.6), ("code", 0.55)]
            for seed, split in [(0, "val"), (0, "val/day")]]  # fmt: skip
    write_results(tmp_path / "msrs", rows, {})
    _, _, measured, verdict = table(tmp_path)[2]
    assert "MSE 0.60 [0.50, 0.70]" in measured and verdict == "not run: needs KAIST"
    assert measured.startswith(
        "on MSRS instead, short runs; the probe's mean AP: on val, undistilled"
    )
    assert measured.endswith("(one seed)")
    rows += [r.model_copy(update={"seed": 1, "value": r.value + 0.02}) for r in rows]
    write_results(tmp_path / "msrs", rows, {})
    # .60 and .62: mean .61, half width 12.706 * .014142 / sqrt(2) = .12706
    assert "MSE 0.61 [0.48, 0.74]" in table(tmp_path)[2][2]
    assert table(tmp_path)[2][2].endswith("(2 seeds)")
    # a detector's own figure stands beside it, from the first folder that has one
    found = [r.model_copy(update={"metric": "map50", "value": r.value - 0.3}) for r in rows[:6]]
    write_results(tmp_path / "msrs_first", found, {})
    told = table(tmp_path)[2][2]
    assert "; a detector's mAP50: on val, undistilled 0.20 [0.40, 0.60], MSE 0.30" in told
    assert table(tmp_path)[3][2] == "nothing on this data set"  # MSRS stands in for KAIST alone


def study(value, low):
    """Of four seeds; the anchored arm has the given difference, the same at half scale less."""
    rows = [
        Difference("code (lr=0.003)", "mean", -0.04, (-0.06, -0.02), 4, 93, 40),
        Difference("anchor (lr=0.001)", "mean", value, (low, 0.1), 4, 93, 40, (-0.01, 0.13)),
        Difference("anchor (lr=0.001)", "car", 0.5, (0.4, 0.6), 4, 93, 40),
        Difference("code (lr=0.003, merge_scale=0.5)", "mean", -0.01, (-0.03, 0.02), 4, 93, 40),
        Difference("code (lr=0.001)", "mean", 0.0, (-0.03, 0.04), 4, 93, 40),
        Difference("teacher", "mean", 0.3, (0.2, 0.4), 5, 93, 40),  # competes with nobody
        Difference("none", "mean", -0.1, (-0.2, -0.05), 5, 93, 40),
    ]
    return Differences("mse (lr=0.003)", "code (lr=0.003)", "probe_ap", "msrs test", rows)


@pytest.mark.parametrize(
    ("value", "low", "words"),
    [
        (0.02, 0.005, "above 0: **anchored · lr=0.001 +0.020 [+0.005, +0.100]**. By intervals "
         "that hold for all 4 arms at once (anchored · lr=0.001 [-0.010, +0.130]) none stays"),
        (0.02, -0.001, "one by one: ahead of it by 0.01 or more with an interval above 0: none."),
        (0.009, 0.005, "above 0: none."),
    ],
)  # fmt: skip
def test_the_finding_is_what_the_differences_say(tmp_path, value, low, words):
    assert finding(tmp_path) == ""
    (tmp_path / "distillation").mkdir()
    study(value, low).write(tmp_path / "distillation")
    (tmp_path / "distillation" / "manifest.json").write_text(
        '{"unfinished": ["a"], "failed": ["b", "c"]}'
    )
    said = finding(tmp_path)
    assert (
        "(93 images in 40 groups, 4 seeds, 1 run still to come, 2 runs failed, learning rates"
        in said
    )
    assert words in said
    alone = "together (looked at alone, anchored · lr=0.001 is).**"
    assert (alone in said) == ("(looked at alone" in said) == ((value, low) == (0.02, 0.005))
    # undistilled it is -0.1 [-0.2, -0.05] away
    assert (
        ".**\n- That MSE is above the student before distillation: **+0.100 [+0.050, +0.200]**.\n"
        in said
    )
    assert (
        "- FreqKD (code) · lr=0.003, the comparison named beforehand, is below that MSE: **-0.040 "
        "[-0.060, -0.020]**; -0.010 [-0.030, +0.020] with merge_scale=0.5, +0.000 [-0.030, +0.040] "
        "with lr=0.001.\n- Exploratory, one by one"
    ) in said


def test_the_finding_tells_how_much_hangs_on_the_rate(tmp_path):
    for folder in ("distillation", "distillation_val"):
        (tmp_path / folder).mkdir()
    study(0.02, 0.005).write(tmp_path / "distillation")
    (tmp_path / "distillation" / "manifest.json").write_text("{}")
    rows = [
        Difference("code (lr=0.003)", "mean", -0.04, (-0.06, -0.02), 3, 88, 40),
        Difference("code (lr=0.003)", "car", -0.1, (-0.2, -0.05), 3, 88, 40),
        Difference("code (lr=0.001)", "mean", -0.02, (-0.03, 0.01), 3, 88, 40),
        Difference("mse (lr=0.001)", "mean", -0.01, (-0.03, 0.02), 3, 88, 40),
        Difference("anchor (lr=0.001)", "mean", 0.01, (-0.02, 0.04), 3, 88, 40),
    ]
    kept = Differences("mse (lr=0.003)", None, "probe_ap", "msrs val", rows)
    kept.write(tmp_path / "distillation_val")
    assert (
        "+0.040] with lr=0.001, on val -0.040 [-0.060, -0.020] with lr=0.003, on val -0.020 "
        "[-0.030, +0.010] with lr=0.001.\n- Exploratory, one by one"
    ) in finding(tmp_path)
    assert (
        "above 0: **anchored · lr=0.001 +0.020 [+0.005, +0.100]** (on val, which chose it, +0.010 "
        "[-0.020, +0.040]). By"
    ) in finding(tmp_path)
    replace(kept, against="eq").write(tmp_path / "distillation_val")  # another mark
    assert "on val +" not in finding(tmp_path) and "on val -" not in finding(tmp_path)


def test_the_study_counts_before_shorter_results(tmp_path):
    def row(arm, value, split="test"):
        return Row(claim="walk", arm=arm, seed=0, data="msrs", split=split, metric="probe_ap",
                   klass="mean", value=value)  # fmt: skip

    rows = [row("none", 0.4), row("mse (lr=0.003)", 0.5), row("code (lr=0.01)", 0.45),
            row("mse (shuffled=True, lr=0.003)", 0.3), row("mse (lr=0.003)", 0.2, "test/day"),
            row("mse (lr=0.003, merge_scale=0.5)", 0.1)]  # fmt: skip
    write_results(tmp_path / "distillation", rows, {})
    write_results(tmp_path / "msrs", [row(a, 0.9) for a in ("none", "mse", "code")], {})
    measured = table(tmp_path)[2][2]
    assert "undistilled 0.40, MSE · lr=0.003 0.50, FreqKD (code) · lr=0.01 0.45 (one" in measured
    assert measured.count("MSE") == 1  # neither shuffled pairs nor another merge scale
    # a second rate with as many seeds leaves it open which one counts, with fewer it does not
    other = row("code (lr=0.003)", 0.48)
    write_results(tmp_path / "distillation", [*rows, other], {})
    assert "MSE 0.90" in table(tmp_path)[2][2]
    more = other.model_copy(update={"seed": 1, "value": 0.48})
    write_results(tmp_path / "distillation", [*rows, other, more], {})
    measured = table(tmp_path)[2][2]
    assert "FreqKD (code) · lr=0.003 0.48" in measured
    assert measured.endswith(" (2 seeds), FreqKD (code) · lr=0.01 0.45 (one seed)")
    write_results(tmp_path / "distillation", rows[:2], {})
    assert "MSE 0.90" in table(tmp_path)[2][2]


def test_the_table_goes_between_its_marks_and_leaves_the_rest(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{FOUND[0]}\n{FOUND[1]}\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_into(readme, tmp_path)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert text.count("\n| ") == 7  # a head and six rows
    write_into(readme, tmp_path)
    assert readme.read_text() == text
    (tmp_path / "distillation").mkdir()
    study(0.02, 0.005).write(tmp_path / "distillation")
    (tmp_path / "distillation" / "manifest.json").write_text("{}")
    write_into(readme, tmp_path)
    assert "\n**What our study says** of a probe's mean AP on MSRS test, less" in readme.read_text()
    readme.write_text("no marks")
    with pytest.raises(UserError, match="must hold the lines"):
        write_into(readme, tmp_path)


def test_an_arm_that_entered_later_and_the_best_of_ours_are_told(tmp_path):
    (tmp_path / "distillation").mkdir()
    kept = study(0.02, 0.005)
    gram = Difference("gram (lr=0.001)", "mean", 0.05, (0.02, 0.1), 4, 93, 40, (0.01, 0.12))
    kept = replace(kept, rows=[*kept.rows, gram], later=["gram (lr=0.001)"])
    kept.write(tmp_path / "distillation")
    (tmp_path / "distillation" / "manifest.json").write_text("{}")
    said = finding(tmp_path)
    assert (
        "above 0: **Gram · lr=0.001 +0.050 [+0.020, +0.100]** (entered when others had been "
        "scored), **anchored · lr=0.001 +0.020"
    ) in said
    assert "(Gram · lr=0.001 [+0.010, +0.120]" in said and "Gram · lr=0.001 stays ahead." in said
    assert "2 runs" not in said and ", 4 seeds, 1 of 5 arms entered when others had been" in said
    # Gram is a rival's, the anchor this project's
    assert said.endswith("Of this project's own losses 1 is ahead, looked at alone; anchored · "
                         "lr=0.001 comes furthest: +0.020 [+0.005, +0.100].")  # fmt: skip
    assert "\n- **Gram · lr=0.001 is ahead of that MSE by 0.01 or more once all 5 arms are" in said
    study(0.02, -0.005).write(tmp_path / "distillation")
    assert "none is ahead, looked at alone; anchored" in finding(tmp_path)
    wide = Difference("coherence (lr=0.003)", "mean", 0.05, (-0.01, 0.1), 4, 93, 40)
    replace(kept, rows=[*kept.rows, wide]).write(tmp_path / "distillation")
    assert "losses 1 is ahead, looked at alone; coherence weight" in finding(tmp_path)
