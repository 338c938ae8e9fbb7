"""One endpoint of the REST interface: what it reads, who may use it, and what it answers."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from engine.simulator.query import Query

Answer = tuple[int, bytes]


class Security(Enum):
    """What a request has to bring (the documentation's security types)."""

    NONE = "none"
    SIGNED = "signed"


class Endpoint(NamedTuple):
    """One endpoint.

    Attributes:
        parameters: Names that it reads; any other one is error -1104.
        answer: Returns the request's weight and its JSON text.
        security: What the request has to bring.
    """

    parameters: frozenset[str]
    answer: Callable[[Query], Awaitable[Answer]]
    security: Security = Security.NONE


Endpoints = dict[str, Endpoint]
