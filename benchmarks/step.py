"""A whole step of training with each loss, relative to one with MSE.

By default a step of the study in results/distillation, with random weights. The rest of a step is
the same work for all losses, so the ratio is 1 + (a loss - MSE) / a step with MSE, the losses timed
by themselves on the step's maps: whole steps differ more by chance. With --whole they are timed
too. The bar is 1.05.
"""

import statistics
from collections.abc import Sequence

from benchmarks.common import VIT_S, Step, by_turns, finish, parser, ratio
from freqkd_lite.losses import LOSSES

BAR = 1.05


def measure(step: Step, names: Sequence[str], rounds: int, whole: Sequence[str] = ()) -> list[list]:
    """A row [loss, ms of the loss, step's ratio, whole steps' ratio or ""] for each loss."""
    losses = {name: step.loss(name) for name in dict.fromkeys(["mse", *names])}
    alone = by_turns({name: step.alone(loss) for name, loss in losses.items()}, rounds)
    steps = by_turns({n: step.take(losses[n]) for n in ["mse", *whole]}, rounds)
    base = statistics.median(steps["mse"])
    rows = []
    for name, seconds in alone.items():
        more = statistics.median(a - b for a, b in zip(seconds, alone["mse"], strict=True))
        found = f"{ratio(steps[name], steps['mse']):.3f}" if name in steps else ""
        milliseconds = 1e3 * statistics.median(seconds)
        rows.append([name, f"{milliseconds:.1f}", f"{1 + more / base:.3f}", found])
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--losses", nargs="*", default=sorted(LOSSES), metavar="NAME")
    options.add_argument("--whole", nargs="*", default=[], metavar="NAME")
    options.add_argument("--model", default=VIT_S)
    options.add_argument("--size", nargs=2, type=int, default=(140, 168), metavar=("H", "W"))
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--blocks", nargs="*", type=int, default=(3, 7, 9, 11))
    given = options.parse_args()
    step = Step(given.model, tuple(given.size), given.batch, given.blocks, given.device)
    rows = measure(step, given.losses, given.rounds, given.whole)
    over = [row[0] for row in rows if float(row[2]) > BAR]
    about = (
        f"{given.model}, {given.batch} pictures of {given.size[0]}x{given.size[1]} pixels, "
        f"{given.rounds} rounds. Above the bar of {BAR}: {', '.join(over) or 'none'}."
    )
    head = ["loss", "loss alone, ms", "step, times MSE's", "whole steps, times MSE's"]
    title = f"A step of training by loss, {given.model.partition('_patch')[0]}"
    finish(given, title, about, head, rows)


if __name__ == "__main__":
    main()
