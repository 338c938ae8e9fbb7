"""Mail addresses as people write them, and as they go over the wire."""

from __future__ import annotations

from email.headerregistry import Address
from email.policy import default
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# The header parser finds fault with these, and they are addresses of RFC 6531.
_NO_FAULTS = ("NonASCIILocalPartDefect",)


class Addresses(NamedTuple):
    """What could be read, in order and each once, and the texts that are no addresses."""

    good: tuple[Address, ...]
    odd: tuple[str, ...]


def read_addresses(texts: Iterable[str]) -> Addresses:
    """Read texts that hold one address each, or several with commas between them."""
    good: dict[str, Address] = {}
    odd: list[str] = []
    for text in texts:
        found = _addresses(text)
        if not found:
            odd.append(text)
        for address in found:
            good.setdefault(address.addr_spec, address)
    return Addresses(tuple(good.values()), tuple(odd))


def needs_smtputf8(address: Address) -> bool:
    """Tell whether only a server that offers SMTPUTF8 (RFC 6531) can take mail for it."""
    return not address.username.isascii()


def _addresses(text: str) -> list[Address]:
    try:
        header: Any = default.header_factory("To", text)
        if any(type(defect).__name__ not in _NO_FAULTS for defect in header.defects):
            return []
        return [_on_the_wire(address) for address in header.addresses]
    # The parser stumbles over its own indexes and attributes on texts such as "a@", "<" and ".:".
    except Exception:  # noqa: BLE001 - whatever it raises, the text is no address
        return []


def _on_the_wire(address: Address) -> Address:
    """Return the address with its domain as the DNS has it (RFC 3490)."""
    if not address.username or not address.domain:
        raise ValueError("an address has a name and a domain")
    domain = address.domain
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    return Address(address.display_name, address.username, domain)
