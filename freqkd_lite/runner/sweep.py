"""Sweeps: notebooks run with many parameters, given in a YAML file (docs/scale.md).

Runs lie in runs/sweeps/ by address, so a sweep that was stopped resumes, and two sweeps share the
runs that both want: the worker that holds a run's lock does it. The system frees the lock of a
process that ends, however it ends, and Dask gives its run to another worker.
"""

import json
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Annotated
from uuid import uuid4

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field

from freqkd_lite.errors import UserError, check_known, explained
from freqkd_lite.names import own_settings, with_settings
from freqkd_lite.runner.cluster import connected
from freqkd_lite.runner.execute import ERROR, MANIFEST, execute, from_here, ingredients
from freqkd_lite.runner.parameters import find_notebook, parameters, read_preset, read_yaml
from freqkd_lite.store import duration, read_text, run_key, runs_folder, sha256_file

BY_IMAGE = ["probe_ap", "map50", "miou"]  # metrics of which results keep a score for each image
BY_IMAGE += [f"label_free_{metric}" for metric in BY_IMAGE]
BUSY = "busy"
REMEDIES = {"data": "set FREQKD_DATA there", "weights": "set FREQKD_WEIGHTS there"}
ARRIVAL = 60  # seconds for a run to be seen here: how long NFS caches a folder
SEEN: dict = {}  # a worker's, of data and weights


