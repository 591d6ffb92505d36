"""One band of features, against waves of known frequency."""

import torch

from freqkd_lite.evaluate.bands import keep_band
from tests.refused import refused


def test_one_band_and_the_mean_are_left():
    column = torch.arange(16.0)
    waves = (torch.cos(2 * torch.pi * f * column) for f in (1 / 16, 7 / 16))
    slow, fast = (wave.expand(1, 1, 12, 16) for wave in waves)
    assert torch.allclose(keep_band(slow + fast + 3, 0.5, "low"), slow + 3, atol=1e-4)
    assert torch.allclose(keep_band(slow + fast + 3, 0.5, "high"), fast + 3, atol=1e-4)
    refused("'low'", keep_band, slow, 0.5, "lo")
