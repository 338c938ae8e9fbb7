"""Threads that allocate and end leave few arenas behind."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine.memory import usage

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_a_large_block_goes_back_to_the_system_when_it_is_freed() -> None:
    code = """
import ctypes
from engine.memory import limit_arenas, usage
assert limit_arenas()
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
library.free(library.malloc(8 << 20))  # the library would put later ones of this size on its heap
before = usage().allocator_free_bytes
block, fence = library.malloc(4 << 20), library.malloc(64 << 10)
library.free(block)
print(usage().allocator_free_bytes - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1 << 20


def test_usage_tells_the_parts() -> None:
    told = usage()
    assert told.python_blocks > 10_000
    if platform.system() == "Linux":
        assert told.resident_bytes is not None
        assert told.anonymous_bytes is not None
        assert 0 < told.anonymous_bytes < told.resident_bytes
    if platform.libc_ver()[0] == "glibc":
        assert told.allocator_used_bytes


def test_page_caches_are_bounded_however_large_the_database_is(tmp_path: Path) -> None:
    """Seven connections of an engine, and 40 MB that each of them has read."""
    code = """
import contextlib, pathlib, sys
from engine.memory import usage
from engine.store import Store, open_reader
directory = pathlib.Path(sys.argv[1])
with Store.open(directory, source="live") as store, contextlib.ExitStack() as stack:
    rows = [(f"key {at}", "x" * 3_900) for at in range(10_000)]
    store.writer.run(
        lambda db: db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", rows)
    ).result(60)
    readers = [stack.enter_context(contextlib.closing(open_reader(directory))) for _ in range(5)]
    for reader in (store.reader, *readers):
        assert reader.rows("SELECT sum(length(value)) FROM meta")[0][0] > 39_000_000
    print(usage().sqlite_bytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    if done.stdout.strip() != "None":
        assert 5e6 < int(done.stdout) < 18e6


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not GNU's")
def test_pages_between_blocks_that_stay_go_back_again_and_again() -> None:
    code = """
import asyncio
from engine.memory import keep_trimmed, limit_arenas, usage
limit_arenas()
async def main():
    task = asyncio.create_task(keep_trimmed(0.01))
    for _ in range(2):
        blocks = [bytearray(20_000) for _ in range(3_000)]
        kept = blocks[::10]
        del blocks
        full = usage().resident_bytes
        while usage().resident_bytes > full - 25e6:
            await asyncio.sleep(0.01)
    task.cancel()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
