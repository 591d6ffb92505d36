"""Running notebooks: what is kept, what a failure leaves, which errors hide."""

import json
import sys
from pathlib import Path

import nbformat
import pytest

from freqkd_lite import notebook as books
from freqkd_lite.runner.execute import address, execute, hidden_errors, ingredients, result, tidy
from tests.refused import refused
from tests.runner.books import DATA, code, new_notebook, new_output, settings, text, write

HIDDEN = """import ipywidgets
from IPython.display import display
slider, out = ipywidgets.IntSlider(), ipywidgets.Output()
with_output = out.capture()(lambda change: 1 / 0)
slider.observe(with_output, "value")
display(out)
slider.value = 5"""
WITH_WIDGETS = """import ipywidgets
out = ipywidgets.Output()
with out:
    for i in range(60): display(i)
out"""


def test_a_run_has_notebook_manifest_and_what_the_notebook_wrote(folder, tmp_path):
    source = """import json, os, pathlib, sys
out = pathlib.Path(os.environ["FREQKD_RUN"])
(out / "results.json").write_text(json.dumps({"twice": 2 * seed, "python": sys.executable}))
(out / "manifest.json").write_text(json.dumps({"data": "abc"}))
print(pathlib.Path.cwd().name)"""
    path = write(folder, "02_third", [settings(), code(source)])
    run = execute(path, {"seed": 21}, tmp_path / "run", preset="small")
    assert {p.name for p in run.iterdir()} == {"notebook.ipynb", "manifest.json", "results.json"}
    results = json.loads((run / "results.json").read_text())
    assert results == {"twice": 42, "python": sys.executable}
    about = json.loads((run / "manifest.json").read_text())
    assert about["data"] == "abc" and about["parameters"] == {"seed": 21}
    assert about["preset"] == "small" and about["seconds"] > 0 and "torch" in about["versions"]
    last = nbformat.read(run / "notebook.ipynb", 4).cells[-1]
    assert last.outputs[0].text == "notebooks\n"


def test_a_failed_run_keeps_its_record_until_a_later_try_has_ended(folder, tmp_path):
    """A try that is killed on the way must not take the record of the failure with it."""
    source = """import os
from pathlib import Path
from freqkd_lite.errors import UserError
left = Path(os.environ["FREQKD_RUN"]).parent / "run.failed" / "error.txt"
print("before")
if bad:
    raise UserError(f"left: {left.exists()}.")"""
    path = write(folder, "02_third", [settings("bad: bool = True"), code(source)])
    failed = tmp_path / "run.failed"
    for left in (False, True):
        refused(f"Cell 1 of 02_third .*left: {left}", execute, path, {}, tmp_path / "run")
        assert f"left: {left}" in (failed / "error.txt").read_text()
        kept = nbformat.read(failed / "notebook.ipynb", 4)
        assert any(o.get("text") == "before\n" for c in kept.cells for o in c.get("outputs", []))
        assert not (tmp_path / "run").exists()
    execute(path, {"bad": False}, tmp_path / "run")
    assert not failed.exists()


@pytest.mark.parametrize(
    ("source", "told"),
    [(HIDDEN, "callback: ZeroDivisionError"), ("import os; os._exit(9)", "was killed")],
)
def test_an_error_in_widget_state_and_a_kernel_s_end_are_told(folder, tmp_path, source, told):
    path = write(folder, "02_third", [settings(), code(source)])
    refused(told, execute, path, {}, tmp_path / "run")


def test_many_outputs_in_widgets_do_not_stop_a_run(folder, tmp_path):
    """With papermill's own engine each of three such runs hung on a busy machine."""
    path = write(folder, "02_third", [settings(), *(code(WITH_WIDGETS) for _ in range(6))])
    done = nbformat.read(execute(path, {}, tmp_path / "run") / "notebook.ipynb", 4)
    widgets = done.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    kept = [w["state"].get("outputs") for w in widgets.values()]
    assert [len(outputs) for outputs in kept if outputs] == [60] * 6


def test_the_address_follows_source_parameters_and_results_but_not_outputs(folder):
    path = folder / "00_first.ipynb"
    first, number = address(path, {}), ingredients(path, {}, True, {})
    notebook = nbformat.read(path, 4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="old")]
    nbformat.write(notebook, path)
    times = folder.parent / "results" / "default" / "minutes.json"
    times.parent.mkdir(parents=True)
    times.write_text("{}")
    assert address(path, {}) == first
    seen = {first, address(path, {"seed": 1})}
    for name in ("results.json", "../claims.yaml"):
        (times.parent / name).write_text("{}")
        seen.add(address(path, {}))
    notebook.cells[0].source += "!"
    nbformat.write(notebook, path)
    seen.add(address(path, {}))
    assert len(seen) == 5
    assert ingredients(path, {}, True, {}) == number  # neither text nor results decide it
    notebook.cells[1].source += "\nmore: int = 1"
    nbformat.write(notebook, path)
    assert ingredients(path, {}, True, {}) != number


HERE, FAR = ("here", "train"), ("far", "train")


