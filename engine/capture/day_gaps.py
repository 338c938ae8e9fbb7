"""The gap ledger of one day, put together so that a person can read it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from engine.capture.coverage import candles_between
from engine.market.interval import parse_interval
from engine.reports.values import GapSpan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.store import Reader

MOST_SPANS = 6
SYMBOLS_NAMED = 5
_STATE_ORDER = ("open", "unfillable", "exchange_hole", "filled")
_GAPS = (
    "SELECT symbol.name AS symbol, gap.interval AS interval, max(gap.from_ms, captured.from_ms)"
    " AS from_ms, min(gap.to_ms, coalesce(captured.to_ms, gap.to_ms)) AS to_ms, state, reason,"
    " tries, last_error FROM gap JOIN symbol ON symbol.id = gap.symbol_id"
    " JOIN captured ON captured.symbol_id = gap.symbol_id AND captured.interval = gap.interval"
    " AND captured.from_ms < gap.to_ms"
    " AND (captured.to_ms IS NULL OR captured.to_ms > gap.from_ms)"
    " WHERE gap.from_ms < ? AND gap.to_ms > ? ORDER BY 3, 1"
)


class _Row(NamedTuple):
    symbol: str
    interval: str
    from_ms: int
    to_ms: int
    state: str
    reason: str
    tries: int
    last_error: str


def day_gaps(
    reader: Reader, start_ms: int, end_ms: int, symbols: frozenset[str] | None = None
) -> tuple[GapSpan, ...]:
    """Return the gaps of what was captured in [start_ms, end_ms), clipped to it and merged.

    Ranges of many markets with one state and reason become one span where their times touch; more
    than six spans of a kind become one that tells how many ranges it has. What is still missing
    comes first, then what holds most candles.

    Raises:
        StoreError: when the database can not be read.
    """
    kinds: dict[tuple[str, str, str], list[_Row]] = {}
    for values in reader.query(_GAPS, (end_ms, start_ms)):
        row = _Row(**values)
        if symbols is None or row.symbol in symbols:
            clipped = row._replace(from_ms=max(row.from_ms, start_ms), to_ms=min(row.to_ms, end_ms))
            grid = parse_interval(row.interval)
            if candles_between(grid, clipped.from_ms, clipped.to_ms):
                kinds.setdefault((row.state, row.interval, row.reason), []).append(clipped)
    spans = []
    for rows in kinds.values():
        groups = _touching(rows)
        if len(groups) > MOST_SPANS:
            spans.append(_span(rows, ranges=len(groups)))
        else:
            spans += [_span(group, ranges=1) for group in groups]
    return tuple(sorted(spans, key=_importance))


def _touching(rows: Iterable[_Row]) -> list[list[_Row]]:
    """Split rows, ascending by their begin, where nothing overlaps or follows at once."""
    groups: list[list[_Row]] = []
    end_ms = -1
    for row in sorted(rows, key=lambda row: row.from_ms):
        if not groups or row.from_ms > end_ms:
            groups.append([])
            end_ms = row.to_ms
        groups[-1].append(row)
        end_ms = max(end_ms, row.to_ms)
    return groups


def _span(rows: list[_Row], ranges: int) -> GapSpan:
    first = rows[0]
    grid = parse_interval(first.interval)
    symbols = sorted({row.symbol for row in rows})
    errors = Counter(row.last_error for row in rows if row.last_error)
    return GapSpan(
        interval=first.interval,
        from_ms=min(row.from_ms for row in rows),
        to_ms=max(row.to_ms for row in rows),
        ranges=ranges,
        markets=len(symbols),
        symbols=tuple(symbols[:SYMBOLS_NAMED]),
        candles=sum(candles_between(grid, row.from_ms, row.to_ms) for row in rows),
        state=first.state,
        reason=first.reason,
        tries=max(row.tries for row in rows),
        last_error=errors.most_common(1)[0][0] if errors else "",
    )


def _importance(span: GapSpan) -> tuple[int, int, int]:
    return _STATE_ORDER.index(span.state), -span.candles, span.from_ms
