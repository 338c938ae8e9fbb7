"""db check, backup, vacuum, stats, prune, salvage: keeping house by hand."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import ask, run_async
from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.service.client import EngineClient
    from engine.service.contract import KeepHouse

MB = 1e6
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("db", short_help="Check, back up, shrink and measure the database.")
def db() -> None:
    """Check, back up, shrink and measure the database of a data directory."""


@db.command("check", cls=KlinetopCommand, short_help="Check pages, candles, counters and gaps.")
@click.option("--full", is_flag=True, help="Also compare indexes with tables; slower.")
@_json_option
@click.pass_context
def check(ctx: click.Context, full: bool, as_json: bool) -> int:
    """Check pages, candles, counters and gaps, also while an engine runs; exit 1 if not sound."""
    from engine.store.maintenance import check_database

    report = check_database(settings_of(ctx).directory, full=full)
    if as_json:
        emit_json({"sound": not report.problems, **report._asdict()})
        return FAILURE if report.problems else 0
    if not report.problems:
        click.echo(f"The database is sound: {report.candles:,} candles ({report.seconds:.1f} s).")
        return 0
    for problem in report.problems:
        click.echo(problem)
    say(f"What to do: {report.way_out}")
    return FAILURE


@db.command("backup", cls=KlinetopCommand, short_help="Copy the database to a file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_json_option
@click.pass_context
def backup(ctx: click.Context, file: Path, as_json: bool) -> None:
    """Copy the database to FILE (mode 0600), also while an engine runs, and check the copy."""
    from engine.store.backup import back_up
    from engine.store.database import DATABASE_NAME

    directory = settings_of(ctx).directory
    with _progress("Copying pages") as progress:
        result = back_up(directory, file, progress)
    if as_json:
        emit_json({"file": str(file), **result._asdict()})
        return
    say(
        f"{file} holds {result.candles:,} candles ({result.bytes / MB:,.1f} MB) and is sound. To "
        f"go back to it, stop the engine, move {directory / DATABASE_NAME}* away and copy the "
        f"file to {directory / DATABASE_NAME}."
    )


@db.command("vacuum", cls=KlinetopCommand, short_help="Give free pages back to the disk.")
@_json_option
@click.pass_context
def vacuum(ctx: click.Context, as_json: bool) -> None:
    """Give free pages back to the disk: step by step in a running engine, else all at once."""
    from engine.service.contract import KeepHouse
    from engine.store.maintenance import gives_back_pages

    directory = settings_of(ctx).directory
    if not gives_back_pages(directory) and _engine_runs(directory):
        raise CommandError(
            "This database was made without incremental vacuum, and an engine runs on it; run "
            "`klinetop stop`, then `klinetop db vacuum`, which converts it, and start it again."
        )
    done = run_async(_in_engine(directory, KeepHouse("vacuum")))
    freed = int(done["freed_bytes"]) if done is not None else _compact(directory)
    if as_json:
        emit_json({"freed_bytes": freed})
    else:
        say(f"{freed / MB:,.1f} MB were given back to the disk.")


@db.command("stats", cls=KlinetopCommand, short_help="Show size, content and growth.")
@click.option("--all", "each", is_flag=True, help="Show every series, not only sums.")
@_json_option
@click.pass_context
def stats(ctx: click.Context, each: bool, as_json: bool) -> None:
    """Show what is stored, how large it is, and when the disk will be full."""
    from engine.commands.db_figures import show_stats, stats_report
    from engine.store import open_reader
    from engine.store.stats import database_stats

    settings = settings_of(ctx)
    reader = open_reader(settings.directory)
    try:
        found = database_stats(reader, settings.directory)
    finally:
        reader.close()
    if as_json:
        emit_json(stats_report(found, settings.retention))
    else:
        show_stats(found, settings.retention, each=each)


@db.command("prune", cls=KlinetopCommand, short_help="Delete candles older than some days.")
@click.option(
    "--days", type=click.FloatRange(1), help="Days to keep; needed unless retention.days is set."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json_option
@click.pass_context
def prune(ctx: click.Context, days: float | None, yes: bool, as_json: bool) -> None:
    """Delete candles older than --days before the newest one, and old notes.

    Intervals of a day and longer stay. A running engine does this once a day by itself where
    retention.days is set, and never else.
    """
    from engine.service.contract import KeepHouse

    settings = settings_of(ctx)
    kept = days or settings.retention.days
    if not kept:
        raise CommandError(
            "All candles are kept, as retention.days is not set; say how many days with --days N.",
            status=USAGE,
        )
    _check_database(settings.directory)
    if not yes and not sys.stdin.isatty():
        raise CommandError("Pruning deletes candles for good; say --yes.", status=USAGE)
    if not yes:
        click.confirm(
            f"Delete candles older than {kept:g} days from {settings.directory}?",
            abort=True,
            err=True,
        )
    done = run_async(_in_engine(settings.directory, KeepHouse("prune", kept)))
    if done is None:
        done = _prune_alone(settings.directory, kept)
    if as_json:
        emit_json(done)
    else:
        say(
            f"{done['candles']:,} candles and {done['notes']:,} old notes were deleted; "
            f"{done['freed_bytes'] / MB:,.1f} MB were given back to the disk."
        )


@db.command("salvage", cls=KlinetopCommand, short_help="Read a damaged database into a fresh one.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_json_option
@click.pass_context
def salvage(ctx: click.Context, directory: Path, as_json: bool) -> int:
    """Read what can be read of a damaged database into a fresh one in DIRECTORY.

    The damaged file is only read, and stays where it is; no engine may run on it. Exit 1 when
    something is lost.
    """
    from engine.commands.salvaged import show_salvaged, told, watched
    from engine.store import DirectoryLock
    from engine.store.salvage import salvage as rescue

    settings = settings_of(ctx)
    stamp = settings.source, settings.source_note
    with (
        DirectoryLock.acquire(settings.directory),
        DirectoryLock.acquire(directory),
        watched() as progress,
    ):
        found = rescue(settings.directory, directory, progress, stamp)
    if as_json:
        emit_json({"directory": str(directory), **told(found)})
    else:
        show_salvaged(found, settings.directory, directory, settings.source)
    return 0 if found.is_complete else FAILURE


# --- the work -------------------------------------------------------------------------------------


def _check_database(directory: Path) -> None:
    """Refuse a directory without a database before anything is made there."""
    from engine.store import open_reader

    open_reader(directory).close()


def _engine_runs(directory: Path) -> bool:
    from engine.store import DirectoryLock

    return DirectoryLock.holder(directory) is not None


async def _engine(directory: Path) -> EngineClient | None:
    from engine.service.client import EngineClient, EngineGone
    from engine.service.places import find_socket

    try:
        return await EngineClient.connect(find_socket(directory))
    except EngineGone:
        return None


async def _in_engine(directory: Path, request: KeepHouse) -> dict[str, Any] | None:
    """Let the running engine do it; None when none runs."""
    client = await _engine(directory)
    return None if client is None else (await ask(client, request)).data


def _compact(directory: Path) -> int:
    from engine.store import DirectoryLock
    from engine.store.maintenance import compact

    with DirectoryLock.acquire(directory):
        before, after = compact(directory)
    return max(0, before - after)


def _prune_alone(directory: Path, days: float) -> dict[str, Any]:
    from engine.capture.housekeeping import Limits, prune
    from engine.store import DirectoryLock, Store, open_reader

    with DirectoryLock.acquire(directory):
        reader = open_reader(directory)
        try:
            source, note = reader.meta("source"), reader.meta("source_note")
            newest_ms = max(
                (
                    reader.last_open_time(symbol, interval) or 0
                    for symbol in reader.symbols()
                    for interval in reader.intervals(symbol)
                ),
                default=0,
            )
        finally:
            reader.close()
        with Store.open(directory, source=source or "live", source_note=note or "") as store:
            limits = Limits(days, None, 0, 0)
            return prune(store, limits, newest_ms, lambda: None)._asdict()


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function that draws (done, all) as a bar on stderr, None when it is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show
