"""The figure of all arms against numbers that it must show."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from freqkd_lite.results.paired import Difference, Differences, read_differences
from freqkd_lite.results.rows import Row, means, write_results
from freqkd_lite.viz.comparison import (
    ablation,
    ahead_of_all,
    arms_figure,
    less,
    looked_at_once,
    near_teacher,
    trained,
    verdict,
)


def difference(arm, value, low, high, klass="mean"):
    return Difference(arm, klass, value, (low, high), 5, 93, 40)


KEPT = Differences(
    "mse (lr=0.001)", "code (lr=0.003)", "probe_ap", "msrs test",
    [
        difference("none", -0.1, -0.15, -0.05), difference("none", 0.3, 0.2, 0.4, "car"),
        difference("anchor (lr=0.001)", 0.02, 0.005, 0.04),
        difference("code (lr=0.003)", -0.02, -0.03, 0.01),
    ],
)  # fmt: skip


def band(arm, ring, value, seed=0):
    return Row(claim="walk", arm=arm, seed=seed, data="msrs", split="test", value=value,
               metric="divergence_band", klass=f"block11/ring{ring}")  # fmt: skip


ROWS = [band("none", 0, 0.8), band("none", 1, 0.85), band("none", 2, 0.9)] + [
    band("mse (lr=0.001)", ring, value, seed)
    for ring, values in ((0, (0.5, 0.6)), (1, (0.6, 0.6)), (2, (0.7, 0.8)))
    for seed, value in enumerate(values)
]


def test_nearness_is_the_first_and_the_last_band_over_seeds():
    found = means(ROWS)
    assert near_teacher(found, "none") == (0.8, 0.9)
    assert near_teacher(found, "mse (lr=0.001)") == pytest.approx((0.55, 0.75))
    assert near_teacher(found, "code (lr=0.003)") is None


def test_arms_stand_in_their_order_with_the_one_they_are_set_against_at_zero():
    figure, alt = arms_figure(KEPT, means(ROWS))
    left, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [
        "anchored · lr=0.001",
        "MSE · lr=0.001",
        "FreqKD (code) · lr=0.003",
        "undistilled",
    ]
    marks = {int(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in left.lines
             if line.get_marker() in "oD" and len(line.get_xdata()) == 1}  # fmt: skip
    assert marks == {0: 0.02, 1: 0, 2: -0.02, 3: -0.1}
    spans = [
        tuple(line.get_xdata())
        for line in left.lines
        if line.get_linewidth() in (2.5, 4.5) and len(line.get_xdata()) == 2
    ]
    assert spans == [(0.005, 0.04), (-0.03, 0.01), (-0.15, -0.05)]
    wide = [line for line in left.lines if line.get_linewidth() == 4.5]
    assert len(wide) == 1 and tuple(wide[0].get_xdata()) == (-0.03, 0.01)  # named beforehand
    dots = [(float(line.get_xdata()[0]), line.get_ydata()[0]) for line in right.lines
            if line.get_marker() == "o" and len(line.get_xdata()) == 1]  # fmt: skip
    assert dots == [(pytest.approx(0.55), 1), (pytest.approx(0.75), 1), (0.8, 3), (0.9, 3)]
    assert "anchored · lr=0.001 +0.020 [+0.005, +0.040]." in alt and "MSE · lr=0.001 itself" in alt
    plt.close(figure)


def test_intervals_of_all_at_once_are_thinner_and_marks_tell_who_came_later_or_with_few_seeds():
    rows = [replace(d, among=(d.interval[0] - 0.02, d.interval[1] + 0.02))
            for d in KEPT.rows if d.klass == "mean" and d.arm != "none"]  # fmt: skip
    rows[0] = replace(rows[0], seeds=3)
    kept = replace(KEPT, rows=rows, later=["anchor (lr=0.001)"])
    figure, _ = arms_figure(kept, means(ROWS))
    left = figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "anchored · lr=0.001 †", "MSE · lr=0.001", "FreqKD (code) · lr=0.003",
    ]  # fmt: skip
    thin = [tuple(line.get_xdata()) for line in left.lines if line.get_linewidth() == 0.8]
    assert thin == [pytest.approx((-0.015, 0.06)), pytest.approx((-0.05, 0.03))]
    hollow = [line.get_ydata()[0] for line in left.lines
              if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]  # fmt: skip
    assert hollow == [0]
    said = left.texts[0].get_text()
    assert "† entered later" in said and "hollow: fewer than 5 seeds" in said
    plt.close(figure)


def test_arms_of_some_losses_are_told_from_best_to_worst(tmp_path):
    said = less(tmp_path / "distillation", ["anchor"])
    assert said.endswith("distillation holds no study: there is nothing to show.")
    rows = [*KEPT.rows, difference("mse (merge_scale=0.5)", 0.1, 0.0, 0.2),
            difference("mse (projector=True, lr=0.003)", 0.03, -0.01, 0.05),
            difference("gram (lr=0.001)", 0.2, 0.1, 0.3)]  # fmt: skip
    replace(KEPT, rows=rows, later=["anchor (lr=0.001)"]).write(tmp_path)
    assert less(tmp_path, ["code", "anchor", "mse"]) == (
        "probe AP on msrs test, less that of MSE · lr=0.001, with paired 95 % intervals:\n"
        "  +0.030 [-0.010, +0.050]  MSE · trained projector · lr=0.003, 5 seeds\n"
        "  +0.020 [+0.005, +0.040]  anchored · lr=0.001, 5 seeds (entered when others had been "
        "scored)\n"
        "  -0.020 [-0.030, +0.010]  FreqKD (code) · lr=0.003, 5 seeds"
    )


def test_a_study_is_read_back_as_it_was_kept(tmp_path):
    drawn, said = ablation(tmp_path / "distillation")
    assert drawn is None and said.endswith("distillation holds no study: nothing is drawn.")
    write_results(tmp_path, ROWS, {})
    KEPT.write(tmp_path)
    assert read_differences(tmp_path) == KEPT
    drawn, said = ablation(tmp_path)
    assert said.startswith(
        "anchored · lr=0.001 is ahead of MSE · lr=0.001 by 0.01 or more; FreqKD (code) · lr=0.003, "
        "named beforehand, cannot be told from it: -"
    )
    assert said.endswith("\n5 seeds, 93 images in 40 groups, msrs test.")
    plt.close(drawn[0])


def test_the_verdict_begins_with_its_answer():
    def of(arm, value, low, high, klass="mean"):
        return Difference(arm, klass, value, (low, high), 5, 90, 40)

    found = [
        of("none", -0.1, -0.2, -0.05), of("teacher", 0.1, 0.05, 0.2),  # compete with nobody
        of("swapped", -0.1, -0.2, -0.05), of("code", -0.02, -0.03, 0.001),
        of("code", 0.5, 0.4, 0.6, "car"),
        of("anchor", 0.02, 0.001, 0.04), of("coherence", 0.009, 0.001, 0.02),
    ]  # fmt: skip

    def said(rows, named=None, alone=()):
        kept = Differences("mse", named, "probe_ap", "msrs test", rows, list(alone))
        return " ".join(verdict(kept))

    assert said(found, "code") == (
        "anchored is ahead of MSE by 0.01 or more; FreqKD (code), named beforehand, cannot be told "
        "from it: -0.020 [-0.030, +0.001]. One by one, "
        "ahead by 0.01 or more with an interval above 0: anchored +0.020 [+0.001, +0.040]. "
        "Below it with an interval below 0: bands swapped."
    )
    assert said(found[:4]).startswith(
        "No arm is ahead of MSE by 0.01 or more. One by one, ahead by 0.01 or more with an "
        "interval above 0: none."
    )
    assert said(found, alone=["eq", "gram"]).endswith(
        "bands swapped. Of no seed that MSE has, so not compared: FreqKD (equations), Gram."
    )


def test_who_is_ahead_is_judged_once_more_by_what_holds_for_all_at_once():
    def of(arm, value, low, among):
        return Difference(arm, "mean", value, (low, 2 * value - low), 5, 90, 40, among)

    rows = [of("none", 0.3, 0.2, None), of("gram", 0.06, 0.01, (-0.01, 0.13)),
            of("pkd", 0.05, 0.02, (0.001, 0.1)), of("code", -0.05, -0.06, (-0.1, 0.0))]  # fmt: skip
    assert looked_at_once(rows[1:]) == [
        "By intervals that hold for all 3 arms at once (Gram [-0.010, +0.130], PKD [+0.001, "
        "+0.100]) PKD stays ahead."
    ]
    assert looked_at_once([rows[1], rows[3]]) == [
        "By intervals that hold for all 2 arms at once (Gram [-0.010, +0.130]) none stays ahead."
    ]
    assert looked_at_once(rows[3:]) == []  # nobody is ahead
    kept = Differences("mse", "code", "probe_ap", "msrs test", rows)
    assert [d.arm for d in trained(kept)] == ["gram", "pkd", "code"]
    assert verdict(kept)[0] == (
        "PKD is ahead of MSE by 0.01 or more once all 3 arms are looked at together (looked at "
        "alone, Gram is); FreqKD (code),"
        " named beforehand, is below it: -0.050 [-0.060, -0.040]."
    )
    assert ahead_of_all([rows[1], rows[3]], "it").startswith("No arm is ahead of it by 0.01")
    both = [rows[2], replace(rows[1], among=(0.005, 0.1))]
    assert ahead_of_all([], "it") == "Nothing is there to be compared with it yet"
    assert ahead_of_all(both, "it") == (
        "PKD, Gram are ahead of it by 0.01 or more once all 2 arms are looked at together"
    )
    assert looked_at_once(rows[1:])[0] in verdict(kept)
