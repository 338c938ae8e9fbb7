"""What a salvage says: while it runs, and about what it saved and lost."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from engine.commands.output import say
from engine.commands.times import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.store.losses import SeriesLoss, StretchLoss
    from engine.store.salvage import Salvaged, SalvageProgress

_SHOWN_LINES = 40
_TOLD_SHARE = 0.1


@contextmanager
def watched() -> Iterator[Callable[[SalvageProgress], None]]:
    """Give a function that shows progress on stderr: a bar on a terminal, else ten lines."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    with click.progressbar(
        length=1, label="Reading pages", file=sys.stderr, item_show_func=lambda item: item
    ) as bar:

        def show(progress: SalvageProgress) -> None:
            bar.length = progress.all_pages
            bar.update(progress.pages - bar.pos, _words(progress))

        yield show


def _lines() -> Callable[[SalvageProgress], None]:
    told_share = 0.0

    def show(progress: SalvageProgress) -> None:
        nonlocal told_share
        share = progress.pages / max(1, progress.all_pages)
        if share >= told_share + _TOLD_SHARE:
            told_share = share
            say(f"{share:.0%} of {progress.all_pages:,} pages read: {_words(progress)}.")

    return show


def _words(progress: SalvageProgress) -> str:
    return f"{progress.rows:,} rows saved, {progress.unreadable:,} damaged pages skipped"


def told(found: Salvaged) -> dict[str, Any]:
    """Return a salvage's result as plain values."""
    return {
        **found._asdict(),
        "series": [one._asdict() for one in found.series],
        "stretches": [one._asdict() for one in found.stretches],
    }


def show_salvaged(found: Salvaged, damaged: Path, fresh: Path, source: str) -> None:
    """Print what is lost, and what was saved."""
    lines = _losses(found)
    for line in lines[:_SHOWN_LINES]:
        click.echo(line)
    if len(lines) > _SHOWN_LINES:
        more = len(lines) - _SHOWN_LINES
        click.echo(f"… and {more:,} lines more; --json has them all.")
    if not found.is_source_known:
        say(
            f"The file does not say any more where its data is from; it was taken as {source}. "
            "Where that is wrong, salvage again with the options of its source (such as --demo)."
        )
    if found.unnamed:
        say(
            f"The names of {len(found.unnamed):,} symbols are lost; their candles are under "
            f"{', '.join(found.unnamed[:5])}{' …' if len(found.unnamed) > 5 else ''}."
        )
    say(
        f"{found.candles:,} candles and {found.other_rows:,} other rows are in {fresh} now; use it "
        f"with --data-dir {fresh}. An engine fetches what is missing and to be had. The damaged "
        f"database is untouched in {damaged}."
    )


def _losses(found: Salvaged) -> list[str]:
    lines = [
        f"Damaged: {count:,} of {found.pages:,} pages, "
        + (f"of the table {table}." if table else "of indexes or of no table that is known.")
        for table, count in found.unreadable.items()
    ]
    if found.cut_off:
        whole = found.pages + found.cut_off
        lines.insert(0, f"Cut off: the file ends after {found.pages:,} of {whole:,} pages.")
    if found.refused:
        lines.append(f"Refused: {found.refused:,} rows that break a rule of their table.")
    lines += [_series(one) for one in found.series]
    lines += [_stretch(one) for one in found.stretches]
    return lines


def _series(loss: SeriesLoss) -> str:
    start, end = loss.ranges[0][0], loss.ranges[-1][1]
    ranges = "" if len(loss.ranges) == 1 else f" in {len(loss.ranges):,} ranges"
    return (
        f"Lost: {loss.symbol} {loss.interval}, {loss.candles:,} candles{ranges} "
        f"from {iso(start)} to {iso(end)}."
    )


def _stretch(loss: StretchLoss) -> str:
    after = "the first candle" if loss.after is None else _place("after", *loss.after)
    before = "the last candle" if loss.before is None else _place("before", *loss.before)
    return f"Lost: from {after} to {before}, with the series that lay between."


def _place(word: str, symbol: str, interval: str, open_time_ms: int) -> str:
    return f"{symbol} {interval} {word} {iso(open_time_ms)}"
