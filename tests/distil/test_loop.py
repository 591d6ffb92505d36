"""The loop under processes, shares and precisions; what a step is, worked out without it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from timm.models import beit, eva

from freqkd_lite.distil import Run, Student, add_lora, plan, settings_from
from freqkd_lite.distil.processes import Processes
from freqkd_lite.features import Backbone, create_net, load_backbone
from tests.distil.test_survival import result
from tests.refused import refused
from tests.survivor import CNN, VIT, Noise, run

ROOT = Path(__file__).parents[2]
PLAIN = VIT | dict(lora_dropout=0.0, batch=4, steps=6)


def nearly(log, other, rel):
    """Loss and gradient norm of each step, and each part, within `rel` of each other."""
    assert [e["step"] for e in log] == [e["step"] for e in other]
    for one, two in zip(log, other, strict=True):
        for key in ("loss", "gradient_norm", "lr"):
            assert one[key] == pytest.approx(two[key], rel=rel), (one["step"], key)
        assert one["parts"] == pytest.approx(two["parts"], rel=rel, abs=2e-7)


@pytest.mark.parametrize("clip", [None, 1e-9])
def test_the_first_step_is_adamw_s_by_hand(tmp_path, clip):
    """Moments begin at zero, so after bias correction the first step is lr x sign(g), nearly:
    w (1 - lr decay) - lr g / (|g| + 1e-8), and nothing is left of a g clipped to far less than
    1e-8. The gradient is worked out from the definition of normalised MSE, on the views that the
    plan names."""
    lr, decay = 0.01, 0.1
    values = VIT | dict(steps=1, warmup=2, lora_rank=0, lr=2 * lr, clip=clip, batch=3)
    values |= {"weight_decay": decay}
    made = run(tmp_path, **values)
    torch.manual_seed(0)
    net = create_net("test_vit")
    backbone, pairs = Backbone(net, "test_vit", "random", None), Noise("train", (32, 48))
    (views,) = plan(pairs, settings_from(**values))
    chosen = [pairs[view.index] for view in views]
    both = torch.stack([torch.stack([p.visible, p.infrared]) for p in chosen], 1)
    turned = [b.flip(-1) if v.flip else b for b, v in zip(both.unbind(1), views, strict=True)]
    visible, infrared = torch.stack(turned, 1)

    def unit(x):
        x = x - x.mean((2, 3), keepdim=True)
        return x / x.norm(dim=1, keepdim=True)

    with torch.no_grad():
        targets = backbone(visible, (1, 4))
    maps = backbone(infrared, (1, 4))
    loss = sum((unit(a) - unit(b)).square().mean() for a, b in zip(maps, targets, strict=True))
    loss.backward()
    assert made.log[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert made.log[0]["lr"] == pytest.approx(lr)
    after, moved = load_file(made.folder / "student.safetensors"), 0
    for name, weight in net.named_parameters():
        g = torch.zeros_like(weight) if weight.grad is None else weight.grad
        trained = 0 if weight.grad is None else decay  # without a gradient AdamW leaves it alone
        step = lr * g / (g.abs() + 1e-8) if clip is None else 0
        expected = weight * (1 - lr * trained) - step
        sure = (g.abs() > 1e-6) | (g == 0)  # where g is rounding, so is its sign
        torch.testing.assert_close(after[name][sure], expected.detach()[sure], atol=2e-4, rtol=1e-4)
        moved += int((g.abs() > 1e-6).sum())
    assert moved > 100_000


def test_shares_of_a_batch_give_its_own_curve_and_each_process_takes_its_own_part(tmp_path):
    whole = run(tmp_path / "1", **PLAIN)
    for shares in (2, 4):
        nearly(run(tmp_path / str(shares), **PLAIN, accumulate=shares).log, whole.log, 1e-5)
    team, taken = Processes(), []
    team.count = 3
    for team.rank in range(3):
        taken += team.shares(list(range(12)), 2)
    assert taken == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]


def test_two_processes_follow_one(tmp_path):
    """Under `accelerate launch`, with the same batch: the curve within 1e-5 at each step, the
    weights too; with dropout a stopped run resumes to the bits of an uninterrupted one; a bad
    picture in one process's part stops both."""
    bad = {"bad": next(iter(plan(Noise("train", (32, 48)), settings_from(**PLAIN))))[3].index}
    dropout = PLAIN | dict(lora_dropout=0.2, checkpoint_every=2)
    jobs = [
        PLAIN | dict(folder="plain"),
        CNN | dict(folder="cnn", steps=2, batch=4, checkpoint_every=1),
        dropout | dict(folder="whole"),
        dropout | dict(folder="again", stop=4),
        dropout | dict(folder="again"),
        PLAIN | dict(folder="bad", data_options=bad),
    ]
    launch = "accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1"
    launch += " --mixed_precision no --dynamo_backend no --main_process_port 0 -m tests.together"
    command = [sys.executable, "-m", *launch.split(), str(tmp_path), json.dumps(jobs)]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second and first[3].startswith("Interrupted: 4 of 6 steps are saved")
    assert first[5].startswith("UserError: The loss or its gradient is not finite at step 0")
    assert first[5].count("noise") == 4 and not list((tmp_path / "bad").iterdir())

    together = Run(Path(first[0]), settings_from(**PLAIN))
    alone = run(tmp_path / "alone", **PLAIN)
    assert together.folder.name == alone.folder.name
    assert together.manifest["processes"] == 2 and alone.manifest["processes"] == 1
    nearly(together.log, alone.log, 1e-5)
    one, two = (load_file(r.folder / "student.safetensors") for r in (alone, together))
    for name, value in one.items():
        # AdamW gives a gradient of rounding errors a whole step: 6 steps of 1e-3 bound it
        assert (value - two[name]).abs().mean() < 1e-5, name
    assert result(tmp_path / "again") == result(tmp_path / "whole")
    (told,) = (tmp_path / "again").glob("distil-*/manifest.json")
    assert json.loads(told.read_text())["restarts"] == [4]


