"""What Dask adds to a run of a sweep: runs that do nothing, on two workers of this machine.

A worker computes a run's address before it begins, which holds for real runs too; its first takes
as long as reading data and weights, so that each worker's first run is not counted.
"""

import os
import tempfile
import time
from pathlib import Path

import dask
import nbformat

from freqkd_lite.runner import sweep
from freqkd_lite.store import whole_folder, write_json

RUN = 120  # seconds of a usual run


def nothing(path: Path, values: dict, out: Path, **entries: object) -> None:
    """In place of a notebook: a folder with its manifest."""
    with whole_folder(out) as folder:
        write_json(folder / "manifest.json", {"seconds": 0, "ended": time.time()})


def dask_setup(worker: object) -> None:
    """Preloaded by each worker."""
    sweep.execute = nothing


def measure(folder: Path, runs: int, workers: int) -> list[list]:
    """A row [runs, workers, ms per run, share of `RUN`]."""
    os.environ["FREQKD_RUNS"] = str(folder / "runs")
    (folder / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("seed: int = 0", metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[cell])
    book.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(book, folder / "notebooks" / "01_nothing.ipynb")
    (folder / "sweep.yaml").write_text(f"notebook: 01_nothing\ngrid: {{seed: {[*range(runs)]}}}")
    made = sweep.read_sweep(folder, folder / "sweep.yaml")
    with dask.config.set({"distributed.worker.preload": "benchmarks.scheduler"}):
        failed = sweep.run_all(made, workers)
    ended = sorted(job.manifest["ended"] for job in made.jobs)
    each = (ended[-1] - ended[workers - 1]) / (runs - workers) * workers
    assert not failed
    return [[runs, workers, f"{1000 * each:.0f}", f"{each / RUN:.2%}"]]


def main() -> None:
    from benchmarks.common import finish, parser  # with torch, which workers don't need

    options = parser(__doc__, rounds=200)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), given.rounds, given.workers)
    head = ["runs", "workers", "ms of a worker for each", f"of a run of {RUN} s"]
    finish(given, "What Dask adds to a run of a sweep", "Runs that do nothing.", head, rows)


if __name__ == "__main__":
    main()
