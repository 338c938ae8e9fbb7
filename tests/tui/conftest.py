"""A scripted engine and a desk full of plausible data, with clocks that stand still."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from engine.market.candle import Candle
from engine.market.forecast import JobInfo, ModelInfo, PredictionRow, TrackRecord
from engine.market.interval import INTERVALS
from engine.market.trade import Trade
from engine.service import contract
from engine.service.client import EngineGone
from engine.service.early import Answered
from tui.app import KlinetopApp
from tui.remembered import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.market.symbol import SymbolInfo

NOW_MS = 1_795_384_087_000  # 2026-11-22 21:48:07 UTC
WALL_MS = NOW_MS + 250
MARKETS = {
    "BTCUSDT": (84_212.50, -0.37, 2),
    "ETHUSDT": (4_101.27, 1.02, 2),
    "BNBUSDT": (912.44, 0.12, 2),
    "SOLUSDT": (188.03, 0.44, 2),
    "XRPUSDT": (2.4113, -2.91, 4),
    "DOGEUSDT": (0.18421, 5.60, 5),
    "ADAUSDT": (0.6112, -0.85, 4),
    "TRXUSDT": (0.2931, 0.0, 4),
    "AVAXUSDT": (17.91, -1.22, 2),
    "LINKUSDT": (14.02, 0.71, 2),
    "DOTUSDT": (2.931, -3.10, 3),
    "LTCUSDT": (97.33, 12.44, 2),
}


@dataclass
class Settings:
    frames_per_s: float = 50.0
    ascii: bool | None = False
    palette: str = "default"
    up_color: str = "green"


class Clock:
    """A wall clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_ms = WALL_MS

    def __call__(self) -> int:
        return self.now_ms


def status(**changes: Any) -> contract.StatusSection:
    return msgspec.structs.replace(
        contract.StatusSection(
            source="live",
            source_note="",
            speed=1.0,
            connection="live",
            connection_note="",
            since_wall_ms=WALL_MS - 3_600_000,
            exchange_time_ms=NOW_MS,
            latency_ms=41.0,
            data_age_ms=200.0,
            messages_per_s=312.0,
            engine="running",
            uptime_s=3 * 86_400 + 4 * 3600 + 12 * 60,
            markets=12,
            candles=1_204_331,
            version="1.0",
            pid=4711,
        ),
        **changes,
    )


def tickers() -> contract.TickersSection:
    chance = random.Random(3)
    rows = []
    for symbol, (last, change, decimals) in MARKETS.items():
        price = last / (1 + change / 100)
        spark = []
        for step in range(48):
            price += (last - price) * (step / 48) * 0.2 + last * 0.004 * (chance.random() - 0.5)
            spark.append(price)
        rows.append(
            contract.TickerRow(
                symbol,
                last=last,
                change_percent=change,
                high=last * 1.02,
                low=last * 0.98,
                volume=1e6 / last,
                quote_volume=chance.random() * 2e9,
                bid=last,
                ask=last + 10.0**-decimals,
                price_decimals=decimals,
                spark=(*spark[:-1], last),
            )
        )
    return contract.TickersSection(tuple(MARKETS), tuple(rows))


def book(symbol: str = "BTCUSDT", **changes: Any) -> contract.BookSection:
    chance = random.Random(5)
    last, _, decimals = MARKETS.get(symbol, (84_212.5, 0, 2))
    tick = 10.0**-decimals
    bids, asks = [], []
    for level in range(40):
        bids.append((round(last - tick * level * 40, decimals), round(chance.expovariate(0.8), 5)))
        asks.append(
            (round(last + tick * (level + 1) * 40, decimals), round(chance.expovariate(0.8), 5))
        )
    return msgspec.structs.replace(
        contract.BookSection(
            symbol=symbol,
            state="synchronised",
            reason="",
            age_ms=100.0,
            last_update_id=77,
            tick=tick,
            price_decimals=decimals,
            quantity_decimals=5,
            bids=tuple(bids),
            asks=tuple(asks),
            best=(bids[0][0], asks[0][0]),
        ),
        **changes,
    )


def candles(count: int = 300, symbol: str = "BTCUSDT", interval: str = "1m") -> tuple[Candle, ...]:
    chance = random.Random(11)
    last, _, decimals = MARKETS.get(symbol, (84_212.5, 0, 2))
    step = INTERVALS[interval]
    newest = step.floor(NOW_MS)
    closes = [last]
    for index in range(count):
        closes.append(closes[-1] * (1 + 0.0009 * chance.gauss(0, 1) + 0.0003 * math.sin(index / 9)))
    closes.reverse()
    found = []
    for index in range(count):
        before, after = closes[index], closes[index + 1]
        high = max(before, after) * (1 + 0.0006 * chance.random())
        low = min(before, after) * (1 - 0.0006 * chance.random())
        volume = 5 + chance.expovariate(0.1)
        found.append(
            Candle(
                step.back(newest, count - 1 - index),
                round(before, decimals),
                round(high, decimals),
                round(low, decimals),
                round(after, decimals),
                round(volume, 5),
                round(volume * after, 5),
                closed=index < count - 1,
            )
        )
    return tuple(found)


