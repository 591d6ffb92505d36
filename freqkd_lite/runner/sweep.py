"""Sweeps: notebooks run with many parameters, and what they measured in one results folder.

    notebook: 05_distillation      # or a list: each takes the parameters that it has
    preset: msrs                   # from notebooks/presets/; without it the notebook's defaults
    fixed: {steps: 120}            # the same for every run
    grid: {seed: [0, 1, 2], steps: [60, 120]}            # every combination of these
    runs: [{methods: [none, mse]}, {methods: [none, gram]}]   # each with every combination
    metric: probe_ap               # what table and figure show
    reference: mse                 # the method that all others are compared with, image by image
    preregistered: gram            # the comparison with it that was chosen before any was made
    post_hoc: [pkd]                # methods added after the first test results
    curve: lr                      # instead of a reference: the methods' setting, as in
                                   # mse (lr=0.003), that is the axis of the figure

Runs lie in runs/sweeps/ by address, so a sweep that was stopped goes on, and two sweeps share the
runs that both want: whoever holds a run's lock does it. The system frees the lock of a process that
ends, however it ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from freqkd_lite.errors import UserError, invalid, unknown
from freqkd_lite.names import own_settings, renamed, with_settings
from freqkd_lite.runner.execute import ERROR, MANIFEST, address, execute
from freqkd_lite.runner.parameters import find_notebook, parameters, read_preset, read_yaml
from freqkd_lite.store import runs_folder, spell

BY_IMAGE = ("probe_ap", "map50", "miou")  # metrics of which results keep a score for each image
FINISHED, FAILED, BUSY = "finished", "failed", "busy"
Execute = Callable[..., Path]


@dataclass(frozen=True, eq=False)
class Job:
    """One run. `values` are its checked parameters, `varied` its seed and those that differ between
    runs, `folder` where it lies when it is finished."""

    notebook: Path
    values: dict
    varied: dict
    folder: Path

    @property
    def seed(self) -> int | None:
        return self.varied.get("seed")

    @property
    def settings(self) -> str:
        """What varies besides seed and methods: 'lr=0.001, steps=60'."""
        return ", ".join(f"{k}={v}" for k, v in self.varied.items() if k not in ("seed", "methods"))

    def __str__(self) -> str:
        return " ".join([self.notebook.stem, *(f"{k}={v}" for k, v in self.varied.items())])

    @property
    def done(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def manifest(self) -> dict:
        return json.loads((self.folder / MANIFEST).read_text())

    @property
    def error(self) -> Path:
        """The file that says why the run failed when it was last tried."""
        return self.folder.with_name(self.folder.name + ".failed") / ERROR

    def failure(self) -> int | None:
        """A stamp that changes each time that the run fails; None if it has not."""
        return self.error.stat().st_mtime_ns if self.error.is_file() else None


class SweepFile(BaseModel):
    """What a sweep file may hold."""

    model_config = ConfigDict(extra="forbid", strict=True)

    notebook: str | list[str]
    preset: str = "default"
    fixed: dict[str, object] = {}
    grid: dict[str, list] = {}
    runs: list[dict[str, object]] = Field([{}], min_length=1)
    metric: str | None = None
    reference: str | None = None
    preregistered: str | None = None
    post_hoc: list[str] = []
    curve: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and checked: its `text`, its content, and the jobs that it asks for."""

    text: str
    content: SweepFile
    jobs: list[Job]


def read_sweep(root: Path, file: Path) -> Sweep:
    """Read a sweep file; names and types of all parameters are checked against the notebooks."""
    if not file.is_file():
        raise UserError(f"{file} does not exist: give the YAML file of a sweep.")
    found = renamed(read_yaml(file, file.name)) or {}
    if not isinstance(found, dict):
        raise UserError(f"{file.name} holds no settings: begin with 'notebook: 05_distillation'.")
    for key in found:
        if key not in SweepFile.model_fields:
            raise unknown(f"key of {file.name}", key, SweepFile.model_fields)
    try:
        content = SweepFile(**{key: value for key, value in found.items() if value is not None})
    except ValidationError as error:
        raise invalid(error, file.name) from None
    names = [content.notebook] if isinstance(content.notebook, str) else content.notebook
    books = {
        path: parameters(path) for path in (find_notebook(root / "notebooks", n) for n in names)
    }
    combinations = _combinations(content, file.name)
    known = {name for of in books.values() for name in of}
    for name in {name for each in combinations for name in each} - known:
        raise unknown(f"parameter of {' or '.join(p.stem for p in books)}", name, known)
    preset = read_preset(root / "notebooks", content.preset)
    seen: dict = {}
    jobs = [job for path in books for job in _jobs(path, combinations, preset[path.stem], seen)]
    _check_comparison(content, jobs, file.name)
    return Sweep(file.read_text(), content, jobs)


