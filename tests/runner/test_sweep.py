"""Sweeps: refused before anything runs, each run done once, killed ones gone on with; the numbers
of tables and pages against some that were worked by hand."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from nbformat.v4 import new_code_cell as code

from freqkd_lite.cli import app as cli
from freqkd_lite.errors import UserError
from freqkd_lite.results import summary
from freqkd_lite.results.rows import Row, means, read_results, write_results
from freqkd_lite.runner.sweep import (
    default_out,
    gather,
    read_sweep,
    run_all,
    time_left,
    write,
)
from freqkd_lite.store import write_json
from freqkd_lite.viz.scores import seed_scores
from tests.fake_run import fake
from tests.runner.test_execute import DATA, Told, settings, two_sets
from tests.runner.test_execute import write as write_notebook

ROOT = Path(__file__).parents[2]
PARAMETERS = "seed: int = 0\nlr: float = 0.001\narms: list[str] = ['none', 'code']"


def rows(seed: int, value: float, arm: str = "code", **about) -> list[Row]:
    base = dict(claim="walk", data="msrs", split="val", metric="probe_ap", klass="mean", n=9)
    return [Row(arm=arm, seed=seed, value=value, **(base | about))]


def logged(root: Path, word: str) -> list[int]:
    file = root / "log.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return sorted(int(line.split()[1]) for line in lines if line.startswith(word))


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    (tmp_path / "notebooks" / "presets").mkdir(parents=True)
    (tmp_path / "notebooks" / "presets" / "small.yaml").write_text("common: {lr: 0.5}")
    write_notebook(tmp_path / "notebooks", "01_plain", [settings("pairs: int = 4")])
    write_notebook(tmp_path / "notebooks", "05_arms", [settings(PARAMETERS)])
    return tmp_path


def sweep(root: Path, text: str, name: str = "sweep.yaml"):
    (root / name).write_text(text)
    return read_sweep(root, root / name)


# ----------------------------------------------------------------------------------- sweep files


def test_a_grid_crosses_the_runs_and_each_notebook_takes_what_it_has(root):
    text = """notebook: [01_plain, 05_arms]
