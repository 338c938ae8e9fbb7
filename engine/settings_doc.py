"""The table of all settings in `docs/configuration.md` (`make docs` writes it anew)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engine.settings import option_name
from engine.settings_model import Key, setting_keys

BEGIN = "<!-- settings: made by `make docs` -->"
END = "<!-- end of settings -->"
_OPTIONS = frozenset(
    {
        "data_dir",
        "rest_url",
        "stream_url",
        "symbols",
        "markets",
        "intervals",
        "interval",
        "demo",
        "speed",
        "replay",
        "replay_from",
        "seed",
    }
)


def settings_table() -> str:
    """Return a Markdown table with one row for each setting."""
    rows = [
        "| Setting | Meaning | Takes | Default | Variable | Option |",
        "|---|---|---|---|---|---|",
    ]
    for key in setting_keys().values():
        option = f"`{option_name(key.name)}`" if key.name in _OPTIONS else ""
        cells = (
            f"`{key.name}`",
            key.description,
            key.expects,
            _default(key),
            f"`{key.variable}`",
            option,
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def with_table(page: str) -> str:
    """Return `page` with the table between its two marks; raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page lacks the marks {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def _default(key: Key) -> str:
    value: Any = key.default
    if value is None or value == ():
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
