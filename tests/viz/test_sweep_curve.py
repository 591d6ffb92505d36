"""A figure along one setting: points and best ones against numbers worked by hand."""

import matplotlib.pyplot as plt
import pytest

from freqkd_lite.errors import UserError
from freqkd_lite.results.paired import differences
from freqkd_lite.results.rows import Row, means, write_results
from freqkd_lite.results.summary import write_page
from freqkd_lite.store import manifest
from freqkd_lite.viz.sweep_curve import (
    along,
    along_answer,
    along_figure,
    along_table,
    failed_arms,
    first_less,
    ranked,
    read,
    series,
)
from tests.results.test_paired import folder


def row(arm, value, klass="mean", split="val", metric="probe_ap"):
    return Row(claim="walk", arm=arm, seed=0, data="msrs", split=split, metric=metric,
               klass=klass, value=value, interval=(value - 0.1, value + 0.1))  # fmt: skip


ROWS = [
    row("none", 0.42), row("mse (lr=0.01)", 0.50), row("mse (lr=0.001)", 0.52),
    row("mse (lr=0.003)", 0.55), row("mse (lr=0.003)", 0.9, "car"),
    row("mse (lr=0.003)", 0.8, split="val/day"), row("mse (lr=0.003)", 0.7, metric="other"),
    row("mse (shuffled=True, lr=0.001)", 0.41), row("mse (shuffled=True, lr=0.01)", 0.43),
    row("code (lr=0.001)", 0.47),
]  # fmt: skip


def test_points_are_in_order_and_of_the_whole_alone():
    found = series(means(ROWS), "probe_ap", "lr")
    plain = {arm: [(p.at, p.value) for p in points] for arm, points in found.items()}
    assert plain == {
        "mse": [(0.001, 0.52), (0.003, 0.55), (0.01, 0.50)],
        "mse (shuffled=True)": [(0.001, 0.41), (0.01, 0.43)],
        "code": [(0.001, 0.47)],
    }
    with pytest.raises(UserError, match="No arm has a setting 'steps'"):
        series(means(ROWS), "probe_ap", "steps")
    with pytest.raises(UserError, match="shuffled=True is no number"):
        series(means(ROWS), "probe_ap", "shuffled")
    scales = [row("mse (merge_scale=0.5)", 0.4), row("mse (scale=2)", 0.5)]
    assert series(means(scales), "probe_ap", "scale") == {"mse": [(2, 0.5, None, {0: 0.5})]}


def test_one_figure_is_about_one_place():
    rows = [row("mse (lr=0.1)", 0.5), row("mse (lr=0.1)", 0.5, split="test")]
    with pytest.raises(UserError, match="measured on msrs test, msrs val: a figure along lr"):
        series(means(rows), "probe_ap", "lr")


def test_the_answer_names_the_best_and_the_ends():
    assert along_answer(read(means(ROWS), "probe_ap", "lr")) == (
        "probe AP, each arm at its best: MSE 0.550 at lr=0.003, FreqKD (code) 0.470 at lr=0.001, "
        "MSE · shuffled pairs 0.430 at lr=0.01. At an end of what was tried: MSE · shuffled pairs. "
        "Tried at one value: FreqKD (code)."
    )


def test_a_panel_for_each_arm_with_its_best_point_ringed():
    figure, alt = along_figure(read(means(ROWS), "probe_ap", "lr"))
    axes = [ax for ax in figure.axes if ax.axison]
    names = ["MSE", "MSE · shuffled pairs", "FreqKD (code)"]
    assert [ax.get_title(loc="left") for ax in axes] == names
    dotted, line, *_, ring = axes[0].lines
    assert list(dotted.get_ydata()) == [0.42, 0.42]
    assert ring.get_xydata().tolist() == [[0.003, 0.55]]
    assert line.get_xydata().tolist() == [[0.001, 0.52], [0.003, 0.55], [0.01, 0.5]]
    assert [text.get_text() for text in axes[-1].texts] == ["undistilled"]
    assert "MSE: 0.520 at 0.001, 0.550 at 0.003, 0.500 at 0.01" in alt
    assert alt.endswith("Dotted: undistilled 0.420.")
    plt.close(figure)


