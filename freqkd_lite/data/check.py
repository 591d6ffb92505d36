"""A look at a data set before hours are spent on it: what loading would refuse, and what it would
not see: copies, near copies across splits, and pictures that do not lie on each other."""

from __future__ import annotations

import io
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from freqkd_lite.data import Problem, Record, survey
from freqkd_lite.data.alignment import BEYOND, CLEAR, Offset, offset
from freqkd_lite.data.files import Inspected, checksum
from freqkd_lite.data.images import read_image
from freqkd_lite.errors import UserError, unknown
from freqkd_lite.results.report_page import ReportPage

# Bits of 64 in which near copies may differ, in each spectrum. No two of 361 MSRS pairs come below
# 14; in HIT-UAV, which has frames of the same flights, the counts by bits have a low at 7.
NEAR = 6
OFFSETS = 200  # pairs whose shift is measured, spread over the set
SHEET = 12  # pairs on the contact sheet
SHOWN = 20  # lines of one kind in the terminal; the page shows all
WIDTH = 400  # pixels of a picture on the sheet
COLOURS = {  # of Okabe and Ito
    "orange": "#e69f00", "sky blue": "#56b4e9", "green": "#009e73", "yellow": "#f0e442",
    "purple": "#cc79a7", "vermilion": "#d55e00",
}  # fmt: skip


def dhash(image: Tensor) -> int:
    """64 bits that stay where a picture is resized, recoded or slightly changed (dHash): whether
    each of 8 x 8 means is darker than its right neighbour, in a grid of 8 rows and 9 columns."""
    grey = Image.fromarray((image.mean(0).numpy() * 255).astype(np.float32))
    grid = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    return int("".join("01"[int(b)] for b in (grid[:, :-1] < grid[:, 1:]).ravel()), 2)


@dataclass(frozen=True)
class Near:
    """Two pictures of different splits that are nearly one; `bits` is by how many they differ."""

    bits: int
    first: str
    second: str
    splits: tuple[str, str]


def near_copies(hashes: dict[str, tuple[int, ...]], splits: dict[str, list[str]]) -> list[Near]:
    """All pairs of names in two splits whose hashes differ by at most `NEAR` bits in every
    spectrum, the closest first. `hashes` holds one hash a spectrum."""
    found = []
    parts = {s: [n for n in names if n in hashes] for s, names in splits.items() if s != "all"}
    for one, two in combinations([s for s, names in parts.items() if names], 2):
        table = np.array([hashes[name] for name in parts[two]], dtype=np.uint64)
        for name in parts[one]:
            bits = np.bitwise_count(table ^ np.array(hashes[name], dtype=np.uint64)).max(axis=1)
            for k in np.flatnonzero(bits <= NEAR):
                if parts[two][k] != name:
                    found.append(Near(int(bits[k]), name, parts[two][k], (one, two)))
    return sorted(found, key=lambda near: (near.bits, near.first, near.second))


@dataclass
class Sample:
    """One pair on the contact sheet: JPEG bytes and descriptions."""

    caption: str
    pictures: list[tuple[bytes, str]]


