"""Faults of candles: lost, late, repeated and changed closes, hidden and rewritten history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from engine.market.candle import Candle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANY = "*"
_FIELDS = frozenset(Candle.__struct_fields__) - {"open_time_ms", "closed", "complete"}


class Fate(NamedTuple):
    """What becomes of one push.

    Attributes:
        is_lost: It is not sent.
        late_ms: It is sent so much later (exchange ms).
        is_repeated: It is sent twice.
        change: Values of the second time, by name of the candle's field; None for the same.
    """

    is_lost: bool = False
    late_ms: int = 0
    is_repeated: bool = False
    change: Mapping[str, Any] | None = None


_Changes = dict[tuple[str, str], dict[int, dict[str, Any]]]
_HONEST = Fate()
_LOST = Fate(is_lost=True)


class _Hidden(NamedTuple):
    symbol: str
    interval: str
    from_ms: int
    to_ms: int
    push: bool

    def holds(self, symbol: str, interval: str, open_time_ms: int) -> bool:
        return (
            self.symbol in (symbol, ANY)
            and self.interval in (interval, ANY)
            and self.from_ms <= open_time_ms < self.to_ms
        )


@dataclass(slots=True)
class _Plan:
    symbol: str
    interval: str
    left: int
    fate: Fate

    def fits(self, symbol: str, interval: str) -> bool:
        return self.symbol in (symbol, ANY) and self.interval in (interval, ANY)


@dataclass(slots=True)
class KlineFaults:
    """What happens to closing pushes, and what history does not show as it was.

    Attributes:
        is_idle: Whether every push goes out as it should.
    """

    is_idle: bool = True
    _plans: list[_Plan] = field(default_factory=list)
    _hidden: list[_Hidden] = field(default_factory=list)
    _changed: _Changes = field(default_factory=dict)
    _rewritten: _Changes = field(default_factory=dict)

    # -- switches --------------------------------------------------------------------------------

    def plan(self, symbol: str, interval: str, count: int, fate: Fate) -> None:
        """Give the next `count` closing pushes of a series (`*`: of any) this fate.

        Raises:
            ValueError: for a change of something that a candle does not have.
        """
        _check(fate.change or {})
        self._plans.append(_Plan(symbol, interval, count, fate))
        self.is_idle = False

    def hide(self, symbol: str, interval: str, from_ms: int, to_ms: int, *, push: bool) -> None:
        """Hide candles with open times in [from_ms, to_ms) from REST, and without `push` at all."""
        self._hidden.append(_Hidden(symbol, interval, from_ms, to_ms, push))
        self.is_idle = False

    def show(self) -> None:
        """Hide nothing any more."""
        self._hidden.clear()
        self.is_idle = not self._plans

    def rewrite(
        self, symbol: str, interval: str, open_time_ms: int, values: Mapping[str, Any]
    ) -> None:
        """Change a candle of the exchange's record (`*`: of every market) from now on.

        Raises:
            ValueError: for a value that a candle does not have.
        """
        _check(values)
        rows = self._rewritten.setdefault((symbol, interval), {})
        rows.setdefault(open_time_ms, {}).update(values)

    def change(
        self, symbol: str, interval: str, open_time_ms: int, values: Mapping[str, Any]
    ) -> None:
        """Take note that a candle was pushed once more with these values when it closed."""
        rows = self._changed.setdefault((symbol, interval), {})
        rows.setdefault(open_time_ms, {}).update(values)

    # -- what the exchange asks ----------------------------------------------------------------

    def fate(self, symbol: str, interval: str, open_time_ms: int, *, closed: bool) -> Fate:
        """Return what becomes of a push now, and count the switch down."""
        if any(
            not hidden.push and hidden.holds(symbol, interval, open_time_ms)
            for hidden in self._hidden
        ):
            return _LOST
        if not closed:
            return _HONEST
        plan = next((plan for plan in self._plans if plan.fits(symbol, interval)), None)
        if plan is None:
            return _HONEST
        plan.left -= 1
        if plan.left <= 0:
            self._plans.remove(plan)
            self.is_idle = not self._plans and not self._hidden
        return plan.fate

    def visible(self, symbol: str, interval: str, candles: Sequence[Candle]) -> list[Candle]:
        """Return those of `candles` that REST shows."""
        return [
            candle
            for candle in candles
            if not any(
                hidden.holds(symbol, interval, candle.open_time_ms) for hidden in self._hidden
            )
        ]

    def rewritten(
        self, symbol: str, interval: str, candles: list[Candle], *, is_first: bool = False
    ) -> list[Candle]:
        """Return `candles` as they are on record now.

        With `is_first` as they were when they had closed, before their history was rewritten.
        """
        layers = [self._changed.get((symbol, interval))]
        if not is_first:
            layers += [self._rewritten.get((name, interval)) for name in (ANY, symbol)]
        for changes in filter(None, layers):
            candles = [
                replace(candle, **changes[candle.open_time_ms])
                if candle.open_time_ms in changes
                else candle
                for candle in candles
            ]
        return candles


def _check(values: Mapping[str, Any]) -> None:
    unknown = values.keys() - _FIELDS
    if unknown:
        raise ValueError(f"A candle has no '{min(unknown)}'; it has {', '.join(sorted(_FIELDS))}.")
