"""Viewers and the server over real Unix sockets."""

from __future__ import annotations

import asyncio
import socket
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.service import contract
from engine.service import server as server_module
from engine.service.client import EngineClient, EngineGone, EngineMismatch, EngineProblem
from engine.service.contract import Frame, Goodbye, Hello, Problem, View
from engine.service.server import SocketTaken, ViewerServer

if TYPE_CHECKING:
    from pathlib import Path


async def until(condition: Any, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def raw(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(str(path))


async def answer_of(reader: asyncio.StreamReader) -> contract.Answer:
    async with asyncio.timeout(60):
        length = int.from_bytes(await reader.readexactly(4), "big")
        return contract.decode_answer(await reader.readexactly(length))


async def test_pull_ask_and_goodbye(server: ViewerServer, desk: Any) -> None:
    client = await EngineClient.connect(server.socket_path, owner=True)
    assert client.welcome.focused == "BTCUSDT"
    assert desk.hello.owner
    assert (await client.pull(View(), 10)).revision == 11
    assert (await client.pull(View(), 10)).revision == 12
    done = await client.ask(contract.StatusRequest())
    assert isinstance(done, contract.Done)
    await client.ask(Goodbye(detach=True))
    await until(lambda: not desk.present)
    assert desk.goodbyes == [Goodbye(detach=True)]
    await client.close()
    await client.close()


async def test_refusals_are_sentences_and_the_connection_goes_on(server: ViewerServer) -> None:
    client = await EngineClient.connect(server.socket_path)
    with pytest.raises(EngineProblem, match="no market 'NOSUCH'") as refusal:
        await client.ask(contract.Watch("NOSUCH"))
    assert refusal.value.usage
    with pytest.raises(EngineProblem, match=r"failed to answer Search .*the list is broken"):
        await client.ask(contract.Search("B"))
    with pytest.raises(EngineProblem, match="failed to answer Cancel"):
        await client.ask(contract.Cancel())
    assert (await client.pull(View(), 0)).revision == 1
    await client.close()


async def test_two_viewers_have_memories_of_their_own(server: ViewerServer, desk: Any) -> None:
    one = await EngineClient.connect(server.socket_path)
    two = await EngineClient.connect(server.socket_path)
    await one.pull(View(), 0)
    await one.pull(View(), 0)
    assert (await two.pull(View(), 0)).revision == 1
    assert len(desk.present) == 2
    one.abort()
    await until(lambda: len(desk.present) == 1)
    assert desk.goodbyes == [None]
    assert (await two.pull(View(), 0)).revision == 2
    await two.close()


async def test_a_waiting_command_does_not_hold_up_others(server: ViewerServer, desk: Any) -> None:
    one = await EngineClient.connect(server.socket_path)
    two = await EngineClient.connect(server.socket_path)
    waiting = asyncio.create_task(one.ask(contract.Retrain("BTCUSDT", "1m", wait=True)))
    assert (await two.pull(View(), 0)).revision == 1
    assert not waiting.done()
    desk.release.set()
    assert (await waiting) == contract.Done("trained")
    await one.close()
    await two.close()


async def test_a_viewer_that_stops_reading_is_dropped(server: ViewerServer, desk: Any) -> None:
    desk.frame_bytes = 4_000_000
    reader, writer = await raw(server.socket_path)
    writer.write(contract.encode(Hello(version=server_module.__version__)))
    await answer_of(reader)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(contract.encode(contract.Pull(View())))
    await until(lambda: len(desk.present) == 1)
    other = await EngineClient.connect(server.socket_path)
    await until(lambda: server.dropped == 1)
    assert len(desk.present) == 1
    assert len((await other.pull(View(), 0)).notices[0].text) == 4_000_000
    await other.close()
    writer.transport.abort()


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00\x00\x04GET ",
        b"\xff\xff\xff\xff",
        (server_module.MAX_REQUEST_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x00",
        contract.encode(contract.Done()),
    ],
)
async def test_rubbish_gets_a_problem_and_the_door(
    server: ViewerServer, desk: Any, message: bytes
) -> None:
    bystander = await EngineClient.connect(server.socket_path)
    reader, writer = await raw(server.socket_path)
    writer.write(contract.encode(Hello(version=server_module.__version__)))
    await answer_of(reader)
    writer.write(message)
    answer = await answer_of(reader)
    assert isinstance(answer, Problem)
    assert "no request" in answer.message
    assert await reader.read() == b""
    await until(lambda: server.dropped == 1)
    assert desk.goodbyes == [None]
    assert (await bystander.pull(View(), 0)).revision == 1
    writer.close()
    await bystander.close()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200))
