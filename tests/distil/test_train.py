"""Distillation: the recipe's parts against hand arithmetic, and runs that are whole or absent."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from freqkd_lite import data
from freqkd_lite.data.base import Pair, PairSet
from freqkd_lite.distil import (
    batches,
    learning_rate,
    mismatched_partners,
    plan,
    settings_from,
    train,
)
from freqkd_lite.distil import run as distil
from freqkd_lite.errors import UserError
from freqkd_lite.features import create_net, extract, load_backbone
from freqkd_lite.losses import LossParts
from freqkd_lite.losses import base as losses
from tests.survivor import CNN, Noise


class Stripes(PairSet):
    """Twelve pairs whose pictures tell their index: visible i/100 + column, infrared i/100."""

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


def small(**changes):
    values = dict(
        dataset="stripes",
        size=(28, 42),
        teacher_weights="random",
        blocks=(1, 3),
        steps=3,
        batch=2,
        warmup=1,
        lora_rank=2,
    )
    return settings_from(**(values | changes))


def test_the_learning_rate_warms_up_and_follows_half_a_cosine():
    settings = small(steps=110, warmup=10, lr=1.0)
    assert learning_rate(0, settings) == pytest.approx(0.1)
    assert learning_rate(9, settings) == pytest.approx(1.0)
    assert learning_rate(60, settings) == pytest.approx(0.5)  # halfway down
    assert learning_rate(85, settings) == pytest.approx(0.5 * (1 - math.sqrt(0.5)))
    assert learning_rate(110, settings) == pytest.approx(0.0)


def test_every_pair_is_seen_once_an_epoch_and_the_pictures_stay_together():
    settings = small(steps=6, batch=4, flip=0.5, size=(28, 42))
    seen = []
    for visible, infrared in batches(Stripes(), settings):
        assert visible.shape == infrared.shape == (4, 3, 28, 42)
        index = infrared[:, 0, 0, 0]
        torch.testing.assert_close(visible.amin((1, 2, 3)), index)
        seen += index.int().tolist()
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12)) and seen[:12] != seen[12:]


def test_flips_have_their_probability_and_mirror_both():
    def flipped(flip):
        settings = small(steps=50, batch=12, flip=flip)
        return torch.cat([v[:, 0, 0, 0] > i[:, 0, 0, 0] for v, i in batches(Stripes(), settings)])

    assert not flipped(0.0).any() and flipped(1.0).all()
    assert abs(flipped(0.5).float().mean() - 0.5) < 0.08  # 600 draws: 4 standard errors


def test_crops_are_the_same_window_in_both_and_reach_every_corner():
    settings = small(steps=40, batch=12, flip=0, crop=(14, 28))
    starts = (
        torch.cat([(v - i)[:, 0, 0, 0] * 100 for v, i in batches(Stripes(), settings)])
        .round()
        .int()
    )
    assert set(starts.tolist()) == set(range(42 - 28 + 1))


def test_the_order_depends_on_the_seed_and_not_on_the_loss():
    def order(**changes):
        return [i[:, 0, 0, 0].tolist() for _, i in batches(Stripes(), small(steps=6, **changes))]

    assert order(loss="code") == order(loss="mse") != order(seed=1)


def test_mismatched_pairs_share_no_index():
    for visible, infrared in batches(Stripes(), small(steps=6, batch=4, mismatched=True)):
        assert (visible.amin((1, 2, 3)) != infrared[:, 0, 0, 0]).all()


def test_a_batch_that_is_not_finite_names_all_pictures_it_saw(tmp_path, monkeypatch):
    bad = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(train.losses, "build_loss", lambda *a, **k: lambda s, t: LossParts(bad, {}))
    settings = small(mismatched=True)
    seen = {view.index for view in next(iter(plan(Stripes(), settings)))}
    seen |= {mismatched_partners(Stripes(), settings.seed)[i] for i in seen}
    with pytest.raises(UserError, match=r"pairs of this batch \(([^)]*)\)") as caught:
        distil.distil(settings, tmp_path, progress=False)
    named = str(caught.value).rpartition("(")[2].partition(")")[0].split(", ")
    assert sorted(named) == sorted(map(str, seen)) and len(seen) > 2


@pytest.mark.parametrize("scale", [0.0, 0.25, 1.0])
def test_merging_adds_that_share_of_the_update(scale, tmp_path, monkeypatch):
    """Against the formula W + scale * alpha/r * B A, worked out from LoRA's own matrices."""
    seen = {}

    def train_and_look(student, *others):
        real(student, *others)
        for name, module in student.backbone.net.named_modules():
            if hasattr(module, "lora_B"):
                b, a = module.lora_B["default"].weight, module.lora_A["default"].weight
                seen[f"{name}.weight"] = (6.0 / 2 * b @ a).detach().clone()

    real = distil.train
    monkeypatch.setattr(distil, "train", train_and_look)
    weights = save_random(tmp_path / "w.safetensors")
    settings = small(teacher_weights=str(weights), lora_rank=2, lora_alpha=6.0, merge_scale=scale)
    run = distil.distil(settings, tmp_path / "runs", progress=False)
    before, after = load_file(weights), run.student().net.state_dict()
    assert len(seen) == 8 * 3  # qkv, fc1, fc2 of eight blocks and nothing else
    assert max(float(update.abs().max()) for update in seen.values()) > 1e-4
    assert set(after) == set(before)
    for name, value in after.items():
        torch.testing.assert_close(value, before[name] + scale * seen.get(name, 0.0))


