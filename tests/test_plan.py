"""Plans at full scale: operations by hand, memory against a real step, the recipe's own numbers."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from freqkd_lite.distil.planning import GPUS, Cost, count, estimate, read_plan
from torch.autograd.graph import saved_tensors_hooks
from typer.testing import CliRunner

from freqkd_lite import data
from freqkd_lite.cli.app import app
from freqkd_lite.distil import Student, add_lora, planning, settings_from
from freqkd_lite.distil import run as distil
from freqkd_lite.errors import UserError
from freqkd_lite.features import load_backbone
from tests.survivor import Noise

# freqkd_tiny at 168x224: 12x16 patches of 14 pixels and a class token, width, hidden width, blocks
GRID, T, D, M, DEPTH = 12 * 16, 12 * 16 + 1, 192, 4 * 192, 8
PATCHES = 2 * GRID * (3 * 14 * 14) * D
LINEAR = 2 * T * D * (3 * D + D + M + M)  # of one block: qkv, projection, two layers
ATTENTION = 2 * 2 * T * T * D


def tiny(**values):
    return settings_from(**dict(blocks=(1, 7), size=(168, 224)) | values)


def test_operations_of_a_transformer_by_hand():
    """Whole: the backward pass is twice the forward one, but for the pixels' gradient."""
    found = count(tiny(lora_rank=0))
    forward = PATCHES + DEPTH * (LINEAR + ATTENTION)
    assert found.teacher == forward
    assert found.student == 3 * forward - PATCHES
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
    assert found.student == forward + backward + lora
    assert found.trained == DEPTH * r * wide


def test_a_projector_is_counted():
    """A convolution of D x D and an offset for each of two blocks, at 12 x 16 tokens; its backward
    pass takes two products more, one of them for the student."""
    plain, projected = count(tiny(lora_rank=4)), count(tiny(lora_rank=4, projector=True))
    assert projected.trained - plain.trained == 2 * (D * D + D)
    tokens = 12 * 16
    assert projected.student - plain.student == 2 * 3 * 2 * D * D * tokens


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
        loss = distil.build_loss("mse")(maps, targets).total
    size = sum(s.nbytes() for at, s in kept.items() if at not in weights)
    # Queries and keys once more, as `planning.Kept` says; less the output of the attention, which
    # a fused one keeps, and which only a trained projection needs besides.
    more = DEPTH * (2 - (rank > 0)) * 4 * T * D
    assert loss.isfinite() and count(settings).kept == pytest.approx(size + more, rel=0.01)


PLAN = planning.Plan(gpus=2, pairs=100, layout="", settings=tiny(steps=50, batch=16))
COST = Cost(teacher=10**12, student=3 * 10**12, kept=4 * 10**9, maps=10**6, teacher_size=10**9,
            student_size=10**9, trained=10**8)  # fmt: skip


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
    whole = PLAN.model_copy(update={"settings": tiny(lora_rank=0)})
    found = estimate(whole, replace(COST, trained=11 * 10**8))
    assert found.fixed["fp32"] == 4e9 + 4e9 + 4e8 + 12 * 11e8


def test_a_cached_teacher_works_once_for_each_view():
    settings = tiny(steps=50, batch=16, crop_list=2, flip=0.5)  # 100 pairs, 2 crops, mirrored
    found = estimate(PLAN.model_copy(update={"settings": settings}), COST)
    assert found.in_all == 800 * 3e12 + 400 * 1e12 and found.cache == 400 * 10**6
    # a cache's features are float32 in any run: 400 at 10 TFLOP/s, the student's 2,400 at 100
    assert (found.operations, found.exact) == (800 * 3e12, 400 * 1e12)
    assert found.hours(100.0, 10.0, 2) == pytest.approx((2400 / 100 + 400 / 10) / 2 / 0.4 / 3600)
    # with room for a quarter of them 100 are computed once and the other three quarters each time
    small = settings.model_copy(update={"cache_limit_gb": 0.1})
    found = estimate(PLAN.model_copy(update={"settings": small}), COST)
    assert found.exact == (100 + 600) * 1e12 and found.cache == 100 * 10**6
    none = settings.model_copy(update={"cache_limit_gb": 0})
    found = estimate(PLAN.model_copy(update={"settings": none}), COST)
    assert found.exact == 800 * 1e12 and found.cache == 0
    short = settings.model_copy(update={"steps": 5})
    assert estimate(PLAN.model_copy(update={"settings": short}), COST).cache == 80 * 10**6


