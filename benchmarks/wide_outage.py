"""A bad day with 1,416 markets: how soon everything is there again, and what it costs.

Run as `python -m benchmarks.wide_outage [--only kill|limited|cut|quiet|backfill]`, in real time
and in about a quarter of an hour. `klinetop serve --markets all` on a simulated exchange in a
process of its own (`benchmarks.wide_exchange`) whose REST answers take 80 ms and have the real
weights. One after the other:

- kill: SIGKILL of the engine for three minutes;
- limited: the same for a minute, and in the middle of the repair the exchange refuses everything
  with HTTP 429 and Retry-After 20;
- cut: all connections are lost as the candles of a minute close, none is let in for 70 s;
- quiet: 700 markets on which nobody trades, so that nothing is pushed of them;
- backfill: two days of all markets, `klinetop backfill` (only when asked for).

At the end the whole database is compared with the exchange's own record.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.all_markets import Exchange, compare, print_figures, status, wide_exchange
from benchmarks.desk import command, scratch, wait_until
from benchmarks.viewer import Viewer
from benchmarks.wide_exchange import MARKETS, SYMBOLS
from engine.market.interval import MINUTE_MS

HISTORY_DAYS = "0.01"
DOWN_S = {"kill": 180.0, "limited": 60.0}
RETRY_AFTER_S = 20
REFUSED_S = 70.0
QUIET_MARKETS = 700
CLOSED_AFTER_S = 6.0
_STORED = (
    "SELECT count(*) FROM symbol CROSS JOIN candle ON symbol_id = symbol.id AND interval = '1m'"
    " AND open_time_ms >= ? AND open_time_ms < ? WHERE name >= ? AND name <= ?"
)


class Desk:
    """One engine on one exchange, with a viewer, killed and started again."""

    def __init__(self, directory: Path, exchange: Exchange) -> None:
        self.directory = directory
        self.exchange = exchange
        self.process: psutil.Popen | None = None
        self.viewer = Viewer(directory, SYMBOLS[0])
        self._log = (directory.parent / "serve.log").open("ab")

    def start(self) -> None:
        """Start the engine; returns at once."""
        addresses = self.exchange.addresses
        arguments = ["--data-dir", str(self.directory), "--markets", "all"]
        arguments += ["--symbols", SYMBOLS[0], "--rest-url", addresses["rest_url"]]
        arguments += ["--stream-url", addresses["stream_url"]]
        self.process = psutil.Popen(
            command("serve", *arguments),
            stdout=self._log,
            stderr=self._log,
            env=os.environ | {"KLINETOP_HISTORY_DAYS": HISTORY_DAYS},
        )

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def flows(self) -> bool:
        """Whether all streams are confirmed."""
        with contextlib.suppress(subprocess.CalledProcessError):
            stream = status(self.directory)["stream"]
            return bool(stream["state"] == "live" and stream["streams"] >= MARKETS)
        return False

    def stored(self, from_ms: int, to_ms: int, first: int = 0, last: int = MARKETS - 1) -> int:
        """Return how many candles of [from_ms, to_ms) are committed of some of the markets."""
        path = self.directory / "klinetop.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found = database.execute(_STORED, (from_ms, to_ms, SYMBOLS[first], SYMBOLS[last]))
            return int(found.fetchone()[0])

    def lacks(self, from_ms: int) -> int:
        """Return how many candles are missing of those that closed at least six seconds ago."""
        to_ms = _minute(time.time() - CLOSED_AFTER_S)
        return MARKETS * (to_ms - from_ms) // MINUTE_MS - self.stored(from_ms, to_ms)

    def close(self) -> None:
        """End the engine in order."""
        if self.process is not None and self.process.is_running():
            self.process.terminate()
            self.process.wait(30)
        if self.viewer.is_alive():
            self.viewer.close()
        self._log.close()


class Cost(NamedTuple):
    """What a repair took."""

    seconds: float
    cpu_s: float
    memory_mb: float


class Meter:
    """Measures what an engine uses until something is so."""

    def __init__(self, desk: Desk) -> None:
        assert desk.process is not None
        self._process = desk.process
        self._began_s = time.monotonic()
        self._cpu_s = self._used()
        self.memory_mb = 0.0
        desk.viewer.forget()
        desk.exchange.tell("forget")

    def _used(self) -> float:
        return float(sum(self._process.cpu_times()[:2]))

    def look(self) -> Cost:
        """Take a sample; returns what was used since the beginning."""
        self.memory_mb = max(self.memory_mb, self._process.memory_info().rss / 1e6)
        return Cost(time.monotonic() - self._began_s, self._used() - self._cpu_s, self.memory_mb)


def _minute(at_s: float) -> int:
    return int(at_s * 1000) // MINUTE_MS * MINUTE_MS


def tell(desk: Desk, title: str, cost: Cost, **more: str) -> None:
    """Print what something took."""
    rest = desk.exchange.tell("rest")
    median, p95, most = desk.viewer.pull_ms()
    print(f"\n{title}")
    print_figures(
        **more,
        rest=f"{rest['requests']:,} requests, {rest['klines']:,} of candles; at most "
        f"{rest['most_weight']:,} weight in a minute; {rest['refused']} refused, "
        f"{rest['ignored']} sent in spite of it",
        engine=f"{100 * cost.cpu_s / cost.seconds:.0f} % of a core over {cost.seconds:.0f} s, "
        f"at most {cost.memory_mb:.0f} MB, loop at most {desk.viewer.worst_lag_ms:.0f} ms late",
        viewer=f"{len(desk.viewer.pulls_s)} frames, median {median:.1f} ms, p95 {p95:.1f} ms, "
        f"most {most:.0f} ms",
    )


def _without_numbers(notes: Iterable[str]) -> list[str]:
    """Return texts that differ in more than how many seconds are left."""
    return list(dict.fromkeys(re.sub(r"\d+ s\b", "N s", text) for text in notes if text))


def wait_whole(desk: Desk, meter: Meter, from_ms: int, limit_s: float) -> tuple[Cost, float]:
    """Wait until nothing is missing; returns when 99 % of it was there, too, in seconds."""
    end = time.monotonic() + limit_s
    lacked = lacks = desk.lacks(from_ms)
    nearly_s = 0.0
    while lacks > 0:
        cost = meter.look()
        if lacks > 0.01 * lacked:
            nearly_s = cost.seconds
        if time.monotonic() > end:
            raise TimeoutError(f"{lacks} candles were missing after {limit_s:.0f} s")
        time.sleep(0.25)
        lacks = desk.lacks(from_ms)
        lacked = max(lacked, lacks)
    return meter.look(), nearly_s


def killed(desk: Desk, from_ms: int, part: str) -> None:
    """Kill the engine, and see it come back."""
    down_s = DOWN_S[part]
    desk.kill()
    time.sleep(down_s)
    lacking_ms = _minute(time.time()) - _minute(time.time() - down_s)
    desk.start()
    meter = Meter(desk)
    if part == "limited":
        half = MARKETS // 2
        wait_until(lambda: desk.exchange.tell("rest")["klines"] >= half, 120, "half is repaired")
        desk.exchange.tell(f"refuse {RETRY_AFTER_S}")
    cost, nearly_s = wait_whole(desk, meter, from_ms, 600)
    note = f", refused for {RETRY_AFTER_S} s in the middle" if part == "limited" else ""
    tell(
        desk,
        f"{part}: engine killed for {down_s:.0f} s{note}",
        cost,
        lacked=f"about {MARKETS * lacking_ms // MINUTE_MS:,} candles of {MARKETS:,} markets",
        whole=f"{cost.seconds:.1f} s after its start, 99 % of it after {nearly_s:.1f} s",
        said=" | ".join(_without_numbers(desk.viewer.notes)) or "nothing",
    )


def cut(desk: Desk, from_ms: int) -> None:
    """Lose all connections."""
    before = desk.exchange.tell("connects")["tries"]
    desk.exchange.tell(f"cut {REFUSED_S:g}")
    time.sleep(61 - time.time() % 60)
    meter = Meter(desk)
    time.sleep(1)
    wait_until(desk.flows, 200, "all streams flow again")
    flowed_s = meter.look().seconds
    cost, nearly_s = wait_whole(desk, meter, from_ms, 600)
    connects = desk.exchange.tell("connects")
    tell(
        desk,
        f"cut: connections lost at second zero, none let in for {REFUSED_S:.0f} s",
        cost,
        streams=f"all {MARKETS:,} confirmed {flowed_s - REFUSED_S + 1:.1f} s after they were let "
        f"in; {connects['tries'] - before} tries to connect, {connects['most_in_window']} at most "
        "in 5 minutes (300 allowed)",
        whole=f"{cost.seconds - flowed_s:.1f} s after the streams, 99 % of it after "
        f"{nearly_s - flowed_s:.1f} s",
    )


def quiet(desk: Desk, minutes: int) -> None:
    """Have nothing pushed of half of the markets."""
    first_ms = desk.exchange.tell(f"quiet {QUIET_MARKETS}")["from_ms"]
    time.sleep(max(0.0, first_ms / 1000 - time.time()))
    meter = Meter(desk)
    loud = MARKETS - QUIET_MARKETS
    delays: dict[str, list[float]] = {"loud": [], "quiet": []}
    for number in range(minutes):
        open_ms = first_ms + number * MINUTE_MS
        over_s = open_ms / 1000 + 60
        time.sleep(max(0.0, over_s - time.time()))
        for name, (first, last) in {"loud": (0, loud - 1), "quiet": (loud, MARKETS - 1)}.items():
            while desk.stored(open_ms, open_ms + MINUTE_MS, first, last) <= last - first:
                meter.look()
                if time.time() > over_s + 300:
                    raise TimeoutError(f"{name} markets lacked candles after five minutes")
                time.sleep(0.1)
            delays[name].append(time.time() - over_s)
    cost = meter.look()
    words = {
        name: f"{min(told):.1f} to {max(told):.1f} s after the end of their minute"
        for name, told in delays.items()
    }
    desk.exchange.tell("quiet 0")
    tell(desk, f"quiet: {QUIET_MARKETS} markets not pushed for {minutes} minutes", cost, **words)
    time.sleep(65)


def backfill(desk: Desk, days: float) -> None:
    """Fetch days of all markets."""
    meter = Meter(desk)
    arguments = ["backfill", "--markets", "all", "--days", f"{days:g}"]
    process = subprocess.Popen(command(*arguments, "--data-dir", str(desk.directory)))
    shown_s = time.monotonic()
    while process.poll() is None:
        meter.look()
        if time.monotonic() - shown_s > 30 and desk.viewer.progress:
            shown_s = time.monotonic()
            rows, wanted, rate, eta_s = desk.viewer.progress[-1]
            left = "unknown" if eta_s is None else f"{eta_s:.0f} s"
            at_s = meter.look().seconds
            print(f"  {at_s:.0f} s: {rows:,} of {wanted:,}, {rate:,.0f}/s, {left} left")
        time.sleep(0.5)
    cost = meter.look()
    rows = int(days * 1440) * MARKETS
    tell(
        desk,
        f"backfill: {days:g} days of {MARKETS:,} markets",
        cost,
        rows=f"{rows:,} in {cost.seconds:.0f} s, {rows / cost.seconds:,.0f} a second",
        database=f"{(desk.directory / 'klinetop.db').stat().st_size / 1e6:.0f} MB",
    )


@contextlib.contextmanager
def started(directory: Path, exchange: Exchange) -> Iterator[tuple[Desk, int]]:
    """Yield a desk whose streams flow, and the first minute that is captured as a whole."""
    desk = Desk(directory, exchange)
    try:
        desk.start()
        begun_s = time.monotonic()
        wait_until((directory / "klinetop.db").exists, 60, "the engine starts")
        wait_until(desk.flows, 120, "all streams flow")
        print(f"all streams confirmed after {time.monotonic() - begun_s:.1f} s of the process")
        desk.viewer.start()
        from_ms = _minute(time.time()) + MINUTE_MS
        time.sleep(from_ms / 1000 + 60 + CLOSED_AFTER_S + 1 - time.time())
        wait_until(lambda: desk.lacks(from_ms) <= 0, 120, "the first minute is whole")
        yield desk, from_ms
    finally:
        desk.close()


def run(parts: list[str], quiet_minutes: int, days: float) -> None:
    """Run the parts and print the figures."""
    past = ("--past-days", f"{days:g}") if "backfill" in parts else ()
    with (
        scratch() as directory,
        wide_exchange("--answer-ms", "80", *past) as exchange,
        started(directory, exchange) as (desk, first_ms),
    ):
        from_ms = first_ms
        for part in parts:
            if part in DOWN_S:
                killed(desk, from_ms, part)
            elif part == "cut":
                cut(desk, from_ms)
            elif part == "quiet":
                quiet(desk, quiet_minutes)
            else:
                backfill(desk, days)
                from_ms = first_ms - round(days * 720) * MINUTE_MS
        wait_until(lambda: desk.lacks(from_ms) <= 0, 300, "nothing is missing")
        to_ms = _minute(time.time() - CLOSED_AFTER_S)
        gaps = status(directory)["store"]["gaps"]
        result = compare(directory, exchange, from_ms, to_ms)
        print("\nafterwards")
        print_figures(
            closed_candles=f"{result['sent']:,} at the exchange, {result['missing']} missing, "
            f"{result['different']} wrong, {result['extra']} extra",
            ledger=", ".join(f"{count:,} {state}" for state, count in gaps.items()),
        )
        subprocess.run(command("report", "--data-dir", str(directory)), check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("kill", "limited", "cut", "quiet", "backfill"))
    parser.add_argument("--quiet-minutes", type=int, default=3)
    parser.add_argument("--days", type=float, default=2.0)
    options = parser.parse_args()
    chosen = [options.only] if options.only else ["kill", "limited", "cut", "quiet"]
    run(chosen, options.quiet_minutes, options.days)
