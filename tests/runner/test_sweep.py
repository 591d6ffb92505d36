"""Sweeps: refused before anything runs, each run done once, killed ones resumed; the numbers
of tables and pages against some that were worked by hand."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import dask
import pandas as pd
import pytest
import torch
from distributed import Client, LocalCluster
from PIL import Image

from freqkd_lite.results.rows import pick, read_manifest, read_results, write_results
from freqkd_lite.runner import cluster, report, sweep as sweeps
from freqkd_lite.runner.gather import gather, write
from freqkd_lite.runner.sweep import read_sweep, run_all
from freqkd_lite.store import write_json
from tests.distil.test_survival import until
from tests.fake_run import fake
from tests.refused import refused
from tests.runner.books import DATA, code, settings, write as write_notebook

ROOT = Path(__file__).parents[2]
PARAMETERS = "seed: int = 0\nlr: float = 0.001\nmethods: list[str] = ['none', 'gram']"


def logged(root: Path, word: str) -> list[int]:
    file = root / "log.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return sorted(int(line.split()[1]) for line in lines if line.startswith(word))


@pytest.fixture
def root(root: Path) -> Path:
    (root / "notebooks" / "presets" / "small.yaml").write_text("common: {lr: 0.5}")
    write_notebook(root / "notebooks", "01_plain", [settings("pairs: int = 4")])
    write_notebook(root / "notebooks", "05_made", [settings(PARAMETERS)])
    return root


INSIDE = cluster.LOCAL | {"n_workers": 1, "processes": False, "protocol": "tcp"}
ALONE = threading.Lock()  # two clusters that start at once in one process begin the same imports


@contextmanager
def threads(workers: int, scheduler: None):
    """In place of worker processes, so that they know of fakes."""
    with ALONE:
        cluster = LocalCluster(threads_per_worker=workers, **INSIDE)
    with cluster as it, Client(it) as client:
        yield client


@pytest.fixture
def faked(monkeypatch) -> None:
    monkeypatch.setattr(sweeps, "execute", fake)
    monkeypatch.setattr(sweeps, "connected", threads)


def sweep(root: Path, text: str):
    (root / "sweep.yaml").write_text(text)
    return read_sweep(root, root / "sweep.yaml")


def finish(jobs) -> None:
    for job in jobs:
        fake(job.notebook, job.values, job.folder)


def finished(root: Path, text: str):
    """A sweep, the runs of which are finished."""
    made = sweep(root, text)
    finish(made.jobs)
    return made


# ----------------------------------------------------------------------------------- sweep files


def test_a_grid_crosses_the_runs_and_each_notebook_takes_what_it_has(root):
    text = """notebook: [01_plain, 05_made]
