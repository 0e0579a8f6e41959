"""Texts from outside can be shown anywhere, and keep what is no danger."""

from __future__ import annotations

import os
import unicodedata

import pytest

from atlas.text import MARK, displayable, unique


@pytest.mark.parametrize(
    "text", ["", "cat.jpg", "a  b (2).png", "猫/été.jpg", "👩‍🔬.png", "x" * 300]
)
def test_what_is_no_danger_stays_as_it_is(text):
    assert displayable(text) == text


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
    assert displayable(text) == shown


def test_every_code_point_can_be_written_and_moves_no_cursor():
    shown = displayable("".join(map(chr, range(0x110000))), 0x110000)
    shown.encode("utf-8")
    assert not [each for each in set(shown) if unicodedata.category(each) in ("Cc", "Cs")]


def test_a_long_text_loses_its_middle():
    shown = displayable("a" * 10_000 + ".jpg", 30)
    assert (
        len(shown) == 30 and shown.startswith("aaa") and shown.endswith("aa.jpg") and "…" in shown
    )


def test_equal_texts_are_numbered_and_never_collide():
    assert unique(["a", "b"]) == ["a", "b"]
    assert unique(["a", "a", "a (2)", "a"]) == ["a", "a (3)", "a (2)", "a (4)"]
