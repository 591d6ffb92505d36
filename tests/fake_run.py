"""What stands for a notebook in the tests of sweeps. Few imports: each run is a process."""

import json
import os
import signal
import time
from pathlib import Path

from freqkd_lite.errors import UserError
from freqkd_lite.store import whole_folder, write_json


def dask_setup(worker) -> None:
    """Preloaded by a worker's process: there too, a run is a fake."""
    from freqkd_lite.runner import sweep

    sweep.execute = fake


def fake(path: Path, values: dict, out: Path, **entries) -> Path:
    """Writes what it was asked for into a log, and for each method a result of 0.5 + seed / 10 (0.3
    for "none"); waits while there is a file `hold`, but for the seed 0; the seed 13 fails. A file
    run-3 or write-3 says how often its process is killed when it begins, or writes, seed 3."""
    root, seed = path.parent.parent, values["seed"]

    def log(word: str) -> None:
        with (root / "log.txt").open("a") as file:
            file.write(f"{word} {seed}\n")

    def strike(place: str) -> None:
        file = root / f"{place}-{seed}"
        if file.exists() and (left := int(file.read_text())):
            file.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)

    with whole_folder(out) as beside:
        log("begin")
        strike("run")
        while (root / "hold").exists() and seed > 0:
            time.sleep(0.02)
        if seed == 13:
            failed = out.with_name(out.name + ".failed")
            failed.mkdir(exist_ok=True)
            (failed / "error.txt").write_text("No luck.\n")
            raise UserError(f"No luck. (partial notebook: {failed})")
        (beside / "images.npz").write_text(f"seed {seed}")
        row = dict(
            claim="walk",
            seed=seed,
            data="msrs",
            split="val",
            n=9,
            metric="probe_ap",
            per_image="images.npz",
        ) | {"class": "mean"}
        rows = [
            row | {"method": m, "value": 0.3 if m == "none" else 0.5 + seed / 10}
            for m in values.get("methods", ["gram"])
        ]
        content = {"schema": "freqkd-results/1", "rows": rows}
        (beside / "results.json").write_text(json.dumps(content))
        strike("write")
        about = dict(parameters={"lr": 0.001, "steps": 3} | values, seconds=20.0, weights="w")
        write_json(beside / "manifest.json", about)
    log("end")
    return out
