"""Live predictions: scored when a candle closes, written to the ledger, resolved when due."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from engine.forecast.features import LIVE_ROWS
from engine.forecast.ledger import VOID, Ledger, Outcome, Tally, TooLate, Waiting, outcome_of
from engine.forecast.registry import RegistryError, load_model
from engine.forecast.scoring import Score, score_newest
from engine.market.interval import Interval, UnknownInterval, parse_interval
from engine.store import StoreError
from engine.task_supervisor import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Future

    from engine.forecast.features import Columns
    from engine.forecast.model import LoadedModel
    from engine.forecast.registry import Registry
    from engine.market.forecast import PredictionRow, TrackRecord
    from engine.store import Store

    Key = tuple[str, str]

log = logging.getLogger(__name__)

_LOAD_TIMEOUT_S = 30.0


class LivePredictions:
    """The predictions of all markets; its methods are called in the engine's event loop.

    Args:
        store: Candles and ledger.
        registry: Where the models of earlier predictions lie.
        exchange_now_ms: The exchange's clock; called from several threads.
        on_notice: Told what users should know, as level and text.
        on_change: Called when anything that this object shows has changed.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        exchange_now_ms: Callable[[], int],
        on_notice: Callable[[str, str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._now_ms = exchange_now_ms
        self._on_notice = on_notice
        self._changed = on_change
        self._ledger = Ledger(store, exchange_now_ms)
        self._waiting: dict[Key, dict[int, Waiting]] = {}
        self._calls: dict[tuple[Key, str, int], Mapping[str, int]] = {}
        self._tallies: dict[Key, Tally] = {}
        self._resolving: Counter[Key] = Counter()
        self._rows: dict[Key, tuple[int, list[PredictionRow]]] = {}
        self._notes: dict[Key, str] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def load(self) -> None:
        """Read waiting predictions, and resolve those whose outcome is stored by now.

        Raises:
            StoreError: the ledger can not be read or written.
        """
        for waiting in self._ledger.waiting():
            key = waiting.symbol, waiting.interval
            self._waiting.setdefault(key, {})[waiting.id] = waiting
            self._calls[key, waiting.model, waiting.open_time_ms] = self._calls_again(waiting)
        futures = [
            self._ledger.resolve(waiting, outcome, calls)
            for key in list(self._waiting)
            for waiting, outcome, calls in self._judge(key, {})
        ]
        for future in futures:
            future.result(_LOAD_TIMEOUT_S)

    async def close(self) -> None:
        """Wait until what was scored is in the ledger."""
        while writes := [task for task in self._writes if not task.done()]:
            await asyncio.wait(writes)

    def has_waiting(self, symbol: str, interval: str) -> bool:
        """Whether predictions of this market have no outcome yet."""
        return bool(self._waiting.get((symbol, interval)))

    def rows(self, symbol: str, interval: str, limit: int) -> list[PredictionRow]:
        """Return the newest `limit` predictions of a market, oldest first."""
        key = symbol, interval
        held = self._rows.get(key)
        if held is None or held[0] < limit:
            held = limit, self._ledger.rows(symbol, interval, limit)
            self._rows[key] = held
        return held[1][-limit:] if limit > 0 else []

    def record(self, symbol: str, interval: str, lookahead: int) -> TrackRecord:
        """Return the live track record of a market, baselines on the same rows included."""
        key = symbol, interval
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._ledger.tally(symbol, interval)
            if not self._resolving[key]:  # else an outcome on its way could be counted twice
                self._tallies[key] = tally
        return tally.record(lookahead)

    def note(self, symbol: str, interval: str) -> str:
        """Say why the newest candle has no prediction; empty when it has one."""
        return self._notes.get((symbol, interval), "")

    def candle_closed(
        self, symbol: str, interval: str, open_time_ms: int, model: LoadedModel | None
    ) -> None:
        """Take note of a closed candle after its COMMIT: resolve what is due, and score it.

        It takes a few milliseconds; the ledger is written in the store's thread. A candle whose
        outcome is known already (exchange time) is not scored.

        Args:
            symbol: Market.
            interval: Interval by name.
            open_time_ms: Open time of the candle.
            model: The market's champion, None to resolve only.
        """
        key = symbol, interval
        grid = parse_interval(interval)
        try:
            columns = self._store.reader.columns(
                symbol, interval, end_ms=grid.next(open_time_ms), limit=LIVE_ROWS
            )
            self._resolve(key, columns)
            if model is not None:
                self._score(key, model, columns, grid, open_time_ms)
        except StoreError as error:
            self._on_notice("error", str(error))

    def score_stored(self, symbol: str, interval: str, model: LoadedModel) -> None:
        """Score the newest stored candle, for a champion that was not there when it closed."""
        try:
            last_ms = self._store.reader.last_open_time(symbol, interval)
        except StoreError as error:
            self._on_notice("error", str(error))
            return
        if last_ms is not None:
            self.candle_closed(symbol, interval, last_ms, model)

    def _resolve(self, key: Key, columns: Columns) -> None:
        closes = dict(zip(columns["open_time_ms"].tolist(), columns["close"].tolist(), strict=True))
        for waiting, outcome, calls in self._judge(key, closes):
            future = self._ledger.resolve(waiting, outcome, calls)
            self._resolving[key] += 1
            self._spawn(self._resolved(key, waiting, outcome, calls, future))

    def _judge(
        self, key: Key, closes: Mapping[int, float]
    ) -> list[tuple[Waiting, Outcome, Mapping[str, int]]]:
        """Take what can be resolved now out of the waiting predictions of a market."""
        now_ms = self._now_ms()
        waiting_here = self._waiting.get(key, {})
        judged = []
        for waiting in list(waiting_here.values()):
            target_ms = parse_interval(waiting.interval).back(waiting.due_ms, 1)
            close = closes.get(target_ms)
            if close is None and now_ms < waiting.due_ms:
                continue
            outcome = self._outcome(waiting, target_ms, close)
            if outcome is not None:
                del waiting_here[waiting.id]
                calls = self._calls.get((key, waiting.model, waiting.open_time_ms), {})
                judged.append((waiting, outcome, calls))
        return judged

    def _outcome(self, waiting: Waiting, target_ms: int, close: float | None) -> Outcome | None:
        if close is None:
            found = self._store.reader.columns(
                waiting.symbol, waiting.interval, start_ms=target_ms, end_ms=target_ms + 1
            )["close"]
            if len(found):
                close = float(found[0])
        if close is not None:
            return outcome_of(waiting, close)
        if self._ledger.is_lost(waiting.symbol, waiting.interval, target_ms):
            return Outcome(VOID, None, None)
        return None

    async def _resolved(
        self,
        key: Key,
        waiting: Waiting,
        outcome: Outcome,
        calls: Mapping[str, int],
        future: Future[None],
    ) -> None:
        try:
            await asyncio.wrap_future(future)
        except (StoreError, sqlite3.Error) as error:
            self._waiting.setdefault(key, {})[waiting.id] = waiting
            self._on_notice("error", f"An outcome could not be written: {error}")
            return
        finally:
            self._resolving[key] -= 1
        self._calls.pop((key, waiting.model, waiting.open_time_ms), None)
        if key in self._tallies:
            self._tallies[key].add(waiting, outcome, calls)
        self._forget_rows(key)

    def _score(
        self, key: Key, model: LoadedModel, columns: Columns, grid: Interval, open_time_ms: int
    ) -> None:
        times = columns["open_time_ms"]
        due_ms = grid.back(open_time_ms, -(model.lookahead + 1))
        if not len(times) or int(times[-1]) != open_time_ms or self._now_ms() >= due_ms:
            return
        score = score_newest(model, columns, grid)
        if isinstance(score, str):
            self._note(key, score)
            return
        self._note(key, "")
        future = self._ledger.insert(*key, model.name, score, due_ms)
        self._spawn(self._scored(key, score, future))

    async def _scored(self, key: Key, score: Score, future: Future[Waiting | None]) -> None:
        try:
            waiting = await asyncio.wrap_future(future)
        except TooLate as error:
            log.info("%s", error)
            self._note(key, str(error))
            return
        except (StoreError, sqlite3.Error) as error:
            self._on_notice("error", f"A prediction could not be written: {error}")
            return
        if waiting is not None:
            self._waiting.setdefault(key, {})[waiting.id] = waiting
            self._calls[key, waiting.model, waiting.open_time_ms] = score.calls
            self._forget_rows(key)

    def _calls_again(self, waiting: Waiting) -> Mapping[str, int]:
        """Compute the baselines' calls for a prediction of an earlier run, from the store."""
        try:
            grid = parse_interval(waiting.interval)
            series = self._registry.series(waiting.symbol, waiting.interval)
            model = load_model(series / waiting.model)
        except (RegistryError, UnknownInterval) as error:
            log.warning("The baselines' calls for a waiting prediction are unknown: %s", error)
            return {}
        columns = self._store.reader.columns(
            waiting.symbol,
            waiting.interval,
            end_ms=waiting.open_time_ms + 1,
            limit=LIVE_ROWS,
        )
        score = score_newest(model, columns, grid)
        if isinstance(score, str) or score.open_time_ms != waiting.open_time_ms:
            return {}
        return score.calls

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        task.add_done_callback(log_failure)

    def _note(self, key: Key, text: str) -> None:
        if self._notes.get(key, "") != text:
            self._notes[key] = text
            self._changed()

    def _forget_rows(self, key: Key) -> None:
        self._rows.pop(key, None)
        self._changed()
