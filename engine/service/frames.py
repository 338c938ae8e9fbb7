"""The sections of a frame: what a viewer shows, part by part.

All times are exchange time in epoch milliseconds unless a name ends in `_age_ms`, `_s` or says
`wall`.
"""

from __future__ import annotations

import msgspec

from engine.market.candle import Candle
from engine.market.capture_figures import (
    BackfillProgress,
    DayQuality,
    DiskState,
    MarketCoverage,
)
from engine.market.forecast import JobInfo, ModelInfo, PredictionRow, TrackRecord
from engine.market.trade import Trade


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
        dropped: Messages and rows that were not kept since the engine started.
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
        failures: How often tasks of the engine failed and were begun anew, by name; none that
            never did.
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
    failures: dict[str, int] = {}


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
    """Something that happened, to be said and logged: `level` is info, warning or error."""

    wall_ms: int
    level: str
    text: str
