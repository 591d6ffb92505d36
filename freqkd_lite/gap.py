"""How far the features of two spectra part in each band, for any number of pairs.

Pairs stream through the backbone in batches. Of each batch only sums per image are kept, and they
are written at once: memory stays the same however many pairs there are, and a measurement that was
stopped goes on where it was. Every metric, band and interval follows from those sums.
"""

from __future__ import annotations

import errno
import inspect
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite.controls import PAIRINGS, Views, spread
from freqkd_lite.data import PairSet, require
from freqkd_lite.errors import Interrupted, UserError, unknown
from freqkd_lite.evaluate.stats import multiplicities, percentiles
from freqkd_lite.features import Backbone, sha256_state
from freqkd_lite.figures.gap import EDGES
from freqkd_lite.runs import code_version, run_key, runs_folder, write_whole
from freqkd_lite.spectrum import (
    BANDS,
    METRICS,
    band_counts,
    band_sums,
    ring_counts,
    ring_sums,
)

SCHEMA = "freqkd-gap/1"
DEFAULT_MODEL = "vit_small_patch14_dinov2.lvd142m"
# What decides the sums; a change in any of these files asks for new ones.
CODE = ("data/*.py", "features.py", "spectrum.py", "losses.py", "controls.py", "gap.py")
DRAWS = 1000  # of the bootstrap over images


