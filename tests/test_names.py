"""Names of units: the statistics against oracles, and what they find against planted concepts."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import site_factory
import torch
from torch import Tensor

from atlas.asked import AtlasSpec
from atlas.families.demo import FAMILY
from atlas.families.demo.images import Drawings
from atlas.families.imagenet import IDS_PATH
from atlas.kinds.names import KIND, NamesRecord, NamesSpec, make
from atlas.kinds.names.concepts import Concept, concepts_of
from atlas.kinds.names.make import LayerResponses, Namer, Namers, names_of
from atlas.kinds.names.ranks import ConceptTests, corrected_p, largest_discovery
from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural.make import natural_panels
from atlas.network.load import load_network
from atlas.records import from_json, to_json

FACTS = dataclasses.replace(site_factory.network(), labels=(), label_ids=())
SPEC = NamesSpec("0" * 64, "", n_shuffles=5000)
IDS = IDS_PATH.read_text(encoding="ascii").split()
ABC = tuple(Concept(name, (), "", (nth,)) for nth, name in enumerate("abc"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def auc_by_hand(inside: Sequence[float], outside: Sequence[float]) -> float:
    pairs = itertools.product(inside, outside)
    return float(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))


def layer_of(namer: Namer, responses: Tensor) -> LayerResponses:
    return LayerResponses(namer, lambda: responses)


def naming(classes: Tensor, concepts: Sequence[Concept], **changes: float) -> Namer:
    return Namer(classes, concepts, dataclasses.replace(SPEC, **changes))


def found(record: NamesRecord) -> list[str | None]:
    assert record.concept and record.is_name
    return [
        record.concepts[nth] if is_name else None
        for nth, is_name in zip(record.concept, record.is_name, strict=True)
    ]


def test_the_auc_is_that_of_all_pairs_with_ties():
    classes = torch.tensor([0, 1, 2, 0, 1, -1, 2, 2, 0])
    responses = torch.randint(0, 4, (9, 6), generator=generator()).half()
    concepts = (*ABC, Concept("a or c", (), "", (0, 2)))
    tests = ConceptTests(classes, concepts)
    scores = tests.scores(responses)
    assert tests.n_images == 8
    for row, concept in zip(scores.auc, concepts, strict=True):
        inside = torch.isin(classes, torch.tensor(concept.classes))
        outside = ~inside & (classes >= 0)
        for unit in range(6):
            expected = auc_by_hand(
                responses[inside, unit].tolist(), responses[outside, unit].tolist()
            )
            assert float(row[unit]) == pytest.approx(expected, abs=1e-12)


def test_z_is_the_rank_sum_in_its_standard_deviations():
    """Against Wilcoxon's formulas, on responses without ties."""
    classes = torch.tensor([0] * 7 + [1] * 5 + [2] * 8)
    responses = torch.rand(20, 3, generator=generator())
    scores = ConceptTests(classes, ABC).scores(responses)
    ranks = responses.argsort(0).argsort(0).double() + 1
    for concept in range(3):
        m = int((classes == concept).sum())
        sums = ranks[classes == concept].sum(0)
        expected = (sums - m * 21 / 2) / np.sqrt(m * (20 - m) * 21 / 12)
        torch.testing.assert_close(scores.z[concept], expected)


def test_units_are_named_alike_in_any_portions(monkeypatch):
    namer = naming(torch.arange(60) % 3, ABC)
    layer = layer_of(namer, torch.rand(60, 10, generator=generator()))
    whole = names_of([layer], SPEC)
    monkeypatch.setattr(make, "UNITS_AT_ONCE", 4)
    assert len(list(layer.parts())) == 3
    assert names_of([layer], SPEC) == whole


def test_a_concept_without_photographs_or_with_all_of_them_is_not_tested():
    concepts = (*ABC, Concept("all", (), "", (0, 1, 2)))
    tests = ConceptTests(torch.tensor([0, 1, 0, 1, -1]), concepts)
    assert [concept.name for concept in tests.concepts] == ["a", "b"]
    assert ConceptTests(torch.tensor([-1, -1]), ()).concepts == ()


def test_largest_scores_by_chance_are_those_of_all_orders():
    """Of three photographs of `a` and one of `b`: every order is as likely."""
    tests = ConceptTests(torch.tensor([0, 0, 0, 1]), ABC[:2])
    largest = tests.largest_by_chance(4000)
    exact = [
        float(tests.scores(torch.tensor(order)[:, None].float()).z.max())
        for order in itertools.permutations(range(4))
    ]
    values, counts = np.unique(np.round(exact, 6), return_counts=True)
    measured = [float((largest - value).abs().lt(1e-3).double().mean()) for value in values]
    assert measured == pytest.approx((counts / 24).tolist(), abs=0.03)


