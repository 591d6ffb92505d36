"""A measured gap as a table for the terminal, and as a page that reads like a short report."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from freqkd_lite.gap import controls
from freqkd_lite.gap.measures import TOKENS
from freqkd_lite.gap.words import (
    BAND,
    BAND_NAMES,
    BAND_OWNERS,
    METRIC_NAMES,
    QUESTION,
    RATIO_CONTROLS,
    answer,
    bands_said,
    beyond_real,
    blocks_said,
    caution,  # noqa: F401
    coherences,
    measured,
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
from freqkd_lite.results.pages import ReportPage
from freqkd_lite.viz import study
from freqkd_lite.viz.gap import by_block
from freqkd_lite.viz.style import style


def small_table(found: dict) -> tuple[list[str], list[list[object]]]:
    """Head and rows: normalised divergence over the analysis bands, of the real pairs by block, and
    of every pairing averaged over blocks."""
    head = ["block", "pairs", "low", "high", "high / low", "95 % interval"]
    return head, [
        [label, name(where["pairing"]),
         *_levels(pick(found, table, band=BAND, metric="normalised", **where))]
        for label, table, where in _kinds(found)
    ]  # fmt: skip


def readings(found: dict) -> tuple[list[str], list[list[str]]]:
    """Head and rows: high over low of the real pairs in every metric and pair of bands, averaged
    over blocks, with its interval, and in each block."""
    head = ["metric", "bands", "high / low", "95 % interval"]
    rows = []
    for metric, metric_name in METRIC_NAMES.items():
        for band in found["bands"]:
            where = {"metric": metric, "band": band, "pairing": "real"}
            blocks = [pick(found, "rows", **where, block=b) for b in found["layers"]]
            mean = _levels(pick(found, **where))[2:]
            rows.append([metric_name, BAND_OWNERS.get(band, band), *mean,
                         *(_levels(block)[2] for block in blocks)])  # fmt: skip
    return [*head, *(f"block {block}" for block in found["layers"])], rows


def markdown(head: list[str], rows: list[list[object]]) -> str:
    """A table as Markdown, all but its first two columns flush right."""
    marks = ["---" if i < 2 else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [head, marks, *rows])


def columns(head: list[str], rows: list[list[object]]) -> str:
    """A table as plain text, all but its first two columns flush right."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(str(c).ljust(w) if i < 2 else str(c).rjust(w)
                  for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, *rows]
    )  # fmt: skip


def terminal(found: dict) -> str:
    """The answer, two tables in columns, and all that is to be said."""
    said = [*verdict(found), *remarks(found), *misalignment(found), *beyond_real(found)]
    tables = [columns(*small_table(found)), "", columns(*readings(found))]
    return "\n".join([answer(found), "", *tables, "", *said])


def shift_figure(found: dict) -> tuple[Figure, str]:
    """What a shift alone costs, with the levels of real, aligned and shuffled pairs."""
    levels = _all_levels(found)
    drawn = {p: levels[p] for p in ("shuffled", "real", "aligned") if p in levels}
    return study.misalignment(shifts(found), drawn, found.get("alignment"))


def controls_figure(found: dict) -> tuple[Figure, str]:
    """Both levels of every kind of pair; those that compare no infrared stand apart."""
    return study.all_controls(_all_levels(found), RATIO_CONTROLS)


def add_answer(page: ReportPage, found: dict) -> None:
    """Where the stated size holds, the curves by block, every reading, and what strangers reach."""
    page.text(*filter(None, [" ".join(verdict(found))]))
    with plt.rc_context():
        style()
        caption = f"{measured(found)} Pale: 95 % intervals over images."
        page.figure(*by_block(found), caption=caption)
    page.bullets(remarks(found))
    page.table(*readings(found), caption="High over low of the real pairs, averaged over blocks "
               "and block by block. Analysis bands: rho up to .25 and from .75, coloured above; "
               "training bands: within and beyond half of each axis. Raw MSE is small wherever "
               "features hold little energy, whether or not they agree.")  # fmt: skip


def add_controls(page: ReportPage, found: dict) -> None:
    """What a shift explains, and every control, as far as they were measured."""
    with plt.rc_context():
        style()
        if len(shifts(found)) > 1:
            page.section("Is it misalignment?")
            page.figure(*shift_figure(found))
            page.bullets(misalignment(found))
        if len(_pairings(found)) > 3:
            page.section("Is it about infrared?")
            page.figure(*controls_figure(found))
            page.bullets(beyond_real(found))


