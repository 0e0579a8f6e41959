"""Responses of units to photographs, from one pass over a folder that reads all layers at once.

What is kept of each unit does not grow with the folder: its strongest photographs, counts, a sum
per class, and its responses to a sample of the photographs that is the same for all units. A pass
may be over a part of the folder; what the parts gave merges to what one pass gives
(`atlas.kinds.natural.tally`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from atlas.cache import Checkpoint
from atlas.decoding import Skipped
from atlas.errors import AtlasError, CacheError
from atlas.images import ImageSet
from atlas.interrupts import uninterrupted
from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural.answers import Change, LayerAnswers
from atlas.kinds.natural.panels import panels_of
from atlas.kinds.natural.roll import roll_of
from atlas.kinds.natural.tally import Tally, merged
from atlas.network.taps import Watch
from atlas.pictures.panel import Panel
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.text import displayable

CPU_BATCH, GPU_BATCH = 8, 64  # images per batch; all maps of all layers are in memory at once
SAVE_EVERY_S = 60.0  # time between checkpoints


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The responses of all jobs' layers to the photographs, from one pass over them."""
    images = renderer.images
    assert images, "such jobs are planned only where there are photographs"
    checkpoint = renderer.checkpoint(jobs)
    progress = renderer.one_pass(jobs, len(images.files), "photographs")
    watch = renderer.network.watch([job.layer for job in jobs], renderer.precision)
    yield natural_panels(watch, images, jobs[0].spec, checkpoint, progress)


def make_part(renderer: Renderer, jobs: Sequence[Job], span: range, part: Job) -> bytes:
    """What all jobs' layers answer to some of the photographs, for `join_parts`.

    Args:
        renderer: gives the network and the photographs.
        jobs: the jobs, one for each layer.
        span: positions of the photographs.
        part: the job that this is for.
    """
    images = renderer.images
    assert images, "such jobs are planned only where there are photographs"
    checkpoint = renderer.checkpoint([part])
    progress = renderer.one_pass([part], len(span), "photographs")
    watch = renderer.network.watch([job.layer for job in jobs], renderer.precision)
    return tally_of(watch, images, jobs[0].spec, span, checkpoint, progress).to_bytes()


def join_parts(
    renderer: Renderer, jobs: Sequence[Job], parts: Iterable[bytes]
) -> Iterator[list[Panel]]:
    """The responses of all jobs' layers to the photographs, from what all parts gave.

    Raises:
        CacheError: the parts are not of these layers and photographs.
    """
    images = renderer.images
    assert images, "such jobs are planned only where there are photographs"
    try:
        tally = merged(map(Tally.from_bytes, parts))
        yield panels_of(tally, [job.layer for job in jobs], images, jobs[0].spec)
    except AtlasError:
        raise
    except Exception as error:  # parts of a forged cache can be anything
        raise CacheError(
            f"the parts of the pass over the photographs do not fit together "
            f"({displayable(str(error), 80)}); remove the cache they are in, and build again"
        ) from error


def natural_panels(
    watch: Watch,
    photographs: ImageSet,
    spec: NaturalSpec,
    checkpoint: Checkpoint | None = None,
    progress: Callable[..., object] = lambda n_images, is_new=True: None,
) -> list[Panel]:
    """The responses of every unit of the watched layers to a folder of photographs.

    Args:
        watch: reads the layers.
        photographs: images to show the network; unreadable ones are counted, and some named.
        spec: how many photographs and responses to keep.
        checkpoint: stores the state of an interrupted pass.
        progress: called with the number of files in each batch that is done, and with
            `is_new=False` for those of an earlier run.

    Returns:
        A panel for each layer.

    Raises:
        NetworkError: a response is not finite.
        ImagesError: a photograph cannot be read now, or none of them is an image.
    """
    every = range(len(photographs.files))
    tally = tally_of(watch, photographs, spec, every, checkpoint, progress)
    return panels_of(tally, [reader.layer for reader in watch.readers], photographs, spec)


def tally_of(
    watch: Watch,
    photographs: ImageSet,
    spec: NaturalSpec,
    span: range,
    checkpoint: Checkpoint | None = None,
    progress: Callable[..., object] = lambda n_images, is_new=True: None,
) -> Tally:
    """What the watched layers answer to some of the photographs, as `natural_panels`.

    Where the positions `span` begin at a multiple of the batch, which those of `GPU_BATCH` are,
    batches are those of a pass over all photographs, and so are the last digits of the answers.
    """
    part = Pass(watch, photographs, spec, span)
    part.run(checkpoint, progress)
    return part.tally()