@dataclass(frozen=True, eq=False)
class Job:
    """One run. `values` are its checked parameters, `varied` its seed and those that differ between
    runs, `folder` where it lies when it is finished, `made` what its address is made of."""

    notebook: Path
    values: dict
    varied: dict
    folder: Path
    made: dict

    @property
    def seed(self) -> int | None:
        return self.varied.get("seed")

    @property
    def settings(self) -> str:
        """The varied parameters besides seed and methods: 'lr=0.001, steps=60'."""
        return ", ".join(f"{k}={v}" for k, v in self.varied.items() if k not in ("seed", "methods"))

    def __str__(self) -> str:
        return " ".join([self.notebook.stem, *(f"{k}={v}" for k, v in self.varied.items())])

    @property
    def done(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def manifest(self) -> dict:
        return json.loads(read_text(self.folder / MANIFEST))

    @property
    def error(self) -> Path:
        """The file that says why the run failed when it was last tried."""
        return self.folder.with_name(self.folder.name + ".failed") / ERROR

    def failure(self) -> int | None:
        """A stamp that changes each time that the run fails; None if it has not."""
        return self.error.stat().st_mtime_ns if self.error.is_file() else None


class SweepFile(BaseModel):
    """The content of a sweep file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    notebook: str | Annotated[list[str], Field(min_length=1)]
    preset: str = "default"
    fixed: dict[str, object] = {}
    grid: dict[str, list] = {}
    runs: list[dict[str, object]] = Field([{}], min_length=1)
    metric: str | None = None
    reference: str | None = None
    preregistered: str | None = None
    post_hoc: list[str] = []
    curve: str | None = None
    protocol: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and checked: its `text`, its content, the jobs that it asks for, and the
    checksum of the `protocol` that was written before them."""

    text: str
    content: SweepFile
    jobs: list[Job]
    protocol: str | None = None


def read_sweep(root: Path, file: Path) -> Sweep:
    """Read a sweep file; names and types of all parameters are checked against the notebooks."""
    found = read_yaml(file, file.name)
    check_known(f"key of {file.name}", SweepFile.model_fields, *found)
    with explained(file.name):
        content = SweepFile(**{key: value for key, value in found.items() if value is not None})
    names = [content.notebook] if isinstance(content.notebook, str) else content.notebook
    paths = [find_notebook(root / "notebooks", name) for name in names]
    combinations = _combinations(content, file.name)
    known = {name for path in paths for name in parameters(path)}
    asked = {name for each in combinations for name in each}
    check_known(f"parameter of {' or '.join(path.stem for path in paths)}", known, *asked)
    preset = read_preset(root / "notebooks", content.preset)
    seen: dict = {}
    jobs = [job for path in paths for job in _jobs(path, combinations, preset[path.stem], seen)]
    _check_comparison(content, jobs, file.name)
    return Sweep(read_text(file), content, jobs, protocol_checksum(file, content.protocol))


def protocol_checksum(sweep: Path, protocol: str | None) -> str | None:
    """The SHA-256 of the protocol, written before the sweep; its path is relative to it."""
    if protocol is None:
        return None
    if not (file := sweep.parent / protocol).is_file():
        raise UserError(f"{sweep.name}: protocol={protocol} is not a file beside it: write it.")
    return sha256_file(file)


def _combinations(content: SweepFile, where: str) -> list[dict]:
    """The parameters of every run that a sweep file asks for."""
    in_runs = {name for run in content.runs for name in run}
    for name, places in Counter([*content.fixed, *content.grid, *in_runs]).items():
        if places > 1:
            raise UserError(f"{where}: {name} is in two of fixed, grid, runs: keep one.")
    crossed = product(*content.grid.values())
    points = [dict(zip(content.grid, values, strict=True)) for values in crossed]
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
        values = from_here({k: v for k, v in each.items() if k in asked})
        made = ingredients(path, values, True, seen)
        folder = runs_folder() / "sweeps" / f"{path.stem}-{run_key(made)}"
        jobs.append(Job(path, values, {k: each[k] for k in varied}, folder, made))
    return jobs


def _check_comparison(content: SweepFile, jobs: Sequence[Job], where: str) -> None:
    """`UserError` unless reference, preregistered, post_hoc and curve can be shown."""
    reference, curve, metric = content.reference, content.curve, content.metric
    methods = {method for job in jobs for method in job.values.get("methods", ())}
    named = [with_settings(m, job.settings) for job in jobs for m in job.values.get("methods", ())]
    shown = filter(None, (reference, content.preregistered, *content.post_hoc))
    check_known(f"method of {where}", methods, *(shown if methods else ()))
    if content.preregistered and not reference:
        raise UserError(f"{where} holds preregistered without a reference: add reference.")
    if reference and curve:
        raise UserError(f"{where} holds reference and curve: a figure shows one, remove the other.")
    if reference and metric:
        check_known(f"metric of {where} that is compared image by image", BY_IMAGE, metric)
    if reference and named and reference not in named:
        raise UserError(
            f"{where}: reference={reference}, but results add what varies, as in {named[0]}: give "
            "methods settings of their own, as in mse (lr=0.003)."
        )
    if curve and named and not any(curve in own_settings(method) for method in named):
        raise UserError(
            f"{where}: curve={curve}, which no method has: write methods like mse ({curve}=...)."
        )


def attempt(job: Job, preset: str, before: int | None) -> str | None:
    """Do a job under its lock, on a worker, unless another sweep has done it. Returns None, why it
    failed, or `BUSY` where another sweep is doing it. `UserError`, before anything is run, where
    this worker would not compute the same."""
    _check_worker(job)
    lock = job.folder.parent / ".locks" / f"{job.folder.name}.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            if job.done:
                return None
            if job.failure() not in (None, before):
                reason = read_text(job.error).strip()
                return f"{reason} (in another sweep; see {job.error.parent})"
            for left in job.folder.parent.glob(f".{job.folder.name}.*"):  # of a killed run
                shutil.rmtree(left, ignore_errors=True)
            execute(job.notebook, job.values, job.folder, preset=preset)
            return None
    except Timeout:
        return BUSY
    except (UserError, OSError, RuntimeError) as error:  # the last of a kernel that did not start
        return str(error)


def _check_worker(job: Job) -> None:
    """`UserError` naming the ingredients of a job's address that differ between this worker and the
    machine that computed it. Files are read again only where they have changed."""
    from distributed import get_worker

    for seen in (SEEN, {}):
        try:
            made = ingredients(job.notebook, job.values, True, seen)
        except (UserError, OSError) as error:
            found = f"can't read what {job} needs, this clone or its data and weights: {error}"
            continue
        other = [name for name in made if made[name] != job.made[name]]
        if not other:
            return SEEN.update(seen)
        lacks = sorted(made["installed"].items() - job.made["installed"].items())
        what = other[0]
        if other == ["installed"]:
            what = ", ".join(f"{name} {version}" for name, version in lacks)
        remedy = REMEDIES.get(other[0], "give it the same installation and clone")
        found = f"differs in {what} from the machine that started the sweep: {remedy} ({job})."
    raise UserError(f"Worker {get_worker().address} on {platform.node()} {found}")


def run_all(sweep: Sweep, workers: int = 1, scheduler: str | None = None) -> dict[Job, str]:
    """Run unfinished jobs on local workers or those of a Dask scheduler, and print progress;
    returns the jobs that failed, and why. Those that another sweep is running come last: their end
    is waited for, and where that sweep was killed they are run here."""
    jobs, failed = sweep.jobs, {}
    seconds = [job.manifest["seconds"] for job in jobs if job.done]
    print(f"{len(jobs)} runs, {len(seconds)} already finished", flush=True)
    before = {job: job.failure() for job in jobs if not job.done}
    if not before:
        return failed
    from distributed import KilledWorker, as_completed  # takes a second

    batches = [sorted(before, key=lambda job: before[job] is not None)]  # what failed comes last
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, (os.cpu_count() or 1) // workers)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        print(f"{workers} workers, {threads} threads each", flush=True)
    try:
        with connected(min(workers, len(before)), scheduler) as client:
            for batch in batches:  # more may follow
                futures, busy = {}, []
                for place, job in enumerate(batch):
                    given = job, sweep.content.preset, before[job]
                    key = f"{job.folder.name}-{uuid4().hex}"
                    futures[client.submit(attempt, *given, key=key, priority=-place)] = job
                for future in as_completed(futures, loop=client.loop):
                    job = futures.pop(future)
                    place = f"[{len(seconds) + len(failed) + 1}/{len(jobs)}] {job}"
                    try:
                        why = future.result()
                    except KilledWorker as killed:
                        why = f"killed {killed.allowed_failures + 1} workers (out of memory?)"
                        if len(batch) > 1:  # Dask blames all that a worker had: alone, then
                            batches.append([job])
                            continue
                    if why == BUSY:
                        busy.append(job)
                    elif why is not None:
                        failed[job] = why
                        print(f"{place}: failed: {why}", flush=True)
                    elif not any(job.done or time.sleep(1) for _ in range(ARRIVAL)):
                        raise UserError(
                            f"{job} is finished, but {job.folder} is not here: set FREQKD_RUNS to "
                            "a folder that all machines share."
                        )
                    else:
                        seconds.append(job.manifest["seconds"])
                        at_once = max(1, sum(client.nthreads().values()))
                        rounds = -(-(len(jobs) - len(seconds) - len(failed)) // at_once)
                        left = f", about {duration(mean(seconds) * rounds)} to go" if rounds else ""
                        print(f"{place}: {duration(seconds[-1])}{left}", flush=True)
                if busy:
                    batches.append(busy)
                    time.sleep(1)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted: {sum(job.done for job in jobs)} of {len(jobs)} runs are finished and "
            f"saved in {jobs[0].folder.parent}; rerun the command to resume."
        ) from None
    return failed
