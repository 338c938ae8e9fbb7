"""`ta` over candle columns; pandas and ta are imported when something is computed.

Functions take arrays of shape (rows,), oldest first, and return arrays of that shape with nan
where there is not enough history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Columns = Mapping[str, NDArray[np.generic]]


def sma(close: Floats, window: int) -> Floats:
    """Simple moving average over `window` candles."""
    from ta.trend import SMAIndicator

    return _array(SMAIndicator(_series(close), window).sma_indicator())


def ema(close: Floats, window: int) -> Floats:
    """Exponential moving average of span `window`."""
    from ta.trend import EMAIndicator

    return _array(EMAIndicator(_series(close), window).ema_indicator())


def rsi(close: Floats, window: int = 14) -> Floats:
    """Relative strength index (Wilder 1978), 0 to 100."""
    from ta.momentum import RSIIndicator

    return _array(RSIIndicator(_series(close), window).rsi())


def macd(close: Floats, slow: int = 26, fast: int = 12, signal: int = 9) -> dict[str, Floats]:
    """Moving average convergence divergence: `macd`, `signal` and `histogram`, in price."""
    from ta.trend import MACD

    made = MACD(_series(close), slow, fast, signal)
    return {
        "macd": _array(made.macd()),
        "signal": _array(made.macd_signal()),
        "histogram": _array(made.macd_diff()),
    }


def bollinger(close: Floats, window: int = 20, deviations: float = 2) -> dict[str, Floats]:
    """Bollinger bands: `middle`, `upper` and `lower`, in price."""
    from ta.volatility import BollingerBands

    made = BollingerBands(_series(close), window, deviations)
    return {
        "middle": _array(made.bollinger_mavg()),
        "upper": _array(made.bollinger_hband()),
        "lower": _array(made.bollinger_lband()),
    }


def tutorial_indicators(columns: Columns) -> dict[str, Floats]:
    """Return the indicators of the tutorial recipe, by `ta`'s names.

    Left out are those of `ta` that read the future while they warm up (KST, visual Ichimoku,
    KAMA, vortex, DPO and TRIX with filling), those that depend for ever on where history starts
    (OBV and the like) and the slow ones (PSAR, NVI).

    Args:
        columns: `open high low close volume`, shape (rows,), at least 40 rows, oldest first.
    """
    from ta import momentum, trend, volatility, volume

    high, low, close = (_series(columns[name]) for name in ("high", "low", "close"))
    traded = _series(columns["volume"])
    bands = volatility.BollingerBands(close)
    channel = volatility.KeltnerChannel(high, low, close)
    donchian = volatility.DonchianChannel(high, low, close)
    stochastic = momentum.StochasticOscillator(high, low, close)
    adx = trend.ADXIndicator(high, low, close)
    macd_made = trend.MACD(close)
    aroon = trend.AroonIndicator(high, low)
    made: dict[str, Any] = {
        "volume_cmf": volume.ChaikinMoneyFlowIndicator(
            high, low, close, traded
        ).chaikin_money_flow(),
        "volume_fi": volume.ForceIndexIndicator(close, traded).force_index(),
        "volume_em": volume.EaseOfMovementIndicator(high, low, traded).ease_of_movement(),
        "volume_mfi": volume.MFIIndicator(high, low, close, traded).money_flow_index(),
        "volume_vwap": volume.VolumeWeightedAveragePrice(
            high, low, close, traded
        ).volume_weighted_average_price(),
        "volatility_bbm": bands.bollinger_mavg(),
        "volatility_bbh": bands.bollinger_hband(),
        "volatility_bbl": bands.bollinger_lband(),
        "volatility_bbw": bands.bollinger_wband(),
        "volatility_bbp": bands.bollinger_pband(),
        "volatility_kcw": channel.keltner_channel_wband(),
        "volatility_kcp": channel.keltner_channel_pband(),
        "volatility_dcw": donchian.donchian_channel_wband(),
        "volatility_dcp": donchian.donchian_channel_pband(),
        "volatility_atr": volatility.AverageTrueRange(high, low, close).average_true_range(),
        "volatility_ui": volatility.UlcerIndex(close).ulcer_index(),
        "trend_sma_fast": trend.SMAIndicator(close, 12).sma_indicator(),
        "trend_sma_slow": trend.SMAIndicator(close, 26).sma_indicator(),
        "trend_ema_fast": trend.EMAIndicator(close, 12).ema_indicator(),
        "trend_ema_slow": trend.EMAIndicator(close, 26).ema_indicator(),
        "trend_macd": macd_made.macd(),
        "trend_macd_signal": macd_made.macd_signal(),
        "trend_macd_diff": macd_made.macd_diff(),
        "trend_adx": adx.adx(),
        "trend_adx_pos": adx.adx_pos(),
        "trend_adx_neg": adx.adx_neg(),
        "trend_cci": trend.CCIIndicator(high, low, close).cci(),
        "trend_aroon_up": aroon.aroon_up(),
        "trend_aroon_down": aroon.aroon_down(),
        "trend_mass_index": trend.MassIndex(high, low).mass_index(),
        "momentum_rsi": momentum.RSIIndicator(close).rsi(),
        "momentum_tsi": momentum.TSIIndicator(close).tsi(),
        "momentum_uo": momentum.UltimateOscillator(high, low, close).ultimate_oscillator(),
        "momentum_stoch": stochastic.stoch(),
        "momentum_stoch_signal": stochastic.stoch_signal(),
        "momentum_wr": momentum.WilliamsRIndicator(high, low, close).williams_r(),
        "momentum_ao": momentum.AwesomeOscillatorIndicator(high, low).awesome_oscillator(),
        "momentum_roc": momentum.ROCIndicator(close).roc(),
        "momentum_ppo": momentum.PercentagePriceOscillator(close).ppo(),
        "momentum_pvo": momentum.PercentageVolumeOscillator(traded).pvo(),
    }
    return {name: _array(series) for name, series in made.items()}


def _series(values: NDArray[np.generic]) -> Any:
    import pandas as pd

    return pd.Series(np.asarray(values, dtype=np.float64))


def _array(series: Any) -> Floats:
    return np.asarray(series, dtype=np.float64)
