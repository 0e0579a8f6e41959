"""The engine of several workers: the same `run(jobs, commit)` as that of one process.

This process hands out work, keeps what comes back, and replaces workers that end or hang. How
workers are started and reached is left to `Workers`, so none of this depends on Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from atlas.asked import AtlasSpec
from atlas.cache import Artifact, Cache
from atlas.cluster.board import Board, Doing
from atlas.cluster.keeping import Keeper, Kept, ThreadKeeper
from atlas.cluster.messages import (
    Advanced,
    Begun,
    Broken,
    Finished,
    Hello,
    Made,
    Message,
    Order,
    Saved,
    Surveyed,
)
from atlas.cluster.scheduling import Failure, Portion, Schedule, home_of, pieces_of
from atlas.console import say_above
from atlas.cutting import Cut
from atlas.errors import DeviceError, NetworkError
from atlas.observer import UNOBSERVED, Observer
from atlas.pass_parts import (
    IMAGES,
    PartSpec,
    SharedPass,
    keep_interrupted,
    passes_of,
    with_joined,
)
from atlas.plan import Job, artifact_costs

if TYPE_CHECKING:
    from atlas.network.network import Precision

POLL_S = 1.0
BUSY_POLL_S = 0.02  # while artifacts are being kept and others wait for that
START_S = 1800.0  # in which a worker must be ready: a cluster may have to find a machine first
QUIET_START_S = 60.0  # without any worker that is ready, before that is said
MAX_FAILED_STARTS = 3  # workers in a row that end before they are ready; then no more are started
N_SURVEYED = 2  # units by which a worker finds how a job is cut
KEEP_EVERY_S = 0.5  # what has arrived: large transactions take two thirds of the time
MAX_UNKEPT_BYTES = 64e6  # of artifacts that have arrived
MAX_FAILURES = 100  # more, and the build stops: it is not about single units

Commit = Callable[[list[Artifact]], None]


class Workers(Protocol):
    """Starts workers, and carries messages to and from them."""

    def n_wanted(self) -> int:
        """How many workers there should be now."""

    def start(self) -> str:
        """Start a worker; returns its name. It sends Hello when it is ready."""

    def give(self, name: str, order: Order) -> None:
        """Have a ready worker carry out an order."""

    def poll(self, timeout_s: float) -> Iterable[tuple[str, Message]]:
        """Messages of workers, after waiting for them at most so long."""

    def end(self, name: str) -> None:
        """End a worker; no message of it comes any more."""


class LocalEngine(Protocol):
    """The engine of this process."""

    def run(self, jobs: Sequence[Job], commit: Commit) -> None:
        """Make all jobs' artifacts."""


@dataclass
class _WorkerState:
    """What is known of a worker."""

    started_s: float
    last_message_s: float
    hello: Hello | None = None
    unfinished: float = 0.0  # work that it has reported on unfinished artifacts, in MACs
    checkpoint: str = ""  # key of the state of the pass that it makes; empty for other work
    cuts: tuple[Cut | None, ...] | None = None  # what its survey has found
    doing: str = "starting"  # in words
    since_s: float = 0.0  # it does that
    n_made: int = 0


@dataclass
class ClusterEngine:
    """Has workers make what is missing, and makes here what is made from the whole network.

    What workers make is kept beside the rest of the work, and `kept` is told of it.

    Attributes:
        failures: what could not be made.
    """

    asked: AtlasSpec
    workers: Callable[[], AbstractContextManager[Workers]]
    local: Callable[[], AbstractContextManager[LocalEngine]]
    cache: Cache
    kept: Kept
    observer: Observer = UNOBSERVED
    patience_s: float = 600.0
    failures: list[Failure] = field(default_factory=list)

    def run(self, jobs: Sequence[Job], commit: Commit) -> None:
        """Make all jobs' artifacts; `commit` gets each batch that is made here.

        Raises:
            AtlasError: no worker can start, or something cannot be made for a reason that
                concerns everything.
        """
        here = [job for job in jobs if self._is_of_network(job)]
        passes = self._shared_passes(jobs, commit)
        there = self.cache.keys()
        elsewhere = [
            job for job in jobs if not (self._is_of_network(job) or there.issuperset(job.keys))
        ]
        if elsewhere:
            with self.workers() as workers, self._keeper() as keeper:
                driver = Driver(
                    workers,
                    self.cache,
                    self.observer,
                    self.patience_s,
                    elsewhere,
                    passes=passes,
                    make_here=lambda jobs: self._make_here(jobs, commit),
                )
                driver.run(keeper)
            self.failures += driver.schedule.failures
        there = self.cache.keys()
        ready = [job for job in here if there.issuperset(job.sources)]
        if ready:  # others are planned again, from what could be made
            self._make_here(ready, commit)

    def _keeper(self) -> ThreadKeeper:
        return ThreadKeeper(self.cache.path.parent, self.kept)

    def _make_here(self, jobs: Sequence[Job], commit: Commit) -> None:
        """Make jobs in this process."""
        with self.local() as engine:
            engine.run(jobs, commit)

    def _shared_passes(self, jobs: Sequence[Job], commit: Commit) -> list[SharedPass]:
        """The passes over images that are worth sharing, or that others have begun.

        Those whose parts are all there are joined at once.
        """
        passes = []
        for found in passes_of(jobs, self.cache, self.asked.n_images):
            shared = keep_interrupted(found, self.cache)
            if not shared.gaps:
                self.observer.advance(shared.cost_done, is_new=False)
                self._make_here(with_joined(shared.jobs, self.cache, shared.n_images), commit)
            elif shared.parts or shared.n_images > IMAGES:
                passes.append(shared)
        return passes

    def _is_of_network(self, job: Job) -> bool:
        return any(source.of == "network" for source in job.kind.sources_of(self.asked))


