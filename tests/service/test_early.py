"""The first questions go out before there is an event loop; what goes wrong costs nothing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.service import early
from engine.service.client import EngineClient
from engine.service.contract import Done, Problem, StatusRequest, View, Welcome, encode
from engine.service.early import EarlyPull, connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.service.server import ViewerServer
    from tests.service.conftest import ScriptedDesk


@pytest.fixture
def address(short_directory: Path) -> Path:
    return short_directory / "run" / "e.sock"


async def pulled(path: Path, view: View) -> early.Answered | None:
    connection = await asyncio.to_thread(connected, path)
    assert connection is not None
    return await EarlyPull(connection, view).take()


async def test_the_connection_is_gone_on_with(
    server: ViewerServer, desk: ScriptedDesk, address: Path
) -> None:
    answered = await pulled(address, View())
    assert answered is not None
    assert answered.welcome.focused == answered.view.focused == "BTCUSDT"
    assert answered.frame.revision == 1
    assert desk.hello is not None
    assert not desk.hello.owner
    client = await EngineClient.adopt(answered)
    assert client.welcome == answered.welcome
    assert client.take_early() is answered
    assert client.take_early() is None
    assert isinstance(await client.ask(StatusRequest()), Done)
    assert (await client.pull(View(), 1)).revision == 3
    assert len(desk.present) == 1
    await client.close()


async def test_a_symbol_that_was_named_is_kept(server: ViewerServer, address: Path) -> None:
    answered = await pulled(address, View(focused="ETHUSDT", interval="5m"))
    assert answered is not None
    assert (answered.view.focused, answered.view.interval) == ("ETHUSDT", "5m")
    answered.connection.close()


async def test_a_frame_of_many_packets_is_read_whole(
    server: ViewerServer, desk: ScriptedDesk, address: Path
) -> None:
    desk.frame_bytes = 3_000_000
    answered = await pulled(address, View())
    assert answered is not None
    assert len(answered.frame.notices[0].text) == 3_000_000
    answered.connection.close()


async def test_a_refusal_is_left_to_the_next_connection(
    server: ViewerServer, desk: ScriptedDesk, address: Path
) -> None:
    desk.refusal = Problem("Too many viewers.")
    assert await pulled(address, View()) is None


def other_version(connection: socket.socket) -> None:
    connection.sendall(encode(Welcome("0.0", 0, 1, "demo", "BTCUSDT", "1m")))


def nonsense(connection: socket.socket) -> None:
    connection.sendall((5).to_bytes(4, "big") + b"\xc1\xc1\xc1\xc1\xc1")


def too_long(connection: socket.socket) -> None:
    connection.sendall((2**31).to_bytes(4, "big"))


def half_an_answer(connection: socket.socket) -> None:
    connection.sendall((500).to_bytes(4, "big") + b"abc")
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("says", [other_version, nonsense, too_long, half_an_answer])
async def test_an_answer_that_is_none_is_left_to_the_next_connection(
    says: Callable[[socket.socket], None],
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        says(theirs)
        assert await EarlyPull(ours, View()).take() is None
    assert ours.fileno() == -1


async def test_an_engine_that_does_not_answer_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early, "ANSWER_TIMEOUT_S", 0.01)
    ours, theirs = socket.socketpair()
    with theirs:
        assert await EarlyPull(ours, View()).take() is None


def test_nobody_listens(tmp_path: Path) -> None:
    assert connected(tmp_path / "nobody.sock") is None
