"""Sweeps: one notebook run with many parameters, and what the runs measured in one results folder.

    notebook: 05_distillation      # or a list: each takes the parameters that it has
    preset: msrs                   # from notebooks/presets/; left out: the notebook's defaults
    fixed: {steps: 120}            # the same for every run
    grid: {seed: [0, 1, 2], steps: [60, 120]}      # every combination of these
    runs: [{methods: [none, mse]}, {methods: [none, gram]}]    # each with every combination
    metric: probe_ap               # what table and figure show
    reference: mse                 # the method that all others are compared with, image by image
    preregistered: gram            # the comparison with it that was chosen before any was made
    post_hoc: [pkd]                # methods added after the first test results
    curve: lr                      # instead of a reference: the setting of methods, as in
                                   # mse (lr=0.003), that the figure has as its axis

A run is addressed by what decides its numbers and kept in runs/sweeps/, so that a sweep that was
killed goes on where it stopped, and two that want the same run share it: whoever holds its lock
does it. The system frees the lock of a process that ends, however it ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path

from filelock import FileLock, Timeout

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.names import renamed
from freqkd_lite.results.rows import (
    UNTRAINED,
    Row,
    means,
    own_settings,
    read_results,
    split_arm,
    with_settings,
    write_results,
)
from freqkd_lite.runner.execute import ERROR, MANIFEST, address, execute
from freqkd_lite.runner.parameters import find_notebook, parameters, read_preset, read_yaml
from freqkd_lite.store import manifest, run_key, runs_folder, spell

KEYS = {"notebook", "preset", "fixed", "grid", "runs", "metric", "reference", "preregistered",
        "post_hoc", "curve"}  # fmt: skip
MADE_OF = ("weights", "data", "train_data")  # what runs that differ in the seed alone must share
TOLD = ("lessons",)  # and what they must share as far as they tell it, which older ones don't
MADE_ON = ("threads", "device", "versions")  # what runs may differ in, and each tells
FINISHED, FAILED, BUSY = "finished", "failed", "busy"
Execute = Callable[..., Path]


@dataclass(frozen=True)
class Job:
    """One run: `values` are its checked parameters, `full` these with the notebook's defaults,
    `varied` the seed and those that tell it from the others, `folder` is where it lies when it is
    finished."""

    notebook: Path
    values: dict
    full: dict
    varied: dict
    folder: Path

    @property
    def seed(self) -> int | None:
        return self.varied.get("seed")

    @property
    def settings(self) -> str:
        """What varies besides seed and arms, which each row tells: 'lr=0.001, steps=60'."""
        return ", ".join(f"{k}={v}" for k, v in self.varied.items() if k not in ("seed", "methods"))

    def __str__(self) -> str:
        return " ".join([self.notebook.stem, *(f"{k}={v}" for k, v in self.varied.items())])

    @property
    def done(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def failed(self) -> Path:
        """What is left of it when it failed."""
        return self.folder.with_name(self.folder.name + ".failed")

    def failure(self) -> int | None:
        """A stamp that changes each time that the run fails; None if it has not."""
        error = self.failed / ERROR
        return error.stat().st_mtime_ns if error.is_file() else None


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and checked: its `text`, and the jobs that it asks for."""

    text: str
    preset: str
    metric: str | None
    against: str | None
    named: str | None
    along: str | None
    later: list[str]
    jobs: list[Job]


# ---------------------------------------------------------------------------------------- reading


def _mapping(value: object, key: str, where: str) -> dict:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{where}: {key} holds {value!r}: write it as {{name: value}}.")
    return value


def _combinations(content: dict, where: str) -> list[dict]:
    """Every setting that a sweep file asks for, `fixed` left out."""
    fixed = _mapping(content.get("fixed"), "fixed", where)
    grid = _mapping(content.get("grid"), "grid", where)
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: {name} in grid holds {values!r}: give a list of values.")
    runs = content.get("runs", [{}])
    if not isinstance(runs, list) or not runs:
        raise UserError(f"{where}: runs holds {runs!r}: write a list of {{name: value}}.")
    runs = [_mapping(run, "an entry of runs", where) for run in runs]
    places = {"fixed": set(fixed), "grid": set(grid), "runs": {n for run in runs for n in run}}
    for one, other in (("fixed", "grid"), ("fixed", "runs"), ("grid", "runs")):
        for name in sorted(places[one] & places[other]):
            raise UserError(f"{where}: {name} stands in {one} and in {other}: keep one of them.")
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    found = [run | point for run in runs for point in points]
    for i, one in enumerate(found):
        if one in found[:i]:
            told = ", ".join(f"{k}={v}" for k, v in one.items())
            raise UserError(f"{where} asks twice for {told or 'the same run'}: remove one.")
    return found


