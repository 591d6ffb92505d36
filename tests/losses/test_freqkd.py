"""FreqKD and its variants against numbers worked by hand, NumPy, closed forms and autograd."""

import math

import numpy as np
import pytest
import torch

from freqkd_lite.losses import CALIBRATORS, build_loss, calibrate, normalise
from freqkd_lite.losses.base import weighted_mse
from freqkd_lite.losses.freqkd import MedianDifference, coded_bands
from freqkd_lite.spectrum import band_mask, centred_rectangle, radius, split_bands
from tests.losses.test_base import map_of, numbers
from tests.noise import noise

GRIDS = [(1, 1), (1, 4), (2, 5), (3, 4), (8, 8), (7, 9), (12, 16), (37, 46)]


@pytest.mark.parametrize("h,w", GRIDS)
@pytest.mark.parametrize("cutoff", [0.3, 0.5, 0.75, 1.0])
def test_coded_bands_are_those_of_the_transform(h, w, cutoff):
    x = noise(2, 2, h, w)
    expected = split_bands(x, mask=centred_rectangle(h, w, cutoff))
    found = coded_bands(x) if cutoff == 0.5 else coded_bands(x, cutoff)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_code_by_hand_on_four_tokens():
    student = map_of([[5, 5, 1, 1]])  # 1 1 -1 -1 : all at frequencies +-1 of 4
    teacher = map_of([[3, 1, 3, 1]])  # 1 -1 1 -1 : all at -2, which is high
    # The coded mask keeps 0 and -1 but not +1: the real part of the student's low band is half of
    # it, and the other half is its high band.
    loss = build_loss("freqkd_code")([student], [teacher])
    assert numbers(loss) == pytest.approx(
        {"block0/low": 0.5**2, "block0/high": 0.1 * (math.log(2) - math.log(1.5)) ** 2}
    )


