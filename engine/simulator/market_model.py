"""Price levels, volatility and activity of the generated market: pure functions of seed and time.

A day's path is pinned at both ends by a seeded walk over days, so any day can be made by itself:
log prices of days follow a mean-reverting walk, minutes inside a day a bridge between two of them
with volatility that clusters (an autoregressive log volatility on days and on minutes, and a daily
season) and with heavy tails. One factor common to all markets correlates them. What a minute's
orders look like is decided by `day_minutes`, one after the other they are made by `market_trades`.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from engine.market.interval import DAY_MS
from engine.simulator.day_minutes import make_minutes
from engine.simulator.order_ids import ORDERS_PER_TRADE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.simulator.day_minutes import DayMinutes
    from engine.simulator.listings import Listing

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

MINUTES = 1440
HOURS = 24
FIRST_DAY = 14_610  # 2010-01-01
_DAYS = 18_262  # up to 2060
_REVERSION = 0.995
_VOLATILITY_MEMORY = 0.9
_VOLATILITY_SPREAD = 0.32
_MINUTE_MEMORY = 0.98
_MINUTE_SPREAD = 0.4
_TAIL = 5.0  # degrees of freedom of Student's t
_COMMON_VOLATILITY = 0.7
_MOST_COMMON_DAYS = 128
_MOST_ORDERS = 20_000_000  # a day's, so that each has a millisecond of its own
_DECAY = _MINUTE_MEMORY ** np.arange(MINUTES)
# Log volatility by minute of the UTC day: a peak around 14:30.
_SEASON = 0.3 * np.cos((np.arange(MINUTES) / 60 - 14.5) / HOURS * 2 * np.pi)
Value = TypeVar("Value")


class OutOfRange(ValueError):
    """Raised for a time at which the generated market does not exist; a sentence for users."""


class Cache(Generic[Value]):
    """The newest `size` values by key; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[tuple[object, ...], Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...], make: Callable[[], Value]) -> Value:
        """Return the value of `key`, made by `make` when it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class _CommonDay(NamedTuple):
    returns: Floats
    volatility: Floats


def generator(*parts: object) -> np.random.Generator:
    """Return a random generator that depends on `parts` (whole numbers and texts) only."""
    words = [
        zlib.crc32(part.encode()) if isinstance(part, str) else int(str(part)) for part in parts
    ]
    return np.random.default_rng(np.random.SeedSequence(words))


def day_of(time_ms: int) -> int:
    """Return the day (since 1970) of `time_ms`.

    Raises:
        OutOfRange: before 2010 and after 2059.
    """
    day = time_ms // DAY_MS
    if not FIRST_DAY < day < FIRST_DAY + _DAYS - 2:
        raise OutOfRange("The generated market exists from 2010 to 2059; choose a start in it.")
    return day


class CommonFactor:
    """What all markets of one seed share: a return factor and a volatility level."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = generator(seed, "market")
        self.shocks: Floats = rng.standard_normal(_DAYS)
        self.volatility: Floats = _autoregress(
            rng.standard_normal(_DAYS), _VOLATILITY_MEMORY, _VOLATILITY_SPREAD
        )
        self._pins: Floats = rng.standard_normal(_DAYS) * _MINUTE_SPREAD
        self._days: Cache[_CommonDay] = Cache(_MOST_COMMON_DAYS)

    def day(self, day: int) -> _CommonDay:
        """Return the factor's minute returns (unit variance) and log volatility on `day`."""
        return self._days.get((day,), lambda: self._make(day))

    def _make(self, day: int) -> _CommonDay:
        rng = generator(self.seed, "market", day)
        index = day - FIRST_DAY
        noise = _pinned_noise(rng, self._pins[index], self._pins[index + 1])
        return _CommonDay(rng.standard_normal(MINUTES), noise)


