"""The status line, the banner under it and the tab line, as cells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from tui.cells import Cell, fit, pad, width_of
from tui.widgets import formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.style import Style

    from engine.service.contract import StatusSection
    from tui.cells import Line
    from tui.model import DeskModel

NEVER = 0


class Piece(msgspec.Struct, frozen=True):
    """A part of the status line; the highest `drop` goes first when room is short."""

    drop: int
    cells: tuple[Cell, ...]


def status_line(model: DeskModel, width: int) -> Line:
    """Return the status line for `width` cells.

    The state of the data, DEMO or REPLAY with its speed, FROZEN and `slow link` always stay; the
    rest leaves in the order of its importance as the line gets narrow.
    """
    left, middle, right = _left(model), _middle(model), _right(model)
    gap = "  "
    for limit in range(9, -1, -1):
        groups = [
            _joined([piece for piece in group if piece.drop <= limit], model)
            for group in (left, middle, right)
        ]
        shown = [group for group in groups if group]
        if sum(width_of(group) for group in shown) + len(gap) * len(shown) <= width:
            return _placed(groups[0], groups[1], groups[2], width)
    return fit((pad(1), *_joined([piece for piece in left if piece.drop == NEVER], model)), width)


def _joined(pieces: Sequence[Piece], model: DeskModel) -> tuple[Cell, ...]:
    separator = (f" {model.glyphs.middot} ", model.palette.dim)
    cells: list[Cell] = []
    for index, piece in enumerate(pieces):
        if index:
            cells.append(separator if piece.drop != NEVER else ("  ", model.palette.text))
        cells.extend(piece.cells)
    return tuple(cells)


def _placed(left: Line, middle: Line, right: Line, width: int) -> Line:
    start = (pad(1), *left)
    at = max(width_of(start) + 2, (width - width_of(middle)) // 2) if middle else width_of(start)
    end = width - width_of(right) - 1
    at = min(at, end - width_of(middle) - (2 if right and middle else 0))
    return (
        *start,
        pad(at - width_of(start)),
        *middle,
        pad(end - at - width_of(middle)),
        *right,
        pad(1),
    )


def connection_style(model: DeskModel) -> Style:
    """Return the style of the connection's word."""
    palette = model.palette
    styles = {
        "live": palette.fine,
        "connecting": palette.warn,
        "stale": palette.warn,
        "ended": palette.bright,
    }
    return styles.get(model.connection, palette.error)


def _left(model: DeskModel) -> list[Piece]:
    palette, glyphs, status = model.palette, model.glyphs, model.state.status
    style = connection_style(model)
    dot = glyphs.dot if model.connection == "live" else glyphs.hollow_dot
    pieces = [
        Piece(7, (("klinetop", palette.bright), (" ", palette.text))),
        Piece(NEVER, ((f"{dot} {model.connection}", style),)),
    ]
    tag = source_tag(status, is_ascii=glyphs.is_ascii) if status is not None else ""
    if tag:
        pieces.append(Piece(NEVER, ((f" {tag} ", palette.warn + palette.last_price),)))
    if model.frozen_since_wall_ms is not None:
        held = formats.duration((model.wall_ms() - model.frozen_since_wall_ms) / 1000)
        pieces.append(Piece(NEVER, ((f" FROZEN {held} ", palette.warn + palette.last_price),)))
        pieces.append(Piece(1, (("space goes on", palette.text),)))
    if model.slow_rate is not None:
        pieces.append(Piece(NEVER, ((f"slow link {model.slow_rate:g}/s", palette.warn),)))
    if status is not None and model.link.is_up:
        pieces.extend(_feed(model))
    return pieces


def source_tag(status: StatusSection, *, is_ascii: bool) -> str:
    """Return what tells this market from Binance's: DEMO 20x, REPLAY 60x, SIM, or a host's name."""
    if status.source == "live":
        name = "SIM" if is_loopback(status.source_note) else status.source_note
        is_plain = not name or status.speed == 1
        return name if is_plain else f"{name} {speed_tag(status.speed, is_ascii=is_ascii)}"
    return f"{status.source.upper()} {speed_tag(status.speed, is_ascii=is_ascii)}"


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine, where only a simulated exchange listens."""
    return host in ("localhost", "::1") or host.startswith("127.")


def speed_tag(speed: float, *, is_ascii: bool) -> str:
    """Return how many times faster than the wall clock: 20 and a multiplication sign, or max."""
    if math.isinf(speed):
        return "max"
    return f"{speed:g}x" if is_ascii else f"{speed:g}\u00d7"


def _feed(model: DeskModel) -> list[Piece]:
    palette, status = model.palette, model.state.status
    assert status is not None
    pieces = []
    if status.latency_ms is not None:
        pieces.append(Piece(3, ((formats.age(status.latency_ms), palette.text),)))
    if status.data_age_ms is not None:
        age = model.aged(status.data_age_ms, model.state.status_wall_ms)
        style = palette.text if status.connection == "live" else palette.warn
        pieces.append(Piece(4, ((f"{formats.age(age)} old", style),)))
    pieces.append(Piece(6, ((f"{status.messages_per_s:,.0f} msg/s", palette.text),)))
    return pieces


def _middle(model: DeskModel) -> list[Piece]:
    view, palette = model.view, model.palette
    if not view.focused:
        return []
    return [Piece(2, ((f"{view.focused} {model.glyphs.middot} {view.interval}", palette.bright),))]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _right(model: DeskModel) -> list[Piece]:
    palette, status = model.palette, model.state.status
    if status is None:
        return []
    engine = "engine" if status.engine == "running" else f"engine {status.engine}"
    style = palette.text if status.engine == "running" else palette.warn
    pieces = [
        Piece(5, ((f"{engine} {formats.duration(status.uptime_s)}", style),)),
        Piece(8, ((_counted(status.markets, "market"), palette.text),)),
        Piece(8, ((f"{formats.compact(status.candles)} candles", palette.text),)),
        Piece(*_clock(model, is_today=status.source == "live" and not status.source_note)),
    ]
    return pieces if model.link.is_up else []


def _clock(model: DeskModel, *, is_today: bool) -> tuple[int, tuple[Cell, ...]]:
    """Return the exchange's clock, with its date where that may be any and must not be missed."""
    now_ms, palette = model.exchange_now_ms(), model.palette
    clock = (f"{formats.clock(now_ms)} UTC", palette.bright)
    if is_today:
        return 3, (clock,)
    return 1, ((f"{formats.date(now_ms)} ", palette.bright), clock)


def banner(model: DeskModel) -> Line:
    """Return what is wrong with the feed, since when and what to do; empty when nothing is."""
    palette = model.palette
    if model.link.kind in ("gone", "mismatch"):
        since = formats.clock(model.link.since_wall_ms)
        again = " Trying again every second; q quits." if model.link.kind == "gone" else ""
        return ((f" Since {since} UTC: {model.link.sentence}{again} ", palette.error),)
    status = model.state.status
    if status is None or not model.link.is_up:
        return ()
    is_down = status.connection in ("offline", "stale", "ended") or model.is_connecting_again
    if is_down and status.connection_note:
        since = formats.clock(status.since_wall_ms)
        text = f" {status.connection} since {since} UTC: {status.connection_note} "
        return ((text, palette.warn),)
    return ()
