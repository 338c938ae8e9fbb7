"""The engine's process: builds the parts from the settings, runs them, stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from engine.stopping import StopRequest

if TYPE_CHECKING:
    from engine.runtime import Engine
    from engine.settings import Settings
    from engine.store import Store

log = logging.getLogger(__name__)

EXIT_FAILURE = 1
SERVER_STOP_S = 5.0
EXIT_USER_ERROR = 2


def run(settings: Settings, *, owned: bool) -> int:
    """Run the engine of `settings.directory` until it is told to stop.

    Args:
        settings: Fully resolved.
        owned: True when a terminal started it: it then stops after its last viewer's goodbye.

    Returns:
        The exit status: 0 after an orderly stop; after a sentence on standard error 1 for a
        damaged database or a store that can not go on, else 2.
    """
    from engine.memory import limit_arenas
    from engine.service.exchange_process import ExchangeFailed
    from engine.service.places import UnsafeDirectory
    from engine.service.server import SocketTaken
    from engine.store import CorruptDatabase, DirectoryLock, Store, StoreError, WriterDied

    limit_arenas()
    stop = StopRequest()
    try:
        lock = DirectoryLock.acquire(settings.directory)
    except StoreError as error:
        return _refuse(error)
    try:
        store = Store.open(
            settings.directory, source=settings.source, source_note=settings.source_note
        )
        try:
            asyncio.run(_serve(settings, store, stop, owned=owned))
        finally:
            store.close()
    except (CorruptDatabase, WriterDied) as error:
        return _refuse(error, EXIT_FAILURE)
    except (StoreError, ExchangeFailed, SocketTaken, UnsafeDirectory, _Refused) as error:
        return _refuse(error)
    finally:
        stop.ended()
        lock.release()
    return 0


class _Refused(Exception):
    """The settings ask for what can not be; the text is a sentence for users."""


def _refuse(error: Exception, status: int = EXIT_USER_ERROR) -> int:
    print(error, file=sys.stderr, flush=True)  # noqa: T201
    return status


class _Heard:
    """What the simulated exchange said, kept until an engine runs that can be told."""

    def __init__(self) -> None:
        self._ends: list[tuple[str, int | None]] = []
        self._notes: list[str] = []
        self._engine: Engine | None = None

    def ended(self, reason: str, time_ms: int | None) -> None:
        if self._engine is None:
            self._ends.append((reason, time_ms))
        else:
            self._engine.source_ended(reason, time_ms)

    def noted(self, note: str) -> None:
        if self._engine is None:
            self._notes.append(note)
        else:
            self._engine.notices.add("warning", note)

    def tell(self, engine: Engine) -> None:
        self._engine = engine
        for note in self._notes:
            self.noted(note)
        for reason, time_ms in self._ends:
            self.ended(reason, time_ms)


async def _serve(settings: Settings, store: Store, stop: StopRequest, *, owned: bool) -> None:
    from functools import partial
    from pathlib import Path

    from engine.memory import keep_trimmed
    from engine.runtime import Engine
    from engine.service.desk import Desk
    from engine.service.exchange_process import ExchangeProcess, exchange_arguments
    from engine.service.log_files import keep_small
    from engine.service.places import LOG_NAME, pointer_path, socket_path
    from engine.service.server import ViewerServer
    from engine.task_supervisor import in_time

    stop.listen()
    refusals: list[str] = []

    def refused(reason: str) -> None:
        refusals.append(reason)
        stop.ask()

    store.writer.on_death = lambda _reason: stop.ask()  # `Store.close` tells the reason
    heard = _Heard()
    exchange = ExchangeProcess(heard.ended, heard.noted)
    rest_url, stream_url = settings.rest_url, settings.stream_url
    if settings.source != "live":
        ready = await exchange.start(
            exchange_arguments(settings, _continuation_ms(settings, store)),
            Path(settings.directory) / "exchange.log",
        )
        rest_url, stream_url = ready.rest_url, ready.stream_url
        settings = settings.with_symbols(ready.symbols)
    try:
        engine = Engine(settings, store, rest_url, stream_url, on_refused=refused)
        server = ViewerServer(
            socket_path(settings.directory),
            Desk(engine, owned=owned, on_stop=stop.ask),
            pointer=pointer_path(settings.directory),
        )
        asyncio.get_running_loop().set_exception_handler(engine.tasks.loop_failed)
        engine.tasks.start("log", partial(keep_small, settings.directory / LOG_NAME))
        engine.tasks.start("memory", keep_trimmed)
        await engine.start()
        heard.tell(engine)
        try:
            await server.start()
            engine.tasks.start("socket", server.keep_path)
            log.info("engine %d serves %s", os.getpid(), settings.directory)
            await stop.wanted.wait()
        finally:
            await in_time("server", server.close, SERVER_STOP_S)
            await engine.close()
    finally:
        await exchange.close()
    for reason in refusals:
        raise _Refused(reason)


def _continuation_ms(settings: Settings, store: Store) -> int | None:
    """Exchange time at which invented or replayed data go on: where the stored candles end.

    None starts anew. A demo is never set back behind the wall clock.
    """
    import time

    from engine.market.interval import parse_interval

    ends = [
        parse_interval(interval).next(last)
        for symbol in store.reader.symbols()
        for interval in store.reader.intervals(symbol)
        if (last := store.reader.last_open_time(symbol, interval)) is not None
    ]
    if not ends:
        return None
    return max(*ends, time.time_ns() // 1_000_000) if settings.demo else max(ends)


def main() -> int:
    """Entry of `python -m engine.daemon`: settings come as JSON in the environment."""
    from engine.settings import Settings

    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    text = os.environ.get("KLINETOP_ENGINE_SETTINGS")
    if text is None:
        return _refuse(RuntimeError("Start the engine with `klinetop serve`."))
    settings = Settings.from_json(text)
    return run(settings, owned="--owned" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
