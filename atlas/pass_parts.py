"""Passes over images that are made in parts, each of which is an artifact until they are joined."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from atlas.addressing import digest_of_keys
from atlas.cache import Artifact, Cache, Entry
from atlas.console import say_above
from atlas.costs import Cost
from atlas.lazily import load
from atlas.plan import Job, artifact_costs
from atlas.records import to_json, value
from atlas.text import displayable

SUFFIX = " part"  # of the names of kinds whose artifacts are parts of a pass
IMAGES = 64  # parts begin at multiples of this, so that batches are those of one single pass
MAX_STEPS = 128  # in which workers share a pass; each part has the answers of all units


@dataclass(frozen=True)
class PartSpec:
    """Some of the images of a pass that several jobs share."""

    name: ClassVar[str] = "part"
    version: ClassVar[int] = 1

    jobs: tuple[Job, ...]
    first: int  # position of the first image
    end: int  # and the one after the last

    @property
    def keys(self) -> tuple[str, ...]:
        """The addresses of the artifacts that the whole pass makes."""
        return _keys_of(self.jobs)

    @property
    def record(self) -> PartRecord:
        """Which part it is."""
        return PartRecord(list(self.keys), self.first, self.end)

    @property
    def key(self) -> str:
        """The address of the part."""
        text = f"{self.name} {self.version} {digest_of_keys(self.keys)} {self.first} {self.end}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class PartRecord:
    """Which part of which pass it is."""

    keys: Sequence[str] = value("addresses of the artifacts that the whole pass makes")
    first: int = value("position of the first image")
    end: int = value("position of the image after the last")


def part_job(jobs: Sequence[Job], span: range, n_images: int) -> Job:
    """A job for some of the images of the pass that some jobs of one kind share."""
    spec = PartSpec(tuple(jobs), span.start, span.stop)
    kind = dataclasses.replace(
        jobs[0].kind,
        name=jobs[0].kind.name + SUFFIX,
        record=PartRecord,
        make="atlas.pass_parts:make",
        join_parts="",
        sources=None,
    )
    cost = cost_of_pass(jobs) * len(span) / max(1, n_images)
    layer = jobs[0].layer
    return Job(layer, kind, spec, (layer.whole,), (spec.key,), cost=Cost(each=cost))


def cost_of_pass(jobs: Sequence[Job]) -> float:
    """The work of the pass that some jobs of one kind share, in multiply-accumulates."""
    return sum(artifact_costs(jobs).values())


def joined_parts(one: Job, other: Job) -> Job | None:
    """The part of a pass that two parts are; None unless the other follows the one."""
    first, second = one.spec, other.spec
    if first.jobs != second.jobs or first.end != second.first:
        return None
    spec = dataclasses.replace(first, end=second.end)
    cost = Cost(each=one.cost.each + other.cost.each)
    return dataclasses.replace(one, spec=spec, keys=(spec.key,), cost=cost)


def make(renderer: Any, jobs: Sequence[Job]) -> Iterator[list[Any]]:
    """What each part gave."""
    from atlas.pictures.panel import Panel

    for job in jobs:
        spec: PartSpec = job.spec
        make_part = load(spec.jobs[0].kind.make_part)
        data = make_part(renderer, spec.jobs, range(spec.first, spec.end), job)
        yield [Panel(job.units[0], spec.record, data)]


@dataclass(frozen=True)
class SharedPass:
    """A pass over images that several jobs share, and what of it is done in parts."""

    jobs: tuple[Job, ...]  # of one kind
    n_images: int
    parts: tuple[tuple[range, str], ...] = ()  # positions of images, ascending, and addresses

    @property
    def keys(self) -> tuple[str, ...]:
        """The addresses of the artifacts that the pass makes."""
        return _keys_of(self.jobs)

    @property
    def gaps(self) -> tuple[range, ...]:
        """Positions of the images that no part is of."""
        ends = [0, *(span.stop for span, _ in self.parts)]
        starts = [*(span.start for span, _ in self.parts), self.n_images]
        return tuple(
            range(end, start) for end, start in zip(ends, starts, strict=True) if end < start
        )

    @property
    def cost_done(self) -> float:
        """The work of the parts that are done, in multiply-accumulates."""
        n_done = sum(len(span) for span, _ in self.parts)
        return cost_of_pass(self.jobs) * n_done / max(1, self.n_images)

    def part(self, span: range) -> Job:
        """The job for some of the images."""
        return part_job(self.jobs, span, self.n_images)

    def steps(self) -> Iterator[Job]:
        """The smallest parts that workers may be given, for all images that no part is of."""
        step = IMAGES * max(1, -(-self.n_images // (IMAGES * MAX_STEPS)))
        for gap in self.gaps:
            bounds = [gap.start, *range((gap.start // step + 1) * step, gap.stop, step), gap.stop]
            yield from (self.part(range(*each)) for each in itertools.pairwise(bounds))

    def joining(self) -> tuple[Job, ...]:
        """The jobs as those that join parts, which include parts for what no part is of."""
        keys = [(gap.start, self.part(gap).keys[0]) for gap in self.gaps]
        keys += [(span.start, key) for span, key in self.parts]
        return tuple(_joining(job, tuple(key for _, key in sorted(keys))) for job in self.jobs)


def passes_of(jobs: Iterable[Job], cache: Cache, n_images: int) -> list[SharedPass]:
    """The passes in parts that jobs are of, with the parts that are in a cache.

    Args:
        jobs: what is missing.
        cache: may have parts.
        n_images: images of each whole pass.
    """
    passes = []
    of_pass = [job for job in jobs if job.kind.join_parts and n_images]
    for _, same in groupby(of_pass, lambda job: job.kind.name):
        rest = list(same)
        every = _parts_by_pass(rest[0], cache)
        for keys, parts in every.items():
            chain = _chain(parts, n_images)
            shared = SharedPass(_within(rest, keys), n_images, chain)
            if shared.jobs and not shared.gaps:
                passes.append(shared)
                rest = [job for job in rest if job not in shared.jobs]
        if rest:
            chain = _chain(every.get(_keys_of(rest), ()), n_images)
            passes.append(SharedPass(tuple(rest), n_images, chain))
    return passes


def with_joined(jobs: Iterable[Job], cache: Cache, n_images: int) -> tuple[Job, ...]:
    """The jobs, where those of a pass that was begun in parts join all of its parts.

    Parts that are missing are made before that.

    Args:
        jobs: what is missing.
        cache: may have parts.
        n_images: images of the whole pass.
    """
    jobs = tuple(jobs)
    passes = [shared for shared in passes_of(jobs, cache, n_images) if shared.parts]
    first = {shared.jobs[0].keys: shared for shared in passes}
    joining = {job.keys: job for shared in passes for job in shared.joining()}
    found: list[Job] = []
    for job in jobs:
        if shared := first.get(job.keys):
            found += map(shared.part, shared.gaps)
        found.append(joining.get(job.keys, job))
    return tuple(found)


def keep_interrupted(shared: SharedPass, cache: Cache) -> SharedPass:
    """Turn what one process had done of a pass, or of a part of it, into a part."""
    found = [each for gap in shared.gaps if (each := _kept(shared, gap, cache))]
    if not found:
        return shared
    parts = sorted((*shared.parts, *found), key=lambda part: part[0].start)
    return dataclasses.replace(shared, parts=tuple(parts))


def drop_joined(cache: Cache) -> None:
    """Delete the parts of passes of which everything is there."""
    there = cache.entries(cache.keys())
    if done := [key for key, entry in there.items() if is_joined(entry, there.keys())]:
        cache.remove(done)


def is_joined(entry: Entry, there: Set[str]) -> bool:
    """Whether it is a part of a pass whose artifacts are all there."""
    is_part = entry.kind.endswith(SUFFIX)
    return is_part and there >= set(entry.record(PartRecord, "z").keys)


def join(renderer: Any, jobs: Sequence[Job]) -> Iterator[Any]:
    """The artifacts of jobs from the parts of their pass."""
    parts = (renderer.read(key) for key in jobs[0].sources)
    yield from load(jobs[0].kind.join_parts)(renderer, jobs, parts)


def _joining(job: Job, parts: tuple[str, ...]) -> Job:
    kind = dataclasses.replace(job.kind, make="atlas.pass_parts:join")
    return dataclasses.replace(job, kind=kind, sources=parts)


Parts = Iterable[tuple[PartRecord, str]]  # with their addresses


def _parts_by_pass(job: Job, cache: Cache) -> dict[tuple[str, ...], list[tuple[PartRecord, str]]]:
    """The parts of passes of a job's kind, by the addresses of what the whole pass makes."""
    passes: dict[tuple[str, ...], list[tuple[PartRecord, str]]] = {}
    for entry in cache.of_kind(job.kind.name + SUFFIX):
        part = entry.record(PartRecord, "z")
        passes.setdefault(tuple(part.keys), []).append((part, entry.key))
    return passes


