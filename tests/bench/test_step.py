"""Measurements of a whole step: their arithmetic by hand, and checks that notice a wrong result."""

import json
import os

import pytest
import torch

from freqkd_lite.bench import step as bench_step
from freqkd_lite.bench.step import AGAIN, exponent, peak_memory, relative
from freqkd_lite.distil import teacher as teacher_cache
from freqkd_lite.losses import base as losses

CPU = torch.device("cpu")
SMALL = dict(model="test_vit", size=(32, 48), batch=2, blocks=(1, 4), lora_rank=2, rounds=2)


def test_differences_are_relative():
    assert relative(1.5, 2.0) == 0.25 and relative(0.0, 0.0) == 0.0


def test_exponents_of_powers():
    tokens = [256, 720, 5120]
    assert exponent(tokens, [3 * n**1.5 for n in tokens]) == pytest.approx(1.5)
    # between 1 and 4 times as many, 2 and 32 times as much: log 16 / log 4
    assert exponent([1, 4], [2.0, 32.0]) == pytest.approx(2.0)


def test_peak_memory_counts_what_lives_at_once():
    """Tensors of 4 MB: two one after the other, two at once, and one that was there before."""

    def apart():
        for _ in range(2):
            big = torch.ones(1000, 1000)
            del big

    def together():
        return [torch.ones(1000, 1000) for _ in range(2)]

    def early():
        together()
        return torch.ones(10)

    before = torch.zeros(1000, 1000)
    assert peak_memory(apart, [], CPU) == pytest.approx(4e6, rel=1e-3)
    assert peak_memory(together, [before], CPU) == pytest.approx(12e6, rel=1e-3)
    assert peak_memory(early, [], CPU) == pytest.approx(8e6, rel=1e-3)


def test_each_loss_is_checked_and_a_wrong_one_is_told(monkeypatch):
    def wrong(student, teacher):
        """MSE that errs by a thousandth in single precision."""
        off = 1.001 if student.dtype == torch.float32 else 1.0
        return {"all": off * losses.mse(student, teacher)["all"]}

    monkeypatch.setitem(losses.LOSSES, "wrong", wrong)
    found = bench_step.step(["code", "wrong"], **SMALL)
    assert json.loads(json.dumps(found)) == found
    told = found["loss"]
    assert list(told) == ["mse", "code", "wrong", AGAIN]
    assert told["mse"]["ratio"] == told["mse"]["memory_ratio"] == 1.0
    assert told["mse"]["ratio_quartiles"] == [1.0, 1.0]
    assert told["mse"]["equal"] and told["code"]["equal"] and not told["wrong"]["equal"]
    assert told["wrong"]["difference"] == pytest.approx(1e-3, rel=0.01)
    # a step holds at least both networks of 306,240 weights
    assert told["mse"]["memory_bytes"] > 2 * 4 * 306_240
    of_code, of_mse = (told[name]["memory_bytes"] for name in ("code", "mse"))
    assert told["code"]["memory_ratio"] == of_code / of_mse >= 1


def test_ratios_are_of_the_base_in_the_same_round_and_by_the_loss_alone(monkeypatch):
    real, calls = bench_step.take_turns, []
    whole = {"mse": [10.0, 20.0, 40.0], "code": [20.0, 20.0, 40.0], AGAIN: [10.0, 10.0, 10.0]}
    alone = {"mse": [1.0, 3.0, 2.0], "code": [4.0, 4.0, 4.0], AGAIN: [1.0, 2.0, 2.0]}

    def timed(steps, *of):
        calls.append(real(steps, *of)[0])
        return calls[-1], (whole, alone)[len(calls) - 1]

    monkeypatch.setattr(bench_step, "take_turns", timed)
    told = bench_step.step(["code"], **SMALL | {"rounds": 1})["loss"]
    code = told["code"]
    assert (code["ratio"], code["ratio_quartiles"]) == (1.0, [1.0, 1.5])  # of 2, 1 and 1
    # 3, 1 and 2 more than MSE takes in the same round, over the base's step of 20
    assert code["loss_seconds"] == 4.0 and code["by_loss"] == 1.1
    assert told[AGAIN]["ratio"] == 0.5 and told[AGAIN]["by_loss"] == told["mse"]["by_loss"] == 1.0
    in_steps, by_themselves = calls
    assert by_themselves.keys() == in_steps.keys() == whole.keys()
    assert by_themselves == pytest.approx(in_steps)  # the loss alone is that of the step


def test_a_loss_alone_computes_the_gradient_too():
    bench = bench_step.Bench("test_vit", (32, 48), 2, (1, 4), 2, "cpu")
    targets, seen = bench.teacher(bench.visible), []

    def spy(maps, targets):
        seen.append(maps)
        return losses.build_loss("mse")(maps, targets)

    maps = [x.detach() for x in bench.maps(targets)]
    take = bench.alone(spy, [x.clone().requires_grad_() for x in maps], targets)
    assert take() == take()
    for x, own, target in zip(maps, seen[-1], targets, strict=True):
        x = x.requires_grad_()
        losses.mse(x, target)["all"].backward()
        assert torch.equal(own.grad, x.grad)  # of the last call alone, not a sum of two


