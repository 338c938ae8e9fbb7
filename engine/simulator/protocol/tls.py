"""A certificate of the simulated exchange's own, for clients that take https and wss only."""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class TlsFault(RuntimeError):
    """TLS can not be had; its text is a sentence for users."""


def make_tls(host: str, ca_file: Path) -> ssl.SSLContext:
    """Return a server's context with a new certificate, and write whom to trust to `ca_file`.

    The keys of both certificates are in memory only.

    Args:
        host: Address or name that the server listens on; loopback is in the certificate, too.
        ca_file: Where the certificate of the new authority goes (PEM).

    Raises:
        TlsFault: when trustme is not installed or the file can not be written.
    """
    try:
        import trustme
    except ModuleNotFoundError as error:
        raise TlsFault(
            "--tls needs trustme, which makes certificates; install it: pip install 'klinetop[tls]'"
        ) from error
    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
    authority = trustme.CA(organization_name="klinetop simulate")
    certificate = authority.issue_cert(*(name for name in names if not _is_any(name)))
    try:
        authority.cert_pem.write_to_path(ca_file)
    except OSError as error:
        raise TlsFault(f"{ca_file} can not be written: {error.strerror}.") from error
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
