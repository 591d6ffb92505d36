"""Downloads against a server on this machine that cuts, lies and fails as real ones do."""

import hashlib
import io
import json
import os
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub as hub
import huggingface_hub.constants
import pytest
import requests
from tqdm import tqdm

from freqkd_lite import data
from freqkd_lite.data import download
from freqkd_lite.data.catalogue import CATALOGUE
from freqkd_lite.data.download import Source, fetch, get, unpack
from freqkd_lite.store import sha256_file
from tests.real import real
from tests.refused import refused

BODY = bytes(range(256)) * 1200  # 307,200 bytes, so that a cut one has several blocks


class Server:
    """`files`: path -> bytes. `faults`: what the next requests meet, one after another: "cut"
    (half of it, then the line is closed), a status code, "norange", "shifted" (a range that we did
    not ask for). `seen`: (path, Range header) of every request."""

    def __init__(self):
        self.files, self.faults, self.seen = {}, [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, to):
        wanted = to.headers.get("Range")
        self.seen.append((to.path, wanted))
        fault = self.faults.pop(0) if self.faults else None
        body = self.files.get(to.path, b"")
        ranged = wanted and fault != "norange"
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if ranged else 0
        rest, place, status = body[begin:], None, 206 if begin else 200
        if isinstance(fault, int) or not body:
            rest, status = b"", fault if isinstance(fault, int) else 404
        elif begin >= len(body):
            place, status = f"*/{len(body)}", 416
        elif begin:
            place = f"{begin + (fault == 'shifted')}-{len(body) - 1}/{len(body)}"
        to.send_response(status)
        to.send_header("Content-Length", str(len(rest)))
        if place:
            to.send_header("Content-Range", f"bytes {place}")
        to.end_headers()
        to.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)
        to.close_connection |= fault == "cut"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that were waited, without waiting."""
    taken = []
    monkeypatch.setattr(download.time, "sleep", taken.append)
    return taken


def take(server, path, checksum=None):
    with requests.Session() as session:
        fetch(session, f"{server.url}a.bin", path, checksum, tqdm(disable=True))


def digest(body):
    return hashlib.sha256(body).hexdigest()


def test_a_cut_transfer_goes_on_where_it_ended(server, tmp_path, waits):
    server.files["/a.bin"] = BODY
    server.faults = ["cut", "cut"]
    take(server, tmp_path / "a.bin", digest(BODY))
    # Cut at 153,600 bytes, two blocks of 65,536 are whole; then half of the rest holds one more.
    assert [r for _, r in server.seen] == [None, "bytes=131072-", "bytes=196608-"]
    assert (tmp_path / "a.bin").read_bytes() == BODY and waits == [1.0, 2.0]
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (BODY[:1000], None),  # resumed
        (BODY, None),  # whole already
        (BODY + b"more", None),  # longer than the file
        (b"x" * 1000, "norange"),  # must not stay at the head of the file
        (b"x" * 1000, "shifted"),
    ],
)
def test_a_part_of_an_earlier_call_is_resumed_or_thrown_away(server, tmp_path, part, fault):
    server.files["/a.bin"] = BODY
    server.faults = [fault]
    (tmp_path / "a.bin.part").write_bytes(part)
    take(server, tmp_path / "a.bin", digest(BODY))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert server.seen[0] == ("/a.bin", f"bytes={len(part)}-")
    assert fault or len(part) > len(BODY) or len(server.seen) == 1


def test_wrong_bytes_are_refused_and_thrown_away(server, tmp_path):
    server.files["/a.bin"] = BODY[:-1] + b"!"
    refused(r"a\.bin.*SHA-256", take, server, tmp_path / "a.bin", digest(BODY))
    assert os.listdir(tmp_path) == []


def test_a_server_that_keeps_breaking_off_leaves_only_the_part(server, tmp_path):
    server.files["/a.bin"], server.faults = BODY, ["cut"] * download.TRIES
    refused(r"a\.bin.*ChunkedEncodingError", take, server, tmp_path / "a.bin", digest(BODY))
    assert os.listdir(tmp_path) == ["a.bin.part"]
    assert BODY.startswith((tmp_path / "a.bin.part").read_bytes())
    take(server, tmp_path / "a.bin", digest(BODY))
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_passing_500_is_tried_again_and_a_404_is_not(server, tmp_path):
    server.files["/a.bin"] = BODY
    server.faults = [500, 503]
    take(server, tmp_path / "a.bin", digest(BODY))
    assert (tmp_path / "a.bin").read_bytes() == BODY and len(server.seen) == 3
    server.files.clear()
    refused("a.bin .*404", take, server, tmp_path / "b.bin")
    assert len(server.seen) == 4 and not (tmp_path / "b.bin").exists()


def test_an_archive_can_not_write_outside_its_folder(tmp_path):
    archive, folder = tmp_path / "a.zip", tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(zipfile.ZipInfo("set/good.txt"), "good")
        info = zipfile.ZipInfo("x")
        info.filename = "set/../../evil.txt"  # the constructor would tidy it
        opened.writestr(info, "evil")
    unpack(archive, folder, {"set": ""}, 99)
    assert (folder / "good.txt").read_text() == "good"
    assert [evil for evil in tmp_path.rglob("*evil*") if folder not in evil.parents] == []


def picture(shade):
    return bytes([shade]) * 900


def checksums(folder, name, files):
    folder.mkdir(exist_ok=True)
    text = "".join(f"{digest(body)}  {path}\n" for path, body in files.items())
    (folder / f"{name}.sha256").write_text(text)


@pytest.fixture
def roadscene(server, tmp_path, monkeypatch):
    """Two pairs as single files, and the source that names them."""
    names = [f"{folder}/FLIR_{k}.png" for folder in ("ir", "vi") for k in (1, 2)]
    files = {name: picture(40 * k) for k, name in enumerate(names)}
    checksums(tmp_path / "sums", "roadscene", files)
    monkeypatch.setattr(download, "CHECKSUMS", tmp_path / "sums")
    for path, body in files.items():
        server.files["/" + path.replace("ir/", "cropped/").replace("vi/", "low/")] = body
    return Source(server.url, {"low": "vi", "cropped": "ir"}, 4000, 4000, 4, "all")


def test_single_files_end_in_a_set_of_our_folders(server, roadscene, tmp_path):
    server.faults = [None, "cut"]
    where = get("roadscene", roadscene, tmp_path / "data")
    assert where == tmp_path / "data" / "roadscene"
    assert sorted(os.listdir(where)) == ["ir", "origin.json", "vi"]
    assert (where / "vi" / "FLIR_2.png").read_bytes() == picture(120)
    origin = json.loads((where / "origin.json").read_text())
    assert (origin["files"], origin["checked"]) == (4, 4)
    assert os.listdir(tmp_path / "data") == ["roadscene"]


def test_an_interrupted_set_never_has_its_final_name_and_goes_on(server, roadscene, tmp_path):
    root = tmp_path / "data"
    missing = server.files.pop("/low/FLIR_2.png")
    refused("low/FLIR_2.png .*404", get, "roadscene", roadscene, root)
    assert os.listdir(root) == ["roadscene.part"]
    server.files["/low/FLIR_2.png"] = missing
    server.seen.clear()
    (root / "roadscene.part/ir/FLIR_2.png").write_bytes(b"torn")
    get("roadscene", roadscene, root)
    # the rest was here and was right
    assert [path for path, _ in server.seen] == ["/cropped/FLIR_2.png", "/low/FLIR_2.png"]
    assert os.listdir(root) == ["roadscene"]


def test_a_set_that_is_here_is_checked_and_not_fetched(server, roadscene, tmp_path):
    where = get("roadscene", roadscene, tmp_path / "data")
    server.seen.clear()
    get("roadscene", roadscene, tmp_path / "data")
    assert server.seen == []
    (where / "ir" / "FLIR_1.png").write_bytes(b"changed")
    (where / "vi" / "FLIR_1.png").unlink()
    refused("roadscene .* 2 .*ir/FLIR_1.png", get, "roadscene", roadscene, tmp_path / "data")
    assert (where / "ir" / "FLIR_1.png").read_bytes() == b"changed"


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for path, body in files.items():
            opened.writestr(path, body)
    return buffer.getvalue()


@pytest.fixture
def hituav(server, tmp_path, monkeypatch):
    """An archive of one picture a split, and of what isn't wanted."""
    unwanted = ("rotate_json/train/0_a.jpg", "normal_json2/a", "normal_json/.DS_Store")
    files = {"HIT-UAV/LICENSE": b"free"} | {f"HIT-UAV/{path}": b"no" for path in unwanted}
    for k, split in enumerate(("train", "val", "test")):
        files[f"HIT-UAV/normal_json/{split}/0_{split}.png"] = picture(60 * k)
    checksums(tmp_path / "sums", "hituav", {"train/0_train.png": picture(0)})
    monkeypatch.setattr(download, "CHECKSUMS", tmp_path / "sums")
    server.files["/hit.zip"] = zipped(files)
    folders = {"HIT-UAV/normal_json": "", "HIT-UAV/LICENSE": "LICENSE"}
    return Source(f"{server.url}hit.zip", folders, 3000, 3000, 3, "one")


