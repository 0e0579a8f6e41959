"""How the units of a job are cut into batches for a device.

The last digits of a picture depend on what it is computed with. So batches are cut at the same
places in whatever order they are made, wherever that is, and after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Cut:
    """A first batch of `first` units, then batches of `size` units."""

    first: int
    size: int

    def batch(self, position: int) -> int:
        """The number of the batch that the unit at a position of a job is in."""
        return 0 if position < self.first else 1 + (position - self.first) // self.size

    def runs(self, positions: Sequence[int]) -> list[list[int]]:
        """The indices of `positions`, which ascend, in one list for each batch."""
        by_batch = groupby(range(len(positions)), lambda nth: self.batch(positions[nth]))
        return [list(run) for _, run in by_batch]
