"""What a worker makes, without Ray: the bytes of one process, and passes that go on."""

from __future__ import annotations

import dataclasses
import pickle
import platform
from collections.abc import Sequence
from pathlib import Path

import pytest

from atlas.asked import AtlasSpec, Selection
from atlas.cache import Artifact, Cache
from atlas.cluster.messages import (
    Advanced,
    Begun,
    Broken,
    Finished,
    Made,
    Message,
    Order,
    Saved,
    Setup,
    Surveyed,
)
from atlas.cluster.worker import Worker
from atlas.decoding import Skipped
from atlas.engine import Engine
from atlas.errors import DeviceError, ImagesError, NetworkError, SpecError
from atlas.families import FAMILIES, find_family
from atlas.images import ImageSet, ImagesOf
from atlas.kinds import KINDS
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.pixels import Pixels
from atlas.plan import Job, artifact_costs, make_plan
from atlas.units import Preprocessing

ASKED = AtlasSpec(
    family="demo", preset="preview", selection=Selection(layers=("layer1.0.conv*", "fc"))
)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(ASKED, find_family("demo"))


@pytest.fixture(scope="module")
def worker(network: Network) -> Worker:
    setup = Setup(ASKED, FAMILIES, network.facts.identity, str(Path.cwd()), "cpu", 1)
    return Worker(setup)


def jobs_of(network: Network, *kinds: str, **more) -> tuple[Job, ...]:
    asked = dataclasses.replace(ASKED, kinds=kinds, **more)
    return make_plan(asked, network.facts, ()).missing


def order_of(worker: Worker, jobs: Sequence[Job], **more) -> Order:
    order = Order(tuple(jobs), worker.hello.precision, "some work", **more)
    return pickle.loads(pickle.dumps(order))


def said(worker: Worker, order: Order, images: ImageSet | None = None) -> list[Message]:
    return [pickle.loads(pickle.dumps(word)) for word in worker.work(order, images)]


def made(words: Sequence[Message]) -> dict[str, tuple[object, ...]]:
    """Artifacts by key, but for the time that they took."""
    artifacts = [each for word in words if isinstance(word, Made) for each in word.artifacts]
    return {each.key: _timeless(each) for each in artifacts}


def _timeless(artifact: Artifact) -> tuple[object, ...]:
    return dataclasses.astuple(dataclasses.replace(artifact, seconds=0.0))


def test_a_worker_makes_the_bytes_of_one_process_in_whatever_order(
    network: Network, worker: Worker, cache: Cache
):
    jobs = jobs_of(network, "excitatory", "noise", "twin")
    expected: dict[str, tuple[object, ...]] = {}
    with Engine(network, cache) as engine:
        engine.run(
            jobs, lambda batch: expected.update({each.key: _timeless(each) for each in batch})
        )
    found = {}
    for job in reversed(jobs):
        (surveyed, *_) = said(worker, order_of(worker, [job], is_survey=True))
        assert isinstance(surveyed, Surveyed)
        (cut,) = surveyed.cuts
        assert (cut is None) == (job.kind.name == "noise")
        batches = (
            [dataclasses.replace(each, cut=cut) for each in job.batches(cut)] if cut else [job]
        )
        for batch in reversed(batches):
            words = said(worker, order_of(worker, [batch]))
            assert isinstance(words[-1], Finished)
            found |= made(words)
    assert found == expected


def test_it_says_what_it_works_on_and_the_steps_add_up(network: Network, worker: Worker):
    jobs = jobs_of(network, "excitatory")
    words = said(worker, order_of(worker, jobs))
    begun = [word.layer for word in words if isinstance(word, Begun) and word.layer]
    assert begun == [job.layer.name for job in jobs]
    steps = [word.cost for word in words if isinstance(word, Advanced)]
    assert sum(steps) == pytest.approx(sum(artifact_costs(jobs).values()))
    assert len(steps) < 10 * len(jobs)


class Unreadable(ImagesOf):
    """The images of another set, of which some can be read."""

    def __init__(self, images: ImageSet, readable: Sequence[str]) -> None:
        super().__init__(images)
        self._readable = frozenset(readable)

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        if file not in self._readable:
            raise ImagesError(f"{file} cannot be read now")
        return super().load(file, preprocessing)


def test_a_pass_over_photographs_goes_on_from_its_state(network: Network, worker: Worker):
    images = find_family("demo").images()
    assert images
    jobs = jobs_of(network, "natural", images_sha256=images.sha256, n_images=len(images.files))
    whole = said(worker, order_of(worker, jobs), images)
    middle = len(images.files) // 2
    first = said(worker, order_of(worker, jobs), Unreadable(images, images.files[:middle]))
    *_, saved, broken = first
    assert isinstance(saved, Saved) and isinstance(broken, Broken)
    assert isinstance(broken.error, ImagesError) and broken.is_sound
    n_done = middle - 4 * 8  # batches of eight, some of which were being read
    second = said(
        worker,
        order_of(worker, jobs, checkpoint=saved.data),
        Unreadable(images, images.files[n_done:]),
    )
    assert made(second) == made(whole) and made(whole)


def test_a_worker_goes_on_after_what_it_cannot_make(network: Network, worker: Worker):
    (kind,) = (each for each in KINDS if each.name == "noise")
    jobs = jobs_of(network, "noise")
    bad = [
        dataclasses.replace(job, kind=dataclasses.replace(kind, make="no.such.module:make"))
        for job in jobs
    ]
    (*_, broken) = said(worker, order_of(worker, bad))
    assert isinstance(broken, Broken) and broken.error is None and broken.is_sound
    assert broken.reason.startswith("ModuleNotFoundError: No module named 'no")
    assert made(said(worker, order_of(worker, jobs))).keys() == {
        key for job in jobs for key in job.keys
    }


def test_another_network_than_the_drivers_is_refused(network: Network):
    setup = Setup(ASKED, FAMILIES, "another", str(Path.cwd()), "cpu", 1)
    with pytest.raises(NetworkError, match="has loaded other weights than the build"):
        Worker(setup)


def test_another_version_than_the_drivers_is_refused(network: Network):
    setup = Setup(ASKED, FAMILIES, network.facts.identity, str(Path.cwd()), version="0.0.9")
    with pytest.raises(SpecError, match=r"the build has 0\.0\.9; install the same on all nodes"):
        Worker(setup)


def test_the_machine_that_lacks_a_device_is_named(network: Network):
    setup = Setup(ASKED, FAMILIES, network.facts.identity, str(Path.cwd()), "cuda:99")
    with pytest.raises(DeviceError, match=rf"{platform.node()}: no device 'cuda:99'"):
        Worker(setup)
