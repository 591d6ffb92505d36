"""The bench of losses: that what it compares is the same, that its oracle is not the package's own
code, and that ratios are those of the times."""

import gc
import math

import numpy as np
import pytest
import torch

from freqkd_lite.bench import losses as bench
from freqkd_lite.bench import turns
from freqkd_lite.bench.report import columns, misses
from freqkd_lite.losses import PREPARERS, build_loss, prepare
from freqkd_lite.spectrum import radius

TOOK = {  # seconds, by round: one to compare gradients (of MSE none), one to warm up, and the rest
    "mse": (99, 10, 20, 10),
    "step": (99, 99, 10, 20, 30),
    "straight step": (99, 99, 50, 30, 45),
    "code": (99, 99, 40, 40, 40),
    "straight code": (99, 99, 80, 100, 90),
}


def clock(monkeypatch, took):
    """Each call takes the next of its seconds of `took`; returns the list that their order goes
    into."""
    now, order = [0.0], []
    takes = {run: iter(seconds) for run, seconds in took.items()}

    def taking(run, build):

        def built(name, *others):
            call = build(name, *others)

            def timed():
                now[0] += next(takes[run])
                order.append(run)
                return call()

            return timed

        return built

    for kind, prefix in (("_built", ""), ("_straight", "straight ")):
        real = getattr(bench, kind)
        monkeypatch.setattr(bench, kind, lambda name, *of, real=real, prefix=prefix:
                            taking(prefix + name, real)(name, *of))  # fmt: skip
    monkeypatch.setattr(turns, "perf_counter", lambda: now[0])
    return order


def test_ratios_are_medians_of_those_within_a_round(monkeypatch):
    took = TOOK | {"mse": TOOK["mse"] + TOOK["mse"]}
    order = clock(monkeypatch, took)
    found = bench.losses(("step", "code"), shapes=((2, 6, 8, 10),), repeats=3, visits=1)
    step, code = found["rows"]
    assert (step["mse_ms"], step["ms"], step["straight_ms"]) == (10e3, 20e3, 45e3)
    assert step["faster"] == 1.5  # of 5, 1.5 and 1.5; medians of times would say 2.25
    assert step["of_mse"] == 1.0  # of 1, 1 and 3
    # half way from the median to either end
    assert step["faster_quartiles"] == [1.5, 3.25] and step["of_mse_quartiles"] == [1.0, 2.0]
    assert (code["ms"], code["faster"], code["kind"]) == (40e3, 2.25, "elementwise")
    assert step["kind"] == "linear" and found["what"] == "loss" and found["repeats"] == 3
    assert order[:2] == ["step", "straight step"] and order[14:16] == ["code", "straight code"]
    rounds = [tuple(order[i : i + 3]) for i in range(2, 14, 3)]
    assert all(set(each) == {"mse", "step", "straight step"} for each in rounds)
    assert len(set(rounds)) > 1
    header, rows = columns(found)
    assert rows[0][:2] == ["2x6x8x10", "step"] and len(rows) == 2
    assert rows[0][header.index("faster")] == "1.5 (1.5-3.2)"
    assert rows[0][header.index("of MSE")] == "1.00 (1.00-2.00)"


def test_a_row_is_measured_at_several_times_with_all_others_between(monkeypatch):
    """The rounds of the test above, in three visits, each of which compares and warms up anew."""
    took = {run: [seconds for last in times[-3:] for seconds in (*times[:-3], last)]
            for run, times in TOOK.items()}  # fmt: skip
    took["mse"] = [seconds for last in TOOK["mse"][-3:] for seconds in (99, last) * 2]
    order = clock(monkeypatch, took)
    errors = iter((1e-7, 0.0, 3e-7, 0.0, 2e-7, math.nan))

    def compared(mine, straight, student):
        mine(), straight()
        return next(errors)

    monkeypatch.setattr(bench, "_error", compared)
    found = bench.losses(("step", "code"), shapes=((2, 6, 8, 10),), repeats=1, visits=3)
    step, code = found["rows"]
    assert [name for name in order if name != "mse" and "straight" not in name] == (
        (["step"] * 3 + ["code"] * 3) * 3
    )
    assert (step["ms"], step["faster"], step["of_mse"]) == (20e3, 1.5, 1.0)
    assert step["faster_quartiles"] == [1.5, 3.25] and step["of_mse_quartiles"] == [1.0, 2.0]
    assert (code["ms"], code["faster"]) == (40e3, 2.25)
    assert step["error"] == 3e-7 and math.isnan(code["error"])  # the worst
    assert (found["repeats"], found["visits"]) == (1, 3)


@pytest.mark.parametrize("name", bench.LINEAR + bench.ELEMENTWISE)
@pytest.mark.parametrize("h,w", [(8, 10), (8, 12), (9, 12), (37, 46)])
def test_every_loss_equals_its_straightforward_twin(name, h, w):
    (row,) = bench.losses((name,), shapes=((2, 16, h, w),), repeats=1, visits=1)["rows"]
    assert row["error"] < bench.TOLERANCE


@pytest.mark.parametrize("name", bench.LINEAR + bench.ELEMENTWISE)
def test_in_float64_they_are_the_same(name):
    student, teacher = (x.detach().double() for x in bench.maps((3, 7, 9, 12)))
    states = prepare(name, [([student], [teacher])]) if name in PREPARERS else None
    fast = build_loss(name, states=states)([student], [teacher]).total
    slow = bench.straightforward(name, student, teacher, states[0] if states else None)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-9)


@pytest.mark.parametrize("value,pull,error", [
    (1.001, 1.0, 1e-3),
    (1.0, 1.002, 2e-3),
    (math.nan, 1.0, math.nan),
    (1.0, math.nan, math.nan),
])  # fmt: skip
def test_an_error_is_seen_in_value_and_gradient(monkeypatch, value, pull, error):
    right = bench.straightforward

    def wrong(*of):
        x = right(*of)
        return pull * x + (value - pull) * x.detach()

    monkeypatch.setattr(bench, "straightforward", wrong)
    found = bench.losses(("step",), shapes=((2, 4, 6, 8),), repeats=1, visits=1)
    assert found["rows"][0]["error"] == pytest.approx(error, rel=0.01, nan_ok=True)
    assert any("differs by" in missed for missed in misses(found))


def test_a_loss_is_timed_with_no_gradient_of_another_in_memory(monkeypatch):
    shape, alive, timed = (2, 4, 6, 8), [], bench.take_turns

    def counting(*of):
        alive.append(sum(type(x) is torch.Tensor and x.shape == shape for x in gc.get_objects()))
        return timed(*of)

    monkeypatch.setattr(bench, "take_turns", counting)
    bench.losses(("step", "code", "signed"), shapes=(shape,), repeats=1, visits=1)
    assert len(alive) == 3 and max(alive) <= 3  # student, teacher, and the student's last gradient


def test_the_maps_fall_and_are_more_alike_at_low_frequencies():
    student, teacher = (x.detach() for x in bench.maps((4, 32, 16, 20)))
    power = [np.abs(np.fft.fft2(x.numpy())) ** 2 for x in (student - teacher, teacher)]
    low, high = radius(16, 20) < 0.4, radius(16, 20) > 0.9
    apart, whole = ([float(p[..., band].mean()) for band in (low, high)] for p in power)
    assert whole[0] > 5 * whole[1]
    assert apart[0] / whole[0] < 0.7 * apart[1] / whole[1]
    assert student.shape == (4, 32, 16, 20) and torch.equal(bench.maps((4, 32, 16, 20))[1], teacher)
