"""What every notebook uses: `opening`, `predict`, `show`, `show_table` and `save`."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from freqkd_lite import data, store
from freqkd_lite.distil import memory
from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import Row, results_folder, write_results
from freqkd_lite.results.text import number, table
from freqkd_lite.viz.style import save_sharp, style

__all__ = ["Row", "number", "opening", "predict", "save", "show", "show_table"]

UNRECORDED = {"guess", "root"}  # parameters that change no result
# The feedback on a guess: the choice, or the upper end of a range of numbers; a verdict; a reason.
Judgement = tuple[Any, str, str]
BY_HAND = "Where nothing can be chosen here, answer by `guess` in the cell of parameters."
_opened = {"name": ""}


def opening(name: str, dataset: str = "scenes") -> None:
    """Set up the notebook called `name`: the figures' style, memory, and what `save` needs.

    Prints how long the notebook takes (measured), and a data set's note on what its numbers mean.
    """
    _opened["name"] = name
    style()
    memory.keep()
    root = store.COPY if store.COPY.is_dir() else store.PACKAGE.parent
    if seconds := store.measured_times(root).get(name):
        took = store.duration(seconds)
        print(f"With its defaults this takes about {took} on 2 cores (measured).")
    if note := data.note_of(dataset):
        print(note)


def show(figure: Figure, alt: str, fold: str = "") -> None:
    """Display a figure as a picture with the description `alt` for readers who can't see it; folded
    away under the line `fold`, where that is given. A run's folder gets it at twice the resolution,
    for the page."""
    content, run = store.encoded(figure.savefig, format="png"), os.environ.get("FREQKD_RUN")
    if run:
        save_sharp(figure, content, Path(run))
    plt.close(figure)
    if fold:
        source = f"data:image/png;base64,{store.in_base64(content)}"
        picture = f'<img src="{source}" alt="{html.escape(alt)}">'
        display(HTML(f"<details><summary>{html.escape(fold)}</summary>{picture}</details>"))
        return
    picture = Image(content, format="png", alt=alt)
    display(picture, metadata={"image/png": {"alt": alt}})


def show_table(
    head: Sequence[object], rows: Iterable[Sequence[object]], note: str = "", fold: str = ""
) -> None:
    """Display a table under the line `note`; folded away under the line `fold`, if given."""
    rows = list(rows)
    parts = [note, table(head, rows, "markdown")]
    if fold:
        parts = [f"<details><summary>{html.escape(fold)}</summary>", *parts, "</details>"]
    plain = "\n".join(filter(None, (note, table(head, rows))))
    display({"text/plain": plain, "text/markdown": "\n\n".join(filter(None, parts))}, raw=True)


@dataclass
class Guess:
    """A reader's guess; `value` is None until the reader has made one in `widget`."""

    question: str
    value: Any
    widget: ipywidgets.RadioButtons | ipywidgets.BoundedFloatText
    judge: Callable[[Any, str], list[Judgement]]
    feedback: ipywidgets.HTML
    judgements: Sequence[Judgement] = ()

    def compare(self, truth: str | float, form: str = "{}") -> str:
        """A sentence: the guess and what was measured, both written by the format `form`.

        It is also shown under the question, now and whenever the reader guesses again, and goes to
        the page, which hides the cells between until its reader has guessed.
        """
        found = form.format(truth)
        self.judgements = self.judge(truth, found)
        held = {"found": found, "judgements": self.judgements}
        if isinstance(self.widget, ipywidgets.BoundedFloatText):
            held |= {"truth": round(float(truth), 3), "ends": [self.widget.min, self.widget.max]}
        hidden = f'<div class="judgement" data-question="{_key(self.question)}" '
        hidden += f'data-held="{html.escape(json.dumps(held))}"></div>'
        display({"text/html": hidden, "text/plain": ""}, raw=True)
        if self.value is None:
            return f"Measured here: {found}."
        self.show_judgement()
        shown = self.value if isinstance(truth, str) else form.format(self.value)
        return f"Your guess: {shown}. {' '.join(self.judgement()[1:])}"

    def judgement(self) -> Judgement:
        """The judgement for the guess: that of its name, or the first range that contains it."""
        named = (j for j in self.judgements if j[0] in (None, self.value))
        reaches = (j for j in self.judgements if j[0] is None or self.value <= j[0])
        return next(named if isinstance(self.value, str) else reaches)

    def show_judgement(self) -> None:
        """Show the judgement under the question, once there are both a guess and a measurement."""
        if self.value is not None and self.judgements:
            _, verdict, why = map(html.escape, map(str, self.judgement()))
            self.feedback.value = f'<div role="alert"><b>{verdict}</b> {why}</div>'


def judge_choice(
    choices: Sequence[str], close: float, wrong: Mapping[str, str], truth: str, found: str
) -> list[Judgement]:
    """For each choice. Those that lie at most `close` places beside the right one are close."""
    judged = []
    for place, choice in enumerate(choices):
        near = truth in choices and abs(place - list(choices).index(truth)) <= close
        verdict = "Right." if choice == truth else "Close." if near else "Not so."
        why = wrong.get(choice, "") if choice != truth else ""
        judged.append((choice, verdict, f"Measured here: {found}. {why}".strip()))
    return judged


