"""The kinds of artifacts: what was asked of them, whom they are made for, what they name."""

from __future__ import annotations

import dataclasses

import pytest
import site_factory

from atlas.asked import AtlasSpec
from atlas.errors import SpecError
from atlas.kinds import KINDS, examples, excitatory, find_kinds, inhibitory
from atlas.kinds.kind import EachUnit, Kind, Sample, SheetOf, WholeLayer
from atlas.lazily import load

FACTS = site_factory.network()
LAYER = site_factory.layer("conv", 20, 3)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_kinds_are_found_in_the_order_of_making():
    found = find_kinds(("inhibitory", "filter", "excitatory"))
    assert [kind.name for kind in found] == ["filter", "excitatory", "inhibitory"]
    assert find_kinds(()) == KINDS


def test_an_unknown_kind_is_answered_with_those_there_are():
    with pytest.raises(SpecError, match=r"no kind 'exitatory'; there are filter, .*excitatory"):
        find_kinds(("filter", "exitatory"))


def test_both_signs_share_one_recipe_but_for_the_aim():
    for recipe in ("fourier", "progressive"):
        asked = AtlasSpec(recipe=recipe)
        up, down = (
            module.KIND.spec(asked, FACTS.layers[1], FACTS) for module in (excitatory, inhibitory)
        )
        assert dataclasses.replace(up, aim="inhibit") == down != up


def test_names_tell_kinds_apart():
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@every_kind
def test_all_that_a_kind_names_is_there(kind: Kind):
    assert callable(load(kind.make))
    evidence = kind.evidence
    functions = [section.view for section in (*kind.unit_sections, *kind.layer_sections)]
    functions += [kind.front_facts] if kind.front_facts else []
    functions += [evidence.median] if evidence and evidence.median else []
    for function in functions:
        assert callable(load(function)), function
    templates = [section.template for section in (*kind.unit_sections, *kind.layer_sections)]
    for template in (*templates, *([kind.glossary] if kind.glossary else [])):
        assert (kind.folder / template).is_file(), template


@every_kind
def test_all_numbers_that_a_kind_sorts_by_are_in_its_record(kind: Kind):
    for column in kind.columns:
        for name in filter(None, (column.field, column.selective)):
            fields = {field.name for field in dataclasses.fields(kind.record)}
            assert name in fields or isinstance(getattr(kind.record, name, None), property)
    assert not kind.evidence or callable(kind.record.ends)


@every_kind
def test_what_a_layer_may_lack_says_what_it_needs(kind: Kind):
    assert bool(kind.possible) == bool(kind.needs)


def ids(units) -> list[int]:
    return [unit.index for unit in units]


def test_an_artifact_of_each_unit_is_for_those_chosen():
    assert EachUnit().units(LAYER, LAYER.units[3:5]) == LAYER.units[3:5]


def test_a_sample_is_spread_over_the_layer_and_counts_its_own_places():
    sample = Sample(4)
    assert sample.indices(LAYER) == (0, 5, 10, 15)
    assert ids(sample.units(LAYER, LAYER.units[4:11])) == [5, 10]
    assert [sample.position(LAYER, index) for index in (0, 5, 10, 15)] == [0, 1, 2, 3]
    assert sample.indices(site_factory.layer("few", 3, 3)) == (0, 1, 2)


def test_a_sheet_is_named_after_its_first_unit_and_made_for_any_of_its_units():
    sheets = SheetOf(9)
    assert ids(sheets.units(LAYER, LAYER.units)) == [0, 9, 18]
    assert ids(sheets.units(LAYER, LAYER.units[8:10])) == [0, 9]
    assert ids(sheets.units(LAYER, LAYER.units[10:12])) == [9]
    assert examples.KIND.scope == sheets


def test_a_whole_layer_has_one_artifact_whatever_is_chosen():
    assert WholeLayer().units(LAYER, LAYER.units[2:3]) == (LAYER.whole,)
