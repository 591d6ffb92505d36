"""Rows, tables and verdicts of a gap follow from its numbers."""

import pytest
import torch

from freqkd_lite import gap
from freqkd_lite.gap.study import ANALYSIS
from freqkd_lite.gap.tables import frame
from freqkd_lite.names import NAMES
from freqkd_lite.results import gap_tables
from freqkd_lite.results.rows import pick
from freqkd_lite.spectrum import split_bands
from tests.gap.worlds import Fields, coherent, noise, pixels_backbone


def measured(make, controls=("real", "mismatched"), count=40, mark=""):
    pairs = Fields(make, count, mark)
    pairs.name = "msrs"
    return gap.measure(pairs, pixels_backbone(), [0, 1], controls, progress=False)


def steep_or_flat(low, high):
    """Pairs of divergence `low` and `high` in the bands, up to noise."""

    def make(i):
        a, n = noise(i, 0), noise(i, 1)
        mixed = []
        bands = [split_bands(m, 0.5, "disk") for m in (a, n)]
        for c, x, y in zip((1 - low, 1 - high), *bands, strict=True):
            mixed.append((x, c * x + (1 - c * c) ** 0.5 * y))
        (slow, slow_b), (fast, fast_b) = mixed
        return slow + fast, slow_b + fast_b

    return make


def table_of(found):
    """A table as a dict: first cell of a row -> its other cells."""
    return {row[0]: row[1:] for row in found[1]}


@pytest.mark.parametrize(
    ("low", "high", "phrase"),
    [(0.3, 0.8, "higher"), (0.8, 0.3, "lower"), (0.6, 0.6, "no detectable difference")],
)
def test_the_answer_flips_when_the_numbers_do(low, high, phrase):
    found = measured(steep_or_flat(low, high), mark=f"{low}{high}")
    assert f": {phrase} (ratio" in gap_tables.answer(found)
    contrast = table_of(gap_tables.contrasts_table(found))[NAMES["mismatched"]]
    assert contrast[1] == contrast[3] == "lower"


def test_levels_stand_beside_those_of_mismatched_pairs_and_a_small_model_is_warned_of():
    found = measured(coherent(0.4), mark="beside")
    low, high = (f"{found.level('mismatched')[k]:.2f}" for k in ("low", "high"))
    assert f"(mismatched pairs {low}, {high})" in gap_tables.answer(found)
    _, rows = gap_tables.levels_table(found)
    real, mismatched = NAMES["real"], NAMES["mismatched"]
    places = [["0", real], ["1", real], ["mean", real], ["mean", mismatched]]
    assert [row[:2] for row in rows] == places and rows[3][2].startswith(low)
    assert gap_tables.warnings(found) == []
    found.about["model"] = "freqkd_tiny"
    assert "drawn streets only" in gap_tables.warnings(found)[0]
    found.about["data"] = {"name": "scenes"}
    assert gap_tables.warnings(found) == []


def test_unrelated_and_identical_pairs_show_no_difference():
    unrelated = measured(coherent(0), mark="0")
    contrast = table_of(gap_tables.contrasts_table(unrelated))[NAMES["mismatched"]]
    assert contrast[1] == contrast[3] == "no detectable difference"
    same = measured(lambda i: (noise(i), noise(i)), count=8, mark="same")
    assert ": no detectable difference (ratio" in gap_tables.answer(same)
    assert len(gap_tables.notes(same)) == 1 and gap_tables.notes(unrelated) == []  # few pairs


def gap_of(levels, blocks=(2, 5)):
    """A gap with the rows (control, metric, band, block, low, high, interval of the ratio)."""
    rows = []
    for *which, low, high, span in levels:
        row = dict(zip(("control", "metric", "band", "block"), which, strict=True))
        row |= {"low": low, "low_interval": [low, low], "high": high, "high_interval": [high, high]}
        rows.append(row | {"ratio": sum(span) / 2, "interval": list(span), "n": 100})
    about = {"blocks": list(blocks), "bands": [ANALYSIS], "pairs": 100}
    empty = frame([])
    return gap.Gap(about, frame(rows), empty, empty, empty, empty, empty, empty)


