"""What `make test` runs: every stage, also after one has failed, with the time of each."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 2400  # seconds; a stage that takes longer hangs, and the stages after it shall still run
BIN = Path(sys.executable).parent
PYTEST = [str(BIN / "pytest"), "-p", "no:cacheprovider"]
NBVAL = [*PYTEST, "--nbval", "--nbval-current-env", "--nbval-cell-timeout", "600"]
NBVAL += ["--nbval-sanitize-with", "tests/nbval.cfg", "-o", "addopts=-q"]
NOTEBOOKS = [str(path) for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
LICENCES = [str(BIN / "pip-licenses"), "--from=mixed", "--partial-match", "--fail-on=UNKNOWN;GPL"]
TOLD = ["axe-playwright-python", "cuda-toolkit"]
TRAINING = ("05_", "06_", "07_")  # run with small parameters, once; the others are compared
COMPARED = [path for path in NOTEBOOKS if not Path(path).name.startswith(TRAINING)]


class Stage(NamedTuple):
    """One command, and the environment variables that it sets."""

    name: str
    command: list[str]
    env: dict[str, str] = {}


STAGES = [
    Stage("style", [str(BIN / "ruff"), "check", "."]),
    Stage("format", [str(BIN / "ruff"), "format", "--check", "--diff", "-q", "."]),
    Stage("layers", [str(BIN / "lint-imports")]),
    Stage("types", [str(BIN / "basedpyright"), "-p", ".", "--pythonpath", sys.executable]),
    Stage(
        "dependencies, none missing or unused", [str(BIN / "deptry"), "freqkd_lite", "notebooks"]
    ),
    # Of the two whose packages don't tell: axe-playwright-python is MIT's, cuda-toolkit NVIDIA's.
    Stage("licences, none unknown", [*LICENCES, "--ignore-packages", *TOLD, "--summary"]),
    # Test files share the cores, so each takes one thread.
    Stage(
        "unit tests",
        [*PYTEST, "-n", "auto", "--dist", "loadfile"],
        {"OMP_NUM_THREADS": "1"},
    ),
    # Committed outputs have to come out the same with other kernels and another number of threads.
    Stage(
        "committed notebooks (nbval), plain instructions, one thread",
        NBVAL + COMPARED,
        {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"},
    ),
    Stage(
        "committed notebooks (nbval), best instructions, two threads",
        NBVAL + COMPARED,
        {"OMP_NUM_THREADS": "2"},
    ),
    Stage("README's commands from the wheel", [sys.executable, "-m", "tools.wheel"]),
    Stage(
        "all notebooks on small parameters (papermill), scan, pages",
        [str(BIN / "freqkd"), "walk", "--preset", "smoke"],
    ),
]


def run(command: list[str], env: dict[str, str], limit: float = LIMIT) -> str:
    """Returns "ok", "failed" or "hangs"; all processes of a stage that hangs are ended."""
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
    # When this is terminated, the stage that runs is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    # Stored progress bars would differ from run to run.
    common = os.environ | {"TQDM_DISABLE": "1"}
    lines, failed = [], 0
    for stage in STAGES:
        print(f"\n== {stage.name}", flush=True)
        start = time.monotonic()
        result = run(stage.command, common | stage.env)
        failed += result != "ok"
        lines.append(f"{time.monotonic() - start:6.0f} s  {result:6}  {stage.name}")
    print("\n== time of each stage", *lines, sep="\n", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
