"""Who makes what: a pure function of what is to be made, of what workers say, and of the time.

A piece cannot be divided without other bytes: it is one batch for a device, a pass over several
layers, or a step of one over images that workers share. A worker is given some pieces of one layer
at once, for about half a minute. Shared passes come first, since others wait for them. Layers with
most work begin early, each on a worker of its own; a worker without work helps with the layer that
has most left. The less is left, the smaller are the portions, so that all workers end together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from atlas.cutting import Cut
from atlas.kinds.kind import WholeLayer
from atlas.pass_parts import PartSpec, SharedPass, joined_parts
from atlas.plan import Job
from atlas.units import Unit

PORTION_S = 30.0  # of work that a worker is given at once
LEAST_PORTION_S = 0.5  # much less, and workers wait for the driver
LEAST_TIMED_S = 5.0  # of a worker's work, before its own speed counts
SHARE = 0.5  # of what is left for a worker, if that is less
N_TRIES = 2  # workers on which a portion must fail before it is halved


@dataclass(frozen=True)
class Piece:
    """Jobs that are made together, on one worker."""

    jobs: tuple[Job, ...]
    cost: float  # in multiply-accumulates
    home: str  # pieces of one home are best made on one worker
    needs: frozenset[str] = frozenset()  # keys of artifacts that must be there before
    is_uncut: bool = False  # a worker has to say first how it is cut into batches

    @property
    def is_long(self) -> bool:
        """Whether it takes long for its number of artifacts: it has ascents, or is of a pass."""
        return self.is_part or any(job.steps for job in self.jobs)

    @property
    def is_part(self) -> bool:
        """Whether it is some images of a pass that workers share."""
        return isinstance(self.jobs[0].spec, PartSpec)

    @property
    def keys(self) -> Iterator[str]:
        """Of all its artifacts."""
        return (key for job in self.jobs for key in job.keys)

    def without(self, made: Collection[str]) -> Piece | None:
        """What is left of it when some is made; None if nothing is."""
        parts = (
            job.part([nth for nth, key in enumerate(job.keys) if key not in made])
            for job in self.jobs
        )
        return self._with(part for part in parts if part.units)

    def halves(self) -> list[Piece]:
        """Two pieces instead of it; itself if it is one artifact."""
        if len(self.jobs) > 1:
            middle = len(self.jobs) // 2
            groups = [self.jobs[:middle], self.jobs[middle:]]
            return [half for jobs in groups if (half := self._with(jobs))]
        (job,) = self.jobs
        middle = (len(job.units) + 1) // 2
        parts = [job.part(range(middle)), job.part(range(middle, len(job.units)))]
        return [half for part in parts if part.units and (half := self._with([part]))]

    def cut(self, cuts: Sequence[Cut | None]) -> list[Piece]:
        """Its batches."""
        pieces = []
        for job, cut in zip(self.jobs, cuts, strict=True):
            batches = job.batches(cut) if cut else [job]
            for each in batches:
                part = dataclasses.replace(each, cut=cut)
                cost = job.cost.each * len(part.units) + job.cost.once
                pieces.append(Piece((part,), cost, self.home))
        return pieces

    def _with(self, jobs: Iterable[Job]) -> Piece | None:
        """A piece of other jobs, whose cost is its share of the units."""
        jobs = tuple(jobs)
        n_units, n_before = (sum(len(job.units) for job in each) for each in (jobs, self.jobs))
        if not n_units:
            return None
        return dataclasses.replace(self, jobs=jobs, cost=self.cost * n_units / n_before)


@dataclass(frozen=True)
class Portion:
    """What a worker is given at once."""

    pieces: tuple[Piece, ...]
    failed_on: tuple[str, ...] = ()  # workers
    is_suspect: bool = False  # whether it is half of what failed on several workers

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All that is to be made, in order."""
        return tuple(job for piece in self.pieces for job in piece.jobs)

    @property
    def cost(self) -> float:
        """In multiply-accumulates."""
        return sum(piece.cost for piece in self.pieces)

    @property
    def home(self) -> str:
        """That of its pieces."""
        return self.pieces[0].home

    @property
    def is_part(self) -> bool:
        """Whether it is of a pass that workers share."""
        return any(piece.is_part for piece in self.pieces)

    @property
    def is_survey(self) -> bool:
        """Whether a worker only has to say how the pieces are cut."""
        return any(piece.is_uncut for piece in self.pieces)

    def without(self, made: Collection[str]) -> Portion | None:
        """What is left of it when some is made; None if nothing is."""
        left = tuple(part for piece in self.pieces if (part := piece.without(made)))
        return dataclasses.replace(self, pieces=left) if left else None

    def halves(self) -> list[Portion]:
        """Two portions instead of it; itself if it is one artifact."""
        if len(self.pieces) > 1:
            middle = len(self.pieces) // 2
            groups = [self.pieces[:middle], self.pieces[middle:]]
        else:
            groups = [(half,) for half in self.pieces[0].halves()]
        return [Portion(group, is_suspect=True) for group in groups]


