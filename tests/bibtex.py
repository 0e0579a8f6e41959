"""A strict reader of one BibTeX entry, as the tests of citations need it.

Grammar: an entry is `@type{key, name = {value}, ...}`, and braces inside values are in pairs
(http://mirrors.ctan.org/biblio/bibtex/base/btxdoc.pdf). Values are checked for the signs that LaTeX
would take as commands.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD = re.compile(r"@([a-z]+)\{([A-Za-z0-9.:_-]+)")
FIELD = re.compile(r",\s*([a-z]+)\s*=\s*\{")
END = re.compile(r"\s*\}\s*\Z")
COMMAND = re.compile(r"\\([a-z]+\{\}|[&%$#_])")  # an escaped sign
LATEX = {
    "textless": "<",
    "textgreater": ">",
    "textbraceleft": "{",
    "textbraceright": "}",
    "textbackslash": "\\",
    "textbar": "|",
    "textasciitilde": "~",
    "textasciicircum": "^",
}


class Entry(NamedTuple):
    """An entry; its values are as they would be printed."""

    kind: str
    key: str
    fields: dict[str, str]


def parse(text: str) -> Entry:
    """The only entry of a text.

    Raises:
        ValueError: it is no valid entry, or LaTeX would not print its values.
    """
    head = HEAD.match(text)
    if head is None:
        raise ValueError(f"no entry begins with {text[:40]!r}")
    place, fields = head.end(), {}
    while field := FIELD.match(text, place):
        end = closing(text, field.end())
        value = text[field.end() : end]
        name = field[1]
        if name in fields:
            raise ValueError(f"{name} is there twice")
        fields[name] = value if name == "url" else printed(value)
        place = end + 1
    if not END.match(text, place):
        raise ValueError(f"neither a field nor the end: {text[place : place + 40]!r}")
    return Entry(head[1], head[2], fields)


def closing(text: str, place: int) -> int:
    """Where the brace closes that was opened before `place`; a backslash does not hide braces."""
    depth = 1
    for position in range(place, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if not depth:
            return position
    raise ValueError("a brace is never closed")


def printed(value: str) -> str:
    """A value as LaTeX prints it."""
    parts, place = [], 0
    while command := COMMAND.search(value, place):
        parts.append(plain(value[place : command.start()]))
        name = command[1].removesuffix("{}")
        parts.append(LATEX.get(name, name))
        place = command.end()
    return "".join([*parts, plain(value[place:])])


def plain(text: str) -> str:
    """Text without commands; braces around it only keep its capitals."""
    if found := re.search(r"[\\&%$#_~^<>|]", text):
        raise ValueError(f"{found[0]!r} is not escaped in {text!r}")
    return re.sub(r"[{}]", "", text)
