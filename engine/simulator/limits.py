"""The limits of the exchange, each settable for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Documented limits (REST 2023-08-25, streams 2025-01-28) and two of our own.

    Attributes:
        weight_per_minute: REST request weight per minute of wall-clock time and address.
        ignored_before_ban: Requests after a 429, before its Retry-After, that lead to a 418.
        ban_s: Length of the first ban; each further one is twice as long.
        most_streams: Streams per connection.
        most_connects: WebSocket connects per `connects_window_s` and address.
        connects_window_s: Seconds of that window.
        longest_url: Characters of a WebSocket URL; a longer one is refused, as seen in the wild.
        life_s: Age at which the exchange closes a connection.
        most_commands_per_s: Client messages (pings and pongs too) per second and connection.
        largest_command_bytes: A longer command is silently ignored, as seen in the wild.
        ping_s: Seconds between server pings.
        pong_s: Seconds without a pong after which the connection is cut.
        most_backlog_bytes: Unread bytes at which a slow reader is cut (ours).
    """

    weight_per_minute: int = 6000
    ignored_before_ban: int = 5
    ban_s: float = 120.0
    most_streams: int = 1024
    most_connects: int = 300
    connects_window_s: float = 300.0
    longest_url: int = 8004
    life_s: float = 86_400.0
    most_commands_per_s: int = 5
    largest_command_bytes: int = 4088
    ping_s: float = 20.0
    pong_s: float = 60.0
    most_backlog_bytes: int = 32 << 20