@dataclass(frozen=True)
class Failure:
    """An artifact that could not be made."""

    unit: Unit
    kind: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} of {self.unit.id}: {self.reason}"


@dataclass
class _Worker:
    """What the schedule knows of a worker."""

    home: str = ""
    portion: Portion | None = None
    begun_s: float = 0.0
    made: set[str] = field(default_factory=set)  # keys of its portion
    cost: float = 0.0  # of all that it has done
    seconds: float = 0.0  # that this took

    @property
    def speed(self) -> float:
        """In multiply-accumulates per second; 0 until it was timed for long enough."""
        return self.cost / self.seconds if self.seconds > LEAST_TIMED_S else 0.0


class Schedule:
    """What is still to be made, and who makes what.

    Args:
        pieces: all that is to be made.
        passes: those that workers share; their parts are among the pieces.

    Attributes:
        failures: what could not be made.
    """

    def __init__(self, pieces: Iterable[Piece], passes: Iterable[SharedPass] = ()) -> None:
        self.failures: list[Failure] = []
        self._passes = {home_of(shared.jobs): shared for shared in passes}  # not joined, by home
        self._waiting: dict[str, list[Piece]] = {}  # by home
        self._again: list[Portion] = []  # what failed
        self._workers: dict[str, _Worker] = {}
        self._awaited: set[str] = set()  # keys that others need and that are not made
        self._add(pieces)
        all_pieces = [piece for of_home in self._waiting.values() for piece in of_home]
        needed = {key for piece in all_pieces for key in piece.needs}
        to_come = {key for piece in all_pieces for key in piece.keys}
        to_come.update(key for shared in self._passes.values() for key in shared.keys)
        self._awaited = needed & to_come

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be made."""
        given = (worker.portion for worker in self._workers.values())
        return not (self._waiting or self._again or self._passes or any(given))

    @property
    def left(self) -> float:
        """The work that nobody has been given, in multiply-accumulates."""
        waiting = sum(piece.cost for of_home in self._waiting.values() for piece in of_home)
        return waiting + sum(portion.cost for portion in self._again)

    def joined(self, worker: str) -> None:
        """A worker is ready."""
        self._workers[worker] = _Worker()

    def portion_of(self, worker: str) -> Portion | None:
        """What a worker was given and has not finished."""
        return self._workers[worker].portion

    def idle(self) -> list[str]:
        """The workers that have nothing to do."""
        return [name for name, worker in self._workers.items() if not worker.portion]

    def next_for(self, name: str, now_s: float) -> Portion | None:
        """Give an idle worker something to make; None if there is nothing for it now."""
        worker = self._workers[name]
        portion = self._failed_elsewhere(name) or self._portion(worker)
        if portion:
            worker.portion, worker.begun_s, worker.made = portion, now_s, set()
            worker.home = portion.home
        return portion

    def made(self, name: str, keys: Iterable[str]) -> None:
        """Some artifacts of a worker's portion are kept."""
        keys = list(keys)
        self._workers[name].made.update(keys)
        self._awaited.difference_update(keys)

    def complete_passes(self) -> list[SharedPass]:
        """The shared passes of which all parts are made, and that are not joined."""
        if not self._passes:
            return []
        portions = [worker.portion for worker in self._workers.values() if worker.portion]
        left = {*self._waiting, *(portion.home for portion in (*self._again, *portions))}
        return [shared for home, shared in self._passes.items() if home not in left]

    def is_shared(self, home: str) -> bool:
        """Whether a home is that of a pass that workers share and that is not joined."""
        return home in self._passes

    def pass_joined(self, shared: SharedPass) -> None:
        """The artifacts of a shared pass are kept."""
        del self._passes[home_of(shared.jobs)]
        self._awaited.difference_update(shared.keys)

    def surveyed(self, name: str, cuts: Sequence[Cut | None]) -> None:
        """A worker has said how its pieces are cut."""
        worker = self._workers[name]
        assert worker.portion
        begin = 0
        for piece in worker.portion.pieces:
            end = begin + len(piece.jobs)
            self._add(piece.cut(cuts[begin:end]))
            begin = end
        worker.portion = None

    def finished(self, name: str, now_s: float) -> None:
        """A worker has made its portion."""
        worker = self._workers[name]
        if not worker.portion:
            return
        worker.cost += worker.portion.cost
        worker.seconds += now_s - worker.begun_s
        left = worker.portion.without(worker.made)
        worker.portion = None
        if left:  # a kind made less than it was asked for
            self._put_back(left, name, "it was not made")

    def failed(self, name: str, reason: str) -> None:
        """A worker could not make the rest of its portion."""
        worker = self._workers[name]
        if worker.portion and (left := worker.portion.without(worker.made)):
            self._put_back(left, name, reason)
        worker.portion = None

    def lost(self, name: str, reason: str) -> None:
        """A worker is gone; what it had is made elsewhere."""
        self.failed(name, reason)
        del self._workers[name]

    def _add(self, pieces: Iterable[Piece]) -> None:
        """What is not cut yet comes first, then what needs no ascents, then the longest pieces."""
        pieces = list(pieces)
        for piece in pieces:
            self._waiting.setdefault(piece.home, []).append(piece)
        for home in dict.fromkeys(piece.home for piece in pieces):
            of_home = self._waiting[home]
            if not of_home[0].is_part:  # these are in the order of the images
                of_home.sort(key=lambda piece: (not piece.is_uncut, piece.is_long, -piece.cost))

    def _put_back(self, portion: Portion, name: str, reason: str) -> None:
        """Have it made elsewhere; once two workers have failed, find the artifact that fails."""
        if portion.is_part and portion.home not in self._passes:
            return  # the pass is made by one worker now
        portion = dataclasses.replace(portion, failed_on=(*portion.failed_on, name))
        halves = portion.halves()
        has_tried = len(portion.failed_on) >= N_TRIES
        if has_tried and portion.is_part:
            self._unshare(portion.home)
        elif len(halves) > 1 and (portion.is_suspect or has_tried) and not portion.is_survey:
            self._again += halves
        elif not has_tried:
            self._again.append(portion)
        elif portion.is_survey:  # it is made without being cut
            self._add(dataclasses.replace(each, is_uncut=False) for each in portion.pieces)
        else:
            self._give_up(portion, reason)

    def _unshare(self, home: str) -> None:
        """Have one worker make a pass of which a part fails, so that the layer is found."""
        shared = self._passes.pop(home)
        self._waiting.pop(home, None)
        self._again = [portion for portion in self._again if portion.home != home]
        self._add([piece_of_pass(shared.jobs)])

    def _give_up(self, portion: Portion, reason: str) -> None:
        """Nobody can make it, nor what is made from it."""
        (job,) = portion.jobs
        self.failures += [Failure(unit, job.kind.name, key, reason) for unit, key in job.keyed]
        gone = set(job.keys)
        self._awaited -= gone
        for home, of_home in list(self._waiting.items()):
            for piece in [piece for piece in of_home if piece.needs & gone]:
                self._take(home, [piece])
                for each in piece.jobs:
                    why = f"{job.kind.name} of {job.layer.name} could not be made"
                    self._give_up(Portion((dataclasses.replace(piece, jobs=(each,)),)), why)

    def _failed_elsewhere(self, name: str) -> Portion | None:
        """Something that failed on other workers; or on this one, if there are no others."""
        for portion in self._again:
            others = self._workers.keys() - set(portion.failed_on)
            if name not in portion.failed_on or not others:
                self._again.remove(portion)
                return portion
        return None

    def _portion(self, worker: _Worker) -> Portion | None:
        """The next pieces of the worker's layer, or else of the layer where most is left.

        A piece that is longer than a portion comes first, wherever it is: begun last, it would end
        long after all others.
        """
        wanted, longest = self._wanted(worker), self._home_of_longest()
        home = worker.home if self._ready(worker.home) else self._neediest_home()
        if longest and self._longest(longest) > wanted:
            home = longest
        home = next((each for each in self._passes if self._ready(each)), home)
        ready = self._ready(home)
        if not ready:
            return None
        if ready[0].is_uncut:
            chosen = [piece for piece in ready if piece.is_uncut]
        else:
            chosen = _first(ready, wanted)
        self._take(home, chosen)
        return Portion(tuple(_joined(chosen)))

    def _home_of_longest(self) -> str:
        """The home of the longest piece; empty if nothing is ready."""
        longest = {home: self._longest(home) for home in self._waiting}
        return max(longest, key=lambda home: longest[home], default="")

    def _longest(self, home: str) -> float:
        return max((piece.cost for piece in self._ready(home)), default=0.0)

    def _neediest_home(self) -> str:
        """The home with most left for each worker that would share it."""
        homes = [worker.home for worker in self._workers.values() if worker.portion]

        def share(home: str) -> float:
            return sum(piece.cost for piece in self._ready(home)) / (1 + homes.count(home))

        return max(self._waiting, key=share, default="")

    def _ready(self, home: str) -> list[Piece]:
        return [piece for piece in self._waiting.get(home, ()) if not piece.needs & self._awaited]

    def _take(self, home: str, pieces: Sequence[Piece]) -> None:
        taken = set(map(id, pieces))
        left = [piece for piece in self._waiting[home] if id(piece) not in taken]
        self._waiting[home] = left
        if not left:
            del self._waiting[home]

    def _wanted(self, worker: _Worker) -> float:
        """How much a worker is given at once, in multiply-accumulates; 0 until one was timed."""
        workers = self._workers.values()
        seconds = sum(each.seconds for each in workers)
        if not seconds:
            return 0.0
        usual = sum(each.cost for each in workers) / seconds
        left_s = self.left / sum(each.speed or usual for each in workers)
        wanted_s = max(LEAST_PORTION_S, min(PORTION_S, SHARE * left_s))
        return wanted_s * (worker.speed or usual)


