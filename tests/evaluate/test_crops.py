"""Heads on pooled features: balanced accuracy by hand and by torchmetrics, planted classes."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from freqkd_lite.evaluate.crops import fit_head, predict_crops, score_crops
from freqkd_lite.evaluate.stats import multiplicities
from freqkd_lite.results.paired import resample
from tests.refused import refused

NAMES = ("person", "bicycle", "car")


def test_balanced_accuracy_by_hand_and_by_torchmetrics():
    truth = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    guess = torch.tensor([0, 0, 0, 1, 1, 2, 0])
    night = torch.tensor([0, 1, 1, 1, 1, 0, 1]).bool()
    found = score_crops(guess, truth, NAMES, {"night": night}, draws=20)
    assert found.estimates == pytest.approx(
        {"person": 3 / 4, "bicycle": 1, "car": 1 / 2, "mean": 3 / 4, "night": (2 / 3 + 1 + 0) / 3}
    )
    draw = torch.Generator().manual_seed(0)
    truth, guess = (torch.randint(3, (500,), generator=draw) for _ in "ab")
    expected = multiclass_accuracy(guess, truth, 3, average="macro").item()
    assert score_crops(guess, truth, NAMES, draws=2).estimates["mean"] == pytest.approx(expected)
    refused(r"\(3,\).*\(500,\)", score_crops, guess[:3], truth, NAMES)


def test_the_interval_resamples_whole_frames(tmp_path):
    draw = torch.Generator().manual_seed(1)
    truth, guess = (torch.randint(3, (60,), generator=draw) for _ in "ab")
    frames = [i // 6 for i in range(60)]
    found = score_crops(guess, truth, NAMES, draws=1000, groups=frames)
    times = multiplicities(60, 1000, groups=frames).long()
    for k in (0, 7):  # by copies of the crops
        t, g = (x.repeat_interleave(times[k]) for x in (truth, guess))
        literal = np.mean([(g[t == c] == c).double().mean() for c in range(3)])
        assert found.draws["mean"][k] == pytest.approx(literal)
    # and the file of images gives the same to a comparison of methods
    arrays = {"mse": guess.numpy().astype("u1"), "truth": truth.numpy().astype("u1")}
    arrays |= {"groups": np.array(frames), "time_of_day": np.array(["day", "night"] * 30)}
    np.savez(tmp_path / "crops.npz", **arrays)
    read = resample(tmp_path / "crops.npz", "label_free_balanced_accuracy", "mse", NAMES)
    assert read.estimates["mean"] == pytest.approx(found.estimates["mean"])
    np.testing.assert_allclose(read.draws["mean"], found.draws["mean"])
    day = score_crops(guess[::2], truth[::2], NAMES, draws=2).estimates["mean"]
    assert read.estimates["day"] == pytest.approx(day)


def test_a_head_reads_planted_means_and_never_names_an_absent_class():
    draw = torch.Generator().manual_seed(2)
    labels = torch.randint(3, (300,), generator=draw)
    pooled = torch.randn(300, 8, generator=draw) + 4 * torch.eye(8)[labels]
    head = fit_head(pooled[:200], labels[:200], [*NAMES, "bus"])  # of which there is no crop
    found = predict_crops(head, pooled[200:])
    assert score_crops(found, labels[200:], NAMES).estimates["mean"] > 0.9
