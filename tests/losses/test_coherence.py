"""Weights by measured coherence, on fields whose coherence is known in closed form."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import build_loss, calibrate, normalise
from freqkd_lite.losses.coherence import Predictability, on_grid, weight_curve
from freqkd_lite.spectrum import RINGS, radius, ring_masks
from freqkd_lite.spectrum.coherence import CrossSpectrum
from tests.noise import noise
from tests.refused import refused

STATE = {
    "rho": torch.tensor([0.0, 0.5, 1.0]),
    "coherence": torch.tensor([0.64, 0.36, -0.01]),
    "mismatched": torch.tensor([0.28, 0.36, 0.0]),
    "power": torch.tensor([4.0, 2.0, 0.5]),
}


def filtered_noise(gain, *shape, seed=0):
    spectrum = np.fft.fft2(noise(*shape, seed=seed).numpy(), norm="ortho")
    return torch.from_numpy(np.fft.ifft2(spectrum * gain.numpy(), norm="ortho").real)


def measured(a, b):
    """Coherence (rings,) of normalised maps (N, 4, 6, 8)."""
    return CrossSpectrum.empty(4, 6, 8).update(normalise(a), normalise(b)).against_rho()


def test_variants_by_hand():
    def curve(variant):
        return weight_curve(STATE, variant).tolist()

    assert curve("plain") == pytest.approx([0.64, 0.36, 0])
    assert curve("root") == pytest.approx([0.8, 0.6, 0])
    assert curve("above") == pytest.approx([0.36 / 0.72, 0, 0])
    assert curve("gls") == pytest.approx([1 / (0.36 * 4), 1 / (0.64 * 2), 1 / 0.5])


def test_curves_are_interpolated_by_rho_and_kept_beyond_the_ends():
    grid = on_grid(STATE, STATE["power"], 8, 8)
    rho = radius(8, 8)
    assert grid[0, 0] == 4 and grid[0, 2] == 2 and grid[0, 1] == 3  # rho 0, .5 and .25
    assert grid[0, 3] == pytest.approx(1.25) and grid[4, 4] == 0.5 and rho[4, 4] > 1.4


def test_a_perfect_measurement_finds_the_share_that_was_put_in():
    """T = S + E by frequency: coherence |S|^2 / (|S|^2 + |E|^2), falling with rho from 1/1.1 on.
    Many channels, so that the normalisation is nearly one factor for all tokens."""
    h, w = 8, 10
    rho = radius(h, w)
    calibrator = Predictability()
    for seed in range(8):
        shared = noise(8, 96, h, w, seed=seed)
        extra = filtered_noise((0.1 + rho**2).sqrt(), 8, 96, h, w, seed=100 + seed)
        calibrator.update(shared, shared + extra)
    state = calibrator.statistics()
    expected = [(1 / (1.1 + rho[ring] ** 2)).mean() for ring in ring_masks(h, w, RINGS)]
    assert state["rho"][0] == 0 and len(state["rho"]) == 9
    assert state["coherence"][1:].tolist() == pytest.approx([float(c) for c in expected], abs=0.03)
    assert state["mismatched"][1:].abs().max() < 0.02


def test_two_passes_over_batches_are_one_over_all():
    student, teacher = noise(6, 4, 6, 8), noise(6, 4, 6, 8, seed=1) + noise(6, 4, 6, 8)
    whole, parts = Predictability(), Predictability()
    whole.update(student, teacher)
    for at in (slice(0, 2), slice(2, 5), slice(5, 6)):
        parts.update(student[at], teacher[at])
    one, other = whole.statistics(), parts.statistics()
    for name in ("rho", "coherence", "power"):
        torch.testing.assert_close(one[name], other[name])
    rings = (
        CrossSpectrum.empty(4, 6, 8).update(normalise(teacher), normalise(student)).against_rho()
    )
    torch.testing.assert_close(one["coherence"][1:].double(), rings[~rings.isnan()])


def test_no_teacher_is_its_own_mismatched_partner():
    """Teachers equal their students, image by image unlike. One image a batch: were the first one
    set beside itself, mismatched pairs would share a quarter of their waves or so."""
    calibrator = Predictability()
    for seed in range(4):
        x = noise(1, 64, 8, 8, seed=seed)
        calibrator.update(x, x)
    assert calibrator.mismatched.images == 3
    assert abs(calibrator.statistics()["mismatched"][1:].mean()) < 0.05
    few = Predictability()
    for seed in range(2):
        few.update(noise(1, 4, 8, 8, seed=seed), noise(1, 4, 8, 8, seed=seed))
    refused("more pairs", few.statistics)


def test_mismatched_maps_that_are_given_stand_beside_the_teacher():
    """`mismatched` is then the coherence of the teacher's maps and these."""
    student, teacher, strange = (noise(6, 4, 6, 8, seed=s) for s in range(3))
    statistics = calibrate(
        "coherence",
        [
            [[x[at]] for x in (student, teacher, strange + teacher)]
            for at in (slice(0, 4), slice(4, 6))
        ],
    )
    for name, other in (("mismatched", strange + teacher), ("coherence", student)):
        rings = (
            CrossSpectrum.empty(4, 6, 8).update(normalise(teacher), normalise(other)).against_rho()
        )
        torch.testing.assert_close(statistics[0][name][1:].double(), rings[~rings.isnan()])


