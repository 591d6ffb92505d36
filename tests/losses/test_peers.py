"""Ten losses against their original public implementations.

`peer_losses.json` holds values and gradient norms (float64) that these gave on maps of a formula:
FreqKD (tkeval/freq_decoupled_kd), FD-CMKD's logarithm in it, CWD, PKD and attention transfer
(open-mmlab/mmrazor; the latter also szagoruyko/attention-transfer and megvii-research/mdistiller),
SpectralKD (thy960112/SpectralKD), UNIC (naver/unic), Gram anchoring (facebookresearch/dinov3 with
its training configuration) and FitNets' hints (mdistiller, and its own cost).
"""

import json
from pathlib import Path

import pytest
import torch

from freqkd_lite.losses import build_loss

ROWS = json.loads(Path(__file__).with_name("peer_losses.json").read_text())

# SpectralKD's and DINOv3's take the maps to float32; PKD's adds 1e-6 to a deviation.
DIGITS = {"spectralkd": 2e-7, "gram": 2e-7, "pkd": 4e-6}


def maps(shape, kind):
    """(student, teacher) by the file's formula, indices a, b, y, x."""
    a, b, y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij"
    )
    waves = torch.sin(0.7 * a + 1.3 * b + 0.9 * y + 0.4 * x + 0.05 * x * y + 0.11 * b * y)
    teacher = waves + 0.6 * torch.cos(0.31 * b * x - 0.2 * y * a + 0.17 * x**2)
    if kind == "near":
        student = teacher + 0.5 * torch.sin(1.7 * a - 0.6 * b + 0.33 * x * y + 0.21 * b * x)
    else:
        student = torch.cos(0.5 * a + 0.8 * b - 0.6 * y + 1.1 * x + 0.07 * x * y + 0.05 * b * x)
    return student.requires_grad_(), teacher


def factor(case, shape):
    """Our value over the original's: where our docstring states another constant."""
    n, c, h, w = shape
    if case.startswith("attention"):
        return h * w  # ours sums over positions, theirs is their mean
    if case.startswith("pkd"):
        return n * h * w / (n * h * w - 1)  # ours divides by the population's deviation
    if case.endswith("HintCost"):
        return 2 / c  # theirs is half the sum over channels
    return 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join([row["case"], row["kind"]]))
def test_values_and_gradients_are_those_of_the_original(row):
    student, teacher = maps(row["shape"], row["kind"])
    total = build_loss(row["loss"], **row["options"])([student], [teacher]).total
    total.backward()
    ours = [total.item(), student.grad.norm().item()]
    scale = factor(row["case"], row["shape"])
    theirs = [scale * row["value"], scale * row["gradient_norm"]]
    assert ours == pytest.approx(theirs, rel=DIGITS.get(row["loss"], 1e-9))