def test_no_bytes_decode_to_something_else_than_a_request(body: bytes) -> None:
    try:
        request = contract.decode_request(body)
    except msgspec.DecodeError:
        return
    assert isinstance(request, contract.Request)


async def test_the_first_words_must_be_hello(server: ViewerServer, desk: Any) -> None:
    reader, writer = await raw(server.socket_path)
    writer.write(contract.encode(contract.StatusRequest()))
    assert "must be Hello" in (await answer_of(reader)).message  # type: ignore[union-attr]
    assert await reader.read() == b""
    assert not desk.present
    assert not desk.goodbyes
    writer.close()


@pytest.mark.parametrize("hello", [Hello(version="99.0"), Hello(version="0.1.0", protocol=99)])
async def test_another_version_is_told_what_to_do(server: ViewerServer, hello: Hello) -> None:
    reader, writer = await raw(server.socket_path)
    writer.write(contract.encode(hello))
    answer = await answer_of(reader)
    assert isinstance(answer, Problem)
    assert "klinetop stop" in answer.message
    assert await reader.read() == b""
    writer.close()


async def test_a_client_of_another_version_raises_mismatch(
    server: ViewerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.service.client.__version__", "99.0")
    with pytest.raises(EngineMismatch, match=r"99\.0.*klinetop stop"):
        await EngineClient.connect(server.socket_path)


async def test_a_refused_viewer_gets_the_sentence(server: ViewerServer, desk: Any) -> None:
    desk.refusal = Problem("The engine is stopping.")
    with pytest.raises(EngineProblem, match="stopping"):
        await EngineClient.connect(server.socket_path)


async def test_a_peer_that_speaks_something_else_is_a_mismatch(short_directory: Path) -> None:
    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x00\x00\x03abc")
        writer.close()

    path = short_directory / "x.sock"
    listener = await asyncio.start_unix_server(other, str(path))
    async with listener:
        with pytest.raises(EngineMismatch):
            await EngineClient.connect(path)


async def test_an_engine_that_goes_away_is_engine_gone(server: ViewerServer) -> None:
    client = await EngineClient.connect(server.socket_path)
    await server.close()
    with pytest.raises(EngineGone):
        await client.pull(View(), 0)
    await client.close()
    with pytest.raises(EngineGone, match="No engine runs"):
        await EngineClient.connect(server.socket_path)


async def test_a_late_answer_is_never_taken_for_the_next_one(
    server: ViewerServer, desk: Any
) -> None:
    client = await EngineClient.connect(server.socket_path)
    with pytest.raises(EngineGone, match="did not answer"):
        await client.ask(contract.Retrain("BTCUSDT", "1m", wait=True), timeout_s=0.05)
    desk.release.set()
    with pytest.raises(EngineGone):
        await client.pull(View(), 0)
    await client.close()


async def test_socket_is_private_and_goes_with_the_engine(server: ViewerServer) -> None:
    path = server.socket_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    pointer = path.parent.parent / "engine.socket"
    assert pointer.read_text().strip() == str(path)
    await server.close()
    assert not path.exists()
    assert not pointer.exists()


async def test_a_living_engine_keeps_its_socket(server: ViewerServer, desk: Any) -> None:
    second = ViewerServer(server.socket_path, desk)
    with pytest.raises(SocketTaken, match="klinetop stop"):
        await second.start()
    await second.close()
    client = await EngineClient.connect(server.socket_path)
    await client.close()


async def test_a_stale_socket_is_replaced(short_directory: Path, desk: Any) -> None:
    path = short_directory / "run" / "e.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    fresh = ViewerServer(path, desk)
    await fresh.start()
    client = await EngineClient.connect(path)
    await client.close()
    await fresh.close()


async def test_a_removed_runtime_directory_comes_back(
    server: ViewerServer, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await EngineClient.connect(server.socket_path)
    server.socket_path.unlink()
    server.socket_path.parent.rmdir()
    await until(server.socket_path.exists)
    fresh = await EngineClient.connect(server.socket_path)
    frames = [await fresh.pull(View(), 0), await old.pull(View(), 0)]
    assert all(isinstance(frame, Frame) for frame in frames)
    assert server.socket_path.stat().st_mode & 0o777 == 0o600
    await fresh.close()
    await old.close()
