"""What a measured gap says, in sentences that follow by rule from the numbers of `gap.measure`.

Each names its metric; when the numbers change sides, so do the words.
"""

from __future__ import annotations

from collections.abc import Sequence

from freqkd_lite.gap.controls import LIGHTS
from freqkd_lite.names import NAMES
from freqkd_lite.viz.gap import kinship

QUESTION = "Do RGB and infrared part more at high frequency?"
BAND = "disk25_75"  # the bands of the authors' analysis, which the answer is about
BAND_NAMES = {"disk25_75": "rho up to .25, and from .75", "rectangle50": "half of each axis"}
BAND_OWNERS = {"disk25_75": "analysis", "rectangle50": "training"}
METRIC_NAMES = {"normalised": "energy-normalised", "cosine": "cosine distance", "mse": "raw MSE"}
FEW = 10  # pairs
STATED = 2.4  # times, by the paper's abstract


def pick(found: dict, table: str = "summary", **fields: object) -> dict | None:
    """The first entry of a table of `gap.measure` whose fields equal the given ones."""
    return next((e for e in found[table] if all(e[k] == v for k, v in fields.items())), None)


def answer(found: dict) -> str:
    """The answer to `QUESTION` in one sentence: by the energy-normalised divergence of real pairs
    in the analysis bands, averaged over blocks, and the interval of its ratio."""
    real = pick(found, band=BAND, metric="normalised", pairing="real")
    low, high, ratio, span = (real[k] for k in ("low", "high", "ratio", "interval"))
    if low == high == 0:
        return (f"No: the features of the two folders are the same at every frequency "
                f"(divergence 0 in both bands, {real['n']} pairs).")  # fmt: skip
    if span is None:
        ratio_said, side = "", "Yes, and only there: " if high > low else "No, only at low: "
    else:
        ratio_said = f"{ratio:.2f} {span_said(span)} times as much"
        side = "Yes: " if span[0] > 1 else "No, less: " if span[1] < 1 else "These can't tell: "
    ratio_said = ratio_said or "so far apart that no ratio exists,"
    return (
        f"{side}in energy-normalised divergence the features part {ratio_said} at high spatial "
        f"frequency ({high:.2f}, {kinship(high)}) as at low ({low:.2f}, {kinship(low)}); "
        f"{real['n']} pairs, mean over {blocks_said(found)}."
    )


def measured(found: dict) -> str:
    """What the numbers are of: pairs, their size, and the network."""
    height, width = found["size"]
    return (f"{found['pairs']} pairs ({found['data']['name']}, {height}x{width} pixels), features "
            f"of {found['model']}.")  # fmt: skip


def remarks(found: dict) -> list[str]:
    """What must be said beside the answer: how few pairs there are, and what strangers reach."""
    said = caution(found)
    real = pick(found, band=BAND, metric="normalised", pairing="real")
    strangers = pick(found, band=BAND, metric="normalised", pairing="shuffled")
    if strangers is None or not real["interval"]:
        return said
    contrast = pick(found, "contrasts", band=BAND, metric="normalised", pairing="shuffled")
    for level in ("low", "high"):
        span = contrast[f"{level}_interval"]
        side = ("a pair shares more than strangers do" if span[1] < 0 else
                "a pair is less alike than strangers are" if span[0] > 0 else
                "nothing shows that these are pairs")  # fmt: skip
        said.append(f"{level.capitalize()} band: {real[level]:.2f} for pairs, "
                    f"{strangers[level]:.2f} for shuffled ones: {side}.")  # fmt: skip
    if strangers["interval"] and strangers["interval"][0] > 1:
        said.append(f"Shuffled pairs have a ratio of {strangers['ratio']:.2f} "
                    f"{span_said(strangers['interval'])}: a ratio above 1 alone is no sign of a "
                    "gap between RGB and infrared; the levels are.")  # fmt: skip
    return said


def caution(found: dict) -> list[str]:
    """A warning where there are few pairs: a bootstrap over a handful is too sure of itself."""
    if found["pairs"] >= FEW:
        return []
    return [f"Only {found['pairs']} pairs: intervals over so few are too narrow; read the answer "
            "as a first impression."]  # fmt: skip


