"""A learner's function, called with care, and what is made of it: `check`, `progress`, `judge_all`.

Nothing that it does ends in a traceback of ours: what is wrong is one or two sentences.
"""

from __future__ import annotations

import json
import linecache
import math
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import nbformat
import torch
from IPython.core.inputtransformer2 import TransformerManager
from torch import Tensor

from freqkd_lite.errors import UserError, check_known
from freqkd_lite.results.text import table

LIMIT = 60  # seconds that an attempt may take
HERE = Path(__file__).parent
FINITE = "Some of what it returns is not finite (nan or inf)."


class Wrong(Exception):
    """What a function does wrong, as its writer is told."""


class Open(Exception):
    """Nothing is written yet."""


@dataclass(frozen=True)
class Exercise:
    """`call` is the function with its parameters, `difficulty` 1 to 3."""

    notebook: str
    call: str
    minutes: int
    difficulty: int
    checker: Callable[[Attempt], None]


@dataclass(frozen=True)
class Verdict:
    """`state` is "solved", "wrong" or "open"."""

    exercise: str
    notebook: str
    minutes: int
    difficulty: int
    state: str
    message: str


EXERCISES: dict[str, Exercise] = {}
_told: dict[str, Verdict] = {}


def exercise(notebook: str, call: str, minutes: int, difficulty: int) -> Callable:
    """Decorator: the checker of the exercise that one calls like `call`."""

    def add(checker: Callable[[Attempt], None]) -> Callable[[Attempt], None]:
        name = call.partition("(")[0]
        EXERCISES[name] = Exercise(notebook, call, minutes, difficulty, checker)
        return checker

    return add


def expect(holds: object, message: str) -> None:
    """Raise `Wrong` with the message where something does not hold."""
    if not holds:
        raise Wrong(message)


