"""A step whose teacher is cached or computed, relative to the student's part alone."""

import os
import statistics
import tempfile
from unittest import mock

from benchmarks.common import VIT_S, Step, by_turns, finish, parser, ratio
from freqkd_lite.distil import CachedTeacher

BAR = 1.08


def measure(step: Step, rounds: int) -> list[list]:
    """A row [teacher, ms, times the student's part] for each way to get the teacher's maps."""
    cached = CachedTeacher(step.settings.teacher, "random", step.settings.blocks)
    cached.device = step.teacher.device
    loss = step.loss("mse")
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, {"FREQKD_CACHE": folder}),
    ):
        cached.use_cache(step.visible[0], len(step.visible), 1e12)
        stored = [m.to(step.settings.device) for m in cached(step.visible)]

        def read() -> list:
            return [m.to(step.settings.device) for m in cached(step.visible)]

        seconds = by_turns(
            {
                "in memory": step.take(loss, lambda: stored),
                "cached": step.take(loss, read),
                "computed": step.take(loss),
            },
            rounds,
        )
    student = seconds["in memory"]
    return [
        [name, f"{1e3 * statistics.median(found):.0f}", f"{ratio(found, student):.3f}"]
        for name, found in seconds.items()
    ]


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--model", default=VIT_S)
    given = options.parse_args()
    rows = measure(Step(given.model, (140, 168), 8, (3, 7, 9, 11), given.device), given.rounds)
    about = f"{given.model}, 8 pictures of 140x168 pixels. The bar for a cached teacher is {BAR}."
    finish(given, "A step by teacher", about, ["teacher", "ms", "times the student's"], rows)


if __name__ == "__main__":
    main()
