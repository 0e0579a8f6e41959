"""Who is told how far the making of artifacts has got."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[float], object]  # told how much more of something is done


class Observer:
    """Is told how far the making of artifacts has got; this one does nothing with it.

    All that it is told is text and numbers, so what works on another machine can pass it on.
    """

    def begin(self, kind: str, layer: str = "") -> None:
        """Work on artifacts of a kind begins, for one layer or for several together."""

    def advance(self, cost: float, *, is_new: bool = True) -> None:
        """Some work on artifacts is done that are not finished yet.

        Args:
            cost: in multiply-accumulates; negative if work was lost and will be done again.
            is_new: False for work of an earlier run, which took no time now.
        """


UNOBSERVED = Observer()


def unobserved(_: float) -> None:
    """Tell nobody."""
