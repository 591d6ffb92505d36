"""Freed memory is kept: the system counts the pages that a process asks for."""

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from freqkd_lite.distil.memory import keep
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10): torch.ones(16 * 2**20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults(), keep(), faults(), faults())
"""


def run(**more: str) -> list[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    return subprocess.run(
        [sys.executable, "-c", CODE], env=own | more, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_ten_tensors_take_the_memory_of_one_unless_there_are_settings_of_ones_own():
    before, kept, _, after = run()
    assert kept == "True" and int(after) < 0.1 * int(before)
    assert run(MALLOC_ARENA_MAX="2")[1] == "False"
