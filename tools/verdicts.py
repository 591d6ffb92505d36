"""The verdicts of the preregistration, from the files of images of its parts.

    python tools/verdicts.py    # results/verdicts/

A page with a figure, and verdicts.csv. There a row a difference and kind of interval: the plain
95 % one, and (split "corrected") the one that its hypothesis is judged by. A row "verdict" a
hypothesis: 1 supported, -1 not supported, 0 undecided. Rows "shown" are differences that are shown
beside. Parts whose students are not all there are left out.

H6 has H1's and H2's figures on the other parts: label-free on FLIR's crops, and with all labels on
HIT-UAV and for the CNN, where there is no head of RGB. What it claims of each is the sign that the
figure's corrected interval has in part A; where one of those holds 0, H6 is undecided, whatever its
other figures say. Else one that has the other sign is enough for a verdict. `freqkd_paper` is a
method of HIT-UAV's students alone.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from freqkd_lite.evaluate.stats import crossed_bootstrap
from freqkd_lite.names import NAMES, join_method, method_name, own_settings, split_method
from freqkd_lite.results.paired import scored
from freqkd_lite.results.rows import Row, frame, means, read_manifest, read_results, whole
from freqkd_lite.results.text import number, table
from freqkd_lite.runner.report import markdown
from freqkd_lite.store import manifest, sha256_file, write_json
from freqkd_lite.viz.style import COLOURS, DARK_GREEN, VERMILION, name_rows, save_described, style

DRAWS = 10_000
LEVEL = 0.05
HYPOTHESES = 7
SMALLEST = 0.02  # the smallest difference of interest
SAID = {1: "supported", -1: "not supported", 0: "undecided"}
FREE, ALL = "label_free_probe_ap", "probe_ap"
METRIC = {
    "probe_ap_few": "probe AP with 10 labels",
    "label_free_map50": "label-free mAP50",
    "map50_few": "mAP50 with 10 labels",
}
BUDGETS = {"no labels": FREE, "10 labelled images": "probe_ap_few", "all labels": ALL}
MSE, NONE = "mse (lr=0.003)", "none"
CODE, PAPER = "freqkd_code (lr=0.003)", "freqkd_paper (lr=0.003)"
PROJECTOR = "mse (projector=True, lr=0.003)"
PARTS = ("msrs_cv", "flir", "hituav", "cnn")
COLOUR = {1: DARK_GREEN, -1: VERMILION, 0: COLOURS["none"]}
PAGE = """# Results: verdicts

The hypotheses of the [preregistration](../preregistration.md) that can be judged so far, by
`python tools/verdicts.py`, from the files of images of {parts}.{missing} Verdicts are about these
stand-ins, never about the paper's own data sets. H6 is undecided, by its rule, where one of part
A's intervals holds 0, whatever its other figures say. Deviations from the plan stand at its end.
*Corrected* intervals judge: they hold for seven hypotheses together, .05 / 7, shared where one
difference of several is enough. *Label-free*: by a head that was fitted on RGB alone. Where seeds
make most of the variance, intervals over three of them are too narrow, those over five a little:
[simulated](../bootstrap/README.md).

![{alt}](figure.png)

{verdicts}

{differences}
{budgets}
## Shown, not tested

Plain 95 % intervals.

{shown}
"""
BUDGETS_PART = """
## By the number of labels

All methods of [part A](../msrs_cv/README.md) beside plain MSE, by the infrared labels that the head
was fitted on. Not tested, except where the table above says so.