def read_sweep(root: Path, file: Path) -> Sweep:
    """Read a sweep file; names and types of all parameters are checked against the notebooks."""
    if not file.is_file():
        raise UserError(f"{file} does not exist: give the YAML file of a sweep.")
    where = file.name
    content = renamed(read_yaml(file, where))
    if not isinstance(content, dict) or "notebook" not in content:
        raise UserError(f"{where} names no notebook: add a line like 'notebook: 05_distillation'.")
    for key in content:
        if key not in KEYS:
            raise unknown(f"key of {where}", key, KEYS)
    asked = content["notebook"]
    paths = [find_notebook(root / "notebooks", str(name))
             for name in (asked if isinstance(asked, list) else [asked])]  # fmt: skip
    preset = content.get("preset") or "default"
    chosen = read_preset(root / "notebooks", preset)
    combinations = _combinations(content, where)
    fixed = content.get("fixed") or {}
    known = {path: parameters(path) for path in paths}
    names = {name for of in known.values() for name in of}
    for name in [*fixed, *(n for one in combinations for n in one)]:
        if name not in names:
            raise unknown(f"parameter of {' or '.join(p.stem for p in paths)}", name, names)
    jobs, seen = [], {}
    for path, of in known.items():
        default = {name: parameter.default for name, parameter in of.items()} | chosen[path.stem]
        given = []
        for one in combinations:  # a notebook that lacks a parameter has fewer runs
            values = {k: of[k].check(v, path.stem) for k, v in (fixed | one).items() if k in of}
            if default | values not in [default | other for other in given]:
                given.append(values)
        full = [default | values for values in given]
        varied = [k for k in of if k == "seed" or any(each[k] != full[0][k] for each in full)]
        for values, each in zip(given, full, strict=True):
            values = chosen[path.stem] | values
            name = f"{path.stem}-{address(path, values, numbers_only=True, seen=seen)}"
            folder = runs_folder() / "sweeps" / name
            jobs.append(Job(path, values, each, {k: each[k] for k in varied}, folder))
    told = [content.get(key) for key in ("metric", "reference", "preregistered", "curve")]
    arms = dict.fromkeys(arm for job in jobs for arm in job.values.get("methods", ()))
    later = content.get("post_hoc") or []
    if not isinstance(later, list):
        raise UserError(f"{where}: post_hoc holds {later!r}: give a list of methods.")
    of_keys = [("reference", told[1]), ("preregistered", told[2]),
               *(("post_hoc", arm) for arm in later)]  # fmt: skip
    for key, arm in of_keys:
        if arm is not None and arms and arm not in arms:
            raise unknown(f"method of {where} for {key}", arm, arms)
    if told[2] and not told[1]:
        raise UserError(f"{where} names {told[2]} and nothing to set it against: add reference.")
    if told[1] and told[0]:
        from freqkd_lite.results.paired import METRICS  # torch takes seconds

        if told[0] not in METRICS:
            raise UserError(f"{where} sets arms against {told[1]} image by image, which {told[0]} "
                            f"does not allow: take one of {', '.join(METRICS)}.")  # fmt: skip
    if told[1] and told[3]:
        raise UserError(
            f"{where} holds reference and curve: a figure shows one of them, remove one."
        )
    named_so = [with_settings(arm, job.settings)
                for job in jobs for arm in job.values.get("methods", ())]  # fmt: skip
    if told[1] and arms and told[1] not in named_so:
        raise UserError(f"{where}: results call {told[1]} by what varies, as {named_so[0]}: write "
                        f"arms with settings of their own, as {told[1]} (lr=0.003).")  # fmt: skip
    if told[3] and arms and not any(told[3] in own_settings(arm) for arm in named_so):
        raise UserError(f"{where}: no arm has a setting {told[3]}: correct curve, or write arms "
                        f"like mse ({told[3]}=...).")  # fmt: skip
    return Sweep(file.read_text(), preset, *told, later, jobs)


# ---------------------------------------------------------------------------------------- running


