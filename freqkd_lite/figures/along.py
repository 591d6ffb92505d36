"""How a figure goes along one setting, arm by arm: the search of a learning rate, or a longer
training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from freqkd_lite.errors import UserError
from freqkd_lite.figures.arms import colour, name
from freqkd_lite.notebook import COLOURS, style
from freqkd_lite.results import Mean, is_part, own_settings, split_arm, with_settings

COLUMNS = 4
WORDS = {"lr": "learning rate", "steps": "steps of training"}


class Point(NamedTuple):
    """What an arm has at one value of the setting."""

    at: float
    value: float


def series(found: Sequence[Mean], metric: str, along: str) -> dict[str, list[Point]]:
    """Each arm's points in rising order, arms named without the setting `along`, of the mean over
    classes on whole splits. Arms that have no such setting are left out; `UserError` where none
    has it."""
    told: dict[str, list[Point]] = {}
    for m in _overall(found, metric):
        own = own_settings(m.arm)
        if along in own:
            at = _number(along, own.pop(along))
            rest = ", ".join(f"{key}={value}" for key, value in own.items())
            arm = with_settings(split_arm(m.arm)[0], rest)
            told.setdefault(arm, []).append(Point(at, m.value))
    if not told:
        raise UserError(f"No arm has a setting {along!r}: name one that the sweep's arms have.")
    return {arm: sorted(points) for arm, points in told.items()}


def _number(along: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{along}={value} is no number, as an axis needs: correct along.") from None


def _overall(found: Sequence[Mean], metric: str) -> list[Mean]:
    return [m for m in found if m.metric == metric and m.klass in ("mean", "all")
            and not is_part(m.split) and m.value is not None]  # fmt: skip


def best(points: Sequence[Point]) -> Point:
    """The point of the highest value; of equal ones the first."""
    return max(points, key=lambda p: p.value)


def along_figure(found: Sequence[Mean], metric: str, along: str) -> tuple[Figure, str]:
    """A panel for each arm: the metric against the setting, the best point ringed, and as dotted
    lines the arms that have no such setting. With a description."""
    lines = series(found, metric, along)
    level = {m.arm: m.value for m in _overall(found, metric) if along not in own_settings(m.arm)}
    style()
    columns = min(COLUMNS, len(lines))
    rows = -(-len(lines) // columns)
    shape = (max(4.2, 1.0 + 2.1 * columns), 0.9 + 1.75 * rows)
    drawn, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False, sharex=True,
                               sharey=True)  # fmt: skip
    for ax in axes.flat[len(lines) :]:
        ax.set_axis_off()
    values = sorted({p.at for points in lines.values() for p in points})
    said = []
    for ax, (arm, points) in zip(axes.flat, lines.items(), strict=False):
        for value in level.values():
            ax.axhline(value, color=COLOURS["floor"], lw=1, ls=":")
        ax.plot(*zip(*points, strict=True), "o-", ms=5, color=colour(arm))
        ax.plot(*best(points), "o", ms=11, mfc="none", mec=colour(arm), mew=1.5)
        ax.set_title(name(arm), fontsize=9.5)
        if min(values) > 0:
            ax.set_xscale("log")
        ax.set_xticks(values, [f"{v:g}" for v in values], fontsize=8.5)
        ax.margins(x=0.12)
        ax.minorticks_off()
        said.append(f"{name(arm)}: " + ", ".join(f"{p.value:.3f} at {p.at:g}" for p in points))
    last = axes[0, columns - 1]
    for arm, value in level.items():
        where = last.get_yaxis_transform()
        last.text(1.03, value, name(arm), transform=where, fontsize=8.5, va="center")
    for ax in axes.flat[max(0, len(lines) - columns) : len(lines)]:
        ax.tick_params(labelbottom=True)
    drawn.supxlabel(WORDS.get(along, along), fontsize=10.5)
    drawn.supylabel(metric, fontsize=10.5)
    dotted = ", ".join(f"{name(arm)} {value:.3f}" for arm, value in level.items())
    dotted = f" Dotted: {dotted}." if dotted else ""
    return drawn, f"{metric} against {along}, by arm. {'; '.join(said)}.{dotted}"


def along_answer(found: Sequence[Mean], metric: str, along: str) -> str:
    """Where each arm is best, and which of them are so at an end of what was tried."""
    lines = series(found, metric, along)
    tops = {arm: best(points) for arm, points in lines.items()}
    at: dict[float, list[str]] = {}
    for arm, top in sorted(tops.items(), key=lambda item: -item[1].value):
        at.setdefault(top.at, []).append(f"{name(arm)} ({top.value:.3f})")
    told = "; ".join(f"at {along}={v:g}: {', '.join(at[v])}" for v in sorted(at))
    ends = [name(arm) for arm, points in lines.items()
            if len(points) > 1 and tops[arm].at in (points[0].at, points[-1].at)]  # fmt: skip
    edge = f" At an end of what was tried: {', '.join(ends)}." if ends else ""
    return f"{metric} is highest {told}.{edge}"
