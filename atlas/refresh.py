"""Repeat some work in a second process while a build runs, such as writing the site so far.

In a thread, the work would hold Python's global interpreter lock and keep a GPU waiting for its
next batch. The process is a new interpreter because CUDA and torch's threads do not work in a
forked one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NICENESS = 10  # lower priority than the build
POLL_S = 0.2
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from atlas.refresh import run; run()"

Work = Callable[[], object]


@dataclass(frozen=True)
class Rhythm:
    """How long to pause between rounds of the work."""

    least_pause_s: float = 20.0  # also before the first round, so short builds have none
    pauses: float = 10.0  # a pause in durations of the last round: the build keeps most CPU time

    def pause_s(self, round_s: float = 0.0) -> float:
        """How long to wait after a round that took `round_s`, or before the first round."""
        return max(self.least_pause_s, self.pauses * round_s)


RHYTHM = Rhythm()


class Refresher:
    """Repeats `work` while its context lasts.

    After a round that fails there are no more rounds, and the error is not reported. When the
    context ends, it waits for a running round; when it ends with an error or Ctrl-C, it stops the
    round.

    Args:
        work: a function that can be pickled, and can be killed at any instant.
        first_done: called from a thread after the first round.
        rhythm: the pauses between rounds.
    """

    def __init__(self, work: Work, first_done: Callable[[], None], rhythm: Rhythm = RHYTHM) -> None:
        self._work = pickle.dumps(work)
        self._first_done = first_done
        self._rhythm = rhythm
        self._ended = threading.Event()
        self._stop_round = threading.Event()
        self._thread = threading.Thread(target=self._run_rounds, name="refresh", daemon=True)

    def __enter__(self) -> Refresher:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self._stop_round.set()
        self._ended.set()
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._stop_round.set()
            self._thread.join()
            raise

    def _run_rounds(self) -> None:
        pause_s, n_done = self._rhythm.pause_s(), 0
        while not self._ended.wait(pause_s):
            started_s = time.monotonic()
            if not self._run_round():
                return
            n_done += 1
            if n_done == 1:
                self._first_done()
            pause_s = self._rhythm.pause_s(time.monotonic() - started_s)

    def _run_round(self) -> bool:
        """Run one round; returns whether it succeeded."""
        with contextlib.suppress(OSError):
            # The other process ends when its stdin is closed, so it ends with this one, even if
            # this one is killed. In a session of its own, it does not receive Ctrl-C.
            with subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *import_path()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as process:
                assert process.stdin
                process.stdin.write(self._work)
                process.stdin.flush()
                while process.poll() is None and not self._stop_round.wait(POLL_S):
                    pass
            return process.returncode == 0
        return False


def import_path() -> list[str]:
    """The import path for the other process: this one's, without the relative entry ''."""
    package = str(Path(__file__).parents[1])
    return [package, *(folder for folder in sys.path if folder and folder != package)]


def run() -> None:
    """Run the pickled work from stdin; end the process if stdin is closed before it is done."""
    work: Work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_stop_with_stdin, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    work()


def _stop_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGTERM)  # includes the processes that it has forked
    os._exit(1)
