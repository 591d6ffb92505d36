"""What `freqkd data check` found, as text for a terminal and as one page with a contact sheet."""

from collections import Counter
from pathlib import Path

import numpy as np
from torch import Tensor
from torchvision.transforms.v2.functional import resize, to_pil_image
from torchvision.utils import draw_bounding_boxes

from freqkd_lite.data.alignment import CLEAR, SMALLEST, Offset
from freqkd_lite.data.base import spread
from freqkd_lite.data.check import DOUBTS, FAIR, FITS, GOOD, NEAR, Report, shared_shift
from freqkd_lite.data.images import read_image
from freqkd_lite.errors import UserError
from freqkd_lite.results.pages import ReportPage
from freqkd_lite.store import encoded

SHEET = 12  # pairs on the contact sheet
SHOWN = 20  # lines of one kind in the terminal; the page shows all
WIDTH = 400  # pixels of a picture on the sheet
COLOURS = {"orange": "#e69f00", "sky blue": "#56b4e9", "green": "#009e73"}  # of Okabe and Ito
COLOURS |= {"yellow": "#f0e442", "purple": "#cc79a7", "vermilion": "#d55e00"}
METHODS = (
    "Every picture looked at was decoded, and its boxes compared with its size.",
    f"Copies have the same SHA-256. Near copies differ in at most {NEAR} of 64 bits of the "
    "difference hash, in each spectrum.",
)
SHIFTS = (
    "Shift: phase correlation of edges, one for the whole picture, clear from a peak of "
    f"{CLEAR:g} standard deviations (of pairs of different scenes 1 in 140); things at another "
    "distance may lie elsewhere (parallax). Aligned: a clear shift of at most "
    f"{100 * FITS:.1f} % of the width, half a token of `freqkd gap`."
)


def answer(report: Report) -> str:
    """The first line: whether the set can be used, and by which number."""
    paired = report.collection.records[0].visible is not None
    what = f"{report.total} {'pairs' if paired else 'infrared images without visible ones'}"
    if len(report.names) < report.total:
        what += f", {len(report.names)} of them looked at"
    if report.problems:
        kinds = Counter(problem.kind for problem in report.problems)
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        many = kinds.total()
        return f"{report.verdict}: {many} problem{'s' * (many > 1)}: {listed} ({what})"
    if report.fit is not None:
        what += f"; {100 * report.fit:.0f} % of {len(report.offsets)} measured ones are aligned "
        what += f"(usable from {100 * GOOD:.0f} %, with care from {100 * FAIR:.0f} %)"
    if also := len(notices(report)):
        what += f"; {also} notice{'s' * (also > 1)}"
    return f"{report.verdict}: {what}"


def notices(report: Report) -> list[str]:
    """What loading does not refuse and a person should know before a run, a line each."""
    lines = []
    if report.identical:
        lines.append(f"{len(report.identical)} files are exact copies of others.")
    copied = {(near.splits, near.second) for near in report.near}
    for (one, two), count in Counter(splits for splits, _ in copied).items():
        lines.append(
            f"{count} of {len(report.splits[two])} pictures in {two} nearly equal one in {one}: "
            f"results on {two} will look better than they are."
        )
    if not report.offsets and report.collection.records[0].visible is not None:
        lines.append(f"Alignment was not measured: it needs {SMALLEST} pixels a side.")
    for kind, paths in report.doubtful.items():
        if paths:
            what = f"{len(paths)} infrared pictures {kind} (first: {paths[0]})"
            lines.append(f"{what}: {DOUBTS[kind]}")
    return lines


def facts(report: Report) -> list[tuple[str, str]]:
    """The numbers, as (what, value)."""
    sizes = [f"{w}x{h}: {n}" for (h, w), n in report.sizes.most_common(5)]
    more = len(report.sizes) - len(sizes)
    rows = [
        ("splits", ", ".join(f"{split} {len(names)}" for split, names in report.splits.items())),
        ("sizes", ", ".join(sizes) + (f" and {more} other sizes" if more else "")),
    ]
    if report.labels is not None:
        counts = ", ".join(f"{name} {n}" for name, n in report.classes.most_common()) or "none"
        rows.append(("boxes", f"{counts}; pictures without: {report.empty}"))
    shift = shared_shift(list(report.offsets.values()))
    if shift.clear:
        length = np.hypot(shift.right, shift.down)
        way = f"{abs(shift.right):.1f} px {'right' if shift.right >= 0 else 'left'} and "
        way += f"{abs(shift.down):.1f} px {'down' if shift.down >= 0 else 'up'}"
        rows += [
            ("shift", f"{length:.1f} px: infrared lies {way} of visible"),
            ("measured", f"median of {shift.clear} pairs with a clear peak, of {shift.measured}"),
            ("single pairs", f"{shift.spread:.1f} px from that (median)"),
        ]
    elif shift.measured:
        rows.append(("shift", f"not clear in any of {shift.measured} pairs"))
    rows.append(("copies", str(len(report.identical) or "none")))
    if sum(map(bool, report.splits.values())) > 1:
        rows.append(("near copies", f"{len(report.near) or 'none'} across splits"))
    return rows


