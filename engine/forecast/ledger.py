"""The ledger of live predictions: written before the outcome, never changed, then resolved."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.forecast.baselines import LIVE_BASELINES
from engine.forecast.features import features_sha
from engine.forecast.metrics import (
    EXPECTED_ACCURACY,
    live_interval,
    needed_outcomes,
)
from engine.forecast.values import ForecastError
from engine.market.forecast import BETTER, RIVALLED, UNTOLD, WORSE, PredictionRow, TrackRecord
from engine.market.interval import DAY_MS
from engine.store.symbols import symbol_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from engine.forecast.scoring import Score
    from engine.store import Store

ALWAYS_HIGHER, ALWAYS_LOWER = "always higher", "always lower"
HIT, MISS, TIE, VOID, WAITING = "hit", "miss", "tie", "void", "waiting"
_JOINED = (
    " FROM prediction p JOIN symbol s ON s.id = p.symbol_id"
    " LEFT JOIN outcome o ON o.prediction_id = p.id"
)


class TooLate(ForecastError):
    """A prediction was refused because its outcome is known already."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A prediction whose outcome is not known yet; the fields are those of the table."""

    id: int
    symbol: str
    interval: str
    model: str
    open_time_ms: int
    due_ms: int
    price: float
    p_up: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a prediction.

    Attributes:
        state: `hit`, `miss`, `tie` or `void`.
        outcome: 1 higher, 0 lower, None for a tie and a void.
        price: The close it was resolved with; None for a void.
    """

    state: str
    outcome: int | None
    price: float | None


def outcome_of(waiting: Waiting, close: float) -> Outcome:
    """Judge a prediction by the close it was about.

    The same close is a tie, neither hit nor miss: training and evaluation leave such rows out
    by the same rule (`windows.make_samples`).
    """
    if close == waiting.price:
        return Outcome(TIE, None, close)
    rose = int(close > waiting.price)
    return Outcome(HIT if rose == int(waiting.p_up >= 0.5) else MISS, rose, close)


class Ledger:
    """Reads and writes the tables `prediction` and `outcome` of one store.

    Args:
        store: Its writer does the writing, so a future that is done means committed.
        exchange_now_ms: The exchange's clock; called in the writer's thread.
    """

    def __init__(self, store: Store, exchange_now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = exchange_now_ms

    def insert(
        self, symbol: str, interval: str, model: str, score: Score, due_ms: int
    ) -> Future[Waiting | None]:
        """Write a prediction; the future holds it, or None when this row was there already.

        The future raises `TooLate` when the exchange's clock has reached `due_ms` by the time of
        the write.
        """

        def work(connection: sqlite3.Connection) -> Waiting | None:
            now_ms = self._now_ms()
            if now_ms >= due_ms:
                raise TooLate(
                    f"The forecast of {symbol} {interval} came after its outcome was known and "
                    "is not counted."
                )
            row = connection.execute(
                "INSERT INTO prediction (symbol_id, interval, model, open_time_ms, due_ms, price,"
                " p_up, features_sha, scored_exchange_ms, scored_wall_ms)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (model, symbol_id, interval, open_time_ms) DO NOTHING RETURNING id",
                (
                    symbol_id(connection, symbol),
                    interval,
                    model,
                    score.open_time_ms,
                    due_ms,
                    score.price,
                    score.p_up,
                    features_sha(),
                    now_ms,
                    time.time_ns() // 1_000_000,
                ),
            ).fetchone()
            if row is None:
                return None
            return Waiting(
                int(row[0]),
                symbol,
                interval,
                model,
                score.open_time_ms,
                due_ms,
                score.price,
                score.p_up,
            )

        return self._store.writer.run(work)

    def resolve(self, waiting: Waiting, outcome: Outcome, calls: Mapping[str, int]) -> Future[None]:
        """Write what became of a prediction, with the baselines' calls on the same row."""
        now_ms = self._now_ms()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO outcome (prediction_id, state, outcome, outcome_price,"
                " resolved_exchange_ms, reversal, majority, logistic)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (prediction_id) DO NOTHING",
                (
                    waiting.id,
                    outcome.state,
                    outcome.outcome,
                    outcome.price,
                    now_ms,
                    *(calls.get(name) for name in LIVE_BASELINES),
                ),
            )

        return self._store.writer.run(work)

    def waiting(self) -> list[Waiting]:
        """Return all predictions without an outcome, oldest first."""
        rows = self._store.reader.query(
            "SELECT p.id, s.name AS symbol, p.interval, p.model, p.open_time_ms, p.due_ms,"
            f" p.price, p.p_up {_JOINED} WHERE o.prediction_id IS NULL ORDER BY p.open_time_ms"
        )
        return [Waiting(**row) for row in rows]

    def rows(self, symbol: str, interval: str, limit: int) -> list[PredictionRow]:
        """Return the newest `limit` predictions of one market, oldest first."""
        rows = self._store.reader.query(
            "SELECT p.open_time_ms, p.due_ms, p.price, p.p_up, o.outcome, o.outcome_price,"
            f" coalesce(o.state, '{WAITING}') AS state, p.model {_JOINED}"
            " WHERE s.name = ? AND p.interval = ? ORDER BY p.open_time_ms DESC, p.id DESC LIMIT ?",
            (symbol, interval, limit),
        )
        return [PredictionRow(**row) for row in reversed(rows)]

    def tally(self, symbol: str, interval: str) -> Tally:
        """Count the outcomes of one market by day."""
        sums = ", ".join(
            f"total(o.{name} IS NOT NULL AND o.outcome IS NOT NULL) AS {name}_rows,"
            f" total(o.{name} = o.outcome) AS {name}_hits"
            for name in LIVE_BASELINES
        )
        rows = self._store.reader.query(
            f"SELECT p.open_time_ms / {DAY_MS} AS day, count(o.outcome) AS resolved,"
            " total(o.state = 'hit') AS hits, total(o.state = 'tie') AS ties,"
            " total(o.outcome) AS rises,"
            f" total((p.p_up - o.outcome) * (p.p_up - o.outcome)) AS squares, {sums} {_JOINED}"
            " WHERE s.name = ? AND p.interval = ? AND o.state IN ('hit', 'miss', 'tie')"
            " GROUP BY day",
            (symbol, interval),
        )
        tally = Tally()
        for row in rows:
            tally.ties += int(row["ties"])
            if not row["resolved"]:
                continue
            tally.hits[row["day"]] = int(row["hits"])
            tally.resolved[row["day"]] = int(row["resolved"])
            tally.rises += int(row["rises"])
            tally.squares += row["squares"]
            for name in LIVE_BASELINES:
                tally.baseline_hits[name] += int(row[f"{name}_hits"])
                tally.baseline_rows[name] += int(row[f"{name}_rows"])
        return tally

    def is_lost(self, symbol: str, interval: str, open_time_ms: int) -> bool:
        """Whether a candle that the store lacks can not come any more.

        It can not when the gap is known as one that can not be filled, or when the candle is more
        than a day old on the exchange's clock.
        """
        if self._now_ms() - open_time_ms > DAY_MS:
            return True
        return bool(
            self._store.reader.query(
                "SELECT 1 AS lost FROM gap g JOIN symbol s ON s.id = g.symbol_id"
                " WHERE s.name = ? AND g.interval = ? AND g.from_ms <= ? AND g.to_ms > ?"
                " AND g.state IN ('exchange_hole', 'unfillable') LIMIT 1",
                (symbol, interval, open_time_ms, open_time_ms),
            )
        )


