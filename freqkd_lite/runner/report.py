"""`freqkd report`: what follows from results files, pages of results folders and parts of README.

A results folder's README.md has a generated part between two comments, among what a person wrote.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.names import method_name
from freqkd_lite.results import findings, labels, rows, summary
from freqkd_lite.results.curve import read_curve
from freqkd_lite.results.pages import style
from freqkd_lite.results.paired import FILE, Comparison, read_comparison
from freqkd_lite.results.rows import folders, frame, means, read_manifest, read_results, whole
from freqkd_lite.results.text import block_marks, fill_block, table
from freqkd_lite.runner.pages import TEMPLATE
from freqkd_lite.store import read_text, write_whole
from freqkd_lite.viz.comparison import comparison_figure, means_figure
from freqkd_lite.viz.label_curve import label_curve_figure
from freqkd_lite.viz.style import save_described, style as look
from freqkd_lite.viz.sweep_curve import curve_figure

PAGE, FIGURE, TABLE, BLOCK = "README.md", "figure.png", "table.csv", "results"
LABEL_FIGURE = "label_curve.png"
STYLE = "page.css"


def write_differences(folder: Path) -> Comparison | None:
    """Compute and write a folder's differences (None if there are none) and label curves; those of
    results whose files of images were dropped afterwards (`images` in the manifest) stay."""
    if read_manifest(folder).get("images"):
        return read_comparison(folder)
    comparison = summary.compare_folder(folder)
    curves = labels.folder_curves(read_results(folder), folder)
    if comparison is None:
        (folder / FILE).unlink(missing_ok=True)  # of another sweep
    else:
        comparison.write(folder)
    if curves is None:
        (folder / labels.FILE).unlink(missing_ok=True)
    else:
        write_whole(folder / labels.FILE, curves.to_csv(index=False, lineterminator="\n"))
    return comparison


def write_label_figure(folder: Path, found: pd.DataFrame) -> str:
    """Draw a folder's label curves, if it has some; the Markdown that shows them."""
    table = rows.read_table(folder / labels.FILE)
    if table is None:
        return ""
    of = found[(found["metric"] == labels.METRIC) & (found["klass"] == "mean")]
    teacher = of.loc[of["method"] == "teacher", "value"]
    drawn, alt = label_curve_figure(table, rgb=teacher.iloc[0] if len(teacher) else None)
    save_described(drawn, alt, folder / LABEL_FIGURE)
    return f"![{markdown(alt)}]({LABEL_FIGURE})"


def markdown(alt: str) -> str:
    """A description as it may stand in a picture's brackets."""
    return re.sub(r"([\[\]])", r"\\\1", alt)


def write_page(
    folder: str | Path, own: Sequence[findings.Finding] = (), comparison: Comparison | None = None
) -> tuple[str, str, str]:
    """Write page, figure and table of a results folder, with its own findings and differences
    (`comparison`, else computed); returns its metric, data and split, and how many methods it has.

    `UserError` for a folder without results, or with a README.md that has no place for them.
    """
    folder = Path(folder)
    all_rows, made = read_results(folder), read_manifest(folder)
    if not all_rows:
        raise UserError(f"{folder / 'results.json'} holds no rows: regenerate it.")
    found = means(all_rows)
    metric = summary.headline(found, made.get("metric"))
    summary.write_csv(found, folder / TABLE)
    comparison = comparison or write_differences(folder)
    curve = read_curve(folder) if made.get("curve") else None
    look()
    if curve:
        drawn, alt = curve_figure(curve)
    elif comparison and made.get("reference"):
        drawn, alt = comparison_figure(comparison, found, metric)
    else:
        drawn, alt = means_figure(found, frame(all_rows), metric)
    save_described(drawn, alt, folder / FIGURE)
    sets = dict.fromkeys(part for name in found["data"] for part in name.split("+"))
    compared: dict[str, Any] = {}
    if comparison:
        metrics = comparison.table["metric"].unique()
        tables = {each: summary.differences_table(comparison, each) for each in metrics}
        parts = [f"### {each}\n\n{table(*of, 'markdown')}" for each, of in tables.items()]
        compared = {"differences": "\n\n".join(parts)}
        compared["reference"] = method_name(comparison.reference)
        compared["not_compared"] = [method_name(m) for m in comparison.not_compared]
    loader = jinja2.FileSystemLoader(TEMPLATE)  # of Markdown, so nothing is escaped
    templates = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)
    body = templates.get_template("results.md.j2").render(
        findings=own,
        notes=[note for note in map(data.note_of, sets) if note],
        alt=markdown(alt),
        label_curve=write_label_figure(folder, found),
        curve=curve,
        best=table(*summary.best_table(curve), "markdown") if curve else "",
        means=table(*summary.means_table(found, metric), "markdown"),
        report=(folder / "index.html").is_file(),
        made=summary.made_table(made),
        sweep=(made.get("sweep") or "").rstrip(),
        **compared,
    )
    _write_block(folder, body)
    shown = whole(found, metric)
    places = ", ".join((shown["data"] + " " + shown["split"]).unique())
    return metric, places, str(shown["method"].nunique())


def _write_block(folder: Path, body: str) -> None:
    """Put `body` into the generated part of a folder's README.md, made if missing."""
    page, title = folder / PAGE, "Results" if folder.name == BLOCK else f"Results: {folder.name}"
    empty = "\n".join([f"# {title}", "", *block_marks(BLOCK), ""])
    text = read_text(page) if page.is_file() else empty
    write_whole(page, fill_block(text, BLOCK, body.strip(), page))


def write_pages(results: Path, others: Mapping[str, str] | None = None) -> list[Path]:
    """The page of every folder of `results`, and README.md with a list of them; `others` are
    folders with pages of their own, and what these show."""
    compared = {folder: write_differences(folder) for folder in folders(results)}
    found = findings.read_findings(results)
    shown = [(name, what, "", "") for name, what in (others or {}).items()]
    for folder, comparison in compared.items():
        own = [finding for finding in found if folder.name in finding.folders]
        shown.append((folder.name, *write_page(folder, own, comparison)))
    lines = sorted((f"[{name}]({name}/{PAGE})", *about) for name, *about in shown)
    if compared:
        head = ("folder", "metric", "data and split", "methods")
        parts = [findings.findings_list(found), table(head, lines, "markdown")]
        _write_block(results, "\n\n".join(filter(None, parts)))
    share_style(results)
    return [*compared]


def share_style(results: Path) -> None:
    """Write the style sheet of HTML pages into `results`, and let the pages of its folders link to
    it in place of the copy that each was written with."""
    link = f'<link rel="stylesheet" href="../{STYLE}">'
    for page in sorted(results.glob("*/*.html")):
        html = re.sub("<style>.*?</style>", link, read_text(page), count=1, flags=re.DOTALL)
        write_whole(page, html)
        write_whole(results / STYLE, style())


def write_readme(readme: Path, results: Path) -> None:
    """Put the first findings and the table of claims between their marks in README.md."""
    first = [finding for finding in findings.read_findings(results) if finding.first]
    text = fill_block(read_text(readme), "findings", findings.findings_list(first), readme)
    claims = findings.claims_table(findings.read_claims(results))
    text = fill_block(text, "claims", claims, readme)
    write_whole(readme, text)
