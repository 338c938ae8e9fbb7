"""A report as lines for people: one fact a line, indented by what it belongs to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NAME_WIDTH = 20
LINE_WIDTH = 78
MOST_WORDS = 60
_TIMES = ("exchange_time_ms", "since_wall_ms", "created_wall_ms", "last_failure_wall_ms")


def report_lines(report: dict[str, Any], indent: int = 0) -> list[str]:
    """Return `report` as lines; what is unknown or empty is left out."""
    lines = []
    for name, value in report.items():
        if _is_empty(value):
            continue
        head = f"{' ' * indent}{name:<{NAME_WIDTH - indent}} "
        text = _text(name, value)
        if (
            text is not None
            and (indent or not isinstance(value, dict))
            and len(head) + len(text) <= LINE_WIDTH
        ):
            lines.append((head + text).rstrip())
        else:
            lines.append(head.rstrip())
            lines += _below(value, indent + 2)
    return lines


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value in ("", [], ())


def _below(value: Any, indent: int) -> list[str]:
    if isinstance(value, dict):
        return report_lines(value, indent)
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        return [
            line
            for item in value
            for line in (
                report_lines(item, indent) if isinstance(item, dict) else _below([item], indent)
            )
        ]
    words = list(value) if isinstance(value, list | tuple) else [value]
    if len(words) > MOST_WORDS:
        words[MOST_WORDS:] = [f"and {len(words) - MOST_WORDS:,} more"]
    lines, line = [], ""
    for word in map(str, words):
        if line and indent + len(line) + len(word) > LINE_WIDTH:
            lines.append(" " * indent + line.rstrip())
            line = ""
        line += word + " "
    return [*lines, (" " * indent + line).rstrip()]


def _text(name: str, value: Any) -> str | None:
    """Return a value in one line, None for what needs lines of its own."""
    if name in _TIMES:
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}".rstrip("0").rstrip(".")
        case dict():
            known = {key: item for key, item in value.items() if not _is_empty(item)}
            parts = [(key, _text(key, item)) for key, item in known.items()]
            if any(text is None or isinstance(value[key], dict) for key, text in parts):
                return None
            return " · ".join(f"{key} {text}" for key, text in parts)
        case list() | tuple():
            texts = [_text("", item) for item in value]
            if any(
                text is None or isinstance(item, dict)
                for text, item in zip(texts, value, strict=True)
            ):
                return None
            return ", ".join(text for text in texts if text is not None)
        case _:
            return str(value)
