"""record: raw frames of chosen streams, with what a replay of them needs, into files."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import run_async
from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, say

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from engine.binance.supervisor import StreamSupervisor
    from engine.capture.recorder import Recorder
    from engine.settings import Settings

DEFAULT_STREAMS = "kline_1m,trade,depth@100ms,bookTicker"
ALL_MARKETS = ("!miniTicker@arr",)
_KINDS = frozenset({"trade", "aggTrade", "ticker", "miniTicker", "bookTicker", "avgPrice"})
_BOOKS = re.compile(r"depth(5|10|20)?(@100ms)?")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS_S = (86_400, 3_600, 60, 1)
_TELL_EVERY_S = 0.5


@click.command("record", cls=KlinetopCommand, short_help="Record raw frames for a replay.")
@click.option(
    "--streams",
    metavar="A,B,…",
    default=DEFAULT_STREAMS,
    show_default=True,
    help="What to record of each market; !miniTicker@arr records all markets at once.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Directory of the files.")
@click.option("--duration", metavar="TIME", help="Stop after this long, such as 90s, 10m or 1h30m.")
@click.option("--json", "as_json", is_flag=True, help="Print files and counts as JSON at the end.")
@click.pass_context
def record(
    ctx: click.Context, streams: str, output: Path | None, duration: str | None, as_json: bool
) -> int:
    """Record what the exchange streams about --symbols (or --markets), until Ctrl-C.

    Each file holds one hour and replays alone: `klinetop --replay FILE`. The files' paths are
    printed at the end. Without --output they go where record.directory says, else into recordings/
    in the data directory. No engine is needed, and one that runs is not disturbed.
    """
    settings = settings_of(ctx)
    if settings.source != "live":
        raise CommandError(
            f"A {settings.source} is not recorded; to record a simulated exchange, run "
            "`klinetop simulate` and give its addresses with --rest-url and --stream-url.",
            status=USAGE,
        )
    kinds = parse_streams(streams)
    limit_s = None if duration is None else parse_duration_s(duration)
    directory = output or settings.record.directory or settings.directory / "recordings"
    return run_async(_Session(settings, kinds, directory, limit_s, as_json=as_json).run())


def parse_streams(text: str) -> tuple[str, ...]:
    """Return the kinds of streams that `text` lists.

    Raises:
        CommandError: for a kind that the exchange does not have.
    """
    from engine.market.interval import INTERVALS

    kinds = tuple(dict.fromkeys(item for item in re.split(r"[,\s]+", text) if item))
    for kind in kinds:
        is_kline = kind.startswith("kline_") and kind.removeprefix("kline_") in INTERVALS
        if not (is_kline or kind in _KINDS or kind in ALL_MARKETS or _BOOKS.fullmatch(kind)):
            raise CommandError(
                f"--streams: there is no stream {kind!r}; there are kline_1m (and the other "
                f"intervals), depth, depth@100ms, depth5 to depth20, {', '.join(sorted(_KINDS))} "
                f"and {', '.join(ALL_MARKETS)}.",
                status=USAGE,
            )
    if not kinds:
        raise CommandError("--streams names no stream; leave it out for the usual ones.", status=2)
    return kinds


def parse_duration_s(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `10m` or `1h30m`.

    Raises:
        CommandError: for anything else, and for nothing.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = 0
    if match:
        seconds = sum(
            int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS_S, strict=True)
        )
    if not seconds:
        raise CommandError(
            f"--duration {text!r} is no duration; write it like 90s, 10m, 1h30m or 2d.",
            status=USAGE,
        )
    return float(seconds)


class _Session:
    """One recording, from the first request to the last line."""

    def __init__(
        self,
        settings: Settings,
        kinds: tuple[str, ...],
        directory: Path,
        limit_s: float | None,
        *,
        as_json: bool,
    ) -> None:
        self._settings = settings
        self._kinds = kinds
        self._directory = directory
        self._limit_s = limit_s
        self._as_json = as_json
        self._is_terminal = sys.stderr.isatty()
        self._told = ""

    async def run(self) -> int:
        """Record until the time is over or a signal comes; return the exit status."""
        import asyncio
        import signal

        from engine.binance.rest import RestClient
        from engine.binance.supervisor import StreamSupervisor
        from engine.capture.recorder import Recorder

        directory = _usable(self._directory)
        books: set[str] = set()
        recorder = Recorder(
            directory, keep_hours=self._settings.record.keep_hours, books=lambda: sorted(books)
        )

        def flowing(names: frozenset[str], _: str) -> None:
            books.update(_books_in(names))
            recorder.want_snapshots(sorted(_books_in(names)))

        rest = RestClient(self._settings.rest_url, on_answer=recorder.answer)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        supervisor = StreamSupervisor(
            self._settings.stream_url,
            on_event=_ignore,
            on_bad=_ignore,
            on_gap=flowing,
            on_raw=recorder.frame,
        )
        started_s = time.monotonic()
        tasks: list[asyncio.Task[Any]] = []
        try:
            names = await self._names(rest)
            streams = "1 stream" if len(names) == 1 else f"{len(names):,} streams"
            say(f"Recording {streams} into {directory}; Ctrl-C ends it.")
            supervisor.want(names)
            tasks = [
                asyncio.create_task(supervisor.run()),
                asyncio.create_task(recorder.run(rest)),
                asyncio.create_task(self._tell(supervisor, recorder, started_s)),
            ]
            await self._wait(stop, tasks)
            note = supervisor.state.note
        finally:
            await supervisor.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await rest.close()
            await recorder.close()
        return self._report(recorder, time.monotonic() - started_s, note)

    async def _wait(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[Any]]) -> None:
        import asyncio

        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                {stopped, *tasks}, timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopped}:
                task.result()
        finally:
            stopped.cancel()

    async def _names(self, rest: Any) -> list[str]:
        """Return the streams to record; the answer about their markets is recorded, too."""
        symbols = await self._symbols(rest)
        names = [kind for kind in self._kinds if kind in ALL_MARKETS]
        each = [kind for kind in self._kinds if kind not in ALL_MARKETS]
        return names + [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in each]

    async def _symbols(self, rest: Any) -> tuple[str, ...]:
        from engine.capture.selection import select_markets, unknown_sentence

        if not self._settings.markets:
            return tuple(info.name for info in await rest.symbols(self._settings.symbols))
        infos = await rest.symbols()
        selection = select_markets(self._settings.markets, infos)
        if selection.unknown:
            raise CommandError(unknown_sentence(selection.unknown, infos), status=USAGE)
        return tuple(selection.symbols)

    async def _tell(
        self, supervisor: StreamSupervisor, recorder: Recorder, started_s: float
    ) -> None:
        """Show progress on a terminal, and elsewhere only what goes wrong."""
        import asyncio

        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            state = supervisor.state
            trouble = recorder.note or (state.note if state.connection != "live" else "")
            if self._is_terminal:
                seconds = int(time.monotonic() - started_s)
                parts = [f"{seconds // 60}:{seconds % 60:02d}", state.connection, recorder.summary]
                parts.append(f"{supervisor.stats.messages_per_s:,.0f} messages/s")
                click.echo("\r" + "  ".join(parts) + "\x1b[K", nl=False, err=True)
            elif trouble and trouble != self._told:
                say(trouble)
            self._told = trouble

    def _report(self, recorder: Recorder, seconds: float, note: str) -> int:
        if self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)
        figures = {
            "files": [str(path) for path in recorder.files],
            "messages": recorder.messages,
            "bytes": recorder.bytes_written,
            "dropped": recorder.dropped,
            "seconds": round(seconds, 1),
        }
        if self._as_json:
            emit_json(figures)
        elif recorder.messages:
            for path in recorder.files:
                click.echo(str(path))
        problem = recorder.note or note
        if not recorder.messages:
            say(f"Nothing was recorded. {problem or 'No message came.'}")
            return FAILURE
        say(
            f"{recorder.messages:,} messages in {seconds:,.0f} s, "
            f"{recorder.bytes_written / 1e6:,.1f} MB, {recorder.dropped:,} dropped."
        )
        return FAILURE if recorder.dropped else 0


def _usable(directory: Path) -> Path:
    import os

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"The directory {directory} can not be made ({error.strerror}); "
            "choose another one with --output.",
            status=USAGE,
        ) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise CommandError(
            f"The directory {directory} can not be written; choose another one with --output.",
            status=USAGE,
        )
    return directory.resolve()


def _books_in(names: Sequence[str] | frozenset[str]) -> set[str]:
    """Return the symbols whose diffs are among the streams `names`."""
    return {
        stem.upper()
        for stem, _, kind in (name.partition("@") for name in names)
        if kind in ("depth", "depth@100ms")
    }


def _ignore(*_: object) -> None:
    """Frames are recorded as they come; what they mean is of no interest here."""
