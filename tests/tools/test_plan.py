"""The plan of a full-scale run (tools/plan.py) and `freqkd distil`: operations by hand, memory
against a real step, the recipe's own numbers."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from typer.testing import CliRunner

from freqkd_lite import data, distil as package
from freqkd_lite.cli.app import app
from freqkd_lite.distil import Student, add_lora, distil, settings_from
from freqkd_lite.features import load_backbone
from freqkd_lite.losses import build_loss
from freqkd_lite.runner.parameters import read_plan
from tests.refused import refusals
from tests.survivor import Noise
from tools.plan import GPUS, Cost, Plan, count, estimate, main, plan_from

# freqkd_tiny at 168x224: 12x16 patches of 14 pixels and a class token, width, hidden width, blocks
GRID, T, D, M, DEPTH = 12 * 16, 12 * 16 + 1, 192, 7 * 192, 8
PATCHES = 2 * GRID * (3 * 14 * 14) * D
LINEAR = 2 * T * D * (3 * D + D + M + M)  # of one block: qkv, projection, two layers
ATTENTION = 2 * 2 * T * T * D


def tiny(**values):
    return settings_from(**dict(blocks=(1, 7), size=(168, 224)) | values)


def test_operations_of_a_transformer_by_hand():
    """Whole: the backward pass is twice the forward one, but for the pixels' gradient."""
    found = count(tiny(lora_rank=0))
    forward = PATCHES + DEPTH * (LINEAR + ATTENTION)
    assert found.teacher == forward and found.student == 3 * forward - PATCHES
    assert found.trained == found.student_size == found.teacher_size
    assert found.maps == 2 * 2 * D * GRID  # bytes, blocks, width, tokens


def test_operations_with_lora_by_hand():
    """Frozen weights need the input's gradient alone, and the first block's qkv not even that."""
    r = 4
    found = count(tiny(lora_rank=r, lora_dropout=0.0))
    forward = PATCHES + DEPTH * (LINEAR + ATTENTION)
    backward = DEPTH * (LINEAR + 2 * ATTENTION) - 2 * T * D * 3 * D
    wide = (D + 3 * D) + (D + M) + (M + D)  # inputs and outputs of what LoRA stands beside
    lora = 3 * DEPTH * 2 * T * r * wide - 2 * T * D * r
    assert found.student == forward + backward + lora and found.trained == DEPTH * r * wide


