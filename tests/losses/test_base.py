"""What all losses share: normalisation, weights of frequencies, the builder and calibration."""

import inspect
import math
import re
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch

from freqkd_lite.losses import LOSSES, base, build_loss, calibrate, normalise
from freqkd_lite.losses.base import weighted_mse
from freqkd_lite.spectrum import band_mask, radius
from tests.noise import noise
from tests.refused import refusals, refused


def map_of(rows):
    """One channel: (1, 1, h, w)."""
    return torch.tensor([[rows]], dtype=torch.float32)


def ready(name, students, teachers, **options):
    """The loss, calibrated on these maps if it must be, and with them as anchors if it needs any:
    f(students, teachers)."""
    batches = [(students, teachers), ([x.flip(2) for x in students], [x.flip(2) for x in teachers])]
    statistics = calibrate(name, batches, **options) if name in base.CALIBRATORS else None
    loss = build_loss(name, statistics=statistics, **options)
    if not base.needs_anchors(name):
        return loss
    start = [x.detach().clone() for x in students]
    return lambda students, teachers: loss(students, teachers, start)


def numbers(loss):
    return {key: value.item() for key, value in loss.parts.items()}


def test_normalise_by_hand():
    x = torch.tensor([[[[5.0, 1.0]], [[8.0, 2.0]]]])  # channel means 3 and 5
    # centred tokens: (2, 3) and (-2, -3), of length sqrt(13)
    expected = torch.tensor([[[[2.0, -2.0]], [[3.0, -3.0]]]]) / math.sqrt(13)
    torch.testing.assert_close(normalise(x), expected)
    assert (normalise(torch.full((1, 3, 2, 2), 7.0)) == 0).all()  # nothing is left: no NaN


def test_tokens_too_short_to_be_brought_to_length_1_are_only_scaled():
    """Of two tokens the first is divided by eps, so its gradient is not turned but divided too.
    100 times as long they are brought to length 1: (.6, .8), and what goes along them is taken
    away: (1, 0) - .6 (.6, .8) = (.64, -.48), over the length 5e-5, minus the mean over space."""
    x = torch.tensor([[[[3e-7, -3e-7]], [[4e-7, -4e-7]]]], dtype=torch.float64)
    torch.testing.assert_close(normalise(x).flatten().tolist(), [0.3, -0.3, 0.4, -0.4])
    for scale, expected in ((1, [5e5, -5e5, 0, 0]), (100, [6400, -6400, -4800, 4800])):
        given = (scale * x).requires_grad_()
        normalise(given)[0, 0, 0, 0].backward()
        assert given.grad.flatten().tolist() == pytest.approx(expected)


def test_mse_and_cosine_by_hand_on_2x2_maps():
    # Mean 3, centred -2 -1 0 3, and each token of one channel to length 1: -1 -1 0 1.
    student = map_of([[1, 2], [3, 6]])
    teacher = map_of([[6, 3], [2, 1]])  # centred 3 0 -1 -2, so 1 0 -1 -1
    assert numbers(build_loss("mse")([student], [teacher])) == {"block0/all": 10 / 4}
    # products -1 0 0 -1
    assert numbers(build_loss("cosine")([student], [teacher])) == {"block0/all": 1.5}


@pytest.mark.parametrize("h,w", [(1, 1), (2, 5), (8, 8), (7, 9), (12, 16)])
def test_weights_are_those_of_numpys_frequencies(h, w):
    x, teacher = noise(2, 3, h, w), noise(2, 3, h, w, seed=1)
    difference = np.fft.fft2((normalise(x) - normalise(teacher)).numpy(), norm="ortho")
    for weight in (1 / (1 + radius(h, w)), band_mask(h, w, 0.7, "disk").double()):
        expected = (abs(difference) ** 2 * weight.numpy()).mean()
        assert weighted_mse(x, teacher, weight).item() == pytest.approx(expected)


def test_a_large_smooth_map_keeps_its_digits_in_float32():
    x = torch.linspace(0, 3, 1024 * 64 * 80, dtype=torch.float64).cos().view(1, 1024, 64, 80)
    other, weight = x.flip(1).square(), 1 / (1 + radius(64, 80))
    exact = weighted_mse(x, other, weight).item()
    assert weighted_mse(x.float(), other.float(), weight).item() == pytest.approx(exact, rel=1e-5)


