"""Where the slices of a kernel stand in the picture of a unit's weights."""

from __future__ import annotations

import math
from typing import NamedTuple


class Montage(NamedTuple):
    """A grid of slices; all sizes in pixels of the picture."""

    kernel: tuple[int, int]  # (height, width)
    columns: int
    factor: int  # pixels along a weight

    @classmethod
    def of(cls, kernel: tuple[int, int], n_slices: int, size_px: int) -> Montage:
        """The nearest to a square of slices of this kernel, about `size_px` wide."""
        columns = math.ceil(math.sqrt(n_slices))
        return cls(kernel, columns, max(1, size_px // (columns * kernel[1])))

    @property
    def slice_px(self) -> tuple[int, int]:
        """Width and height of a slice."""
        return self.kernel[1] * self.factor, self.kernel[0] * self.factor

    @property
    def gap_px(self) -> int:
        """Between two slices."""
        return max(1, self.factor // 4)

    def corner_px(self, position: int) -> tuple[int, int]:
        """Where a slice begins, from the left and from the top."""
        width, height = self.slice_px
        row, column = divmod(position, self.columns)
        return column * (width + self.gap_px), row * (height + self.gap_px)
