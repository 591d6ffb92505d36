"""Download public data sets: resumable, verified, atomic.

A set is assembled in NAME.part and renamed when all its files are complete and verified, so that no
program ever reads an incomplete set.
"""

import os
import shutil
import time
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Thread

import huggingface_hub as hub
import huggingface_hub.constants
import requests
from tqdm import tqdm

from freqkd_lite.errors import UserError
from freqkd_lite.store import read_text, sha256_file, write_json

CHECKSUMS = Path(__file__).parent / "checksums"
TRIES = 6  # a broken transfer is resumed after 1, 2, 4, 8 and 16 seconds
TIMEOUT = (15, 60)  # seconds to connect, and without a byte
CHUNK = 1 << 16
ANSWER = 3  # seconds that Hugging Face has to answer at all
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm's repositories hold


@dataclass(frozen=True)
class Source:
    """Where a set lies. `url` is a ZIP archive, or the address above single files if it ends in
    "/". `folders` maps the publisher's folders (or files) to ours; other files are ignored. `size`:
    bytes transferred, `unpacked`: bytes on disk."""

    url: str
    folders: dict[str, str]
    size: int
    unpacked: int
    files: int
    verified: str


def reach_hub(repository: str | None) -> None:
    """`ConnectionError` unless Hugging Face answers a single question within `ANSWER` seconds, or
    has given the weights of `repository` before: its own client would retry for a minute. A thread
    asks, because even a DNS lookup may hang."""
    here = (hub.try_to_load_from_cache(repository or "-", name) for name in HUB_FILES)
    if repository is None or any(isinstance(path, str) for path in here):
        return
    answers = []

    def ask() -> None:
        with suppress(Exception):  # of whichever client it uses
            answers.append(hub.get_session().head(hub.constants.ENDPOINT, timeout=ANSWER))

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER)
    if not answers:
        raise ConnectionError(f"{hub.constants.ENDPOINT} does not answer")


def known(name: str) -> dict[str, str]:
    """Path in the set -> SHA-256, of the files with known content."""
    lines = read_text(CHECKSUMS / f"{name}.sha256").splitlines()
    return {path: checksum for checksum, path in (line.split("  ", 1) for line in lines)}


def fetch(session: requests.Session, url: str, path: Path, checksum: str | None, bar: tqdm) -> None:
    """Download `url` to `path` by way of PATH.part, which a later call resumes.

    `UserError` when the server refuses, keeps breaking off, or sends a file that does not match
    `checksum` (SHA-256), which is deleted. An unfinished download stays as PATH.part.
    """
    part = path.with_name(path.name + ".part")
    bar.update(part.stat().st_size if part.exists() else 0)
    for attempt in range(TRIES):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            _transfer(session, url, part, bar)
            break
        except requests.RequestException as error:
            reply = error.response
            why = type(error).__name__ if reply is None else f"{reply.status_code} {reply.reason}"
            if reply is not None and reply.status_code < 500:
                raise UserError(
                    f"{url} answers {why}: the publisher moved it or limits requests; try again "
                    "later, or download it by hand as `freqkd data describe` says."
                ) from error
    else:
        raise UserError(
            f"{url} broke off {TRIES} times (last: {why}): run the same command again to resume."
        )
    if checksum and sha256_file(part) != checksum:
        part.unlink()
        raise UserError(
            f"{url}: checksum mismatch (expected SHA-256 {checksum}); the file was deleted. If it "
            "happens again, the publisher changed the file."
        )
    os.replace(part, path)


def _transfer(session: requests.Session, url: str, part: Path, bar: tqdm) -> None:
    """One request; appends where the server resumes at our end, else starts again."""
    have = part.stat().st_size if part.exists() else 0
    # Compressed transfers can't be resumed by position, so they are not requested.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        status, span = answer.status_code, answer.headers.get("Content-Range", "")
        if status == 416 and span == f"bytes */{have}":
            return  # all of it was here already
        if status == 416 or (status == 206 and not span.startswith(f"bytes {have}-")):
            part.unlink()
            raise requests.ConnectionError("the server can't resume there")
        answer.raise_for_status()
        with part.open("ab" if status == 206 else "wb") as stream:
            for block in answer.iter_content(CHUNK):
                bar.update(stream.write(block))