def test_a_weight_where_the_teacher_has_no_power_is_refused():
    blind = {
        "rho": torch.tensor([0.0, 0.5, 1.0]),
        "coherence": torch.tensor([0.5, 0.0, 0.0]),
        "mismatched": torch.zeros(3),
        "power": torch.tensor([0.0, 2.0, 1.0]),
    }
    maps = [noise(2, 3, 4, 4)], [noise(2, 3, 4, 4, seed=1)]
    refused("4 x 4 tokens", build_loss("coherence", statistics=[blind]), *maps)


def test_mismatched_pairs_share_their_layout_alone():
    """All pictures have one layout, of power L(f), beside what is each pair's own, of power 1; the
    teacher adds noise of power 1. So pairs share L + 1 and mismatched ones L."""
    layout, own, extra = (noise(n, 64, 8, 8, seed=n + s) for n, s in ((1, 0), (64, 1), (64, 2)))
    calibrator = Predictability()
    for i in range(0, 64, 8):
        student = layout + own[i : i + 8]
        calibrator.update(student, student + extra[i : i + 8])
    state = calibrator.statistics()
    power = abs(np.fft.fft2(layout.numpy(), norm="ortho")[0]) ** 2
    weight = np.sqrt((power + 1) * (power + 2))
    for name, common in (("coherence", power + 1), ("mismatched", power)):
        expected = (common**2 / weight).sum() / weight.sum()
        assert state[name][1:].mean().item() == pytest.approx(expected, abs=0.02), name


def test_across_channels_finds_what_no_single_channel_tells():
    """Each teacher channel is a mix of all of the student's, so that channel by channel little is
    coherent, and a map across them predicts all but the noise."""
    mix = torch.linalg.qr(noise(32, 32, seed=9))[0]
    calibrator = Predictability(variant="predicted")
    for seed in range(6):
        student = noise(8, 32, 8, 8, seed=seed)
        mixed = torch.einsum("dc,nchw->ndhw", mix, student)
        calibrator.update(student, mixed + 0.5 * noise(8, 32, 8, 8, seed=50 + seed))
    state = calibrator.statistics()
    assert state["coherence"][1:].mean() < 0.1
    # 1 / (1 + .25) for the mix; the fit costs the more the fewer bins a ring has
    assert state["predicted"][4:].mean().item() == pytest.approx(0.8, abs=0.05)
    unrelated = Predictability(variant="predicted")
    for seed in range(6):
        unrelated.update(noise(8, 32, 8, 8, seed=seed), noise(8, 32, 8, 8, seed=50 + seed))
    assert unrelated.statistics()["predicted"].max() < 0.02


