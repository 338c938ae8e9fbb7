"""Starting, finding and losing an engine, with a small engine in a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from engine.service import contract, launch, log_files, places
from engine.service.client import EngineGone, EngineProblem
from engine.service.launch import Connector, EngineFailed
from engine.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = """
import asyncio, os, signal, sys
from engine.service.launch import pointer_path, socket_path
from engine.service.server import ViewerServer
from engine.service import contract
from engine.settings import Settings

settings = Settings.from_json(os.environ["KLINETOP_ENGINE_SETTINGS"])
print("engine of", settings.source, flush=True)

class Desk:
    def welcome(self, hello):
        self.owner = hello.owner
        pid, source = os.getpid(), settings.source
        note = settings.source_note
        return contract.Welcome(hello.version, hello.protocol, pid, source, "", "1m", note)
    def joined(self, viewer): pass
    def left(self, viewer, goodbye): pass
    def stops_after(self, viewer, goodbye): return False
    def frame(self, viewer, pull): return contract.Frame(1)
    async def command(self, viewer, request):
        if isinstance(request, contract.Retrain):
            await asyncio.sleep(60)
        if isinstance(request, contract.Stop):
            asyncio.get_running_loop().call_later(0.01, stop.set)
        return contract.Done(data={"owner": self.owner, "session": os.getsid(0)})

async def main():
    global stop
    stop = asyncio.Event()
    directory = settings.directory
    server = ViewerServer(socket_path(directory), Desk(), pointer=pointer_path(directory))
    await server.start()
    await stop.wait()
    await server.close()

