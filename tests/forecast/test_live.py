from __future__ import annotations

import asyncio
import math
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from engine.forecast.features import LIVE_ROWS
from engine.forecast.ledger import Ledger, TooLate
from engine.forecast.live import ForecastDesk
from engine.forecast.metrics import wilson
from engine.forecast.registry import Registry
from engine.forecast.scoring import Score, score_newest
from engine.forecast.supervisor import Limits
from engine.forecast.values import ForecastConfig, ForecastError
from engine.market.candle import Candle
from engine.market.interval import parse_interval
from engine.store import Source, Store
from engine.store.gaps import mark, record_missing

KEY = ("BTCUSDT", "1m")
MINUTE = parse_interval("1m")
MINUTE_MS = MINUTE.length_ms
DAY_MS = 86_400_000
FAKE = Path(__file__).with_name("fake_trainer.py")
LOOKAHEAD = 5


def candles_of(columns):
    names = ("open", "high", "low", "close", "volume", "quote_volume")
    return [
        Candle(
            int(columns["open_time_ms"][at]),
            *(float(columns[name][at]) for name in names),
            int(columns["trades"][at]),
            float(columns["taker_buy_volume"][at]),
            None,
        )
        for at in range(len(columns["open_time_ms"]))
    ]


class Exchange:
    """A market that is played candle by candle into a store and a desk."""

    def __init__(self, directory: Path, columns, **desk) -> None:
        self.directory = directory
        self.candles = candles_of(columns)
        self.now_ms = self.candles[0].open_time_ms
        self.notices: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str, int]] = []
        self.store = Store.open(directory, source="demo")
        self.store.writer._gather_s = 0.005  # tests wait for most commits one by one
        self.desk_options = desk
        self.desk = self.make_desk()

    def make_desk(self) -> ForecastDesk:
        return ForecastDesk(
            self.store,
            self.directory / "models",
            ForecastConfig(networks=1, epochs=2, minimum_rows=100),
            ensure_history=self.ensure_history,
            on_notice=lambda level, text: self.notices.append((level, text)),
            exchange_now_ms=lambda: self.now_ms,
            **self.desk_options,
        )

    async def ensure_history(self, symbol, interval, rows, progress) -> None:
        progress("Fetching.")
        self.asked.append((symbol, interval, rows))

    def keep(self, start: int, stop: int) -> None:
        self.store.writer.put_candles(*KEY, self.candles[start:stop], Source.REST)
        self.store.writer.flush()
        self.now_ms = self.candles[stop - 1].open_time_ms + MINUTE_MS

    async def play(self, start: int, stop: int) -> None:
        for at in range(start, stop):
            self.keep(at, at + 1)
            self.desk.candle_closed(*KEY, self.candles[at].open_time_ms)
            self.store.writer.flush()
            await self.settle()

    async def settle(self) -> None:
        await self.desk._live.close()

    def champion(self, trained: Path):
        registry = Registry(self.directory / "models", LOOKAHEAD)
        scratch = registry.scratch(*KEY, "given")
        shutil.copytree(trained, scratch, dirs_exist_ok=True)
        model = registry.adopt(*KEY, scratch)
        registry.set_champion(model)
        return model


@pytest.fixture
def exchange(tmp_path, market):
    opened = []

    def make(rows=700, seed=9, **desk) -> Exchange:
        opened.append(Exchange(tmp_path / "data", market(rows, seed, 0.2), **desk))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()


async def test_predictions_are_written_before_their_outcomes_and_resolved_after(exchange, trained):
    given = exchange()
    model = given.champion(trained)
    given.desk.load()
    assert given.desk.champions() == {KEY}
    given.keep(0, 600)
    before = given.desk.revision
    await given.play(600, 612)
    assert given.desk.revision > before
    rows = given.desk.predictions(*KEY, 50)
    assert len(rows) == 12
    for at, row in enumerate(rows, 600):
        assert row.open_time_ms == given.candles[at].open_time_ms
        assert row.due_ms == row.open_time_ms + 6 * MINUTE_MS
        assert row.price == given.candles[at].close
        assert row.model == model.name
        if at + LOOKAHEAD < 612:
            close = given.candles[at + LOOKAHEAD].close
            assert row.outcome_price == close
            assert row.outcome == int(close > row.price)
            assert row.state == ("hit" if (row.p_up >= 0.5) == (close > row.price) else "miss")
        else:
            assert (row.state, row.outcome) == ("waiting", None)
    scored = given.store.reader.query("SELECT scored_exchange_ms, due_ms FROM prediction")
    assert all(row["scored_exchange_ms"] < row["due_ms"] for row in scored)


