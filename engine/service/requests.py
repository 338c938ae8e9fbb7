"""What viewers ask of the engine; `engine.service.contract` tells how it travels."""

from __future__ import annotations

from typing import Literal

import msgspec

PROTOCOL = 3
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
    """Import a kline file into the store.

    Attributes:
        path: Absolute.
        symbol: The market.
        interval: Of its candles.
        columns: Our column names to the file's, or to numbers of columns from 1.
        timezone: Zone of clock times that name none.
        date_format: Pattern of the times, of `datetime.strptime`; empty where they tell it.
    """

    path: str
    symbol: str
    interval: str
    columns: dict[str, str] = {}
    timezone: str = "UTC"
    date_format: str = ""


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
    """The viewer leaves on purpose; with `detach` the engine goes on in any case.

    The answer's `data` says under `stops` whether the engine stops now.
    """

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
