"""Text from outside can be shown anywhere: names keep their characters, texts become one line."""

from __future__ import annotations

import os
import sys
import unicodedata

import pytest

from atlas.text import MARK, displayable, displayable_name, enumerated, unique


@pytest.mark.parametrize(
    "text", ["", "cat.jpg", "a  b (2).png", "猫/été.jpg", "👩‍🔬.png", "x" * 300]
)
def test_what_is_no_danger_stays_as_it_is(text):
    assert displayable_name(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (os.fsdecode(b"caf\xe9.jpg"), f"caf{MARK}.jpg"),
        ("a\ud800b", f"a{MARK}b"),
        ("two\nlines\tand\u2028more", "two lines and more"),
        ("\x1b[31mred\x07\x9b", f"{MARK}[31mred{MARK}{MARK}"),
        ("photo\u202egpj.exe", f"photo{MARK}gpj.exe"),
        ("\ufeff\u2066\uffff", MARK * 3),
    ],
)
def test_what_harms_a_page_or_a_terminal_is_replaced(text, shown):
    assert displayable_name(text) == shown


def test_every_code_point_can_be_written_and_moves_no_cursor():
    shown = displayable_name("".join(map(chr, range(0x110000))), 0x110000)
    shown.encode("utf-8")
    assert not [each for each in set(shown) if unicodedata.category(each) in ("Cc", "Cs")]


def test_a_long_text_loses_its_middle():
    shown = displayable_name("a" * 10_000 + ".jpg", 30)
    assert (
        len(shown) == 30 and shown.startswith("aaa") and shown.endswith("aa.jpg") and "…" in shown
    )


def test_equal_texts_are_numbered_and_never_collide():
    assert unique(["a", "b"]) == ["a", "b"]
    assert unique(["a", "a", "a (2)", "a"]) == ["a", "a (3)", "a (2)", "a (4)"]


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


def test_words_are_enumerated():
    assert enumerated(["a"]) == "a"
    assert enumerated(["a", "b"]) == "a and b"
    assert enumerated(["a", "b", "c"]) == "a, b and c"
