"""Figures of notebook 13 are read back."""

import numpy as np
import pandas as pd
import torch

from freqkd_lite.viz import frequency_zero


def test_a_channel_is_its_mean_and_what_is_left():
    x = torch.zeros(3, 2, 4)
    x[0] += 5  # a mean alone
    x[1, 0] = 5  # a mean of 2.5, and a rest
    x[2, :, :2], x[2, :, 2:] = 5, -5  # a rest alone
    figure, alt = frequency_zero.mean_and_rest(x)
    one, mean, rest = (ax.images[0].get_array() for ax in figure.axes[:3])
    assert (one == x[1].numpy()).all() and (mean == 2.5).all()
    assert (mean + rest == one).all() and "Channel 1 " in alt and "2.50" in alt


def test_students_stand_by_treatment_and_pairs():
    names = [
        f"{m[:-1]}, on={on})" if "(" in m else f"{m} (on={on})"
        for on in ("flir", "msrs")
        for m in frequency_zero.TREATED
    ]
    values = np.linspace(0.1, 0.8, len(names))
    found = pd.DataFrame(
        {"method": names, "value": values, "low": values - 0.05, "high": values + 0.05}
    )
    lines = pd.DataFrame({"method": ["none", "teacher"], "value": [0.5, 0.9], "low": 0, "high": 1})
    figure, alt = frequency_zero.treatments(pd.concat([lines, found]))
    (ax,) = figure.axes
    dots = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    np.testing.assert_allclose([float(dot.get_xdata()[0]) for dot in dots], values)
    assert [round(float(dot.get_ydata()[0])) for dot in dots] == [0, 1, 2, 3] * 2
    assert "undistilled 0.50" in alt and "MSE, mean matched, msrs 0.80 [0.75, 0.85]" in alt
