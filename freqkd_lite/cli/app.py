"""The command `freqkd`: a user's mistake ends in one sentence and exit status 2."""

import errno
import importlib
import io
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option
from typer.core import TyperGroup

from freqkd_lite.cli import out_option, project
from freqkd_lite.cli.data import data
from freqkd_lite.cli.gap import Given, demo, distil, gap
from freqkd_lite.errors import LESS, Interrupted, UserError, out_of_memory, plain
from freqkd_lite.store import DISK_FULL, check_place, read_text


class Commands(TyperGroup):
    """Typer's group ends silently on Ctrl-C; this one says how to resume."""

    def invoke(self, ctx):
        try:
            Path.home()
        except RuntimeError:  # a container's unknown user; matplotlib and Jupyter end in tracebacks
            raise UserError(
                "There is no home folder: set HOME to one that can be written."
            ) from None
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or STOPPED) from None


# Of an OSError: a place that can't be written or read, or whose name is impossible.
PLACES = errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP
STOPPED = "Interrupted. Finished work is saved; rerun the command to resume."
# Imports are inside the commands: torch takes seconds, and `--help` should not.
app = typer.Typer(
    cls=Commands,
    name="freqkd",
    help="Run the FreqKD notebooks and analyses, on the examples or on your own image pairs.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
exercises = typer.Typer(
    help="Exercises: check what you wrote.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data, name="data")
app.add_typer(exercises, name="exercises")
Preset = Annotated[str, Option(metavar="NAME", help="Settings from notebooks/presets/NAME.yaml.")]


@app.command()
def run(
    notebook: Annotated[str, Argument(metavar="NOTEBOOK", help="Such as 05_distillation.")],
    preset: Preset = "default",
    p: Given = None,
    out: Annotated[Path | None, out_option("DIR", "Folder of the run (default: in runs/).")] = None,
) -> None:
    """Run one notebook with other parameters and print its result."""
    root = project()
    import nbformat

    from freqkd_lite.runner import execute, pages
    from freqkd_lite.runner.parameters import choose
    from freqkd_lite.store import runs_folder

    path, values = choose(root / "notebooks", notebook, preset, p or [])
    key = execute.address(path, values)
    out = out or runs_folder() / "notebooks" / f"{path.stem}-{preset}-{key[:8]}"
    command = ["freqkd", "run", path.stem, "--preset", preset, *(f"-p {item}" for item in p or [])]
    execute.execute(path, values, out, progress=True, preset=preset, command=" ".join(command))
    typer.echo(out)
    if found := execute.result(nbformat.read(out / execute.NOTEBOOK, 4)):
        typer.echo(found)
    try:
        typer.echo(f"Look at {pages.write_page(root, out / execute.NOTEBOOK, path.stem, out)}")
    except UserError as error:  # the user's own notebook: its run is valid all the same
        typer.echo(f"No page: {error}", err=True)


@app.command()
def sweep(
    file: Annotated[Path, Argument(metavar="FILE", help="YAML: notebook, preset, grid, ...")],
    workers: Annotated[int, Option(min=1, metavar="N", help="Parallel runs, a process each.")] = 1,
    scheduler: Annotated[
        str | None, Option(metavar="ADDRESS", help="Address of a Dask scheduler (docs/scale.md).")
    ] = None,
    out: Annotated[
        Path | None, out_option("DIR", "Results (default: beside sweep.yaml, or FILE's stem).")
    ] = None,
    gather: Annotated[bool, Option("--gather", help="Only collect finished runs.")] = False,
) -> None:
    """Run a notebook with many parameters; resumes where it stopped."""
    if workers > 1 and scheduler:
        raise UserError("--scheduler has its own workers: leave out --workers.")
    root = project()
    from freqkd_lite.runner import gather as gathering
    from freqkd_lite.runner.sweep import read_sweep, run_all

    chosen = read_sweep(root, file)
    out = out or (file.parent if file.stem == "sweep" else file.with_suffix(""))
    check_place(out)
    failed = gathering.failures(chosen.jobs) if gather else run_all(chosen, workers, scheduler)
    inside = file.resolve().is_relative_to(root)
    command = f"freqkd sweep {file.resolve().relative_to(root) if inside else file.name}"
    table = gathering.write(chosen, out, command, failed)
    typer.echo(f"{table}\n{out / 'README.md'}" if table else "No run is finished: no results.")
    for job, error in failed.items():
        typer.echo(f"freqkd: {job} failed: {error}", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def compare(
    one: Annotated[Path, Argument(metavar="RUN", help="A folder that holds a manifest.json.")],
    other: Annotated[Path, Argument(metavar="RUN", help="Another one.")],
) -> None:
    """Show what differs between two runs, and in their results."""
    from freqkd_lite.results.compare import compare as compare_runs

    typer.echo(compare_runs(one, other))


@app.command()
def walk(preset: Preset = "default") -> None:
    """Run every notebook not finished yet, and write the pages."""
    root = project()
    from freqkd_lite.runner import pages

    typer.echo(f"Look at {pages.walk(root, preset)}")


@app.command()
def refresh(
    notebooks: Annotated[list[str] | None, Argument(metavar="NAME", help="Only these.")] = None,
) -> None:
    """Run notebooks and save the outputs in notebooks/."""
    root = project(rewrites=True)
    from freqkd_lite.runner import pages

    pages.refresh(root, notebooks or ())


@app.command("pages")
def pages_command(preset: Preset = "default") -> None:
    """Write the finished notebooks of the last walk as pages."""
    root = project()
    from freqkd_lite.runner import pages

    typer.echo(f"Look at {pages.write_finished(root, preset)}")


@app.command()
def report() -> None:
    """Rebuild README's tables and the pages in results/."""
    from freqkd_lite.runner import pages
    from freqkd_lite.runner.report import write_pages, write_readme
    from freqkd_lite.viz import study

    root = project(rewrites=True)
    results = root / "results"
    found = sorted(results.glob("*/bench.json"))
    benchmarks = {file.parent.name: json.loads(read_text(file))["title"] for file in found}
    for measured in sorted(results.glob("*/gap.json")):
        study.draw_folder(measured.parent)
    made = write_pages(results, benchmarks)
    write_readme(root / "README.md", results)
    pages.write_table(root)
    typer.echo(f"Rebuilt: README.md (findings, claims, notebooks), {len(made)} pages of results/")


@exercises.command()
def check(
    names: Annotated[list[str] | None, Argument(metavar="NAME", help="Default: all.")] = None,
    file: Annotated[
        Path | None, Option(metavar="FILE", help="A notebook or .py file [exercises/]")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON, for marking.")] = False,
) -> None:
    """Say what is wrong with your functions; exit status 1 unless all are right.

    This runs code on this machine: a notebook's cells tagged `setup` and `answer`, or a .py file.
    """
    folder = project() / "exercises"
    if not (folder / "checkers.py").is_file():
        raise UserError(f"{folder} holds no exercises: run this inside a clone.")
    sys.path.insert(0, str(folder))
    attempts = importlib.import_module("checkers").attempts
    found = attempts.judge_all(names or (), file)
    typer.echo(attempts.as_json(found) if as_json else attempts.as_text(found))
    raise typer.Exit(any(verdict.state != "solved" for verdict in found))


for command in (gap, demo, distil):
    app.command()(command)


def main() -> None:
    """Entry point of the command `freqkd`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a name may not be UTF-8
    try:
        app()  # ends in SystemExit when all is well
    except UserError as error:
        status, text = 2, str(error)
    except (Interrupted, KeyboardInterrupt) as stop:
        logging.disable()  # of tasks that ended with their kernel
        status, text = 130, str(stop) or STOPPED
    except (RuntimeError, MemoryError) as error:
        status, text = 2, LESS
        if "home directory" in str(error):  # Python's words for ~nobody
            text = "~NAME in a path names no user of this machine: write the path out."
        elif not out_of_memory(error):
            raise
    except OSError as error:
        where, status = f" at {error.filename}" if error.filename else "", 2
        if error.errno in DISK_FULL:
            text = (
                f"The disk is full{where}: make room and rerun the command; finished work is saved."
            )
        elif where and error.errno in PLACES:
            text = f"{error.strerror}{where}: allow it, or name another place."
        else:
            raise
    print(f"freqkd: {plain(text)}", file=sys.stderr)
    sys.exit(status)
