"""Weights by measured coherence, on fields whose coherence is known in closed form."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import build_loss, calibrate, normalise
from freqkd_lite.losses.coherence import Predictability, high_shares, weight_curve, weights_of
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.noise import noise
from tests.refused import refusals, refused


def state(**columns):
    return {name: torch.tensor(column) for name, column in (COLUMNS | columns).items()}


COLUMNS = dict(rho=[0.0, 0.5, 1.0], power=[4.0, 2.0, 0.5])
COLUMNS |= dict(coherence=[0.64, 0.36, -0.01], mismatched=[0.28, 0.36, 0.0])
STATE = state()
BOTH = dict(rho=(0.0, 0.5, 0.5001, 1.0), power=(4.0, 4.0, 1.0, 1.0), mismatched=(0.0,) * 4)
TWO = state(coherence=(0.5, 0.5, 0.25, 0.25), **BOTH)


def filtered_noise(gain, *shape, seed=0):
    spectrum = np.fft.fft2(noise(*shape, seed=seed).numpy(), norm="ortho")
    return torch.from_numpy(np.fft.ifft2(spectrum * gain.numpy(), norm="ortho").real)


def measured(batches, **about):
    calibrator = Predictability(**about)
    for student, teacher in batches:
        calibrator.update(student, teacher)
    return calibrator.statistics()


WEIGHTS = {
    "plain": [0.64, 0.36, 0],
    "root": [0.8, 0.6, 0],
    "above": [0.36 / 0.72, 0, 0],
    "gls": [1 / (0.36 * 4), 1 / (0.64 * 2), 1 / 0.5],
}
"""Of `STATE` by variant, at its three points."""


def test_weights_stay_finite_where_pairs_share_everything_or_less_than_nothing():
    all_or_less = state(coherence=[1.0, 0.5, 0.0], mismatched=[1.0, -0.2, 0.0])
    assert weight_curve(all_or_less)[0] == 1  # plain
    assert weight_curve(all_or_less, "above").tolist() == pytest.approx([1, 0.5, 0])
    least = [0.01 * 4, 0.5 * 2, 0.5]  # what cannot be predicted counts as a hundredth at least
    assert weight_curve(all_or_less, "gls").tolist() == pytest.approx([1 / x for x in least])


@pytest.mark.parametrize("level", ["mse", "measured"])
@pytest.mark.parametrize("variant", WEIGHTS)
def test_each_frequency_costs_its_weight_and_by_default_an_absent_student_what_mse_costs(
    variant, level
):
    """By NumPy; two blocks, whose statistics have their three points at other rho."""
    student, teacher = (noise(2, 3, 6, 8, seed=s) for s in (0, 1))
    s, t = (np.fft.fft2(normalise(x).numpy(), norm="ortho") for x in (student, teacher))
    states = [STATE, state(rho=[0.0, 0.3, 1.3])]
    loss = build_loss("coherence", statistics=states, variant=variant, level=level)
    for found, of in zip(loss([student] * 2, [teacher] * 2).parts.values(), states, strict=True):
        curves = WEIGHTS[variant], COLUMNS["power"]
        weight, power = (np.interp(radius(6, 8).numpy(), of["rho"], curve) for curve in curves)
        scale = power.sum() / (weight * power).sum() if level == "mse" else 1
        assert found.item() == pytest.approx(scale * (weight * abs(s - t) ** 2).mean())


def test_a_perfect_measurement_finds_the_share_that_was_put_in():
    """T = S + E by frequency: coherence |S|^2 / (|S|^2 + |E|^2), falling with rho from 1/1.1 on.
    Many channels, so that the normalisation is nearly one factor for all tokens."""
    h, w = 8, 10
    rho = radius(h, w)
    shared = [noise(8, 96, h, w, seed=s) for s in range(8)]
    extra = [filtered_noise((0.1 + rho**2).sqrt(), 8, 96, h, w, seed=100 + s) for s in range(8)]
    found = measured((s, s + e) for s, e in zip(shared, extra, strict=True))
    expected = [float((1 / (1.1 + rho[ring] ** 2)).mean()) for ring in ring_masks(h, w, RINGS)]
    assert found["rho"][0] == 0 and len(found["rho"]) == 9
    assert found["coherence"][1:].tolist() == pytest.approx(expected, abs=0.03)
    assert found["mismatched"][1:].abs().max() < 0.02


def test_no_teacher_is_its_own_mismatched_partner():
    """Teachers equal their students, image by image unlike. One image a batch: were the first one
    set beside itself, mismatched pairs would share a quarter of their waves or so."""
    found = measured((noise(1, 64, 8, 8, seed=s),) * 2 for s in range(4))
    assert abs(found["mismatched"][1:].mean()) < 0.05
    refused("pairs.* 3 ", measured, [(noise(1, 4, 8, 8, seed=s),) * 2 for s in range(2)])


def test_batches_count_as_one_and_mismatched_maps_that_are_given_stand_beside_the_teacher():
    student, teacher, strange = (noise(6, 4, 6, 8, seed=s) for s in range(3))
    maps = student + teacher, teacher, strange + teacher
    (found,) = calibrate("coherence", [[[x[:4]] for x in maps], [[x[4:]] for x in maps]])
    (whole,) = calibrate("coherence", [[[x] for x in maps]])
    torch.testing.assert_close(found, whole)
    for name, other in (("mismatched", maps[2]), ("coherence", maps[0])):
        pairs = CrossSpectrum.empty(4, 6, 8).update(normalise(teacher), normalise(other))
        rings = pairs.against_rho()
        torch.testing.assert_close(found[name][1:].double(), rings[~rings.isnan()])
        assert found[name][0].item() == pytest.approx(pairs.map()[0, 0].item())


def test_mismatched_pairs_share_their_layout_alone():
    """All pictures have one layout, of power L(f), beside what is each pair's own, of power 1; the
    teacher adds noise of power 1. So pairs share L + 1 and mismatched ones L."""
    layout, own, extra = (noise(n, 64, 8, 8, seed=n + s) for n, s in ((1, 0), (64, 1), (64, 2)))
    student = layout + own
    batches = zip(student.split(8), (student + extra).split(8), strict=True)
    found = measured(batches)
    power = abs(np.fft.fft2(layout.numpy(), norm="ortho")[0]) ** 2
    weight = np.sqrt((power + 1) * (power + 2))
    for name, common in (("coherence", power + 1), ("mismatched", power)):
        expected = (common**2 / weight).sum() / weight.sum()
        assert found[name][1:].mean().item() == pytest.approx(expected, abs=0.02), name


def test_across_channels_finds_what_no_single_channel_tells():
    """Each teacher channel is a mix of all of the student's, so that channel by channel little is
    coherent, and a map across them predicts all but the noise."""
    mix = torch.linalg.qr(noise(32, 32, seed=9))[0]
    students, others = ([noise(8, 32, 8, 8, seed=s + k) for s in range(6)] for k in (0, 50))
    mixed = [torch.einsum("dc,nchw->ndhw", mix, student) for student in students]
    teachers = [m + 0.5 * other for m, other in zip(mixed, others, strict=True)]
    found = measured(zip(students, teachers, strict=True), variant="predicted")
    assert found["coherence"][1:].mean() < 0.1
    # 1 / (1 + .25) for the mix; the fit costs the more the fewer bins a ring has
    assert found["predicted"][4:].mean().item() == pytest.approx(0.8, abs=0.05)
    unrelated = measured(zip(students, others, strict=True), variant="predicted")
    assert unrelated["predicted"].max() < 0.02
    small = [(1e-4 * s, 1e-4 * t) for s, t in zip(students[:2], mixed[:2], strict=True)]  # two do
    assert measured(small, variant="predicted")["predicted"][4:].min() > 0.9


def test_across_channels_counts_every_bin_of_the_whole_spectrum():
    """Teacher and student agree but for the first and last column of frequencies, where they are
    unrelated. With a share p of agreeing bins the best map is p, which explains p^2."""
    h, w = 8, 12
    apart = torch.zeros(h, w)
    apart[:, [0, w // 2]] = 1

    def pair(seed):
        own = filtered_noise(1 - apart, 8, 8, h, w, seed=seed)
        return noise(8, 8, h, w, seed=seed), own + filtered_noise(apart, 8, 8, h, w, seed=50 + seed)

    found = measured(map(pair, range(8)), variant="predicted")["predicted"][1:]
    shares = [float(1 - apart[ring].mean()) for ring in ring_masks(h, w, RINGS) if ring.any()]
    assert found.tolist() == pytest.approx([p**2 for p in shares], abs=0.06)


def test_the_scaled_weight_charges_an_absent_student_what_mse_does():
    gain = (1 / (0.2 + radius(8, 8))).sqrt()
    teacher = filtered_noise(gain, 16, 48, 8, 8)
    student = teacher + filtered_noise(gain, 16, 48, 8, 8, seed=1)
    statistics = calibrate("coherence", [([student], [teacher])])
    maps = [torch.zeros_like(teacher)], [teacher]
    mse = build_loss("mse")(*maps).total.item()
    for variant in ("plain", "gls", "root"):
        loss = build_loss("coherence", statistics=statistics, variant=variant)
        assert loss(*maps).total.item() == pytest.approx(mse, rel=0.03), variant


@pytest.mark.parametrize(
    "variant,coherence,weights",
    [("plain", [1.2, 0.5, 0.0], [1.2, 0.5, 0]), ("root", [0.81, 0.25, 0.0], [0.9, 0.5, 0])],
)
def test_the_anchor_s_target_is_the_teacher_s_wave_as_far_as_the_weight_says(
    variant, coherence, weights
):
    """At each frequency weight x the teacher's wave, and the rest of the untrained student's; a
    weight of more than 1 counts as 1."""
    statistics = [state(rho=[0.0, 0.5, 0.75], coherence=coherence)]
    maps = [noise(1, 3, 8, 8, seed=s) for s in range(3)]
    s, t, s0 = (np.fft.fft2(normalise(x).numpy(), norm="ortho") for x in maps)
    weight = np.interp(radius(8, 8).numpy(), [0, 0.5, 0.75], weights).clip(max=1)
    expected = (abs(s - weight * t - (1 - weight) * s0) ** 2).mean()
    loss = build_loss("anchor", statistics=statistics, variant=variant)
    assert loss(*([x] for x in maps)).total.item() == pytest.approx(expected)


X = noise(2, 3, 4, 4)
BLIND = state(coherence=[0.5, 0.0, 0.0], mismatched=[0.0] * 3, power=[0.0, 2.0, 1.0])


def built(name, statistics=STATE, **options):
    return build_loss(name, statistics=[statistics], **options)


test_bad_statistics_and_options_name_what_to_change = refusals(
    (lambda: built("coherence", variant="gsl"), "'gls'"),
    (lambda: built("coherence", level="mes"), "'mse'"),
    (lambda: built("anchor", variant="gls"), "variant='gls'"),
    (lambda: built("coherence", state(coherence=[0.0] * 3)), "0 at all frequencies"),
    (lambda: built("coherence", {"median": torch.tensor(0.3)}), "holds median"),
    (lambda: built("coherence", variant="predicted"), "variant='predicted'"),
    (lambda: built("anchor")([X], [X]), "anchors"),
    (lambda: built("coherence", BLIND)([X], [X]), "4 x 4 tokens"),
    (lambda: calibrate("coherence", [([X[:1]], [X[:1]])]), "pairs.* 3 "),
    (lambda: calibrate("coherence", [([X], [X])], variant="predicted"), "two batches"),
)


def test_weights_and_shares_by_hand():
    """Two levels: coherence .5 and .25 over power 4 and 1, with the step between them."""
    h, w = 12, 16
    rho = radius(h, w)
    low, high = int((rho <= 0.5).sum()), int((rho > 0.5).sum())
    found = weights_of(TWO, h, w)
    # unpredicted power 2 and .75
    levels = {"coherence": (1, 0.5), "gls": (0.75 / 2, 1), "step": (1, 0.1)}
    for name, (at_low, at_high) in levels.items():
        assert found[name][0, 0].item() == pytest.approx(at_low), name
        assert found[name][6, 8].item() == pytest.approx(at_high), name
    levels["mse"] = (1, 1)
    expected = {n: high * b / (low * 4 * a + high * b) for n, (a, b) in levels.items()}
    assert high_shares([TWO], h, w) == pytest.approx(expected)
    assert high_shares([BLIND], h, w)["coherence"] == 0
    both = high_shares([TWO, BLIND], h, w)
    assert both["coherence"] == pytest.approx(expected["coherence"] / 2)
