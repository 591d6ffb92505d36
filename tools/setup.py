"""Makes .venv for `make walk` and `make test`; needs Python 3.11 to 3.13 and nothing else.

uv does the work (it comes through pip into a virtual environment of its own where it is missing),
in one resolution held to requirements.txt. `--pin` writes that file anew from pyproject.toml.
"""

import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PROJECT = ["--extra", "test", "pyproject.toml"]
PIN_NOTE = (
    "# The tested set, pinned; `python tools/setup.py --pin` writes it from pyproject.toml.\n"
)


def fail(sentence: str) -> None:
    sys.exit(f"setup: {sentence}")


def find_uv() -> str:
    """The uv on the path when it works, else one installed through pip beside the project's own
    environment (the system's pip may refuse to install anything)."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
        return found
    home = VENV / "uv"
    if not (home / "bin" / "uv").exists():
        print("setup: uv is missing; installing it through pip (about 25 MB)", flush=True)
        # --without-pip and ensurepip are split in some distributions: say what to install then.
        if subprocess.run([sys.executable, "-m", "venv", str(home)]).returncode:
            shutil.rmtree(home, ignore_errors=True)
            fail("Python has no venv module: install it (Debian, Ubuntu: python3-venv).")
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "uv"]
        if subprocess.run(pip).returncode:
            fail("uv could not be installed through pip: check the network and try again.")
    return str(home / "bin" / "uv")


def has_nvidia() -> bool:
    """Whether this machine has an NVIDIA GPU that its driver knows of."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def torch_backend(uv: str) -> list[str]:
    """uv's option for the CPU build of torch, where there is no NVIDIA GPU and it can be had."""
    if sys.platform != "linux" or has_nvidia():
        return []
    option = ["--torch-backend", "cpu"]
    # --reinstall, because an installed torch would answer without asking the index.
    command = [uv, "pip", "install", "--dry-run", "--reinstall", "--python", str(PYTHON), *option]
    quick = os.environ | {"UV_HTTP_TIMEOUT": "8", "UV_HTTP_RETRIES": "0"}
    try:
        tried = subprocess.run(
            [*command, "-c", "requirements.txt", "torch", "torchvision"],
            cwd=ROOT,
            env=quick,
            capture_output=True,
            timeout=40,
        )
    except subprocess.TimeoutExpired:
        return []
    return option if tried.returncode == 0 else []


def download_size(uv: str, backend: list[str]) -> str:
    """How much there is to download, read from the package index: '2.9 GB in 171 packages'."""
    lock = VENV / "pylock.toml"
    command = [uv, "pip", "compile", "-q", "--format", "pylock.toml", "--python", str(PYTHON)]
    command += [*backend, "-c", "requirements.txt", "-o", str(lock), *PROJECT]
    if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
        return "an amount that the package index does not tell"
    packages = tomllib.loads(lock.read_text()).get("packages", [])
    # A package lists a wheel for each platform; they are of about the same size.
    size = sum(max((w.get("size", 0) for w in p.get("wheels", [])), default=0) for p in packages)
    return f"{size / 1e9:.1f} GB in {len(packages)} packages"


def install() -> None:
    start = time.monotonic()
    uv = find_uv()
    if not PYTHON.exists():
        command = [uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(VENV)]
        if subprocess.run(command, cwd=ROOT).returncode:
            fail("uv could not make .venv: remove the folder and try again.")
    backend = torch_backend(uv)
    if backend:
        print("setup: no NVIDIA GPU here, and the CPU build of torch can be had: taking it")
    elif sys.platform == "linux" and not has_nvidia():
        print("setup: no NVIDIA GPU here, but the index offers no CPU build of torch;")
        print("       the usual build, with CUDA, does the same work and takes 6 GB of disk")
    print(f"setup: to download, unless uv's cache has it: {download_size(uv, backend)}", flush=True)
    # uv draws its progress for people; elsewhere it would only list what it installed.
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    # Compiled once here, instead of by the first notebooks: importing torch takes a third then.
    command = [uv, "pip", "install", "--compile-bytecode", *quiet, "--python", str(PYTHON)]
    command += backend
    if subprocess.run([*command, "-c", "requirements.txt", "-e", ".[test]"], cwd=ROOT).returncode:
        fail("the installation failed; uv says above why. Nothing is lost: try again.")
    (VENV / "bin" / ".installed").touch()
    print(f"setup: installed in {time.monotonic() - start:.0f} s (not part of the walk's time)")


def pin() -> None:
    command = [find_uv(), "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
    command += ["--no-annotate", "--no-header", *PROJECT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        fail(done.stderr)
    (ROOT / "requirements.txt").write_text(PIN_NOTE + done.stdout)


if __name__ == "__main__":
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        fail(f"this is Python {sys.version.split()[0]}: take 3.11 to 3.13 (make PYTHON=python3.12)")
    pin() if sys.argv[1:] == ["--pin"] else install()
