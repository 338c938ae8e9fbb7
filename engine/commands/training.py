"""Training without an engine, with the engine's own forecast desk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec

from engine.binance.rest import RestError, UnknownSymbol
from engine.commands.fetching import exchange, fetch_missing
from engine.commands.guard import CommandError
from engine.commands.output import say
from engine.commands.stored import known_symbol
from engine.forecast.live import ForecastDesk
from engine.forecast.supervisor import FOREGROUND_TRAINER
from engine.forecast.values import ForecastConfig
from engine.service.reports import job_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from engine.settings import Settings
    from engine.store import Store


class OwnTraining:
    """A forecast desk on a store that this process has locked.

    Use it as `async with`; history is fetched by REST where the source is live, and is what the
    store holds for a demo or a replay.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._desk = ForecastDesk(
            store,
            settings.directory / "models",
            msgspec.convert(settings.forecast, ForecastConfig, from_attributes=True),
            ensure_history=self._ensure_history,
            on_notice=lambda _, text: say(text),
            exchange_now_ms=_now_ms,
            command=FOREGROUND_TRAINER,
        )
        self._jobs: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._desk.load()
        self._jobs = asyncio.create_task(self._desk.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._desk.close()
        if self._jobs is not None:
            self._jobs.cancel()
            await asyncio.gather(self._jobs, return_exceptions=True)

    async def run(self, symbol: str, interval: str, recipe: str) -> dict[str, Any]:
        """Train and return the job's report.

        Raises:
            UnknownSymbol, CommandError: when neither exchange nor store knows the market.
        """
        await self._check_market(symbol)
        job = self._desk.retrain(symbol, interval, recipe)
        return job_report(await self._desk.wait(job))

    def job(self) -> dict[str, Any] | None:
        """Return the job that runs, as plain values."""
        plain: dict[str, Any] | None = msgspec.to_builtins(self._desk.job())
        return plain

    def cancel(self) -> None:
        """Cancel the job."""
        self._desk.cancel()

    async def _check_market(self, symbol: str) -> None:
        if symbol in self._store.reader.symbols():
            return
        if self._settings.source != "live":
            known_symbol(self._store.reader, symbol)
            return
        try:
            async with exchange(self._settings) as rest:
                await rest.symbols([symbol])
        except UnknownSymbol:
            raise
        except RestError as error:
            raise CommandError(f"{error} Nothing of {symbol} is stored to train on.") from None

    async def _ensure_history(
        self, symbol: str, interval: str, rows: int, progress: Callable[[str], None]
    ) -> None:
        if self._settings.source != "live":
            return
        from engine.market.interval import parse_interval

        grid = parse_interval(interval)
        end_ms = grid.floor(_now_ms())
        start_ms = grid.back(end_ms, rows)
        try:
            async with exchange(self._settings) as rest:
                await fetch_missing(rest, self._store, symbol, interval, start_ms, end_ms, progress)
        except RestError as error:
            say(f"{error} The training goes on with what is stored.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