@pytest.mark.parametrize("rank", [0, 4])
def test_what_a_step_keeps_is_what_a_real_one_keeps(rank):
    """A real step on the CPU, whose fused attention keeps no scores either."""
    settings = tiny(lora_rank=rank)
    backbone = load_backbone("freqkd_tiny", "random")
    if rank:
        add_lora(backbone, settings)
    student = Student(backbone, (1, 7), [(D, D)] * 2).train()
    weights = {p.untyped_storage().data_ptr() for p in student.parameters()}
    kept = {}

    def keep(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
        return x

    targets = [torch.rand(1, D, 12, 16) for _ in range(2)]
    with saved_tensors_hooks(keep, lambda x: x):
        maps = student(torch.rand(1, 3, 168, 224), [(12, 16)] * 2)
        loss = build_loss("mse")(maps, targets).total
    size = sum(s.nbytes() for at, s in kept.items() if at not in weights)
    # Queries and keys once more, as `SavedTensors` says; less the output of the attention, which a
    # fused one keeps, and which only a trained projection needs besides.
    more = DEPTH * (2 - (rank > 0)) * 4 * T * D
    assert loss.isfinite() and count(settings).kept == pytest.approx(size + more, rel=0.01)


PLAN = Plan(tiny(steps=50, batch=16), pairs=100, gpus=2)
SIZES = dict(teacher_size=10**9, student_size=10**9, trained=10**8)
COST = Cost(teacher=10**12, student=3 * 10**12, kept=4 * 10**9, maps=10**6, **SIZES)


def test_hours_and_bytes_by_hand():
    found = estimate(PLAN, COST)
    assert found.operations == found.in_all == 50 * 16 * 4e12
    # 3.2e15 operations on 2 GPUs at 40 % of 100 TFLOP/s: 40 seconds
    assert found.hours(100.0, 10.0, 2) == pytest.approx(40 / 3600)
    assert found.fixed["fp32"] == 4e9 + 4e9 + 16e8  # both networks; gradient, moments, LoRA's own
    assert found.checkpoints == 3 * (4 + 8) * 10**8 and found.student == 4e9
    # 8 pictures a GPU, 32 GB at once and 9.6 fixed; 0.9 of the memory may be taken
    assert [found.shares(PLAN, gb, "fp32") for gb in (47, 45, 16, 14)] == [1, 2, 8, None]
    assert found.fixed["bf16"] == found.fixed["fp32"] + 2e9 and found.each["bf16"] == 2e9
    # trained whole, with 1e8 weights of adapters beside its own 1e9
    whole = replace(PLAN, settings=tiny(lora_rank=0))
    found = estimate(whole, replace(COST, trained=11 * 10**8))
    assert found.fixed["fp32"] == 4e9 + 4e9 + 4e8 + 12 * 11e8


def test_a_cached_teacher_works_once_for_each_view():
    settings = tiny(steps=50, batch=16, crop_list=2, flip=0.5)  # 100 pairs, 2 crops, mirrored
    found = estimate(replace(PLAN, settings=settings), COST)
    assert found.in_all == 800 * 3e12 + 400 * 1e12 and found.cache == 400 * 10**6
    # a cache's features are float32 in any run: 400 at 10 TFLOP/s, the student's 2,400 at 100
    assert (found.operations, found.exact) == (800 * 3e12, 400 * 1e12)
    assert found.hours(100.0, 10.0, 2) == pytest.approx((2400 / 100 + 400 / 10) / 2 / 0.4 / 3600)
    # with room for a quarter of them 100 are computed once and the other three quarters each time
    small = settings.model_copy(update={"cache_limit_gb": 0.1})
    found = estimate(replace(PLAN, settings=small), COST)
    assert found.exact == (100 + 600) * 1e12 and found.cache == 100 * 10**6
    none = settings.model_copy(update={"cache_limit_gb": 0})
    found = estimate(replace(PLAN, settings=none), COST)
    assert found.exact == 800 * 1e12 and found.cache == 0
    short = settings.model_copy(update={"steps": 5})
    assert estimate(replace(PLAN, settings=short), COST).cache == 80 * 10**6


def test_kaist_full_is_the_authors_recipe():
    plan = plan_from("kaist_full")
    s = plan.settings
    assert (plan.gpus, s.batch, s.steps * s.batch / plan.pairs) == (4, 8 * 4, 12)
    assert (s.size[0] / 14, s.size[1] / 14) == (37, 46) and s.crop is None
    assert (s.lora_rank, s.lora_alpha, s.lora_dropout, s.merge_scale) == (64, 64, 0.05, 0.5)
    assert s.blocks == (7, 15, 19, 21, 23) and s.loss == "freqkd_code" and s.student is None
    assert s.teacher == "vit_large_patch14_reg4_dinov2.lvd142m"
    assert (s.lr, s.weight_decay, s.warmup, s.clip, s.flip) == (2e-4, 1e-4, 500, 1.0, 0.5)
    assert (s.precision, s.device, s.dataset) == ("auto", "cuda", "folder")


REDUCED = ["teacher=test_vit", "blocks=[0, 1, 3, 4, 5]", "size=[32, 48]"]
FOUR = ["teacher=test_vit", "blocks=[0, 1, 3, 5]", "size=[32, 48]"]  # for a student of four stages
FIXTURE = [*REDUCED, "dataset=noise", "teacher_weights=random", "device=cpu", "precision=fp32"]
FIXTURE += ["steps=4", "warmup=2", "batch=8", "accumulate=2"]


def taken(preset, given, folder, monkeypatch):
    """The settings of a preset with others given, a run with them, and the names of the weights
    that have moved in it."""
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    settings = settings_from(**read_plan(preset, given)["settings"])
    run = distil(settings, folder, False)
    torch.manual_seed(0)
    before = load_backbone(settings.student_name, "random").net.state_dict()
    after = run.student().net.state_dict()
    return settings, run, {name for name in before if not torch.equal(before[name], after[name])}


def test_kaist_full_takes_steps_on_fixtures(monkeypatch, tmp_path):
    """The recipe with a small network and random weights: the loss is finite and the student
    moves, with its LoRA of rank 64 merged at one half."""
    settings, run, moved = taken("kaist_full", FIXTURE, tmp_path, monkeypatch)
    assert settings.lora_rank == 64
    assert [e["lr"] for e in run.log] == [1e-4, 2e-4, 2e-4, pytest.approx(1e-4)]
    assert all(math.isfinite(e["loss"]) and len(e["parts"]) == 10 for e in run.log)
    parts = ("attn.qkv", "mlp.fc1", "mlp.fc2")
    assert moved == {f"blocks.{i}.{part}.weight" for i in range(6) for part in parts}


@pytest.mark.parametrize(("name", "pairs"), [("flir_full", 4129), ("mfnet_full", 784)])
def test_other_data_sets_have_the_same_recipe_and_epochs(name, pairs):
    plan, kaist = plan_from(name), plan_from("kaist_full")
    own, theirs = (p.settings.model_dump() for p in (plan, kaist))
    differ = {key for key in own if own[key] != theirs[key]}
    assert differ <= {"dataset", "size", "steps", "warmup"} and plan.pairs == pairs
    assert plan.settings.steps * 32 / pairs == pytest.approx(12, rel=0.01)
    assert own["warmup"] / own["steps"] == pytest.approx(500 / 9375, rel=0.03)


def test_resnet50_full_takes_steps_with_random_weights(monkeypatch, tmp_path):
    """Four stages, each through a convolution onto the teacher's grid of 2x3 tokens; the whole
    network is trained."""
    given = [*FIXTURE, *FOUR, "student_weights=random", "batch=4", "steps=2"]
    _, run, moved = taken("resnet50_full", given, tmp_path, monkeypatch)
    assert all(math.isfinite(e["loss"]) and len(e["parts"]) == 8 for e in run.log)
    kernels = r"layer\d.\d.(conv\d|downsample.0).weight"
    assert len([name for name in moved if re.fullmatch(kernels, name)]) == 52


@pytest.mark.parametrize("name", ["kaist_full", "resnet50_full", "flir_full", "mfnet_full"])
def test_the_plan_is_printed_within_80_columns(capsys, name):
    small = FOUR if name == "resnet50_full" else REDUCED
    main(["--preset", name, *(f"-p={item}" for item in small)])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split("  ")[0] for line in lines} >= set(GPUS)
    assert "root=DIR" in " ".join(lines)


