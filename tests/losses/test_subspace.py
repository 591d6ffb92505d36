"""The projected loss on fields whose shared directions are put in."""

import numpy as np
import pytest
import torch

from freqkd_lite.losses import build_loss, calibrate, normalise
from freqkd_lite.losses.coherence import RIDGES
from freqkd_lite.losses.subspace import ReducedRank
from tests.noise import noise
from tests.refused import refused

CHANNELS, SHARED = 24, 5
AXES = torch.linalg.qr(noise(CHANNELS, CHANNELS, seed=9))[0]  # the teacher's, in no channel's line
MIX = torch.linalg.qr(noise(CHANNELS, CHANNELS, seed=8))[0][:SHARED]


def pairs(count, seed, extra=0.0):
    """Teachers whose first `SHARED` axes are mixes of the student's channels, with unrelated power
    `extra` beside 1 on them, and the rest unrelated."""
    student = noise(count, CHANNELS, 6, 8, seed=seed)
    along = noise(count, CHANNELS, 6, 8, seed=seed + 1)
    shared = torch.einsum("kc,nchw->nkhw", MIX, student)
    along[:, :SHARED] = shared + extra**0.5 * along[:, :SHARED]
    return student, torch.einsum("ck,nkhw->nchw", AXES, along)


def calibrated(batches):
    return calibrate("projected", (([s], [t]) for s, t in batches))


def test_the_map_finds_the_directions_that_are_shared_and_no_others():
    (state,) = calibrated(pairs(8, 10 * i, extra=1.0) for i in range(16))
    kept = state["directions"][:, state["r2"] >= 0.1].double()
    assert kept.shape == (CHANNELS, SHARED)
    # The cosines of the angles between the two subspaces.
    cosines = torch.linalg.svdvals(kept.T @ AXES[:, :SHARED])
    assert cosines.min() > 0.99
    # Of powers 1 and 1 half is predictable; along the other directions nothing is.
    assert state["r2"][:SHARED].tolist() == pytest.approx([0.5] * SHARED, abs=0.04)
    assert abs(state["r2"][SHARED:]).max() < 0.03
    _, teacher = pairs(64, 1000, extra=1.0)
    along = torch.einsum("ck,nchw->knhw", AXES, normalise(teacher)).square().mean((1, 2, 3))
    power = state["power"]
    assert power.sum().item() == pytest.approx(1)  # tokens have length 1
    assert power[:SHARED].sum().item() == pytest.approx(along[:SHARED].sum().item(), rel=0.03)


def test_scores_are_of_pairs_that_were_not_fitted():
    """Unrelated, and few: in the fit's own half 24 channels explain a large part of 96 tokens."""
    student, teacher = noise(4, CHANNELS, 6, 8), noise(4, CHANNELS, 6, 8, seed=1)
    (state,) = calibrated([(student, teacher)])
    assert state["r2"].max() < 0.1
    refused("least=0.1", build_loss, "projected", statistics=[state])


@pytest.mark.parametrize(("least", "kept", "share"), [(0.08, 3, 0.4), (0.5, 2, 0.3), (0, 4, 0.8)])
def test_the_kept_directions_cost_over_their_share_of_the_power(least, kept, share):
    """So a student that gives nothing pays as much as under MSE, whose sum is over all of them."""
    axes = torch.linalg.qr(noise(5, 5, seed=2))[0]
    r2, power = torch.tensor([[0.9, 0.5, 0.1, 0.05, -0.2], [0.1, 0.2, 0.1, 0.4, 0.2]])
    state = dict(directions=axes, r2=r2, power=power)
    student, teacher = (noise(2, 5, 4, 6, seed=s) for s in (0, 1))
    difference = (normalise(student) - normalise(teacher)).movedim(1, 0).flatten(1)
    along = axes[:, :kept].T @ difference
    expected = along.square().sum() / share / difference.numel()
    loss = build_loss("projected", statistics=[state], least=least)
    assert loss([student], [teacher]).total.item() == pytest.approx(expected.item())


def test_pairs_count_alike_however_they_are_batched():
    student, teacher = pairs(7, 0)
    whole, parts = ReducedRank(), ReducedRank()
    whole.update(student, teacher)
    for at in (slice(0, 1), slice(1, 4), slice(4, 7)):
        parts.update(student[at], teacher[at])
    one, other = whole.statistics(), parts.statistics()
    for key in ("r2", "power"):
        torch.testing.assert_close(one[key], other[key])
    # power: of the pairs 1, 3 and 5, which score
    scored = normalise(teacher)[1::2].square().mean((0, 2, 3)).sum()
    assert one["power"].sum().item() == pytest.approx(scored.item())
    refused("One pair", calibrated, [(student[:1], teacher[:1])])
    assert len(calibrated([(student[:2], teacher[:2])])) == 1


def test_of_the_ridges_the_one_that_predicts_most_on_the_other_pairs_is_taken():
    """Few tokens and much noise: a weak ridge fits that. By NumPy, ridge for ridge."""
    student, teacher = pairs(4, 70, extra=20.0)
    (state,) = calibrated([(student, teacher)])
    halves = [
        [normalise(x)[half::2].movedim(1, 0).flatten(1).numpy() for x in (student, teacher)]
        for half in (0, 1)
    ]
    (fit_s, fit_t), (s, t) = halves
    shares = []
    for ridge in RIDGES:
        covered = fit_s @ fit_s.T
        penalty = ridge * np.trace(covered) / CHANNELS * np.eye(CHANNELS)
        across = fit_t @ fit_s.T @ np.linalg.inv(covered + penalty)
        shares.append(1 - ((t - across @ s) ** 2).sum() / (t**2).sum())
    found = float((state["r2"] * state["power"]).sum() / state["power"].sum())
    assert found == pytest.approx(max(shares), abs=1e-4) and max(shares) > shares[0] + 0.01
