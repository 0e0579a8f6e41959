"""The part of an atlas that one of several independent processes makes.

Everything that is made from the network or from photographs is cut into as many stretches of equal
work as there are shards, in the usual order and at the borders of batches; of a pass over
photographs that is made in parts, each shard shows as many. What is made from other artifacts is
left for when they are together. All of it follows from what was asked, never from a cache.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from atlas.batch_sizes import cpu_cut
from atlas.errors import SpecError
from atlas.pass_parts import IMAGES, part_job
from atlas.plan import Job, artifact_costs
from atlas.recipes import Fourier, Progressive
from atlas.units import NetworkFacts

MAX_SHARDS = 1000


@dataclass(frozen=True)
class Shard:
    """The `number`th of `of` shards, from 1."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """`2/3` as a shard.

        Raises:
            SpecError: it is none.
        """
        number, _, of = (part.strip() for part in text.partition("/"))
        if all(part.isdecimal() and len(part) < 5 for part in (number, of)):
            shard = cls(int(number), int(of))
            if 1 <= shard.number <= shard.of <= MAX_SHARDS:
                return shard
        raise SpecError(
            f"cannot read --shard {text[:40]!r}; write it like 2/3, the second of three, with at "
            f"most {MAX_SHARDS:,}"
        )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class _Piece:
    """Jobs that are not divided, and the work for them."""

    jobs: tuple[Job, ...]
    cost: float  # in multiply-accumulates


def jobs_of_shard(
    jobs: Sequence[Job], shard: Shard, facts: NetworkFacts, n_images: int
) -> tuple[Job, ...]:
    """The jobs of one shard; those of all shards are all jobs but those with sources, each once.

    Args:
        jobs: all that was asked for, done or not.
        shard: which part.
        facts: facts of the network.
        n_images: photographs.
    """
    own = [job for job in jobs if not job.sources]
    in_parts = [job for job in own if job.kind.make_part]
    whole = [job for job in own if not job.kind.make_part]
    pieces = list(_pieces(whole, facts))
    stretch = tuple(job for piece in _stretch(pieces, shard) for job in piece.jobs)
    return (*_parts(in_parts, shard, n_images), *_together(stretch))


def spans_of(n_files: int, n_spans: int, multiple: int) -> list[range]:
    """Ranges of about equal length that are `n_files` positions together; some may be empty.

    Args:
        n_files: images of the set.
        n_spans: number of ranges.
        multiple: they begin at multiples of this, so that batches are those of one single pass.
    """
    n_steps = -(-n_files // multiple)
    bounds = [min(n_files, nth * n_steps // n_spans * multiple) for nth in range(n_spans + 1)]
    return [range(first, end) for first, end in itertools.pairwise(bounds)]


def _parts(jobs: Sequence[Job], shard: Shard, n_images: int) -> Iterator[Job]:
    """The shard's part of each pass over photographs."""
    span = spans_of(n_images, shard.of, IMAGES)[shard.number - 1]
    for _, of_kind in groupby(jobs, lambda job: job.kind.name):
        if span:
            yield part_job(list(of_kind), span, n_images)


def _pieces(jobs: Sequence[Job], facts: NetworkFacts) -> Iterator[_Piece]:
    """What is not divided: a batch of an ascent, another job, or the jobs of one pass."""
    for is_one_pass, group in groupby(jobs, lambda job: job.kind.is_one_pass and job.kind.name):
        of_group = tuple(group)
        if is_one_pass:
            yield _Piece(of_group, sum(artifact_costs(of_group).values()))
            continue
        for part in (part for job in of_group for part in _batches(job, facts)):
            yield _Piece((part,), part.cost.each * len(part.units) + part.cost.once)


def _batches(job: Job, facts: NetworkFacts) -> list[Job]:
    """The batches of a job whose spec is a recipe of ascents, one image each; else the job."""
    if not isinstance(job.spec, Fourier | Progressive):
        return [job]
    return job.batches(cpu_cut(job.layer, facts, job.spec.canvas_px, job.cost.each))


def _stretch(pieces: Sequence[_Piece], shard: Shard) -> Iterator[_Piece]:
    """The pieces whose middle is in the shard's part of all work; all count alike if none costs."""
    costs = [piece.cost for piece in pieces]
    if not any(costs):
        costs = [1.0] * len(pieces)
    total, before = sum(costs), 0.0
    for piece, cost in zip(pieces, costs, strict=True):
        if min(shard.of - 1, int((before + cost / 2) / total * shard.of)) == shard.number - 1:
            yield piece
        before += cost


def _together(jobs: Iterable[Job]) -> Iterator[Job]:
    """Batches of one job as one job again."""
    for _, batches in groupby(jobs, lambda job: (job.kind.name, job.layer.index)):
        parts = list(batches)
        yield dataclasses.replace(
            parts[0],
            units=tuple(unit for part in parts for unit in part.units),
            keys=tuple(key for part in parts for key in part.keys),
            slot=tuple(slot for part in parts for slot in part.slot),
            places=tuple(place for part in parts for place in part.positions),
        )
