"""The simulated exchange as a program: `python -m engine.simulator`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from engine.simulator.access import make_access
from engine.simulator.generated import GeneratedMarket
from engine.simulator.limits import Limits
from engine.simulator.listings import DEFAULT_NAMES, UnknownMarket
from engine.simulator.market_model import OutOfRange
from engine.simulator.protocol.keys import KeyFault
from engine.simulator.protocol.tls import TlsFault
from engine.simulator.script import Script, ScriptError
from engine.simulator.server import Running, serve, speed_text
from engine.simulator.source import TellsNotes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.simulator.script import Deed
    from engine.simulator.source import Source

_USAGE = 2
_log = logging.getLogger(__name__)


def parse_speed(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Return the factor that `--speed` gives; `max` is infinite.

    Raises:
        click.BadParameter: for anything else than a number above 0.
    """
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < math.inf:
        raise click.BadParameter(f"'{text}' is no speed; write a number above 0, or max.")
    return speed


def parse_symbols(text: str | None) -> Sequence[str] | int:
    """Return the markets of `--symbols`: names separated by commas, or how many."""
    if text is None:
        return DEFAULT_NAMES
    if text.isdecimal():
        return int(text)
    return [name.strip().upper() for name in text.split(",") if name.strip()]


@click.command(name="simulate")
@click.option("--source", type=click.Choice(["generated", "replay"]), default="generated")
@click.option("--seed", type=click.IntRange(0), default=7, help="Seed of the generated market.")
@click.option("--symbols", help="Names separated by commas, or how many of the usual ones.")
@click.option(
    "--speed", callback=parse_speed, default="1", help="Exchange seconds per second, or max."
)
@click.option("--start-ms", type=click.IntRange(0), help="Exchange time of the start, epoch ms.")
@click.option("--activity", type=click.FloatRange(0, min_open=True), default=1.0)
@click.option("--history-days", type=click.IntRange(1, 1000), default=90)
@click.option(
    "--files",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A recording or kline file to replay; may be given several times.",
)
@click.option("--from", "from_text", help="Where a replay starts, such as '2024-12-10 08:00'.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--weight-limit", type=click.IntRange(1), default=6000, help="Weight per minute.")
@click.option("--faults", "faults", help="A fault script (TOML or JSON lines), or the word random.")
@click.option("--fault-seed", type=click.IntRange(0), default=0, help="Seed of random faults.")
@click.option("--fault-every", default="5m", help="Exchange time between random faults.")
@click.option("--api-key", "api_key", help="An API key that may read, or new to make one.")
@click.option(
    "--api-secret-file",
    "secret_file",
    type=click.Path(path_type=Path),
    help="Its secret (mode 0600), or its public key in PEM (RSA or Ed25519).",
)
@click.option("--tls", is_flag=True, help="Speak https and wss with a certificate of its own.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), help="Where to write the CA that clients trust."
)
@click.option("--watch-stdin", is_flag=True, help="End when standard input closes.")
@click.argument("more_files", nargs=-1, type=click.Path(path_type=Path))
def main(
    *,
    source: str,
    seed: int,
    symbols: str | None,
    speed: float,
    start_ms: int | None,
    activity: float,
    history_days: int,
    files: tuple[Path, ...],
    more_files: tuple[Path, ...],
    from_text: str | None,
    host: str,
    port: int,
    weight_limit: int,
    faults: str | None,
    fault_seed: int,
    fault_every: str,
    api_key: str | None,
    secret_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    watch_stdin: bool,
) -> None:
    """Run a simulated exchange that speaks Binance's REST and WebSocket protocol.

    It prints one line of JSON with its addresses when it is ready.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        if source == "replay":
            market = _replay((*files, *more_files), from_text, start_ms)
        else:
            market = GeneratedMarket(
                seed,
                parse_symbols(symbols),
                start_ms=start_ms,
                activity=activity,
                history_days=history_days,
            )
        script = _script(faults, fault_seed, fault_every)
    except (UnknownMarket, OutOfRange, ScriptError) as error:
        _refuse(str(error))
    with contextlib.ExitStack() as stack:
        try:
            access = make_access(
                stack,
                api_key=api_key,
                secret_file=secret_file,
                tls=tls,
                ca_file=ca_file,
                host=host,
            )
        except (KeyFault, TlsFault) as error:
            _refuse(str(error))
        server = serve(
            market,
            port=port,
            host=host,
            speed=speed,
            limits=Limits(weight_per_minute=weight_limit),
            script=script,
            keys=access.keys,
            tls=access.tls,
        )
        ready = {"speed": speed_text(speed)} | access.said
        asyncio.run(_run(market, server, f"{host}:{port}", ready, watch_stdin=watch_stdin))


def _script(faults: str | None, seed: int, every: str) -> Script | None:
    if faults is None:
        return None
    return Script.at_random(seed, every) if faults == "random" else Script.read(Path(faults))


def _replay(files: tuple[Path, ...], from_text: str | None, start_ms: int | None) -> Source:
    from engine.simulator.replay import ReplayError, open_replay

    if not files:
        _refuse("A replay needs a file: name a recording or a kline file with --files.")
    try:
        return open_replay(files, start=from_text, start_ms=start_ms)
    except ReplayError as error:
        _refuse(str(error))


async def _run(
    market: Source,
    server: contextlib.AbstractAsyncContextManager[Running],
    address: str,
    ready: dict[str, object],
    *,
    watch_stdin: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    watcher = asyncio.create_task(_watch_stdin(stop)) if watch_stdin else None
    async with contextlib.AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(server)
        except ScriptError as error:
            _refuse(str(error))
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            _refuse(
                f"The simulated exchange can not listen on {address} "
                f"({why}); choose another --port, or 0 for a free one."
            )
        _print(
            {
                "rest_url": running.rest_url,
                "stream_url": running.stream_url,
                "symbols": list(running.exchange.infos),
                "exchange_time_ms": running.exchange.now_ms,
            }
            | ready
        )
        for note in market.notes if isinstance(market, TellsNotes) else ():
            _print({"event": "note", "text": note})
        running.script.on_deed = _tell_deed
        teller = asyncio.create_task(_tell_end(running, stop))
        await stop.wait()
        teller.cancel()
        if watcher is not None:
            watcher.cancel()
    if running.ended.done() and running.ended.exception() is not None:
        _refuse(f"The replay ended early: {running.ended.exception()}", status=1)


async def _tell_end(running: Running, stop: asyncio.Event) -> None:
    await asyncio.wait([running.ended])
    if running.ended.exception() is not None:
        stop.set()
        return
    _print({"event": "ended", "exchange_time_ms": running.exchange.now_ms})


def _tell_deed(deed: Deed) -> None:
    told = {"event": "fault", "exchange_time_ms": deed.time_ms, "fault": deed.text}
    _print(told | ({"problem": deed.problem} if deed.problem else {}))


async def _watch_stdin(stop: asyncio.Event) -> None:
    """Set `stop` at the end of standard input; whatever comes before it is ignored."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while await reader.read(4096):
            pass
    except (ValueError, OSError):
        _log.debug("standard input is a file or /dev/null, which has ended already")
    stop.set()


def _print(message: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(message).decode() + "\n")
    sys.stdout.flush()


def _refuse(sentence: str, status: int = _USAGE) -> NoReturn:
    click.echo(sentence, err=True)
    raise SystemExit(status)


if __name__ == "__main__":
    main()
