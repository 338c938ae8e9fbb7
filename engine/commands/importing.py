"""import: kline files into the store, one by one or a whole archive at once."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from engine.commands.asking import ask, run_async, running_engine
from engine.commands.guard import FAILURE, USAGE, CommandError, exit_status
from engine.commands.import_words import is_kline_name, say_counts, say_sum, trial_lines
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, say
from engine.commands.retention import pruned_before_ms, warn_of_pruning
from engine.commands.stored import plain_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from engine.market.kline_layout import KlineHints
    from engine.settings import Settings
    from engine.store import Store

Counts = dict[str, Any]


class _Work(NamedTuple):
    """A file and the series that it belongs to."""

    file: Path
    symbol: str
    interval: str


class _Words(NamedTuple):
    """What the user says about all files, as typed."""

    columns: dict[str, str]
    timezone: str
    date_format: str

    def hints(self) -> KlineHints:
        from engine.market.kline_layout import kline_hints

        return kline_hints(*self)


@click.command("import", cls=KlinetopCommand, short_help="Import kline files of any usual making.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--symbol", help="The market; unset, the file's name tells (BTCUSDT-1m-2024-12.zip).")
@click.option("--interval", help="The interval of the candles; unset, the file's name tells.")
@click.option(
    "--columns",
    metavar="OURS=THEIRS,…",
    help="Which column is which, where the header does not tell: open_time=Date,close=Last, "
    "or by number: open_time=1,close=5.",
)
@click.option(
    "--timezone",
    metavar="ZONE",
    default="UTC",
    help="The zone of clock times that name none, such as Europe/Berlin or +08:00.  [default: UTC]",
)
@click.option(
    "--date-format",
    metavar="PATTERN",
    default="",
    help="How times are written that may be day-first or month-first: '%d/%m/%Y %H:%M'.",
)
@click.option("--dry-run", is_flag=True, help="Show how the files are read, and store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.pass_context
def import_file(
    ctx: click.Context,
    files: tuple[Path, ...],
    symbol: str | None,
    interval: str | None,
    columns: str | None,
    timezone: str,
    date_format: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Import kline FILES into the store; a directory means all in it.

    CSV, JSON, Parquet and Feather, plain or packed (zip, gz, xz, bz2, zst), of Binance's archive
    and of most tools; docs/import.md tells which. Names such as BTCUSDT-1m-2024-12.zip tell market
    and interval, and a CHECKSUM file beside one must fit. Rows that hold no candle go to quarantine
    with their line number, and the rest is stored. Of many files one that can not be imported is
    told and left out.
    """
    from engine.market.kline_columns import parse_columns

    settings = settings_of(ctx)
    words = _Words(parse_columns(columns) if columns else {}, timezone, date_format)
    hints = words.hints()
    several = len(files) > 1 or any(file.is_dir() for file in files)
    works, odd = _works(files, symbol, interval)
    if dry_run:
        results = list(_tried(works, hints, aloud=not as_json))
    else:
        results = run_async(_all(settings, works, words))
    told = [*odd, *(_told(work, counts) for work, counts in results)]
    if as_json:
        emit_json(told if several else told[0])
    done = [one for one in told if "error" not in one]
    if len(told) > 1:
        say_sum(done, [one for one in told if "error" in one])
    if not dry_run:
        _warn_of_retention(settings, works)
    return FAILURE if len(done) < len(told) or any(map(_is_partial, done)) else 0


def _told(work: _Work, counts: Counts) -> Counts:
    return {"file": str(work.file), "symbol": work.symbol, "interval": work.interval, **counts}


def _is_partial(counts: Counts) -> bool:
    left_out = (name for name, _ in counts.get("left_out", ()))
    return bool(counts.get("broke_off")) or any(map(is_kline_name, left_out))


def _works(
    files: Sequence[Path], symbol: str | None, interval: str | None
) -> tuple[list[_Work], list[Counts]]:
    """Return what is to be imported into which series, and the files that do not tell theirs.

    Raises:
        CommandError: when there is nothing but such files.
    """
    from engine.market.interval import parse_interval
    from engine.store.archive import kline_files, series_in

    market = plain_symbol(symbol) if symbol is not None else None
    name = parse_interval(interval).name if interval is not None else None
    works: list[_Work] = []
    odd: list[Counts] = []
    for file in kline_files(files):
        told = None if market and name else series_in(file)
        if told is None and (market is None or name is None):
            sentence = (
                f"The name {file.name} does not tell market and interval, as "
                "BTCUSDT-1m-2024-12.zip does; say --symbol and --interval."
            )
            odd.append({"file": str(file), "error": sentence})
            continue
        works.append(
            _Work(
                file,
                market or (told.symbol if told else ""),
                name or (told.interval if told else ""),
            )
        )
    if not works:
        raise CommandError(odd[0]["error"], status=USAGE)
    for one in odd:
        say(f"{one['error']} It is left out.")
    return works, odd


def _tried(
    works: Sequence[_Work], hints: KlineHints, *, aloud: bool
) -> Iterator[tuple[_Work, Counts]]:
    from engine.store.dry_run import try_kline_file
    from engine.store.errors import BadFile

    def one(work: _Work) -> Counts:
        found = try_kline_file(work.file, work.symbol, work.interval, hints)
        if aloud:
            for line in trial_lines(work.file.name, work.symbol, work.interval, found):
                click.echo(line)
        if found.refusal:
            raise BadFile(found.refusal)
        return found.as_dict()

    yield from _each(works, one)


async def _all(
    settings: Settings, works: Sequence[_Work], words: _Words
) -> list[tuple[_Work, Counts]]:
    client = await running_engine(settings)
    if client is None:
        return list(_alone(settings, works, words.hints()))
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
            counts = await _by_engine(settings, work, words)
        except EngineProblem as error:
            counts = _refusal(error, len(works))
        else:
            say_counts(work.file.name, counts)
        done.append((work, counts))
    return done


async def _by_engine(settings: Settings, work: _Work, words: _Words) -> Counts:
    from engine.service.contract import Import

    client = await running_engine(settings)
    if client is None:
        raise CommandError(
            "The engine stopped meanwhile; import the rest again, nothing is stored twice."
        )
    request = Import(str(work.file.resolve()), work.symbol, work.interval, *words)
    return (await ask(client, request)).data


def _alone(
    settings: Settings, works: Sequence[_Work], hints: KlineHints
) -> Iterator[tuple[_Work, Counts]]:
    from engine.commands.fetching import own_store
    from engine.store import import_kline_file
    from engine.store.imports import check_kline_file

    with ExitStack() as stack:
        opened: list[Store] = []

        def one(work: _Work) -> Counts:
            path = work.file.resolve()
            if not opened:  # a mistake makes no database
                check_kline_file(path, work.symbol, work.interval, hints)
                opened.append(stack.enter_context(own_store(settings)))
            counts = import_kline_file(opened[0], path, work.symbol, work.interval, hints)._asdict()
            say_counts(work.file.name, counts)
            return counts

        yield from _each(works, one)


def _each(works: Sequence[_Work], one: Callable[[_Work], Counts]) -> Iterator[tuple[_Work, Counts]]:
    from engine.store.errors import BadFile

    for work in works:
        try:
            yield work, one(work)
        except BadFile as error:
            yield work, _refusal(error, len(works))


def _refusal(error: Exception, files: int) -> Counts:
    """Tell what is wrong with one of several files, so that the rest goes on; else raise it."""
    if files == 1 or exit_status(error) != USAGE:
        raise error
    say(str(error))
    return {"error": str(error)}


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
