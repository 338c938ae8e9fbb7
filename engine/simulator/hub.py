"""Who listens to which stream, and one encoding of each message for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from engine.simulator.protocol.event_times import event_in_microseconds
from engine.simulator.streams import canonical, parse_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from engine.simulator.faults import Faults

_BOOK_KINDS = frozenset({"depth", "partial", "bookTicker", "ticker"})


class Subscriber(Protocol):
    """One WebSocket connection as the hub sees it.

    Attributes:
        combined: Whether payloads are wrapped with their stream's name.
        in_microseconds: Whether the times in them are microseconds.
    """

    combined: bool
    in_microseconds: bool

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
        self._names: dict[str, dict[str, None]] = {}
        self._book_streams: Counter[str] = Counter()
        self.published = 0

    @property
    def streams(self) -> Collection[str]:
        """Streams with at least one subscriber, by the names that they are published under."""
        return self._names.keys()

    def wants(self, stream: str) -> bool:
        """Tell whether anybody listens to `stream`, by this or another name of it."""
        return canonical(stream) in self._names

    def wants_book(self, stem: str) -> bool:
        """Tell whether anybody listens to something that needs the book of `btcusdt`."""
        return self._book_streams[stem] > 0

    def subscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Add a listener; twice is the same as once."""
        self.first_subscription.set()
        if stream not in self._subscribers:
            self._subscribers[stream] = {}
            self._names.setdefault(canonical(stream), {})[stream] = None
            self._book_streams[_book_of(stream)] += 1
        self._subscribers[stream][subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, stream: str) -> None:
        """Remove a listener; one who does not listen is no error."""
        listeners = self._subscribers.get(stream)
        if listeners is None:
            return
        listeners.pop(subscriber, None)
        if listeners:
            return
        del self._subscribers[stream]
        name = canonical(stream)
        del self._names[name][stream]
        if not self._names[name]:
            del self._names[name]
        self._book_streams[_book_of(stream)] -= 1

    def publish(self, stream: str, payload: bytes) -> None:
        """Send one JSON text to all listeners of `stream`, each in the form that it wants."""
        self.publish_many(stream, (payload,))

    def publish_many(self, stream: str, payloads: Sequence[bytes]) -> None:
        """Send `payloads` glued together: each listener gets them in one write."""
        if self._faults.silent:
            return
        for name in self._names.get(canonical(stream), ()):
            frames: dict[tuple[bool, bool], bytes] = {}
            listeners = self._subscribers[name]
            for listener in listeners:
                form = listener.combined, listener.in_microseconds
                if form not in frames:
                    frames[form] = b"".join([_framed(name, text, *form) for text in payloads])
                listener.send(frames[form])
            self.published += len(listeners) * len(payloads)


def _framed(stream: str, payload: bytes, combined: bool, in_micros: bool) -> bytes:
    text = event_in_microseconds(payload) if in_micros else payload
    return text_frame(combined_payload(stream, text) if combined else text)


def _book_of(stream: str) -> str:
    """Return the market in lower case whose book `stream` needs; empty when it needs none."""
    name = parse_stream(stream)
    return name.symbol.lower() if name is not None and name.kind in _BOOK_KINDS else ""
