"""A measured gap as a folder of results: numbers, report, figures, and rows for the claims table.

Nothing in it shows a data set's own pictures.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt

from freqkd_lite.errors import UserError
from freqkd_lite.gap import SCHEMA, report
from freqkd_lite.gap.words import BAND, answer, shifts
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.store import manifest, write_json
from freqkd_lite.viz.style import style

RATIOS = {"normalised": "divergence_ratio", "mse": "raw_mse_ratio", "cosine": "cosine_ratio"}


def metric_name(metric: str, band: str) -> str:
    """A ratio's name in results; the bands of the analysis are not named."""
    return RATIOS[metric] + ("" if band == BAND else f"_{band}")


def rows(found: dict) -> list[Row]:
    """Ratios of every pairing in every metric and pair of bands, averaged over blocks, and of the
    real pairs in each block; divergence of the analysis bands."""
    common = dict(claim="gap_ratio", seed=None, data=found["data"]["name"],
                  split=found["data"]["split"])  # fmt: skip
    out = []
    for entry in found["summary"]:
        about = common | {"arm": entry["pairing"], "n": entry["n"]}
        out.append(Row(metric=metric_name(entry["metric"], entry["band"]), value=entry["ratio"],
                       interval=entry["interval"], **about))  # fmt: skip
        if (entry["metric"], entry["band"]) == ("normalised", BAND):
            out += [Row(metric="divergence", klass=level, value=entry[level],
                        interval=entry[f"{level}_interval"], **about)
                    for level in ("low", "high")]  # fmt: skip
    out += [
        Row(metric=metric_name(row["metric"], row["band"]), klass=f"block{row['block']}",
            arm="real", n=row["n"], value=row["ratio"], interval=row["interval"], **common)
        for row in found["rows"] if row["pairing"] == "real"
    ]  # fmt: skip
    return out


def write(found: dict, folder: str | Path, command: str) -> Path:
    """Write gap.json, results.json, manifest.json, and what `draw` makes of
    them; returns the page."""
    folder = Path(folder)
    about = manifest(
        command=command, model=found["model"], weights=found["checksum"], size=found["size"],
        blocks=found["layers"], data={found["data"]["name"]: found["data"]["fingerprint"]},
        notes=found["data"]["note"], metric=RATIOS["normalised"], answer=answer(found),
        parameters={k: found[k] for k in ("pairs", "control_pairs", "bands", "seed")},
    )  # fmt: skip
    write_results(folder, rows(found), about)
    write_json(folder / "gap.json", found)
    return draw(folder)


def draw(folder: str | Path) -> Path:
    """Make index.html, and misalignment.png where shifts were measured, anew from the numbers in
    `folder`; returns the first."""
    folder, found = Path(folder), read_gap(folder)
    with plt.rc_context():
        style()
        if len(shifts(found)) > 1:
            drawn, alt = report.shift_figure(found)
            drawn.savefig(folder / "misalignment.png",
                          metadata={"Software": None, "Description": alt})  # fmt: skip
            plt.close(drawn)
        command = json.loads((folder / "manifest.json").read_text())["command"]
        return report.write_page(found, folder / "index.html", command)


def read_gap(folder: str | Path) -> dict:
    """What `gap.measure` gave when `folder` was written; a missing, foreign or broken file is told
    in one sentence."""
    path = Path(folder) / "gap.json"
    again = f"run `freqkd gap --out {folder}` again"
    if not path.is_file():
        raise UserError(f"{path} is missing: {again}.")
    try:
        found = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{path} is not JSON: {again}.") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{path} doesn't hold schema {SCHEMA}: {again}.")
    return found
