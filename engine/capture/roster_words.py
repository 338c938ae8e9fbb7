"""What changed among the exchange's markets between two looks, and the sentences about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMED_AT_MOST = 5


@dataclass
class Changes:
    """Markets by what happened to them; `statuses` holds the new status of each.

    Attributes:
        listed: The exchange did not have them at the last look.
        delisted: It has them no more; a renamed market is one delisted and one listed.
        stopped: They traded at the last look.
        reopened: They trade again.
    """

    statuses: dict[str, str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    delisted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    reopened: list[str] = field(default_factory=list)

    @property
    def begun(self) -> set[str]:
        """Markets that may have begun to trade at any time since the last look."""
        return {*self.listed, *self.reopened}

    def sentences(self, captured: set[str]) -> Iterator[tuple[str, str]]:
        """Yield level and sentence of each kind of change to `captured` markets, names joined."""
        for level, names, what in (
            ("info", self.listed, "listed and captured from now on"),
            ("info", self.reopened, "trading again"),
            ("warning", self._with_status(self.stopped), "not trading any more"),
            ("warning", self.delisted, "delisted and no longer captured; stored candles stay"),
        ):
            told = [name for name in names if name.partition(" ")[0] in captured]
            if told:
                yield level, f"{_counted(told)} {what}: {named(told)}."

    def _with_status(self, names: Sequence[str]) -> list[str]:
        return [f"{name} ({self.statuses[name]})" for name in names]


def named(names: Sequence[str]) -> str:
    """Return the first names and how many there are beside them."""
    shown = ", ".join(names[:_NAMED_AT_MOST])
    more = len(names) - _NAMED_AT_MOST
    return f"{shown} and {more:,} more" if more > 0 else shown


def _counted(names: Sequence[str]) -> str:
    return "1 market is" if len(names) == 1 else f"{len(names):,} markets are"
