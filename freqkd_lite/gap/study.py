"""Measure the gap between the features of RGB and infrared, for any number of pairs.

Pairs stream through the backbone in batches. Only a few numbers of each image are kept, in files:
memory does not grow with the number of pairs, and an interrupted measurement continues where it
stopped. Every metric, band and interval follows from those numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite.data import PairSet, require, spread
from freqkd_lite.errors import Interrupted, UserError, unknown
from freqkd_lite.features import Backbone, load_backbone, sha256_state
from freqkd_lite.gap import cache, measures, tables
from freqkd_lite.gap.cache import Arrays
from freqkd_lite.gap.coherence import Coherences
from freqkd_lite.gap.controls import CONTROLS, TIMES, Control, Views, steps
from freqkd_lite.gap.rings import EDGES, log_rings
from freqkd_lite.names import OLD_NAMES
from freqkd_lite.spectrum import BANDS, band_counts
from freqkd_lite.store import RECIPE, run_key, runs_folder, write_json

SCHEMA, OLD_SCHEMA = "freqkd-gap/2", "freqkd-gap/1"
DEFAULT_MODEL = "vit_small_patch14_dinov2.lvd142m"
ANALYSIS = "disk25_75"  # the pair of bands of the authors' analysis
CONTROL_PAIRS = 100  # pairs that every control but the first is measured on
COHERENT = ("real", "mismatched")  # controls whose coherence is measured
# Controls whose CKA and MMD are measured: of all, they would take a fifth of the forward passes.
SIMILAR = ("real", "mismatched", "grey", "shift4", "random", "aligned")
PICTURES = "pictures"  # stands for a control where the pictures themselves are compared


@dataclass(frozen=True)
class Gap:
    """A measured gap. `about` says what was measured: model, weights, data, size, blocks, bands,
    numbers of pairs, seed; `alignment` is that of `tables.alignment`. The other tables are those of
    `gap.tables`, and `coherence` has a row a control, block and ring of rho."""

    about: dict
    levels: pd.DataFrame
    contrasts: pd.DataFrame
    rings: pd.DataFrame
    similarity: pd.DataFrame
    images: pd.DataFrame
    power: pd.DataFrame
    coherence: pd.DataFrame
    alignment: dict | None = None

    @property
    def controls(self) -> list[str]:
        """The controls that were measured, in their order."""
        return list(dict.fromkeys(self.levels["control"]))

    def level(self, control: str, **fields: object) -> dict | None:
        """The row of `levels` of a control: by default of the normalised divergence in the bands of
        the analysis, averaged over blocks. None where it was not measured."""
        usual = {"metric": "normalised", "band": ANALYSIS, "block": tables.MEAN}
        return tables.one(self.levels, control=control, **usual | fields)

    def json(self) -> dict:
        """The content of a file that `load` reads."""
        return {"schema": SCHEMA} | {
            name: value.to_dict("records") if isinstance(value, pd.DataFrame) else value
            for name, value in vars(self).items()
        }

    def save(self, path: str | Path) -> None:
        """Write a file that `load` reads."""
        write_json(Path(path), self.json())


def load(folder: str | Path) -> Gap:
    """The gap in a folder that `freqkd gap --out` wrote, of this version or an earlier one.
    `UserError` for a missing, foreign or broken file."""
    path = Path(folder) / "gap.json"
    again = f"run `freqkd gap --out {folder}` again"
    if not path.is_file():
        raise UserError(f"{path} is missing: {again}.")
    try:
        found = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{path} is not JSON: {again}.") from None
    schema = found.pop("schema", None) if isinstance(found, dict) else None
    if schema not in (SCHEMA, OLD_SCHEMA):
        raise UserError(f"{path} doesn't hold schema {SCHEMA}: {again}.")
    if schema == OLD_SCHEMA:
        found = _renamed(found)
    about, alignment = found.pop("about"), found.pop("alignment")
    frames = {name: tables.frame(rows) for name, rows in found.items()}
    return Gap(about, alignment=alignment, **frames)


def _renamed(old: dict) -> dict:
    """The content of a file of `OLD_SCHEMA` as `Gap.save` writes it today."""

    def rows(name: str, **more: object) -> list[dict]:
        found = []
        for row in old[name]:
            row = dict(row)
            if "pairing" in row:
                pairing = row.pop("pairing")
                row["control"] = OLD_NAMES.get(pairing, pairing)
            found.append(row | more)
        return found

    coherence = rows("coherence")
    for row in coherence:
        row["block"] = PICTURES if row["block"] is None else row["block"]
    tables_ = {
        "levels": rows("summary", block=tables.MEAN) + rows("rows"),
        "contrasts": rows("contrasts"),
        "rings": rows("rings"),
        "similarity": rows("cka", measure="cka") + rows("mmd", measure="mmd"),
        "images": [{k: v for k, v in row.items() if k != "power"} for row in old["images"]],
        "power": [
            {"modality": row["modality"]} | ring for row in old["images"] for ring in row["power"]
        ],
        "coherence": coherence,
    }
    others = {"alignment", "rows", "summary", "contrasts", "rings", "cka", "mmd", "images"}
    about = {k: v for k, v in old.items() if k not in others | {"coherence", "coherence_about"}}
    about |= {"blocks": about.pop("layers"), "time_of_day": about.pop("light")}
    return tables_ | {"about": about, "alignment": old["alignment"]}


def default_blocks(depth: int) -> tuple[int, ...]:
    """The last block of each quarter: 2, 5, 8, 11 of twelve."""
    return tuple(sorted({max(0, depth * k // 4 - 1) for k in (1, 2, 3, 4)}))


class Batch(NamedTuple):
    """The places start ... stop - 1 of an order of pairs; its first pair gets the infrared picture
    of the place `partner` when pairs are mismatched."""

    start: int
    stop: int
    partner: int


def plan(
    pairs: PairSet, total: int, few: int, seed: int, batch: int
) -> tuple[list[int], list[Batch]]:
    """The order in which `total` evenly spread pairs are measured, and its batches.

    The order is drawn with `seed`, but the `few` pairs of the controls, evenly spread too, come
    first, and the sets of a joined one after the other. The partner of a pair is the one before it,
    so that mismatched pairs are of one set and of one kind (see `data.mismatched`), and one batch
    at a time is in memory.
    """
    chosen, first = spread(len(pairs), total), set(spread(total, few))
    shuffle = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist()

    def section(i: int) -> tuple[bool, int]:
        return i not in first, pairs.part(chosen[i])

    places = sorted(shuffle, key=section)
    batches, begin = [], 0
    for _, members in groupby(places, key=section):
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
    last picture's maps stay in memory; a partner that is another one is read again."""
    last: tuple[int, list[Tensor]] = (-1, [])
    for batch in batches:
        chosen = [pairs[i] for i in order[batch.start : batch.stop]]
        images = {
            kind: torch.stack([getattr(pair, kind) for pair in chosen])
            for kind in ("visible", "infrared")
        }

        def before(partner: int = batch.partner, last: tuple = last) -> list[Tensor]:
            if last[0] == partner:
                return last[1]
            picture = pairs[order[partner]].infrared[None]
            return Views(*about, {"infrared": picture})("infrared")

        views = Views(*about, images, before, place=batch.start, **more)
        views.times_of_day = [pair.time_of_day for pair in chosen]
        yield batch, views
        last = (-1, [])
        if views.computed("infrared"):
            last = (batch.stop - 1, [m[-1:].clone() for m in views("infrared")])


