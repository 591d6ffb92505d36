"""A measured gap as rows of results, and as small tables (head and rows) for `results.text`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from freqkd_lite.evaluate.stats import percentiles
from freqkd_lite.gap.controls import CONTROLS, TIMES
from freqkd_lite.gap.rings import Levels
from freqkd_lite.gap.study import ANALYSIS, PICTURES, Gap
from freqkd_lite.gap.tables import MEAN, select
from freqkd_lite.names import NAMES
from freqkd_lite.results.rows import Row, pick
from freqkd_lite.results.text import number, verdict

Table = tuple[list[str], list[list[str]]]

QUESTION = "Do the features of RGB and infrared differ more at high frequency?"
STATED = 2.4  # how many times more, by the paper's abstract
RATIOS = {"normalised": "divergence_ratio", "mse": "raw_mse_ratio", "cosine": "cosine_ratio"}
METRICS = {"normalised": "energy-normalised", "cosine": "cosine distance", "mse": "raw MSE"}
BANDS = {"disk25_75": "analysis", "rectangle50": "training"}
FEW = 10  # pairs, below which a bootstrap interval is too narrow


def rows(gap: Gap) -> list[Row]:
    """Ratios of every control in every metric and pair of bands, averaged over blocks, and of the
    real pairs in each block; divergence in the bands of the analysis."""
    about = gap.about["data"]
    common = dict(claim="gap_ratio", seed=None, data=about["name"], split=about["split"])
    found = []
    for entry in select(gap.levels, block=MEAN).to_dict("records"):
        own = common | {"method": entry["control"], "n": entry["n"]}
        found.append(Row(metric=_metric(entry), **_value(entry, "ratio", "interval"), **own))
        if (entry["metric"], entry["band"]) == ("normalised", ANALYSIS):
            for level in ("low", "high"):
                value = _value(entry, level, f"{level}_interval")
                found.append(Row(metric="divergence", klass=level, **value, **own))
    for entry in select(gap.levels, control="real").to_dict("records"):
        if entry["block"] != MEAN:
            own = common | {"method": "real", "n": entry["n"], "klass": f"block{entry['block']}"}
            found.append(Row(metric=_metric(entry), **_value(entry, "ratio", "interval"), **own))
    return found


def _metric(entry: dict) -> str:
    """A ratio's name in results; the bands of the analysis are not named."""
    band = "" if entry["band"] == ANALYSIS else f"_{entry['band']}"
    return RATIOS[entry["metric"]] + band


def _value(entry: dict, value: str, interval: str) -> dict:
    return {"value": entry[value], "interval": entry[interval]}


def answer(gap: Gap) -> str:
    """The answer to `QUESTION`: the phrase for the ratio of the real pairs, and its numbers."""
    real = gap.level("real")
    if real["interval"]:
        phrase = verdict(*(end - 1 for end in real["interval"]))
    else:  # nothing differs at low frequency, so there is no ratio
        phrase = verdict(real["high"], real["high"])
    blocks = ", ".join(map(str, gap.about["blocks"]))
    return (
        f"Divergence at high against low spatial frequency: {phrase} "
        f"(low {number(real['low'], real['low_interval'])}, high "
        f"{number(real['high'], real['high_interval'])}, ratio "
        f"{number(real['ratio'], real['interval'])}; {real['n']} pairs, mean over blocks {blocks})."
    )


def notes(gap: Gap) -> list[str]:
    """What limits the numbers: few pairs, times of day that are not known."""
    found, times = [], gap.about["time_of_day"]
    if gap.about["pairs"] < FEW:
        found.append(f"Intervals over only {gap.about['pairs']} pairs are too narrow.")
    wanted = gap.about.get("controls", gap.controls)
    for name in sorted(set(wanted) - set(gap.controls)):
        found.append(f"{NAMES[name]}: left out, fewer than 2 pairs are known to be of that time.")
    if set(TIMES) & set(wanted) and times["unknown"]:
        found.append(f"{times['unknown']} pairs of unknown time count as neither day nor night.")
    return found


def made_of(gap: Gap) -> str:
    """What was measured, in a line."""
    about = gap.about
    height, width = about["size"]
    return (
        f"{about['pairs']} pairs ({about['data']['name']}, {height}x{width} pixels), features of "
        f"{about['model']}."
    )


def stated(gap: Gap) -> str:
    """In how many readings of the real pairs the stated ratio lies in the interval."""
    real = select(gap.levels, control="real")
    counts = []
    for table in (real[real["block"] == MEAN], real[real["block"] != MEAN]):
        intervals = [interval for interval in table["interval"] if interval]
        holds = sum(low <= STATED <= high for low, high in intervals)
        counts.append(f"{holds} of {len(intervals)}")
    return (
        f"The paper's {STATED} lies in the interval of {counts[0]} readings averaged over blocks, "
        f"and of {counts[1]} block by block."
    )


