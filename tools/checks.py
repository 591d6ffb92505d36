"""What `make test` runs: every stage, also after one has failed, with the time of each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 2400  # seconds; a stage that takes longer hangs, and the stages after it shall still run
BIN = Path(sys.executable).parent
PYTEST = [str(BIN / "pytest"), "-p", "no:cacheprovider"]
# A cell that takes longer than the whole walk may take hangs.
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "600"]
NBVAL += ["--nbval-sanitize-with", "tests/nbval.cfg", "-o", "addopts=-q", "notebooks"]
STAGES = {
    "style": [str(BIN / "ruff"), "check", "."],
    "layers": [str(BIN / "lint-imports"), "--no-logo", "--no-cache"],
    "format": [str(BIN / "ruff"), "format", "--check", "--diff", "-q", "."],
    # Files share the cores, so each takes one thread.
    "unit tests": [*PYTEST, "-n", "auto", "--dist", "loadfile"],
    "committed notebooks say the same (nbval)": PYTEST + NBVAL,
    "notebooks on small parameters (papermill), scan, pages": [
        str(BIN / "freqkd"), "walk", "--preset", "smoke",
    ],
    "scan of the committed notebooks": [
        str(BIN / "freqkd"), "scan", *map(str, sorted(ROOT.glob("notebooks/*.ipynb"))),
    ],
}  # fmt: skip


def run(command: list[str], env: dict[str, str], limit: float = LIMIT) -> str:
    """ "ok", "failed" or "hangs"; of a stage that hangs all processes are ended."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return "failed" if process.wait(limit) else "ok"
    except subprocess.TimeoutExpired:
        return "hangs"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Run all stages; exit with 1 when any failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # and so is the stage
    # Progress bars are for people; and a stored one would differ from run to run.
    plain = os.environ | {"TQDM_DISABLE": "1"}
    told, failed = [], 0
    for name, command in STAGES.items():
        print(f"\n== {name}", flush=True)
        env = plain | ({"OMP_NUM_THREADS": "1"} if name == "unit tests" else {})
        start = time.monotonic()
        word = run(command, env)
        failed += word != "ok"
        told.append(f"{time.monotonic() - start:6.0f} s  {word:6}  {name}")
    print("\n== time of each stage", *told, sep="\n", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
