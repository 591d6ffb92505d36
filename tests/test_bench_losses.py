"""The bench of losses: that what it compares is the same, that its oracle is not the package's own
code, and that ratios are those of the times."""

import numpy as np
import pytest
import torch

from freqkd_lite import bench_losses as bench
from freqkd_lite.bench_report import columns
from freqkd_lite.losses import PREPARERS, build_loss, prepare
from freqkd_lite.spectrum import radius


@pytest.fixture
def clock(monkeypatch):
    """A clock that each look moves on by 1 second more than the last time."""
    looks = iter(np.cumsum(np.arange(10_000.0)))
    monkeypatch.setattr(bench, "_now", lambda device: float(next(looks)))


def test_ratios_are_of_medians(clock):
    found = bench.losses(("step", "code"), shapes=((2, 6, 8, 10),), repeats=3)
    # Runs a round: mse, step, straight step, code, straight code; run r (from 0) takes 2 r + 1 s,
    # so the medians of rounds 1 to 3 are those of round 2, r = 10 ... 14.
    step, code = found["rows"]
    assert (step["mse_ms"], step["ms"], step["straight_ms"]) == (21e3, 23e3, 25e3)
    assert step["faster"] == round(25 / 23, 2) and step["of_mse"] == round(23 / 21, 2)
    assert (code["ms"], code["straight_ms"], code["kind"]) == (27e3, 29e3, "elementwise")
    assert step["kind"] == "linear" and found["what"] == "loss" and found["repeats"] == 3
    header, rows = columns(found)
    assert rows[0][:2] == ["2x6x8x10", "step"] and len(rows) == 2
    assert rows[0][header.index("of MSE")] == "1.10"


@pytest.mark.parametrize("name", bench.LINEAR + bench.ELEMENTWISE)
@pytest.mark.parametrize("h,w", [(8, 10), (9, 12), (37, 46)])
def test_every_loss_equals_its_straightforward_twin(name, h, w):
    (row,) = bench.losses((name,), shapes=((2, 16, h, w),), repeats=1)["rows"]
    assert row["error"] < bench.TOLERANCE


@pytest.mark.parametrize("name", bench.LINEAR + bench.ELEMENTWISE)
def test_in_float64_they_are_the_same(name):
    student, teacher = (x.detach().double() for x in bench.maps((3, 7, 9, 12)))
    states = prepare(name, [([student], [teacher])]) if name in PREPARERS else None
    fast = build_loss(name, states=states)([student], [teacher]).total
    slow = bench.straightforward(name, student, teacher, states[0] if states else None)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-9)


def test_an_error_is_seen(monkeypatch):
    monkeypatch.setattr(
        bench, "straightforward", lambda *of: 1.001 * (of[1] - of[2]).square().mean()
    )
    (row,) = bench.losses(("step",), shapes=((2, 4, 6, 8),), repeats=1)["rows"]
    assert row["error"] > 1e-3


def test_the_maps_fall_and_are_more_alike_at_low_frequencies():
    student, teacher = (x.detach() for x in bench.maps((4, 32, 16, 20)))
    power = [np.abs(np.fft.fft2(x.numpy())) ** 2 for x in (student - teacher, teacher)]
    low, high = radius(16, 20) < 0.4, radius(16, 20) > 0.9
    apart, whole = ([float(p[..., band].mean()) for band in (low, high)] for p in power)
    assert whole[0] > 5 * whole[1]
    assert apart[0] / whole[0] < 0.7 * apart[1] / whole[1]
    assert student.shape == (4, 32, 16, 20) and torch.equal(bench.maps((4, 32, 16, 20))[1], teacher)
