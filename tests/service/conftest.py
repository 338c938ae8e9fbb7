"""A scripted desk and a running server on a real socket."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import __version__
from engine.service.contract import (
    Answer,
    Done,
    Frame,
    Goodbye,
    Hello,
    Notice,
    Problem,
    Pull,
    Request,
    Retrain,
    Search,
    StatusRequest,
    Watch,
    Welcome,
)
from engine.service.server import Viewer, ViewerServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class ScriptedDesk:
    """Answers from a script and keeps what it saw."""

    def __init__(self) -> None:
        self.present: dict[int, Viewer] = {}
        self.goodbyes: list[Goodbye | None] = []
        self.hello: Hello | None = None
        self.refusal: Problem | None = None
        self.frame_bytes = 0
        self.release = asyncio.Event()

    def welcome(self, hello: Hello) -> Welcome | Problem:
        self.hello = hello
        return self.refusal or Welcome(__version__, hello.protocol, 1, "demo", "BTCUSDT", "1m")

    def joined(self, viewer: Viewer) -> None:
        self.present[viewer.id] = viewer

    def stops_after(self, viewer: Viewer, goodbye: Goodbye) -> bool:
        return not goodbye.detach and set(self.present) == {viewer.id}

    def left(self, viewer: Viewer, goodbye: Goodbye | None) -> None:
        del self.present[viewer.id]
        self.goodbyes.append(goodbye)

    def frame(self, viewer: Viewer, pull: Pull) -> Frame:
        viewer.memory["pulls"] = viewer.memory.get("pulls", 0) + 1
        notices = (Notice(0, "info", "x" * self.frame_bytes),) if self.frame_bytes else ()
        return Frame(revision=pull.since + viewer.memory["pulls"], notices=notices)

    async def command(self, viewer: Viewer, request: Request) -> Answer:
        match request:
            case StatusRequest():
                return Done(data={"viewer": viewer.id})
            case Watch(symbol="NOSUCH"):
                return Problem("The exchange has no market 'NOSUCH'.", usage=True)
            case Retrain(wait=True):
                await self.release.wait()
                return Done("trained")
            case Search():
                raise RuntimeError("the list is broken")
            case _:
                return Done(data={"fine": object()})


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    path = Path(tempfile.mkdtemp(prefix="kt"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def desk() -> ScriptedDesk:
    return ScriptedDesk()


@pytest.fixture
async def server(short_directory: Path, desk: ScriptedDesk) -> AsyncIterator[ViewerServer]:
    running = ViewerServer(
        short_directory / "run" / "e.sock",
        desk,
        pointer=short_directory / "engine.socket",
        write_timeout_s=0.3,
    )
    await running.start()
    guard = asyncio.create_task(running.keep_path())
    yield running
    guard.cancel()
    await asyncio.gather(guard, return_exceptions=True)
    await running.close()
