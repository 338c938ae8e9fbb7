"""A data directory, a store with candles in it, a scripted engine, and a way to call klinetop."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine import __version__
from engine.cli import make_group
from engine.commands.guard import run_guarded
from engine.market.candle import Candle
from engine.service import contract
from engine.service.client import EngineClient, EngineGone
from engine.service.places import find_socket, pointer_path, socket_path
from engine.service.server import Viewer, ViewerServer
from engine.store import Source, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_MS = 1_734_652_800_000  # 2024-12-20 00:00 UTC
MINUTE_MS = 60_000


@dataclass
class Called:
    """What a call left behind."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """No settings of the machine, and runtime and log directories of our own."""
    for kind in ("config", "log", "data"):
        place = str(directory.parent / kind)
        monkeypatch.setattr(f"platformdirs.user_{kind}_dir", lambda *_, d=place, **__: d)
    monkeypatch.delenv("KLINETOP_RECORDINGS", raising=False)


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data directory whose path leaves room for a socket's name."""
    base = Path(tempfile.mkdtemp(prefix="kt")).resolve()
    runtime = base / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield base / "data"
    shutil.rmtree(base)


@pytest.fixture
def klinetop(capfd: pytest.CaptureFixture[str], directory: Path) -> Callable[..., Called]:
    """Call klinetop in this process, on the data directory unless told otherwise."""

    def call(*arguments: str, data_dir: Path | None = directory) -> Called:
        capfd.readouterr()
        options = [] if data_dir is None else ["--data-dir", str(data_dir)]
        status = run_guarded(make_group(), [*options, *arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Called(status, out, err)

    return call


async def _status_of(directory: Path) -> dict[str, Any]:
    try:
        client = await EngineClient.connect(find_socket(directory))
    except EngineGone:
        return {}
    try:
        return (await client.ask(contract.StatusRequest())).data
    finally:
        await client.close()


@pytest.fixture
def engine_status() -> Callable[[Path], dict[str, Any]]:
    """Return a function that asks a directory's engine for its status; {} while there is none."""
    return lambda directory: asyncio.run(_status_of(directory))


def candle(at: int, close: float = 1.5) -> Candle:
    return Candle(START_MS + at * MINUTE_MS, 1.0, 2.0, 0.5, close, 10.0 + at, 15.0, 3)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of BTCUSDT 1m and two predictions, one with its outcome."""
    place = tmp_path_factory.mktemp("filled")
    with Store.open(place, source="live") as store:
        minutes = [candle(at) for at in range(120)]
        store.writer.put_candles("BTCUSDT", "1m", minutes, Source.REST).result(10)
        store.writer.run(_write_predictions).result(10)
    return place


@pytest.fixture
def stored(directory: Path, filled: Path) -> Path:
    """The data directory with candles in it."""
    shutil.copytree(filled, directory)
    return directory


def _write_predictions(connection: Any) -> None:
    for at, state in ((0, "hit"), (1, None)):
        open_ms = START_MS + at * MINUTE_MS
        row = connection.execute(
            "INSERT INTO prediction (symbol_id, interval, model, open_time_ms, due_ms, price, p_up,"
            " features_sha, scored_exchange_ms, scored_wall_ms)"
            " SELECT id, '1m', 'v000001', ?, ?, 1.5, 0.61, 'x', ?, 0 FROM symbol RETURNING id",
            (open_ms, open_ms + 6 * MINUTE_MS, open_ms + MINUTE_MS),
        ).fetchone()
        if state:
            connection.execute(
                "INSERT INTO outcome (prediction_id, state, outcome, outcome_price,"
                " resolved_exchange_ms) VALUES (?, ?, 1, 1.7, ?)",
                (row[0], state, open_ms + 6 * MINUTE_MS),
            )


class ScriptedEngine:
    """A desk whose answers a test writes down, on the real socket of the data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.requests: list[contract.Request] = []
        self.answers: dict[type, contract.Answer] = {}
        self.source = "live"
        self.stopped = threading.Event()
        self.cancelled: asyncio.Event | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._thread.start()
        assert self._ready.wait(60)

    def close(self) -> None:
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.cancelled = asyncio.Event()
        path = socket_path(self.directory)
        server = ViewerServer(path, self, pointer=pointer_path(self.directory))
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.close()
        self.stopped.set()

    def welcome(self, hello: contract.Hello) -> contract.Welcome:
        return contract.Welcome(__version__, hello.protocol, 4_000_000, self.source, "", "1m")

    def joined(self, viewer: Viewer) -> None: ...

    def left(self, viewer: Viewer, goodbye: contract.Goodbye | None) -> None: ...

    def stops_after(self, viewer: Viewer, goodbye: contract.Goodbye) -> bool:
        return False

    def frame(self, viewer: Viewer, pull: contract.Pull) -> contract.Frame:
        return contract.Frame(1)

    async def command(self, viewer: Viewer, request: contract.Request) -> contract.Answer:
        self.requests.append(request)
        assert self.cancelled is not None
        if isinstance(request, contract.Cancel):
            self.cancelled.set()
        if isinstance(request, contract.Retrain) and type(request) not in self.answers:
            await self.cancelled.wait()
            return contract.Done(data={"state": "cancelled", "message": "It was cancelled."})
        if isinstance(request, contract.Stop):
            asyncio.get_running_loop().call_later(0.02, self._stop.set)
        return self.answers.get(type(request), contract.Done())


@pytest.fixture
def scripted(directory: Path) -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine(directory)
    engine.start()
    yield engine
    engine.close()