![{alt}](budgets.png)
"""


@dataclass(frozen=True)
class Difference:
    """`method` minus `reference` in a metric of a part; `sign` of what is claimed."""

    part: str
    metric: str
    method: str
    reference: str
    sign: int = 1


@dataclass(frozen=True)
class Hypothesis:
    """`every`: all differences must be as claimed, else one is enough and each has its share of the
    level. `undecided`: by its rule, whatever the differences."""

    name: str
    differences: tuple[Difference, ...]
    every: bool = True
    undecided: bool = False

    @property
    def level(self) -> float:
        return LEVEL / HYPOTHESES / (1 if self.every else len(self.differences))


def msrs(metric: str, method: str, reference: str, sign: int = 1) -> Difference:
    return Difference("msrs_cv", metric, method, reference, sign)


def flir(method: str, sign: int, reference: str = NONE) -> Difference:
    return Difference("flir", "label_free_balanced_accuracy", method, reference, sign)


PLANNED = (
    Hypothesis("H1", (msrs(FREE, MSE, NONE),)),
    Hypothesis("H2", (msrs(FREE, CODE, MSE), msrs(FREE, PAPER, MSE)), every=False),
    Hypothesis("H3", (msrs(FREE, "signed (lr=0.003)", "low_only (lr=0.001)"),)),
    Hypothesis(
        "H4",
        tuple(
            msrs(metric, method, MSE, sign)
            for method in ("gram (lr=0.001)", PROJECTOR)
            for metric, sign in ((ALL, 1), (FREE, -1))
        ),
    ),
    Hypothesis("H7", (flir("mse (on=flir)", -1), flir("mse (mean=matched, on=flir)", 1))),
)

CARRIED = {
    msrs(FREE, MSE, NONE): (
        flir("mse (on=flir)", 1),
        Difference("hituav", ALL, MSE, NONE),
        Difference("cnn", ALL, MSE, NONE),
    ),
    msrs(FREE, CODE, MSE): (
        flir("freqkd_code (on=flir)", 1, "mse (on=flir)"),
        Difference("hituav", ALL, CODE, MSE),
        Difference("cnn", ALL, CODE, MSE),
    ),
    msrs(FREE, PAPER, MSE): (Difference("hituav", ALL, PAPER, MSE),),
}
"""Of H6: figures of part A, and the same ones on other parts."""
SHOWN = {
    "msrs_cv": ((MSE, NONE), (CODE, NONE), (PAPER, NONE), (CODE, MSE)),
    "cnn": ((MSE, NONE), (CODE, NONE), (CODE, MSE)),
    "hituav": ((MSE, NONE), (CODE, NONE), (PAPER, NONE), (CODE, MSE)),
    "flir": tuple(
        (f"{method}on={on})", NONE)
        for on in ("flir", "msrs")
        for method in ("mse (", "mse (mean=matched, ", "freqkd_code (")
    ),
}
"""Of each part the differences that its page and the notebooks show beside the tested ones."""
METRICS = {
    **dict.fromkeys(
        ("msrs_cv", "cnn", "hituav"),
        (*BUDGETS.values(), "label_free_map50", "map50_few", "map50"),
    ),
    "flir": ("label_free_balanced_accuracy",),
}
ORDER = Difference("msrs_cv", "kendall_tau", "order", "")  # H5's figure, which is no difference

Draws = dict[str, dict[int | None, np.ndarray]]
"""Of each method and seed the figure on all images, then on resampled ones: (1 + DRAWS,)."""


def drawn(folder: Path, metric: str) -> Draws:
    """The figures of a part, from its files of images."""
    found = scored(whole(frame(read_results(folder)), metric), folder, DRAWS)
    return {
        method: {
            seed: np.append(of.estimates["mean"], of.draws["mean"]) for seed, of in own.items()
        }
        for method, own in found.items()
    }


def paired(one: dict, other: dict) -> tuple[float, np.ndarray]:
    """The difference of two methods over their seeds, and its draws; an untrained one stands beside
    every seed."""
    seeds = sorted((one.keys() | other.keys()) - {None})
    sides = [[own.get(seed, own.get(None)) for seed in seeds] for own in (one, other)]
    both = [([v[0] for v in side], [v[1:] for v in side]) for side in sides]
    value, _, draws = crossed_bootstrap(*both)
    return value, draws


def interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [level / 2, 1 - level / 2])
    return float(low), float(high)


def judge(low: float, high: float, sign: int) -> int:
    """1 where the interval lies on the side that is claimed, -1 where it lies on the other one, or
    ends below the smallest gain of interest; else 0."""
    side = int(low > 0) - int(high < 0)
    return -1 if sign > 0 and not side and high < SMALLEST else side * sign


def whole_verdict(each: Sequence[int], every: bool) -> int:
    """Of a hypothesis from those of its differences."""
    if every:
        return min(each) if -1 in each else int(all(v == 1 for v in each))
    return 1 if 1 in each else (-1 if all(v == -1 for v in each) else 0)


def order_kept(free: Draws, own: Draws, seed: int = 0) -> tuple[float, np.ndarray]:
    """Kendall's tau of the trained methods' means in two metrics, and its draws over images and
    seeds (H5)."""
    methods = [m for m in free if m != NONE]
    seeds = sorted(free[methods[0]])
    sides = [np.stack([[of[m][s] for s in seeds] for m in methods]) for of in (free, own)]
    count = sides[0].shape[2] - 1
    chosen = np.random.default_rng(seed).integers(0, len(seeds), (max(1, len(seeds) - 1), count))
    means = [side[:, chosen, 1 + np.arange(count)].mean(1) for side in sides]
    value = kendalltau(*(side[:, :, 0].mean(1) for side in sides)).statistic
    draws = np.array(
        [kendalltau(a, b).statistic for a, b in zip(*(m.T for m in means), strict=True)]
    )
    return float(value), draws


def carried_over(of: Callable[[str, str], Draws], parts: Sequence[str] = PARTS) -> Hypothesis:
    """H6 on these parts, with the signs of part A; 0 where its interval has none."""
    level = {figure: h.level for h in PLANNED for figure in h.differences}
    found, signs = [], []
    for figure, others in CARRIED.items():
        draws = of(figure.part, figure.metric)
        _, values = paired(draws[figure.method], draws[figure.reference])
        low, high = interval(values, level[figure])
        signs.append(int(low > 0) - int(high < 0))
        found += [replace(other, sign=signs[-1]) for other in others if other.part in parts]
    return Hypothesis("H6", tuple(found), undecided=0 in signs)


def stands(h6: Hypothesis, verdict: int, complete: bool) -> bool:
    """Whether the verdict on H6 holds whatever the parts that are still to run say."""
    return complete or h6.undecided or verdict == -1


@dataclass(frozen=True)
class Judged:
    """A figure of a hypothesis with both intervals, and what the corrected one says of it."""

    hypothesis: str
    of: Difference
    value: float
    plain: tuple[float, float]
    corrected: tuple[float, float]
    said: int


def judged(
    planned: Sequence[Hypothesis], of: Callable[[str, str], Draws]
) -> tuple[list[Judged], dict[str, int]]:
    """All differences, and the verdict on each hypothesis."""
    found, verdict = [], {}
    for hypothesis in planned:
        level, said = hypothesis.level, []
        for d in hypothesis.differences:
            draws = of(d.part, d.metric)
            value, values = paired(draws[d.method], draws[d.reference])
            plain, corrected = interval(values, LEVEL), interval(values, level)
            said.append(judge(*corrected, d.sign) if d.sign else 0)
            found.append(Judged(hypothesis.name, d, value, plain, corrected, said[-1]))
        whole = 0 if hypothesis.undecided else whole_verdict(said, hypothesis.every)
        verdict[hypothesis.name] = whole
    return found, verdict


def order(of: Callable[[str, str], Draws]) -> Judged:
    """H5: Kendall's tau between label-free and all labels."""
    value, draws = order_kept(of("msrs_cv", FREE), of("msrs_cv", ALL))
    plain, corrected = interval(draws, LEVEL), interval(draws, LEVEL / HYPOTHESES)
    said = int(corrected[0] > 0) - int(corrected[1] < 0)
    return Judged("H5", ORDER, value, plain, corrected, said)