preset: small
fixed: {methods: [none]}
runs: [{lr: 1e-4}, {}]
grid: {seed: [0, 1]}"""
    made = sweep(root, text)
    assert [job.notebook.stem for job in made.jobs] == ["01_plain"] + 4 * ["05_made"]
    crossed = [{"seed": s, "lr": lr} for lr in (0.0001, 0.5) for s in (0, 1)]  # small.yaml's is 0.5
    assert [job.varied for job in made.jobs[1:]] == crossed
    assert made.jobs[1].values == {"lr": 0.0001, "methods": ["none"], "seed": 0}
    assert made.jobs[1].settings == "lr=0.0001" and made.jobs[0].settings == ""
    assert len({job.folder for job in made.jobs}) == 5
    again = sweep(root, text + "\n# a word\n")
    assert [job.folder for job in again.jobs] == [job.folder for job in made.jobs]


BOOK = "notebook: 05_made"
BOTH = f"{BOOK}\nfixed: {{methods: [none, gram]}}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("notebook: 05_mad", "'05_made'"),
        (f"{BOOK}\npreset: smal", "'small'"),
        (f"{BOOK}\ngird: {{seed: [0]}}", "'grid'"),
        (f"{BOOK}\ngrid: {{sed: [0]}}", "'seed'"),
        (f"{BOOK}\nruns: [{{sed: 0}}]", "'seed'"),
        (f"{BOOK}\nfixed: {{sed: 0}}", "'seed'"),
        (f"{BOOK}\ngrid: {{seed: [0, 1.5]}}", "seed of 05_made is 1.5"),
        (f"{BOOK}\ngrid: {{seed: 3}}", "grid.seed=3"),
        (f"{BOOK}\ngrid: [seed]", "grid="),
        (f"{BOOK}\nruns: {{seed: 3}}", "runs="),
        (f"{BOOK}\ngrid: {{seed: [1, 1]}}", "twice for seed=1"),
        (f"{BOOK}\nfixed: {{seed: 1}}\ngrid: {{seed: [1]}}", "seed is in two"),
        ("grid: {seed: [1]}", "notebook is missing"),
        (f"{BOTH}\npost_hoc: [gra]", "'gram'"),
        (f"{BOOK}\npost_hoc: gram", "post_hoc="),
        (f"{BOTH}\nreference: mse", "'mse'"),
        (f"{BOTH}\npreregistered: gram", "reference"),
        (f"{BOTH}\ncurve: lr", "curve=lr"),
        (f"{BOTH}\nreference: gram\ngrid: {{lr: [0.1, 0.2]}}", "reference=gram"),
        (f"{BOTH}\nreference: gram\ncurve: lr", "reference and curve"),
        (f"{BOTH}\nreference: gram\nmetric: divergence", "'divergence'"),
        ("notebook: [", "line 1, column 12"),
        (f"{BOOK}\ngrid: &a {{seed: &b [1], lr: *b}}", "*b"),
        (f"{BOOK}\nprotocol: ../plan.md", "protocol=../plan.md is not a file"),
    ],
)
def test_what_is_wrong_in_a_sweep_file_is_named_before_anything_runs(root, text, names):
    refused(re.escape(names), sweep, root, text)


def test_older_keys_and_names_are_read(root):
    text = """notebook: 05_made
fixed: {arms: [none, code, "mse (shuffled=True)"]}
against: code
metric: label_free_miou
named: mse (shuffled=True)
later: [mse (shuffled=True)]"""
    made = sweep(root, text)
    mismatched = "mse (mismatched=True)"
    assert made.jobs[0].values["methods"] == ["none", "freqkd_code", mismatched]
    c = made.content
    assert (c.reference, c.preregistered, c.post_hoc) == ("freqkd_code", mismatched, [mismatched])


def test_a_sweep_reads_each_split_once_and_runs_anew_when_the_data_changed(root, splits):
    write_notebook(root / "notebooks", "05_made", [settings(f"{PARAMETERS}\n{DATA}")])
    text = """notebook: 05_made
