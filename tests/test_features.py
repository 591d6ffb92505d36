"""Feature maps: checked against timm's own tokens, and weights are never substituted."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from freqkd_lite.errors import UserError
from freqkd_lite.features import create_net, crop_to_patch, extract, load_backbone


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
    mean, std = (
        torch.tensor(backbone.net.pretrained_cfg[k])[:, None, None] for k in ("mean", "std")
    )
    backbone.eval()
    with torch.no_grad():
        backbone.net.forward_features((images - mean) / std)
    for hook in hooks:
        hook.remove()
    for block, got in zip((2, 7), maps, strict=True):
        tokens = seen[block][:, 1:]  # by hand: row-major tokens, class token first
        for y, x in [(0, 0), (1, 3), (2, 2)]:
            torch.testing.assert_close(got[:, :, y, x], tokens[:, y * 4 + x])


def test_batches_do_not_change_the_result(backbone):
    images = torch.rand(5, 3, 28, 28)
    torch.testing.assert_close(
        extract(backbone, images, [3], batch=2)[0], extract(backbone, images, [3])[0]
    )


def test_a_teacher_stays_frozen_inside_a_trained_module():
    teacher = load_backbone("freqkd_tiny", "random").freeze()
    torch.nn.ModuleList([teacher]).train()
    assert not teacher.training and not teacher.net.training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_weights_come_from_the_path_then_the_folder(tmp_path, monkeypatch):
    name = "vit_tiny_patch16_224"
    torch.manual_seed(1)
    state = create_net(name).state_dict()
    save_file({k: v.half() for k, v in state.items()}, tmp_path / f"{name}.fp16.safetensors")
    monkeypatch.setenv("FREQKD_WEIGHTS", str(tmp_path))
    backbone = load_backbone(name)
    assert backbone.source == f"{name}.fp16.safetensors" and len(backbone.checksum) == 64
    for key, value in backbone.net.state_dict().items():
        torch.testing.assert_close(value, state[key].half().float())
    with pytest.raises(UserError, match="does not exist"):
        load_backbone(name, tmp_path / "absent.safetensors")


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(create_net("vit_tiny_patch16_224").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="w.safetensors does not fit freqkd_tiny"):
        load_backbone("freqkd_tiny", tmp_path / "w.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="torn.safetensors is not a readable"):
        load_backbone("freqkd_tiny", tmp_path / "torn.safetensors")


def test_no_weights_names_all_three_ways(monkeypatch):
    monkeypatch.delenv("FREQKD_WEIGHTS", raising=False)

    def offline(*args, pretrained=False, **kwargs):
        if pretrained:
            raise OSError("no network")
        return real(*args, **kwargs)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"weights=FILE.*FREQKD_WEIGHTS.*vit_tiny_patch16_224'"):
        load_backbone("vit_tiny_patch16_224")


def test_names_sizes_and_blocks_are_checked(backbone, capsys):
    with pytest.raises(UserError, match="did you mean 'freqkd_tiny'"):
        load_backbone("freqkd_tinny")
    with pytest.raises(UserError, match=r"30x28 .* use \(28, 28\)"):
        backbone(torch.rand(1, 3, 30, 28), [0])
    for blocks in ([8], [], [3, 1], [-1]):
        with pytest.raises(UserError, match="blocks="):
            backbone(torch.rand(1, 3, 28, 28), blocks)
    assert crop_to_patch((480, 640), 14) == (476, 630)
    assert "476x630" in capsys.readouterr().out
    with pytest.raises(UserError, match="smaller than one patch"):
        crop_to_patch((10, 640), 14)


def test_a_convolutional_network_gives_maps_too():
    backbone = load_backbone("resnet18", "random")
    shallow, deep = extract(backbone, torch.rand(1, 3, 64, 96), [1, 4])
    assert shallow.shape == (1, 64, 16, 24) and deep.shape == (1, 512, 2, 3)


def test_freqkd_tiny_fits_its_parameter_budget():
    # 8 blocks of 12 w^2 + 13 w, patches 3*14*14*w + w, positions (192+1)*w, class token, norm 2w
    w = 192
    expected = 8 * (12 * w * w + 13 * w) + (3 * 196 * w + w) + 193 * w + w + 2 * w
    assert sum(p.numel() for p in create_net("freqkd_tiny").parameters()) == expected