def judge_number(
    close: float, wrong: Mapping[str, str], truth: float, found: str
) -> list[Judgement]:
    """For ranges of numbers, from below; the last has no upper end. Within a fifth of `close` a
    number is right."""
    why = f"Measured here: {found}."
    below, above = (f"{why} {wrong.get(side, '')}".strip() for side in ("below", "above"))
    verdicts = [("Not so.", below), ("Close.", why), ("Right.", why), ("Close.", why)]
    ends = [round(float(truth) + share * close, 6) for share in (-1, -0.2, 0.2, 1)]
    return [*((end, *v) for end, v in zip(ends, verdicts, strict=True)), (None, "Not so.", above)]


def predict(
    question: str,
    choices: Sequence[str] | None = None,
    between: tuple[float, float] | None = None,
    answer: Any = None,
    wrong: Mapping[str, str] | None = None,
    close: float | None = None,
) -> Guess:
    """Ask for a guess before the figure appears: one of `choices`, or a number `between` two.

    Cells below read the guess when they run, and run without one as well; `Guess.compare` judges
    it. `answer` makes the guess in code, for instance from a notebook's parameter; None and "" make
    none. `wrong` says what is mistaken about a choice, or about a number "below" or "above" what
    is measured. `close` is how far off is still close: in places beside the right choice (0), or
    in the number's unit (a tenth of the range).
    """
    answer, wrong = None if answer == "" else answer, dict(wrong or {})
    if choices is not None and between is None:
        if answer is not None and answer not in choices:
            raise UserError(f"answer={answer!r} is not one of the choices: {', '.join(choices)}.")
        layout = {"width": "max-content"}
        widget = ipywidgets.RadioButtons(options=tuple(choices), value=answer, layout=layout)
        judge = partial(judge_choice, choices, close or 0, wrong)
        entries = {x: f'type="radio" value="{html.escape(x)}"' for x in choices}
    elif between is not None and choices is None:
        low, high = between
        if answer is not None and not low <= float(answer) <= high:
            raise UserError(f"answer={answer!r} must lie between {low} and {high}.")
        shown, step = low if answer is None else answer, (high - low) / 100
        widget = ipywidgets.BoundedFloatText(shown, min=low, max=high, step=step)
        judge = partial(judge_number, (high - low) / 10 if close is None else close, wrong)
        limits = f'type="number" min="{low:g}" max="{high:g}" step="any"'
        entries = {f"a number between {low:g} and {high:g}": limits}
    else:
        raise UserError("predict() needs either choices=[...] or between=(low, high).")
    for side in wrong.keys() - set(choices or ("below", "above")):
        raise UserError(f"wrong[{side!r}] is not a guess that can be judged.")
    guess = Guess(question, answer, widget, judge, ipywidgets.HTML())

    def heard(change: dict) -> None:
        guess.value = change["new"]
        guess.show_judgement()

    widget.observe(heard, "value")
    _display(guess, entries)
    return guess


def _key(question: str) -> str:
    return f"q{store.digest([question])[:8]}"


def _display(guess: Guess, entries: dict[str, str]) -> None:
    """Display the guess's widget, and for pages, which have no live widgets, a form of `entries`,
    texts with their kind of input (without scripts, a list)."""
    key, label = _key(guess.question), f"<b>Your guess:</b> {html.escape(guess.question)}"
    shown = ipywidgets.VBox([ipywidgets.HTML(label), guess.widget, guess.feedback])
    items = "".join(
        f'<li><label><input name="{key}" {kind}> {html.escape(text)}</label></li>'
        for text, kind in entries.items()
    )
    form = f"<fieldset><legend>{label}</legend><ul>{items}</ul></fieldset>"
    form += f'<p class="fallback">{BY_HAND}</p>'
    own = {"text/plain": f"Your guess: {guess.question} ({', '.join(entries)}). {BY_HAND}"}
    own["text/html"] = f'<form class="predict" data-question="{key}">{form}</form>'
    display((shown._repr_mimebundle_() or {}) | own, raw=True)


def parameters() -> dict[str, object]:
    """The notebook's parameters as they are now: the annotated names of its cell of parameters,
    without those that change no result."""
    shell = get_ipython()
    names = shell.user_ns if shell else {}
    recorded = [name for name in names.get("__annotations__", ()) if name not in UNRECORDED]
    return {name: names[name] for name in recorded}


def save(rows: Iterable[Row], **made_of: object) -> None:
    """Write the rows and a manifest to the notebook's results folder, and print where they are.

    The manifest holds name, parameters, versions, and `made_of` (checksums of data and weights).
    """
    name, rows = _opened["name"], list(rows)
    if not name:
        raise UserError("Call opening('NAME') at the top of the notebook before save().")
    about = store.manifest(notebook=name, parameters=parameters(), **made_of)
    write_results(results_folder(name), rows, about)
    # A run's folder has its final name only when the run has ended.
    place = "this run's folder" if os.environ.get("FREQKD_RUN") else f"runs/{name}"
    print(f"Wrote {len(rows)} row{'s' * (len(rows) != 1)} and a manifest to {place}.")
