"""Fault scripts: which fault comes when, read from a file or drawn at random."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import random
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from engine.simulator import fault_steps
from engine.simulator.fault_steps import (
    AnyStep,
    ListSymbol,
    duration_ms,
    name_of,
    text_of,
)
from engine.simulator.random_faults import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from engine.simulator.exchange import Exchange

_log = logging.getLogger(__name__)
_KEPT = 1000
_LONGEST_WAIT_S = 0.5
_SHORTEST_WAIT_S = 0.005
_decode = msgspec.json.Decoder(AnyStep).decode


class ScriptError(ValueError):
    """Raised for a script that can not be run; its text is a sentence for users."""


class RandomPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Random faults that an honest client must survive.

    Attributes:
        seed: The same seed gives the same faults at the same exchange times after the start.
        every: One fault in each stretch of so much exchange time.
    """

    seed: int = 0
    every: str = "5m"

    def __post_init__(self) -> None:
        duration_ms(self.every)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    step: list[AnyStep] = []
    random: RandomPlan | None = None


class Script(NamedTuple):
    """What is to be done to an exchange, and when.

    Attributes:
        steps: Steps with their times.
        random: Random faults beside them, or None.
    """

    steps: tuple[AnyStep, ...] = ()
    random: RandomPlan | None = None

    @classmethod
    def read(cls, path: Path) -> Script:
        """Read a TOML file (`[[step]]` tables, `[random]`), or JSON lines with a step in each.

        Raises:
            ScriptError: for a file that can not be read or understood.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ScriptError(f"The fault script {path} can not be read: {why}.") from None
        if path.suffix == ".toml":
            return cls._of_toml(text, path)
        lines = enumerate(text.splitlines(), 1)
        return cls(tuple(_step(line, f"{path}, line {at}") for at, line in lines if line.strip()))

    @classmethod
    def _of_toml(cls, text: str, path: Path) -> Script:
        try:
            content = msgspec.toml.decode(text, type=_File)
        except msgspec.DecodeError as error:
            raise ScriptError(f"In {path}: {_told(error)}{_hint(error)}") from None
        return cls(tuple(content.step), content.random)

    @classmethod
    def at_random(cls, seed: int, every: str = "5m") -> Script:
        """Return a script of random faults that an honest client must survive.

        Raises:
            ScriptError: for a wrong duration, or none at all.
        """
        try:
            every_ms = duration_ms(every)
        except ValueError as error:
            raise ScriptError(str(error)) from None
        if not every_ms:
            raise ScriptError("Random faults need some time between them, such as 5m.")
        return cls((), RandomPlan(seed, every))

    def check(self, markets: Iterable[str]) -> None:
        """Make sure that the steps' markets exist or will.

        Raises:
            ScriptError: naming the first that does not.
        """
        listed = {step.symbol for step in self.steps if isinstance(step, ListSymbol)}
        known = {*markets, "*", *listed}
        for step in self.steps:
            symbol = getattr(step, "symbol", "*")
            if symbol not in known:
                raise ScriptError(
                    f"The fault script wants {name_of(step)} on {symbol}, which this exchange "
                    "does not have; name one of its markets, or *."
                )


def parse_step(text: str | bytes) -> AnyStep:
    """Return the step of a JSON object.

    Raises:
        ScriptError: saying what is wrong with it.
    """
    return _step(text, "the step")


def _step(text: str | bytes, place: str) -> AnyStep:
    try:
        step: AnyStep = _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ScriptError(f"In {place}: {_told(error)}{_hint(error)}") from None
    return step


def _told(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def _hint(error: Exception) -> str:
    if "value" in str(error) and "fault" in str(error):
        return f" Faults are {', '.join(sorted(map(name_of, fault_steps.STEPS)))}."
    return ""


class Deed(NamedTuple):
    """Something that was done.

    Attributes:
        time_ms: Exchange time.
        text: The fault and its parameters.
        problem: Why it could not be done; empty when it was.
    """

    time_ms: int
    text: str
    problem: str = ""


class ScriptRun:
    """Does to an exchange what a script says, and keeps the record.

    Args:
        exchange: To whom.
        script: What; without one only `do` does anything.

    Attributes:
        deeds: The newest 1,000 deeds.
        counts: How often each fault was done, by name.
        on_deed: Called with each deed.
    """

    def __init__(self, exchange: Exchange, script: Script | None) -> None:
        self._exchange = exchange
        self._script = script or Script()
        self.deeds: deque[Deed] = deque(maxlen=_KEPT)
        self.counts: Counter[str] = Counter()
        self.on_deed: Callable[[Deed], None] = _nothing

    def do(self, step: AnyStep) -> Deed:
        """Do one step now, whatever its time says."""
        problem = ""
        try:
            step.apply(self._exchange.faults)
        except KeyError as error:
            problem = f"this exchange has no market called {error.args[0]}"
        except ValueError as error:
            problem = str(error)
        deed = Deed(self._exchange.now_ms, text_of(step), problem)
        if problem:
            _log.warning("the fault '%s' could not be done: %s", deed.text, problem)
        else:
            self.counts[name_of(step)] += 1
        self.deeds.append(deed)
        self.on_deed(deed)
        return deed

    async def run(self) -> None:
        """Do the script as exchange time passes; it ends when nothing is left."""
        start_ms = self._exchange.source.start_ms
        waiting = [
            (start_ms + duration_ms(step.at), at, step)
            for at, step in enumerate(self._script.steps)
        ]
        heapq.heapify(waiting)
        plan = self._script.random
        if plan is None:
            await self._run_steps(waiting)
            return
        await asyncio.gather(self._run_steps(waiting), self._run_random(plan))

    async def _run_steps(self, waiting: list[tuple[int, int, AnyStep]]) -> None:
        while waiting:
            due_ms, at, step = heapq.heappop(waiting)
            await self._until(due_ms)
            self.do(step)
            every_ms = duration_ms(step.every) if step.every else 0
            if every_ms:
                heapq.heappush(waiting, (max(due_ms + every_ms, self._exchange.now_ms), at, step))

    async def _run_random(self, plan: RandomPlan) -> None:
        rng = random.Random(plan.seed)  # noqa: S311  faults, not secrets
        every_ms = duration_ms(plan.every)
        speed = self._exchange.clock.speed
        window_s = 1.0 if math.isinf(speed) else every_ms / 1000 / speed
        begin_ms = self._exchange.source.start_ms
        while True:
            due_ms = begin_ms + rng.uniform(0.05, 0.95) * every_ms
            step = draw(rng, window_s, list(self._exchange.infos))
            await self._until(due_ms)
            self.do(step)
            begin_ms += every_ms

    async def _until(self, time_ms: float) -> None:
        speed = self._exchange.clock.speed
        while self._exchange.now_ms < time_ms:
            left_s = 0.0 if math.isinf(speed) else (time_ms - self._exchange.now_ms) / 1000 / speed
            await asyncio.sleep(min(max(left_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S))


def _nothing(_: Deed) -> None:
    pass
