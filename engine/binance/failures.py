"""Sentences for what can go wrong between here and the exchange."""

from __future__ import annotations

import ipaddress
import ssl

import aiohttp
from yarl import URL

PUBLIC_REST_HOST = "data-api.binance.vision"
PUBLIC_STREAM_HOST = "data-stream.binance.vision"
BLOCKED_STATUSES = frozenset({403, 451})
_TOLD_CHARACTERS = 200


class Redirected(aiohttp.ClientError):
    """An answer that sends elsewhere: whoever gave it is not the exchange.

    Attributes:
        status: Its HTTP status.
        target: The host, and where it is not the scheme's own the port, that it names; the path
            where it is the host that was asked.
    """

    def __init__(self, status: int, target: str) -> None:
        super().__init__(f"HTTP {status} to {target}")
        self.status = status
        self.target = target


def refusing_redirects() -> aiohttp.TraceConfig:
    """Return what a client session needs in order not to follow redirects, but to say so."""
    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(_refuse_redirect)
    return config


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: object,
    told: aiohttp.TraceRequestRedirectParams,
) -> None:
    told.response.close()
    there = told.response.headers.get("Location") or told.response.headers.get("URI") or ""
    asked = told.response.url
    try:
        url = asked.join(URL(there))
        target = address(url) if address(url) != address(asked) else f"its own {url.path}"
    except ValueError:
        target = there
    raise Redirected(told.response.status, plain(target)[:_TOLD_CHARACTERS])


def address(url: URL) -> str:
    """Return host and, where it is not the scheme's own, port of `url`."""
    host = url.host or str(url)
    return host if url.is_default_port() or url.port is None else f"{host}:{url.port}"


def is_loopback(url: URL) -> bool:
    """Tell whether `url` stays on this machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def plain(text: str) -> str:
    """Return a text from outside without what a terminal would take for commands."""
    return text if text.isprintable() else ascii(text)[1:-1]


def blocked(url: URL, status: int) -> str:
    """Say that the exchange refuses this place, and what to set."""
    return (
        f"{address(url)} refuses connections from this region or network (HTTP {status}); set "
        f"rest_url to https://{PUBLIC_REST_HOST} and stream_url to wss://{PUBLIC_STREAM_HOST}, "
        "or to other hosts that you may use."
    )


def describe(error: BaseException, url: URL) -> str:
    """Return one sentence for a failed connection or request to `url`."""
    host = address(url)
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status in BLOCKED_STATUSES:
            return blocked(url, error.status)
        return f"{host} refused the stream connection with HTTP {error.status}."
    if isinstance(error, Redirected):
        return (
            f"{host} does not answer itself but redirects to {error.target} (HTTP {error.status}), "
            "as a provider or a proxy in between does; use another network, or set rest_url and "
            "stream_url to hosts that you may use."
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return (
            f"The proxy {error.host}:{error.port} on the way to {host} could not be reached; "
            "check http_proxy and https_proxy."
        )
    if isinstance(error, (ssl.SSLError, aiohttp.ClientSSLError)):
        return f"No secure connection to {host}: {error}."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"The name {url.host} could not be resolved; check the network connection."
    if isinstance(error, TimeoutError):
        return f"{host} did not answer in time."
    if isinstance(error, ConnectionRefusedError) or _is_refused(error):
        return f"{host} refused the connection; nothing listens there."
    text = plain(" ".join(str(error).split())).rstrip(".") or type(error).__name__
    return f"The connection to {host} failed: {text}."


def _is_refused(error: BaseException) -> bool:
    inner = getattr(error, "os_error", None)
    return isinstance(inner, ConnectionRefusedError)
