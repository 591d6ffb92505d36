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

from freqkd_lite import data
from freqkd_lite.distil import Student, add_lora, plan, processes, settings_from
from freqkd_lite.distil import run as distil
from freqkd_lite.distil.processes import PATIENCE, Processes
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, create_net, load_backbone
from tests.distil.test_survival import result
from tests.survivor import CNN, VIT, Noise

ROOT = Path(__file__).parents[2]
PLAIN = VIT | dict(lora_dropout=0.0, batch=4, steps=6)


@pytest.fixture(autouse=True)
def noise(monkeypatch):
    monkeypatch.setitem(data.REGISTRY, "noise", Noise)


def run(folder, **values):
    return distil.distil(settings_from(**values), folder, False)


def nearly(log, other, rel):
    """Loss and gradient norm of each step, and each part, within `rel` of each other."""
    assert [e["step"] for e in log] == [e["step"] for e in other]
    for one, two in zip(log, other, strict=True):
        for key in ("loss", "gradient_norm", "lr"):
            assert one[key] == pytest.approx(two[key], rel=rel), (one["step"], key)
        assert one["parts"] == pytest.approx(two["parts"], rel=rel, abs=2e-7)


def test_the_first_step_is_adamw_s_by_hand(tmp_path):
    """Moments begin at zero, so after bias correction the first step is lr x sign(g), nearly:
    w (1 - lr decay) - lr g / (|g| + 1e-8). The gradient is worked out from the definition of
    normalised MSE, on the views that the plan names."""
    lr, decay = 0.01, 0.1
    values = VIT | dict(
        steps=1,
        warmup=2,
        lora_rank=0,
        lr=2 * lr,
        weight_decay=decay,
        clip=None,
        batch=3,
        precision="fp32",
    )
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
        expected = weight * (1 - lr * trained) - lr * g / (g.abs() + 1e-8)
        sure = (g.abs() > 1e-6) | (g == 0)  # where g is rounding, so is its sign
        torch.testing.assert_close(after[name][sure], expected.detach()[sure], atol=2e-4, rtol=1e-4)
        moved += int((g.abs() > 1e-6).sum())
    assert moved > 100_000


def test_shares_of_a_batch_give_the_batch_s_own_curve(tmp_path):
    whole = run(tmp_path / "1", **PLAIN)
    for shares in (2, 4):
        nearly(run(tmp_path / str(shares), **PLAIN, accumulate=shares).log, whole.log, 1e-5)


def test_a_batch_that_can_t_be_shared_equally_is_refused(tmp_path):
    with pytest.raises(
        UserError, match="batch=4 can't be shared equally by 1 processes that acc.*3"
    ):
        run(tmp_path, **PLAIN, accumulate=3)
    assert list(tmp_path.iterdir()) == []


def test_each_process_takes_its_own_part_of_a_batch():
    team, taken = Processes(), []
    team.count = 3
    for team.rank in range(3):
        taken += team.shares(list(range(12)), 2)
    assert taken == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]


