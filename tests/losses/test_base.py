"""`losses` against numbers worked by hand, NumPy and closed forms."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.losses import (
    LOSSES,
    PREPARERS,
    build_loss,
    filters,
    freqkd,
    load_states,
    needs_anchors,
    normalise,
    pack_states,
    prepare,
)
from freqkd_lite.losses import base as losses
from freqkd_lite.spectrum import band_mask, centred_rectangle, radius, split_bands


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def map_of(rows):
    """One channel: (1, 1, h, w)."""
    return torch.tensor([[rows]], dtype=torch.float32)


def ready(name, students, teachers, **options):
    """The loss, prepared on these maps if it must be, and given them as anchors if it needs any:
    f(students, teachers)."""
    batches = [(students, teachers), ([x.flip(2) for x in students], [x.flip(2) for x in teachers])]
    states = prepare(name, batches, **options) if name in PREPARERS else None
    loss = build_loss(name, states=states, **options)
    if not needs_anchors(name):
        return loss
    start = [x.detach().clone() for x in students]
    return lambda students, teachers: loss(students, teachers, start)


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


# The other variants


def coded(x):
    return split_bands(normalise(x), mask=centred_rectangle(*x.shape[-2:]))


@pytest.mark.parametrize("h,w", [(8, 8), (7, 9)])
def test_the_variants_follow_their_formulas_on_the_bands(h, w):
    student, teacher = noise(2, 5, h, w), noise(2, 5, h, w, seed=1)
    (s_low, s_high), (t_low, t_high) = (
        map(torch.Tensor.numpy, coded(x)) for x in (student, teacher)
    )

    def mean_square(a, b):
        return ((a - b) ** 2).mean()

    def log(x):
        return np.log(1 + abs(x))

    median = np.median(abs(s_high - t_high))
    d2 = (s_high - t_high) ** 2
    expected = {
        "low_only": (mean_square(s_low, t_low),),
        "high_only": (mean_square(log(s_high), log(t_high)),),
        "swapped": (0.1 * mean_square(log(s_low), log(t_low)), mean_square(s_high, t_high)),
        "signed": (mean_square(s_low, t_low),
                   0.1 * mean_square(*(np.sign(x) * log(x) for x in (s_high, t_high)))),
        "robust": (mean_square(s_low, t_low),
                   0.1 * (median**2 * np.log(1 + d2 / median**2)).mean()),
    }  # fmt: skip
    for name, parts in expected.items():
        states = prepare(name, [([student], [teacher])]) if name in PREPARERS else None
        found = build_loss(name, states=states)([student], [teacher]).parts.values()
        # an even number of elements: torch's median is the lower of the middle two
        assert [float(x) for x in found] == pytest.approx(parts, rel=5e-3 if states else 1e-9)


def test_eq_by_hand():
    """One channel, a wave of 2 of 4 tokens (the axis' Nyquist, at half of the corner's radius in
    each axis, so .71 of it: high) against the constant (low)."""
    student = map_of([[1, -1, 1, -1]] * 4)
    teacher = map_of([[3, 3, 3, 3]] * 4)
    # Each has L2 norm 1 over 16 tokens: elements of size 1/4, energy 1.
    expected = {"block0/low": 1 / 16, "block0/high": 0.1 * math.log(1 + 1 / 16)}
    assert numbers(build_loss("eq")([student], [teacher])) == pytest.approx(expected)
    # With the cutoff at .75 of the corner's radius the wave is low as well.
    assert numbers(build_loss("eq", cutoff=0.75)([student], [teacher])) == pytest.approx(
        {"block0/low": 2 / 16, "block0/high": 0}, abs=1e-7
    )


@pytest.mark.parametrize("length", [0.0, 1e-13, 1.0])
def test_eq_s_gradient_is_that_of_torch_s_normalize(length):
    """By autograd through its formula; a channel shorter than 1e-12 is not brought to length 1, so
    stretching it counts."""
    student, teacher = noise(2, 3, 6, 8), noise(2, 3, 6, 8, seed=1)
    student[0, 1] *= length / student[0, 1].norm()
    low = band_mask(6, 8, 0.5 * math.sqrt(2), "disk").double()

    def by_formula(s):
        a, b = (
            torch.nn.functional.normalize(x.flatten(2), dim=2).view(x.shape) for x in (s, teacher)
        )
        power = torch.fft.fft2(a - b, norm="ortho").abs().square()
        below, above = (power * low).mean(), (power * (1 - low)).mean()
        return below + 0.1 * torch.log1p(above)

    expected = torch.autograd.grad(by_formula(student.requires_grad_()), student)[0]
    total = build_loss("eq")([student], [teacher]).total
    found = torch.autograd.grad(total, student)[0]
    assert total.item() == pytest.approx(by_formula(student).item())
    for i in range(2):  # the short channel's gradient is huge: each by itself
        for k in range(3):
            torch.testing.assert_close(found[i, k], expected[i, k], rtol=1e-7, atol=0)


def test_eq_s_value_needs_no_gradient():
    student, teacher = noise(2, 3, 6, 8), noise(2, 3, 6, 8, seed=1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        value = build_loss("eq")([student], [teacher]).total
        assert not kept and not value.requires_grad
        wanted = build_loss("eq")([student.clone().requires_grad_()], [teacher]).total
    assert kept and value == wanted.detach()


def test_eq_sees_no_gain_of_a_channel():
    teacher = noise(2, 3, 6, 8)
    gains = torch.tensor([1.0, 5.0, 0.2]).reshape(1, 3, 1, 1)
    assert build_loss("eq")([gains * teacher], [teacher]).total < 1e-12


def test_step_and_lowpass_weigh_each_frequency():
    """A student that lacks one wave pays that wave's energy times the weight at its frequency."""
    y, x = torch.arange(8.0)[:, None], torch.arange(8.0)

    def wave(k, l):  # noqa: E741
        angle = 2 * math.pi * (k * y + l * x) / 8
        return torch.stack([angle.cos(), angle.sin()])[None].double()

    # Two waves in two pairs of channels: every token has the same length, so normalising is a
    # common factor, and the mean is 0 already.
    for k, l in ((1, 1), (0, 3), (2, 3), (3, 1)):  # noqa: E741
        student = torch.cat([wave(1, 0), -wave(k, l)], 1)
        teacher = torch.cat([wave(1, 0), wave(k, l)], 1)
        share = 4 * 0.5 / 4  # (2a)^2 with a^2 = 1/2, mean over 4 channels of cos^2 or sin^2
        low = max(k, l) <= 2
        rho = math.hypot(k, l) / 4
        for name, weight in (("step", 1 if low else 0.1), ("lowpass", 2 ** -((rho / 0.35) ** 2))):
            cost = build_loss(name)([student], [teacher]).total.item()
            assert cost == pytest.approx(share * weight), (name, k, l)