# What costs nothing beside the teacher's own map: an offset of each channel, and a gain of all.
SEES_OFFSET = {"freqkd_paper", "mse_raw", "unic", "wavelet", "spectralkd", "gram", "attention"}
SEES_GAIN = {"mse_raw", "unic", "wavelet", "spectralkd", "cwd"}
NO_SIGN = {"high_only", "gram", "attention"}  # a negated map costs them nothing
# `anchor` follows the teacher only in part, so the teacher's own map costs something:
# tests/losses/test_coherence.py.
OF_TEACHER = sorted(set(LOSSES) - {"anchor"})


@pytest.mark.parametrize("name", OF_TEACHER)
def test_a_perfect_student_costs_nothing_whatever_its_mean_and_scale(name):
    teacher = noise(3, 7, 5, 6)
    loss = ready(name, [0.5 * teacher + noise(3, 7, 5, 6, seed=4)], [teacher])
    assert abs(loss([teacher], [teacher]).total) < 1e-12
    offset = teacher + noise(1, 7, 1, 1, seed=1)
    for student, sees in ((3 * teacher, SEES_GAIN), (offset, SEES_OFFSET)):
        cost = loss([student], [teacher]).total
        assert cost > 1e-4 if name in sees else abs(cost) < 1e-12
    negated = loss([-teacher], [teacher])
    assert abs(negated.total) < 1e-12 if name in NO_SIGN else negated.total > 1e-4
    if name == "freqkd_code":  # its high band is blind to the sign
        assert negated.parts["block0/high"] < 1e-25 < negated.parts["block0/low"]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradcheck(name):
    students = [noise(2, 3, 4, 5).requires_grad_(), noise(2, 2, 3, 4, seed=1).requires_grad_()]
    teachers = [noise(2, 3, 4, 5, seed=2), noise(2, 2, 3, 4, seed=3)]
    loss = ready(name, [x + 0.3 * y for x, y in zip(teachers, students, strict=True)], teachers)
    assert torch.autograd.gradcheck(lambda *s: loss(s, teachers).total, students)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_autocast_and_half_precision_are_computed_in_float32(name):
    student, teacher = noise(2, 16, 16, 16).half(), noise(2, 16, 16, 16, seed=1).half()
    loss = ready(name, [(0.5 * teacher + student).float()], [teacher.float()])
    expected = loss([student.float()], [teacher.float()]).total
    with torch.autocast("cpu", torch.bfloat16):
        found = loss([student], [teacher]).total
    assert found.dtype == torch.float32 and found == expected


def test_parts_add_up_over_blocks_and_no_gradient_reaches_the_teacher():
    students = [noise(1, 3, 4, 5).float().requires_grad_(), noise(1, 2, 8, 8, seed=1)]
    teachers = [noise(1, 3, 4, 5, seed=2).requires_grad_(), noise(1, 2, 8, 8, seed=3)]
    found = build_loss("freqkd_code")(students, [2 * teacher for teacher in teachers])
    assert list(found.parts) == ["block0/low", "block0/high", "block1/low", "block1/high"]
    assert found.total.item() == pytest.approx(sum(numbers(found).values()))
    assert found.parts["block0/low"].dtype == torch.float32  # the student's
    alone = build_loss("code")(students[1:], [2 * teachers[1]])  # an older name of it
    assert alone.parts["block0/high"] == found.parts["block1/high"]
    found.total.backward()
    assert teachers[0].grad is None and students[0].grad is not None


def test_a_new_loss_joins_by_the_function_that_contributing_shows():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    example = re.findall("^```python\n(.*?)^```", text, re.M | re.S)[0]
    assert len(example.partition("@")[2].splitlines()) <= 20
    exec(example, {})
    # the maps of the test above, normalised: -1 -1 0 1 and 1 0 -1 -1
    student, teacher = map_of([[1, 2], [3, 6]]), map_of([[6, 3], [2, 1]])
    assert numbers(build_loss("l1")([student], [teacher])) == {"block0/all": 6 / 4}
    found = build_loss("l1", power=2.0)([student], [teacher])
    assert numbers(found) == {"block0/all": 10 / 4}
    base.register("calibrated", MagicMock)(lambda student, teacher, *, statistics: {})
    assert base.CALIBRATORS["calibrated"] is MagicMock
    del base.CALIBRATORS["calibrated"]


