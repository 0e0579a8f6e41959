"""From records to a ranking: who is compared with whom, and in what order."""

from __future__ import annotations

import dataclasses
import itertools
import operator

import numpy as np
import pytest
import site_factory

from atlas.comparing import AnswersRecord, ExchangeRecord, FiltersRecord
from atlas.comparing.ranking import (
    Exchange,
    LayerChange,
    OwnNumbers,
    Spread,
    are_related,
    exchanges,
    layer_change,
    most_changed,
)
from atlas.units import Layer

LAYER = site_factory.layer("conv", 6, 3)
SIX = range(6)
OTHERS = [5, 4, 3, 2, 1, 3]  # none is most like the unit of its own index


def answers(
    correlation: list[float | None],
    alike: list[int | None] | None = None,
    constant_a: tuple[int, ...] = (),
    constant_b: tuple[int, ...] = (),
) -> AnswersRecord:
    alike = list(SIX) if alike is None else alike
    best = [None if each is None else 0.9 - nth / 10 for nth, each in enumerate(alike)]
    return AnswersRecord(
        n_images=10,
        n_skipped=0,
        correlation=correlation,
        is_constant_a=[index in constant_a for index in SIX],
        is_constant_b=[index in constant_b for index in SIX],
        alike_in_b=alike,
        alike_in_b_correlation=best,
        alike_in_a=alike,
        alike_in_a_correlation=best,
    )


def change_of(
    record: AnswersRecord, indices=SIX, cosine: float = 0.5, is_related: bool = True
) -> LayerChange:
    filters = FiltersRecord(False, [cosine] * 6, [2.0] * 6)
    return layer_change(LAYER, indices, filters, record, is_related)


def ranked(change: LayerChange) -> list[tuple[int, int]]:
    return [(unit.unit.index, unit.partner) for unit in change.units]


def test_units_are_ranked_by_their_answers_alone():
    change = change_of(answers([1.0, 0.2, -0.5, 0.9, 0.2, 0.0]))
    assert [index for index, _ in ranked(change)] == [2, 5, 1, 4, 3, 0]
    assert [unit.change for unit in change.units] == pytest.approx([1.5, 1, 0.8, 0.8, 0.1, 0])
    assert change.is_paired and change.own_share == 1.0


def test_only_chosen_units_are_ranked():
    assert ranked(change_of(answers([1.0, 0.2, 0.0, 0.9, 0.2, 0.0]), (0, 3))) == [(3, 3), (0, 0)]


def test_where_numbers_mean_nothing_units_are_compared_with_the_most_like_ones():
    change = change_of(answers([0.0] * 6, alike=OTHERS), is_related=False)
    assert not change.is_paired and change.own_share == 0
    assert ranked(change) == [(5, 3), (4, 1), (3, 2), (2, 3), (1, 4), (0, 5)]
    assert [unit.answers for unit in change.units] == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert all(unit.cosine is None and unit.norm_ratio is None for unit in change.units)
    assert change.filters is None


def shuffled(layer: Layer, rng: np.random.Generator) -> AnswersRecord:
    """Responses of a layer whose units have any order in the other network."""
    return record_of(rng.permutation(layer.n_units).tolist())


def record_of(alike: list[int]) -> AnswersRecord:
    ones, never = [1.0] * len(alike), [False] * len(alike)
    return AnswersRecord(9, 0, ones, never, never, alike, ones, alike, ones)


def layers_of(n_units: int, n_layers: int) -> list[Layer]:
    return [site_factory.layer(f"conv{nth}", n_units, 3) for nth in range(n_layers)]


@pytest.mark.parametrize("n_units", [4, 16, 200])
def test_random_orders_are_hardly_ever_taken_for_the_same_numbers(n_units):
    rng = np.random.default_rng(0)
    layers = layers_of(n_units, 12)
    filters = FiltersRecord(False, [0.0] * n_units, [1.0] * n_units)
    for _ in range(60):
        records = [shuffled(layer, rng) for layer in layers]
        assert not are_related(layers, records)
        changes = [
            layer_change(layer, range(n_units), filters, record)
            for layer, record in zip(layers, records, strict=True)
        ]
        assert not any(change.is_paired for change in changes)


@pytest.mark.parametrize(("n_units", "n_layers"), [(4, 3), (6, 2), (8, 1), (64, 1)])
def test_the_same_numbers_are_seen_in_a_few_small_layers_together(n_units, n_layers):
    layers = layers_of(n_units, n_layers)
    assert are_related(layers, [record_of(list(range(n_units)))] * n_layers)


