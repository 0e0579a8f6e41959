"""Text from files, made fit for pages, messages and terminals."""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
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
    visible = _INVISIBLE.sub("", _SURROGATES.sub(REPLACEMENT, text))
    line = " ".join(visible.split())
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"
