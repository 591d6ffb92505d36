"""How a figure goes along one setting, arm by arm: the search of a learning rate, or a longer
training."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from freqkd_lite.errors import UserError
from freqkd_lite.figures.arms import colour, name
from freqkd_lite.notebook import COLOURS, style
from freqkd_lite.results import (
    Mean,
    check_one_place,
    is_part,
    means,
    over_seeds,
    own_settings,
    read_results,
    split_arm,
    with_settings,
)

COLUMNS = 4
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
    lists = (re.search(r"arms=\[(.*?)\]", said) for said in failed)
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


def along_figure(
    found: Sequence[Mean], metric: str, along: str, failed: Sequence[str] = ()
) -> tuple[Figure, str]:
    """A panel for each arm: the metric against the setting, pale dots for the seeds where there are
    several and their interval where there are three, the best point ringed, a cross where the run
    failed, and as dotted lines the arms that have no such setting. With a description."""
    lines = series(found, metric, along, failed)
    level = {m.arm: m.value for m in _overall(found, metric) if along not in own_settings(m.arm)}
    style()
    columns = min(COLUMNS, len(lines))
    rows = -(-len(lines) // columns)
    shape = (max(4.2, 1.0 + 2.1 * columns), 0.9 + 1.85 * rows)
    drawn, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False, sharex=True,
                               sharey=True)  # fmt: skip
    for ax in axes.flat[len(lines) :]:
        ax.set_axis_off()
    values = sorted({p.at for points in lines.values() for p in points})
    said = []
    for ax, (arm, points) in zip(axes.flat, lines.items(), strict=False):
        for value in level.values():
            ax.axhline(value, color=COLOURS["floor"], lw=1, ls=":")
        there = [p for p in points if p.value is not None]
        ax.plot([p.at for p in there], [p.value for p in there], "o-", ms=5, color=colour(arm))
        for p in points:
            if p.value is None:
                foot = ax.get_xaxis_transform()
                ax.plot(p.at, 0.06, "x", ms=7, mew=2, color=colour(arm), transform=foot)
        for p in there:
            seeds = list(p.by_seed.values())
            if len(seeds) > 1:
                ax.plot([p.at] * len(seeds), seeds, "o", ms=3, alpha=0.5, color=colour(arm))
            if len(seeds) > 2 and p.interval:  # that of two is wider than any panel
                ax.plot((p.at, p.at), p.interval, lw=1.5, color=colour(arm))
        top = best(points)
        ax.plot(top.at, top.value, "o", ms=11, mfc="none", mec=colour(arm), mew=1.5)
        ax.set_title(textwrap.fill(name(arm), 22), fontsize=9.5)
        if min(values) > 0:
            ax.set_xscale("log")
        # without the leading 0, for those of five rates would run into each other
        ax.set_xticks(values, [re.sub("^0(?=[.])", "", f"{v:g}") for v in values], fontsize=8)
        ax.margins(x=0.12)
        ax.minorticks_off()
        said.append(f"{name(arm)}: " + ", ".join(f"{p} at {p.at:g}" for p in points))
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
    if any(p.value is None for points in lines.values() for p in points):
        dotted += " Crosses: runs that failed."
    return drawn, f"{metric} against {along}, by arm. {'; '.join(said)}.{dotted}"


def along_answer(found: Sequence[Mean], metric: str, along: str, failed: Sequence[str] = ()) -> str:
    """Where each arm is best, which of them are so at an end of what was tried, and what failed."""
    lines = series(found, metric, along, failed)
    tops = {arm: best(points) for arm, points in lines.items()}
    at: dict[float, list[str]] = {}
    for arm, top in sorted(tops.items(), key=lambda item: -item[1].value):
        at.setdefault(top.at, []).append(f"{name(arm)} ({top})")
    told = "; ".join(f"at {along}={v:g}: {', '.join(at[v])}" for v in sorted(at))
    ends = [name(arm) for arm, points in lines.items()
            if len(points) > 1 and tops[arm].at in (points[0].at, points[-1].at)]  # fmt: skip
    edge = f" At an end of what was tried: {', '.join(ends)}." if ends else ""
    lost = [f"{name(arm)} at {p.at:g}" for arm, points in lines.items()
            for p in points if p.value is None]  # fmt: skip
    edge += f" Failed: {', '.join(lost)}." if lost else ""
    return f"{metric} is highest {told}.{edge}{_apart(lines)}"


def _apart(lines: Mapping[str, Sequence[Point]]) -> str:
    """Of two arms, by how much the first is ahead of the second at each value that both have, over
    the seeds that both have."""
    if len(lines) != 2:
        return ""
    (one, its), (other, theirs) = lines.items()
    told = []
    for a in its:
        for b in theirs:
            both = sorted(a.by_seed.keys() & b.by_seed.keys(), key=str)
            if a.at == b.at and both:
                mean, interval = over_seeds(a.by_seed[seed] - b.by_seed[seed] for seed in both)
                span = " [{:+.3f}, {:+.3f}]".format(*interval) if interval else ""
                told.append(f"{mean:+.3f}{span} at {a.at:g}")
    return f" {name(one)} less {name(other)}, seed by seed: {', '.join(told)}." if told else ""


Kept = tuple[list[Mean], str, str, list[str]]
"""(figures, metric, setting, arms that failed)."""


def read_along(folder: Path) -> Kept | None:
    """A sweep along one setting as it was kept; None where there are no results. `UserError` for
    results of another kind."""
    if not (folder / "results.json").is_file():
        return None
    made = json.loads((folder / "manifest.json").read_text())
    if not made.get("along"):
        raise UserError(f"{folder.name} holds no sweep along a setting: its file lacks along.")
    failed = failed_arms(made.get("failed", []))
    return means(read_results(folder)), made["metric"], made["along"], failed


def along(folder: str | Path) -> tuple[tuple[Figure, str] | None, str]:
    """(figure with its description, answer) of a sweep along one setting; (None, a sentence)
    where its results are not there."""
    kept = read_along(Path(folder))
    return (along_figure(*kept), along_answer(*kept)) if kept else (None, _absent(Path(folder)))


def ranked(folder: str | Path, losses: Sequence[str]) -> str:
    """The arms of some losses from best to worst, each at the setting that suited it, in a
    sentence."""
    kept = read_along(Path(folder))
    if not kept:
        return _absent(Path(folder))
    found, metric, setting, _ = kept
    tops = {arm: best(points) for arm, points in series(found, metric, setting).items()
            if split_arm(arm)[0] in losses}  # fmt: skip
    order = sorted(tops.items(), key=lambda item: -item[1].value)
    place = " ".join(dict.fromkeys(f"{m.data} {m.split}" for m in _overall(found, metric)))
    told = ", ".join(f"{name(arm)} {top}" for arm, top in order)
    return f"{metric} on {place}, each at the {WORDS.get(setting, setting)} that suits it: {told}."


def _absent(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name} holds no results: there is nothing to show."