class Driver:
    """Hands out work until it is done.

    Args:
        workers: starts them and carries messages.
        cache: holds what artifacts are made from, and the states of long passes.
        observer: told how far the work of all workers has got.
        patience_s: in which a busy worker must send a message.
        jobs: all that workers are to make.
        clock: gives the time in seconds.
        passes: those among the jobs that workers share.
        make_here: makes jobs in this process: those that join the parts of passes.
    """

    def __init__(
        self,
        workers: Workers,
        cache: Cache,
        observer: Observer,
        patience_s: float,
        jobs: Sequence[Job],
        clock: Callable[[], float] = time.monotonic,
        passes: Sequence[SharedPass] = (),
        make_here: Callable[[Sequence[Job]], None] | None = None,
    ) -> None:
        self.schedule = Schedule(pieces_of(jobs, passes), passes)
        self._passes, self._make_here = passes, make_here
        self._workers, self._cache, self._observer = workers, cache, observer
        self._patience_s, self._clock = patience_s, clock
        self._costs = artifact_costs(jobs)
        self._states: dict[str, _WorkerState] = {}
        self._precisions: dict[str, Precision] = {}  # by device: the same on all that are alike
        self._n_failed_starts = 0
        self._parts_done: dict[str, float] = {}  # reported work on parts, by the pass's home
        self._say_at_s = math.inf  # that no worker has started
        self._arrived: list[Artifact] = []  # what is not kept yet
        self._keep_at_s, self._n_unkept_bytes = 0.0, 0
        self._board = Board(cache.path.parent)

    def run(self, keeper: Keeper) -> None:
        """Until everything is made or has failed; what has arrived is kept whatever happens."""
        self._keeper = keeper
        self._say_at_s = self._clock() + QUIET_START_S
        for shared in self._passes:
            self._observer.advance(shared.cost_done, is_new=False)
            self._parts_done[home_of(shared.jobs)] = shared.cost_done
        with self._board:
            try:
                while not self.schedule.is_done:
                    self._join_passes()
                    self._start()
                    self._say_if_none_starts()
                    self._hand_out()
                    self._listen()
                    self._end_hung()
                    self._board.show(self._doing())
            finally:
                self._keep()

    def _listen(self) -> None:
        """Read messages, and have what has arrived kept from time to time."""
        for name, message in self._workers.poll(self._wait_s()):
            self._handle(name, message)
            if self._n_unkept_bytes > MAX_UNKEPT_BYTES:
                self._begin_to_keep()
        if self._arrived and self._clock() >= self._keep_at_s and not self._keeper.is_busy():
            self._begin_to_keep()

    def _wait_s(self) -> float:
        """How long to wait for a message: until what has arrived is to be kept."""
        if self._keeper.is_busy():
            return BUSY_POLL_S
        return max(0.0, self._keep_at_s - self._clock()) if self._arrived else POLL_S

    def _join_passes(self) -> None:
        """Join the parts of the passes that workers have gone through."""
        for shared in self.schedule.complete_passes():
            assert self._make_here
            self._keep()
            self._make_here(with_joined(shared.jobs, self._cache, shared.n_images))
            self.schedule.pass_joined(shared)
            del self._parts_done[home_of(shared.jobs)]

    def _start(self) -> None:
        """Start workers where some are missing, unless they end before they are ready."""
        while (
            self._n_failed_starts < MAX_FAILED_STARTS
            and len(self._states) < self._workers.n_wanted()
        ):
            now_s = self._clock()
            self._states[self._workers.start()] = _WorkerState(now_s, now_s)

    def _say_if_none_starts(self) -> None:
        """Say once that no worker has been ready for long."""
        if self._clock() < self._say_at_s:
            return
        self._say_at_s = math.inf
        say_above(
            f"No worker is ready after {QUIET_START_S:.0f} s, and the build goes on waiting; "
            "ray status shows whether the cluster has room for one."
        )

    def _hand_out(self) -> None:
        for name in self.schedule.idle():
            portion = self.schedule.next_for(name, self._clock())
            state = self._states[name]
            if portion is None:
                state.doing = "waiting"
                continue
            state.since_s = state.last_message_s = self._clock()
            state.doing = portion_title(portion)
            if portion.is_part:
                self._costs |= artifact_costs(portion.jobs)
            if any(job.sources for job in portion.jobs):
                self._keep()
            self._workers.give(name, self._order(state, portion))

    def _order(self, state: _WorkerState, portion: Portion) -> Order:
        """What a worker is told, with what that is made from."""
        assert state.hello
        jobs = portion.jobs
        entries = self._cache.entries({key for job in jobs for key in job.sources})
        state.checkpoint = ""
        is_one_pass = all(job.kind.is_one_pass for job in jobs)
        if is_one_pass and not (portion.is_survey or portion.is_part):
            state.checkpoint = "".join(key for job in jobs for key in job.keys)
        checkpoint = self._cache.checkpoint(state.checkpoint) if state.checkpoint else None
        if portion.is_survey:  # some units of each are enough for it
            jobs = tuple(job.part(range(min(N_SURVEYED, len(job.units)))) for job in jobs)
        return Order(
            jobs,
            self._precisions[state.hello.device],
            portion_title(portion),
            portion.is_survey,
            entries,
            {key: self._cache.read(key) for key, entry in entries.items() if entry.n_bytes},
            checkpoint.load() if checkpoint else None,
            any(job.kind.needs_images for job in jobs),
        )

    def _handle(self, name: str, message: Message) -> None:
        state = self._states.get(name)
        if state is None:
            return
        state.last_message_s = self._clock()
        if isinstance(message, Hello):
            self._register(name, state, message)
        elif isinstance(message, Begun):
            self._observer.begin(message.kind, message.layer)
        elif isinstance(message, Advanced):
            state.unfinished += message.cost
            self._observer.advance(message.cost, is_new=message.is_new)
        elif isinstance(message, Made):
            self._receive(name, state, message.artifacts)
        elif isinstance(message, Saved):
            self._cache.checkpoint(state.checkpoint).save(message.data)
        elif isinstance(message, Surveyed):
            state.cuts = message.cuts
        elif isinstance(message, Finished):
            self._finish(name, state)
        elif isinstance(message, Broken):
            self._retry_elsewhere(name, state, message)
        else:
            self._forget(name, message.reason)

    def _register(self, name: str, state: _WorkerState, hello: Hello) -> None:
        state.hello, state.doing = hello, "waiting"
        self._precisions.setdefault(hello.device, hello.precision)
        self._n_failed_starts, self._say_at_s = 0, math.inf
        self.schedule.joined(name)

    def _receive(self, name: str, state: _WorkerState, artifacts: Sequence[Artifact]) -> None:
        keys = [artifact.key for artifact in artifacts]
        if not self._arrived:
            self._keep_at_s = self._clock() + KEEP_EVERY_S
        self._arrived += artifacts
        self._n_unkept_bytes += sum(len(artifact.data) for artifact in artifacts)
        cost = sum(self._costs[key] for key in keys)
        portion = self.schedule.portion_of(name)
        if portion and portion.is_part:
            self._parts_done[portion.home] = self._parts_done.get(portion.home, 0.0) + cost
        self.schedule.made(name, keys)
        state.n_made += len(keys)
        state.unfinished -= cost
        self._take_back_parts()

    def _take_back_parts(self) -> None:
        """Parts of passes that one worker makes now, from the beginning, do not count any more."""
        for home in [home for home in self._parts_done if not self.schedule.is_shared(home)]:
            self._observer.advance(-self._parts_done.pop(home))

    def _keep(self) -> None:
        """Keep all that has arrived."""
        if self._arrived:
            self._begin_to_keep()
        self._keeper.wait()

    def _begin_to_keep(self) -> None:
        """Begin to keep all that has arrived, in one transaction; what is begun is done before."""
        self._keeper.wait()
        arrived, self._arrived, self._n_unkept_bytes = self._arrived, [], 0
        self._keeper.begin(arrived)

    def _finish(self, name: str, state: _WorkerState) -> None:
        if state.cuts is None:
            self.schedule.finished(name, self._clock())
        else:
            self.schedule.surveyed(name, state.cuts)
        state.unfinished, state.cuts = 0.0, None
        if state.checkpoint:
            self._keep()
            self._cache.checkpoint(state.checkpoint).drop()

    def _retry_elsewhere(self, name: str, state: _WorkerState, broken: Broken) -> None:
        """What failed is tried elsewhere, unless it would fail everywhere."""
        if broken.error:
            raise broken.error
        self._take_back(state)
        self.schedule.failed(name, broken.reason)
        self._take_back_parts()
        self._refuse_many_failures()
        if not broken.is_sound:
            self._workers.end(name)
            self._forget(name, broken.reason)

    def _forget(self, name: str, reason: str) -> None:
        """A worker is gone; what it had is made elsewhere."""
        state = self._states.pop(name)
        if state.hello is None:
            self._n_failed_starts += 1
        self._refuse_without_workers(reason)
        if state.hello is None:
            self._say_if_no_more_start(reason)
            return
        if portion := self.schedule.portion_of(name):
            say_above(
                f"{name} on {state.hello.node} is lost ({reason}): {portion_title(portion)} "
                "is made again."
            )
        self._take_back(state)
        self.schedule.lost(name, reason)
        self._take_back_parts()
        self._refuse_many_failures()

    def _refuse_without_workers(self, reason: str) -> None:
        """End the build if no worker is left and no more are started."""
        if not self._states and self._n_failed_starts >= MAX_FAILED_STARTS:
            raise DeviceError(
                f"no worker can start: {reason}; every node needs this package in the same "
                "version, and the logs of Ray say more"
            )

    def _say_if_no_more_start(self, reason: str) -> None:
        """Say, at the start that failed last, that the build goes on with the workers it has."""
        is_any_ready = any(state.hello for state in self._states.values())
        if is_any_ready and self._n_failed_starts == MAX_FAILED_STARTS:
            say_above(
                f"No more workers are started, since {MAX_FAILED_STARTS} in a row have ended "
                f"before they were ready: {reason}"
            )

    def _take_back(self, state: _WorkerState) -> None:
        """Take back the steps that a worker has reported, which are lost."""
        if state.unfinished > 0:
            self._observer.advance(-state.unfinished)
        state.unfinished = 0.0

    def _refuse_many_failures(self) -> None:
        failures = self.schedule.failures
        if len(failures) > MAX_FAILURES:
            raise NetworkError(
                f"more than {MAX_FAILURES} artifacts cannot be made, such as {failures[-1]}; "
                "build without workers to see why"
            )

    def _end_hung(self) -> None:
        """End the workers that were given something and have been silent for too long."""
        now_s = self._clock()
        for name, state in list(self._states.items()):
            is_busy = state.hello and self.schedule.portion_of(name)
            patience_s = self._patience_s if state.hello else max(START_S, self._patience_s)
            if (is_busy or not state.hello) and now_s - state.last_message_s > patience_s:
                self._workers.end(name)
                self._forget(name, f"no message for {now_s - state.last_message_s:.0f} s")

    def _doing(self) -> list[Doing]:
        now_s = self._clock()
        return [
            Doing(
                name,
                state.hello.node if state.hello else "",
                state.hello.device if state.hello else "",
                state.doing,
                now_s - state.since_s if state.hello else now_s - state.started_s,
                state.n_made,
            )
            for name, state in self._states.items()
        ]


def portion_title(portion: Portion) -> str:
    """What is made, in words."""
    kinds = dict.fromkeys(job.kind.name for job in portion.jobs)
    if portion.is_survey:
        return f"sizes of batches for {portion.home}"
    if portion.is_part:
        specs: list[PartSpec] = [job.spec for job in portion.jobs]
        spans = ", ".join(f"{spec.first + 1:,} to {spec.end:,}" for spec in specs)
        return f"{portion.home}, images {spans}"
    n_units = sum(len(job.units) for job in portion.jobs)
    layers = dict.fromkeys(job.layer.name for job in portion.jobs)
    where = next(iter(layers)) if len(layers) == 1 else f"{len(layers)} layers"
    return f"{', '.join(kinds)} of {where}, {n_units:,} artifact{'s' if n_units > 1 else ''}"