def add_pictures(page: ReportPage, found: dict) -> None:
    """The pictures' own spectra, coherence, and the measures that ask for likeness only."""
    page.section("In the pictures, and by other measures")
    with plt.rc_context():
        style()
        page.figure(*study.spectra(found))
    page.bullets([*pictures(found), *coherences(found)])
    rows = []
    for p in dict.fromkeys(e["pairing"] for e in found["cka"]):
        where = {"band": BAND, "pairing": p}
        cells = [_by_block(found, "cka", **where, level=level) for level in ("low", "high")]
        rows.append([name(p), *cells, _by_block(found, "mmd", **where)])
    page.table(["pairs", "CKA low", "CKA high", "MMD high"], rows, caption="Debiased linear CKA "
               "(1: alike but for a rotation of channels and a gain, 0: unrelated) and maximum "
               "mean discrepancy (0: one cloud of tokens) in the bands of the analysis, of "
               f"{blocks_said(found)}.")  # fmt: skip


def add_levels(page: ReportPage, found: dict) -> None:
    """Levels by block and of all pairings, and what other metrics and bands say of their ratio."""
    head, rows = small_table(found)
    more = [b for b in found["bands"] if b != BAND]
    others = [("cosine", BAND), ("mse", BAND), *(("normalised", b) for b in more)]
    for row, (_, table, where) in zip(rows, _kinds(found), strict=True):
        entries = [pick(found, table, metric=m, band=b, **where) for m, b in others]
        row += [_levels(entry)[2] for entry in entries] + [entries[0]["n"]]
    head += ["cosine", "raw MSE", *(BAND_OWNERS.get(b, b) for b in more), "n"]
    page.table(head, rows, caption="Energy-normalised divergence (0 identical, 1 unrelated) at low "
               "(rho up to .25) and high (from .75) spatial frequency, and high over low; then "
               "high over low of cosine distance and raw MSE, and of the energy-normalised one in "
               f"{' and '.join(map(bands_said, more))}.")  # fmt: skip


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
        "Bands: " + "; ".join(f"{BAND_OWNERS[b]} ({b}), {BAND_NAMES[b]}" for b in found["bands"]
                              if b in BAND_NAMES)
        + ". A number in a band's name is its cutoff in percent of rho, or of each axis.",
        "Energy-normalised: sum |R - I|^2 / (sum |R|^2 + sum |I|^2), sums over pairs, channels and "
        "frequencies of a band. Raw MSE: mean |R - I|^2 per frequency, summed over channels. "
        "Cosine distance: 1 - Re sum R I* / (|R| |I|), over the same sums.",
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
    page.table(
        ["pairs", "what they are"],
        [[name(p), controls.said(p)] for p in _pairings(found) if p in controls.PAIRINGS],
    )


def write_page(found: dict, path: str | Path, command: str) -> Path:
    """The report: answer, figure, controls, numbers, method."""
    page = ReportPage(QUESTION, answer(found))
    add_answer(page, found)
    add_controls(page, found)
    add_pictures(page, found)
    page.section("The numbers")
    add_levels(page, found)
    page.section("How it was done")
    page.code(command)
    add_methods(page, found)
    return page.write(path)


def _kinds(found: dict) -> list[tuple[str, str, dict]]:
    """(label, table, fields) of the real pairs in each block, then of each pairing's mean."""
    blocks = [(str(b), "rows", {"block": b, "pairing": "real"}) for b in found["layers"]]
    return blocks + [("mean", "summary", {"pairing": p}) for p in _pairings(found)]


def _all_levels(found: dict) -> dict[str, dict]:
    return {p: pick(found, band=BAND, metric="normalised", pairing=p) for p in _pairings(found)}


def _by_block(found: dict, table: str, **where: object) -> str:
    values = [pick(found, table, block=block, **where)["value"] for block in found["layers"]]
    return ", ".join("" if value is None else number(value) for value in values)


def _pairings(found: dict) -> list[str]:
    return list(dict.fromkeys(entry["pairing"] for entry in found["summary"]))


def _levels(entry: dict) -> list[str]:
    """Low, high, ratio and its interval; the last two empty where there is no ratio."""
    values = [number(entry[k]) for k in ("low", "high")]
    if entry["ratio"] is None:
        return [*values, "", ""]
    return [*values, number(entry["ratio"]), span_said(entry["interval"])]
