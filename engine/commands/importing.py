"""import: kline files into the store, one by one or a whole archive at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from engine.commands.asking import ask, run_async, running_engine
from engine.commands.guard import FAILURE, USAGE, CommandError, exit_status
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, say
from engine.commands.retention import pruned_before_ms, warn_of_pruning
from engine.commands.stored import plain_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from engine.settings import Settings
    from engine.store import Store


class _Work(NamedTuple):
    """A file and the series that it belongs to."""

    file: Path
    symbol: str
    interval: str


@click.command("import", cls=KlinetopCommand, short_help="Import kline CSV files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--symbol", help="The market; unset, the file's name tells (BTCUSDT-1m-2024-12.zip).")
@click.option("--interval", help="The interval of the candles; unset, the file's name tells.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.pass_context
def import_file(
    ctx: click.Context,
    files: tuple[Path, ...],
    symbol: str | None,
    interval: str | None,
    as_json: bool,
) -> int:
    """Import kline CSV FILES (plain, gz or zip) into the store; a directory means all in it.

    Files of Binance's public archive need no options: their names tell market and interval, and a
    CHECKSUM file beside one must fit. Rows that hold no candle go to quarantine with their line
    number, and the rest is stored. Of many files one that can not be imported is told and left out.
    """
    settings = settings_of(ctx)
    works = _works(files, symbol, interval)
    told: list[dict[str, Any]] = []
    for work, counts in run_async(_all(settings, works)):
        told.append(
            {"file": str(work.file), "symbol": work.symbol, "interval": work.interval, **counts}
        )
    if as_json:
        emit_json(told if len(told) > 1 or any(file.is_dir() for file in files) else told[0])
    done = [one for one in told if "error" not in one]
    if len(told) > 1:
        _say_sum(done, [one for one in told if "error" in one])
    _warn_of_retention(settings, works)
    nothing = [one for one in done if one["rows"] and one["rows"] == one["quarantined"]]
    return FAILURE if nothing or len(done) < len(told) else 0


def _works(files: Sequence[Path], symbol: str | None, interval: str | None) -> list[_Work]:
    """Return what is to be imported into which series.

    Raises:
        CommandError: when a file's series is neither said nor told by its name.
    """
    from engine.market.interval import parse_interval
    from engine.store.archive import kline_files, series_of

    market = plain_symbol(symbol) if symbol is not None else None
    name = parse_interval(interval).name if interval is not None else None
    works = []
    for file in kline_files(files):
        told = series_of(file)
        if (market is None or name is None) and told is None:
            raise CommandError(
                f"The name {file.name} does not tell market and interval, as "
                "BTCUSDT-1m-2024-12.zip does; say --symbol and --interval.",
                status=USAGE,
            )
        works.append(
            _Work(
                file,
                market or (told.symbol if told else ""),
                name or (told.interval if told else ""),
            )
        )
    return works


async def _all(settings: Settings, works: Sequence[_Work]) -> list[tuple[_Work, dict[str, Any]]]:
    client = await running_engine(settings)
    if client is None:
        return list(_alone(settings, works))
    from engine.service.client import EngineProblem

    source = client.welcome.source
    await client.close()
    if source != settings.source:
        raise CommandError(
            f"The engine that runs on {settings.directory} shows a {source}, "
            "and real candles do not go into it; import into another --data-dir.",
            status=USAGE,
        )
    done = []
    for work in works:
        try:
            counts = await _by_engine(settings, work)
        except EngineProblem as error:
            counts = _refusal(error, len(works))
        else:
            _say_counts(work.file.name, counts)
        done.append((work, counts))
    return done


async def _by_engine(settings: Settings, work: _Work) -> dict[str, Any]:
    from engine.service.contract import Import

    client = await running_engine(settings)
    if client is None:
        raise CommandError(
            "The engine stopped meanwhile; import the rest again, nothing is stored twice."
        )
    return (await ask(client, Import(str(work.file.resolve()), work.symbol, work.interval))).data


def _alone(settings: Settings, works: Sequence[_Work]) -> Iterator[tuple[_Work, dict[str, Any]]]:
    from engine.commands.fetching import own_store
    from engine.store.errors import BadFile

    with own_store(settings) as store:
        for work in works:
            try:
                counts = _import(store, work)
            except BadFile as error:
                counts = _refusal(error, len(works))
            else:
                _say_counts(work.file.name, counts)
            yield work, counts


def _refusal(error: Exception, files: int) -> dict[str, Any]:
    """Tell what is wrong with one of several files, so that the rest goes on; else raise it."""
    if files == 1 or exit_status(error) != USAGE:
        raise error
    say(str(error))
    return {"error": str(error)}


def _import(store: Store, work: _Work) -> dict[str, Any]:
    from engine.store import import_kline_file

    return import_kline_file(store, work.file.resolve(), work.symbol, work.interval)._asdict()


def _say_counts(name: str, counts: dict[str, Any]) -> None:
    say(
        f"{name}: {counts['rows']:,} rows read, {counts['inserted']:,} candles stored, "
        f"{counts['changed']:,} changed, {counts['unchanged']:,} known already, "
        f"{counts['quarantined']:,} quarantined."
    )
    for fault in counts["faults"]:
        say(f"  {fault}")
    untold = counts["quarantined"] - len(counts["faults"])
    if untold > 0:
        say(f"  and {untold:,} more; the table quarantine of the database holds all of them.")


def _warn_of_retention(settings: Settings, works: Sequence[_Work]) -> None:
    """Say so when an engine will prune what was just imported."""
    from engine.store import open_reader

    if not settings.retention.days or settings.source != "live":
        return
    reader = open_reader(settings.directory)
    try:
        for _, symbol, interval in works:
            first_ms = reader.first_open_time(symbol, interval)
            before_ms = pruned_before_ms(settings, interval)
            if before_ms is not None and first_ms is not None and first_ms < before_ms:
                warn_of_pruning(settings, "these")
                return
    finally:
        reader.close()


def _say_sum(done: Sequence[dict[str, Any]], refused: Sequence[dict[str, Any]]) -> None:
    stored = sum(one["inserted"] for one in done)
    seconds = sum(one["seconds"] for one in done)
    rows = sum(one["rows"] for one in done)
    files = f"{len(done):,} file{'s' * (len(done) != 1)}"
    say(f"{files}: {rows:,} rows read, {stored:,} candles stored in {seconds:,.1f} s.")
    if refused:
        names = ", ".join(Path(one["file"]).name for one in refused[:5])
        more = f" and {len(refused) - 5:,} more" if len(refused) > 5 else ""
        say(f"{len(refused):,} could not be imported: {names}{more}.")
