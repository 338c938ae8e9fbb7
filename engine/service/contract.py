"""The messages between the engine and those who look at it.

They travel as length-prefixed msgpack over a Unix-domain socket: four bytes of length (big endian),
then one encoded struct. One request gets one answer, in order. The first request of a connection
is `Hello`. All times are exchange time in epoch milliseconds unless a name ends in `_age_ms`,
`_s` or says `wall`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engine.market.candle import Candle
from engine.market.capture_figures import (
    BackfillProgress,
    DayQuality,
    DiskState,
    GapRow,
    MarketCoverage,
)
from engine.market.forecast import JobInfo, ModelInfo, PredictionRow, TrackRecord
from engine.market.symbol import SymbolInfo
from engine.market.trade import Trade

PROTOCOL = 2
MAX_MESSAGE_BYTES = 32 * 1024 * 1024


class View(msgspec.Struct, frozen=True):
    """What one viewer shows. It is also a lease on the streams that this needs.

    Attributes:
        focused: The symbol that book, chart, trades and forecast show; empty for the engine's pick.
        interval: Interval of chart and forecast.
        bars: How many candles the chart wants, lead for moving averages included.
        chart_end_ms: Open time of the last candle wanted; None follows the live edge.
        ladder_levels: Levels a side.
        ladder_step: Price step that levels are grouped by; 0 leaves them as they are.
        tape_length: Trades kept in the tape.
    """

    focused: str = ""
    interval: str = "1m"
    bars: int = 240
    chart_end_ms: int | None = None
    ladder_levels: int = 20
    ladder_step: float = 0.0
    tape_length: int = 100


# --- requests -----------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, tag=True):
    """First words of a viewer; `owner` marks the terminal that started this engine."""

    version: str
    protocol: int = PROTOCOL
    owner: bool = False


class Pull(msgspec.Struct, frozen=True, tag=True):
    """Ask for what changed after revision `since` (0 asks for everything)."""

    view: View
    since: int = 0


class StatusRequest(msgspec.Struct, frozen=True, tag=True):
    """Ask for the state of engine, stream, store, books and forecast (answered by `Done`)."""


class BookRequest(msgspec.Struct, frozen=True, tag=True):
    """Ask for a synchronised book; the engine opens it when nobody looks at it yet."""

    symbol: str
    levels: int = 20
    timeout_s: float = 10.0


class Watch(msgspec.Struct, frozen=True, tag=True):
    """Put `symbol` on the watchlist."""

    symbol: str


class Unwatch(msgspec.Struct, frozen=True, tag=True):
    """Take `symbol` off the watchlist."""

    symbol: str


class Search(msgspec.Struct, frozen=True, tag=True):
    """Ask for markets whose name holds the letters of `query` in order."""

    query: str
    limit: int = 50


class Backfill(msgspec.Struct, frozen=True, tag=True):
    """Fetch candles with open times in [start_ms, end_ms) that the store lacks."""

    symbol: str
    interval: str
    start_ms: int
    end_ms: int


class BackfillMarkets(msgspec.Struct, frozen=True, tag=True):
    """Queue a job that fetches what the store lacks of many markets; it survives a restart.

    Attributes:
        markets: Like the setting `markets`: `all`, quote assets, symbols, patterns.
        start_ms: First open time wanted.
        end_ms: Exclusive.

    The answer is `Done` with `job` (its number) and `markets` (how many) in its data.
    """

    markets: tuple[str, ...]
    interval: str
    start_ms: int
    end_ms: int


class BackfillState(msgspec.Struct, frozen=True, tag=True):
    """Ask how far a job is.

    The answer is `Done` whose data hold `job`, `state` (waiting, running, done, failed,
    cancelled), `message`, and the fields of `BackfillProgress`.
    """

    job: int


class CancelBackfill(msgspec.Struct, frozen=True, tag=True):
    """Give up a job, or all of them (0); what was fetched stays."""

    job: int = 0


class CoverageRequest(msgspec.Struct, frozen=True, tag=True):
    """Ask for the coverage of captured markets, hour by hour (answered by `Coverage`).

    Attributes:
        interval: Interval of the series.
        hours: How many hours, ending with the current one.
        query: Letters that the names must hold in order; empty takes all.
        worst_first: Whether those with most missing candles come first, else by name.
        offset: Rows to leave out at the beginning, of at most `limit` that are told.
    """

    interval: str = "1m"
    hours: int = 24
    query: str = ""
    worst_first: bool = True
    offset: int = 0
    limit: int = 50


class GapsRequest(msgspec.Struct, frozen=True, tag=True):
    """Ask for rows of the gap ledger, the newest first (answered by `Gaps`).

    Attributes:
        symbol: A market; empty takes all.
        states: States wanted; empty takes all.
        offset: Rows to leave out at the beginning, of at most `limit` that are told.
    """

    symbol: str = ""
    states: tuple[str, ...] = ()
    offset: int = 0
    limit: int = 100


class RetryGaps(msgspec.Struct, frozen=True, tag=True):
    """Ask the exchange again at once for open and unfillable gaps of a market, or of all."""

    symbol: str = ""


class Retrain(msgspec.Struct, frozen=True, tag=True):
    """Queue a training job; with `wait` the answer comes when it has ended."""

    symbol: str
    interval: str
    recipe: str = "honest"
    wait: bool = False


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Cancel the running training job and empty the queue."""