def verdict(found: dict) -> list[str]:
    """Where the size that the paper states holds for real pairs: in which readings, averaged over
    blocks, as the paper has it, and block by block; then what each says, averaged over blocks. It
    holds where the ratio's interval has 2.4 in it."""
    means, rows = (
        [e for e in found[table] if e["pairing"] == "real" and e["interval"]]
        for table in ("summary", "rows")
    )
    if not means:
        return []
    counted = []
    for entries, what in ((means, " readings of metric and bands"), (rows, "")):
        held = [_reading(e) for e in entries if _side(e["interval"]) == "holds"]
        listed = f" ({'; '.join(held)})" if held else ""
        counted.append(f"{len(held) or 'none'} of {len(entries)}{what}{listed}")
    said = [f"Averaged over blocks, as the paper has it, its {STATED} times holds in {counted[0]}; "
            f"block by block in {counted[1]}."]  # fmt: skip
    for side, words in SIDES.items():
        those = []
        for metric in METRIC_NAMES:
            sizes = [f"{number(e['ratio'])} in {bands_said(e['band'])}" for e in means
                     if e["metric"] == metric and _side(e["interval"]) == side]  # fmt: skip
            those += [f"{METRIC_NAMES[metric]} {_listed(sizes)}"] if sizes else []
        said += [f"{words}: {'; '.join(those)}."] if those else []
    return said


SIDES = {
    "holds": f"About {STATED} times", "more": f"More than {STATED} times",
    "less": f"More at high frequency, but less than {STATED} times",
    "open": "Neither more nor less at high frequency",
    "opposite": "Less at high than at low frequency",
}  # fmt: skip


def _side(interval: Sequence[float]) -> str:
    """Which of `SIDES` a ratio's interval stands for."""
    low, high = interval
    if low <= STATED <= high:
        return "holds"
    if low > STATED:
        return "more"
    return "less" if low > 1 else "opposite" if high < 1 else "open"


def _reading(entry: dict) -> str:
    block = f", block {entry['block']}" if "block" in entry else ""
    return f"{METRIC_NAMES[entry['metric']]} in {bands_said(entry['band'])}{block}"


def bands_said(band: str) -> str:
    """A pair of bands in words, by whose they are; further ones by their name."""
    return f"the {BAND_OWNERS[band]} bands" if band in BAND_OWNERS else band


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def name(pairing: str) -> str:
    """A pairing's name for tables."""
    return "real" if pairing == "real" else NAMES.get(pairing, pairing)


def equal_shift(found: dict, level: str = "high") -> tuple[float | None, float, float]:
    """(pixels, divergence at the largest shift, of real pairs): how far RGB must be shifted against
    itself to diverge as real pairs do, on a line between those that were measured; None where none
    of them is far enough. Normalised divergence in the analysis bands, mean over blocks."""
    curve = [(pixels, entry[level]) for pixels, entry in shifts(found)]
    real = pick(found, band=BAND, metric="normalised", pairing="real")[level]
    for (p, a), (q, b) in zip(curve, curve[1:], strict=False):
        if a < real <= b:
            return p + (q - p) * (real - a) / (b - a), curve[-1][1], real
    return None, curve[-1][1], real


def shifts(found: dict) -> list[tuple[int, dict]]:
    """(pixels, summary entry) of RGB against itself shifted, from no shift, which is 0, on."""
    nothing = {"low": 0.0, "high": 0.0, "low_interval": [0.0, 0.0], "high_interval": [0.0, 0.0]}
    measured = [(pixels, pick(found, band=BAND, metric="normalised", pairing=f"shift{pixels}"))
                for pixels in (1, 2, 4, 8)]  # fmt: skip
    return [(0, nothing), *((pixels, entry) for pixels, entry in measured if entry)]


def misalignment(found: dict) -> list[str]:
    """What a shift alone costs, and what is left of the gap once pairs are aligned."""
    said = []
    curve = shifts(found)
    if len(curve) > 1:
        pixels, last, real = equal_shift(found)
        reach = curve[-1][0]
        said.append(
            f"In the high band real pairs diverge by {number(real)}; RGB shifted against itself "
            + (f"reaches that at {pixels:.1f} px." if pixels is not None else
               f"by {reach} px reaches {number(last)}" + (
                   ": no shift up to there explains the gap." if last < real else "."))
        )  # fmt: skip
    about = found.get("alignment")
    if about:
        share = next(e for e in about["share"] if e["band"] == BAND)
        length = "" if about["median"] is None else f" (median {about['median']:.1f} px)"
        said.append(
            f"{about['clear']} of {about['n']} pairs had a clear estimate of a shift{length}; "
            f"{about['moved']} were moved, by whole pixels. Of the divergence "
            f"{_share(share, 'high')} is left in the high band and {_share(share, 'low')} in the "
            "low one."
        )
    return said


