"""The engine's parts, put together, and what viewers may ask of them as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine import __version__
from engine.binance.clock import ExchangeClock
from engine.binance.rest import RestClient, RestError, UnknownSymbol
from engine.binance.supervisor import StreamSupervisor
from engine.capture.board import Board
from engine.capture.collector import Collector, wall_ms
from engine.capture.health import Health
from engine.capture.history import HistoryKeeper
from engine.capture.subscriptions import Subscriptions
from engine.forecast.live import ForecastDesk
from engine.forecast.values import ForecastConfig
from engine.service import contract
from engine.service.desk import Notices
from engine.store import imports

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from engine.market.symbol import SymbolInfo
    from engine.settings import Settings
    from engine.store import ImportResult, Store

log = logging.getLogger(__name__)

DEFAULT_HISTORY_DAYS = {"live": 3.0, "demo": 7.0, "replay": 60.0}
DAY_MS = 86_400_000
REST_RETRY_S = 5.0
TAPE_ROWS = 100


class Engine:
    """All parts of a running engine.

    Args:
        settings: With `rest_url` and `stream_url` of the exchange to use, simulated or not.
        store: Open, and this engine's until it is closed.
    """

    def __init__(self, settings: Settings, store: Store, rest_url: str, stream_url: str) -> None:
        self.settings = settings
        self.store = store
        self.pid = os.getpid()
        self.state = "starting"
        self.rest_note = ""
        self.notices = Notices()
        self._started = time.monotonic()
        self._symbols: dict[str, SymbolInfo] = {}
        self._all_symbols_at = 0.0
        loop = asyncio.get_running_loop()
        self.clock = ExchangeClock(settings.effective_speed)
        self.board = Board()
        self.board.set_watchlist(list(settings.symbols))
        self.rest = RestClient(rest_url)
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
        )
        self.history = HistoryKeeper(
            self.rest, store, self.board, self.collector, self.clock.now_ms
        )
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
            store,
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

    # --- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is stored, then start all tasks; returns before any network answer."""
        self.forecast.load()
        for symbol in self.board.watchlist:
            self.board.series_of(symbol, "1m").merge(
                self.store.reader.candles(symbol, "1m", limit=1_500), self.board.next_revision()
            )
        for name, work in (
            ("boot", self._boot()),
            ("history", self.history.run()),
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
        while True:
            try:
                await self._read_clock()
                await self._load_watchlist_facts()
            except RestError as error:
                log.warning("%s", error)
                self.rest_note = str(error)
                await asyncio.sleep(REST_RETRY_S)
            else:
                self.rest_note = ""
                break
        self.state = "filling history"
        self.subscriptions.refresh()
        await self._fill_history()
        self.state = "running"
        if self.settings.trains_by_itself and not self.forecast.champions():
            symbol = self.board.watchlist[0]
            self.forecast.retrain(symbol, self.settings.interval, "honest")

    async def _read_clock(self) -> None:
        sent_s = time.monotonic()
        server_ms = await self.rest.server_time()
        self.clock.observe_answer(server_ms, sent_s, time.monotonic())

    async def _load_watchlist_facts(self) -> None:
        try:
            infos = await self.rest.symbols(self.board.watchlist)
        except UnknownSymbol as error:
            known = [name for name in self.board.watchlist if name not in error.symbols]
            self.notices.add("warning", f"{error} It is left out of the watchlist.")
            self.board.set_watchlist(known)
            infos = await self.rest.symbols(known)
        for info in infos:
            self._symbols[info.name] = info
            self.board.set_info(info)
        for ticker in await self.rest.tickers(self.board.watchlist):
            self.board.set_ticker(ticker, None, None)

    async def _fill_history(self) -> None:
        days = self.settings.history_days or DEFAULT_HISTORY_DAYS[self.settings.source]
        end_ms = self.clock.now_ms()
        fills = [
            self.history.request(
                symbol, "1m", int(end_ms - days * DAY_MS), end_ms, priority=2 + bool(at)
            )
            for at, symbol in enumerate(self.board.watchlist)
        ]
        if fills:
            await fills[0]

    async def close(self) -> None:
        """Stop in order: streams, tasks, books, trainer; what was received is committed."""
        self.state = "stopping"
        await self.supervisor.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.subscriptions.close()
        await self._flush()
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
        """The simulated exchange says that nothing more comes."""
        if self.state != "stopping":
            self.supervisor.finish(reason)
            self.notices.add(
                "info", f"{reason[:1].upper()}{reason[1:]}; what was stored stays here."
            )

    def _candle_stored(self, symbol: str, interval: str, open_time_ms: int) -> None:
        self.forecast.candle_closed(symbol, interval, open_time_ms)

    def _hole_seen(self, symbol: str, interval: str, from_ms: int, to_ms: int) -> None:
        self._watched(
            self.history.request(symbol, interval, from_ms, to_ms, priority=1, is_gap=True)
        )

    def _streams_opened(self, streams: frozenset[str], reason: str) -> None:
        for stream in sorted(streams):
            name, _, kind = stream.partition("@")
            symbol = name.upper()
            if kind.startswith("kline_"):
                self._refill(symbol, kind.removeprefix("kline_"))
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

    def _refill(self, symbol: str, interval: str) -> None:
        self.collector.forget_continuity(symbol, interval)
        last = self.store.reader.last_open_time(symbol, interval)
        if last is None:
            return
        self._watched(
            self.history.request(
                symbol, interval, last + 1, self.clock.now_ms(), priority=1, is_gap=True
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

    def status(self) -> contract.StatusSection:
        """Return what the status bar shows."""
        stats, stream = self.supervisor.stats, self.supervisor.state
        now = wall_ms()
        age = now - stats.last_message_wall_ms if stats.last_message_wall_ms else None
        return contract.StatusSection(
            source=self.settings.source,
            source_note=self.settings.source_note,
            speed=self.settings.effective_speed,
            connection=stream.connection,
            connection_note=stream.note or self.rest_note,
            since_wall_ms=stream.since_wall_ms,
            exchange_time_ms=self.clock.now_ms(),
            latency_ms=self.clock.latency_ms,
            data_age_ms=age,
            messages_per_s=round(stats.messages_per_s),
            engine=self.state,
            uptime_s=round(time.monotonic() - self._started),
            markets=len(self.board.watchlist),
            candles=self.health.figures.candles,
            version=__version__,
            pid=self.pid,
        )

    def storage(self) -> contract.StorageSection:
        """Return the counters of capture and store."""
        figures, counters, stats = (
            self.health.figures,
            self.store.writer.counters,
            self.supervisor.stats,
        )
        commit_age = (
            wall_ms() - counters.last_commit_wall_ms if counters.last_commit_wall_ms else None
        )
        return contract.StorageSection(
            candles=figures.candles,
            rows_per_minute=counters.rows_per_minute,
            by_source=figures.by_source,
            database_bytes=figures.database_bytes,
            last_commit_ms=counters.last_commit_ms,
            last_commit_age_ms=commit_age,
            gaps=figures.gaps,
            messages_per_s=round(stats.messages_per_s),
            messages=stats.messages,
            reconnects=stats.reconnects,
            dropped=self.collector.store_failures,
            quarantined=figures.quarantined,
            coverage=figures.coverage,
            backfill=self.history.current,
            weight_used=self.rest.budget.used,
        )

    async def find_symbol(self, name: str) -> SymbolInfo | None:
        """Return what the exchange says about a market, None when there is none."""
        if name not in self._symbols:
            try:
                found = await self.rest.symbols([name])
            except UnknownSymbol:
                return None
            self._symbols.update({info.name: info for info in found})
        return self._symbols.get(name)

    async def load_symbols(self) -> None:
        """Load all markets of the exchange, at most once an hour."""
        if time.monotonic() - self._all_symbols_at < 3600 and self._all_symbols_at:
            return
        for info in await self.rest.symbols(None):
            self._symbols[info.name] = info
        self._all_symbols_at = time.monotonic()

    def search(self, query: str, limit: int) -> list[SymbolInfo]:
        """Return trading markets that hold the letters of `query` in order, best first."""
        letters = query.upper().strip()
        scored = [
            (not info.name.startswith(letters), letters not in info.name, len(info.name), info.name)
            for info in self._symbols.values()
            if info.is_trading and _has_letters(info.name, letters)
        ]
        return [self._symbols[name] for *_, name in sorted(scored)[:limit]]

    def near_symbols(self, name: str) -> list[str]:
        """Return up to three known markets with a similar name."""
        return get_close_matches(name, self._symbols, n=3)

    def watch(self, info: SymbolInfo) -> None:
        """Put a market on the watchlist and fill its history."""
        if info.name in self.board.watchlist:
            return
        self.board.set_info(info)
        self.board.set_watchlist([*self.board.watchlist, info.name])
        self.subscriptions.open_series(info.name, "1m")
        self.subscriptions.refresh()

    def unwatch(self, symbol: str) -> None:
        """Take a market off the watchlist."""
        self.board.set_watchlist([name for name in self.board.watchlist if name != symbol])
        self.subscriptions.refresh()

    async def import_file(self, path: str, symbol: str, interval: str) -> ImportResult:
        """Import a kline CSV file, off the loop."""
        return await asyncio.to_thread(
            imports.import_kline_file, self.store, Path(path), symbol.upper(), interval
        )


def _has_letters(name: str, letters: str) -> bool:
    rest = iter(name)
    return all(letter in rest for letter in letters)
