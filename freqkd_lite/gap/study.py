"""Measure the gap between the features of RGB and infrared, for any number of pairs.

Pairs stream through the backbone in batches. Only a few numbers of each image are kept, in files
(`parts`), and every metric, band and interval follows from those.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from freqkd_lite.data import PairSet, require, spread
from freqkd_lite.errors import Interrupted, UserError, check_known
from freqkd_lite.features import Backbone, load_backbone, sha256_state
from freqkd_lite.gap import tables
from freqkd_lite.gap.controls import CONTROLS, TIMES, Control, Views
from freqkd_lite.gap.measures import numbers
from freqkd_lite.gap.parts import PICTURES, Part
from freqkd_lite.gap.rings import EDGES, log_rings
from freqkd_lite.names import OLD_NAMES
from freqkd_lite.spectrum import BANDS
from freqkd_lite.store import RECIPE, check_place, no_bar, parsed, run_key, runs_folder, write_json

SCHEMA = "freqkd-gap/2"
DEFAULT_MODEL = "vit_small_patch14_dinov2.lvd142m"
ANALYSIS = "disk25_75"  # the radii of the authors' analysis, in rho
BATCH = 8  # pairs
CONTROL_PAIRS = 100  # pairs that every control but the first is measured on


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

    def level(self, control: str, **fields: object) -> dict[str, Any]:
        """The row of `levels` of a control: by default of the normalised divergence in the bands of
        the analysis, averaged over blocks. Empty where it was not measured."""
        usual = {"metric": "normalised", "band": ANALYSIS, "block": tables.MEAN}
        found = tables.select(self.levels, control=control, **usual | fields)
        return found.iloc[0].to_dict() if len(found) else {}

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
    """The gap that `freqkd gap --out` wrote. `UserError` for a missing, foreign or broken file."""
    path = Path(folder) / "gap.json"
    again = f"run `freqkd gap --out {folder}` again"
    found = parsed(path, again)
    with suppress(Exception):  # whatever pandas makes of other content
        if found.pop("schema") == SCHEMA:
            found |= {k: tables.frame(v) for k, v in found.items() if isinstance(v, list)}
            return Gap(**found)
    raise UserError(f"{path} doesn't hold schema {SCHEMA}: {again}.")


def default_blocks(depth: int) -> tuple[int, ...]:
    """The last block of each quarter: 2, 5, 8, 11 of twelve."""
    return tuple(sorted({max(0, depth * k // 4 - 1) for k in (1, 2, 3, 4)}))


def plan(
    pairs: PairSet, total: int, few: int, seed: int
) -> tuple[list[int], list[tuple[int, int, int]]]:
    """The order in which `total` evenly spread pairs are measured, and its batches: (start, stop,
    partner), the place of the infrared picture that the first pair gets when mismatched.

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
        for start in range(begin, end, BATCH):
            before = start if start > begin else end if end - begin > 1 else begin
            batches.append((start, min(start + BATCH, end), (before - 1) % total))
        begin = end
    return [chosen[i] for i in places], batches


