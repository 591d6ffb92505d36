"""The log's effect and the gradients' agreement, worked by hand."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import agreement, log_deviation, relative_size


def test_log_deviation_by_hand():
    student, teacher = torch.tensor([0.3, -0.3]), torch.tensor([-0.1, 0.1])
    found = log_deviation(student, teacher)
    rms = ((0.09 + 0.01) / 2) ** 0.5
    assert found["element"] == pytest.approx(1 - np.log1p(rms) / rms)
    assert found["element p99"] == pytest.approx(1 - np.log(1.3) / 0.3)
    # magnitudes .3 and .1: (ln 1.3 - ln 1.1)^2 = .02791 against .04
    assert found["term"] == pytest.approx(1 - np.log(1.3 / 1.1) ** 2 / 0.04, rel=1e-5)


def test_agreement_is_a_cosine_and_relative_size_a_ratio_of_norms():
    one, other = torch.eye(2)[:, None, None]  # of one norm, at right angles
    assert agreement([one, one], [2 * one, -one]) == pytest.approx(0)
    assert agreement([one], [one + other]) == pytest.approx(2**-0.5)
    assert relative_size([one, one], [2 * one, -4 * one]) == pytest.approx(0.375)
