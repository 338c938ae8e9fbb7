"""Market data over REST: what is there, what was, and snapshots of what is."""

from __future__ import annotations

import time
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from engine.binance import rest_rows
from engine.binance.budget import RateLimited, RestError, WeightBudget
from engine.binance.depth_sync import DepthSnapshot
from engine.binance.lists import Listing, OddEntries, OddEntry, left_out_sentence, odd_entry
from engine.binance.requester import BadAnswer, Blocked, Requester, UnknownSymbol, Unreachable
from engine.binance.wire_types import to_ms
from engine.market.interval import parse_interval

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from engine.binance.rest_rows import KlineRow
    from engine.market.candle import Candle
    from engine.market.symbol import SymbolInfo
    from engine.market.ticker import Ticker
    from engine.market.trade import Trade

__all__ = [
    "EXCHANGE_INFO",
    "BadAnswer",
    "Blocked",
    "DepthSnapshot",
    "RateLimited",
    "RestClient",
    "RestError",
    "UnknownSymbol",
    "Unreachable",
    "WeightBudget",
]

PAGE = 1000
EXCHANGE_INFO = "exchangeInfo"
TICKERS_24H = "ticker/24hr"
_HINTED = 3
_MOST_SYMBOLS = 100
_ALL_FROM_SYMBOLS = 200
# Codes for parameters that an older or simulated exchange does not know.
_TOO_MANY_PARAMETERS, _UNREAD_PARAMETERS, _BAD_COMBINATION = -1101, -1104, -1128
_UNKNOWN_PARAMETER_CODES = frozenset({_TOO_MANY_PARAMETERS, _UNREAD_PARAMETERS, _BAD_COMBINATION})