def test_p_is_uniform_without_any_concept_even_for_equal_responses():
    classes = torch.arange(200) % 20
    namer = naming(classes, [Concept(str(n), (), "", (n,)) for n in range(20)])
    noise = torch.rand(200, 4000, generator=generator(1))
    for responses in (noise, (noise * 4).round()):
        p = namer.p(responses)
        for level in (0.01, 0.05, 0.2):
            assert float((p <= level).double().mean()) == pytest.approx(level, rel=0.4)


def test_p_counts_the_score_itself_and_those_that_reach_it():
    p = corrected_p(torch.tensor([5.0, 2.0, 0.0]).double(), torch.tensor([1.0, 2.0, 3.0]).double())
    assert p.tolist() == [0.25, 0.75, 1.0]


def test_discoveries_are_those_of_benjamini_and_hochberg():
    """The example of their paper, where 4 of 15 are discoveries at 5 %."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert largest_discovery(torch.tensor(p).double(), 0.05) == pytest.approx(0.0095)
    assert largest_discovery(torch.tensor([0.5, 0.9]), 0.05) < 0
    assert largest_discovery(torch.tensor([]), 0.05) < 0


def test_concepts_are_the_classes_and_what_several_are():
    beagle, bloodhound, tench, goldfish = "n02088364", "n02088466", "n01440764", "n01443537"
    concepts = concepts_of([beagle, bloodhound, tench, goldfish], FACTS)
    by_name = {concept.name: concept for concept in concepts}
    assert [concept.name for concept in concepts[:4]] == [
        "beagle",
        "bloodhound",
        "tench",
        "goldfish",
    ]
    assert by_name["hound"].classes == (0, 1) and by_name["hound"].synonyms == ("hound dog",)
    # The most specific of all that hold for the same classes, and nothing that holds for all.
    assert sorted(by_name) == ["beagle", "bloodhound", "cyprinid", "goldfish", "hound", "tench"]


def test_folders_are_known_by_the_networks_labels():
    labels = ("crane", "tench", "crane", "beagle")
    ids = ("n02012849", "n01440764", "n03126707", "n02088364")
    facts = dataclasses.replace(FACTS, labels=labels, label_ids=ids)
    concepts = concepts_of(["Tench", "crane", "beagle", "mine"], facts)
    assert [(each.name, each.id) for each in concepts[:4]] == [
        ("tench", "n01440764"),
        ("crane", ""),  # two classes are called so
        ("beagle", "n02088364"),
        ("mine", ""),
    ]
    assert concepts[2].synonyms == ()
    assert {concept.classes for concept in concepts[4:]} == {(0, 2)}


@pytest.fixture(scope="module")
def imagenet() -> Namer:
    """Tests with two photographs of each of ImageNet's classes."""
    return naming(torch.arange(2000) % 1000, concepts_of(IDS, FACTS))


def test_permuted_labels_give_names_to_no_more_than_one_unit_in_a_hundred(imagenet: Namer):
    """Units that follow concepts, with the photographs shuffled for each unit."""
    planted, _ = planted_units(imagenet, n_each=8)
    shuffled = planted.gather(0, torch.rand(planted.shape, generator=generator(5)).argsort(0))
    (record,) = names_of([layer_of(imagenet, shuffled)], SPEC)
    names = found(record)
    assert len(names) > 500
    assert sum(name is not None for name in names) <= 0.01 * len(names)


def test_planted_concepts_are_named_right(imagenet: Namer):
    planted, names = planted_units(imagenet, n_each=2)
    (record,) = names_of([layer_of(imagenet, planted)], SPEC)
    right = [name == given for name, given in zip(found(record), names, strict=True)]
    assert np.mean(right) >= 0.95
    assert from_json(NamesRecord, to_json(record, "z"), "z") == record


def planted_units(namer: Namer, n_each: int) -> tuple[Tensor, list[str]]:
    """Units that respond more to the photographs of one concept of at least 20, and its name."""
    large = [each for each in namer.tests.concepts if 10 <= len(each.classes) <= 500]
    chosen = [concept for concept in large for _ in range(n_each)]
    responses = torch.randn(2000, len(chosen), generator=generator(3))
    for unit, concept in enumerate(chosen):
        inside = torch.isin(torch.arange(2000) % 1000, torch.tensor(concept.classes))
        responses[inside, unit] += 3
    return responses, [concept.name for concept in chosen]


