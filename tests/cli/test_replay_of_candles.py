"""A kline file replayed by a whole engine: what it invents is marked as invented."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from engine.service.client import EngineClient, EngineGone
from engine.service.contract import View
from engine.service.places import find_socket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_MS = 1_733_011_200_000  # 2024-12-01
MINUTE_MS = 60_000
LIMIT_S = 90.0


@pytest.fixture
def served(directory: Path, tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "TESTUSDT-1m-2024-12-01.csv"
    file.write_text(
        "".join(
            f"{FIRST_MS + at * MINUTE_MS},100,101,99,100.5,7,{FIRST_MS + (at + 1) * MINUTE_MS - 1},"
            "700,9,3,300,0\n"
            for at in range(600)
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "serve", "--speed", "10", "--data-dir", str(directory),
         "--replay", str(file)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield directory
    process.terminate()
    process.wait(60)


async def test_book_and_trades_of_a_kline_file_are_marked_as_made_up(served: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                client = await EngineClient.connect(find_socket(served))
                break
            except EngineGone:
                await asyncio.sleep(0.05)
        view = View(focused="TESTUSDT")
        while True:
            frame = await client.pull(view, 0)
            if frame.book is not None and frame.book.bids and frame.trades is not None:
                break
            await asyncio.sleep(0.05)
        await client.close()
    assert frame.book.made_up
    assert frame.trades.made_up
