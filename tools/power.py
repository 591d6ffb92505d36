"""What differences the paired bootstrap can see, from the files of images in results/.

    python tools/power.py    # results/power/

For each method beside MSE: the variance of the difference of mean AP over images (groups of them
are resampled, the mean over seeds is taken first) and over seeds. With N images and S seeds the
standard error of a difference is sqrt(V_images n / N + V_seed / S), n being the number of images at
hand; its power against a difference d is that of a normal test of d at 5 %, or at 5 % / 7 for seven
hypotheses at once (Bonferroni, so a little too low for Holm).
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import norm

from freqkd_lite.results.paired import scored
from freqkd_lite.results.rows import Row, frame, is_trained, read_results, whole, write_results
from freqkd_lite.results.text import table
from freqkd_lite.store import manifest, sha256_file

SOURCES = {  # folder, metric, reference
    "distillation": ("probe_ap", "mse (lr=0.003)"),
    "msrs": ("label_free_probe_ap", "mse"),
}
DESIGNS = {"86 images, 3 seeds": (86, 3), "93 images, 5 seeds": (93, 5)}
DESIGNS |= {"361 images, 3 seeds": (361, 3), "361 images, 5 seeds": (361, 5)}
SMALLEST = 0.02  # of interest, in AP
LEVELS = {"one test": 0.05, "seven tests": 0.05 / 7}


def components(a: dict[int, object], b: dict[int, object]) -> tuple[float, float, int] | None:
    """(variance over images of the mean over seeds, variance over seeds, images) of a - b; None for
    fewer than three shared seeds."""
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < 3:
        return None
    drawn = np.mean([a[s].draws["mean"] - b[s].draws["mean"] for s in seeds], axis=0)
    values = [a[s].estimates["mean"] - b[s].estimates["mean"] for s in seeds]
    return float(np.nanvar(drawn, ddof=1)), float(np.var(values, ddof=1)), len(a[seeds[0]].truth)


def standard_error(parts: tuple[float, float, int], images: int, seeds: int) -> float:
    """Of a difference in a design with these numbers of images and seeds."""
    over_images, over_seeds, n = parts
    return float(np.sqrt(over_images * n / images + over_seeds / seeds))


def power(error: float, difference: float, level: float) -> float:
    """Of a two-sided normal test."""
    bar, shift = norm.isf(level / 2), difference / error
    return float(norm.sf(bar - shift) + norm.cdf(-bar - shift))


def detectable(error: float, level: float, wanted: float = 0.8) -> float:
    """The difference that a two-sided normal test sees with the power `wanted`."""
    return float(error * (norm.isf(level / 2) + norm.isf(1 - wanted)))


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args(given)
    rows, lines = [], []
    for name, (metric, reference) in SOURCES.items():
        measured = whole(frame(read_results(args.results / name)), metric)
        of = scored(measured[measured["method"].map(is_trained)], args.results / name)
        parts = {m: components(own, of[reference]) for m, own in of.items() if m != reference}
        parts = {method: found for method, found in parts.items() if found}
        about = dict(claim="power", seed=None, data=name)
        for method, found in parts.items():
            error = standard_error(found, found[2], 3)
            own = about | {"method": method, "split": "as measured, 3 seeds", "n": found[2]}
            rows.append(Row(metric="standard_error", value=error, **own))
        for design, (images, seeds) in DESIGNS.items():
            errors = [standard_error(found, images, seeds) for found in parts.values()]
            error = float(np.median(errors))  # of a typical comparison
            own = about | {"method": f"{metric} minus MSE", "split": design, "n": images}
            rows.append(Row(metric="standard_error", value=error, **own))
            cells = []
            for test, level in LEVELS.items():
                seen, least = power(error, SMALLEST, level), detectable(error, level)
                rows.append(Row(metric=f"power_at_{SMALLEST}", klass=test, value=seen, **own))
                rows.append(Row(metric="detectable_difference", klass=test, value=least, **own))
                cells += [f"{seen:.2f}", f"{least:.3f}"]
            lines.append((metric, design, f"{error:.4f}", *cells))
    head = [f"{what}, {test}" for test in LEVELS for what in ("power at .02", "seen with 80 %")]
    print(table(("measure", "design", "standard error", *head), lines, "markdown"))
    sums = {n: sha256_file(args.results / n / "results.json") for n in SOURCES}
    made = manifest(command="python tools/power.py", data=sums, metric=f"power_at_{SMALLEST}")
    write_results(args.results / "power", rows, made)


if __name__ == "__main__":
    main()