preset: small
fixed: {arms: [none]}
runs: [{lr: 1e-4}, {}]
grid: {seed: [0, 1]}"""
    made = sweep(root, text)
    assert [job.notebook.stem for job in made.jobs] == ["01_plain"] + 4 * ["05_arms"]
    assert [job.varied for job in made.jobs[1:]] == [
        {"seed": s, "lr": lr} for lr in (0.0001, 0.5) for s in (0, 1)  # small.yaml's lr is 0.5
    ]  # fmt: skip
    assert made.jobs[1].values == {"lr": 0.0001, "arms": ["none"], "seed": 0}
    assert made.jobs[1].settings == "lr=0.0001" and made.jobs[0].settings == ""
    assert len({job.folder for job in made.jobs}) == 5
    assert [job.folder for job in sweep(root, text + "\n# a word\n").jobs] == [
        job.folder for job in made.jobs
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("notebook: 05_arm", "notebook called '05_arm': did you mean '05_arms'"),
        ("notebook: 05_arms\npreset: smal", "preset called 'smal': did you mean 'small'"),
        ("notebook: 05_arms\ngird: {seed: [0]}", "key of sweep.yaml called 'gird'.*'grid'"),
        ("notebook: 05_arms\ngrid: {sed: [0]}", "parameter of 05_arms called 'sed'.*'seed'"),
        ("notebook: 05_arms\nruns: [{sed: 0}]", "parameter of 05_arms called 'sed'.*'seed'"),
        ("notebook: 05_arms\nfixed: {sed: 0}", "parameter of 05_arms called 'sed'.*'seed'"),
        ("notebook: 05_arms\ngrid: {seed: [0, 1.5]}", "seed of 05_arms is 1.5, which is no int"),
        ("notebook: 05_arms\ngrid: {seed: 3}", "seed in grid holds 3: give a list"),
        ("notebook: 05_arms\ngrid: [seed]", "grid holds .'seed'.: write it as"),
        ("notebook: 05_arms\nruns: {seed: 3}", "runs holds .*: write a list"),
        ("notebook: 05_arms\ngrid: {seed: [1, 1]}", "asks twice for seed=1"),
        ("notebook: 05_arms\nfixed: {seed: 1}\ngrid: {seed: [1]}", "seed stands in fixed and in"),
        ("grid: {seed: [1]}", "names no notebook"),
        ("notebook: 05_arms\nfixed: {arms: [none, code]}\nlater: [cod]", "for later.*'code'"),
        ("notebook: 05_arms\nlater: code", "later holds 'code': give a list of arms"),
        ("notebook: 05_arms\nfixed: {arms: [none, code]}\nagainst: mse", "for against.*'mse'"),
        ("notebook: 05_arms\nfixed: {arms: [none, code]}\nnamed: code", "code and nothing to set"),
        ("notebook: 05_arms\nfixed: {arms: [none, code]}\nalong: lr", "no arm has a setting lr"),
        (
            "notebook: 05_arms\nfixed: {arms: [none, code]}\nagainst: code\ngrid: {lr: [0.1, 0.2]}",
            "results call code by what varies, as none .lr=0.1.: write arms with settings",
        ),
        (
            "notebook: 05_arms\nfixed: {arms: [none, code (lr=0.1)]}\nalong: lr\n"
            "against: code (lr=0.1)",
            "holds against and along",
        ),
        (
            "notebook: 05_arms\nfixed: {arms: [none, code]}\nagainst: code\nmetric: divergence",
            "image by image, which divergence does not allow: take one of probe_ap, map50, miou",
        ),
        ("notebook: [", "sweep.yaml is no valid YAML at line"),
    ],
)
def test_what_is_wrong_in_a_sweep_file_is_told_before_anything_runs(root, text, sentence):
    with pytest.raises(UserError, match=sentence):
        sweep(root, text)
    assert not (root / "runs").exists()


def test_a_sweep_reads_each_split_once_and_runs_anew_when_the_data_changed(root, monkeypatch):
    folder = two_sets(root / "data", monkeypatch)
    write_notebook(root / "notebooks", "05_arms", [settings(f"{PARAMETERS}\n{DATA}")])
    text = f"""notebook: 05_arms
fixed: {{root: {folder}, distil_dataset: "here,far"}}
grid: {{seed: [0, 1, 2], lr: [0.1, 0.2]}}"""
    made = sweep(root, text)
    assert Told.reads == 4  # here train, here val, and to distil on here train and far train
    finish(made)
    assert all(job.done for job in sweep(root, text).jobs)
    (folder / "far-train.txt").write_text("corrected")
    assert not any(job.done for job in sweep(root, text).jobs)


def test_results_go_beside_a_file_called_sweep_and_else_into_a_folder_of_its_name():
    assert default_out(Path("results/msrs/sweep.yaml")) == Path("results/msrs")
    assert default_out(Path("mine/rates.yaml")) == Path("mine/rates")


# --------------------------------------------------------------------------------------- running


def test_two_sweeps_at_once_do_each_run_once_and_both_have_all(root, capsys):
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [0, 1, 2]}")
    (root / "hold").touch()  # so that both want the same runs at the same time
    failed = []
    both = [
        threading.Thread(target=lambda: failed.append(run_all(made, 2, fake))) for _ in range(2)
    ]
    for thread in both:
        thread.start()
    wait_for(lambda: len(logged(root, "begin")) >= 2)
    (root / "hold").unlink()
    for thread in both:
        thread.join()
    assert failed == [[], []] and all(job.done for job in made.jobs)
    assert logged(root, "begin") == logged(root, "end") == [0, 1, 2]


def test_a_failing_run_is_kept_and_told_and_the_rest_goes_on(root, capsys):
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [13, 0, 2]}")
    ((job, said),) = run_all(made, 1, fake)
    assert job.seed == 13 and said.startswith("No luck.") and logged(root, "end") == [0, 2]
    out = capsys.readouterr().out
    assert "[1/3] 05_arms seed=13: failed: No luck." in out
    assert "[2/3] 05_arms seed=0: 20 s, about 20 s to go" in out and "[3/3]" in out
    table = write(made, root / "out", "freqkd sweep sweep.yaml", [(job, said)])
    assert "probe_ap on msrs (val)" in table
    about = json.loads((root / "out" / "manifest.json").read_text())
    assert about["failed"] == ["05_arms seed=13: No luck."]
    assert about["sweep"] == made.text and about["notebooks"]["05_arms"]["seeds"] == [0, 2]
    page = (root / "out" / "README.md").read_text()
    assert "failed runs: 05_arms seed=13: No luck." in page and str(root) not in page


def test_what_failed_before_is_tried_again_and_comes_last(root, capsys):
    run_all(sweep(root, "notebook: 05_arms\ngrid: {seed: [13]}"), 1, fake)
    capsys.readouterr()
    more = sweep(root, "notebook: 05_arms\ngrid: {seed: [13, 0, 2]}")
    ((job, said),) = run_all(more, 1, fake)
    out = capsys.readouterr().out
    told = [line.split(": ")[0] for line in out.splitlines() if line.startswith("[")]
    assert told == ["[1/3] 05_arms seed=0", "[2/3] 05_arms seed=2", "[3/3] 05_arms seed=13"]
    assert job.seed == 13 and said.startswith("No luck.")


RUN = """import os, signal, sys
from pathlib import Path
from freqkd_lite.cli import app as cli
from freqkd_lite.runner import sweep
from tests.fake_run import fake

