"""Commands that are killed, and stopped by Ctrl-C, at random moments: given again, they end as if
nothing had happened. The oracle is an uninterrupted run. FREQKD_KILLS sets how many faults there
are for each command (2); what distillation alone does with many more is in test_survival.
"""

import os
import pwd
import random
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freqkd_lite.cli.app import app
from tests.refused import refused
from tests.test_readme import BIN, DISTIL, ROOT, draw_pairs

FAULTS = max(2, int(os.environ.get("FREQKD_KILLS", "0")) // 10)
DATA = "--visible pairs/visible --infrared pairs/infrared --model freqkd_tiny"
# What is left after a command, as far as it does not tell the time; folders are those of the user.
LEFT = {
    f"gap {DATA} --size 112x112 --out out": ("out/gap.json", "out/results.json", "out/index.html"),
    f"demo {DATA} --steps 3 --out out": ("out/report.html",),
    "distil distil.yaml": ("runs/distil-*/student.safetensors", "runs/distil-*/log.jsonl"),
    "run 06_detection --preset smoke --out out": ("out/results.json",),
}


def begin(command: str, folder: Path, log: Path, runs: Path | None = None) -> subprocess.Popen:
    environment = {"FREQKD_RUNS": str(runs or folder / "runs"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(BIN / "freqkd"), *shlex.split(command)],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=log.open("w"),
        start_new_session=True,
        # a shell's `&` has it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(params=["full", "read-only"])
def hard_place(request, tmp_path):
    """A real file system on which nothing can be written."""
    kind = {"full": "size=40k", "read-only": "ro"}[request.param]
    words = ["mount", "-t", "tmpfs", "-o", kind, "tmpfs", str(tmp_path)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root: the faults are those of other tests alone")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def left(command: str, folder: Path) -> dict[str, bytes]:
    found = {}
    for pattern in LEFT[command]:
        (file,) = folder.glob(pattern)
        found[pattern] = file.read_bytes()
    return found


def user_folder(folder: Path) -> Path:
    """A folder with the same pairs, settings and notebooks as the others."""
    draw_pairs(folder / "pairs")
    (folder / "distil.yaml").write_text(DISTIL)
    for name in ("notebooks", "results"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("command", LEFT, ids=lambda command: command.split()[0])
def test_a_command_that_was_stopped_goes_on_and_ends_as_if_it_had_not(command, tmp_path):
    whole, folder = (user_folder(tmp_path / name) for name in ("whole", "stopped"))
    log = tmp_path / "log"
    start = time.monotonic()
    assert begin(command, whole, log).wait() == 0, log.read_text()
    seconds, draw = time.monotonic() - start, random.Random(command)
    for fault in range(FAULTS):
        process = begin(command, folder, log)
        time.sleep(draw.uniform(0.3, 0.9) * seconds)
        if fault % 2:
            process.kill()
            assert process.wait() in (-signal.SIGKILL, 0)
        else:
            os.killpg(process.pid, signal.SIGINT)
            status, printed = process.wait(), log.read_text()
            assert status in (130, 0, -signal.SIGINT) and "Traceback" not in printed, printed
            if status == 130:
                assert printed.splitlines()[-1].startswith("freqkd: "), printed
            else:  # it had done its work, perhaps even left Python
                assert left(command, folder) == left(command, whole) and "freqkd: " not in printed
    assert begin(command, folder, log).wait() == 0, log.read_text()
    assert left(command, folder) == left(command, whole)


def test_a_disk_that_is_full_or_read_only_ends_in_a_sentence(hard_place, tmp_path_factory):
    folder = user_folder(tmp_path_factory.mktemp("user"))
    for command in (*LEFT, f"data check folder {DATA.split(' --model')[0]} --html out.html"):
        command = command.replace(" out", f" {hard_place / 'out'}")
        done = begin(command, folder, log := folder / "log", hard_place / "runs")
        assert done.wait() == 2 and not [*hard_place.glob("out/*.*")]
        told = log.read_text()
        assert told.splitlines()[-1].startswith("freqkd: ") and "Traceback" not in told, told


def test_a_user_without_a_home_is_told_before_anything_ends_in_a_traceback(monkeypatch):
    def nobody(*_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    refused("HOME", CliRunner().invoke, app, ["data", "list"], catch_exceptions=False)


def test_a_path_below_nobody_s_home_is_refused(tmp_path):
    draw_pairs(tmp_path / "pairs")
    command = f"gap {DATA} --size 112x112"
    assert begin(command, tmp_path, log := tmp_path / "log", Path("~nobody7/runs")).wait() == 2
    assert log.read_text().startswith("freqkd: ") and "~" in log.read_text()