def test_the_stated_ratio_is_counted_where_the_interval_holds_it():
    spans = [("mean", (2.3, 2.6)), (2, (2.2, 2.5)), (5, (3.0, 3.5))]
    found = gap_of([("real", "normalised", ANALYSIS, b, 0.4, 0.8, s) for b, s in spans])
    sentence = gap_tables.stated(found)
    assert "of 1 of 1 readings" in sentence and "of 1 of 2 block" in sentence


def test_readings_stand_at_their_place():
    """Metric m and block k have the ratio 10 m + k."""
    rows = [
        ("real", metric, ANALYSIS, block, 0.5, 0.5, (10 * m + k - 0.01, 10 * m + k + 0.01))
        for m, metric in enumerate(("mse", "normalised", "cosine"))
        for k, block in enumerate(("mean", 2, 5))
    ]
    head, table = gap_tables.readings(gap_of(rows))
    assert head == ["metric", "bands", "high / low", "block 2", "block 5"]
    assert ["cosine distance", "analysis", "20.00 [19.99, 20.01]", "21.00", "22.00"] in table
    assert len(table) == 3 and table[0][2].startswith("10.00")


def test_the_shift_that_explains_a_gap_is_interpolated():
    def with_shifts(last):
        highs = {"real": 0.8, "shift1": 0.1, "shift2": 0.2, "shift4": 0.6, "shift8": last}
        about = "normalised", ANALYSIS, "mean", 0.01
        return gap_of([(control, *about, high, (1, 2)) for control, high in highs.items()])

    assert gap_tables.equal_shift(with_shifts(1.0)) == pytest.approx(6.0)  # halfway from 4 to 8
    assert gap_tables.equal_shift(with_shifts(0.7)) is None
    assert [p for p, _ in gap_tables.shifts(with_shifts(1.0))] == [0, 1, 2, 4, 8]


def test_rows_hold_every_reading_of_the_real_pairs():
    found = measured(coherent(0.4), ("real", "mismatched", "shift1"), 30)
    rows, ratio = gap_tables.rows(found), found.level("real")
    (row,) = pick(rows, metric="divergence_ratio", method="real", klass="all")
    assert row.value == ratio["ratio"] and list(row.interval) == ratio["interval"]
    assert len([r for r in rows if r.klass.startswith("block")]) == 18


# ---------------------------------------------------------------------------- notebooks 01 and 03


def test_controls_are_compared_on_the_same_draws():
    a, n = (torch.stack([noise(i, k) for i in range(40)]) for k in (0, 1))
    low, high = (split_bands(m, 0.4, "disk") for m in (a, n))
    sides = {
        "real": low[0] + 0.5 * high[0] + high[1],  # the low band is shared
        "mismatched": n,
        "grey": a + 0.2 * n,
    }
    levels = {k: gap.band_levels([a], [b]) for k, b in sides.items()}
    verdicts = {k: row[-1] for k, row in table_of(gap_tables.ratios_table(levels)).items()}
    assert verdicts[NAMES["mismatched"]] == "lower" and verdicts[NAMES["grey"]] == "lower"
    differences = table_of(gap_tables.difference_table(levels, "real", "mismatched"))
    assert [row[1] for row in differences.values()] == ["lower", "no detectable difference"]
    rows = gap_tables.level_rows(levels, data="scenes", split="train")
    assert len(rows) == 9 and {r.n for r in rows} == {40}


@pytest.mark.parametrize("metric", ["normalised", "mse"])
def test_notebooks_and_the_study_print_one_ratio(metric):
    """The study goes through masks and sums of each image, notebooks 01 and 03 through rings."""
    make = steep_or_flat(0.6, 0.8)
    study = measured(make, count=12).level("real", metric=metric)
    sides = (torch.stack(side) for side in zip(*map(make, range(12)), strict=True))
    a, b = ([x * (k + 1) for k in range(2)] for x in sides)
    found = gap.band_levels(a, b, metric)
    expected = {key: study[key] for key in ("low", "high", "ratio")}
    assert found.estimates == pytest.approx(expected, rel=1e-5)
    assert found.interval["low"] == pytest.approx(study["low_interval"], rel=0.03)  # other draws
    row = gap_tables.measures_table({metric: found})[1][0]
    assert row[0] == gap_tables.METRICS[metric] and row[-1] == "higher"
    assert row[3].startswith(f"{study['ratio']:.2f}") and (row[1] == "") == (metric == "mse")
