"""Who asks: keys, timestamps and signatures of signed requests, with the official errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.simulator.errors import ApiError
from engine.simulator.protocol.keys import looks_like_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import MultiMapping

    from engine.simulator.protocol.keys import ApiKey

SIGNED_PARAMETERS = frozenset({"timestamp", "recvWindow", "signature"})
_INTEGER = re.compile(r"[0-9]{1,20}")
_DEFAULT_WINDOW_MS = 5000
_LONGEST_WINDOW_MS = 60_000
_AHEAD_MS = 1000
_FIRST_MICROSECOND = 10**14


def no_permission() -> ApiError:
    """Return the refusal of what a key may not do."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


class Signatures:
    """Checks signed requests.

    Args:
        keys: The keys that are accepted.
    """

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = {key.name: key for key in keys}

    def check(
        self,
        headers: Mapping[str, str],
        query: str,
        body: str,
        params: MultiMapping[str],
        now_ms: int,
    ) -> None:
        """Let a request pass that bears a known key's signature and is of now.

        Args:
            headers: Of the request.
            query: Its query string, as it was sent.
            body: Its body, as it was sent.
            params: The parameters of both.
            now_ms: Exchange time.

        Raises:
            ApiError: -2014 and -2015 for the key, -1102, -1105 and -1100 for the parameters,
                -1021 for the time and -1022 for the signature.
        """
        key = self._key(headers.get("X-MBX-APIKEY", ""))
        signature = _mandatory(params, "signature")
        _check_time(params, now_ms)
        # A plus sign that was not percent-encoded was read as a space.
        if not key.verifies(
            signed_payload(query, body).encode(errors="surrogateescape"),
            signature.replace(" ", "+"),
        ):
            raise ApiError(-1022, "Signature for this request is not valid.")

    def _key(self, name: str) -> ApiKey:
        key = self._keys.get(name)
        if key is not None:
            return key
        if not looks_like_key(name):
            raise ApiError(-2014, "API-key format invalid.", status=401)
        raise no_permission()


def signed_payload(query: str, body: str) -> str:
    """Return what a request's signature is of: query and body without the signature itself."""
    return "".join(
        "&".join(part for part in text.split("&") if not part.startswith("signature="))
        for text in (query, body)
    )


def _check_time(params: MultiMapping[str], now_ms: int) -> None:
    time_ms = _whole("timestamp", _mandatory(params, "timestamp"))
    if time_ms >= _FIRST_MICROSECOND:
        time_ms //= 1000
    window_ms: float = _DEFAULT_WINDOW_MS
    if "recvWindow" in params:
        window_ms = _window_ms(params["recvWindow"])
    if time_ms >= now_ms + _AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - time_ms > window_ms:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _window_ms(text: str) -> float:
    """Return `recvWindow`, which may have up to three decimals."""
    if not text:
        raise ApiError(-1105, "Parameter 'recvWindow' was empty.")
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,3})?", text) is None:
        raise ApiError(
            -1100,
            "Illegal characters found in parameter 'recvWindow'; legal range is '^[0-9]{1,20}$'.",
        )
    if float(text) > _LONGEST_WINDOW_MS:
        raise ApiError(
            -1102,
            f"'recvWindow' contains unexpected value. Cannot be greater than {_LONGEST_WINDOW_MS}.",
        )
    return float(text)


def _mandatory(params: MultiMapping[str], name: str) -> str:
    value = params.get(name)
    if value is None:
        raise ApiError(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        )
    if not value:
        raise ApiError(-1105, f"Parameter '{name}' was empty.")
    return value


def _whole(name: str, text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ApiError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)
