"""Real data, which lies below FREQKD_DATA and is not part of the repository."""

import os
from pathlib import Path

import pytest


def real(folder: str) -> Path:
    """Where a data set lies; without it the test is skipped."""
    found = Path(os.environ.get("FREQKD_DATA") or "nowhere") / folder
    if not found.is_dir():
        pytest.skip(f"FREQKD_DATA holds no {folder}")
    return found
