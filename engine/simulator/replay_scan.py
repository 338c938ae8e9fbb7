"""What one pass over a recording tells before it is played."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from engine.market.interval import INTERVALS, MINUTE_MS
from engine.market.symbol import SymbolInfo
from engine.simulator.recorded_time import RecordedTime
from engine.simulator.recording import Unread, merged
from engine.simulator.replay_parts import ReplayError, decimals_in, symbol_info
from engine.simulator.replay_payloads import (
    candle_of,
    decode_kline,
    decode_snapshot,
    decode_top,
    decode_trade,
)
from engine.simulator.streams import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.market.candle import Candle
    from engine.simulator.recording import Line
    from engine.simulator.replay_payloads import SnapshotPayload, TradePayload

_logger = logging.getLogger(__name__)

_LOGGED = 5
_WAITED_FROM_MS = MINUTE_MS - 10_000  # a trade more than 10 s late is not waited for


class _PriceFilter(msgspec.Struct):
    filterType: str  # noqa: N815
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815


class _Market(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_PriceFilter]


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]


class _Timed(msgspec.Struct):
    E: int | None = None


_decode_info = msgspec.json.Decoder(_ExchangeInfo).decode
_decode_market = msgspec.json.Decoder(_Market).decode
_decode_timed = msgspec.json.Decoder(_Timed).decode


@dataclass(slots=True)
class MarketFacts:
    """What a recording holds of one market.

    Attributes:
        name: The symbol.
        price_decimals: Most decimals of its prices.
        quantity_decimals: Most decimals of its quantities.
        snapshots: Recorded answers of GET depth, ascending by update id.
        lost_trades: Trades that the recorder missed, by the gaps in the ids.
        closed: Closed candles of recorded kline streams.
    """

    name: str
    price_decimals: int = 0
    quantity_decimals: int = 0
    snapshots: list[SnapshotPayload] = field(default_factory=list)
    lost_trades: int = 0
    closed: list[tuple[str, Candle]] = field(default_factory=list)
    last_trade_id: int = -1

    def saw(self, price: str, quantity: str) -> None:
        """Take the decimals of one price and quantity into account."""
        self.price_decimals = max(self.price_decimals, decimals_in(price))
        self.quantity_decimals = max(self.quantity_decimals, decimals_in(quantity))


@dataclass(slots=True)
class RecordingFacts:
    """What a pass over a recording found.

    Attributes:
        paths: The files.
        markets: By symbol, in the order of appearance.
        infos: What a recorded exchangeInfo says, by symbol.
        streams: Names of all recorded streams.
        time: Which exchange time a receipt time stands for.
        first_ns: Receipt time of the first message.
        last_ns: Receipt time of the last message.
        messages: Number of messages.
        unread: Number of lines that hold none.
        cut: Names of the files that end before their own end.
        late_ns: By minute boundary (exchange ms), the receipt time of the last trade of the minute
            before it, where that trade was received after the boundary.
    """

    paths: tuple[Path, ...]
    markets: dict[str, MarketFacts] = field(default_factory=dict)
    infos: dict[str, SymbolInfo] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    time: RecordedTime = field(default_factory=RecordedTime)
    first_ns: int | None = None
    last_ns: int = 0
    messages: int = 0
    unread: int = 0
    cut: list[str] = field(default_factory=list)
    late_ns: dict[int, int] = field(default_factory=dict)

    def time_ms(self, receipt_ns: int) -> int:
        """Return the exchange time (epoch ms) at which a message was received."""
        return self.time.exchange_ms(receipt_ns)

    @property
    def start_ms(self) -> int:
        """Exchange time of the first message."""
        return self.time_ms(self.first_ns or 0)

    @property
    def end_ms(self) -> int:
        """Exchange time of the last message."""
        return self.time_ms(self.last_ns)

    @property
    def whole_from_ms(self) -> int:
        """First whole minute: the first that opens when the recording already runs."""
        return -(-self.start_ms // MINUTE_MS) * MINUTE_MS

    @property
    def notes(self) -> list[str]:
        """What a user should know before it is played, in sentences."""
        notes = [
            f"{name} is cut off (its recorder was killed, or still runs); what it holds is played."
            for name in self.cut
        ]
        lines = self.unread - len(self.cut)
        if lines > 0:
            notes.append(f"{lines:,} lines of the recording hold no message and are left out.")
        lost = sum(market.lost_trades for market in self.markets.values())
        if lost:
            notes.append(f"The recorder missed {lost:,} trades; candles made of trades lack them.")
        return notes

    def info(self, name: str) -> SymbolInfo:
        """Describe a market: as recorded, else by the decimals of its numbers."""
        if name in self.infos:
            return self.infos[name]
        market = self.markets[name]
        return symbol_info(name, market.price_decimals, market.quantity_decimals)


def symbol_of(stream: str) -> str:
    """Return the symbol of a stream name, empty for all-market streams."""
    return "" if stream.startswith("!") else stream.partition("@")[0].upper()


def kind_of(stream: str) -> str:
    """Return what a stream sends: `trade`, `depth@100ms`, `kline_1m` and so on."""
    return canonical(stream).partition("@")[2]


def scan(paths: Sequence[Path]) -> RecordingFacts:
    """Read a recording once and keep what playing it needs to know in advance.

    Raises:
        ReplayError: when it holds no message of any market.
    """
    facts = RecordingFacts(tuple(paths))
    orphans: list[SnapshotPayload] = []
    trades: list[tuple[int, int]] = []
    for line in merged(paths):
        if isinstance(line, Unread):
            _count_unread(facts, line)
            continue
        try:
            _note(facts, line, orphans, trades)
        except msgspec.DecodeError as error:
            _count_unread(facts, Unread(paths[0], 0, f"{line.name}: {error}"))
    if not facts.markets:
        names = ", ".join(path.name for path in paths)
        raise ReplayError(f"The recording {names} holds no message of any market.")
    _settle(facts, orphans, trades)
    return facts


def _count_unread(facts: RecordingFacts, line: Unread) -> None:
    facts.unread += 1
    if line.is_cut:
        facts.cut.append(line.path.name)
    if facts.unread <= _LOGGED:
        _logger.warning("%s line %d: %s", line.path.name, line.line_number, line.reason)


def _note(
    facts: RecordingFacts,
    line: Line,
    orphans: list[SnapshotPayload],
    trades: list[tuple[int, int]],
) -> None:
    if line.kind == "exchangeInfo":
        _note_markets(facts, line)
        return
    if line.kind == "depth":
        snapshot = decode_snapshot(line.payload)
        owner = facts.markets.setdefault(line.name, MarketFacts(line.name)) if line.name else None
        (orphans if owner is None else owner.snapshots).append(snapshot)
    else:
        _note_stream(facts, line, trades)
    facts.messages += 1
    facts.first_ns = line.receipt_ns if facts.first_ns is None else facts.first_ns
    facts.last_ns = max(facts.last_ns, line.receipt_ns)


def _note_markets(facts: RecordingFacts, line: Line) -> None:
    """Take each market of a listing; one that can not be understood hides no other."""
    for raw in _decode_info(line.payload).symbols:
        try:
            market = _decode_market(raw)
        except msgspec.DecodeError as error:
            _count_unread(facts, Unread(facts.paths[0], 0, f"a market of {line.kind}: {error}"))
        else:
            facts.infos[market.symbol] = _described(market)


def _note_stream(facts: RecordingFacts, line: Line, trades: list[tuple[int, int]]) -> None:
    facts.streams.add(canonical(line.name))
    symbol, kind = symbol_of(line.name), kind_of(line.name)
    if not symbol:
        return
    market = facts.markets.setdefault(symbol, MarketFacts(symbol))
    event_ms: int | None
    if kind in ("trade", "aggTrade"):
        trade = decode_trade(line.payload)
        event_ms = trade.E
        market.saw(trade.p, trade.q)
        if trade.T % MINUTE_MS >= _WAITED_FROM_MS:
            trades.append((line.receipt_ns, trade.T))
        _note_ids(market, trade)
    elif kind == "bookTicker":
        if symbol in facts.infos:
            return
        top = decode_top(line.payload)
        market.saw(top.b, top.B)
        market.saw(top.a, top.A)
        return
    elif kind.startswith("kline_") and "@" not in kind:
        kline = decode_kline(line.payload)
        event_ms = kline.E
        if kline.k.x and kline.k.i in INTERVALS:
            market.closed.append((kline.k.i, candle_of(kline.k)))
    else:
        event_ms = _decode_timed(line.payload).E
    if event_ms is not None:
        facts.time.observe(line.receipt_ns, event_ms)


def _note_ids(market: MarketFacts, trade: TradePayload) -> None:
    first, last = (trade.t, trade.t) if trade.t >= 0 else (trade.f, trade.l)
    if market.last_trade_id >= 0 and first > market.last_trade_id + 1:
        market.lost_trades += first - market.last_trade_id - 1
    market.last_trade_id = max(market.last_trade_id, last)


def _described(market: _Market) -> SymbolInfo:
    filters = {item.filterType: item for item in market.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    defaults = SymbolInfo(market.symbol, market.baseAsset, market.quoteAsset, market.status)
    return SymbolInfo(
        market.symbol,
        market.baseAsset,
        market.quoteAsset,
        market.status,
        price.tickSize if price and price.tickSize else defaults.tick_size,
        lot.stepSize if lot and lot.stepSize else defaults.step_size,
    )


def _settle(
    facts: RecordingFacts, orphans: list[SnapshotPayload], trades: list[tuple[int, int]]
) -> None:
    if orphans and len(facts.markets) == 1:
        next(iter(facts.markets.values())).snapshots.extend(orphans)
    elif orphans:
        _logger.warning("%d depth answers do not tell their symbol and are left out", len(orphans))
        facts.unread += len(orphans)
    for market in facts.markets.values():
        market.snapshots.sort(key=lambda snapshot: snapshot.lastUpdateId)
        if market.lost_trades:
            _logger.warning(
                "the recorder missed %d trades of %s; candles made of its trades lack them",
                market.lost_trades,
                market.name,
            )
    for receipt_ns, trade_ms in trades:
        boundary_ms = facts.time_ms(receipt_ns) // MINUTE_MS * MINUTE_MS
        if trade_ms < boundary_ms:
            facts.late_ns[boundary_ms] = max(facts.late_ns.get(boundary_ms, 0), receipt_ns)
