"""`losses` against numbers worked by hand, NumPy and closed forms."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite import losses
from freqkd_lite.errors import UserError
from freqkd_lite.losses import LOSSES, build_loss, normalise
from freqkd_lite.spectrum import centred_rectangle, split_bands


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def map_of(rows):
    """One channel: (1, 1, h, w)."""
    return torch.tensor([[rows]], dtype=torch.float32)


def numbers(loss):
    return {key: value.item() for key, value in loss.parts.items()}


# Worked by hand


def test_normalise_by_hand():
    x = torch.tensor([[[[5.0, 1.0]], [[8.0, 2.0]]]])  # channel means 3 and 5
    # centred tokens: (2, 3) and (-2, -3), of length sqrt(13)
    expected = torch.tensor([[[[2.0, -2.0]], [[3.0, -3.0]]]]) / math.sqrt(13)
    torch.testing.assert_close(normalise(x), expected)
    assert (normalise(torch.full((1, 3, 2, 2), 7.0)) == 0).all()  # nothing is left: no NaN


def test_mse_and_cosine_by_hand_on_2x2_maps():
    # Mean 3, centred -2 -1 0 3, and each token of one channel to length 1: -1 -1 0 1.
    student = map_of([[1, 2], [3, 6]])
    teacher = map_of([[6, 3], [2, 1]])  # centred 3 0 -1 -2, so 1 0 -1 -1
    assert numbers(build_loss("mse")([student], [teacher])) == {"block0/all": 10 / 4}
    # products -1 0 0 -1
    assert numbers(build_loss("cosine")([student], [teacher])) == {"block0/all": 1.5}
    # Half of a side of 2 is at least 1, so the coded mask takes all of a 2x2 map as low.
    assert numbers(build_loss("code")([student], [teacher])) == pytest.approx(
        {"block0/low": 2.5, "block0/high": 0}
    )


def test_code_by_hand_on_four_tokens():
    student = map_of([[5, 5, 1, 1]])  # 1 1 -1 -1 : all at frequencies +-1 of 4
    teacher = map_of([[3, 1, 3, 1]])  # 1 -1 1 -1 : all at -2, which is high
    # The coded mask keeps 0 and -1 but not +1: the real part of the student's low band is half of
    # it, and the other half is its high band.
    loss = build_loss("code")([student], [teacher])
    assert numbers(loss) == pytest.approx(
        {"block0/low": 0.5**2, "block0/high": 0.1 * (math.log(2) - math.log(1.5)) ** 2}
    )
    assert loss.total.item() == pytest.approx(0.25 + 0.1 * 0.0827610, rel=1e-5)


# Against NumPy


def numpy_code(student, teacher, cutoff, high_weight):
    """The loss on complex shifted spectra, as the method's description reads."""

    def bands(x):
        x = x - x.mean((2, 3), keepdims=True)
        x = x / np.sqrt((x**2).sum(1, keepdims=True))
        h, w = x.shape[2:]
        shifted = np.fft.fftshift(np.fft.fft2(x, norm="ortho"), axes=(2, 3))
        low = np.zeros_like(shifted)
        rows, columns = (
            range(n // 2 - int(n * cutoff / 2), n // 2 + int(n * cutoff / 2)) for n in (h, w)
        )
        for y in rows:
            for z in columns:
                low[:, :, y, z] = shifted[:, :, y, z]
        back = [np.fft.ifft2(np.fft.ifftshift(s, axes=(2, 3)), norm="ortho").real
                for s in (low, shifted - low)]  # fmt: skip
        return back

    (s_low, s_high), (t_low, t_high) = bands(student), bands(teacher)
    log_difference = np.log(1 + abs(s_high)) - np.log(1 + abs(t_high))
    return ((s_low - t_low) ** 2).mean(), high_weight * (log_difference**2).mean()


@pytest.mark.parametrize("h,w", [(8, 8), (7, 9), (12, 16), (15, 20)])
@pytest.mark.parametrize("cutoff,high_weight", [(0.5, 0.1), (0.75, 1.0), (0.3, 0.0)])
def test_code_is_that_of_numpy(h, w, cutoff, high_weight):
    student, teacher = noise(2, 5, h, w), noise(2, 5, h, w, seed=1)
    loss = build_loss("code", cutoff=cutoff, high_weight=high_weight)([student], [teacher])
    low, high = numpy_code(student.numpy(), teacher.numpy(), cutoff, high_weight)
    assert numbers(loss) == pytest.approx({"block0/low": low, "block0/high": high}, rel=1e-9)


# Closed forms


def waves(negate_high=False, a=0.6, n=8):
    """A map of three channels that `normalise` leaves as it is: a wave of one cycle in n tokens as
    cosine and sine, and a checkerboard of size a, wholly high; every token has length 1."""
    y, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    low = math.sqrt(1 - a**2)
    angle = 2 * math.pi * (x + 0 * y) / n
    board = a * torch.cos(math.pi * (x + y))
    channels = [low * torch.cos(angle), low * torch.sin(angle), -board if negate_high else board]
    return torch.stack(channels)[None]


def test_the_coded_high_band_is_blind_to_sign():
    teacher, student = waves(), waves(negate_high=True)
    torch.testing.assert_close(normalise(teacher), teacher)
    # One cycle is not on the mask's edge (-2 ... 1 of 8), +1 and -1 are in it: no energy is lost.
    _, high = split_bands(teacher, mask=centred_rectangle(8, 8))
    torch.testing.assert_close(high[0, 2], teacher[0, 2])
    assert high[0, :2].abs().max() < 1e-12
    loss = build_loss("code")([student], [teacher])
    assert loss.total.item() < 1e-25
    # MSE sees it: (2a)^2 in one of three channels.
    mse = build_loss("mse")([student], [teacher])
    assert mse.total.item() == pytest.approx((2 * 0.6) ** 2 / 3)


def test_the_coded_high_band_in_closed_form():
    teacher, student = waves(a=0.6), waves(a=0.8)  # low waves of .8 and .6
    expected = {
        "block0/low": (0.8 - 0.6) ** 2 / 3,  # cos^2 + sin^2 = 1
        "block0/high": 0.1 * (math.log(1.8) - math.log(1.6)) ** 2 / 3,
    }
    assert numbers(build_loss("code")([student], [teacher])) == pytest.approx(expected)


def test_the_coded_log_lies_on_the_line():
    """At width 1024 and a share of high energy that makes its RMS .014, log1p is within 2.2 % of
    linear up to 3.2 RMS. Its slope 1 / (1 + x) is then above .978^2, and the high term, which is
    quadratic, above .978^4 of its linear twin."""
    shape, rms = (1, 1024, 16, 16), 0.014
    mask = centred_rectangle(16, 16)

    def field(seed):
        low, high = split_bands(noise(*shape, seed=seed), mask=mask)
        share = 0.89 * rms**2 * 1024  # of a token's unit energy; the rest leaks from the low band
        return low * (1 - share) ** 0.5 / low.std() + high * share**0.5 / high.std()

    student, teacher = field(0), field(1)
    bands = [split_bands(normalise(x), mask=mask)[1].abs() for x in (student, teacher)]
    assert bands[0].square().mean().sqrt().item() == pytest.approx(rms, rel=0.05)
    common = bands[0][bands[0] < 3.2 * rms]
    assert common.numel() > 0.998 * bands[0].numel()
    deviation = 1 - torch.log1p(common) / common
    assert 0.02 < deviation.max() <= 0.022
    linear = 0.1 * (bands[0] - bands[1]).square().mean()
    ratio = (build_loss("code")([student], [teacher]).parts["block0/high"] / linear).item()
    assert 0.978**4 < ratio < 1


def test_cosine_and_mse_are_one_loss_up_to_a_factor():
    student, teacher = noise(2, 7, 5, 6), noise(2, 7, 5, 6, seed=1)
    mse = build_loss("mse")([student], [teacher]).total
    cosine = build_loss("cosine")([student], [teacher]).total
    assert (7 * mse).item() == pytest.approx(2 * cosine.item())
    assert 0.5 < cosine < 1.5


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_perfect_student_costs_nothing_whatever_its_mean_and_scale(name):
    teacher = noise(2, 7, 5, 6)
    student = 3 * teacher + noise(1, 7, 1, 1, seed=1)  # the normalisation takes both away
    assert abs(build_loss(name)([student], [teacher]).total) < 1e-12
    assert build_loss(name)([-teacher], [teacher]).total > 1e-3


# Lists, weights, gradients


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradcheck(name):
    loss = build_loss(name)
    students = [noise(1, 3, 4, 5).requires_grad_(), noise(1, 2, 3, 4, seed=1).requires_grad_()]
    teachers = [noise(1, 3, 4, 5, seed=2), noise(1, 2, 3, 4, seed=3)]
    assert torch.autograd.gradcheck(lambda *s: loss(s, teachers).total, students)


def test_parts_are_weighted_and_add_up():
    students = [noise(1, 3, 4, 5), noise(1, 2, 8, 8, seed=1)]
    teachers = [noise(1, 3, 4, 5, seed=2), noise(1, 2, 8, 8, seed=3)]
    plain = build_loss("code")(students, teachers)
    assert list(plain.parts) == ["block0/low", "block0/high", "block1/low", "block1/high"]
    assert plain.total.item() == pytest.approx(sum(numbers(plain).values()))
    alone = build_loss("code")(students[1:], teachers[1:])
    assert alone.parts["block0/high"] == plain.parts["block1/high"]
    weighted = build_loss("code", weights=[3, 0.5])(students, teachers)
    expected = {k: v * (3 if k[5] == "0" else 0.5) for k, v in numbers(plain).items()}
    assert numbers(weighted) == pytest.approx(expected)
    assert weighted.total.item() == pytest.approx(sum(expected.values()))


def test_no_gradient_reaches_the_teacher_and_half_precision_is_taken_to_float32():
    student, teacher = noise(1, 3, 5, 6).requires_grad_(), noise(1, 3, 5, 6).requires_grad_()
    build_loss("code")([student], [teacher * 2]).total.backward()
    assert teacher.grad is None and student.grad is not None
    half = [noise(1, 3, 5, 6, seed=seed).half() for seed in (0, 1)]
    loss = build_loss("code")(half[:1], half[1:]).total
    assert loss.dtype == torch.float32
    assert loss == build_loss("code")([half[0].float()], [half[1].float()]).total


def test_a_new_loss_joins_by_one_function(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", dict(LOSSES))

    @losses.register("offset")
    def offset(student, teacher, *, power=1.0):
        return {"all": (student - teacher).mean() ** power}

    loss = build_loss("offset", power=2.0)([map_of([[4.0]])], [map_of([[1.0]])])
    assert numbers(loss) == {"block0/all": 9.0}


# Bad input

X = torch.zeros(1, 2, 4, 4)


@pytest.mark.parametrize(
    "call,says",
    [
        (lambda: build_loss("cod"), "did you mean 'code'"),
        (lambda: build_loss("code", cutof=0.5), "did you mean 'cutoff'"),
        (lambda: build_loss("mse", cutoff=0.5), "takes no options"),
        (lambda: build_loss("code", cutoff=1.5), r"cutoff=1.5.*\(0, 1.0\]"),
        (lambda: build_loss("code", high_weight=-1), "high_weight=-1"),
        (lambda: build_loss("code", high_weight="1"), "high_weight='1'"),
        (lambda: build_loss("mse", weights=[math.nan]), "weights=nan"),
        (lambda: build_loss("mse", weights=[1, 1])([X], [X]), "weights has 2 values for 1"),
        (lambda: build_loss("mse")([X, X], [X]), "2 student and 1 teacher"),
        (lambda: build_loss("mse")([], []), "0 student"),
        (lambda: build_loss("mse")([X], [torch.zeros(1, 3, 4, 4)]), r"Block 0.*\(1, 3, 4, 4\)"),
        (lambda: build_loss("mse")([X[0]], [X[0]]), r"\(2, 4, 4\)"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, says):
    with pytest.raises(UserError, match=says):
        call()