def test_a_loss_that_looks_at_the_untrained_student_takes_its_forward_pass():
    """Counted for one picture as the teacher's, which is the same network."""
    for loss in ("anchor", "coherence", "robust"):
        found = count(tiny(loss=loss))
        assert found.untrained == found.teacher and found.untrained_maps == found.maps
    assert count(tiny(loss="eq")).untrained == 0


@pytest.mark.parametrize("loss,crops,operations,kept,maps", [
    # 100 pairs looked at first: teacher 1, student 1, and once more beside strangers but for robust
    ("robust", 0, 800 * (3 + 1) + 100 * (1 + 1), 0, 0),
    ("coherence", 0, 800 * (3 + 1) + 100 * (1 + 2), 0, 0),
    # the anchor asks the untrained student in each step too, and holds on to it
    ("anchor", 0, 800 * (3 + 1 + 1) + 100 * (1 + 2), 4e9, 0),
    # 400 views are computed once, the teacher's of the first pass among them, and the student's
    # too where they are kept; strangers are 100 views more
    ("coherence", 2, 800 * 3 + 400 + 100 * 2, 0, 400 * 10**6),
    ("anchor", 2, 800 * 3 + 400 * 2 + 100 * 1, 4e9, (400 * 2 + 100) * 10**6),
])  # fmt: skip
def test_what_a_loss_looks_at_before_and_while_training(loss, crops, operations, kept, maps):
    settings = tiny(steps=50, batch=16, crop_list=crops, flip=0.5, loss=loss)
    plan = PLAN.model_copy(update={"settings": settings})
    found = estimate(plan, replace(COST, untrained=10**12, untrained_maps=10**6))
    assert found.in_all == operations * 1e12
    # one process looks at the pairs, in float32, while the others wait
    first = found.alone / 1e12
    assert first == {("robust", 0): 200, ("coherence", 0): 300, ("anchor", 0): 300,
                     ("coherence", 2): 300, ("anchor", 2): 300}[loss, crops]  # fmt: skip
    rest = (found.operations / 100 + found.exact / 10) / 2 / 1e12
    assert found.hours(100.0, 10.0, 2) == pytest.approx((rest + first / 10) / 0.4 / 3600)
    assert found.fixed["fp32"] == estimate(PLAN, COST).fixed["fp32"] + kept
    assert found.cache == maps


def test_kaist_full_is_the_authors_recipe():
    plan = read_plan("kaist_full")
    s = plan.settings
    assert (plan.gpus, s.batch, s.steps * s.batch / plan.pairs) == (4, 8 * 4, 12)
    assert (s.size[0] / 14, s.size[1] / 14) == (37, 46) and s.crop is None
    assert (s.lora_rank, s.lora_alpha, s.lora_dropout, s.merge_scale) == (64, 64, 0.05, 0.5)
    assert s.blocks == (7, 15, 19, 21, 23) and s.loss == "code" and s.student is None
    assert s.teacher == "vit_large_patch14_reg4_dinov2.lvd142m"
    assert (s.lr, s.weight_decay, s.warmup, s.clip, s.flip) == (2e-4, 1e-4, 500, 1.0, 0.5)
    assert (s.precision, s.device, s.dataset) == ("auto", "cuda", "folder")


@pytest.mark.parametrize("given,size,trained", [
    ({}, 304_370_688, 24 * 64 * (1024 + 3072 + 2 * (1024 + 4096))),  # LoRA on qkv, fc1 and fc2
    (dict(student="vit_small_patch14_dinov2.lvd142m", student_blocks=(1, 4, 7, 9, 11)),
     22_056_192, 12 * 64 * (384 + 1152 + 2 * (384 + 1536)) + 5 * 1024 * (384 + 1)),
    # torchvision tells 25,557,032 weights, 2,049,000 of them of the classifier, which is left out
    (dict(student="resnet50", blocks=(7, 15, 23), student_blocks=(2, 3, 4), lora_rank=0),
     23_508_032, 23_508_032 + 1024 * (512 + 2048 + 2)),  # one stage is as wide
])  # fmt: skip
def test_the_named_networks_at_full_size_by_hand(given, size, trained):
    """ViT-L/14 with registers teaches its copy, a ViT-S/14 and a ResNet-50 at 518x644 pixels: 37 x
    46 patches of 588 numbers, 5 tokens more, width 1024, 24 blocks."""
    recipe = read_plan("kaist_full").settings.model_dump(exclude_unset=True)
    found = count(settings_from(**recipe | given))
    tokens, width = 37 * 46 + 5, 1024
    block = 2 * tokens * width * 12 * width + 4 * tokens**2 * width
    assert found.teacher == 2 * 37 * 46 * 588 * width + 24 * block
    assert (found.student_size, found.trained) == (size, trained)


