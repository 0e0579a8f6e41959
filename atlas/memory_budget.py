"""A share of the memory that several threads use in turns."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class TooMuchError(Exception):
    """More memory than there is in the whole budget."""


class MemoryBudget:
    """Bytes that threads reserve before they use them; who asks first is served first."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._n_used = 0
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def reserve(self, n_bytes: int) -> Iterator[Reserved]:
        """Wait until so many bytes are free, and hold them inside the context.

        A thread that holds bytes must not reserve others, or two could wait for each other.

        Raises:
            TooMuchError: the budget is smaller.
        """
        self._check(n_bytes)
        reserved = Reserved(self)
        with self._changed:
            self._waiting.append(reserved)
            try:
                self._changed.wait_for(
                    lambda: self._waiting[0] is reserved and self._n_used + n_bytes <= self.n_bytes
                )
                self._n_used += n_bytes
                reserved.n_bytes = n_bytes
            finally:
                self._waiting.remove(reserved)
                self._changed.notify_all()
        try:
            yield reserved
        finally:
            with self._changed:
                self._n_used -= reserved.n_bytes
                self._changed.notify_all()

    def grow(self, reserved: Reserved, n_bytes: int) -> bool:
        """Make a reservation as large as `n_bytes` if so many are free now, without waiting.

        Raises:
            TooMuchError: the budget is smaller.
        """
        self._check(n_bytes)
        with self._changed:
            more = n_bytes - reserved.n_bytes
            if more > 0 and self._n_used + more > self.n_bytes:
                return False
            self._n_used += max(0, more)
            reserved.n_bytes += max(0, more)
            return True

    def _check(self, n_bytes: int) -> None:
        if n_bytes > self.n_bytes:
            raise TooMuchError(
                f"needs {n_bytes / 1e9:,.2f} GB of memory, more than the {self.n_bytes / 1e9:.2f} "
                "GB for photographs"
            )


class Reserved:
    """Bytes that one thread holds."""

    def __init__(self, budget: MemoryBudget) -> None:
        self.n_bytes = 0
        self._budget = budget

    def grow(self, n_bytes: int) -> bool:
        """Hold `n_bytes` in all, if so many are free now; returns whether they are held."""
        return self._budget.grow(self, n_bytes)
