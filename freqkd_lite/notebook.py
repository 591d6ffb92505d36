"""What every notebook uses: `opening`, `predict`, `show` and `save`."""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from freqkd_lite import data
from freqkd_lite.distil import memory
from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import Row, results_folder, write_results
from freqkd_lite.results.text import number, table
from freqkd_lite.store import manifest, spell
from freqkd_lite.viz.style import style

__all__ = ["Row", "number", "opening", "predict", "save", "show", "table"]

TIMES = Path(__file__).parent.parent / "results" / "default" / "minutes.json"
UNRECORDED = {"guess", "root"}  # parameters that change no result
_opened = {"name": ""}


def opening(name: str, dataset: str = "scenes") -> None:
    """Set up the notebook called `name`: the figures' style, memory, and what `save` needs.

    Prints how long the notebook takes (measured), and a data set's note on what its numbers mean.
    """
    _opened["name"] = name
    style()
    memory.keep()
    seconds = json.loads(TIMES.read_text())["seconds"].get(name) if TIMES.is_file() else None
    if seconds is not None:
        print(f"With its defaults this takes about {spell(seconds)} on 2 cores (measured).")
    note = data.note_of(dataset)
    if note:
        print(note)


def show(figure: Figure, alt: str, fold: str = "") -> None:
    """Display a figure as a picture with the description `alt` for readers who can't see it;
    folded away under the line `fold`, where that is given."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    if fold:
        source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        picture = f'<img src="{source}" alt="{html.escape(alt)}">'
        display(HTML(f"<details><summary>{html.escape(fold)}</summary>{picture}</details>"))
        return
    picture = Image(buffer.getvalue(), format="png", alt=alt)
    display(picture, metadata={"image/png": {"alt": alt}})


@dataclass
class Guess:
    """A reader's guess; `value` is None until the reader has made one in `widget`."""

    question: str
    value: object
    widget: ipywidgets.Widget

    def compare(self, truth: object, form: str = "{}") -> str:
        """One sentence: the guess beside what was measured, both written by the format `form`."""
        found = form.format(truth)
        if self.value is None:
            return f"You made no guess; measured here: {found}."
        if self.value == truth:
            return f"You guessed {found}, and that is what was measured."
        return f"You guessed {form.format(self.value)}; measured here: {found}."


def predict(
    question: str,
    choices: Sequence[str] | None = None,
    between: tuple[float, float] | None = None,
    answer: object = None,
) -> Guess:
    """Ask for a guess before the figure appears: one of `choices`, or a number `between` two.

    Cells below read the guess when they run, and run without one as well. `answer` makes the guess
    in code, for instance from a notebook's parameter; None and "" make none.
    """
    if (choices is None) == (between is None):
        raise UserError("predict() needs either choices=[...] or between=(low, high).")
    answer = None if answer == "" else answer
    if choices is not None:
        if answer is not None and answer not in choices:
            raise UserError(f"answer={answer!r} is none of the choices: {', '.join(choices)}.")
        layout = {"width": "max-content"}
        widget = ipywidgets.RadioButtons(options=tuple(choices), value=answer, layout=layout)
        entries = list(choices)
    else:
        low, high = between
        if answer is not None and not low <= float(answer) <= high:
            raise UserError(f"answer={answer!r} must lie between {low} and {high}.")
        shown = low if answer is None else answer
        widget = ipywidgets.BoundedFloatText(shown, min=low, max=high, step=(high - low) / 100)
        entries = [f"a number between {low:g} and {high:g}"]
    guess = Guess(question, answer, widget)
    widget.observe(lambda change: setattr(guess, "value", change["new"]), "value")
    _display(question, widget, entries)
    return guess


def _display(question: str, widget: ipywidgets.Widget, entries: list[str]) -> None:
    """Display the widget, with a list of its choices for pages, where no widget is alive."""
    label = f"<b>Your guess:</b> {html.escape(question)}"
    bundle = dict(ipywidgets.VBox([ipywidgets.HTML(label), widget])._repr_mimebundle_())
    bundle["text/plain"] = f"Your guess: {question} ({', '.join(entries)})"
    items = "".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
    bundle["text/html"] = f'<div class="predict">{label}<ul>{items}</ul></div>'
    display(bundle, raw=True)


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
    about = manifest(notebook=name, parameters=parameters(), **made_of)
    write_results(results_folder(name), rows, about)
    # A run's folder has its final name only when the run has ended.
    place = "this run's folder" if os.environ.get("FREQKD_RUN") else f"runs/{name}"
    print(f"Wrote {len(rows)} rows and a manifest to {place}.")
