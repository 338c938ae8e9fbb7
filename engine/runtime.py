"""The engine's parts, put together, and what viewers may ask of them as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.binance.clock import ExchangeClock
from engine.binance.rest import RestClient, RestError, UnknownSymbol
from engine.binance.supervisor import StreamSupervisor
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.health import Health
from engine.capture.history import HistoryKeeper
from engine.capture.subscriptions import Subscriptions
from engine.forecast.live import ForecastDesk
from engine.forecast.values import ForecastConfig
from engine.market.interval import parse_interval
from engine.markets import Markets
from engine.service.desk import Notices
from engine.store import StoreError, imports
from engine.store.symbols import record_session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from engine.binance.stream_types import StreamLimits, StreamState
    from engine.market.symbol import SymbolInfo
    from engine.settings import Settings
    from engine.store import ImportResult, Store

log = logging.getLogger(__name__)

DEFAULT_HISTORY_DAYS = {"live": 3.0, "demo": 7.0, "replay": 60.0}
DAY_MS = 86_400_000
REST_RETRY_S = 5.0
CLOCK_EVERY_S = 60.0
STREAM_WATCH_S = 0.25
TAPE_ROWS = 100
SCORES_AT_ONCE = 16


class Engine:
    """All parts of a running engine.

    Args:
        settings: With `rest_url` and `stream_url` of the exchange to use, simulated or not.
        store: Open, and this engine's until it is closed.
        limits: What the stream connections keep to; None takes Binance's rules.
        on_refused: Told why the engine can not do what the settings ask for; it is to stop then.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rest_url: str,
        stream_url: str,
        *,
        limits: StreamLimits | None = None,
        on_refused: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.pid = os.getpid()
        self.state = "starting"
        self.rest_note = ""
        self._on_refused = on_refused
        self.notices = Notices()
        self.started_s = time.monotonic()
        loop = asyncio.get_running_loop()
        self.clock = ExchangeClock(settings.effective_speed)
        self.board = Board()
        self.rest = RestClient(rest_url)
        self.markets = Markets(self.rest, store, self.board, settings.symbols, self.notices.add)
        self.collector = Collector(
            self.board,
            store.writer,
            self.clock,
            loop,
            on_stored=self._candle_stored,
            on_hole=self._hole_seen,
        )
        self.supervisor = StreamSupervisor(
            stream_url,
            on_event=self.collector.on_event,
            on_gap=self._streams_opened,
            on_bad=self._bad_message,
            limits=limits,
        )
        self.history = HistoryKeeper(self.rest, store, self.board, self.collector, self.clock)
        self.forecast = ForecastDesk(
            store,
            Path(settings.directory) / "models",
            msgspec.convert(settings.forecast, ForecastConfig, from_attributes=True),
            ensure_history=self._ensure_history,
            on_notice=self.notices.add,
            exchange_now_ms=self.clock.now_ms,
        )
        self.subscriptions = Subscriptions(
            self.board,
            self.collector,
            self.supervisor,
            self.rest,
            self.history,
            self.forecast.champions,
            # A recording plays once: what nobody subscribed to at its beginning is missed.
            looks_at_all=settings.is_recording,
        )
        self.health = Health(store, self.board, self.clock.now_ms)
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_score: deque[tuple[str, str, int]] = deque()
        self._is_scoring = False

    # --- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is stored, then start all tasks; returns before any network answer."""
        self.forecast.load()
        self.markets.load_stored()
        for symbol in self.board.watchlist:
            self.history.load(symbol, "1m")
        for name, work in (
            ("boot", self._boot()),
            ("history", self.history.run()),
            ("gap", self.history.sweep()),
            ("clock", self._keep_clock()),
            ("session", self._note_sessions()),
            ("health", self.health.run()),
            ("forecast", self.forecast.run()),
        ):
            self._spawn(name, work)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._task_ended)
        self._tasks.add(task)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        log.critical("the task '%s' failed", task.get_name(), exc_info=error)
        self.notices.add(
            "error", f"The engine's {task.get_name()} task failed: {error}; restart it."
        )

    async def _boot(self) -> None:
        """Reach the exchange, then open streams and fill history; tries for ever."""
        self.state = "connecting"
        self.subscriptions.refresh()
        self._spawn("streams", self.supervisor.run())
        self._spawn("subscriptions", self.subscriptions.run())
        try:
            await self._reach_exchange()
        except UnknownSymbol as error:
            self._refuse(f"{error} Name markets that it has with --symbols.")
            return
        self.state = "filling history"
        self.subscriptions.refresh()
        await self._fill_history()
        self.state = "running"
        if self.settings.trains_by_itself and not self.forecast.champions():
            for symbol in self.board.watchlist[:1]:
                self.forecast.retrain(symbol, self.settings.interval, "honest")

    def _refuse(self, sentence: str) -> None:
        self.notices.add("error", sentence)
        if self._on_refused is not None:
            self._on_refused(sentence)

    async def _reach_exchange(self) -> None:
        while True:
            try:
                await self._read_clock()
                await self.markets.load_watchlist()
            except UnknownSymbol:
                raise
            except RestError as error:
                log.warning("%s", error)
                self.rest_note = str(error)
                await asyncio.sleep(REST_RETRY_S)
            else:
                self.rest_note = ""
                return

    async def _read_clock(self) -> None:
        await self.rest.server_time()
        if self.rest.last_time_answer is not None:
            self.clock.observe_answer(*self.rest.last_time_answer)

    async def _keep_clock(self) -> None:
        """Compare clocks once a minute; this also tells whether REST can be reached."""
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            try:
                await self._read_clock()
            except RestError as error:
                self.rest_note = str(error)
            else:
                self.rest_note = ""

    async def _note_sessions(self) -> None:
        """Write into the store when the streams became live and when they ceased to be."""
        was_live = False
        while True:
            await asyncio.sleep(STREAM_WATCH_S)
            stream = self.supervisor.state
            is_live = stream.connection == "live"
            if is_live != was_live:
                was_live = is_live
                self._note_session("connect" if is_live else "disconnect", stream)

    def _note_session(self, event: str, stream: StreamState) -> None:
        since_ms = stream.since_wall_ms
        reason = f"{stream.connection}: {stream.note}".rstrip(": ")
        self.store.writer.run(
            lambda connection: record_session(connection, event, "streams", reason, since_ms)
        )

    async def _fill_history(self) -> None:
        """Queue the history of all markets, and wait for that of the first."""
        fills = [
            self._fill_market(symbol, priority=2 + bool(at))
            for at, symbol in enumerate(self.board.watchlist)
        ]
        if fills:
            await asyncio.wait(fills[:1])

    def _fill_market(self, symbol: str, priority: int) -> asyncio.Future[int]:
        days = self.settings.history_days or DEFAULT_HISTORY_DAYS[self.settings.source]
        start_ms = int(self.clock.now_ms() - days * DAY_MS)
        fill = self.history.request(symbol, "1m", start_ms, priority=priority, keeps_trying=True)
        self._watched(fill)
        return fill

    async def close(self) -> None:
        """Stop in order: streams, tasks, books, trainer; what was received is committed.

        A second call does nothing.
        """
        if self.state == "stopping":
            return
        self.state = "stopping"
        await self.supervisor.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.subscriptions.close()
        await self._flush()
        while self._to_score:
            self.forecast.candle_closed(*self._to_score.popleft())
        await self.forecast.close()
        await self.rest.close()

    async def _flush(self) -> None:
        try:
            await asyncio.to_thread(self.store.writer.flush)
        except TimeoutError:
            log.warning(
                "what was received last is not committed yet; closing the store tries again"
            )

    # --- events ----------------------------------------------------------------------------

    def source_ended(self, reason: str) -> None:
        """The simulated exchange says that nothing more comes; the first reason counts."""
        if self.state != "stopping" and self.supervisor.state.connection != "ended":
            self.supervisor.finish(reason)
            self.notices.add(
                "info", f"{reason[:1].upper()}{reason[1:]}; what was stored stays here."
            )

    def _candle_stored(self, symbol: str, interval: str, open_time_ms: int) -> None:
        self._to_score.append((symbol, interval, open_time_ms))
        if not self._is_scoring:
            self._is_scoring = True
            asyncio.get_running_loop().call_soon(self._score)

    def _score(self) -> None:
        """Score some of the candles that closed, then let viewers have their turn."""
        try:
            # Many markets close in one instant; at full speed they come faster than turns.
            for _ in range(1 + len(self._to_score) // SCORES_AT_ONCE):
                if self._to_score:
                    self.forecast.candle_closed(*self._to_score.popleft())
        finally:
            self._is_scoring = bool(self._to_score)
            if self._is_scoring:
                asyncio.get_running_loop().call_soon(self._score)

    def _hole_seen(self, symbol: str, interval: str, from_ms: int, to_ms: int) -> None:
        self._watched(
            self.history.request(symbol, interval, from_ms, to_ms, priority=1, is_gap=True)
        )

    def _streams_opened(self, streams: frozenset[str], reason: str) -> None:
        for stream in sorted(streams):
            name, _, kind = stream.partition("@")
            symbol = name.upper()
            if kind.startswith("kline_"):
                self._refill(symbol, kind.removeprefix("kline_"), reason)
            elif kind.startswith("depth") and symbol in self.collector.books:
                self.collector.books[symbol].reset(reason)
            elif kind == "trade":
                self.board.symbol(symbol).clear_trades(self.board.next_revision())
                self._spawn(f"tape of {symbol}", self._load_tape(symbol))

    async def _load_tape(self, symbol: str) -> None:
        try:
            trades = await self.rest.trades(symbol, TAPE_ROWS)
        except RestError as error:
            log.warning("the newest trades of %s could not be fetched: %s", symbol, error)
        else:
            self.board.merge_trades(symbol, trades)

    def _refill(self, symbol: str, interval: str, reason: str) -> None:
        """Fetch what closed before the stream flowed, from the last stored candle on."""
        self.collector.forget_continuity(symbol, interval)
        grid = parse_interval(interval)
        # The candle that closes while the subscription is under way belongs to nobody else.
        seam_ms = grid.back(grid.floor(self.clock.now_ms()), 2)
        try:
            last = self.store.reader.last_open_time(symbol, interval)
        except StoreError as error:
            self.notices.add("error", str(error))
            last = None
        is_captured = interval == "1m" and symbol in self.board.watchlist
        is_gap = last is not None and (is_captured or reason.startswith("reconnected"))
        start_ms = last + 1 if last is not None and is_gap else seam_ms
        self._watched(
            self.history.request(
                symbol, interval, start_ms, priority=1, is_gap=is_gap, keeps_trying=True
            )
        )

    def _watched(self, future: asyncio.Future[int]) -> None:
        future.add_done_callback(self._fill_ended)

    def _fill_ended(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self.notices.add("warning", str(error))

    def _bad_message(self, reason: str, raw: str) -> None:
        self.store.writer.quarantine("stream", reason, raw)

    async def _ensure_history(
        self, symbol: str, interval: str, rows: int, progress: Callable[[str], None]
    ) -> None:
        await self.history.ensure(symbol, interval, rows, progress, priority=0)

    # --- what viewers ask -------------------------------------------------------------------

    def watch(self, info: SymbolInfo) -> None:
        """Put a market on the watchlist and fill its history."""
        if info.name in self.board.watchlist:
            return
        self.board.set_info(info)
        self.markets.set_watchlist([*self.board.watchlist, info.name])
        self.subscriptions.open_series(info.name, "1m")
        self.subscriptions.refresh()
        self._fill_market(info.name, priority=3)

    def unwatch(self, symbol: str) -> None:
        """Take a market off the watchlist."""
        self.markets.set_watchlist([name for name in self.board.watchlist if name != symbol])
        self.subscriptions.refresh()

    async def import_file(self, path: str, symbol: str, interval: str) -> ImportResult:
        """Import a kline CSV file, off the loop."""
        result = await asyncio.to_thread(
            imports.import_kline_file, self.store, Path(path), symbol.upper(), interval
        )
        await self.history.reload(symbol.upper(), interval)
        return result
