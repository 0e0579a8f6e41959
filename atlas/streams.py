"""Output that never ends a build: a closed terminal, a full disk or a broken pipe is no reason."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from tqdm import tqdm


class Tolerant:
    """A text stream that falls silent when it cannot be written any more."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing once that has failed."""
        if not isinstance(text, str):  # click asks in this way whether a stream takes bytes
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        if self._stream is not None:
            try:
                self._stream.write(text)
                self._stream.flush()  # an error comes now, not at the end of the program
            except (OSError, ValueError) as error:
                if isinstance(error, UnicodeError):
                    raise
                self._fall_silent()
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _fall_silent(self) -> None:
        """What the stream still keeps back goes nowhere, so that it does not fail at exit."""
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, cast(TextIO, stream).fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        if self._stream is None:
            return getattr(_NOWHERE, name)
        return getattr(self._stream, name)


_NOWHERE = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # has what streams have


@contextlib.contextmanager
def tolerant_streams() -> Iterator[None]:
    """While it lasts, stdout and stderr take everything, whether or not anybody can read it."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Tolerant(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def say(line: str) -> None:
    """A line on stderr, above progress bars; nothing happens where there is no stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        tqdm.write(line, sys.stderr)
