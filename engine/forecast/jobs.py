"""The queue of training jobs: one runs at a time, from fetching history to a finished model."""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.forecast.dataset import save_columns
from engine.forecast.enough import check_enough
from engine.forecast.priority import training_threads, usable_cores
from engine.forecast.protocol import JobConfig, Progress, TrainJob
from engine.forecast.supervisor import TRAINER, JobCancelled, JobFailed, Limits, run_trainer
from engine.forecast.values import HONEST, RECIPES, ForecastError
from engine.market.forecast import JobInfo
from engine.market.interval import parse_interval
from engine.store import StoreError, open_reader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.forecast.registry import Registry
    from engine.forecast.values import ForecastConfig, JsonObject
    from engine.store import Reader, Store

    EnsureHistory = Callable[[str, str, int, Callable[[str], None]], Awaitable[None]]
    Champion = Callable[[str, str], Path | None]
    Finish = Callable[["Job", Path, JsonObject], Awaitable[str]]

log = logging.getLogger(__name__)

QUEUED, FETCHING, STARTING = "queued", "fetching", "starting"
DONE, CANCELLED, FAILED = "done", "cancelled", "failed"
_ENDED = {DONE, CANCELLED, FAILED}
_PIECE_ROWS = 2_000


@dataclass(slots=True, eq=False)
class Job:
    """One training job.

    Attributes:
        id: Unique.
        symbol: Market; `interval` and `recipe` as asked for.
        state: As in the contract's `JobInfo`.
        progress: The trainer's last word.
        message: What happens or happened, in a sentence.
        metrics: The figures, once done.
        model: Name of the version it made; None before, and for recipes that make none.
        cancelled: Set to cancel.
        ended: Set when it is over.
    """

    symbol: str
    interval: str
    recipe: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    state: str = QUEUED
    progress: Progress = field(default_factory=lambda: Progress(QUEUED))
    message: str = "Waits for its turn."
    metrics: JsonObject | None = None
    model: str | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether it is done, cancelled or failed."""
        return self.state in _ENDED

    def info(self) -> JobInfo:
        """Return what viewers are told."""
        progress = self.progress
        return JobInfo(
            symbol=self.symbol,
            interval=self.interval,
            recipe=self.recipe,
            state=self.state,
            seed_index=progress.network,
            seeds=progress.networks,
            epoch=progress.epoch,
            epochs=progress.epochs,
            loss=progress.loss,
            val_loss=progress.val_loss,
            eta_s=None if self.is_over else progress.eta_s,
            message=self.message,
        )


class JobQueue:
    """Runs jobs one after another.

    Args:
        store: Where candles are read from.
        registry: Where artefacts go.
        config: How models are made.
        ensure_history: Fetches candles that training wants and the store lacks.
        champion: Gives the directory of the model to compare with.
        finish: Adopts what a job wrote, and returns the sentence that tells how it ended.
        on_change: Called when anything that `job` shows has changed.
        limits: When to end a trainer that misbehaves.
        command: The trainer's command line.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        config: ForecastConfig,
        *,
        ensure_history: EnsureHistory,
        champion: Champion,
        finish: Finish,
        on_change: Callable[[], None],
        limits: Limits | None = None,
        command: Sequence[str] = TRAINER,
    ) -> None:
        self._store = store
        self._registry = registry
        self._config = config
        self._ensure_history = ensure_history
        self._champion = champion
        self._finish = finish
        self._on_change = on_change
        self._limits = limits
        self._command = command
        self._waiting: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._current: Job | None = None

    @property
    def current(self) -> Job | None:
        """The running job, else the next one, else the last one that ended."""
        if self._current is not None and not self._current.is_over:
            return self._current
        return self._waiting[0] if self._waiting else self._current

    def submit(self, symbol: str, interval: str, recipe: str) -> Job:
        """Queue a job; one that is queued or running for the same is returned again.

        Raises:
            ForecastError: there is no such recipe, or the names are not a market's.
            UnknownInterval: there is no such interval.
        """
        parse_interval(interval)
        self._registry.series(symbol, interval)
        if recipe not in RECIPES:
            raise ForecastError(
                f"There is no recipe '{recipe}'; choose one of: {', '.join(RECIPES)}."
            )
        known = [*self._waiting, *([self._current] if self._current else [])]
        for job in known:
            same = (job.symbol, job.interval, job.recipe) == (symbol, interval, recipe)
            if same and not job.is_over:
                return job
        job = Job(symbol, interval, recipe)
        self._waiting.append(job)
        self._wake.set()
        self._on_change()
        return job

    def cancel(self) -> bool:
        """Cancel the running job and empty the queue; tells whether there was anything."""
        jobs = [job for job in (self._current, *self._waiting) if job and not job.is_over]
        for job in self._waiting:
            self._over(job, CANCELLED, "The training was cancelled before it began.")
        self._waiting.clear()
        if self._current is not None and not self._current.is_over:
            self._current.cancelled.set()
        return bool(jobs)

    async def idle(self) -> None:
        """Wait until the running job, if any, is over."""
        if self._current is not None:
            await self._current.ended.wait()

    async def run(self) -> None:
        """Run jobs until cancelled; a job that runs then is ended with its process."""
        while True:
            while self._waiting:
                self._current = self._waiting.popleft()
                await self._run(self._current)
            self._wake.clear()
            await self._wake.wait()

    async def _run(self, job: Job) -> None:
        scratch: Path | None = None
        try:
            await self._fetch(job)
            made, order = await asyncio.to_thread(self._prepare, job)
            scratch = made
            self._change(job, STARTING, "Starting the trainer.")
            metrics = await run_trainer(
                order,
                log_path=self._registry.directory / "trainer.log",
                on_progress=lambda progress: self._progress(job, progress),
                cancelled=job.cancelled,
                limits=self._limits,
                command=self._command,
            )
            job.metrics = metrics
            self._over(job, DONE, await self._finish(job, made, metrics))
        except JobCancelled as error:
            self._over(job, CANCELLED, str(error))
        except (ForecastError, StoreError, OSError) as error:
            self._over(job, FAILED, str(error))
        except asyncio.CancelledError:
            self._over(job, CANCELLED, "The engine stopped during the training.")
            raise
        except Exception as error:
            # Whoever waits for the job has to hear of its end, and the next one has its turn.
            log.exception("the training of %s %s failed", job.symbol, job.interval)
            self._over(job, FAILED, f"The training failed ({type(error).__name__}: {error}).")
        finally:
            if scratch is not None:
                _data_path(scratch).unlink(missing_ok=True)
                if scratch.exists():
                    shutil.rmtree(scratch)

    async def _fetch(self, job: Job) -> None:
        """Have history fetched; what is stored is used when that fails."""
        self._change(job, FETCHING, "Looking for missing history.")
        rows = self._config.train_rows
        work = asyncio.ensure_future(
            self._ensure_history(
                job.symbol, job.interval, rows, lambda text: self._fetched(job, text)
            )
        )
        stop = asyncio.ensure_future(job.cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise JobCancelled("The training was cancelled.")
            if (error := work.exception()) is not None:
                log.warning("History could not be fetched.", exc_info=error)
                self._change(job, FETCHING, f"Going on with what is stored: {error}")
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)

    def _fetched(self, job: Job, text: str) -> None:
        # A fill that others wait for goes on, and tells, when this job has left it.
        if job.state == FETCHING:
            self._change(job, FETCHING, text)

    def _prepare(self, job: Job) -> tuple[Path, TrainJob]:
        """Write the newest candles to a file for the trainer (in a thread).

        Raises:
            ForecastError: no model can be made of them.
        """
        reader = open_reader(self._store.directory)
        try:
            columns = _newest(reader, job.symbol, job.interval, self._config.train_rows)
        finally:
            reader.close()
        if not len(columns["open_time_ms"]):
            raise JobFailed(
                f"There are no {job.interval} candles of {job.symbol} yet; fetch some with "
                f"'klinetop backfill {job.symbol} --start …' and train again."
            )
        config = self._job_config(job)
        if job.recipe == HONEST:
            check_enough(columns, config)
        scratch = self._registry.scratch(job.symbol, job.interval, job.id)
        data = _data_path(scratch)
        return scratch, TrainJob(
            id=job.id,
            config=config,
            data_path=str(data),
            data_sha=save_columns(data, columns),
            out_dir=str(scratch),
        )

    def _job_config(self, job: Job) -> JobConfig:
        champion = self._champion(job.symbol, job.interval)
        config = self._config
        return JobConfig(
            symbol=job.symbol,
            interval=job.interval,
            recipe=job.recipe,
            lookahead=config.lookahead,
            window=config.window,
            networks=config.networks,
            epochs=config.epochs,
            threads=config.threads or training_threads(usable_cores()),
            minimum_rows=config.minimum_rows,
            seed=config.seed,
            champion=str(champion) if champion is not None else None,
        )

    def _progress(self, job: Job, progress: Progress) -> None:
        job.progress = progress
        words = progress.message or _words(progress)
        self._change(job, progress.state, words)

    def _change(self, job: Job, state: str, message: str) -> None:
        job.state, job.message = state, message
        self._on_change()

    def _over(self, job: Job, state: str, message: str) -> None:
        self._change(job, state, message)
        job.ended.set()


def _newest(reader: Reader, symbol: str, interval: str, rows: int) -> dict[str, NDArray[Any]]:
    """Read the newest `rows` candles in pieces, so that no piece holds up the event loop."""
    pieces: list[dict[str, NDArray[Any]]] = []
    end_ms: int | None = None
    while rows > 0:
        piece = reader.columns(symbol, interval, end_ms=end_ms, limit=min(rows, _PIECE_ROWS))
        found = len(piece["open_time_ms"])
        if found or not pieces:
            pieces.append(piece)
        if not found:
            break
        rows -= found
        end_ms = int(piece["open_time_ms"][0])
    pieces.reverse()
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _data_path(scratch: Path) -> Path:
    return scratch.with_name(f"{scratch.name}.npz")


def _words(progress: Progress) -> str:
    if not progress.epoch:
        return "Preparing samples."
    return (
        f"Network {progress.network} of {progress.networks}, "
        f"epoch {progress.epoch} of at most {progress.epochs}."
    )
