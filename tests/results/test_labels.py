"""Label curves written beside a run's rows come back as the curves of its folder."""

import numpy as np
import pandas as pd
import pytest

from freqkd_lite.evaluate.transfer import LabelCurve, summary
from freqkd_lite.results import labels
from freqkd_lite.results.findings import read_findings
from freqkd_lite.results.rows import read_table
from tests.rows import row

LEVELS = {"none": (0.2, 0.1, 0.3, 0.5), "mse": (0.4, 0.2, 0.4, 0.6)}


def curve(level, seed):
    draw = np.random.default_rng(seed)
    values = np.array(level)[:, None] + 0.01 * draw.normal(size=(4, 3))
    draws = values[..., None] + 0.02 * draw.normal(size=(4, 3, 200))
    return LabelCurve((0, 1, 3, 10), values, draws)


@pytest.fixture
def folder(tmp_path):
    """Two seeds, each with a file of images; the method's rows name it."""
    made, rows = {method: [] for method in LEVELS}, []
    for seed in range(2):
        curves = {method: curve(level, seed + 5 * len(method)) for method, level in LEVELS.items()}
        np.savez(tmp_path / f"{seed}.npz", **labels.curve_arrays(curves))
        for method, of in curves.items():
            made[method].append(of)
            about = dict(metric=labels.METRIC, per_image=f"{seed}.npz")
            rows.append(row(method, 0.5, seed=seed, **about))
    return tmp_path, rows, made


def test_curves_over_seeds_are_those_that_were_written(folder):
    path, rows, made = folder
    found, wanted = labels.folder_curves(rows, path), summary(made)
    pd.testing.assert_frame_equal(found, wanted, rtol=0.01)  # draws are kept in half precision
    worth = found[found["metric"] == "labels_worth"]
    assert worth["method"].tolist() == ["mse"] and 3 < worth["value"].iloc[0] < 10


def test_no_file_of_curves_no_table(folder):
    path, rows, _ = folder
    without_file = [row.model_copy(update={"per_image": None}) for row in rows]
    without_none = [row for row in rows if row.method == "mse"]
    assert [labels.folder_curves(some, path) for some in (without_file, without_none)] == [None] * 2
    assert read_table(path / labels.FILE) is None


def test_a_finding_reads_what_the_curve_is_worth(folder):
    path, rows, _ = folder
    results = path / "results"
    (results / "msrs").mkdir(parents=True)
    table = labels.folder_curves(rows, path)
    table.to_csv(results / "msrs" / labels.FILE, index=False)
    (results / "findings.yaml").write_text(
        "- id: worth\n"
        "  text: worth {n.value} labels\n"
        "  numbers:\n"
        "    n: {file: msrs/label_curve.csv, metric: labels_worth, method: mse, digits: 0}\n"
        "  holds: n.low > 1\n"
    )
    (finding,) = read_findings(results)
    assert finding.text == f"worth {table['value'].iloc[-1]:.0f} labels"