def test_robust_saturates_and_is_plain_where_differences_are_small():
    teacher = noise(2, 5, 8, 8)
    states = prepare("robust", [([noise(2, 5, 8, 8, seed=1)], [teacher])])
    near = teacher + 1e-4 * noise(2, 5, 8, 8, seed=2)
    (_, s_high), (_, t_high) = coded(near), coded(teacher)
    high = build_loss("robust", states=states)([near], [teacher]).parts["block0/high"]
    assert high.item() == pytest.approx(0.1 * (s_high - t_high).square().mean().item(), rel=1e-3)
    # It sees signs, and charges less than the plain MSE for them.
    negated = build_loss("robust", states=states)([-teacher], [teacher]).parts["block0/high"]
    assert 0.01 < negated / (0.1 * (2 * t_high).square().mean()) < 0.7


def test_robust_saturates_at_the_scale_asked_for():
    student, teacher = noise(2, 5, 8, 8), noise(2, 5, 8, 8, seed=1)
    (state,) = states = prepare("robust", [([student], [teacher])], scale=3.0)
    loss = build_loss("robust", states=states, scale=3.0)([student], [teacher])
    d2 = (coded(student)[1] - coded(teacher)[1]).square().numpy()
    c2 = (3 * state["median"].item()) ** 2
    expected = 0.1 * (c2 * np.log(1 + d2 / c2)).mean()
    assert loss.parts["block0/high"].item() == pytest.approx(expected)


def test_robust_takes_the_median_of_all_batches_before_training():
    students = [noise(4, 5, 8, 8, seed=s) for s in (0, 1)]
    teachers = [noise(4, 5, 8, 8, seed=2)] * 2
    (state,) = prepare("robust", (([s], [t]) for s, t in zip(students, teachers, strict=True)))
    seen = torch.cat([(coded(s)[1] - coded(t)[1]).abs().flatten()
                      for s, t in zip(students, teachers, strict=True)])  # fmt: skip
    assert state["median"].item() == pytest.approx(seen.median().item())


