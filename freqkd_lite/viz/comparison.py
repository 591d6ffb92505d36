"""Every way to distil beside the others: the differences that a sweep's report kept, drawn and
said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from freqkd_lite.names import NAMES
from freqkd_lite.results.paired import (
    MARGIN,
    Difference,
    Differences,
    beats,
    read_differences,
    signed,
)
from freqkd_lite.results.rows import UNTRAINED, Mean, means, read_results, split_arm
from freqkd_lite.viz.scores import colour, name, same_terms
from freqkd_lite.viz.style import COLOURS, style


def near_teacher(found: Sequence[Mean], arm: str) -> tuple[float, float] | None:
    """(low, high): an arm's divergence from the teacher in the two bands, over seeds."""
    rings = [m.value for m in found if m.metric == "divergence_band" and m.arm == arm]
    return (rings[0], rings[-1]) if rings else None


def arms_figure(kept: Differences, found: Sequence[Mean]) -> tuple[Figure, str]:
    """Left, each arm's figure less that of the arm all are set against, with its paired interval,
    and thinner the one that holds for all arms at once; right, how near its students came to the
    teacher per band, in the last matched block. With a description."""
    rows = sorted((d for d in kept.rows if d.klass == "mean"), key=lambda d: -d.value)
    # the arm itself takes its place among the others, at 0
    arms = [d.arm for d in rows if d.value > 0] + [kept.against]
    arms += [d.arm for d in rows if d.value <= 0]
    style()
    shape = dict(figsize=(9.5, 1.6 + 0.32 * len(arms)), sharey=True, width_ratios=(3, 2))
    drawn, (left, right) = plt.subplots(1, 2, **shape)
    left.axvline(0, color=COLOURS["floor"], lw=1.2)
    left.axvline(MARGIN, color=COLOURS["floor"], lw=1.2, ls=":")
    by_arm, said = {d.arm: d for d in rows}, []
    most = max((d.seeds for d in rows), default=0)
    for y, arm in enumerate(arms):
        d, near = by_arm.get(arm), near_teacher(found, arm)
        if d:
            named, few = arm == kept.named, d.seeds < most
            if d.among:
                left.plot(d.among, (y, y), lw=0.8, color=colour(arm))
            left.plot(d.interval, (y, y), lw=4.5 if named else 2.5, color=colour(arm))
            left.plot(d.value, y, "o", ms=7, color=colour(arm), mfc="white" if few else None)
        else:
            left.plot(0, y, "D", ms=7, color=colour(arm))
        if near:
            right.plot(near, (y, y), color=COLOURS["floor"], lw=1)
            for value, band in zip(near, ("low", "high"), strict=True):
                right.plot(value, y, "o", ms=7, color=COLOURS[band])
        apart = "; from the teacher {:.2f} low, {:.2f} high".format(*near) if near else ""
        said.append(f"{name(arm)} {d or 'itself'}{apart}")
    for band in ("low", "high"):
        right.plot([], [], "o", color=COLOURS[band], label=f"{band} band")
    below = -0.7 / drawn.get_figheight()  # under the axis' name, however tall the figure is
    right.legend(loc="upper center", bbox_to_anchor=(0.5, below), ncols=2)
    few = [f"hollow: fewer than {most} seeds"] * any(d.seeds < most for d in rows)
    marks = "; ".join([*few, *["† entered later"] * bool(kept.later)])
    wide = "thick: by itself; thin: all at once; " * any(d.among for d in rows)
    note = f"{wide}dotted: {MARGIN:g}\n{marks}"
    left.annotate(note, (0, below), xycoords="axes fraction", va="top", fontsize=8.5)
    left.set_yticks(range(len(arms)), [name(a) + " †" * (a in kept.later) for a in arms])
    metric = NAMES.get(kept.metric, kept.metric)
    less = f"{metric} less that of {name(kept.against)}"
    left.set(ylim=(len(arms) - 0.5, -0.5), xlabel=less, title="Which lesson helps?")
    right.set(xlabel="divergence, last block", title="Which is learned?")
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    return drawn, (
        f"{metric} of each arm less that of {name(kept.against)}, with 95 % intervals over "
        "images and seeds (drawn thinner those of all arms at once; hollow marks, arms of fewer "
        "seeds; a dagger, arms that entered later), and its divergence from the teacher by band in "
        f"the last matched block. {'. '.join(said)}."
    )


def ablation(folder: str | Path) -> tuple[tuple[Figure, str] | None, str]:
    """(figure with its description, verdict) of a study; (None, a sentence) without."""
    kept = read_differences(folder)
    if kept is None:
        folder = Path(folder)
        return None, f"{folder.parent.name}/{folder.name} holds no study: nothing is drawn."
    seeds = sorted({d.seeds for d in kept.rows})
    d = kept.rows[0]
    about = (f"{' or '.join(map(str, seeds))} seeds, {d.images} images in {d.groups} groups, "
             f"{kept.place}.")  # fmt: skip
    drawn = arms_figure(kept, means(read_results(folder)))
    return drawn, "\n".join([*verdict(kept), about])


