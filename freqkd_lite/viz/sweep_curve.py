"""How a figure goes along one setting, arm by arm: the search of a learning rate, or a longer
training."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES
from freqkd_lite.results.paired import (
    METRICS,
    Difference,
    Differences,
    differences,
    read_differences,
)
from freqkd_lite.results.rows import (
    Mean,
    Row,
    check_one_place,
    is_part,
    means,
    own_settings,
    read_results,
    split_arm,
    with_settings,
)
from freqkd_lite.viz.scores import colour, name, same_terms
from freqkd_lite.viz.style import COLOURS, style

COLUMNS = 3
PANELS = 6  # arms that have a panel each; more have a row each
MARKERS = "v^osDP"
SAID = 3  # arms that a sentence names
WORDS = {"lr": "learning rate", "steps": "steps of training"}


class Point(NamedTuple):
    """What an arm has at one value of the setting, None if its run failed, the interval over seeds
    if it has several, and what each seed has."""

    at: float
    value: float | None
    interval: tuple[float, float] | None = None
    by_seed: Mapping[int | None, float] = {}

    def __str__(self) -> str:
        if self.value is None:
            return "nothing"
        span = " [{:.3f}, {:.3f}]".format(*self.interval) if self.interval else ""
        return f"{self.value:.3f}{span}"


def failed_arms(failed: Sequence[str]) -> list[str]:
    """The arms of the runs that a sweep's manifest tells as failed."""
    lists = (re.search(r"arms=\[((?:'[^']*'(?:, )?)*)\]", said) for said in failed)
    return [arm for found in lists if found for arm in re.findall(r"'([^']+)'", found[1])]


def series(
    found: Sequence[Mean], metric: str, along: str, failed: Sequence[str] = ()
) -> dict[str, list[Point]]:
    """Each arm's points in rising order, arms named without the setting `along`, of the mean over
    classes on whole splits; a point without a value for arms of `failed` runs. Arms that have no
    such setting are left out; `UserError` where none has it, and for figures of several sets or
    splits."""
    told: dict[str, list[Point]] = {}
    overall = _overall(found, metric)
    check_one_place(overall, metric, f"a figure along {along} shows one of them")
    for m in overall:
        plain, at = _without(m.arm, along)
        if at is not None:
            interval = m.interval if m.over == "seeds" else None
            by_seed = {row.seed: row.value for row in m.rows if row.value is not None}
            told.setdefault(plain, []).append(Point(at, m.value, interval, by_seed))
    for arm in dict.fromkeys(failed):
        plain, at = _without(arm, along)
        if plain in told and at is not None and at not in [p.at for p in told[plain]]:
            told[plain].append(Point(at, None))
    if not told:
        raise UserError(f"No arm has a setting {along!r}: name one that the sweep's arms have.")
    return {arm: sorted(points, key=lambda p: p.at) for arm, points in told.items()}


def _without(arm: str, along: str) -> tuple[str, float | None]:
    """(the arm without its setting `along`, that setting or None)."""
    own = own_settings(arm)
    at = _number(along, own.pop(along)) if along in own else None
    rest = ", ".join(f"{key}={value}" for key, value in own.items())
    return with_settings(split_arm(arm)[0], rest), at


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
    return max((p for p in points if p.value is not None), key=lambda p: p.value)


@dataclass(frozen=True)
class Along:
    """A sweep along one setting: its `metric`, the `setting`, the data and split as `place`, each
    arm's points (`lines`), the figures of arms that have no such setting (`levels`), and, of a few
    arms, each one less the first at each value (`gaps`, from `first_less`)."""

    metric: str
    setting: str
    place: str
    lines: dict[str, list[Point]]
    levels: dict[str, float]
    gaps: tuple[Difference, ...] = ()

    @property
    def tops(self) -> dict[str, Point]:
        """Each arm's best point, the best arm first."""
        tops = {arm: best(points) for arm, points in self.lines.items()}
        return dict(sorted(tops.items(), key=lambda item: -item[1].value))

    @property
    def words(self) -> str:
        """The metric for people."""
        return NAMES.get(self.metric, self.metric)

    @property
    def axis(self) -> str:
        """The setting for people."""
        return WORDS.get(self.setting, self.setting)

    def at_end(self, arm: str) -> bool:
        """Whether an arm is best at the first or the last value that was tried, failed or not."""
        points = self.lines[arm]
        return len(points) > 1 and best(points).at in (points[0].at, points[-1].at)