def test_two_processes_follow_one(tmp_path):
    """Under `accelerate launch`, with the same batch: the curve within 1e-5 at each step, the
    weights too; with dropout a stopped run goes on to the bits of an uninterrupted one; a bad
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
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
        "-m",
        "tests.together",
        str(tmp_path),
        json.dumps(jobs),
    ]
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first[3].startswith("Interrupted: 4 of 6 steps are saved")
    assert first[5].startswith("UserError: The loss or its gradient is not finite at step 0")
    assert first[5].count("noise") == 4 and not list((tmp_path / "bad").iterdir())

    together = distil.Run(Path(first[0]), settings_from(**PLAIN))
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
    assert {name: r.manifest["precision"] for name, r in made.items()} == {
        "fp32": "fp32",
        "bf16": "bf16",
        "auto": "fp32",
    }
    losses = {name: [entry["loss"] for entry in r.log] for name, r in made.items()}
    assert losses["auto"] == losses["fp32"] != losses["bf16"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.03)


def test_without_a_gpu_cuda_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match="device='cuda', but torch sees no GPU"):
        run(tmp_path, **VIT, device="cuda")


def test_a_resized_map_is_the_same_whichever_comes_first_and_has_the_teacher_s_grid():
    """A convolution of 1x1 commutes with weights that add up to one."""
    backbone = load_backbone("test_resnet", "random")
    student = Student(backbone, (1, 4), [(32, 80), (96, 80)])
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found = student(images, [(4, 6), (4, 6)])
        for adapt, given, map_ in zip(
            student.adapters, found, backbone(images, (1, 4)), strict=True
        ):
            expected = torch.nn.functional.interpolate(adapt(map_), (4, 6), mode="bilinear")
            assert given.shape == (2, 80, 4, 6)
            torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("student", "blocks", "rank"),
    [("test_vit", (1, 4), 2), ("test_efficientnet", (2, 4), 0), ("resnet10t", (2, 4), 0)],
)
def test_a_teacher_larger_than_its_student(tmp_path, student, blocks, rank):
    """Nine blocks of width 96 teach 6 of width 64, or stages of other widths and grids."""
    values = VIT | dict(
        teacher="test_vit3",
        blocks=(2, 7),
        student=student,
        batch=4,
        lr=3e-3,
        student_weights="random",
        student_blocks=blocks,
        lora_rank=rank,
        steps=8,
        warmup=0,
    )
    made = run(tmp_path, **values)
    assert made.log[-1]["loss"] < 0.97 * made.log[0]["loss"]
    assert (
        made.student().name == student
        and made.manifest["models"]["teacher"]["model"] == "test_vit3"
    )


def test_lora_reaches_attention_and_perceptron_of_other_transformers():
    """Counted by hand: twelve blocks, each q, k, v, fc1_g, fc1_x, fc2. On the device "meta", where
    86 million weights cost nothing."""
    with torch.device("meta"):
        name = "eva02_base_patch14_224"
        backbone = Backbone(create_net(name), name, "none", None)
        lora = add_lora(backbone, settings_from(lora_rank=2))
    found = [
        n.removeprefix("base_model.model.") for n, m in lora.named_modules() if hasattr(m, "lora_A")
    ]
    parts = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "mlp.fc1_g", "mlp.fc1_x", "mlp.fc2")
    assert sorted(found) == sorted(f"blocks.{i}.{part}" for i in range(12) for part in parts)


@pytest.mark.parametrize("kind", [beit.Beit, eva.Eva])
def test_lora_reaches_an_attention_that_keeps_its_bias_apart(kind):
    """timm multiplies there by the layer's weight itself, unless it is told to call the layer."""
    net = kind(img_size=32, patch_size=16, embed_dim=32, depth=1, num_heads=2, qkv_bias=True)
    lora = add_lora(SimpleNamespace(net=net, name="small"), settings_from(lora_rank=2))
    trained = {n: p for n, p in lora.named_parameters() if "attn.qkv.lora_B" in n}
    assert len(trained) == 1
    lora(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in trained.values())


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet"])
def test_a_network_without_attention_takes_no_lora(name):
    with pytest.raises(UserError, match="set lora_rank=0 to train the whole network"):
        add_lora(load_backbone(name, "random"), settings_from(lora_rank=2))


def test_efficientnet_with_its_own_weights_learns(tmp_path):
    if not os.environ.get("FREQKD_WEIGHTS"):
        pytest.skip("FREQKD_WEIGHTS names no folder of weights")
    values = VIT | dict(
        student="tf_efficientnet_lite0",
        student_blocks=(2, 3),
        lora_rank=0,
        steps=4,
        warmup=0,
        size=(64, 96),
        flip=0,
    )
    made = run(tmp_path, **values)
    assert made.manifest["models"]["student"]["source"].startswith("tf_efficientnet_lite0")
    assert made.log[-1]["loss"] < made.log[0]["loss"]


def test_processes_wait_longer_for_the_first_one_than_torch_would(monkeypatch):
    """Looking at all pairs before training can take hours, and torch gives up in minutes."""
    asked = {}

    class State:
        num_processes, process_index, device = 2, 1, torch.device("cpu")

        def __init__(self, **given):
            asked.update(given)

    monkeypatch.setattr(processes, "PartialState", State)
    assert Processes().count == 2
    assert asked == {"cpu": True, "timeout": PATIENCE} and PATIENCE.total_seconds() >= 12 * 3600
