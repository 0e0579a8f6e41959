"""Work that is done again and again beside a long one, in a process of its own.

A process and not a thread, for threads take turns at Python, and a GPU would wait for its next
batch. A new interpreter and not a fork, for neither CUDA nor the threads of torch survive one.
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

NICENESS = 10  # the long work goes first
POLL_S = 0.2
PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from atlas.refresh import run; run()"

Work = Callable[[], object]


@dataclass(frozen=True)
class Rhythm:
    """When to do it again."""

    least_pause_s: float = 20.0  # what takes no longer has no use for it
    pauses: float = 10.0  # each as long as the last round took: the long work has the cores

    def pause_s(self, round_s: float = 0.0) -> float:
        """How long to wait after a round that took `round_s`, or before the first."""
        return max(self.least_pause_s, self.pauses * round_s)


RHYTHM = Rhythm()


class Refresher:
    """Does `work` now and then while its context lasts.

    A round that fails is the last one, and says nothing. When the context ends, a round that has
    begun is waited for; when it ends with an error or Ctrl-C, the round is stopped.

    Args:
        work: can be pickled, and can be killed at any instant.
        first_done: called after the first round, from a thread.
        rhythm: of the rounds.
    """

    def __init__(self, work: Work, first_done: Callable[[], None], rhythm: Rhythm = RHYTHM) -> None:
        self._work = pickle.dumps(work)
        self._first_done = first_done
        self._rhythm = rhythm
        self._over = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._rounds, name="refresh", daemon=True)

    def __enter__(self) -> Refresher:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self._hurry.set()
        self._over.set()
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._hurry.set()
            self._thread.join()
            raise

    def _rounds(self) -> None:
        pause_s, n_done = self._rhythm.pause_s(), 0
        while not self._over.wait(pause_s):
            begun = time.monotonic()
            if not self._do_once():
                return
            n_done += 1
            if n_done == 1:
                self._first_done()
            pause_s = self._rhythm.pause_s(time.monotonic() - begun)

    def _do_once(self) -> bool:
        """Do it once; whether that went well."""
        with contextlib.suppress(OSError):
            # The other process lives as long as its stdin: it goes with this one, even if that is
            # killed. Ctrl-C reaches this one only.
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
                while process.poll() is None and not self._hurry.wait(POLL_S):
                    pass
            return process.returncode == 0
        return False


def import_path() -> list[str]:
    """Where the other process finds the same modules: this one's path, without a relative ''."""
    package = str(Path(__file__).parents[1])
    return [package, *(folder for folder in sys.path if folder and folder != package)]


def run() -> None:
    """Do the work that comes in on stdin, pickled, as long as stdin stays open."""
    work: Work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_stop_with_stdin, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    work()


def _stop_with_stdin() -> None:
    os.read(sys.stdin.fileno(), 1)
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGTERM)  # with all that it has forked
    os._exit(1)
