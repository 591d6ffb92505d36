"""Arrays in files that are either whole or not there, for measurements that may be stopped."""

from __future__ import annotations

import errno
import io
import zipfile
from pathlib import Path

import numpy as np

from freqkd_lite.errors import UserError
from freqkd_lite.store import write_whole

Arrays = dict[str, np.ndarray]


def read(path: Path) -> Arrays | None:
    """The arrays of a file; None where it is missing, torn or altered (the archive's own checksum
    tells), so that it is made anew."""
    try:
        with np.load(path) as kept:
            return {name: kept[name] for name in kept.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays, whole or not at all; a full disk is told in a sentence."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue(), durable=False)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"The disk of {path.parent} is full: make room and run the same again, which goes on "
            "from the last batch of pairs that is saved."
        ) from error
