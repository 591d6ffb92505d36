"""What `freqkd gap` prints and writes: text, a page, and a folder of results."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt

from freqkd_lite.gap.study import Gap, load
from freqkd_lite.results import gap_tables as tables
from freqkd_lite.results.pages import ReportPage
from freqkd_lite.results.rows import read_manifest, write_results
from freqkd_lite.results.text import table
from freqkd_lite.store import manifest
from freqkd_lite.viz.gap import by_block, controls_figure, shift_figure, spectra
from freqkd_lite.viz.style import save_described, style

METHOD = (
    "Features: outputs of the blocks (counted from 0) without final norm, without class and "
    "register tokens; two-dimensional Fourier transform over tokens, zero frequency left out. rho "
    "is the spatial frequency in units of half a cycle per token.",
    "Bands: analysis, rho up to .25 and from .75; training, within and beyond half of each axis.",
    "Energy-normalised divergence: sum |R - I|^2 / (sum |R|^2 + sum |I|^2) over pairs, channels "
    "and frequencies of a band; 0 identical, 1 unrelated. Raw MSE: mean |R - I|^2 per frequency, "
    "summed over channels. Cosine distance: 1 - Re sum R I* / (|R| |I|).",
    "Intervals: 95 % percentile bootstrap over images, 1000 draws, the same for all rows of as "
    "many images; of coherence, a jackknife over 10 groups of images.",
    "CKA: debiased, over the Fourier coefficients of a band (1: alike but for a rotation of "
    "channels and a gain, 0: unrelated). Coherence: mean over at most 96 channels. Pictures: RGB "
    "as luminance, power by DCT.",
)


def terminal(gap: Gap) -> str:
    """The answer, small tables, and what limits them."""
    parts = [table(*t(gap)) for t in (tables.levels_table, tables.contrasts_table, tables.readings)]
    limits = "\n".join([tables.stated(gap), *tables.notes(gap)])
    return "\n\n".join([*lead(gap), *parts, limits])


def lead(gap: Gap) -> list[str]:
    """The opening of a report."""
    return [tables.answer(gap), *tables.warnings(gap)]


def write_page(gap: Gap, path: str | Path, command: str) -> Path:
    """The report as one HTML page: answer, figures and tables, method."""
    page = ReportPage(tables.QUESTION, tables.answer(gap))
    page.text(*tables.warnings(gap))
    with plt.rc_context():
        style()
        add_numbers(page, gap)
        page.section("How it was measured")
        page.code(command)
        add_method(page, gap)
    return page.write(path)


def add_numbers(page: ReportPage, gap: Gap) -> None:
    """Every figure and table of the gap, as far as it was measured."""
    page.figure(*by_block(gap), caption=f"{tables.made_of(gap)} Pale: 95 % intervals over images.")
    page.bullets([tables.stated(gap), *tables.notes(gap)])
    page.table(*tables.readings(gap), caption="High over low of the real pairs.")
    caption = "Energy-normalised divergence in the bands of the analysis, averaged over blocks."
    page.table(*tables.levels_table(gap), caption=caption)
    page.table(*tables.contrasts_table(gap))
    if len(tables.shifts(gap)) > 1:
        page.section("Is it misalignment?")
        page.figure(*shift_figure(gap))
        page.table(*tables.alignment_table(gap), caption="1: the divergence before alignment.")
    if len(gap.controls) > 3:
        page.section("Is it about infrared?")
        page.figure(*controls_figure(gap))
    page.section("In the pictures, and by other measures")
    page.figure(*spectra(gap))
    for rows in (tables.pictures_table, tables.coherence_table, tables.similarity_table):
        page.table(*rows(gap))


def add_method(page: ReportPage, gap: Gap) -> None:
    """How the gap was measured, so that a reader can repeat it."""
    about, data = gap.about, gap.about["data"]
    height, width = about["size"]
    made_of = {
        "model": f"{about['model']}, blocks {', '.join(map(str, about['blocks']))}",
        "weights": f"{about['weights']}, SHA-256 {about['checksum']}",
        "data": f"{data['name']}, split {data['split']}, fingerprint {data['fingerprint']}",
        "pairs": f"{about['pairs']} of {data['pairs']}, evenly spread; controls: "
        f"{about['control_pairs']}",
        "size": f"{height}x{width} pixels",
        "seed": str(about["seed"]),
        "note": data["note"],
    }
    page.table(("item", "value"), [pair for pair in made_of.items() if pair[1]])
    page.bullets([*data["repairs"], *METHOD])
    page.table(*tables.controls_table(gap))


def write_folder(gap: Gap, folder: str | Path, command: str) -> Path:
    """Write gap.json, results.json, manifest.json and `draw_folder`'s files; returns the page."""
    folder, about = Path(folder), gap.about
    folder.mkdir(parents=True, exist_ok=True)
    entries = manifest(
        command=command,
        weights=about["checksum"],
        data={about["data"]["name"]: about["data"]["fingerprint"]},
        notes=about["data"]["note"],
        metric=tables.RATIOS["normalised"],
        answer=tables.answer(gap),
        parameters={k: about[k] for k in ("pairs", "control_pairs", "bands", "seed")},
        **{k: about[k] for k in ("model", "size", "blocks")},
    )
    with TemporaryDirectory(prefix=".", dir=folder) as made:  # a full disk leaves all or nothing
        write_results(made, tables.rows(gap), entries)
        gap.save(Path(made, "gap.json"))
        draw_folder(made)
        for file in Path(made).iterdir():
            os.replace(file, folder / file.name)
    return folder / "index.html"


def draw_folder(folder: str | Path) -> Path:
    """Make index.html, and misalignment.png where shifts were measured, again from the numbers in
    `folder`; returns the first."""
    folder, gap = Path(folder), load(folder)
    if len(tables.shifts(gap)) > 1:
        with plt.rc_context():
            style()
            save_described(*shift_figure(gap), folder / "misalignment.png")
    return write_page(gap, folder / "index.html", read_manifest(folder)["command"])