@dataclass
class Report:
    """What was found. `problems` are what loading refuses; `notices` what it would not see."""

    name: str
    title: str
    records: int
    looked_at: int
    paired: bool
    splits: dict[str, int]
    note: str
    problems: list[Problem]
    repairs: list[str]
    sizes: Counter = field(default_factory=Counter)
    classes: Counter = field(default_factory=Counter)
    boxes: tuple[str, ...] | None = None  # the names of the classes; None: no boxes
    empty: int = 0
    identical: list[tuple[Path, Path]] = field(default_factory=list)
    near: list[Near] = field(default_factory=list)
    offsets: list[Offset] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def answer(self) -> str:
        """The first line: whether the set can be used."""
        what = "pairs" if self.paired else "infrared images without visible ones"
        seen = "" if self.looked_at == self.records else f", {self.looked_at} of them looked at"
        if self.problems:
            kinds = Counter(problem.kind for problem in self.problems)
            listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            plural = "" if len(self.problems) == 1 else "s"
            return f"{len(self.problems)} problem{plural}: {listed} ({self.records} {what}{seen})"
        also = f"; {len(self.notices)} to know" if self.notices else ""
        return f"{self.records} {what}{seen}, ready{also}"

    @property
    def notices(self) -> list[str]:
        """What loading does not refuse and a person should know before a run."""
        lines = []
        if self.identical:
            lines.append(f"{len(self.identical)} files are copies of others, byte by byte.")
        if self.near:
            whom = {(near.splits, near.second) for near in self.near}
            for (one, two), count in Counter(splits for splits, _ in whom).items():
                lines.append(
                    f"{count} of {self.splits[two]} pictures in {two} nearly equal one in {one}: "
                    f"results on {two} will look better than they are."
                )
        if self.offsets and len(self.shifts) < len(self.offsets) / 2:
            lines.append(
                f"In {len(self.offsets) - len(self.shifts)} of {len(self.offsets)} pairs no shift "
                "brings the edges together: do the two pictures show the same scene?"
            )
        return lines

    @property
    def shifts(self) -> np.ndarray:
        """(right, down, noise) in pixels of the pairs whose peak is clear, (n, 3)."""
        clear = [(o.right, o.down, o.noise) for o in self.offsets if o.clear]
        return np.array(clear).reshape(-1, 3)

    @property
    def misaligned(self) -> list[tuple[str, str]]:
        """The shift that the pairs share, how single pairs differ from it, and what of that is
        noise. The median of the lengths would not do: noise has a length as well."""
        shifts = self.shifts
        pairs = f"{len(shifts)} of {len(self.offsets)} pairs measured"
        if not len(shifts):
            return [("misaligned", f"not to be told: clear in {pairs}")]
        right, down = middle = np.median(shifts[:, :2], axis=0)
        spread = np.median(np.hypot(*(shifts[:, :2] - middle).T))
        noise = np.median(shifts[:, 2])
        beyond = np.mean(np.hypot(*shifts[:, :2].T) > BEYOND * noise)
        return [
            ("misaligned", f"{np.hypot(*middle):.1f} px: the infrared lies {way(right, down)} "
                           f"(median; clear in {pairs})"),
            ("single pairs", f"half of them within {spread:.1f} px of that; measuring alone moves "
                             f"one by {noise:.1f} px; {100 * beyond:.0f} % are off by more than "
                             "noise"),
        ]  # fmt: skip

    def facts(self) -> list[tuple[str, str]]:
        """The numbers, as (what, value)."""
        rows = [("splits", ", ".join(f"{s} {n}" for s, n in self.splits.items() if s != "all"))]
        sizes = [f"{w}x{h}: {n}" for (h, w), n in self.sizes.most_common(5)]
        more = len(self.sizes) - len(sizes)
        rows.append(("sizes", ", ".join(sizes) + (f" and {more} other sizes" if more else "")))
        if self.boxes is not None:
            counts = ", ".join(f"{name} {n}" for name, n in self.classes.most_common()) or "none"
            rows.append(("boxes", f"{counts}; {self.empty} pictures without"))
        if self.offsets:
            rows += self.misaligned
        rows.append(("copies", str(len(self.identical) or "none")))
        splits = [split for split, count in self.splits.items() if split != "all" and count]
        if len(splits) > 1:
            rows.append(("near copies", f"{len(self.near) or 'none'} across splits"))
        return rows


def way(right: float, down: float) -> str:
    """A shift in pixels, in words."""
    sides = "right" if right >= 0 else "left", "down" if down >= 0 else "up"
    return f"{abs(right):.1f} px {sides[0]} and {abs(down):.1f} px {sides[1]}"


