"""Which column of a kline file is which, by the names that tools give them.

Names are compared in lower case with everything but letters and digits as one underscore, so that
`Open Time`, `open_time` and `<OPEN TIME>` are one name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from engine.market.kline_errors import UnreadableKlineFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS: tuple[str, ...] = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
NEEDED = ("open_time", "open", "high", "low", "close", "volume")
OPTIONAL = ("quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume")
_SETTABLE = (*NEEDED, *OPTIONAL, "symbol")
_HEADER_NAMES = 3  # so many known names make a line a header

_SYNONYMS: dict[str, str] = {
    # In the order of trust: a file may have several times.
    "open_time": "opentime open_time_ms open_time_utc open_timestamp open_date kline_open_time"
    " time_open timeopen candle_date_time_utc candle_begin_time start_time starttime period_start"
    " bar_start unix unix_timestamp unix_time unixtime timestamp_ms timestamp_utc timestamp ts"
    " datetime_utc date_utc time_utc gmt_time datetime date_time dt time date t index_level_0",
    "open": "open_price price_open opening_price openprice o",
    "high": "high_price price_high highprice highest_price h",
    "low": "low_price price_low lowprice lowest_price l",
    "close": "close_price price_close closing_price closeprice trade_price c",
    "volume": "vol base_volume base_asset_volume basevolume volume_base volumefrom volume_from"
    " candle_acc_trade_volume v",
    "close_time": "closetime close_time_ms close_timestamp kline_close_time time_close timeclose",
    "quote_volume": "quote_asset_volume quote_av quoteassetvolume quotevolume qav quote_vol"
    " quote_asset_vol volume_quote vol_quote volumeto volume_to volume_currency turnover"
    " candle_acc_trade_price q",
    "count": "trades number_of_trades num_trades trade_count tradecount numberoftrades no_trades"
    " no_of_trades nb_trades num_of_trades trades_count n_trades number_trades ntrades tradescount"
    " trade_num numtrades numoftrades n",
    "taker_buy_volume": "taker_buy_base_asset_volume taker_buy_base_volume taker_buy_base"
    " taker_base_volume taker_base_vol taker_base taker_buy_base_vol taker_buy_vol tb_base_av"
    " tb_base_volume tbbav taker_bbav taker_buy_base_av taker_base_av takerbuybaseassetvolume"
    " takerbuybasevolume takerbuyvolume taker_buy_base_asset_vol V",
    "taker_buy_quote_volume": "taker_buy_quote_asset_volume taker_buy_quote taker_quote_volume"
    " taker_quote_vol taker_quote taker_buy_quote_vol tb_quote_av tb_quote_volume tbqav taker_bqav"
    " taker_buy_quote_av taker_quote_av takerbuyquoteassetvolume takerbuyquotevolume"
    " taker_buy_quote_asset_vol Q",
    "ignore": "ignored",
    "symbol": "pair ticker tic market asset asset_id instrument coin trading_pair",
}
_RANKS: dict[str, tuple[str, int]] = {
    synonym: (name, rank)
    for name, words in _SYNONYMS.items()
    for rank, synonym in enumerate((name, *words.split()))
}
_NOT_IN_BASE = {
    "adj_close": "Yahoo Finance",
    "adjclose": "Yahoo Finance",
    "marketcap": "CoinMarketCap",
    "market_cap": "CoinMarketCap",
}
_ASSET_VOLUME = re.compile(r"(?:volume|vol)_([a-z0-9]+)")
_DOLLARS = ("usdt", "usdc", "busd", "fdusd", "tusd", "usd", "dai")
_MONEY = ("eur", "try", "brl", "gbp", "krw", "jpy", "idr", "bidr", "rub", "uah", "ngn", "aud")
_USUAL_QUOTES = frozenset((*_DOLLARS, *_MONEY))


class Places(NamedTuple):
    """Positions of the columns of a file, from 0.

    Attributes:
        times: Columns that may be the open time, best first.
        needed: Of open, high, low, close and volume.
        optional: Of quote volume, count and the two taker volumes; None where there is none.
        symbol: Of the market's name.
        names: What the file calls the columns; empty without a header.
    """

    times: tuple[int, ...]
    needed: tuple[int, int, int, int, int]
    optional: tuple[int | None, int | None, int | None, int | None]
    symbol: int | None = None
    names: tuple[str, ...] = ()


def plain(name: str) -> str:
    """Return a column's name as names are compared."""
    bare = name.strip().strip("<>\"'")
    if len(bare) == 1:
        return bare if bare in "VQ" else bare.lower() if bare in "tohlcvqn" else f"?{bare}"
    return re.sub(r"[\W_]+", "_", bare.lower()).strip("_")


def is_header(cells: Sequence[str], wanted: Mapping[str, str]) -> bool:
    """Tell whether a line names columns: ours, a tool's, or those that the user names."""
    names = [plain(cell) for cell in cells]
    known = {_RANKS[name][0] for name in names if name in _RANKS}
    mapped = {plain(name) for name in wanted.values() if not name.isdecimal()} & set(names)
    return len(known) + len(mapped) >= _HEADER_NAMES


