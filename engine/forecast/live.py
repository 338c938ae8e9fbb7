"""The forecast desk: champions, live scoring, the ledger and training jobs of one engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.forecast.jobs import Job, JobQueue
from engine.forecast.live_predictions import LivePredictions
from engine.forecast.registry import Registry, RegistryError
from engine.forecast.supervisor import TRAINER
from engine.forecast.values import HONEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.forecast.jobs import EnsureHistory
    from engine.forecast.model import LoadedModel
    from engine.forecast.supervisor import Limits
    from engine.forecast.values import ForecastConfig, JsonObject
    from engine.market.forecast import JobInfo, ModelInfo, PredictionRow, TrackRecord
    from engine.store import Store

Key = tuple[str, str]


class ForecastDesk:
    """All that forecasts; its methods are called in the engine's event loop.

    Args:
        store: Candles and ledger.
        models_directory: Where models lie.
        config: How models are made.
        ensure_history: Fetches candles that a training job wants; called with symbol, interval,
            rows and a function that takes progress in words.
        on_notice: Told what users should know, as level (`info`, `warning`, `error`) and text.
        exchange_now_ms: The exchange's clock; called from several threads.
        limits: When to end a trainer that misbehaves.
        command: The trainer's command line.

    Attributes:
        revision: Grows with any change of what this object shows.
    """

    def __init__(
        self,
        store: Store,
        models_directory: Path,
        config: ForecastConfig,
        *,
        ensure_history: EnsureHistory,
        on_notice: Callable[[str, str], None],
        exchange_now_ms: Callable[[], int],
        limits: Limits | None = None,
        command: Sequence[str] = TRAINER,
    ) -> None:
        self._store = store
        self._config = config
        self._on_notice = on_notice
        self._registry = Registry(models_directory, config.lookahead)
        self._champions: dict[Key, LoadedModel] = {}
        self._live = LivePredictions(
            store,
            self._registry,
            exchange_now_ms=exchange_now_ms,
            on_notice=on_notice,
            on_change=self._changed,
        )
        self.revision = 1
        self._queue = JobQueue(
            store,
            self._registry,
            config,
            ensure_history=ensure_history,
            champion=self._champion_directory,
            finish=self._finish,
            on_change=self._changed,
            limits=limits,
            command=command,
        )

    # --- life -----------------------------------------------------------------------------------

    def load(self) -> None:
        """Load and verify the champions, and resolve predictions whose outcome is stored by now.

        A model that does not verify is left aside with a notice, and the newest other version of
        its market takes its place. It blocks for some milliseconds a model; call it once.

        Raises:
            StoreError: the ledger can not be read.
        """
        self._registry.sweep()
        for symbol, interval in self._registry.markets():
            try:
                model, problems = self._registry.champion(symbol, interval)
            except RegistryError as error:
                model, problems = None, [str(error)]
            for problem in problems:
                self._on_notice("error", problem)
            if model is not None:
                self._champions[symbol, interval] = model
        self._live.load()
        self._changed()

    async def run(self) -> None:
        """Run training jobs until cancelled."""
        await self._queue.run()

    async def close(self) -> None:
        """Cancel jobs, and wait until the trainer is gone and all that was scored is written.

        `run` must still run, or have been cancelled.
        """
        self._queue.cancel()
        await self._queue.idle()
        await self._live.close()

    # --- training -------------------------------------------------------------------------------

    def retrain(self, symbol: str, interval: str, recipe: str = HONEST) -> Job:
        """Queue a training job, or return the one that is queued or running for the same.

        Raises:
            ForecastError: unknown recipe, or names that are not a market's.
            UnknownInterval: unknown interval.
        """
        return self._queue.submit(symbol, interval, recipe)

    def cancel(self) -> bool:
        """Cancel the running job and empty the queue; tells whether there was anything."""
        return self._queue.cancel()

    async def wait(self, job: Job) -> Job:
        """Wait until `job` is done, cancelled or failed."""
        await job.ended.wait()
        return job

    # --- live -----------------------------------------------------------------------------------

    def candle_closed(self, symbol: str, interval: str, open_time_ms: int) -> None:
        """Take note of a closed candle after its COMMIT: resolve what is due, and score it.

        It takes a few milliseconds; the ledger is written in the store's thread. A candle whose
        outcome is known already (exchange time) is not scored.

        Args:
            symbol: Market.
            interval: Interval by name.
            open_time_ms: Open time of the candle.
        """
        model = self._champions.get((symbol, interval))
        if model is not None or self._live.has_waiting(symbol, interval):
            self._live.candle_closed(symbol, interval, open_time_ms, model)

    # --- what viewers see -----------------------------------------------------------------------

    def champions(self) -> set[Key]:
        """Return symbol and interval of each market with a model that forecasts."""
        return set(self._champions)

    def model(self, symbol: str, interval: str) -> ModelInfo | None:
        """Return the champion of a market."""
        champion = self._champions.get((symbol, interval))
        return None if champion is None else champion.info()

    def predictions(self, symbol: str, interval: str, limit: int) -> list[PredictionRow]:
        """Return the newest `limit` predictions of a market, oldest first."""
        return self._live.rows(symbol, interval, limit)

    def record(self, symbol: str, interval: str) -> TrackRecord:
        """Return the live track record of a market, baselines on the same rows included."""
        return self._live.record(symbol, interval, self._config.lookahead)

    def job(self) -> JobInfo | None:
        """Return the running job, else the next one, else the last one that ended."""
        current = self._queue.current
        return None if current is None else current.info()

    def note(self, symbol: str, interval: str) -> str:
        """Say why there is no forecast and what to do; empty when there is one."""
        if (symbol, interval) not in self._champions:
            return f"No model for {symbol} {interval} yet: press t to train one."
        return self._live.note(symbol, interval)

    # --- inside ---------------------------------------------------------------------------------

    async def _finish(self, job: Job, scratch: Path, metrics: JsonObject) -> str:
        """Adopt what a job made; returns how it ended, in a sentence."""
        if job.recipe != HONEST:
            text = (
                f"The tutorial recipe claims {metrics['claimed_accuracy']:.1%} on its own "
                f"shuffled validation; on the {metrics['test_rows']:,} candles that came next "
                f"it was right {metrics['accuracy']:.1%} of the time "
                f"[{metrics['low']:.1%}, {metrics['high']:.1%}]{_ties(metrics)}."
            )
            self._on_notice("info", text)
            return text
        key = job.symbol, job.interval
        model = await asyncio.to_thread(self._registry.adopt, *key, scratch)
        job.model = model.name
        text = await self._crown(key, model)
        self._on_notice("info", text)
        return text

    async def _crown(self, key: Key, model: LoadedModel) -> str:
        """Make `model` the champion where it is the first, or better beyond chance."""
        old = self._champions.get(key)
        name = f"{key[0]} {key[1]} {model.version}"
        found = model.metrics.get("champion")
        if old is not None and not (found and found["better"] and found["version"] == old.version):
            rows = found["rows"] if found else 0
            return (
                f"{name} is kept as a version, and {old.version} goes on forecasting: on "
                f"{rows:,} rows that neither had seen it was not better beyond chance."
            )
        await asyncio.to_thread(self._registry.set_champion, model)
        self._champions[key] = model
        self._live.score_stored(*key, model)
        place = "forecasts from now on" if old is None else f"takes the place of {old.version}"
        metrics = model.metrics
        return (
            f"{name} {place}: right {metrics['accuracy']:.1%} "
            f"[{metrics['low']:.1%}, {metrics['high']:.1%}] of {metrics['test_rows']:,} unseen "
            f"candles{_ties(metrics)}, verdict: {metrics['verdict']}."
        )

    def _champion_directory(self, symbol: str, interval: str) -> Path | None:
        champion = self._champions.get((symbol, interval))
        return None if champion is None else champion.directory

    def _changed(self) -> None:
        self.revision += 1


def _ties(metrics: JsonObject) -> str:
    """Tell the outcomes that are not scored; empty when there are none."""
    ties = int(metrics.get("ties", 0))
    if not ties:
        return ""
    closes = "close was" if ties == 1 else "closes were"
    return f" ({ties:,} more left out as ties: the {closes} unchanged)"
