"""Answers viewers: builds their frames and carries out their commands."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from engine import __version__
from engine.binance import stream_names
from engine.binance.lists import left_out_sentence
from engine.binance.rest import EXCHANGE_INFO, RestError
from engine.capture.collector import wall_ms
from engine.capture.fills import Priority
from engine.capture.subscriptions import Lease
from engine.forecast.values import ForecastError
from engine.market.interval import INTERVALS, UnknownInterval, parse_interval
from engine.market.kline_layout import kline_hints
from engine.service import contract, sections
from engine.service.coverage_answers import CoverageAnswers
from engine.service.figures import status_section, storage_section
from engine.service.gap_answers import GapAnswers
from engine.service.house_answers import keep_house
from engine.service.reports import book_report, forecast_section, job_report, status_report
from engine.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.binance.book_feed import BookFeed
    from engine.market.symbol import SymbolInfo
    from engine.runtime import Engine
    from engine.service.contract import Answer, Frame, Goodbye, Hello, Pull, Request, Welcome
    from engine.service.server import Viewer

STATUS_EVERY_MS = 500
STORAGE_EVERY_MS = 1000
BOOK_STILL_EVERY_MS = 1000
NOTICES_KEPT = 200
NOTICES_FOR_MS = 120_000


class Refused(Exception):
    """A command that can not be carried out; `usage` marks a mistake of the user."""

    def __init__(self, message: str, *, usage: bool = True) -> None:
        super().__init__(message)
        self.usage = usage


class Notices:
    """The newest things that happened, numbered."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, contract.Notice]] = deque(maxlen=NOTICES_KEPT)
        self.last = 0

    def before(self, wall_ms: int) -> int:
        """Return the number of the last notice that is older than `wall_ms`."""
        newer = sum(notice.wall_ms >= wall_ms for _, notice in self._kept)
        return self.last - newer

    def add(self, level: str, text: str) -> None:
        """Tell all viewers, now and those that come within the next minutes."""
        self.last += 1
        self._kept.append((self.last, contract.Notice(wall_ms(), level, text)))

    def after(self, number: int) -> tuple[contract.Notice, ...]:
        """Return the notices with a higher number."""
        return tuple(notice for at, notice in self._kept if at > number)


