"""python-binance's client, pointed at any host, with its answers left as bytes.

The library costs 0.4 s to import, so it is imported when the first client is made. Overriding
`_handle_response` keeps JSON out of the event loop (its own parse of a full exchangeInfo blocks for
70 ms) and ties the headers to their answer. The private name is pinned by a test.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import aiohttp
from yarl import URL

from engine.binance.failures import is_loopback, refusing_redirects

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUEST_TIMEOUT_S = 10.0


class Answer(NamedTuple):
    """Status, headers and body of one HTTP answer, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class PublicClient(Protocol):
    """The two calls that are used of python-binance."""

    async def fetch(self, path: str, parameters: dict[str, str | int]) -> Answer:
        """GET `/api/v3/<path>`; parameters must be percent-encoded already."""

    async def close_connection(self) -> None:
        """Close the session."""


def load_library() -> Any:
    """Import python-binance and return it; safe to call from a thread."""
    # Without a handler of its own the library's log lands on stderr, in the middle of a screen.
    logging.getLogger("binance").addHandler(logging.NullHandler())
    import binance

    return binance


def make_client(url: str) -> PublicClient:
    """Return a client for the REST host at `url`; needs a running event loop.

    It is made by the constructor, as `AsyncClient.create` pings and fails without a network.
    """
    library = load_library()

    class Client(library.AsyncClient):  # type: ignore[misc,name-defined]
        async def fetch(self, path: str, parameters: dict[str, str | int]) -> Answer:
            answer: Answer = await self._get(path, data=parameters)
            return answer

        async def _handle_response(self, response: aiohttp.ClientResponse) -> Answer:
            return Answer(response.status, response.headers, await response.read())

    client = Client(
        requests_params={"timeout": aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)},
        session_params={
            "trust_env": not is_loopback(URL(url)),
            "trace_configs": [refusing_redirects()],
        },
    )
    client.API_URL = f"{url.rstrip('/')}/api"
    made: PublicClient = client
    return made
