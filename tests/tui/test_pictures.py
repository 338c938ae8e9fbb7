"""What the terminal looks like: sizes and states, compared with pictures that people approved.

After a wanted change: `pytest tests/tui/test_pictures.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

SINGLE, MEDIUM, FULL, WIDE = (80, 24), (120, 30), (160, 48), (200, 60)


def scene(desk, size, keys=(), *, frame=None, settings=None, waits_for="hit 53.1 %"):
    """Describe a picture: the data served, the keys pressed, and a text that must be there."""
    frames = frame or {}

    def whole(view):
        return desk.full_frame(view.focused or "BTCUSDT", view.interval, **frames)

    return SimpleNamespace(
        app=desk.make_app(desk.FakeEngine(whole), settings=settings or desk.Settings()),
        size=size,
        keys=keys,
        waits_for=waits_for,
    )


SCENES = {
    "single": lambda desk: scene(desk, SINGLE, waits_for="spread 0.40"),
    "single-forecast-training": lambda desk: scene(
        desk, SINGLE, ["5"], frame={"forecast": desk.forecast(job=desk.job())}, waits_for="loss"
    ),
    "medium": lambda desk: scene(desk, MEDIUM),
    "medium-storage-swapped-in": lambda desk: scene(desk, MEDIUM, ["4"], waits_for="quarantined"),
    "medium-ascii": lambda desk: scene(desk, MEDIUM, settings=desk.Settings(ascii=True)),
    "medium-no-model": lambda desk: scene(
        desk,
        MEDIUM,
        frame={"forecast": desk.forecast(**desk.NO_MODEL, note="No model is trained yet.")},
        waits_for="No model is trained yet.",
    ),
    "medium-no-history": lambda desk: scene(
        desk,
        MEDIUM,
        frame={"chart": desk.chart(candles=(), note="No history yet: 20 s to go.")},
        waits_for="20 s to go",
    ),
    "medium-frozen": lambda desk: scene(desk, MEDIUM, ["space"], waits_for="FROZEN"),
    "full": lambda desk: scene(desk, FULL),
    "full-demo-book-resynchronising": lambda desk: scene(
        desk,
        FULL,
        frame={
            "status": desk.status(source="demo", speed=20.0),
            "book": desk.book(state="buffering", reason="fetching a snapshot"),
        },
        waits_for="fetching a snapshot",
    ),
    "full-offline": lambda desk: scene(
        desk,
        FULL,
        frame={
            "status": desk.status(
                connection="offline",
                connection_note="no network; `klinetop --demo` needs none.",
                latency_ms=None,
                data_age_ms=724_000.0,
            )
        },
        waits_for="offline since",
    ),
    "wide": lambda desk: scene(desk, WIDE),
    "too-small": lambda desk: scene(desk, (59, 15), waits_for="needs 60x16"),
    "help": lambda desk: scene(desk, MEDIUM, ["question_mark"], waits_for="klinetop: keys"),
}


@pytest.mark.parametrize("name", SCENES)
def test_it_looks_as_approved(desk, snap_compare, name):
    shown = SCENES[name](desk)

    async def settle(pilot):
        await desk.until(pilot, lambda: shown.app.model.state.revision)
        await pilot.press(*shown.keys)
        await desk.until(pilot, lambda: shown.waits_for in desk.screen_text(shown.app))
        await pilot.pause(0.05)

    assert snap_compare(shown.app, terminal_size=shown.size, run_before=settle)


def test_connecting_looks_as_approved(desk, snap_compare):
    engine = desk.FakeEngine()

    async def never():
        await asyncio.sleep(3600)

    engine.connect = never
    app = desk.make_app(engine)

    async def settle(pilot):
        await desk.until(pilot, lambda: "connecting to the engine" in desk.screen_text(app))

    assert snap_compare(app, terminal_size=MEDIUM, run_before=settle)