class Desk:
    """The engine's side of the contract.

    Args:
        engine: The parts that run.
        owned: Whether the engine stops when the last terminal has said goodbye.
        on_stop: Called when the engine shall stop.
    """

    def __init__(self, engine: Engine, *, owned: bool, on_stop: Callable[[], None]) -> None:
        self._engine = engine
        self._owned = owned
        self._on_stop = on_stop
        self._viewers: set[int] = set()
        self._commands: dict[type, Callable[[Any], Awaitable[Answer]]] = {
            contract.StatusRequest: self._status,
            contract.BookRequest: self._book,
            contract.Watch: self._watch,
            contract.Unwatch: self._unwatch,
            contract.Search: self._search,
            contract.Backfill: self._backfill,
            contract.Retrain: self._retrain,
            contract.Cancel: self._cancel,
            contract.Import: self._import,
            contract.KeepHouse: partial(keep_house, engine),
            contract.Stop: self._stop,
            contract.CoverageRequest: CoverageAnswers(engine.quality).coverage,
            **GapAnswers(
                engine.store.reader, engine.ledger, engine.history, engine.jobs
            ).commands(),
        }

    # --- viewers ---------------------------------------------------------------------------

    def welcome(self, hello: Hello) -> Welcome:
        """Greet a viewer whose version the server has checked."""
        settings = self._engine.settings
        return contract.Welcome(
            version=__version__,
            protocol=hello.protocol,
            pid=self._engine.pid,
            source=settings.source,
            focused=self._engine.board.watchlist[0] if self._engine.board.watchlist else "",
            interval=settings.interval,
            source_note=settings.source_note,
        )

    def joined(self, viewer: Viewer) -> None:
        """Remember which notices are too old for a viewer that comes now."""
        viewer.memory["notice"] = self._engine.notices.before(wall_ms() - NOTICES_FOR_MS)

    def left(self, viewer: Viewer, goodbye: Goodbye | None) -> None:
        """Drop a viewer's lease; an owned engine stops after the last goodbye."""
        stops = goodbye is not None and self.stops_after(viewer, goodbye)
        self._viewers.discard(viewer.id)
        self._engine.subscriptions.release(viewer.id)
        if goodbye is not None and goodbye.detach:
            self._owned = False
        elif stops:
            self._on_stop()

    def stops_after(self, viewer: Viewer, goodbye: Goodbye) -> bool:
        """Tell whether this goodbye is the last that an owned engine waits for."""
        return self._owned and not goodbye.detach and self._viewers == {viewer.id}

    # --- frames ----------------------------------------------------------------------------

    def frame(self, viewer: Viewer, pull: Pull) -> Frame:
        """Return what changed for this viewer since the revision it has."""
        self._viewers.add(viewer.id)
        memory = viewer.memory
        view = self._settled(pull.view)
        board = self._engine.board
        # A revision that is still to come belongs to another engine.
        since = pull.since if pull.since <= board.revision else 0
        if since == 0:
            notice = memory.get("notice", 0)
            memory.clear()
            memory["notice"] = notice
        changed_view = memory.get("view") != view
        if changed_view:
            if view.focused:
                self._engine.subscriptions.lease(viewer.id, Lease(view.focused, view.interval))
                self._engine.markets.tell_board(view.focused)
            memory["view"] = view
            for key in ("book", "forecast", "book_at"):
                memory.pop(key, None)
        now = wall_ms()
        chart = sections.chart_section(board, view, since, whole=changed_view)
        if chart is not None:
            self._load_older_for(view)
        notices = self._engine.notices.after(memory.get("notice", 0))
        memory["notice"] = self._engine.notices.last
        return contract.Frame(
            revision=board.revision or 1,
            status=self._timed(memory, "status", now, STATUS_EVERY_MS, status_section),
            tickers=sections.tickers_section(board, since),
            book=self._book_section(memory, view, now),
            chart=chart,
            trades=sections.trades_section(board, view, since, whole=changed_view),
            storage=self._timed(memory, "storage", now, STORAGE_EVERY_MS, storage_section),
            forecast=self._forecast_section(memory, view),
            notices=notices,
        )

    def _settled(self, view: contract.View) -> contract.View:
        watchlist = self._engine.board.watchlist
        focused = view.focused or (watchlist[0] if watchlist else "")
        interval = view.interval if view.interval in INTERVALS else self._engine.settings.interval
        return msgspec.structs.replace(view, focused=focused, interval=interval)

    def _load_older_for(self, view: contract.View) -> None:
        series = self._engine.board.series.get((view.focused, view.interval))
        if series is None:
            return
        if len(series.window(view.bars, view.chart_end_ms)) < view.bars:
            self._engine.subscriptions.load_older(view.focused, view.interval)

    def _timed(
        self,
        memory: dict[str, Any],
        key: str,
        now: int,
        every_ms: int,
        make: Callable[[Engine], Any],
    ) -> Any:
        if 0 <= now - memory.get(f"{key}_at", 0) < every_ms:
            return None
        section = make(self._engine)
        if section == memory.get(key):
            return None
        memory[key], memory[f"{key}_at"] = section, now
        return section

    def _book_section(
        self, memory: dict[str, Any], view: contract.View, now: int
    ) -> contract.BookSection | None:
        engine = self._engine
        feed = engine.collector.books.get(view.focused)
        stream = engine.supervisor.standing(stream_names.depth(view.focused))
        key = (
            id(feed),
            engine.board.symbol(view.focused).book_revision,
            stream.connection,
            stream.note,
        )
        is_fresh = 0 <= now - memory.get("book_at", 0) < BOOK_STILL_EVERY_MS
        if memory.get("book") == key and is_fresh:
            return None
        memory["book"], memory["book_at"] = key, now
        return sections.book_section(engine.board, feed, stream, view, now)

    def _forecast_section(
        self, memory: dict[str, Any], view: contract.View
    ) -> contract.ForecastSection | None:
        revision = self._engine.forecast.revision
        if memory.get("forecast") == revision:
            return None
        memory["forecast"] = revision
        return forecast_section(self._engine, view.focused, view.interval)

    # --- commands --------------------------------------------------------------------------

    async def command(self, viewer: Viewer, request: Request) -> Answer:
        """Carry out one command; refusals are answered in a sentence."""
        del viewer
        handler = self._commands.get(type(request))
        if handler is None:
            return contract.Problem("This engine does not know that command.")
        try:
            return await handler(request)
        except Refused as refusal:
            return contract.Problem(str(refusal), usage=refusal.usage)
        except (UnknownInterval, ForecastError) as error:
            return contract.Problem(str(error), usage=True)
        except (RestError, StoreError, OSError) as error:
            return contract.Problem(str(error), usage=getattr(error, "usage", False) is True)

    async def _status(self, _: contract.StatusRequest) -> Answer:
        return contract.Done(data=status_report(self._engine))

    async def _book(self, request: contract.BookRequest) -> Answer:
        info = await self._known(request.symbol)
        lease_id = -id(request)
        self._engine.subscriptions.lease(lease_id, Lease(info.name, None))
        try:
            feed = await self._synchronised(info.name, request.timeout_s)
        finally:
            self._engine.subscriptions.release(lease_id)
        stream = self._engine.supervisor.standing(stream_names.depth(info.name))
        return contract.Done(data=book_report(info.name, feed, stream, request.levels))

    async def _synchronised(self, symbol: str, timeout_s: float) -> BookFeed | None:
        deadline = time.monotonic() + timeout_s
        while True:
            feed = self._engine.collector.books.get(symbol)
            stream = self._engine.supervisor.standing(stream_names.depth(symbol))
            state, _ = sections.book_standing(feed, stream)
            if state == "synchronised" or time.monotonic() >= deadline:
                return feed
            await asyncio.sleep(0.05)

    async def _known(self, symbol: str) -> SymbolInfo:
        info = await self._engine.markets.find(symbol.upper())
        if info is None:
            odd = [e for e in self._engine.rest.odd.of(EXCHANGE_INFO) if e.name == symbol.upper()]
            if odd:
                raise Refused(left_out_sentence(EXCHANGE_INFO, odd), usage=False)
            near = ", ".join(self._engine.markets.near(symbol.upper()))
            hint = f" Did you mean {near}?" if near else " `klinetop` lists markets with the key /."
            raise Refused(f"The exchange has no market '{symbol.upper()}'.{hint}")
        return info

    async def _watch(self, request: contract.Watch) -> Answer:
        info = await self._known(request.symbol)
        self._engine.watch(info)
        return contract.Done(f"{info.name} is on the watchlist.")

    async def _unwatch(self, request: contract.Unwatch) -> Answer:
        symbol = request.symbol.upper()
        watchlist = self._engine.board.watchlist
        if symbol not in watchlist:
            raise Refused(f"{symbol} is not on the watchlist.")
        if len(watchlist) == 1:
            raise Refused(f"{symbol} is the last market on the watchlist; add another one first.")
        self._engine.unwatch(symbol)
        return contract.Done(f"{symbol} is off the watchlist; its stored candles stay.")

    async def _search(self, request: contract.Search) -> Answer:
        await self._engine.markets.load_all()
        found = self._engine.markets.search(request.query, request.limit)
        board = self._engine.board
        # Prices of other markets stopped with the last look at them.
        live = board.symbols if self._engine.roster.is_whole else board.watchlist
        rows = [sections.ticker_row(board, info.name) for info in found if info.name in live]
        return contract.Found(tuple(found), tuple(row for row in rows if row.last is not None))

    async def _backfill(self, request: contract.Backfill) -> Answer:
        info = await self._known(request.symbol)
        parse_interval(request.interval)
        if request.end_ms <= request.start_ms:
            raise Refused("The end of a backfill must lie after its start.")
        rows = await self._engine.history.request(
            info.name, request.interval, request.start_ms, request.end_ms, priority=Priority.JOB
        )
        return contract.Done(
            f"{info.name} {request.interval}: {rows:,} candles fetched.", {"rows": rows}
        )

    async def _retrain(self, request: contract.Retrain) -> Answer:
        symbol = request.symbol.upper()
        parse_interval(request.interval)
        if symbol not in self._engine.store.reader.symbols():  # what is stored trains offline, too
            await self._known(symbol)
        job = self._engine.forecast.retrain(symbol, request.interval, request.recipe)
        if not request.wait:
            return contract.Done(f"Training {symbol} {request.interval}.")
        ended = await self._engine.forecast.wait(job)
        return contract.Done(ended.message, job_report(ended))

    async def _cancel(self, _: contract.Cancel) -> Answer:
        if not self._engine.forecast.cancel():
            raise Refused("No training job runs.")
        return contract.Done("The training job is cancelled.")

    async def _import(self, request: contract.Import) -> Answer:
        hints = kline_hints(request.columns, request.timezone, request.date_format)
        result = await self._engine.import_file(
            request.path, request.symbol, request.interval, hints
        )
        return contract.Done(data=result._asdict())

    async def _stop(self, _: contract.Stop) -> Answer:
        asyncio.get_running_loop().call_later(0.05, self._on_stop)
        return contract.Done("The engine stops.", {"pid": self._engine.pid})
