"""The status line: what it says, and what leaves first when room is short."""

from __future__ import annotations

import pytest
from rich.style import Style

from tui.cells import folded, width_of
from tui.link import LinkState
from tui.status import banner, status_line
from tui.widgets.line_widget import line_text


@pytest.fixture
def model(desk):
    model = desk.make_app(desk.FakeEngine(), focused="BTCUSDT").model
    model.link = LinkState("up")
    model.state.apply(desk.full_frame(), wall_ms=desk.WALL_MS)
    return model


def test_a_wide_line_says_everything(model):
    text = line_text(status_line(model, 160))
    for part in (
        "klinetop",
        "● live",
        "41 ms",
        "0.2 s old",
        "312 msg/s",
        "BTCUSDT · 1m",
        "engine 3 d 04:12",
        "12 markets",
        "1.20 M candles",
        "21:48:07 UTC",
    ):
        assert part in text
    assert width_of(status_line(model, 160)) == 160


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_the_line_never_outgrows_the_terminal_and_keeps_what_matters(model, desk, width):
    model.state.apply(
        desk.full_frame(status=desk.status(source="demo", speed=20.0)), wall_ms=desk.WALL_MS
    )
    line = status_line(model, width)
    assert width_of(line) <= width
    if width >= 24:
        assert "live" in line_text(line)
        assert "DEMO 20\u00d7" in line_text(line)


def test_narrow_lines_drop_counts_before_the_focus(model):
    text = line_text(status_line(model, 62))
    assert "BTCUSDT" in text
    assert "markets" not in text
    assert "msg/s" not in text


def test_the_clock_goes_on_at_the_speed_of_the_exchange(model, desk):
    model.state.apply(
        desk.full_frame(status=desk.status(source="demo", speed=20.0)), wall_ms=desk.WALL_MS
    )
    model.wall_ms.now_ms += 3_000
    assert "21:49:07 UTC" in line_text(status_line(model, 160))


def test_the_clock_stands_still_when_the_engine_is_gone(model):
    model.link = LinkState("gone", "The engine is gone.", 0)
    model.wall_ms.now_ms += 60_000
    assert model.exchange_now_ms() == model.state.status.exchange_time_ms


def test_frozen_and_slow_links_are_told(model):
    model.frozen_since_wall_ms = model.wall_ms.now_ms
    model.slow_rate = 4.0
    model.wall_ms.now_ms += 12_000
    text = line_text(status_line(model, 80))
    assert "FROZEN 0:12" in text
    assert "slow link 4/s" in text


def test_the_banner_tells_what_is_wrong_and_since_when(model, desk):
    assert banner(model) == ()
    note = "No network; `klinetop --demo` needs none."
    model.state.apply(
        desk.full_frame(status=desk.status(connection="offline", connection_note=note)),
        wall_ms=desk.WALL_MS,
    )
    assert line_text(banner(model)).strip() == f"offline since 20:48:07 UTC: {note}"
    model.link = LinkState("mismatch", "The engine is of version 9.", desk.WALL_MS)
    assert "since 21:48:07 utc: the engine is of version 9." in line_text(banner(model)).lower()


def test_a_long_banner_takes_two_lines_and_no_more():
    style = Style(bold=True)
    line = ((" offline since 20:48:07 UTC: " + "no network " * 12, style),)
    assert folded(line, 200, 2) == [line]
    for width in (60, 80, 120):
        lines = folded(line, width, 2)
        assert len(lines) == 2
        assert all(width_of(one) <= width for one in lines)
    assert line_text(folded(line, 60, 2)[-1]).rstrip().endswith("…")
    assert "…" not in line_text(folded(line, 120, 2)[-1])


@pytest.mark.parametrize(
    ("host", "speed", "tag"),
    [
        ("127.0.0.1", 1.0, "SIM"),
        ("localhost", 5.0, "SIM 5\u00d7"),
        ("api.other.exchange", 1.0, "api.other.exchange"),
    ],
)
def test_a_host_that_is_not_binances_is_tagged(model, desk, host, speed, tag):
    status = desk.status(source_note=host, speed=speed)
    model.state.apply(desk.full_frame(status=status), wall_ms=desk.WALL_MS)
    for width in (60, 80, 160):
        assert f" {tag} " in line_text(status_line(model, width))


def test_binances_own_hosts_have_no_tag_and_no_date(model):
    text = line_text(status_line(model, 160))
    assert "SIM" not in text
    assert "2026-" not in text


@pytest.mark.parametrize("width", [66, 80, 120, 160])
def test_a_replay_shows_its_date(model, desk, width):
    status = desk.status(source="replay", speed=60.0, source_note="BTCUSDT-1m-2026-11.zip")
    model.state.apply(desk.full_frame(status=status), wall_ms=desk.WALL_MS)
    assert "2026-11-22 21:48:07 UTC" in line_text(status_line(model, width))
