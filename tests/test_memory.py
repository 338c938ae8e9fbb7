"""Threads that allocate and end leave few arenas behind."""

import platform
import subprocess
import sys

import pytest

CODE = """
import sys, threading
from engine.memory import limit_arenas
if sys.argv[1] == "limited":
    assert limit_arenas()
gate = threading.Barrier(9)
def work():
    kept = [bytes(2000) for _ in range(5000)]
    gate.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
gate.wait()
arenas = 0
for line in open("/proc/self/maps"):
    bounds = line.split()[0].split("-")
    arenas += int(bounds[0], 16) % (64 << 20) == 0 and "rw-p" in line and len(line.split()) == 5
for thread in threads:
    thread.join()
print(arenas)
"""


def arenas(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_threads_share_two_arenas() -> None:
    assert arenas("limited") <= 1 < arenas("free")