def test_across_channels_counts_every_bin_of_the_whole_spectrum():
    """Teacher and student agree but for the first and last column of frequencies, where they are
    unrelated. With a share p of agreeing bins the best map is p, which explains p^2."""
    h, w = 8, 12
    apart = torch.zeros(h, w)
    apart[:, [0, w // 2]] = 1
    calibrator = Predictability(variant="predicted")
    for seed in range(8):
        student = noise(8, 8, h, w, seed=seed)
        other = filtered_noise(apart, 8, 8, h, w, seed=50 + seed)
        calibrator.update(student, filtered_noise(1 - apart, 8, 8, h, w, seed=seed) + other)
    found = calibrator.statistics()["predicted"][1:]
    shares = [float(1 - apart[ring].mean()) for ring in ring_masks(h, w, RINGS) if ring.any()]
    assert found.tolist() == pytest.approx([p**2 for p in shares], abs=0.06)


def test_the_scaled_weight_charges_an_absent_student_what_mse_does():
    h, w = 8, 8
    rho = radius(h, w)
    gain = (1 / (0.2 + rho)).sqrt()
    teacher = filtered_noise(gain, 16, 48, h, w)
    student = teacher + filtered_noise(gain, 16, 48, h, w, seed=1)
    statistics = calibrate("coherence", [([student], [teacher])])
    absent = torch.zeros_like(teacher)
    mse = build_loss("mse")([absent], [teacher]).total
    for variant in ("plain", "gls", "root"):
        cost = build_loss("coherence", statistics=statistics, variant=variant)(
            [absent], [teacher]
        ).total
        assert cost.item() == pytest.approx(mse.item(), rel=0.03), variant


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
        angle = 2 * np.pi * k * x / 16
        wave = torch.stack([angle.cos(), angle.sin()])[None]
        base = torch.stack([(2 * np.pi * x / 16).cos(), (2 * np.pi * x / 16).sin()])[None]
        loss = build_loss("coherence", statistics=[STATE], variant=variant)
        both = torch.cat([base, -wave], 1), torch.cat([base, wave], 1)
        return loss([both[0]], [both[1]]).total.item()

    costs = [lacking(k) for k in (2, 4, 6)]
    assert [c / costs[0] for c in costs] == pytest.approx([a / at[0] for a in at])


def test_the_anchor_pulls_as_far_as_the_weight_says():
    teacher, start = noise(2, 5, 6, 8), noise(2, 5, 6, 8, seed=1)
    flat = {**STATE, "coherence": torch.full((3,), 0.25)}
    loss = build_loss("anchor", statistics=[flat])
    t, s0 = normalise(teacher), normalise(start)
    expected = (0.25 * (t - s0)).square().mean()
    assert loss([start], [teacher], [start]).total.item() == pytest.approx(expected.item())
    expected = (0.75 * (t - s0)).square().mean()
    assert loss([teacher], [teacher], [start]).total.item() == pytest.approx(expected.item())
    root = build_loss("anchor", statistics=[flat], variant="root")  # half of the way each
    assert root([start], [teacher], [start]).total.item() == pytest.approx(
        (0.5 * (t - s0)).square().mean().item()
    )
    # With weight 1 the untrained student does not matter: it is MSE. More than 1 counts as 1.
    for of in (1.0, 1.2):
        whole = build_loss("anchor", statistics=[{**STATE, "coherence": torch.full((3,), of)}])
        student = noise(2, 5, 6, 8, seed=2)
        mse = build_loss("mse")([student], [teacher]).total.item()
        assert whole([student], [teacher], [start]).total.item() == pytest.approx(mse)


def test_the_anchor_splits_by_frequency():
    """Full weight up to rho = .5 and none beyond .75: the target is the teacher's low waves and
    the untrained student's high ones."""
    state = {
        "rho": torch.tensor([0.0, 0.5, 0.75]),
        "coherence": torch.tensor([1.0, 1.0, 0.0]),
        "mismatched": torch.zeros(3),
        "power": torch.ones(3),
    }
    teacher, start, student = (noise(1, 3, 8, 8, seed=s) for s in range(3))
    t, s0, s = (np.fft.fft2(normalise(x).numpy(), norm="ortho") for x in (teacher, start, student))
    weight = np.interp(radius(8, 8).numpy(), [0, 0.5, 0.75], [1, 1, 0])
    expected = (abs(s - weight * t - (1 - weight) * s0) ** 2).mean()
    found = build_loss("anchor", statistics=[state])([student], [teacher], [start]).total
    assert found.item() == pytest.approx(expected)


X = noise(2, 3, 4, 4)


@pytest.mark.parametrize(
    "name,statistics,options,names",
    [
        ("coherence", STATE, dict(variant="gsl"), "'gls'"),
        ("coherence", STATE, dict(level="mes"), "'mse'"),
        ("anchor", STATE, dict(variant="gls"), "variant='gls'"),
        ("coherence", {**STATE, "coherence": torch.zeros(3)}, {}, "0 at all frequencies"),
        ("coherence", {"median": torch.tensor(0.3)}, {}, "holds median"),
        ("coherence", STATE, dict(variant="predicted"), "variant='predicted'"),
    ],
)
def test_bad_statistics_and_options_name_what_to_change(name, statistics, options, names):
    refused(names, build_loss, name, statistics=[statistics], **options)


def test_what_calibration_needs_is_named():
    refused("anchors", build_loss("anchor", statistics=[STATE]), [X], [X])
    refused("more pairs", calibrate, "coherence", [([X[:1]], [X[:1]])])
    refused("two batches", calibrate, "coherence", [([X], [X])], variant="predicted")
