"""Who does what, in a small file beside the cache, which the command `status` reads."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.cache import BOARD_NAMES
from atlas.files import open_regular
from atlas.typed import fits

EVERY_S = 2.0
MAX_BYTES = 10_000_000
STALE_S = 30.0  # after which the driver is taken to have ended


@dataclass(frozen=True)
class Doing:
    """What a worker does."""

    name: str
    node: str
    device: str
    what: str
    for_s: float
    n_made: int  # artifacts, since it started

    def __str__(self) -> str:
        where = " on ".join(part for part in (self.device, self.node) if part)
        return f"{self.name} ({where}): {self.what}, for {self.for_s:.0f} s; {self.n_made:,} made"


class Board:
    """Keeps the file while work goes on. Use as a context manager.

    Args:
        folder: of the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._part = (folder / name for name in BOARD_NAMES)
        self._written_s = 0.0

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self._path, self._part):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def show(self, workers: Sequence[Doing]) -> None:
        """Write who does what, if the last time was a while ago; a full disk is no error."""
        now_s = time.monotonic()
        if now_s - self._written_s < EVERY_S:
            return
        self._written_s = now_s
        data = {"at": time.time(), "workers": [dataclasses.asdict(each) for each in workers]}
        with contextlib.suppress(OSError):
            self._part.write_text(json.dumps(data), encoding="utf-8")
            self._part.replace(self._path)


def read_board(folder: Path) -> tuple[Doing, ...]:
    """What workers do now that make artifacts for a cache; nothing if there are none."""
    try:
        with open_regular(folder / BOARD_NAMES[0], MAX_BYTES) as file:
            data = json.load(file)
        if abs(time.time() - float(data["at"])) > STALE_S:
            return ()
        workers = tuple(Doing(**each) for each in data["workers"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(each for each in workers if fits(each, Doing))
