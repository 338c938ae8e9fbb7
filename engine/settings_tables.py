"""The tables of the settings tree: terminal, forecast, report, mail, retention, disk, record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec

TINY = 1e-9


def meta(
    description: str, expects: str, *, low: float = -math.inf, high: float = math.inf
) -> msgspec.Meta:
    """Describe one setting: its meaning, what it takes, and a number's inclusive bounds."""
    extra = {"expects": expects, "low": low, "high": high}
    return msgspec.Meta(description=description, extra=extra)


class TerminalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the terminal looks and how often it asks the engine."""

    frames_per_s: Annotated[
        float,
        meta(
            "how often a second the terminal asks the engine for changes at most",
            "a number above 0, at most 60",
            low=TINY,
            high=60,
        ),
    ] = 10.0
    ascii: Annotated[
        bool | None,
        meta("whether to draw with ASCII only; unset, the locale decides", "true or false"),
    ] = None
    palette: Annotated[
        Literal["default", "okabe-ito", "mono"],
        meta(
            "the set of colours; okabe-ito is safe for colour-blind eyes",
            "one of default, okabe-ito, mono",
        ),
    ] = "default"
    up_color: Annotated[
        Literal["green", "red"],
        meta("the colour of rising prices", "green or red"),
    ] = "green"


class ForecastSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the forecast looks at and how it is trained."""

    lookahead: Annotated[
        int,
        meta(
            "how many candles ahead the forecast looks",
            "a whole number from 1 to 1000",
            low=1,
            high=1000,
        ),
    ] = 5
    window: Annotated[
        int,
        meta(
            "how many candles the network sees at once",
            "a whole number from 2 to 1000",
            low=2,
            high=1000,
        ),
    ] = 10
    train_rows: Annotated[
        int,
        meta(
            "how many candles a training job uses",
            "a whole number from 500 to 10000000",
            low=500,
            high=10_000_000,
        ),
    ] = 20_000
    networks: Annotated[
        int,
        meta(
            "how many networks, each with a seed of its own, make one model",
            "a whole number from 1 to 50",
            low=1,
            high=50,
        ),
    ] = 3
    epochs: Annotated[
        int,
        meta(
            "how many epochs a network is trained at most",
            "a whole number from 1 to 10000",
            low=1,
            high=10_000,
        ),
    ] = 12
    threads: Annotated[
        int | None,
        meta(
            "how many processor threads a training job may use; unset, one on up to two cores, "
            "else all cores but one, four at most",
            "a whole number from 1 to 256",
            low=1,
            high=256,
        ),
    ] = None


class ReportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When quality reports are made, and how."""

    at: Annotated[
        str | None,
        meta(
            "the UTC time of day at which the report of the day before is made; unset, never",
            "a time such as 00:10",
        ),
    ] = None
    format: Annotated[
        Literal["text", "csv", "json", "html"],
        meta("the form of the scheduled report", "one of text, csv, json, html"),
    ] = "html"
    directory: Annotated[
        Path | None,
        meta(
            "the directory of scheduled reports; unset, reports/ in the data directory",
            "the path of a directory",
        ),
    ] = None


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The SMTP server that mails reports; the password never stands here.

    It comes from the environment variable `KLINETOP_MAIL_PASSWORD` or from `password_file`.
    """

    host: Annotated[
        str | None, meta("the SMTP server that sends mail; unset, none is sent", "a host name")
    ] = None
    port: Annotated[
        int | None,
        meta(
            "the server's port; unset, 587 for STARTTLS and 465 for TLS",
            "a whole number from 1 to 65535",
            low=1,
            high=65535,
        ),
    ] = None
    security: Annotated[
        Literal["starttls", "tls"],
        meta("how the connection to the server is encrypted", "starttls or tls"),
    ] = "starttls"
    user: Annotated[
        str | None, meta("the name to log in with; unset, no login", "the name of an account")
    ] = None
    password_file: Annotated[
        Path | None,
        meta("a file of mode 0600 that holds the password", "the path of a file"),
    ] = None
    ca_file: Annotated[
        Path | None,
        meta(
            "certificates that the server's is checked with; unset, the system's",
            "the path of a PEM file",
        ),
    ] = None
    sender: Annotated[str | None, meta("the address that mail comes from", "a mail address")] = None
    to: Annotated[
        tuple[str, ...],
        meta("the addresses that reports are mailed to", "a list of mail addresses"),
    ] = ()


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long stored data are kept."""

    days: Annotated[
        float | None,
        meta(
            "days of candles to keep; older ones are pruned but for intervals of a day and more; "
            "unset or 0, all are kept",
            "a number, 0 or above",
            low=0,
            high=36_500,
        ),
    ] = None
    max_gb: Annotated[
        float | None,
        meta(
            "the size in GB at which the oldest candles are pruned; unset, no limit",
            "a number above 0",
            low=TINY,
        ),
    ] = None


class DiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when the disk of the data directory runs full."""

    warn_mb: Annotated[
        float, meta("free MB below which klinetop warns", "a number, 0 or above", low=0)
    ] = 1024.0
    floor_mb: Annotated[
        float,
        meta("free MB below which only candles are written", "a number, 0 or above", low=0),
    ] = 200.0


class RecordSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the engine keeps the raw frames that it receives."""

    directory: Annotated[
        Path | None,
        meta(
            "the directory into which the engine records raw frames; unset, it records none",
            "the path of a directory",
        ),
    ] = None
    keep_hours: Annotated[
        float | None,
        meta(
            "hours of recordings to keep; unset, all",
            "a number above 0",
            low=TINY,
        ),
    ] = None
