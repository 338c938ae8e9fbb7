import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.market.candle import Candle
from engine.store import Store

START_MS = 1_733_011_200_000
MINUTE_MS = 60_000


def make_minute(index: int, close: float = 101.0, trades: int | None = 3) -> Candle:
    return Candle(
        START_MS + index * MINUTE_MS, 100.0, 110.0, 90.0, close, 5.5, 550.5, trades, 2.25, 225.0
    )


@pytest.fixture
def minute() -> object:
    return make_minute


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data", source="live")
    opened.writer._gather_s = 0.005  # tests wait for most commits one by one
    yield opened
    opened.close()


@pytest.fixture
def klines() -> Path:
    folder = os.environ.get("KLINETOP_RECORDINGS")
    if not folder:
        pytest.skip("KLINETOP_RECORDINGS is not set")
    return Path(folder) / "klines"