def test_numbers_are_related_where_most_units_have_drifted_but_more_than_chance_has_not():
    """7 of 64 are no tenth of a large layer, and chance gives as many in 1 of 12,000 layers."""
    drifted = [*range(7), *range(8, 64), 7]
    (layer,) = layers_of(64, 1)
    assert OwnNumbers.of(record_of(drifted)) == (7, 64)
    assert OwnNumbers(7, 64).probability() == pytest.approx(8.3e-5, rel=0.01)
    assert are_related([layer], [record_of(drifted)])


def test_the_probability_is_that_of_random_orders():
    """The oracle counts orders of 8 units."""
    orders = list(itertools.permutations(range(8)))
    for n_own in (1, 3, 5):
        share = np.mean([sum(map(operator.eq, each, range(8))) >= n_own for each in orders])
        assert OwnNumbers(n_own, 8).probability() == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(("n_units", "is_paired"), [(4, True), (40, False)])
def test_a_layer_in_another_order_is_an_exception_if_it_is_large_enough_to_tell(n_units, is_paired):
    (layer,) = layers_of(n_units, 1)
    record = record_of([*range(1, n_units), 0])
    filters = FiltersRecord(False, [0.0] * n_units, [1.0] * n_units)
    change = layer_change(layer, range(n_units), filters, record, is_related=True)
    assert change.is_paired == is_paired


def test_classes_are_pairs_by_number_whatever_they_answer():
    classifier = dataclasses.replace(LAYER, kind="classifier")
    filters = FiltersRecord(False, [0.5] * 6, [2.0] * 6)
    change = layer_change(classifier, SIX, filters, answers([0.0] * 6, alike=OTHERS))
    assert change.is_paired and all(unit.partner == unit.unit.index for unit in change.units)
    assert not are_related([classifier], [answers([1.0] * 6)])


def test_constant_units_count_as_unrelated_or_in_both_as_equal():
    record = answers([None, None, None, 0.5, 0.5, 0.5], [None, 1, None, 3, 4, 5], (0, 2), (1, 2))
    change = change_of(record)
    by_index = {unit.unit.index: unit for unit in change.units}
    assert [by_index[index].change for index in (0, 1, 2)] == [1.0, 1.0, 0.0]
    assert [by_index[index].constant for index in (0, 1, 2)] == ["A", "B", "both"]
    assert change.own_share == 1.0


def test_units_without_a_change_get_no_pictures():
    change = change_of(answers([1.0, 1.0, 0.5, 1.0, 0.4, 1.0]))
    assert [unit.unit.index for unit in change.picked(5)] == [4, 2]
    assert [unit.unit.index for unit in change.picked(1)] == [4]
    assert change.picked(0) == ()


def test_where_numbers_mean_nothing_the_best_counterparts_are_shown_too():
    change = change_of(answers([0.0] * 6, alike=OTHERS), is_related=False)
    assert [unit.unit.index for unit in change.picked(3)] == [5, 4, 0]
    assert [unit.unit.index for unit in change.picked(4)] == [5, 4, 1, 0]


def test_what_is_kept_is_the_mean_of_both_directions_between_0_and_1():
    assert Exchange(8.0, 4.0, 10.0, 10.0).kept == pytest.approx(0.75)
    assert Exchange(8.0, -4.0, 10.0, 20.0).kept == pytest.approx(0.5)
    assert Exchange(8.0, 2.0, None, None).kept == pytest.approx(0.25)
    assert Exchange(-1.0, 2.0, None, 3.0).kept is None


def test_answers_to_pictures_go_with_their_pair():
    record = ExchangeRecord([9.0, 8.0], [1.0, 2.0], [7.0, None], [3.0, None])
    found = exchanges(((4, 1), (2, 2)), record)
    assert found[4, 1] == Exchange(9.0, 1.0, 7.0, 3.0)
    assert found[2, 2] == Exchange(8.0, 2.0, None, None)


def test_units_without_a_number_are_not_in_its_ranking():
    change = change_of(answers([0.5] * 6))
    assert most_changed(change.units, lambda unit: unit.lost) == ()
    assert len(most_changed(change.units, lambda unit: unit.turned)) == 6


def test_a_spread_leaves_out_a_tenth_at_each_end():
    spread = Spread.of([None, *(float(value) for value in range(101))])
    assert spread == Spread(10.0, 50.0, 90.0)
    assert Spread.of([None]) is None
