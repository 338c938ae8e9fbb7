"""Load for benchmarks and tests: arbitrary messages at a given rate, and glued bursts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.simulator.exchange import Exchange

_TURN_S = 0.005


async def publish_at_rate(
    exchange: Exchange,
    streams: Sequence[str],
    payload_of: Callable[[str, int], bytes],
    *,
    messages_per_s: float,
    seconds: float,
) -> int:
    """Publish messages round-robin over `streams`, evenly in time, and return how many.

    A message counts once however many subscribers its stream has. When the loop falls behind it
    catches up, so the total is exact.

    Args:
        exchange: Whose subscribers get them.
        streams: Stream names.
        payload_of: Makes the JSON text of a message from stream name and running number.
        messages_per_s: Messages per second of wall-clock time.
        seconds: How long.
    """
    begin_s = time.monotonic()
    total = round(messages_per_s * seconds)
    sent = 0
    while sent < total:
        due = min(total, int((time.monotonic() - begin_s) * messages_per_s))
        for number in range(sent, due):
            stream = streams[number % len(streams)]
            exchange.hub.publish(stream, payload_of(stream, number))
        sent = due
        await asyncio.sleep(_TURN_S)
    return sent


def publish_burst(exchange: Exchange, stream: str, payloads: Iterable[bytes]) -> None:
    """Send `payloads` so that each subscriber of `stream` gets them in one TCP write."""
    exchange.hub.publish_many(stream, list(payloads))
