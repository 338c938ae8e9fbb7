"""What import says about files: counts, faults, and how a file is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.commands.output import say
from engine.commands.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.store.dry_run import DryRun, Reading

NAMES_TOLD = 5


def say_counts(name: str, counts: Mapping[str, Any]) -> None:
    """Say what became of the rows of the file `name`."""
    say(
        f"{name}: {counts['rows']:,} rows read, {counts['inserted']:,} candles stored, "
        f"{counts['changed']:,} changed, {counts['unchanged']:,} known already, "
        f"{counts['quarantined']:,} quarantined."
    )
    for fault in counts["faults"]:
        say(f"  {fault}")
    unkept = counts.get("unkept", 0)
    untold = counts["quarantined"] + unkept - len(counts["faults"])
    if untold > 0 and unkept:
        say(
            f"  and {untold:,} more; the table quarantine of the database holds "
            f"{counts['quarantined']:,} of them, and {unkept:,} are only counted."
        )
    elif untold > 0:
        say(f"  and {untold:,} more; the table quarantine of the database holds all of them.")
    for line in _lacking_lines(
        counts.get("left_out", ()), counts.get("broke_off", ""), counts["faults"]
    ):
        say(line)


def say_sum(done: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]]) -> None:
    """Say what became of many files."""
    rows = sum(one["rows"] for one in done)
    files = f"{len(done):,} file{'s' * (len(done) != 1)}"
    if all("inserted" in one for one in done):
        stored = sum(one["inserted"] for one in done)
        seconds = sum(one["seconds"] for one in done)
        say(f"{files}: {rows:,} rows read, {stored:,} candles stored in {seconds:,.1f} s.")
    else:
        candles = sum(one["candles"] for one in done)
        say(f"{files}: {rows:,} rows read, {candles:,} candles; nothing was stored.")
    if refused:
        names = ", ".join(Path(one["file"]).name for one in refused[:NAMES_TOLD])
        left = len(refused) - NAMES_TOLD
        more = f" and {left:,} more" if left > 0 else ""
        say(f"{len(refused):,} could not be imported: {names}{more}.")


def trial_lines(name: str, symbol: str, interval: str, found: DryRun) -> list[str]:
    """Return how the file `name` is read and what would become of its rows."""
    lines = [f"{name}: {symbol} {interval}; a dry run, nothing is stored."]
    if found.readings:
        lines += _reading_lines(found.readings[0])
    if len(found.readings) > 1:
        names = [one.name for one in found.readings]
        more = f" and {len(names) - NAMES_TOLD:,} more" if len(names) > NAMES_TOLD else ""
        lines.append(f"  members    {len(names):,}: {', '.join(names[:NAMES_TOLD])}{more}")
    span = f", open times from {iso(found.first_ms)} to {iso(found.last_ms)} UTC"
    lines += [
        f"  candles    {found.candles:,}{span if found.first_ms is not None else ''}",
        f"  refused    {'all' if found.refusal else f'{found.refused:,}'} of {found.rows:,} rows",
        *(f"    {fault}" for fault in found.faults),
    ]
    return lines + _lacking_lines(found.left_out, found.broke_off, found.faults)


def _reading_lines(reading: Reading) -> list[str]:
    lines = [f"  form       {reading.kind}"]
    if reading.kind == "CSV":
        header = f"header in line {reading.skipped}" if reading.skipped else "no header"
        lines = [f"  form       CSV, separator {reading.separator}, {header}"]
    columns = ", ".join(f"{ours}={theirs}" for ours, theirs in reading.columns.items())
    lines.append(f"  columns    {columns}")
    if reading.unknown:
        lines.append(f"  unknown    {', '.join(reading.unknown)}")
    zone = reading.zone or "each with its offset"
    if reading.time:
        lines.append(f"  times      {reading.unit}, {zone}: {reading.time}")
    return lines


def is_kline_name(name: str) -> bool:
    """Tell whether the name of a member of an archive says that it holds data."""
    from engine.market.kline_names import SUFFIXES

    return name.lower().endswith(SUFFIXES)


def _lacking_lines(
    left_out: Sequence[tuple[str, str]], broke_off: str, faults: Sequence[str]
) -> list[str]:
    others = [name for name, _ in left_out if not is_kline_name(name)]
    data = [(name, why) for name, why in left_out if is_kline_name(name)]
    lines = [f"  left out: {name}: {why}" for name, why in data[:NAMES_TOLD]]
    if len(data) > NAMES_TOLD:
        lines.append(f"  and {len(data) - NAMES_TOLD:,} more were left out.")
    if others:
        more = f" and {len(others) - NAMES_TOLD:,} more" if len(others) > NAMES_TOLD else ""
        lines.append(f"  other files, left out: {', '.join(others[:NAMES_TOLD])}{more}")
    if broke_off:
        told = "" if any(fault.endswith(broke_off) for fault in faults) else f"{broke_off} "
        lines.append(f"  {told}What came before is kept.")
    return lines
