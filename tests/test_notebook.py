"""`predict`, `show` and `save`, as notebooks use them."""

import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup

from freqkd_lite import notebook
from freqkd_lite.notebook import opening, parameters, predict, save, show
from freqkd_lite.results.rows import at_hand, read_results
from tests.refused import refusals, refused
from tests.rows import row


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(notebook, "display", lambda *args, **kwargs: calls.append((args, kwargs)))
    return calls


def held(shown):
    """What the last comparison hands to a page."""
    (bundle,), _ = shown[-1]
    assert bundle["text/plain"] == ""
    return json.loads(BeautifulSoup(bundle["text/html"], "html.parser").div["data-held"])


def test_a_guess_is_optional_and_is_what_the_widget_holds(shown):
    guess = predict("Which?", ["RGB", "heat"], answer="")
    assert guess.value is None and guess.compare("RGB") == "Measured here: RGB."
    assert guess.feedback.value == ""  # Run All leaves the question open
    guess.widget.value = "heat"
    assert guess.value == "heat" and "<b>Not so.</b>" in guess.feedback.value
    assert "Right." in guess.compare("heat") and "Not so." in guess.compare("RGB")


def test_choices_are_judged_right_close_or_with_what_is_mistaken(shown):
    wrong = {"none": "Count again.", "many": "Luck."}
    guess = predict("How <many>?", ["none", "few", "many"], wrong=wrong, close=1)
    assert "Measured here: few" in guess.compare("few")
    assert [tuple(j) for j in held(shown)["judgements"]] == [
        ("none", "Close.", "Measured here: few. Count again."),
        ("few", "Right.", "Measured here: few."),
        ("many", "Close.", "Measured here: few. Luck."),
    ]
    guess.compare("none")
    assert [j[1] for j in held(shown)["judgements"]] == ["Right.", "Close.", "Not so."]
    guess.compare("something else")
    assert {j[1] for j in held(shown)["judgements"]} == {"Not so."}


def test_a_number_counts_only_once_it_is_touched_and_is_judged_by_its_distance(shown):
    guess = predict("How much?", between=(0, 1), wrong={"below": "More.", "above": "Less."})
    assert guess.value is None
    guess.widget.value = 0.25
    assert "25%" in guess.compare(0.5, "{:.0%}") and "50%" in guess.compare(0.5, "{:.0%}")
    assert held(shown)["ends"] == [0, 1] and held(shown)["truth"] == 0.5
    wanted = {0.39: "Not so.", 0.41: "Close.", 0.49: "Right.", 0.51: "Right.", 0.59: "Close."}
    for value, verdict in (wanted | {0.61: "Not so."}).items():
        guess.widget.value = value
        assert f"<b>{verdict}</b>" in guess.feedback.value
        assert ("More." in guess.feedback.value) == (value < 0.4)
        assert ("Less." in guess.feedback.value) == (value > 0.6)
    assert predict("How much?", between=(0, 1), answer=0.7).value == 0.7


test_wrong_questions_and_answers_are_refused = refusals(
    (dict(question="Which?", choices=["a", "b"], answer="c"), "'c'"),
    (dict(question="Which?", between=(0, 1), answer=2), "answer=2"),
    (dict(question="Which?"), "either choices=.* or between="),
    (dict(question="Which?", choices=["a"], between=(0, 1)), "either choices=.* or between="),
    (dict(question="Which?", choices=["a", "b"], wrong={"c": "No."}), "'c'"),
    call=predict,
)


def test_a_page_without_widgets_still_shows_the_choices(shown):
    predict("Which <one>?", ["RGB", "heat"])
    bundle = shown[0][0][0]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    items = BeautifulSoup(bundle["text/html"], "html.parser").find_all("li")
    assert [item.text.strip() for item in items] == ["RGB", "heat"]
    assert "&lt;one&gt;" in bundle["text/html"] and "(RGB, heat)" in bundle["text/plain"]
    assert all("by `guess` in" in bundle[f"text/{kind}"] for kind in ("html", "plain"))


def test_a_figure_is_displayed_as_png_with_its_alternative_text(shown):
    show(plt.figure(figsize=(1, 1)), "A blank square.")
    assert not plt.get_fignums()
    ((image,), options) = shown[0]
    assert options["metadata"]["image/png"]["alt"] == image.alt == "A blank square."
    assert image.data[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_folded_figure_is_a_picture_under_its_line(shown):
    show(plt.figure(figsize=(1, 1)), 'A "blank" square.', fold="all <22> methods")
    assert not plt.get_fignums()
    text = shown[0][0][0].data
    assert text.startswith("<details><summary>all &lt;22&gt; methods</summary>")
    assert "data:image/png;base64," in text and 'alt="A &quot;blank&quot; square."' in text


def test_a_table_is_text_and_markdown_and_can_be_folded(shown):
    notebook.show_table(("a", "b|c"), [("x", 1)], "Of what.", fold="all <22> rows")
    bundle = shown[0][0][0]
    assert bundle["text/plain"].splitlines() == ["Of what.", "a  b|c", "x    1"]
    first, note, *rows, last = filter(None, bundle["text/markdown"].splitlines())
    assert first == "<details><summary>all &lt;22&gt; rows</summary>" and last == "</details>"
    assert note == "Of what." and rows == ["| a | b\\|c |", "| --- | --: |", "| x | 1 |"]


def test_save_finds_the_parameters_and_writes_rows_and_manifest(tmp_path, monkeypatch):
    names = {"__annotations__": {"seed": int, "root": str, "guess": str, "blocks": list}}
    names |= dict(seed=3, root="/data", guess="RGB", blocks=[1, 2], other="not annotated")
    monkeypatch.setattr(notebook, "get_ipython", lambda: SimpleNamespace(user_ns=names))
    monkeypatch.setenv("FREQKD_RUN", str(tmp_path / "run"))
    opening("")
    refused("opening", save, [row("mse", 0.5)])
    opening("05_distillation")
    assert parameters() == {"seed": 3, "blocks": [1, 2]}
    save(iter([row("mse", 0.5)]), weights="abc")
    about = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert about["notebook"] == "05_distillation" and about["weights"] == "abc"
    assert about["parameters"] == {"seed": 3, "blocks": [1, 2]}
    assert read_results(tmp_path / "run") == [row("mse", 0.5)]


def test_where_no_results_are_at_hand_a_note_is_printed(tmp_path, capsys):
    (tmp_path / "results" / "a").mkdir(parents=True)
    assert at_hand(tmp_path / "results" / "a") and capsys.readouterr().out == ""
    assert not at_hand(tmp_path / "results" / "b")
    assert "results/b" in capsys.readouterr().out
