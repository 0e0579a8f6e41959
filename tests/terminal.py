"""A terminal for the tests: what a command writes to it, as it is written."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

COLUMNS = 120


class Terminal:
    """A pseudo-terminal, which there is on Unix only."""

    def __init__(self) -> None:
        import fcntl
        import termios

        self._reader, self.writer = os.openpty()
        fcntl.ioctl(self.writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))

    def written(self) -> Iterator[str]:
        """What is written, until all that write to it have ended; closes this end."""
        os.close(self.writer)
        try:
            while piece := os.read(self._reader, 4096):
                yield piece.decode(errors="replace")
        except OSError:  # how Linux says that nobody writes any more
            pass
        finally:
            os.close(self._reader)
