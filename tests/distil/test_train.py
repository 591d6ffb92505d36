"""Distillation: the recipe's parts against hand arithmetic, and runs that are whole or absent."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqkd_lite import data, losses
from freqkd_lite.data.base import Pair, PairSet
from freqkd_lite.distil import learning_rate, run as distil, settings_from, train
from freqkd_lite.distil.sampling import batches, infrared_of
from freqkd_lite.features import create_net, extract, load_backbone
from tests.refused import refusals, refused
from tests.survivor import VIT, Noise


class Stripes(PairSet):
    """Twelve pairs whose pictures tell their index: visible i + column / 100, infrared i."""

    name, has = "stripes", frozenset({"pairs"})

    def __init__(self, split="train", size=(28, 42), root=None, limit=None):
        super().__init__(split, size, [str(i) for i in range(12)])

    def __getitem__(self, i):
        ramp = torch.arange(self.size[1]) / 100 * torch.ones(3, *self.size)
        return Pair(str(i), ramp + i, ramp * 0 + i)

    def fingerprint(self):
        return "stripes-1"


@pytest.fixture(autouse=True)
def stripes(monkeypatch):
    monkeypatch.setitem(data.REGISTRY, "stripes", Stripes)


SMALL = dict(dataset="stripes", size=(28, 42), teacher_weights="random", blocks=(1, 3), batch=2)
SMALL |= dict(steps=3, warmup=1, lora_rank=2)
NOISY = SMALL | dict(dataset="noise", batch=5, flip=0.0)  # ten pairs, each seen once in two steps


def small(**changes):
    return settings_from(**SMALL | changes)


def run(folder, **changes):
    return distil.distil(small(**changes), folder, progress=False)


def written(made):
    """The weights of a run's student, as bytes."""
    return (made.folder / "student.safetensors").read_bytes()


@pytest.fixture
def weights(tmp_path):
    """A file of random weights of the teacher."""
    torch.manual_seed(3)
    save_file(create_net("freqkd_tiny").state_dict(), tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def test_the_learning_rate_warms_up_and_follows_half_a_cosine():
    found = [learning_rate(step, lr=1.0, warmup=10, steps=110) for step in (0, 9, 60, 85, 110)]
    assert found == pytest.approx([0.1, 1, 0.5, 0.5 * (1 - math.sqrt(0.5)), 0])


def test_the_order_depends_on_the_seed_and_not_on_the_loss():
    def order(**changes):
        return [i[:, 0, 0, 0].tolist() for _, i in batches(Stripes(), small(steps=6, **changes))]

    assert order(loss="code") == order(loss="mse") != order(seed=1)


def test_every_pair_is_seen_once_an_epoch_and_its_pictures_stay_together_or_never_meet():
    seen = []
    for visible, infrared in batches(Stripes(), small(steps=6, batch=4, flip=0.5)):
        assert visible.shape == infrared.shape == (4, 3, 28, 42)
        torch.testing.assert_close(visible.amin((1, 2, 3)), infrared[:, 0, 0, 0])
        seen += infrared[:, 0, 0, 0].int().tolist()
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12)) and seen[:12] != seen[12:]
    for visible, infrared in batches(Stripes(), small(steps=6, batch=4, mismatched=True)):
        assert (visible.amin((1, 2, 3)) != infrared[:, 0, 0, 0]).all()


def test_flips_have_their_probability_and_mirror_both():
    def flipped(flip):
        settings = small(steps=50, batch=12, flip=flip)
        return torch.cat([v[:, 0, 0, 0] > i[:, 0, 0, 0] for v, i in batches(Stripes(), settings)])

    assert not flipped(0.0).any() and flipped(1.0).all()
    assert abs(flipped(0.5).float().mean() - 0.5) < 0.08  # 600 draws: 4 standard errors


def test_crops_are_the_same_window_in_both_and_reach_every_corner():
    seen = batches(Stripes(), small(steps=40, batch=12, flip=0, crop=(14, 28)))
    starts = torch.cat([(visible - infrared)[:, 0, 0, 0] * 100 for visible, infrared in seen])
    assert set(starts.round().int().tolist()) == set(range(42 - 28 + 1))


test_a_wrong_setting_is_named_in_one_sentence = refusals(
    (dict(stepz=3), "'steps'"),
    (dict(steps="many"), "steps='many'"),
    (dict(lr=-1), "lr=-1"),
    (dict(loss="freqkd_cod"), "'freqkd_code'"),
    (dict(loss="none"), "'none'"),
    (dict(loss_options={"cutof": 0.4}), "'cutoff'"),
    (dict(loss_options={"cutoff": "4e-1"}), "cutoff='4e-1'"),
    (dict(student_blocks=(1, 2, 3)), "student_blocks"),
    (dict(dataset="folder", data_options={"visibel": "x"}), "'visibel'.*'visible'"),
    (dict(dataset="scenes", data_options={"root": "x"}), "'root'.*settings"),
    call=small,
)