run_all = sweep.run_all
sweep.run_all = lambda made, workers: run_all(made, workers, fake)
sys.argv = ["freqkd", "sweep", "sweep.yaml"]
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    cli.main()
"""


def wait_for(truth) -> None:
    for _ in range(6000):
        if truth():
            return
        time.sleep(0.02)
    raise AssertionError("It did not happen in two minutes.")


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(root, stop, capfd):
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [0, 1, 2]}")
    (root / "run.py").write_text(RUN)
    (root / "hold").touch()
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "run.py"], cwd=root, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: logged(root, "begin") == [0, 1])
        process.send_signal(stop)
        said = process.communicate()[1]
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert said.startswith("freqkd: Stopped: 1 of 3 runs are finished and kept in ")
        assert said.endswith("the same command goes on from there.\n") and said.count("\n") == 1
    # Its child ends with it: the lock of run 1 comes free although `hold` still holds it.
    thread = threading.Thread(target=run_all, args=(made, 1, fake))
    thread.start()
    wait_for(lambda: logged(root, "begin") == [0, 1, 1])
    (root / "hold").unlink()
    thread.join()
    assert logged(root, "begin") == [0, 1, 1, 2] and logged(root, "end") == [0, 1, 2]
    left = [p.name for p in (root / "runs" / "sweeps").iterdir() if p.name != ".locks"]
    assert sorted(left) == sorted(job.folder.name for job in made.jobs)


def test_the_command_with_real_notebooks_keeps_the_broken_run_and_skips_the_others(
    root, monkeypatch, capsys
):
    cells = [settings(PARAMETERS), code(NOTEBOOK)]
    write_notebook(root / "notebooks", "06_real", cells)
    (root / "rates.yaml").write_text("notebook: 06_real\ngrid: {lr: [0.001, -1.0]}")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["freqkd", "sweep", "rates.yaml"])
    ends = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            cli.main()
        ends.append((end.value.code, *capsys.readouterr()))
    (status, out, err), (_, again, _) = ends
    assert status == 1 and "2 runs, 0 finished before" in out and "1 finished before" in again
    failed = next((root / "runs" / "sweeps").glob("06_real-*.failed"))
    assert err == (
        "freqkd: 06_real seed=0 lr=-1.0 failed: Cell 2 of 06_real failed: lr is below 0. "
        f"(as far as it came: {failed / 'notebook.ipynb'})\n"
    )
    assert (failed / "error.txt").read_text() == "Cell 2 of 06_real failed: lr is below 0.\n"
    (row,) = read_results(root / "rates")
    assert (row.arm, row.value) == ("code (lr=0.001)", 0.001)
    assert (root / "rates" / "figure.png").read_bytes()[:4] == b"\x89PNG"


NOTEBOOK = """from freqkd_lite.errors import UserError
from freqkd_lite.notebook import opening, save
from freqkd_lite.results.rows import Row
if lr < 0:
    raise UserError("lr is below 0.")