def test_no_loss_is_longer_than_20_lines():
    assert max(len(inspect.getsource(loss).splitlines()) for loss in LOSSES.values()) <= 20


def test_statistics_come_back_from_a_file(tmp_path):
    maps = [noise(3, 2, 6, 8, seed=s) for s in range(4)]
    statistics = calibrate("coherence", [(maps[:2], maps[2:])])
    (tmp_path / "loss.safetensors").write_bytes(base.pack_statistics(statistics))
    back = base.load_statistics(tmp_path / "loss.safetensors")
    assert [sorted(s) for s in back] == [["coherence", "mismatched", "power", "rho"]] * 2
    for one, other in zip(statistics, back, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    (tmp_path / "torn").write_bytes(b"1234")
    for wrong in ("torn", "absent"):
        refused(wrong, base.load_statistics, tmp_path / wrong)


X = torch.zeros(1, 2, 4, 4)
MEDIANS = [{"median": torch.tensor(0.0)}] * 2


test_bad_input_names_what_to_change = refusals(
    (lambda: build_loss("freqkd_cod"), "'freqkd_code'"),
    (lambda: build_loss("freqkd_code", cutof=0.5), "'cutoff'"),
    (lambda: build_loss("mse", cutoff=0.5), "'mse'.*'cutoff'"),
    (lambda: build_loss("freqkd_code", cutoff=1.5), r"cutoff=1.5.*\(0, 1.0\]"),
    (lambda: build_loss("freqkd_code", high_weight=-1), "high_weight=-1"),
    (lambda: build_loss("freqkd_code", high_weight="1"), "high_weight='1'"),
    (lambda: build_loss("freqkd_code", high_weight=math.nan), "high_weight=nan"),
    (lambda: build_loss("freqkd_code", high_weight=math.inf), "high_weight=inf"),
    (lambda: build_loss("mse")([X, X], [X]), r"\[2, 1\] maps of student, teacher"),
    (lambda: build_loss("mse")([], []), r"\[0, 0\]"),
    (lambda: build_loss("mse")([X], [torch.zeros(1, 3, 4, 4)]), r"Block 0.*\(1, 3, 4, 4\)"),
    (lambda: build_loss("mse")([X[0]], [X[0]]), r"\(2, 4, 4\)"),
    (lambda: build_loss("freqkd_code")([X[:0]], [X[:0]]), "Block 0"),
    (lambda: build_loss("robust"), "statistics=calibrate"),
    (lambda: build_loss("mse", statistics=[{}]), "leave out statistics"),
    (lambda: build_loss("robust", statistics=MEDIANS)([X], [X]), "2 blocks, not 1"),
    (lambda: build_loss("mse")([X], [X], [X]), "takes no anchors"),
    (lambda: build_loss("lowpass", half=0), "half=0"),
    (lambda: build_loss("freqkd_paper", cutoff=1.2), "cutoff"),
    (lambda: build_loss("cwd", temperature=0), "temperature=0"),
    (lambda: build_loss("wavelet", levels=0), "levels=0"),
    (lambda: build_loss("wavelet", levels=2.5), "levels=2.5"),
    (lambda: calibrate("mse", [([X], [X])]), "'mse' needs no calibration"),
    (lambda: calibrate("robust", []), "on no pairs"),
    (lambda: calibrate("robust", [([X], [X]), ([X, X], [X, X])]), "1 blocks, not 2"),
    (lambda: calibrate("coherence", [([X], [X])], variant="plane"), "'plain'"),
    (lambda: calibrate("coherence", [([X, X], [X, X], [X])]), r"\[2, 2, 1\].*mismatched"),
    (lambda: calibrate("projected", [([X], [X], [X])]), "'projected'.*mismatched"),
)