asyncio.run(main())
"""
FAILING = """
import sys
print("Traceback: something that is no sentence", file=sys.stderr)
print("The database belongs to another source; choose another --data-dir.", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def settings(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    runtime = short_directory / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return Settings(data_dir=short_directory / "data", demo=True)


@pytest.fixture
def engine(
    short_directory: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, ...]]:
    script = short_directory / "engine_script.py"
    script.write_text(ENGINE)
    started: list[launch.EngineProcess] = []
    start = launch.start_engine

    def noted_start(*args: Any, **options: Any) -> launch.EngineProcess:
        started.append(start(*args, **options))
        return started[-1]

    monkeypatch.setattr(launch, "start_engine", noted_start)
    yield (sys.executable, str(script))
    asyncio.run(stop_engine(settings))
    for one in started:
        one.process.wait(timeout=60)


async def stop_engine(settings: Settings) -> None:
    path = places.find_socket(settings.directory)
    try:
        client = await launch.EngineClient.connect(path)
    except EngineGone:
        return
    await client.ask(contract.Stop())
    await client.close()
    async with asyncio.timeout(60):
        while path.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_starts_once_then_attaches(engine: tuple[str, ...], settings: Settings) -> None:
    connector = Connector(settings, command=engine)
    first = await connector()
    second = await launch.attach_or_start(settings, command=engine)
    assert connector.is_owner
    assert first.welcome.pid == second.welcome.pid
    assert first.welcome.source == "demo"
    done = await second.ask(contract.StatusRequest())
    assert isinstance(done, contract.Done)
    assert done.data["owner"] is False
    assert done.data["session"] == first.welcome.pid != os.getsid(0)
    log = settings.directory / "engine.log"
    assert "engine of demo" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    await first.close()
    await second.close()


async def test_an_early_start_is_used_and_not_repeated(
    engine: tuple[str, ...], settings: Settings
) -> None:
    connector = Connector(settings, command=engine)
    connector.start_early()
    client = await connector()
    done = await client.ask(contract.StatusRequest())
    assert isinstance(done, contract.Done)
    assert done.data["owner"] is True
    assert (settings.directory / "engine.log").read_text().count("engine of demo") == 1
    assert launch.is_answering(settings.directory)
    other = Connector(settings, command=("/nonexistent",))
    other.start_early()
    assert not other.is_owner
    await client.close()


async def test_a_stopped_engine_is_not_revived(engine: tuple[str, ...], settings: Settings) -> None:
    connector = Connector(settings, command=engine)
    client = await connector()
    await client.close()
    await stop_engine(settings)
    with pytest.raises(EngineGone, match="has stopped"):
        await connector()
    assert not launch.is_answering(settings.directory)


async def test_a_killed_engine_leaves_a_socket_that_the_next_one_replaces(
    engine: tuple[str, ...], settings: Settings
) -> None:
    connector = Connector(settings, command=engine)
    client = await connector()
    os.kill(client.welcome.pid, signal.SIGKILL)
    with pytest.raises(EngineGone):
        await client.ask(contract.Retrain("BTCUSDT", "1m", wait=True))
    await client.close()
    assert connector.process is not None
    connector.process.wait(timeout=60)
    with pytest.raises(EngineGone, match="ended by SIGKILL"):
        await connector()
    fresh = await launch.attach_or_start(settings, command=engine)
    assert fresh.welcome.pid != client.welcome.pid
    await fresh.close()


@pytest.mark.parametrize(("status", "usage"), [(2, True), (3, False)])
async def test_the_last_sentence_of_a_failed_start_reaches_the_user(
    short_directory: Path, settings: Settings, status: int, usage: bool
) -> None:
    script = short_directory / "failing.py"
    script.write_text(FAILING)
    connector = Connector(settings, command=(sys.executable, str(script), str(status)))
    with pytest.raises(EngineFailed, match="belongs to another source") as failure:
        await connector()
    assert failure.value.usage is usage
    assert ("tells more" in str(failure.value)) is not usage
    with pytest.raises(EngineFailed, match="belongs to another source"):
        await connector()


async def test_words_of_an_earlier_run_are_not_quoted(
    short_directory: Path, settings: Settings
) -> None:
    settings.directory.mkdir()
    (settings.directory / "engine.log").write_text("An old complaint.\n")
    with pytest.raises(EngineFailed) as failure:
        await launch.attach_or_start(
            settings, command=(sys.executable, "-c", "raise SystemExit(3)")
        )
    assert "old complaint" not in str(failure.value)
    assert "status 3" in str(failure.value)


def test_a_long_log_is_rotated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "LOG_BYTES_MAX", 10)
    settings.directory.mkdir()
    log = settings.directory / "engine.log"
    log.write_text("x" * 11)
    started = launch.start_engine(settings, command=(sys.executable, "-c", "print('hi')"))
    assert started.process.wait(timeout=60) == 0
    assert log.read_text() == "hi\n"
    assert (settings.directory / "engine.log.1").read_text() == "x" * 11


def test_a_log_that_grows_is_begun_anew_under_way(short_directory: Path) -> None:
    log = short_directory / "engine.log"
    program = """
import asyncio, os, sys
from pathlib import Path
from engine.service import log_files

log_files.LOG_BYTES_MAX = 10

async def main():
    keeper = asyncio.create_task(log_files.keep_small(Path(sys.argv[1]), 0.01))
    print("x" * 11, flush=True)
    while not Path(sys.argv[1] + ".1").exists():
        await asyncio.sleep(0.01)
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    keeper.cancel()

asyncio.run(main())
"""
    with log.open("ab") as out:
        subprocess.run(
            [sys.executable, "-c", program, str(log)],
            stdout=out,
            stderr=out,
            timeout=60,
            check=True,
        )
    assert (short_directory / "engine.log.1").read_text() == "x" * 11 + "\n"
    assert log.read_text() == "out\nerr\n"


async def test_a_failure_that_is_no_crash_is_told_in_the_engines_own_words(
    settings: Settings,
) -> None:
    for code, said, usage in ((1, "The database is damaged.", False), (2, "No such market.", True)):
        program = f"import sys; print({said!r}, file=sys.stderr); sys.exit({code})"
        with pytest.raises(EngineFailed) as failure:
            await launch.attach_or_start(settings, command=(sys.executable, "-c", program))
        assert (str(failure.value), failure.value.usage) == (said, usage)
    with pytest.raises(EngineFailed, match=r"status 1; .*engine\.log tells more"):
        await launch.attach_or_start(settings, command=(sys.executable, "-c", "1 / 0"))