def check(
    name: str,
    root: str | Path | None = None,
    split: str = "all",
    limit: int | None = None,
    sheet: bool = False,
    **options: object,
) -> Report:
    """Look at every picture of a set in files (the first `limit` of `split`), one at a time.

    `sheet` keeps small pictures for the page. Raises `UserError` where there is no data at all.
    """
    found = survey(name, root, pixels=False, **options)
    records = {record.name: record for record in found.collection.records}
    if not records:
        raise UserError(found.problems[0].sentence)
    if split not in found.collection.splits:
        raise unknown(f"split of {name}", split, found.collection.splits)
    names = found.collection.splits[split]
    if not names:
        raise UserError(f"The split {split!r} of {name} is empty: choose another split.")
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit} leaves nothing to look at: use 1 or more.")
    chosen = names[:limit]
    boxes = found.collection.boxes
    report = Report(
        name, f"The data set {name}", len(names), len(chosen),
        records[chosen[0]].visible is not None,
        {s: len(part) for s, part in found.collection.splits.items()}, found.collection.note,
        list(found.problems), found.repairs, boxes=boxes and boxes.classes,
    )  # fmt: skip
    measured, sampled = _spread(chosen, OFFSETS), _spread(chosen, SHEET if sheet else 0)
    hashes: dict[str, tuple[int, ...]] = {}
    first: dict[str, Path] = {}
    for each in tqdm(chosen, desc="looked at", unit="pair", disable=not sys.stderr.isatty()):
        seen, pictures = found.inspected.get(each), _decode(records[each], report)
        if seen is None or pictures is None:
            continue
        report.sizes[seen.size] += 1
        if seen.labels is not None:
            report.classes.update(boxes.classes[k] for k in seen.labels.tolist())
            report.empty += not len(seen.labels)
        for path, _ in pictures.values():
            if (twin := first.setdefault(checksum(path), path)) != path:
                report.identical.append((twin, path))
        hashes[each] = tuple(dhash(image) for _, image in pictures.values())
        shift = None
        shapes = {image.shape for _, image in pictures.values()}
        if each in measured and len(pictures) == 2 and len(shapes) == 1:
            shift = offset(*(image.mean(0).numpy() for _, image in pictures.values()))
            report.offsets.append(shift)
        if each in sampled:
            report.samples.append(_sample(each, pictures, seen, boxes and boxes.classes, shift))
    within = {s: [n for n in part if n in hashes] for s, part in found.collection.splits.items()}
    report.near = near_copies(hashes, within)
    report.problems = list(dict.fromkeys(report.problems))
    return report


