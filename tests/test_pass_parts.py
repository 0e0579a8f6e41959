"""Passes over images in parts: whoever makes them, and however often that is interrupted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, replace

import numpy as np
import pytest
from conftest import IMAGE_PX, Planted, make_network

from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache
from atlas.decoding import Skipped
from atlas.engine import Engine
from atlas.errors import ImagesError
from atlas.images import ImageSet
from atlas.network.network import Network
from atlas.pass_parts import (
    IMAGES,
    MAX_STEPS,
    SUFFIX,
    SharedPass,
    drop_joined,
    joined_parts,
    keep_interrupted,
    passes_of,
    with_joined,
)
from atlas.pixels import Pixels
from atlas.plan import Job, artifact_costs, make_plan
from atlas.units import Preprocessing

N_IMAGES = 150


class Noise(ImageSet):
    """Images of noise in two classes, of which some cannot be read now."""

    labels = ("even", "odd")

    def __init__(self, unreadable: Iterable[int] = ()) -> None:
        self.files = tuple(map(str, range(N_IMAGES)))
        self.sha256 = "noise"
        self._unreadable = frozenset(map(str, unreadable))

    def label(self, file: str) -> str:
        return self.labels[int(file) % 2]

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        if file in self._unreadable:
            raise ImagesError(f"{file} cannot be read now")
        noise = np.random.default_rng(int(file))
        return noise.integers(0, 256, (IMAGE_PX, IMAGE_PX, 3), np.uint8)


def jobs_of(network: Network, **asked) -> tuple[Job, ...]:
    spec = AtlasSpec(
        preset="preview",
        kinds=("natural",),
        images_sha256="noise",
        n_images=N_IMAGES,
        **asked,
    )
    return make_plan(spec, network.facts, ()).missing


def make(network: Network, cache: Cache, jobs: Iterable[Job], unreadable: Iterable[int] = ()):
    with Engine(network, cache, Noise(unreadable)) as engine:
        engine.run(list(jobs), cache.put)


def timeless(cache: Cache) -> dict[str, tuple[object, ...]]:
    """All that a cache has but for times."""
    entries = cache.entries(cache.keys())
    return {
        key: (*astuple(replace(entry, seconds=0.0)), cache.read(key))
        for key, entry in entries.items()
    }


@pytest.fixture(scope="module")
def planted() -> Network:
    return make_network(Planted())


@pytest.fixture(scope="module")
def one_pass(planted: Network, tmp_path_factory: pytest.TempPathFactory):
    """What one pass makes."""
    with Cache(tmp_path_factory.mktemp("one")) as cache:
        make(planted, cache, jobs_of(planted))
        return timeless(cache)


def shared_pass(jobs: Iterable[Job], cache: Cache) -> SharedPass:
    (shared,) = passes_of(jobs, cache, N_IMAGES)
    return shared


def test_what_others_made_of_a_pass_is_not_made_again(
    planted: Network, cache: Cache, one_pass: dict[str, tuple[object, ...]]
):
    jobs = jobs_of(planted)
    assert with_joined(jobs, cache, N_IMAGES) == jobs
    shared = shared_pass(jobs, cache)
    assert shared.gaps == (range(N_IMAGES),)
    steps = list(shared.steps())
    assert [(step.spec.first, step.spec.end) for step in steps] == [(0, 64), (64, 128), (128, 150)]
    make(planted, cache, steps[1:2])
    begun = shared_pass(jobs, cache)
    assert begun.gaps == (range(64), range(128, 150))
    whole = sum(artifact_costs(jobs).values())
    assert begun.cost_done == pytest.approx(whole * 64 / 150)
    make(planted, cache, with_joined(jobs, cache, N_IMAGES), unreadable=range(64, 128))
    drop_joined(cache)
    assert timeless(cache) == one_pass


def test_what_one_process_had_done_is_a_part_for_others(
    planted: Network, cache: Cache, one_pass: dict[str, tuple[object, ...]]
):
    jobs = jobs_of(planted)
    with pytest.raises(ImagesError):
        make(planted, cache, jobs, unreadable=[100])
    shared = keep_interrupted(shared_pass(jobs, cache), cache)
    (gap,) = shared.gaps
    assert 0 < gap.start <= 100 and gap.start % 8 == 0 and gap.stop == N_IMAGES
    assert not cache.select("select key from checkpoints")
    with pytest.raises(ImagesError):  # and then a part of it is interrupted as well
        make(planted, cache, with_joined(jobs, cache, N_IMAGES), unreadable=[*range(64), 149])
    again = keep_interrupted(shared_pass(jobs, cache), cache)
    assert len(again.parts) == 2 and again.gaps[0].start > gap.start
    make(planted, cache, again.steps(), unreadable=range(again.gaps[0].start))
    make(planted, cache, with_joined(jobs, cache, N_IMAGES), unreadable=range(N_IMAGES))
    drop_joined(cache)
    assert timeless(cache) == one_pass


def test_a_damaged_state_is_named_and_left(
    planted: Network, cache: Cache, capsys: pytest.CaptureFixture[str]
):
    shared = shared_pass(jobs_of(planted), cache)
    cache.checkpoint("".join(shared.keys)).save(b"no tally")
    assert keep_interrupted(shared, cache) == shared
    assert "an interrupted pass" in capsys.readouterr().err
    assert not cache.select("select key from checkpoints") and not cache.keys()


def test_parts_of_other_layers_are_of_another_pass(planted: Network, cache: Cache):
    jobs = jobs_of(planted)
    some = shared_pass(jobs[:2], cache)
    cache.put([artifact(some.part(range(64))), artifact(some.part(range(64, N_IMAGES)))])
    joining = with_joined(jobs, cache, N_IMAGES)
    assert [bool(job.sources) for job in joining] == [True, True, *[False] * (len(jobs) - 2)]
    cache.remove([some.part(range(64)).keys[0]])
    assert with_joined(jobs, cache, N_IMAGES) == jobs
    assert len(shared_pass(jobs[:2], cache).parts) == 1


def artifact(part: Job) -> Artifact:
    keys = ",".join(f'"{key}"' for key in part.spec.keys)
    numbers = f'{{"keys":[{keys}],"first":{part.spec.first},"end":{part.spec.end}}}'
    return Artifact(part.keys[0], "conv1", f"natural{SUFFIX}", 0, 0, numbers, 0.0, b"")


def test_parts_that_follow_each_other_are_one(planted: Network):
    shared = SharedPass(jobs_of(planted), 1_300_000)
    steps = list(shared.steps())
    assert len(steps) <= MAX_STEPS
    assert all(step.spec.first % IMAGES == 0 for step in steps)
    assert [step.spec.first for step in steps[1:]] == [step.spec.end for step in steps[:-1]]
    joined = joined_parts(steps[0], steps[1])
    assert joined and joined.cost.each == pytest.approx(2 * steps[0].cost.each)
    assert joined.keys == shared.part(range(steps[1].spec.end)).keys
    assert joined_parts(steps[0], steps[2]) is None