def chart(symbol: str = "BTCUSDT", interval: str = "1m", **changes: Any) -> contract.ChartSection:
    decimals = MARKETS.get(symbol, (0, 0, 2))[2]
    section = contract.ChartSection(
        symbol, interval, decimals, reset=True, candles=candles(300, symbol, interval)
    )
    return msgspec.structs.replace(section, **changes)


def trades(symbol: str = "BTCUSDT", **changes: Any) -> contract.TradesSection:
    chance = random.Random(7)
    last, _, decimals = MARKETS.get(symbol, (84_212.5, 0, 2))
    rows = tuple(
        Trade(
            100 + index,
            NOW_MS - (100 - index) * 170,
            round(last * (1 + 0.0001 * chance.gauss(0, 1)), decimals),
            round(chance.expovariate(3), 5),
            chance.random() < 0.4,
        )
        for index in range(100)
    )
    section = contract.TradesSection(
        symbol,
        decimals,
        5,
        reset=True,
        trades=rows,
        buy_share=0.63,
        delta=12.4,
    )
    return msgspec.structs.replace(section, **changes)


def storage(**changes: Any) -> contract.StorageSection:
    return msgspec.structs.replace(
        contract.StorageSection(
            candles=1_204_331,
            rows_per_minute=12,
            by_source={"stream": 204_000, "rest": 1_000_000, "both": 331, "import": 0},
            database_bytes=115_000_000,
            last_commit_ms=0.3,
            last_commit_age_ms=7_100,
            gaps={"open": 0, "filled": 3},
            messages_per_s=312.0,
            messages=1_230_000,
            reconnects=2,
            dropped=0,
            quarantined=0,
            coverage=(*([1.0] * 12), 0.8, *([1.0] * 11)),
            weight_used=(42, 6000),
        ),
        **changes,
    )


MODEL = ModelInfo(
    version="v000012",
    created_wall_ms=WALL_MS - 2 * 3_600_000,
    rows=19_650,
    test_rows=3_912,
    accuracy=0.517,
    low=0.495,
    high=0.538,
    brier=0.2489,
    log_loss=0.6911,
    baselines={"reversal": 0.524, "logistic": 0.529, "majority": 0.503},
    verdict="coin toss",
)


def predictions(count: int = 40) -> tuple[PredictionRow, ...]:
    chance = random.Random(13)
    rows = []
    newest = INTERVALS["1m"].floor(NOW_MS) - 60_000
    closes = {candle.open_time_ms: candle.close for candle in candles()}
    for index in range(count):
        open_ms = newest - (count - 1 - index) * 60_000
        p_up = round(0.5 + 0.08 * chance.gauss(0, 1), 3)
        due_open_ms = open_ms + 5 * 60_000
        price = closes[open_ms]
        after = closes.get(due_open_ms)
        if after is None or due_open_ms > newest:
            row = PredictionRow(
                open_ms, due_open_ms + 60_000, price, p_up, None, "waiting", model="v000012"
            )
        else:
            outcome = int(after > price)
            state = "hit" if (p_up >= 0.5) == bool(outcome) else "miss"
            row = PredictionRow(
                open_ms, due_open_ms + 60_000, price, p_up, outcome, state, after, "v000012"
            )
        rows.append(row)
    return tuple(rows)


def forecast(
    symbol: str = "BTCUSDT", interval: str = "1m", **changes: Any
) -> contract.ForecastSection:
    recent = predictions()
    section = contract.ForecastSection(
        symbol=symbol,
        interval=interval,
        lookahead=5,
        model=MODEL,
        latest=recent[-1],
        recent=recent,
        record=TrackRecord(
            resolved=912,
            hit_rate=0.531,
            low=0.459,
            high=0.602,
            baselines={"reversal": 0.524, "logistic": 0.529, "majority": 0.503},
            brier=0.2491,
            needed=9_270,
        ),
        job=None,
    )
    return msgspec.structs.replace(section, **changes)


