"""A measured gap as a table for the terminal, and as a page that reads like a short report."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from freqkd_lite import controls
from freqkd_lite.figures import study
from freqkd_lite.figures.gap import by_block
from freqkd_lite.gap.measures import TOKENS
from freqkd_lite.gap.words import (
    BAND,
    BAND_NAMES,
    METRIC_NAMES,
    QUESTION,
    answer,
    beyond_real,
    blocks_said,
    caution,  # noqa: F401  (the demo says it)
    misalignment,
    name,
    number,
    pick,
    pictures,
    remarks,
    shifts,
    span_said,
    verdict,
)
from freqkd_lite.notebook import style
from freqkd_lite.report_page import ReportPage
from freqkd_lite.spectrum import METRICS


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
    return head, rows + [["mean", name(e["pairing"]), *_levels(e)] for e in means]


def terminal(found: dict) -> str:
    """The answer, the small table in columns, and all that is to be said."""
    head, rows = small_table(found)
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(str(c).ljust(w) if i < 2 else str(c).rjust(w)
                       for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in [head, *rows]]  # fmt: skip
    said = [*verdict(found), *remarks(found), *misalignment(found), *beyond_real(found)]
    return "\n".join([answer(found), "", *lines, "", *said])


def add_figure(page: ReportPage, found: dict) -> None:
    """The curves by block."""
    with plt.rc_context():
        style()
        page.figure(*by_block(found))


def add_controls(page: ReportPage, found: dict) -> None:
    """What a shift explains, and every control, as far as they were measured."""
    levels = {p: pick(found, band=BAND, metric="normalised", pairing=p) for p in _pairings(found)}
    curve = shifts(found)
    with plt.rc_context():
        style()
        if len(curve) > 1:
            page.section("Is it misalignment?")
            drawn = {p: levels[p] for p in ("shuffled", "real", "aligned") if p in levels}
            page.figure(*study.misalignment(curve, drawn, found.get("alignment")))
            page.bullets(misalignment(found))
        if len(levels) > 3:
            page.section("The controls")
            page.figure(*study.all_controls(levels))
            page.bullets(beyond_real(found))


def add_pictures(page: ReportPage, found: dict) -> None:
    """The pictures' own spectra, coherence, and the measures that ask for likeness only."""
    page.section("In the pictures, and by other measures")
    with plt.rc_context():
        style()
        page.figure(*study.spectra(found))
    page.bullets(pictures(found))
    kinds = list(dict.fromkeys(e["pairing"] for e in found["cka"]))
    head, rows = ["block", "pairs", "CKA low", "CKA high", "MMD high"], []
    for block in found["layers"]:
        for p in kinds:
            where = {"band": BAND, "block": block, "pairing": p}
            entries = [pick(found, "cka", **where, level=k) for k in ("low", "high")]
            entries.append(pick(found, "mmd", **where))
            cells = ["" if e["value"] is None else number(e["value"]) for e in entries]
            rows.append([str(block), name(p), *cells])
    page.table(head, rows, caption="Debiased linear CKA (1: alike but for a rotation of channels "
               "and a gain, 0: unrelated) and maximum mean discrepancy (0: one cloud of tokens) in "
               "the bands of the analysis.")  # fmt: skip


def add_tables(page: ReportPage, found: dict) -> None:
    """Levels by block, where the stated size holds, and the ratios of all pairings."""
    page.table(*small_table(found), caption="Energy-normalised divergence at low (rho up to .25) "
               "and high (from .75) spatial frequency: 0 identical, 1 unrelated.")  # fmt: skip
    readings = [(metric, band) for metric in METRICS for band in found["bands"]]
    rows = []
    for metric, band in readings:
        where = {"metric": metric, "band": band, "pairing": "real"}
        entries = {"mean": pick(found, **where)}
        entries |= {str(block): pick(found, "rows", **where, block=block)
                    for block in found["layers"]}  # fmt: skip
        rows += [[METRIC_NAMES[metric], band, block, *_levels(entry)]
                 for block, entry in entries.items()]  # fmt: skip
    page.table(["metric", "bands", "block", "low", "high", "high / low", "95 % interval"], rows,
               caption="The real pairs in every metric, pair of bands and block.")  # fmt: skip
    if len(_pairings(found)) > 1:
        for band in found["bands"]:
            rows = []
            for p in _pairings(found):
                entries = [pick(found, metric=m, band=band, pairing=p) for m in METRICS]
                ratios = ["" if e["ratio"] is None else number(e["ratio"]) for e in entries]
                rows.append([name(p), entries[0]["n"], *ratios])
            page.table(["pairs", "n", *METRIC_NAMES.values()], rows, caption="High over low of "
                       f"every kind of pair in {band}, averaged over blocks.")  # fmt: skip


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
        "Bands: " + "; ".join(f"{b}, {BAND_NAMES[b]}" for b in found["bands"] if b in BAND_NAMES)
        + ". A number in a band's name is its cutoff in percent of rho, or of each axis.",
        "Energy-normalised: sum |R - I|^2 / (sum |R|^2 + sum |I|^2), sums over pairs, channels and "
        "frequencies of a band. Raw MSE: mean |R - I|^2 per frequency, summed over channels. "
        "Cosine distance: 1 - Re sum R I* / (|R| |I|), over the same sums.",
        *(f"{name(p)}: {controls.said(p)}" for p in _pairings(found) if p in controls.PAIRINGS),
        f"The order of the pairs is drawn with seed {found['seed']}. Everything but the real pairs "
        f"is measured on {found['control_pairs']} of them, evenly spread.",
        "Intervals: 95 % percentile bootstrap over images, 1000 draws, the same for all rows of as "
        "many images; of coherence, a jackknife over "
        f"{found['coherence_about']['groups']} groups of images.",
        f"Coherence is averaged over {found['coherence_about']['channels']} channels at most. CKA "
        "takes the Fourier coefficients of a band as samples, with unbiased sums for each image "
        f"that are averaged over images; MMD takes {TOKENS} tokens of an image at most.",
        "Pictures: slope of log power over log rho from .05 to .5 of pixels (DCT); RGB as "
        "luminance.",
    ])  # fmt: skip


def write_page(found: dict, path: str | Path, command: str) -> Path:
    """The report: answer, figure, controls, numbers, method."""
    page = ReportPage(QUESTION, answer(found))
    page.text(*verdict(found)[:1])
    add_figure(page, found)
    page.bullets([*verdict(found)[1:], *remarks(found)])
    add_controls(page, found)
    add_pictures(page, found)
    page.section("The numbers")
    add_tables(page, found)
    page.section("How it was done")
    add_methods(page, found)
    page.code(command)
    return page.write(path)


def _pairings(found: dict) -> list[str]:
    return list(dict.fromkeys(entry["pairing"] for entry in found["summary"]))


def _levels(entry: dict) -> list[str]:
    """Low, high, ratio and its interval; the last two empty where there is no ratio."""
    values = [number(entry[k]) for k in ("low", "high")]
    if entry["ratio"] is None:
        return [*values, "", ""]
    return [*values, number(entry["ratio"]), span_said(entry["interval"])]
