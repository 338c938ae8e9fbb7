"""book: an order book, of the engine or of the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from engine.commands.asking import ask, no_engine, run_async, running_engine
from engine.commands.guard import FAILURE
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, emit_table, say
from engine.commands.stored import plain_symbol

if TYPE_CHECKING:
    from engine.settings import Settings

BOOK_TIMEOUT_S = 10.0


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