def test_scales_of_merging_share_one_training(tmp_path):
    weights = save_random(tmp_path / "w.safetensors")
    settings = small(teacher_weights=str(weights))
    whole = distil.distil(settings, tmp_path / "runs", progress=False)
    half = settings.model_copy(update={"merge_scale": 0.5})
    run = distil.distil(half, tmp_path / "runs", progress=False)
    assert run.folder == whole.folder
    half_way, trained = (each.student().net.state_dict() for each in (run, whole))
    first = load_file(weights)
    for name, value in half_way.items():
        torch.testing.assert_close(value, (first[name] + trained[name]) / 2)
    save_random(weights, seed=1)
    with pytest.raises(UserError, match="needs the weights of freqkd_tiny that it began with"):
        run.student()


def test_a_student_of_random_weights_is_blended_with_those_it_began_with(tmp_path):
    settings = small(teacher_weights="random", lora_rank=0, merge_scale=0.0, seed=5)
    run = distil.distil(settings, tmp_path / "runs", progress=False)
    torch.manual_seed(5)
    first = load_backbone("freqkd_tiny", "random").net.state_dict()
    for name, value in run.student().net.state_dict().items():
        assert torch.equal(value, first[name]), name


def test_a_run_is_found_again_and_a_changed_setting_makes_another(tmp_path):
    torch.manual_seed(0)
    weights = save_random(tmp_path / "w.safetensors")
    settings = small(teacher_weights=str(weights))
    run = distil.distil(settings, tmp_path / "runs", progress=False)
    stamp = (run.folder / "student.safetensors").stat().st_mtime_ns
    again = distil.distil(settings, tmp_path / "runs", progress=False)
    assert again.folder == run.folder
    assert (again.folder / "student.safetensors").stat().st_mtime_ns == stamp
    other = distil.distil(settings.model_copy(update={"seed": 1}), tmp_path / "runs", False)
    assert other.folder != run.folder
    manifest = run.manifest
    assert manifest["data"] == "stripes-1" and manifest["settings"]["lora_rank"] == 2
    assert len(manifest["weights"]["teacher"]) == 64 and "root" not in manifest["settings"]


def test_the_same_settings_give_the_same_bits_and_leave_the_random_state_alone(tmp_path):
    weights = save_random(tmp_path / "w.safetensors")
    state = torch.get_rng_state()
    maps = []
    for folder in ("a", "b"):
        run = distil.distil(small(teacher_weights=str(weights)), tmp_path / folder, False)
        maps.append(extract(run.student(), torch.ones(1, 3, 28, 42) * 0.3, [3])[0])
        torch.rand(3)  # what happens between two runs must not matter
    assert torch.equal(*maps)
    torch.set_rng_state(state)


@pytest.mark.parametrize("rank", [0, 4])
def test_distilling_brings_the_student_nearer_to_its_teacher(tmp_path, rank):
    """On pairs that differ, the logged loss falls, and the saved student has the lower one."""
    weights = save_random(tmp_path / "w.safetensors")
    settings = small(
        teacher_weights=str(weights),
        steps=25,
        batch=4,
        lr=2e-3,
        loss="mse",
        lora_rank=rank,
        lora_dropout=0.0,
        clip=None,
        flip=0,
    )
    run = distil.distil(settings, tmp_path, progress=False)
    log = run.log
    assert [entry["step"] for entry in log] == list(range(25))
    assert log[-1]["loss"] < 0.8 * log[0]["loss"]
    assert log[0]["loss"] == pytest.approx(sum(log[0]["parts"].values()), rel=1e-4)
    pairs, teacher = Stripes(), load_backbone("freqkd_tiny", weights)
    target = extract(teacher, data.stack(pairs, "visible"), [1, 3])

    def distance(student):
        maps = extract(student, data.stack(pairs, "infrared"), [1, 3])
        return losses.build_loss("mse")(maps, target).total.item()

    assert distance(run.student()) < 0.8 * distance(teacher)


