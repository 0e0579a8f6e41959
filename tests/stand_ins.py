"""Workers that compute nothing: they take as long as an H100 would and send real pictures.

Their time is simulated: what the driver computes passes as it does, and where it would wait, the
clock is put forward.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from atlas.cache import Artifact, Cache
from atlas.cluster.engine import Workers
from atlas.cluster.keeping import Kept
from atlas.cluster.messages import Finished, Hello, Made, Message, Order, Surveyed
from atlas.cutting import Cut
from atlas.network.walk import walk
from atlas.plan import Job
from atlas.seals import sha256_of
from atlas.units import NetworkFacts, Preprocessing

MACS_PER_S = 2.9e13  # of an H100: all excitatory pictures of ResNet-50 take five minutes
CUT = Cut(128, 128)  # that of every layer of ResNet-50 on such a GPU
PACE_VARIABLE = "ATLAS_TEST_PACE"  # by which the seconds of stand-ins are multiplied
N_PICTURES = 8  # of each size
WORD_S = 0.002  # until what is said is heard


def resnet50_facts() -> NetworkFacts:
    """Facts of ResNet-50 with any weights."""
    from torchvision.models import resnet50

    layers = walk(resnet50(), 224)
    seen = Preprocessing(224, 256, (0.5,) * 3, (0.25,) * 3)
    labels = tuple(map(str, range(1000)))
    return NetworkFacts("ResNet-50", "resnet50", "any", "0" * 64, labels, "made up", seen, layers)


@functools.cache
def pictures(side_px: int) -> list[bytes]:
    """Pictures as the engine encodes them, of smoothed noise, which is as large as ours."""
    from atlas.pictures.encode import encode

    rng = np.random.default_rng(0)
    found = []
    for _ in range(N_PICTURES):
        coarse = rng.integers(0, 256, (side_px // 8, side_px // 8, 3), np.uint8)
        image = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
        found.append(encode(np.asarray(image), 78))
    return found


def artifacts_of(job: Job) -> tuple[Artifact, ...]:
    """What a job makes, with real pictures of another content."""
    side_px = 224 if job.steps else 96
    of_size = pictures(side_px)
    digests = list(map(sha256_of, of_size))
    return tuple(
        Artifact(
            key,
            unit.id,
            job.kind.name,
            side_px,
            side_px,
            '{"z": 12.345, "z_max": 23.456}',
            0.01,
            of_size[unit.index % N_PICTURES],
            sha256=digests[unit.index % N_PICTURES],
        )
        for unit, key in job.keyed
    )


def words_of(order: Order) -> Iterator[tuple[float, Message]]:
    """What a worker says about an order, and after how many seconds of work each."""
    if order.is_survey:
        yield 0.01, Surveyed(tuple(CUT if job.steps else None for job in order.jobs))
    else:
        for job in order.jobs:
            cost = job.cost.each * len(job.units) + job.cost.once
            yield cost / MACS_PER_S, Made(artifacts_of(job))
    yield 0.0, Finished()


class Actor:
    """A light process of Ray in place of a worker; it sleeps instead of computing."""

    def get_ready(self, _setup: object, _environment: object) -> Hello:
        return Hello("H100", "bfloat16", "node")

    def work(self, order: Order, _images: object) -> Iterator[Message]:
        for seconds, message in words_of(order):
            time.sleep(seconds * float(os.environ.get(PACE_VARIABLE, "1")))
            yield message


class Together:
    """Workers of whom nothing is heard until all of them are ready.

    Attributes:
        ready_s: when they were.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers, self._hellos = workers, list[tuple[str, Message]]()
        self.ready_s = 0.0

    def n_wanted(self) -> int:
        return self._workers.n_wanted()

    def start(self) -> str:
        return self._workers.start()

    def give(self, name: str, order: Order) -> None:
        self._workers.give(name, order)

    def end(self, name: str) -> None:
        self._workers.end(name)

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Message]]:
        for name, message in self._workers.poll(timeout_s):
            if isinstance(message, Hello):
                self._hellos.append((name, message))
            else:
                yield name, message
        if len(self._hellos) == self.n_wanted():
            self.ready_s = time.monotonic()
            yield from self._hellos
            self._hellos = []


class Clock:
    """Time in seconds: that which this process computes, and that which it is put forward by.

    Attributes:
        waited_s: how far it was put forward.
    """

    def __init__(self) -> None:
        self._ahead_s, self._begun_s = 0.0, time.process_time()
        self.waited_s = 0.0

    def __call__(self) -> float:
        return self._ahead_s + time.process_time() - self._begun_s

    def wait_until(self, at_s: float) -> None:
        """Put it forward, unless it is later already."""
        ahead_s = max(0.0, at_s - self())
        self._ahead_s += ahead_s
        self.waited_s += ahead_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For what others do meanwhile."""
        before_s = time.process_time()
        yield
        self._ahead_s -= time.process_time() - before_s


class SimulatedKeeper:
    """Keeps artifacts at once; simulated, that takes as long as it takes another thread.

    Attributes:
        worked_s: that this took.
    """

    def __init__(self, clock: Clock, cache: Cache, kept: Kept) -> None:
        self._clock, self._cache, self._kept = clock, cache, kept
        self._given: list[Artifact] = []
        self._done_s = 0.0
        self.worked_s = 0.0

    def begin(self, artifacts: list[Artifact]) -> None:
        begun_s = time.process_time()
        with self._clock.paused():
            self._cache.put(artifacts)
            seconds = time.process_time() - begun_s
        self._given, self._done_s = artifacts, self._clock() + seconds
        self.worked_s += seconds

    def is_busy(self) -> bool:
        if self._given and self._clock() >= self._done_s:
            self.wait()
        return bool(self._given)

    def wait(self) -> None:
        if self._given:
            self._clock.wait_until(self._done_s)
            self._kept(self._given)
            self._given = []


class StandIns:
    """Simulated workers, as `Workers` of the cluster's engine.

    Attributes:
        worked_s: that all of them worked.
    """

    def __init__(self, n_workers: int, clock: Clock) -> None:
        self._n_workers, self._clock = n_workers, clock
        self._names = itertools.count(1)
        self._order = itertools.count()  # of what is said at the same time
        self._said: list[tuple[float, int, str, bytes]] = []
        self.worked_s = 0.0

    def n_wanted(self) -> int:
        return self._n_workers

    def start(self) -> str:
        name = f"worker {next(self._names)}"
        self._say(self._clock(), name, pickle.dumps(Hello("H100", "bfloat16", "node")))
        return name

    def give(self, name: str, order: Order) -> None:
        told = pickle.dumps(order)  # as the driver must
        at_s = self._clock() + WORD_S
        with self._clock.paused():
            for seconds, message in words_of(pickle.loads(told)):
                self.worked_s += seconds
                at_s += seconds + 1e-6
                self._say(at_s, name, pickle.dumps(message))

    def poll(self, timeout_s: float) -> Iterator[tuple[str, Message]]:
        at_s = self._clock() + timeout_s
        self._clock.wait_until(min(at_s, self._said[0][0]) if self._said else at_s)
        heard: set[str] = set()
        while self._said and self._said[0][0] <= self._clock() and self._said[0][2] not in heard:
            _, _, name, word = heapq.heappop(self._said)
            heard.add(name)
            yield name, pickle.loads(word)

    def end(self, name: str) -> None:
        self._said = [each for each in self._said if each[2] != name]
        heapq.heapify(self._said)

    def _say(self, at_s: float, name: str, word: bytes) -> None:
        heapq.heappush(self._said, (at_s, next(self._order), name, word))
