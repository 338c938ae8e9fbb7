"""What commands do themselves, with the engine's parts, while no engine runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from engine.commands.output import say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from engine.binance.rest import RestClient
    from engine.settings import Settings
    from engine.store import Store

PAGE = 1000


@contextmanager
def own_store(settings: Settings) -> Iterator[Store]:
    """Lock the data directory and open its store for writing.

    Raises:
        StoreError: when an engine holds it, or the database refuses.
    """
    from engine.store import DirectoryLock, Store

    with (
        DirectoryLock.acquire(settings.directory),
        Store.open(
            settings.directory, source=settings.source, source_note=settings.source_note
        ) as store,
    ):
        yield store


@asynccontextmanager
async def exchange(settings: Settings) -> AsyncIterator[RestClient]:
    """Open a REST client on the exchange of the settings, and close it afterwards.

    What it can not understand of the exchange's lists is told on stderr.
    """
    from engine.binance.lists import left_out_sentence
    from engine.binance.rest import RestClient

    client = RestClient(
        settings.rest_url, on_odd=lambda what, odd: say(left_out_sentence(what, odd))
    )
    try:
        yield client
    finally:
        await client.close()


async def book_snapshot(settings: Settings, symbol: str, levels: int) -> dict[str, Any]:
    """Return a REST snapshot of a book with the keys of the engine's report.

    Raises:
        RestError: with a sentence for users.
    """
    from engine.binance.rest import UnknownSymbol

    async with exchange(settings) as rest:
        try:
            depth = await rest.depth(symbol, levels)
        except UnknownSymbol:
            await rest.symbols([symbol])  # it knows the names, and which one may be meant
            raise
    return {
        "symbol": symbol,
        "state": "snapshot",
        "reason": "no engine runs",
        "last_update_id": depth.last_update_id,
        "bids": [list(level) for level in depth.bids[:levels]],
        "asks": [list(level) for level in depth.asks[:levels]],
    }


async def fetch_missing(
    rest: RestClient,
    store: Store,
    symbol: str,
    interval: str,
    start_ms: int,
    end_ms: int,
    progress: Callable[[str], None],
) -> int:
    """Fetch the missing closed candles of one series page by page and store each page."""
    from engine.market.interval import parse_interval

    grid = parse_interval(interval)
    end_ms = min(end_ms, time.time_ns() // 1_000_000)
    fetched = 0
    for from_ms, to_ms in store.reader.missing(symbol, interval, grid.floor(start_ms), end_ms):
        cursor = from_ms
        while cursor < to_ms:
            page = await rest.klines(
                symbol, interval, start_ms=cursor, end_ms=to_ms - 1, limit=PAGE
            )
            fetched += await _put(store, symbol, interval, page)
            if len(page) < PAGE:
                break
            cursor = grid.next(page[-1].open_time_ms)
            progress(f"{symbol} {interval}: {fetched:,} candles fetched.")
    return fetched


async def _put(store: Store, symbol: str, interval: str, page: list[Any]) -> int:
    from engine.store import Source

    closed = [candle for candle in page if candle.closed]
    if closed:
        future = store.writer.put_candles(symbol, interval, closed, Source.REST)
        await asyncio.wrap_future(future)
    return len(closed)
