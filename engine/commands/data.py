"""candles, book, backfill, import: market data in and out of the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import ask, no_engine, run_async, running_engine
from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, emit_table, say
from engine.commands.stored import plain_symbol

if TYPE_CHECKING:
    from engine.settings import Settings

BOOK_TIMEOUT_S = 10.0


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
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="CSV has the columns of Binance's public archive.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_context
def candles(
    ctx: click.Context,
    symbol: str,
    interval: str,
    start: str | None,
    end: str | None,
    limit: int | None,
    form: str,
    as_json: bool,
) -> None:
    """Print stored candles of SYMBOL and INTERVAL, oldest first; no engine is needed."""
    from engine.commands.stored import known_symbol, stored_candles
    from engine.commands.times import time_ms
    from engine.market.interval import parse_interval
    from engine.store import open_reader
    from engine.store.export import write_csv, write_json

    settings = settings_of(ctx)
    name = parse_interval(interval).name
    start_ms, end_ms = time_ms(start, "--start"), time_ms(end, "--end")
    reader = open_reader(settings.directory)
    try:
        market = known_symbol(reader, symbol)
        rows = stored_candles(reader, market, name, start_ms, end_ms, limit)
    finally:
        reader.close()
    write = write_json if as_json or form == "json" else write_csv
    write(rows, name, sys.stdout)
    if not rows:
        say(f"The store holds no {name} candles of {market} in that range.")


@click.command("book", cls=KlinetopCommand, short_help="Print an order book.")
@click.argument("symbol")
@click.option("--levels", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the book as JSON.")
@click.pass_context
def book(ctx: click.Context, symbol: str, levels: int, as_json: bool) -> int:
    """Print the order book of SYMBOL: the engine's, else a snapshot of the exchange's."""
    settings = settings_of(ctx)
    report = run_async(_book(settings, plain_symbol(symbol), levels))
    if as_json:
        emit_json(report)
    else:
        _show_book(report)
    if report["state"] in ("synchronised", "snapshot"):
        return 0
    say(
        f"The book of {report['symbol']} is {report['state']}: {report.get('reason') or 'waiting'}."
    )
    return FAILURE


@click.command("backfill", cls=KlinetopCommand, short_help="Fetch candles that the store lacks.")
@click.argument("symbol")
@click.option("--interval", default="1m", show_default=True)
@click.option("--start", metavar="TIME", required=True, help="First open time to fetch.")
@click.option("--end", metavar="TIME", default="now", show_default=True, help="End of the range.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def backfill(
    ctx: click.Context, symbol: str, interval: str, start: str, end: str, as_json: bool
) -> None:
    """Fetch candles of SYMBOL that the store lacks, by REST."""
    from engine.commands.times import time_ms
    from engine.market.interval import parse_interval

    settings = settings_of(ctx)
    name = parse_interval(interval).name
    start_ms, end_ms = time_ms(start, "--start"), time_ms(end, "--end")
    assert start_ms is not None
    assert end_ms is not None
    if end_ms <= start_ms:
        raise CommandError("--end must lie after --start.", status=USAGE)
    market = plain_symbol(symbol)
    rows = run_async(_backfill(settings, market, name, start_ms, end_ms))
    if as_json:
        emit_json({"symbol": market, "interval": name, "rows": rows})
    else:
        say(f"{market} {name}: {rows:,} candles fetched and stored.")


@click.command("import", cls=KlinetopCommand, short_help="Import a kline CSV file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", required=True, help="The market that the file is about.")
@click.option("--interval", required=True, help="The interval of its candles.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.pass_context
def import_file(ctx: click.Context, file: Path, symbol: str, interval: str, as_json: bool) -> int:
    """Import a kline CSV FILE (plain, gz or zip) into the store.

    Rows that hold no candle go to quarantine with their line number, and the rest is stored.
    """
    from engine.market.interval import parse_interval

    settings = settings_of(ctx)
    name = parse_interval(interval).name
    if not file.is_file():
        raise CommandError(f"There is no file {file} to import.", status=USAGE)
    market = plain_symbol(symbol)
    counts = run_async(_import(settings, file.resolve(), market, name))
    if as_json:
        emit_json({"file": str(file), "symbol": market, "interval": name, **counts})
    _say_counts(file.name, counts)
    return FAILURE if counts["rows"] and counts["rows"] == counts["quarantined"] else 0


# --- the work -------------------------------------------------------------------------------------


async def _book(settings: Settings, symbol: str, levels: int) -> dict[str, Any]:
    from engine.service.contract import BookRequest

    client = await running_engine(settings)
    if client is not None:
        return (await ask(client, BookRequest(symbol, levels, BOOK_TIMEOUT_S))).data
    if settings.source != "live":
        raise no_engine(settings, f"a {settings.source} has no book without one")
    from engine.commands.fetching import book_snapshot

    return await book_snapshot(settings, symbol, levels)


async def _backfill(
    settings: Settings, symbol: str, interval: str, start_ms: int, end_ms: int
) -> int:
    from engine.service.contract import Backfill

    client = await running_engine(settings)
    if client is not None:
        done = await ask(client, Backfill(symbol, interval, start_ms, end_ms))
        return int(done.data.get("rows", 0))
    if settings.source != "live":
        raise no_engine(settings, f"a {settings.source} has no exchange to ask without one")
    from engine.commands.fetching import fetch_into_store

    return await fetch_into_store(settings, symbol, interval, start_ms, end_ms)


async def _import(settings: Settings, file: Path, symbol: str, interval: str) -> dict[str, Any]:
    from engine.service.contract import Import

    client = await running_engine(settings)
    if client is not None:
        if client.welcome.source != settings.source:
            await client.close()
            raise CommandError(
                f"The engine that runs on {settings.directory} shows a {client.welcome.source}, "
                "and real candles do not go into it; import into another --data-dir.",
                status=USAGE,
            )
        return (await ask(client, Import(str(file), symbol, interval))).data
    return _import_alone(settings, file, symbol, interval)


def _import_alone(settings: Settings, file: Path, symbol: str, interval: str) -> dict[str, Any]:
    from engine.commands.fetching import own_store
    from engine.store import import_kline_file

    with own_store(settings) as store:
        return import_kline_file(store, file, symbol, interval)._asdict()


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


def _show_book(report: dict[str, Any]) -> None:
    click.echo(f"{report['symbol']}  {report['state']}  update {report['last_update_id']}")
    bids, asks = report["bids"], report["asks"]
    if not bids and not asks:
        return
    rows = [
        (_side(bids, at)[1], _side(bids, at)[0], *_side(asks, at))
        for at in range(max(len(bids), len(asks)))
    ]
    emit_table(("bid size", "bid", "ask", "ask size"), rows)


def _side(levels: list[list[float]], at: int) -> tuple[str, str]:
    if at >= len(levels):
        return "", ""
    price, quantity = levels[at]
    return f"{price:.8f}".rstrip("0").rstrip("."), f"{quantity:.8f}".rstrip("0").rstrip(".")
