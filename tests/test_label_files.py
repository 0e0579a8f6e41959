"""Class names are found in every usual form of file, and in no other form are names taken apart."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.errors import SpecError
from atlas.label_files import LabelsError, labels_in
from atlas.labels import read_labels

NAMES = ("cat", "dog", "tench, Tinca tinca")
IDS = ("n02121808", "n02084071", "n01440764")
PAIRS = list(zip(IDS, NAMES, strict=True))


def names_in(text: str, n_classes: int = 3) -> tuple[object, ...]:
    return tuple(label.name for label in labels_in(text, n_classes))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(NAMES),
        "\n\n".join(NAMES) + "\n\n",
        "class_name\n" + "\n".join(NAMES),
        "{0: 'cat',\n 1: 'dog',\n 2: 'tench, Tinca tinca'}",
        "['cat', 'dog', 'tench, Tinca tinca',]",
        json.dumps({"architectures": ["X"], "id2label": dict(enumerate(NAMES))}),
        json.dumps({"label2id": {name: index for index, name in enumerate(NAMES)}}),
        json.dumps({"model": {"id2label": dict(enumerate(NAMES)), "mean": [0.1, 0.2, 0.3]}}),
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "names": NAMES}),
        json.dumps({"tench, Tinca tinca": 2, "cat": 0, "dog": 1}),
        json.dumps([{"id": i, "supercategory": "x", "name": name} for i, name in enumerate(NAMES)]),
        json.dumps([{"name": name, "id": i} for i, name in list(enumerate(NAMES))[::-1]]),
        json.dumps({i: {"name": name, "n": 7 - i} for i, name in enumerate(NAMES)}),
        json.dumps([[i, name] for i, name in list(enumerate(NAMES))[::-1]]),
        json.dumps([[name, 1300 + i] for i, name in enumerate(NAMES)]),
        "\n".join(json.dumps({"id": i, "name": name}) for i, name in enumerate(NAMES)),
        'index,name\n0,cat\n1,dog\n2,"tench, Tinca tinca"\n',
        'name,supercategory,id\n"tench, Tinca tinca",fish,2\ncat,cat,0\ndog,dog,1',
        '0,cat,1300\n1,dog,1200\n2,"tench, Tinca tinca",1100',
        "0;cat\n1;dog\n2;tench, Tinca tinca",
        "0\tcat\n1\tdog\n2\ttench, Tinca tinca",
        "name\tgroup\ncat\ta\ndog\ta\ntench, Tinca tinca\tb",
        "0: cat\n1: dog\n2: tench, Tinca tinca",
        "names:\n  0: cat\n  1: dog\n  2: tench, Tinca tinca",
        "names:\n- cat\n- dog\n- tench, Tinca tinca",
        "2 tench, Tinca tinca\n0 cat\n1 dog",
        "1 cat\n2 dog\n3 tench, Tinca tinca",
        "cat 0\ndog 1\ntench, Tinca tinca 2",
        "tench, Tinca tinca: 2\ncat: 0\ndog: 1",
        "tench, Tinca tinca = 2\ncat=0\ndog=1",
        '"cat": 0,\n"dog": 1,\n"tench, Tinca tinca": 2',
        "0|cat\n1|dog\n2|tench, Tinca tinca",
        "0 -> cat\n1 -> dog\n2 -> tench, Tinca tinca",
        "0, cat\n1, dog\n2, tench, Tinca tinca",
        "'cat',\n'dog',\n'tench, Tinca tinca',",
        'label\ncat\ndog\n"tench, Tinca tinca"\n',
        '"name"\n"cat"\n"dog"\n"tench, Tinca tinca"\n',
        "0. cat\n1. dog\n2. tench, Tinca tinca",
        "1) cat\n2) dog\n3) tench, Tinca tinca",
        "path: x\nnc: 3\nnames: ['cat', 'dog', 'tench, Tinca tinca']\n",
        "names: ['cat',\n  'dog',\n  'tench, Tinca tinca']\nnc: 3",
        "path: x\nnc: 3\n\nnames:\n  0: cat\n  1: dog\n  2: tench, Tinca tinca\ntrain: y",
        "nc: 3\nnames:\n- cat\n- dog\n- tench, Tinca tinca\n",
        "nc = 3\nnames = ['cat', 'dog', 'tench, Tinca tinca']\n",
        "# of the lake\nCLASSES = (\n  'cat',\n  'dog',\n  'tench, Tinca tinca',\n)\n",
        "('cat', 'dog', 'tench, Tinca tinca')",
        'cat,dog,"tench, Tinca tinca"',
        'cat, dog, "tench, Tinca tinca"\n',
        "# my classes\ncat\ndog\ntench, Tinca tinca\n# the end",
        json.dumps({"features": [{"x": [1]}, {"class_label": {"names": dict(enumerate(NAMES))}}]}),
        json.dumps(dict(enumerate(NAMES, 1))),
        json.dumps(dict(list(enumerate(NAMES, 1))[::-1])),
        json.dumps({name: i for i, name in enumerate(NAMES, 1)}),
    ],
)
def test_names_are_found_in_the_order_of_the_classes(text: str):
    assert names_in(text) == NAMES
    assert names_in(text.replace("\n", "\r\n")) == NAMES


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(" ".join, PAIRS)),
        "\n".join(map("\t".join, PAIRS)),
        "\n".join(map(", ".join, PAIRS)),
        "\n".join(f"{index}: {' '.join(pair)}" for index, pair in enumerate(PAIRS)),
        "\n".join(f"{pair[0]} {index} {pair[1]}" for index, pair in enumerate(PAIRS, 1)),
        json.dumps(dict(enumerate(PAIRS))),
        json.dumps(PAIRS),
        json.dumps([{"wnid": wnid, "label": name} for wnid, name in PAIRS]),
        "wnid,label\n" + "\n".join(f'{wnid},"{name}"' for wnid, name in PAIRS),
        "\n".join(f'"{name}",{wnid}' for wnid, name in PAIRS),
    ],
)
def test_wordnet_ids_beside_names_are_kept(text: str):
    assert labels_in(text, 3) == tuple((name, wordnet_id) for wordnet_id, name in PAIRS)


@pytest.mark.parametrize(
    "names",
    [
        ("3-wheeler", "2 CV", "4x4"),
        ("10 cent", "20 cent", "50 cent"),
        ("0 degrees", "1 degrees", "2 degrees"),
        ("1 person", "2 people", "3 people"),
        ("digit 0", "digit 1", "digit 2"),
        ("2", "0", "1"),
        ("1,5 l", "0,5 l", "2,0 l"),
        ("tench, Tinca tinca", "goldfish, Carassius auratus", "ostrich, Struthio camelus"),
        ("cat; tame", "cat; wild", "dog; tame"),
        ("n01440764 tench", "a dog", "a cat"),
        ("- cat", "dog", "tench"),
        ("class", "category", "label"),
        ("[background]", "cat", "dog"),
        ("{x}", "{y}", "{z}"),
        ('"quoted"', "cat", "dog"),
        ("name", "cat", "dog"),
        ("2. row", "1. row", "a row"),
        ("names: a", "nc: 3", "b"),
        ("(background)", "(cat)", "(dog)"),
        ("(a, b, c)", "cat", "dog"),
        ("# sharp", "cat", "dog"),
        ("class = (a, b)", "cat", "dog"),
    ],
    ids=lambda names: names[0],
)
def test_names_that_only_look_like_something_else_stay_whole(names: tuple[str, ...]):
    """Each is almost of one of the forms above: numbers of other things, commas, a few ids."""
    assert names_in("\n".join(names)) == names


def test_the_name_of_a_single_class_may_have_commas_and_brackets():
    for name in ("tench, Tinca tinca", "('tench', 'Tinca tinca')", "# tench"):
        assert names_in(name, 1) == (name,)


def test_a_table_of_one_column_quotes_only_names_with_commas():
    """As Python's csv module and spreadsheets write it."""
    lines = 'tench\n"shark, great white"\n"5 "" nail, long"\n'
    assert names_in(lines) == ("tench", "shark, great white", '5 " nail, long')


