"""Errors of the REST interface as the exchange writes them (official error list, 2026-07-17)."""

from __future__ import annotations


class ApiError(Exception):
    """A request that is refused.

    Args:
        code: The exchange's negative code.
        message: What it says.
        status: HTTP status.
        retry_after_s: Seconds for the Retry-After header, if there is one.
    """

    def __init__(
        self, code: int, message: str, *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
