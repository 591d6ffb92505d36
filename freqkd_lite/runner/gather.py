"""Collect the results of a sweep's finished runs in one results folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from freqkd_lite.errors import UserError
from freqkd_lite.names import with_settings
from freqkd_lite.results.rows import Row, is_trained, means, read_results, write_results
from freqkd_lite.results.text import table
from freqkd_lite.runner.sweep import Job, Sweep
from freqkd_lite.store import manifest, read_text, run_key, runs_folder, write_whole

MADE_OF = ("weights", "data", "train_data", "lessons")  # equal in runs that differ in the seed
MADE_ON = ("threads", "device", "versions")


def gather(jobs: Sequence[Job], out: Path) -> tuple[list[Row], dict]:
    """The rows of finished jobs and, by notebook, how they were made; per-image files are copied to
    `out`/per_image. A method gets what varies besides the seed: `mse (lr=0.001)`.

    Runs share the rows of methods that are not trained, which are taken once, from the last run.
    `UserError` if runs that should differ in seed and methods alone had other data or weights."""
    by_notebook: dict[str, list[Job]] = {}
    first: dict[tuple, Job] = {}
    rows: dict[str, Row] = {}
    for job in jobs:
        stem, made = job.notebook.stem, job.manifest
        by_notebook.setdefault(stem, []).append(job)
        other = first.setdefault((stem, job.settings), job)
        for key in MADE_OF:
            if made.get(key) != other.manifest.get(key):
                raise UserError(
                    f"{job} was run with other {key} than {other}: remove {job.folder} and "
                    f"{other.folder}, and start the sweep again."
                )
        for row in read_results(job.folder):
            row.method = with_settings(row.method, job.settings)
            row.per_image = _copy_images(row.per_image, job, out)
            rounded = set() if is_trained(row.method) else {"value", "interval"}
            rows[row.model_dump_json(exclude={"per_image"} | rounded)] = row
    return list(rows.values()), {stem: _about(of) for stem, of in by_notebook.items()}


def _about(jobs: Sequence[Job]) -> dict:
    """What all runs of a notebook share, and the parameters and time of each."""
    made = [job.manifest for job in jobs]
    given = [each["parameters"] for each in made]
    shared = {k: v for k, v in given[0].items() if all(g.get(k) == v for g in given)}
    shared.pop("seed", None)
    each = {k: [run.get(k) for run in made] for k in (*MADE_OF, *MADE_ON)}
    distinct = {k: [v for i, v in enumerate(of) if v not in of[:i]] for k, of in each.items()}
    return {
        "parameters": shared,
        "seeds": list(dict.fromkeys(job.seed for job in jobs)),
        "seconds": [run["seconds"] for run in made],
        "runs": [job.varied for job in jobs],
        **{k: v[0] if len(v) == 1 else v for k, v in distinct.items() if v != [None]},
    }


def _copy_images(file: str | None, job: Job, out: Path) -> str | None:
    """Copy a run's per-image file into the results folder; its path there."""
    if file is None:
        return None
    alone = not set(job.varied) - {"seed"}
    stem = job.notebook.stem if alone else job.folder.name
    seed = "" if job.seed is None else f"-seed{job.seed}"
    target = out / "per_image" / f"{stem}{seed}-{file}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, (job.folder / file).read_bytes(), durable=False)
    return f"per_image/{target.name}"


def failures(jobs: Iterable[Job]) -> dict[Job, str]:
    """The jobs that failed when they were last run, and why, without this machine's paths."""
    found = (job for job in jobs if not job.done and job.error.is_file())
    return {job: read_text(job.error).strip() for job in found}


def write(sweep: Sweep, out: Path, command: str, failed: Mapping[Job, str]) -> str | None:
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
        metric = headline(means(rows), sweep.content.metric)
        why = {**failed, **failures(failed)}
        keys = ("preset", "reference", "preregistered", "post_hoc", "curve")
        made = manifest(
            command=command,
            sweep=sweep.text,
            metric=metric,
            protocol=sweep.protocol,
            notebooks=about,
            failed=[f"{job}: {reason}" for job, reason in why.items()],
            unfinished=[str(j) for j in sweep.jobs if j not in done and j not in failed],
            **{key: getattr(sweep.content, key) for key in keys},
        )
        write_results(out, rows, made)
        named = {row.per_image for row in rows}
        for old in (out / "per_image").glob("*"):
            if f"per_image/{old.name}" not in named:
                old.unlink()
        write_page(out)
    return table(*means_table(means(rows), metric))
