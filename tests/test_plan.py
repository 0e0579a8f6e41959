"""The plan: everything asked, less what is done, and what it costs."""

from __future__ import annotations

import dataclasses

import pytest

from atlas.cache import Entry
from atlas.network import Network
from atlas.plan import make_plan, measured_speed, unit_cost
from atlas.spec import AtlasSpec, Selection

SPEC = AtlasSpec(preset="preview")


def keys_of(plan) -> list[str]:
    return [key for job in plan.asked for key in job.keys]


def entry(key: str, seconds: float) -> Entry:
    return Entry(key, "", "excitatory", 1, 1, {}, seconds, "", 1)


def test_nothing_done_everything_missing(planted: Network):
    plan = make_plan(SPEC, planted.facts, ())
    assert plan.n_asked == plan.n_missing == 2 * planted.facts.n_units
    assert len(set(keys_of(plan))) == plan.n_asked


def test_weights_first_then_layers_in_forward_order(planted: Network):
    jobs = make_plan(SPEC, planted.facts, ()).missing
    names = [layer.name for layer in planted.facts.layers]
    assert [(job.kind, job.layer.name) for job in jobs] == [
        *(("filter", name) for name in names),
        *(("excitatory", name) for name in names),
    ]


def test_only_what_is_missing_is_left(planted: Network):
    everything = make_plan(SPEC, planted.facts, ())
    done = [key for job in everything.asked for key in job.keys[:3]]
    plan = make_plan(SPEC, planted.facts, done)
    assert plan.n_asked == everything.n_asked
    assert plan.n_missing == everything.n_asked - len(done)
    assert not {key for job in plan.missing for key in job.keys} & set(done)
    assert all(job.units[0].index == 3 for job in plan.missing)  # the layer's fourth, or no job


def test_everything_done_nothing_missing(planted: Network):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    assert make_plan(SPEC, planted.facts, done).missing == ()


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"seed": 1}, {"excitatory"}),
        ({"preset": "standard"}, {"excitatory"}),
        ({"recipe": "progressive"}, {"excitatory"}),
        ({"labels": "names.txt"}, set()),
    ],
)
def test_a_changed_setting_remakes_only_what_depends_on_it(planted: Network, change, remade):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    plan = make_plan(dataclasses.replace(SPEC, **change), planted.facts, done)
    assert {job.kind for job in plan.missing} == remade


def test_other_weights_share_nothing(planted: Network):
    done = keys_of(make_plan(SPEC, planted.facts, ()))
    other = dataclasses.replace(planted.facts, sha256="1" * 64)
    plan = make_plan(SPEC, other, done)
    assert plan.n_missing == plan.n_asked


def test_a_selection_asks_for_its_units_alone(planted: Network):
    spec = dataclasses.replace(SPEC, selection=Selection(("conv1",), (range(1, 3),)))
    (_, job) = make_plan(spec, planted.facts, ()).asked
    assert [unit.id for unit in job.units] == ["conv1:1", "conv1:2"]


def test_deeper_layers_and_larger_canvases_cost_more(planted: Network):
    first, last = planted.facts.layers[0], planted.facts.layers[-1]
    preview = SPEC.picture_spec("excitatory", last, planted.facts)
    standard = AtlasSpec().picture_spec("excitatory", last, planted.facts)
    assert unit_cost(last, preview, planted.facts) > unit_cost(first, preview, planted.facts)
    assert unit_cost(last, standard, planted.facts) > unit_cost(last, preview, planted.facts)


def test_speed_is_cost_over_time_and_unknown_before_anything_ran(planted: Network):
    jobs = make_plan(SPEC, planted.facts, ()).asked
    ascents = [job for job in jobs if job.kind == "excitatory"]
    assert measured_speed(jobs, {}) is None
    entries = {key: entry(key, 2.0) for key in ascents[0].keys}
    assert measured_speed(jobs, entries) == pytest.approx(ascents[0].unit_cost / 2.0)
