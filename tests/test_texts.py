"""The texts that users meet first, as one snapshot. `pytest tests/test_texts.py --snapshot-update`
writes it anew: read the difference as a user would."""

import subprocess
import sys
from pathlib import Path

import pytest

FREQKD = str(Path(sys.executable).parent / "freqkd")
COMMANDS = [
    "--help",
    "run 01_spectral_gp",
    "run 01_spectral_gap -p pears=3",
    "run 01_spectral_gap -p pairs=many",
    "run 01_spectral_gap --preset msr",
    "gap",
    "gap --data scnes --model freqkd_tiny",
    "data check folder --visible nowhere --infrared nowhere",
    "data get msrs",
    "distil nothing.yaml",
    "sweep nothing.yaml",
    "compare nothing nowhere",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_answers_as_it_did(command, tmp_path, monkeypatch, snapshot):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FREQKD_DATA", raising=False)
    done = subprocess.run([FREQKD, *command.split()], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (0 if command == "--help" else 2)
    assert (done.stdout + done.stderr).replace(str(tmp_path), ".") == snapshot
