"""Random faults that a client must survive without losing a candle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.simulator.fault_steps import (
    CloseConnections,
    DropConnections,
    DropDepth,
    DuplicateDepth,
    HideKlines,
    LateClose,
    Outage,
    ReorderDepth,
    RepeatClose,
    ResetMidFrame,
    RestAnswer,
    RewriteKline,
    SendRaw,
    SetStatus,
    ShutdownNotice,
    Silence,
    SkipClose,
    StaleSnapshots,
    Stall,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from engine.simulator.fault_steps import AnyStep

_LONGEST_S = 30.0
_RARE_SHARE = 0.08
_SERVER_ERRORS = (500, 502, 503, 504)
GARBAGE = (
    '{"e":"kline","E":1795000000',
    "",
    "NaN",
    "null",
    "[" * 2000,
    '{"stream":"btcusdt@kline_1m"}',
    '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{}}}',
    '{"error":{"code":3,"msg":"Invalid JSON"}}',
    '{"result":null,"id":987654321}',
    '{"e":"somethingElse","E":1}',
)


def draw(rng: random.Random, window_s: float, markets: Sequence[str] = ()) -> AnyStep:
    """Return one random fault.

    Args:
        rng: Where chance comes from.
        window_s: Wall-clock seconds between two faults; none lasts longer than 0.7 of them.
        markets: Those that may be halted; without any none is.
    """
    window_s = min(window_s, _LONGEST_S)
    if rng.random() > _RARE_SHARE:
        return rng.choice(_KINDS)(rng, window_s)
    kind = rng.randrange(len(_RARE_KINDS) + bool(markets))
    if kind < len(_RARE_KINDS):
        return _RARE_KINDS[kind](rng, window_s)
    status = rng.choice(("BREAK", "HALT"))
    return SetStatus(symbol=rng.choice(markets), status=status, seconds=_lasting(rng, window_s))


def _lasting(rng: random.Random, window_s: float) -> float:
    return round(max(0.05, rng.uniform(0.1, 0.7) * window_s), 3)


def _wrong_status(rng: random.Random, _: float) -> AnyStep:
    return RestAnswer(status=rng.choice(_SERVER_ERRORS), count=rng.randint(1, 4))


def _limited(rng: random.Random, window_s: float) -> AnyStep:
    seconds = max(1, min(round(window_s / 2), rng.randint(1, 5)))
    headers = {"Retry-After": str(seconds)}
    return RestAnswer(status=rng.choice((429, 418)), headers=headers, count=rng.randint(1, 2))


def _html(rng: random.Random, _: float) -> AnyStep:
    body = rng.choice(("<html>ok</html>", "", "[", '{"code":-1000}'))
    return RestAnswer(status=200, body=body, count=rng.randint(1, 3), paths=("klines",))


def _hidden(rng: random.Random, window_s: float) -> AnyStep:
    length = f"{rng.randint(1, 3)}m"
    return HideKlines(length=length, push=False, seconds=_lasting(rng, window_s))


def _shutdown(rng: random.Random, window_s: float) -> AnyStep:
    return ShutdownNotice(cut_after=rng.choice((0.0, _lasting(rng, window_s))))


def _other_values(rng: random.Random) -> dict[str, float]:
    """Return values that are possible for a candle of any market, and not those that it has."""
    volume = float(rng.randint(10**8, 10**9))
    return {"volume": volume, "quote_volume": round(volume * rng.uniform(1.0, 9.0), 2)}


_RARE_KINDS: tuple[Callable[[random.Random, float], AnyStep], ...] = (
    lambda rng, _: RepeatClose(count=rng.randint(1, 10), change=_other_values(rng)),
    lambda rng, _: RewriteKline(back=rng.choice(("2m", "10m", "45m")), values=_other_values(rng)),
)
_KINDS: tuple[Callable[[random.Random, float], AnyStep], ...] = (
    lambda _, __: DropConnections(),
    lambda rng, _: CloseConnections(
        code=rng.choice((1000, 1001, 1008, 1011)), unread=rng.choice((0, 10, 50))
    ),
    lambda _, __: ResetMidFrame(),
    lambda rng, window_s: Outage(seconds=_lasting(rng, window_s)),
    lambda rng, window_s: Silence(seconds=_lasting(rng, window_s)),
    lambda rng, window_s: Stall(seconds=_lasting(rng, window_s)),
    _shutdown,
    _wrong_status,
    _limited,
    _html,
    _hidden,
    lambda rng, _: SkipClose(count=rng.randint(1, 10)),
    lambda rng, _: LateClose(count=rng.randint(1, 10), by=f"{rng.choice((2400, 8000, 70_000))}ms"),
    lambda rng, _: RepeatClose(count=rng.randint(1, 10)),
    lambda rng, _: SendRaw(text=rng.choice(GARBAGE), count=rng.randint(1, 5)),
    lambda rng, _: SendRaw(hex=rng.choice(("fffe00", "80", "7b22")), count=1),
    lambda rng, _: DropDepth(count=rng.randint(1, 5)),
    lambda rng, _: DuplicateDepth(count=rng.randint(1, 5)),
    lambda rng, _: ReorderDepth(count=rng.randint(1, 5)),
    lambda rng, window_s: StaleSnapshots(seconds=_lasting(rng, window_s)),
)