def _share(entry: dict, level: str) -> str:
    if entry[level] is None:
        return "nothing"
    low, high = entry[f"{level}_interval"]
    return f"{100 * entry[level]:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def beyond_real(found: dict) -> list[str]:
    """Which controls have a ratio no smaller than real pairs, and day beside night."""
    said = []
    real = pick(found, band=BAND, metric="normalised", pairing="real")
    others = [e for e in found["summary"] if e["band"] == BAND and e["metric"] == "normalised"
              and e["interval"] and e["pairing"] in RATIO_CONTROLS]  # fmt: skip
    if real["interval"] and others:
        as_large = [f"{name(e['pairing'])} {number(e['ratio'])}" for e in others
                    if e["interval"][1] >= real["interval"][0]]  # fmt: skip
        size = number(real["ratio"])
        said.append(
            f"Beyond noise, the ratio is no smaller where no infrared is compared: "
            f"{_listed(as_large)}, beside {size} of real pairs."
            if as_large
            else f"No control without infrared reaches the ratio of real pairs, {size}."
        )
    times = {t: pick(found, band=BAND, metric="normalised", pairing=t) for t in LIGHTS}
    if all(times.values()):
        listed = _listed([f"{number(e['ratio'])} {span_said(e['interval'])} by {t} ({e['n']} pairs)"
                          for t, e in times.items() if e["interval"]])  # fmt: skip
        said.append(f"The ratio is {listed}.")
    return said + found.get("notes", [])


RATIO_CONTROLS = (
    "grey", "gamma", "blur", "noise", "shift1", "shift2", "shift4", "shift8", "rotate1",
)  # fmt: skip


def pictures(found: dict) -> list[str]:
    """The slopes of the pictures' spectra, and how much energy is fast."""
    said = []
    for entry in found.get("images", []):
        if entry["slope"] is None or entry["energy"] is None:
            continue
        who = {"visible": "RGB's luminance", "infrared": "Infrared"}[entry["modality"]]
        energy = entry["energy_interval"]
        said.append(
            f"{who}: power falls as frequency to the {entry['slope']:.2f} "
            f"{span_said(entry['slope_interval'])}; {100 * entry['energy']:.2g} % "
            f"[{100 * energy[0]:.2g}, {100 * energy[1]:.2g}] of the energy lies beyond rho "
            f"{entry['cutoff']} of pixels ({entry['slope_n']} pictures)."
        )
    return said


def coherences(found: dict) -> list[str]:
    """Coherence of the pictures and of each block's features in the slowest and fastest ring."""

    def ends(pairing: str, block: int | None = None) -> list[str]:
        values = [e["value"] for e in found["coherence"] if e["value"] is not None
                  and (e["pairing"], e["block"]) == (pairing, block)]  # fmt: skip
        # of what is debiased a little lies below 0: no "-0.00"
        return [f"{round(values[i], 2) + 0.0:.2f}" for i in (0, -1)] if values else []

    said = []
    if own := ends("pictures"):
        said.append(f"Coherence of the pictures themselves: {own[0]} in the slowest ring, {own[1]} "
                    "in the fastest.")  # fmt: skip
    of_blocks = []
    for block in found["layers"]:
        if real := ends("real", block):
            beside = ends("shuffled", block)
            real = [f"{a} ({b})" for a, b in zip(real, beside, strict=True)] if beside else real
            of_blocks.append(f"block {block} {real[0]} and {real[1]}")
    if of_blocks:
        said.append("Coherence of features in the slowest and the fastest ring, in brackets that "
                    f"of shuffled pairs: {'; '.join(of_blocks)}.")  # fmt: skip
    return said


def number(value: float) -> str:
    """Two digits, or more where whole numbers have them."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"


def span_said(interval: Sequence[float]) -> str:
    """An interval in square brackets."""
    return f"[{number(interval[0])}, {number(interval[1])}]"


def blocks_said(found: dict) -> str:
    """The blocks, in words."""
    blocks = ", ".join(map(str, found["layers"]))
    return f"blocks {blocks}" if len(found["layers"]) > 1 else f"block {blocks}"