class RestClient:
    """Read-only client of Binance spot's public REST endpoints, over python-binance.

    All methods wait for the weight budget; `background=True` leaves the rest of it to requests
    that somebody is waiting for. All raise `RestError`s whose text is a sentence for users:
    `UnknownSymbol`, `RateLimited`, `Blocked`, `Unreachable` or `BadAnswer`.

    Args:
        url: Base address, such as `https://data-api.binance.vision`.
        budget: Shared by all clients of one address; None makes one.
        on_answer: Told the path below `/api/v3/`, the query and the body of each answer with
            status 200, before it is decoded.
        on_odd: Told the name of a list and the entries of it that are left out for the first time,
            since they can not be understood.

    Attributes:
        odd: All entries that were left out.
        budget: The weight budget; `budget.used` is (used, limit).
        clock_offset_ms: Exchange time minus wall clock at the last `server_time`, half the round
            trip taken out; None before.
        last_time_answer: (server time in ms, sent, received) of it, the latter on
            `time.monotonic`, as `ExchangeClock.observe_answer` takes it; None before.
    """

    def __init__(
        self,
        url: str,
        *,
        budget: WeightBudget | None = None,
        on_answer: Callable[[str, dict[str, str | int], bytes], None] | None = None,
        on_odd: Callable[[str, Sequence[OddEntry]], None] | None = None,
    ) -> None:
        self.budget = budget or WeightBudget()
        self.odd = OddEntries(on_odd)
        self.clock_offset_ms: float | None = None
        self.last_time_answer: tuple[int, float, float] | None = None
        self._requester = Requester(url, self.budget, on_answer=on_answer)
        self._server_time_ms = 0

    @property
    def server_time_ms(self) -> int:
        """The newest time that the exchange told (epoch ms); 0 before the first."""
        return self._server_time_ms

    async def close(self) -> None:
        """Close the connections."""
        await self._requester.close()

    async def server_time(self, *, background: bool = False) -> int:
        """Return the exchange's clock (epoch ms); weight 1."""
        answer, sent_s, received_s = await self._requester.get_timed(
            "time", {}, rest_rows.SERVER_TIME, weight=1, background=background
        )
        wall_ms = time.time() * 1000.0
        server_ms = to_ms(answer.time)
        half_trip_ms = (received_s - sent_s) * 500.0
        self.clock_offset_ms = server_ms - (wall_ms - half_trip_ms)
        self.last_time_answer = (server_ms, sent_s, received_s)
        self._server_time_ms = max(self._server_time_ms, server_ms)
        return server_ms

    # --- markets --------------------------------------------------------------------------------

    async def symbols(
        self, names: Sequence[str] | None = None, *, background: bool = False
    ) -> list[SymbolInfo]:
        """Return facts about `names` in their order, or about all markets that trade; weight 20.

        Raises:
            UnknownSymbol: names what the exchange does not have, or what it says nothing about
                that can be understood.
        """
        if names is None:
            return await self._exchange_info({"symbolStatus": "TRADING"}, background)
        if not names:
            return []
        try:
            wanted = _symbols_parameter(names) if len(names) <= _MOST_SYMBOLS else {}
            found = await self._exchange_info(wanted, background)
        except UnknownSymbol:
            # The exchange does not say which of them it does not know.
            found = await self._exchange_info({}, background)
        except BadAnswer as error:
            if error.code not in _UNKNOWN_PARAMETER_CODES:
                raise
            found = await self._exchange_info({}, background)
        return pick_symbols({info.name: info for info in found}, names, found.odd)

    async def all_symbols(self, *, background: bool = False) -> Listing[SymbolInfo]:
        """Return facts about all markets of the exchange, trading or not; weight 20."""
        return await self._exchange_info({}, background)

    async def _exchange_info(
        self, parameters: dict[str, str | int], background: bool
    ) -> Listing[SymbolInfo]:
        smaller: dict[str, str | int] = {**parameters, "showPermissionSets": "false"}
        try:
            info = await self._get_exchange_info(smaller, background)
        except BadAnswer as error:
            if error.code not in _UNKNOWN_PARAMETER_CODES:
                raise
            parameters = {k: v for k, v in parameters.items() if k != "symbolStatus"}
            info = await self._get_exchange_info(parameters, background)
        if info.weight_limit is not None:
            self.budget.limit = info.weight_limit
        self.odd.take(EXCHANGE_INFO, info.markets.odd)
        return info.markets

    async def _get_exchange_info(
        self, parameters: dict[str, str | int], background: bool
    ) -> rest_rows.ExchangeInfo:
        return await self._requester.get(
            EXCHANGE_INFO, parameters, rest_rows.EXCHANGE_INFO, weight=20, background=background
        )

    async def tickers(self, symbols: Sequence[str], *, background: bool = False) -> list[Ticker]:
        """Return 24-hour statistics of `symbols`; weight 2 up to 20 of them, 40 up to 100.

        Of more than 200 those of all markets are asked for in one request of weight 80, and what
        the exchange lacks is left out.
        """
        if len(symbols) > _ALL_FROM_SYMBOLS:
            rows = await self._requester.get(
                TICKERS_24H, {}, rest_rows.TICKERS, weight=80, background=background
            )
            wanted = frozenset(symbols)
            self.odd.take(TICKERS_24H, rows.odd)
            return [ticker for row in rows if (ticker := row.ticker()).symbol in wanted]
        found: list[Ticker] = []
        for start in range(0, len(symbols), _MOST_SYMBOLS):
            chunk = symbols[start : start + _MOST_SYMBOLS]
            rows = await self._requester.get(
                TICKERS_24H,
                _symbols_parameter(chunk),
                rest_rows.TICKERS,
                weight=2 if len(chunk) <= 20 else 40,
                background=background,
            )
            self.odd.take(TICKERS_24H, rows.odd)
            found.extend(row.ticker() for row in rows)
        return found

    # --- candles --------------------------------------------------------------------------------

    async def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = PAGE,
        background: bool = False,
        bulk: bool = False,
    ) -> Listing[Candle]:
        """Return candles in ascending order; weight 2, and 1 for the time where it matters.

        Args:
            symbol: Such as `BTCUSDT`.
            interval: Binance's name of it.
            start_ms: First open time wanted; with it the oldest `limit` candles come.
            end_ms: Last open time wanted, inclusive as on the wire.
            limit: At most 1000.
            background: Whether nobody is waiting for it.
            bulk: Whether it is part of long work in the background.

        Rows that can not be understood, and those that repeat the one before, are left out and
        stand in `odd` of the answer. The candle that still runs on the exchange's clock has
        `closed` False. The clock is read before the candles, so a candle that ends in between
        counts as open.

        Raises:
            UnknownInterval: for a name that Binance does not have.
        """
        grid = parse_interval(interval)
        if end_ms is None or grid.close_time(grid.floor(end_ms)) >= self._server_time_ms:
            await self.server_time(background=background)
        server_time_ms = self._server_time_ms
        parameters: dict[str, str | int] = {
            "symbol": symbol,
            "interval": interval,
            "limit": limit,
        }
        if start_ms is not None:
            parameters["startTime"] = start_ms
        if end_ms is not None:
            parameters["endTime"] = end_ms
        rows = await self._requester.get(
            "klines",
            parameters,
            rest_rows.KLINES,
            weight=2,
            background=background,
            bulk=bulk,
        )
        candles = _without_repeats(rows, server_time_ms)
        self.odd.take(f"{interval} candles of {symbol}", candles.odd)
        return candles

    async def history(
        self,
        symbol: str,
        interval: str,
        start_ms: int,
        end_ms: int,
        *,
        background: bool = True,
    ) -> AsyncIterator[list[Candle]]:
        """Yield pages of candles with open times in [start_ms, end_ms), oldest first.

        No candle comes twice and none that the exchange has is left out. The last one may be open.
        """
        grid = parse_interval(interval)
        cursor_ms = start_ms
        while cursor_ms < end_ms:
            told = await self.klines(
                symbol,
                interval,
                start_ms=cursor_ms,
                end_ms=end_ms - 1,
                limit=PAGE,
                background=background,
            )
            page = [candle for candle in told if cursor_ms <= candle.open_time_ms < end_ms]
            if not page:
                return
            yield page
            if not page[-1].closed:
                return
            cursor_ms = grid.next(page[-1].open_time_ms)

    # --- book and trades ------------------------------------------------------------------------

    async def depth(
        self, symbol: str, limit: int = 1000, *, background: bool = False
    ) -> DepthSnapshot:
        """Return the best `limit` levels a side (at most 5000); weight 5 to 250."""
        found = await self._requester.get(
            "depth",
            {"symbol": symbol, "limit": limit},
            rest_rows.DEPTH,
            weight=depth_weight(limit),
            background=background,
        )
        return DepthSnapshot(found.last_update_id, found.bids, found.asks)

    async def trades(
        self, symbol: str, limit: int = 500, *, background: bool = False
    ) -> list[Trade]:
        """Return the newest `limit` trades (at most 1000), oldest first; weight 25."""
        rows = await self._requester.get(
            "trades",
            {"symbol": symbol, "limit": limit},
            rest_rows.TRADES,
            weight=25,
            background=background,
        )
        self.odd.take(f"trades of {symbol}", rows.odd)
        return [row.trade() for row in rows]


