"""The link to the engine: pulls by the view, waits for the terminal, reconnects, says goodbye."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.service import contract
from engine.service.early import Answered
from tui.link import EngineLink
from tui.pace import LinkMeter, Pacer


class User:
    def __init__(self) -> None:
        self.view = contract.View(focused="BTCUSDT")
        self.revision = 0
        self.frames: list[contract.Frame] = []
        self.states: list[str] = []
        self.got = asyncio.Event()

    def welcomed(self, welcome: contract.Welcome) -> None:
        self.revision = 0

    def received(self, frame: contract.Frame, view: contract.View) -> None:
        self.frames.append(frame)
        self.revision = frame.revision
        self.got.set()

    def link_changed(self, state) -> None:
        self.states.append(state.kind)


@pytest.fixture
def engine(desk):
    return desk.FakeEngine()


@pytest.fixture
def meter():
    return LinkMeter()


@pytest.fixture
async def user():
    return User()


@pytest.fixture
async def link(engine, user, meter):
    link = EngineLink(
        engine.connect,
        user,
        pacer=Pacer(100.0),
        meter=meter,
        wall_ms=lambda: 7,
        reconnect_s=0.01,
    )
    task = asyncio.create_task(link.run())
    yield link
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_it_pulls_all_first_and_then_what_changed(link, engine, user):
    await until(lambda: len(user.frames) > 3)
    assert user.frames[0].status is not None
    assert user.frames[1].status is None
    assert user.states == ["up"]


@pytest.mark.parametrize(("symbol", "shown"), [("BTCUSDT", True), ("ETHUSDT", False)])
async def test_what_was_pulled_early_is_shown_where_it_is_still_wanted(
    desk, engine, user, meter, symbol, shown
):
    view = contract.View(focused=symbol)
    early = desk.full_frame(symbol, revision=7)
    with socket.socket() as connection:
        welcome = contract.Welcome("1.0", 1, 4711, "live", symbol, "1m")
        engine.early = Answered(connection, welcome, view, early)
        link = EngineLink(engine.connect, user, pacer=Pacer(100.0), meter=meter, wall_ms=lambda: 7)
        task = asyncio.create_task(link.run())
        await until(lambda: len(user.frames) > 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (user.frames[0] is early) == shown
    assert engine.views[0] is user.view


async def test_it_waits_while_the_terminal_has_not_taken_the_last_paint(link, user, meter):
    await until(lambda: len(user.frames) > 1)
    meter.queued += 100
    await asyncio.sleep(0.05)
    count = len(user.frames)
    await asyncio.sleep(0.1)
    assert len(user.frames) == count
    meter.written += 100
    await until(lambda: len(user.frames) > count)


async def test_a_nudge_pulls_at_once(engine, user, meter):
    link = EngineLink(engine.connect, user, pacer=Pacer(0.01), meter=meter, wall_ms=lambda: 7)
    task = asyncio.create_task(link.run())
    await until(lambda: len(user.frames) == 1)
    link.nudge()
    await until(lambda: len(user.frames) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_reconnects_and_asks_for_everything_again(link, engine, user, desk):
    await until(lambda: len(user.frames) > 1)
    engine.gone = desk.EngineGone("The engine is gone.")
    await until(lambda: link.state.kind == "gone")
    assert link.state.sentence == "The engine is gone."
    seen = len(user.frames)
    engine.gone = None
    await until(lambda: len(user.frames) > seen)
    assert user.frames[seen].status is not None
    assert user.states == ["up", "gone", "up"]
    assert engine.clients[0].is_closed


async def test_asking_without_an_engine_is_refused_in_a_sentence(engine, user, meter, desk):
    link = EngineLink(engine.connect, user, pacer=Pacer(10), meter=meter, wall_ms=lambda: 7)
    with pytest.raises(desk.EngineGone, match="no engine to ask"):
        await link.ask(contract.Cancel())


async def test_slow_questions_have_a_connection_of_their_own(link, engine, user):
    await until(lambda: user.frames)
    await link.ask(contract.Search("BTC"), aside=True)
    assert len(engine.clients) == 2
    assert engine.clients[1].is_closed
    assert not engine.clients[0].is_closed


async def test_leaving_says_goodbye_and_pulls_no_more(link, engine, user):
    await until(lambda: user.frames)
    await link.leave(detach=True)
    assert engine.asked == [contract.Goodbye(detach=True)]
    assert engine.clients[0].is_closed
    assert user.states == ["up"]


async def test_leaving_does_not_wait_for_a_stuck_engine(engine, user, meter, monkeypatch):
    monkeypatch.setattr("tui.link.GOODBYE_S", 0.05)
    link = EngineLink(engine.connect, user, pacer=Pacer(50), meter=meter, wall_ms=lambda: 7)
    task = asyncio.create_task(link.run())
    await until(lambda: user.frames)

    async def never(request):
        await asyncio.sleep(60)

    engine.clients[0].ask = never
    await link.leave(detach=False)
    assert engine.clients[0].is_closed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_pull_that_ends_meanwhile_does_not_cut_the_goodbye_off(link, engine, user):
    await until(lambda: user.frames)
    client = engine.clients[0]
    closed_before_the_answer = []

    async def slow(request):
        for _ in range(20):
            await asyncio.sleep(0)
        closed_before_the_answer.append(client.is_closed)
        return contract.Done()

    client.ask = slow
    leaving = asyncio.create_task(link.leave(detach=False))
    await asyncio.sleep(0)
    link.nudge()
    await leaving
    assert closed_before_the_answer == [False]
    assert client.is_closed