async def test_the_record_counts_the_ledger_and_the_baselines_on_the_same_rows(exchange, trained):
    given = exchange()
    model = given.champion(trained)
    given.desk.load()
    assert given.desk.record(*KEY).needed == 4_904 * LOOKAHEAD
    given.keep(0, 600)
    await given.play(600, 640)
    rows = [row for row in given.desk.predictions(*KEY, 100) if row.state in {"hit", "miss"}]
    hits = sum(row.state == "hit" for row in rows)
    for record in (given.desk.record(*KEY), given.make_desk().record(*KEY)):
        assert record.resolved == len(rows) == 35
        assert record.hit_rate == hits / len(rows)
        assert (record.low, record.high) == wilson(hits / LOOKAHEAD, len(rows) / LOOKAHEAD)
        brier = math.fsum((row.p_up - row.outcome) ** 2 for row in rows) / len(rows)
        assert record.brier == pytest.approx(brier)
        assert record.needed > 0
        base = int(model.baselines.base_rate >= 0.5)
        assert record.baselines["majority"] == sum(row.outcome == base for row in rows) / len(rows)
        closes = {one.open_time_ms: one.close for one in given.candles}
        reversal = sum(
            row.outcome == int(row.price < closes[row.open_time_ms - LOOKAHEAD * MINUTE_MS])
            for row in rows
        )
        assert record.baselines["reversal"] == reversal / len(rows)
        assert 0 <= record.baselines["logistic"] <= 1


async def test_every_probability_can_be_had_again_from_the_store(exchange, trained):
    given = exchange()
    model = given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    await given.play(600, 606)
    for row in given.desk.predictions(*KEY, 10):
        columns = given.store.reader.columns(*KEY, end_ms=row.open_time_ms + 1)
        again = score_newest(model, columns, MINUTE)
        assert again.p_up == pytest.approx(row.p_up, abs=1e-7)
        assert again.price == row.price


