"""Works on jobs on one device; encodes what is done while the next batch computes."""

from __future__ import annotations

import functools
import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, groupby, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from atlas import derived
from atlas.batching import Batching, is_out_of_memory
from atlas.cache import Artifact, Cache, Checkpoint
from atlas.devices import fastest_precision
from atlas.errors import DeviceError
from atlas.heap import keep_freed_memory
from atlas.network import Network
from atlas.panels.circuits import circuit_panels
from atlas.panels.natural import natural_panels
from atlas.panels.noise import noise_panel
from atlas.panels.panel import Panel
from atlas.panels.tuning import n_stimuli, tuning_panels
from atlas.photographs import Photographs
from atlas.pictures.embedding import Embedder
from atlas.pictures.filters import filter_pictures
from atlas.pictures.finished import (
    Finished,
    Measure,
    centre_response,
    finish,
    layer_response,
    responses,
)
from atlas.pictures.picture import Picture
from atlas.pictures.provenance import provenance
from atlas.pictures.recipes import ascend
from atlas.pictures.twins import twin_pictures
from atlas.plan import Job
from atlas.spec import (
    SMALL_PX,
    STRIPS_PER_ROW,
    TINY_PX,
    ArtifactSpec,
    Circuit,
    Examples,
    FilterImage,
    Fourier,
    Natural,
    Noise,
    Progressive,
    Recipe,
    Similar,
    StripLayout,
    Tuning,
    Twin,
)
from atlas.taps import Tap
from atlas.units import Kind, Layer, Unit

FILTER_BATCH = 512
HOST_KINDS: frozenset[Kind] = frozenset({"filter"})  # made without the device
WEBP_QUALITY = 78
QUALITIES: dict[Kind, int] = {"examples": 42}  # shown small, as they are in the cache

Parts = Sequence[Picture | Panel]
Launched = Finished | Parts


class Launch(NamedTuple):
    """A batch that a device was asked for; on a GPU it may not be done yet."""

    kind: Kind
    batch: Launched

    def wait(self) -> Parts:
        """What came of it."""
        return self.batch.pictures() if isinstance(self.batch, Finished) else self.batch


class Order(NamedTuple):
    """What one part is made for."""

    key: str
    kind: Kind
    spec: ArtifactSpec