def _combinations(content: SweepFile, where: str) -> list[dict]:
    """The parameters of every run that a sweep file asks for."""
    in_runs = {name for run in content.runs for name in run}
    for name in (*content.fixed, *content.grid, *in_runs):
        if (name in content.fixed) + (name in content.grid) + (name in in_runs) > 1:
            raise UserError(
                f"{where}: {name} stands in two of fixed, grid, runs: keep one of them."
            )
    points = [
        dict(zip(content.grid, values, strict=True)) for values in product(*content.grid.values())
    ]
    found = [content.fixed | run | point for run in content.runs for point in points]
    for i, one in enumerate(found):
        if one in found[:i]:
            twice = ", ".join(f"{k}={v}" for k, v in one.items() if k not in content.fixed)
            raise UserError(f"{where} asks twice for {twice or 'the same run'}: remove one.")
    return found


def _jobs(path: Path, combinations: list[dict], preset: dict, seen: dict) -> list[Job]:
    """A notebook's runs: it takes the parameters that it has, and equal runs are one."""
    known = parameters(path)
    default = {name: parameter.default for name, parameter in known.items()} | preset
    full: list[dict] = []
    for one in combinations:
        given = {k: known[k].check(v, path.stem) for k, v in one.items() if k in known}
        if default | given not in full:
            full.append(default | given)
    varied = [k for k in known if k == "seed" or any(each[k] != full[0][k] for each in full)]
    asked = preset.keys() | {k for one in combinations for k in one}
    jobs = []
    for each in full:
        values = {k: v for k, v in each.items() if k in asked}
        name = f"{path.stem}-{address(path, values, numbers_only=True, seen=seen)}"
        folder = runs_folder() / "sweeps" / name
        jobs.append(Job(path, values, {k: each[k] for k in varied}, folder))
    return jobs


def _check_comparison(content: SweepFile, jobs: Sequence[Job], where: str) -> None:
    """`UserError` unless reference, preregistered, post_hoc and curve can be shown."""
    reference, curve, metric = content.reference, content.curve, content.metric
    methods = {method for job in jobs for method in job.values.get("methods", ())}
    named = [with_settings(m, job.settings) for job in jobs for m in job.values.get("methods", ())]
    for method in (reference, content.preregistered, *content.post_hoc):
        if method is not None and methods and method not in methods:
            raise unknown(f"method of {where}", method, methods)
    if content.preregistered and not reference:
        raise UserError(f"{where} holds preregistered without a reference: add reference.")
    if reference and curve:
        raise UserError(f"{where} holds reference and curve: a figure shows one, remove the other.")
    if reference and metric and metric not in BY_IMAGE:
        raise unknown(f"metric of {where} that is compared image by image", metric, BY_IMAGE)
    if reference and named and reference not in named:
        raise UserError(
            f"{where}: reference={reference}, but results add what varies, as in {named[0]}: give "
            "methods settings of their own, as in mse (lr=0.003)."
        )
    if curve and named and not any(curve in own_settings(method) for method in named):
        raise UserError(
            f"{where}: curve={curve}, which no method has: write methods like mse ({curve}=...)."
        )


