"""The tables of a measured gap, from the numbers that were kept of each image.

Intervals are 95 % percentile bootstrap over images. The draws depend on the number of images alone,
so that differences between pairings of the same images are paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import multiplicities, percentiles
from freqkd_lite.gap.controls import LIGHTS
from freqkd_lite.gap.store import Arrays
from freqkd_lite.spectrum import BANDS, METRICS
from freqkd_lite.spectrum.similarity import cka
from freqkd_lite.viz.gap import EDGES

DRAWS = 1000  # of the bootstrap over images


def resampled(table: np.ndarray, seed: int) -> np.ndarray:
    """(1 + draws, ...): means over the images of a table (n, ...), first of all as they are."""
    n = len(table)
    weights = multiplicities(n, DRAWS, seed).numpy() / n
    weights = np.concatenate([np.full((1, n), 1 / n), weights])
    return np.tensordot(weights, table, 1)


def spanned(name: str, draws: np.ndarray, interval: str = "") -> dict:
    """{name: the first value, interval: that of the others}; None where it does not exist."""
    exists = np.isfinite(draws[0])
    span = list(percentiles(draws[1:])) if exists and np.isfinite(draws[1:]).any() else None
    return {name: float(draws[0]) if exists else None, interval or f"{name}_interval": span}


def _ratio(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = high / low
    ratio[~np.isfinite(ratio)] = np.nan
    return ratio


def _levels(sums: np.ndarray, counts: np.ndarray, metric: str, seed: int) -> np.ndarray:
    """(1 + draws, layers, bands and rings) of a metric."""
    means = torch.from_numpy(resampled(sums, seed))[None]
    level = METRICS[metric](means, torch.from_numpy(counts)).numpy()
    level[np.abs(level) < 1e-12] = 0  # the cosine of a vector with itself, but for rounding
    return level


def describe(
    sums: dict[str, np.ndarray],
    counts: dict[str, np.ndarray],
    layers: Sequence[int],
    seed: int = 0,
    bands: Sequence[str] = BANDS,
) -> dict:
    """What follows from `image_sums` and `bin_counts` by pairing.

    `rows`: `block`, `band`, `metric`, `pairing`, `low`, `high`, `ratio` = high / low with its
    `interval`, `n`. `summary`: the same averaged over blocks, with intervals of all three.
    `contrasts`: the first pairing less each other one on the images of both, averaged over blocks.
    `rings`: the normalised divergence in each ring of rho. A number that does not exist (0 / 0) is
    None.
    """
    rows, summary, contrasts, rings = [], [], [], []
    first = next(iter(sums))
    for pairing, table in sums.items():
        n = len(table)
        for metric in METRICS:
            level = _levels(table, counts[pairing], metric, seed)
            about = {"metric": metric, "pairing": pairing, "n": n}
            beside = None
            if pairing != first and pairing not in LIGHTS:
                beside = _levels(sums[first][:n], counts[first], metric, seed)
            for i, band in enumerate(bands):
                low, high = level[..., 2 * i], level[..., 2 * i + 1]  # (1 + draws, layers)
                if not (np.isfinite(low) & np.isfinite(high)).all():
                    raise UserError("A band holds no energy: are all pictures of one colour?")
                ratio = _ratio(high, low)
                for j, block in enumerate(layers):
                    rows.append({"block": int(block), "band": band, **about,
                                 "low": float(low[0, j]), "high": float(high[0, j]),
                                 **spanned("ratio", ratio[:, j], "interval")})  # fmt: skip
                summary.append(
                    {"band": band, **about, **spanned("low", low.mean(1)),
                     **spanned("high", high.mean(1)),
                     **spanned("ratio", ratio.mean(1), "interval")}
                )  # fmt: skip
                if beside is not None:
                    own = beside[..., 2 * i : 2 * i + 2].mean(1)
                    contrasts.append({"band": band, **about,
                                      **spanned("low", own[:, 0] - low.mean(1)),
                                      **spanned("high", own[:, 1] - high.mean(1))})  # fmt: skip
            if metric == "normalised":
                for j, block in enumerate(layers):
                    for k, (inner, outer) in enumerate(zip(EDGES, EDGES[1:], strict=False)):
                        value = spanned("value", level[:, j, 2 * len(bands) + k], "interval")
                        rings.append({"block": int(block), "pairing": pairing,
                                      "rho": [inner, outer], **value})  # fmt: skip
    return {"rows": rows, "summary": summary, "contrasts": contrasts, "rings": rings}


def alike(
    tables: dict[str, Arrays], layers: Sequence[int], bands: Sequence[str], seed: int = 0
) -> dict:
    """`cka`: debiased linear CKA of each `block`, `band`, `level` (low, high) and `pairing` that it
    was measured for; `mmd`: the same of the high bands. Each with `value`, `interval`, `n`."""
    found = {"cka": [], "mmd": []}
    for pairing, table in tables.items():
        if "hsic" not in table:
            continue
        n = len(table["sums"])
        similar = cka(torch.from_numpy(resampled(table["hsic"], seed))[None]).numpy()
        apart = resampled(table["mmd"], seed)
        for j, block in enumerate(layers):
            for i, band in enumerate(bands):
                about = {"block": int(block), "band": band, "pairing": pairing, "n": n}
                for k, level in enumerate(("low", "high")):
                    value = spanned("value", similar[:, j, i, k], "interval")
                    found["cka"].append(about | {"level": level} | value)
                value = spanned("value", apart[:, j, i], "interval")
                found["mmd"].append(about | {"level": "high"} | value)
    return found


def pictures(table: Arrays, edges: Sequence[float], cutoff: float, seed: int = 0) -> dict:
    """`images`: of each modality the log-log `slope` of its power spectrum, `energy`, the share
    beyond `cutoff`, and its mean `power` in rings of rho, with intervals, all None where no picture
    has one. `light`: how many pairs of each time of day."""
    found = []
    for i, modality in enumerate(("visible", "infrared")):
        entry = {"modality": modality, "cutoff": cutoff}
        for name in ("slope", "energy"):
            values = table[name][:, i]
            values = values[np.isfinite(values)]
            entry[f"{name}_n"] = len(values)
            draws = resampled(values, seed) if len(values) > 1 else np.full(2, np.nan)
            entry |= spanned(name, draws)
        power = resampled(table["power"][:, i], seed)
        entry["power"] = [
            {"rho": [inner, outer], **spanned("value", power[:, k], "interval")}
            for k, (inner, outer) in enumerate(zip(edges, edges[1:], strict=False))
        ]
        found.append(entry)
    light, times = table["light"], (*LIGHTS, "")
    return {"images": found, "light": {t or "unknown": int((light == t).sum()) for t in times}}


def coherence(curves: dict[str, list[list[dict]]], layers: Sequence[int]) -> list[dict]:
    """Rows `pairing`, `block` (None for the pictures' own), `rho`, `value`, `interval`, `n`."""
    found = []
    for pairing, blocks in curves.items():
        named = [None] if pairing == "pictures" else layers
        for block, rings in zip(named, blocks, strict=False):
            found += [{"pairing": pairing, "block": block, **ring} for ring in rings]
    return found


def alignment(
    tables: dict[str, Arrays], layers: Sequence[int], bands: Sequence[str], seed: int = 0
) -> dict | None:
    """What a translation of each pair changes: `n` pairs, of which `clear` had a clear estimate and
    `moved` were moved by it; the clear ones' `median` length in pixels; `share`: the
    normalised divergence of "aligned" over that of "cropped" pairs, by `band`, mean over blocks.
    None without those two pairings."""
    if not {"aligned", "cropped"} <= set(tables):
        return None
    offsets = tables["aligned"]["offsets"]
    clear = offsets[:, 2] > 0
    lengths = np.hypot(*offsets[clear, :2].T)
    share = []
    for i, band in enumerate(bands):
        entry = {"band": band}
        for k, level in enumerate(("low", "high")):
            # Divergence doesn't ask how many bins a band has.
            after, before = (
                _levels(tables[name]["sums"], np.ones(1), "normalised", seed)[..., 2 * i + k]
                for name in ("aligned", "cropped")
            )
            entry |= spanned(level, _ratio(after.mean(1), before.mean(1)))
        share.append(entry)
    return {
        "n": len(offsets), "clear": int(clear.sum()), "moved": int(offsets[:, 3].sum()),
        "median": float(np.median(lengths)) if clear.any() else None, "share": share,
    }  # fmt: skip