def parse_columns(text: str) -> dict[str, str]:
    """Return which column is which as `open_time=Date,close=Last` says it.

    Raises:
        UnreadableKlineFile: with a sentence for users.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        ours, mark, theirs = part.partition("=")
        if not mark or not theirs.strip():
            raise UnreadableKlineFile(
                f"--columns {text!r} is not like open_time=Date,close=Last: our name, =, and the "
                "file's name or the number of the column."
            )
        name = plain(ours)
        if name not in _SETTABLE:
            raise UnreadableKlineFile(
                f"--columns names {ours.strip()!r}; there are {', '.join(_SETTABLE)}."
            )
        found[name] = theirs.strip()
    return found


def places_of(cells: Sequence[str], wanted: Mapping[str, str], symbol: str) -> Places:
    """Return where the columns are that a header names.

    Args:
        cells: The header.
        wanted: What the user says: our name to the file's, or to a number counted from 1.
        symbol: The market, which tells base from quote asset in `Volume BTC`; may be empty.

    Raises:
        UnreadableKlineFile: when a needed column is missing or its meaning is not sure.
    """
    found = _by_name(cells, symbol)
    said = {ours: _position(theirs, cells) for ours, theirs in wanted.items()}
    found = {ours: places for ours, places in found.items() if places[0] not in said.values()}
    found |= {ours: [at] for ours, at in said.items()}
    _check_volume(cells, wanted)
    missing = [name for name in NEEDED if name not in found]
    if missing:
        some = "--columns " + ",".join(f"{name}=NAME" for name in missing)
        raise UnreadableKlineFile(
            f"The header lacks the columns {', '.join(missing)}; it names "
            f"{', '.join(cell.strip() for cell in cells)}. If they are there, say {some}."
        )
    return _places(found, tuple(cell.strip() for cell in cells))


def places_without_header(width: int, wanted: Mapping[str, str]) -> Places:
    """Return where the columns are in a file without a header.

    Raises:
        UnreadableKlineFile: when they can not be known.
    """
    found: dict[str, list[int]] = {}
    names: Sequence[str] = ()
    if width in (11, 12):
        names = COLUMNS[:width]
    elif width == 6:
        names = NEEDED
    for at, name in enumerate(names):
        found[name] = [at]
    for ours, theirs in wanted.items():
        if not theirs.isdecimal() or not 1 <= int(theirs) <= width:
            raise UnreadableKlineFile(
                f"The file has no header, so --columns {ours}={theirs} must be the number of a "
                f"column from 1 to {width}."
            )
        found[ours] = [int(theirs) - 1]
    if missing := [name for name in NEEDED if name not in found]:
        example = ",".join(f"{name}={at}" for at, name in enumerate(NEEDED, 1))
        raise UnreadableKlineFile(
            f"The file has no header and {width} columns, of which {', '.join(missing)} can not be "
            f"told; say which are which, such as --columns {example}."
        )
    return _places(found, ())


def _places(found: Mapping[str, Sequence[int]], names: tuple[str, ...]) -> Places:
    a, b, c, d, e = (found[name][0] for name in NEEDED[1:])
    w, x, y, z = (found[name][0] if name in found else None for name in OPTIONAL)
    symbol = found["symbol"][0] if "symbol" in found else None
    return Places(tuple(found["open_time"]), (a, b, c, d, e), (w, x, y, z), symbol, names)


def _by_name(cells: Sequence[str], symbol: str) -> dict[str, list[int]]:
    names = [plain(cell) for cell in cells]
    ranked: dict[str, list[tuple[int, int]]] = {}
    for at, name in enumerate(names):
        if name in _RANKS:
            ours, rank = _RANKS[name]
            ranked.setdefault(ours, []).append((rank, at))
    found = {ours: [at for _, at in sorted(places)] for ours, places in ranked.items()}
    if names and not names[0] and "open_time" not in found:
        found["open_time"] = [0]  # the nameless index of a table
    _add_asset_volumes(found, names, symbol.lower())
    return found


def _add_asset_volumes(found: dict[str, list[int]], names: Sequence[str], symbol: str) -> None:
    """Tell `Volume BTC` from `Volume USDT`, and both from `Volume MA`."""
    assets = {
        match[1]: at
        for at, name in enumerate(names)
        if name not in _RANKS and (match := _ASSET_VOLUME.fullmatch(name))
    }
    if "volume" not in found and len(assets) == 2:
        (first, first_at), (second, second_at) = assets.items()
        if _is_quote(first, symbol) > _is_quote(second, symbol):
            first_at, second_at = second_at, first_at
        found.setdefault("volume", [first_at])
        found.setdefault("quote_volume", [second_at])
        return
    for asset, at in assets.items():
        if _is_quote(asset, symbol) == 1:
            found.setdefault("quote_volume", [at])
        elif symbol.startswith(asset):
            found.setdefault("volume", [at])


def _is_quote(asset: str, symbol: str) -> float:
    """Return how surely an asset is the quote of a market, from 0 to 1."""
    if symbol and symbol.startswith(asset) != symbol.endswith(asset):
        return float(symbol.endswith(asset))
    return 1.0 if asset in _USUAL_QUOTES else 0.5


def _check_volume(cells: Sequence[str], wanted: Mapping[str, str]) -> None:
    for name in map(plain, cells):
        if name in _NOT_IN_BASE and "volume" not in wanted:
            raise UnreadableKlineFile(
                f"The file looks like one of {_NOT_IN_BASE[name]}, whose volume is money and no "
                "amount of the base asset; say --columns volume=Volume if it is one."
            )


def _position(theirs: str, cells: Sequence[str]) -> int:
    stripped = [cell.strip() for cell in cells]
    if theirs in stripped:
        return stripped.index(theirs)
    names = [plain(cell) for cell in cells]
    if plain(theirs) in names:
        return names.index(plain(theirs))
    if theirs.isdecimal() and 1 <= int(theirs) <= len(cells):
        return int(theirs) - 1
    raise UnreadableKlineFile(
        f"--columns names the column {theirs!r}, and the header has {', '.join(stripped)}."
    )