def test_of_an_archive_what_is_wanted_ends_in_a_set(server, hituav, tmp_path):
    server.faults = ["cut"]
    where = get("hituav", hituav, tmp_path / "data")
    assert sorted(os.listdir(where)) == ["LICENSE", "origin.json", "test", "train", "val"]
    assert sha256_file(where / "train" / "0_train.png") == digest(picture(0))
    assert json.loads((where / "origin.json").read_text())["checked"] == 1


def test_a_broken_or_changed_archive_is_not_taken_for_the_known_one(server, hituav, tmp_path):
    whole = server.files["/hit.zip"]
    body = bytearray(whole)
    body[whole.index(picture(60)) + 20] ^= 1  # one bit of a picture: only the CRC can tell
    server.files["/hit.zip"] = bytes(body)
    refused("archive.zip .*CRC", get, "hituav", hituav, tmp_path / "data")
    assert not (tmp_path / "data" / "hituav").exists()
    assert not list(tmp_path.rglob("archive.zip*"))
    server.files["/hit.zip"] = whole  # as its publisher changed it, by our checksums
    checksums(tmp_path / "sums", "hituav", {"train/0_train.png": picture(1)})
    refused("1 files .*train/0_train.png", get, "hituav", hituav, tmp_path / "data")
    assert not (tmp_path / "data" / "hituav").exists()