def test_bfloat16_is_near_float32_and_auto_is_float32_on_a_cpu(tmp_path):
    made = {p: run(tmp_path, **VIT | dict(steps=6, precision=p)) for p in ("fp32", "bf16", "auto")}
    assert [r.manifest["precision"] for r in made.values()] == ["fp32", "bf16", "fp32"]
    losses = {name: [entry["loss"] for entry in r.log] for name, r in made.items()}
    assert losses["auto"] == losses["fp32"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.03)


def test_a_resized_map_is_the_same_whichever_comes_first_and_has_the_teacher_s_grid():
    """A convolution of 1x1 commutes with weights that add up to one."""
    backbone = load_backbone("test_resnet", "random")
    student = Student(backbone, (1, 4), [(32, 80), (96, 80)])
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = student(images, [(4, 6), (4, 6)])
        maps = backbone(images, (1, 4))
        for adapt, given, map_ in zip(student.adapters, found, maps, strict=True):
            expected = torch.nn.functional.interpolate(adapt(map_), (4, 6), mode="bilinear")
            assert given.shape == (2, 80, 4, 6)
            torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("student", "blocks", "rank"),
    [("test_vit", (1, 4), 2), ("test_efficientnet", (2, 4), 0), ("resnet10t", (2, 4), 0)],
)
def test_a_teacher_larger_than_its_student(tmp_path, student, blocks, rank):
    """Nine blocks of width 96 teach 6 of width 64, or stages of other widths and grids."""
    own = dict(student=student, student_weights="random", student_blocks=blocks, lora_rank=rank)
    values = VIT | own | dict(teacher="test_vit3", blocks=(2, 7), batch=4, lr=3e-3, warmup=0)
    made = run(tmp_path, **values | dict(steps=8))
    assert made.log[-1]["loss"] < 0.97 * made.log[0]["loss"]
    assert made.student().name == student


def test_lora_reaches_attention_and_perceptron_of_other_transformers():
    """Counted by hand: twelve blocks, each q, k, v, fc1_g, fc1_x, fc2. On the device "meta", where
    86 million weights cost nothing."""
    with torch.device("meta"):
        name = "eva02_base_patch14_224"
        backbone = Backbone(create_net(name), name, "none", None)
        lora = add_lora(backbone, settings_from(lora_rank=2))
    found = [name for name, module in lora.named_modules() if hasattr(module, "lora_A")]
    parts = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.fc1_g", "mlp.fc1_x", "mlp.fc2")
    assert [sum(name.endswith(part) for name in found) for part in parts] == [12] * 6
    assert len(found) == 12 * 6


@pytest.mark.parametrize("kind", [beit.Beit, eva.Eva])
def test_lora_reaches_an_attention_that_keeps_its_bias_apart(kind):
    """timm multiplies there by the layer's weight itself, unless it is told to call the layer."""
    net = kind(img_size=32, patch_size=16, embed_dim=32, depth=1, num_heads=2, qkv_bias=True)
    lora = add_lora(SimpleNamespace(net=net, name="small"), settings_from(lora_rank=2))
    trained = {n: p for n, p in lora.named_parameters() if "attn.qkv.lora_B" in n}
    assert len(trained) == 1
    lora(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trained.values())


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (dict(accumulate=5), "batch=2 can't be shared equally"),
        (dict(device="cuda"), "set device to cpu"),
        (dict(teacher="test_convnext", blocks=(1, 2)), "set lora_rank=0"),
        (dict(teacher="test_resnet", blocks=(1, 2)), "set lora_rank=0"),
    ],
)
def test_what_can_t_be_trained_is_told(tmp_path, monkeypatch, values, remedy):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(remedy, run, tmp_path, **VIT | values)
    assert list(tmp_path.iterdir()) == []