def test_a_projector_begins_as_the_identity_is_trained_and_left_behind(tmp_path, monkeypatch):
    """The first loss is that without one; it takes part of what the student would have to learn,
    and the saved student holds nothing of it."""
    students, real = [], distil.train
    monkeypatch.setattr(
        distil, "train", lambda student, *rest: (students.append(student), real(student, *rest))
    )
    values = dict(steps=25, batch=4, lr=2e-3, loss="mse", lora_dropout=0.0, clip=None, flip=0)
    plain, projected = (
        distil.distil(small(**values, projector=on), tmp_path, progress=False)
        for on in (False, True)
    )
    first, other = plain.log[0], projected.log[0]
    assert first["loss"] == pytest.approx(other["loss"], rel=1e-6)
    assert other["gradient_norm"] > first["gradient_norm"]  # there is more to be moved
    assert projected.log[-1]["loss"] < plain.log[-1]["loss"]
    assert not any(parameter.numel() for parameter in students[0].adapters.parameters())
    for adapter, width in zip(students[1].adapters, (192, 192), strict=True):
        moved = adapter.weight[..., 0, 0] - torch.eye(width)
        assert adapter.weight.shape == (width, width, 1, 1) and 0.001 < moved.abs().max() < 0.2
    states = [load_file(run.folder / "student.safetensors") for run in (plain, projected)]
    assert states[0].keys() == states[1].keys()
    assert not all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(stepz=3), "called 'stepz': did you mean 'steps'"),
        (dict(steps="many"), "steps='many'"),
        (dict(lr=-1), "lr=-1"),
        (dict(loss="freqkd_cod"), "freqkd_code"),
        (dict(loss="none"), "no loss called 'none'"),
        (dict(loss_options={"cutof": 0.4}), "called 'cutof': did you mean 'cutoff'"),
        (dict(loss_options={"cutoff": "4e-1"}), "cutoff='4e-1' can't be used: give a finite"),
        (dict(student_blocks=(1, 2)), r"student_blocks=\[1, 2\] must be as many as blocks=\[1, 3"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(values, message):
    with pytest.raises(UserError, match=message) as caught:
        settings_from(**values)
    assert "\n" not in str(caught.value)


def save_random(path, seed=3):
    torch.manual_seed(seed)
    save_file(create_net("freqkd_tiny").state_dict(), path)
    return path


# ------------------------------------------------------- losses that measure or remember something


def noisy(**changes):
    """A run on the ten pairs of noise of tests/survivor.py, each seen once in two steps."""
    return small(dataset="noise", batch=5, flip=0.0, **changes)


def test_the_untrained_student_of_fixed_views_is_computed_once(tmp_path, monkeypatch):
    """With `crop_list` what it makes of a view is kept: the same student again, from the disk, and
    without a cache at all."""
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    monkeypatch.setenv("FREQKD_CACHE", str(tmp_path / "cache"))
    calls, compute = [], distil.CachedTeacher._compute
    monkeypatch.setattr(
        distil.CachedTeacher,
        "_compute",
        lambda self, image: calls.append(self) or compute(self, image),
    )
    settings = noisy(loss="anchor", crop_list=1, crop=(28, 42), steps=4)
    students, computed = [], []
    for runs, limit in (("a", 20.0), ("b", 20.0), ("c", 0.0)):
        calls.clear()
        chosen = settings.model_copy(update={"cache_limit_gb": limit})
        run = distil.distil(chosen, tmp_path / runs, progress=False)
        students.append((run.folder / "student.safetensors").read_bytes())
        computed.append(len(calls))
    assert students[0] == students[1] == students[2]
    views = len({view for step in plan(Noise("train", (28, 42)), settings) for view in step})
    assert views == 10
    # ten views of teacher and student once, a blank one of each and one for grids; strangers are
    # the same ten; measuring first fills the cache, and without one every look is a new one
    assert computed[1] <= 2 < 20 <= computed[0] <= 23 < 3 * 10 + 2 * 20 <= computed[2]


def test_mismatched_pictures_are_others_of_the_set_in_the_same_crop(tmp_path, monkeypatch):
    """By the pictures' own numbers (`Stripes`): the untrained student sees another infrared picture
    beside each RGB one, cut and mirrored as that is."""
    seen = []
    monkeypatch.setattr(
        train.losses, "calibrate", lambda name, batches, **options: seen.extend(batches)
    )
    monkeypatch.setattr(train.losses, "pack_statistics", lambda statistics: b"")
    monkeypatch.setattr(train.losses, "load_statistics", lambda file: [])
    pairs, settings = Stripes(), small(loss="coherence", batch=4, crop=(14, 28), flip=0.5)
    looks = [lambda images, *_: [images]] * 2
    train.measure_loss(*looks, pairs, settings, tmp_path / "never")
    infrared, visible, strange = (torch.cat([x[i][0] for x in seen]) for i in range(3))
    assert len(infrared) == 12 and sorted(infrared[:, 0, 0, 0].int().tolist()) == list(range(12))
    own, other = (x[:, 0, 0, 0].int() for x in (infrared, strange))
    assert (own != other).all() and sorted(other.tolist()) == list(range(12))
    assert not torch.equal(other - own, (other - own)[:1].expand(12))  # in a random order
    assert other.tolist() != [mismatched_partners(pairs, settings.seed)[i] for i in own.tolist()]
    # with a ramp in the infrared pictures too, crops and mirrors show
    monkeypatch.setattr(
        Stripes,
        "__getitem__",
        lambda self, i: Pair(str(i), (ramp := torch.arange(42.0) * torch.ones(3, 28, 42)), ramp),
    )
    seen.clear()
    train.measure_loss(*looks, pairs, settings, tmp_path / "again")
    assert all(torch.equal(a, b) and torch.equal(a, c) for (a,), (b,), (c,) in seen)
    assert len({float(x) for (a,), *_ in seen for x in a[:, 0, 0, 0]}) > 6  # crops differ


@pytest.mark.parametrize("loss", ["coherence", "anchor", "robust"])
def test_a_loss_that_looks_before_training_keeps_what_it_saw(tmp_path, monkeypatch, loss):
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    weights = save_random(tmp_path / "w.safetensors")
    settings = noisy(loss=loss, teacher_weights=str(weights))
    run = distil.distil(settings, tmp_path, progress=False)
    pairs = Noise("train", (28, 42))
    net = load_backbone(settings.teacher, weights).freeze()
    maps = [
        (extract(net, pair.infrared[None], (1, 3)), extract(net, pair.visible[None], (1, 3)))
        for pair in pairs
    ]
    kept = losses.load_statistics(run.folder / "loss.safetensors")
    if loss != "robust":  # power is a mean over pairs, in whatever order
        for block, state in enumerate(kept):
            power = torch.stack(
                [
                    torch.fft.fft2(losses.normalise(teacher[block]), norm="ortho").abs().square()
                    for _, teacher in maps
                ]
            ).mean((0, 1, 2))
            assert state["power"][0] == pytest.approx(float(power[0, 0]), rel=1e-3)
            assert float(power[0, 0]) > 0
    # at the first step the student is untrained
    visible, infrared = next(batches(pairs, settings))
    start, target = extract(net, infrared, (1, 3)), extract(net, visible, (1, 3))
    first = run.loss(start, target, start).total.item()
    assert run.log[0]["loss"] == pytest.approx(first, rel=1e-4, abs=1e-9)
    nearer = [s + 0.5 * (t - s) for s, t in zip(start, target, strict=True)]
    # these pairs have nothing in common: the anchor holds the student where it is
    moved = run.loss(nearer, target, start).total.item()
    assert moved > first if loss == "anchor" else moved < first
    # a run that goes on reads what was measured, whatever the teacher would say now
    again = train.measure_loss(None, None, pairs, settings, run.folder / "loss.safetensors")
    assert all(torch.equal(a[k], b[k]) for a, b in zip(kept, again, strict=True) for k in a)


def test_a_student_of_another_width_has_no_coherence_with_its_teacher(tmp_path, monkeypatch):
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    settings = settings_from(
        **CNN
        | dict(
            loss="coherence",
            teacher="test_vit",
            blocks=(1, 4),
            student="test_resnet",
            student_weights="random",
            student_blocks=(2, 3),
        )
    )
    with pytest.raises(UserError, match="as wide as its teacher, or another loss"):
        distil.distil(settings, tmp_path, progress=False)
    assert not list(tmp_path.glob("distil-*"))