def verdict(kept: Differences) -> list[str]:
    """What the differences of trained arms say, in sentences: the first answers, the others tell
    who is ahead one by one, by `MARGIN` or more with an interval above 0, what is left of that for
    who looks at all at once, who is below, and which could not be compared."""
    rows, mark = trained(kept), name(kept.against)
    first = ahead_of_all(rows, mark)
    for d in rows:
        if d.arm == kept.named:
            first += f"; {name(d.arm)}, named beforehand, {side(d)} it: {d}"
    told = ", ".join(f"{name(d.arm)} {d}{entered(kept, d)}" for d in rows if beats(d))
    said = [f"{first}.", f"One by one, ahead by {MARGIN:g} or more with an interval above 0: "
            f"{told or 'none'}."]  # fmt: skip
    said += looked_at_once(rows)
    below = [name(d.arm) for d in rows if d.interval[1] < 0]
    said.append(f"Below it with an interval below 0: {', '.join(below) or 'none'}.")
    if kept.alone:
        alone = ", ".join(map(name, kept.alone))
        said.append(f"Of no seed that {mark} has, so not compared: {alone}.")
    return said


def ahead_of_all(rows: Sequence[Difference], mark: str) -> str:
    """Whether any arm is ahead of `mark` by `MARGIN` or more with an interval above 0 that holds
    for all of `rows` at once, in a sentence without its end, and who is by itself."""
    if not rows:
        return f"Nothing is there to be compared with {mark} yet"
    ahead = [d for d in rows if d.value >= MARGIN and (d.among or d.interval)[0] > 0]
    who = ", ".join(name(d.arm) for d in ahead) or "No arm"
    verb = "are" if len(ahead) > 1 else "is"
    of_all = ""
    if len(rows) > 1 and any(d.among for d in rows):
        of_all = f" once all {len(rows)} arms are looked at together"
        beside = [name(d.arm) for d in rows if beats(d) and d not in ahead]
        alone, are = ", ".join(beside), "are" if len(beside) > 1 else "is"
        of_all += f" (looked at alone, {alone} {are})" if alone else ""
    return f"{who} {verb} ahead of {mark} by {MARGIN:g} or more{of_all}"


def entered(kept: Differences, d: Difference) -> str:
    """What must be said of an arm that entered when others had been scored."""
    return " (entered when others had been scored)" if d.arm in kept.later else ""


def trained(kept: Differences) -> list[Difference]:
    """The differences of trained arms, in the mean over classes."""
    return [d for d in kept.rows if d.klass == "mean" and split_arm(d.arm)[0] not in UNTRAINED]


def looked_at_once(rows: Sequence[Difference]) -> list[str]:
    """A sentence on the arms that are ahead, by the intervals that hold for all of `rows` at once:
    of many arms one is ahead by luck. None where no arm is ahead."""
    ahead = sorted((d for d in rows if beats(d) and d.among), key=lambda d: -d.value)
    if not ahead:
        return []
    told = ", ".join(f"{name(d.arm)} {signed(d.among)}" for d in ahead)
    left = [name(d.arm) for d in ahead if d.among[0] > 0]
    verb = "stays" if len(left) < 2 else "stay"
    return [f"By intervals that hold for all {len(rows)} arms at once ({told}) "
            f"{', '.join(left) or 'none'} {verb} ahead."]  # fmt: skip


def side(d: Difference) -> str:
    """Where an arm's interval lies, in words."""
    if d.interval[0] > 0:
        return "is above"
    return "is below" if d.interval[1] < 0 else "cannot be told from"


def less(folder: str | Path, losses: Sequence[str]) -> str:
    """Of a study the arms of some losses, each less the arm that all are set against, from best to
    worst: a sentence, and a line for each. Other merge scales and shuffled pairs are left out."""
    kept, folder = read_differences(folder), Path(folder)
    if kept is None:
        return f"{folder.parent.name}/{folder.name} holds no study: there is nothing to show."
    rows = [d for d in trained(kept) if split_arm(d.arm)[0] in losses and same_terms(d.arm)]
    metric = NAMES.get(kept.metric, kept.metric)
    lines = [f"{metric} on {kept.place}, less that of {name(kept.against)}, with paired 95 % "
             "intervals:"]  # fmt: skip
    lines += [f"  {d}  {name(d.arm)}, {d.seeds} seeds{entered(kept, d)}"
              for d in sorted(rows, key=lambda d: -d.value)]  # fmt: skip
    return "\n".join(lines)
