"""What commands print: JSON for programs, aligned lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def emit_json(value: Any) -> None:
    """Print `value` as JSON on stdout."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def emit_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns, the first aligned left and the others right."""
    lines = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        first = line[0].ljust(widths[0])
        others = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        click.echo("  ".join([first, *others]).rstrip())


def say(text: str) -> None:
    """Print a line for people on stderr."""
    click.echo(text, err=True)
