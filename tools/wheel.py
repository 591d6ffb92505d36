"""The package without its repository: README's commands, from a wheel that is installed elsewhere.

    python -m tools.wheel                  # on this environment's dependencies: part of `make test`
    python -m tools.wheel lowest [PYTHON]  # on the oldest that pyproject.toml allows
    python -m tools.wheel newest [PYTHON]  # on the newest that the package index has

The last two install about 6 GB into a temporary folder, and run all of the commands, and every
notebook.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from tools.setup import ROOT, find_uv, torch_backend

RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def run(*words: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Run a command; an error ends everything."""
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=cwd, env=env, check=True)


def install(place: Path, dependencies: str, python: str) -> Path:
    """Build the wheel and install it into a new environment in `place`; the folder of its
    commands."""
    uv, home = find_uv(), place / "environment"
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", place)
    (wheel,) = place.glob("*.whl")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    run(uv, "venv", "-q", "--python", python, home)
    command = [uv, "pip", "install", "-q", "--python", home / "bin" / "python", wheel]
    if dependencies in RESOLUTIONS:
        command += ["-r", "pyproject.toml", "--resolution", RESOLUTIONS[dependencies]]
        run(*command, "--only-binary", ":all:", *torch_backend(uv))
    else:
        run(*command, "--no-deps", "--offline")
        (site,) = home.glob("lib/python*/site-packages")
        # What a .pth file names is searched, but .pth files there, as of the clone, are not read.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin"


def files(package: Path) -> dict[Path, int]:
    """Files of the installed package, with the time of their last change."""
    found = (f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return {file: file.stat().st_mtime_ns for file in found}


def main(dependencies: str = "these", python: str = sys.executable) -> None:
    """Install, and run the commands; the last lines say with which versions."""
    with tempfile.TemporaryDirectory(prefix="freqkd-wheel-") as folder:
        place, empty = Path(folder), Path(folder, "empty")
        commands = install(place, dependencies, python)
        (package,) = commands.parent.glob("lib/python*/site-packages/freqkd_lite")
        before = files(package)
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FREQKD_RUNS")}
        if dependencies not in RESOLUTIONS:  # its templates lie beside the dependencies
            env["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_readme.py"]
        asked = "two_small_folders" + " and (check or gap)" * (dependencies not in RESOLUTIONS)
        run(*pytest, "-k", asked, env=env | {"FREQKD_BIN": str(commands)})
        empty.mkdir()
        run(commands / "freqkd", "run", "00_start_here", cwd=empty, env=env)
        if dependencies in RESOLUTIONS:
            run(commands / "freqkd", "walk", "--preset", "smoke", cwd=empty, env=env)
        if files(package) != before or [file.name for file in empty.iterdir()] != ["runs"]:
            sys.exit("wheel: a command wrote into the package, or beside the folder `runs`.")
        (manifest,) = empty.glob("runs/notebooks/*/manifest.json")
        print(json.loads(manifest.read_text())["versions"])


if __name__ == "__main__":
    main(*sys.argv[1:])