@pytest.mark.parametrize("numbers_only", [True, False])
@pytest.mark.parametrize(
    ("values", "read"),
    [
        ({}, {HERE, ("here", "val")}),
        ({"split": "test"}, {HERE, ("here", "test")}),
        ({"distil_dataset": "far"}, {HERE, ("here", "val"), FAR}),
        (dict(dataset="here,far", split="test"), {("here,far", "train"), ("here,far", "test")}),
    ],
)
def test_the_address_follows_the_content_of_the_splits_that_are_read(
    folder, splits, values, read, numbers_only
):
    path = write(folder, "02_third", [settings(DATA)])
    first = ingredients(path, values, numbers_only, {})
    assert set(splits.asked) == read
    for split in read:
        for state in ("corrected", "missing"):
            splits.content[split] = state
            assert ingredients(path, values, numbers_only, {}) != first
        del splits.content[split]
    assert ingredients(path, values, numbers_only, {}) == first


def test_tidy_removes_machine_time_and_lost_state_and_keeps_outputs(folder, tmp_path):
    shown = {
        "text/plain": f"<Fader at 0x7f33aa00bb10 in {tmp_path}/x>",
        "text/html": "<b>live</b>",
        "application/vnd.jupyter.widget-view+json": {"model_id": "a"},
    }
    alone = {"application/vnd.jupyter.widget-view+json": {"model_id": "b"}, "text/plain": "Slider"}
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in (shown, alone)]
    cell = code("x", outputs=outputs, metadata={"papermill": {"duration": 3}, "tags": ["keep"]})
    notebook = new_notebook(cells=[cell], metadata={"papermill": {}, "widgets": {"state": {}}})
    tidied = [tidy(nbformat.from_dict(notebook), tmp_path) for _ in range(2)]
    assert tidied[0] == tidied[1]
    assert set(tidied[0].metadata) == {"kernelspec", "language_info"}
    assert tidied[0].cells[0].metadata == {"tags": ["keep"]}
    data = tidied[0].cells[0].outputs[0].data
    assert data == {"text/plain": "<Fader at 0x0 in ./x>", "text/html": "<b>live</b>"}
    assert "application/vnd.jupyter.widget-view+json" in tidied[0].cells[0].outputs[1].data


def test_the_address_follows_the_weights_file(folder):
    path = write(folder, "02_third", [settings('model: str = "tiny"\nweights: str = ""')])
    Path("w.safetensors").write_bytes(b"one")
    first = address(path, {"weights": "w.safetensors"})
    Path("w.safetensors").write_bytes(b"two")
    assert address(path, {"weights": "w.safetensors"}) != first
    assert address(path, {"weights": "random"}) not in (first, address(path, {}))


def test_the_command_runs_a_notebook_and_relative_folders_are_the_caller_s(
    folder, freqkd, monkeypatch
):
    """The kernel works in the notebooks' folder, not in the command's."""
    source = """import os, pathlib
own = pathlib.Path(os.environ["FREQKD_RUN"], "own.txt")
own.write_text(os.environ["FREQKD_RUNS"] + os.environ["FREQKD_DATA"])
print("the first line")
print("another")"""
    title = text("# Third")
    write(folder, "02_third", [title, settings("seed: int = 0"), code(source)])
    monkeypatch.setenv("FREQKD_RUNS", "runs")
    monkeypatch.setenv("FREQKD_DATA", "data")
    status, printed, _ = freqkd("run", "02_third", "-p", "seed=4", "--out", "here")
    page = Path("here", "02_third.html")
    assert (status, printed) == (0, f"here\nthe first line\nLook at {page}\n")
    assert "another" in page.read_text()
    write(folder, "02_third", [settings("seed: int = 0"), code(source)])
    status, printed, err = freqkd("run", "02_third", "-p", "seed=4", "--out", "here")
    assert (status, printed) == (0, "here\nthe first line\n") and "No page: " in err
    out, here = folder.parent / "here", folder.parent
    assert (out / "own.txt").read_text() == f"{here / 'runs'}{here / 'data'}"
    about = json.loads((out / "manifest.json").read_text())
    assert about["command"] == "freqkd run 02_third --preset default -p seed=4"


def test_a_run_s_result_is_the_last_question_with_what_was_measured(monkeypatch):
    displayed = []
    monkeypatch.setattr(books, "display", lambda data, **options: displayed.append(data))
    shares = books.predict("How much, <at> most?", between=(0, 1))
    best = books.predict("Which is best?", ["A & B", "C"])

    def shown():
        outputs = [new_output("display_data", data=d) for d in displayed]
        outputs.append(new_output("stream", text="first\nsecond\n"))
        return result(new_notebook(cells=[code("x", outputs=[each]) for each in outputs]))

    assert shown() == "first"
    best.compare("A & B")
    assert shown() == "Which is best? Measured here: A & B."
    del displayed[1]
    shares.compare(0.5, "{:.2f}")
    assert shown() == "How much, <at> most? Measured here: 0.50."
    assert result(new_notebook(cells=[code("x")])) == ""


def test_a_printed_traceback_is_a_hidden_error():
    printed = new_output("stream", text="Traceback (most recent call last):\nKeyError: 1")
    (error,) = hidden_errors(new_notebook(cells=[code(""), code("", outputs=[printed])]))
    assert error == "cell 1: KeyError: 1"  # counted from 0