class Attempt:
    """A learner's function; what it does to its arguments and what it returns is looked at."""

    def __init__(self, function: Callable, call: str):
        self.function, self.call = function, call

    def _once(self, given: tuple) -> object:
        try:
            with redirect_stdout(StringIO()):
                return self.function(*given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # exit() among them
            raise Wrong(blame(error, self.function, self.call)) from None

    def __call__(self, *given: object) -> object:
        """What it returns, found to be the same in two calls."""
        before = [x.detach().clone() if isinstance(x, Tensor) else x for x in given]
        first, again = self._once(given), self._once(given)
        for old, new in zip(before, given, strict=True):
            same = not isinstance(old, Tensor) or torch.equal(old, new)
            expect(same, "It changes what it is given, which whoever called it may still need.")
        tensors = isinstance(first, Tensor) and isinstance(again, Tensor)
        same = first.equal(again) if tensors else repr(first) == repr(again)
        finite = not tensors or bool(first.isfinite().all())
        expect(same or not finite, "Called twice with the same, it returns two different things.")
        return first

    def tensor(self, shape: tuple[int, ...], *given: object) -> Tensor:
        """What it returns, float64, which must be a real and finite tensor of this shape."""
        found = self(*given)
        if found is None:
            raise Open("It returns nothing yet.")
        if shape == () and isinstance(found, (int, float)):
            found = torch.tensor(float(found))
        if not isinstance(found, Tensor):
            asked = "a tensor" if shape else "one number"
            raise Wrong(f"It returns a {type(found).__name__}, where {asked} is asked for.")
        if found.shape != shape:
            shapes = " and ".join(str(tuple(x.shape)) for x in given if isinstance(x, Tensor))
            given_that = f"Given {shapes}, it" if shapes else f"Given {given}, it"
            raise Wrong(f"{given_that} returns {tuple(found.shape)}, not {tuple(shape)}.")
        expect(not found.is_complex(), "What it returns is complex; a real result is asked for.")
        expect(found.isfinite().all(), FINITE)
        return found.detach().double()

    def number(self, *given: object) -> float:
        """The same, of one number."""
        return float(self.tensor((), *given))

    def pair(self, *given: object) -> tuple[float, float]:
        """What it returns, which must be two finite numbers."""
        found = self(*given)
        if found is None:
            raise Open("It returns nothing yet.")
        try:
            low, high = map(float, found)
        except (TypeError, ValueError):
            raise Wrong("It should return two numbers, the lower and the upper end.") from None
        expect(math.isfinite(low + high), FINITE)
        return low, high


def blame(error: BaseException, function: object, call: str) -> str:
    """An error in a learner's code in one sentence, with the line of it."""
    text = f"{type(error).__name__}: {(str(error).strip() or '?').splitlines()[0]}"
    file = getattr(getattr(function, "__code__", None), "co_filename", "")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if not frames:
        return f"It can't be called as {call}: {text}"
    return f"Line {frames[-1].lineno}, `{frames[-1].line}`: {text}"


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """A loop without end becomes a TimeoutError, where the system has alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() != threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(name: str, function: object) -> Verdict:
    """The verdict on a function; `function` may also be a `Wrong` or `Open` that explains its
    absence."""
    asked = EXERCISES[name]
    state, message = "solved", "That is right."
    try:
        if isinstance(function, Exception):
            raise function
        expect(callable(function), f"{name} is a {type(function).__name__}, and no function.")
        with _within(LIMIT):
            asked.checker(Attempt(function, asked.call))
    except (Wrong, TimeoutError) as error:
        state, message = "wrong", str(error)
    except Open as error:
        state, message = "open", str(error)
    except Exception as error:  # something that no checker thought of
        state, message = "wrong", f"What it returns can't be used ({type(error).__name__})."
    return Verdict(name, asked.notebook, asked.minutes, asked.difficulty, state, message)


def check(name: str, function: Callable) -> None:
    """In a notebook: print what is wrong with the function for the exercise called `name`."""
    check_known("exercise", EXERCISES, name)
    found = _told[name] = judge(name, function)
    print(f"{name}: {found.state}. {found.message}")


def solved(name: str) -> bool:
    """In a notebook: whether `check` has found the exercise solved."""
    return name in _told and _told[name].state == "solved"


def progress() -> None:
    """In a notebook: print what has been checked in it so far."""
    print(as_text(_told.values()) if _told else "Nothing is checked yet: run the cells above.")


def as_text(verdicts: Iterable[Verdict]) -> str:
    """Verdicts as a table, how many are solved, and what is wrong with others."""
    verdicts = list(verdicts)
    rows = [(v.exercise, v.notebook[:2], v.minutes, "●" * v.difficulty, v.state) for v in verdicts]
    solved = sum(v.state == "solved" for v in verdicts)
    lines = table(("exercise", "notebook", "minutes", "difficulty", "state"), rows)
    told = [f"{v.exercise}: {v.message}" for v in verdicts if v.state == "wrong"]
    return "\n".join([lines, f"{solved} of {len(verdicts)} solved.", *told])


def as_json(verdicts: Iterable[Verdict]) -> str:
    """Verdicts for marking: a list of objects."""
    return json.dumps([asdict(v) for v in verdicts], indent=1)


def read(file: Path) -> dict[str, object]:
    """What a .py file, or a notebook's cells tagged `setup` and `answer`, define, by running them;
    for exercises whose cell fails, a `Wrong` that says why."""
    if not file.is_file():
        raise UserError(f"{file} does not exist: give a notebook or a .py file.")
    cells = {"": file.read_text("utf-8", "replace")}
    if file.suffix == ".ipynb":
        try:
            nodes = nbformat.read(file, 4).cells
        except Exception as error:  # whatever nbformat raises for what is no notebook
            raise UserError(f"{file} can't be read as a notebook: save it in Jupyter.") from error
        tags = {"setup", "answer"}
        cells = {
            f", cell {i}": TransformerManager().transform_cell(node.source)
            for i, node in enumerate(nodes, 1)
            if node.cell_type == "code" and tags & {*node.metadata.get("tags", [])}
        }
    names: dict[str, object] = {"__name__": "answers"}
    for cell, source in cells.items():
        place = f"{file.name}{cell}"
        linecache.cache[place] = (len(source), None, source.splitlines(True), place)
        try:
            with redirect_stdout(StringIO()), _within(LIMIT):
                exec(compile(source, place, "exec"), names)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == place]
            line = line or (frames[-1].lineno if frames else "?")
            said = getattr(error, "msg", None) or (str(error).strip() or "?").splitlines()[0]
            for name in EXERCISES:
                if f"def {name}(" in source:
                    text = f"{type(error).__name__}: {said}"
                    names[name] = Wrong(f"{place}, line {line}, can't be run: {text}")
    return names


def judge_all(names: Iterable[str] = (), file: Path | None = None) -> list[Verdict]:
    """Verdicts on the exercises called `names`, or all, as a file has them, or the notebooks."""
    names = [*names] or [*EXERCISES]
    check_known("exercise", EXERCISES, *names)
    files = {name: file or HERE / f"{EXERCISES[name].notebook}.ipynb" for name in names}
    found = {path: read(path) for path in dict.fromkeys(files.values())}
    missing = {name: Open(f"{path.name} has no function {name}.") for name, path in files.items()}
    return [judge(name, found[files[name]].get(name, missing[name])) for name in names]
