"""What the command says: on any console, and without what a file could smuggle into it."""

from __future__ import annotations

import codecs
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from atlas.text import displayable

MAX_MESSAGE = 4000
_HANDLER = "atlas-plainer"
_PLAINER = {"σ": "sigma", "×": "x", "…": "...", "–": "-", "−": "-"}
# Line breaks and spaces are kept: the command lays out tables with them.
_BLANKS = re.compile(r"(\n| {2,})")


class Terminated(KeyboardInterrupt):
    """The system asked this process to end; what is done is kept, as after Ctrl-C."""


class _Patient(io.FileIO):
    """A console that may be full or gone: what cannot be said is lost, and the work goes on."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare_streams() -> None:
    """Let stdout and stderr take every character, and be closed, full or gone."""
    codecs.register_error(_HANDLER, _plainer)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed: nothing else may be opened in its place
            null = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, io.TextIOWrapper(_Patient(null, "w")))
        elif type(stream) is io.TextIOWrapper and stream.fileno() == descriptor:
            stream.flush()
            setattr(sys, name, _like(stream, _Patient(descriptor, "w", closefd=False)))


def say(text: str, *, err: bool = False) -> None:
    """Print lines; what is no text in them is removed."""
    line = "".join(_visible(part) for part in _BLANKS.split(text))
    # Not by `click.echo`, which takes a console of ASCII to be one of UTF-8.
    print(line, file=sys.stderr if err else sys.stdout, flush=True)


def say_above(text: str) -> None:
    """Print a line on stderr, above progress bars; nothing happens where it cannot be written."""
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError), tqdm.external_write_mode(sys.stderr):
        say_line(text)


def say_line(text: str) -> None:
    """Print a message on stderr, in one line whatever is in it."""
    say(displayable(text, MAX_MESSAGE), err=True)


@contextmanager
def terminable() -> Iterator[None]:
    """While the context lasts, SIGTERM raises `Terminated` in the main thread."""
    is_default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield
        return
    own_id = os.getpid()

    def end(*_: object) -> None:
        if os.getpid() != own_id:  # a forked process, which has nothing to keep
            os._exit(128 + signal.SIGTERM)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _visible(part: str) -> str:
    """A part without runs of white space inside; spaces at its ends stay."""
    if not part or part.isspace():
        return part
    start, end = " " * part.startswith(" "), " " * (part.endswith(" ") and len(part) > 1)
    return f"{start}{displayable(part, MAX_MESSAGE)}{end}"


def _like(stream: io.TextIOWrapper, file: io.FileIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=_HANDLER,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Spells characters that a console does not have."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_PLAINER.get(character, "?") for character in text), error.end
