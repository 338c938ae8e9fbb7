"""Reaching the exchange: its clock and its markets at the start, and whether REST still works."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from engine.binance.rest import RestError, UnknownSymbol

if TYPE_CHECKING:
    from engine.binance.clock import ExchangeClock
    from engine.binance.rest import RestClient
    from engine.capture.roster import Roster
    from engine.markets import Markets

log = logging.getLogger(__name__)

REST_RETRY_S = 5.0
CLOCK_EVERY_S = 60.0


class Reach:
    """Asks the exchange for what all else needs.

    Attributes:
        note: Why REST can not be reached, in words; empty while it can.
    """

    def __init__(
        self, rest: RestClient, clock: ExchangeClock, markets: Markets, roster: Roster
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._markets = markets
        self._roster = roster
        self.note = ""

    async def first(self) -> None:
        """Learn clock, watchlist and captured markets; tries for ever.

        Raises:
            UnknownSymbol: when the exchange lacks all of the watchlist.
            NoMarkets: when it has none of the markets that the settings name.
        """
        while True:
            try:
                await self._read_clock()
                facts = await self._roster.read()
                await self._markets.load_watchlist(facts, self._roster.stand_ins(facts))
            except UnknownSymbol:
                raise
            except RestError as error:
                log.warning("%s", error)
                self.note = str(error)
                await asyncio.sleep(REST_RETRY_S)
            else:
                self.note = ""
                self._roster.take(facts)
                return

    async def run(self) -> None:
        """Compare clocks once a minute, for ever; this also tells whether REST can be reached."""
        while True:
            await asyncio.sleep(CLOCK_EVERY_S)
            try:
                await self._read_clock()
            except RestError as error:
                self.note = str(error)
            else:
                self.note = ""

    async def _read_clock(self) -> None:
        await self._rest.server_time()
        if self._rest.last_time_answer is not None:
            self._clock.observe_answer(*self._rest.last_time_answer)
