"""Text from files is one line without anything that a page or a terminal would obey."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from atlas.text import displayable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tench, Tinca tinca", "tench, Tinca tinca"),
        ("  a \t b\r\n c\u2028d\xa0e ", "a b c d e"),
        ("\x1b]0;title\x07\x9b31mred\x7f", "]0;title31mred"),
        ("\u202egnp.exe\u2069\u200f\u061c", "gnp.exe"),
        ("\ud800a\udcffb", "\ufffda\ufffdb"),
        ("\ufeff\u202e \0", ""),
        ("\U0001f600 Éclair 鱼 فيل", "\U0001f600 Éclair 鱼 فيل"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_what_is_shown(text, shown):
    assert displayable(text) == shown
    assert displayable(shown) == shown


def test_long_texts_end_with_an_ellipsis():
    assert displayable("x" * 200) == "x" * 200
    assert displayable("x" * 201) == "x" * 199 + "…"
    assert displayable("abc def", 5) == "abc…"


def test_of_all_characters_none_that_is_left_controls_anything():
    for code in range(sys.maxunicode + 1):
        left = displayable(f"a{chr(code)}b")
        assert left.isprintable() or unicodedata.category(chr(code)) in {"Cf", "Cn", "Co"}, code
        left.encode()