def job(state: str = "training", **changes: Any) -> JobInfo:
    section = JobInfo(
        symbol="BTCUSDT",
        interval="1m",
        recipe="honest",
        state=state,
        seed_index=2,
        seeds=3,
        epoch=7,
        epochs=12,
        loss=(0.6971, 0.6948, 0.6939, 0.6933, 0.6930, 0.6927, 0.6925),
        val_loss=(0.6952, 0.6944, 0.6939, 0.6937, 0.6936, 0.6938, 0.6937),
        eta_s=9.0,
        message="Fitting network 2 of 3.",
    )
    return msgspec.structs.replace(section, **changes)


NO_MODEL = {"model": None, "latest": None, "recent": (), "record": None}


def full_frame(symbol: str = "BTCUSDT", interval: str = "1m", **changes: Any) -> contract.Frame:
    frame = contract.Frame(
        revision=1,
        status=status(),
        tickers=tickers(),
        book=book(symbol),
        chart=chart(symbol, interval),
        trades=trades(symbol),
        storage=storage(),
        forecast=forecast(symbol, interval),
    )
    return msgspec.structs.replace(frame, **changes)


class FakeEngine:
    """Answers pulls with scripted frames and writes down what it is asked.

    `frames` are served one after the other to pulls that know something; a pull that knows nothing
    gets `whole(view)`; otherwise the answer is empty.
    """

    def __init__(self, whole: Callable[[contract.View], contract.Frame] | None = None) -> None:
        self.whole = whole or (lambda view: full_frame(view.focused or "BTCUSDT", view.interval))
        self.frames: list[contract.Frame] = []
        self.views: list[contract.View] = []
        self.asked: list[contract.Request] = []
        self.answers: dict[type, contract.Answer | Exception] = {}
        self.found: tuple[SymbolInfo, ...] = ()
        self.found_tickers: tuple[contract.TickerRow, ...] = ()
        self.gone: Exception | None = None
        self.refusals = 0
        self.clients: list[FakeClient] = []
        self.early: Answered | None = None

    async def connect(self) -> FakeClient:
        if self.gone is not None:
            self.refusals += 1
            raise self.gone
        client = FakeClient(self)
        self.clients.append(client)
        return client

    def asked_for(self, kind: type) -> list[Any]:
        return [request for request in self.asked if isinstance(request, kind)]


@dataclass
class FakeClient:
    engine: FakeEngine
    welcome: contract.Welcome = field(
        default_factory=lambda: contract.Welcome("1.0", 1, 4711, "live", "BTCUSDT", "1m")
    )
    is_closed: bool = False

    def take_early(self) -> Answered | None:
        early, self.engine.early = self.engine.early, None
        return early

    async def pull(self, view: contract.View, since: int) -> contract.Frame:
        if self.engine.gone is not None:
            raise self.engine.gone
        self.engine.views.append(view)
        if since == 0:
            return self.engine.whole(view)
        if self.engine.frames:
            return self.engine.frames.pop(0)
        return contract.Frame(revision=since)

    async def ask(self, request: contract.Request) -> contract.Answer:
        if self.engine.gone is not None:
            raise self.engine.gone
        self.engine.asked.append(request)
        if isinstance(request, contract.Search):
            letters = request.query
            found = tuple(info for info in self.engine.found if letters in info.name)
            return contract.Found(found, self.engine.found_tickers)
        answer = self.engine.answers.get(type(request), contract.Done())
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.is_closed = True


def make_app(engine: FakeEngine, clock: Clock | None = None, **options: Any) -> KlinetopApp:
    settings = options.pop("settings", Settings())
    return KlinetopApp(
        engine.connect,
        settings,
        focused=options.pop("focused", None),
        interval=options.pop("interval", "1m"),
        wall_ms=clock or Clock(),
        memory=options.pop("memory", None),
        kept=options.pop("kept", NOTHING),
        environ={"LANG": "en_US.UTF-8"},
    )


def screen_text(app: KlinetopApp) -> str:
    """Return what stands on the screen, row by row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def until(pilot: Any, condition: Callable[[], Any], *, turns: int = 400) -> None:
    """Let the app run until `condition` holds; fail when it does not within some seconds."""
    for _ in range(turns):
        await pilot.pause(0.01)
        if condition():
            await pilot.pause()
            return
    raise AssertionError(f"it did not come about:\n{screen_text(pilot.app)}")


@pytest.fixture
def desk() -> SimpleNamespace:
    """Everything above, for tests."""
    assert EngineGone
    names = (
        "NOW_MS WALL_MS MODEL NO_MODEL Settings Clock FakeEngine FakeClient status tickers book"
        " candles chart trades storage predictions forecast job full_frame make_app screen_text"
        " until EngineGone"
    )
    return SimpleNamespace(**{name: globals()[name] for name in names.split()})