def read(found: Sequence[Mean], metric: str, along: str, failed: Sequence[str] = (),
         gaps: Sequence[Difference] = ()) -> Along:  # fmt: skip
    """The figures of a sweep by arm and setting; `failed` are the arms of runs that failed.
    `UserError` as `series` says."""
    overall = _overall(found, metric)
    levels = {m.arm: m.value for m in overall if along not in own_settings(m.arm)}
    place = " ".join(dict.fromkeys(f"{m.data} {m.split}" for m in overall))
    lines = series(found, metric, along, failed)
    return Along(metric, along, place, lines, levels, tuple(gaps))


def first_less(rows: Sequence[Row], folder: Path, metric: str, along: str) -> Differences | None:
    """Of two arms or three, each one less the first, at each value of the setting that both have,
    over images and seeds (`paired.differences`); None for one arm, for many, and for figures that
    keep no files of images."""
    of = [row for row in rows if row.metric == metric and row.value is not None]
    if metric not in METRICS or not all(row.per_image for row in of if not is_part(row.split)):
        return None
    by_value: dict[float, dict[str, str]] = {}
    for arm in dict.fromkeys(row.arm for row in of):
        plain, at = _without(arm, along)
        if at is not None:
            by_value.setdefault(at, {})[plain] = arm
    plains = list(dict.fromkeys(plain for arms in by_value.values() for plain in arms))
    if not 2 <= len(plains) <= SAID:
        return None
    first, found = plains[0], []
    for _, arms in sorted(by_value.items()):
        if first in arms and len(arms) > 1:
            here = [row for row in rows if row.arm in arms.values()]
            less = differences(here, folder, arms[first], metric)
            found += [d for d in less if d.klass == "mean"]
    place = " ".join(dict.fromkeys(f"{m.data} {m.split}" for m in _overall(means(rows), metric)))
    return Differences(first, None, metric, place, found) if found else None


def along_figure(kept: Along) -> tuple[Figure, str]:
    """The metric against the setting: two or three arms that can be set against each other stand
    in one panel, their paired differences beside it; few have a panel each, many a row each, the
    best arm first. An arm's best point is ringed; crosses are runs that failed, dotted lines the
    arms that have no such setting, arrows point at what lies below the rows' axis. With a
    description."""
    style()
    draw = _beside if kept.gaps else _panels if len(kept.lines) <= PANELS else _rows
    drawn = draw(kept)
    said = [f"{name(arm)}: " + ", ".join(f"{p} at {p.at:g}" for p in points)
            for arm, points in kept.lines.items()]  # fmt: skip
    dotted = ", ".join(f"{name(arm)} {value:.3f}" for arm, value in kept.levels.items())
    more = f" Dotted: {dotted}." if dotted else ""
    if any(p.value is None for points in kept.lines.values() for p in points):
        more += " Crosses: runs that failed."
    if len(kept.lines) > PANELS and _lost(kept, _edge(kept)):
        more += " Arrows: below the axis."
    more += f" Right, with paired intervals: {_apart(kept)}" if kept.gaps else ""
    what = f"{kept.words} against {kept.axis}, by arm"
    return drawn, f"{what}. {'; '.join(said)}.{more}"


def _values(kept: Along) -> list[float]:
    return sorted({p.at for points in kept.lines.values() for p in points})


