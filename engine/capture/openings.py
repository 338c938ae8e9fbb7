"""What is to be made whole when streams begin to flow: candles, books and tapes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from engine.binance.rest import RestError
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.binance.rest import RestClient
    from engine.capture.board import Board
    from engine.capture.collector import Collector
    from engine.capture.refill import Refill

log = logging.getLogger(__name__)

TAPE_ROWS = 100


class Openings:
    """Has fetched what was pushed while a stream did not flow."""

    def __init__(
        self, board: Board, collector: Collector, rest: RestClient, refill: Refill
    ) -> None:
        self._board = board
        self._collector = collector
        self._rest = rest
        self._refill = refill
        self._tapes: set[asyncio.Task[None]] = set()

    def opened(self, streams: Iterable[str], reason: str) -> None:
        """Take note that `streams` flow from now on (`StreamSupervisor`'s `on_gap`)."""
        series = []
        for stream in sorted(streams):
            name, _, kind = stream.partition("@")
            symbol = name.upper()
            if kind.startswith("kline_"):
                series.append((symbol, kind.removeprefix("kline_")))
            elif kind.startswith("depth") and symbol in self._collector.books:
                self._collector.books[symbol].reset(reason)
            elif kind == "trade":
                self._board.symbol(symbol).clear_trades(self._board.next_revision())
                self._load_tape(symbol)
        self._refill.streams_opened(series, reason)

    async def close(self) -> None:
        """Give up tapes that are being fetched."""
        tapes = list(self._tapes)
        for task in tapes:
            task.cancel()
        await asyncio.gather(*tapes, return_exceptions=True)

    def _load_tape(self, symbol: str) -> None:
        task = asyncio.create_task(self._fetch_tape(symbol), name=f"tape of {symbol}")
        self._tapes.add(task)
        task.add_done_callback(self._tapes.discard)
        task.add_done_callback(log_failure)

    async def _fetch_tape(self, symbol: str) -> None:
        try:
            trades = await self._rest.trades(symbol, TAPE_ROWS)
        except RestError as error:
            log.warning("the newest trades of %s could not be fetched: %s", symbol, error)
        else:
            self._board.merge_trades(symbol, trades)
