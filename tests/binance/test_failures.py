"""What users read when the exchange can not be reached."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from engine.binance.failures import Redirected, describe, is_loopback

KEY = ConnectionKey("data-stream.binance.vision", 443, True, True, None, None, None)
PROXY = ConnectionKey("proxy.test", 3128, False, True, None, None, None)
HOST = URL("wss://data-stream.binance.vision/stream")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown")), "could not be resolved"),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "no")), "refused the conn"),
        (ConnectionRefusedError(), "refused the connection"),
        (TimeoutError(), "did not answer in time"),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError("bad")), "No secure connection"),
        (aiohttp.ServerDisconnectedError(), "The connection to"),
        (aiohttp.ClientError("400:\n  \x1b[2Jno gzip."), "failed: 400: \\x1b[2Jno gzip."),
        (Redirected(302, "portal.example"), "redirects to portal.example (HTTP 302)"),
        (aiohttp.ClientProxyConnectionError(PROXY, OSError(-2, "no")), "The proxy proxy.test:3128"),
    ],
)
def test_each_failure_is_one_sentence_that_names_the_host(error, words):
    text = describe(error, HOST)
    assert words in text
    assert "data-stream.binance.vision" in text
    assert text.endswith(".")
    assert "\n" not in text


def test_loopback_is_known():
    for local in ("ws://127.0.0.1:9", "http://localhost:80", "http://[::1]:80"):
        assert is_loopback(URL(local))
    assert not is_loopback(HOST)
