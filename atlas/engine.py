"""Carries out jobs on one device; encodes each batch while the next one computes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, groupby, islice
from typing import Any, NamedTuple

from atlas.cache import Artifact
from atlas.errors import NetworkError
from atlas.images import ImageSet
from atlas.kinds.kind import Kind
from atlas.lazily import load
from atlas.network.network import Network, Precision
from atlas.observer import UNOBSERVED, Observer
from atlas.pass_parts import PartSpec
from atlas.pictures.encode import encode
from atlas.pictures.finished import Finished
from atlas.pictures.panel import Panel
from atlas.pictures.picture import Picture
from atlas.pictures.provenance import provenance
from atlas.plan import Job
from atlas.records import check, to_json
from atlas.renderer import Renderer, Store
from atlas.seals import sha256_of

Batch = Sequence[Picture | Panel]


class Launch(NamedTuple):
    """A batch that was started; on a GPU it may not be finished."""

    kind: Kind[Any]
    batch: Finished | Batch

    def wait(self) -> Batch:
        """The finished batch."""
        return self.batch.pictures() if isinstance(self.batch, Finished) else self.batch


class Order(NamedTuple):
    """One artifact to make."""

    job: Job
    key: str
    slot: str


class Engine:
    """Carries out jobs on one device and passes on encoded batches, in order.

    Use as a context manager: it owns the encoder's threads.

    Args:
        network: the network, on its device.
        cache: holds what other artifacts are made from.
        images: the photographs; None where none were given.
        observer: told how far the work has got.
        precision: in which pictures are made; None for the fastest.
    """

    def __init__(
        self,
        network: Network,
        cache: Store,
        images: ImageSet | None = None,
        observer: Observer = UNOBSERVED,
        precision: Precision | None = None,
    ) -> None:
        self.renderer = Renderer(network, cache, images, observer, precision)
        on_gpu = self.renderer.is_on_gpu
        # A GPU computes one batch while the one before is read and encoded; a CPU is busy with
        # whatever comes first, so there a batch is committed before the next one begins.
        self._n_ahead = 1 if on_gpu else 0
        n_threads = os.cpu_count() if on_gpu else 2
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        """Make all jobs' artifacts; `commit` gets each batch once it is encoded, in this thread.

        On a GPU, a batch is encoded while the next one computes. If the work is stopped by an error
        or an interrupt, finished batches are still committed.

        Raises:
            DeviceError: not even one picture fits into memory.
            NetworkError: a score is not finite.
        """
        for _, wave in groupby(jobs, _wave_of):
            self._run(list(wave), commit)
            self.renderer.drop_checkpoints()

    def _run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        orders = {
            (job.kind.name, unit): Order(job, key, job.slot[nth] if job.slot else "")
            for job in jobs
            for nth, (unit, key) in enumerate(job.keyed)
        }
        waiting: deque[list[Future[Artifact]]] = deque()
        try:
            for kind, batch, seconds in self._finished_batches(jobs):
                encoding = [
                    self._pool.submit(self._encode, orders[kind.name, result.unit], result, seconds)
                    for result in batch
                ]
                waiting.append(encoding)
                while len(waiting) > self._n_ahead:
                    artifacts = [future.result() for future in waiting[0]]
                    waiting.popleft()  # only now, so that Ctrl-C while they are encoded loses none
                    commit(artifacts)
        finally:
            for encoding in waiting:
                commit([future.result() for future in encoding])

    def _encode(self, order: Order, result: Picture | Panel, seconds: float) -> Artifact:
        """An artifact for the cache; a panel has no picture, only numbers.

        Raises:
            NetworkError: a number is not finite.
        """
        kind, layer = order.job.kind, order.job.layer
        check(result.record, kind.record, layer.n_units)
        width_px = height_px = 0
        if isinstance(result, Picture):
            height_px, width_px = result.pixels.shape[:2]
            quality = kind.encoding.quality_for(width_px)
            data = encode(result.pixels, quality, self._provenance(order, result))
        else:
            data = result.data
        try:
            numbers_json = to_json(result.record, layer.score_name)
        except ValueError as error:
            raise NetworkError.not_finite(layer.name) from error
        return Artifact(
            key=order.key,
            unit=result.unit.id,
            kind=kind.name,
            width_px=width_px,
            height_px=height_px,
            numbers_json=numbers_json,
            seconds=round(seconds, 4),
            data=data,
            slot=order.slot,
            sha256=sha256_of(data),
        )

    def _provenance(self, order: Order, picture: Picture) -> bytes:
        """Metadata for pictures that are files of the site; empty for pictures on sheets."""
        job = order.job
        if not job.kind.file_title:
            return b""
        facts, title = self.renderer.network.facts, job.kind.file_title
        return provenance(facts, job.layer, picture, job.spec, title)

    def _finished_batches(self, jobs: Sequence[Job]) -> Iterator[tuple[Kind[Any], Batch, float]]:
        """The kind of each finished batch, the batch, and the seconds per artifact."""
        ahead: deque[Launch] = deque()
        begun = time.perf_counter()
        for launch in chain(self._launches(jobs), [None]):
            ready: list[Launch] = []
            if launch:
                (ready if launch.kind.is_made_on_host else ahead).append(launch)
            while len(ahead) > (self._n_ahead if launch else 0):
                ready.append(ahead.popleft())
            for each in ready:
                batch = each.wait()
                now = time.perf_counter()
                yield each.kind, batch, (now - begun) / len(batch)
                begun = time.perf_counter()

    def _launches(self, jobs: Sequence[Job]) -> Iterator[Launch]:
        """Batches as they are started; a GPU gets its next batch before the host makes its own."""
        if not self._n_ahead:
            yield from self._launches_in_order(jobs)
            return
        host = self._launches_in_order([job for job in jobs if job.kind.is_made_on_host])
        device = self._launches_in_order([job for job in jobs if not job.kind.is_made_on_host])
        for launch in device:
            yield launch
            yield from islice(host, 1)
        yield from host

    def _launches_in_order(self, jobs: Sequence[Job]) -> Iterator[Launch]:
        for _, of_kind in groupby(jobs, lambda job: job.kind.name):
            same_kind = list(of_kind)
            kind = same_kind[0].kind
            self.renderer.observer.begin(kind.name)
            for batch in load(kind.make)(self.renderer, same_kind):
                yield Launch(kind, batch)


def _wave_of(job: Job) -> str:
    """What is made together.

    Jobs read their sources from the cache, so these are committed in an earlier wave. Parts of a
    pass are all for the same unit, so each is a wave.
    """
    if isinstance(job.spec, PartSpec):
        return job.spec.key
    return job.kind.name if job.sources else ""