def test_each_scale_of_merging_adds_that_share_of_one_training(tmp_path, monkeypatch, weights):
    """Against the formula W + scale * alpha/r * B A, worked out from LoRA's own matrices."""
    seen, real = {}, distil.train

    def train_and_look(student, *others):
        yield from real(student, *others)
        for name, module in student.backbone.net.named_modules():
            if hasattr(module, "lora_B"):
                b, a = module.lora_B["default"].weight, module.lora_A["default"].weight
                seen[f"{name}.weight"] = (6.0 / 2 * b @ a).detach().clone()

    monkeypatch.setattr(distil, "train", train_and_look)
    own, before = dict(teacher_weights=weights, lora_alpha=6.0), load_file(weights)
    run(tmp_path, **own)
    assert len(seen) == 8 * 3  # qkv, fc1, fc2 of eight blocks and nothing else
    assert max(float(update.abs().max()) for update in seen.values()) > 1e-4
    monkeypatch.setattr(distil, "train", None)  # none is trained again
    for scale in (1.0, 0.25, 0.0):
        made = run(tmp_path, **own, merge_scale=scale)
        after = made.student().net.state_dict()
        assert set(after) == set(before)
        for name, value in after.items():
            torch.testing.assert_close(value, before[name] + scale * seen.get(name, 0.0))
    save_file({name: value + 1 for name, value in before.items()}, weights)
    refused(r"freqkd_tiny.*w\.safetensors.*merge_scale=1", made.student)


def test_a_whole_network_is_blended_with_the_random_weights_that_it_began_with(tmp_path):
    whole, half = (run(tmp_path, lora_rank=0, seed=5, merge_scale=scale) for scale in (1.0, 0.5))
    torch.manual_seed(5)
    begun = load_backbone("freqkd_tiny", "random").net.state_dict()
    trained = whole.student().net.state_dict()
    for name, value in half.student().net.state_dict().items():
        torch.testing.assert_close(value, (begun[name] + trained[name]) / 2)


def test_a_run_is_found_again_and_a_setting_that_decides_it_makes_another(tmp_path):
    state = torch.get_rng_state()
    made = run(tmp_path / "runs", **NOISY)
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random numbers
    file = made.folder / "student.safetensors"
    stamp = file.stat().st_mtime_ns
    for same in (dict(checkpoint_every=2), dict(cache_limit_gb=1), dict(data_options={"bad": -1})):
        again = run(tmp_path / "runs", **NOISY | same).folder
        assert again == made.folder and file.stat().st_mtime_ns == stamp
    for other in (dict(seed=1), dict(crop_list=1, cache_limit_gb=0)):
        assert run(tmp_path / "runs", **NOISY | other).folder != made.folder
    told = made.manifest
    assert told["data"] == "noise-10-(28, 42)--1" and told["settings"]["lora_rank"] == 2
    assert "root" not in told["settings"] and len(told["weights"]["teacher"]) == 64
    assert told["models"]["teacher"] == told["models"]["student"]
    assert told["models"]["teacher"]["source"] == "random"
    torch.rand(3)  # what happens between two runs must not matter
    assert written(run(tmp_path / "others", **NOISY)) == written(made)


LONGER = dict(steps=25, batch=4, lr=2e-3, loss="mse", lora_dropout=0.0, clip=None, flip=0)


@pytest.mark.parametrize("rank", [0, 4])
def test_distilling_brings_the_student_nearer_to_its_teacher(tmp_path, rank, weights):
    """On pairs that differ, the logged loss falls, and the saved student has the lower one."""
    made = run(tmp_path, teacher_weights=weights, lora_rank=rank, **LONGER)
    log = made.log
    assert [entry["step"] for entry in log] == list(range(25))
    assert log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert log[0]["loss"] == pytest.approx(sum(log[0]["parts"].values()), rel=1e-4)
    pairs, teacher = Stripes(), load_backbone("freqkd_tiny", weights)
    target = extract(teacher, data.stack(pairs, "visible"), [1, 3])

    def distance(student):
        maps = extract(student, data.stack(pairs, "infrared"), [1, 3])
        return losses.build_loss("mse")(maps, target).total.item()

    assert distance(made.student()) < 0.8 * distance(teacher)


def test_a_projector_begins_as_the_identity_is_trained_and_left_behind(tmp_path, monkeypatch):
    """The first loss is that without one; it takes part of what the student would have to learn,
    and the saved student holds nothing of it."""
    students, real = [], distil.train
    monkeypatch.setattr(distil, "train", lambda s, *rest: (students.append(s), real(s, *rest))[1])
    plain, projected = (run(tmp_path, **LONGER, projector=on) for on in (False, True))
    first, other = plain.log[0], projected.log[0]
    assert first["loss"] == pytest.approx(other["loss"], rel=1e-6)
    assert other["gradient_norm"] > first["gradient_norm"]  # there is more to be moved
    assert projected.log[-1]["loss"] < plain.log[-1]["loss"]
    assert not any(parameter.numel() for parameter in students[0].adapters.parameters())
    for adapter in students[1].adapters:
        moved = adapter.weight[..., 0, 0] - torch.eye(192)
        assert 0.001 < moved.abs().max() < 0.2
    states = [load_file(made.folder / "student.safetensors") for made in (plain, projected)]
    assert states[0].keys() == states[1].keys() and written(plain) != written(projected)