def default_layers(depth: int) -> tuple[int, ...]:
    """The last block of each quarter: 2, 5, 8, 11 of twelve."""
    return tuple(sorted({max(0, depth * k // 4 - 1) for k in (1, 2, 3, 4)}))


def image_sums(a: Sequence[Tensor], b: Sequence[Tensor]) -> np.ndarray:
    """(N, layers, 2 x bands + rings, 3) from maps (N, C, h, w) of each layer: per image the sums
    of |A|^2, |B|^2 and |A - B|^2 over low and high of `BANDS`, then over the rings of `EDGES`."""
    parts = [
        torch.cat([band_sums(x, y, BANDS).flatten(1, 2), ring_sums(x, y, EDGES)], 1)
        for x, y in zip(a, b, strict=True)
    ]
    return torch.stack(parts, 1).double().numpy()


def bin_counts(grids: Sequence[Sequence[int]]) -> np.ndarray:
    """(layers, 2 x bands + rings): bins in each of the bands and rings of `image_sums`."""
    return np.stack(
        [torch.cat([band_counts(h, w, BANDS).flatten(), ring_counts(h, w, EDGES)]).numpy()
         for h, w in grids]
    )  # fmt: skip


def stream(
    pairs: PairSet,
    order: Sequence[int],
    backbone: Backbone,
    layers: Sequence[int],
    batch: int,
    student: Backbone | None = None,
    skip: Sequence[int] = (),
) -> Iterator[tuple[int, Views]]:
    """(place, `Views`) of each batch of `order` but those whose place is in `skip`. Of the batch
    before, only the last picture's maps are kept; where there are none, that picture is read
    again."""
    kept: tuple[int, list[Tensor]] = (-2, [])
    for start in range(0, len(order), batch):
        if start in skip:
            continue
        chosen = [pairs[i] for i in order[start : start + batch]]
        images = {
            kind: torch.stack([getattr(pair, kind) for pair in chosen])
            for kind in ("visible", "infrared")
        }

        def before(start: int = start, kept: tuple = kept) -> list[Tensor]:
            if kept[0] == start - 1:
                return kept[1]
            picture = pairs[order[start - 1]].infrared[None]  # of the first batch: the last picture
            return Views(backbone, layers, {"infrared": picture})("infrared")

        views = Views(backbone, layers, images, before, student)
        yield start, views
        kept = (-2, [])
        if views.seen("infrared"):
            maps = [m[-1:].clone() for m in views("infrared")]
            kept = (start + len(chosen) - 1, maps)


def measure(
    pairs: PairSet,
    backbone: Backbone,
    layers: Sequence[int] | None = None,
    pairings: Sequence[str] = ("real", "shuffled"),
    count: int | None = None,
    student: Backbone | None = None,
    seed: int = 0,
    batch: int = 8,
    runs: str | Path | None = None,
    progress: bool = True,
) -> dict:
    """The gap of `pairs` in each of `pairings` (`controls.PAIRINGS`), as `describe` gives it.

    Takes `count` evenly spread pairs (None: all) in an order drawn with `seed`. Sums lie below the
    runs folder, addressed by weights, data, size, layers, pairing and code. Raises `UserError` for
    unknown pairings, fewer than two pairs, or maps too small to have both bands.
    """
    require(pairs, "pairs", notebook="The gap")
    for name in pairings:
        if name not in PAIRINGS:
            raise unknown("pairing", name, PAIRINGS)
    layers = backbone.check_blocks(default_layers(backbone.depth) if layers is None else layers)
    total = len(pairs) if count is None else count
    if total < 2:
        raise UserError("The gap needs 2 pairs or more, of which one can be the other's stranger.")
    shuffle = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    order = [spread(len(pairs), total)[i] for i in shuffle.tolist()]
    checksum = backbone.checksum or sha256_state(backbone.net.state_dict())
    content = {
        "model": backbone.name, "weights": checksum,
        "student": student and sha256_state(student.net.state_dict()),
        "data": pairs.fingerprint(), "size": pairs.size, "layers": layers, "order": order,
        "batch": batch, "bands": BANDS, "rings": EDGES, "code": code_version(CODE),
    }  # fmt: skip
    folders = {
        name: runs_folder(runs)
        / f"gap-{name}-{run_key(content | {'pairing': inspect.getsource(PAIRINGS[name])})}"
        for name in pairings
    }
    found: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {
        name: _read(folder, total, batch) for name, folder in folders.items()
    }
    finished = set.intersection(*(set(kept) for kept in found.values()))
    done = sum(len(next(iter(found.values()))[start][0]) for start in finished)
    bar = tqdm(total=total, initial=done, desc="gap", unit="pair", disable=not progress)
    try:
        for start, views in stream(pairs, order, backbone, layers, batch, student, finished):
            for name in pairings:
                if start not in found[name]:
                    found[name][start] = _measured(views, name, pairs.size)
                    _write(folders[name], start, *found[name][start])
            bar.update(len(views.images["visible"]))
    except KeyboardInterrupt:
        raise Interrupted(
            f"{bar.n} of {total} pairs are saved in {runs_folder(runs)}. Run the same again to go "
            "on."
        ) from None
    finally:
        bar.close()
    return {
        "schema": SCHEMA, "model": backbone.name, "weights": backbone.source,
        "checksum": checksum, "size": list(pairs.size), "layers": list(layers), "pairs": total,
        "data": {"name": pairs.name, "split": pairs.split, "pairs": len(pairs),
                 "fingerprint": content["data"], "note": pairs.note, "repairs": pairs.repairs},
        "seed": seed, "code": content["code"],
    } | describe(
        {name: np.concatenate([kept[s][0] for s in sorted(kept)]) for name, kept in found.items()},
        {name: bin_counts(kept[0][1]) for name, kept in found.items()},
        layers, seed,
    )  # fmt: skip


def describe(
    sums: dict[str, np.ndarray], counts: dict[str, np.ndarray], layers: Sequence[int], seed: int = 0
) -> dict:
    """What follows from `image_sums` and `bin_counts` by pairing; intervals are 95 % bootstrap
    over images, with the same draws for all pairings, so that their differences are paired.

    `rows`: `block`, `band`, `metric`, `pairing`, `low`, `high`, `ratio` = high / low with its
    `interval`, `n`. `summary`: the same averaged over blocks, with intervals of all three.
    `contrasts`: the first pairing less each other one, averaged over blocks. `rings`: the
    normalised divergence in each ring of rho. A number that does not exist (0 / 0) is None.
    """
    rows, summary, contrasts, rings, levels = [], [], [], [], {}
    for pairing, table in sums.items():
        n = len(table)
        weights = multiplicities(n, DRAWS, seed).numpy() / n
        weights = np.concatenate([np.full((1, n), 1 / n), weights])  # first all images as they are
        means = torch.from_numpy(np.tensordot(weights, table, 1))[None]
        for metric, measured in METRICS.items():
            level = measured(means, torch.from_numpy(counts[pairing])).numpy()
            level[np.abs(level) < 1e-12] = 0  # the cosine of a vector with itself, but for rounding
            about = {"metric": metric, "pairing": pairing, "n": n}
            for i, band in enumerate(BANDS):
                low, high = level[..., 2 * i], level[..., 2 * i + 1]  # (1 + draws, layers)
                if not (np.isfinite(low) & np.isfinite(high)).all():
                    raise UserError("A band holds no energy: are all pictures of one colour?")
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratio = high / low
                ratio[~np.isfinite(ratio)] = np.nan
                levels[pairing, metric, band] = low.mean(1), high.mean(1)
                for j, block in enumerate(layers):
                    rows.append({"block": int(block), "band": band, **about,
                                 "low": float(low[0, j]), "high": float(high[0, j]),
                                 **_spanned("ratio", ratio[:, j], "interval")})  # fmt: skip
                summary.append(
                    {"band": band, **about, **_spanned("low", low.mean(1)),
                     **_spanned("high", high.mean(1)),
                     **_spanned("ratio", ratio.mean(1), "interval")}
                )  # fmt: skip
            if metric == "normalised":
                for j, block in enumerate(layers):
                    for k, (inner, outer) in enumerate(zip(EDGES, EDGES[1:], strict=False)):
                        value = _spanned("value", level[:, j, 2 * len(BANDS) + k], "interval")
                        rings.append({"block": int(block), "pairing": pairing,
                                      "rho": [inner, outer], **value})  # fmt: skip
    for (pairing, metric, band), (low, high) in levels.items():
        if pairing != next(iter(sums)):
            first = levels[next(iter(sums)), metric, band]
            contrasts.append({"band": band, "metric": metric, "pairing": pairing,
                              **_spanned("low", first[0] - low),
                              **_spanned("high", first[1] - high)})  # fmt: skip
    return {"rows": rows, "summary": summary, "contrasts": contrasts, "rings": rings}


def _spanned(name: str, draws: np.ndarray, interval: str = "") -> dict:
    """{name: the first value, interval: that of the others}; None where it does not exist."""
    exists = np.isfinite(draws[0])
    span = list(percentiles(draws[1:])) if exists and np.isfinite(draws[1:]).any() else None
    return {name: float(draws[0]) if exists else None, interval or f"{name}_interval": span}


def _measured(views: Views, pairing: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """`image_sums` of a batch, and the grid (h, w) of each layer. A function of its own, so that no
    name outlives it and holds the batch's maps while the next are computed."""
    a, b = PAIRINGS[pairing](views)
    grids = np.array([tuple(m.shape[-2:]) for m in a])
    for layer, (h, w) in zip(views.layers, grids, strict=True):
        if not band_counts(h, w, BANDS).all():
            raise UserError(
                f"size={size[0]}x{size[1]} gives block {layer} a grid of {h}x{w}, too small for a "
                "band (8 tokens on a side are needed): enlarge it, or choose earlier layers."
            )
    return image_sums(a, b), grids


def _read(folder: Path, total: int, batch: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """The whole batches in a folder by their place; a torn or altered file is left out, and its
    batch measured anew (the archive's own checksum tells)."""
    found = {}
    for start in range(0, total, batch):
        try:
            with np.load(folder / f"{start:06d}.npz") as kept:
                sums, grids = kept["sums"], kept["grids"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
        if len(sums) == min(batch, total - start):
            found[start] = sums, grids
    return found


def _write(folder: Path, start: int, sums: np.ndarray, grids: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, sums=sums, grids=grids)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{start:06d}.npz", buffer.getvalue(), durable=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"The disk of {folder} is full: make room and run the same again, which goes on from "
            "the last batch of pairs that is saved."
        ) from error