def _child(pipe: Connection, job: Job, preset: str, before: int | None, wait: bool,
           do: Execute) -> None:  # fmt: skip
    """Do one job, in a process of its own: under the job's lock, unless another one has done it.
    Sends FINISHED, FAILED with a sentence, or BUSY."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides what Ctrl-C ends
    parent = multiprocessing.parent_process()
    # A sweep that is killed takes its runs with it, so that the next one need not wait for them.
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    lock = job.folder.parent / ".locks" / f"{job.folder.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=-1 if wait else 0):
            if job.done:
                pipe.send((FINISHED, ""))
            elif job.failure() not in (None, before):
                said = (job.failed / ERROR).read_text().strip()
                pipe.send((FAILED, f"{said} (in another sweep; it lies in {job.failed})"))
            else:
                for left in job.folder.parent.glob(f".{job.folder.name}.*"):  # of a killed one
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
        if job.done:
            return FINISHED, ""
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=_child, args=(theirs, job, self.preset, before, wait, self.do)
        )
        process.start()
        self.alive.add(process)
        theirs.close()  # so that the end of the process ends the wait
        try:
            return ours.recv()
        except EOFError:
            process.join()
            return FAILED, f"Its process ended with status {process.exitcode} and said nothing"
        finally:
            process.join()
            self.alive.discard(process)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str, str]]:
        """(job, FINISHED or FAILED, sentence) as they end. Those that another sweep is at come
        last: their end is waited for, and where that sweep was killed they are done here."""
        before = {job.folder: job.failure() for job in jobs}
        todo, wait = list(jobs), False
        while todo:
            busy = []
            with ThreadPoolExecutor(self.workers) as pool:
                try:
                    futures = {pool.submit(self._one, j, before[j.folder], wait): j for j in todo}
                    for future in as_completed(futures):
                        state, said = future.result()
                        if state == BUSY:
                            busy.append(futures[future])
                        else:
                            yield futures[future], state, said
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    for process in list(self.alive):
                        process.terminate()
                    raise
            todo, wait = busy, True


def time_left(seconds: Sequence[float], remaining: int, workers: int) -> str:
    """The rest of a sweep at the mean pace of its finished runs, in words; '' when unknown."""
    if not seconds or not remaining:
        return ""
    rounds = -(-remaining // workers)
    return f", about {spell(sum(seconds) / len(seconds) * rounds)} to go"


def run_all(sweep: Sweep, workers: int = 1, do: Execute = execute) -> list[tuple[Job, str]]:
    """Do what is not finished, and tell how it goes; the jobs that failed, with their sentences."""
    jobs, failed = sweep.jobs, []
    done = [job for job in jobs if job.done]
    print(f"{len(jobs)} runs, {len(done)} finished before", flush=True)
    todo = [job for job in jobs if not job.done]
    todo.sort(key=lambda job: job.failure() is not None)  # new ones need not wait for such again
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, (os.cpu_count() or 1) // workers)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        print(f"{workers} workers, {threads} threads each", flush=True)
    try:
        for job, state, said in Runner(sweep.preset, workers, do).run(todo):
            line = f"[{len(done) + len(failed) + 1}/{len(jobs)}] {job}: "
            if state == FAILED:
                failed.append((job, said))
                print(f"{line}failed: {said}", flush=True)
                continue
            done.append(job)
            seconds = [_manifest(each)["seconds"] for each in done]
            left = time_left(seconds, len(jobs) - len(done) - len(failed), workers)
            print(f"{line}{spell(_manifest(job)['seconds'])}{left}", flush=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped: {len(done)} of {len(jobs)} runs are finished and kept in "
            f"{jobs[0].folder.parent}; the same command goes on from there."
        ) from None
    return failed


def failures(jobs: Sequence[Job]) -> list[tuple[Job, str]]:
    """The jobs that failed when they were last run, with their sentences."""
    return [(job, _reason(job, "")) for job in jobs if not job.done and job.failure() is not None]


def _manifest(job: Job) -> dict:
    return json.loads((job.folder / MANIFEST).read_text())


# -------------------------------------------------------------------------------------- gathering


def gather(jobs: Sequence[Job], out: Path) -> tuple[list[Row], dict]:
    """The rows of finished jobs and, by notebook, what made them; files of images are copied to
    `out`/per_image. An arm carries what varies besides the seed: `code (lr=0.001)`.

    A row that two runs share is taken once. One of an arm which is not trained is the last run's:
    earlier ones may be of another processor, which rounds otherwise. `UserError` if two runs that
    should differ in seed and arms alone had other data or weights."""
    about, first = {}, {}
    rows: dict[str, Row] = {}
    for job in jobs:
        told = _manifest(job)
        stem = job.notebook.stem
        made_of = {key: told.get(key) for key in (*MADE_OF, *TOLD)}
        others = first.setdefault((stem, job.settings), {})
        for key, value in made_of.items():
            if key in TOLD and value is None:
                continue
            other, theirs = others.setdefault(key, (job, value))
            if theirs != value:
                raise UserError(
                    f"{job} was run with other {key} than {other}: remove {job.folder} and "
                    f"{other.folder}, and start the sweep again."
                )
        about.setdefault(stem, []).append((job, told, made_of))
        for row in read_results(job.folder):
            named = with_settings(row.arm, job.settings)
            row = row.model_copy(
                update={"method": named, "per_image": _keep(row.per_image, job, out)}
            )
            untrained = split_arm(row.arm)[0] in UNTRAINED
            apart = {"per_image"} | ({"value", "interval"} if untrained else set())
            rows[row.model_dump_json(exclude=apart)] = row
    return list(rows.values()), {stem: _about(entries) for stem, entries in about.items()}


def _about(entries: list[tuple[Job, dict, dict]]) -> dict:
    """What all runs of a notebook share, and the parameters and time of each."""
    jobs, told, made_of = zip(*entries, strict=True)
    given = [each["parameters"] for each in told]
    shared = {k: v for k, v in given[0].items() if all(g.get(k) == v for g in given)}
    shared.pop("seed", None)
    known = {key: {m[key] for m in made_of} - {None} for key in MADE_OF}
    by_run = {key: [m[key] for m in made_of] for key in TOLD}
    made_on = {key: _distinct(run.get(key) for run in told) for key in MADE_ON}
    return {
        "parameters": shared,
        **{key: values.pop() if len(values) == 1 else None for key, values in known.items()},
        "seeds": list(dict.fromkeys(job.seed for job in jobs)),
        "seconds": [run["seconds"] for run in told],
        **{key: values for key, values in by_run.items() if any(values)},
        "runs": [job.varied for job in jobs],
        **{key: values[0] if len(values) == 1 else values
           for key, values in made_on.items() if values != [None]},
    }  # fmt: skip


def _distinct(told: Iterable[object]) -> list:
    """What runs tell, each once, None for those that tell nothing. A kept one may tell a list, of
    all that it was gathered with."""
    flat = [v for each in told for v in (each if isinstance(each, list) else [each])]
    return [v for i, v in enumerate(flat) if v not in flat[:i]]


def _keep(file: str | None, job: Job, out: Path) -> str | None:
    """Copy a run's file of images into the results folder; its path there."""
    if file is None:
        return None
    alone = not set(job.varied) - {"seed"}
    stem = job.notebook.stem if alone else job.folder.name
    seed = "" if job.seed is None else f"-seed{job.seed}"
    target = out / "per_image" / f"{stem}{seed}-{file}"
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{uuid.uuid4().hex[:8]}.part")
    shutil.copyfile(job.folder / file, beside)
    os.replace(beside, target)
    return f"per_image/{target.name}"


