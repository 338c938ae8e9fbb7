"""What a data directory tells while no engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.commands.guard import USAGE, CommandError

if TYPE_CHECKING:
    from engine.settings import Settings
    from engine.store import Reader


def stored_report(settings: Settings) -> dict[str, Any]:
    """Return the objects of `status --json` with what the database knows.

    Raises:
        StoreError: when there is a database that can not be read.
    """
    from engine.store.errors import NoDatabase
    from engine.store.reader import open_reader

    report: dict[str, Any] = {
        "engine": {
            "running": False,
            "source": settings.source,
            "source_note": settings.source_note,
            "data_dir": str(settings.directory),
        },
        "stream": {"state": "offline", "note": "no engine runs"},
        "store": {"candles": 0, "symbols": []},
        "books": {},
        "forecast": {"models": [], "job": None},
    }
    try:
        reader = open_reader(settings.directory)
    except NoDatabase:
        return report
    try:
        report["engine"]["source"] = reader.meta("source")
        report["engine"]["source_note"] = reader.meta("source_note")
        report["store"] = _store_figures(reader)
    finally:
        reader.close()
    return report


def plain_symbol(text: str) -> str:
    """Return `text` in upper case where it has the form of a symbol.

    Raises:
        CommandError: when it has not.
    """
    from engine.settings import is_symbol

    if not is_symbol(text):
        raise CommandError(f"{text!r} is no symbol; write it like BTCUSDT.", status=USAGE)
    return text.upper()


def known_symbol(reader: Reader, name: str) -> str:
    """Return `name` in upper case where the store holds candles of it.

    Raises:
        CommandError: a sentence with the nearest names that it does hold.
    """
    from engine.binance.rest import near_names

    symbol = name.upper()
    held = reader.symbols()
    if symbol in held:
        return symbol
    letters = "".join(one for one in symbol if one.isalnum())
    near = [letters] if letters in held else near_names(letters, held)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it holds {_some(held)}."
    raise CommandError(f"The store has nothing of '{symbol}'; {hint}", status=USAGE)


def stored_predictions(
    reader: Reader, symbol: str, interval: str, limit: int
) -> list[dict[str, Any]]:
    """Return the newest rows of the ledger, oldest first, with their outcomes."""
    rows = reader.query(
        "SELECT p.open_time_ms, p.due_ms, p.price, p.p_up, coalesce(o.state, 'waiting') AS state,"
        " o.outcome, o.outcome_price, p.model FROM prediction p"
        " JOIN symbol s ON s.id = p.symbol_id LEFT JOIN outcome o ON o.prediction_id = p.id"
        " WHERE s.name = ? AND p.interval = ? ORDER BY p.open_time_ms DESC, p.id DESC LIMIT ?",
        (symbol, interval, limit),
    )
    return list(reversed(rows))


def _store_figures(reader: Reader) -> dict[str, Any]:
    return {
        "candles": reader.candle_count(),
        "by_source": reader.count_by_source(),
        "database_bytes": reader.database_bytes(),
        "gaps": reader.gap_counts(),
        "quarantined": reader.quarantine_count(),
        "symbols": reader.symbols(),
    }


def _some(names: list[str]) -> str:
    if not names:
        return "no market at all yet (`klinetop` captures some, `klinetop import` reads a file)"
    shown = ", ".join(names[:8])
    return f"{shown}, …" if len(names) > len(names[:8]) else shown