class Engine:
    """Works on jobs on one device and hands out encoded batches, in order.

    Use as a context manager: it owns the encoder's threads.
    """

    def __init__(
        self,
        network: Network,
        cache: Cache,
        photographs: Photographs | None = None,
    ) -> None:
        self.network = network
        self.photographs = photographs
        self._cache = cache
        self._checkpoints: list[Checkpoint] = []  # of work that is done but not committed
        self.precision = fastest_precision(network.device)
        self._batching = Batching(network.device)
        on_gpu = network.device.type == "cuda"
        if not on_gpu:
            keep_freed_memory()
        # A GPU works on one batch while the one before is read; a processor has done it by then.
        self._n_ahead = 1 if on_gpu else 0
        n_threads = os.cpu_count() if on_gpu else 2
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="encode")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        """Make all jobs' artifacts; `commit` gets each batch once it is encoded, in this thread.

        A batch is encoded while the next one computes. Whatever stops the work, a batch that is
        done is still committed.

        Raises:
            DeviceError: not even one picture fits into memory.
            NetworkError: a score is not finite.
        """
        # What is made from other artifacts finds them committed.
        for _, wave in groupby(jobs, lambda job: bool(job.sources)):
            self._run(list(wave), commit)
            while self._checkpoints:
                self._checkpoints.pop().drop()

    def _run(self, jobs: Sequence[Job], commit: Callable[[list[Artifact]], None]) -> None:
        orders = {
            (job.kind, unit): Order(key, job.kind, job.spec)
            for job in jobs
            for unit, key in job.keyed
        }
        waiting: list[Future[Artifact]] = []
        try:
            for kind, parts, seconds in self._done(jobs):
                encoding = [
                    self._pool.submit(self._encode, orders[kind, part.unit], part, seconds)
                    for part in parts
                ]
                waiting, ready = encoding, waiting
                if ready:
                    commit([future.result() for future in ready])
        finally:
            if waiting:
                commit([future.result() for future in waiting])

    def _encode(self, order: Order, part: Picture | Panel, seconds: float) -> Artifact:
        """An artifact for the cache; a panel has no picture, only numbers."""
        width_px = height_px = 0
        data = b"" if isinstance(part, Picture) else part.data
        if isinstance(part, Picture):
            height_px, width_px = part.pixels.shape[:2]
            data = encode(
                part.pixels,
                None if _must_stay(order, width_px) else QUALITIES.get(order.kind, WEBP_QUALITY),
                self._provenance(order, part),
            )
        return Artifact(
            key=order.key,
            unit=part.unit.id,
            kind=order.kind,
            width_px=width_px,
            height_px=height_px,
            numbers=part.numbers,
            seconds=round(seconds, 4),
            data=data,
        )

    def _provenance(self, order: Order, picture: Picture) -> bytes:
        """Of pictures that the site has as files; others it shows on sheets with many."""
        if order.kind != "excitatory":
            return b""
        return provenance(self.network.facts, picture.unit, order.spec, picture.numbers)

    def _done(self, jobs: Sequence[Job]) -> Iterator[tuple[Kind, Parts, float]]:
        """What was made, batch after batch, and the seconds that each part took."""
        ahead: deque[Launch] = deque()
        begun = time.perf_counter()
        for launch in chain(self._launches(jobs), [None]):
            ready: list[Launch] = []
            if launch:
                (ready if launch.kind in HOST_KINDS else ahead).append(launch)
            while len(ahead) > (self._n_ahead if launch else 0):
                ready.append(ahead.popleft())
            for each in ready:
                parts = each.wait()
                now = time.perf_counter()
                yield each.kind, parts, (now - begun) / len(parts)
                begun = time.perf_counter()

    def _launches(self, jobs: Sequence[Job]) -> Iterator[Launch]:
        """Batch after batch; a GPU gets its work before the host begins with its own."""
        if not self._n_ahead:
            yield from self._launches_in_order(jobs)
            return
        host = self._launches_in_order([job for job in jobs if job.kind in HOST_KINDS])
        for launch in self._launches_in_order([job for job in jobs if job.kind not in HOST_KINDS]):
            yield launch
            yield from islice(host, 1)
        yield from host

    def _launches_in_order(self, jobs: Sequence[Job]) -> Iterator[Launch]:
        for kind, of_kind in groupby(jobs, lambda job: job.kind):
            for batch in self._make(kind, list(of_kind)):
                yield Launch(kind, batch)

    def _make(self, kind: Kind, jobs: list[Job]) -> Iterator[Launched]:
        match jobs[0].spec:  # most are made layer after layer, some for all layers at once
            case Circuit() as spec:
                yield circuit_panels(self.network, [job.layer for job in jobs], spec)
            case Tuning() as spec:
                yield self._tuning([job.layer for job in jobs], spec)
            case Natural() as spec:
                yield self._natural(jobs, spec)
            case Examples() as spec:
                yield from derived.examples(jobs, spec, self._photographs(), self._cache)
            case Similar() as spec:
                yield derived.neighbours(jobs, spec, self.network.facts, self._cache)
            case _:
                for job in jobs:
                    yield from self._make_for(job)

    def _make_for(self, job: Job) -> Iterator[Launched]:
        match job.spec:
            case FilterImage() as spec:
                yield from self._filters(job, spec)
            case Noise() as spec:
                yield self._noise(job, spec)
            case Fourier() | Progressive() | Twin() as spec:
                yield from self._pictures(job, spec)

    def _filters(self, job: Job, spec: FilterImage) -> Iterator[Parts]:
        weights = self.network.weight(job.layer).float().cpu().numpy()
        swings = self.network.input_swings(job.layer).cpu().numpy()
        for first in range(0, len(job.units), FILTER_BATCH):
            units = job.units[first : first + FILTER_BATCH]
            yield filter_pictures(job.layer, weights, swings, units, spec)

    def _noise(self, job: Job, spec: Noise) -> Parts:
        n_images = self._batching.noise_images(spec.size_px)
        return [noise_panel(self.network.tap(job.layer, "float32"), spec, n_images)]

    def _tuning(self, layers: Sequence[Layer], spec: Tuning) -> Parts:
        with tqdm(
            total=n_stimuli(spec),
            desc="stimuli",
            unit=" images",
            file=sys.stderr,
            leave=False,
        ) as bar:
            # In half precision, a few units in a hundred would prefer something else.
            watch = self.network.watch(layers)
            return tuning_panels(watch, spec, progress=bar.update)

    def _natural(self, jobs: Sequence[Job], spec: Natural) -> Parts:
        photographs = self._photographs()
        layers = [job.layer for job in jobs]
        checkpoint = self._cache.checkpoint("".join(key for job in jobs for key in job.keys))
        self._checkpoints.append(checkpoint)
        with tqdm(
            total=len(photographs.files),
            desc="photographs",
            unit=" images",
            file=sys.stderr,
            leave=False,
        ) as bar:
            watch = self.network.watch(layers, self.precision)
            return natural_panels(watch, photographs, spec, checkpoint, bar.update)

    def _photographs(self) -> Photographs:
        assert self.photographs, "the plan asks for such kinds with photographs only"
        return self.photographs

    def _pictures(self, job: Job, spec: Recipe | Twin) -> Iterator[Finished]:
        fast, exact = self._taps(job.layer, spec)
        embed = self._embedder if job.kind == "excitatory" else None
        waiting, n_units = list(job.units), 0
        while waiting:
            try:
                n_units = n_units or self._batching.size(fast, waiting, spec)
                finished = render_units(fast, exact, waiting[:n_units], spec, embed)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if min(n_units, len(waiting)) <= 1:
                    raise DeviceError(
                        f"one picture of {job.layer.name} does not fit into the memory of "
                        f"{self.network.device}; use a smaller --preset or another --device"
                    ) from error
                self._batching.halve()
                n_units = min(n_units, len(waiting)) // 2
                continue
            del waiting[:n_units]
            yield finished

    @functools.cached_property
    def _embedder(self) -> Embedder | None:
        last = self.network.facts.layers[-1]
        if last.kind != "classifier":
            return None
        return Embedder(self.network.tap(last, self.precision))

    def _taps(self, layer: Layer, spec: Recipe | Twin) -> tuple[Tap, Tap]:
        """One to ascend on, one to measure with; the tutorial's recipe takes no short cuts."""
        exact = self.network.tap(layer, "float32")
        recipe = spec.first if isinstance(spec, Twin) else spec
        if isinstance(recipe, Progressive):
            return self.network.tap(layer), exact
        if self.precision == "float32":
            return exact, exact
        return self.network.tap(layer, self.precision), exact


