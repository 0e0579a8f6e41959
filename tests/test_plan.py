"""The plan: everything asked, less what is done, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest

from atlas.asked import AtlasSpec, Selection
from atlas.cache import Entry
from atlas.catalogue import Catalogue
from atlas.errors import SpecError
from atlas.kinds import KINDS, filter, natural, noise, twin
from atlas.kinds.kind import Kind, Source
from atlas.network.network import Network
from atlas.plan import Job, Plan, StageTime, make_plan, measured_speed, stage_times
from atlas.units import NetworkFacts

SPEC = AtlasSpec(preset="preview")
FEW_IMAGES = dataclasses.replace(SPEC, images_sha256="0" * 64, n_images=1000)
WITH_IMAGES = dataclasses.replace(FEW_IMAGES, n_images=100_000)
PER_UNIT = ("filter", "excitatory", "inhibitory")
MADE_OF_PICTURES = ("excitatory", "twin", "inhibitory", "similar", "map")


def keys_of(plan: Plan) -> list[str]:
    return [key for job in plan.asked for key in job.keys]


def kinds_of(jobs: Iterable[Job]) -> list[str]:
    """Names of the kinds, in the order of making."""
    return list(dict.fromkeys(job.kind.name for job in jobs))


def entry(key: str, seconds: float) -> Entry:
    return Entry(key, "", "excitatory", 1, 1, "{}", seconds, "", 1)


def test_nothing_done_everything_missing(planted: Network):
    plan = make_plan(SPEC, planted.facts, ())
    n_twins = sum(len(twin.SAMPLE.indices(layer)) for layer in planted.facts.layers)
    n_fields = sum(job.layer.n_units for job in plan.asked if job.kind.name == "field")
    n_layers = len(planted.facts.layers)
    per_layer = 5 * n_layers  # circuit, noise, tuning, dream, similar
    n_borders = sum(layer.has_maps for layer in planted.facts.layers)
    n_pictures = 3 * planted.facts.n_units + n_twins + n_fields
    n_maps = 1  # of the whole network
    assert plan.n_asked == n_pictures + per_layer + n_borders + n_maps
    assert plan.n_missing == plan.n_asked
    assert len(set(keys_of(plan))) == plan.n_asked


def test_kind_after_kind_each_in_forward_order(planted: Network):
    jobs = make_plan(SPEC, planted.facts, ()).missing
    names = [layer.name for layer in planted.facts.layers]
    assert kinds_of(jobs) == [
        kind.name
        for kind in KINDS
        if kind.name not in ("natural", "photographs", "examples", "names")
    ]
    for kind in (*PER_UNIT, "noise", "dream"):
        assert [job.layer.name for job in jobs if job.kind.name == kind] == names


def test_photographs_are_shown_only_if_there_are_any(planted: Network):
    for asked, other in ((WITH_IMAGES, "photographs"), (FEW_IMAGES, "examples")):
        plan = make_plan(asked, planted.facts, ())
        assert kinds_of(plan.asked) == [kind.name for kind in KINDS if kind.name != other]


def test_units_are_compared_again_as_soon_as_there_are_more(planted: Network):
    some = dataclasses.replace(SPEC, selection=Selection(("conv1",)))
    done = keys_of(make_plan(some, planted.facts, ()))
    assert make_plan(some, planted.facts, done).n_missing == 0
    plan = make_plan(SPEC, planted.facts, done)
    compared = [job for job in plan.missing if job.kind.name == "similar"]
    assert len(compared) == len(planted.facts.layers)
    assert len(compared[0].sources) == planted.facts.n_units
    assert not {key for job in compared for key in job.keys} & set(done)


def test_there_is_one_map_of_the_network_whichever_layers_have_pictures(planted: Network):
    last = planted.facts.layers[-1].name
    some = dataclasses.replace(SPEC, selection=Selection((last,)), kinds=("excitatory", "map"))
    plan = make_plan(some, planted.facts, ())
    (job,) = (each for each in plan.asked if each.kind.name == "map")
    pictured = [key for each in plan.asked if each.kind.name == "excitatory" for key in each.keys]
    assert job.units == (planted.facts.layers[0].whole,) and list(job.sources) == pictured
    whole = make_plan(SPEC, planted.facts, keys_of(plan))
    (wider,) = (each for each in whole.missing if each.kind.name == "map")
    assert wider.slot == job.slot and wider.keys != job.keys  # takes its place
    n_times = len(wider.sources) / len(job.sources)
    assert wider.cost.each / job.cost.each == pytest.approx(n_times)


def test_what_cannot_be_made_is_planned_no_more_and_others_are_made_without_it(planted: Network):
    whole = make_plan(SPEC, planted.facts, ())
    job = next(job for job in whole.asked if job.kind.name == "excitatory")
    plan = make_plan(SPEC, planted.facts, (), failed=job.keys[1:2])
    assert plan.n_asked == whole.n_asked - 1
    left = next(each for each in plan.asked if each.kind == job.kind and each.layer == job.layer)
    assert job.keys[1] not in left.keys and left.places == (0, *range(2, len(job.keys)))
    compared = [each for each in plan.asked if each.kind.name == "similar"]
    assert all(len(each.sources) == planted.facts.n_units - 1 for each in compared)


def test_with_photographs_units_are_compared_by_their_answers(planted: Network):
    jobs = {job.kind.name: job for job in make_plan(WITH_IMAGES, planted.facts, ()).asked}
    assert jobs["natural"].keys[0] in jobs["similar"].sources
    assert jobs["examples"].sources == jobs["natural"].keys


def test_single_fields_are_for_layers_that_see_half_the_image_at_most(planted: Network):
    jobs = make_plan(SPEC, planted.facts, ()).asked
    with_fields = {job.layer.name for job in jobs if job.kind.name == "field"}
    for layer in planted.facts.layers:
        assert (layer.name in with_fields) == (layer.receptive_field_px <= 24)


def test_only_the_kinds_that_were_asked_for(planted: Network):
    spec = dataclasses.replace(SPEC, kinds=("excitatory",))
    assert kinds_of(make_plan(spec, planted.facts, ()).asked) == ["excitatory"]


def test_only_what_is_missing_is_left(planted: Network):
    everything = make_plan(SPEC, planted.facts, ())
    done = [key for job in everything.asked if job.kind.name in PER_UNIT for key in job.keys[:3]]
    plan = make_plan(SPEC, planted.facts, done)
    assert plan.n_asked == everything.n_asked
    assert plan.n_missing == everything.n_asked - len(done)
    assert not {key for job in plan.missing for key in job.keys} & set(done)
    per_unit = [job for job in plan.missing if job.kind.name in PER_UNIT]
    assert all(job.units[0].index == 3 for job in per_unit)  # the layer's fourth, or no job


def test_everything_done_nothing_missing(planted: Network):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    assert make_plan(SPEC, planted.facts, done).missing == ()


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"seed": 1}, {"dream", "field", *MADE_OF_PICTURES}),
        (
            {"preset": "standard"},
            {"noise", "dream", "field", *MADE_OF_PICTURES},
        ),
        ({"recipe": "progressive"}, {"noise", *MADE_OF_PICTURES}),
        ({"labels": "names.txt"}, set()),
    ],
)
def test_a_changed_setting_remakes_only_what_depends_on_it(planted: Network, change, remade):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    plan = make_plan(dataclasses.replace(SPEC, **change), planted.facts, done)
    assert set(kinds_of(plan.missing)) == remade


def test_other_weights_share_nothing(planted: Network):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    other = dataclasses.replace(planted.facts, sha256="1" * 64)
    plan = make_plan(SPEC, other, done)
    assert plan.n_missing == plan.n_asked


def test_a_selection_asks_for_its_units_alone(planted: Network):
    spec = dataclasses.replace(SPEC, selection=Selection(("conv1",), (range(1, 3),)))
    asked = {job.kind.name: job.units for job in make_plan(spec, planted.facts, ()).asked}
    assert [unit.id for unit in asked["excitatory"]] == ["conv1:1", "conv1:2"]
    assert [unit.id for unit in asked["dream"]] == ["conv1"]


def test_twins_are_the_same_sample_whatever_is_selected(planted: Network):
    layer = dataclasses.replace(planted.facts.layers[0], n_units=64)
    twins = twin.KIND.scope
    assert [unit.index for unit in twins.units(layer, layer.units)] == [0, 16, 32, 48]
    assert [unit.index for unit in twins.units(layer, layer.units[10:40])] == [16, 32]
    assert twins.units(layer, layer.units[1:9]) == ()


def test_deeper_layers_and_larger_canvases_cost_more(planted: Network):
    def unit_cost(asked: AtlasSpec, name: str) -> float:
        jobs = make_plan(asked, planted.facts, ()).asked
        named = (job for job in jobs if job.kind.name == "excitatory" and job.layer.name == name)
        return next(named).unit_cost

    assert unit_cost(SPEC, "layer1.1.conv1") > unit_cost(SPEC, "conv1")
    assert unit_cost(AtlasSpec(), "fc") > unit_cost(SPEC, "fc")


def test_speed_is_cost_over_time_and_unknown_before_anything_ran(planted: Network):
    jobs = make_plan(SPEC, planted.facts, ()).asked
    ascents = [job for job in jobs if job.kind.name == "excitatory"]
    assert measured_speed(jobs, {}) is None
    entries = {key: entry(key, 2.0) for key in ascents[0].keys}
    assert measured_speed(jobs, entries) == pytest.approx(ascents[0].unit_cost / 2.0)


def test_stages_take_what_their_pictures_took(planted: Network):
    facts = planted.facts
    jobs = make_plan(dataclasses.replace(SPEC, kinds=("filter", "excitatory")), facts, ()).asked
    drawn, ascended = (
        next(job for job in jobs if job.kind.name == kind) for kind in ("filter", "excitatory")
    )
    seconds = dict.fromkeys([*drawn.keys, *ascended.keys[:3]], 0.5)  # one is missing
    (stem,) = stage_times(jobs, seconds)
    n_steps, seen_px = 12, ascended.spec.stages[0].seen_px
    macs = 4 * 3 * 11 * 11 * seen_px**2  # of one pass through conv1, at the size it is shown
    assert stem == StageTime("stem", 3, 1.5, pytest.approx(3 * 4 * n_steps * macs))
    assert stem.flop_per_s == pytest.approx(stem.flop / 1.5)


def jobs_by_kind(plan: Plan) -> dict[str, list[Job]]:
    return {
        name: [job for job in plan.asked if job.kind.name == name] for name in kinds_of(plan.asked)
    }


def plan_of(
    facts: NetworkFacts,
    *kinds: str,
    asked: AtlasSpec = WITH_IMAGES,
    done: Iterable[str] = (),
    **options,
) -> Plan:
    """The plan where only these kinds were asked for."""
    return make_plan(dataclasses.replace(asked, kinds=kinds), facts, done, **options)


@pytest.mark.parametrize("asked", [SPEC, WITH_IMAGES], ids=["without images", "with images"])
def test_every_kind_is_listed_after_those_it_is_made_from(asked: AtlasSpec):
    names = [kind.name for kind in KINDS]
    for kind in KINDS:
        for source in kind.sources_of(asked):
            assert names.index(source.kind) < names.index(kind.name)


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        *(pytest.param(kind, WITH_IMAGES, id=kind.name) for kind in KINDS),
        *(
            pytest.param(kind, SPEC, id=f"{kind.name} without images")
            for kind in KINDS
            if "photographs" not in kind.needs
        ),
    ],
)
def test_what_a_kind_is_made_from_is_planned_along_and_before_it(
    planted: Network, kind: Kind, asked: AtlasSpec
):
    """No artifact has a source that neither exists nor is made before it."""
    plan = plan_of(planted.facts, kind.name, asked=asked)
    made: set[str] = set()
    for job in plan.missing:
        assert made.issuperset(job.sources), job.kind.name
        made.update(job.keys)
    expected = {source.kind for source in kind.sources_of(asked)} | {kind.name}
    assert set(kinds_of(plan.asked)) == expected


def test_examples_alone_bring_the_answers_to_photographs_with_them(planted: Network):
    plan = plan_of(planted.facts, "examples")
    assert kinds_of(plan.missing) == ["natural", "examples"]
    jobs = jobs_by_kind(plan)
    for answers, shown in zip(jobs["natural"], jobs["examples"], strict=True):
        assert shown.layer == answers.layer and shown.sources == answers.keys


@pytest.mark.parametrize(
    ("asked", "compared"), [(SPEC, "excitatory"), (WITH_IMAGES, "natural")], ids=["without", "with"]
)
def test_a_comparison_alone_brings_what_it_compares_with_it(
    planted: Network, asked: AtlasSpec, compared: str
):
    plan = plan_of(planted.facts, "similar", asked=asked)
    assert kinds_of(plan.missing) == [compared, "similar"]
    jobs = jobs_by_kind(plan)
    keys = tuple(key for job in jobs[compared] for key in job.keys)
    assert {job.sources for job in jobs["similar"]} == {keys}


def test_sources_are_made_only_of_what_was_selected(planted: Network):
    asked = dataclasses.replace(SPEC, selection=Selection(("conv1",), (range(1, 3),)))
    jobs = jobs_by_kind(plan_of(planted.facts, "similar", asked=asked))
    assert [unit.id for job in jobs["excitatory"] for unit in job.units] == ["conv1:1", "conv1:2"]
    (comparison,) = jobs["similar"]
    assert comparison.sources == jobs["excitatory"][0].keys
    assert comparison.units == (comparison.layer.whole,)


def test_what_was_made_before_is_compared_too(planted: Network):
    first, second = planted.facts.layers[:2]
    of_first, of_second = (
        dataclasses.replace(SPEC, selection=Selection((layer.name,))) for layer in (first, second)
    )
    done = keys_of(plan_of(planted.facts, "excitatory", asked=of_first))
    plan = plan_of(planted.facts, "similar", asked=of_second, done=done)
    jobs = jobs_by_kind(plan)
    assert [job.layer for job in jobs["excitatory"]] == [second]
    assert [job.layer for job in jobs["similar"]] == [first, second]
    assert jobs["similar"][0].sources == (*done, *jobs["excitatory"][0].keys)


def test_a_new_comparison_has_the_slot_of_the_old_one_and_another_key(planted: Network):
    some = dataclasses.replace(SPEC, selection=Selection(("conv1",)))
    before = make_plan(some, planted.facts, ())
    (old,) = jobs_by_kind(before)["similar"]
    new = jobs_by_kind(make_plan(SPEC, planted.facts, keys_of(before)))["similar"]
    assert new[0].layer == old.layer
    assert new[0].slot == old.slot and new[0].keys != old.keys
    assert len({job.slot for job in new}) == len(new)  # one for each layer


def test_only_what_is_made_from_the_whole_network_supersedes_itself(planted: Network):
    plan = make_plan(FEW_IMAGES, planted.facts, ())
    from_network = {"photographs", "similar", "names", "map"}
    assert {job.kind.name for job in plan.asked if job.slot} == from_network


def test_another_version_of_the_answers_makes_examples_anew(planted: Network, monkeypatch):
    before = make_plan(WITH_IMAGES, planted.facts, ())
    monkeypatch.setattr(natural.NaturalSpec, "version", natural.NaturalSpec.version + 1)
    after = make_plan(WITH_IMAGES, planted.facts, keys_of(before))
    assert set(kinds_of(after.missing)) == {"natural", "examples", "names", "similar"}
    examples = jobs_by_kind(before)["examples"], jobs_by_kind(after)["examples"]
    for old, new in zip(*examples, strict=True):
        assert old.spec == new.spec and not {*old.keys} & {*new.keys}


@pytest.mark.parametrize("kind", ["natural", "examples"])
def test_what_cannot_be_made_without_photographs_is_refused_where_it_was_named(
    planted: Network, kind: str
):
    with pytest.raises(SpecError, match=f"'{kind}' .* needs photographs: .*--images"):
        plan_of(planted.facts, "filter", kind, asked=SPEC)


def test_a_kind_that_no_chosen_layer_can_have_is_refused_where_it_was_named(planted: Network):
    classes = dataclasses.replace(SPEC, selection=Selection(("fc",)))
    with pytest.raises(SpecError, match=r"'field' .* needs layers whose receptive field"):
        plan_of(planted.facts, "field", asked=classes)
    both = dataclasses.replace(SPEC, selection=Selection(("conv1", "fc")))
    (job,) = plan_of(planted.facts, "field", asked=both).asked
    assert job.layer.name == "conv1"
    assert "field" not in kinds_of(make_plan(classes, planted.facts, ()).asked)  # not named


def test_an_unknown_kind_is_refused(planted: Network):
    with pytest.raises(SpecError, match="no kind 'exitatory'"):
        plan_of(planted.facts, "exitatory")


def test_where_photographs_are_gone_only_what_they_gave_is_asked_for(planted: Network):
    facts = planted.facts
    none = make_plan(WITH_IMAGES, facts, (), has_images=False)
    assert not {"natural", "examples", "similar"} & set(kinds_of(none.asked))

    whole = jobs_by_kind(make_plan(WITH_IMAGES, facts, ()))
    answers, shown = whole["natural"][0], whole["examples"][0]
    plan = make_plan(WITH_IMAGES, facts, (*answers.keys, *shown.keys), has_images=False)
    jobs = jobs_by_kind(plan)
    assert [job.keys for job in jobs["natural"]] == [answers.keys]
    assert [job.keys for job in jobs["examples"]] == [shown.keys]
    assert not {"natural", "examples"} & set(kinds_of(plan.missing))
    (comparison,) = jobs["similar"]  # of what is there
    assert (comparison.layer, comparison.sources) == (answers.layer, answers.keys)


def layer_kind(name: str, *sources: Source) -> Kind:
    """A kind of one number for each layer, made from others."""
    return dataclasses.replace(noise.KIND, name=name, sources=lambda asked: sources)


def planned(facts, kinds, existing=(), **fields) -> dict[tuple[str, str], Job]:
    asked = dataclasses.replace(SPEC, **fields)
    jobs = make_plan(asked, facts, existing, (*KINDS, *kinds)).asked
    return {(job.kind.name, job.layer.name): job for job in jobs}


def test_a_kind_is_made_from_what_is_made_from_the_whole_network(planted: Network):
    own = layer_kind("own", Source("similar"))
    jobs = planned(planted.facts, (own,))
    for layer in planted.facts.layers:
        assert jobs["own", layer.name].sources == jobs["similar", layer.name].keys
    from_network = layer_kind("own", Source("similar", of="network"))
    jobs = planned(planted.facts, (from_network,))
    keys = [key for layer in planted.facts.layers for key in jobs["similar", layer.name].keys]
    assert jobs["own", "conv1"].sources == tuple(keys)


def test_sources_in_the_layer_and_in_the_network_are_both_there(planted: Network):
    own = layer_kind("own", Source("noise"), Source("excitatory", of="network"))
    job = planned(planted.facts, (own,))["own", "conv1"]
    jobs = planned(planted.facts, ())
    assert job.sources[0] == jobs["noise", "conv1"].keys[0]
    assert len(job.sources) == 1 + planted.facts.n_units


def test_what_is_made_from_units_is_made_again_when_there_are_more(planted: Network):
    own = layer_kind("own", Source("excitatory"))
    some = Selection(layers=("conv1",), units=(range(2),))
    first = planned(planted.facts, (own,), selection=some)
    done = [key for job in first.values() for key in job.keys]
    more = Selection(layers=("conv1",), units=(range(4),))
    second = planned(planted.facts, (own,), done, selection=more)
    old, new = first["own", "conv1"], second["own", "conv1"]
    assert (len(old.sources), len(new.sources)) == (2, 4)
    assert old.keys != new.keys
    assert old.slot == new.slot  # so that the new one takes the place of the old one


@pytest.mark.parametrize("change", [{"seed": 1}, {"preset": "standard"}, {"recipe": "progressive"}])
def test_comparisons_of_other_pictures_do_not_take_each_others_place(planted: Network, change):
    one, other = planned(planted.facts, ()), planned(planted.facts, (), **change)
    assert one["similar", "conv1"].slot != other["similar", "conv1"].slot


def test_a_source_that_a_layer_cannot_have_leaves_it_out(planted: Network):
    own = layer_kind("own", Source("field"))
    jobs = planned(planted.facts, (own,))
    with_fields = {name for kind, name in jobs if kind == "field"}
    assert {name for kind, name in jobs if kind == "own"} == with_fields


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((layer_kind("own", Source("nope")), *KINDS), "'own' is made from 'nope'"),
        ((layer_kind("own", Source("noise")), *KINDS), "'noise', which does not come before it"),
        ((*KINDS, layer_kind("own", Source("own"))), "'own' is made from 'own'"),
        ((*KINDS, layer_kind("noise")), "2 of the kind 'noise'"),
        ((*KINDS, dataclasses.replace(filter.KIND, name="own")), "kind of sheet 'filters'"),
    ],
)
def test_a_catalogue_that_cannot_work_is_refused(kinds, message):
    with pytest.raises(SpecError, match=message):
        Catalogue(kinds=kinds)
