"""`make lab` and `make explore` serve this machine alone, and whoever has the token."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
ADDRESS = r"http://127\.0\.0\.1:(\d+)/\S*\?token=(\w+)"


@contextmanager
def served(target: str, log: Path):
    """The port and token of a running `make TARGET`, from what it prints."""
    recipe = re.search(rf"^{target}:.*\n\t@(.+)", (ROOT / "Makefile").read_text(), re.M)[1]
    words = shlex.split(recipe.replace("$(BIN)", str(Path(sys.executable).parent)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    alone = {"JUPYTER_CONFIG_DIR": str(log.parent), "JUPYTER_RUNTIME_DIR": str(log.parent)}
    process = subprocess.Popen(
        [*words, f"--port={port}", "--no-browser", *(["--allow-root"] if target == "lab" else [])],
        cwd=ROOT,
        env=os.environ | alone,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for _ in range(1200):
            if found := re.search(ADDRESS, log.read_text()):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert found and int(found[1]) == port, log.read_text()
        yield port, found[2]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listening(port: int) -> set[str]:
    """The addresses at which this machine listens on a port, as the kernel writes them."""
    tables = (Path("/proc/net", kind).read_text() for kind in ("tcp", "tcp6"))
    lines = [line for table in tables for line in table.splitlines()]
    places = [line.split()[1].split(":") for line in lines if line.split()[3] == "0A"]
    return {place for place, its in places if int(its, 16) == port}


@pytest.mark.parametrize(("target", "policy"), [("lab", "self"), ("explore", "default-src 'self'")])
def test_a_server_is_on_loopback_asks_for_its_token_and_fetches_nothing(target, policy, tmp_path):
    with served(target, tmp_path / "log") as (port, token):
        page = f"http://127.0.0.1:{port}/" + ("lab" if target == "lab" else "")
        asked = requests.get(page, allow_redirects=False)
        assert asked.status_code in (302, 403) and "kernel" not in asked.text
        if asked.status_code == 302:
            assert "/login" in asked.headers["Location"]
        if target == "lab":  # voila looks at the token alone
            other = requests.get(f"{page}?token={token}", headers={"Host": "example.org"})
            assert other.status_code == 403
        with requests.get(f"{page}?token={token}", stream=True) as opened:
            assert opened.status_code == 200 and policy in opened.headers["Content-Security-Policy"]
        assert listening(port) == {"0100007F"}