fixed: {distil_dataset: "here,far"}
grid: {seed: [0, 1, 2], lr: [0.1, 0.2]}"""
    made = sweep(root, text)
    assert sorted(splits.asked) == [("here", "train"), ("here", "val"), ("here,far", "train")]
    finish(made.jobs)
    assert all(job.done for job in sweep(root, text).jobs)
    splits.content["here,far", "train"] = "corrected"
    assert not any(job.done for job in sweep(root, text).jobs)


# --------------------------------------------------------------------------------------- running


def test_two_sweeps_at_once_do_each_run_once_and_both_have_all(root, faked):
    made = sweep(root, "notebook: 05_made\ngrid: {seed: [0, 1, 2, 13]}")
    (root / "hold").touch()  # so that both want the same runs at the same time
    failed = []
    both = [threading.Thread(target=lambda: failed.append(run_all(made, 2))) for _ in range(2)]
    for thread in both:
        thread.start()
    until(lambda: len(logged(root, "begin")) >= 2)
    (root / "hold").unlink()
    for thread in both:
        thread.join()
    assert [[job.seed for job in each] for each in failed] == [[13], [13]]
    assert logged(root, "begin") == [0, 1, 2, 13] and logged(root, "end") == [0, 1, 2]


def test_a_failing_run_is_told_the_rest_goes_on_and_next_time_it_comes_last(root, faked, capsys):
    made = sweep(root, "notebook: 05_made\ngrid: {seed: [13, 0, 2]}")
    ((job, printed),) = run_all(made, 1).items()
    assert job.seed == 13 and printed.startswith("No luck.") and logged(root, "end") == [0, 2]
    out = capsys.readouterr().out
    assert "[1/3] 05_made seed=13: failed: No luck." in out
    assert "[2/3] 05_made seed=0: 20 s, about 20 s to go" in out and "[3/3]" in out
    table = write(made, root / "out", "freqkd sweep sweep.yaml", {job: printed})
    assert "probe_ap" in table
    about = json.loads((root / "out" / "manifest.json").read_text())
    assert about["failed"] == ["05_made seed=13: No luck."]
    assert about["sweep"] == made.text and about["notebooks"]["05_made"]["seeds"] == [0, 2]
    page = (root / "out" / "README.md").read_text()
    assert "05_made seed=13: No luck." in page and str(root) not in page
    assert len(run_all(sweep(root, "notebook: 05_made\ngrid: {seed: [13, 1]}"))) == 1
    out = capsys.readouterr().out
    assert out.index("[1/2] 05_made seed=1:") < out.index("[2/2] 05_made seed=13: failed")


RUN = """import os, signal, sys
from pathlib import Path
from freqkd_lite.cli import app as cli
from freqkd_lite.runner import sweep
from tests.fake_run import fake

sweep.execute = fake
sys.argv = ["freqkd", "sweep", "sweep.yaml"]
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    cli.main()
"""


def started(root: Path, script: str, *arguments: str, **environment: str) -> subprocess.Popen:
    """A script in a process group of its own."""
    (root / "run.py").write_text(script)
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    words = [sys.executable, "run.py", *arguments]
    return subprocess.Popen(words, cwd=root, env=env, text=True, start_new_session=True, **pipes)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(root, stop, faked):
    made = sweep(root, "notebook: 05_made\ngrid: {seed: [0, 1, 2]}")
    (root / "hold").touch()
    with started(root, RUN) as process:
        until(lambda: logged(root, "begin") == [0, 1])
        # Ctrl-C is for the whole group
        os.killpg(process.pid, stop) if stop == signal.SIGINT else process.kill()
        printed = process.communicate()[1]
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert printed.startswith("freqkd: Interrupted: 1 of 3 runs are finished and saved in ")
        assert printed.endswith("rerun the command to resume.\n") and printed.count("\n") == 1
    # Its child ends with it: the lock of run 1 comes free although `hold` still holds it.
    thread = threading.Thread(target=run_all, args=(made, 1))
    thread.start()
    until(lambda: logged(root, "begin") == [0, 1, 1])
    (root / "hold").unlink()
    thread.join()
    assert logged(root, "begin") == [0, 1, 1, 2] and logged(root, "end") == [0, 1, 2]
    left = [p.name for p in (root / "runs" / "sweeps").iterdir() if p.name != ".locks"]
    assert sorted(left) == sorted(job.folder.name for job in made.jobs)


def test_what_killed_workers_were_doing_is_done_again_and_nothing_twice(root, monkeypatch, capsys):
    text = "notebook: 05_made\ngrid: {seed: [0, 1, 2, 3, 4]}"
    made = sweep(root, text)
    for name, times in {"run-1": 1, "write-2": 1, "run-3": 99}.items():
        (root / name).write_text(str(times))
    preload = {"distributed.worker.preload": "tests.fake_run"}
    with dask.config.set(preload | {"distributed.scheduler.allowed-failures": 1}):
        ((job, printed),) = run_all(made, 2).items()
    assert job.seed == 3 and printed.startswith("killed 2 workers")
    assert logged(root, "end") == [0, 1, 2, 4]
    begun = [logged(root, "begin").count(seed) for seed in range(5)]
    # 3 is tried alone in the end, after it had ended others, or waited where others ended
    assert [*begun[:3], begun[4]] == [1, 2, 2, 1] and 2 <= begun[3] <= 4
    assert "05_made seed=3: failed: killed 2 workers" in capsys.readouterr().out
    write(made, root / "killed", "", {})
    monkeypatch.setenv("FREQKD_RUNS", str(root / "undisturbed"))
    alone = sweep(root, text)
    finish([job for job in alone.jobs if job.seed != 3])
    write(alone, root / "alone", "", {})
    for name in ("results.json", "table.csv"):
        assert (root / "killed" / name).read_bytes() == (root / "alone" / name).read_bytes()


REMOTE = """import importlib.metadata as metadata, sys
from distributed import LocalCluster
from freqkd_lite.runner.cluster import LOCAL
from tests import fake_run