def test_a_run_that_failed_has_a_cross_and_is_no_end():
    said = ["05_arms arms=['none', 'code (lr=0.01)'] seed=0: Cell 10 of 05_arms failed: it's over",
            "05_arms arms=['none', 'mse (lr=0.01)', 'eq (lr=0.01)'] seed=0: failed"]  # fmt: skip
    failed = failed_arms(said)
    assert failed == ["none", "code (lr=0.01)", "none", "mse (lr=0.01)", "eq (lr=0.01)"]
    weighed = "05 arms=['none', 'mse (blocks=[1, 2], lr=0.1)'] seed=0: x"
    assert failed_arms([weighed]) == ["none", "mse (blocks=[1, 2], lr=0.1)"]
    rows = [*ROWS, row("code (lr=0.003)", 0.5)]
    kept = read(means(rows), "probe_ap", "lr", failed)
    told = along_answer(kept)
    # code is best at its last rate but for the failed one; mse has a figure there from another run
    assert told.endswith("At an end of what was tried: MSE · shuffled pairs. Failed: FreqKD (code) "
                         "at 0.01.")  # fmt: skip
    figure, alt = along_figure(kept)
    crosses = [line for line in figure.axes[2].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[0.01]]
    assert "0.500 at 0.003, nothing at 0.01" in alt and alt.endswith("Crosses: runs that failed.")
    plt.close(figure)


def test_several_seeds_have_an_interval():
    """.5 and .6: mean .55, and the t interval is 12.706 x .0707 / sqrt 2 = .635 to both sides."""
    other = row("mse (lr=0.1)", 0.6).model_copy(update={"seed": 1})
    rows = [row("mse (lr=0.1)", 0.5), other, row("mse (lr=0.2)", 0.4)]
    first, second = series(means(rows), "probe_ap", "lr")["mse"]
    assert first.interval == pytest.approx((0.55 - 0.63531, 0.55 + 0.63531), abs=1e-4)
    assert second.interval is None  # that of one run is over images
    figure, alt = along_figure(read(means(rows), "probe_ap", "lr"))
    lines = figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in lines[1:-1]] == [[0.5, 0.6]]  # dots alone
    third = row("mse (lr=0.1)", 0.55).model_copy(update={"seed": 2})
    more, _ = along_figure(read(means([*rows, third]), "probe_ap", "lr"))
    dots, whisker = more.axes[0].lines[1:-1]
    assert dots.get_ydata().tolist() == [0.5, 0.6, 0.55]
    half = 4.30265 * 0.05 / 3**0.5  # t of two degrees of freedom; the standard deviation is .05
    assert whisker.get_ydata().tolist() == pytest.approx([0.55 - half, 0.55 + half], abs=1e-5)
    plt.close(more)
    assert "MSE: 0.550 [-0.085, 1.185] at 0.1, 0.400 at 0.2" in alt
    plt.close(figure)


def test_a_few_arms_are_set_against_the_first_over_images_and_seeds(tmp_path):
    """Of files of images: at each value the difference and the interval of `differences`, which has
    tests of its own, of those two arms alone."""
    steps = {("mse", 30): 2, ("code", 30): 1, ("gram", 30): 1.5, ("mse", 60): 2, ("code", 60): 2}
    arms = [(f"{arm} (steps={n})", f"{arm} (steps={n})", seed, skill)
            for (arm, n), skill in steps.items() for seed in (0, 1)]  # fmt: skip
    rows = [row for row in folder(tmp_path, arms) if row.split == "test"]
    less = first_less(rows, tmp_path, "probe_ap", "steps")
    assert [d.arm for d in less.rows] == ["code (steps=30)", "gram (steps=30)", "code (steps=60)"]
    for n, of in ((30, less.rows[:2]), (60, less.rows[2:])):
        here = [row for row in rows if f"steps={n}" in row.arm]
        wanted = differences(here, tmp_path, f"mse (steps={n})", "probe_ap")
        assert [d for d in wanted if d.klass == "mean"] == of
    kept = read(means(rows), "probe_ap", "steps", gaps=less.rows)
    code30, gram30, code60 = less.rows

    def apart(at, d):
        return at if d.interval[0] > 0 or d.interval[1] < 0 else ""

    at = ", ".join(filter(None, (apart("30", code30), apart("60", code60)))) or "none of these"
    assert along_answer(kept).startswith(
        f"FreqKD (code) less MSE, over images and seeds: {code30} at 30, {code60} at 60; told "
        f"apart at {at}. Gram less MSE, over images and seeds: {gram30} at 30; told apart at "
        f"{apart('30', gram30) or 'none of these'}. probe AP, each arm at its best: "
    )
    assert apart("30", code30) == "30" and not apart("60", code60)  # the test sees both
    figure, alt = along_figure(kept)
    left, right = figure.axes
    assert [line.get_label() for line in left.lines if line.get_label()[0] != "_"] == [
        "MSE", "FreqKD (code)", "Gram",
    ]  # fmt: skip
    spans = [tuple(line.get_ydata()) for line in right.lines if line.get_linewidth() == 2.5]
    assert spans == [d.interval for d in (code30, code60, gram30)]
    assert right.get_ylabel() == "less that of MSE" and "Right, with paired intervals: F" in alt
    plt.close(figure)
    with pytest.raises(UserError, match="No arm has a setting 'warmup'"):
        write_results(tmp_path, rows, manifest(metric="probe_ap", along="warmup"))
        write_page(tmp_path)
    alone = [row for row in rows if row.arm.startswith("mse")]
    assert first_less(alone, tmp_path, "probe_ap", "steps") is None


