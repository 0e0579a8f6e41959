"""WordNet's nouns: the synsets of ImageNet's classes with all that they are kinds of.

`imagenet.tsv` is a part of WordNet 3.0, whose offsets are ImageNet's ids; `LICENSE` is WordNet's.
It has a line for each synset: its id, its lemmas, and the ids of the synsets that it is a kind of.
`atlas/wordnet/table.py` made it.

Source: Fellbaum (ed.) 1998, WordNet: An Electronic Lexical Database; https://wordnet.princeton.edu
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

TABLE_PATH = Path(__file__).with_name("imagenet.tsv")
LICENSE_PATH = TABLE_PATH.with_name("LICENSE")
VERSION = "3.0"


class Synset(NamedTuple):
    """Words for one thing, and what it is a kind of."""

    id: str  # "n02084071"
    lemmas: tuple[str, ...]  # the usual word first: "dog", "domestic dog", "Canis familiaris"
    parents: tuple[str, ...]  # ids of the synsets directly above it


Synsets = Mapping[str, Synset]  # by id, with all that is above each


@functools.cache
def imagenet_synsets() -> Synsets:
    """The synsets of ImageNet's classes and all above them."""
    lines = TABLE_PATH.read_text(encoding="utf-8").splitlines()
    return {synset.id: synset for synset in map(_synset, lines)}


def _synset(line: str) -> Synset:
    synset_id, lemmas, parents = line.split("\t")
    return Synset(synset_id, tuple(lemmas.split("|")), tuple(parents.split()))


def licence() -> str:
    """WordNet's licence, which goes with every copy of its words."""
    return LICENSE_PATH.read_text(encoding="utf-8")


def above(ids: Iterable[str], synsets: Synsets) -> set[str]:
    """The ids of some synsets and of all that they are kinds of."""
    found: set[str] = set()
    waiting = list(ids)
    while waiting:
        synset_id = waiting.pop()
        if synset_id not in found:
            found.add(synset_id)
            waiting += synsets[synset_id].parents
    return found
