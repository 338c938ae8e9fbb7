"""Minutes and notes of connections that were lost while others went on."""

from __future__ import annotations

import contextlib
from typing import Any

from msgspec.structs import replace

from engine.capture import sessions
from engine.capture.day_report import day_of, make_report
from engine.market.interval import MINUTE_MS
from engine.reports.text import text
from engine.store import open_reader
from engine.store.gaps import NOT_PUSHED

SPEED = 200.0
PAIR = ("BTCUSDT", "LTCUSDT")


def gaps_since(engine: Any, from_ms: int) -> dict[tuple[str, str], str]:
    """States by symbol and reason of the gaps that begin at `from_ms` or later."""
    rows = engine.store.reader.query(
        "SELECT name, reason, gap.state AS state FROM gap JOIN symbol ON symbol.id = symbol_id"
        " WHERE interval = '1m' AND from_ms >= ?",
        (from_ms,),
    )
    return {(row["name"], row["reason"]): row["state"] for row in rows}


async def test_a_minute_lost_with_one_connection_says_so_and_the_other_says_its_own(
    exchange_at, engine_on, eventually, quick_limits
) -> None:
    running = await exchange_at(SPEED)
    engine = await engine_on(running, SPEED, limits=replace(quick_limits, streams_per_connection=1))
    await eventually(lambda: engine.state == "running")
    await eventually(lambda: engine.collector.closed_seen >= 4)
    begin_ms = (running.exchange.now_ms // MINUTE_MS + 1) * MINUTE_MS
    await eventually(lambda: running.exchange.now_ms > begin_ms + MINUTE_MS)
    running.faults.refuse_connections(2.0)
    cut = [peer for peer in running.faults.connections if "btcusdt@kline_1m" in peer.streams]
    assert len(cut) == 1 < len(running.faults.connections)
    running.faults.skip_close("LTCUSDT", "1m", 1)
    cut[0].abort()
    await eventually(lambda: {name for name, _ in gaps_since(engine, begin_ms)} == set(PAIR))
    await eventually(lambda: engine.supervisor.state.connection == "live")
    found = gaps_since(engine, begin_ms)
    reasons = {why for name, why in found if name == "BTCUSDT"}
    assert reasons
    assert all(why.startswith("no connection: ") for why in reasons), reasons
    assert {why for name, why in found if name == "LTCUSDT"} == {NOT_PUSHED}, found
    back_ms = engine.clock.now_ms()
    await eventually(lambda: engine.ledger.swept_ms > back_ms + MINUTE_MS)
    await eventually(lambda: set(gaps_since(engine, begin_ms).values()) == {"filled"})
    with contextlib.closing(open_reader(engine.store.directory)) as reader:
        report = make_report(reader, day_of(begin_ms), engine.clock.now_ms())
    (loss,) = report.streams.losses
    assert (loss.reason, loss.count, loss.connections) == ("the connection was cut", 1, 1)
    assert "Lost       a connection 1 time:\n" in text(report)


async def test_a_server_that_hangs_up_again_and_again_does_not_fill_the_table(
    exchange_at, engine_on, eventually, monkeypatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_AN_HOUR", 5)
    running = await exchange_at(SPEED)
    engine = await engine_on(running, SPEED)
    await eventually(lambda: engine.state == "running")
    for lost in range(1, 5):
        await eventually(lambda: running.faults.connections)
        running.faults.drop_connections()
        await eventually(lambda: engine.supervisor.stats.reconnects == lost)  # noqa: B023
    engine.store.writer.flush()
    (row,) = engine.store.reader.query(
        "SELECT count(*) AS n FROM session WHERE connection <> 'streams'"
    )
    assert row["n"] == 5