def test_what_such_a_sweep_kept_is_read_back(tmp_path):
    assert along(tmp_path) == (None, f"{tmp_path.parent.name}/{tmp_path.name} holds no results: "
                                     "there is nothing to show.")  # fmt: skip
    arms = [(f"{arm} (steps=30)", f"{arm} (steps=30)", 0, skill)
            for arm, skill in (("mse", 2), ("code", 1))]  # fmt: skip
    rows = [row for row in folder(tmp_path, arms) if row.split == "test"]
    write_results(tmp_path, rows, manifest(metric="probe_ap"))
    with pytest.raises(UserError, match="holds no sweep along a setting"):
        along(tmp_path)
    write_results(tmp_path, rows, manifest(metric="probe_ap", along="steps"))
    said = write_page(tmp_path)
    drawn, answer = along(tmp_path)
    assert answer == said and "FreqKD (code) less MSE, over images and seeds: " in said
    assert drawn[1].startswith("probe AP against steps of training, by arm. ")
    plt.close(drawn[0])


def test_arms_are_ranked_at_the_setting_that_suits_each(tmp_path):
    assert ranked(tmp_path, ["mse"]).endswith("holds no results: there is nothing to show.")
    write_results(tmp_path, ROWS, manifest(metric="probe_ap", along="lr"))
    assert ranked(tmp_path, ["code", "mse"]) == (
        "probe AP on msrs val, each at the learning rate that suits it best of those tried:\n"
        "  0.550  MSE · lr=0.003 (of 3)\n"
        "  0.470  FreqKD (code) · lr=0.001 (of 1)"  # shuffled pairs are another comparison
    )
    options = [row("anchor (variant=root, lr=0.003)", 0.6), row("mse (projector=True, lr=1)", 0.7)]
    write_results(tmp_path, ROWS + options, manifest(metric="probe_ap", along="lr"))
    assert ranked(tmp_path, ["anchor", "mse"]).splitlines()[1:] == [
        "  0.700  MSE · trained projector · lr=1 (of 1)",
        "  0.600  anchored · variant=root · lr=0.003 (of 1)", "  0.550  MSE · lr=0.003 (of 3)",
    ]  # fmt: skip
    assert ranked(tmp_path, ["code"]).endswith("tried:\n  0.470  FreqKD (code) · lr=0.001 (of 1)")


def test_a_page_of_such_a_sweep_opens_with_it(tmp_path):
    """Its rows keep no files of images, so nothing is set against the first arm."""
    write_results(tmp_path, ROWS, manifest(metric="probe_ap", along="lr"))
    assert write_page(tmp_path).startswith("probe AP, each arm at its best: MSE 0.550 at lr=0.003")
    page = (tmp_path / "README.md").read_text()
    assert "At an end of what was tried" in page.split("![")[0]
    assert "probe AP against learning rate" in page
    assert "| MSE | 0.550 | 0.003 | 0.520 at 0.001, 0.500 at 0.01 |  |  |" in page


