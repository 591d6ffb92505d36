"""How far the features of two spectra part in each band, for any number of pairs.

Pairs stream through the backbone in batches. Of each batch only numbers per image are kept, and
they are written at once: memory stays the same however many pairs there are, and a measurement that
was stopped goes on where it was. Every metric, band and interval follows from those numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite.data import PairSet, require
from freqkd_lite.errors import Interrupted, UserError, unknown
from freqkd_lite.features import Backbone, load_backbone, sha256_state
from freqkd_lite.gap import measures, store
from freqkd_lite.gap import tables as gap_tables
from freqkd_lite.gap.changes import steps
from freqkd_lite.gap.coherence import CHANNELS, GROUPS, Coherences
from freqkd_lite.gap.controls import LIGHTS, PAIRINGS, Views, spread
from freqkd_lite.gap.store import Arrays
from freqkd_lite.spectrum import BANDS, band_counts
from freqkd_lite.store import RECIPE, run_key, runs_folder
from freqkd_lite.viz.gap import EDGES

SCHEMA = "freqkd-gap/1"
DEFAULT_MODEL = "vit_small_patch14_dinov2.lvd142m"
CONTROL_PAIRS = 100  # of the pairs, on which everything but the first pairing is measured
COHERENT = ("real", "shuffled")  # pairings whose coherence is told
# Pairings whose CKA and MMD are told: of all of them they would cost a fifth of the forward passes.
ALIKE = ("real", "shuffled", "grey", "shift4", "random", "aligned")
PICTURES = "pictures"  # the name under which the pictures' own numbers are kept


def default_layers(depth: int) -> tuple[int, ...]:
    """The last block of each quarter: 2, 5, 8, 11 of twelve."""
    return tuple(sorted({max(0, depth * k // 4 - 1) for k in (1, 2, 3, 4)}))


class Batch(NamedTuple):
    """The places start ... stop - 1 of an order; at the place `stranger` stands the pair whose
    infrared picture the first one gets when pairs are shuffled."""

    start: int
    stop: int
    stranger: int


def plan(
    pairs: PairSet, total: int, few: int, seed: int, batch: int
) -> tuple[list[int], list[Batch]]:
    """The order in which `total` evenly spread pairs are looked at, and its batches.

    The order is drawn with `seed`, but the `few` pairs of the controls, evenly spread too, come
    first, and the sets of a joined one after the other, so that strangers are of one set.
    """
    chosen, first = spread(len(pairs), total), set(spread(total, few))
    shuffle = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()

    def block(i: int) -> tuple[bool, int]:
        return i not in first, pairs.part(chosen[i])

    places = sorted(shuffle, key=block)
    batches, begin = [], 0
    for _, members in groupby(places, key=block):
        end = begin + len(list(members))
        for start in range(begin, end, batch):
            before = start if start > begin else end if end - begin > 1 else begin
            batches.append(Batch(start, min(start + batch, end), (before - 1) % total))
        begin = end
    return [chosen[i] for i in places], batches


def stream(
    pairs: PairSet, order: Sequence[int], batches: Sequence[Batch], *about: object, **more: object
) -> Iterator[tuple[Batch, Views]]:
    """Each batch with its `Views`, whose further arguments follow. Of the batch before, only the
    last picture's maps are kept; where a stranger is another one, its picture is read again."""
    kept: tuple[int, list[Tensor]] = (-1, [])
    for batch in batches:
        chosen = [pairs[i] for i in order[batch.start : batch.stop]]
        images = {
            kind: torch.stack([getattr(pair, kind) for pair in chosen])
            for kind in ("visible", "infrared")
        }

        def before(stranger: int = batch.stranger, kept: tuple = kept) -> list[Tensor]:
            if kept[0] == stranger:
                return kept[1]
            picture = pairs[order[stranger]].infrared[None]
            return Views(*about, {"infrared": picture})("infrared")

        views = Views(*about, images, before, place=batch.start, **more)
        views.lights = [pair.time_of_day for pair in chosen]
        yield batch, views
        kept = (-1, [])
        if views.seen("infrared"):
            kept = (batch.stop - 1, [m[-1:].clone() for m in views("infrared")])


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
    bands: Sequence[str] = BANDS,
    control_pairs: int = CONTROL_PAIRS,
) -> dict:
    """The gap of `pairs` in each of `pairings` (`controls.PAIRINGS`), as `gap.tables` gives it.

    Takes `count` evenly spread pairs (None: all) in an order drawn with `seed`; the pairings after
    the first are measured on `control_pairs` of them. "day" and "night" are taken from "real",
    which must then stand first. What was measured lies below the runs folder, addressed by weights,
    data, size, layers, bands, pairing and code. Raises `UserError` for unknown pairings or bands,
    fewer than two pairs, or maps too small to have both bands.
    """
    require(pairs, "pairs", notebook="The gap")
    for name in pairings:
        if name not in PAIRINGS:
            raise unknown("pairing", name, PAIRINGS)
    layers = backbone.check_blocks(default_layers(backbone.depth) if layers is None else layers)
    total = len(pairs) if count is None else count
    if min(total, control_pairs) < 2:
        raise UserError("The gap needs 2 pairs or more, of which one can be the other's stranger.")
    few = min(control_pairs, total)
    order, batches = plan(pairs, total, few, seed, batch)
    names = [name for name in pairings if name not in LIGHTS]
    if len(names) < len(pairings) and names[:1] != ["real"]:
        raise UserError("Day and night are real pairs: measure 'real' first.")
    untrained = _untrained(backbone, seed) if "random" in names else None
    checksum = backbone.checksum or sha256_state(backbone.net.state_dict())
    content = {
        "model": backbone.name, "weights": checksum,
        "student": student and sha256_state(student.net.state_dict()),
        "data": pairs.fingerprint(), "size": pairs.size, "layers": layers, "order": order,
        "few": few, "batch": batch, "bands": bands, "rings": EDGES, "seed": seed,
        "recipe": RECIPE,
    }  # fmt: skip
    folders = {
        name: runs_folder(runs) / f"gap-{name}-{run_key(content | {'pairing': name})}"
        for name in (*names, PICTURES)
    }
    coherent = {name: Coherences(folders[name] / "coherence")
                for name in (PICTURES, *(n for n in names if n in COHERENT))}  # fmt: skip
    found = {
        name: {b.start: kept for b in batches
               if (kept := _kept(folder, b, coherent.get(name))) is not None}
        for name, folder in folders.items()
    }  # fmt: skip

    def wanted(place: Batch) -> list[str]:
        here = [PICTURES, *(names if place.start < few else names[:1])]
        return [name for name in here if place.start not in found[name]]

    def looks(place: Batch) -> int:
        each = sum(PAIRINGS[name].looks for name in wanted(place) if name != PICTURES)
        return each * (place.stop - place.start)

    left = [place for place in batches if wanted(place)]
    saved = total - sum(place.stop - place.start for place in left)
    bar = tqdm(total=sum(map(looks, left)), desc="gap", unit="picture", disable=not progress)
    try:
        about = (backbone, layers)
        for place, views in stream(pairs, order, left, *about, student=student, random=untrained):
            before, expected = bar.n, looks(place)
            for name in wanted(place):
                number = batches.index(place)
                kept = _measured(views, name, pairs.size, bands, coherent.get(name), number)
                store.write(folders[name] / f"{place.start:06d}.npz", kept)
                found[name][place.start] = kept
                bar.update(min(views.looked, expected) - (bar.n - before))
            bar.update(expected - (bar.n - before))
            saved += place.stop - place.start
    except KeyboardInterrupt:
        raise Interrupted(
            f"{saved} of {total} pairs are saved in {runs_folder(runs)}. Run the same again to go "
            "on."
        ) from None
    finally:
        bar.close()
    tables = {name: _joined(kept) for name, kept in found.items()}
    pictures = tables.pop(PICTURES)
    notes = _by_light(tables, pictures["light"], [name for name in pairings if name in LIGHTS])
    return {
        "schema": SCHEMA, "model": backbone.name, "weights": backbone.source,
        "checksum": checksum, "size": list(pairs.size), "layers": list(layers), "pairs": total,
        "control_pairs": few, "bands": list(bands),
        "data": {"name": pairs.name, "split": pairs.split, "pairs": len(pairs),
                 "fingerprint": content["data"], "note": pairs.note, "repairs": pairs.repairs},
        "seed": seed, "code": content["code"], "notes": notes,
    } | gap_tables.describe(
        {name: t["sums"] for name, t in tables.items()},
        {name: measures.bin_counts(t["grids"], bands) for name, t in tables.items()},
        layers, seed, bands,
    ) | gap_tables.alike(tables, layers, bands, seed) | gap_tables.pictures(
        pictures, measures.pixel_edges(pairs.size), measures.CUTOFF, seed
    ) | {
        "coherence": gap_tables.coherence(
            {name: kept.against_rho(measures.pixel_edges(pairs.size) if name == PICTURES
                                    else EDGES) for name, kept in coherent.items()}, layers),
        "coherence_about": {"channels": CHANNELS, "groups": GROUPS},
        "alignment": gap_tables.alignment(tables, layers, bands, seed),
    }  # fmt: skip


