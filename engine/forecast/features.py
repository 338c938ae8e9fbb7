"""The features: one function for training and live use, causal and without a start of history.

Each value at row t depends on rows up to t only, and on what lies hundreds of rows back not at
all (window features) or by less than 1e-6 of their spread (exponential ones), so a model sees
the same numbers in training and live. Formulas with a name of their own (RSI, %b, MACD, ADX,
stochastic, money flow) follow the `ta` library, which the tests compare them with.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from engine.forecast.rolling import delay, ewma, ratio, span, windows_of
from engine.market.interval import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Columns = Mapping[str, NDArray[np.generic]]

WARM_UP = 350
"""Rows after a start or a gap that no sample is made from (see reference figures on memory)."""
LIVE_ROWS = 500
"""Rows without a gap that live scoring feeds, so that training and live agree within 1e-6."""
_DEFINITION = 1
_RETURN_BARS = (5, 10, 20, 48, 96)
_LEVEL_BARS = 96
_VOLATILITY_FLOOR = 1e-6
_UNKNOWN_SHARE = 0.01
_SOURCES = {
    "quote_volume": ("vwap_deviation",),
    "trades": ("trades_level",),
    "taker_buy_volume": ("taker_buy_share",),
}

FEATURE_NAMES: tuple[str, ...] = (
    "return_1",
    *(f"return_{bars}" for bars in _RETURN_BARS),
    "range",
    "close_in_range",
    "volatility_level",
    "volume_level",
    "trades_level",
    "taker_buy_share",
    "vwap_deviation",
    "rsi_14",
    "bollinger_20",
    "macd_histogram",
    "adx_14",
    "stochastic_14",
    "money_flow_14",
    "hour_sin",
    "hour_cos",
)


def features_sha() -> str:
    """Return a hash over the names, their order and the version of their definition."""
    text = f"{_DEFINITION}|{WARM_UP}|{'|'.join(FEATURE_NAMES)}"
    return hashlib.sha256(text.encode()).hexdigest()


def unknown_features(columns: Columns) -> tuple[str, ...]:
    """Name the features whose source column is unknown (nan) in more than 1 % of the rows."""
    found: list[str] = []
    for column, names in _SOURCES.items():
        values = columns[column]
        if values.size and np.isnan(values.astype(np.float64)).mean() > _UNKNOWN_SHARE:
            found.extend(names)
    return tuple(found)


def make_features(columns: Columns, muted: Collection[str] = ()) -> Floats:
    """Compute all features of one or many symbols.

    Args:
        columns: `open_time_ms` of shape (rows,), and `open high low close volume quote_volume
            trades taker_buy_volume` of shape (..., rows), with leading axes for several symbols.
            Rows follow each other without a gap. Volumes may hold nan for unknown.
        muted: Features to hold at zero, because the training data did not know their source.

    Returns:
        Array of shape (..., rows, len(FEATURE_NAMES)), finite; the first `WARM_UP` rows are not
        fit for use.
    """
    floats = {name: np.asarray(columns[name], dtype=np.float64) for name in _PRICE_COLUMNS}
    made = {**_returns(floats), **_volumes(floats), **_oscillators(floats)}
    angle = np.asarray(columns["open_time_ms"], dtype=np.int64) % DAY_MS * (2.0 * np.pi / DAY_MS)
    shape = floats["close"].shape
    made["hour_sin"] = np.broadcast_to(np.sin(angle), shape)
    made["hour_cos"] = np.broadcast_to(np.cos(angle), shape)
    out = np.stack([made[name] for name in FEATURE_NAMES], axis=-1)
    for name in muted:
        out[..., FEATURE_NAMES.index(name)] = 0.0
    return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


_PRICE_COLUMNS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "taker_buy_volume",
)


def _volatility(log_close: Floats) -> tuple[Floats, Floats]:
    returns = log_close - delay(log_close, 1)
    sigma = np.sqrt(ewma(returns**2, span(48)))
    return returns, np.maximum(sigma, _VOLATILITY_FLOOR)


def _returns(floats: Mapping[str, Floats]) -> dict[str, Floats]:
    high, low, close = floats["high"], floats["low"], floats["close"]
    log_close = np.log(close)
    returns, sigma = _volatility(log_close)
    made = {"return_1": returns / delay(sigma, 1)}
    for bars in _RETURN_BARS:
        made[f"return_{bars}"] = (log_close - delay(log_close, bars)) / (sigma * np.sqrt(bars))
    made["range"] = np.log(high / low) / sigma
    made["close_in_range"] = ratio(close - low, high - low, 0.5) - 0.5
    made["volatility_level"] = np.log(sigma / windows_of(sigma, _LEVEL_BARS).mean(axis=-1))
    quote, volume = floats["quote_volume"], floats["volume"]
    average = ratio(quote, volume)
    known = average > 0
    made["vwap_deviation"] = np.where(
        known, (log_close - np.log(np.where(known, average, 1.0))) / sigma, 0.0
    )
    histogram = _macd_histogram(close)
    made["macd_histogram"] = histogram / (close * sigma)
    return made


def _volumes(floats: Mapping[str, Floats]) -> dict[str, Floats]:
    volume = floats["volume"]
    return {
        "volume_level": _level(volume),
        "trades_level": _level(floats["trades"]),
        "taker_buy_share": ratio(floats["taker_buy_volume"], volume, 0.5) - 0.5,
    }


def _level(values: Floats) -> Floats:
    mean = windows_of(values, _LEVEL_BARS).mean(axis=-1)
    return np.asarray(np.log1p(ratio(values, mean, 1.0)) - np.log(2.0))


def _oscillators(floats: Mapping[str, Floats]) -> dict[str, Floats]:
    high, low, close = floats["high"], floats["low"], floats["close"]
    middle = windows_of(close, 20)
    deviation = middle.std(axis=-1)
    floor = windows_of(low, 14).min(axis=-1)
    ceiling = windows_of(high, 14).max(axis=-1)
    return {
        "rsi_14": _rsi(close) / 100.0 - 0.5,
        "bollinger_20": ratio(close - middle.mean(axis=-1), 4.0 * deviation),
        "adx_14": _adx(high, low, close) / 100.0,
        "stochastic_14": ratio(close - floor, ceiling - floor, 0.5) - 0.5,
        "money_flow_14": _money_flow(high, low, close, floats["volume"]) / 100.0 - 0.5,
    }


def _rsi(close: Floats) -> Floats:
    change = close - delay(close, 1)
    up = _wilder(np.maximum(change, 0.0))
    down = _wilder(np.maximum(-change, 0.0))
    return ratio(100.0 * up, up + down, 50.0)


def _macd_histogram(close: Floats) -> Floats:
    macd = ewma(close, span(12)) - ewma(close, span(26))
    return macd - ewma(macd, span(9))


def _wilder(values: Floats) -> Floats:
    return ewma(values, 1.0 / 14.0)


def _adx(high: Floats, low: Floats, close: Floats) -> Floats:
    before = delay(close, 1)
    true_range = np.maximum(high, before) - np.minimum(low, before)
    up = high - delay(high, 1)
    down = delay(low, 1) - low
    plus = _wilder(np.where((up > down) & (up > 0), up, 0.0))
    minus = _wilder(np.where((down > up) & (down > 0), down, 0.0))
    spread = _wilder(true_range)
    plus_di, minus_di = ratio(plus, spread), ratio(minus, spread)
    return _wilder(100.0 * ratio(np.abs(plus_di - minus_di), plus_di + minus_di))


def _money_flow(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    typical = (high + low + close) / 3.0
    flow = typical * volume * np.sign(typical - delay(typical, 1))
    inflow = windows_of(np.maximum(flow, 0.0), 14).sum(axis=-1)
    outflow = windows_of(np.maximum(-flow, 0.0), 14).sum(axis=-1)
    return ratio(100.0 * inflow, inflow + outflow, 50.0)
