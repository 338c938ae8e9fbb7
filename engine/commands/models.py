"""predictions, train: what the models said, and making one."""

from __future__ import annotations

from typing import Any

import click

from engine.commands.guard import FAILURE
from engine.commands.options import KlinetopCommand, settings_of
from engine.commands.output import emit_json, emit_table, say
from engine.commands.stored import plain_symbol

RECIPES = ("honest", "tutorial")
_DONE = "done"
_SHOWN = (
    "model",
    "rows",
    "test_rows",
    "ties",
    "accuracy",
    "low",
    "high",
    "log_loss",
    "brier",
    "baselines",
    "verdict",
)


@click.command(
    "predictions", cls=KlinetopCommand, short_help="Print forecasts with their outcomes."
)
@click.argument("symbol")
@click.option("--interval", help="Unset, the interval of the settings.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the ledger's rows as JSON.")
@click.pass_context
def predictions(
    ctx: click.Context, symbol: str, interval: str | None, limit: int, as_json: bool
) -> None:
    """Print the newest forecasts of SYMBOL with their outcomes; no engine is needed."""
    from engine.commands.stored import known_symbol, stored_predictions
    from engine.market.interval import parse_interval
    from engine.store import open_reader

    settings = settings_of(ctx)
    name = parse_interval(interval or settings.interval).name
    reader = open_reader(settings.directory)
    try:
        market = known_symbol(reader, symbol)
        rows = stored_predictions(reader, market, name, limit)
    finally:
        reader.close()
    if as_json:
        emit_json({"symbol": market, "interval": name, "predictions": rows})
    elif rows:
        _show_predictions(rows)
    if not rows:
        say(f"There is no forecast of {market} {name} yet; `klinetop train {market} {name}`.")


@click.command("train", cls=KlinetopCommand, short_help="Train a model and show its figures.")
@click.argument("symbol")
@click.argument("interval")
@click.option("--recipe", type=click.Choice(RECIPES), default=RECIPES[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print model and figures as JSON.")
@click.pass_context
def train(ctx: click.Context, symbol: str, interval: str, recipe: str, as_json: bool) -> int:
    """Train a model of SYMBOL and INTERVAL and show what it does on rows it never saw.

    Ctrl-C cancels the job.
    """
    import asyncio

    from engine.commands.jobs import train_anywhere
    from engine.market.interval import parse_interval

    settings = settings_of(ctx)
    name = parse_interval(interval).name
    report = asyncio.run(train_anywhere(settings, plain_symbol(symbol), name, recipe))
    if as_json:
        emit_json(report)
    else:
        _show_report(report)
    state = report.get("state", _DONE)
    if state != _DONE:
        say(str(report.get("message") or f"The training job is {state}."))
        return FAILURE
    return 0


def _show_report(report: dict[str, Any]) -> None:
    for name in _SHOWN:
        value = report.get(name)
        if value is None:
            continue
        if isinstance(value, dict):
            shown = "  ".join(f"{key} {_figure(item)}" for key, item in value.items())
        else:
            shown = _figure(value)
        click.echo(f"{name:<9} {shown}")
    if report.get("state") == _DONE and report.get("message"):
        say(str(report["message"]))


def _figure(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _show_predictions(rows: list[dict[str, Any]]) -> None:
    from engine.commands.times import iso

    emit_table(
        ("candle (UTC)", "due", "price", "p(up)", "state", "closed at", "model"),
        [
            (
                iso(row["open_time_ms"]),
                iso(row["due_ms"]),
                f"{row['price']:g}",
                f"{row['p_up']:.3f}",
                row["state"],
                "-" if row["outcome_price"] is None else f"{row['outcome_price']:g}",
                row["model"],
            )
            for row in rows
        ],
    )
