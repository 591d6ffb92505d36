"""Errors that are meant for the user, and what is printed after Ctrl-C."""

import difflib
import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def plain(text: str) -> str:
    """Text for any file or screen: bytes that are not UTF-8, and control characters, as escapes."""
    escaped = text.encode(errors="backslashreplace").decode()
    return re.sub(r"[^\n\r\t -~\xa0-\U0010ffff]", lambda found: repr(found[0])[1:-1], escaped)


class UserError(ValueError):
    """One sentence: which file or parameter is wrong, and what to do about it."""

    def __init__(self, sentence: str):
        super().__init__(plain(sentence))


class Interrupted(BaseException):
    """Ctrl-C, answered in one sentence: what is saved, and how to resume. Exit status 130.

    Not an `Exception`, so that loops that continue after errors stop; not a KeyboardInterrupt,
    whose text the command line's library drops.
    """

    def _render_traceback_(self) -> list[str]:  # what a notebook shows instead of a traceback
        return [f"Interrupted: {self}"]


LESS = "Out of memory: reduce batch, size or crop."
MOST = 30  # names that a sentence lists


def out_of_memory(error: object) -> bool:
    """Whether an error, or its text, says so: torch has a class for a GPU's memory alone."""
    text = f"{type(error).__name__} {error}"
    return bool(re.search("MemoryError|out of memory|(can.t|unable to) allocate", text, re.I))


def unknown(what: str, given: object, valid: Iterable[str]) -> UserError:
    """A `UserError` for a name that does not exist, with the nearest one that does.

    `what` names the kind of thing ("loss", "parameter of 05_distillation").
    """
    valid, asked = sorted(valid), str(given).lower()
    lower = {name.lower(): name for name in reversed(valid)}
    near = difflib.get_close_matches(asked, lower, n=1, cutoff=0.5)
    some = [name for name in valid if asked in name.lower()] or valid
    listed = f"choose one of {', '.join(some[:MOST])}{' ...' * (len(some) > MOST)}."
    hint = f"did you mean {lower[near[0]]!r}?" if near else listed
    return UserError(f"There is no {what} called {str(given)!r}: {hint}")


def check_known(what: str, valid: Iterable[str], *given: str) -> None:
    """`unknown` for the first of `given` that is not in `valid`."""
    for name in given:
        if name not in valid:
            raise unknown(what, name, valid)


@contextmanager
def explained(where: object = "", remedy: str = "") -> Iterator[None]:
    """The first fault that pydantic finds in `where` (a file, for example) as a `UserError`."""
    from pydantic import ValidationError  # not needed by all importers

    try:
        yield
    except ValidationError as error:
        first, faults = error.errors()[0], error.error_count()
        name = ".".join(map(str, first["loc"])) or "its content"
        text = f"{name}={reprlib.repr(first['input'])} can't be used: {first['msg'].lower()}"
        text = f"{name} is missing" if first["type"] == "missing" else text
        count = f" (faults: {faults})" if faults > 1 else ""
        place, more = where and f"{where}: ", remedy and f"; {remedy}"
        raise UserError(f"{place}{text}{count}{more}.") from error
