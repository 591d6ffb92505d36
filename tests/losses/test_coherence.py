"""Weights by measured coherence, on fields whose coherence is known in closed form."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import build_loss, calibrate, normalise
from freqkd_lite.losses.coherence import Predictability, on_grid, weight_curve
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.noise import noise
from tests.refused import refusals, refused


def state(**columns):
    return {name: torch.tensor(column) for name, column in (COLUMNS | columns).items()}


COLUMNS = dict(rho=[0.0, 0.5, 1.0], power=[4.0, 2.0, 0.5])
COLUMNS |= dict(coherence=[0.64, 0.36, -0.01], mismatched=[0.28, 0.36, 0.0])
STATE = state()


def filtered_noise(gain, *shape, seed=0):
    spectrum = np.fft.fft2(noise(*shape, seed=seed).numpy(), norm="ortho")
    return torch.from_numpy(np.fft.ifft2(spectrum * gain.numpy(), norm="ortho").real)


def rings_of(a, b):
    """Coherence of normalised maps (N, 4, 6, 8) in the rings that have any bin."""
    rings = CrossSpectrum.empty(4, 6, 8).update(normalise(a), normalise(b)).against_rho()
    return rings[~rings.isnan()]


def measured(batches, **about):
    calibrator = Predictability(**about)
    for student, teacher in batches:
        calibrator.update(student, teacher)
    return calibrator.statistics()


def test_variants_by_hand():
    for variant, weights in (
        ("plain", [0.64, 0.36, 0]),
        ("root", [0.8, 0.6, 0]),
        ("above", [0.36 / 0.72, 0, 0]),
        ("gls", [1 / (0.36 * 4), 1 / (0.64 * 2), 1 / 0.5]),
    ):
        assert weight_curve(STATE, variant).tolist() == pytest.approx(weights)


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
    refused("more pairs", measured, [(noise(1, 4, 8, 8, seed=s),) * 2 for s in range(2)])


def test_batches_count_as_one_and_mismatched_maps_that_are_given_stand_beside_the_teacher():
    student, teacher, strange = (noise(6, 4, 6, 8, seed=s) for s in range(3))
    maps = student + teacher, teacher, strange + teacher
    (found,) = calibrate("coherence", [[[x[:4]] for x in maps], [[x[4:]] for x in maps]])
    (whole,) = calibrate("coherence", [[[x] for x in maps]])
    torch.testing.assert_close(found, whole)
    for name, other in (("mismatched", maps[2]), ("coherence", maps[0])):
        torch.testing.assert_close(found[name][1:].double(), rings_of(teacher, other))


def test_a_weight_where_the_teacher_has_no_power_is_refused():
    blind = state(coherence=[0.5, 0.0, 0.0], mismatched=[0.0] * 3, power=[0.0, 2.0, 1.0])
    maps = [noise(2, 3, 4, 4)], [noise(2, 3, 4, 4, seed=1)]
    refused("4 x 4 tokens", build_loss("coherence", statistics=[blind]), *maps)


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


def test_across_channels_counts_every_bin_of_the_whole_spectrum():
    """Teacher and student agree but for the first and last column of frequencies, where they are
    unrelated. With a share p of agreeing bins the best map is p, which explains p^2."""
    h, w = 8, 12
    apart = torch.zeros(h, w)
    apart[:, [0, w // 2]] = 1

    def pair(seed):
        other = filtered_noise(apart, 8, 8, h, w, seed=50 + seed)
        return noise(8, 8, h, w, seed=seed), filtered_noise(
            1 - apart, 8, 8, h, w, seed=seed
        ) + other

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


def test_measured_weights_keep_their_level():
    """A student that gives nothing pays sum over bins of weight x power by its formula; a block of
    half the coherence then counts half, where by default both count as under MSE."""
    h, w = 6, 8
    teacher = noise(3, 16, h, w)
    absent = torch.zeros_like(teacher)
    half = {**STATE, "coherence": STATE["coherence"] / 2}
    spectrum = torch.fft.fft2(normalise(teacher), norm="ortho").abs().square()
    by_hand = (spectrum * on_grid(STATE, STATE["coherence"].clamp_min(0), h, w)).mean()

    def cost(*statistics, **options):
        loss = build_loss("coherence", statistics=statistics, **options)
        return loss([absent] * len(statistics), [teacher] * len(statistics)).parts

    found = cost(STATE, half, level="measured")
    assert found["block0/all"].item() == pytest.approx(by_hand.item())
    assert found["block1/all"].item() == pytest.approx(by_hand.item() / 2)
    fair = cost(STATE, half)
    assert fair["block0/all"].item() == pytest.approx(fair["block1/all"].item())


@pytest.mark.parametrize(
    "variant,at",  # rho .25, .5 and .75: the straight lines of these through their points
    [("plain", [0.5, 0.36, 0.18]), ("root", [0.7, 0.6, 0.3]), ("above", [0.25, 0, 0])],
)
def test_coherence_charges_each_wave_its_weight(variant, at):
    """Students that lack one wave: the costs are as the weights at its frequency."""
    x = torch.arange(16, dtype=torch.float64).expand(4, 16)

    def lacking(k):
        base, wave = (
            torch.stack([(2 * np.pi * n * x / 16).cos(), (2 * np.pi * n * x / 16).sin()])[None]
            for n in (1, k)
        )
        loss = build_loss("coherence", statistics=[STATE], variant=variant)
        return loss([torch.cat([base, -wave], 1)], [torch.cat([base, wave], 1)]).total.item()

    costs = [lacking(k) for k in (2, 4, 6)]
    assert [c / costs[0] for c in costs] == pytest.approx([a / at[0] for a in at])


def test_the_anchor_pulls_as_far_as_the_weight_says():
    teacher, start, student = (noise(2, 5, 6, 8, seed=s) for s in range(3))
    apart = (normalise(teacher) - normalise(start)).square().mean().item()

    def cost(of, student, **options):
        loss = build_loss("anchor", statistics=[state(coherence=[of] * 3)], **options)
        return loss([student], [teacher], [start]).total.item()

    assert cost(0.25, start) == pytest.approx(0.25**2 * apart)
    assert cost(0.25, teacher) == pytest.approx(0.75**2 * apart)
    assert cost(0.25, start, variant="root") == pytest.approx(0.5**2 * apart)
    # With weight 1 the untrained student does not matter: it is MSE. More than 1 counts as 1.
    mse = build_loss("mse")([student], [teacher]).total.item()
    assert [cost(1.0, student), cost(1.2, student)] == pytest.approx([mse, mse])


def test_the_anchor_splits_by_frequency():
    """Full weight up to rho = .5 and none beyond .75: the target is the teacher's low waves and
    the untrained student's high ones."""
    half = state(rho=[0.0, 0.5, 0.75], coherence=[1.0, 1.0, 0.0])
    teacher, start, student = (noise(1, 3, 8, 8, seed=s) for s in range(3))
    t, s0, s = (np.fft.fft2(normalise(x).numpy(), norm="ortho") for x in (teacher, start, student))
    weight = np.interp(radius(8, 8).numpy(), [0, 0.5, 0.75], [1, 1, 0])
    expected = (abs(s - weight * t - (1 - weight) * s0) ** 2).mean()
    found = build_loss("anchor", statistics=[half])([student], [teacher], [start]).total
    assert found.item() == pytest.approx(expected)


X = noise(2, 3, 4, 4)


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
    (lambda: calibrate("coherence", [([X[:1]], [X[:1]])]), "more pairs"),
    (lambda: calibrate("coherence", [([X], [X])], variant="predicted"), "two batches"),
)