def test_false_names_stay_few_among_true_ones(imagenet: Namer):
    planted, names = planted_units(imagenet, n_each=1)
    noise = torch.randn(2000, 1500, generator=generator(4))
    layers = [layer_of(imagenet, planted), layer_of(imagenet, noise)]
    true, false = names_of(layers, SPEC)
    n_false = sum(name is not None for name in found(false))
    n_true = sum(name == given for name, given in zip(found(true), names, strict=True))
    assert n_true >= 0.95 * len(names)
    assert n_false <= 0.02 * n_true


def test_a_name_is_as_specific_as_the_photographs_allow():
    """Dogs drive a unit, and hounds more; which hound makes no difference."""
    concepts = concepts_of(IDS, FACTS)
    by_name = {concept.name: torch.tensor(concept.classes) for concept in concepts}
    classes = torch.arange(2000) % 1000
    responses = torch.randn(2000, 40, generator=generator(6))
    responses[torch.isin(classes, by_name["dog"])] += 2
    general = found(*names_of([layer_of(naming(classes, concepts), responses)], SPEC))
    responses[torch.isin(classes, by_name["hound"])] += 2
    specific = found(*names_of([layer_of(naming(classes, concepts), responses)], SPEC))
    assert general.count("dog") >= 38 and specific.count("hound") >= 38


def test_what_is_certain_but_weak_is_no_name():
    classes = torch.arange(3000) % 3
    responses = torch.randn(3000, 8, generator=generator())
    responses[classes == 1] += 0.4  # an AUC of about 0.61
    (weak,) = names_of([layer_of(naming(classes, ABC), responses)], SPEC)
    assert found(weak) == [None] * 8 and weak.p and max(weak.p) < 0.001
    lenient = naming(classes, ABC, least_auc=0.55)
    assert found(*names_of([layer_of(lenient, responses)], SPEC)).count("b") >= 4


def test_a_name_holds_for_the_strongest_photographs():
    """`b` drives the unit more than others do, but the very strongest photographs are of `a`."""
    classes = torch.arange(300) % 3
    responses = torch.randn(300, 4, generator=generator())
    responses[classes == 1] += 3
    assert found(*names_of([layer_of(naming(classes, ABC), responses)], SPEC)) == ["b"] * 4
    responses[:9][classes[:9] == 0] += 20  # three of the strongest five
    assert found(*names_of([layer_of(naming(classes, ABC), responses)], SPEC)) == [None] * 4


def test_units_that_always_answer_the_same_have_no_name():
    classes = torch.arange(300) % 3
    layer = layer_of(naming(classes, ABC), torch.zeros(300, 4))
    (record,) = names_of([layer], SPEC)
    assert found(record) == [None] * 4 and record.auc == [0.5] * 4


def test_without_classes_nothing_is_tested():
    layer = layer_of(naming(torch.full((5,), -1), ()), torch.rand(5, 2))
    assert names_of([layer], SPEC) == [NamesRecord(0, 0)]


def test_other_labels_make_other_names():
    asked, layer = site_factory.ASKED, FACTS.layers[0]
    other = dataclasses.replace(FACTS, labels=("a", "b"))
    assert KIND.spec(asked, layer, FACTS) != KIND.spec(asked, layer, other)


def test_the_demos_classes_are_named_after_themselves():
    """24 logits, 16 new drawings of each class."""
    network = load_network(AtlasSpec(family="demo"), FAMILY)
    layer, drawings = network.facts.classifier, Drawings.new()
    natural = NaturalSpec(drawings.sha256, network.facts.preprocessing)
    (panel,) = natural_panels(network.watch([layer]), drawings, natural)
    spec = KIND.spec(AtlasSpec(), layer, network.facts)
    namer = Namers(network.facts, spec).of(panel.record.sampled_classes, panel.record.classes)
    responses = torch.from_numpy(np.load(io.BytesIO(panel.data)))
    names = found(*names_of([layer_of(namer, responses)], spec))
    assert (
        np.mean([name == label for name, label in zip(names, network.facts.labels, strict=True)])
        >= 0.95
    )
    assert all(
        name in (None, label) for name, label in zip(names, network.facts.labels, strict=True)
    )
