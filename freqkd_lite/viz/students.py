"""What distillation did to a student's features: figures of `freqkd demo`."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from freqkd_lite.gap.study import Gap
from freqkd_lite.gap.tables import select
from freqkd_lite.names import method_name
from freqkd_lite.spectrum import at_least_float32
from freqkd_lite.viz.bands import picture_grid
from freqkd_lite.viz.gap import block_panels, draw_curve
from freqkd_lite.viz.style import colour, legend_below


def before_and_after(gap: Gap, methods: Mapping[str, str]) -> tuple[Figure, str]:
    """Divergence from the teacher on RGB against rho, a panel a block, from a measured gap;
    `methods` names the method of each of its controls."""
    blocks = gap.about["blocks"]
    title, label = "Which frequencies did the student learn?", "divergence from teacher"
    figure, axes = block_panels(blocks, title, label, identical="the teacher itself")
    described = []
    for ax, block in zip(axes, blocks, strict=True):
        for control, method in methods.items():
            rows = select(gap.rings, control=control, block=block)
            ends = draw_curve(ax, rows, method_name(method), color=colour(method), ms=3)
            described += [f"block {block}, {text}" for text in ends]
    legend_below(figure, axes[0])
    return figure, (
        "Divergence from the teacher on RGB against rho, slowest to fastest ring: "
        f"{'; '.join(described)}."
    )


def principal_colours(target: Tensor, others: Sequence[Tensor]) -> tuple[list[np.ndarray], float]:
    """Maps (N, C, h, w) as pictures (N, h, w, 3) in [0, 1], the target's first, and the share of
    its variance that three components hold.

    Red, green and blue are the first three principal components of the target's tokens over all N
    maps. All maps are projected on that one basis and scaled by the target's 2nd and 98th
    percentiles, so that equal colours are equal features. A component's sign is free: the one that
    makes its largest weight positive is taken.
    """
    tokens = [at_least_float32(m).permute(0, 2, 3, 1) for m in (target, *others)]
    mean = tokens[0].mean((0, 1, 2))
    flat = (tokens[0] - mean).flatten(0, 2)
    _, strength, basis = torch.linalg.svd(flat, full_matrices=False)
    basis = basis[:3]
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    basis = (basis * largest.sign()).T
    low, high = torch.quantile(flat @ basis, torch.tensor([0.02, 0.98]).to(flat), dim=0)
    pictures = [(((t - mean) @ basis - low) / (high - low)).clamp(0, 1).numpy() for t in tokens]
    return pictures, float(strength[:3].square().sum() / strength.square().sum())


def side_by_side(
    names: Sequence[str],
    columns: Mapping[str, Tensor],
    block: int,
    photographs: Mapping[str, Tensor] | None = None,
) -> tuple[Figure, str]:
    """A row a pair: its `photographs` (title -> (N, 3, H, W)), if they may be shown, then the
    features of each of `columns` (title -> (N, C, h, w)) in the first one's `principal_colours`."""
    target, *others = columns.values()
    pictures, share = principal_colours(target, others)
    features = [torch.from_numpy(each).permute(0, 3, 1, 2) for each in pictures]
    shown = dict(photographs or {}) | dict(zip(columns, features, strict=True))
    figure, axes = picture_grid(shown)
    for ax, label in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(label if len(label) < 16 else f"{label[:14]}…", fontsize=8)
    near = []
    for title, picture in zip(list(columns)[1:], pictures[1:], strict=True):
        both = zip(pictures[0].reshape(-1, 3).T, picture.reshape(-1, 3).T, strict=True)
        near.append(f"{title} {np.mean([np.corrcoef(a, b)[0, 1] for a, b in both]):.2f}")
    return figure, (
        f"Features of block {block} as colours, {len(names)} held-out pairs: three principal "
        f"components of {next(iter(columns))}, which hold {share:.0%} of its variance. Correlation "
        f"with its colours, mean over the three: {'; '.join(near)}."
    )