def _keys_of(jobs: Iterable[Job]) -> tuple[str, ...]:
    return tuple(key for job in jobs for key in job.keys)


def _within(jobs: Iterable[Job], keys: Iterable[str]) -> tuple[Job, ...]:
    """The jobs that make nothing but artifacts with these addresses."""
    every = set(keys)
    return tuple(job for job in jobs if every.issuperset(job.keys))


def _chain(parts: Parts, n_images: int) -> tuple[tuple[range, str], ...]:
    """Parts that have no image in common, in order; of those that begin alike, the longest."""
    chain: list[tuple[range, str]] = []
    for part, key in sorted(parts, key=lambda each: (each[0].first, -each[0].end)):
        at = chain[-1][0].stop if chain else 0
        if at <= part.first < part.end <= n_images:
            chain.append((range(part.first, part.end), key))
    return tuple(chain)


def _kept(shared: SharedPass, gap: range, cache: Cache) -> tuple[range, str] | None:
    """What is saved of an interrupted pass over some images, as a part in the cache."""
    whole = shared.part(gap)
    keys = shared.keys if len(gap) == shared.n_images else whole.keys
    checkpoint = cache.checkpoint("".join(keys))
    data = checkpoint.load()
    if not data:
        return None
    try:
        span = load(shared.jobs[0].kind.span_of_part)(data)
        if span.start != gap.start or not gap.start < span.stop <= gap.stop:
            raise ValueError("it is of other images")
    except Exception as error:  # damage shows in any way
        say_above(
            f"Damaged in {cache.path}: an interrupted pass ({displayable(str(error), 80)}); it "
            "begins anew."
        )
        checkpoint.drop()
        return None
    part = shared.part(span)
    cache.put([_artifact(part, data)])
    checkpoint.drop()
    return span, part.keys[0]


def _artifact(part: Job, data: bytes) -> Artifact:
    """A part as it is kept."""
    spec: PartSpec = part.spec
    numbers = to_json(spec.record, part.layer.score_name)
    return Artifact(part.keys[0], part.units[0].id, part.kind.name, 0, 0, numbers, 0.0, data)
