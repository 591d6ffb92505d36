"""A measured gap as rows of results, and as small tables (head and rows) for `results.text`."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from freqkd_lite.evaluate.stats import Resampled, paired_bootstrap
from freqkd_lite.features import TINY
from freqkd_lite.gap.controls import CONTROLS, TIMES
from freqkd_lite.gap.study import ANALYSIS, PICTURES, Gap
from freqkd_lite.gap.tables import AUTHORS, MEAN, as_entry, select
from freqkd_lite.names import NAMES, method_name
from freqkd_lite.results.rows import Row, lines_of, pick
from freqkd_lite.results.text import Table, number, verdict

QUESTION = "Do the features of RGB and infrared differ more at high frequency?"
STATED = 2.4  # how many times more, by the paper's abstract
RATIOS = {"normalised": "divergence_ratio", "mse": "raw_mse_ratio", "cosine": "cosine_ratio"}
METRICS = {"normalised": "energy-normalised", "cosine": "cosine distance", "mse": "raw MSE"}
BANDS = {"disk25_75": "analysis", "rectangle50": "training", AUTHORS: "authors' code"}
ENDS = ("low", "high")
FEW = 10  # pairs, below which a bootstrap interval is too narrow


def rows(gap: Gap) -> list[Row]:
    """Ratios of every control in every metric and pair of bands, averaged over blocks, and of the
    real pairs in each block; divergence in the bands of the analysis."""
    averaged, by_block = [], []
    for entry in gap.levels.to_dict("records"):
        about = {"data": gap.about["data"]["name"], "split": gap.about["data"]["split"]}
        about["method"] = entry["control"]
        analysis = entry["band"] == ANALYSIS  # these bands are not named
        metric = RATIOS[entry["metric"]] + ("" if analysis else f"_{entry['band']}")
        if entry["block"] == MEAN:
            averaged.append(_ratio_row(entry, metric, **about))
            averaged += band_rows(entry, **about) if metric == RATIOS["normalised"] else []
        elif entry["control"] == "real":
            by_block.append(_ratio_row(entry, metric, klass=f"block{entry['block']}", **about))
    return averaged + by_block


def level_rows(measured: Mapping[str, Resampled], **about: Any) -> list[Row]:
    """Rows of notebook 03 from `band_levels`: divergence in both bands and its ratio, by control;
    `about` are the fields that all have."""
    found = []
    for name, level in measured.items():
        entry, own = as_entry(level) | {"n": len(level.truth)}, {"method": name} | about
        found += [_ratio_row(entry, RATIOS["normalised"], **own), *band_rows(entry, **own)]
    return found


def _ratio_row(entry: Mapping, metric: str, **about: Any) -> Row:
    about |= {"claim": "gap_ratio", "seed": None, "n": entry["n"]}
    return Row(metric=metric, value=entry["ratio"], interval=entry["interval"], **about)


def band_rows(entry: Mapping, **about: Any) -> list[Row]:
    """Rows of an entry's levels in both bands; `about` are fields that all have."""
    common = {"claim": "gap_ratio", "seed": None, "n": entry["n"], "metric": "divergence"}
    return [
        Row(klass=level, value=entry[level], interval=entry[f"{level}_interval"], **common | about)
        for level in ENDS
    ]


def answer(gap: Gap) -> str:
    """The answer to `QUESTION` with the ratio, then the levels of the real pairs and, where they
    were measured, of mismatched ones."""
    real, beside = gap.level("real"), ""
    if mismatched := gap.level("mismatched"):
        beside = " (mismatched pairs {}, {})".format(*(number(mismatched[k]) for k in ENDS))
    # Where nothing differs at low frequency there is no ratio.
    low, high = real["interval"] or (1 + real["high"], 1 + real["high"])
    return (
        f"Divergence at high vs. low frequency: {verdict(low - 1, high - 1)} (ratio "
        f"{_cell(real, 'ratio')}, {real['n']} pairs, mean over blocks "
        f"{', '.join(map(str, gap.about['blocks']))}). Levels, 0 for the same features and 1 for "
        f"unrelated ones: low {_cell(real, 'low')}, high {_cell(real, 'high')}{beside}."
    )


def warnings(gap: Gap) -> list[str]:
    """What a reader must know before any number: that a model has seen drawn streets only."""
    if gap.about["model"] != TINY or gap.about["data"]["name"] == "scenes":
        return []
    return [
        f"{TINY} knows drawn streets only: it says little about photographs, and its ratio can't "
        "be compared with DINOv2's."
    ]


