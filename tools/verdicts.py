"""The verdicts of the preregistration, from the files of images of its parts.

    python tools/verdicts.py    # results/verdicts/

A row a difference and kind of interval: the plain 95 % one, and (split "corrected") the one that
its hypothesis is judged by. A row "verdict" a hypothesis: 1 supported, -1 not supported, 0
undecided. Parts whose students are not all there are left out.

H6 has H1's and H2's figures on the other parts: label-free on FLIR's crops, and with all labels on
HIT-UAV and for the CNN, where there is no head of RGB. What it claims of each is the sign that the
figure's corrected interval has in part A; where that holds 0 there is no sign to carry over, and
the figure is undecided. `freqkd_paper` is a method of HIT-UAV's students alone.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from freqkd_lite.evaluate.stats import crossed_bootstrap
from freqkd_lite.results.paired import scored
from freqkd_lite.results.rows import Row, frame, read_manifest, read_results, whole, write_results
from freqkd_lite.results.text import number, table
from freqkd_lite.store import manifest, sha256_file

DRAWS = 10_000
LEVEL = 0.05
HYPOTHESES = 7
SMALLEST = 0.02  # the smallest difference of interest
SAID = {1: "supported", -1: "not supported", 0: "undecided"}
FREE, ALL = "label_free_probe_ap", "probe_ap"
MSE, NONE = "mse (lr=0.003)", "none"
CODE, PAPER = "freqkd_code (lr=0.003)", "freqkd_paper (lr=0.003)"
PROJECTOR = "mse (projector=True, lr=0.003)"
PARTS = ("msrs_cv", "flir", "hituav", "cnn")


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
    level."""

    name: str
    differences: tuple[Difference, ...]
    every: bool = True


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


def carried_over(of: Callable[[str, str], Draws]) -> Hypothesis:
    """H6, with the signs of part A; 0 where its interval has none."""
    found = []
    for figure, others in CARRIED.items():
        draws = of(figure.part, figure.metric)
        _, values = paired(draws[figure.method], draws[figure.reference])
        low, high = interval(values, LEVEL / HYPOTHESES)
        found += [replace(other, sign=int(low > 0) - int(high < 0)) for other in others]
    return Hypothesis("H6", tuple(found))


def verdicts(
    planned: Sequence[Hypothesis], of: Callable[[str, str], Draws]
) -> tuple[list[Row], list[tuple[str, ...]]]:
    """Rows, and lines of the table: hypothesis, difference, both intervals, verdict."""
    rows, lines = [], []
    for hypothesis in planned:
        share = 1 if hypothesis.every else len(hypothesis.differences)
        level, said = LEVEL / HYPOTHESES / share, []
        for d in hypothesis.differences:
            draws = of(d.part, d.metric)
            value, drawn_values = paired(draws[d.method], draws[d.reference])
            plain, corrected = interval(drawn_values, LEVEL), interval(drawn_values, level)
            said.append(judge(*corrected, d.sign) if d.sign else 0)
            about = dict(claim="preregistered", method=f"{d.method} minus {d.reference}")
            about |= dict(seed=None, data=d.part, metric=d.metric, klass=hypothesis.name)
            rows.append(Row(value=value, interval=plain, split="test", **about))
            rows.append(Row(value=value, interval=corrected, split="corrected", **about))
            texts = (number(value, span, 3, True) for span in (plain, corrected))
            lines.append((hypothesis.name, about["method"], d.metric, *texts, SAID[said[-1]]))
        rows.append(verdict_row(hypothesis.name, whole_verdict(said, hypothesis.every)))
    return rows, lines


def verdict_row(name: str, said: int) -> Row:
    about = dict(claim="preregistered", method=SAID[said], seed=None, data="study", split="test")
    return Row(metric="verdict", klass=name, value=said, **about)


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
    if len(whole_parts) == len(PARTS):
        planned.append(carried_over(of))
    rows, lines = verdicts(planned, of)
    if "msrs_cv" in whole_parts:
        value, draws = order_kept(of("msrs_cv", FREE), of("msrs_cv", ALL))
        plain, corrected = interval(draws, LEVEL), interval(draws, LEVEL / HYPOTHESES)
        about = dict(claim="preregistered", method="order", seed=None, data="msrs_cv", klass="H5")
        rows.append(Row(metric="kendall_tau", value=value, interval=plain, split="test", **about))
        rows.append(
            Row(metric="kendall_tau", value=value, interval=corrected, split="corrected", **about)
        )
        rows.append(verdict_row("H5", int(corrected[0] > 0) - int(corrected[1] < 0)))
    head = ("hypothesis", "difference", "measure", "95 % interval", "corrected", "verdict")
    print(table(head, lines, "markdown"))
    sums = {p: sha256_file(args.results / p / "results.json") for p in whole_parts}
    protocol = sha256_file(args.results / "preregistration.md")
    made = manifest(
        command="python tools/verdicts.py", data=sums, protocol=protocol, metric="verdict"
    )
    write_results(args.results / "verdicts", rows, made)


if __name__ == "__main__":
    main()