test_what_is_wrong_in_a_plan_is_named = refusals(
    (dict(name="kaist_ful"), "'kaist_full'"),
    (dict(name="kaist_full", given=["steps"]), "'steps'"),
    (dict(name="kaist_full", given=["stepz=3"]), "'steps'"),
    (dict(name="kaist_full", given=["loss_options={cutof: 0.4}"]), "'cutoff'"),
    (dict(name="kaist_full", given=["steps=many"]), "steps='many'"),
    (dict(name="kaist_full", given=["batch=2"]), "multiple of 4"),
    (dict(name="kaist_full", given=["accumulate=3"]), "multiple of 12"),
    (dict(name="no.yaml"), "no.yaml"),
    call=plan_from,
)


def test_freqkd_distil_runs_a_file_of_settings(monkeypatch, tmp_path):
    """Numbers with an exponent are read as such; a batch that the plan's GPUs could not share is
    left to those that are there."""
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    file = tmp_path / "mine.yaml"
    lines = [item.replace("=", ": ") for item in FIXTURE]
    file.write_text("\n".join(lines))
    given = ["-p", "lr=1e-3", "-p", "batch=2", "-p", "accumulate=1", "-p", "lora_rank=2"]
    done = CliRunner().invoke(app, ["distil", str(file), *given])
    assert done.exit_code == 0, done.output
    asked = read_plan(file, ["lr=1e-3", "root=[a"])["settings"]
    assert (asked["lr"], asked["root"]) == (0.001, "[a")  # no YAML, so the text itself
    run = package.Run(next((tmp_path / "runs").glob("distil-*")), settings_from())
    assert run.manifest["settings"]["batch"] == 2 and run.manifest["settings"]["lr"] == 0.001