def _spread(names: list[str], count: int) -> set[str]:
    """`count` of the names, evenly spread."""
    count = min(count, len(names))
    return {names[k * len(names) // count] for k in range(count)}


def _decode(record: Record, report: Report) -> dict[str, tuple[Path, Tensor]] | None:
    """Both pictures; what can't be read joins the problems."""
    pictures = {}
    for modality in ("visible", "infrared"):
        path = getattr(record, modality)
        try:
            if path is not None:
                pictures[modality] = (path, read_image(path, modality))
        except UserError as error:
            report.problems.append(Problem("unreadable", path, str(error)))
            return None
    return pictures


def _sample(name: str, pictures: dict, seen: Inspected, classes: tuple[str, ...] | None,
            shift: Offset | None) -> Sample:  # fmt: skip
    """Small JPEG pictures with their boxes, and words for who can't see them."""
    counts = Counter(classes[k] for k in seen.labels.tolist()) if classes else Counter()
    inside = ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "no boxes"
    shown = []
    for modality, (_, image) in pictures.items():
        picture = Image.fromarray((image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
        scale = WIDTH / picture.width
        picture = picture.resize((WIDTH, round(picture.height * scale)))
        draw = ImageDraw.Draw(picture)
        for box, label in zip(seen.boxes, seen.labels, strict=True) if classes else ():
            colour = COLOURS[colour_name(int(label))]
            draw.rectangle([float(edge) * scale for edge in box], outline=colour, width=2)
        buffer = io.BytesIO()
        picture.save(buffer, format="jpeg", quality=80)
        words = f" with boxes: {inside}" if classes else ""
        shown.append((buffer.getvalue(), f"The {modality} picture of {name}{words}."))
    caption = name + (f": {inside}" if classes else "")
    if shift is not None:
        caption += f"; {shift.pixels:.1f} px off" if shift.clear else "; shift unclear"
    return Sample(caption, shown)


def colour_name(label: int) -> str:
    """The colour of a class's boxes on the sheet; after the last one they begin anew."""
    return list(COLOURS)[label % len(COLOURS)]


def _by_kind(report: Report) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for problem in report.problems:
        kinds.setdefault(problem.kind, []).append(problem.sentence)
    return kinds


def as_text(report: Report) -> str:
    """The report for a terminal; its first line is the answer. Unreadable files are all listed, of
    the rest the first `SHOWN` of each kind."""
    lines = [report.answer, ""]
    lines += [f"{what:12} {value}" for what, value in report.facts()]
    groups = {"to know": report.notices, **_by_kind(report), "repaired": report.repairs}
    groups["copies"] = [f"{two} is a copy of {one}." for one, two in report.identical]
    groups["near copies"] = [_near_line(near) for near in report.near]
    for kind, entries in groups.items():
        shown = entries if kind == "unreadable" else entries[:SHOWN]
        lines += ["", f"{kind}:", *(f"- {entry}" for entry in shown)] if entries else []
        if len(entries) > len(shown):
            lines.append(f"- and {len(entries) - len(shown)} more: --html FILE lists them all")
    return "\n".join(lines)


def _near_line(near: Near) -> str:
    one, two = near.splits
    return f"{near.first} ({one}) and {near.second} ({two}) differ in {near.bits} of 64 bits."


def write_page(report: Report, path: str | Path) -> Path:
    """The report as one HTML page with a contact sheet; returns its path."""
    page = ReportPage(report.title, f"{report.answer}.")
    page.bullets(report.notices)
    page.section("Numbers")
    page.table(("what", "found"), report.facts())
    if report.samples:
        page.section("Contact sheet")
        colours = [f"{name} {colour_name(k)}" for k, name in enumerate(report.boxes or ())]
        key = f" Boxes: {', '.join(colours)}." if colours else ""
        page.text(f"{len(report.samples)} of {report.looked_at}, evenly spread.{key}")
        page.sheet((sample.caption, sample.pictures) for sample in report.samples)
    if report.problems:
        page.section("Problems")
        page.text("Loading refuses the set until these are mended.")
        for kind, sentences in _by_kind(report).items():
            page.text(f"{kind} ({len(sentences)}):")
            page.bullets(sentences)
    for heading, entries in (
        ("Repaired or left out", report.repairs),
        ("Copies", [f"{two} is a copy of {one}." for one, two in report.identical]),
        ("Near copies across splits", [_near_line(near) for near in report.near]),
    ):
        if entries:
            page.section(heading)
            page.bullets(entries)
    page.section("How this was found")
    page.bullets(_methods(report))
    return page.write(path)


def _methods(report: Report) -> list[str]:
    said = ["Every picture looked at was decoded, and its boxes compared with its size."]
    if report.offsets:
        said.append(
            f"Misalignment: phase correlation of the edges of {len(report.offsets)} pairs, one "
            f"shift for the whole picture, believed from a peak of {CLEAR:g} standard deviations. "
            "Things at another distance may lie off by more or less (parallax): the shift is that "
            "of most edges. Noise: half the difference of two estimates, from the white and the "
            "black fields of a chessboard; a pair is off by more if its shift exceeds "
            f"{BEYOND:.1f} times the median of that, as noise alone does in 5 % of pairs."
        )
    said.append(
        f"Copies have the same SHA-256. Near copies differ in at most {NEAR} of 64 bits of the "
        "difference hash, in each spectrum."
    )
    return said + ([report.note] if report.note else [])