def numpy_bands(x, cutoff):
    """(low, high) on complex shifted spectra, as the method's description reads."""
    x = x - x.mean((2, 3), keepdims=True)
    x = x / np.sqrt((x**2).sum(1, keepdims=True))
    shifted = np.fft.fftshift(np.fft.fft2(x, norm="ortho"), axes=(2, 3))
    low, sides = np.zeros_like(shifted), [(n // 2, int(n * cutoff / 2)) for n in x.shape[2:]]
    inside = np.s_[:, :, *(slice(middle - reach, middle + reach) for middle, reach in sides)]
    low[inside] = shifted[inside]
    back = (np.fft.ifftshift(s, axes=(2, 3)) for s in (low, shifted - low))
    return [np.fft.ifft2(s, norm="ortho").real for s in back]


@pytest.mark.parametrize("h,w", [(8, 8), (7, 9), (15, 20)])
@pytest.mark.parametrize("cutoff", [0.5, 0.75, 0.3])
def test_code_and_its_variants_are_those_of_numpy(h, w, cutoff):
    student, teacher = noise(2, 5, h, w), noise(2, 5, h, w, seed=1)
    (s_low, s_high), (t_low, t_high) = (numpy_bands(x.numpy(), cutoff) for x in (student, teacher))

    def mean_square(a, b):
        return ((a - b) ** 2).mean()

    def log(x):
        return np.log(1 + abs(x))

    c2 = (3 * np.median(abs(s_high - t_high))) ** 2
    lorentzian = c2 * np.log(1 + (s_high - t_high) ** 2 / c2)
    low, high = mean_square(s_low, t_low), mean_square(log(s_high), log(t_high))
    expected = {
        "freqkd_code": (low, 0.3 * high),
        "low_only": (low,),
        "high_only": (high,),
        "swapped": (0.1 * mean_square(log(s_low), log(t_low)), mean_square(s_high, t_high)),
        "signed": (low, 0.3 * mean_square(*(np.sign(x) * log(x) for x in (s_high, t_high)))),
        "robust": (low, 0.3 * lorentzian.mean()),
    }
    for name, parts in expected.items():
        options = {"cutoff": cutoff}
        options |= {"high_weight": 0.3} if name in ("freqkd_code", "signed", "robust") else {}
        options |= {"scale": 3.0} if name == "robust" else {}
        statistics = None
        if name in CALIBRATORS:
            statistics = calibrate(name, [([student], [teacher])], **options)
        found = build_loss(name, statistics=statistics, **options)([student], [teacher])
        # an even number of elements: torch's median is the lower of the middle two
        close = pytest.approx(parts, rel=5e-3 if statistics else 1e-9)
        assert list(numbers(found).values()) == close, name


def test_paper_by_hand():
    """One channel, a wave of 2 of 4 tokens (the axis' Nyquist, at half of the corner's radius in
    each axis, so .71 of it: high) against the constant (low)."""
    student = map_of([[1, -1, 1, -1]] * 4)
    teacher = map_of([[3, 3, 3, 3]] * 4)
    # Each has L2 norm 1 over 16 tokens: elements of size 1/4, energy 1.
    expected = {"block0/low": 1 / 16, "block0/high": 0.1 * math.log(1 + 1 / 16)}
    assert numbers(build_loss("freqkd_paper")([student], [teacher])) == pytest.approx(expected)
    # With the cutoff at .75 of the corner's radius the wave is low as well.
    found = build_loss("freqkd_paper", cutoff=0.75)([student], [teacher])
    assert numbers(found) == pytest.approx({"block0/low": 2 / 16, "block0/high": 0}, abs=1e-7)


@pytest.mark.parametrize("length", [0.0, 1e-13, 1.0])
def test_paper_is_its_formula_on_the_fft(length):
    """A channel shorter than 1e-12 is not brought to length 1."""
    student, teacher = noise(2, 3, 6, 8), noise(2, 3, 6, 8, seed=1)
    student[0, 1] *= length / student[0, 1].norm()
    low = band_mask(6, 8, 0.5 * math.sqrt(2), "disk").numpy()
    lengths = (x.norm(dim=(2, 3), keepdim=True).clamp_min(1e-12) for x in (student, teacher))
    a, b = (x / of for x, of in zip((student, teacher), lengths, strict=True))
    power = abs(np.fft.fft2((a - b).numpy(), norm="ortho")) ** 2
    expected = (power * low).mean() + 0.1 * np.log1p((power * ~low).mean())
    found = build_loss("freqkd_paper")([student], [teacher]).total
    assert found.item() == pytest.approx(expected)


def test_step_and_lowpass_weigh_each_frequency_by_their_formula():
    student, teacher = noise(2, 3, 8, 10), noise(2, 3, 8, 10, seed=1)

    def found(name, **options):
        return build_loss(name, **options)([student], [teacher]).total.item()

    for cutoff, high in ((0.5, 0.1), (0.3, 0.5), (0.7, 0.1)):
        weight = torch.where(band_mask(8, 10, cutoff), 1.0, high).double()
        expected = weighted_mse(student, teacher, weight).item()
        assert found("step", cutoff=cutoff, high_weight=high) == pytest.approx(expected)
    for half in (0.2, 0.35):
        weight = 0.5 ** ((radius(8, 10) / half) ** 2)
        expected = weighted_mse(student, teacher, weight).item()
        assert found("lowpass", half=half) == pytest.approx(expected)


def high_difference(student, teacher):
    mask = centred_rectangle(*student.shape[-2:])
    return split_bands(normalise(student) - normalise(teacher), mask=mask)[1]


def test_robust_takes_the_median_of_all_batches():
    students = [noise(4, 5, 8, 8, seed=s) for s in (0, 1)]
    teacher = noise(4, 5, 8, 8, seed=2)
    (found,) = calibrate("robust", (([s], [teacher]) for s in students))
    seen = torch.cat([high_difference(s, teacher).abs().flatten() for s in students])
    assert found["median"].item() == pytest.approx(seen.median().item())


# 1280 / 100, rounded up; and 1600 / 100 is 16, with which every other column were never seen
@pytest.mark.parametrize("width,step", [(8, 13), (10, 17)])
def test_robust_samples_every_column_of_a_large_batch(monkeypatch, width, step):
    monkeypatch.setattr(MedianDifference, "SAMPLE", 100)
    calibrator = MedianDifference()
    student, teacher = noise(4, 5, 8, width), noise(4, 5, 8, width, seed=1)
    calibrator.update(student, teacher)
    every = high_difference(student, teacher).abs().flatten()[::step]
    assert calibrator.statistics()["median"].item() == pytest.approx(every.median().item())