def test_a_data_directory_that_can_not_be_made_is_a_sentence(short_directory: Path) -> None:
    (short_directory / "file").write_text("")
    with pytest.raises(SettingsError, match="--data-dir"):
        launch.start_engine(Settings(data_dir=short_directory / "file" / "data"))


def test_socket_path_is_short_private_and_per_directory(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for runtime in (short_directory / "run", short_directory / ("long" * 40)):
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        one = places.socket_path(short_directory / ("a" * 200))
        assert len(os.fsencode(one)) < 104
        assert one == places.socket_path(short_directory / "x" / ".." / ("a" * 200))
        assert one != places.socket_path(short_directory / "b")


def test_a_directory_of_somebody_else_is_refused(short_directory: Path) -> None:
    target = short_directory / "target"
    target.mkdir()
    link = short_directory / "link"
    link.symlink_to(target)
    with pytest.raises(places.UnsafeDirectory):
        places.private_directory(link)
    places.private_directory(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_engine_pid_trusts_the_lock_only(short_directory: Path) -> None:
    import fcntl

    assert places.engine_pid(short_directory) is None
    lock = short_directory / "engine.lock"
    lock.write_text("rubbish")
    assert places.engine_pid(short_directory) is None
    lock.write_text(f"{os.getpid()}\n")
    assert places.engine_pid(short_directory) is None
    with lock.open("r+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert places.engine_pid(short_directory) == os.getpid()


def test_settings_travel_as_json(settings: Settings) -> None:
    full = msgspec.structs.replace(settings, speed=float("inf"), replay=(Path("/a b"),))
    assert Settings.from_json(full.to_json()) == full


async def test_an_engine_of_another_seed_is_refused_with_both_named(
    engine: tuple[str, ...], settings: Settings
) -> None:
    client = await launch.attach_or_start(settings, command=engine)
    other = msgspec.structs.replace(settings, seed=settings.seed + 1)
    with pytest.raises(EngineProblem) as caught:
        await launch.attach_or_start(other, command=engine)
    assert f"shows a demo ({settings.source_note}), not a demo ({other.source_note});" in (
        str(caught.value)
    )
    assert f"klinetop stop --data-dir {settings.directory}" in str(caught.value)
    await client.close()


HOLDER = """
import pathlib, sys
from engine.store import DirectoryLock

lock = DirectoryLock.acquire(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the directory as an engine that is stopping does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


async def test_an_engine_that_is_stopping_is_waited_for(
    engine: tuple[str, ...], settings: Settings, holder: subprocess.Popen[str]
) -> None:
    connector = Connector(settings, command=engine, say_after_s=0.05)
    connector.start_early()
    for _ in range(2):
        with pytest.raises(EngineGone, match=rf"\(pid {holder.pid}\) holds .* waits for it"):
            await connector()
    assert not connector.is_owner
    waiting = asyncio.create_task(Connector(settings, command=engine)())
    await asyncio.sleep(0)
    assert holder.stdin is not None
    holder.stdin.close()
    client = await waiting
    assert client.welcome.pid != holder.pid
    await client.close()


async def test_the_first_connection_goes_on_with_what_was_asked_early(
    engine: tuple[str, ...], settings: Settings
) -> None:
    first = await launch.attach_or_start(settings, command=engine)
    connector = Connector(settings, command=engine)
    connector.start_early(contract.View(focused="BTCUSDT"))
    client = await connector()
    early = client.take_early()
    assert early is not None
    assert early.frame.revision == 1
    again = await connector()
    assert again.take_early() is None
    for one in (first, client, again):
        await one.close()
