"""Which classes of two networks are compared: those of one label, where all labels are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from atlas.labels import are_known, first_synonym, match_key
from atlas.units import NetworkFacts

Pair = tuple[int, int]  # the number of a unit in A and in B


@dataclass(frozen=True)
class Classes:
    """The classes that are compared, and how they are paired."""

    pairs: tuple[Pair, ...] = ()  # in the order of A; none if no class is compared
    words: str = ""  # how they are paired, or why none is compared; empty without any classes
    are_by_label: bool = False
    are_same: bool = True  # all classes of both networks, in the same order


def classes_of(a: NetworkFacts, b: NetworkFacts) -> Classes:
    """The classes of two networks that are compared: those of one label.

    Where the labels of one network are not known, they are those of one number, if both networks
    have equally many classes.
    """
    if a.classifier is None or b.classifier is None:
        return Classes(words=_without_classes(a, b))
    if are_known(a) and are_known(b):
        return _by_label(a, b)
    return _by_number(a, b)


def pairs_by_label(a: NetworkFacts, b: NetworkFacts) -> tuple[Pair, ...]:
    """The number of each class of A with the number of the class of B that has its label.

    Where both networks have WordNet ids, these are compared; else whole labels, and of those that
    are left the first synonyms. What several classes of a network share identifies none of them.
    """
    if a.labels == b.labels and not (a.label_ids and b.label_ids):
        return _in_order(len(a.labels))
    partners: dict[int, int] = {}
    for keys_a, keys_b in _keys(a, b):
        free_a = _unambiguous(keys_a, partners)
        free_b = _unambiguous(keys_b, set(partners.values()))
        partners |= {free_a[key]: free_b[key] for key in free_a.keys() & free_b.keys()}
    return tuple(sorted(partners.items()))


def _keys(a: NetworkFacts, b: NetworkFacts) -> list[tuple[list[str], list[str]]]:
    """By what classes are found, one after the other: texts for each class of A, and of B."""
    if a.label_ids and b.label_ids:
        return [(list(a.label_ids), list(b.label_ids))]
    return [
        ([key_of(label) for label in a.labels], [key_of(label) for label in b.labels])
        for key_of in (match_key, first_synonym)
    ]


def _unambiguous(keys: Sequence[str], taken: Collection[int]) -> Mapping[str, int]:
    """The numbers of the classes that are not taken, by their keys, if only one of them has it."""
    free = [number for number in range(len(keys)) if number not in taken]
    counts = Counter(keys[number] for number in free)
    return {keys[number]: number for number in free if counts[keys[number]] == 1}


def _by_label(a: NetworkFacts, b: NetworkFacts) -> Classes:
    pairs = pairs_by_label(a, b)
    if not pairs:
        return Classes(words=_left_out(a, b, "A and B have no label in common"))
    n_left_a, n_left_b = len(a.labels) - len(pairs), len(b.labels) - len(pairs)
    are_all = not (n_left_a or n_left_b)
    are_same = are_all and pairs == _in_order(len(pairs))
    found = f"both have the same, in {'the same' if are_same else 'another'} order"
    if not are_all:
        found = f"{len(pairs):,} are in both, {n_left_a:,} of A and {n_left_b:,} of B are left out"
    return Classes(pairs, f"Classes are compared label by label: {found}", True, are_same)


def _by_number(a: NetworkFacts, b: NetworkFacts) -> Classes:
    n_a, n_b = len(a.labels), len(b.labels)
    unknown = {
        side: option
        for side, option, facts in (("A", "--labels", a), ("B", "--labels-b", b))
        if not are_known(facts)
    }
    verb = "gives" if len(unknown) == 1 else "give"
    cause = (
        f"the labels of {' and '.join(unknown)} are not known; "
        f"{' and '.join(unknown.values())} {verb} them"
    )
    if n_a != n_b:
        return Classes(
            words=_left_out(a, b, f"A has {n_a:,} classes and B has {n_b:,}, and {cause}")
        )
    words = f"Classes are compared number by number, as {cause}"
    return Classes(_in_order(n_a), words)


def _without_classes(a: NetworkFacts, b: NetworkFacts) -> str:
    """Why no class is compared where a network has none; empty if neither has any."""
    if not (a.classifier or b.classifier):
        return ""
    return _left_out(a, b, f"{'B' if a.classifier else 'A'} has no classes")


def _left_out(a: NetworkFacts, b: NetworkFacts, cause: str) -> str:
    classifier = a.classifier or b.classifier
    assert classifier
    return f"{classifier.name} is left out, as {cause}"


def _in_order(n_classes: int) -> tuple[Pair, ...]:
    return tuple((number, number) for number in range(n_classes))