def beside(part: str, of: Callable[[str, str], Draws]) -> list[Judged]:
    """The differences of a part that are shown, with plain intervals."""
    found = []
    for metric in METRICS[part]:
        draws = of(part, metric)
        for method, reference in SHOWN[part]:
            if draws.keys() >= {method, reference}:
                value, values = paired(draws[method], draws[reference])
                span = interval(values, LEVEL)
                about = Difference(part, metric, method, reference, 0)
                found.append(Judged("shown", about, value, span, span, 0))
    return found


def rows_of(found: Sequence[Judged], verdict: dict[str, int]) -> list[Row]:
    rows = []
    for j in found:
        method = " minus ".join(filter(None, (j.of.method, j.of.reference)))
        about = dict(claim="preregistered", method=method, seed=None)
        about |= dict(data=j.of.part, metric=j.of.metric)
        both = {"test": j.plain} | ({} if j.hypothesis == "shown" else {"corrected": j.corrected})
        for split, span in both.items():
            row = Row(split=split, klass=j.hypothesis, value=j.value, interval=span, **about)
            rows.append(row)
    about = dict(claim="preregistered", seed=None, data="study", split="test", metric="verdict")
    return rows + [Row(klass=k, method=SAID[v], value=v, **about) for k, v in verdict.items()]


