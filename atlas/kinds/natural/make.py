"""What units answer to photographs: one pass over a folder, all layers watched at once.

What is kept of it does not grow with the folder: for each unit its strongest photographs, counts,
and a sum per class; and its answers to a sample of the photographs that is the same for all units.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.cache import Checkpoint
from atlas.images import ImageSet
from atlas.kinds.natural import NaturalRecord, NaturalSpec
from atlas.kinds.natural.answers import LayerAnswers
from atlas.network.taps import Watch
from atlas.pictures.panel import Panel, rounded
from atlas.pixels import Pixels
from atlas.plan import Job
from atlas.renderer import Renderer

CPU_BATCH, GPU_BATCH = 8, 64  # all maps of all layers are in memory at once
N_NAMED = 20  # of the files that cannot be read
MAX_CLASSES = 2000  # a sum is kept for every class and unit
SAVE_EVERY_S = 60.0
QUANTILES = (0.9, 0.5, 0.1)  # of the sampled photographs: a strong, a middle and a weak one


# Answers, positions of their images among the files, and places on the map: (n, n_units) each.
Seen = tuple[Tensor, Tensor, Tensor]


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """What all jobs' layers answer to the photographs, in one pass over them."""
    images = renderer.images
    assert images, "such jobs are planned only where there are photographs"
    checkpoint = renderer.checkpoint(jobs)
    with renderer.progress(len(images.files), "photographs") as progress:
        watch = renderer.network.watch([job.layer for job in jobs], renderer.precision)
        yield natural_panels(watch, images, jobs[0].spec, checkpoint, progress)


@dataclass(frozen=True)
class Roll:
    """What a pass needs to know of each file: its row in the sample, and its class."""

    rows: Tensor  # (n_files,)
    n_sampled: int
    classes: Tensor  # (n_files,)
    labels: tuple[str, ...]

    @classmethod
    def of(cls, photographs: ImageSet, spec: NaturalSpec) -> Roll:
        """The sample is drawn from the files, the same for equal folders."""
        n_files = len(photographs.files)
        drawn = torch.randperm(n_files, generator=torch.Generator().manual_seed(0))
        n_sampled = min(spec.n_sampled, n_files)
        rows = torch.full((n_files,), -1)
        rows[drawn[:n_sampled].sort().values] = torch.arange(n_sampled)
        labels = photographs.labels
        if not 2 <= len(labels) <= MAX_CLASSES:
            labels = ()
        number: dict[str | None, int] = {label: index for index, label in enumerate(labels)}
        classes = [number.get(photographs.label(file), -1) for file in photographs.files]
        return cls(rows, n_sampled, torch.tensor(classes), labels)


class Pass:
    """One pass over the photographs, which can be interrupted and taken up."""

    def __init__(self, watch: Watch, photographs: ImageSet, spec: NaturalSpec) -> None:
        self.roll = Roll.of(photographs, spec)
        self.photographs, self.spec, self._watch = photographs, spec, watch
        n_sampled, n_classes = self.roll.n_sampled, len(self.roll.labels)
        self.answers = [LayerAnswers(each, spec, n_sampled, n_classes) for each in watch.readers]
        self.n_done = 0  # files
        self.skipped: list[int] = []  # positions of the files that cannot be read
        self._is_whole = True  # no batch is counted for some layers only

    @property
    def sampled_images(self) -> Tensor:
        """Positions of the files of the sample that could be read, in order."""
        there = self.roll.rows >= 0
        there[self.skipped] = False
        return there.nonzero()[:, 0]

    @property
    def class_sizes(self) -> Tensor:
        """How many images of each class could be read: (n_classes,)."""
        there = self.roll.classes >= 0
        there[self.skipped] = False
        return torch.bincount(self.roll.classes[there], minlength=len(self.roll.labels))

    def run(self, checkpoint: Checkpoint | None, progress: Callable[[int], object]) -> None:
        """Take in all files that were not taken in yet; what is done is saved, come what may."""
        if checkpoint and (data := checkpoint.load()):
            self._restore(data)
            progress(self.n_done)
        saved = time.monotonic()
        try:
            for batch in self._batches():
                self._take(batch)
                progress(len(batch))
                if checkpoint and time.monotonic() - saved > SAVE_EVERY_S:
                    checkpoint.save(self._state())
                    saved = time.monotonic()
        finally:
            if checkpoint and self._is_whole:
                checkpoint.save(self._state())

    def _batches(self) -> Iterator[Sequence[tuple[int, Pixels | None]]]:
        n_images = GPU_BATCH if self._watch.device.type == "cuda" else CPU_BATCH
        return self.photographs.batches(self.spec.preprocessing, n_images, first=self.n_done)

    def _take(self, batch: Sequence[tuple[int, Pixels | None]]) -> None:
        readable = {index: pixels for index, pixels in batch if pixels is not None}
        self._is_whole = False
        if readable:
            device, images = self._watch.device, torch.tensor(list(readable))
            rows, classes = self.roll.rows[images].to(device), self.roll.classes[images].to(device)
            responses = self._watch.sigmas(as_images(list(readable.values()), device))
            for answers, (_, z) in zip(self.answers, responses, strict=True):
                answers.update(z, images.to(device), rows, classes)
        self.skipped += [index for index, pixels in batch if pixels is None]
        self.n_done += len(batch)
        self._is_whole = True

    def _state(self) -> bytes:
        arrays: dict[str, Any] = {
            f"{answers.reader.layer.name}/{name}": array
            for answers in self.answers
            for name, array in answers.arrays().items()
        }
        arrays |= {"n_done": self.n_done, "skipped": np.array(self.skipped, dtype=int)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def _restore(self, data: bytes) -> None:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            self.n_done, self.skipped = int(arrays["n_done"]), arrays["skipped"].tolist()
            for answers in self.answers:
                start = f"{answers.reader.layer.name}/"
                own = {
                    name.removeprefix(start): arrays[name]
                    for name in arrays.files
                    if name.startswith(start)
                }
                answers.restore(own)


def natural_panels(
    watch: Watch,
    photographs: ImageSet,
    spec: NaturalSpec,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int], object] = lambda n_images: None,
) -> list[Panel]:
    """What every unit of the watched layers answers to a folder of photographs.

    Args:
        watch: of the layers.
        photographs: to show the network; unreadable ones are counted and named.
        spec: what to keep.
        checkpoint: where an interrupted pass is remembered.
        progress: told how many more files were taken in.

    Raises:
        NetworkError: an answer is not finite.

    Source of the class selectivity: Morcos et al. 2018, https://arxiv.org/abs/1803.06959
    """
    shown = Pass(watch, photographs, spec)
    shown.run(checkpoint, progress)
    skipped = [photographs.files[index] for index in shown.skipped]
    counts = {
        "n_images": shown.n_done - len(skipped),
        "n_skipped": len(skipped),
        "skipped": skipped[:N_NAMED],
        "n_classes": len(shown.roll.labels),
        "images_sha256": spec.images_sha256,
    }
    return [_panel(answers, shown, counts) for answers in shown.answers]


