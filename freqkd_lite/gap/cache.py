"""Files of arrays, whole or absent, for measurements that can be interrupted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from freqkd_lite.errors import UserError
from freqkd_lite.store import DISK_FULL, write_whole

Arrays = dict[str, np.ndarray]


def read(path: Path) -> Arrays | None:
    """The arrays of a file; None where it is missing or damaged (the archive's own checksum
    detects that), so that it is made anew."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays, whole or not at all; `UserError` for a full disk."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue(), durable=False)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise UserError(
            f"The disk of {path.parent} is full: make room and run the same again, which continues "
            "after the last batch of pairs that was saved."
        ) from error
