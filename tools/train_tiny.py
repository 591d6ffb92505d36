"""Train freqkd_tiny, the small ViT that lives inside the package.

    python tools/train_tiny.py --work build/tiny --scenes 8192 --epochs 10 --start OLD.safetensors

Learns from the scenes' RGB alone, three ways at once: DINOv2 ViT-S/14's features of the same
picture (blocks 5 and 11, standardised, through a linear map that is thrown away), the scenes' masks
(share of each class in a patch) and their boxes (which patches an object's box covers); infrared is
never shown. Without DINOv2's weights it learns from masks and boxes alone, and the card says so.
Every stage resumes where it stopped, and --start begins with weights of an earlier training, of the
same network or of one with narrower MLPs. The weights kept are a moving average.
The split "pretrain" of the scenes is used for training and for nothing else in the project.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from timm.layers import set_fused_attn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import patch_labels
from freqkd_lite.features import TINY, Backbone, create_net, extract, load_backbone
from freqkd_lite.scenes import CLASSES, GENERATOR_VERSION, MASK_CLASSES
from freqkd_lite.store import write_json

DINO, DINO_BLOCKS = "vit_small_patch14_dinov2.lvd142m", (5, 11)
TINY_BLOCKS = (4, 7)
SIZE, PATCH = (168, 224), 14

RARE = torch.tensor([4.0 if name in CLASSES else 1.0 for name in MASK_CLASSES])
COMMON = 4.0  # how often a patch of nothing stands beside one of a thing, in the boxes' loss
AVERAGE = 0.998  # of the moving average of the weights, a step


def memmap(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """A disk array that is created once and opened again after a stop."""
    mode = "r+" if path.is_file() else "w+"
    if mode == "r+":
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def class_shares(mask: Tensor) -> Tensor:
    """Share of each mask class in each patch: (H, W) ids -> (classes, h, w)."""
    onehot = F.one_hot(mask, len(MASK_CLASSES)).permute(2, 0, 1).float()
    return F.avg_pool2d(onehot[None], PATCH)[0]


def covered(pair: data.Pair, grid: tuple[int, int]) -> Tensor:
    """Which patches a box of each thing covers: bool (things, h, w)."""
    things = len(CLASSES)
    ids = patch_labels(pair.boxes, pair.labels, grid, PATCH, things)
    return F.one_hot(ids, things + 1).permute(2, 0, 1)[:things].bool()


def prepare(work: Path, count: int) -> dict[str, np.ndarray]:
    """Render the scenes and compute DINOv2's features, in chunks that are counted on disk."""
    work.mkdir(parents=True, exist_ok=True)
    grid = (SIZE[0] // PATCH, SIZE[1] // PATCH)
    try:
        dino: Backbone | None = load_backbone(DINO).freeze()
    except UserError as error:
        print(f"No DINOv2, learning from masks alone: {error}")
        dino = None
    pairs = data.load("scenes", "pretrain", SIZE, limit=count)
    arrays = {
        "visible": memmap(work / "visible.npy", "uint8", (count, 3, *SIZE)),
        "shares": memmap(work / "shares.npy", "float16", (count, len(MASK_CLASSES), *grid)),
        "boxes": memmap(work / "boxes.npy", "bool", (count, len(CLASSES), *grid)),
    }
    for block in DINO_BLOCKS if dino else ():
        arrays[f"dino{block}"] = memmap(work / f"dino{block}.npy", "float16", (count, 384, *grid))
    precision, done_file = faster_precision(), work / "prepared.json"
    done = json.loads(done_file.read_text())["done"] if done_file.is_file() else 0
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(pairs, range(done, count)),
        batch_size=32,
        num_workers=1,
        collate_fn=lambda batch: batch,
    )
    for batch in tqdm(loader, desc="scenes", initial=done // 32, total=count // 32):
        here = slice(done, done + len(batch))
        visible = torch.stack([pair.visible for pair in batch])
        arrays["visible"][here] = (visible * 255).round().byte().numpy()
        arrays["shares"][here] = torch.stack([class_shares(p.mask) for p in batch]).half().numpy()
        arrays["boxes"][here] = torch.stack([covered(p, grid) for p in batch]).numpy()
        if dino:
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                seen = extract(dino, visible, DINO_BLOCKS)
            for block, maps in zip(DINO_BLOCKS, seen, strict=True):
                arrays[f"dino{block}"][here] = maps.half().numpy()
        done += len(batch)
        for array in arrays.values():
            array.flush()
        write_json(done_file, {"done": done, "dino": dino.checksum if dino else None})
    return arrays


@torch.no_grad()
def grow(net: nn.Module, state: dict[str, Tensor]) -> None:
    """Fill `net` from weights with MLPs as wide or narrower: what is new counts nothing yet."""
    for name, value in net.state_dict().items():
        old = state[name]
        if name.endswith("mlp.fc2.weight"):
            value.zero_()
        value[tuple(slice(n) for n in old.shape)] = old


class Pupil(nn.Module):
    """freqkd_tiny with the heads that are thrown away after training."""

    def __init__(self, dino_blocks: tuple[int, ...], start: Path | None = None):
        super().__init__()
        net = create_net(TINY)
        if start is not None:
            grow(net, load_file(start))
        width = net.embed_dim
        self.backbone = Backbone(net, TINY, "random", None)
        self.maps = nn.ModuleDict({f"dino{b}": nn.Conv2d(width, 384, 1) for b in dino_blocks})
        self.classes = nn.Sequential(
            nn.GroupNorm(1, 2 * width), nn.Conv2d(2 * width, len(MASK_CLASSES) + len(CLASSES), 1)
        )


def jitter(images: Tensor, draw: torch.Generator) -> Tensor:
    """Brightness, contrast, colour and gamma drawn per image: cameras differ."""
    n = len(images)
    rand = lambda low, high, *shape: low + (high - low) * torch.rand(n, *shape, generator=draw)  # noqa: E731
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * rand(0.3, 1.3, 1, 1, 1)
    images = images.clamp(1e-3, 1) ** rand(0.7, 1.4, 1, 1, 1) * rand(0.8, 1.2, 3, 1, 1)
    return images.clamp(0, 1)


def losses(pupil: Pupil, images: Tensor, targets: dict[str, Tensor], stats: dict) -> dict:
    """Smooth L1 to DINOv2's standardised features, and cross-entropy to the class shares."""
    middle, last = pupil.backbone(images, TINY_BLOCKS)
    both = pupil.classes(torch.cat([middle, last], 1))
    shares, boxes = both.split([len(MASK_CLASSES), len(CLASSES)], 1)
    # things are rare: their patches count more
    rare = torch.full((len(CLASSES), 1, 1), COMMON)
    out = {
        "classes": F.cross_entropy(shares, targets["shares"], RARE / RARE.mean()),
        "boxes": F.binary_cross_entropy_with_logits(boxes, targets["boxes"], pos_weight=rare),
    }
    for (key, head), maps in zip(pupil.maps.items(), (middle, last), strict=True):
        mean, std = stats[key]
        out[key] = F.smooth_l1_loss(head(maps), (targets[key] - mean) / std)
    return out


def faster_precision() -> torch.dtype:
    """bf16 where this machine multiplies it faster than fp32, measured, else fp32."""
    spent = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(1024, 1024).to(dtype)
        a @ a
        start = time.perf_counter()
        for _ in range(5):
            a @ a
        spent[dtype] = time.perf_counter() - start
    return min(spent, key=spent.get)


def train(
    arrays: dict[str, np.ndarray],
    work: Path,
    epochs: int,
    batch: int,
    lr: float,
    begin: Path | None,
) -> nn.Module:
    """The pupil's backbone after training: the moving average of its weights."""
    dino_blocks = tuple(b for b in DINO_BLOCKS if f"dino{b}" in arrays)
    torch.manual_seed(0)
    set_fused_attn(False)  # its backward pass takes three times as long on a CPU
    pupil = Pupil(dino_blocks, begin)
    average = AveragedModel(pupil.backbone.net, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
    stats = {}
    for key in pupil.maps:
        sample = torch.from_numpy(arrays[key][:256].astype(np.float32))
        stats[key] = (sample.mean((0, 2, 3), keepdim=True), sample.std((0, 2, 3), keepdim=True))
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=lr, weight_decay=0.05, betas=(0.9, 0.99))
    count = len(arrays["visible"])
    per_epoch = count // batch
    total, start, saved = epochs * per_epoch, 0, work / "checkpoint.pt"
    if saved.is_file():
        state = torch.load(saved, weights_only=True)
        pupil.load_state_dict(state["pupil"])
        optimiser.load_state_dict(state["optimiser"])
        average.load_state_dict(state["average"])
        start = state["epoch"]
    precision = faster_precision()
    for epoch in range(start, epochs):
        draw = torch.Generator().manual_seed(epoch)
        order = torch.randperm(count, generator=draw).tolist()
        bar = tqdm(range(per_epoch), desc=f"epoch {epoch + 1}/{epochs} {precision}")
        sums: dict[str, float] = {}
        for i in bar:
            step = epoch * per_epoch + i
            rate = lr * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / total))
            for group in optimiser.param_groups:
                group["lr"] = rate
            index = sorted(order[i * batch : (i + 1) * batch])
            flip = torch.rand(1, generator=draw).item() < 0.5
            get = {k: torch.from_numpy(a[index]).float() for k, a in arrays.items()}
            if flip:
                get = {k: v.flip(-1) for k, v in get.items()}
            images = jitter(get.pop("visible") / 255, draw)
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                parts = losses(pupil, images, get, stats)
            total_loss = sum(v * (2 if k.startswith("dino") else 1) for k, v in parts.items())
            optimiser.zero_grad(set_to_none=True)
            total_loss.backward()
            nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(pupil.backbone.net)
            for key, value in parts.items():
                sums[key] = sums.get(key, 0) + value.item() / per_epoch
            if i % 20 == 0:
                bar.set_postfix({k: f"{v.item():.3f}" for k, v in parts.items()})
        print(json.dumps({"epoch": epoch + 1} | {k: round(v, 4) for k, v in sums.items()}))
        beside = saved.with_suffix(".part")
        state = {"pupil": pupil.state_dict(), "average": average.state_dict()}
        torch.save(state | {"optimiser": optimiser.state_dict(), "epoch": epoch + 1}, beside)
        beside.replace(saved)
    return average.module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/tiny"))
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--out", type=Path, default=Path("freqkd_lite/assets"))
    args = parser.parse_args()
    started = time.perf_counter()
    arrays = prepare(args.work, args.scenes)
    net = train(arrays, args.work, args.epochs, args.batch, args.lr, args.start)
    args.out.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().half().contiguous() for k, v in net.state_dict().items()}
    note = {
        "model": TINY,
        "scenes": str(args.scenes),
        "epochs": str(args.epochs),
        "generator": str(GENERATOR_VERSION),
        "start": str(args.start is not None),
        "dino": str("dino11" in arrays),
    }
    save_file(state, args.out / f"{TINY}.safetensors", metadata=note)
    print(f"{args.out / TINY}.safetensors written, {(time.perf_counter() - started) / 60:.0f} min")


if __name__ == "__main__":
    main()