@dataclass
class Part:
    """What has been measured of one control, or of the pictures, by batch, in the files of a
    folder."""

    name: str
    folder: Path
    coherence: Coherences | None
    batches: dict[int, Arrays] = field(default_factory=dict)

    def read(self, batches: Sequence[Batch]) -> None:
        """Take up the batches that are complete in the folder."""
        for batch in batches:
            arrays = cache.read(self.folder / f"{batch.start:06d}.npz")
            if arrays and (self.coherence is None or self.coherence.holds(batch.start)):
                self.batches[batch.start] = arrays

    def add(self, batch: Batch, arrays: Arrays) -> None:
        """Keep a batch and write it."""
        cache.write(self.folder / f"{batch.start:06d}.npz", arrays)
        self.batches[batch.start] = arrays

    def joined(self) -> Arrays:
        """All batches in their order; grids are the same in all."""
        parts = [self.batches[start] for start in sorted(self.batches)]
        return {
            key: parts[0][key] if key == "grids" else np.concatenate([part[key] for part in parts])
            for key in parts[0]
        }


def measure(
    pairs: PairSet,
    backbone: Backbone,
    blocks: Sequence[int] | None = None,
    controls: Sequence[str] = ("real", "mismatched"),
    count: int | None = None,
    student: Backbone | None = None,
    seed: int = 0,
    batch: int = 8,
    runs: str | Path | None = None,
    progress: bool = True,
    bands: Sequence[str] = BANDS,
    control_pairs: int = CONTROL_PAIRS,
    known: dict[str, Control] = CONTROLS,
) -> Gap:
    """The gap of `pairs` under each of `controls`, names of `known`.

    Takes `count` evenly spread pairs (None: all) in an order drawn with `seed`; the controls after
    the first are measured on `control_pairs` of them. "day" and "night" are taken from "real",
    which must then come first. What was measured is stored below the runs folder, addressed by
    weights, data, size, blocks, bands, control and `RECIPE`. Raises `UserError` for unknown
    controls or bands, fewer than two pairs, or maps too small to have both bands.
    """
    require(pairs, "pairs", notebook="The gap")
    controls = [OLD_NAMES.get(name, name) for name in controls]
    for name in controls:
        if name not in known:
            raise unknown("control", name, known)
    blocks = backbone.check_blocks(default_blocks(backbone.depth) if blocks is None else blocks)
    total = len(pairs) if count is None else len(spread(len(pairs), count))
    if min(total, control_pairs) < 2:
        raise UserError("The gap needs 2 pairs or more, so that pairs can be mismatched.")
    few = min(control_pairs, total)
    order, batches = plan(pairs, total, few, seed, batch)
    names = [name for name in controls if name not in TIMES]
    if len(names) < len(controls) and names[:1] != ["real"]:
        raise UserError("Day and night are real pairs: measure 'real' first.")
    about = {
        "model": backbone.name,
        "weights": backbone.source,
        "checksum": backbone.checksum or sha256_state(backbone.net.state_dict()),
        "size": list(pairs.size),
        "blocks": list(blocks),
        "bands": list(bands),
        "pairs": total,
        "control_pairs": few,
        "data": {
            "name": pairs.name,
            "split": pairs.split,
            "pairs": len(pairs),
            "fingerprint": pairs.fingerprint(),
            "note": pairs.note,
            "repairs": pairs.repairs,
        },
        "seed": seed,
        "recipe": RECIPE,
    }
    address = {k: v for k, v in about.items() if k != "weights"}  # that is where the file lies
    address |= {"order": order, "batch": batch, "rings": EDGES}
    address["student"] = student and sha256_state(student.net.state_dict())
    parts = []
    for name in (PICTURES, *names):
        folder = runs_folder(runs) / f"gap-{name}-{run_key(address | {'control': name})}"
        coherent = name == PICTURES or name in COHERENT
        parts.append(Part(name, folder, Coherences(folder / "coherence") if coherent else None))
        parts[-1].read(batches)

    def missing(place: Batch) -> list[Part]:
        wanted = parts if place.start < few else parts[:2]
        return [part for part in wanted if place.start not in part.batches]

    left = [place for place in batches if missing(place)]
    saved = total - sum(place.stop - place.start for place in left)
    networks = {"student": student, "random": None}
    if "random" in names:
        networks["random"] = untrained(backbone, seed)
    bar = tqdm(total=total, initial=saved, desc="gap", unit="pair", disable=not progress)
    try:
        for place, views in stream(pairs, order, left, backbone, blocks, **networks):
            number = batches.index(place)
            for part in missing(place):
                part.add(place, _measured(views, part, known, pairs.size, bands, number))
            saved += place.stop - place.start
            bar.update(place.stop - place.start)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{saved} of {total} pairs are saved in {runs_folder(runs)}. Run the same again to "
            "continue."
        ) from None
    finally:
        bar.close()

    pictures, *others = (part.joined() for part in parts)
    measured = dict(zip(names, others, strict=True))
    times = pictures["time_of_day"]
    for name in TIMES:
        if name in controls and (times == name).sum() > 1:
            measured[name] = {
                key: value if key == "grids" else value[times == name]
                for key, value in measured["real"].items()
            }
    edges = log_rings(*pairs.size)
    images, power = tables.pictures(pictures, edges, seed)
    return Gap(
        about=about
        | {
            "controls": controls,
            "time_of_day": {t or "unknown": int((times == t).sum()) for t in (*TIMES, "")},
        },
        **tables.divergences(measured, blocks, bands, seed),
        similarity=tables.similarities(measured, blocks, bands, seed),
        images=images,
        power=power,
        coherence=_coherences(parts, blocks, edges),
        alignment=tables.alignment(measured, bands, seed),
    )


