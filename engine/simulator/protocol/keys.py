"""API keys of the simulated exchange, and the signatures that go with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_KEY = re.compile(r"[A-Za-z0-9]{64}")
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_LENGTH = 64
_LARGEST_FILE_BYTES = 65_536


class KeyFault(ValueError):
    """A key or its file can not be used; its text is a sentence for users."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that the exchange accepts.

    Attributes:
        name: What clients send as `X-MBX-APIKEY`.
        secret: Secret of an HMAC key; empty for others.
        public_key: Public key of an RSA or Ed25519 key (of pycryptodome); None for HMAC.
    """

    name: str
    secret: str = ""
    public_key: Any = None

    def verifies(self, payload: bytes, signature: str) -> bool:
        """Tell whether `signature` is this key's of `payload` (the parameters as they were sent).

        HMAC-SHA256 in hex of either case, RSASSA-PKCS1-v1_5 with SHA-256 or Ed25519 in base64.
        """
        if self.public_key is None:
            wanted = hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(wanted.encode(), signature.lower().encode(errors="replace"))
        try:
            raw = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        return _verifies(self.public_key, payload, raw)


def looks_like_key(name: str) -> bool:
    """Tell whether `name` has the form of the exchange's keys: 64 letters and digits."""
    return _KEY.fullmatch(name) is not None


def make_key() -> ApiKey:
    """Return a new HMAC key with a secret, each of 64 letters and digits."""
    name, secret = ("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(2))
    return ApiKey(name, secret)


def read_key(name: str, path: Path) -> ApiKey:
    """Return the key `name` with what `path` holds: a secret, or a public key in PEM.

    Raises:
        KeyFault: when the file can not be read, is open to others or holds neither.
    """
    if not name.isalnum() or not name.isascii():
        raise KeyFault(f"'{name}' is no API key; a key is made of letters and digits.")
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeyFault(f"The secret file {path} can not be read: {why}.") from error
    if text.startswith("-----BEGIN"):
        return ApiKey(name, public_key=_public_key(text, path))
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFault(f"The secret file {path} is open to others; close it: chmod 600 {path}")
    if not text or not text.isprintable():
        raise KeyFault(
            f"{path} holds no secret; write one line, or a public key in PEM (RSA or Ed25519)."
        )
    return ApiKey(name, secret=text)


def _public_key(text: str, path: Path) -> Any:
    from Crypto.PublicKey import ECC, RSA

    if "PRIVATE" in text:
        raise KeyFault(f"{path} holds a private key; the exchange needs the public one.")
    for kind in (RSA, ECC):
        try:
            key = kind.import_key(text)
        except (ValueError, IndexError, TypeError):
            continue
        if kind is RSA or key.curve == "Ed25519":
            return key
    raise KeyFault(f"{path} is no public key of RSA or Ed25519 in PEM.")


def _verifies(public_key: Any, payload: bytes, signature: bytes) -> bool:
    from Crypto.Hash import SHA256
    from Crypto.PublicKey import RSA
    from Crypto.Signature import eddsa, pkcs1_15

    try:
        if isinstance(public_key, RSA.RsaKey):
            pkcs1_15.new(public_key).verify(SHA256.new(payload), signature)
        else:
            eddsa.new(public_key, "rfc8032").verify(payload, signature)
    except ValueError:
        return False
    return True