def test_a_base_that_holds_on_to_an_anchor_has_it_again():
    told = bench_step.step(["mse"], base="anchor", **SMALL | {"rounds": 1})["loss"]
    assert list(told) == ["anchor", "mse", AGAIN] and told[AGAIN]["equal"]


def test_prepared_losses_take_their_turn():
    """A step's loss, single precision, is that in float64 of what was measured on the batch."""
    told = bench_step.step(["coherence", "robust"], **SMALL | {"rounds": 1})["loss"]
    assert list(told) == ["mse", "coherence", "robust", AGAIN]
    assert all(row["equal"] for row in told.values())


def test_anchors_are_computed_once_and_read_and_wrong_ones_are_told(monkeypatch):
    fixed, views = teacher_cache.FixedTeacher, []
    compute, stored = fixed._compute, fixed._stored
    monkeypatch.setattr(fixed, "_compute", lambda t, i: views.append(i) or compute(t, i))
    real, made = bench_step.Untrained, []
    monkeypatch.setattr(bench_step, "Untrained", lambda *of: made.append(real(*of)) or made[-1])
    found = bench_step.step(["anchor"], **SMALL)
    assert json.loads(json.dumps(found)) == found
    assert list(found["loss"]) == ["mse", "anchor", AGAIN]
    assert all(row["equal"] for row in found["loss"].values())
    assert len(views) == SMALL["batch"]  # each once, whatever the number of steps
    assert len(made) == 1 and "backbone" not in vars(made[0].maps)  # its network is gone

    def mirrored(teacher, file):
        maps = stored(teacher, file)
        return maps and [m.flip(-1) for m in maps]

    monkeypatch.setattr(fixed, "_stored", mirrored)
    told = bench_step.step(["anchor"], **SMALL)["loss"]
    assert told["mse"]["equal"] and not told["anchor"]["equal"]


def test_a_step_of_every_loss_is_measured():
    told = bench_step.step(**SMALL | {"rounds": 1})["loss"]
    assert told.keys() == {*losses.LOSSES, AGAIN}
    assert all(row["equal"] for row in told.values())


def test_a_cached_teacher_computes_nothing_and_gives_the_same(monkeypatch, capsys):
    views, real = [], teacher_cache.FixedTeacher._compute
    monkeypatch.setattr(
        teacher_cache.FixedTeacher, "_compute", lambda t, i: views.append(t) or real(t, i)
    )
    found = bench_step.cache(**SMALL)
    assert json.loads(json.dumps(found)) == found
    assert capsys.readouterr().out == ""  # or JSON could not be printed behind it
    kinds = found["kind"]
    assert list(kinds) == ["student", "cached", "computed"]
    assert all(kind["difference"] == 0 and kind["equal"] for kind in kinds.values())
    assert kinds["student"]["ratio"] == 1.0
    # two views are computed once for the cache; each of 3 rounds and the measurement of memory
    # computes them again where there is none
    assert [views.count(teacher) for teacher in dict.fromkeys(views)] == [2, 2 * 4]
    assert found["cache_bytes"] > 2 * 2 * 64 * 6 * 2  # views, blocks, width, tokens, bytes

    stored, reads = teacher_cache.FixedTeacher._stored, []

    def stale(teacher, file):
        """From some time on, features that are mirrored."""
        reads.append(file)
        maps = stored(teacher, file)
        return [m.flip(-1) for m in maps] if len(reads) > 5 else maps

    monkeypatch.setattr(teacher_cache.FixedTeacher, "_stored", stale)
    assert not bench_step.cache(**SMALL)["kind"]["cached"]["equal"]


def test_more_tokens_take_more_memory_and_the_rows_say_which():
    small = {key: SMALL[key] for key in ("model", "blocks", "lora_rank")}
    found = bench_step.tokens([(2, 3), (8, 12)], rounds=1, **small)
    assert [row["tokens"] for row in found["grid"]] == [6, 96]
    one, other = found["grid"]
    assert one["pictures_per_second"] == pytest.approx(1 / one["seconds"])
    assert one["memory_bytes"] < other["memory_bytes"]
    slope = (
        torch.tensor(other["memory_bytes"] / one["memory_bytes"]).log() / torch.tensor(16.0).log()
    )
    assert found["memory_exponent"] == pytest.approx(slope.item(), rel=1e-4)


def test_the_profiler_writes_nothing_on_the_screen(capfd):
    held = torch.ones(4)
    used = bench_step.peak_memory(lambda: torch.ones(256).sum(), [held], torch.device("cpu"))
    assert used >= 16 + 4 * 256
    assert capfd.readouterr().err == ""
    with pytest.raises(ValueError), bench_step.quiet():
        raise ValueError
    os.write(2, b"told")
    assert capfd.readouterr().err == "told"  # what follows is seen again
