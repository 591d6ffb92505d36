"""Fetch what a publisher lets anyone download: resumed, checked, and never half there.

A set is put together in NAME.part beside its place and renamed when every file is there and right,
so that no program ever meets a set with pictures missing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import requests
from tqdm import tqdm

from freqkd_lite.errors import UserError
from freqkd_lite.store import sha256_file

CHECKSUMS = Path(__file__).parent / "checksums"
TRIES = 6  # a transfer that breaks is taken up again after 1, 2, 4, 8 and 16 seconds
TIMEOUT = (15, 60)  # seconds to connect, and without a byte
CHUNK = 1 << 16


@dataclass(frozen=True)
class Source:
    """Where a set lies. `url` is a ZIP archive, or the address above single files if it ends in
    "/". `folders` maps the publisher's folders (or files) to ours; what lies elsewhere is left.
    `size` is what is transferred and `unpacked` what stays, in bytes."""

    url: str
    folders: dict[str, str]
    size: int
    unpacked: int
    files: int
    verified: str


def known(name: str) -> dict[str, str]:
    """Path in the set -> SHA-256, of the files whose contents this package knows."""
    lines = (CHECKSUMS / f"{name}.sha256").read_text().splitlines()
    return {path: checksum for checksum, path in (line.split("  ", 1) for line in lines)}


def fetch(
    session: requests.Session,
    url: str,
    path: Path,
    checksum: str | None = None,
    bar: tqdm | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Download `url` to `path` by way of PATH.part, which a later call takes up where it ended.

    `UserError` when the server refuses, keeps breaking off, or sends other bytes than `checksum`
    (SHA-256); what is wrong is thrown away, what is unfinished stays as PATH.part.
    """
    part = path.with_name(path.name + ".part")
    before, why = (bar.n if bar is not None else 0), ""
    for attempt in range(TRIES):
        if attempt:
            wait(2.0 ** (attempt - 1))
        try:
            _transfer(session, url, part, lambda done: bar and bar.update(before + done - bar.n))
            break
        except requests.HTTPError as error:
            why = f"{error.response.status_code} {error.response.reason}"
            if error.response.status_code < 500:
                raise UserError(
                    f"{url} answers {why}: the publisher moved it or limits requests; try again "
                    "later, or download it by hand as `freqkd data describe` says."
                ) from error
        except requests.RequestException as error:
            why = type(error).__name__
    else:
        raise UserError(
            f"{url} broke off {TRIES} times (last: {why}): run the same command again, it goes on "
            "from what is here."
        )
    if checksum and sha256_file(part) != checksum:
        part.unlink()
        raise UserError(
            f"{url} sent other bytes than this package knows (SHA-256 should be {checksum}), and "
            "they were thrown away: try again, and if it stays so, the publisher changed the file."
        )
    os.replace(part, path)


def _transfer(
    session: requests.Session, url: str, part: Path, tell: Callable[[int], object]
) -> None:
    """One request; appends where the server goes on where we ended, starts anew where not."""
    have = part.stat().st_size if part.exists() else 0
    # Packed transfers can't be resumed by position, so none is asked for.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        span = answer.headers.get("Content-Range", "")
        if answer.status_code == 416 and span == f"bytes */{have}":
            return  # all of it was here already
        if answer.status_code == 416 or (
            answer.status_code == 206 and not span.startswith(f"bytes {have}-")
        ):
            part.unlink()
            raise requests.ConnectionError("the server can't go on from there")
        answer.raise_for_status()
        with part.open("ab" if answer.status_code == 206 else "wb") as stream:
            for block in answer.iter_content(CHUNK):
                stream.write(block)
                tell(stream.tell())


def ours(path: str, folders: dict[str, str]) -> str | None:
    """A publisher's path in our layout; None for what is not part of the set.

    >>> ours("HIT-UAV/normal_json/train/a.jpg", {"HIT-UAV/normal_json": ""})
    'train/a.jpg'
    """
    parts = PurePosixPath(path).parts
    if ".." in parts or "\\" in path or path.startswith("/"):
        raise UserError(f"The archive's path {path!r} leads out of it: nothing was unpacked.")
    for theirs, mine in folders.items():
        head = PurePosixPath(theirs).parts
        if parts[: len(head)] == head and not parts[-1].startswith("."):
            return str(PurePosixPath(mine, *parts[len(head) :]))
    return None


def unpack(archive: Path, folder: Path, folders: dict[str, str]) -> None:
    """Write the wanted members of a ZIP archive under `folder`, each checked against its CRC."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [(m, ours(m.filename, folders)) for m in opened.infolist() if not m.is_dir()]
            wanted = [(member, path) for member, path in members if path]
            if not wanted:
                raise UserError(
                    f"{archive} holds none of {', '.join(folders)}: the publisher changed its "
                    "layout; unpack it by hand."
                )
            room(folder, sum(member.file_size for member, _ in wanted))
            for member, path in tqdm(wanted, desc="unpacked", unit="file", leave=False):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, EOFError, zipfile.zlib.error) as error:
        archive.unlink()
        raise UserError(
            f"{archive.name} arrived broken and was thrown away ({error}): run the command again."
        ) from error


def room(folder: Path, needed: int) -> None:
    """`UserError` when the disk that `folder` lies on has not `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 1e6:.0f} MB left and {needed / 1e6:.0f} MB are needed: make "
            "room, or name another place with --root."
        )


def wrong_files(folder: Path, name: str, every: bool) -> list[str]:
    """The known files of a set that differ in `folder`, and with `every` those missing too."""
    wrong = []
    for path, checksum in known(name).items():
        file = folder / path
        if file.is_file():
            wrong += [] if sha256_file(file) == checksum else [f"{path} differs"]
        elif every:
            wrong.append(f"{path} is missing")
    return wrong


def get(
    name: str,
    source: Source,
    root: Path,
    progress: bool = True,
    wait: Callable[[float], None] = time.sleep,
) -> Path:
    """Download the set `name` into root/NAME in the layout that `data.load` expects; returns it.

    A set that is there is checked instead. `origin.json` beside the files says where they came
    from and how many of them were compared with a known checksum.
    """
    try:
        return _get(name, source, root, progress, wait)
    except OSError as error:  # no right to write there, or the disk is full
        raise UserError(
            f"{root} can't be written ({error.strerror or error}): mend that, or name another "
            "place with --root; what is downloaded stays."
        ) from error


def _get(
    name: str, source: Source, root: Path, progress: bool, wait: Callable[[float], None]
) -> Path:
    final = root / name
    if final.is_file() or root.is_file():
        raise UserError(f"{final if final.is_file() else root} is a file: name a folder by --root.")
    if final.exists():
        wrong = wrong_files(final, name, every=True)
        if wrong:
            raise UserError(
                f"{final} exists and {len(wrong)} of its files are not the published ones (first: "
                f"{wrong[0]}): move the folder away, or name another place with --root."
            )
        return final
    work = root / f"{name}.part"
    work.mkdir(parents=True, exist_ok=True)
    room(work, source.size + source.unpacked)
    with (
        requests.Session() as session,
        tqdm(total=source.size, desc=name, unit="B", unit_scale=True, disable=not progress) as bar,
    ):
        if source.url.endswith("/"):
            theirs = {mine: place for place, mine in source.folders.items()}
            for path, checksum in known(name).items():
                target = work / path
                if target.is_file() and sha256_file(target) == checksum:
                    bar.update(target.stat().st_size)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                folder, file = path.rsplit("/", 1)
                address = f"{source.url}{theirs[folder]}/{file}"
                fetch(session, address, target, checksum, bar, wait)
        else:
            archive = work / "archive.zip"
            if not archive.exists():
                fetch(session, source.url, archive, None, bar, wait)
            unpack(archive, work, source.folders)
            archive.unlink()
    wrong = wrong_files(work, name, every=True)
    if wrong:
        raise UserError(
            f"{len(wrong)} files from {source.url} are not those this package knows (first: "
            f"{wrong[0]}): the publisher changed the set; it stays unfinished in {work}."
        )
    files = [path for path in work.rglob("*") if path.is_file()]
    origin = {"schema": "freqkd-origin/1", "url": source.url, "files": len(files)}
    origin |= {"checked": len(known(name)), "verified": source.verified}
    (work / "origin.json").write_text(json.dumps(origin, indent=1) + "\n")
    os.replace(work, final)
    return final