fake_run.dask_setup(None)
version = metadata.version
metadata.version = lambda name: "0.1" if name in sys.argv[1:] else version(name)
cluster = LocalCluster(None, 1, 1, False, protocol="tcp", **LOCAL)
print(cluster.scheduler_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def remote(root: Path, *arguments: str, **environment: str):
    """Dask in another process, which has its own environment: the process, and the address."""
    with started(root, REMOTE, *arguments, **environment) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_worker_with_other_data_or_packages_says_so_before_anything_is_run(root, monkeypatch):
    for kind in ("vi", "ir"):
        (folder := root / "here" / "roadscene" / kind).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (8, 8), i).save(folder / f"FLIR_{i}.png")
    monkeypatch.setenv("FREQKD_DATA", str(root / "here"))
    source = f"{PARAMETERS}\n{DATA.replace('here', 'roadscene')}"
    write_notebook(root / "notebooks", "05_made", [settings(source)])
    made = sweep(root, "notebook: 05_made")
    for arguments, data, word in (([], "there", "FREQKD_DATA"), (["torch"], "here", "torch 0.1")):
        with remote(root, *arguments, FREQKD_DATA=str(root / data)) as (_, address):
            refused(f"Worker tcp://127.0.0.1:[0-9]+ on .*{word}", run_all, made, 1, address)
    assert logged(root, "begin") == []