class Import(msgspec.Struct, frozen=True, tag=True):
    """Import a kline CSV file into the store."""

    path: str
    symbol: str
    interval: str


class KeepHouse(msgspec.Struct, frozen=True, tag=True):
    """Prune old candles, or give free pages back to the disk.

    Attributes:
        what: `prune` or `vacuum`.
        days: Days of candles that a pruning keeps; None takes the settings' limits.
    """

    what: Literal["prune", "vacuum"]
    days: float | None = None


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Stop the engine in order."""


class Goodbye(msgspec.Struct, frozen=True, tag=True):
    """The viewer leaves on purpose; with `detach` the engine goes on in any case."""

    detach: bool = False


Request = (
    Hello
    | Pull
    | StatusRequest
    | BookRequest
    | Watch
    | Unwatch
    | Search
    | Backfill
    | BackfillMarkets
    | BackfillState
    | CancelBackfill
    | CoverageRequest
    | GapsRequest
    | RetryGaps
    | Retrain
    | Cancel
    | Import
    | KeepHouse
    | Stop
    | Goodbye
)


# --- sections of a frame ------------------------------------------------------------------------


class StatusSection(msgspec.Struct, frozen=True):
    """What the status bar shows.

    Attributes:
        source: `live`, `demo` or `replay`.
        source_note: Detail such as the seed or the file; empty for live data.
        speed: Exchange seconds per wall second.
        connection: `connecting`, `live`, `stale`, `offline` or `ended`.
        connection_note: The reason for any state but live, in words.
        since_wall_ms: Wall time (epoch ms) since when the connection is in this state.
        exchange_time_ms: Exchange clock now.
        latency_ms: Median of receipt time minus event time, clock offset taken out; None unknown.
        data_age_ms: Wall milliseconds since the last stream message; None before the first.
        messages_per_s: Stream messages in the last second.
        engine: `starting`, `filling history`, `running` or `stopping`.
        uptime_s: Wall seconds since the engine started.
        markets: Markets captured.
        candles: Candles in the store.
        version: Version of the engine.
        pid: Process id of the engine.
    """

    source: str
    source_note: str
    speed: float
    connection: str
    connection_note: str
    since_wall_ms: int
    exchange_time_ms: int
    latency_ms: float | None
    data_age_ms: float | None
    messages_per_s: float
    engine: str
    uptime_s: float
    markets: int
    candles: int
    version: str
    pid: int


class TickerRow(msgspec.Struct, frozen=True):
    """One line of the watchlist; `spark` holds recent closes, oldest first."""

    symbol: str
    last: float | None = None
    change_percent: float | None = None
    high: float | None = None
    low: float | None = None
    volume: float | None = None
    quote_volume: float | None = None
    bid: float | None = None
    ask: float | None = None
    price_decimals: int = 2
    status: str = "TRADING"
    data_age_ms: float | None = None
    spark: tuple[float, ...] = ()


class TickersSection(msgspec.Struct, frozen=True):
    """The watchlist in its order, and the rows that changed."""

    order: tuple[str, ...]
    rows: tuple[TickerRow, ...]


class BookSection(msgspec.Struct, frozen=True):
    """The focused symbol's order book.

    Attributes:
        state: `unsynchronised`, `buffering` or `synchronised`.
        reason: Why it is not synchronised, in words.
        age_ms: Wall milliseconds since the last applied event (None without one).
        bids: (price, quantity), best first, grouped by the view's step; asks likewise.
        made_up: True when the source derived this book from candles.
        best: Prices of best bid and best ask before grouping; None where a side is empty.
    """

    symbol: str
    state: str
    reason: str
    age_ms: float | None
    last_update_id: int
    tick: float
    price_decimals: int
    quantity_decimals: int
    bids: tuple[tuple[float, float], ...] = ()
    asks: tuple[tuple[float, float], ...] = ()
    made_up: bool = False
    best: tuple[float, float] | None = None


class ChartSection(msgspec.Struct, frozen=True):
    """Candles of the focused symbol and interval.

    Attributes:
        reset: True when `candles` replace all; else they replace or follow by open time.
        note: Why there are none or fewer than wanted; empty when all is there.
        is_oldest: Whether the first candle is the oldest that can be had.
    """

    symbol: str
    interval: str
    price_decimals: int
    reset: bool
    candles: tuple[Candle, ...]
    note: str = ""
    is_oldest: bool = False


class TradesSection(msgspec.Struct, frozen=True):
    """Newest trades of the focused symbol, oldest first; with `reset` they replace all.

    Attributes:
        buy_share: Share of taker buys in the base volume of the last minute of exchange time.
        delta: Taker buy volume minus taker sell volume in that minute (base asset).
        made_up: True when the source derived these trades from candles.
    """

    symbol: str
    price_decimals: int
    quantity_decimals: int
    reset: bool
    trades: tuple[Trade, ...]
    buy_share: float | None = None
    delta: float | None = None
    note: str = ""
    made_up: bool = False


class StorageSection(msgspec.Struct, frozen=True):
    """Counters of capture and store.

    Attributes:
        candles: Candles in the store, committed.
        rows_per_minute: Rows committed in the last wall minute.
        by_source: Candles by where they came from: `stream`, `rest`, `both`, `import`.
        database_bytes: Size of the database with its write-ahead log.
        last_commit_ms: How long the last commit took.
        last_commit_age_ms: Wall milliseconds since then; None before the first.
        gaps: Gap rows by state: `open`, `filled`, `exchange_hole`, `unfillable`.
        messages_per_s: Stream messages in the last second.
        messages: Stream messages since the engine started.
        reconnects: Stream reconnects since the engine started.
        dropped: Messages dropped since the engine started.
        quarantined: Rows and messages in quarantine.
        coverage: Share of expected 1m candles stored, for each of the last 24 hours of exchange
            time, oldest first; None where none was expected.
        backfill: Progress of a running backfill in words; empty when none runs.
        weight_used: REST weight used in the current minute, and its limit.
        progress: How far the fetching of missing candles is; None while nothing is fetched.
        quality: Quality of capture in the last 24 hours; None until it is worked out.
        disk: The disk of the data directory; None until it was looked at.
        recording: The recording that is written and its size, in words; empty without one.
        worst: Coverage of the last 24 hours of the captured series that lack most, worst first.
    """

    candles: int
    rows_per_minute: float
    by_source: dict[str, int]
    database_bytes: int
    last_commit_ms: float | None
    last_commit_age_ms: float | None
    gaps: dict[str, int]
    messages_per_s: float
    messages: int
    reconnects: int
    dropped: int
    quarantined: int
    coverage: tuple[float | None, ...] = ()
    backfill: str = ""
    weight_used: tuple[int, int] = (0, 0)
    progress: BackfillProgress | None = None
    quality: DayQuality | None = None
    disk: DiskState | None = None
    recording: str = ""
    worst: tuple[MarketCoverage, ...] = ()


class ForecastSection(msgspec.Struct, frozen=True):
    """The forecast of the focused symbol and interval.

    Attributes:
        note: Why there is no forecast, in words with what to do; empty when there is one.
        latest: The newest prediction.
        recent: The last predictions, oldest first, `latest` included.
    """

    symbol: str
    interval: str
    lookahead: int
    model: ModelInfo | None
    latest: PredictionRow | None
    recent: tuple[PredictionRow, ...]
    record: TrackRecord | None
    job: JobInfo | None
    note: str = ""


class Notice(msgspec.Struct, frozen=True):
    """Something that happened, for a toast and the log: `level` is info, warning or error."""

    wall_ms: int
    level: str
    text: str


# --- answers ------------------------------------------------------------------------------------


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """Answer to `Hello`."""

    version: str
    protocol: int
    pid: int
    source: str
    focused: str
    interval: str


class Frame(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The sections that changed after the revision asked for; None where nothing did."""

    revision: int
    status: StatusSection | None = None
    tickers: TickersSection | None = None
    book: BookSection | None = None
    chart: ChartSection | None = None
    trades: TradesSection | None = None
    storage: StorageSection | None = None
    forecast: ForecastSection | None = None
    notices: tuple[Notice, ...] = ()


