"""Pictures of single receptive fields, made by gradient ascent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from atlas.kinds.field import FieldRecord
from atlas.pictures.finished import Finished, centre_response
from atlas.plan import Job
from atlas.renderer import Renderer


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[Finished]:
    """The pictures of all jobs, batch after batch."""
    for job in jobs:
        yield from renderer.ascents(job, job.spec, FieldRecord, measure=centre_response)
