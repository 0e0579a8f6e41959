"""The photographs that any unit is shown with, encoded as the site shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from atlas.kinds.natural import NaturalRecord
from atlas.kinds.natural.album import load
from atlas.kinds.photographs import PhotographsRecord, PhotographsSpec
from atlas.pictures.encode import encode
from atlas.pictures.panel import Panel
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """All photographs of the network, as one batch.

    Raises:
        CacheError: a photograph is no image any more.
        ImagesError: a photograph cannot be read now.
    """
    assert renderer.images, "such jobs are planned only where there are photographs"
    preprocessing = renderer.network.facts.preprocessing
    for job in jobs:
        files = sorted(_files(renderer, job))
        progress = renderer.one_pass([job], max(1, len(files)), "photographs")
        made = []
        for file in files:
            photograph = load(renderer.images, file, preprocessing)
            made.append(encoded(photograph, job.spec))
            progress(1)
        record = PhotographsRecord(files, [len(each) for each in made])
        yield [Panel(job.layer.whole, record, b"".join(made))]


def _files(renderer: Renderer, job: Job) -> set[str]:
    """The photographs that any layer names."""
    score = job.layer.score_name
    records = (
        entry.record(NaturalRecord, score) for entry in renderer.entries(job.sources).values()
    )
    return {file for record in records for file in record.files}


def encoded(photograph: Pixels, spec: PhotographsSpec) -> bytes:
    """A photograph as lossy WebP, reduced if it is larger than on the site."""
    if len(photograph) > spec.side_px:
        size_px = spec.side_px, spec.side_px
        reduced = cv2.resize(photograph, size_px, interpolation=cv2.INTER_AREA)
        photograph = np.asarray(reduced, np.uint8)
    return encode(photograph, spec.quality)
