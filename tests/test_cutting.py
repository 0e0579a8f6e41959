"""Batches are cut at the same places whatever is done already, so that their bytes are the same."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from atlas.asked import AtlasSpec, Selection
from atlas.cutting import Cut
from atlas.network.network import Network
from atlas.plan import Job, make_plan, remaining


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 60))
def test_all_units_are_in_batches_of_the_size_but_for_the_first_and_the_last(first, size, n_units):
    runs = Cut(first, size).runs(range(n_units))
    assert [nth for run in runs for nth in run] == list(range(n_units))
    assert all(len(run) == size for run in runs[1:-1])
    assert all(len(run) <= (size if nth else first) for nth, run in enumerate(runs))
    assert not runs or len(runs) == 1 or len(runs[0]) == first


def job_of(network: Network) -> Job:
    asked = AtlasSpec(
        preset="preview", selection=Selection(layers=("conv1",)), kinds=("excitatory",)
    )
    (job,) = make_plan(asked, network.facts, ()).asked
    return job


def test_what_is_left_of_a_job_is_cut_where_the_whole_job_is(planted: Network):
    job, cut = job_of(planted), Cut(1, 2)
    batches = job.batches(cut)
    assert [len(batch.units) for batch in batches] == [1, 2, 1]
    for done in range(2 ** len(batches)):
        kept = [nth for nth in range(len(batches)) if not done >> nth & 1]
        left = job.part([place for nth in kept for place in batches[nth].positions])
        assert [each.units for each in left.batches(cut)] == [batches[nth].units for nth in kept]


def test_the_plan_says_where_the_units_that_are_missing_are_in_the_job(planted: Network):
    asked = AtlasSpec(preset="preview", kinds=("excitatory",))
    plan = make_plan(asked, planted.facts, ())
    rng = random.Random(0)
    done = {key for job in plan.asked for key in job.keys if rng.random() < 0.5}
    for job in make_plan(asked, planted.facts, done).missing + remaining(plan, done).missing:
        whole = next(each for each in plan.asked if each.layer == job.layer)
        assert job.units == tuple(whole.units[position] for position in job.positions)
        again = job.part(range(1, len(job.units)))
        assert again.units == tuple(whole.units[position] for position in again.positions)