def untrained(backbone: Backbone, seed: int) -> Backbone:
    """The same model with random weights, drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone(backbone.name, "random").freeze()


def _measured(
    views: Views,
    part: Part,
    known: dict[str, Control],
    size: tuple[int, int],
    bands: Sequence[str],
    number: int,
) -> Arrays:
    """The numbers of a batch. A function of its own, so that no name holds the batch's maps while
    the next are computed."""
    if part.name == PICTURES:
        sides = measures.luminances(views.images)
        part.coherence.add(number, views.place, [sides[0]], [sides[1]])
        return measures.of_pictures(views.images, views.times_of_day)
    a, b = known[part.name].maps(views)
    for block, m in zip(views.blocks, a, strict=True):
        h, w = m.shape[-2:]
        if not band_counts(h, w, bands).all():
            raise UserError(
                f"size={size[0]}x{size[1]} gives block {block} of {part.name!r} a grid of {h}x{w}, "
                "too small for a band (8 tokens on a side are needed): enlarge it, or choose "
                "earlier blocks."
            )
    if part.coherence is not None:
        part.coherence.add(number, views.place, a, b)
    found = measures.of_maps(a, b, bands, part.name in SIMILAR)
    if part.name == "aligned":
        patch = views.backbone.patch
        found["offsets"] = np.array(
            [(o.right, o.down, o.clear, any(steps(o, patch))) for o in views.offsets]
        )
    views.drop(part.name)
    return found


def _coherences(
    parts: Sequence[Part], blocks: Sequence[int], pixel_edges: Sequence[float]
) -> pd.DataFrame:
    rows = []
    for part in parts:
        if part.coherence is None:
            continue
        pictures = part.name == PICTURES
        curves = part.coherence.against_rho(pixel_edges if pictures else EDGES)
        for block, rings in zip([PICTURES] if pictures else blocks, curves, strict=False):
            rows += [{"control": part.name, "block": block} | ring for ring in rings]
    return tables.frame(rows)