def test_a_scheduler_that_goes_or_is_not_there_is_told_and_what_is_finished_stays(root, faked):
    made = sweep(root, "notebook: 05_made\ngrid: {seed: [0, 1, 2]}")
    (root / "hold").touch()
    with pytest.MonkeyPatch.context() as patch, remote(root) as (process, address):
        patch.setattr(sweeps, "connected", cluster.connected)
        begun = lambda: until(lambda: logged(root, "begin") == [0, 1])  # noqa: E731
        thread = threading.Thread(target=lambda: begun() and process.kill())
        thread.start()
        refused(f"{address} .*gone", run_all, made, 1, address)
        thread.join()
        patch.setattr(cluster, "ANSWER", 3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for bad in (address, "quark:", "tls://[::1]:1", f"127.0.0.1:{silent.getsockname()[1]}"):
                refused(rf"{re.escape(bad)} .*\(\w.*rerun", run_all, made, 1, bad)
    (root / "hold").unlink()
    assert run_all(made, 1) == {} and logged(root, "end") == [0, 1, 2]


def test_a_run_that_is_finished_elsewhere_alone_is_told(root, faked, monkeypatch):
    monkeypatch.setattr(sweeps, "execute", lambda *run, **entries: None)
    monkeypatch.setattr(sweeps, "ARRIVAL", 1)
    made = sweep(root, "notebook: 05_made")
    refused(f"{made.jobs[0].folder} .*FREQKD_RUNS", run_all, made)


def test_the_command_with_real_notebooks_keeps_the_broken_run_and_skips_the_others(root, freqkd):
    cells = [settings(PARAMETERS), code(NOTEBOOK)]
    write_notebook(root / "notebooks", "06_real", cells)
    (root / "rates.yaml").write_text("notebook: 06_real\ngrid: {lr: [0.001, -1.0]}")
    (root / "rates").touch()
    status, _, err = freqkd("sweep", "rates.yaml")
    assert status == 2 and "is a file" in err and not (root / "runs").exists()
    (root / "rates").unlink()
    status, out, err = freqkd("sweep", "rates.yaml")
    assert status == 1 and "2 runs, 0 already finished" in out
    failed = next((root / "runs" / "sweeps").glob("06_real-*.failed"))
    assert err.startswith("freqkd: 06_real seed=0 lr=-1.0 failed: Cell 2 of 06_real failed: lr is")
    assert str(failed / "notebook.ipynb") in err
    assert (failed / "error.txt").read_text() == "Cell 2 of 06_real failed: lr is below 0.\n"
    (row,) = read_results(root / "rates")
    assert (row.method, row.value) == ("gram (lr=0.001)", 0.001)
    assert (root / "rates" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    assert "1 already finished" in freqkd("sweep", "rates.yaml")[1]
    printed = freqkd("sweep", "rates.yaml", "--workers", "2", "--scheduler", "tcp://here:1")
    assert printed[0] == 2 and "leave out --workers" in printed[2]


NOTEBOOK = """from freqkd_lite.errors import UserError
from freqkd_lite.notebook import opening, save
from freqkd_lite.results.rows import Row
if lr < 0:
    raise UserError("lr is below 0.")
row = Row(claim="walk", method="gram", seed=seed, data="msrs", split="val", metric="ap", value=lr)
opening("06_real")
save([row])"""


# ------------------------------------------------------------------- gathering, tables and pages


def test_gathered_runs_are_what_the_notebooks_read_seeds_from(root):
    made = finished(root, "notebook: 05_made\ngrid: {seed: [0, 1, 2]}")
    write(made, root / "out", "freqkd sweep sweep.yaml", {})
    for row in read_results(root / "out"):
        assert row.per_image == f"per_image/05_made-seed{row.seed}-images.npz"
        assert (root / "out" / row.per_image).read_text() == f"seed {row.seed}"
    # another sweep into the same folder leaves no file that no row names
    write(sweep(root, "notebook: 05_made\ngrid: {seed: [1]}"), root / "out", "", {})
    assert [p.name for p in (root / "out" / "per_image").iterdir()] == ["05_made-seed1-images.npz"]


def test_a_method_carries_what_varies_besides_the_seed(root):
    made = finished(root, "notebook: 05_made\ngrid: {lr: [0.001, 0.01], seed: [0, 1]}")
    found, about = gather(made.jobs, root / "out")
    assert [row.method for row in found] == 2 * ["gram (lr=0.001)"] + 2 * ["gram (lr=0.01)"]
    assert len({row.per_image for row in found}) == 4
    assert about["05_made"]["parameters"] == {"steps": 3}  # what all share, without the seed
    assert about["05_made"]["runs"][3] == {"seed": 1, "lr": 0.01}
    write(made, root / "out", "", {})
    table = pd.read_csv(root / "out" / "table.csv")[["method", "settings", "seeds"]]
    assert table.to_numpy().tolist() == [["gram", f"lr={lr}", 2] for lr in (0.001, 0.01)]


def test_the_checksum_of_a_protocol_stands_in_the_manifest_and_on_the_page(root):
    (root / "plan.md").write_text("What will be tested.\n")
    made = finished(root, "notebook: 05_made\ngrid: {seed: [0]}\nprotocol: plan.md")
    write(made, root / "out", "", {})
    sum_of = "e772fe73e2fc5add"  # by sha256sum, the first 16 digits
    assert read_manifest(root / "out")["protocol"].startswith(sum_of)
    assert f"`{sum_of}`" in (root / "out" / "README.md").read_text()


def test_methods_of_their_own_runs_stand_beside_each_other(root):
    runs = 'runs: [{methods: [none, "mse (lr=0.1)"]}, {methods: [none, gram]}]'
    made = finished(root, f"notebook: 05_made\nfixed: {{lr: 0.01}}\ngrid: {{seed: [0, 1]}}\n{runs}")
    found, about = gather(made.jobs, root / "out")
    # the undistilled student, which both runs of a seed hold, is taken once
    mse = [("none", 0, 0.3), ("mse (lr=0.1)", 0, 0.5), ("none", 1, 0.3), ("mse (lr=0.1)", 1, 0.6)]
    gram = [("gram", 0, 0.5), ("gram", 1, 0.6)]
    assert [(row.method, row.seed, row.value) for row in found] == mse + gram
    assert about["05_made"]["parameters"] == {"lr": 0.01, "steps": 3}
    assert len({row.per_image for row in found}) == 4  # one a run
    # a later version drew other intervals, and its processor rounds otherwise
    later, drawn = made.jobs[-1], {"value": 0.3001, "interval": (0.1, 0.4)}
    told = read_results(later.folder)
    told = [row.model_copy(update=drawn if row.method == "none" else {}) for row in told]
    write_results(later.folder, told, later.manifest)
    found = pick(gather(made.jobs, root / "out")[0], method="none")
    assert [(row.seed, row.value) for row in found] == [(0, 0.3), (1, 0.3001)]
    assert [row.interval for row in found] == [None, (0.1, 0.4)]


def test_what_is_done_is_gathered_without_running_anything(root, freqkd):
    made = sweep(root, f"{BOTH.replace('gram', 'mse')}\nreference: mse\ngrid: {{seed: [0, 1, 2]}}")
    finish(made.jobs[:1])
    made.jobs[2].error.parent.mkdir(parents=True)
    made.jobs[2].error.write_text("Cell 3 failed: no masks.\n")
    # the file of images that the fake wrote holds no scores, so no difference can be formed
    assert freqkd("sweep", "sweep.yaml", "--gather")[0] == 2
    assert [row.seed for row in read_results(root)] == [0, 0]
    told = json.loads((root / "manifest.json").read_text())
    assert told["unfinished"] == ["05_made seed=1"]
    assert told["failed"] == ["05_made seed=2: Cell 3 failed: no masks."]
    assert not made.jobs[1].folder.exists()


def test_seeds_that_saw_other_data_are_not_averaged_and_both_folders_are_told(root):
    made = finished(root, "notebook: 05_made\ngrid: {seed: [0, 1, 2, 3]}")
    old, *_, new = made.jobs
    write_json(new.folder / "manifest.json", new.manifest | {"data": "other"})
    refused(f"data.*{new.folder} and {old.folder}", gather, made.jobs, root / "out")


# ------------------------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130, "freqkd: Interrupted. Finished work is saved"),
        (KeyboardInterrupt("Kept 3 steps."), 130, "freqkd: Kept 3 steps.\n"),
        (OSError(28, "No space left", "runs/x"), 2, "freqkd: The disk is full at runs/x"),
        (OSError(122, "Quota exceeded", "runs/x"), 2, "freqkd: The disk is full at runs/x"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 2, "freqkd: Out of memory"),
        (OSError(13, "Permission denied", "runs/x"), 2, "freqkd: Permission denied at runs/x"),
    ],
)
def test_the_command_ends_in_a_sentence(root, error, status, sentence, monkeypatch, freqkd):
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr(report, "write_pages", stop)
    got, _, printed = freqkd("report")
    assert got == status and printed.startswith(sentence) and printed.count("\n") == 1
