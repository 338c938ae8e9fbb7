"""candles: stored candles as CSV, JSON or Parquet, page by page."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from engine.commands.guard import USAGE, CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from engine.market.candle import Candle


@click.command("candles", cls=KlinetopCommand, short_help="Print stored candles, oldest first.")
@click.argument("symbol")
@click.argument("interval")
@click.option(
    "--start", metavar="TIME", help="First open time, such as 2024-12-20 or '2 days ago'."
)
@click.option("--end", metavar="TIME", help="Open times before this one.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="The first so many from --start on; without it the newest.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "parquet"]),
    help="CSV has the columns of Binance's public archive; Parquet needs --output.  [default: csv]",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to FILE; the ending .json or .parquet tells the format, too.",
)
@click.pass_context
def candles(
    ctx: click.Context,
    symbol: str,
    interval: str,
    start: str | None,
    end: str | None,
    limit: int | None,
    form: str | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Print stored candles of SYMBOL and INTERVAL, oldest first; no engine is needed."""
    from engine.commands.stored import known_symbol
    from engine.commands.times import check_order, say_range, time_ms
    from engine.market.interval import parse_interval
    from engine.store import open_reader
    from engine.store.export import candle_pages
    from engine.store.lacks import Lacks

    settings = settings_of(ctx)
    name = parse_interval(interval).name
    kind = _format(form, as_json=as_json, output=output)
    start_ms, end_ms = time_ms(start, "--start"), time_ms(end, "--end")
    check_order(start_ms, end_ms)
    reader = open_reader(settings.directory)
    try:
        market = known_symbol(reader, symbol)
        say_range(start_ms, end_ms)
        pages = candle_pages(reader, market, name, start_ms, end_ms, limit)
        lacks = Lacks(reader, market, parse_interval(name))
        rows = _write(kind, lacks.passing(pages), name, output)
        told = lacks.sentence(start_ms, end_ms, limit)
    finally:
        reader.close()
    if told:
        say(told)
    if not rows:
        say(f"The store holds no {name} candles of {market} in that range.")
    elif output is not None:
        say(f"{output}: {rows:,} candles.")


def _format(form: str | None, *, as_json: bool, output: Path | None) -> str:
    """Return the format that is asked for, by option or by the file's ending.

    Raises:
        CommandError: for Parquet without a file, and for a file in a directory that is not there.
    """
    ending = output.suffix.removeprefix(".") if output is not None else ""
    kind = form or ("json" if as_json else ending if ending in ("json", "parquet") else "csv")
    if kind == "parquet" and output is None:
        raise CommandError("Parquet is no text: say --output FILE.", status=USAGE)
    if output is not None and not output.absolute().parent.is_dir():
        raise CommandError(f"There is no directory {output.parent} for --output.", status=USAGE)
    return kind


def _write(kind: str, candles: Iterable[Candle], interval: str, output: Path | None) -> int:
    from engine.store.export import write_csv, write_json, write_parquet

    write = write_json if kind == "json" else write_csv
    if output is None:
        return write(candles, interval, sys.stdout)
    with _whole(output) as scratch:
        if kind == "parquet":
            return write_parquet(candles, interval, scratch)
        with _text(scratch) as file:
            return write(candles, interval, file)


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """Give a file that takes the place of `output` once it is whole, and is deleted else."""
    scratch = output.with_name(output.name + ".partial")
    try:
        yield scratch
        scratch.replace(output)
    finally:
        scratch.unlink(missing_ok=True)
