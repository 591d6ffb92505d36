"""What every notebook of the walk shares: a guess, a look, a figure with
words for who can't see it, and the folder that results go to."""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import Image, display
from matplotlib.figure import Figure

from freqkd_lite import data
from freqkd_lite.data.base import digest
from freqkd_lite.distil import memory
from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.store import manifest, spell

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart. The same
# thing has the same colour in every notebook.
COLOURS = {
    "visible": "#0072B2", "infrared": "#D55E00", "low": "#009E73", "high": "#CC79A7",
    "none": "#7F7F7F", "mse": "#0072B2", "code": "#E69F00", "cosine": "#56B4E9",
    "teacher": "#000000", "real": "#D55E00", "shuffled": "#7F7F7F", "grey": "#56B4E9",
    "shift4": "#CC79A7", "guess": "#000000", "floor": "#B0B0B0",
    "coherence": "#009E73", "anchor": "#CC79A7", "swapped": "#D55E00",
    "gram": "#56B4E9",
}  # fmt: skip
NAMES = {
    "visible": "RGB", "infrared": "infrared", "none": "undistilled", "mse": "MSE",
    "code": "FreqKD (code)", "cosine": "cosine", "teacher": "teacher on RGB",
    "real": "infrared", "shuffled": "shuffled pairs", "grey": "grey copy",
    "shift4": "4 px shift", "shift1": "1 px shift", "shift2": "2 px shift", "shift8": "8 px shift",
    "rotate1": "1 degree turn", "noise": "noise", "random": "random weights",
    "stretch": "infrared stretched", "unstretch": "infrared at half contrast",
    "cropped": "real, cropped", "aligned": "real, aligned", "day": "real, by day",
    "night": "real, by night",
    "eq": "FreqKD (equations)", "signed": "FreqKD (signed)", "robust": "FreqKD (robust)",
    "low_only": "low band only", "high_only": "high band only", "swapped": "bands swapped",
    "step": "step of 1 and 0.1", "lowpass": "smooth low-pass", "coherence": "coherence weight",
    "anchor": "anchored", "projected": "predictable channels", "mse_raw": "raw MSE",
    "unic": "UNIC", "pkd": "PKD", "cwd": "CWD", "wavelet": "wavelet", "spectralkd": "SpectralKD",
    "gram": "Gram", "attention": "attention",
    "probe_ap": "probe AP", "map50": "mAP50", "miou": "mIoU",
}  # fmt: skip


def style() -> None:
    """The look of all figures: calm axes, readable type, no frame that says nothing."""
    plt.rcParams.update(
        {
            "figure.dpi": 110, "savefig.dpi": 110, "font.size": 10.5, "axes.titlesize": 11.5,
            "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False,
            "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
            "legend.frameon": False, "figure.constrained_layout.use": True, "lines.linewidth": 2,
            "image.cmap": "gray", "image.interpolation": "nearest",
        }
    )  # fmt: skip


def show(figure: Figure, alt: str) -> None:
    """Display a figure as a picture that carries a description for readers who can't see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    display(
        Image(buffer.getvalue(), format="png", alt=alt),
        metadata={"image/png": {"alt": alt}},
    )


@dataclass
class Guess:
    """A reader's guess, read when the next cell runs: `value` is None until there is one."""

    question: str
    choices: tuple[str, ...] = ()
    answer: object = None
    _widget: ipywidgets.Widget | None = field(default=None, repr=False)

    @property
    def value(self) -> object:
        return self._widget.value if self._widget is not None else self.answer

    @property
    def given(self) -> bool:
        return self.value is not None

    def compare(self, truth: object, unit: str = "") -> str:
        """A sentence that sets the guess beside what this run measured."""
        if not self.given:
            return f"No guess was made; this run says: {truth}{unit}."
        verdict = ""
        if self.choices:
            verdict = " That is it." if self.value == truth else " That is something else."
        return f"You guessed {self.value}{unit}; this run says {truth}{unit}.{verdict}"


