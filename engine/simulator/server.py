"""The simulated exchange on a port: REST and WebSocket on one loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from engine.simulator.clock import ExchangeClock
from engine.simulator.control import Control
from engine.simulator.exchange import Exchange
from engine.simulator.limits import Limits
from engine.simulator.protocol.refusals import answers_unknown
from engine.simulator.pump import Pump
from engine.simulator.rest import RestApi
from engine.simulator.script import Script, ScriptRun
from engine.simulator.sockets import Sockets
from engine.simulator.source import StartsEarly

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from engine.simulator.faults import Faults
    from engine.simulator.protocol.keys import ApiKey
    from engine.simulator.source import Source

_log = logging.getLogger(__name__)
_LONGEST_LINE = 65_536
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Running:
    """A simulated exchange that answers.

    Attributes:
        rest_url: Such as `http://127.0.0.1:40123` (paths start with `/api/v3`).
        stream_url: Such as `ws://127.0.0.1:40123` (paths `/ws`, `/stream`, `/ws-api/v3`).
        exchange: Its core.
        ended: Done when the source has nothing left; holds its error if it failed.
        script: What does faults by script or on request, and its record.
    """

    rest_url: str
    stream_url: str
    exchange: Exchange
    ended: asyncio.Future[None]
    script: ScriptRun

    @property
    def faults(self) -> Faults:
        """The switches that make it misbehave."""
        return self.exchange.faults


@contextlib.asynccontextmanager
async def serve(
    source: Source,
    *,
    port: int = 0,
    host: str = _HOST,
    speed: float = 1.0,
    limits: Limits | None = None,
    script: Script | None = None,
    keys: Sequence[ApiKey] = (),
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Running]:
    """Run a simulated exchange for as long as the context lasts.

    Args:
        source: The market to show.
        port: TCP port; 0 takes a free one.
        host: Address to listen on.
        speed: Exchange seconds per wall-clock second; `math.inf` goes as fast as clients read.
        limits: Weights, streams, pings; the documented ones without it.
        script: Faults to do as exchange time passes.
        keys: API keys that may read the account; without any nobody may.
        tls: With it the exchange speaks https and wss only.

    Raises:
        ScriptError: when the script names a market that is not there.
        OSError: when the port can not be had.
    """
    limits = limits or Limits()
    clock = ExchangeClock(source.start_ms, speed, running=False)
    exchange = Exchange(source, clock)
    if script is not None:
        script.check(exchange.infos)
    script_run = ScriptRun(exchange, script)
    await asyncio.to_thread(_load, exchange)
    runner = web.AppRunner(
        _application(exchange, limits, script_run, keys),
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
        access_log=None,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    tasks: list[asyncio.Task[None]] = []
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        real_port = runner.addresses[0][1]
        clock.resume()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks = [
            asyncio.create_task(_feed(exchange, ended)),
            asyncio.create_task(Pump(exchange).run()),
            asyncio.create_task(script_run.run()),
        ]
        end = "" if tls is None else "s"
        rest_url, stream_url = f"http{end}://{host}:{real_port}", f"ws{end}://{host}:{real_port}"
        yield Running(rest_url, stream_url, exchange, ended, script_run)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        exchange.faults.drop_connections()
        await runner.cleanup()


def _load(exchange: Exchange) -> None:
    exchange.load()
    if isinstance(exchange.source, StartsEarly):
        exchange.source.start(exchange)


async def _feed(exchange: Exchange, ended: asyncio.Future[None]) -> None:
    try:
        await exchange.source.run(exchange)
    except Exception as error:
        _log.exception("the source of the simulated exchange failed")
        ended.set_exception(error)
        ended.exception()
        raise
    exchange.clock.stop()
    exchange.has_ended = True
    ended.set_result(None)


def _application(
    exchange: Exchange, limits: Limits, script: ScriptRun, keys: Sequence[ApiKey]
) -> web.Application:
    application = web.Application(middlewares=[answers_unknown(lambda: exchange.now_ms)])
    rest = RestApi(exchange, limits, keys)
    rest.add_to(application.router)
    Control(exchange, script).add_to(application.router)
    Sockets(exchange, limits, rest).add_to(application.router)
    return application


def speed_text(speed: float) -> float | str:
    """Return `speed` as JSON can hold it: `max` for an infinite one."""
    return "max" if math.isinf(speed) else speed
