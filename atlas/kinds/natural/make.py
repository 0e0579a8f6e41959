"""Responses of units to photographs, from one pass over a folder that reads all layers at once.

What is kept of each unit does not grow with the folder: its strongest photographs, counts, a sum
per class, and its responses to a sample of the photographs that is the same for all units.
"""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from atlas.cache import Checkpoint
from atlas.decoding import Skipped
from atlas.errors import AtlasError, ImagesError
from atlas.images import ImageSet
from atlas.interrupts import uninterrupted
from atlas.kinds.natural import NaturalRecord, NaturalSpec
from atlas.kinds.natural.answers import Change, LayerAnswers
from atlas.network.taps import Watch
from atlas.pictures.panel import Panel, rounded
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.text import displayable

CPU_BATCH, GPU_BATCH = 8, 64  # images per batch; all maps of all layers are in memory at once
N_NAMED = 20  # unreadable files whose names are recorded
MAX_CLASSES = 2000  # with more, no classes are recorded, since each unit has a sum for every class
SAVE_EVERY_S = 60.0  # time between checkpoints
QUANTILES = (0.9, 0.5, 0.1)  # of the sampled photographs: a strong, a middle and a weak one


# Responses, indices of their images in the files, and their map positions: (n, n_units) each.
Responses = tuple[Tensor, Tensor, Tensor]


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The responses of all jobs' layers to the photographs, from one pass over them."""
    images = renderer.images
    assert images, "such jobs are planned only where there are photographs"
    checkpoint = renderer.checkpoint(jobs)
    progress = renderer.one_pass(jobs, len(images.files), "photographs")
    watch = renderer.network.watch([job.layer for job in jobs], renderer.precision)
    yield natural_panels(watch, images, jobs[0].spec, checkpoint, progress)


@dataclass(frozen=True)
class Roll:
    """For each file of an image set, its row in the sample and its class."""

    rows: Tensor  # (n_files,), -1 for files that are not in the sample
    n_sampled: int
    classes: Tensor  # (n_files,), -1 for files without a class
    labels: tuple[str, ...]

    @classmethod
    def of(cls, photographs: ImageSet, spec: NaturalSpec) -> Roll:
        """Draw a sample with a fixed seed, so that it is the same for equal folders."""
        n_files = len(photographs.files)
        shuffled = torch.randperm(n_files, generator=torch.Generator().manual_seed(0))
        n_sampled = min(spec.n_sampled, n_files)
        rows = torch.full((n_files,), -1)
        rows[shuffled[:n_sampled].sort().values] = torch.arange(n_sampled)
        labels = photographs.labels
        if not 2 <= len(labels) <= MAX_CLASSES:
            labels = ()
        indices: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
        classes = [indices.get(photographs.label(file), -1) for file in photographs.files]
        return cls(rows, n_sampled, torch.tensor(classes), labels)