def depth_weight(limit: int) -> int:
    """Return the weight of a snapshot of `limit` levels (rest-api documentation, 2023-10-19)."""
    if limit <= 100:
        return 5
    if limit <= 500:
        return 25
    return 50 if limit <= 1000 else 250


def _symbols_parameter(names: Sequence[str]) -> dict[str, str | int]:
    return {"symbols": quote(msgspec.json.encode(list(names)).decode())}


def _without_repeats(rows: Listing[KlineRow], server_time_ms: int) -> Listing[Candle]:
    candles: list[Candle] = []
    odd = list(rows.odd)
    for row in rows:
        candle = row.candle(server_time_ms)
        if candles and candle.open_time_ms == candles[-1].open_time_ms:
            odd.append(odd_entry(msgspec.json.encode(row), "its open time comes twice"))
        else:
            candles.append(candle)
    return Listing(candles, odd)


def pick_symbols(
    infos: Mapping[str, SymbolInfo], names: Sequence[str], odd: Sequence[OddEntry] = ()
) -> list[SymbolInfo]:
    """Return the facts about `names`, in their order.

    Raises:
        UnknownSymbol: names what `infos` lacks; what is in `odd` is there and not understood.
    """
    unknown = tuple(name for name in names if name not in infos)
    if unknown:
        strange = [entry for entry in odd if entry.name in unknown]
        absent = tuple(name for name in unknown if name not in {entry.name for entry in strange})
        sentences = [_unknown_sentence(absent, infos)] if absent else []
        sentences += [left_out_sentence(EXCHANGE_INFO, strange)] if strange else []
        not_understood = tuple(entry.name for entry in strange)
        raise UnknownSymbol(" ".join(sentences), unknown, not_understood)
    return [infos[name] for name in names]


def _unknown_sentence(names: tuple[str, ...], known: Collection[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    word = "market" if len(names) == 1 else "markets"
    near = dict.fromkeys(one for name in names[:_HINTED] for one in near_names(name, known))
    hint = f"did you mean {' or '.join(near)}?" if near else "names look like BTCUSDT."
    return f"The exchange has no {word} called {listed}; {hint}"


def near_names(name: str, known: Collection[str]) -> list[str]:
    """Return up to two of `known` that `name` may stand for: those that begin so, else alike."""
    begun = [one for one in known if name and one.startswith(name)]
    begun.sort(key=lambda one: (not one.endswith("USDT"), len(one), one))
    return begun[:2] or get_close_matches(name, known, n=2, cutoff=0.7)
