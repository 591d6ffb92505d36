"""What each data set is, who made it, under which licence, and how to get it (catalogue.yaml)."""

import os
from pathlib import Path

import yaml
from pydantic import BaseModel

from freqkd_lite.data.base import REGISTRY, find_set
from freqkd_lite.data.download import Source
from freqkd_lite.data.faults import Ledger
from freqkd_lite.data.files import FilePairs
from freqkd_lite.errors import UserError


class Entry(BaseModel):
    """One data set for `freqkd data describe`. `source` is set where the publisher lets anyone
    download it, else `how` is the way to get it; `loader` says how to read it."""

    about: str
    has: str
    size: str
    licence: str
    cite: str
    origin: str
    how: str = ""
    loader: str
    source: Source | None = None


_TEXT = Path(__file__).with_name("catalogue.yaml").read_text(encoding="utf-8")
CATALOGUE = {name: Entry(**entry) for name, entry in yaml.safe_load(_TEXT).items()}


def find(name: str) -> str:
    """Whether a set lies where `load` looks without a root: how many pictures and where."""
    if name not in REGISTRY:
        return "no own loader, use `folder`"
    kind = find_set(name)
    if not issubclass(kind, FilePairs):
        return "always here"
    if name == "folder":
        return "where you say"
    try:
        records = kind.collect(None, Ledger(collect=True), kind.Options()).records
    except UserError:
        return "not here"
    folders = {path.parent for r in records for path in (r.visible, r.infrared) if path}
    return f"{len(records)} in {os.path.commonpath(folders)}"
