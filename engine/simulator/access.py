"""Who may read the account of the simulated exchange, and by which certificate it is known."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.simulator.protocol.keys import KeyFault, make_key, read_key
from engine.simulator.protocol.tls import make_tls

if TYPE_CHECKING:
    import ssl
    from contextlib import ExitStack

    from engine.simulator.protocol.keys import ApiKey

NEW = "new"


class Access(NamedTuple):
    """What the options on keys and certificates come to.

    Attributes:
        keys: Keys that may read.
        tls: The server's certificate; None for plain http and ws.
        said: What a user has to know: a new key and its secret, the file of the CA.
    """

    keys: tuple[ApiKey, ...]
    tls: ssl.SSLContext | None
    said: dict[str, object]


def make_access(
    stack: ExitStack,
    *,
    api_key: str | None,
    secret_file: Path | None,
    tls: bool,
    ca_file: Path | None,
    host: str,
) -> Access:
    """Read or make the key and the certificate.

    Args:
        stack: Removes the CA's file at its end, when it is a temporary one.
        api_key: A key, or `new`; None for none.
        secret_file: The key's secret or public key.
        tls: Whether a certificate is wanted; naming a `ca_file` wants one, too.
        ca_file: Where the CA's certificate goes; None for a temporary file.
        host: Address that the server listens on.

    Raises:
        KeyFault: for a key or file that can not be used.
        TlsFault: when there can be no certificate.
    """
    key = _key(api_key, secret_file)
    said: dict[str, object] = {}
    if key is not None and api_key == NEW:
        said = {"api_key": key.name, "api_secret": key.secret}
    context = None
    if tls or ca_file is not None:
        if ca_file is None:
            directory = tempfile.TemporaryDirectory(prefix="klinetop-simulate-")
            ca_file = Path(stack.enter_context(directory)) / "ca.pem"
        context = make_tls(host, ca_file)
        said["ca_file"] = str(ca_file.absolute())
    return Access(() if key is None else (key,), context, said)


def _key(name: str | None, secret_file: Path | None) -> ApiKey | None:
    if name is None and secret_file is None:
        return None
    if name == NEW and secret_file is None:
        return make_key()
    if name is None or name == NEW or secret_file is None:
        raise KeyFault("Name a key and its file: --api-key KEY --api-secret-file FILE.")
    return read_key(name, secret_file)