def many(extra=()):
    """Seven arms with one rate each but the first, more than panels hold: .3, .31, ... .36."""
    names = ("mse", "code", "eq", "signed", "robust", "gram", "pkd")
    rows = [row(f"{arm} (lr=0.001)", 0.3 + i / 100) for i, arm in enumerate(names)]
    return means([row("none", 0.2), *rows, row("mse (lr=0.003)", 0.5), *extra])


def test_many_arms_have_a_row_each_with_the_best_first_and_ringed():
    failed = ["eq (lr=0.01)", "gram (lr=0.01)", "pkd (lr=0.01)", "code (lr=0.01)"]
    kept = read(many(), "probe_ap", "lr", failed)
    figure, alt = along_figure(kept)
    (ax,) = figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["MSE", "PKD", "Gram", "FreqKD (robust)", "FreqKD (signed)",
                     "FreqKD (equations)", "FreqKD (code)"]  # fmt: skip
    marks = [line for line in ax.lines if line.get_marker() in list("v^osDP")]
    at = {line: tuple(line.get_xydata()[0].round(2)) for line in marks if len(line.get_xdata())}
    rings = {place for line, place in at.items() if line.get_markersize() == 11}
    assert rings == {(0.5, 0), (0.36, 1), (0.35, 2), (0.34, 3), (0.33, 4), (0.32, 5), (0.31, 6)}
    dots = {}
    for line, place in at.items():
        if line.get_markersize() != 11:
            dots.setdefault((line.get_color().tobytes(), line.get_marker()), set()).add(place)
    at_one = {(0.3, 0), (0.36, 1), (0.35, 2), (0.34, 3), (0.33, 4), (0.32, 5), (0.31, 6)}
    assert sorted(dots.values(), key=len) == [{(0.5, 0)}, at_one]  # a shade for each rate
    crosses = {line.get_ydata()[0] for line in ax.lines if line.get_marker() == "x"}
    assert crosses == {1, 2, 5, 6}
    assert [text.get_text() for text in ax.texts] == ["undistilled"]
    assert "MSE: 0.300 at 0.001, 0.500 at 0.003; FreqKD (code): 0.310 at 0.001, nothing" in alt
    plt.close(figure)


def test_what_lies_far_below_stands_at_the_edge_with_its_number():
    """The bests and the level reach from .2 to .5, so the axis begins at .2 - .5 * .3 = .05."""
    low = [row("code (lr=0.01)", 0.04), row("code (lr=0.02)", 0.012), row("eq (lr=0.01)", 0.06)]
    figure, alt = along_figure(read(many(low), "probe_ap", "lr"))
    assert alt.endswith(" Arrows: below the axis.")
    (ax,) = figure.axes
    points = [tuple(line.get_xydata()[0].round(3)) for line in ax.lines
              if line.get_marker() in list("v^osDP") and len(line.get_xdata())]  # fmt: skip
    assert points.count((0.05, 6)) == 2 and (0.06, 5) in points  # FreqKD (code) is last but one
    assert min(x for x, _ in points) == 0.05 > ax.get_xlim()[0]
    assert [text.get_text() for text in ax.texts] == [".04, .01 \N{LEFTWARDS ARROW}", "undistilled"]
    plt.close(figure)


def test_of_many_arms_a_sentence_names_three_and_the_table_all():
    failed = ["eq (lr=0.01)", "gram (lr=0.01)", "pkd (lr=0.01)", "code (lr=0.01)"]
    kept = read(many(), "probe_ap", "lr", failed)
    # an arm with one rate that worked and one that failed is best at an end of what was tried
    assert along_answer(kept) == (
        "probe AP, each arm at its best: MSE 0.500 at lr=0.003, PKD 0.360 at lr=0.001, Gram 0.350 "
        "at lr=0.001, and 4 more arms below. At an end of what was tried: 5 arms. Tried at "
        "one value: FreqKD (robust), FreqKD (signed). Failed: 4 runs."
    )
    table = along_table(kept)
    assert table[5:7] == [
        "| MSE | 0.500 | 0.003 | 0.300 at 0.001 | yes |  |",
        "| PKD | 0.360 | 0.001 |  | yes | 0.01 |",
    ] and len(table) == 5 + 7  # fmt: skip
    assert table[8] == "| FreqKD (robust) | 0.340 | 0.001 |  | one value |  |"
