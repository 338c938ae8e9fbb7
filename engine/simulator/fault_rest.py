"""Wrong answers of the simulated exchange's REST interface, put in a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HTML = b"<html><body>Refused</body></html>"
_LIMITED = (
    b'{"code":-1003,"msg":"Too much request weight used; current limit is 6000 request weight per '
    b'1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."}'
)
_BODIES = {
    418: b'{"code":-1003,"msg":"Way too much request weight used; IP banned. Please use WebSocket '
    b'Streams for live updates to avoid bans."}',
    429: _LIMITED,
    451: b'{"code":0,"msg":"Service unavailable from a restricted location according to \'b. '
    b"Eligibility' in the terms of use. Please contact customer service if you believe you "
    b'received this message in error."}',
}


@dataclass(slots=True)
class RestAnswer:
    """One wrong answer and how often it is given.

    Attributes:
        status: HTTP status.
        body: What it says.
        headers: Headers beside the content type.
        left: So many more of them; None until `clear`.
        paths: Only these, such as `klines`; empty for all.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    left: int | None
    paths: tuple[str, ...]

    @property
    def content_type(self) -> str:
        """JSON for what begins like it, otherwise HTML."""
        return "application/json" if self.body[:1] in (b"{", b"[") else "text/html"


@dataclass(slots=True)
class RestFaults:
    """Wrong answers that wait for their requests; the oldest that fits a path is given first.

    Attributes:
        given: How many requests were answered wrongly since the start.
    """

    given: int = 0
    _answers: list[RestAnswer] = field(default_factory=list)

    def add(
        self,
        status: int,
        *,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        count: int | None,
        paths: tuple[str, ...],
    ) -> None:
        """Put one more in the row (see `Faults.rest_answer`)."""
        text = _BODIES.get(status, _HTML) if body is None else body
        names = tuple(path.removeprefix("/api/v3/").strip("/") for path in paths)
        self._answers.append(RestAnswer(status, text, dict(headers or {}), count, names))

    def take(self, path: str) -> RestAnswer | None:
        """Return the wrong answer for a request of `path` (`klines`), None for an honest one."""
        for answer in self._answers:
            if answer.paths and path not in answer.paths:
                continue
            if answer.left is not None:
                answer.left -= 1
                if answer.left <= 0:
                    self._answers.remove(answer)
            self.given += 1
            return answer
        return None

    def clear(self) -> None:
        """Answer honestly from now on."""
        self._answers.clear()