class Found(msgspec.Struct, frozen=True, tag=True):
    """Answer to `Search`; `tickers` holds those of the symbols whose prices are known."""

    symbols: tuple[SymbolInfo, ...]
    tickers: tuple[TickerRow, ...] = ()


class Coverage(msgspec.Struct, frozen=True, tag=True):
    """Answer to `CoverageRequest`; `first_hour_ms` is the open time of the first cell's hour."""

    first_hour_ms: int
    total: int
    rows: tuple[MarketCoverage, ...]


class Gaps(msgspec.Struct, frozen=True, tag=True):
    """Answer to `GapsRequest`: rows, how many there are in all, and candles by state."""

    total: int
    candles_by_state: dict[str, int]
    rows: tuple[GapRow, ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """A command was carried out; `data` holds plain JSON-like values."""

    message: str = ""
    data: dict[str, Any] = {}


class Problem(msgspec.Struct, frozen=True, tag=True):
    """A command was refused; `message` says why and what to do. `usage` marks a user's mistake."""

    message: str
    usage: bool = False


Answer = Welcome | Frame | Found | Coverage | Gaps | Done | Problem

_request_decoder = msgspec.msgpack.Decoder(Request)
_answer_decoder = msgspec.msgpack.Decoder(Answer)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Request | Answer) -> bytes:
    """Return `message` with its length prefix."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def decode_request(body: bytes) -> Request:
    """Decode a request's body; raises `msgspec.DecodeError` on anything else."""
    request: Request = _request_decoder.decode(body)
    return request


def decode_answer(body: bytes) -> Answer:
    """Decode an answer's body; raises `msgspec.DecodeError` on anything else."""
    answer: Answer = _answer_decoder.decode(body)
    return answer