def as_images(batch: Sequence[Pixels], device: torch.device) -> Tensor:
    """Photographs (H, W, 3) as images (B, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2) / 255


def _panel(answers: LayerAnswers, shown: Pass, counts: dict[str, Any]) -> Panel:
    layer, roll = answers.reader.layer, shown.roll
    if not counts["n_images"]:
        return Panel(layer.whole, NaturalRecord(**counts))
    top, spread = _strongest(answers), _spread(answers, shown)
    named = {index for _, images, _ in (top, spread) for index in images.unique().tolist()}
    files = sorted(index for index in named if index >= 0)
    record = NaturalRecord(
        **counts,
        files=[shown.photographs.files[index] for index in files],
        file_classes=[int(roll.classes[index]) for index in files],
        classes=list(roll.labels),
        **_extremes(answers, shown.photographs.files),
        **_frequencies(answers, counts["n_images"]),
        **_selectivity(answers, shown.class_sizes),
        top=_listed(layer.output_px[1], files, *top),
        spread=_listed(layer.output_px[1], files, *spread),
    )
    buffer = io.BytesIO()
    np.save(buffer, _sample(answers, shown)[0].half().cpu().numpy())
    return Panel(layer.whole, record, buffer.getvalue())


def _strongest(answers: LayerAnswers) -> Seen:
    top = answers.highest
    return top.values, top.images, top.places


def _sample(answers: LayerAnswers, shown: Pass) -> Seen:
    """All that is known of the sampled images that could be read: (n_images, n_units) each."""
    images = shown.sampled_images.to(answers.sampled.device)
    rows = shown.roll.rows.to(images.device)[images]
    values = answers.sampled[rows].float()
    return values, images[:, None].expand_as(values), answers.sampled_places[rows].long()


def _spread(answers: LayerAnswers, shown: Pass) -> Seen:
    """Of the sample what lies at the quantiles."""
    values, images, places = _sample(answers, shown)
    order = values.argsort(stable=True, dim=0)
    rows = [round(quantile * (len(order) - 1)) for quantile in QUANTILES]
    picked = order[rows]
    return values.gather(0, picked), images.gather(0, picked), places.gather(0, picked)


def _extremes(answers: LayerAnswers, files: Sequence[str]) -> dict[str, Any]:
    highest, lowest = answers.highest, answers.lowest
    return {
        "highest": rounded(highest.values[0]),
        "lowest": rounded(-lowest.values[0]),
        "highest_file": [files[index] for index in highest.images[0].tolist()],
        "lowest_file": [files[index] for index in lowest.images[0].tolist()],
    }


def _frequencies(answers: LayerAnswers, n_images: int) -> dict[str, Any]:
    """In what share of the images a unit fires, and at what share of all positions."""
    return {
        "fires": rounded(answers.n_fired / n_images, 4),
        "active": rounded(answers.active / n_images, 4),
    }


def _selectivity(answers: LayerAnswers, class_sizes: Tensor) -> dict[str, Any]:
    """How far the class that a unit answers to most stands out, 0 to 1, and which it is."""
    sizes = class_sizes.to(answers.sums.device)
    there = sizes.nonzero()[:, 0]  # classes with any readable image
    if len(there) < 2:
        return {}
    means = answers.sums[there] / sizes[there, None]  # (n_classes, n_units)
    best, place = means.max(0)
    rest = (means.sum(0) - best) / (len(means) - 1)
    selectivity = rounded((best - rest) / (best + rest))
    silent = (best <= 0).tolist()
    return {
        "selectivity": [None if silent[unit] else each for unit, each in enumerate(selectivity)],
        "favourite": [
            None if silent[unit] else each for unit, each in enumerate(there[place].tolist())
        ],
    }


def _listed(
    width: int, files: Sequence[int], values: Tensor, images: Tensor, places: Tensor
) -> list[list[list[float]]]:
    """For each unit, strongest first, [position in `files`, row, column, answer]."""
    position = {index: nth for nth, index in enumerate(files)}
    units = zip(values.T.tolist(), images.T.tolist(), places.T.tolist(), strict=True)
    return [
        [
            [position[image], place // width, place % width, round(value, 2)]
            for value, image, place in zip(*unit, strict=True)
            if image >= 0
        ]
        for unit in units
    ]