@pytest.mark.parametrize("width,step", [
    (8, 13),  # 1280 / 100, rounded up
    (10, 17),  # 1600 / 100 is 16, with which every other column would never be seen
])  # fmt: skip
def test_robust_keeps_a_sample_of_each_batch_and_nothing_else(monkeypatch, width, step):
    monkeypatch.setattr(freqkd.MedianDifference, "SAMPLE", 100)
    preparer = freqkd.MedianDifference()
    student, teacher = noise(4, 5, 8, width), noise(4, 5, 8, width, seed=1)
    preparer.update(student, teacher)
    (seen,) = preparer._seen
    every = (coded(student)[1] - coded(teacher)[1]).abs().flatten()[::step]
    torch.testing.assert_close(seen, every)
    assert seen.untyped_storage().nbytes() == len(every) * 8


def test_prepared_states_come_back_from_a_file(tmp_path):
    maps = [noise(3, 2, 6, 8, seed=s) for s in range(4)]
    states = prepare("coherence", [(maps[:2], maps[2:])])
    (tmp_path / "loss.safetensors").write_bytes(pack_states(states))
    back = load_states(tmp_path / "loss.safetensors")
    assert [sorted(s) for s in back] == [["coherence", "power", "rho", "shuffled"]] * 2
    for one, other in zip(states, back, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    (tmp_path / "torn").write_bytes(b"1234")
    for wrong in ("torn", "absent"):
        with pytest.raises(UserError, match=f"{wrong} holds no measurements"):
            load_states(tmp_path / wrong)


def test_cosine_and_mse_are_one_loss_up_to_a_factor():
    student, teacher = noise(2, 7, 5, 6), noise(2, 7, 5, 6, seed=1)
    mse = build_loss("mse")([student], [teacher]).total
    cosine = build_loss("cosine")([student], [teacher]).total
    assert (7 * mse).item() == pytest.approx(2 * cosine.item())
    assert 0.5 < cosine < 1.5


# What costs nothing beside the teacher's own map: an offset of each channel, and a gain of all.
SEES_OFFSET = {"eq", "mse_raw", "unic", "wavelet", "spectralkd", "gram", "attention"}
SEES_GAIN = {"mse_raw", "unic", "wavelet", "spectralkd", "cwd"}
NO_SIGN = {"high_only", "gram", "attention"}  # a negated map costs them nothing
# The anchored loss pulls to the teacher only so far as it can be followed, so the teacher's own
# map costs something: tests/test_weighted.py.
OF_TEACHER = sorted(set(LOSSES) - {"anchor"})


@pytest.mark.parametrize("name", OF_TEACHER)
def test_a_perfect_student_costs_nothing_whatever_its_mean_and_scale(name):
    teacher = noise(3, 7, 5, 6)
    loss = ready(name, [0.5 * teacher + noise(3, 7, 5, 6, seed=4)], [teacher])
    assert abs(loss([teacher], [teacher]).total) < 1e-12
    for student, sees in ((3 * teacher, SEES_GAIN),
                          (teacher + noise(1, 7, 1, 1, seed=1), SEES_OFFSET)):  # fmt: skip
        cost = loss([student], [teacher]).total
        assert cost > 1e-4 if name in sees else abs(cost) < 1e-12
    negated = loss([-teacher], [teacher]).total
    assert abs(negated) < 1e-12 if name in NO_SIGN else negated > 1e-4


# Lists, weights, gradients


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradcheck(name):
    students = [noise(2, 3, 4, 5).requires_grad_(), noise(2, 2, 3, 4, seed=1).requires_grad_()]
    teachers = [noise(2, 3, 4, 5, seed=2), noise(2, 2, 3, 4, seed=3)]
    loss = ready(name, [x + 0.3 * y for x, y in zip(teachers, students, strict=True)], teachers)
    assert torch.autograd.gradcheck(lambda *s: loss(s, teachers).total, students)


@pytest.mark.parametrize("name", sorted(losses.BY_IMAGE))
def test_a_few_images_at_a_time_give_what_autograd_gives_of_all(name, monkeypatch):
    """Pieces of 2, 2 and 1 images, whose shares differ."""
    student, teacher, start = (noise(5, 3, 6, 8, seed=seed) for seed in (0, 1, 2))
    start += teacher  # so that there is something to predict
    states = prepare(name, [([start], [teacher])]) if name in losses.PREPARERS else None
    extra = {"state": states[0]} if states else {}
    anchors = [[start]] if losses.needs_anchors(name) else []
    if anchors:
        extra["anchor"] = start
    one, other = (student.clone().requires_grad_() for _ in range(2))
    expected = LOSSES[name](one, teacher, **extra)
    sum(expected.values()).backward()
    monkeypatch.setattr(filters, "PIECE", 2 * 3 * 6 * 8)
    found = build_loss(name, states=states)([other], [teacher], *anchors)
    (3 * found.total).backward()
    for band, value in expected.items():
        torch.testing.assert_close(found.parts[f"block0/{band}"], value.detach())
    torch.testing.assert_close(other.grad, 3 * one.grad)


def test_tokens_too_short_to_be_brought_to_length_1_are_only_scaled():
    """Of two tokens the first is divided by eps, so its gradient is not turned but divided too."""
    x = torch.tensor([[[[3e-7, -3e-7]], [[4e-7, -4e-7]]]], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(normalise(x).flatten().tolist(), [0.3, -0.3, 0.4, -0.4])
    (normalise(x) * torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([5e5, -5e5, 0, 0])  # less its channel's mean
    # 100 times as long, they are brought to length 1: (.6, .8), and what goes along them is taken
    # away: (1, 0) - .6 (.6, .8) = (.64, -.48), over the length 5e-5, less the mean over space
    x = (100 * x.detach()).requires_grad_()
    (normalise(x) * torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([6400, -6400, -4800, 4800])


@pytest.mark.parametrize("images", [1, 2, 5])  # in a piece, of five
@pytest.mark.parametrize("weight", ["product", "radial", "step", "one"])
def test_a_weight_at_each_frequency_is_that_of_numpy(weight, images, monkeypatch):
    """Value and gradient against the sum over bins of NumPy's transform and autograd's way."""
    h, w, c = 9, 12, 4
    rho = radius(h, w)
    of = {
        "product": torch.exp2(-((rho / 0.4) ** 2)),
        "radial": 1 / (1 + rho),
        "step": 0.1 + 0.9 * band_mask(h, w, 0.3),
        "one": torch.full((h, w), 0.7),
    }[weight]
    teacher = noise(5, c, h, w, seed=1)
    one = noise(5, h, w, c).requires_grad_()  # in another order in memory
    other = one.detach().clone().requires_grad_()
    monkeypatch.setattr(filters, "PIECE", images * c * h * w)
    found = losses.weighted_mse(
        one.permute(0, 3, 1, 2), teacher, filters.quadratic_form(of, teacher)
    )
    (3 * found).backward(retain_graph=True)
    difference = normalise(other.permute(0, 3, 1, 2)) - normalise(teacher)
    spectrum = np.fft.fft2(difference.detach().numpy(), norm="ortho")
    assert found.item() == pytest.approx((abs(spectrum) ** 2 * of.numpy()).mean())
    back = torch.fft.fft2(difference, norm="ortho")
    (3 * (back.abs().square() * of).mean()).backward()
    torch.testing.assert_close(one.grad, other.grad)
    found.backward()  # once more: what is kept of the gradient is as it was
    torch.testing.assert_close(one.grad, other.grad * 4 / 3)


@pytest.mark.parametrize(
    "name",
    sorted(
        LOSSES.keys()
        - losses.BY_IMAGE
        - {"mse", "mse_raw", "step", "lowpass", "coherence", "low_only"}
    ),
)
def test_the_other_losses_look_at_all_images_together(name):
    """Whatever is a mean over images is declared as one, except for plain MSE and what goes a few
    images at a time by itself."""
    students, teachers = (
        noise(2, 3, 6, 8),
        noise(2, 3, 6, 8, seed=1) * torch.tensor([1.0, 5.0]).view(2, 1, 1, 1),
    )
    both = build_loss(name)([students], [teachers]).total
    single = [build_loss(name)([students[i : i + 1]], [teachers[i : i + 1]]).total for i in (0, 1)]
    assert not torch.isclose(both, sum(single) / 2, rtol=1e-7)


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


@pytest.mark.parametrize(
    "name", ["code", "step", "lowpass", "low_only", "projected", "mse", "eq", "coherence"]
)
def test_autocast_leaves_a_loss_in_float32(name):
    """Whether it is built there or used there: what is kept of a weight is never rounded."""
    student, teacher = noise(2, 16, 16, 16).float(), noise(2, 16, 16, 16, seed=1).float()
    first = [0.5 * teacher + student], [teacher]
    filters._kept.cache_clear(), filters._waves.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):
        built_there = ready(name, *first)
    filters._kept.cache_clear(), filters._waves.cache_clear()
    loss = ready(name, *first)
    expected = loss([student], [teacher]).total
    with torch.autocast("cpu", torch.bfloat16):
        found = loss([student], [teacher]).total
    assert found.dtype == torch.float32 and found == expected
    if name not in losses.PREPARERS:  # else what it measured there was rounded
        assert built_there([student], [teacher]).total == expected


def weighted_by_numpy(student, teacher, weight):
    difference = (normalise(student) - normalise(teacher)).numpy()
    return (abs(np.fft.fft2(difference, norm="ortho")) ** 2 * weight.numpy()).mean()


def test_the_options_of_weights_count_one_after_the_other():
    student, teacher = noise(2, 3, 8, 10), noise(2, 3, 8, 10, seed=1)
    rho = radius(8, 10)

    def found(name, **options):
        return build_loss(name, **options)([student], [teacher]).total.item()

    for cutoff, high in ((0.3, 0.5), (0.3, 0.1), (0.7, 0.1), (0.3, 0.5)):
        weight = torch.where(band_mask(8, 10, cutoff), 1.0, high).double()
        expected = weighted_by_numpy(student, teacher, weight)
        assert found("step", cutoff=cutoff, high_weight=high) == pytest.approx(expected)
    for half in (0.2, 0.5):
        expected = weighted_by_numpy(student, teacher, 0.5 ** ((rho / half) ** 2))
        assert found("lowpass", half=half) == pytest.approx(expected)


def test_a_large_smooth_map_keeps_its_digits_in_float32():
    """One long dot product in float32 would be off by 1e-5 here."""
    x = torch.linspace(0, 3, 1024 * 64 * 80, dtype=torch.float64).cos().view(1, 1024, 64, 80)
    for weight in (torch.ones(64, 80), 1 / (1 + radius(64, 80))):
        form = filters.quadratic_form(weight, x.float())
        value, back = form(x.float())
        assert value.item() == pytest.approx((x * back.double()).sum().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["step", "code"])
def test_maps_of_other_numbers_of_images_are_refused_by_the_bare_loss_too(name, monkeypatch):
    monkeypatch.setattr(filters, "PIECE", 1)
    student = noise(5, 3, 8, 8).requires_grad_()
    with pytest.raises(ValueError, match="shorter"):
        losses.by_pieces(LOSSES[name], student, noise(3, 3, 8, 8))
    with pytest.raises(ValueError, match="shorter"):
        LOSSES["step"](student, noise(3, 3, 8, 8))


@pytest.mark.parametrize("name", ["code", "step", "eq", "mse", "cosine"])
def test_a_teacher_in_double_precision_is_taken_to_the_student_s(name):
    student, teacher = noise(2, 3, 6, 8).float(), noise(2, 3, 6, 8, seed=1)
    loss = build_loss(name)
    assert loss([student], [teacher]).total == loss([student], [teacher.float()]).total


def test_a_new_loss_joins_by_one_function(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", dict(LOSSES))

    @losses.register("offset")
    def offset(student, teacher, *, power=1.0):
        return {"all": (student - teacher).mean() ** power}

    loss = build_loss("offset", power=2.0)([map_of([[4.0]])], [map_of([[1.0]])])
    assert numbers(loss) == {"block0/all": 9.0}


# Bad input

X = torch.zeros(1, 2, 4, 4)
TWO = [{"median": X.sum()}] * 2


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
        (lambda: build_loss("code")([X[:0]], [X[:0]]), "Block 0: a batch of no image"),
        (lambda: build_loss("robust"), "must be prepared"),
        (lambda: build_loss("mse", states=[{}]), "leave out states"),
        (
            lambda: build_loss("robust", states=[{"median": X.sum()}] * 2)([X], [X]),
            "prepared with 2",
        ),
        (lambda: build_loss("mse")([X], [X], [X]), "takes no anchors"),
        (lambda: build_loss("lowpass", half=0), "half=0"),
        (lambda: build_loss("eq", cutoff=1.2), "cutoff"),
        (lambda: build_loss("cwd", temperature=0), "temperature=0"),
        (lambda: build_loss("wavelet", levels=0.5), "levels=0.5"),
        (lambda: prepare("mse", [([X], [X])]), "needs no preparing"),
        (lambda: prepare("robust", []), "on no pairs"),
        (lambda: prepare("robust", [([X], [X]), ([X, X], [X, X])]), "1 values for 2 blocks"),
        (lambda: prepare("coherence", [([X], [X])], variant="plane"), "did you mean 'plain'"),
        (lambda: prepare("coherence", [([X], [X])], variant=2), "variant called '2'"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, says):
    with pytest.raises(UserError, match=says):
        call()
