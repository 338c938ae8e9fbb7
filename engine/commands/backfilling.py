"""backfill, gaps: fetching what the store lacks, and reading what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.commands.asking import run_async
from engine.commands.guard import FAILURE, USAGE, CommandError
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, emit_table, say
from engine.commands.retention import pruned_before_ms, warn_of_pruning
from engine.commands.stored import plain_symbol

if TYPE_CHECKING:
    from engine.market.capture_figures import GapRow
    from engine.settings import Settings

DAY_MS = 86_400_000


@click.command("backfill", cls=KlinetopCommand, short_help="Fetch candles that the store lacks.")
@click.argument("symbol", required=False)
@click.option("--interval", default="1m", show_default=True)
@click.option("--days", type=click.FloatRange(0, min_open=True), help="So many days up to --end.")
@click.option("--start", metavar="TIME", help="First open time to fetch.")
@click.option("--end", metavar="TIME", default="now", show_default=True, help="End of the range.")
@click.option("--cancel", is_flag=True, help="Give up the backfills that run or wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def backfill(
    ctx: click.Context,
    symbol: str | None,
    interval: str,
    days: float | None,
    start: str | None,
    end: str,
    cancel: bool,
    as_json: bool,
) -> int:
    """Fetch candles of SYMBOL, or of all that --markets means, that the store lacks.

    With --markets (`all`, quote assets such as USDT, symbols, patterns such as 'BTC*') the work
    is a job: with a running engine it goes on when this command is interrupted, and after a
    restart of the engine. What is stored already is not fetched again.
    """
    from engine.commands import backfill_jobs
    from engine.commands.times import say_range
    from engine.market.interval import parse_interval

    settings = settings_of(ctx)
    if cancel:
        say(run_async(backfill_jobs.cancel(settings)))
        return 0
    name = parse_interval(interval).name
    start_ms, end_ms = _range(days, start, end)
    if symbol is not None:
        market = plain_symbol(symbol)
        say_range(start_ms, end_ms)
        _warn_of_pruning(settings, name, start_ms)
        rows = run_async(backfill_jobs.one(settings, market, name, start_ms, end_ms))
        if as_json:
            emit_json({"symbol": market, "interval": name, "rows": rows})
        else:
            say(f"{market} {name}: {rows:,} candles fetched and stored.")
        return 0
    if not settings.markets:
        raise CommandError(
            "Name what to fetch: a symbol such as BTCUSDT, or --markets with all, quote assets, "
            "symbols or patterns.",
            status=USAGE,
        )
    say_range(start_ms, end_ms)
    _warn_of_pruning(settings, name, start_ms)
    result = run_async(backfill_jobs.many(settings, settings.markets, name, start_ms, end_ms))
    if as_json:
        emit_json({"markets": list(settings.markets), "interval": name, **result})
    else:
        message = str(result["message"]).rstrip(".")
        say(f"Backfill {result['job']} is {result['state']}: {message}.")
    return 0 if result["state"] == "done" else FAILURE


@click.command("gaps", cls=KlinetopCommand, short_help="Print what was missed, and why.")
@click.option("--symbol", metavar="NAME", help="One market only.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["open", "filled", "exchange_hole", "unfillable"]),
    help="Rows in this state only; may be given several times.",
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def gaps(
    ctx: click.Context, symbol: str | None, states: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """Print the ledger of gaps, the newest first; no engine is needed."""
    import msgspec

    from engine.store import gap_reads, open_reader

    settings = settings_of(ctx)
    market = "" if symbol is None else plain_symbol(symbol)
    reader = open_reader(settings.directory)
    try:
        rows = gap_reads.gap_rows(reader, market, states, 0, limit)
        total, candles = gap_reads.gap_totals(reader, market, states)
    finally:
        reader.close()
    if as_json:
        emit_json(
            {
                "total": total,
                "candles_by_state": candles,
                "rows": [msgspec.to_builtins(row) for row in rows],
            }
        )
        return
    if rows:
        cells = [_cells(row) for row in rows]
        width = max(len(cell[-1]) for cell in cells)
        aligned = [(*cell[:-1], cell[-1].ljust(width)) for cell in cells]
        emit_table((*_HEADER[:-1], _HEADER[-1].ljust(width)), aligned)
    say(_summary(total, len(rows), candles, is_narrowed=bool(market or states)))


_HEADER = ("market", "", "from", "to", "candles", "state", "tries", "reason")


def _cells(row: GapRow) -> tuple[str, ...]:
    from engine.commands.times import iso

    why = row.reason or "-"
    if row.last_error and row.state != "filled" and row.last_error != row.reason:
        why = f"{why}; {row.last_error}"
    return (
        row.symbol,
        row.interval,
        iso(row.from_ms),
        iso(row.to_ms),
        f"{row.candles:,}",
        row.state.replace("_", " "),
        str(row.tries),
        why,
    )


def _summary(total: int, shown: int, candles: dict[str, int], *, is_narrowed: bool) -> str:
    if not total:
        return "No such gap is in the ledger." if is_narrowed else "No gap is in the ledger."
    parts = [f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(candles.items())]
    rest = f", {total - shown:,} older rows are not shown (--limit)" if total > shown else ""
    return f"{total:,} gap{'s' * (total != 1)}: candles {', '.join(parts)}{rest}."


def _warn_of_pruning(settings: Settings, interval: str, start_ms: int) -> None:
    """Say so when an engine will prune what is about to be fetched."""
    before_ms = pruned_before_ms(settings, interval)
    if before_ms is not None and start_ms < before_ms:
        warn_of_pruning(settings, "what is fetched of the time before")


def _range(days: float | None, start: str | None, end: str) -> tuple[int, int]:
    from engine.commands.times import check_order, time_ms

    end_ms = time_ms(end, "--end")
    assert end_ms is not None
    start_ms = time_ms(start, "--start")
    if (start_ms is None) == (days is None):
        raise CommandError(
            "Say from when on: --start TIME, or --days N for the last N days.", status=USAGE
        )
    if start_ms is None:
        start_ms = max(0, round(end_ms - (days or 0.0) * DAY_MS))
    check_order(start_ms, end_ms)
    return start_ms, end_ms