def predict(
    question: str,
    choices: Sequence[str] | None = None,
    between: tuple[float, float] | None = None,
    answer: object = None,
) -> Guess:
    """Ask for a guess before the figure appears: one of `choices`, or a number `between` two.

    Returns a `Guess` whose value the next cell reads; without an answer everything still runs.
    `answer` gives it in code instead (also as a notebook parameter).
    """
    if (choices is None) == (between is None):
        raise UserError("predict() needs either choices=[...] or between=(low, high).")
    label = ipywidgets.HTML(f"<b>Your guess:</b> {html.escape(question)}")
    if choices is not None:
        choices = tuple(choices)
        if answer is not None and answer not in choices:
            raise UserError(f"answer={answer!r} is none of the choices: {', '.join(choices)}.")
        widget = ipywidgets.RadioButtons(
            options=choices, value=answer, layout={"width": "max-content"}
        )
        fallback = "".join(
            f'<li><label><input type="radio" name="{digest([question])}"> '
            f"{html.escape(c)}</label></li>"
            for c in choices
        )
    else:
        low, high = between
        if answer is not None and not low <= float(answer) <= high:
            raise UserError(f"answer={answer!r} must lie between {low} and {high}.")
        widget = ipywidgets.BoundedFloatText(min=low, max=high, step=(high - low) / 100)
        widget = _OptionalNumber(widget, answer)
        fallback = f"<li>a number between {low:g} and {high:g}</li>"
    guess = Guess(question, tuple(choices or ()), answer, widget)
    box = ipywidgets.VBox([label, getattr(widget, "box", widget)])
    bundle = dict(box._repr_mimebundle_())
    bundle["text/plain"] = f"Your guess: {question} ({', '.join(choices or ())})"
    bundle["text/html"] = (
        f'<div class="predict"><b>Your guess:</b> {html.escape(question)}'
        f'<ul style="list-style:none">{fallback}</ul></div>'
    )
    display(bundle, raw=True)
    return guess


class _OptionalNumber:
    """A number field that counts as unanswered until it is touched."""

    def __init__(self, box: ipywidgets.BoundedFloatText, answer: float | None):
        self.box, self._answer = box, answer
        if answer is not None:
            box.value = answer
        box.observe(self._touched, "value")

    def _touched(self, change: dict) -> None:
        self._answer = change["new"]

    @property
    def value(self) -> float | None:
        return self._answer


def results_folder(name: str) -> Path:
    """Where a notebook writes: the run folder (FREQKD_RUN) if there is one, else runs/NAME."""
    return Path(os.environ.get("FREQKD_RUN") or Path("..") / "runs" / name)


def at_hand(folder: str | Path) -> bool:
    """Whether a folder of committed results is there; where a notebook stands alone it is not, and
    a sentence says that nothing is shown of it."""
    found = Path(folder).is_dir()
    if not found:
        print(f"{Path(folder).parent.name}/{Path(folder).name} is not here, so nothing is shown of "
              "it: take the notebook from a clone.")  # fmt: skip
    return found


def save(name: str, rows: Iterable[Row], parameters: dict, **entries: object) -> str:
    """Write a notebook's rows and manifest to its results folder; returns a sentence about it."""
    rows, about = list(rows), manifest(notebook=name, parameters=parameters, **entries)
    path = write_results(results_folder(name), rows, about)
    # A run folder gets its name only when the notebook has ended, so its name is not told here.
    place = "this run's folder" if os.environ.get("FREQKD_RUN") else f"runs/{name}"
    return f"Kept {len(rows)} numbers and how they were made: {path.name} in {place}."


def versus(a: float, b: float, margin: float, words: tuple[str, str, str]) -> str:
    """The word for a > b, a ~ b within `margin`, a < b: conclusions follow from the numbers."""
    if abs(a - b) <= margin:
        return words[1]
    return words[0] if a > b else words[2]


def opening(name: str, dataset: str = "scenes") -> None:
    """Set the figures' style, and keep memory (`memory.keep`); print how long this notebook took
    when it was measured, and what must be said beside any number from this data set."""
    style()
    memory.keep()
    timings = Path(__file__).parent.parent / "results" / "default" / "minutes.json"
    if timings.is_file():
        seconds = json.loads(timings.read_text())["seconds"].get(name)
        if seconds is not None:
            print(f"With its defaults this takes about {spell(seconds)} on 2 cores (measured).")
    note = getattr(data.REGISTRY.get(dataset), "note", "")
    if note:
        print(note)
