"""Faults in the files of a data set: raised at once, repaired and listed, or collected."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from freqkd_lite.errors import UserError, plain


class Problem(NamedTuple):
    """One fault: its kind ("missing counterpart"), the file, and a sentence with the remedy."""

    kind: str
    file: Path
    sentence: str


class Ledger:
    """Where readers report. Strict by default: the first fault is raised as `UserError`. `collect`
    gathers all of them in `problems` instead. `repair` repairs what can be repaired (a box that
    sticks out); each repair is a line of `repairs`, with files named from an absolute `root`."""

    def __init__(self, collect: bool = False, repair: bool = False):
        self.collect, self.repair = collect, repair
        self.problems: list[Problem] = []
        self.repairs: list[str] = []
        self.root = Path()  # reports are shown to others: they tell nothing of what lies above it

    def fault(self, kind: str, file: Path, sentence: str) -> None:
        with self.watch(kind, file):
            raise UserError(sentence)

    def repaired(self, sentence: str) -> None:
        above = f"{self.root}/" if self.root.is_absolute() else ""
        self.repairs.append(plain(sentence.replace(above, "")))

    def repairable(
        self, kind: str, file: Path, wrong: str, remedy: str, done: str = "left out"
    ) -> None:
        """A fault that can be repaired: what is `wrong`, and what is `done` in a repair."""
        if self.repair:
            self.repaired(f"{wrong}: {done}")
        else:
            self.fault(kind, file, f"{wrong}: {remedy}, or set repair=True ({done}).")

    @contextmanager
    def watch(self, kind: str, file: Path) -> Iterator[None]:
        """A `UserError` raised inside becomes a fault, and what is left of the block is skipped."""
        try:
            yield
        except UserError as error:
            if not self.collect:
                raise
            self.problems.append(Problem(kind, Path(file), str(error)))
