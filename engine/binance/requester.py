"""Single REST requests: paced by the weight budget, repeated where that is right, or refused."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol, TypeVar

import aiohttp
import msgspec
from yarl import URL

from engine.binance import rest_rows
from engine.binance.budget import RateLimited, RestError, WeightBudget
from engine.binance.failures import BLOCKED_STATUSES, address, blocked, describe, plain
from engine.binance.public_client import PublicClient, load_library, make_client
from engine.binance.stream_types import full_jitter_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.binance.public_client import Answer

logger = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

TRIES = 4
BACKGROUND_AT_ONCE = 8
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 5.0
_BAN_WITHOUT_TERM_S = 120.0
_THREAD_FROM_BYTES = 256 * 1024
_UNKNOWN_SYMBOL = -1121
_ILLEGAL_CHARACTERS = -1100
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


class Decodes(Protocol[T_co]):
    """What makes values of an answer's body; `msgspec.json.Decoder` is one."""

    def decode(self, body: bytes, /) -> T_co:
        """Return the values; raises `msgspec.DecodeError`."""
        ...


class UnknownSymbol(RestError):
    """Raised when the exchange has no such market.

    Attributes:
        symbols: The names it does not know.
        not_understood: Those of them that it names in entries which can not be understood.
    """

    def __init__(
        self, text: str, symbols: tuple[str, ...], not_understood: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text)
        self.symbols = symbols
        self.not_understood = not_understood


class Blocked(RestError):
    """Raised for HTTP 403 and 451: the exchange refuses this region or network."""


class Unreachable(RestError):
    """Raised when the exchange could not be reached, or failed, several times in a row."""


class BadAnswer(RestError):
    """Raised for an answer that is not what was asked for.

    Attributes:
        code: The exchange's error code; 0 without one.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Requester:
    """Sends GET requests to one host.

    Args:
        url: Base address, such as `https://data-api.binance.vision`.
        budget: Shared by all that use the same address.
        on_answer: Told the path, the query and the body of each answer with status 200.
    """

    def __init__(
        self,
        url: str,
        budget: WeightBudget,
        *,
        on_answer: Callable[[str, dict[str, str | int], bytes], None] | None = None,
    ) -> None:
        self._url = url
        self._where = URL(url)
        self._budget = budget
        self._on_answer = on_answer
        self._client: PublicClient | None = None
        self._making = asyncio.Lock()
        self._lane = asyncio.Semaphore(BACKGROUND_AT_ONCE)

    async def get(
        self,
        path: str,
        parameters: dict[str, str | int],
        decoder: Decodes[T],
        *,
        weight: int,
        background: bool = False,
        bulk: bool = False,
    ) -> T:
        """Return the decoded answer of `/api/v3/<path>`; see `get_timed`."""
        timed = await self.get_timed(
            path, parameters, decoder, weight=weight, background=background, bulk=bulk
        )
        return timed[0]

    async def get_timed(
        self,
        path: str,
        parameters: dict[str, str | int],
        decoder: Decodes[T],
        *,
        weight: int,
        background: bool = False,
        bulk: bool = False,
    ) -> tuple[T, float, float]:
        """Return the decoded answer, and when its request left and it came (monotonic seconds).

        Connection errors and 5xx are tried again up to three times. HTTP 429 and 418 close the
        gate for everybody until the exchange's term is over.

        Args:
            path: Below `/api/v3/`.
            parameters: Query, percent-encoded where it needs to be, but for `symbol`.
            decoder: For the body of a success.
            weight: What the exchange counts it as.
            background: Whether nobody is waiting for it; at most eight such are under way.
            bulk: Whether it is part of long work in the background.

        Raises:
            RestError: a subclass that says what is wrong.
        """
        client = await self._ready()
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(full_jitter_s(attempt, _FIRST_WAIT_S, _LONGEST_WAIT_S))
            minute = await self._budget.acquire(weight, background=background, bulk=bulk)
            lane = self._lane if background or bulk else nullcontext()
            try:
                async with lane:
                    await self._budget.wait_open()  # it may have been refused meanwhile
                    sent_s = time.monotonic()
                    answer = await client.fetch(path, dict(parameters))
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                failure = describe(error, self._where)
                logger.info("GET %s failed: %s", path, failure)
                continue
            self._budget.observe(answer.headers, minute)
            if answer.status == 200:
                received_s = time.monotonic()
                if self._on_answer is not None:
                    self._on_answer(path, parameters, answer.body)
                return await self._decoded(path, answer.body, decoder), sent_s, received_s
            failure = self._refused(path, parameters, answer)
            logger.info("GET %s: %s", path, failure)
        if self._budget.blocked_s:
            raise RateLimited(failure, self._budget.blocked_s)
        raise Unreachable(failure)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close_connection()
            self._client = None

    async def _ready(self) -> PublicClient:
        async with self._making:
            if self._client is None:
                # The import takes 0.4 s, during which the loop goes on.
                await asyncio.to_thread(load_library)
                self._client = make_client(self._url)
            return self._client

    async def _decoded(self, path: str, body: bytes, decoder: Decodes[T]) -> T:
        try:
            if len(body) >= _THREAD_FROM_BYTES:
                return await asyncio.to_thread(decoder.decode, body)
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadAnswer(
                f"{address(self._where)} answered '{path}' with something else than expected "
                f"({error}); check that rest_url is a Binance spot host."
            ) from error

    def _refused(self, path: str, parameters: dict[str, str | int], answer: Answer) -> str:
        """Return a sentence for what may be tried again; raise for what may not."""
        status = answer.status
        host = address(self._where)
        if status in (418, 429):
            return self._block(answer)
        if status in BLOCKED_STATUSES:
            raise Blocked(blocked(self._where, status))
        if status >= 500:
            return f"{host} failed with HTTP {status}."
        error = _error_of(answer.body)
        is_malformed = error.code == _ILLEGAL_CHARACTERS and "'symbol" in error.msg
        if error.code == _UNKNOWN_SYMBOL or is_malformed:
            name = str(parameters.get("symbol", "")) or "one of the markets"
            raise UnknownSymbol(f"{host} has no market called '{name}'.", (name,))
        reason = plain(error.msg) or f"HTTP {status}"
        raise BadAnswer(f"{host} refused '{path}': {reason}", error.code)

    def _block(self, answer: Answer) -> str:
        text = answer.headers.get("Retry-After", "")
        banned = _BANNED_UNTIL.search(answer.body.decode(errors="replace"))
        if text.isdigit():
            seconds = float(text)
        elif banned:
            seconds = max(1.0, int(banned[1]) / 1000 - time.time())
        else:
            is_ban = answer.status == 418
            seconds = _BAN_WITHOUT_TERM_S if is_ban else self._budget.seconds_to_turn()
        why = (
            f"{address(self._where)} banned this address for too many requests (HTTP 418)."
            if answer.status == 418
            else f"{address(self._where)} wants fewer requests (HTTP 429)."
        )
        self._budget.block(seconds, why)
        return f"{why} Requests wait {seconds:.0f} s."


def _error_of(body: bytes) -> rest_rows.ErrorBody:
    try:
        return rest_rows.ERROR.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return rest_rows.ErrorBody()