def unpack(archive: Path, folder: Path, folders: dict[str, str], most: int) -> None:
    """Write the wanted members of a ZIP archive under `folder` (see `Source.folders`), each checked
    against its CRC and its length; `zipfile` keeps whatever path they have inside it. `UserError`
    for members of more than `most` bytes."""
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = []
            for member in opened.infolist():
                path = PurePosixPath(member.filename)
                place = next((place for place in folders if path.is_relative_to(place)), None)
                if place and not member.is_dir() and not path.name.startswith("."):
                    member.filename = str(PurePosixPath(folders[place], path.relative_to(place)))
                    wanted.append(member)
            if not wanted:
                raise UserError(
                    f"{archive} holds none of {', '.join(folders)}: the publisher changed its "
                    "layout; unpack it by hand."
                )
            if (size := sum(member.file_size for member in wanted)) > most:
                raise UserError(
                    f"{archive} would unpack to {size / 1e6:.0f} MB where {most / 1e6:.0f} are the "
                    "most that this set can take: the publisher changed it; unpack it by hand."
                )
            need_room(folder, size)
            opened.extractall(folder, tqdm(wanted, desc="unpacked", unit="file", leave=False))
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        archive.unlink()
        raise UserError(
            f"{archive.name} is damaged ({error}) and was deleted: rerun the command."
        ) from error


def need_room(folder: Path, needed: int) -> None:
    """`UserError` when the disk of `folder` has fewer than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder} has {free / 1e6:.0f} MB left and {needed / 1e6:.0f} MB are needed: make "
            "room, or name another place with --root."
        )


def wrong_files(folder: Path, name: str) -> list[str]:
    """The known files of a set that are missing in `folder` or differ."""
    wrong = []
    for path, checksum in known(name).items():
        if not (folder / path).is_file():
            wrong.append(f"{path} is missing")
        elif sha256_file(folder / path) != checksum:
            wrong.append(f"{path} differs")
    return wrong


def get(name: str, source: Source, root: Path) -> Path:
    """Download the set `name` into root/NAME in the layout that `data.load` expects; returns it.

    A set that is there is checked instead. `origin.json` beside the files says where they came
    from and how many of them were compared with a known checksum.
    """
    final, work = root / name, root / f"{name}.part"
    try:
        for place in (root, final):
            if place.is_file():
                raise UserError(f"{place} is a file: name a folder by --root.")
        if final.exists():
            if wrong := wrong_files(final, name):
                raise UserError(
                    f"{final} exists and {len(wrong)} of its files are not the published ones "
                    f"(first: {wrong[0]}): move it away, or name another place with --root."
                )
            return final
        work.mkdir(parents=True, exist_ok=True)
        need_room(work, source.size + source.unpacked)
        with (
            requests.Session() as session,
            tqdm(total=source.size, desc=name, unit="B", unit_scale=True) as bar,
        ):
            if source.url.endswith("/"):
                _fetch_files(session, known(name), source, work, bar)
            else:
                archive = work / "archive.zip"
                if not archive.exists():
                    fetch(session, source.url, archive, None, bar)
                unpack(archive, work, source.folders, 2 * source.unpacked)
                archive.unlink()
        if wrong := wrong_files(work, name):
            raise UserError(
                f"{len(wrong)} files from {source.url} are not those this package knows (first: "
                f"{wrong[0]}): the publisher changed the set; it stays unfinished in {work}."
            )
        origin = {"schema": "freqkd-origin/1", "url": source.url, "verified": source.verified}
        origin |= {"files": sum(path.is_file() for path in work.rglob("*"))}
        write_json(work / "origin.json", origin | {"checked": len(known(name))})
        os.replace(work, final)
    except OSError as error:  # no right to write there, or the disk is full
        raise UserError(
            f"{root} can't be written ({error.strerror or error}): fix that, or name another "
            "place with --root; what is downloaded stays."
        ) from error
    return final


def _fetch_files(
    session: requests.Session, sums: dict[str, str], source: Source, work: Path, bar: tqdm
) -> None:
    theirs = {mine: place for place, mine in source.folders.items()}
    for path, checksum in sums.items():
        target = work / path
        if target.is_file() and sha256_file(target) == checksum:
            bar.update(target.stat().st_size)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        folder, file = path.rsplit("/", 1)
        fetch(session, f"{source.url}{theirs[folder]}/{file}", target, checksum, bar)
