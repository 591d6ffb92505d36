"""Keep each method's images of a results folder once.

    python tools/slim_results.py results/distillation [--drop-images]

A probe's scores become ranks among the positives, which give the same average precision. Untrained
methods stand in the file of every run of a sweep, most often bit by bit the same; their rows are
pointed at the first of these. Run it before results are committed. --drop-images computes the
differences and removes all files of images; intervals then rest on differences.json alone.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from freqkd_lite.results.notebooks import ranked
from freqkd_lite.results.rows import read_manifest, read_results, write_results
from freqkd_lite.runner.report import write_differences
from freqkd_lite.store import sha256

SHARED = ("truth", "groups", "time_of_day")


def slim(folder: Path, drop: bool) -> None:
    """Rewrite the rows and files of images of a results folder."""
    rows, manifest = read_results(folder), read_manifest(folder)
    if drop:
        write_differences(folder)
        manifest["images"] = "dropped after the differences were computed"
    wanted: dict[str, set[str]] = {}  # methods by file
    first: dict[tuple[str, str], str] = {}  # the file that holds a method's arrays, by checksum
    files = sorted({row.per_image for row in rows if row.per_image})
    arrays = {file: dict(np.load(folder / file)) for file in files}
    for i, row in enumerate(rows):
        file = row.per_image
        if file is None:
            continue
        own = {k: v for k, v in arrays[file].items() if is_of(k, row.method) or k in SHARED}
        checksum = sha256(*(part for k in sorted(own) for part in (k, own[k].tobytes())))
        place = None if drop else first.setdefault((row.method, checksum), file)
        rows[i] = row.model_copy(update={"per_image": place})
        if place:
            wanted.setdefault(place, set()).add(row.method)
    for file in files:
        methods = wanted.get(file, set())
        kept = {
            k: ranks_of(v, arrays[file]) if v.ndim == 4 else small(v)
            for k, v in arrays[file].items()
            if k in SHARED or any(is_of(k, method) for method in methods)
        }
        (folder / file).unlink()
        if methods:
            np.savez_compressed(folder / file, **kept)
    write_results(folder, rows, manifest)


def ranks_of(scores: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    return ranked(torch.tensor(scores).double(), torch.tensor(arrays["truth"]))


def small(array: np.ndarray) -> np.ndarray:
    """Scores in half precision, counts in the smallest type that holds them."""
    if array.dtype.kind == "f":
        return array.astype("float16")
    if array.dtype.kind not in "iu" or not array.size:
        return array
    return array.astype(
        np.result_type(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
    )


def is_of(key: str, method: str) -> bool:
    """Whether an array belongs to a method; a sweep may have added settings to the row's name."""
    own = key.partition("/")[0]
    return key not in SHARED and (method == own or method.startswith((f"{own} (", f"{own[:-1]}, ")))


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("folders", nargs="+", type=Path)
    ask.add_argument("--drop-images", action="store_true")
    given = ask.parse_args()
    for each in given.folders:
        slim(each, given.drop_images)