class Pass:
    """One pass over some of the photographs, which can be interrupted and resumed."""

    def __init__(
        self, watch: Watch, photographs: ImageSet, spec: NaturalSpec, span: range | None = None
    ) -> None:
        self.roll = roll_of(photographs, spec)
        self.span = range(len(photographs.files)) if span is None else span
        self.photographs, self.spec, self._watch = photographs, spec, watch
        self._start()

    def _start(self) -> None:
        """Nothing is done yet."""
        n_sampled, n_classes = self.roll.n_sampled, len(self.roll.labels)
        self.answers = [
            LayerAnswers(each, self.spec, n_sampled, n_classes) for each in self._watch.readers
        ]
        self.n_done = 0  # files that were processed
        self.skipped: dict[int, Skipped] = {}  # files that cannot be read, by their indices
        self._is_consistent = True  # False while a batch is counted for some of the layers only

    def run(self, checkpoint: Checkpoint | None, progress: Callable[..., object]) -> None:
        """Process all files that are not done yet; the state is saved even if there is an error."""
        if checkpoint and self._resume(checkpoint):
            progress(self.n_done, is_new=False)
        last_save_s = time.monotonic()
        try:
            for batch in self._batches():
                self._process(batch)
                progress(len(batch))
                if checkpoint and time.monotonic() - last_save_s > SAVE_EVERY_S:
                    self._save(checkpoint)
                    last_save_s = time.monotonic()
        finally:
            if checkpoint:
                self._save(checkpoint)

    def _batches(self) -> Iterator[Sequence[tuple[int, Pixels | Skipped]]]:
        n_images = GPU_BATCH if self._watch.device.type == "cuda" else CPU_BATCH
        first, end = self.span.start + self.n_done, self.span.stop
        return self.photographs.batches(self.spec.preprocessing, n_images, first, end)

    def _process(self, batch: Sequence[tuple[int, Pixels | Skipped]]) -> None:
        """Show a batch to the network; it counts for all layers or, if that is stopped, for none.

        Ctrl-C waits only while what has been found is added.
        """
        readable = {index: each for index, each in batch if not isinstance(each, Skipped)}
        changes = self._changes(readable) if readable else []
        with uninterrupted():
            self._is_consistent = False
            for answers, change in zip(self.answers, changes, strict=False):
                answers.apply(change)
            self.skipped |= {index: each for index, each in batch if isinstance(each, Skipped)}
            self.n_done += len(batch)
            self._is_consistent = True

    def _changes(self, readable: Mapping[int, Pixels]) -> list[Change]:
        """What a batch of images adds to the answers of each layer."""
        device, images = self._watch.device, torch.tensor(list(readable))
        rows, classes = self.roll.rows[images].to(device), self.roll.classes[images].to(device)
        responses = self._watch.sigmas(as_images(list(readable.values()), device))
        return [
            answers.change(z, images.to(device), rows, classes)
            for answers, (_, z) in zip(self.answers, responses, strict=True)
        ]

    def _save(self, checkpoint: Checkpoint) -> None:
        if self._is_consistent:
            with uninterrupted():
                checkpoint.save(self.tally().to_bytes())

    def _resume(self, checkpoint: Checkpoint) -> bool:
        """Go on from a checkpoint, if there is one; one that is damaged is dropped."""
        try:
            if not (data := checkpoint.load()):
                return False
            self._restore(Tally.from_bytes(data))
        except AtlasError:
            raise
        except Exception as error:  # damage shows in any way
            tqdm.write(
                "The saved state of the pass over the photographs is damaged "
                f"({displayable(str(error), 80)}); they are shown from the first again.",
                sys.stderr,
            )
            checkpoint.drop()
            self._start()
            return False
        return True

    def tally(self) -> Tally:
        """What was answered so far."""
        spans = ((self.span.start, self.span.start + self.n_done),) if self.n_done else ()
        classes, rows = self.roll.classes_in(spans), self.roll.rows_in(spans)
        layers = {each.reader.layer.name: each.tally(classes, rows) for each in self.answers}
        return Tally(spans, dict(self.skipped), layers)

    def _restore(self, tally: Tally) -> None:
        first, n_done = self.span.start, tally.n_files
        if tally.spans != ((first, first + n_done),) or n_done > len(self.span):
            raise ValueError("it is of other photographs")
        if not all(first <= index < first + n_done for index in tally.skipped):
            raise ValueError("it names other photographs")
        for answers in self.answers:
            answers.restore(tally.layers[answers.reader.layer.name])
        self.n_done, self.skipped = n_done, dict(tally.skipped)


def as_images(batch: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photographs (H, W, 3) as images (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255