def short(method: str) -> str:
    """A method's name for people, without its rate."""
    own = {k: v for k, v in own_settings(method).items() if k != "lr"}
    return method_name(join_method(split_method(method)[0], own))


def named(j: Judged, end: str = ", ") -> str:
    """A difference for people: "FreqKD (code) minus MSE, probe AP (msrs_cv)"."""
    sides = map(short, filter(None, (j.of.method, j.of.reference)))
    metric = METRIC.get(j.of.metric) or NAMES.get(j.of.metric, j.of.metric.replace("_", " "))
    return f"{' minus '.join(sides)}{end}{metric} ({j.of.part})"


def linked(part: str) -> str:
    return f"[{part}](../{part}/README.md)"


def draw(found: Sequence[Judged]) -> tuple[Figure, str]:
    """A row a difference: thick its 95 % interval, thin the corrected one that judges it, and a
    triangle on the side that is claimed. With a description."""
    style()
    drawn, ax = plt.subplots(figsize=(9.5, 1.4 + 0.5 * len(found)))
    ax.axvline(0, color=COLOURS["floor"], lw=1.2)
    ax.axvline(SMALLEST, color=COLOURS["floor"], lw=1.2, ls=":")
    for y, j in enumerate(found):
        ax.hlines(y, *j.corrected, color=COLOUR[j.said], lw=1)
        ax.hlines(y, *j.plain, color=COLOUR[j.said], lw=4)
        ax.plot(j.value, y, "o", color=COLOUR[j.said], ms=8)
        if j.of.sign:
            ax.plot(0, y - 0.32, ">" if j.of.sign > 0 else "<", color="black", ms=6)
    name_rows(ax, [f"{j.hypothesis}  {named(j, chr(10))}" for j in found])
    for said, colour in COLOUR.items():
        ax.plot([], [], "o-", color=colour, label=SAID[said])
    drawn.legend(loc="outside lower center", ncols=3)
    ax.set(xlabel=f"difference; dotted: {SMALLEST:g}", title="Triangle: the side that is claimed")
    lines = (f"{j.hypothesis} {named(j)} {number(j.value, j.corrected, 3, True)}" for j in found)
    return drawn, f"Differences with corrected intervals. {'; '.join(lines)}."


def budgets(of: Callable[[str, str], Draws]) -> tuple[Figure, str]:
    """Part A's methods minus MSE with 95 % intervals, a panel each of `BUDGETS`; with a
    description."""
    style()
    drawn, axes = plt.subplots(1, len(BUDGETS), figsize=(9.5, 4.8), sharex=True, sharey=True)
    lines = []
    for ax, (budget, metric) in zip(axes, BUDGETS.items(), strict=True):
        draws = of("msrs_cv", metric)
        methods = [method for method in draws if method != MSE]
        ax.axvline(0, color=COLOURS["floor"], lw=1.2)
        for y, method in enumerate(methods):
            value, values = paired(draws[method], draws[MSE])
            span = interval(values, LEVEL)
            colour = COLOURS.get(split_method(method)[0], COLOURS["guess"])
            ax.hlines(y, *span, color=colour, lw=4)
            ax.plot(value, y, "o", color=colour, ms=8)
            lines.append(f"{short(method)}, {budget} {number(value, span, 3, True)}")
        ax.set_title(budget)
    name_rows(axes[0], [short(method) for method in methods])
    axes[1].set_xlabel("mean AP minus that of MSE")
    return drawn, f"Differences to MSE with 95 % intervals. {'; '.join(lines)}."


