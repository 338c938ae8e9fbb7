"""Who listens to which stream, and one encoding of each message for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from engine.simulator.faults import Faults


class Subscriber(Protocol):
    """One WebSocket connection as the hub sees it."""

    combined: bool

    def send(self, frame: bytes) -> None:
        """Queue one ready WebSocket frame; it never blocks."""
        ...


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one unmasked, final WebSocket text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def binary_frame(payload: bytes) -> bytes:
    """Return `payload` as one unmasked, final WebSocket binary frame."""
    return b"\x82" + text_frame(payload)[1:]


def close_frame(code: int) -> bytes:
    """Return a WebSocket close frame with `code` (RFC 6455, section 7.4)."""
    return b"\x88\x02" + code.to_bytes(2, "big")


def combined_payload(stream: str, payload: bytes) -> bytes:
    """Wrap `payload` as the combined endpoint does."""
    return b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"


class Hub:
    """Subscriptions by stream name.

    Attributes:
        first_subscription: Set once anybody has subscribed to anything.
        published: Messages handed to subscribers since the start (one per subscriber).
    """

    def __init__(self, faults: Faults) -> None:
        self.first_subscription = asyncio.Event()
        self._faults = faults
        self._subscribers: dict[str, dict[Subscriber, None]] = {}
        self._book_streams: Counter[str] = Counter()
        self.published = 0

    @property
    def streams(self) -> Collection[str]:
        """Streams with at least one subscriber."""
        return self._subscribers.keys()

    def wants(self, stream: str) -> bool:
        """Tell whether anybody listens to `stream`."""
        return stream in self._subscribers

    def wants_book(self, stem: str) -> bool:
        """Tell whether anybody listens to something that needs the book of `btcusdt`."""
        return self._book_streams[stem] > 0

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Add a listener; twice is the same as once."""
        self.first_subscription.set()
        if stream not in self._subscribers:
            self._subscribers[stream] = {}
            self._book_streams[_book_of(stream)] += 1
        self._subscribers[stream][subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Remove a listener; one who does not listen is no error."""
        listeners = self._subscribers.get(stream)
        if listeners is not None:
            listeners.pop(subscriber, None)
            if not listeners:
                del self._subscribers[stream]
                self._book_streams[_book_of(stream)] -= 1

    def publish(self, stream: str, payload: bytes) -> None:
        """Send one JSON text to all listeners of `stream`, in their raw or combined form."""
        listeners = self._subscribers.get(stream)
        if not listeners or self._faults.silent:
            return
        raw: bytes | None = None
        wrapped: bytes | None = None
        for listener in listeners:
            if listener.combined:
                if wrapped is None:
                    wrapped = text_frame(combined_payload(stream, payload))
                listener.send(wrapped)
            else:
                if raw is None:
                    raw = text_frame(payload)
                listener.send(raw)
        self.published += len(listeners)

    def publish_many(self, stream: str, payloads: Sequence[bytes]) -> None:
        """Send `payloads` glued together: each listener gets them in one write."""
        listeners = self._subscribers.get(stream)
        if not listeners or self._faults.silent:
            return
        raw = b"".join(map(text_frame, payloads))
        wrapped = b"".join(text_frame(combined_payload(stream, payload)) for payload in payloads)
        for listener in listeners:
            listener.send(wrapped if listener.combined else raw)
        self.published += len(listeners) * len(payloads)


def _book_of(stream: str) -> str:
    """Return the market in lower case whose book `stream` needs; empty when it needs none."""
    stem, _, kind = stream.partition("@")
    return stem if kind.startswith(("depth", "bookTicker", "ticker")) else ""
