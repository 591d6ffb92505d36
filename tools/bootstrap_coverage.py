"""How often the intervals of `crossed_bootstrap` hold a known truth, by simulation.

    python tools/bootstrap_coverage.py    # results/bootstrap/

Two methods of no true difference on images in groups of four, over S seeds. What varies of
their difference: groups (a third of what images vary by), images, seeds, and seeds on single images
(as much as images). Its normal parts are scaled so that `share` of the variance of the mean
difference comes from the seeds. Coverage at 95 %, and at 1 - .05 / 7 as for the seven hypotheses of
the preregistration; the standard error of a coverage is that of a binomial share.
"""

import argparse
from pathlib import Path

import numpy as np

from freqkd_lite.evaluate.stats import crossed_bootstrap, multiplicities
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.results.text import table
from freqkd_lite.store import manifest

IMAGES, GROUP, DRAWS = 361, 4, 2000  # MSRS's, whose groups have four images mostly
SEEDS, SHARES = (3, 5), (0.1, 0.5, 0.9)
LEVELS = {"95 %": 0.05, "seven tests": 0.05 / 7}


def difference(
    draw: np.random.Generator, groups: np.ndarray, seeds: int, share: float
) -> np.ndarray:
    """The difference (seeds, images) of the two methods, of mean 0."""
    images, sizes = len(groups), np.bincount(groups)
    # The variance of the mean over images of each part, all seeds together.
    of_groups = np.square(sizes / images).sum() / 3
    of_images = 1 / images + 1 / (images * seeds)
    rest = of_groups + of_images
    wide = np.sqrt(seeds * rest * share / (1 - share))
    return (
        draw.normal(size=len(sizes))[groups] / np.sqrt(3)
        + draw.normal(size=images)
        + draw.normal(size=(seeds, images))
        + wide * draw.normal(size=(seeds, 1))
    )


def coverage(seeds: int, share: float, cases: int, seed: int = 0) -> dict[str, float]:
    """The share of simulated cases whose interval holds 0, by level."""
    draw, groups = np.random.default_rng(seed), np.arange(IMAGES) // GROUP
    hits = dict.fromkeys(LEVELS, 0)
    for case in range(cases):
        found = difference(draw, groups, seeds, share)
        times = multiplicities(len(groups), DRAWS, case, groups.tolist()).numpy()
        means = found @ times.T / times.sum(1)
        nothing = np.zeros(seeds), np.zeros_like(means)
        _, _, drawn = crossed_bootstrap((found.mean(1), means), nothing, seed=case + 1)
        for name, level in LEVELS.items():
            low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
            hits[name] += low <= 0 <= high
    return {name: count / cases for name, count in hits.items()}


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/bootstrap"))
    args = parser.parse_args(given)
    rows, lines = [], []
    for seeds in SEEDS:
        for share in SHARES:
            found = coverage(seeds, share, args.cases)
            design = f"{seeds} seeds, {share:.0%} of the variance"
            about = dict(
                claim="bootstrap", seed=None, data="simulated", split="361 images in groups of 4"
            )
            for name, value in found.items():
                own = dict(metric="coverage", method=design, klass=name, n=args.cases)
                rows.append(Row(value=value, **own, **about))
            lines.append((design, *(f"{value:.3f}" for value in found.values())))
    print(table(("seeds, and their share", *LEVELS), lines, "markdown"))
    command = f"python tools/bootstrap_coverage.py --cases {args.cases}"
    write_results(args.out, rows, manifest(command=command, metric="coverage"))


if __name__ == "__main__":
    main()