def levels_table(gap: Gap) -> Table:
    """Normalised divergence in the bands of the analysis: real pairs by block, then every control
    averaged over blocks."""
    kinds = [(block, "real") for block in gap.about["blocks"]]
    kinds += [(MEAN, control) for control in gap.controls]
    found = []
    for block, control in kinds:
        entry = gap.level(control, block=block)
        cells = [number(entry[k], entry.get(f"{k}_interval")) for k in ("low", "high")]
        ratio = number(entry["ratio"], entry["interval"])
        found.append([str(block), NAMES.get(control, control), *cells, ratio])
    return ["block", "pairs", "low", "high", "high / low"], found


def contrasts_table(gap: Gap) -> Table:
    """Divergence of the first control minus that of each other one, averaged over blocks, paired
    over images, with the verdict."""
    contrasts = select(gap.contrasts, metric="normalised", band=ANALYSIS).to_dict("records")
    first = NAMES.get(gap.controls[0], gap.controls[0])
    found = []
    for entry in contrasts:
        cells = []
        for level in ("low", "high"):
            interval = entry[f"{level}_interval"]
            cells += [number(entry[level], interval, signed=True), verdict(*interval)]
        found.append([NAMES.get(entry["control"], entry["control"]), *cells])
    return [f"{first} minus", "low band", "verdict", "high band", "verdict"], found


def readings(gap: Gap) -> Table:
    """High over low of the real pairs in every metric and pair of bands: averaged over blocks, with
    the interval, and in each block."""
    blocks = gap.about["blocks"]
    head = ["metric", "bands", "high / low", *(f"block {block}" for block in blocks)]
    found = []
    for metric, name in METRICS.items():
        for band in gap.about["bands"]:
            mean = gap.level("real", metric=metric, band=band)
            each = [gap.level("real", metric=metric, band=band, block=b) for b in blocks]
            cells = [number(mean["ratio"], mean["interval"]), *(number(e["ratio"]) for e in each)]
            found.append([name, BANDS.get(band, band), *cells])
    return head, found


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
    for (p, a), (q, b) in zip(curve, curve[1:], strict=False):
        if a < real <= b:
            return p + (q - p) * (real - a) / (b - a)
    return None


def alignment_table(gap: Gap) -> Table:
    """How much of the divergence is left when each pair is moved by the best translation, and the
    shift that would explain each band."""
    head = ["band", "shift of RGB with this divergence", "left after alignment"]
    share = one_share(gap)
    found = []
    for level in ("low", "high"):
        pixels = equal_shift(gap, level)
        largest = shifts(gap)[-1][0]
        reach = f"above {largest} px" if pixels is None else f"{pixels:.1f} px"
        left = number(share[level], share[f"{level}_interval"]) if share else ""
        found.append([level, reach, left])
    return head, found


def one_share(gap: Gap) -> dict | None:
    """The row of the analysis bands in what alignment leaves; None where it was not measured."""
    shares = (gap.alignment or {}).get("share", ())
    return next((row for row in shares if row["band"] == ANALYSIS), None)


def pictures_table(gap: Gap) -> Table:
    """Slope of the pictures' power spectra, and their share of energy at high frequency."""
    head = ["pictures", "slope of power over rho", "energy above rho .5"]
    found = []
    for row in gap.images.to_dict("records"):
        slope = number(row["slope"], row["slope_interval"])
        energy = number(row["energy"], row["energy_interval"], 4)
        found.append([NAMES[row["modality"]], slope, energy])
    return head, found


def coherence_table(gap: Gap) -> Table:
    """Coherence in the slowest and the fastest ring, of pictures and of each block's features."""
    head = ["block", "pairs", "slowest ring", "fastest ring"]
    kinds = [(PICTURES, PICTURES)]
    kinds += [(block, name) for block in gap.about["blocks"] for name in ("real", "mismatched")]
    found = []
    for block, control in kinds:
        rings = select(gap.coherence, control=control, block=block).to_dict("records")
        rings = [ring for ring in rings if ring["value"] is not None]
        if rings:
            ends = [number(rings[i]["value"], rings[i]["interval"], 3) for i in (0, -1)]
            found.append([str(block), NAMES.get(control, control), *ends])
    return head, found


def similarity_table(gap: Gap) -> Table:
    """CKA in both bands of the analysis and MMD in the high one, averaged over blocks."""
    found = []
    for control in dict.fromkeys(gap.similarity["control"]):
        cells = []
        for measure, level in (("cka", "low"), ("cka", "high"), ("mmd", "high")):
            where = {"control": control, "band": ANALYSIS, "measure": measure, "level": level}
            values = select(gap.similarity, **where)["value"].dropna()
            cells.append(number(float(values.mean())) if len(values) else "")
        found.append([NAMES.get(control, control), *cells])
    return ["pairs", "CKA low", "CKA high", "MMD high"], found


def controls_table(gap: Gap) -> Table:
    """What each control compares."""
    names = [name for name in gap.controls if name in CONTROLS]
    return ["pairs", "what is compared"], [
        [NAMES.get(name, name), CONTROLS[name].about] for name in names
    ]


