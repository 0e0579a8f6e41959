"""Passes over images that are made in parts, each of which is an artifact until they are joined."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from atlas.addressing import digest_of_keys
from atlas.cache import Cache
from atlas.costs import Cost
from atlas.lazily import load
from atlas.plan import Job, artifact_costs
from atlas.records import value

SUFFIX = " part"  # of the names of kinds whose artifacts are parts of a pass


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
        return tuple(key for job in self.jobs for key in job.keys)

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
        sources=None,
    )
    cost = sum(artifact_costs(jobs).values()) * len(span) / max(1, n_images)
    layer = jobs[0].layer
    return Job(layer, kind, spec, (layer.whole,), (spec.key,), cost=Cost(each=cost))


def make(renderer: Any, jobs: Sequence[Job]) -> Iterator[list[Any]]:
    """What each part gave."""
    from atlas.pictures.panel import Panel

    for job in jobs:
        spec: PartSpec = job.spec
        make_part = load(spec.jobs[0].kind.make_part)
        data = make_part(renderer, spec.jobs, range(spec.first, spec.end), job)
        yield [Panel(job.units[0], PartRecord(list(spec.keys), spec.first, spec.end), data)]


def with_joined(jobs: Iterable[Job], cache: Cache, n_images: int) -> tuple[Job, ...]:
    """The jobs, where those of a pass whose parts are all in the cache only join these.

    Args:
        jobs: what is missing.
        cache: may have parts.
        n_images: images of the whole pass.
    """
    return tuple(
        _joining(job, _parts_of(job, cache, n_images)) if job.kind.join_parts else job
        for job in jobs
    )


def join(renderer: Any, jobs: Sequence[Job]) -> Iterator[Any]:
    """The artifacts of jobs from the parts of their pass."""
    parts = (renderer.read(key) for key in jobs[0].sources)
    yield from load(jobs[0].kind.join_parts)(renderer, jobs, parts)


def _joining(job: Job, parts: tuple[str, ...]) -> Job:
    if not parts:
        return job
    kind = dataclasses.replace(job.kind, make="atlas.pass_parts:join")
    return dataclasses.replace(job, kind=kind, sources=parts)


def _parts_of(job: Job, cache: Cache, n_images: int) -> tuple[str, ...]:
    """The addresses of the parts that make a job, from the first image to the last; or none."""
    passes: dict[tuple[str, ...], list[tuple[PartRecord, str]]] = {}
    for entry in cache.of_kind(job.kind.name + SUFFIX):
        part = entry.record(PartRecord, "z")
        passes.setdefault(tuple(part.keys), []).append((part, entry.key))
    of_job = (parts for keys, parts in passes.items() if set(keys) >= set(job.keys))
    return next(filter(None, (_complete(parts, n_images) for parts in of_job)), ())


def _complete(parts: Iterable[tuple[PartRecord, str]], n_images: int) -> tuple[str, ...]:
    """The addresses of parts that follow each other from the first image to the last, or none."""
    keys, at = [], 0
    for part, key in sorted(parts, key=lambda each: (each[0].first, -each[0].end)):
        if part.first == at < part.end:
            keys.append(key)
            at = part.end
    return tuple(keys) if at == n_images and n_images else ()