def _first(pieces: Sequence[Piece], cost: float) -> list[Piece]:
    """What does not take long, the first other piece, and as many more as stay within a cost."""
    chosen = [piece for piece in pieces if not piece.is_long]
    others = [piece for piece in pieces if piece.is_long]
    total = sum(piece.cost for piece in others[:1])
    chosen += others[:1]
    for piece in others[1:]:
        total += piece.cost
        if total > cost:
            break
        chosen.append(piece)
    return chosen


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces, of which those that are parts of a pass and follow each other are one."""
    joined: list[Piece] = []
    for piece in pieces:
        before = joined[-1] if joined and joined[-1].is_part and piece.is_part else None
        if before and (job := joined_parts(before.jobs[0], piece.jobs[0])):
            cost = before.cost + piece.cost
            joined[-1] = dataclasses.replace(before, jobs=(job,), cost=cost)
        else:
            joined.append(piece)
    return joined


def home_of(jobs: Sequence[Job]) -> str:
    """The home of a pass over all layers."""
    return f"{jobs[0].kind.name} of all layers"


def piece_of_pass(jobs: Sequence[Job]) -> Piece:
    """A pass over all layers, for one worker."""
    cost = max(job.cost.once for job in jobs) + sum(job.cost.each for job in jobs)
    needs = frozenset(key for job in jobs for key in job.sources)
    return Piece(tuple(jobs), cost, home_of(jobs), needs)


def pieces_of(jobs: Sequence[Job], passes: Sequence[SharedPass] = ()) -> list[Piece]:
    """Jobs as the pieces that a schedule begins with.

    Jobs with steps of ascent are cut by workers. What is made at once for all units of each layer
    is one piece for all layers, since most of its work may be shared by them; passes over images
    that are given in `passes` are cut into steps.
    """
    pieces: list[Piece] = []
    together: dict[str, list[Job]] = {}
    shared_keys = {key for shared in passes for key in shared.keys}
    for job in jobs:
        if shared_keys.issuperset(job.keys):
            continue
        is_shared = isinstance(job.kind.scope, WholeLayer) and not job.steps
        if job.kind.is_one_pass or is_shared:
            together.setdefault(job.kind.name, []).append(job)
            continue
        cost = job.cost.each * len(job.units) + job.cost.once
        needs, is_uncut = frozenset(job.sources), bool(job.steps)
        pieces.append(Piece((job,), cost, job.layer.name, needs, is_uncut))
    pieces += map(piece_of_pass, together.values())
    for shared in passes:
        home = home_of(shared.jobs)
        pieces += (Piece((step,), step.cost.each, home) for step in shared.steps())
    return pieces
