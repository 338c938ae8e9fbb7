"""Reading REST parameters with the exchange's rules and error texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from engine.market.interval import INTERVALS
from engine.simulator.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection

    from multidict import MultiMapping

    from engine.market.interval import Interval

_SYMBOL = r"^[\w\-._&&[^a-z]]{1,50}$"
_SYMBOL_RULE = re.compile(r"[^\Wa-z]+(?:[-.][^\Wa-z]+)*")
_INTEGER = r"^[0-9]{1,20}$"
_INTEGER_RULE = re.compile(r"[0-9]{1,20}")
_ZONE_RULE = re.compile(r"([+-]?)(\d{1,2})(?::(\d{2}))?")
_MOST_SYMBOLS = 100
_LATEST_MS = 10**14
_STATUSES = frozenset({"TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"})


class Query:
    """The parameters of one request.

    Args:
        params: As they came.
        allowed: Names that the endpoint reads; any other one is error -1104.
        known_symbols: Markets of this exchange.

    Raises:
        ApiError: -1101 for a name given twice, -1104 for an unread one, -1105 for an empty value.
    """

    def __init__(
        self, params: MultiMapping[str], allowed: Collection[str], known_symbols: Collection[str]
    ) -> None:
        if len(set(params.keys())) < len(params):
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        read = sum(name in allowed for name in params)
        if read < len(params):
            raise ApiError(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent "
                f"'{len(params)}'.",
            )
        for name, value in params.items():
            if not value:
                raise ApiError(-1105, f"Parameter '{name}' was empty.")
        self._params = params
        self._known = known_symbols

    def symbol(self) -> str:
        """Return the mandatory market."""
        symbol = self.optional_symbol()
        if symbol is None:
            raise _missing("symbol")
        return symbol

    def optional_symbol(self) -> str | None:
        """Return the market that was asked for, if any."""
        value = self._params.get("symbol")
        return None if value is None else self._checked(value, "symbol")

    def symbols(self) -> list[str] | None:
        """Return what `symbol` or `symbols` ask for; None when all are wanted."""
        one, several = self.optional_symbol(), self._params.get("symbols")
        if several is None:
            return None if one is None else [one]
        if one is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        legal = '^\\["[\\w\\-._&&[^a-z]]{1,50}"(,"[\\w\\-._&&[^a-z]]{1,50}"){0,}\\]$'
        try:
            names = msgspec.json.decode(several, type=list[str])
        except msgspec.DecodeError:
            raise _illegal("symbols", legal) from None
        if not names:
            raise _illegal("symbols", legal)
        if len(names) > _MOST_SYMBOLS:
            raise ApiError(
                -1101,
                f"Too many parameters; expected '{_MOST_SYMBOLS}' and received '{len(names)}'.",
            )
        if len(set(names)) < len(names):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return [self._checked(name, "symbols") for name in names]

    def interval(self) -> Interval:
        """Return the mandatory interval."""
        value = self._params.get("interval")
        if value is None:
            raise _missing("interval")
        if value not in INTERVALS:
            raise ApiError(-1120, "Invalid interval.")
        return INTERVALS[value]

    def limit(self, default: int, most: int) -> int:
        """Return `limit`, cut at `most`."""
        value = self.integer("limit")
        if value is None:
            return default
        if value == 0:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value, most)

    def integer(self, name: str) -> int | None:
        """Return a whole number, None when it was not sent."""
        value = self._params.get(name)
        if value is None:
            return None
        if not _INTEGER_RULE.fullmatch(value):
            raise _illegal(name, _INTEGER)
        return int(value)

    def time_ms(self, name: str) -> int | None:
        """Return a time in ms; the exchange takes microseconds too."""
        value = self.integer(name)
        return value // 1000 if value is not None and value >= _LATEST_MS else value

    def one_of(self, name: str, choices: Collection[str], default: str) -> str:
        """Return one of a few words."""
        value = self._params.get(name, default)
        if value not in choices:
            if name == "symbolStatus":
                raise ApiError(-1122, "Invalid symbolStatus.")
            if name == "type":
                raise ApiError(-1139, "Invalid ticker type.")
            raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value

    def text(self, name: str) -> str | None:
        """Return any text, None when it was not sent."""
        value: str | None = self._params.get(name)
        return value

    def words(self, name: str) -> list[str] | None:
        """Return one word or a JSON list of words, None when it was not sent."""
        value = self._params.get(name)
        if value is None:
            return None
        if not value.startswith("["):
            return [value]
        try:
            return msgspec.json.decode(value, type=list[str])
        except msgspec.DecodeError:
            raise ApiError(-1135, f"JSON sent for parameter '{name}' is not valid") from None

    @staticmethod
    def match_status(status: str, wanted: str | None) -> None:
        """Let a market's status pass that is the wanted one, if any is.

        Raises:
            ApiError: -1220.
        """
        if wanted not in (None, status):
            raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")

    def status(self) -> str | None:
        """Return `symbolStatus`, None when it was not sent."""
        value = self.one_of("symbolStatus", {*_STATUSES, ""}, "")
        return value or None

    def offset_ms(self) -> int:
        """Return `timeZone` as milliseconds east of UTC."""
        text = self._params.get("timeZone", "0")
        found = _ZONE_RULE.fullmatch(text.strip())
        if found is None:
            raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        minutes = -minutes if found[1] == "-" else minutes
        if not -12 * 60 <= minutes <= 14 * 60:
            raise ApiError(-1130, "Data sent for parameter 'timeZone' is not valid.")
        return minutes * 60_000

    def _checked(self, value: str, name: str) -> str:
        if not _SYMBOL_RULE.fullmatch(value):
            raise _illegal(name, _SYMBOL)
        if value not in self._known:
            raise ApiError(-1121, "Invalid symbol.")
        return value


def _missing(name: str) -> ApiError:
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def _illegal(name: str, legal: str) -> ApiError:
    return ApiError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )
