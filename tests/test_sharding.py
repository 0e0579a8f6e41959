"""Shards are everything once, equal in work, and follow from what was asked alone."""

from __future__ import annotations

import dataclasses

import pytest
from conftest import Planted, make_network
from hypothesis import given, settings
from hypothesis import strategies as st
from own_kinds import NORM
from torchvision import models

from atlas.asked import AtlasSpec, Selection
from atlas.batch_sizes import cpu_cut
from atlas.errors import SpecError
from atlas.kinds import KINDS
from atlas.pass_parts import IMAGES, SUFFIX
from atlas.plan import Job, artifact_costs, make_plan
from atlas.recipes import Fourier
from atlas.sharding import Shard, jobs_of_shard, spans_of
from atlas.units import NetworkFacts

ASKED = AtlasSpec(images_sha256="0" * 64, n_images=1000)
PLANTED = make_network(Planted()).facts


@pytest.fixture(scope="module")
def resnet() -> NetworkFacts:
    return make_network(models.resnet50(), 224).facts


def asked_jobs(facts: NetworkFacts, asked: AtlasSpec = ASKED, kinds=KINDS) -> tuple[Job, ...]:
    return make_plan(asked, facts, (), kinds).asked


def shards(jobs, of: int, facts: NetworkFacts, n_images: int = 1000) -> list[tuple[Job, ...]]:
    return [jobs_of_shard(jobs, Shard(nth, of), facts, n_images) for nth in range(1, of + 1)]


def check_complete(jobs, parts) -> None:
    """Every artifact that needs no other is in one shard; every photograph in one part."""
    made = [job for part in parts for job in part]
    wanted = {key for job in jobs if not job.sources and not job.kind.make_part for key in job.keys}
    keys = [key for job in made if not job.kind.name.endswith(SUFFIX) for key in job.keys]
    assert sorted(keys) == sorted(wanted)
    by_key = {key: unit for job in jobs for unit, key in job.keyed}
    assert all(by_key.get(key, unit) == unit for job in made for unit, key in job.keyed)
    spans = [job.spec for job in made if job.kind.name.endswith(SUFFIX)]
    if any(job.kind.make_part for job in jobs):
        shown = [image for spec in spans for image in range(spec.first, spec.end)]
        assert shown == list(range(1000))
        assert all(spec.first % IMAGES == 0 for spec in spans)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.lists(st.sampled_from([kind.name for kind in KINDS]), max_size=4))
def test_shards_are_everything_once(of: int, kinds: list[str]):
    asked = dataclasses.replace(ASKED, preset="preview", kinds=tuple(dict.fromkeys(kinds)))
    jobs = asked_jobs(PLANTED, asked)
    check_complete(jobs, shards(jobs, of, PLANTED))


def test_shards_of_a_large_network_are_everything_once_and_equal_in_work(resnet: NetworkFacts):
    jobs = asked_jobs(resnet)
    for of in (3, 32):
        parts = shards(jobs, of, resnet)
        check_complete(jobs, parts)
        costs = [sum(artifact_costs(part).values()) for part in parts]
        assert max(costs) < 1.05 * sum(costs) / of


def test_what_is_made_together_stays_together(resnet: NetworkFacts):
    """Batches are as one process cuts them, and one pass over stimuli is in one shard."""
    parts = shards(asked_jobs(resnet), 32, resnet)
    n_divided = 0
    for job in (job for part in parts for job in part if isinstance(job.spec, Fourier)):
        cut = cpu_cut(job.layer, resnet, job.spec.canvas_px, job.cost.each)
        batches = job.batches(cut)
        n_divided += len(job.units) < job.layer.n_units
        for batch in batches:
            number = cut.batch(batch.positions[0])
            whole = [nth for nth in range(job.layer.n_units) if cut.batch(nth) == number]
            assert list(batch.positions) == whole or job.kind.name == "dream"
    assert n_divided > 32
    assert sum(any(job.kind.name == "tuning" for job in part) for part in parts) == 1


def test_what_a_cache_has_makes_no_difference(resnet: NetworkFacts):
    part = Selection(layers=("conv1",), units=(range(20),))
    asked = dataclasses.replace(ASKED, selection=part)
    first = shards(asked_jobs(resnet, asked), 3, resnet)
    again = shards(asked_jobs(resnet, asked), 3, resnet)
    assert first == again


def test_kinds_without_a_cost_are_shared_by_number():
    jobs = asked_jobs(PLANTED, dataclasses.replace(ASKED, kinds=("norm",)), (*KINDS, NORM))
    parts = shards(jobs, 3, PLANTED)
    counts = [sum(len(job.keys) for job in part) for part in parts]
    assert sum(counts) == len(PLANTED.layers) and max(counts) - min(counts) <= 1


def test_more_shards_than_work_leaves_some_without_any():
    asked = dataclasses.replace(ASKED, kinds=("tuning",))
    parts = shards(asked_jobs(PLANTED, asked), 5, PLANTED)
    assert [bool(part) for part in parts].count(True) == 1


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "4/3", "1/0", "-1/3", "1/2/3", "a/b", "1/9999", "١/٣x"]
)
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(SpecError, match=r"cannot read --shard .* write it like 2/3"):
        Shard.parsed(text)


def test_a_shard_is_read_as_it_is_written():
    assert Shard.parsed(" 2 / 3 ") == Shard(2, 3) and str(Shard(2, 3)) == "2/3"


@given(st.integers(0, 5000), st.integers(1, 70), st.sampled_from([1, 8, 64]))
def test_spans_are_all_positions_once_and_begin_where_batches_do(n_files, n_spans, multiple):
    spans = spans_of(n_files, n_spans, multiple)
    assert [position for span in spans for position in span] == list(range(n_files))
    assert len(spans) == n_spans
    assert all(span.start % multiple == 0 for span in spans if span)
    sizes = [len(span) for span in spans]
    assert max(sizes) - min(sizes) <= 2 * multiple