def notes(gap: Gap) -> list[str]:
    """What limits the numbers: few pairs, times of day that are not known."""
    found, times = [], gap.about["time_of_day"]
    if gap.about["pairs"] < FEW:
        found.append(f"Intervals over only {gap.about['pairs']} pairs are too narrow.")
    wanted = {*gap.about.get("controls", gap.controls)}
    for name in sorted(wanted - {*gap.controls}):
        found.append(f"{NAMES[name]}: left out, fewer than 2 pairs are known to be of that time.")
    if {*TIMES} & wanted and times["unknown"]:
        found.append(f"{times['unknown']} pairs of unknown time count as neither day nor night.")
    return found


def made_of(gap: Gap) -> str:
    """What was measured, in a line."""
    about, (height, width) = gap.about, gap.about["size"]
    data = f"{about['pairs']} pairs ({about['data']['name']}, {height}x{width} pixels)"
    return f"{data}, features of {about['model']}."


def stated(gap: Gap) -> str:
    """In how many readings of the real pairs the stated ratio lies in the interval."""
    real = select(gap.levels, control="real").dropna(subset="interval")
    holds = real["interval"].map(lambda ends: ends[0] <= STATED <= ends[1])
    averaged = real["block"] == MEAN
    mean, single = (f"{of.sum()} of {len(of)}" for of in (holds[averaged], holds[~averaged]))
    return (
        f"The paper's {STATED} lies in the interval of {mean} readings averaged over blocks, and "
        f"of {single} block by block."
    )


# --------------------------------------------------------------------------- tables of a whole gap


def _cell(entry: Mapping, key: str, digits: int = 2) -> str:
    """A number of an entry with its interval."""
    return number(entry[key], entry.get(f"{key}_interval", entry.get("interval")), digits)


def levels_table(gap: Gap) -> Table:
    """Normalised divergence by band: real pairs by block, then each control's mean over blocks."""
    found = select(gap.levels, metric="normalised", band=ANALYSIS)
    averaged = found["block"] == MEAN
    parts = found.loc[~averaged & (found["control"] == "real")], found.loc[averaged]
    return ["block", "pairs", *ENDS, "high / low"], [
        [str(e["block"]), method_name(e["control"]), *(_cell(e, key) for key in (*ENDS, "ratio"))]
        for e in pd.concat(parts).to_dict("records")
    ]


def contrasts_table(gap: Gap) -> Table:
    """Divergence of the first control minus that of each other one, averaged over blocks, paired
    over images, with the verdict."""
    found = []
    for entry in select(gap.contrasts, metric="normalised", band=ANALYSIS).to_dict("records"):
        row = [method_name(entry["control"])]
        for level in ENDS:
            interval = entry[f"{level}_interval"]
            row += [number(entry[level], interval, 3, True), verdict(*interval)]
        found.append(row)
    first = f"{method_name(gap.controls[0])} minus"
    return [first, "low band", "verdict", "high band", "verdict"], found


def readings(gap: Gap) -> Table:
    """High over low of the real pairs in every metric and pair of bands: averaged over blocks, with
    the interval, and in each block."""
    blocks, found = gap.about["blocks"], []
    for metric, name in METRICS.items():
        for band in dict.fromkeys([*gap.about["bands"], AUTHORS]):
            of = select(gap.levels, control="real", metric=metric, band=band).set_index("block")
            if len(of):  # else an older file
                ratios = (number(of.loc[block, "ratio"]) for block in blocks)
                mean = _cell(of.loc[MEAN], "ratio")
                found.append([name, BANDS.get(band, band), mean, *ratios])
    return ["metric", "bands", "high / low", *(f"block {block}" for block in blocks)], found


def shifts(gap: Gap) -> list[tuple[int, dict]]:
    """(pixels, row of `levels`) of RGB against itself shifted, from no shift, which is 0, on."""
    nothing = {"low": 0.0, "high": 0.0, "low_interval": [0.0, 0.0], "high_interval": [0.0, 0.0]}
    measured = [(pixels, gap.level(f"shift{pixels}")) for pixels in (1, 2, 4, 8)]
    return [(0, nothing), *((pixels, entry) for pixels, entry in measured if entry)]


def equal_shift(gap: Gap, level: str = "high") -> float | None:
    """By how many pixels RGB must be shifted against itself to diverge as real pairs do, linearly
    interpolated between those that were measured; None where none of them is far enough."""
    curve = [(pixels, entry[level]) for pixels, entry in shifts(gap)]
    real = gap.level("real")[level]
    for (p, a), (q, b) in pairwise(curve):
        if a < real <= b:
            return p + (q - p) * (real - a) / (b - a)
    return None


