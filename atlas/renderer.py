"""`Renderer`, which gives the `make` functions of kinds the network, images and checkpoints."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

from atlas.batching import Batching
from atlas.cache import Checkpoint, Entry
from atlas.cutting import Cut
from atlas.devices import fastest_precision
from atlas.errors import DeviceError, SpecError
from atlas.heap import keep_freed_memory
from atlas.images import ImageSet
from atlas.lazily import load
from atlas.memory import is_out_of_memory
from atlas.network.network import Network, Precision
from atlas.network.taps import Tap
from atlas.observer import UNOBSERVED, Advance, Observer
from atlas.pictures.embedding import Embedder
from atlas.pictures.finished import Finished, Measure, finish, responses
from atlas.pictures.recipes import ascend
from atlas.plan import Job, artifact_costs
from atlas.recipes import Progressive, Recipe
from atlas.units import Layer, Unit


class Store(Protocol):
    """Where finished artifacts are read: the cache, or what was sent of it to another machine."""

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        """The entries of the artifacts among `keys` that are there, by key."""

    def read(self, key: str) -> bytes:
        """The bytes of one artifact."""

    def checkpoint(self, key: str) -> Checkpoint | None:
        """The checkpoint of a long piece of work; None if its state is not kept."""


MakeBatch = Callable[[Tap, Tap, Sequence[Unit], Advance], Finished]


class Renderer:
    """The network and everything else that is needed to make artifacts.

    Without a cache, kinds that read other artifacts or use checkpoints cannot be made. Without a
    precision, the fastest one is found.

    Attributes:
        network: the network, on its device.
        images: the photographs; None where none were given.
        precision: the fastest on the device that the network runs in.
        observer: told how far the work has got.
    """

    def __init__(
        self,
        network: Network,
        cache: Store | None = None,
        images: ImageSet | None = None,
        observer: Observer = UNOBSERVED,
        precision: Precision | None = None,
    ) -> None:
        self.network = network
        self.images = images
        self.observer = observer
        self.precision = network.usable(precision or fastest_precision(network.device))
        self.batching = Batching(network.device, network.facts)
        self._given_cache = cache
        self._checkpoints: list[Checkpoint] = []  # of work that is done but not committed
        if not self.is_on_gpu:
            keep_freed_memory()

    @property
    def is_on_gpu(self) -> bool:
        """Whether the network is on a GPU, which computes batches while the host continues."""
        return self.network.device.type == "cuda"

    @property
    def _cache(self) -> Store:
        if self._given_cache is None:
            raise SpecError("this kind is made with a cache; build an atlas with it")
        return self._given_cache

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The cache's entries of finished artifacts, by key."""
        return self._cache.entries(keys)

    def read(self, key: str) -> bytes:
        """The bytes of a finished artifact."""
        return self._cache.read(key)

    def checkpoint(self, jobs: Sequence[Job]) -> Checkpoint | None:
        """The checkpoint of a long pass over these jobs, dropped when they are committed."""
        checkpoint = self._cache.checkpoint("".join(key for job in jobs for key in job.keys))
        if checkpoint:
            self._checkpoints.append(checkpoint)
        return checkpoint

    def drop_checkpoints(self) -> None:
        """Drop the checkpoints of passes whose artifacts are committed."""
        while self._checkpoints:
            self._checkpoints.pop().drop()

    def one_pass(self, jobs: Sequence[Job], n_images: int, noun: str) -> Callable[..., object]:
        """A function to be told how many images of a pass for all these jobs are done.

        With `is_new=False`, they were done by an earlier run.
        """
        self.observer.begin(jobs[0].kind.name, noun)
        cost = sum(artifact_costs(jobs).values())

        def advance(n_done: int, *, is_new: bool = True) -> None:
            self.observer.advance(cost * n_done / n_images, is_new=is_new)

        return advance

    @functools.cached_property
    def embedder(self) -> Embedder | None:
        """Computes embeddings of pictures, None for a network without a classifier."""
        layer = self.network.facts.classifier
        if layer is None:
            return None
        tap = self.network.tap(layer, self.precision)
        return Embedder(tap, self.network.facts.input_size_px)

    def ascents(
        self,
        job: Job,
        recipe: Recipe,
        record: type,
        measure: Measure = responses,
        embed: Callable[[Tensor], Tensor] | None = None,
    ) -> Iterator[Finished]:
        """One picture for each unit of a job, in batches.

        Args:
            job: the units and their layer.
            recipe: recipe of the ascent.
            record: type of the record, with a field for each measured number.
            measure: measures the finished pictures.
            embed: computes their embeddings, if they are wanted.
        """

        def make_batch(fast: Tap, exact: Tap, units: Sequence[Unit], on_step: Advance) -> Finished:
            ascent = ascend(fast, units, recipe, on_step)
            return finish(ascent, units, exact, record, measure=measure, embed=embed)

        yield from self.batches(job, recipe, make_batch)

    def batches(
        self, job: Job, recipe: Recipe, make_batch: MakeBatch, images_per_unit: int = 1
    ) -> Iterator[Finished]:
        """The units of a job in batches as large as the device takes, the first one smaller.

        Args:
            job: the units and their layer.
            recipe: recipe of the ascents.
            make_batch: makes the pictures of some units, from a tap to ascend on, a tap in
                float32 to measure with, and a function to be told of each step.
            images_per_unit: number of images per unit that are in memory at once.

        Raises:
            DeviceError: not even one picture fits into memory.
        """
        self.observer.begin(job.kind.name, job.layer.name)
        fast, exact = self.taps(job.layer, recipe)
        left, cut = job, job.cut
        while left.units:
            steps = _Steps(job, self.network.facts.input_size_px, self.observer)
            n_units = 0
            try:
                cut = cut or self._cut(job, fast, recipe, images_per_unit)
                n_units = len(cut.runs(left.positions)[0])
                finished = make_batch(fast, exact, left.units[:n_units], steps.add)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                steps.take_back()
                if n_units <= 1:
                    raise DeviceError(
                        f"one picture of {job.layer.name} does not fit into the memory of "
                        f"{self.network.device}; use a smaller --preset or another --device"
                    ) from error
                self.batching.halve()
                cut = Cut(n_units // 2, n_units // 2)
                continue
            left = left.part(range(n_units, len(left.units)))
            yield finished

    def _cut(self, job: Job, fast: Tap, recipe: Recipe, images_per_unit: int) -> Cut:
        """Into batches as large as the device takes, the first one smaller on a CPU."""
        size = self.batching.size(fast, job.units, recipe, images_per_unit)
        return Cut(min(size, self.batching.first_size(job.cost.each)), size)

    def taps(self, layer: Layer, recipe: Recipe) -> tuple[Tap, Tap]:
        """A tap to ascend on and a float32 tap to measure with; `progressive` uses no shortcuts."""
        exact = self.network.tap(layer, "float32")
        if isinstance(recipe, Progressive):
            return self.network.tap(layer), exact
        if self.precision == "float32":
            return exact, exact
        return self.network.tap(layer, self.precision), exact


class _Surveyor(Renderer):
    """Says how jobs are cut into batches, and makes nothing."""

    def batches(
        self, job: Job, recipe: Recipe, make_batch: MakeBatch, images_per_unit: int = 1
    ) -> Iterator[Any]:
        """Only how the job is cut."""
        yield self._cut(job, self.taps(job.layer, recipe)[0], recipe, images_per_unit)


def survey(renderer: Renderer, job: Job) -> Cut | None:
    """How the ascents of a job are cut into batches; None if it is not made with `batches`.

    Raises:
        DeviceError: not even one picture fits into memory.
    """
    surveyor = _Surveyor(renderer.network, None, renderer.images, precision=renderer.precision)
    found = next(iter(load(job.kind.make)(surveyor, [job])), None)
    return found if isinstance(found, Cut) else None


class _Steps:
    """Reports the steps of one batch of a job."""

    def __init__(self, job: Job, input_px: int, observer: Observer) -> None:
        n_px = job.steps * input_px**2  # for one unit
        self._cost_of_px = job.unit_cost / n_px if n_px else 0.0
        self._observer = observer
        self._reported = 0.0

    def add(self, n_px: float) -> None:
        """A step showed the network so many pixels."""
        cost = self._cost_of_px * n_px
        self._reported += cost
        self._observer.advance(cost)

    def take_back(self) -> None:
        """The batch is lost, and its units will be rendered again."""
        self._observer.advance(-self._reported)