def curve_table(measured: Levels, raw: Tensor, pixels: Tensor) -> Table:
    """Ends of the divergence curve and of raw MSE per bin `raw` (blocks, rings), averaged over
    blocks, and of the `pixels` (rings,)."""
    mean, ratio = measured.mean(), measured.ratio()
    ends = [number(float(mean.value[0, k]), mean.interval[:, 0, k].tolist()) for k in (0, -1)]
    relative = float((raw[:, -1] / raw[:, 0]).mean())
    return ["", "slowest ring", "fastest ring", "fastest / slowest"], [
        ["divergence of features", *ends, number(ratio[0], percentiles(ratio[1]))],
        ["divergence of pixels", *(number(float(pixels[k])) for k in (0, -1)), ""],
        ["raw MSE per bin", "", "", number(relative)],
    ]


def ratios_table(measured: dict[str, Levels]) -> Table:
    """Levels in both bands and their ratio, by control; `measured` is over `BAND_EDGES`. The
    verdict compares each control's ratio with that of the real pairs, on the same draws."""
    head = ["pairs", "low", "high", "high / low", "ratio against infrared"]
    real = measured["real"].ratio()[1]
    found = []
    for name, level in measured.items():
        mean, (ratio, draws) = level.mean(), level.ratio()
        cells = [number(float(mean.value[0, k]), mean.interval[:, 0, k].tolist()) for k in (0, -1)]
        phrase = "" if name == "real" else verdict(*percentiles(draws - real))
        found.append([NAMES[name], *cells, number(ratio, percentiles(draws)), phrase])
    return head, found


def difference_table(measured: dict[str, Levels], one: str, other: str) -> Table:
    """Divergence of one control minus another one's in both bands, paired over images."""
    found = []
    for band, ring in (("low", 0), ("high", -1)):
        a, b = (measured[name].mean() for name in (one, other))
        value = float(a.value[0, ring] - b.value[0, ring])
        low, high = percentiles((a.draws - b.draws)[:, 0, ring].numpy())
        cells = [number(value, (low, high), signed=True), verdict(low, high)]
        found.append([f"{NAMES[one]} minus {NAMES[other]}, {band} band", *cells])
    return ["divergence", "difference", "verdict"], found


def level_rows(measured: dict[str, Levels], **about: object) -> list[Row]:
    """Rows of notebook 03: levels in both bands and their ratio, by control; `about` are the fields
    that all have."""
    found = []
    for name, level in measured.items():
        mean, (ratio, draws) = level.mean(), level.ratio()
        common = {"claim": "gap_ratio", "method": name, "seed": None, "n": level.images} | about
        interval = percentiles(draws)
        found.append(Row(metric="divergence_ratio", value=ratio, interval=interval, **common))
        for band, ring in (("low", 0), ("high", -1)):
            value, interval = float(mean.value[0, ring]), mean.interval[:, 0, ring].tolist()
            row = Row(metric="divergence", klass=band, value=value, interval=interval, **common)
            found.append(row)
    return found


def curve_rows(measured: Levels, blocks: Sequence[int], **about: object) -> list[Row]:
    """Rows of notebook 01: divergence of the real pairs in each block and ring."""
    common = {"claim": "gap_ratio", "method": "real", "seed": None, "n": measured.images} | about
    found = []
    for i, block in enumerate(blocks):
        for k, value in enumerate(measured.value[i].tolist()):
            where = {"metric": "divergence", "klass": f"block{block}/ring{k}"}
            interval = measured.interval[:, i, k].tolist()
            found.append(Row(value=value, interval=interval, **where, **common))
    return found


def rings_by_block(rows: Sequence[Row], data: str, time: str = "all") -> dict[int, list[Row]]:
    """The rows of `tools/scenes_gap.py` of one data set as block -> rings in order; `time` is
    "all", "day" or "night". Classes read block5/ring3."""
    found: dict[int, dict[int, Row]] = {}
    for row in pick(rows, data=data, metric="divergence", split=f"train/{time}"):
        block, _, ring = row.klass.removeprefix("block").partition("/ring")
        if ring:
            found.setdefault(int(block), {})[int(ring)] = row
    return {b: [rings[i] for i in sorted(rings)] for b, rings in sorted(found.items())}


def scenes_table(rows: Sequence[Row]) -> Table:
    """How far the scenes' divergence lies from that of real pairs, by block."""
    real, scenes = (rings_by_block(rows, name) for name in ("msrs", "scenes"))
    head = ["block", "mean difference", "largest difference", "rings with separate intervals"]
    found = []
    for block in real:
        both = list(zip(scenes[block], real[block], strict=True))
        gaps = np.array([a.value - b.value for a, b in both])
        apart = sum(a.interval[0] > b.interval[1] or a.interval[1] < b.interval[0] for a, b in both)
        largest = gaps[np.abs(gaps).round(6).argmax()]
        cells = [number(float(x), signed=True) for x in (gaps.mean(), largest)]
        found.append([str(block), *cells, f"{apart} of {len(gaps)}"])
    return head, found
