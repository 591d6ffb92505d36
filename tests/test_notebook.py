"""A guess is optional, is compared in words, and wrong ones are refused."""

import matplotlib.pyplot as plt
import pytest

from freqkd_lite import notebook
from freqkd_lite.errors import UserError
from freqkd_lite.notebook import predict, show, versus


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(notebook, "display", lambda *args, **kwargs: calls.append((args, kwargs)))
    return calls


def test_an_unanswered_guess_lets_everything_run():
    guess = predict("Which?", ["RGB", "heat"])
    assert not guess.given and guess.compare("RGB") == "No guess was made; this run says: RGB."


def test_the_widget_s_answer_is_the_guess():
    guess = predict("Which?", ["RGB", "heat"])
    guess._widget.value = "heat"
    assert guess.value == "heat" and guess.compare("heat").endswith("That is it.")
    assert guess.compare("RGB").endswith("That is something else.")


def test_a_number_counts_only_once_it_is_touched():
    guess = predict("How much?", between=(0, 1))
    assert not guess.given
    guess._widget.box.value = 0.25
    assert guess.value == 0.25
    assert guess.compare(0.5).startswith("You guessed 0.25; this run says 0.5.")
    assert predict("How much?", between=(0, 1), answer=0.7).value == 0.7


def test_wrong_answers_are_refused():
    with pytest.raises(UserError, match="none of the choices: a, b"):
        predict("Which?", ["a", "b"], answer="c")
    with pytest.raises(UserError, match="between 0 and 1"):
        predict("How much?", between=(0, 1), answer=2)
    with pytest.raises(UserError, match="either choices"):
        predict("What?")


def test_the_guess_has_a_form_without_a_kernel(shown):
    predict("Is a < b?", ["yes", "no"])
    bundle = shown[0][0][0]
    assert "Is a &lt; b?" in bundle["text/html"] and "yes" in bundle["text/html"]
    assert "http" not in bundle["text/html"]


def test_a_figure_carries_its_description(shown):
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    show(figure, "a line from 0 to 1")
    ((image,), options) = shown[0]
    assert image.data.startswith(b"\x89PNG")
    assert options["metadata"]["image/png"]["alt"] == "a line from 0 to 1"
    assert not plt.get_fignums()


def test_versus_follows_the_numbers():
    words = ("above", "level with", "below")
    assert versus(2, 1, 0.5, words) == "above" and versus(1, 2, 0.5, words) == "below"
    assert versus(1, 1.4, 0.5, words) == "level with"


def test_results_that_are_not_here_are_told(tmp_path, capsys):
    (tmp_path / "results" / "a").mkdir(parents=True)
    assert notebook.at_hand(tmp_path / "results" / "a") and capsys.readouterr().out == ""
    assert not notebook.at_hand(tmp_path / "results" / "b")
    assert capsys.readouterr().out.startswith("results/b is not here, so nothing is shown of it")