REDUCED = ["teacher=test_vit", "blocks=[0, 1, 3, 4, 5]", "size=[32, 48]"]
FIXTURE = [*REDUCED, "dataset=noise", "teacher_weights=random", "device=cpu", "precision=fp32",
           "steps=4", "warmup=2", "batch=8", "accumulate=2"]  # fmt: skip


def test_kaist_full_takes_steps_on_fixtures(monkeypatch, tmp_path):
    """The recipe with a small network and random weights: the loss is finite and the student
    moves, with its LoRA of rank 64 merged at one half."""
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)
    settings = read_plan("kaist_full", FIXTURE).settings
    assert settings.lora_rank == 64
    run = distil.distil(settings, tmp_path, False)
    assert [e["lr"] for e in run.log] == [1e-4, 2e-4, 2e-4, pytest.approx(1e-4)]
    assert all(math.isfinite(e["loss"]) and len(e["parts"]) == 10 for e in run.log)
    torch.manual_seed(0)
    before = load_backbone("test_vit", "random").net.state_dict()
    after = run.student().net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    parts = ("attn.qkv", "mlp.fc1", "mlp.fc2")
    assert moved == {f"blocks.{i}.{part}.weight" for i in range(6) for part in parts}


def test_the_command_prints_the_plan():
    given = [word for item in REDUCED for word in ("-p", item)]
    done = CliRunner().invoke(app, ["plan", "--preset", "kaist_full", *given])
    lines = done.output.splitlines()
    assert done.exit_code == 0 and max(map(len, lines)) <= 80
    assert lines[0] == "kaist_full: test_vit teaches"
    for gpu in GPUS:
        assert any(line.startswith(gpu) for line in lines)
    assert "9,375 of 32 pictures of 32x48 pixels: 25,000 pairs 12 times" in done.output
    assert "splits/train.txt" in done.output


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("kaist_ful", [], "no plan called 'kaist_ful': did you mean 'kaist_full'"),
        ("kaist_full", ["steps"], "-p 'steps' has no '='"),
        ("kaist_full", ["stepz=3"], "did you mean 'steps'"),
        ("kaist_full", ["loss_options={cutof: 0.4}"], "did you mean 'cutoff'"),
        ("kaist_full", ["steps=many"], "steps='many' can't be used"),
        ("kaist_full", ["batch=2"], "batch=2 can't be shared .* by 4 .*: make it a multiple of 4"),
        ("kaist_full", ["accumulate=3"], "batch=32 can't .* accumulate 3 times: .* multiple of 12"),
    ],
)
def test_a_wrong_plan_is_told_in_one_sentence(name, given, says):
    with pytest.raises(UserError, match=says):
        read_plan(name, given)


def test_numbers_on_the_command_line_are_read_as_in_files():
    given = ["lr=1e-3", "loss_options={cutoff: 4e-1}", "root=[a"]
    settings = read_plan("kaist_full", given).settings
    assert (settings.lr, settings.loss_options) == (0.001, {"cutoff": 0.4})
    assert settings.root == "[a"  # no YAML, so the text itself


def test_a_batch_that_the_plan_s_gpus_can_t_share_is_left_to_those_that_are_there(monkeypatch):
    assert read_plan("kaist_full", ["batch=24", "accumulate=3"]).settings.batch == 24  # 4 x 3 x 2
    asked = []
    run = SimpleNamespace(folder="here", settings=SimpleNamespace(merge_scale=1))
    monkeypatch.setattr(distil, "distil", lambda settings: asked.append(settings.batch) or run)
    done = CliRunner().invoke(app, ["distil", "-p", "batch=2"])
    assert (done.exit_code, done.output, asked) == (0, "here\n", [2])


@pytest.mark.parametrize("command", [[], ["plan"], ["distil"]])
def test_help_fits_a_screen(command):
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"})
    lines = done.output.splitlines()
    assert done.exit_code == 0 and len(lines) <= 24 and max(map(len, lines)) <= 80
