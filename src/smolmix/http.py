"""Retries HTTP requests: which failures may pass, how long to wait, when to give up.

urllib3's `Retry` repeats a request but cannot continue a body that stopped halfway, nor repeat one
whose reply is of no use, and tenacity would be a dependency for this one loop.
"""

import email.utils
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_BUSY = frozenset({408, 409, 425, 429})
_NEVER = frozenset({501, 505})  # the server cannot do it, now or later


class TryAgainError(Exception):
    """A request failed for a reason that may pass."""

    def __init__(
        self, reason: str, wait_s: float | None = None, *, progress: bool = False, reply: str = ""
    ):
        """Say why it failed.

        Args:
            reason: for the message, if no later attempt succeeds.
            wait_s: how long the server said to wait; None leaves it to `Retry`.
            progress: part of the body arrived, so that attempts are counted from here.
            reply: what the server sent instead.
        """
        super().__init__(reason)
        self.reason, self.wait_s, self.progress, self.reply = reason, wait_s, progress, reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a request is tried and how long is waited in between."""

    attempts: int = 8  # in a row without progress, the first one included
    first_wait_s: float = 2.0  # doubled after each failure
    longest_backoff_s: float = 60.0
    longest_wait_s: float = 120.0  # whatever a server asks for
    sleep: Callable[[float], None] = time.sleep

    def wait_s(self, failed: int, asked_s: float | None = None) -> float:
        """Return how long to wait after so many failures in a row, in seconds."""
        if asked_s is not None:
            return min(asked_s, self.longest_wait_s)
        backoff = self.first_wait_s * 2.0 ** (failed - 1)
        return min(backoff, self.longest_backoff_s, self.longest_wait_s)

    def run(self, request: Callable[[], T]) -> T:
        """Return what the request returns, which is repeated while it raises `TryAgainError`.

        Raises:
            TryAgainError: the last one, after `attempts` failures in a row.
        """
        failed = 0
        while True:
            try:
                return request()
            except TryAgainError as error:
                failed = 1 if error.progress else failed + 1
                if failed >= self.attempts:
                    raise
                self.sleep(self.wait_s(failed, error.wait_s))


def is_busy(status: int) -> bool:
    """Whether a status says that the same request may succeed later."""
    return status in _BUSY or (status >= 500 and status not in _NEVER)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks to wait: a number or a date; None if neither."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