class Pass:
    """One pass over the photographs, which can be interrupted and resumed."""

    def __init__(self, watch: Watch, photographs: ImageSet, spec: NaturalSpec) -> None:
        self.roll = Roll.of(photographs, spec)
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

    @property
    def sampled_images(self) -> Tensor:
        """Indices of the files in the sample that could be read, in order."""
        is_readable = self.roll.rows >= 0
        is_readable[list(self.skipped)] = False
        return is_readable.nonzero()[:, 0]

    @property
    def class_sizes(self) -> Tensor:
        """How many images of each class could be read: (n_classes,)."""
        is_readable = self.roll.classes >= 0
        is_readable[list(self.skipped)] = False
        return torch.bincount(self.roll.classes[is_readable], minlength=len(self.roll.labels))

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
        return self.photographs.batches(self.spec.preprocessing, n_images, first=self.n_done)

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
                checkpoint.save(self._state())

    def _resume(self, checkpoint: Checkpoint) -> bool:
        """Go on from a checkpoint, if there is one; one that is damaged is dropped."""
        try:
            if not (data := checkpoint.load()):
                return False
            self._restore(data)
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

    def _state(self) -> bytes:
        arrays: dict[str, Any] = {
            f"{answers.reader.layer.name}/{name}": array
            for answers in self.answers
            for name, array in answers.arrays().items()
        }
        skipped = self.skipped.values()
        arrays |= {
            "n_done": self.n_done,
            "skipped": np.array(list(self.skipped), dtype=int),
            "groups": np.array([each.group for each in skipped], dtype=str),
            "reasons": np.array([each.reason for each in skipped], dtype=str),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def _restore(self, data: bytes) -> None:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            n_done, indices = int(arrays["n_done"]), arrays["skipped"].tolist()
            if not all(0 <= index < n_done <= len(self.photographs.files) for index in indices):
                raise ValueError("it is of other photographs")
            reasons = map(Skipped, arrays["groups"].tolist(), arrays["reasons"].tolist())
            self.n_done, self.skipped = n_done, dict(zip(indices, reasons, strict=True))
            for answers in self.answers:
                prefix = f"{answers.reader.layer.name}/"
                of_layer = {
                    name.removeprefix(prefix): arrays[name]
                    for name in arrays.files
                    if name.startswith(prefix)
                }
                answers.restore(of_layer)


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

    Source of the class selectivity: Morcos et al. 2018, https://arxiv.org/abs/1803.06959
    """
    finished = Pass(watch, photographs, spec)
    finished.run(checkpoint, progress)
    skipped = finished.skipped
    named = list(skipped.items())[:N_NAMED]
    counts: dict[str, Any] = {
        "n_images": finished.n_done - len(skipped),
        "n_skipped": len(skipped),
        "skipped": [photographs.files[index] for index, _ in named],
        "skipped_because": [each.reason for _, each in named] or (),
        "skipped_counts": dict(Counter(each.group for each in skipped.values())) or None,
        "n_classes": len(finished.roll.labels),
        "images_sha256": spec.images_sha256,
    }
    if not counts["n_images"]:
        raise ImagesError.none_of_them(NaturalRecord(**counts).skipped_words)
    return [_panel(answers, finished, counts) for answers in finished.answers]


def as_images(batch: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photographs (H, W, 3) as images (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255


def _panel(answers: LayerAnswers, finished: Pass, counts: dict[str, Any]) -> Panel:
    layer, roll = answers.reader.layer, finished.roll
    top, spread = _strongest(answers), _spread(answers, finished)
    indices = {index for _, images, _ in (top, spread) for index in images.unique().tolist()}
    files = sorted(index for index in indices if index >= 0)
    record = NaturalRecord(
        **counts,
        files=[finished.photographs.files[index] for index in files],
        file_classes=[int(roll.classes[index]) for index in files],
        classes=list(roll.labels),
        **_extremes(answers, finished.photographs.files),
        **_frequencies(answers, counts["n_images"]),
        **_selectivity(answers, finished.class_sizes),
        top=_as_lists(layer.output_px[1], files, *top),
        spread=_as_lists(layer.output_px[1], files, *spread),
        sampled_classes=roll.classes[finished.sampled_images].tolist(),
    )
    buffer = io.BytesIO()
    np.save(buffer, _sample(answers, finished)[0].half().cpu().numpy())
    return Panel(layer.whole, record, buffer.getvalue())


def _strongest(answers: LayerAnswers) -> Responses:
    top = answers.highest
    return top.values, top.images, top.places


def _sample(answers: LayerAnswers, finished: Pass) -> Responses:
    """The responses to the images of the sample that could be read: (n_images, n_units) each."""
    images = finished.sampled_images.to(answers.sampled.device)
    rows = finished.roll.rows.to(images.device)[images]
    values = answers.sampled[rows].float()
    return values, images[:, None].expand_as(values), answers.sampled_places[rows].long()


def _spread(answers: LayerAnswers, finished: Pass) -> Responses:
    """Each unit's responses in the sample at the quantiles: (len(QUANTILES), n_units) each."""
    values, images, positions = _sample(answers, finished)
    order = values.argsort(stable=True, dim=0)
    rows = [round(quantile * (len(order) - 1)) for quantile in QUANTILES]
    at_quantiles = order[rows]
    return (
        values.gather(0, at_quantiles),
        images.gather(0, at_quantiles),
        positions.gather(0, at_quantiles),
    )


def _extremes(answers: LayerAnswers, files: Sequence[str]) -> dict[str, Any]:
    highest, lowest = answers.highest, answers.lowest
    return {
        "highest": rounded(highest.values[0]),
        "lowest": rounded(-lowest.values[0]),
        "highest_file": [files[index] for index in highest.images[0].tolist()],
        "lowest_file": [files[index] for index in lowest.images[0].tolist()],
    }


def _frequencies(answers: LayerAnswers, n_images: int) -> dict[str, Any]:
    """The share of images in which each unit fires, and the share of positions where it does."""
    return {
        "fires": rounded(answers.n_fired / n_images, 4),
        "active": rounded(answers.active / n_images, 4),
    }


def _selectivity(answers: LayerAnswers, class_sizes: Tensor) -> dict[str, Any]:
    """The class that drives each unit most, and how selective the unit is for it, 0 to 1."""
    sizes = class_sizes.to(answers.sums.device)
    classes = sizes.nonzero()[:, 0]  # classes with any readable image
    if len(classes) < 2:
        return {}
    means = answers.sums[classes] / sizes[classes, None]  # (n_classes, n_units)
    best, best_row = means.max(0)
    others = (means.sum(0) - best) / (len(means) - 1)
    selectivity = rounded((best - others) / (best + others))
    silent = (best <= 0).tolist()
    return {
        "selectivity": [None if silent[unit] else each for unit, each in enumerate(selectivity)],
        "favourite": [
            None if silent[unit] else each for unit, each in enumerate(classes[best_row].tolist())
        ],
    }


def _as_lists(
    width: int, files: Sequence[int], values: Tensor, images: Tensor, positions: Tensor
) -> list[list[list[float]]]:
    """For each unit, strongest first, [position in `files`, row, column, response].

    Args:
        width: positions in a row of the layer's map.
        files: indices of the files that are named in the record.
        values: the responses, (n, n_units).
        images: indices of their images, (n, n_units); -1 where there is none.
        positions: their map positions, counted row by row, (n, n_units).
    """
    nth_of = {index: nth for nth, index in enumerate(files)}
    units = zip(values.T.tolist(), images.T.tolist(), positions.T.tolist(), strict=True)
    return [
        [
            [nth_of[image], position // width, position % width, round(value, 2)]
            for value, image, position in zip(*unit, strict=True)
            if image >= 0
        ]
        for unit in units
    ]
