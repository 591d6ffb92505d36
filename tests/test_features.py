"""Feature maps: checked against timm's own tokens, and weights are never substituted."""

import os
from pathlib import Path
from unittest.mock import Mock

import pytest
import timm
import torch
from safetensors.torch import save_file

from freqkd_lite import features
from freqkd_lite.errors import UserError
from freqkd_lite.features import create_net, crop_size, extract, load_backbone, sha256_file
from tests.refused import refused


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return load_backbone("freqkd_tiny", "random")


def test_maps_are_the_blocks_own_tokens_without_the_class_token(backbone):
    images = torch.rand(2, 3, 42, 56)
    maps = extract(backbone, images, [2, 7])
    seen = {}
    hooks = [
        backbone.net.blocks[i].register_forward_hook(lambda m, a, out, i=i: seen.update({i: out}))
        for i in (2, 7)
    ]
    cfg = backbone.net.pretrained_cfg
    mean, std = (torch.tensor(cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        backbone.eval().net.forward_features((images - mean) / std)
    for hook in hooks:
        hook.remove()
    for block, got in zip((2, 7), maps, strict=True):
        tokens = seen[block][:, 1:]  # by hand: row-major tokens, class token first
        for y, x in [(0, 0), (1, 3), (2, 2)]:
            torch.testing.assert_close(got[:, :, y, x], tokens[:, y * 4 + x])


def test_batches_do_not_change_the_result(backbone):
    images = torch.rand(5, 3, 28, 28)
    in_twos, at_once = (extract(backbone, images, [3], batch=n)[0] for n in (2, 5))
    torch.testing.assert_close(in_twos, at_once)


def test_maps_can_enter_a_computation_that_is_trained(backbone):
    (maps,) = extract(backbone, torch.rand(3, 3, 28, 28), [3], batch=2)
    assert not maps.is_inference() and not maps.requires_grad
    head = torch.nn.Conv2d(maps.shape[1], 2, 1)
    head(maps).sum().backward()
    assert head.weight.grad.isfinite().all()


def test_a_teacher_stays_frozen_inside_a_trained_module():
    teacher = load_backbone("freqkd_tiny", "random").freeze()
    torch.nn.ModuleList([teacher]).train()
    assert not teacher.training and not teacher.net.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_memory_that_runs_out_is_not_told_as_a_wrong_size(backbone, monkeypatch):
    def full(*of, **named):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backbone.net, "forward_intermediates", full)
    with pytest.raises(torch.OutOfMemoryError):
        backbone(torch.zeros(1, 3, 168, 224), (1,))


def test_weights_come_from_the_path_then_the_folder(tmp_path, monkeypatch):
    name = "vit_tiny_patch16_224"
    torch.manual_seed(1)
    state = create_net(name).state_dict()
    save_file({k: v.half() for k, v in state.items()}, tmp_path / f"{name}.fp16.safetensors")
    monkeypatch.setenv("FREQKD_WEIGHTS", str(tmp_path))
    backbone = load_backbone(name)
    assert backbone.source == f"{name}.fp16.safetensors" and len(backbone.checksum) == 64
    halved = {key: value.half().float() for key, value in state.items()}
    torch.testing.assert_close(dict(backbone.net.state_dict()), halved)
    refused(r"weights=.*absent\.safetensors", load_backbone, name, tmp_path / "absent.safetensors")


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(create_net("vit_tiny_patch16_224").state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"not weights")
    own = {k: v * torch.nan for k, v in create_net("freqkd_tiny").state_dict().items()}
    save_file(own, tmp_path / "nan.safetensors")
    faults = {"w": "does not fit freqkd_tiny", "torn": "is not a readable", "nan": "holds .*finite"}
    for name, fault in faults.items():
        file = tmp_path / f"{name}.safetensors"
        refused(f"{name}.safetensors {fault}", load_backbone, "freqkd_tiny", file)


def test_no_weights_names_all_three_ways_and_no_download_is_tried(monkeypatch):
    monkeypatch.delenv("FREQKD_WEIGHTS", raising=False)
    asked, real = [], timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **k: asked.append(k["pretrained"]) or real(*a, **k)
    )
    monkeypatch.setattr(features, "reach_hub", Mock(side_effect=ConnectionError))
    ways = "^No .* --model freqkd_tiny .*FREQKD_WEIGHTS.*=FILE"
    refused(ways, load_backbone, "vit_tiny_patch16_224")
    features.reach_hub.assert_called_once_with("timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert asked == [False]


def test_a_timm_download_is_named_and_has_a_checksum(monkeypatch):
    """timm's own hub stands in: the same name gives weights that are known beforehand."""
    torch.manual_seed(5)
    fetched = create_net("test_vit")
    real = timm.create_model

    def hub(*args, pretrained=False, **kwargs):
        return fetched if pretrained else real(*args, **kwargs)

    monkeypatch.delenv("FREQKD_WEIGHTS", raising=False)
    monkeypatch.setattr(timm, "create_model", hub)
    monkeypatch.setattr(features, "reach_hub", lambda repository: None)
    one, two = load_backbone("test_vit"), load_backbone("test_vit")
    assert one.source == "timm:timm/test_vit.r160_in1k" and one.checksum == two.checksum
    torch.testing.assert_close(one.net.state_dict(), fetched.state_dict(), rtol=0, atol=0)
    with torch.no_grad():
        fetched.norm.weight[0] += 1e-6
    assert load_backbone("test_vit").checksum != one.checksum


def test_two_files_of_one_name_are_not_chosen_between_in_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_WEIGHTS", str(tmp_path))
    state = create_net("test_vit").state_dict()
    save_file(state, tmp_path / "test_vit.r160_in1k.safetensors")
    save_file(state, tmp_path / "test_vit2.safetensors")  # begins with the name, is another model
    assert load_backbone("test_vit").source == "test_vit.r160_in1k.safetensors"
    torch.save(state, tmp_path / "test_vit.pth")
    both = r"holds test_vit.pth and test_vit.r160_in1k.safetensors, which are all called test_vit"
    refused(both, load_backbone, "test_vit")
    assert load_backbone("test_vit", tmp_path / "test_vit.pth").source == "test_vit.pth"
    monkeypatch.setenv("FREQKD_WEIGHTS", str(tmp_path / "absent"))
    refused("FREQKD_WEIGHTS=.*absent ", load_backbone, "test_vit")


class Opens:
    """A pickle of this would create a file on loading."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("around", [None, "state_dict", "model"])
def test_pickled_weights_are_read_when_they_are_tensors_alone(tmp_path, around):
    state = create_net("test_vit").state_dict()
    path = tmp_path / "w.pt"
    torch.save({around: state, "epoch": 3} if around else state, path)
    loaded = load_backbone("test_vit", path)
    assert loaded.checksum == sha256_file(path)
    torch.testing.assert_close(loaded.net.state_dict(), state, rtol=0, atol=0)


def test_a_pickle_that_could_run_code_is_refused(tmp_path):
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save({"state_dict": create_net("test_vit").state_dict(), "x": Opens(str(trace))}, path)
    (tmp_path / "torn.pt").write_bytes(path.read_bytes()[:5000])
    (tmp_path / "text.pth").write_bytes(b"hello")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "w.onnx").touch()
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    torch.save({0: torch.ones(2)}, tmp_path / "numbers.pt")
    faults = dict.fromkeys(["w.pth", "torn.pt", "text.pth", "empty.pt"], "is damaged, or holds")
    faults |= dict.fromkeys(["list.pt", "numbers.pt"], "holds no table of tensors")
    faults["w.onnx"] = "must end in .safetensors, .pt"
    for name, fault in faults.items():
        refused(f"{name} {fault}", load_backbone, "test_vit", tmp_path / name)
    assert not trace.exists()


def test_random_weights_have_a_checksum_of_their_own():
    def seeded(seed):
        torch.manual_seed(seed)
        return load_backbone("test_vit", "random").checksum

    assert seeded(0) == seeded(0) != seeded(1)


# Tokens before the grid: one, two, one and four registers; then axes in another order, and plain
# convolutions. The width and the pixels a token are what the models' papers say.
KINDS = [
    ("vit_tiny_patch16_224", 192, 16),
    ("deit_tiny_distilled_patch16_224", 192, 16),
    ("vit_small_patch14_reg4_dinov2", 384, 14),
    ("swin_tiny_patch4_window7_224", 768, 32),
    ("resnet18", 512, 32),
    ("efficientnet_lite0", 320, 32),
    ("convnext_atto", 320, 32),
]


@pytest.mark.parametrize(("name", "width", "patch"), KINDS, ids=[kind[0] for kind in KINDS])
def test_any_kind_of_model_gives_maps_in_the_picture_s_own_order(name, width, patch):
    """A patch that differs from a grey picture shows in the map where it lies in the picture:
    rows and columns are not swapped, and no token before the grid is taken for a place."""
    torch.manual_seed(0)
    backbone = load_backbone(name, "random").freeze()
    first = 0 if hasattr(backbone.net, "blocks") and backbone.depth > 5 else backbone.depth - 1
    rows, columns = 4, 7
    grey = torch.full((1, 3, rows * patch, columns * patch), 0.5)
    marked = grey.clone()
    marked[..., 2 * patch : 3 * patch, 5 * patch : 6 * patch] = torch.rand(3, patch, patch)
    (before,), (after,) = (extract(backbone, images, [first]) for images in (grey, marked))
    assert after.shape == (1, width, rows, columns)
    change = (after - before).square().sum(1)[0]
    assert divmod(int(change.argmax()), columns) == (2, 5)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("mixer_s32_224", (112, 224), r"does not take 112x224 .* use 224x224"),
        ("crossvit_tiny_240", (136, 153), r"not an NCHW map: choose another"),
        ("crossvit_tiny_240", (238, 323), r"not an NCHW map: choose another"),
        ("crossvit_tiny_240", (238, 255), r"not an NCHW map: choose another"),
        ("mvitv2_tiny", (224, 320), r"does not take 224x320 .* use 224x224"),
        ("levit_128s", (192, 320), r"does not take 192x320 .* use 224x224"),
    ],
)
def test_a_size_that_a_model_cannot_map_is_told(name, size, message):
    backbone = load_backbone(name, "random")
    refused(message, extract, backbone, torch.rand(1, 3, *size), [backbone.depth - 1])


def test_the_check_of_a_size_leaves_a_model_in_training_as_it_is():
    backbone = load_backbone("inception_v3", "random")  # without padding: maps smaller than most
    backbone.train()(torch.rand(2, 3, 171, 203), [backbone.depth - 1])
    seen = {int(v) for k, v in backbone.state_dict().items() if "num_batches" in k}
    assert "_own_grids" in vars(backbone) and seen == {1}  # one batch, not two


MODELS = (Path(__file__).parent / "models.txt").read_text().split()


@pytest.mark.parametrize("name", MODELS if os.environ.get("FREQKD_MODELS") else MODELS[::12])
def test_a_model_of_any_family_gives_maps_of_a_picture_or_one_sentence(name):
    """Its own size, which is not rounded, that of the study, and an odd one."""
    try:
        backbone = load_backbone(name, "random").freeze()
        blocks = [0, backbone.depth - 1] if backbone.depth > 1 else [0]
    except UserError as error:
        assert len(str(error)) < 300 and name in str(error)
        return
    assert backbone.crop(backbone.own_size) == backbone.own_size
    for wanted in (backbone.own_size, (252, 336), (211, 173)):
        size = backbone.crop(wanted)
        try:
            maps = extract(backbone, torch.rand(1, 3, *size), blocks)
        except UserError as error:
            assert len(str(error)) < 600 and name in str(error)
            continue
        for block, found in zip(blocks, maps, strict=True):
            channels, rows, columns = found.shape[1:]
            assert channels == backbone.infos[block]["num_chs"] and found.isfinite().all()
            assert abs(rows - columns * size[0] / size[1]) < 2  # in proportion, but for borders


def test_names_sizes_and_blocks_are_checked(backbone, capsys):
    refused("'freqkd_tinny'.*'freqkd_tiny'", load_backbone, "freqkd_tinny")
    refused("'resnet18.a1_in1kk'.*'resnet18.a1_in1k'", load_backbone, "resnet18.a1_in1kk")
    refused("(?=.*dinov2)^.{20,3000}$", load_backbone, "dinov2")  # not all names of timm
    refused(r"30x28 .* use \(28, 28\)", backbone, torch.rand(1, 3, 30, 28), [0])
    for blocks in ([8], [], [3, 1], [-1]):
        refused("blocks=", backbone, torch.rand(1, 3, 28, 28), blocks)
    assert backbone.crop((480, 640)) == (476, 630)
    assert "476x630" in capsys.readouterr().out
    refused(r"size=\(10, 640\).* 14 ", crop_size, (10, 640), 14)


def test_freqkd_tiny_fits_its_parameter_budget():
    # 8 blocks of 18 w^2 + 16 w, patches 3*14*14*w + w, positions (192+1)*w, class token, norm 2w
    w = 192
    expected = 8 * (18 * w * w + 16 * w) + (3 * 196 * w + w) + 193 * w + w + 2 * w
    assert sum(p.numel() for p in create_net("freqkd_tiny").parameters()) == expected
