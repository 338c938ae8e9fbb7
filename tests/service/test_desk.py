"""The desk on a real engine: what frames hold, for whom, and what commands do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from engine import __version__
from engine.market.interval import MINUTE_MS
from engine.runtime import Engine
from engine.service import contract
from engine.service.contract import Frame, Goodbye, Hello, Pull, View
from engine.service.desk import NOTICES_FOR_MS, Desk
from engine.service.server import Viewer
from engine.simulator.server import Running

SPEED = 60.0
BTC = View(focused="BTCUSDT", interval="1m", bars=50, ladder_levels=5)
LTC = View(focused="LTCUSDT", interval="5m", bars=60, ladder_levels=5)


class Terminal:
    """A viewer that keeps what frames told it, as the real one does."""

    ids = itertools.count(1)

    def __init__(self, desk: Desk, view: View = BTC) -> None:
        self.desk = desk
        self.view = view
        self.viewer = Viewer(next(self.ids), owner=False)
        self.revision = 0
        self.candles: dict[int, Any] = {}
        self.book: contract.BookSection | None = None
        self.trades: list[Any] = []
        self.notices: list[str] = []
        desk.joined(self.viewer)

    def pull(self, since: int | None = None) -> Frame:
        frame = self.desk.frame(
            self.viewer, Pull(self.view, self.revision if since is None else since)
        )
        self.revision = frame.revision
        self.book = frame.book or self.book
        if frame.chart is not None:
            if frame.chart.reset:
                self.candles.clear()
            self.candles |= {candle.open_time_ms: candle for candle in frame.chart.candles}
        if frame.trades is not None:
            self.trades = [*([] if frame.trades.reset else self.trades), *frame.trades.trades]
        self.notices += [notice.text for notice in frame.notices]
        return frame

    async def command(self, request: contract.Request) -> contract.Answer:
        return await self.desk.command(self.viewer, request)


class Stage:
    """A running exchange, an engine on it, and its desk."""

    def __init__(self, running: Running, engine: Engine, owned: bool) -> None:
        self.running = running
        self.engine = engine
        self.stops = 0
        self.desk = Desk(engine, owned=owned, on_stop=self._stop)

    def _stop(self) -> None:
        self.stops += 1


@pytest.fixture
async def stage(exchange_at, engine_on, eventually) -> Stage:
    running = await exchange_at(SPEED)
    made = Stage(running, await engine_on(running, SPEED), owned=True)
    await eventually(lambda: made.engine.state == "running")
    return made


def whole(terminal: Terminal, count: int) -> Callable[[], bool]:
    """A condition: pull, and tell whether the terminal holds as many candles without a hole."""

    def check() -> bool:
        terminal.pull()
        times = sorted(terminal.candles)
        steps = {b - a for a, b in itertools.pairwise(times)}
        return len(times) >= count and len(steps) == 1

    return check


async def test_deltas_add_up_to_what_the_engine_holds(stage: Stage, eventually) -> None:
    terminal = Terminal(stage.desk)
    first = terminal.pull()
    assert first.status is not None
    assert first.storage is not None
    assert first.tickers is not None
    assert first.tickers.order == ("BTCUSDT", "LTCUSDT")
    await eventually(whole(terminal, 50))
    deltas = 0
    newest = max(terminal.candles)

    def three_minutes_later() -> bool:
        nonlocal deltas
        frame = terminal.pull()
        deltas += frame.chart is not None and not frame.chart.reset
        return max(terminal.candles) >= newest + 3 * MINUTE_MS

    await eventually(three_minutes_later)
    terminal.pull()
    series = stage.engine.board.series["BTCUSDT", "1m"]
    held = {candle.open_time_ms: candle for candle in series.candles}
    assert all(held[time_ms] == candle for time_ms, candle in terminal.candles.items())
    assert max(terminal.candles) == series.candles[-1].open_time_ms
    assert deltas > 5
    ids = [trade.trade_id for trade in terminal.trades]
    assert ids == sorted(set(ids))
    assert ids[-1] == stage.engine.board.symbol("BTCUSDT").trades[-1][1].trade_id


async def test_nothing_comes_twice(stage: Stage, eventually) -> None:
    terminal = Terminal(stage.desk)
    await eventually(whole(terminal, 50))
    terminal.pull()
    again = terminal.pull()
    assert (again.status, again.storage, again.tickers, again.chart) == (None,) * 4
    assert (again.book, again.trades, again.forecast, again.notices) == (None, None, None, ())
    everything = terminal.pull(since=0)
    assert everything.chart is not None
    assert everything.chart.reset
    assert None not in (everything.status, everything.storage, everything.tickers, everything.book)


async def test_a_revision_of_another_engine_asks_for_everything(stage: Stage) -> None:
    terminal = Terminal(stage.desk)
    terminal.pull()
    frame = terminal.pull(since=stage.engine.board.revision + 1_000_000)
    assert frame.tickers is not None
    assert len(frame.tickers.rows) == 2


async def test_two_viewers_each_see_their_own(stage: Stage, eventually) -> None:
    one, other = Terminal(stage.desk), Terminal(stage.desk, LTC)
    await eventually(whole(one, 50))
    await eventually(whole(other, 60))
    steps = [
        {b - a for a, b in itertools.pairwise(sorted(terminal.candles))}
        for terminal in (one, other)
    ]
    assert steps == [{MINUTE_MS}, {5 * MINUTE_MS}]

    def both_books() -> bool:
        one.pull(), other.pull()
        books = (one.book, other.book)
        return all(book is not None and book.state == "synchronised" for book in books)

    await eventually(both_books)
    assert one.book is not None
    assert other.book is not None
    assert (one.book.symbol, other.book.symbol) == ("BTCUSDT", "LTCUSDT")
    assert len(one.book.bids) == 5


async def test_a_view_that_changes_brings_all_of_the_other_symbol(stage: Stage, eventually) -> None:
    terminal = Terminal(stage.desk)
    await eventually(whole(terminal, 50))
    terminal.view = LTC
    frame = terminal.pull()
    assert frame.chart is not None
    assert (frame.chart.symbol, frame.chart.interval, frame.chart.reset) == ("LTCUSDT", "5m", True)
    assert frame.trades is not None
    assert (frame.trades.symbol, frame.trades.reset) == ("LTCUSDT", True)
    assert frame.book is not None
    assert frame.book.symbol == "LTCUSDT"
    assert frame.forecast is not None
    assert frame.forecast.interval == "5m"
    await eventually(whole(terminal, 60))


async def test_a_panned_chart_is_not_sent_again_for_live_candles(stage: Stage, eventually) -> None:
    live, panned = Terminal(stage.desk), Terminal(stage.desk)
    await eventually(whole(live, 50))
    end_ms = sorted(live.candles)[-10]
    panned.view = View(focused="BTCUSDT", bars=30, chart_end_ms=end_ms)
    await eventually(whole(panned, 30))
    newest = max(live.candles)
    charts = []

    def a_minute_later() -> bool:
        charts.append(panned.pull().chart)
        live.pull()
        return max(live.candles) >= newest + 2 * MINUTE_MS

    await eventually(a_minute_later)
    assert max(panned.candles) == end_ms
    assert not any(charts)


async def test_more_bars_than_are_in_memory_are_fetched(stage: Stage, eventually) -> None:
    terminal = Terminal(stage.desk, View(focused="BTCUSDT", bars=1_700))
    await eventually(whole(terminal, 1_700))


async def test_each_notice_comes_once_and_a_late_viewer_hears_the_newest(stage: Stage) -> None:
    terminal = Terminal(stage.desk)
    terminal.pull()
    stage.engine.notices.add("info", "something happened")
    terminal.pull()
    terminal.pull(since=0)
    assert terminal.notices == ["something happened"]
    late = Terminal(stage.desk)
    late.pull()
    assert late.notices == ["something happened"]
    number, notice = stage.engine.notices._kept.pop()
    old = contract.Notice(notice.wall_ms - NOTICES_FOR_MS - 1, "info", notice.text)
    stage.engine.notices._kept.append((number, old))
    later = Terminal(stage.desk)
    later.pull()
    assert later.notices == []


async def test_the_book_is_not_live_while_its_stream_is_not(stage: Stage, eventually) -> None:
    terminal = Terminal(stage.desk)

    def state() -> str:
        terminal.pull()
        return terminal.book.state if terminal.book is not None else ""

    await eventually(lambda: state() == "synchronised")
    stage.running.faults.refuse_connections(30)
    stage.running.faults.drop_connections()
    await eventually(lambda: stage.engine.supervisor.state.connection != "live")
    assert state() == "unsynchronised"
    assert terminal.book is not None
    assert "last known" in terminal.book.reason
    assert terminal.book.bids
    answer = await terminal.command(contract.BookRequest("BTCUSDT", timeout_s=0.0))
    assert isinstance(answer, contract.Done)
    assert (answer.data["state"], answer.data["bids"]) == ("unsynchronised", [])
    report = (await terminal.command(contract.StatusRequest())).data
    assert report["books"]["BTCUSDT"]["state"] == "unsynchronised"
    assert report["stream"]["state"] in ("connecting", "offline")
    stage.running.faults.refuse_connections(0)
    await eventually(lambda: state() == "synchronised")


async def test_an_unknown_interval_in_a_view_falls_back(stage: Stage) -> None:
    terminal = Terminal(stage.desk, View(focused="BTCUSDT", interval="7m"))
    frame = terminal.pull()
    assert frame.chart is not None
    assert frame.chart.interval == "1m"


# --- who is there ---------------------------------------------------------------------------


async def test_an_owned_engine_stops_after_the_last_goodbye(stage: Stage) -> None:
    one, other = Terminal(stage.desk), Terminal(stage.desk)
    one.pull(), other.pull()
    stage.desk.left(one.viewer, Goodbye())
    assert stage.stops == 0
    stage.desk.left(other.viewer, Goodbye())
    assert stage.stops == 1


async def test_a_lost_terminal_and_a_command_stop_nothing(stage: Stage) -> None:
    lost, command = Terminal(stage.desk), Terminal(stage.desk)
    lost.pull()
    stage.desk.left(lost.viewer, None)
    stage.desk.left(command.viewer, Goodbye())
    assert stage.stops == 0
    back = Terminal(stage.desk)
    back.pull()
    stage.desk.left(back.viewer, Goodbye())
    assert stage.stops == 1


async def test_a_detached_engine_is_owned_no_more(stage: Stage) -> None:
    one, other = Terminal(stage.desk), Terminal(stage.desk)
    one.pull(), other.pull()
    stage.desk.left(one.viewer, Goodbye(detach=True))
    stage.desk.left(other.viewer, Goodbye())
    assert stage.stops == 0


async def test_a_viewer_is_welcomed_with_the_watchlist_s_first(stage: Stage) -> None:
    welcome = stage.desk.welcome(Hello(__version__))
    assert (welcome.focused, welcome.interval, welcome.source) == ("BTCUSDT", "1m", "live")


# --- commands -------------------------------------------------------------------------------


MISTAKES = [
    (contract.Watch("BTCUSD"), "BTCUSDT"),
    (contract.Unwatch("ETHUSDT"), "not on the watchlist"),
    (contract.Backfill("BTCUSDT", "7m", 0, 1), "7m"),
    (contract.Backfill("BTCUSDT", "1m", 5, 5), "after its start"),
    (contract.Retrain("BTCUSDT", "1m", recipe="alchemy"), "alchemy"),
    (contract.Cancel(), "No training job"),
]


async def test_a_mistake_is_refused_in_a_sentence(stage: Stage) -> None:
    terminal = Terminal(stage.desk)
    for request, words in MISTAKES:
        answer = await terminal.command(request)
        assert isinstance(answer, contract.Problem), request
        assert answer.usage, request
        assert words in answer.message


async def test_an_exchange_that_fails_is_no_mistake_of_the_user(stage: Stage) -> None:
    stage.running.faults.rest_status = 403
    answer = await Terminal(stage.desk).command(
        contract.Backfill("BTCUSDT", "1m", stage.engine.clock.now_ms() - 10**8, 2**50)
    )
    assert isinstance(answer, contract.Problem)
    assert not answer.usage
    assert "403" in answer.message


async def test_a_backfill_answers_when_all_is_stored(stage: Stage) -> None:
    end_ms = stage.engine.clock.now_ms() // MINUTE_MS * MINUTE_MS - 50 * 3_600_000
    answer = await Terminal(stage.desk).command(
        contract.Backfill("BTCUSDT", "1m", end_ms - 100 * MINUTE_MS, end_ms)
    )
    assert isinstance(answer, contract.Done)
    assert answer.data == {"rows": 100}
    reader = stage.engine.store.reader
    assert reader.missing("BTCUSDT", "1m", end_ms - 100 * MINUTE_MS, end_ms) == []


async def test_search_finds_by_letters_in_order(stage: Stage) -> None:
    answer = await Terminal(stage.desk).command(contract.Search("lt"))
    assert isinstance(answer, contract.Found)
    assert [info.name for info in answer.symbols] == ["LTCUSDT"]


async def test_the_last_market_stays_on_the_watchlist(stage: Stage) -> None:
    terminal = Terminal(stage.desk)
    assert isinstance(await terminal.command(contract.Unwatch("ltcusdt")), contract.Done)
    assert terminal.pull().tickers.order == ("BTCUSDT",)
    answer = await terminal.command(contract.Unwatch("BTCUSDT"))
    assert isinstance(answer, contract.Problem)
    assert isinstance(await terminal.command(contract.Watch("LTCUSDT")), contract.Done)
    assert terminal.pull().tickers.order == ("BTCUSDT", "LTCUSDT")


async def test_stop_is_answered_before_it_happens(stage: Stage, eventually) -> None:
    answer = await Terminal(stage.desk).command(contract.Stop())
    assert isinstance(answer, contract.Done)
    assert stage.stops == 0
    await eventually(lambda: stage.stops == 1)