def _zeros() -> dict[str, int]:
    return dict.fromkeys(LIVE_BASELINES, 0)


@dataclass(slots=True)
class Tally:
    """Hits, misses and ties of one market, counted as they come.

    Attributes:
        hits: Hits by UTC day (days since the epoch); `resolved` likewise hits and misses.
        rises: Resolved outcomes that were higher.
        ties: Outcomes where the close was the same.
        squares: Sum of squared errors of the probabilities.
        baseline_hits: Hits of each live baseline on the rows where its call is known.
        baseline_rows: How many rows these are.
    """

    hits: dict[int, int] = field(default_factory=dict)
    resolved: dict[int, int] = field(default_factory=dict)
    rises: int = 0
    ties: int = 0
    squares: float = 0.0
    baseline_hits: dict[str, int] = field(default_factory=_zeros)
    baseline_rows: dict[str, int] = field(default_factory=_zeros)

    def add(self, waiting: Waiting, outcome: Outcome, calls: Mapping[str, int]) -> None:
        """Count one outcome; a tie is counted apart, a void not at all."""
        self.ties += outcome.state == TIE
        if outcome.outcome is None:
            return
        day = waiting.open_time_ms // DAY_MS
        self.hits[day] = self.hits.get(day, 0) + (outcome.state == HIT)
        self.resolved[day] = self.resolved.get(day, 0) + 1
        self.rises += outcome.outcome
        self.squares += (waiting.p_up - outcome.outcome) ** 2
        for name, call in calls.items():
            self.baseline_hits[name] += call == outcome.outcome
            self.baseline_rows[name] += 1

    def record(self, lookahead: int) -> TrackRecord:
        """Return the figures, with an interval that allows for outcomes that overlap."""
        resolved, hits = sum(self.resolved.values()), sum(self.hits.values())
        if not resolved:
            needed = needed_outcomes(EXPECTED_ACCURACY, lookahead)
            return TrackRecord(0, None, None, None, {}, None, needed, self.ties)
        days = sorted(self.resolved)
        low, high = live_interval(
            [self.hits[day] for day in days], [self.resolved[day] for day in days], lookahead
        )
        rate = hits / resolved
        baselines = {
            name: self.baseline_hits[name] / rows
            for name, rows in self.baseline_rows.items()
            if rows
        }
        always = max(self.rises, resolved - self.rises) / resolved
        rivals = baselines | {ALWAYS_HIGHER if 2 * self.rises >= resolved else ALWAYS_LOWER: always}
        rival = max(rivals, key=lambda name: rivals[name])
        standing = _standing(low, high, rivals[rival])
        return TrackRecord(
            resolved=resolved,
            hit_rate=rate,
            low=low,
            high=high,
            baselines=baselines,
            brier=self.squares / resolved,
            needed=max(1, needed_outcomes(rate, lookahead) - resolved)
            if standing == UNTOLD
            else None,
            ties=self.ties,
            rival=rival,
            rival_rate=rivals[rival],
            standing=standing,
        )


def _standing(low: float, high: float, rival_rate: float) -> str:
    """Say how a hit rate with the interval [low, high] stands to a coin and to its best rival."""
    if high < 0.5:
        return WORSE
    if low <= 0.5:
        return UNTOLD
    return BETTER if low > rival_rate else RIVALLED