def _child(
    pipe: Connection, job: Job, preset: str, before: int | None, wait: bool, do: Execute
) -> None:
    """Do one job in this process, under the job's lock, unless another process has done it. Sends
    (FINISHED, ""), (FAILED, why) or (BUSY, "")."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides what Ctrl-C ends
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    lock = job.folder.parent / ".locks" / f"{job.folder.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=-1 if wait else 0):
            if not job.done and job.failure() not in (None, before):
                reason = job.error.read_text().strip()
                pipe.send((FAILED, f"{reason} (in another sweep; see {job.error.parent})"))
                return
            if not job.done:
                for left in job.folder.parent.glob(f".{job.folder.name}.*"):  # of a killed run
                    shutil.rmtree(left, ignore_errors=True)
                do(job.notebook, job.values, job.folder, preset=preset)
            pipe.send((FINISHED, ""))
    except Timeout:
        pipe.send((BUSY, ""))
    except (UserError, OSError) as error:
        pipe.send((FAILED, str(error)))


class Runner:
    """Does jobs, `workers` at a time, each in a process of its own."""

    def __init__(self, preset: str, workers: int, do: Execute = execute):
        self.preset, self.workers, self.do = preset, workers, do
        # One process imports what all need, and each run is a fork of it.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["freqkd_lite.runner.sweep"])
        self.alive: set[multiprocessing.Process] = set()

    def _one(self, job: Job, before: int | None, wait: bool) -> tuple[str, str]:
        ours, theirs = self.context.Pipe(duplex=False)
        arguments = (theirs, job, self.preset, before, wait, self.do)
        process = self.context.Process(target=_child, args=arguments)
        process.start()
        self.alive.add(process)
        theirs.close()  # so that the end of the process ends the wait
        try:
            return ours.recv()
        except EOFError:
            process.join()
            return FAILED, f"Its process ended with status {process.exitcode}"
        finally:
            process.join()
            self.alive.discard(process)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str, str]]:
        """(job, FINISHED or FAILED, why) as they end. Those that another sweep is doing come last:
        their end is waited for, and where that sweep was killed they are done here."""
        before = {job.folder: job.failure() for job in jobs}
        todo, wait = list(jobs), False
        while todo:
            busy = []
            with ThreadPoolExecutor(self.workers) as pool:
                try:
                    futures = {pool.submit(self._one, j, before[j.folder], wait): j for j in todo}
                    for future in as_completed(futures):
                        state, why = future.result()
                        if state == BUSY:
                            busy.append(futures[future])
                        else:
                            yield futures[future], state, why
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    for process in list(self.alive):
                        process.terminate()
                    raise
            todo, wait = busy, True


def time_left(seconds: Sequence[float], remaining: int, workers: int) -> str:
    """ ", about 2.0 h to go" at the mean pace of finished runs; "" where that is unknown."""
    if not seconds or not remaining:
        return ""
    rounds = -(-remaining // workers)
    return f", about {spell(sum(seconds) / len(seconds) * rounds)} to go"


def run_all(sweep: Sweep, workers: int = 1, do: Execute = execute) -> dict[Job, str]:
    """Do what is not finished and print how it goes; returns the jobs that failed, and why."""
    jobs, failed = sweep.jobs, {}
    seconds = [job.manifest["seconds"] for job in jobs if job.done]
    print(f"{len(jobs)} runs, {len(seconds)} finished before", flush=True)
    todo = [job for job in jobs if not job.done]
    todo.sort(key=lambda job: job.failure() is not None)  # what failed before comes last
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, (os.cpu_count() or 1) // workers)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        print(f"{workers} workers, {threads} threads each", flush=True)
    try:
        for job, state, why in Runner(sweep.content.preset, workers, do).run(todo):
            place = f"[{len(seconds) + len(failed) + 1}/{len(jobs)}] {job}"
            if state == FAILED:
                failed[job] = why
                print(f"{place}: failed: {why}", flush=True)
                continue
            seconds.append(job.manifest["seconds"])
            left = time_left(seconds, len(jobs) - len(seconds) - len(failed), workers)
            print(f"{place}: {spell(seconds[-1])}{left}", flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped: {len(seconds)} of {len(jobs)} runs are finished and kept in "
            f"{jobs[0].folder.parent}; the same command goes on from there."
        ) from None
    return failed


def default_out(file: Path) -> Path:
    """Where results go: beside a file called sweep.yaml, else in a folder of the file's name."""
    return file.parent if file.stem == "sweep" else file.with_suffix("")
