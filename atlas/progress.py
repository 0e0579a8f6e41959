"""What is shown while work goes on: a bar on a terminal, a line a minute elsewhere, or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from atlas.console import say_above

LINE_EVERY_S = 60.0
LOOK_EVERY_S = 5.0  # whether a line is due while nothing is shown
BEGUN = "{desc} [{elapsed}]"
UNDER_WAY = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}{postfix}]"

interval = tqdm.format_interval  # seconds as 1:02:03


class View(Protocol):
    """Shows one stage of the work."""

    def show(self, name: str, share: float, words: str) -> None:
        """Show how far the stage is.

        Args:
            name: what is worked on.
            share: how much of the stage is done, 0 to 1.
            words: the same in words.
        """

    def tell(self, line: str) -> None:
        """Tell that a part of the stage is finished, where lines are shown."""


class Progress(Protocol):
    """Shows the stages of the work, one after the other or one within the other."""

    def stage(self, name: str, delay_s: float = 0.0) -> AbstractContextManager[View]:
        """A stage that lasts as long as the context; it is shown once it has lasted `delay_s`."""

    def tell(self, line: str) -> None:
        """Tell something that is no result and no error."""


def progress_on(stream: TextIO | None, *, is_quiet: bool = False) -> Progress:
    """What suits a stream: a bar on a terminal, lines in a file or pipe, and nothing if quiet."""
    if is_quiet or stream is None:
        return SILENT
    return Bars(stream) if stream.isatty() else Lines()


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, delay_s: float = 0.0) -> Iterator[View]:
        """Show nothing of a stage."""
        yield self

    def show(self, name: str, share: float, words: str) -> None:
        """Show nothing."""

    def tell(self, line: str) -> None:
        """Tell nothing."""


SILENT = Silent()


class Bars:
    """Shows a bar for each stage, on a terminal; it is gone when the stage ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, line: str) -> None:
        """Tell something above the bars."""
        say_above(line)

    @contextmanager
    def stage(self, name: str, delay_s: float = 0.0) -> Iterator[View]:
        """A bar of one stage."""
        with tqdm(
            total=1.0,
            desc=name,
            file=self._stream,
            bar_format=BEGUN,
            dynamic_ncols=True,
            leave=False,
            miniters=0,
            delay=delay_s,
        ) as bar:
            yield _Bar(bar)


class _Bar:
    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar

    def show(self, name: str, share: float, words: str) -> None:
        self._bar.bar_format = UNDER_WAY
        self._bar.set_description_str(name, refresh=False)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(min(1.0, share) - self._bar.n)  # draws ten times a second at most

    def tell(self, line: str) -> None:
        pass


class Lines:
    """Says a line a minute, and one when a stage ends: for files, pipes and notebooks."""

    def __init__(
        self,
        say: Callable[[str], object] = say_above,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._clock = say, clock

    def tell(self, line: str) -> None:
        """Tell something in a line."""
        self._say(line)

    @contextmanager
    def stage(self, name: str, delay_s: float = 0.0) -> Iterator[View]:
        """The lines of one stage."""
        begun = self._clock()
        lines = _Lines(name, self._say, self._clock)
        with _every_so_often(lines.repeat):
            yield lines
        seconds = self._clock() - begun
        if seconds >= delay_s:
            self.tell(f"{name} done, {interval(seconds)}")


class _Lines:
    def __init__(self, name: str, say: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._say, self._clock, self._last = say, clock, clock()
        self._line, self._since = name, clock()

    def show(self, name: str, share: float, words: str) -> None:
        self._line, self._since = f"{name} {share:.0%}, {words}", self._clock()
        if self._is_due():
            self._say(self._line)

    def repeat(self) -> None:
        """Say the last line again if none came for a minute, as nothing was shown meanwhile."""
        if self._is_due():
            self._say(f"{self._line}; at this for {interval(self._clock() - self._since)}")

    def tell(self, line: str) -> None:
        self._say(line)

    def _is_due(self) -> bool:
        now = self._clock()
        is_due = now - self._last >= LINE_EVERY_S
        self._last = now if is_due else self._last
        return is_due


@contextmanager
def _every_so_often(act: Callable[[], object]) -> Iterator[None]:
    """While the context lasts, another thread acts every few seconds."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_EVERY_S):
            act()

    thread = threading.Thread(target=watch, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def counted(
    progress: Progress,
    name: str,
    unit: str,
    delay_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[int, int], None]]:
    """A stage of equal parts; yields a function that is told how many are done, and of how many.

    Args:
        progress: shows the stage.
        name: name of the stage.
        unit: what its parts are called.
        delay_s: how long the stage must last to be shown.
        clock: gives the time in seconds.
    """
    begun = clock()
    with progress.stage(name, delay_s) as view:

        def show(n_done: int, total: int) -> None:
            left_s = (clock() - begun) * (total - n_done) / max(1, n_done)
            words = f"{n_done:,} of {total:,} {unit}, {interval(left_s)} left"
            view.show(name, n_done / max(1, total), words)

        yield show


class Tally:
    """Adds up what is done, for `counted`."""

    def __init__(self, total: int, show: Callable[[int, int], object]) -> None:
        self._n_done, self._total, self._show = 0, total, show

    def add(self, n: int) -> None:
        """So much more is done."""
        self._n_done += n
        self._show(self._n_done, self._total)
