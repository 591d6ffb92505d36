"""Time of a whole step on one picture against its tokens."""

import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.common import Step, by_turns, finish, parser, patch_of
from freqkd_lite.features import TINY

GRIDS = ((16, 16), (24, 30), (32, 40), (37, 46), (48, 60), (64, 80))


def measure(grids: Sequence[tuple[int, int]], rounds: int, device: str = "cpu") -> list[list]:
    """A row [grid, tokens, ms, pictures a second] for each grid of tokens."""
    rows, patch = [], patch_of(TINY)
    for h, w in grids:
        step = Step(TINY, (h * patch, w * patch), 1, (1, 3, 5, 7), device)
        seconds = statistics.median(by_turns({"": step.take(step.loss("mse"))}, rounds)[""])
        rows.append([f"{h}x{w}", h * w, f"{1e3 * seconds:.1f}", f"{1 / seconds:.1f}"])
    return rows


def exponent(tokens: Sequence[float], seconds: Sequence[float]) -> float:
    """Time goes as tokens to this power: the slope of the line through the logarithms."""
    return float(np.polyfit(np.log(tokens), np.log(seconds), 1)[0])


def main() -> None:
    given = parser(__doc__, rounds=3).parse_args()
    rows = measure(GRIDS, given.rounds, given.device)
    power = exponent([row[1] for row in rows], [float(row[2]) for row in rows])
    about = f"{TINY}, MSE. Time grows as tokens to the power of {power:.2f}."
    finish(given, "A step by tokens", about, ["grid", "tokens", "ms", "pictures a second"], rows)


if __name__ == "__main__":
    main()