def render_units(
    fast: Tap,
    exact: Tap,
    units: Sequence[Unit],
    spec: Recipe | Twin,
    embed: Embedder | None = None,
) -> Finished:
    """One batch: ascend on the fast tap, measure on the exact one."""
    if isinstance(spec, Twin):
        return twin_pictures(fast, exact, units, spec)
    return finish(ascend(fast, units, spec), units, exact, _measure(spec), embed=embed)


def _measure(recipe: Recipe) -> Measure:
    if isinstance(recipe, Fourier) and recipe.objective == "centre":
        return centre_response
    if isinstance(recipe, Fourier) and recipe.objective == "layer":
        return layer_response
    return responses


def _must_stay(order: Order, width_px: int) -> bool:
    """Flat colours and edges of weights, and pictures of few pixels, keep every bit."""
    few_px = SMALL_PX
    if isinstance(order.spec, Examples):
        few_px = STRIPS_PER_ROW * StripLayout(TINY_PX).size_px[0]
    return order.kind == "filter" or width_px < few_px


def encode(pixels: NDArray[np.uint8], quality: int | None, xmp: bytes = b"") -> bytes:
    """(H, W, 3), sRGB, as WebP; lossless without a quality."""
    buffer = io.BytesIO()
    options = (
        {"lossless": True, "quality": 60, "method": 2}
        if quality is None
        else {"quality": quality, "method": 4}
    )
    Image.fromarray(pixels).save(buffer, "WEBP", xmp=xmp, **options)
    return buffer.getvalue()
