"""The engine's parts, put together, and what viewers may ask of them as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.binance.clock import ExchangeClock
from engine.binance.lists import OddEntry, left_out_sentence
from engine.binance.rest import EXCHANGE_INFO, RestClient, UnknownSymbol
from engine.binance.supervisor import StreamSupervisor
from engine.capture.board import Board
from engine.capture.collector import Collector
from engine.capture.differences import DifferenceLog
from engine.capture.health import Health
from engine.capture.history import HistoryKeeper
from engine.capture.jobs import Jobs
from engine.capture.ledger import Ledger
from engine.capture.openings import Openings
from engine.capture.page_check import PageCheck
from engine.capture.quality import QualityKeeper
from engine.capture.refill import Refill
from engine.capture.rereads import Rereads
from engine.capture.resampled import Resampler
from engine.capture.roster import NoMarkets, Roster
from engine.capture.sessions import SessionLog
from engine.capture.subscriptions import Subscriptions
from engine.forecast.live import ForecastDesk
from engine.forecast.scoring_queue import ScoringQueue
from engine.forecast.values import ForecastConfig
from engine.markets import Markets
from engine.parts import history_days, make_housekeeper, make_recorder
from engine.reach import Reach
from engine.service.desk import Notices
from engine.service.scheduling import scheduled_reports
from engine.store import imports
from engine.task_supervisor import TaskSupervisor, in_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.binance.stream_types import StreamLimits
    from engine.market.kline_layout import KlineHints
    from engine.market.symbol import SymbolInfo
    from engine.settings import Settings
    from engine.store import ImportResult, Store

log = logging.getLogger(__name__)

STOP_STEP_S = 10.0


class Engine:
    """All parts of a running engine.

    Args:
        settings: With `rest_url` and `stream_url` of the exchange to use, simulated or not.
        store: Open, and this engine's until it is closed.
        limits: What the stream connections keep to; None takes Binance's rules.
        on_refused: Told why the engine can not do what the settings ask for; it is to stop then.
        tasks: Runs the long-lived tasks; its notices go to the viewers.
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
        tasks: TaskSupervisor | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.pid = os.getpid()
        self.state = "starting"
        self._on_refused = on_refused
        self.notices = Notices()
        self.tasks = tasks or TaskSupervisor()
        self.tasks.on_notice = self.notices.add
        self.started_s = time.monotonic()
        self._odd_lists = 0
        loop = asyncio.get_running_loop()
        self.clock = ExchangeClock(settings.effective_speed, is_present=settings.source == "live")
        self.board = Board()
        self.recorder = make_recorder(
            settings, store, lambda: tuple(self.collector.books), self.notices.add
        )
        self.rest = RestClient(
            rest_url,
            on_answer=self.recorder.answer if self.recorder is not None else None,
            on_odd=self._odd_entries,
        )
        self.markets = Markets(self.rest, store, self.board, settings.symbols, self.notices.add)
        self.roster = Roster(
            self.markets,
            store,
            self.board,
            self.clock,
            wanted=settings.markets,
            intervals=settings.intervals,
            speed=settings.effective_speed,
            on_notice=self.notices.add,
        )
        self.reach = Reach(self.rest, self.clock, self.markets, self.roster)
        self.differences = DifferenceLog(store)
        self.collector = Collector(
            self.board,
            store.writer,
            self.clock,
            loop,
            on_stored=self._candle_stored,
            on_hole=self._hole_seen,
            on_page=self.differences.stored,
        )
        self.sessions = SessionLog(store, self.clock, lambda: self.supervisor.state)
        self.supervisor = StreamSupervisor(
            stream_url,
            on_event=self.collector.on_event,
            on_gap=self._streams_opened,
            on_bad=self._bad_message,
            on_raw=self.recorder.frame if self.recorder is not None else None,
            on_session=self.sessions.connection,
            limits=limits,
        )
        self.history = HistoryKeeper(self.rest, store, self.board, self.collector, self.clock)
        self.rereads = Rereads(self.rest, store, self.collector, self.notices.add)
        self.ledger = Ledger(
            store,
            self.history,
            self.clock,
            self.rereads,
            speed=settings.effective_speed,
            stream=lambda: self.supervisor.state,
            trouble=self.supervisor.trouble,
            looked_at=lambda: self.subscriptions.looked_at,
            on_notice=self.notices.add,
        )
        self.jobs = Jobs(self.rest, store, self.history, self.notices.add)
        self.refill = Refill(
            store,
            self.history,
            self.ledger,
            self.roster,
            self.clock,
            forget_continuity=self.collector.forget_continuity,
            on_notice=self.notices.add,
        )
        self.openings = Openings(self.board, self.collector, self.rest, self.refill)
        self.forecast = ForecastDesk(
            store,
            Path(settings.directory) / "models",
            msgspec.convert(settings.forecast, ForecastConfig, from_attributes=True),
            ensure_history=self._ensure_history,
            on_notice=self.notices.add,
            exchange_now_ms=self.clock.now_ms,
        )
        self._scoring = ScoringQueue(self.forecast.candle_closed)
        self.resampler = Resampler(store.reader, self.board, self.clock.now_ms)
        self.subscriptions = Subscriptions(
            self.board,
            self.collector,
            self.supervisor,
            self.rest,
            self.history,
            self.roster,
            self.forecast.champions,
            # A recording plays once: what nobody subscribed to at its beginning is missed.
            looks_at_all=settings.is_recording,
            resampler=self.resampler,
        )
        self.health = Health(store, self.notices.add)
        self.quality = QualityKeeper(
            store,
            self.supervisor,
            self.collector,
            self.clock,
            speed=settings.effective_speed,
            on_notice=self.notices.add,
        )
        self.housekeeper = make_housekeeper(settings, store, self.clock, self.notices.add)
        self.reports = scheduled_reports(settings, store, self.clock, self.notices.add)

    # --- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is stored, then start all tasks; returns before any network answer."""
        self.forecast.load()
        self.markets.load_stored()
        self.roster.load()
        self.ledger.load()
        for symbol in self.board.watchlist:
            self.history.load(symbol, "1m")
        pages = PageCheck(self.store.directory, self.notices.add)
        for name, make in (
            ("boot", self._boot),
            ("history", self.history.run),
            ("gap", self.ledger.run),
            ("backfill", self.jobs.run),
            ("clock", self.reach.run),
            ("session", self.sessions.run),
            ("health", self.health.run),
            ("differences", self.differences.run),
            ("house", self.housekeeper.run),
            ("pages", pages.run),
            ("quality", self.quality.run),
            ("report", self.reports.run),
            ("forecast", self.forecast.run),
        ):
            self.tasks.start(name, make)
        if self.recorder is not None:
            self.tasks.start("recorder", partial(self.recorder.run, self.rest))

    async def _boot(self) -> None:
        """Reach the exchange, then open streams and fill history; tries for ever."""
        self.state = "connecting"
        self.subscriptions.refresh()
        self.tasks.start("streams", self.supervisor.run)
        self.tasks.start("subscriptions", self.subscriptions.run)
        try:
            await self.reach.first()
        except UnknownSymbol as error:
            self._refuse(f"{error} Name markets that it has with --symbols.")
            return
        except NoMarkets as error:
            self._refuse(str(error))
            return
        self.tasks.start("roster", self.roster.run)
        if self.roster.is_whole:
            self.tasks.start("prices", partial(self.markets.load_prices, self.roster.symbols))
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

    async def _fill_history(self) -> None:
        """Queue the history of all markets, and wait for that of the first."""
        fills = [
            self.refill.market(symbol, history_days(self.settings), priority=2 + bool(at))
            for at, symbol in enumerate(self.board.watchlist)
        ]
        if fills:
            await asyncio.wait(fills[:1])

    async def close(self) -> None:
        """Stop in order: streams, tasks, books, trainer; what was received is committed.

        Each step has `STOP_STEP_S` at most, and its failure does not keep the next from its turn.
        A second call does nothing.
        """
        if self.state == "stopping":
            return
        self.state = "stopping"
        for name, step in (
            ("streams", self.supervisor.close),
            ("tasks", self._stop_tasks),
            ("subscriptions", self.subscriptions.close),
            ("openings", self.openings.close),
            ("resampler", self.resampler.close),
            ("rereads", self.rereads.close),
            ("quality", self.quality.close),
            ("reports", self.reports.close),
            ("store", self._flush),
            ("forecast", self._stop_forecast),
            ("rest", self.rest.close),
            *((("recorder", self.recorder.close),) if self.recorder is not None else ()),
        ):
            await in_time(name, step, STOP_STEP_S)

    async def _stop_tasks(self) -> None:
        for name in await self.tasks.close(STOP_STEP_S / 2):
            log.error("the task '%s' does not end", name)

    async def _stop_forecast(self) -> None:
        self._scoring.finish()
        await self.forecast.close()

    async def _flush(self) -> None:
        try:
            await asyncio.to_thread(self.store.writer.flush, STOP_STEP_S - 2)
        except TimeoutError:
            log.warning(
                "what was received last is not committed yet; closing the store tries again"
            )

    # --- events ----------------------------------------------------------------------------

    def source_ended(self, reason: str, time_ms: int | None) -> None:
        """The simulated exchange says that nothing more comes; the first reason counts.

        Args:
            reason: Why, in words.
            time_ms: The exchange's last time (epoch ms); None unknown.
        """
        if self.state != "stopping" and self.supervisor.state.connection != "ended":
            self.clock.stop(time_ms)
            self.supervisor.finish(reason)
            self.quality.source_ended()
            self.notices.add(
                "info", f"{reason[:1].upper()}{reason[1:]}; what was stored stays here."
            )

    def _candle_stored(self, symbol: str, interval: str, open_time_ms: int) -> None:
        self.differences.stored(symbol, interval, open_time_ms, open_time_ms)
        self._scoring.put(symbol, interval, open_time_ms)

    def _hole_seen(self, symbol: str, interval: str, from_ms: int, to_ms: int, why: str) -> None:
        self.refill.hole_seen(symbol, interval, from_ms, to_ms, why)

    def _streams_opened(self, streams: frozenset[str], reason: str) -> None:
        self.openings.opened(streams, reason)

    def _bad_message(self, reason: str, raw: str) -> None:
        self.store.writer.quarantine("stream", reason, raw)

    def _odd_entries(self, what: str, odd: Sequence[OddEntry]) -> None:
        for entry in odd:
            self.store.writer.quarantine(f"rest {what}", entry.reason, entry.raw)
        # One notice for each doubling: a source that is odd all over tells so page after page.
        self._odd_lists += 1
        if what == EXCHANGE_INFO or self._odd_lists.bit_count() == 1:
            self.notices.add("warning", left_out_sentence(what, odd))

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
        self.roster.watchlist_changed(info)
        self.subscriptions.open_series(info.name, "1m")
        self.subscriptions.refresh()
        self.refill.market(info.name, history_days(self.settings), priority=3)

    def unwatch(self, symbol: str) -> None:
        """Take a market off the watchlist."""
        self.markets.set_watchlist([name for name in self.board.watchlist if name != symbol])
        self.roster.watchlist_changed()
        self.subscriptions.refresh()

    async def import_file(
        self, path: str, symbol: str, interval: str, hints: KlineHints
    ) -> ImportResult:
        """Import a kline file, off the loop."""
        result = await asyncio.to_thread(
            imports.import_kline_file, self.store, Path(path), symbol.upper(), interval, hints
        )
        await self.history.reload(symbol.upper(), interval)
        return result
