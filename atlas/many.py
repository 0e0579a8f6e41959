"""A file of several networks: on each line the name of an atlas, and options of a build."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import SpecError
from atlas.files import open_regular
from atlas.text import displayable, displayable_name

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Line:
    """One atlas of several."""

    number: int  # in the file, from 1
    name: str
    options: tuple[str, ...]  # as on a command line


def read_lines(path: Path) -> tuple[Line, ...]:
    """The atlases that a file names.

    Raises:
        SpecError: it cannot be read, names none, or one of them twice.
    """
    shown = displayable_name(str(path))
    try:
        with open_regular(path, MAX_BYTES) as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise SpecError(
            f"cannot read {shown}: {error.strerror}; give a file of networks"
        ) from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{shown} is no text in UTF-8; give a file of networks") from error
    lines = [
        line for nth, each in enumerate(text.splitlines(), 1) if (line := _line(each, nth, shown))
    ]
    if not lines:
        raise SpecError(f"{shown} names no network; write lines like: vgg16 --model vgg16")
    seen: dict[str, int] = {}
    for line in lines:
        first = seen.setdefault(line.name.lower(), line.number)
        if first != line.number:
            raise SpecError(
                f"{shown}, line {line.number}: {displayable(line.name)!r} is the name of line "
                f"{first} already; give each atlas a name of its own"
            )
    return tuple(lines)


def chosen_lines(lines: Sequence[Line], names: Sequence[str]) -> tuple[Line, ...]:
    """The lines with these names, in the order of the file; all of them if there are no names.

    Raises:
        SpecError: no line has one of the names.
    """
    known = {line.name for line in lines}
    for name in names:
        if name not in known:
            some = ", ".join(sorted(known)[:10])
            raise SpecError(f"no network {displayable(name)!r} in the file; there are {some}")
    return tuple(line for line in lines if not names or line.name in names)


def _line(text: str, number: int, shown: str) -> Line | None:
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise SpecError(f"{shown}, line {number}: {error}; close what is quoted") from error
    if not words:
        return None
    if words[0].startswith("-"):
        raise SpecError(
            f"{shown}, line {number}: it begins with an option; write the atlas's name before it"
        )
    return Line(number, words[0], tuple(words[1:]))
