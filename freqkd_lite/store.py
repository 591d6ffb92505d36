"""Run folders: addressed by their content, and either whole or not there."""

import base64
import errno
import hashlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from freqkd_lite.errors import UserError

if TYPE_CHECKING:  # commands that show a page of help don't wait for it
    import numpy as np

PACKAGE = Path(__file__).parent
COPY = PACKAGE / "clone"  # notebooks and results in an installed wheel (see pyproject.toml)
RECIPE = 1
"""Part of every run's address, beside settings and checksums of data and weights: raise it when the
same settings would give other numbers (tests/distil/test_recipe.py guards the training)."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)  # of an OSError
Arrays = dict[str, "np.ndarray"]
TIMES = Path("results/default/minutes.json")  # of a clone
FIGURES = "figures"  # a run's folder of those that its page shows
VERSIONS = ("torch", "torchvision", "timm", "peft", "accelerate", "torchmetrics", "numpy", "scipy")


def runs_folder(folder: str | Path | None = None) -> Path:
    """Where runs are kept: the argument, else FREQKD_RUNS, else the user's cache folder."""
    chosen = folder or os.environ.get("FREQKD_RUNS") or Path.home() / ".cache" / "freqkd" / "runs"
    return Path(chosen).expanduser().absolute()  # notebooks run in a folder of their own


def cache_folder(kind: str) -> Path:
    """Where "teacher" maps or "scenes" are cached: FREQKD_CACHE, else the user's cache folder."""
    base = os.environ.get("FREQKD_CACHE") or Path.home() / ".cache" / "freqkd"
    return Path(base).expanduser() / kind


def duration(seconds: float) -> str:
    """A duration: '40 s', '3 min', '2.5 h'."""
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def measured_times(root: Path) -> dict[str, float]:
    """Seconds that each notebook took when the committed outputs were made; {} if unknown."""
    file = root / TIMES
    return json.loads(read_text(file))["seconds"] if file.exists() else {}


def _as_bytes(content: str | bytes) -> bytes:
    # A text may hold bytes of a file name that are not UTF-8.
    return content if isinstance(content, bytes) else content.encode(errors="backslashreplace")


def sha256(*parts: str | bytes) -> str:
    """The SHA-256 of texts and bytes one after the other, 64 hex digits."""
    return hashlib.sha256(b"".join(map(_as_bytes, parts))).hexdigest()


def encoded(save: Callable, /, **options: Any) -> bytes:
    """What `save`, of a Pillow picture or a figure, would write; `options` name the format."""
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()


def in_base64(content: bytes) -> str:
    """Bytes as text, for what a page holds itself."""
    return base64.b64encode(content).decode()


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(parts: Iterable[object]) -> str:
    """16 hex digits that change when the text of any of `parts` does."""
    return sha256("\n".join(map(str, parts)))[:16]


def run_key(content: dict) -> str:
    """The address of a run: 16 hex digits that change when anything in `content` does."""
    return digest([json.dumps(content, sort_keys=True, default=str)])


def no_bar(progress: bool) -> bool:
    """tqdm's `disable`: True where no bar is asked for, or TQDM_DISABLE is set (as for notebooks
    that are executed), which tqdm heeds only without `disable`."""
    return not progress or bool(os.environ.get("TQDM_DISABLE"))


def manifest(**entries: object) -> dict:
    """What a reader needs to repeat a run: versions, device, precision, time, and `entries`."""
    import torch  # takes seconds

    return {
        "schema": "freqkd-manifest/1",
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe": RECIPE,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in VERSIONS},
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "precision": "fp32",
        **entries,
    }


def check_place(path: Path, folder: bool = True) -> None:
    """`UserError` unless a folder, or else a file, can be written at `path`."""
    if max(len(os.fsencode(part)) for part in path.parts or ".") > 200:  # of 255, for more beside
        raise UserError(f"{path} has a name that is too long: shorten it.")
    exists = os.path.lexists if folder else os.path.exists  # a file may replace a dead link
    there = next(each for each in (path, *path.parents) if exists(each))
    if not there.is_dir() and (folder or there != path):
        raise UserError(f"{there} is a file where a folder should be: move it or name another.")
    if not folder and path.is_dir():
        raise UserError(f"{path} is a folder: name a file such as {path / 'report.html'}.")
    if not os.access(there, os.W_OK):
        raise UserError(f"{there} can't be written: name a place where you may write.")


def write_whole(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write beside and rename, so that a reader sees the old file, the new one, or none.

    `durable` waits for the disk, in case of a loss of power.
    """
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with beside.open("wb") as stream:
            stream.write(_as_bytes(content))
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read_text(path: Path, remedy: str = "restore it or write it again") -> str:
    """A text file in UTF-8; `UserError` with the remedy where it is missing or no such file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file in UTF-8: {remedy}.") from error
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {remedy}.") from None
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}): {remedy}.") from error


def parsed(path: Path, remedy: str = "fix it", parse: Callable = json.loads) -> Any:
    """The content of a JSON file, or of one that `parse` reads; a `UserError` names the file, the
    place in it and the remedy."""
    text = read_text(path, remedy)
    try:
        return parse(text)
    except Exception as error:  # of a class that the parser chose
        why = " ".join(str(error).split())
        raise UserError(f"{path} can't be read ({why}): {remedy}.") from error


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file; none where it is missing or damaged (the archive's own checksum detects
    that), so that they are computed anew."""
    import numpy as np

    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def write_arrays(path: Path, arrays: Arrays, small: bool = False) -> None:
    """Write arrays, compressed if `small`, whole or not at all; `UserError` for a full disk."""
    import numpy as np

    content = encoded(np.savez_compressed if small else np.savez, **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content, durable=False)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise UserError(
            f"The disk of {path.parent} is full: make room and run the same again, which goes on "
            "after what was saved."
        ) from error


def write_json(path: Path, content: object) -> None:
    """JSON with a stable layout, whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")


@contextmanager
def sole_maker(folder: Path) -> Iterator[None]:
    """Lets one process at a time make `folder`; others print that they wait, and wait.

    The system frees the lock of a process that was killed.
    """
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is computing {folder}: waiting until it has ended.", flush=True)
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        # Still held: whoever waits for the removed file sees that, and opens a new one.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yields a temporary neighbour of `path`, which takes its name only when the body succeeds.

    A folder that is already there is replaced at the end; after an error nothing is left.
    """
    path = Path(path)
    check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    beside.mkdir()
    try:
        yield beside
        old = beside.with_suffix(".old")
        if path.exists():
            os.replace(path, old)
        os.replace(beside, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
