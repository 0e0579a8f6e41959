"""Which images of a set are in the sample, and of which class each is."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atlas.images import ImageSet
from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural.tally import Array, Span

MAX_CLASSES = 2000  # with more, no classes are recorded, since each unit has a sum for every class


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

    def classes_in(self, spans: Sequence[Span]) -> Array:
        """The classes of the files in some spans, ascending."""
        return _those(self.classes, spans)

    def rows_in(self, spans: Sequence[Span]) -> Array:
        """The rows of the sample that the files in some spans are in, ascending."""
        return _those(self.rows, spans)


def _those(numbers: Tensor, spans: Sequence[Span]) -> Array:
    """The numbers of the files in some spans, ascending, without -1."""
    inside = [numbers[first:end] for first, end in spans] or [numbers[:0]]
    found = torch.cat(inside).unique()
    array: Array = found[found >= 0].numpy()
    return array


@functools.lru_cache(maxsize=1)  # of many parts of one pass
def roll_of(photographs: ImageSet, spec: NaturalSpec) -> Roll:
    """The roll of a set; of the latest one, it is remembered."""
    return Roll.of(photographs, spec)
