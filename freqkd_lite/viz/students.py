"""What distillation did to a student's features: figures of `freqkd demo`.

Figures come back with their description for readers who can't see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from freqkd_lite.gap.study import Gap
from freqkd_lite.gap.tables import select
from freqkd_lite.names import method_name
from freqkd_lite.spectrum import at_least_float32
from freqkd_lite.viz.gap import draw_curve, limits
from freqkd_lite.viz.style import colour


def before_and_after(gap: Gap, methods: Mapping[str, str]) -> tuple[Figure, str]:
    """Divergence from the teacher on RGB against rho, a panel a block, from a measured gap;
    `methods` names the method of each of its controls."""
    blocks = gap.about["blocks"]
    figure, axes = plt.subplots(1, len(blocks), figsize=(7, 3), sharey=True, squeeze=False)
    described = []
    for ax, block in zip(axes[0], blocks, strict=True):
        limits(ax, words=ax is axes[0, 0], identical="the teacher itself")
        for control, method in methods.items():
            rows, look = select(gap.rings, control=control, block=block), colour(method)
            ends = draw_curve(ax, rows, method_name(method), color=look, marker="o", ms=3)
            described += [f"block {block}, {text}" for text in ends]
        ax.set(title=f"block {block}", xlabel="rho", ylim=(-0.04, 1.15), xticks=(0, 0.5, 1))
    axes[0, 0].set_ylabel("divergence from teacher")
    title = "Which frequencies did the student learn?"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
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
    panels = {
        title: p.clamp(0, 1).permute(0, 2, 3, 1).numpy() for title, p in (photographs or {}).items()
    }
    shown = panels | dict(zip(columns, pictures, strict=True))
    height = target.shape[-2] / target.shape[-1]
    size = (7, 0.3 + len(names) * (6.6 / len(shown) * height + 0.06))
    figure, axes = plt.subplots(len(names), len(shown), figsize=size, squeeze=False)
    for row, label in enumerate(names):
        for ax, (title, picture) in zip(axes[row], shown.items(), strict=True):
            ax.imshow(picture[row])
            ax.set(xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
            if row == 0:
                ax.set_title(title, fontsize=9.5, fontweight="normal")
        axes[row, 0].set_ylabel(label if len(label) < 16 else f"{label[:14]}…", fontsize=8)
    near = "; ".join(
        f"{title} {_correlation(pictures[0], p):.2f}"
        for title, p in zip(list(columns)[1:], pictures[1:], strict=True)
    )
    return figure, (
        f"Features of block {block} as colours, {len(names)} held-out pairs: three principal "
        f"components of {next(iter(columns))}, which hold {share:.0%} of its variance. Correlation "
        f"with its colours: {near}."
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over colours of Pearson's correlation."""
    return float(
        np.mean([np.corrcoef(a[..., k].ravel(), b[..., k].ravel())[0, 1] for k in range(3)])
    )
