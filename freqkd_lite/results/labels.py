"""Label curves in files: of a run beside its rows, and of a results folder over its seeds."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from freqkd_lite.evaluate.transfer import LabelCurve, summary
from freqkd_lite.results.rows import Row, pick

METRIC = "label_free_probe_ap"
"""The RGB head's probe AP; the file of images of such rows holds the label curves as well."""
FILE = "label_curve.csv"


def curve_arrays(curves: Mapping[str, LabelCurve]) -> dict[str, np.ndarray]:
    """Curves by method as arrays for a file of images; draws in half precision."""
    arrays = {}
    for method, curve in curves.items():
        arrays[f"{method}/budgets"] = np.array(curve.budgets)
        arrays[f"{method}/values"] = curve.values
        arrays[f"{method}/draws"] = curve.draws.astype("float16")
    return arrays


def folder_curves(rows: Iterable[Row], folder: str | Path) -> pd.DataFrame | None:
    """The label curves of a results folder over the seeds of its rows (`transfer.summary`), taken
    from its files of images; None where these hold none."""
    found: dict[str, dict[int | None, LabelCurve]] = {}
    for row in pick(rows, metric=METRIC, klass="mean"):
        if row.per_image is None:
            continue
        with np.load(Path(folder) / row.per_image) as arrays:
            parts = [arrays.get(f"{row.method}/{part}") for part in ("budgets", "values", "draws")]
        if parts[0] is not None:
            budgets, values, draws = (np.asarray(part, float) for part in parts)
            curve = LabelCurve(tuple(int(n) for n in budgets), values, draws)
            found.setdefault(row.method, {})[row.seed] = curve
    curves = {method: [*of.values()] for method, of in found.items()}
    return summary(curves) if "none" in curves else None