def alignment_table(gap: Gap) -> Table:
    """How much of the divergence is left when each pair is moved by the best translation, and the
    shift that would explain each band."""
    shares = (gap.alignment or {}).get("share", ())
    share = next((row for row in shares if row["band"] == ANALYSIS), None)
    found = []
    for level in ENDS:
        pixels = equal_shift(gap, level)
        reach = f"above {shifts(gap)[-1][0]} px" if pixels is None else f"{pixels:.1f} px"
        found.append([level, reach, _cell(share, level) if share else ""])
    return ["band", "shift of RGB with this divergence", "left after alignment"], found


def pictures_table(gap: Gap) -> Table:
    """Slope of the pictures' power spectra, and their share of energy at high frequency."""
    return ["pictures", "slope of power over rho", "energy above rho .5"], [
        [NAMES[row["modality"]], _cell(row, "slope"), _cell(row, "energy", 4)]
        for row in gap.images.to_dict("records")
    ]


def coherence_table(gap: Gap) -> Table:
    """Coherence in the slowest and the fastest ring, of pictures and of each block's features."""
    kinds = [(PICTURES, PICTURES)]
    kinds += [(block, name) for block in gap.about["blocks"] for name in ("real", "mismatched")]
    found = []
    for block, control in kinds:
        rings = select(gap.coherence, control=control, block=block).dropna(subset="value")
        if len(rings):
            ends = [_cell(rings.iloc[i], "value", 3) for i in (0, -1)]
            found.append([str(block), method_name(control), *ends])
    return ["block", "pairs", "slowest ring", "fastest ring"], found


def similarity_table(gap: Gap) -> Table:
    """CKA in both bands of the analysis, averaged over blocks."""
    of = select(gap.similarity, band=ANALYSIS, measure="cka").astype({"value": float})
    wide = of.pivot_table("value", "control", "level", sort=False)  # low, then high
    rows = [[method_name(control), *map(number, values)] for control, *values in lines_of(wide)]
    return ["pairs", "CKA low", "CKA high"], rows


def controls_table(gap: Gap) -> Table:
    """What each control compares."""
    names = [name for name in gap.controls if name in CONTROLS]
    return ["pairs", "what is compared"], [[method_name(k), CONTROLS[k].about] for k in names]


# -------------------------------------------------------------------- levels of notebooks 01 and 03


def measures_table(measured: Mapping[str, Resampled]) -> Table:
    """Levels in both bands and their ratio, by metric, from `band_levels`; of raw MSE, which has no
    scale, the ratio alone."""
    found = []
    for metric, level in measured.items():
        entry = as_entry(level)
        ends = ["" if metric == "mse" else _cell(entry, k) for k in ENDS]
        phrase = verdict(*(end - 1 for end in entry["interval"]))
        found.append([METRICS[metric], *ends, _cell(entry, "ratio"), phrase])
    return ["measure", "low band", "high band", "high / low", "high against low"], found


def ratios_table(measured: Mapping[str, Resampled]) -> Table:
    """Levels in both bands and their ratio, by control, from `band_levels`. The verdict compares
    each control's ratio with that of the real pairs, on the same draws."""
    found = []
    for name, level in measured.items():
        span = paired_bootstrap(level, measured["real"], "ratio")[1]
        cells = (number(*level.figure(k)) for k in (*ENDS, "ratio"))
        found.append([NAMES[name], *cells, "" if name == "real" else verdict(*span)])
    return ["pairs", "low band", "high band", "high / low", "ratio against infrared"], found


def difference_table(measured: Mapping[str, Resampled], one: str, other: str) -> Table:
    """Divergence of one control minus another one's in both bands, paired over images."""
    found = []
    for band in ENDS:
        value, span = paired_bootstrap(measured[one], measured[other], band)
        name = f"{NAMES[one]} minus {NAMES[other]}, {band} band"
        found.append([name, number(value, span, signed=True), verdict(*span)])
    return ["divergence", "difference", "verdict"], found


# ------------------------------------------------------------------------- scenes beside real pairs


def rings_by_block(rows: Sequence[Row], data: str) -> dict[int, list[Row]]:
    """The rows of `tools/scenes_gap.py` of one data set, at any time of day, as block -> rings in
    order. Classes read block5/ring3."""
    found: dict[int, list[Row]] = {}
    for row in pick(rows, data=data, metric="divergence", split="train/all"):
        if place := re.fullmatch(r"block(\d+)/ring\d+", row.klass):
            found.setdefault(int(place[1]), []).append(row)
    return found