def measure(
    pairs: PairSet,
    backbone: Backbone,
    blocks: Sequence[int] | None = None,
    controls: Sequence[str] = ("real", "mismatched"),
    count: int | None = None,
    student: Backbone | None = None,
    seed: int = 0,
    progress: bool = True,
    bands: Sequence[str] = BANDS,
    control_pairs: int = CONTROL_PAIRS,
    known: dict[str, Control] = CONTROLS,
) -> Gap:
    """The gap of `pairs` under each of `controls`, names of `known`.

    Takes `count` evenly spread pairs (None: all) in an order drawn with `seed`; the controls after
    the first are measured on `control_pairs` of them. "day" and "night" are taken from "real",
    which must then come first. What was measured is stored in the runs folder, addressed by
    weights, data, size, blocks, bands, control and `RECIPE`. Raises `UserError` for unknown
    controls or bands, fewer than two pairs, or maps too small to have both bands.
    """
    check_place(runs_folder())
    require(pairs, "pairs", notebook="The gap")
    controls = [OLD_NAMES.get(name, name) for name in controls]
    check_known("control", known, *controls)
    names = [name for name in controls if name not in TIMES]
    if len(names) < len(controls) and names[:1] != ["real"]:
        raise UserError("Day and night are real pairs: measure 'real' first.")
    blocks = backbone.check_blocks(default_blocks(backbone.depth) if blocks is None else blocks)
    total = len(pairs) if count is None else len(spread(len(pairs), count))
    few = min(control_pairs, total)
    if few < 2:
        raise UserError("The gap needs 2 pairs or more, so that pairs can be mismatched.")
    data = {name: getattr(pairs, name) for name in ("name", "split", "note", "repairs")}
    data |= {"pairs": len(pairs), "fingerprint": pairs.fingerprint()}
    about = {
        "model": backbone.name,
        "weights": backbone.source,
        "checksum": backbone.checksum or sha256_state(backbone.net.state_dict()),
        "size": list(pairs.size),
        "blocks": list(blocks),
        "bands": list(bands),
        "pairs": total,
        "control_pairs": few,
        "data": data,
        "seed": seed,
        "recipe": RECIPE,
    }
    order, batches = plan(pairs, total, few, seed)
    address = {k: v for k, v in about.items() if k != "weights"}  # that is where the file lies
    address |= {"order": order, "batch": BATCH, "rings": EDGES, "measures": 3}
    address["student"] = student and sha256_state(student.net.state_dict())
    parts = []
    for name in (PICTURES, *names):
        folder = runs_folder() / f"gap-{name}-{run_key(address | {'control': name})}"
        last = few if len(parts) > 1 else total  # all but the pictures and the first control
        parts.append(Part(name, folder, [start for start, *_ in batches if start < last]))
    left = [batch for batch in batches if any(part.lacks(batch[0]) for part in parts)]
    saved = total - sum(stop - start for start, stop, _ in left)
    random = untrained(backbone, seed) if "random" in names else None
    with tqdm(total=total, initial=saved, desc="gap", unit="pair", disable=no_bar(progress)) as bar:
        try:
            for start, stop, partner in left:
                views = Views(
                    backbone,
                    blocks,
                    [pairs[i] for i in order[start:stop]],
                    partner=lambda i=order[partner]: pairs[i].infrared[None],
                    place=start,
                    student=student,
                    random=random,
                )
                for part in (part for part in parts if part.lacks(start)):
                    # the maps get no name, which would hold them while the next are computed
                    part.add(start, *numbers(views, part.name, known.get(part.name), bands))
                saved += stop - start
                bar.update(stop - start)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{saved} of {total} pairs are saved in {runs_folder()}. Run the same again to "
                "continue."
            ) from None

    pictures, *others = (part.joined() for part in parts)
    measured = dict(zip(names, others, strict=True))
    times = pictures["time_of_day"]
    for name in TIMES:
        if name in controls and (times == name).sum() > 1:
            real = measured["real"].items()
            measured[name] = {key: values[times == name] for key, values in real}
    edges = log_rings(*pairs.size)
    images, power = tables.pictures(pictures, edges, seed)
    coherence = parts[0].coherence([PICTURES], edges)
    for part in parts[1:]:
        coherence += part.coherence(blocks, EDGES)
    times_of_day = {t or "unknown": int((times == t).sum()) for t in (*TIMES, "")}
    return Gap(
        about=about | {"controls": controls, "time_of_day": times_of_day},
        **tables.divergences(measured, blocks, bands, seed),
        similarity=tables.similarities(measured, blocks, bands, seed),
        images=images,
        power=power,
        coherence=tables.frame(coherence),
        alignment=tables.alignment(measured, bands, seed),
    )


def untrained(backbone: Backbone, seed: int) -> Backbone:
    """The same model with random weights, drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return load_backbone(backbone.name, "random").freeze()
