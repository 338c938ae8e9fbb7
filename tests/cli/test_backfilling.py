"""Backfills of many markets and the ledger of gaps from the command line."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.capture.history import HistoryKeeper
from engine.commands.backfill_jobs import duration, progress_line
from engine.service import contract
from engine.store import Store, gaps

MINUTE_MS = 60_000
START_MS = 1_734_652_800_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("backfill", "--days", "3"), ("--markets",)),
        (("backfill", "BTCUSDT"), ("--start", "--days")),
        (("backfill", "BTCUSDT", "--days", "3", "--start", "2024-01-01"), ("--start", "--days")),
        (("backfill", "--markets", "all", "--days", "1", "--interval", "7m"), ("7m",)),
        (("gaps", "--symbol", "B!"), ("'B!' is no symbol",)),
    ],
)
def test_mistakes_are_sentences(
    klinetop: Any, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    found = klinetop(*arguments)
    assert (found.status, found.out) == (2, "")
    assert all(word in found.err for word in words), found.err


def test_a_job_goes_through_the_engine_and_is_followed(
    klinetop: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers[contract.BackfillMarkets] = contract.Done(
        "Backfill 7: 2 markets.", {"job": 7, "markets": 2}
    )
    figures = {"job": 7, "state": "done", "message": "2,880 candles fetched", "rows": 2880}
    scripted.answers[contract.BackfillState] = contract.Done(data=figures)
    found = klinetop("backfill", "--markets", "usdt,B*", "--days", "1", "--json")
    assert found.status == 0
    assert json.loads(found.out)["rows"] == 2880
    (asked,) = [one for one in scripted.requests if isinstance(one, contract.BackfillMarkets)]
    assert asked.end_ms - asked.start_ms == 86_400_000
    assert len(asked.markets) == 2
    scripted.answers[contract.BackfillState] = contract.Done(
        data={**figures, "state": "failed", "message": "The disk is full."}
    )
    found = klinetop("backfill", "--markets", "all", "--days", "1")
    assert (found.status, found.out) == (1, "")
    assert "Backfill 7 is failed: The disk is full.\n" in found.err
    assert "prunes" not in found.err
    found = klinetop("backfill", "--markets", "all", "--days", "500")
    assert "prunes" not in found.err
    monkeypatch.setenv("KLINETOP_RETENTION_DAYS", "400")
    found = klinetop("backfill", "--markets", "all", "--days", "500")
    assert "prunes candles older than 400 days once a day; set retention.days = 0" in found.err
    found = klinetop("backfill", "--markets", "all", "--days", "500", "--interval", "1d")
    assert "prunes" not in found.err
    scripted.answers[contract.CancelBackfill] = contract.Done("1 backfill is cancelled.")
    assert klinetop("backfill", "--cancel").err == "1 backfill is cancelled.\n"


def test_the_ledger_is_printed_newest_first(klinetop: Any, tmp_path: Path) -> None:
    directory = tmp_path / "own"
    with Store.open(directory, source="live") as store:
        for minute, reason in ((0, "the engine was not running"), (9, "no connection: cut")):
            where = (START_MS + minute * MINUTE_MS, START_MS + (minute + 2) * MINUTE_MS)
            store.writer.run(
                lambda db, where=where, reason=reason: gaps.note_missing(
                    db, "BTCUSDT", "1m", [where], 5, reason=reason, now_ms=START_MS
                )
            ).result(10)
    found = klinetop("gaps", "--data-dir", str(directory))
    lines = found.out.splitlines()
    assert "no connection: cut" in lines[1]
    assert "2024-12-20 00:00" in lines[2]
    assert found.err == "2 gaps: candles 4 open.\n"
    told = json.loads(klinetop("gaps", "--data-dir", str(directory), "--json").out)
    assert (told["total"], told["candles_by_state"]) == (2, {"open": 4})
    nothing = klinetop("gaps", "--data-dir", str(directory), "--state", "filled")
    assert (nothing.out, nothing.err) == ("", "No such gap is in the ledger.\n")


def test_progress_in_words() -> None:
    figures = {
        "rows": 1200, "wanted": 60_000, "rows_per_s": 350.4, "eta_s": 168.0, "series_left": 3,
        "note": "Requests wait 28 s.",
    }  # fmt: skip
    assert progress_line(figures) == (
        "1,200 of 60,000, 350/s, 3 min left, 3 series, Requests wait 28 s."
    )
    waiting = {**figures, "rows": 0, "wanted": 0, "note": "It waits for its turn."}
    assert progress_line(waiting) == "It waits for its turn."
    assert [duration(s) for s in (45, 600, 12_000, 200_000)] == [
        "45 s", "10 min", "3 h 20 min", "2 d 7 h"
    ]  # fmt: skip


def _market(name: str, step: object) -> dict[str, Any]:
    price = {"filterType": "PRICE_FILTER", "tickSize": step}
    facts = {"status": "TRADING", "baseAsset": name[:3], "quoteAsset": "USDT"}
    return {"symbol": name, **facts, "filters": [price]}


class _OddExchange(BaseHTTPRequestHandler):
    """Knows a good and an odd market, and has one row of candles that is none."""

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        asked = {
            key: int(values[0]) for key, values in parse_qs(where.query).items() if "Time" in key
        }
        now_ms = time.time_ns() // 1_000_000
        body: Any = {"serverTime": now_ms}
        if where.path.endswith("exchangeInfo"):
            markets = [_market("BTCUSDT", "0.01"), _market("O\x1b[31mDD", 0.01)]
            body |= {"timezone": "UTC", "rateLimits": [], "symbols": markets}
        elif where.path.endswith("klines"):
            first_ms = -(-asked["startTime"] // MINUTE_MS) * MINUTE_MS
            last_ms = min(asked.get("endTime", now_ms), now_ms)
            numbers = ("1.5", 0, "150", 10, "0.5", "50", "0")
            body = [
                [at_ms, "9", "9", "9", "9", numbers[0], at_ms + MINUTE_MS - 1, *numbers[2:]]
                for at_ms in range(first_ms, last_ms, MINUTE_MS)
            ]
            body[1] = None
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that fails does not wait for it
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def odd_exchange() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _OddExchange) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_a_backfill_leaves_out_is_told(klinetop: Any, odd_exchange: str) -> None:
    found = klinetop("backfill", "BTCUSDT", "--days", "0.01", "--rest-url", odd_exchange)
    assert found.status == 0
    assert "exchangeInfo holds an entry that can not be understood: O\\x1b[31mDD" in found.err
    assert "candles of BTCUSDT holds an entry that can not be understood: null" in found.err
    assert "\x1b" not in found.err


def test_a_backfill_whose_worker_fails_ends(
    klinetop: Any, odd_exchange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(_: HistoryKeeper) -> None:
        raise ArithmeticError("seven")

    monkeypatch.setattr(HistoryKeeper, "run", run)
    for what in (("BTCUSDT",), ("--markets", "BTCUSDT")):
        found = klinetop("backfill", *what, "--days", "0.01", "--rest-url", odd_exchange)
        assert found.status == 1
        assert "ArithmeticError: seven" in found.err