def _beside(kept: Along) -> Figure:
    """Left the arms' curves, right each one less the first, paired over images and seeds."""
    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.5), sharex=True)
    values = _values(kept)
    for arm, value in kept.levels.items():
        left.axhline(value, color=COLOURS["floor"], lw=1, ls=":")
        left.text(values[0], value, name(arm), fontsize=8.5, va="bottom")
    for arm, points in kept.lines.items():
        _curve(left, points, colour(arm), name(arm))
    right.axhline(0, color=COLOURS["floor"], lw=1.2)
    first, *others = kept.lines
    for i, arm in enumerate(others):
        of = [(at, d) for plain, at, d in _gaps(kept) if plain == arm]
        shift = 1 + 0.06 * (i - (len(others) - 1) / 2)
        for at, d in of:
            right.plot((at * shift,) * 2, d.interval, lw=2.5, color=colour(arm))
        right.plot([at * shift for at, _ in of], [d.value for _, d in of], "o-", ms=6, lw=1,
                   color=colour(arm), label=name(arm))  # fmt: skip
    for ax in (left, right):
        _ticks(ax, values)
        ax.set_xlabel(kept.axis)
        ax.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    left.set(title="How far does each come?", ylabel=f"{kept.words}, {kept.place}")
    right.set(title="Do they meet?", ylabel=f"less that of {name(first)}")
    return drawn


def _curve(ax: Axes, points: Sequence[Point], shade: str, label: str | None = None) -> None:
    """An arm's points, pale dots for its seeds where there are several, and their interval where
    there are three, for that of two is wider than any panel; the best point ringed."""
    there = [p for p in points if p.value is not None]
    ax.plot([p.at for p in there], [p.value for p in there], "o-", ms=5, color=shade, label=label)
    for p in points:
        if p.value is None:
            foot = ax.get_xaxis_transform()
            ax.plot(p.at, 0.06, "x", ms=7, mew=2, color=shade, transform=foot)
    for p in there:
        seeds = list(p.by_seed.values())
        if len(seeds) > 1:
            ax.plot([p.at] * len(seeds), seeds, "o", ms=3, alpha=0.5, color=shade)
        if len(seeds) > 2 and p.interval:
            ax.plot((p.at, p.at), p.interval, lw=1.5, color=shade)
    _ring(ax, best(points).at, best(points).value, shade)


def _ticks(ax: Axes, values: Sequence[float]) -> None:
    if min(values) > 0:
        ax.set_xscale("log")
    ax.set_xticks(values, [_short(v) for v in values], fontsize=8)
    ax.margins(x=0.12, y=0.12)
    ax.minorticks_off()


def _panels(kept: Along) -> Figure:
    """A panel an arm."""
    columns = min(COLUMNS, len(kept.lines))
    rows = -(-len(kept.lines) // columns)
    shape = (max(4.2, 1.0 + 2.1 * columns), 0.9 + 1.85 * rows)
    drawn, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False, sharex=True,
                               sharey=True)  # fmt: skip
    for ax in axes.flat[len(kept.lines) :]:
        ax.set_axis_off()
    values = _values(kept)
    for ax, (arm, points) in zip(axes.flat, kept.lines.items(), strict=False):
        for value in kept.levels.values():
            ax.axhline(value, color=COLOURS["floor"], lw=1, ls=":")
        _curve(ax, points, colour(arm))
        ax.set_title(textwrap.fill(name(arm), 22), fontsize=9.5)
        _ticks(ax, values)
    last = axes[0, columns - 1]
    for arm, value in kept.levels.items():
        where = last.get_yaxis_transform()
        last.text(1.03, value, name(arm), transform=where, fontsize=8.5, va="center")
    for ax in axes.flat[max(0, len(kept.lines) - columns) : len(kept.lines)]:
        ax.tick_params(labelbottom=True)
    drawn.supxlabel(kept.axis, fontsize=10.5)
    drawn.supylabel(kept.words, fontsize=10.5)
    return drawn