row = Row(claim="walk", arm="code", seed=seed, data="msrs", split="val", metric="ap", value=lr)
opening("06_real")
save([row])"""


def test_the_time_left_is_the_mean_pace_over_the_workers():
    assert time_left([10, 30], 5, 2) == ", about 1 min to go".replace("1 min", "60 s")
    assert time_left([600], 12, 1) == ", about 2.0 h to go"
    assert time_left([], 5, 2) == time_left([9], 0, 1) == ""


# ------------------------------------------------------------------- gathering, tables and pages


def finish(made) -> None:
    for job in made.jobs:
        fake(job.notebook, job.values, job.folder)


def test_gathered_runs_are_what_the_notebooks_read_seeds_from(root):
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [0, 1, 2]}")
    finish(made)
    write(made, root / "out", "freqkd sweep sweep.yaml", [])
    parameters = {"lr": 0.001, "steps": 3, "seed": 7}
    scores, said = seed_scores(root, "05_arms", "probe_ap", parameters, "w")
    # 0.5, 0.6, 0.7: mean 0.6, s = 0.1, t(0.975, 2) = 4.302653, half = 4.302653 * 0.1 / sqrt(3)
    assert scores["code"]["mean"].value == pytest.approx(0.6)
    assert scores["code"]["mean"].interval == pytest.approx((0.351586, 0.848414), abs=1e-6)
    assert "Mean over 3 seeds" in said
    assert seed_scores(root, "05_arms", "probe_ap", parameters | {"lr": 1}, "w")[0] == {}
    for row in read_results(root / "out"):
        assert row.per_image == f"per_image/05_arms-seed{row.seed}-images.npz"
        assert (root / "out" / row.per_image).read_text() == f"seed {row.seed}"
    # another sweep into the same folder leaves no file that no row names
    write(sweep(root, "notebook: 05_arms\ngrid: {seed: [1]}"), root / "out", "", [])
    assert [p.name for p in (root / "out" / "per_image").iterdir()] == ["05_arms-seed1-images.npz"]


def test_an_arm_carries_what_varies_besides_the_seed(root):
    made = sweep(root, "notebook: 05_arms\ngrid: {lr: [0.001, 0.01], seed: [0, 1]}")
    finish(made)
    found, about = gather(made.jobs, root / "out")
    assert [row.arm for row in found] == 2 * ["code (lr=0.001)"] + 2 * ["code (lr=0.01)"]
    assert len({row.per_image for row in found}) == 4
    assert about["05_arms"]["parameters"] == {"steps": 3}  # what all share, without the seed
    assert about["05_arms"]["runs"][3] == {"seed": 1, "lr": 0.01}
    write(made, root / "out", "", [])
    with (root / "out" / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(r["arm"], r["settings"], r["seeds"]) for r in table] == [
        ("code", "lr=0.001", "2"), ("code", "lr=0.01", "2"),
    ]  # fmt: skip


def test_arms_of_their_own_runs_stand_beside_each_other(root):
    made = sweep(
        root,
        """notebook: 05_arms
