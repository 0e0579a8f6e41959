"""Class names come from any of the usual files, one per class or not at all."""

from __future__ import annotations

import json

import pytest
import site_factory

from atlas.errors import SpecError
from atlas.labels import read_labels, with_labels

NAMES = ("tench", "great white shark", "Éclair")


@pytest.mark.parametrize(
    "content",
    [
        "tench\ngreat white shark\nÉclair\n",
        "tench\ngreat white shark\nÉclair",
        "\ufefftench\r\ngreat white shark\r\n\r\n  Éclair  \r\n",
        json.dumps(NAMES),
        json.dumps(NAMES, ensure_ascii=False, indent=2),
        json.dumps(dict(enumerate(NAMES))),
        json.dumps({2: "Éclair", 0: "tench", 1: "great white shark"}),
        json.dumps({index: [f"n{index:08d}", name] for index, name in enumerate(NAMES)}),
        json.dumps([["n1", name] for name in NAMES]),
    ],
)
def test_labels_are_read_in_the_order_of_the_classes(tmp_path, content):
    path = tmp_path / "labels"
    path.write_text(content, encoding="utf-8", newline="")
    assert read_labels(path, 3) == NAMES


@pytest.mark.parametrize(
    "content", ["", "a\nb\n", "a\nb\nc\nd\n", "[]", '["a", "b"]', '{"0": "a"}']
)
def test_a_wrong_number_of_labels_is_counted(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"has [0124] labels, the weights have 3 classes"):
        read_labels(path, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"[",
        b'{"0": "a",',
        b'{"1": "a", "2": "b", "3": "c"}',
        b'{"tench": 0, "shark": 1, "goldfish": 2}',
        b"\xff\xfe\x00\x80\n\xe9",
    ],
    ids=["half a list", "half a dict", "from one", "by label", "not UTF-8"],
)
def test_an_unreadable_file_gives_one_line_with_its_name(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(
        SpecError, match=r"cannot read the labels .*labels\.json: .*; give "
    ) as refused:
        read_labels(path, 3)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["nothing.txt", "."])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(SpecError, match="cannot read the labels"):
        read_labels(tmp_path / name, 3)


def test_labels_replace_those_of_the_network_and_say_where_they_are_from(tmp_path):
    facts = site_factory.network()
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(f"kind {index}" for index in range(len(facts.labels))))
    named = with_labels(facts, path)
    assert named.labels[7] == "kind 7"
    assert named.labels_source == "mine.txt"
    assert named.layers == facts.layers
    assert with_labels(facts, None) is facts
