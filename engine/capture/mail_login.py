"""Logging in to an SMTP server (RFC 4954) with names and passwords in UTF-8.

`smtplib` sends ASCII only. RFC 4616 has UTF-8 for PLAIN; servers take it for the others, too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import smtplib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    _Respond = Callable[[int, bytes], bytes]

# Of PLAIN first: over TLS it gives away no more than the others, and it is defined for UTF-8.
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")
_DONE = (235, 503)  # 503: logged in already
_GO_ON = 334
_LONGEST_INITIAL_RESPONSE = 480  # a command line has 512 octets (RFC 5321, 4.5.3.1.4)


class NoCommonMechanism(smtplib.SMTPNotSupportedError):
    """The server offers no login that klinetop has; `offered` are those that it has."""

    def __init__(self, offered: tuple[str, ...]) -> None:
        super().__init__(f"it offers {', '.join(offered) or 'no login'}")
        self.offered = offered


def log_in(server: smtplib.SMTP, user: bytes, password: bytes) -> None:
    """Log in by the first mechanism that works.

    Args:
        server: Connected and encrypted.
        user: UTF-8, without NUL.
        password: UTF-8, without NUL.

    Raises:
        NoCommonMechanism: when the server offers none of `MECHANISMS`.
        smtplib.SMTPAuthenticationError: the first refusal, when all of them were refused.
        smtplib.SMTPException: when the server breaks off.
    """
    server.ehlo_or_helo_if_needed()
    offered = tuple(server.esmtp_features.get("auth", "").upper().split())
    usable = [mechanism for mechanism in MECHANISMS if mechanism in offered]
    if not usable:
        raise NoCommonMechanism(offered)
    refusal: smtplib.SMTPAuthenticationError | None = None
    for mechanism in usable:
        try:
            _authenticate(server, mechanism, user, password)
        except smtplib.SMTPAuthenticationError as error:
            refusal = refusal or error
        except smtplib.SMTPServerDisconnected:
            if refusal is None:
                raise
            break  # many servers hang up after a refusal
        else:
            return
    assert refusal is not None
    raise refusal


def _authenticate(server: smtplib.SMTP, mechanism: str, user: bytes, password: bytes) -> None:
    plain = b"\0" + user + b"\0" + password

    def respond(turn: int, challenge: bytes) -> bytes:
        if mechanism == "PLAIN":
            return plain
        if mechanism == "LOGIN":
            return (user, password)[min(turn, 1)]
        return user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()

    initial = _base64(plain) if mechanism == "PLAIN" else ""
    if len(initial) > _LONGEST_INITIAL_RESPONSE:
        initial = ""
    code, words = server.docmd("AUTH", f"{mechanism} {initial}".rstrip())
    for turn in range(2 if mechanism == "LOGIN" else 1):
        if code != _GO_ON:
            break
        code, words = server.docmd(_base64(respond(turn, _challenge(words))))
    if code == _GO_ON:
        code, words = server.docmd("*")  # cancels (RFC 4954, 4)
    if code not in _DONE:
        raise smtplib.SMTPAuthenticationError(code, words)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _challenge(words: bytes) -> bytes:
    try:
        return base64.b64decode(words)
    except binascii.Error as error:
        raise smtplib.SMTPException(f"its challenge is no base64: {words!r:.80}") from error