def _rows(kept: Along) -> Figure:
    """A row an arm, a shade for each value of the setting, the mean over seeds alone."""
    values, arms = _values(kept), list(kept.tops)
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(values)))
    look = {v: dict(color=shade, marker=MARKERS[i % len(MARKERS)], ls="")
            for i, (v, shade) in enumerate(zip(values, shades, strict=True))}  # fmt: skip
    drawn, ax = plt.subplots(figsize=(8.2, 1.3 + 0.27 * len(arms)))
    edge = _edge(kept)
    for y, arm in enumerate(arms):
        there = [p for p in kept.lines[arm] if p.value is not None]
        ends = [max(edge, end([p.value for p in there])) for end in (min, max)]
        ax.plot(ends, (y, y), lw=1, color=COLOURS["floor"], zorder=1)
        for p in kept.lines[arm]:
            if p.value is None:
                side = ax.get_yaxis_transform()
                ax.plot(0.02, y, "x", ms=6, mew=2, color=look[p.at]["color"], transform=side)
            else:
                ax.plot(max(edge, p.value), y, ms=5.5, **look[p.at])
        far = ", ".join(_short(round(p.value, 2)) for p in there if p.value < edge)
        if far:
            ax.annotate(f"{far} \N{LEFTWARDS ARROW}", (edge, y), (-6, 0), fontsize=8.5,
                        textcoords="offset points", ha="right", va="center")  # fmt: skip
        _ring(ax, kept.tops[arm].value, y, COLOURS["teacher"])
    for value in values:
        ax.plot([], [], label=_short(value), **look[value])
    ax.set_yticks(range(len(arms)), [name(arm) for arm in arms])
    ax.set(ylim=(len(arms) - 0.4, -0.6), xlabel=kept.words)
    ax.set_title(f"At which {kept.axis} is each arm best?", pad=20 if kept.levels else None)
    ax.margins(x=0.1)
    if _lost(kept, edge):  # room for the numbers
        ax.set_xlim(left=edge - 0.12 * (max(p.value for p in kept.tops.values()) - edge))
    ax.grid(axis="y", visible=False)
    for i, (arm, value) in enumerate(sorted(kept.levels.items(), key=lambda item: item[1])):
        ax.axvline(value, color=COLOURS["floor"], lw=1, ls=":")
        ax.text(value, 1.005, name(arm), transform=ax.get_xaxis_transform(), fontsize=8.5,
                ha="left" if i else "right", va="bottom")  # fmt: skip
    drawn.legend(loc="outside lower center", ncols=len(values) + 1, handletextpad=0.1,
                 title=f"{kept.axis}; ringed: the best of an arm",
                 title_fontsize=9, fontsize=9)  # fmt: skip
    return drawn


def _lost(kept: Along, edge: float) -> bool:
    return any(p.value is not None and p.value < edge for of in kept.lines.values() for p in of)


def _edge(kept: Along) -> float:
    """Where the axis of the rows begins: what lies far below every arm's best stands at this edge,
    with its number, for it would press together all that is to be compared."""
    told = [top.value for top in kept.tops.values()] + list(kept.levels.values())
    return min(told) - 0.5 * (max(told) - min(told))


def _ring(ax: Axes, x: float, y: float, shade: str) -> None:
    ax.plot(x, y, "o", ms=11, mfc="none", mec=shade, mew=1.5)


def _short(value: float) -> str:
    """Without the leading 0, for the marks of five rates would run into each other."""
    return re.sub("^0(?=[.])", "", f"{value:g}")


def along_answer(kept: Along) -> str:
    """Which arms are best, each at the value that suits it; which of them are so at an end of what
    was tried, and what failed: by name while there are few."""
    tops = kept.tops
    told = ", ".join(f"{name(arm)} {top} at {kept.setting}={top.at:g}"
                     for arm, top in list(tops.items())[:SAID])  # fmt: skip
    left = len(tops) - SAID
    told += f", and {left} more arms below" if left > 0 else ""
    ends = [name(arm) for arm in tops if kept.at_end(arm)]
    edge = f" At an end of what was tried: {_few(ends, 'arms')}." if ends else ""
    once = [name(arm) for arm in tops if len(kept.lines[arm]) == 1]
    edge += f" Tried at one value: {_few(once, 'arms')}." if once else ""
    lost = [f"{name(arm)} at {p.at:g}" for arm, points in kept.lines.items()
            for p in points if p.value is None]  # fmt: skip
    edge += f" Failed: {_few(lost, 'runs')}." if lost else ""
    at_best = f"{kept.words}, each arm at its best: {told}.{edge}"
    return " ".join(filter(None, (_apart(kept), at_best)))


