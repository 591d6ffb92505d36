"""Tables (pandas) of a measured gap, from the numbers of each image.

Intervals are 95 % percentile bootstrap over images. The draws depend on the number of images alone,
so that differences between controls on the same images are paired.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import Resampled
from freqkd_lite.gap.controls import TIMES
from freqkd_lite.gap.measures import masks
from freqkd_lite.gap.rings import EDGES, resampled, resampled_metric
from freqkd_lite.spectrum import METRICS
from freqkd_lite.spectrum.similarity import cka
from freqkd_lite.store import Arrays

AUTHORS = "authors"  # in the column `band`: the authors' own definition
MEAN = "mean"  # in the column `block`: the average over blocks


def select(table: pd.DataFrame, **fields: object) -> pd.DataFrame:
    """The rows whose columns equal the given values."""
    return table.loc[(table[list(fields)] == pd.Series(fields)).all(axis=1)]


def as_entry(measured: Resampled) -> dict:
    """Each figure by its name, and its interval as NAME_interval (of "value" and "ratio" as
    interval); None where it is not defined."""
    found = {}
    for name in measured.estimates:
        found[name], span = measured.figure(name)
        found["interval" if name in ("value", "ratio") else f"{name}_interval"] = span and [*span]
    return found


def estimates(**figures: np.ndarray) -> dict:
    """`as_entry` of figures (1 + draws,)."""
    return as_entry(Resampled.of(figures, truth=torch.zeros(0), seed=0))


def _ratio(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = high / low
    return np.where(np.isfinite(ratio), ratio, np.nan)


def divergences(
    tables: dict[str, Arrays], blocks: Sequence[int], bands: Sequence[str], seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Tables of the divergence in bands and rings, from `measures.of_maps` by control.

    `levels`: `low`, `high` and `ratio` = high / low, each with its interval, by control, metric,
    band and block ("mean": averaged over blocks). `contrasts`: the first control minus each other
    one on the images of both, averaged over blocks. `rings`: the normalised divergence in each
    ring of rho. What is not defined (0 / 0) is None. In the band
    "authors" a ratio is that of means over images and blocks (see `spectrum.authors_reading`).
    """
    levels, contrasts, rings = [], [], []
    first = next(iter(tables))

    def draws(control: str, metric: str, n: int) -> np.ndarray:  # (1 + draws, blocks, masks)
        table = tables[control]
        counts = np.stack([masks(grid, bands).sum((1, 2)) for grid in table["grids"][0]])
        return resampled_metric(table["sums"][:n], counts, metric, seed)

    def add_levels(about: dict, *values: np.ndarray) -> None:  # low, high and ratio by block
        for block, low, high, ratio in zip([*blocks, MEAN], *(v.T for v in values), strict=True):
            levels.append(about | {"block": block} | estimates(low=low, high=high, ratio=ratio))

    for control, metric in product(tables, METRICS):
        n = len(tables[control]["sums"])
        level = draws(control, metric, n)
        less = None if control in (first, *TIMES) else draws(first, metric, n) - level
        for i, band in enumerate(bands):
            low, high = level[..., 2 * i], level[..., 2 * i + 1]
            if not (np.isfinite(low) & np.isfinite(high)).all():
                raise UserError("A band holds no energy: are all pictures of one colour?")
            about = {"control": control, "metric": metric, "band": band, "n": n}
            values = np.stack([low, high, _ratio(high, low)])  # (3, 1 + draws, blocks)
            add_levels(about, *np.append(values, values.mean(2, keepdims=True), 2))
            if less is not None:
                low, high = less[..., 2 * i : 2 * i + 2].mean(1).T
                contrasts.append(about | estimates(low=low, high=high))
        if metric == "normalised":
            rings += [
                {"control": control, "block": block, "rho": list(EDGES[k : k + 2])}
                | estimates(value=level[:, j, 2 * len(bands) + k])
                for (j, block), k in product(enumerate(blocks), range(len(EDGES) - 1))
            ]
    for control, (k, metric) in product(tables, enumerate(METRICS)):
        table = tables[control][AUTHORS]
        drawn = resampled(table[..., k], seed)  # (1 + draws, blocks, 2)
        low, high = np.moveaxis(np.append(drawn, drawn.mean(1, keepdims=True), 1), 2, 0)
        about = {"control": control, "metric": metric, "band": AUTHORS, "n": len(table)}
        add_levels(about, low, high, _ratio(high, low))
    found = {"levels": levels, "contrasts": contrasts, "rings": rings}
    return {name: frame(rows) for name, rows in found.items()}


def similarities(
    tables: dict[str, Arrays], blocks: Sequence[int], bands: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Debiased linear CKA of the low and the high band (`measure`: "cka") by control, band and
    block, for the controls it was measured for."""
    rows = []
    for control, table in tables.items():
        if "hsic" not in table:
            continue
        similar = cka(torch.from_numpy(resampled(table["hsic"], seed))[None]).numpy()
        for (j, block), (i, band) in product(enumerate(blocks), enumerate(bands)):
            about = {"control": control, "band": band, "block": block, "n": len(table["sums"])}
            for level, draws in zip(("low", "high"), similar[:, j, i].T, strict=True):
                rows.append(about | {"measure": "cka", "level": level} | estimates(value=draws))
    return frame(rows)


def pictures(
    table: Arrays, edges: Sequence[float], seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of each modality, (1) the log-log `slope` of its power spectrum and the share of `energy`
    above `measures.CUTOFF`, and (2) its mean power in rings of rho."""
    images, power = [], []
    for i, modality in enumerate(("visible", "infrared")):
        row = {"modality": modality}
        for name in ("slope", "energy"):
            values = table[name][:, i]
            values = values[np.isfinite(values)]
            draws = resampled(values, seed) if len(values) > 1 else np.full(2, np.nan)
            row |= estimates(**{name: draws}) | {f"{name}_n": len(values)}
        images.append(row)
        rings = resampled(table["power"][:, i], seed)
        power += [
            {"modality": modality, "rho": list(edges[k : k + 2])} | estimates(value=rings[:, k])
            for k in range(len(edges) - 1)
        ]
    return frame(images), frame(power)


def alignment(tables: dict[str, Arrays], bands: Sequence[str], seed: int = 0) -> dict | None:
    """What a translation of each pair changes: `n` pairs, of which `clear` had a clear estimate and
    `moved` were moved by it; the clear ones' `median` length in pixels; `share`: the normalised
    divergence of "aligned" over that of "cropped" pairs, one row per band, mean over blocks. None
    without both controls."""
    if not {"aligned", "cropped"} <= set(tables):
        return None
    offsets = tables["aligned"]["offsets"]
    clear = offsets[:, 2] > 0
    after, before = (
        resampled_metric(tables[name]["sums"], np.ones(1), "normalised", seed).mean(1)
        for name in ("aligned", "cropped")
    )
    share = _ratio(after, before)
    sides = ((band, share[:, 2 * i], share[:, 2 * i + 1]) for i, band in enumerate(bands))
    shares = [{"band": band} | estimates(low=low, high=high) for band, low, high in sides]
    return {
        "n": len(offsets),
        "clear": int(clear.sum()),
        "moved": int(offsets[:, 3].sum()),
        "median": float(np.median(np.hypot(*offsets[clear, :2].T))) if clear.any() else None,
        "share": shares,
    }


def frame(rows: list[dict]) -> pd.DataFrame:
    """A table in which what is missing is None, and whole numbers stay whole."""
    found = pd.DataFrame(rows, dtype=object)
    return found.where(found.notna(), None)
