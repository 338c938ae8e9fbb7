"""SIGKILL of engine and terminal at random moments: nothing that was counted is lost.

Run as `python -m benchmarks.kill [times]`. A demo runs at 60 times the speed of time and trains a
model. Each time, `status` is asked up to a random moment, then the engine gets SIGKILL: the
database must open and hold at least as many candles as the last status counted, each candle must
equal the generated market's, and 2 s later none of the engine's processes may run. Then the
terminal is killed: the engine must go on storing, and the next terminal must attach to it.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.desk import ask, engine, scratch, terminal, wait_until
from engine.market.interval import INTERVALS
from engine.simulator.generated import GeneratedMarket
from engine.store import open_reader

KILLS = 10
SPEED = "60"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")
ARGUMENTS = ("--demo", "--speed", SPEED, "--symbols", ",".join(SYMBOLS))
ORPHAN_S = 2.0


def kill_engine(directory: Path, choice: random.Random) -> tuple[int, int, int, int, list[str]]:
    """Kill one engine; return candles counted, held, compared and different, and orphans."""
    with engine(directory, *ARGUMENTS) as serving:
        end = time.monotonic() + choice.uniform(0.0, 8.0)
        counted = ask(directory, "status")["store"]["candles"]
        while time.monotonic() < end:
            counted = ask(directory, "status")["store"]["candles"]
            time.sleep(choice.uniform(0.0, 0.3))
        children = psutil.Process(serving.pid).children(recursive=True)
        serving.kill()
        serving.wait(5)
        _, alive = psutil.wait_procs(children, timeout=ORPHAN_S)
        orphans = [child.name() for child in alive if runs(child)]
    held, compared, different = inspect(directory)
    return counted, held, compared, different, orphans


def runs(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits for `init` to bury it does not."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def inspect(directory: Path) -> tuple[int, int, int]:
    """Return candles held, those compared with the market, and those that differ."""
    reader = open_reader(directory)
    held = reader.candle_count()
    stored = {symbol: reader.candles(symbol, "1m") for symbol in SYMBOLS}
    reader.close()
    compared = different = 0
    for symbol, candles in stored.items():
        if not candles:
            continue
        first_ms, last_ms = candles[0].open_time_ms, candles[-1].open_time_ms
        market = GeneratedMarket(symbols=SYMBOLS, start_ms=last_ms + 60_000)
        truth = {
            candle.open_time_ms: candle
            for candle in market.history(
                symbol, INTERVALS["1m"], first_ms, last_ms + 60_000, 1_000_000
            )
        }
        compared += len(candles)
        different += sum(truth.get(candle.open_time_ms) != candle for candle in candles)
    return held, compared, different


def kill_terminal(directory: Path) -> None:
    """Kill the terminal that started an engine, look at the engine, attach again."""
    with terminal(directory, (120, 30), *ARGUMENTS) as first:
        first.wait_for(b"BTCUSDT")
        wait_until(lambda: "running" in state_of(directory), 120, "the engine runs")
        first.drain(1.0)
        pid = ask(directory, "status")["engine"]["pid"]
        first.process.kill()
        first.process.wait(5)
    before = ask(directory, "status")["store"]["candles"]
    time.sleep(5.0)
    after = ask(directory, "status")
    with terminal(directory, (120, 30), *ARGUMENTS) as second:
        second.wait_for(b"BTCUSDT")
        second.wait_for(b"live")
        again = ask(directory, "status")["engine"]["pid"]
    print(
        f"terminal killed: engine {'goes on' if after['engine']['pid'] == pid else 'changed'}, "
        f"{after['store']['candles'] - before} candles more after 5 s; the next terminal attached "
        f"to {'the same engine' if again == pid else 'ANOTHER ENGINE'}"
    )
    leave(pid)


def state_of(directory: Path) -> str:
    """Return the engine's state, empty while there is none."""
    try:
        return str(ask(directory, "status")["engine"].get("state", ""))
    except subprocess.CalledProcessError:
        return ""


def leave(pid: int) -> None:
    """Stop the engine that a killed terminal left, which is its purpose."""
    process = psutil.Process(pid)
    process.terminate()
    psutil.wait_procs([process], timeout=30)


def main() -> None:
    """Print one line for each kill."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    choice = random.Random(1)
    with scratch() as directory:
        lost = wrong = left = 0
        for number in range(1, kills + 1):
            counted, held, compared, different, orphans = kill_engine(directory, choice)
            lost += max(0, counted - held)
            wrong += different
            left += len(orphans)
            print(
                f"{number:3}  counted {counted:7,}  held {held:7,}  different {different} of "
                f"{compared:,}  orphans {orphans or 'none'}",
                flush=True,
            )
        print(f"engine killed {kills} times: {lost} candles lost, {wrong} wrong, {left} orphans")
        kill_terminal(directory)


if __name__ == "__main__":
    main()
