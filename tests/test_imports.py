"""What is loaded when: whoever only measures waits for no plotting library."""

import subprocess
import sys
from pathlib import Path

import freqkd_lite

SHOWING = {"matplotlib", "ipywidgets", "papermill", "nbconvert"}


def loaded(code):
    """The names of all modules that are loaded in a fresh process after some lines of Python."""
    lines = f"import sys\n{code}\nprint(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


ROOMS = ["errors", "store", "data", "scenes", "features", "spectrum", "losses", "distil"]
ROOMS += ["evaluate", "gap", "results"]
PACKAGE = Path(freqkd_lite.__file__).parent
MODULES = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for room in ROOMS
    for file in sorted((*PACKAGE.glob(f"{room}.py"), *PACKAGE.glob(f"{room}/**/*.py")))
]


def test_what_measures_loads_nothing_that_shows():
    found = loaded(f"import {', '.join(MODULES)}")
    assert "torch" in found and not SHOWING & found


def test_a_check_in_the_terminal_draws_nothing(tmp_path):
    call = (
        "from freqkd_lite.cli.app import app\n"
        "from freqkd_lite.errors import UserError\n"
        f"try:\n    app(['data', 'check', 'folder', '--root', {str(tmp_path)!r}])\n"
        "except UserError:\n    sys.modules['refused'] = None"
    )
    found = loaded(call)
    assert "refused" in found and "torch" in found and not SHOWING & found
