"""How numbers, comparisons and tables are written, in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

Interval = tuple[float, float]


def number(
    value: float | None, interval: Interval | None = None, digits: int = 2, signed: bool = False
) -> str:
    """A number with its interval: "0.58 [0.56, 0.61]", `signed` "+0.13 [+0.05, +0.19]".

    Powers of ten where `digits` decimals would show nothing but zeros, or the number has more
    than five digits before the point; "none" for a value that is missing.
    """
    if value is None:
        return "none"
    largest = max(abs(each) for each in (value, *(interval or ())))
    fixed = largest == 0 or 10**-digits <= largest < 1e5
    spec = f"{'+' if signed else ''}z.{digits if fixed else 1}{'f' if fixed else 'e'}"
    if interval is None:
        return format(value, spec)
    low, high = interval
    return f"{value:{spec}} [{low:{spec}}, {high:{spec}}]"


def verdict(low: float, high: float) -> str:
    """What the 95 % interval of a difference says: "higher", "lower" or "no detectable
    difference". Ends are rounded first, so that the last bits of a processor decide nothing."""
    if round(low, 6) > 0:
        return "higher"
    return "lower" if round(high, 6) < 0 else "no detectable difference"


def table(head: Sequence[object], rows: Iterable[Sequence[object]], form: str = "terminal") -> str:
    """A table as text: "terminal" (aligned columns), "markdown" or "html".

    Cells are shown by `str`, None as an empty cell. Columns of numbers are aligned to the right.
    `ValueError` for another form, or for a row that is not as long as the head.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in (head, *rows)]
    if any(len(row) != len(head) for row in cells):
        raise ValueError(f"A row is not as long as the head {list(head)}.")
    if form not in _WRITERS:
        raise ValueError(f"form={form!r} is none of {', '.join(_WRITERS)}.")
    return _WRITERS[form](cells)


def _of_numbers(cells: list[list[str]]) -> list[bool]:
    """Which columns hold numbers alone (and gaps)."""
    columns = zip(*cells[1:], strict=True)
    found = [all(re.fullmatch(r"([-+]?\d.*|none|)", cell) for cell in column) for column in columns]
    return found or [False] * len(cells[0])


def _terminal(cells: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    places = [">" if right else "<" for right in _of_numbers(cells)]
    lines = []
    for row in cells:
        columns = zip(row, places, widths, strict=True)
        lines.append("  ".join(f"{cell:{place}{width}}" for cell, place, width in columns).rstrip())
    return "\n".join(lines)


def _markdown(cells: list[list[str]]) -> str:
    marks = ["--:" if right else "---" for right in _of_numbers(cells)]
    plain = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in (plain[0], marks, *plain[1:]))


def _html(cells: list[list[str]]) -> str:
    classes = [' class="number"' if right else "" for right in _of_numbers(cells)]
    lines = ["<table>"]
    for i, row in enumerate(cells):
        tag = "td" if i else "th"
        columns = zip(row, classes, strict=True)
        lines.append(
            f"<tr>{''.join(f'<{tag}{kind}>{escape(cell)}</{tag}>' for cell, kind in columns)}</tr>"
        )
    return "\n".join([*lines, "</table>"])


_WRITERS = {"terminal": _terminal, "markdown": _markdown, "html": _html}