async def test_a_second_report_of_a_candle_makes_no_second_prediction(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    await given.play(600, 601)
    await given.play(600, 601)
    given.desk.candle_closed(*KEY, given.candles[600].open_time_ms)
    given.desk.candle_closed(*KEY, given.candles[600].open_time_ms)
    given.store.writer.flush()
    await given.settle()
    assert len(given.desk.predictions(*KEY, 10)) == 1


async def test_the_ledger_refuses_changes_and_what_comes_too_late(exchange):
    given = exchange()
    ledger = Ledger(given.store, lambda: given.now_ms)
    due_ms = given.now_ms + 6 * MINUTE_MS
    score = Score(given.now_ms, 100.0, 0.6, {})
    waiting = ledger.insert(*KEY, "v1", score, due_ms).result(5)
    for statement in ("UPDATE prediction SET p_up = 0.9", "DELETE FROM prediction"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            given.store.writer.run(lambda db, text=statement: db.execute(text)).result(5)
    given.now_ms = due_ms
    with pytest.raises(TooLate):
        ledger.insert(*KEY, "v2", score, due_ms).result(5)
    assert ledger.waiting() == [waiting]


async def test_a_candle_whose_outcome_is_known_is_not_scored(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    given.now_ms = given.candles[599].open_time_ms + 6 * MINUTE_MS
    given.desk.candle_closed(*KEY, given.candles[599].open_time_ms)
    assert given.desk.predictions(*KEY, 10) == []


async def test_a_restart_resolves_what_came_due_meanwhile(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    await given.play(600, 604)
    given.keep(604, 607)
    given.desk = given.make_desk()
    given.desk.load()
    states = [row.state for row in given.desk.predictions(*KEY, 10)]
    assert states[2:] == ["waiting", "waiting"]
    assert set(states[:2]) <= {"hit", "miss"}
    await given.play(607, 610)
    record = given.desk.record(*KEY)
    assert record.resolved == 5 - 1
    assert set(record.baselines) == {"reversal", "majority", "logistic"}
    known = given.store.reader.query("SELECT count(logistic) AS known FROM outcome")
    assert known == [{"known": 4}], "calls of the earlier run are computed again"


async def test_a_missing_candle_waits_then_becomes_void(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    await given.play(600, 602)
    missing = given.candles[605].open_time_ms
    given.keep(602, 605)
    await given.play(606, 608)
    states = {row.open_time_ms: row.state for row in given.desk.predictions(*KEY, 10)}
    assert states[given.candles[600].open_time_ms] == "waiting", "it may still be filled in"
    assert states[given.candles[601].open_time_ms] in {"hit", "miss"}
    given.store.writer.run(lambda db: record_missing(db, *KEY, missing, missing + MINUTE_MS, 1))
    given.store.writer.run(
        lambda db: mark(db, *KEY, missing, missing + MINUTE_MS, "exchange_hole", 1)
    )
    await given.play(608, 609)
    states = {row.open_time_ms: row.state for row in given.desk.predictions(*KEY, 10)}
    assert states[given.candles[600].open_time_ms] == "void"


async def test_a_candle_lost_for_a_day_is_void_and_a_tie_is_no_call(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    given.candles[605] = Candle(
        given.candles[605].open_time_ms, *([given.candles[600].close] * 4), 1.0, 1.0, 1, 0.5
    )
    await given.play(600, 606)
    assert given.desk.record(*KEY).ties == 1
    given.now_ms += DAY_MS + 10 * MINUTE_MS
    given.desk = given.make_desk()
    given.desk.load()
    rows = given.desk.predictions(*KEY, 10)
    assert [row.state for row in rows] == ["tie"] + ["void"] * 5
    assert {row.outcome for row in rows} == {None}
    record = given.desk.record(*KEY)
    assert (record.resolved, record.ties) == (0, 1)
    assert record == given.make_desk().record(*KEY)


async def test_a_short_or_broken_history_is_said(exchange, trained):
    given = exchange()
    given.champion(trained)
    given.desk.load()
    given.keep(0, 300)
    await given.play(300, 301)
    assert f"needs {LIVE_ROWS} closed candles without a gap, and there are 301" in (
        given.desk.note(*KEY)
    )
    assert "press t" in given.desk.note("ETHUSDT", "1m")


async def test_a_spoiled_champion_gives_way_with_a_notice(exchange, trained):
    given = exchange()
    first = given.champion(trained)
    second = given.champion(trained)
    (second.directory / "scaler.npz").write_bytes(b"x")
    given.desk.load()
    assert given.desk.model(*KEY).version == first.version
    assert given.notices[0][0] == "error"
    assert "scaler.npz" in given.notices[0][1]


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  a condition of any kind
            await asyncio.sleep(0.01)


async def test_the_first_model_forecasts_and_a_second_no_better_one_is_kept(exchange, trained):
    given = exchange(command=[sys.executable, str(FAKE), "copy", str(trained)])
    given.keep(0, 650)
    running = asyncio.create_task(given.desk.run())
    job = await given.desk.wait(given.desk.retrain(*KEY))
    assert job.state == "done", job.message
    assert job.metrics["test_rows"] == given.desk.model(*KEY).test_rows
    assert given.asked == [(*KEY, 20_000)]
    assert given.desk.job().state == "done"
    assert given.desk.job().loss == (0.7,)
    given.store.writer.flush()
    await given.settle()
    assert len(given.desk.predictions(*KEY, 5)) == 1, "the newest candle is scored at once"
    job = await given.desk.wait(given.desk.retrain(*KEY))
    assert job.model.startswith("v000002")
    assert "v000001 goes on forecasting" in job.message
    assert given.desk.model(*KEY).version == "v000001"
    assert not list(given.directory.rglob(".tmp-*"))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await given.desk.close()


async def test_jobs_queue_up_cancel_and_fail_without_harm(exchange, trained):
    given = exchange(
        command=[sys.executable, str(FAKE), "deaf"], limits=Limits(cancel_s=0.2, end_s=0.3)
    )
    given.champion(trained)
    given.desk.load()
    given.keep(0, 600)
    running = asyncio.create_task(given.desk.run())
    first = given.desk.retrain(*KEY)
    second = given.desk.retrain(*KEY, "tutorial")
    assert given.desk.retrain(*KEY) is first
    assert given.desk.retrain(*KEY, "tutorial") is second
    await until(lambda: first.state == "starting")
    assert second.state == "queued"
    assert given.desk.cancel()
    await given.desk.wait(first)
    assert (first.state, second.state) == ("cancelled", "cancelled")
    assert not given.desk.cancel()
    nothing = await given.desk.wait(given.desk.retrain("ETHUSDT", "1m"))
    assert nothing.state == "failed"
    assert "no 1m candles of ETHUSDT" in nothing.message
    assert given.desk.model(*KEY).version == "v000001"
    assert not list(given.directory.rglob(".tmp-*"))
    with pytest.raises(ForecastError, match="honest, tutorial"):
        given.desk.retrain(*KEY, "magic")
    last = given.desk.retrain(*KEY)
    await until(lambda: last.state == "starting")
    await given.desk.close()
    assert last.state == "cancelled"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_history_that_can_not_be_fetched_does_not_stop_a_job(exchange, trained):
    given = exchange(command=[sys.executable, str(FAKE), "copy", str(trained)])
    given.keep(0, 650)

    async def offline(*_):
        raise ConnectionError("no network")

    given.ensure_history = offline
    given.desk = given.make_desk()
    running = asyncio.create_task(given.desk.run())
    job = await given.desk.wait(given.desk.retrain(*KEY))
    assert job.state == "done"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_fill_that_goes_on_does_not_bring_a_cancelled_job_back(exchange, eventually):
    given = exchange()
    told = []

    async def shared(symbol, interval, rows, progress) -> None:
        told.append(progress)
        await asyncio.Event().wait()

    given.ensure_history = shared
    given.desk = given.make_desk()
    running = asyncio.create_task(given.desk.run())
    job = given.desk.retrain(*KEY)
    await eventually(lambda: told)
    assert given.desk.cancel()
    await given.desk.wait(job)
    told[0]("4,783 of 4,783 candles")
    assert job.state == "cancelled"
    assert job.message == "The training was cancelled."
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_job_that_fails_in_an_unknown_way_ends_and_the_next_has_its_turn(
    exchange, eventually
) -> None:
    here = exchange(command=(5,))  # no operating system runs that
    here.keep(0, 600)
    work = asyncio.create_task(here.desk.run())
    first = here.desk.retrain(*KEY)
    await here.desk.wait(first)
    second = here.desk.retrain(*KEY)
    await here.desk.wait(second)
    assert not work.done()
    assert {first.state, second.state} == {"failed"}
    assert first.message.startswith("The training failed (TypeError: ")
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await here.desk.close()
