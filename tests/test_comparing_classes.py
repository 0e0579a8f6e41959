"""Which classes of two networks are compared: by label where all labels are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import site_factory

from atlas.comparing.classes import classes_of, pairs_by_label
from atlas.labels import ClassLabels
from atlas.units import NetworkFacts


def facts(
    labels: Sequence[str], ids: Sequence[str] = (), source: str = "names.txt"
) -> NetworkFacts:
    classifier = site_factory.layer("fc", len(labels), 4, kind="classifier")
    return dataclasses.replace(
        site_factory.network(),
        layers=site_factory.numbered((site_factory.layer("conv", 4, 3), classifier)),
        labels=tuple(labels),
        label_ids=tuple(ids),
        labels_source=source,
    )


def numbered(n_classes: int) -> NetworkFacts:
    labels = ClassLabels.numbered(n_classes)
    return facts(labels.names, source=labels.source)


def headless() -> NetworkFacts:
    layers = site_factory.numbered((site_factory.layer("conv", 4, 3),))
    return dataclasses.replace(site_factory.network(), layers=layers, labels=(), label_ids=())


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (["cat", "dog"], ["dog", "cat"], ((0, 1), (1, 0))),
        (["cat", "dog"], ["Dog ", "CAT"], ((0, 1), (1, 0))),
        (["guinea pig", "dog"], ["dog", "guinea_pig"], ((0, 1), (1, 0))),
        (["tench, Tinca tinca", "dog"], ["dog", "tench"], ((0, 1), (1, 0))),
        (["tench"], ["dog", "tench, Tinca tinca", "fox"], ((0, 1),)),
        (["cat", "cat, tabby"], ["cat, tabby", "cat"], ((0, 1), (1, 0))),  # whole labels first
        (["cat, tabby", "dog"], ["cat, tiger", "cat, persian", "dog"], ((1, 2),)),
        (["crane", "crane", "dog"], ["dog", "crane", "crane"], ((2, 0),)),  # which crane?
        (["crane", "crane", "dog"], ["crane", "crane", "dog"], ((0, 0), (1, 1), (2, 2))),
        (["cat"], ["dog"], ()),
    ],
)
def test_classes_of_one_label_are_pairs(a, b, pairs):
    assert pairs_by_label(facts(a), facts(b)) == pairs
    assert sorted((y, x) for x, y in pairs_by_label(facts(b), facts(a))) == sorted(pairs)


def test_wordnet_ids_tell_classes_of_one_name_apart():
    bird, machine, dog = "n02012849", "n03126707", "n02084071"
    a = facts(["crane", "crane", "dog"], [bird, machine, dog])
    b = facts(["crane", "dog", "crane"], [machine, dog, bird])
    assert pairs_by_label(a, b) == ((0, 2), (1, 0), (2, 1))
    assert pairs_by_label(facts(["crane"], [bird]), facts(["crane"], [machine])) == ()
    assert pairs_by_label(facts(["crane"], [bird]), facts(["crane"])) == ((0, 0),)


def test_what_is_said_of_classes_of_known_labels():
    a = facts(["cat", "dog", "fox"])
    same, turned = classes_of(a, facts(["cat", "dog", "fox"])), facts(["fox", "cat", "dog"])
    assert same.are_same and same.are_by_label
    assert same.words.endswith("label by label: both have the same, in the same order")
    other = classes_of(a, turned)
    assert not other.are_same and other.words.endswith("in another order")
    part = classes_of(a, facts(["cat", "dog", "fox", "owl", "hen"]))
    assert part.pairs == ((0, 0), (1, 1), (2, 2)) and not part.are_same
    assert part.words.endswith("3 are in both, 0 of A and 2 of B are left out")
    none = classes_of(a, facts(["owl"]))
    assert (none.pairs, none.words) == ((), "fc is left out, as A and B have no label in common")


def test_without_known_labels_classes_are_compared_by_number():
    a, b = facts(["cat", "dog"]), numbered(2)
    assumed = ClassLabels(("dog", "cat"), "published").assumed()
    for other in (b, facts(assumed.names, source=assumed.source)):
        found = classes_of(a, other)
        assert found.pairs == ((0, 0), (1, 1)) and found.are_same and not found.are_by_label
        assert found.words.endswith("as the labels of B are not known; --labels-b gives them")
    assert "as the labels of A are not known; --labels gives them" in classes_of(b, a).words
    both = "as the labels of A and B are not known; --labels and --labels-b give them"
    assert both in classes_of(b, b).words
    assert classes_of(a, numbered(3)).pairs == ()


def test_a_network_without_classes_leaves_those_of_the_other_out():
    with_classes, without = facts(["cat"]), headless()
    assert classes_of(with_classes, without).words == "fc is left out, as B has no classes"
    assert classes_of(without, with_classes).words == "fc is left out, as A has no classes"
    assert classes_of(without, without).words == ""
