"""Steps of a fault script: what can be done to a running exchange, by name and parameters."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from engine.market.interval import parse_interval
from engine.market.symbol import SymbolInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.simulator.connection import Connection
    from engine.simulator.faults import Faults

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATIONS = ("at", "every", "length", "by", "back")
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


def duration_ms(text: str) -> int:
    """Return `5m` as milliseconds.

    Raises:
        ValueError: for anything else than a number and one of ms, s, m, h, d.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no duration; write a number and ms, s, m, h or d, as in 5m.")
    return round(float(found[1]) * _UNITS_MS[found[2]])


class Step(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="fault"
):
    """One step of a script.

    Attributes:
        at: Exchange time after the exchange's start.
        every: Repeat it in this rhythm of exchange time.
    """

    at: str = "0s"
    every: str | None = None

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            text = getattr(self, name, None)
            if text is not None:
                duration_ms(text)

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        raise NotImplementedError


class DropConnections(Step, frozen=True, tag="drop_connections"):
    """Cut every WebSocket connection without a close frame."""

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.drop_connections()


class CloseConnections(Step, frozen=True, tag="close_connections"):
    """Close every connection with a code, after so many frames that were held back."""

    code: Annotated[int, Meta(ge=1000, le=4999)] = 1001
    unread: Annotated[int, Meta(ge=0, le=100_000)] = 0

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.close_connections(self.code, self.unread)


class ResetMidFrame(Step, frozen=True, tag="reset_mid_frame"):
    """Send half of a frame on every connection, then reset TCP."""

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.reset_mid_frame()


class Outage(Step, frozen=True, tag="outage"):
    """Cut every connection and refuse new ones for some seconds of wall-clock time."""

    seconds: Seconds = 5.0
    status: Annotated[int, Meta(ge=400, le=599)] = 503

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.refuse_connections(self.seconds, self.status)
        faults.drop_connections()


class RefuseConnections(Step, frozen=True, tag="refuse_connections"):
    """Refuse new connections for some seconds of wall-clock time; those that are open stay."""

    seconds: Seconds = 5.0
    status: Annotated[int, Meta(ge=400, le=599)] = 503

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.refuse_connections(self.seconds, self.status)


class Silence(Step, frozen=True, tag="silence"):
    """Send nothing for some seconds of wall-clock time, while connections live on."""

    seconds: Seconds = 20.0

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.silent = True
        later(self.seconds, lambda: setattr(faults, "silent", False))


class Stall(Step, frozen=True, tag="stall"):
    """Hold every frame back for some seconds of wall-clock time, then send all at once."""

    seconds: Seconds = 2.0

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.stall(self.seconds)


class ShutdownNotice(Step, frozen=True, tag="shutdown_notice"):
    """Send `serverShutdown`, and cut those connections after some seconds of wall-clock time."""

    cut_after: Annotated[float, Meta(ge=0, le=86_400)] | None = None

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        told = list(faults.connections)
        faults.shutdown_notice()
        if self.cut_after is not None:
            later(self.cut_after, lambda: _cut(told))


class SendRaw(Step, frozen=True, tag="send_raw"):
    """Send a frame of any text, or of bytes in hexadecimal, on every connection."""

    text: str | None = None
    hex: str | None = None
    count: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.text is None) == (self.hex is None):
            raise ValueError("give either text or hex")
        bytes.fromhex(self.hex or "")

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.send_raw(
            bytes.fromhex(self.hex) if self.hex is not None else self.text or "", self.count
        )


class DropDepth(Step, frozen=True, tag="drop_depth"):
    """Lose depth diffs."""

    count: Count = 3

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.drop_depth += self.count


class DuplicateDepth(Step, frozen=True, tag="duplicate_depth"):
    """Send depth diffs twice."""

    count: Count = 3

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.duplicate_depth += self.count


class ReorderDepth(Step, frozen=True, tag="reorder_depth"):
    """Send depth diffs after the one that follows them."""

    count: Count = 3

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.reorder_depth += self.count


class StaleSnapshots(Step, frozen=True, tag="stale_snapshots"):
    """Answer REST depth with old snapshots for some seconds of wall-clock time."""

    seconds: Seconds = 5.0

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.stale_snapshots = True
        later(self.seconds, lambda: setattr(faults, "stale_snapshots", False))


class RestAnswer(Step, frozen=True, tag="rest_answer"):
    """Answer REST requests wrongly, so many of them."""

    status: Annotated[int, Meta(ge=200, le=599)]
    body: str | None = None
    headers: dict[str, str] = {}
    count: Count = 1
    paths: tuple[str, ...] = ()

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        body = None if self.body is None else self.body.encode()
        faults.rest_answer(
            self.status, body=body, headers=self.headers, count=self.count, paths=self.paths
        )