def test_words_in_brackets_need_no_quotes():
    assert names_in("nc: 3\nnames: [cat, dog, fish]\npath: x") == ("cat", "dog", "fish")


@pytest.mark.parametrize(
    ("text", "n_found"),
    [
        ("name\ncat\ndog", 3),
        ("a\nb\nc\nd", 4),
        ("0: cat\n1: dog", 2),
        ("index,name\n0,cat\n1,dog\n", 3),
        (json.dumps({"id2label": {"0": "cat"}}), None),
        (json.dumps(["a", "b"]), 2),
    ],
)
def test_another_number_of_names_is_counted(text: str, n_found: int | None):
    if n_found is None:
        with pytest.raises(LabelsError, match="no key '0'"):
            labels_in(text, 4)
    else:
        assert len(labels_in(text, 6)) == n_found


@pytest.mark.parametrize(
    "text",
    [
        "{'a', 'b', 'c'}",
        "[" * 100_000,
        "{0: " * 300,
        "[" + "1," * 600_000,
        "{0: __import__('os').getcwd()}",
        "[1 + ",
    ],
)
def test_what_is_no_literal_is_refused_soon_and_never_evaluated(text: str):
    begun = time.perf_counter()
    with pytest.raises(LabelsError, match="give a JSON list"):
        labels_in(text, 3)
    assert time.perf_counter() - begun < 2


def test_names_of_ids_alone_are_those_of_imagenet_or_wordnet(tmp_path):
    for text in ("\n".join(IDS), json.dumps(IDS), json.dumps(dict(enumerate(IDS)))):
        (tmp_path / "ids.txt").write_text(text)
        labels = read_labels(tmp_path / "ids.txt", 3)
        assert labels.names == ("domestic cat", "dog", "tench")
        assert labels.wordnet_ids == IDS


def test_a_missing_name_is_one_line(tmp_path):
    (tmp_path / "a.csv").write_text("index,name\n0,cat\n1,\n2,tench\n")
    with pytest.raises(SpecError, match="the label of class 1 is empty"):
        read_labels(tmp_path / "a.csv", 3)


@given(st.text(), st.integers(1, 5))
def test_any_text_has_labels_or_is_refused_as_such(text: str, n_classes: int):
    try:
        labels = labels_in(text, n_classes)
    except LabelsError as error:
        assert "; give" in str(error)
    else:
        assert all(isinstance(label.wordnet_id, str) for label in labels)


WORDS = (
    st.text("abcdefghij ,.'()-", min_size=1).map(str.strip).filter(lambda word: word[:1].isalpha())
)


@given(st.lists(WORDS, min_size=2, max_size=6))
def test_names_without_numbers_are_what_each_line_or_item_says(names: list[str]):
    assert names_in("\n".join(names), len(names)) == tuple(names)
    assert names_in(json.dumps(names), len(names)) == tuple(names)
    assert names_in(str(dict(enumerate(names))), len(names)) == tuple(names)
    numbered = (f"{index}: {name}" for index, name in enumerate(names))
    if len(set(names)) == len(names):
        assert names_in("\n".join(numbered), len(names)) == tuple(names)