fixed: {lr: 0.01}
grid: {seed: [0, 1]}
runs: [{arms: [none, "mse (lr=0.1)"]}, {arms: [none, code]}]""",
    )
    finish(made)
    found, about = gather(made.jobs, root / "out")
    # the undistilled arm, which both runs of a seed hold, is taken once
    assert [(row.arm, row.seed, row.value) for row in found] == [
        ("none", 0, 0.3), ("mse (lr=0.1)", 0, 0.5), ("none", 1, 0.3), ("mse (lr=0.1)", 1, 0.6),
        ("code", 0, 0.5), ("code", 1, 0.6),
    ]  # fmt: skip
    assert about["05_arms"]["parameters"] == {"lr": 0.01, "steps": 3}
    assert len({row.per_image for row in found}) == 4  # one a run
    # a later version drew other intervals, and its processor rounds otherwise
    later = made.jobs[-1].folder
    told = [row.model_copy(update={"value": 0.3001, "interval": (0.1, 0.4)})
            if row.arm == "none" else row for row in read_results(later)]  # fmt: skip
    write_results(later, told, json.loads((later / "manifest.json").read_text()))
    found = gather(made.jobs, root / "out")[0]
    assert [(row.seed, row.value, row.interval) for row in found if row.arm == "none"] == [
        (0, 0.3, None), (1, 0.3001, (0.1, 0.4)),
    ]  # fmt: skip
    (none,) = (m for m in means(found) if m.arm == "none")
    assert (none.seeds, none.over, none.interval) == (2, "", None)  # no interval over seeds


def test_what_is_done_is_gathered_without_running_anything(root, monkeypatch, capsys):
    text = "notebook: 05_arms\nfixed: {arms: [none, mse]}\nagainst: mse\ngrid: {seed: [0, 1, 2]}"
    made = sweep(root, text)
    fake(made.jobs[0].notebook, made.jobs[0].values, made.jobs[0].folder)
    made.jobs[2].failed.mkdir(parents=True)
    (made.jobs[2].failed / "error.txt").write_text("Cell 3 failed: no masks.\n")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["freqkd", "sweep", "sweep.yaml", "--gather"])
    (root / "sweep.yaml").write_text(text)
    with pytest.raises(SystemExit) as end:
        cli.main()
    # the file of images that the fake wrote holds no scores, so no difference can be formed
    assert end.value.code == 2 and "again: run it again" in capsys.readouterr().err
    assert [row.seed for row in read_results(root)] == [0, 0]
    told = json.loads((root / "manifest.json").read_text())
    assert told["unfinished"] == ["05_arms seed=1"]
    assert told["failed"] == ["05_arms seed=2: Cell 3 failed: no masks."]
    assert not made.jobs[1].folder.exists()


def test_what_one_run_does_not_tell_does_not_part_it_from_the_others(root):
    """An older run knows no `lessons`: the others are compared among themselves."""
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [0, 1, 2]}")
    finish(made)
    for job, lessons in zip(made.jobs, (None, "a", "a"), strict=True):
        file = job.folder / "manifest.json"
        write_json(file, json.loads(file.read_text()) | {"lessons": lessons})
    _, about = gather(made.jobs, root / "out")
    assert about["05_arms"]["lessons"] == [None, "a", "a"]
    write_json(file, json.loads(file.read_text()) | {"lessons": "b"})
    with pytest.raises(UserError, match="was run with other lessons than 05_arms seed=1: remove"):
        gather(made.jobs, root / "out")


def test_arms_that_entered_later_are_told_with_the_differences(root):
    text = "notebook: 05_arms\nfixed: {arms: [none, code, mse]}\nagainst: mse\nlater: [code]"
    assert sweep(root, text).later == ["code"]


def told_by(job, **about) -> None:
    file = job.folder / "manifest.json"
    write_json(file, json.loads(file.read_text()) | about)


def test_seeds_that_saw_other_data_are_not_averaged_and_both_folders_are_told(root):
    made = sweep(root, "notebook: 05_arms\ngrid: {seed: [0, 1, 2, 3]}")
    finish(made)
    for job, content in zip(made.jobs, ("old", "old", "old", "new"), strict=True):
        told_by(job, data=content)
    old, _, _, new = made.jobs
    sentence = (
        f"05_arms seed=3 was run with other data than 05_arms seed=0: remove {new.folder} and "
        f"{old.folder}, and start the sweep again."
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        gather(made.jobs, root / "out")


def made_on(root: Path) -> tuple[dict, list[str]]:
    """What manifest and page of the results say of what the runs were made on."""
    book = json.loads((root / "out" / "manifest.json").read_text())["notebooks"]["05_arms"]
    lines = (root / "out" / "README.md").read_text().splitlines()
    return (
        {key: book[key] for key in ("threads", "device", "versions") if key in book},
        [line for line in lines if line.startswith(("- versions", "- device"))],
    )


def test_the_page_tells_what_the_runs_were_made_on_and_not_what_gathered_them(root):
    made = sweep(root, "notebook: 05_arms\nfixed: {arms: [none, code]}\ngrid: {seed: [0, 1]}")
    finish(made)
    write(made, root / "out", "", [])
    found, lines = made_on(root)  # none tells, so it is what gathered them
    assert found == {} and lines[0].endswith(f"torchvision {version('torchvision')}")
    for job in made.jobs:
        told_by(job, threads=77, device="abacus", versions={"torch": "0.1", "python": "3.0"})
    write(made, root / "out", "", [])
    assert made_on(root) == (
        {"threads": 77, "device": "abacus", "versions": {"torch": "0.1", "python": "3.0"}},
        ["- versions: python 3.0, torch 0.1", "- device: abacus, 77 threads"],
    )
    told_by(made.jobs[1], threads=1, versions={"torch": "0.2", "python": "3.0"})
    write(made, root / "out", "", [])
    found, lines = made_on(root)
    assert found["threads"] == [77, 1] and found["device"] == "abacus"
    assert [each["torch"] for each in found["versions"]] == ["0.1", "0.2"]
    assert lines == [
        "- versions: python 3.0, torch 0.1 and 0.2", "- device: abacus, 77 and 1 threads",
    ]  # fmt: skip


def test_means_intervals_and_the_table_against_numbers_worked_by_hand():
    told = [r for s, v in enumerate((0.2, 0.4)) for r in rows(s, v)]
    told += rows(0, 0.9, "none", interval=(0.8, 0.95))
    told += rows(0, None, "mse") + rows(1, 0.5, "mse")
    code_, none, mse = means(told)
    # mean 0.3, s = 0.141421, t(0.975, 1) = 12.706205, half = 12.706205 * 0.1
    assert code_.value == pytest.approx(0.3)
    assert code_.interval == pytest.approx((-0.970620, 1.570620), abs=1e-6)
    assert (none.value, none.interval, none.seeds) == (0.9, (0.8, 0.95), 1)
    assert (mse.value, mse.interval, mse.seeds) == (0.5, None, 1)
    assert (code_.over, none.over, mse.over) == ("seeds", "images", "")
    # words stand to the left, numbers to the right, two blanks between the widest
    assert summary.printed([code_, none, mse], "probe_ap").splitlines() == [
        "probe_ap on msrs (val)",
        "arm            class  probe_ap  95 % interval    over    seeds",
        "FreqKD (code)  mean      0.300  [-0.971, 1.571]  seeds       2",
        "undistilled    mean      0.900  [0.800, 0.950]   images      1",
        "MSE            mean      0.500                               1",
    ]
    assert summary.answer([code_, none, mse], "probe_ap") == (
        "On msrs, probe AP (mean over classes) is highest for undistilled 0.900 [0.800, 0.950] and "
        "lowest for FreqKD (code) 0.300 [-0.971, 1.571]."  # intervals of two kinds
    )
    # an arm that no seed changes has no spread over seeds: its interval is that over images
    (untrained,) = means(rows(0, 0.9, interval=(0.8, 0.95)) + rows(1, 0.9, interval=(0.81, 0.96)))
    assert (untrained.interval, untrained.over, untrained.seeds) == ((0.8, 0.95), "images", 2)
    # nor has the undistilled arm where processors round otherwise, and a row told twice is one seed
    twice = rows(0, 0.9, "none", interval=(0.8, 0.95)) * 2 + rows(1, 0.9009, "none")
    (untrained,) = means(twice)
    assert (untrained.interval, untrained.over, untrained.seeds) == ((0.8, 0.95), "images", 2)
    (trained,) = means(rows(0, 0.9) + rows(1, 0.9009))
    assert trained.over == "seeds"
    # day and night apart stand in the table, not in the answer
    parts = [replace(m, split=f"val/{light}") for m in (code_, none) for light in ("day", "night")]
    both = [code_, *parts, none]
    assert summary.answer(both, "probe_ap") == summary.answer([code_, none], "probe_ap")
    assert "undistilled, val/night" in summary.printed(both, "probe_ap")
    drawn, said = summary.figure(both, "probe_ap")
    plt.close(drawn)
    assert "FreqKD (code) 0.300" in said and "val/night" not in said
    assert "FreqKD (code), val/day" in summary.answer(parts, "probe_ap")
    # a class of one arm alone has nothing to compare: it stands in the table only
    alone = replace(code_, klass="car")
    drawn, said = summary.figure([code_, none, alone], "probe_ap")
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in drawn.axes]
    plt.close(drawn)
    assert titles == ["mean"] and "1 more classes stand in table.csv" in said
    drawn, said = summary.figure([alone], "probe_ap")
    plt.close(drawn)
    assert "car: FreqKD (code) 0.300" in said
    with pytest.raises(UserError, match="called 'probe_a': did you mean 'probe_ap'"):
        summary.headline([code_], "probe_a")


def test_a_page_follows_from_the_results_and_changes_with_them(tmp_path):
    told = rows(0, 0.25, "none", interval=(0.2, 0.3)) + rows(0, 0.75, interval=(0.7, 0.8))
    about = {"command": "freqkd sweep x", "versions": {"torch": "2.9"}, "weights": "abc"}
    write_results(tmp_path / "mine", told, about)
    summary.write_pages(tmp_path)
    made = {p.name: p.read_bytes() for p in (tmp_path / "mine").iterdir()}
    page = made["README.md"].decode()
    first = page.splitlines()[3]
    assert "highest for FreqKD (code) 0.750 [0.700, 0.800]" in first and "lie apart" in first
    assert page.index(first) < page.index("](figure.png)") < page.index("| metric |")
    for word in ("`freqkd sweep x`", "torch 2.9", "`abc`", "data: msrs"):
        assert page.index("## How it was made") < page.index(word)
    assert first in (tmp_path / "README.md").read_text()
    summary.write_pages(tmp_path)
    assert made == {p.name: p.read_bytes() for p in (tmp_path / "mine").iterdir()}
    told[1].value, told[1].interval = 0.26, (0.2, 0.32)
    write_results(tmp_path / "mine", told, about)
    summary.write_pages(tmp_path)
    page = (tmp_path / "mine" / "README.md").read_text()
    assert "0.260" in page and "0.750" not in page and "intervals overlap" in page
    assert (tmp_path / "mine" / "figure.png").read_bytes() != made["figure.png"]
    (tmp_path / "mine" / "README.md").write_text("my own words")
    with pytest.raises(UserError, match="was not written by `freqkd report`"):
        summary.write_pages(tmp_path)


def test_the_committed_pages_are_those_of_the_committed_results(tmp_path):
    for folder in ("results", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    cli.rebuild(tmp_path)
    made = [tmp_path / "README.md", *sorted(tmp_path.glob("results/**/*"))]
    for file in made:
        if file.name in ("README.md", "table.csv", "differences.json"):
            ours = ROOT / file.relative_to(tmp_path)
            assert ours.read_text() == file.read_text(), f"{ours}: give `freqkd report`"


# ------------------------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130, "freqkd: Stopped: what is finished is kept; the same command"),
        (KeyboardInterrupt("Kept 3 steps."), 130, "freqkd: Kept 3 steps.\n"),
        (OSError(28, "No space left", "runs/x"), 2, "freqkd: The disk is full at runs/x: make"),
    ],
)
def test_the_command_ends_in_a_sentence(root, error, status, sentence, monkeypatch, capsys):
    def stop(*_: object) -> None:
        raise error

    monkeypatch.chdir(root)
    monkeypatch.setattr(summary, "write_pages", stop)
    monkeypatch.setattr(sys, "argv", ["freqkd", "report"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, said = capsys.readouterr()
    assert end.value.code == status and said.startswith(sentence) and said.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "sweep", "compare", "walk", "report", "scan", "pages"])
def test_each_command_s_help_fits_a_terminal(root, command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["freqkd", command, "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    lines = capsys.readouterr().out.splitlines()
    assert 4 < len(lines) <= 24 and max(map(len, lines)) <= 80
