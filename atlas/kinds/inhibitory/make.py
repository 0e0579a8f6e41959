"""Inhibitory pictures, made by gradient ascent on the negated response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from atlas.kinds.inhibitory import InhibitoryRecord
from atlas.pictures.finished import Finished
from atlas.plan import Job
from atlas.renderer import Renderer


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[Finished]:
    """The pictures of all jobs, batch after batch."""
    for job in jobs:
        yield from renderer.ascents(job, job.spec, InhibitoryRecord)