def test_the_untrained_student_of_fixed_views_is_computed_once(
    tmp_path, monkeypatch, computed, capsys
):
    """With `crop_list` what it makes of a view is kept: the same student again, from the disk, and
    without a cache at all."""
    monkeypatch.setenv("FREQKD_CACHE", str(tmp_path / "cache"))
    values = NOISY | dict(loss="anchor", crop_list=1, crop=(28, 42), steps=4)
    students, counts = [], []
    for runs, limit in (("a", 20.0), ("b", 20.0), ("c", 0.0)):
        students.append(written(run(tmp_path / runs, **values, cache_limit_gb=limit)))
        counts.append(len(computed))
        computed.clear()
    assert students[0] == students[1] == students[2]
    assert "the 20 views" in capsys.readouterr().out  # ten, and a mismatched one beside each
    # ten views of teacher and student once, a blank one of each and one for grids; mismatched ones
    # are the same ten; measuring first fills the cache, and without one every look is a new one
    assert counts[1] <= 2 < 20 <= counts[0] <= 23 < 3 * 10 + 2 * 20 <= counts[2]


def test_mismatched_pictures_are_others_of_the_set_in_the_same_crop(tmp_path, monkeypatch):
    """By the pictures' own numbers (`Stripes`): the untrained student sees another infrared picture
    beside each RGB one, cut and mirrored as that is."""
    seen = []
    monkeypatch.setattr(losses, "calibrate", lambda name, found, **of: seen.extend(found) or [])
    pairs, settings = Stripes(), small(loss="coherence", batch=4, crop=(14, 28), flip=0.5)
    looks = [lambda images: [images]] * 2
    train.measure_loss(*looks, pairs, settings, tmp_path / "never")
    infrared, visible, strange = (torch.cat([x[i][0] for x in seen]) for i in range(3))
    own, other = (x[:, 0, 0, 0].int() for x in (infrared, strange))
    assert sorted(own.tolist()) == sorted(other.tolist()) == list(range(12))
    assert (own != other).all() and torch.equal(visible.amin((1, 2, 3)).int(), own)
    assert len({*(other - own).tolist()}) > 1  # in a random order
    trained = infrared_of(pairs, settings.model_copy(update={"mismatched": True}))
    assert other.tolist() != [trained[i] for i in own.tolist()]
    # with a ramp in the infrared pictures too, crops and mirrors show
    ramp = torch.arange(42.0) * torch.ones(3, 28, 42)
    monkeypatch.setattr(Stripes, "__getitem__", lambda self, i: Pair(str(i), ramp, ramp))
    seen.clear()
    train.measure_loss(*looks, pairs, settings, tmp_path / "again")
    assert all(torch.equal(a, b) and torch.equal(a, c) for (a,), (b,), (c,) in seen)
    assert len({float(x) for (a,), *_ in seen for x in a[:, 0, 0, 0]}) > 6  # crops differ


@pytest.mark.parametrize("loss", ["coherence", "anchor", "robust"])
def test_a_loss_that_looks_before_training_keeps_what_it_saw(tmp_path, loss, weights):
    made = run(tmp_path, **NOISY | dict(loss=loss, teacher_weights=weights))
    pairs, net = Noise("train", (28, 42)), load_backbone("freqkd_tiny", weights).freeze()
    kept = losses.load_statistics(made.folder / "loss.safetensors")
    if loss != "robust":  # power is a mean over pairs, in whatever order
        maps_of_all = extract(net, data.stack(pairs, "visible"), (1, 3))
        for state, maps in zip(kept, maps_of_all, strict=True):
            power = torch.fft.fft2(losses.normalise(maps), norm="ortho").abs().square()
            mean = float(power[..., 0, 0].mean())
            assert state["power"][0] == pytest.approx(mean, rel=1e-3) and mean > 0
    # at the first step the student is untrained
    visible, infrared = next(batches(pairs, made.settings))
    start, target = extract(net, infrared, (1, 3)), extract(net, visible, (1, 3))
    first = made.loss(start, target, start).total.item()
    assert made.log[0]["loss"] == pytest.approx(first, rel=1e-4, abs=1e-9)
    # a resumed run reads what was measured, whatever the teacher would say now
    file = made.folder / "loss.safetensors"
    again = train.measure_loss(None, None, pairs, made.settings, file)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(kept, again, strict=True) for k in a)


def test_a_student_of_another_width_has_no_coherence_with_its_teacher(tmp_path):
    other = dict(student="test_resnet", student_weights="random", student_blocks=(2, 3))
    values = VIT | other | dict(loss="coherence", lora_rank=0)
    refused("test_resnet.* 48 .* 64 ", run, tmp_path, **values)
    assert not list(tmp_path.glob("distil-*"))