def _lists(report: Report) -> dict[str, list[str]]:
    """Everything that was found, by heading: each kind of problem first."""
    kinds: dict[str, list[str]] = {}
    for problem in report.problems:
        kinds.setdefault(problem.kind, []).append(problem.sentence)
    return kinds | {
        "repaired or left out": report.repairs,
        "copies": [f"{two} is a copy of {one}." for one, two in report.identical],
        "near copies": [
            f"{near.first} ({near.splits[0]}) and {near.second} ({near.splits[1]}) differ in "
            f"{near.bits} of 64 bits."
            for near in report.near
        ],
    }


def as_text(report: Report) -> str:
    """The report for a terminal; its first line is the answer. Unreadable files are all listed, of
    the rest the first `SHOWN` of each kind."""
    lines = [answer(report), ""]
    lines += [f"{what:12} {value}" for what, value in facts(report)]
    worst = [f"{name}: {_off(report.offsets[name])}" for name in report.worst()]
    found = {"notices": notices(report), "worst aligned": worst} | _lists(report)
    for heading, entries in found.items():
        shown = entries if heading == "unreadable" else entries[:SHOWN]
        lines += ["", f"{heading}:", *(f"- {entry}" for entry in shown)] if entries else []
        if len(entries) > len(shown):
            lines.append(f"- and {len(entries) - len(shown)} more: --html FILE lists them all")
    return "\n".join(lines)


def write_page(report: Report, path: str | Path) -> Path:
    """The report as one HTML page with a contact sheet; returns its path."""
    page = ReportPage(f"The data set {report.name}", f"{answer(report)}.")
    page.bullets(notices(report))
    page.section("Numbers")
    page.table(("item", "value"), facts(report))
    if worst := report.worst():
        page.section("Worst aligned")
        page.text(f"{len(worst)} of {len(report.offsets)} measured pairs.")
        page.sheet([sample(report, name) for name in worst])
    page.section("Contact sheet")
    count = len(report.names)
    names = [report.names[k] for k in spread(count, min(SHEET, count))]
    names = [name for name in names if name in report.inspected and name not in worst]
    colours = [f"{name} {colour_name(k)}" for k, name in enumerate(report.labels or ())]
    key = f" Boxes: {', '.join(colours)}." if colours else ""
    page.text(f"{len(names)} of {len(report.names)}, evenly spread.{key}")
    page.sheet([sample(report, name) for name in names])
    for heading, entries in _lists(report).items():
        if entries:
            page.section(f"{heading.capitalize()} ({len(entries)})")
            page.bullets(entries)
    page.section("How this was found")
    methods = [*METHODS, SHIFTS if report.offsets else "", report.collection.note]
    page.bullets(filter(None, methods))
    return page.write(path)


def sample(report: Report, name: str) -> tuple[str, list[tuple[bytes, str]]]:
    """A row of the contact sheet: a caption, and JPEG pictures with their descriptions."""
    seen, shift = report.inspected[name], report.offsets.get(name)
    record = next(r for r in report.collection.records if r.name == name)
    inside = ""
    if report.labels is not None and seen.labels is not None:
        counts = Counter(report.labels[k] for k in seen.labels.tolist())
        inside = ", ".join(f"{n} {label}" for label, n in counts.most_common()) or "no boxes"
    pictures = []
    for modality in ("visible", "infrared"):
        try:
            if path := getattr(record, modality):
                picture = _small(read_image(path, modality), seen.boxes, seen.labels)
                boxes = inside and f" with boxes: {inside}"
                pictures.append((picture, f"The {modality} picture of {name}{boxes}."))
        except UserError:  # it is among the problems
            continue
    return ", ".join(filter(None, [name, inside, shift and _off(shift)])), pictures


def _off(shift: Offset) -> str:
    """How far a pair is off."""
    return f"{shift.pixels:.1f} px off" if shift.clear else "shift unclear"


def _small(image: Tensor, boxes: Tensor | None, labels: Tensor | None) -> bytes:
    """A small JPEG of a picture (3, H, W) in [0, 1] with its boxes."""
    scale = WIDTH / image.shape[2]
    small = resize((image * 255).round().byte(), [round(image.shape[1] * scale), WIDTH])
    if boxes is not None and labels is not None and len(boxes):
        colours: list[str | tuple] = [COLOURS[colour_name(k)] for k in labels.tolist()]
        small = draw_bounding_boxes(small, boxes * scale, colors=colours, width=2)
    return encoded(to_pil_image(small).save, format="jpeg", quality=80)


def colour_name(label: int) -> str:
    """The colour of a class's boxes on the sheet; after the last one they begin anew."""
    return list(COLOURS)[label % len(COLOURS)]
