import asyncio
import contextlib
import functools
import json
import time
from bisect import insort

import aiohttp
import pytest

from engine.simulator.generated import GeneratedMarket
from engine.simulator.server import serve

START_MS = 1_795_000_012_345


class Client:
    """A plain client of a running exchange: JSON over REST, messages over WebSocket."""

    def __init__(self, running, session):
        self.running = running
        self.session = session

    async def get(self, path, **params):
        status, body, _ = await self.ask(path, **params)
        assert status == 200, body
        return body

    async def ask(self, path, **params):
        url = f"{self.running.rest_url}/api/v3/{path}"
        async with self.session.get(url, params=params) as response:
            return response.status, await response.json(), response.headers

    @contextlib.asynccontextmanager
    async def socket(self, path="/ws"):
        async with self.session.ws_connect(
            self.running.stream_url + path, max_msg_size=0
        ) as socket:
            yield socket

    async def streams(self, *names):
        return self.session.ws_connect(
            f"{self.running.stream_url}/stream?streams={'/'.join(names)}", max_msg_size=0
        )


class WireBook:
    """A book kept by the documented procedure (2025-11-12), written for the tests alone."""

    def __init__(self):
        self.bids, self.asks, self.last_id = {}, {}, None

    def load(self, snapshot):
        self.bids = {float(p): float(q) for p, q in snapshot["bids"]}
        self.asks = {float(p): float(q) for p, q in snapshot["asks"]}
        self.last_id = snapshot["lastUpdateId"]

    def apply(self, event):
        if event["u"] < self.last_id:
            return
        assert event["U"] <= self.last_id + 1, "events were missed"
        for side, changes in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, quantity in changes:
                if float(quantity):
                    side[float(price)] = float(quantity)
                else:
                    side.pop(float(price), None)
        self.last_id = event["u"]

    @property
    def is_crossed(self):
        return max(self.bids) >= min(self.asks)

    def levels(self):
        bids, asks = [], []
        for item in self.bids.items():
            insort(bids, item)
        for item in self.asks.items():
            insort(asks, item)
        return bids[::-1], asks


@functools.cache
def make_market(symbols=("BTCUSDT", "LTCUSDT"), *, start_ms=START_MS):
    return GeneratedMarket(7, symbols, start_ms=start_ms, history_days=80)


@pytest.fixture
def market():
    """Return a function that makes a generated market; the same one again for the same options.

    A market is a pure function of time, so tests can share it and what it has computed.
    """
    return make_market


@pytest.fixture
async def start(market):
    """Return a function that starts an exchange and gives a client of it."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(source=None, **options):
            running = await stack.enter_async_context(serve(source or market(), **options))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(running, session)

        yield begin


@pytest.fixture
def receive():
    """Return a function that reads JSON messages until one satisfies a condition."""

    async def read(socket, until=lambda _: True, timeout_s=60.0):
        messages = []
        deadline = time.monotonic() + timeout_s
        while True:
            left = max(0.01, deadline - time.monotonic())
            message = await asyncio.wait_for(socket.receive(), left)
            assert message.type is aiohttp.WSMsgType.TEXT, message
            messages.append(json.loads(message.data))
            if until(messages[-1]):
                return messages

    return read


@pytest.fixture
def wire_book():
    return WireBook
