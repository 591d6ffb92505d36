"""Feature maps of chosen blocks from any timm backbone."""

import hashlib
import os
from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from freqkd_lite.data.download import reach_hub
from freqkd_lite.errors import UserError, unknown
from freqkd_lite.store import sha256_file

TimmModel = Any  # an nn.Module; timm declares no type that has what its models share

TINY = "freqkd_tiny"
TINY_WEIGHTS = Path(__file__).parent / "assets" / "freqkd_tiny.safetensors"

# timm finds a model's own configuration under this name, in the module that registers it. Mean
# and standard deviation are timm's defaults, ImageNet's.
TINY_CFG = dict(
    input_size=(3, 168, 224), num_classes=0, first_conv="patch_embed.proj", classifier="head"
)
default_cfgs = generate_default_cfgs({f"{TINY}.scenes": TINY_CFG})


@register_model
def freqkd_tiny(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """The project's own small ViT: patch 14, width 192, 8 blocks of 3 heads and wide MLPs (7 times
    the width: what 12 MB of weights allow), one class token."""
    args: dict[str, Any] = dict(patch_size=14, embed_dim=192, depth=8, num_heads=3, mlp_ratio=7)
    args |= dict(img_size=(168, 224), feature_cfg=dict(out_indices=3)) | kwargs
    return build_model_with_cfg(VisionTransformer, TINY, pretrained, **args)


def sha256_state(state: dict[str, Tensor]) -> str:
    """The SHA-256 of tensors by name, for weights that did not come from a file, as hex."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Backbone(nn.Module):
    """A timm model, transformer or convolutional, that returns NCHW maps of chosen blocks.

    Attributes: `name` (timm's), `patch` (pixels that one token is wide), `depth` (blocks), `width`
    (channels of the last one), `source` (where the weights came from), `checksum` (SHA-256 of
    their file, or of the tensors without one; None when they have been trained on).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: TimmModel, name: str, source: str, checksum: str | None):
        super().__init__()
        self.net, self.name, self.source, self.checksum = net, name, source, checksum
        if not hasattr(net, "forward_intermediates"):
            raise UserError(f"{name} gives no maps of its blocks in timm: choose another model.")
        info = net.feature_info
        self.infos = info if isinstance(info, list) else info.info
        self.depth, self.width = len(self.infos), self.infos[-1]["num_chs"]
        self.patch = self.infos[-1]["reduction"]
        cfg = net.pretrained_cfg
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(cfg[key]).reshape(1, 3, 1, 1), persistent=False)
        self.options = dict(output_fmt="NCHW", intermediates_only=True)
        if isinstance(net, VisionTransformer):
            self.options["norm"] = False

    def forward(self, images: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Maps (N, C, h, w) of `blocks` (counted from 0) for images (N, 3, H, W) in [0, 1].

        The model's own mean and standard deviation are applied; class and register tokens are
        dropped; no final norm. Convolutional networks count stages instead of blocks. Raises
        `UserError` for a size that the model does not take, and for maps that are not an NCHW grid.
        """
        blocks = self.check_blocks(blocks)
        height, width = images.shape[-2:]
        uneven = (height % self.patch or width % self.patch) and (height, width) != self.own_size
        if uneven and hasattr(self.net, "patch_embed"):
            raise UserError(
                f"Images of {height}x{width} pixels don't divide into patches of {self.patch}: "
                f"use {crop_size((height, width), self.patch)} (Backbone.crop does it)."
            )
        try:
            given = (images - self.mean) / self.std
            maps = self.net.forward_intermediates(given, indices=list(blocks), **self.options)
        except torch.OutOfMemoryError:
            raise
        except (AssertionError, IndexError, RuntimeError) as error:  # windows, fixed positions
            own, reason = "x".join(map(str, self.own_size)), str(error).partition("\n")[0]
            raise UserError(
                f"{self.name} does not take {height}x{width} pixels ({reason}): use {own}, "
                f"which is its own size, or multiples of {self.patch}."
            ) from error
        for block, found in zip(blocks, maps, strict=True):
            self._check_map(block, found, (height, width))
        return maps

    @property
    def own_size(self) -> tuple[int, int]:
        """Height and width in pixels that the model was made for."""
        return tuple(self.net.pretrained_cfg.get("input_size", (3, 224, 224))[1:])  # timm's default

    def crop(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) to give the model instead of `size`: `crop_size`, but the model's own
        size as it is; printing a message if the size changes."""
        fitted = size if tuple(size) == self.own_size else crop_size(size, self.patch)
        if fitted != tuple(size):
            given, used = (f"{height}x{width}" for height, width in (size, fitted))
            print(f"The patch of {self.patch} px does not divide {given}: using {used} pixels.")
        return fitted

    def _check_map(self, block: int, found: Tensor, size: tuple[int, int]) -> None:
        # Some models count or order axes their own way, some resize any image to their own size.
        info = self.infos[block]
        over = [n - s / info["reduction"] for n, s in zip(found.shape[-2:], size, strict=True)]
        fits = found.ndim == 4 and found.shape[1] == info["num_chs"] and max(over) <= 1
        if fits and min(over) <= -1 and size != self.own_size:
            fits = found.shape[-2:] != self._own_grids[block]
        if not fits:
            raise UserError(
                f"{self.name} gives {tuple(found.shape)} at block {block} for images of "
                f"{size[0]}x{size[1]} pixels, which is not an NCHW map: choose another model."
            )

    @cached_property
    def _own_grids(self) -> list[torch.Size]:
        # By a copy, whose batch norms learn nothing of the blank image.
        net, blank = deepcopy(self.net).eval(), self.mean.new_zeros(1, 3, *self.own_size)
        with torch.no_grad():
            maps = net.forward_intermediates(blank, indices=[*range(self.depth)], **self.options)
        return [found.shape[-2:] for found in maps]

    def check_blocks(self, blocks: Sequence[int]) -> tuple[int, ...]:
        """The blocks as a tuple, or a `UserError` when they are not rising within the depth."""
        blocks = tuple(int(b) for b in blocks)
        if not blocks or list(blocks) != sorted(set(blocks)) or not 0 <= blocks[0] <= blocks[-1]:
            raise UserError(f"blocks={list(blocks)} must be rising block numbers counted from 0.")
        if blocks[-1] >= self.depth:
            raise UserError(f"blocks={list(blocks)}: {self.name} has blocks 0 to {self.depth - 1}.")
        return blocks

    def freeze(self) -> Self:
        """A teacher's state: eval mode, no gradients, and `train()` no longer changes that."""
        self.requires_grad_(False).eval()
        self.train = lambda mode=True: self  # a teacher inside a trained module stays as it is
        return self


def crop_size(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """The largest (height, width) within `size` that the patch divides."""
    if min(size) < patch:
        raise UserError(f"size={size} is smaller than one patch of {patch} pixels: enlarge it.")
    return size[0] // patch * patch, size[1] // patch * patch


def find_weights(name: str, weights: str | Path | None) -> Path | None:
    """The file of a model's weights: the explicit path, the one inside the package, or the one in
    the folder FREQKD_WEIGHTS that is called NAME or NAME.anything; None when timm must fetch it.
    `UserError` where two could be meant, or for a file or folder that does not exist."""
    if weights:
        if not (path := Path(weights).expanduser()).is_file():
            raise UserError(f"weights={path} does not exist: give the path of a safetensors file.")
        return path
    if name == TINY:
        if not TINY_WEIGHTS.is_file():
            raise UserError(f"{TINY_WEIGHTS} is missing: reinstall, or run tools/train_tiny.py.")
        return TINY_WEIGHTS
    if not os.environ.get("FREQKD_WEIGHTS"):
        return None
    folder = Path(os.environ["FREQKD_WEIGHTS"]).expanduser()
    if not folder.is_dir():
        raise UserError(f"FREQKD_WEIGHTS={folder} is not a folder: name the one with weights.")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in READERS]
    found = [path for path in files if f"{path.name}.".startswith(f"{name}.")]
    if len(found) > 1:
        raise UserError(
            f"{folder} holds {' and '.join(p.name for p in found)}, which are all called {name}: "
            "pass weights=FILE, or keep one."
        )
    return found[0] if found else None


def read_pickle(path: Path) -> dict[str, Tensor]:
    """A .pt or .pth file's tensors; nothing else in it is run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files, and one for code
        raise UserError(
            f"{path} is damaged, or holds more than tensors, which could run code: fetch it again, "
            "or convert it to safetensors where you trust it."
        ) from error
    for key in ("state_dict", "model"):  # what training scripts put around the weights
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    items = state.items() if isinstance(state, dict) else [(0, state)]
    if not all(isinstance(name, str) and isinstance(v, Tensor) for name, v in items):
        raise UserError(f"{path} holds no table of tensors by name: give a model's state_dict.")
    return state


READERS = {".safetensors": load_file, ".pt": read_pickle, ".pth": read_pickle}


def create_net(name: str) -> TimmModel:
    """The bare timm model without head and with random weights; ViTs take any size of image."""
    if not timm.is_model(name) or ("." in name and not timm.is_model_pretrained(name)):  # the tag
        raise unknown("timm model", name, [*timm.list_models(pretrained=True), TINY])
    try:
        return timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except TypeError:  # convolutional networks lack this argument
        return timm.create_model(name, pretrained=False, num_classes=0)


def load_backbone(name: str = TINY, weights: str | Path | None = None) -> Backbone:
    """A backbone with pretrained weights; `weights="random"` asks for none.

    Looks at `weights` (safetensors, or .pt and .pth that hold tensors alone), then the folder
    FREQKD_WEIGHTS, then timm's own download. Raises `UserError` naming all three when none gives
    weights; never substitutes.
    """
    net = create_net(name)
    if weights == "random":
        return Backbone(net, name, "random", sha256_state(net.state_dict()))
    if path := find_weights(name, weights):
        load_into(net, path, name)
        return Backbone(net, name, path.name, sha256_file(path))
    try:
        reach_hub(net.pretrained_cfg.get("hf_hub_id"))
        fetched: TimmModel = timm.create_model(name, pretrained=True, num_classes=0)
        net.load_state_dict(fetched.state_dict())
    except Exception as error:  # whatever the hub client raises: no network, gated, unknown
        raise UserError(
            f"No weights for {name}, and no download ({type(error).__name__}): take --model {TINY} "
            f"(in a notebook model={TINY}), which needs none, put {name}.safetensors into the "
            "folder FREQKD_WEIGHTS, or pass weights=FILE.safetensors."
        ) from error
    tag = fetched.pretrained_cfg.get("hf_hub_id") or fetched.pretrained_cfg.get("url") or "timm"
    return Backbone(net, name, f"timm:{tag}", sha256_state(net.state_dict()))


def load_into(net: nn.Module, path: Path, name: str) -> None:
    """Fill `net` from a file; `UserError` when it is unreadable or another model's."""
    if path.suffix not in READERS:
        raise UserError(f"weights={path} must end in {', '.join(READERS)}: convert the file.")
    try:
        state = {k: v.float() for k, v in READERS[path.suffix](path).items() if not v.is_complex()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable safetensors file: fetch it again.") from error
    counters = "num_batches_tracked"  # no weight: batch norm in eval mode never reads it
    own = {k: v for k, v in net.state_dict().items() if not k.endswith(counters)}
    for key in set(state) - set(own):  # num_classes=0 has no head
        if key.endswith(counters) or key.startswith(("head", "fc", "classifier")):
            del state[key]
    wrong = sorted(set(own) ^ set(state)) or [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise UserError(
            f"{path} does not fit {name} (for instance {wrong[0]!r}): give weights of "
            "that model, with timm's parameter names."
        )
    if spoilt := [k for k in own if not state[k].isfinite().all()]:
        raise UserError(f"{path} holds values that are not finite ({spoilt[0]!r}): fetch it again.")
    net.load_state_dict(state, strict=False)  # all but the counters was matched above


def extract(
    backbone: Backbone, images: Tensor, blocks: Sequence[int], batch: int = 16
) -> list[Tensor]:
    """Maps (N, C, h, w) of each block for images (N, 3, H, W), without gradients, in eval mode."""
    training = backbone.training
    backbone.eval()
    with torch.inference_mode():
        parts = [backbone(chunk, blocks) for chunk in images.split(batch)]
    backbone.train(training)
    # joined out here: inference tensors could not enter a later computation that records gradients
    return [torch.cat(maps) for maps in zip(*parts, strict=True)]


def joined(backbone: Backbone, images: Tensor, blocks: Sequence[int]) -> Tensor:
    """The maps of several blocks as one, (N, sum of C, h, w)."""
    return torch.cat(extract(backbone, images, blocks), dim=1)
