"""What kinds of synthesised pictures share: their record and their number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlas.records import internal, value


@dataclass(frozen=True)
class PictureRecord:
    """What was measured on the finished picture of one unit."""

    score: float | None = value(
        "response: for a channel the mean over all positions, for a class the logit",
        "{score}",
        default=None,
    )
    highest: float | None = value("response at the strongest position", "{score}_max", default=None)
    lowest: float | None = value("response at the weakest position", "{score}_min", default=None)
    start: float | None = value(
        "response to the noise that the ascent began with", "{score}_start", default=None
    )
    p: float | None = value("probability of the class", default=None)
    rank: int | None = value("rank of the class among all classes, from 0", default=None)
    top5: Sequence[tuple[int, float]] | None = value(
        "the classes with the highest probabilities: index and probability", default=None
    )
    dead: bool = value("whether the gradient was zero at every step of the ascent", default=False)
    enlargement: int | None = value(
        "pixels of the picture, in a row, for each pixel that the network was shown; missing: one",
        default=None,
    )
    embedding: str | None = internal(
        "embedding of the picture: base64 of half-precision numbers", default=None
    )

    @property
    def peak(self) -> float | None:
        """The response at the strongest position; a class has only one."""
        return self.score if self.highest is None else self.highest

    @property
    def trough(self) -> float | None:
        """The response at the weakest position; a class has only one."""
        return self.score if self.lowest is None else self.lowest

    @property
    def dead_mark(self) -> int | None:
        """1 for a dead unit, else None: a number to sort by."""
        return 1 if self.dead else None