def _few(names: Sequence[str], what: str) -> str:
    return ", ".join(names) if len(names) <= SAID else f"{len(names)} {what}"


def along_table(kept: Along) -> list[str]:
    """Every arm at its best as Markdown, with what was tried besides."""
    lines = ["", f"## Each arm at the {kept.axis} that suits it", "",
             f"| arm | {kept.words} | at {kept.setting} | tried besides | an end | failed |",
             "|" + "---|" * 6]  # fmt: skip
    for arm, top in kept.tops.items():
        others = [p for p in kept.lines[arm] if p.value is not None and p.at != top.at]
        lost = [f"{p.at:g}" for p in kept.lines[arm] if p.value is None]
        end = "yes" if kept.at_end(arm) else ""
        cells = (name(arm), str(top), f"{top.at:g}", ", ".join(f"{p} at {p.at:g}" for p in others),
                 end if len(kept.lines[arm]) > 1 else "one value", ", ".join(lost))  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _gaps(kept: Along) -> list[tuple[str, float, Difference]]:
    """(arm, setting, its difference from the first arm there)."""
    return [(*_without(d.arm, kept.setting), d) for d in kept.gaps]


def _apart(kept: Along) -> str:
    """By how much each of a few arms is ahead of the first, at each value that both have, and at
    which of them the two can be told apart."""
    one, *others = kept.lines
    said = []
    for other in others:
        of = [(at, d) for plain, at, d in _gaps(kept) if plain == other]
        if not of:
            continue
        told = ", ".join(f"{d} at {at:g}" for at, d in of)
        apart = [f"{at:g}" for at, d in of if d.interval[0] > 0 or d.interval[1] < 0]
        at = f"at {', '.join(apart)}" if apart else "at none of these"
        both = f"{name(other)} less {name(one)}, over images and seeds"
        said.append(f"{both}: {told}; told apart {at}.")
    return " ".join(said)


def read_along(folder: Path) -> Along | None:
    """A sweep along one setting as it was kept; None where there are no results. `UserError` for
    results of another kind."""
    if not (folder / "results.json").is_file():
        return None
    made = json.loads((folder / "manifest.json").read_text())
    if not made.get("along"):
        raise UserError(f"{folder.name} holds no sweep along a setting: its file lacks along.")
    failed, less = failed_arms(made.get("failed", [])), read_differences(folder)
    found = means(read_results(folder))
    return read(found, made["metric"], made["along"], failed, less.rows if less else ())


def along(folder: str | Path) -> tuple[tuple[Figure, str] | None, str]:
    """(figure with its description, answer) of a sweep along one setting; (None, a sentence)
    where its results are not there."""
    kept = read_along(Path(folder))
    return (along_figure(kept), along_answer(kept)) if kept else (None, _absent(Path(folder)))


def ranked(folder: str | Path, losses: Sequence[str]) -> str:
    """The arms of some losses from best to worst, each at the setting that suited it: a sentence,
    and a line for each, with how many settings were tried. Other merge scales
    and shuffled pairs are left out."""
    kept = read_along(Path(folder))
    if not kept:
        return _absent(Path(folder))
    chosen = {arm: top for arm, top in kept.tops.items()
              if split_arm(arm)[0] in losses and same_terms(arm)}  # fmt: skip
    tried = {arm: len(kept.lines[arm]) for arm in chosen}
    lines = [f"{kept.words} on {kept.place}, each at the {kept.axis} that suits it best of those "
             "tried:"]  # fmt: skip
    lines += [f"  {top}  {name(arm)} · {kept.setting}={top.at:g} (of {tried[arm]})"
              for arm, top in chosen.items()]  # fmt: skip
    return "\n".join(lines)


def _absent(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name} holds no results: there is nothing to show."