def write(
    folder: Path,
    found: Sequence[Judged],
    also: Sequence[Judged],
    verdict: dict[str, int],
    made: dict,
    part: str = "",
) -> str:
    """The page with `part` and what is shown `also`, its figure, verdicts.csv and a manifest;
    returns the table of differences."""
    folder.mkdir(parents=True, exist_ok=True)
    means(rows_of([*found, *also], verdict)).to_csv(folder / "verdicts.csv", index=False)
    write_json(folder / "manifest.json", made)
    drawn, alt = draw([j for j in found if j.of != ORDER])  # tau has another unit
    save_described(drawn, alt, folder / "figure.png")
    head = ("hypothesis", "difference", "95 % interval", "corrected", "claimed", "verdict")
    claimed = {1: "> 0", -1: "< 0", 0: "none"}
    lines = [
        (
            *(j.hypothesis, named(j)),
            *(number(j.value, span, 3, True) for span in (j.plain, j.corrected)),
            *(claimed[j.of.sign], SAID[j.said]),
        )
        for j in found
    ]
    rest = [part for part in PARTS if part not in made["data"]]
    missing = [f"H{k}" for k in range(1, HYPOTHESES + 1) if f"H{k}" not in verdict]
    texts = [f"Still to run: {', '.join(map(linked, rest))}."] if rest else []
    texts += [f"Not judged yet: {', '.join(missing)}."] if missing else []
    beside = ((j.of.part, *named(j).rsplit(" (", 1)[0].split(", "), j) for j in also)
    page = PAGE.format(
        alt=markdown(alt),
        parts=", ".join(map(linked, made["data"])),
        verdicts=table(
            ("hypothesis", "verdict"), [(k, SAID[v]) for k, v in verdict.items()], "markdown"
        ),
        differences=table(head, lines, "markdown"),
        missing="".join(f" {text}" for text in texts),
        budgets=part,
        shown=table(
            ("part", "difference", "metric", "95 % interval"),
            [(*words, number(j.value, j.plain, 3, True)) for *words, j in beside],
            "markdown",
        ),
    )
    (folder / "README.md").write_text(page)
    return table(head, lines)


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args(given)
    there = [p for p in PARTS if (args.results / p / "results.json").is_file()]
    whole_parts = [p for p in there if not read_manifest(args.results / p).get("unfinished")]
    for part in (p for p in PARTS if p not in whole_parts):
        print(f"{part}: not all students are there, so there is no verdict from it.")
    planned = [h for h in PLANNED if all(d.part in whole_parts for d in h.differences)]
    of = cache(lambda part, metric: drawn(args.results / part, metric))
    found, verdict = judged(planned, of)
    if "msrs_cv" in whole_parts:
        h6 = carried_over(of, whole_parts)
        more, said = judged([h6], of)
        if stands(h6, said["H6"], len(whole_parts) == len(PARTS)):
            found, verdict = found + more, verdict | said
    out, part = args.results / "verdicts", ""
    if "msrs_cv" in whole_parts:
        found.append(order(of))
        verdict["H5"] = found[-1].said
        verdict = {k: verdict[k] for k in sorted(verdict)}
        drawn_by_budget, alt = budgets(of)
        out.mkdir(exist_ok=True)
        save_described(drawn_by_budget, alt, out / "budgets.png")
        part = BUDGETS_PART.format(alt=markdown(alt))
    if not found:
        return
    found.sort(key=lambda j: j.hypothesis)
    also = [j for p in whole_parts for j in beside(p, of)]
    sums = {p: sha256_file(args.results / p / "results.json") for p in whole_parts}
    protocol = sha256_file(args.results / "preregistration.md")
    made = manifest(command="python tools/verdicts.py", data=sums, protocol=protocol)
    print(write(out, found, also, verdict, made, part))


if __name__ == "__main__":
    main()
