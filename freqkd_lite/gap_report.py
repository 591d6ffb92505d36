"""What a measured gap says: a sentence, a table for the terminal, and a page.

Every sentence follows by rule from the numbers of `gap.measure`, and names its metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from freqkd_lite.figures.gap import by_block, kinship
from freqkd_lite.notebook import NAMES, style
from freqkd_lite.report_page import ReportPage
from freqkd_lite.spectrum import METRICS

QUESTION = "Do RGB and infrared part more at high frequency?"
BAND = "disk25_75"  # the bands of the authors' analysis, which the answer is about
BAND_NAMES = {"disk25_75": "rho up to .25, and from .75", "rectangle50": "half of each axis"}
METRIC_NAMES = {"mse": "raw MSE", "normalised": "energy-normalised", "cosine": "cosine distance"}
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
        ratio_said = f"{ratio:.2f} {_span(span)} times as much"
        side = "Yes: " if span[0] > 1 else "No, less: " if span[1] < 1 else "These can't tell: "
    ratio_said = ratio_said or "so far apart that no ratio exists,"
    return (
        f"{side}in energy-normalised divergence the features part {ratio_said} at high spatial "
        f"frequency ({high:.2f}, {kinship(high)}) as at low ({low:.2f}, {kinship(low)}); "
        f"{real['n']} pairs, mean over {blocks_said(found)}."
    )


def remarks(found: dict) -> list[str]:
    """What must be said beside the answer: the size that the paper states, the other metrics and
    bands, and what strangers reach."""
    real = pick(found, band=BAND, metric="normalised", pairing="real")
    said = caution(found)
    if not real["interval"]:
        return said
    low, high = real["interval"]
    within = "lies within" if low <= STATED <= high else "lies outside"
    said.append(f"The paper states {STATED} for its own pairs and model, which {within} this "
                "interval.")  # fmt: skip
    for metric in ("mse", "cosine"):
        other = pick(found, band=BAND, metric=metric, pairing="real")
        name = METRIC_NAMES[metric]
        name = (name[0].upper() + name[1:]) + (" per bin" if metric == "mse" else "")
        if other["interval"]:
            said.append(f"{name} says {_against(real['interval'], other['interval'])}: "
                        f"{_number(other['ratio'])} {_span(other['interval'])} times.")  # fmt: skip
    training = pick(found, band="rectangle50", metric="normalised", pairing="real")
    if training["interval"]:
        said.append(f"In the bands of FreqKD's training ({BAND_NAMES['rectangle50']}) the ratio is "
                    f"{training['ratio']:.2f} {_span(training['interval'])}.")  # fmt: skip
    strangers = pick(found, band=BAND, metric="normalised", pairing="shuffled")
    if strangers is None:
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
                    f"{_span(strangers['interval'])}: a ratio above 1 alone is no sign of a gap "
                    "between RGB and infrared; the levels are.")  # fmt: skip
    return said


def caution(found: dict) -> list[str]:
    """A warning where there are few pairs: a bootstrap over a handful is too sure of itself."""
    if found["pairs"] >= FEW:
        return []
    return [f"Only {found['pairs']} pairs: intervals over so few are too narrow; read the answer "
            "as a first impression."]  # fmt: skip


def small_table(found: dict) -> tuple[list[str], list[list[object]]]:
    """Head and rows: normalised divergence over the analysis bands, of the real pairs by block, and
    of every pairing averaged over blocks."""
    head = ["block", "pairs", "low", "high", "high / low", "95 % interval"]
    rows = [
        [str(row["block"]), "real", *_levels(row)]
        for row in found["rows"]
        if (row["pairing"], row["band"], row["metric"]) == ("real", BAND, "normalised")
    ]
    means = [pick(found, band=BAND, metric="normalised", pairing=p) for p in _pairings(found)]
    return head, rows + [["mean", _name(e["pairing"]), *_levels(e)] for e in means]


def terminal(found: dict) -> str:
    """The answer, the small table in columns, and the remarks."""
    head, rows = small_table(found)
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(str(c).ljust(w) if i < 2 else str(c).rjust(w)
                       for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in [head, *rows]]  # fmt: skip
    return "\n".join([answer(found), "", *lines, "", *remarks(found)])


def add_figure(page: ReportPage, found: dict) -> None:
    """The curves by block."""
    with plt.rc_context():
        style()
        page.figure(*by_block(found))


def add_tables(page: ReportPage, found: dict) -> None:
    """Levels by block, and the ratios of all metrics and bands."""
    page.table(*small_table(found), caption="Energy-normalised divergence at low (rho up to .25) "
               "and high (from .75) spatial frequency: 0 identical, 1 unrelated.")  # fmt: skip
    rows = [
        [METRIC_NAMES[metric], BAND_NAMES[band], _name(p),
         *_levels(pick(found, band=band, metric=metric, pairing=p))]
        for metric in METRICS
        for band in BAND_NAMES
        for p in _pairings(found)
    ]  # fmt: skip
    page.table(["metric", "bands", "pairs", "low", "high", "high / low", "95 % interval"], rows,
               caption="The same pairs in every metric and both pairs of bands, averaged over "
               "blocks.")  # fmt: skip


def add_methods(page: ReportPage, found: dict) -> None:
    """How the gap was measured, so that a reader can repeat it."""
    data, (height, width) = found["data"], found["size"]
    taken = "" if found["pairs"] == data["pairs"] else f" of {data['pairs']}, evenly spread,"
    page.bullets([
        f"Model: {found['model']}; weights from {found['weights']}, SHA-256 {found['checksum']}.",
        f"Data: {found['pairs']} pairs{taken} of {data['name']!r} ({data['split']}), "
        f"{height}x{width} pixels, fingerprint {data['fingerprint']}.",
        *([data["note"]] if data["note"] else []),
        *data["repairs"],
        f"Features: raw outputs of {blocks_said(found)} (counted from 0), no final norm, class and "
        "register tokens dropped; two-dimensional Fourier transform over tokens, zero frequency "
        "left out. rho is the spatial frequency in units of half a cycle per token.",
        "Energy-normalised: sum |R - I|^2 / (sum |R|^2 + sum |I|^2), sums over pairs, channels and "
        "frequencies of a band. Raw MSE: mean |R - I|^2 per frequency, summed over channels. "
        "Cosine distance: 1 - Re sum R I* / (|R| |I|), over the same sums.",
        "Shuffled pairs: RGB of one scene, infrared of the one before it in an order drawn with "
        f"seed {found['seed']}.",
        "Intervals: 95 % percentile bootstrap over images, 1000 draws, the same for all rows.",
    ])  # fmt: skip


def write_page(found: dict, path: str | Path, command: str) -> Path:
    """The report: answer, figure, table, remarks, method."""
    page = ReportPage(QUESTION, answer(found))
    add_figure(page, found)
    page.bullets(remarks(found))
    page.section("The numbers")
    add_tables(page, found)
    page.section("How it was done")
    add_methods(page, found)
    page.code(command)
    return page.write(path)


def _pairings(found: dict) -> list[str]:
    return list(dict.fromkeys(entry["pairing"] for entry in found["summary"]))


def _name(pairing: str) -> str:
    return "real" if pairing == "real" else NAMES.get(pairing, pairing)


def _levels(entry: dict) -> list[str]:
    """Low, high, ratio and its interval; the last two empty where there is no ratio."""
    values = [_number(entry[k]) for k in ("low", "high")]
    if entry["ratio"] is None:
        return [*values, "", ""]
    return [*values, _number(entry["ratio"]), _span(entry["interval"])]


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:.2g}"


def _span(interval: Sequence[float]) -> str:
    return f"[{_number(interval[0])}, {_number(interval[1])}]"


def _against(one: Sequence[float], other: Sequence[float]) -> str:
    sides = [1 if span[0] > 1 else -1 if span[1] < 1 else 0 for span in (one, other)]
    return {1: "the same", -1: "the opposite", 0: "less"}[
        sides[0] * sides[1] if sides[0] else 1 if not sides[1] else 0
    ]


def blocks_said(found: dict) -> str:
    """The blocks, in words."""
    blocks = ", ".join(map(str, found["layers"]))
    return f"blocks {blocks}" if len(found["layers"]) > 1 else f"block {blocks}"
