"""Class names come from any of the usual files, one per class or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

import pytest
from conftest import Planted, make_network

from atlas.errors import SpecError
from atlas.families import find_family
from atlas.labels import class_names, read_labels, with_labels
from atlas.units import NetworkFacts

NAMES = ("tench", "great white shark", "Éclair")


@pytest.fixture(scope="module")
def facts() -> NetworkFacts:
    """Of a network of three classes."""
    return make_network(Planted()).facts


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
    assert read_labels(path, 3).names == NAMES


@pytest.mark.parametrize(
    "content", ["", "a\nb\n", "a\nb\nc\nd\n", "[]", '["a", "b"]', '{"0": "a"}']
)
def test_a_wrong_number_of_labels_is_counted(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(SpecError, match=r"has [0124] labels?, the weights have 3 classes"):
        read_labels(path, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"[",
        b'{"0": "a",',
        b'{"1": "a", "2": "b", "4": "c"}',
        b"\x80\n\xe9\n\xff",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"0":' * 200_000,
        b"[1, 2, " + b"9" * 5000 + b"]",
        b'[null, "dog", "tench"]',
        b'["cat", true, "tench"]',
        b'["cat", {"name": "dog"}, "tench"]',
        b'["cat", [], "tench"]',
        b'["cat", ["n1", null], "tench"]',
        b'["cat", "", "tench"]',
        b'["cat", " \\t", "tench"]',
        b'["cat", "\\u202e\\u0000", "tench"]',
        "cat\n\u202e\ntench".encode(),
    ],
    ids=[
        *("half a list", "half a dict", "a gap", "not UTF-8", "half of UTF-16"),
        *("deep list", "deep dict", "5,000 digits", "null", "true", "a dict", "empty list"),
        *("null with an id", "empty", "blank", "nothing to see", "nothing to see in a line"),
    ],
)
def test_an_unreadable_file_gives_one_line_with_its_name(tmp_path, content):
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    with pytest.raises(
        SpecError, match=r"cannot read the labels .*labels\.json: .*; give "
    ) as refused:
        read_labels(path, 3)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_with_its_mark_is_read(tmp_path, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    (tmp_path / "a.txt").write_bytes((mark + "\r\n".join(NAMES)).encode(encoding))
    assert read_labels(tmp_path / "a.txt", 3).names == NAMES


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "lines"])
def test_labels_are_cleaned_of_what_cannot_be_shown(tmp_path, as_json):
    given = ("a\x1b[31m\x07 \u202ered\u2066", "two\u2028\x85  words\v", "y" * 10_000)
    path = tmp_path / "a\x1b[0m\u202e.json"
    path.write_text(json.dumps(given) if as_json else "\n".join(given), encoding="utf-8")
    labels = read_labels(path, 3)
    assert labels.names == ("a[31m red", "two words", "y" * 199 + "…")
    assert labels.source == "a[0m.json"


def test_half_a_character_is_replaced(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('["\\ud800cat", "\\ud83d\\ude00", "line\\nbreak"]')
    assert read_labels(path, 3).names == ("\ufffdcat", "\U0001f600", "line break")


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1_000_000_000)
    for name, words in (("pipe", "Not a regular"), ("zero", "Not a reg"), ("large", "Larger than")):
        with pytest.raises(SpecError, match=f"cannot read the labels .*{name}: {words}"):
            read_labels(tmp_path / name, 3)


def test_a_network_without_classes_takes_no_labels(tmp_path, facts):
    convs = dataclasses.replace(facts, layers=facts.layers[:-1], labels=())
    (tmp_path / "a.txt").write_text("a\nb\nc")
    with pytest.raises(SpecError, match="has no classes that labels could name; give none"):
        with_labels(convs, tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["nothing.txt", "."])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(SpecError, match="cannot read the labels"):
        read_labels(tmp_path / name, 3)


def test_labels_replace_those_of_the_network_and_say_where_they_are_from(tmp_path, facts):
    facts = dataclasses.replace(facts, label_ids=("n00000001", "n00000002", "n00000003"))
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(f"kind {index}" for index in range(len(facts.labels))))
    named = with_labels(facts, path)
    assert named.labels[2] == "kind 2"
    assert named.label_ids == ()  # these are perhaps other classes
    assert named.labels_source == "mine.txt"
    assert named.layers == facts.layers
    assert with_labels(facts, None) is facts


@pytest.mark.parametrize(
    ("first", "ids"),
    [
        (["n01440764", "n01484850", "n07611358"], ("n01440764", "n01484850", "n07611358")),
        (["n01440764", "n01484850", "seven"], ()),
        (["1", "2", "3"], ()),
    ],
)
def test_wordnet_ids_are_kept_where_all_labels_come_with_one(tmp_path, facts, first, ids):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([list(item) for item in zip(first, NAMES, strict=True)]))
    named = with_labels(facts, path)
    assert (named.labels, named.label_ids) == (NAMES, ids)


# What the classes of an image set are called


def with_classes(facts: NetworkFacts, *labels: str, ids: tuple[str, ...] = ()) -> NetworkFacts:
    return dataclasses.replace(facts, labels=labels, label_ids=ids)


def names_of(folders: Sequence[str], facts: NetworkFacts) -> tuple[str, ...]:
    return class_names(folders, facts.labels, facts.label_ids)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("tench, Tinca tinca", "tench, Tinca tinca"),
        ("tench", "tench, Tinca tinca"),
        ("TENCH", "tench, Tinca tinca"),
        ("n01440764", "tench, Tinca tinca"),
        ("great_white_shark", "great white shark"),
        ("Great White_Shark", "great white shark"),
        ("n01484850", "great white shark"),
        ("Tinca tinca", "Tinca tinca"),
        ("0", "0"),
        ("holiday", "holiday"),
        ("n99999999", "n99999999"),
    ],
)
def test_a_folder_named_after_a_class_is_called_by_its_label(facts, folder, name):
    known = with_classes(
        facts, "tench, Tinca tinca", "great white shark", ids=("n01440764", "n01484850")
    )
    assert names_of(["other", folder], known) == ("other", name)


def test_a_name_that_fits_several_labels_matches_none(facts):
    known = with_classes(
        facts, "maillot", "crane, a bird", "crane, a machine", "maillot, tank suit"
    )
    assert names_of(["crane", "maillot"], known) == ("crane", "maillot")
    twice = with_classes(facts, "crane", "crane", ids=("n02012849", "n03126707"))
    assert names_of(["n03126707", "n02012849", "crane"], twice) == ("crane",) * 3


def test_the_folders_of_imagenet_are_called_by_their_labels(facts):
    labels = find_family("").labels()
    known = with_classes(facts, *labels.names, ids=labels.wordnet_ids)
    assert names_of(labels.wordnet_ids, known) == labels.names
    assert names_of(["n02123045", "n01440764"], known) == (
        "tabby",
        "tench",
    )