def test_what_does_not_fit_on_the_disk_is_not_begun(hituav, tmp_path, monkeypatch):
    """1,001 bytes, which pack into far fewer, and room for 1,000; other members don't count."""
    archive, usage = tmp_path / "archive.zip", download.shutil.disk_usage(tmp_path)
    archive.write_bytes(zipped({"set/a": b"0" * 1001, "other/b": b"0" * 5000}))
    free = [1000]
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=free[0]))
    refused("set ", unpack, archive, tmp_path / "set", {"set": ""}, 1001)
    assert archive.exists() and not (tmp_path / "set").exists()
    refused("data/hituav.part .*--root", get, "hituav", hituav, tmp_path / "data")
    free[0] = 1001
    unpack(archive, tmp_path / "set", {"set": ""}, 1001)
    assert (tmp_path / "set" / "a").stat().st_size == 1001


def test_an_archive_that_unpacks_to_far_more_than_the_set_is_refused(tmp_path):
    archive, folder = tmp_path / "a.zip", tmp_path / "set"
    archive.write_bytes(zipped({"set/a": b"0" * 1001}))
    refused(r"a\.zip.* 0 MB", unpack, archive, folder, {"set": ""}, 1000)
    assert archive.exists() and not folder.exists()
    # A directory that tells less than is there: reading stops where it says, and the CRC is wrong.
    folder.mkdir()
    packed = archive.read_bytes()
    size = (1001).to_bytes(4, "little")
    archive.write_bytes(packed.replace(size, (100).to_bytes(4, "little")))
    refused("damaged", unpack, archive, folder, {"set": ""}, 1000)
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 100


def test_the_catalogue_knows_every_registered_set_and_its_checksums():
    assert set(data.REGISTRY) <= set(CATALOGUE)
    for name, source in ((name, e.source) for name, e in CATALOGUE.items() if e.source):
        sums = download.known(name)
        assert all(len(c) == 64 for c in sums.values()) and len(sums) <= source.files
        if source.url.endswith("/"):  # single files: every one must be known by name
            assert {path.split("/")[0] for path in sums} == set(source.folders.values()) - {""}
            assert len(sums) == source.files


def test_the_known_checksums_are_those_of_the_copies_here():
    assert download.wrong_files(real("roadscene"), "roadscene") == []


def test_a_place_that_can_not_be_written_ends_in_a_sentence(hituav, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    refused("/file ", get, "hituav", hituav, tmp_path / "file")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(download.Path, "mkdir", refuse)  # a tester may be root, whom nothing stops
    refused(r"/data .*Permission denied.*--root", get, "hituav", hituav, tmp_path / "data")


def test_a_hub_that_is_silent_is_asked_once_and_one_that_answers_may_say_anything(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(hub.constants, "ENDPOINT", server.url.rstrip("/"))
    download.reach_hub("timm/none")  # 501: it answers
    monkeypatch.setattr(download, "ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(hub.constants, "ENDPOINT", address)
        with pytest.raises(ConnectionError, match="does not answer"):
            download.reach_hub("timm/none")
        silent.settimeout(0.5)
        silent.accept()
        with pytest.raises(TimeoutError):
            silent.accept()
        download.reach_hub(None)  # weights that lie elsewhere
        monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *of: str(tmp_path))
        download.reach_hub("timm/none")