def write(sweep: Sweep, out: Path, command: str, failed: Sequence[tuple[Job, str]]) -> str | None:
    """Results, table, figure and page of the finished runs, in place of what `out` held; returns
    the table as text, None when no run is finished."""
    from freqkd_lite.results.summary import headline, means_table  # torch takes seconds
    from freqkd_lite.runner.report import write_page

    done = [job for job in sweep.jobs if job.done]
    if not done:
        return None
    locks = runs_folder() / "sweeps" / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{run_key({'out': str(out.resolve())})}.lock"):
        rows, about = gather(done, out)
        metric = headline(means(rows), sweep.metric)
        lost = [f"{job}: {_reason(job, said)}" for job, said in failed]
        ran = [job for job, _ in failed]
        left = [str(job) for job in sweep.jobs if job not in done and job not in ran]
        entries = dict(command=command, preset=sweep.preset, sweep=sweep.text, metric=metric,
                       reference=sweep.against, preregistered=sweep.named,
                       curve=sweep.along, post_hoc=sweep.later)  # fmt: skip
        write_results(out, rows, manifest(notebooks=about, failed=lost, unfinished=left, **entries))
        kept = {row.per_image for row in rows}
        for old in (out / "per_image").glob("*"):
            if f"per_image/{old.name}" not in kept:
                old.unlink()
        write_page(out)
    return means_table(means(rows), metric)


def _reason(job: Job, said: str) -> str:
    """A failure without this machine's paths."""
    error = job.failed / ERROR
    return error.read_text().strip() if error.is_file() else said


def default_out(file: Path) -> Path:
    """Where results go: beside a file called sweep.yaml, else in a folder of the file's name."""
    return file.parent if file.stem == "sweep" else file.with_suffix("")