class MarketModel:
    """One market's levels, and its days.

    Args:
        listing: The market's character.
        common: What it shares with the others.
        activity: Multiplies the number of trades.
    """

    def __init__(self, listing: Listing, common: CommonFactor, activity: float) -> None:
        self.listing = listing
        self._common = common
        self._name = listing.info.name
        weight = listing.market_weight
        own_weight = np.sqrt(1 - weight**2)
        rng = generator(common.seed, self._name)
        own = _autoregress(rng.standard_normal(_DAYS), _VOLATILITY_MEMORY, _VOLATILITY_SPREAD)
        self._volatility: Floats = (
            _COMMON_VOLATILITY * common.volatility + np.sqrt(1 - _COMMON_VOLATILITY**2) * own
        )
        shocks = weight * common.shocks + own_weight * rng.standard_normal(_DAYS)
        steps = shocks * listing.daily_volatility * np.exp(self._volatility)
        self._levels: Floats = np.log(listing.price) + _filter(steps, _REVERSION)
        self._pins: Floats = rng.standard_normal(_DAYS) * _MINUTE_SPREAD
        daily = listing.trades_per_s * 86_400 * activity * np.exp(0.8 * self._volatility)
        orders = np.clip(np.rint(daily * ORDERS_PER_TRADE), 2 * HOURS, _MOST_ORDERS)
        self._orders: Integers = orders.astype(np.int64)
        self._first_orders: Integers = 1 + np.concatenate(([0], np.cumsum(self._orders)))

    def minutes(self, day: int) -> DayMinutes:
        """Return what happens in each minute of `day` (days since 1970)."""
        index = day - FIRST_DAY
        common = self._common.day(day)
        rng = generator(self._common.seed, self._name, day)
        own = _pinned_noise(rng, self._pins[index], self._pins[index + 1])
        slope = np.linspace(self._volatility[index], self._volatility[index + 1], MINUTES)
        noise = _COMMON_VOLATILITY * common.volatility + (1 - _COMMON_VOLATILITY) * own
        shape = np.exp(slope + noise + _SEASON)
        volatilities = self.listing.daily_volatility / np.sqrt(MINUTES) * shape
        weight = self.listing.market_weight
        tails = rng.standard_t(_TAIL, MINUTES) / np.sqrt(_TAIL / (_TAIL - 2))
        returns = volatilities * (weight * common.returns + np.sqrt(1 - weight**2) * tails)
        target = self._levels[index + 1] - self._levels[index]
        variances = volatilities**2
        returns += (target - returns.sum()) * variances / variances.sum()
        log_prices = self._levels[index] + np.concatenate(([0.0], np.cumsum(returns)))
        return make_minutes(
            self.listing,
            rng,
            log_prices,
            volatilities,
            _spread_orders(rng, shape**1.1, int(self._orders[index])),
            int(self._first_orders[index]),
        )

    def day_of_order(self, order: int) -> int:
        """Return the day (since 1970) on which the order with this number is traded."""
        index = int(np.searchsorted(self._first_orders, order, side="right")) - 1
        return FIRST_DAY + min(max(index, 0), _DAYS - 1)


def _spread_orders(rng: np.random.Generator, weights: Floats, total: int) -> Integers:
    """Return how many of a day's orders come in each minute: one at least as an hour begins."""
    rate = weights / weights.sum() * (total - HOURS)
    crowd = np.maximum(rate + np.sqrt(rate) * rng.standard_normal(MINUTES), 0.0)
    crowd[0] += 1e-9
    places = np.floor(np.cumsum(crowd) / crowd.sum() * (total - HOURS) + 0.5).astype(np.int64)
    places[-1] = total - HOURS
    counts: Integers = np.diff(places, prepend=0)
    counts[:: MINUTES // HOURS] += 1
    return counts


def _pinned_noise(rng: np.random.Generator, first: float, last: float) -> Floats:
    shocks = rng.standard_normal(MINUTES) * (_MINUTE_SPREAD * np.sqrt(1 - _MINUTE_MEMORY**2))
    noise = np.cumsum(shocks / _DECAY) * _DECAY
    slope = np.linspace(first - noise[0], last - noise[-1], MINUTES)
    pinned: Floats = noise + slope
    return pinned


def _autoregress(shocks: Floats, memory: float, spread: float) -> Floats:
    """Return an AR(1) series with standard deviation `spread`."""
    return _filter(shocks * (spread * np.sqrt(1 - memory**2)), memory)


def _filter(steps: Floats, memory: float) -> Floats:
    value = 0.0
    values = []
    for step in steps.tolist():
        value = memory * value + step
        values.append(value)
    return np.array(values)
