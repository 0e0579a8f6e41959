"""Texts for messages and pages: those from outside in a form that is safe to show, and lists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

NAME_LENGTH = 300  # characters of the name of a file that are shown
MARK = "\ufffd"  # stands where something was that cannot be shown
ELLIPSIS = "…"
SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
# Characters that turn the direction of what follows, and a mark of byte order in mid-text.
TURNING = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
# Control characters other than white space, marks that turn the direction of text, noncharacters.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]"
)


def displayable(text: str, max_length: int = 200) -> str:
    """The text in one line that can be shown anywhere; empty if nothing visible is in it.

    Lone surrogates are replaced, control characters and bidi controls are removed, white space is
    folded, and a text that is too long ends with an ellipsis.
    """
    visible = _INVISIBLE.sub("", _SURROGATES.sub(MARK, text))
    line = " ".join(visible.split())
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def displayable_name(text: str, max_length: int = NAME_LENGTH) -> str:
    """The name of a file or class that can be written to a page, a terminal or JSON.

    Line breaks and tabs become spaces. Bytes that are not UTF-8 (lone surrogates), control
    characters, characters that turn the direction of writing and code points that are no
    characters become the replacement character. A longer text loses its middle. Any other text
    stays as it is.
    """
    if len(text) > max_length:
        n_last = max_length // 3
        n_first = max_length - n_last - len(ELLIPSIS)
        text = text[:n_first] + ELLIPSIS + text[len(text) - n_last :]
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def unique(texts: list[str]) -> list[str]:
    """Texts of which no two are equal: later ones among equals get a number, `cat (2)`."""
    seen = set(texts)
    if len(seen) == len(texts):
        return texts
    result: list[str] = []
    taken: set[str] = set()
    for text in texts:
        candidate, number = text, 1
        while candidate in taken or (number > 1 and candidate in seen):
            number += 1
            candidate = f"{text} ({number})"
        taken.add(candidate)
        result.append(candidate)
    return result


def enumerated(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`: at least one word, as they stand in a sentence."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _shown(character: str) -> str:
    if character in SPACES:
        return " "
    if character in TURNING or unicodedata.category(character) in ("Cc", "Cs"):
        return MARK
    return MARK if _is_noncharacter(ord(character)) else character


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