class ClearRest(Step, frozen=True, tag="clear_rest"):
    """Answer REST honestly from now on."""

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.clear_rest()


class _OfSeries(Step, frozen=True):
    """A step about candles of one series, or of any (`*`)."""

    symbol: str = "*"
    interval: str = "*"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.interval != "*":
            parse_interval(self.interval)


class HideKlines(_OfSeries, frozen=True, tag="hide_klines"):
    """Hide the candles of the exchange time to come from REST, and from the streams."""

    length: str = "1m"
    push: bool = False
    seconds: Seconds | None = None

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        now_ms = faults.exchange.now_ms
        end_ms = now_ms + duration_ms(self.length)
        faults.hide_klines(self.symbol, self.interval, now_ms, end_ms, push=self.push)
        if self.seconds is not None:
            later(self.seconds, faults.show_klines)


class ShowKlines(Step, frozen=True, tag="show_klines"):
    """Hide no candle any more."""

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.show_klines()


class SkipClose(_OfSeries, frozen=True, tag="skip_close"):
    """Lose closing pushes."""

    count: Count = 1

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.skip_close(self.symbol, self.interval, self.count)


class RepeatClose(_OfSeries, frozen=True, tag="repeat_close"):
    """Send closing pushes twice, the second time with other values when there is a change."""

    count: Count = 1
    change: dict[str, float] = {}

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.repeat_close(self.symbol, self.interval, self.count, self.change or None)


class LateClose(_OfSeries, frozen=True, tag="late_close"):
    """Send closing pushes late, by some exchange time."""

    count: Count = 1
    by: str = "2400ms"

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.late_close(self.symbol, self.interval, self.count, duration_ms(self.by))


class RewriteKline(Step, frozen=True, tag="rewrite_kline"):
    """Change a candle of the past in the exchange's record, of one market or of each (`*`)."""

    values: dict[str, float]
    symbol: str = "*"
    interval: str = "1m"
    back: str = "10m"

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        at_ms = faults.exchange.now_ms - duration_ms(self.back)
        open_time_ms = parse_interval(self.interval).floor(at_ms)
        faults.rewrite_kline(self.symbol, self.interval, open_time_ms, **self.values)


class SetStatus(Step, frozen=True, tag="set_status"):
    """Change a market's status, such as BREAK, for some wall-clock seconds or for good."""

    symbol: str
    status: str
    seconds: Seconds | None = None

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.set_status(self.symbol, self.status)
        if self.seconds is not None:
            later(self.seconds, lambda: faults.set_status(self.symbol, "TRADING"))


class ListSymbol(Step, frozen=True, tag="list_symbol"):
    """List a new market on a generated exchange."""

    symbol: str

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.list_symbol(SymbolInfo(self.symbol, self.symbol, "", "TRADING"))


class Delist(Step, frozen=True, tag="delist"):
    """Take a market off the exchange."""

    symbol: str

    def apply(self, faults: Faults) -> None:
        """Do it now."""
        faults.delist(self.symbol)


AnyStep = (
    DropConnections
    | CloseConnections
    | ResetMidFrame
    | Outage
    | RefuseConnections
    | Silence
    | Stall
    | ShutdownNotice
    | SendRaw
    | DropDepth
    | DuplicateDepth
    | ReorderDepth
    | StaleSnapshots
    | RestAnswer
    | ClearRest
    | HideKlines
    | ShowKlines
    | SkipClose
    | RepeatClose
    | LateClose
    | RewriteKline
    | SetStatus
    | ListSymbol
    | Delist
)
STEPS: tuple[type[Step], ...] = AnyStep.__args__


def name_of(step: Step | type[Step]) -> str:
    """Return the fault's name, such as `drop_connections`."""
    return str(step.__struct_config__.tag)


def text_of(step: Step) -> str:
    """Return the step as a user reads it: `outage seconds=2.0`."""
    told: dict[str, Any] = msgspec.to_builtins(step)
    words = [
        f"{key}={told[key]}"
        for key in told
        if key not in ("fault", "at", "every") and told[key] not in (None, {}, [], ())
    ]
    return " ".join([name_of(step), *words])


def catalogue() -> dict[str, dict[str, Any]]:
    """Return what can be done: by name a sentence and the parameters with their defaults."""
    return {name_of(kind): _entry(kind) for kind in STEPS}


def _entry(kind: type[Step]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in ("at", "every"):
            continue
        if field.required:
            parameters[field.name] = "(required)"
        else:
            default = field.default
            made = default is msgspec.NODEFAULT
            parameters[field.name] = field.default_factory() if made else default
    return {"what": (kind.__doc__ or "").strip(), "parameters": parameters}


def _cut(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.abort()


def later(seconds: float, work: Callable[[], object]) -> None:
    """Do `work` after some seconds of wall-clock time."""
    asyncio.get_running_loop().call_later(seconds, work)