def _untrained(backbone: Backbone, seed: int) -> Backbone:
    """The same model with random weights, drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone(backbone.name, "random").freeze()


def _kept(folder: Path, batch: Batch, coherent: Coherences | None) -> Arrays | None:
    """What was kept of a batch, if all of it is there."""
    kept = store.read(folder / f"{batch.start:06d}.npz")
    return kept if coherent is None or coherent.holds(batch.start) else None


def _measured(
    views: Views, name: str, size: tuple[int, int], bands: Sequence[str],
    coherent: Coherences | None, number: int,
) -> Arrays:  # fmt: skip
    """What is kept of a batch. A function of its own, so that no name outlives it and holds the
    batch's maps while the next are computed."""
    if name == PICTURES:
        sides = measures.luminances(views.images)
        coherent.add(number, views.place, [sides[0]], [sides[1]])
        return measures.of_pictures(views.images, views.lights)
    a, b = PAIRINGS[name](views)
    for layer, m in zip(views.layers, a, strict=True):
        h, w = m.shape[-2:]
        if not band_counts(h, w, bands).all():
            raise UserError(
                f"size={size[0]}x{size[1]} gives block {layer} of {name!r} a grid of {h}x{w}, too "
                "small for a band (8 tokens on a side are needed): enlarge it, or choose earlier "
                "layers."
            )
    if coherent is not None:
        coherent.add(number, views.place, a, b)
    kept = measures.of_maps(a, b, bands, name in ALIKE)
    if name == "aligned":
        kept["offsets"] = np.array(
            [(o.right, o.down, o.clear, any(steps(o, views.backbone.patch))) for o in views.offsets]
        )
    views.drop(name)
    return kept


def _joined(kept: dict[int, Arrays]) -> Arrays:
    """The batches of a pairing put together in their order; grids are the same in all."""
    parts = [kept[start] for start in sorted(kept)]
    return {
        key: parts[0][key] if key == "grids" else np.concatenate([part[key] for part in parts])
        for key in parts[0]
    }


def _by_light(tables: dict[str, Arrays], light: np.ndarray, asked: Sequence[str]) -> list[str]:
    """Add the real pairs of each time of day to the tables; sentences about what could not be."""
    said = []
    for name in asked:
        chosen = light == name
        if chosen.sum() < 2:
            count = f"only {chosen.sum()} of the pairs are known to be of that time"
            said.append(f"{name.capitalize()} is left out: {count}.")
            continue
        tables[name] = {
            key: value if key == "grids" else value[chosen] for key, value in tables["real"].items()
        }
    unknown_light = int((~np.isin(light, LIGHTS)).sum())
    if asked and unknown_light:
        said.append(f"The time of day is not known of {unknown_light} of {len(light)} pairs: they "
                    "count as neither day nor night.")  # fmt: skip
    return said
