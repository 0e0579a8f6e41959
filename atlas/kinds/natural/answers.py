"""Summaries of a layer's responses to images, of a size that does not grow with the images.

What is summed are fixed-point numbers: shares in steps of 2^-38, activations of channels in steps
of 2^-24. Whole numbers add up to the same in any order, up to eight million images of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural.tally import Array, LayerTally, TopArrays
from atlas.network.taps import Reader
from atlas.units import Layer

HALF_MAX = 65504.0  # the largest number in half precision; larger activations count as this
SHARE_STEPS, ACTIVATION_STEPS = 2.0**38, 2.0**24


class Top:
    """The largest responses so far of each unit of a layer, with their images and map positions."""

    def __init__(self, n_kept: int, n_units: int, device: torch.device) -> None:
        self.values = torch.full((n_kept, n_units), -torch.inf, device=device)
        self.images = torch.full((n_kept, n_units), -1, device=device)
        self.places = torch.zeros((n_kept, n_units), dtype=torch.long, device=device)

    def with_batch(self, values: Tensor, images: Tensor, places: Tensor) -> Top:
        """The largest responses when those to a batch of later images are added.

        Args:
            values: responses, (B, n_units).
            images: indices of the images in the files, (B,).
            places: map positions of the responses, counted row by row, (B, n_units).
        """
        n_kept, n_units = self.values.shape
        if not (values > self.values[-1]).any():
            return self
        images = images[:, None].expand_as(places)
        # The sort is stable, so earlier images stay first among equal responses.
        best = torch.cat([self.values, values]).sort(stable=True, dim=0, descending=True)
        order = best.indices[:n_kept]
        top = Top(0, n_units, values.device)
        top.values = best.values[:n_kept]
        top.images = torch.cat([self.images, images]).gather(0, order)
        top.places = torch.cat([self.places, places]).gather(0, order)
        return top

    def arrays(self) -> TopArrays:
        """The same as arrays."""
        return TopArrays(*(each.cpu().numpy() for each in (self.values, self.images, self.places)))

    def restore(self, arrays: TopArrays) -> None:
        """Set all from arrays.

        Raises:
            ValueError: they are of another shape or type.
        """
        for tensor, array in zip(
            (self.values, self.images, self.places),
            (arrays.values, arrays.images, arrays.places),
            strict=True,
        ):
            copy(array, tensor)


@dataclass(frozen=True)
class Change:
    """What a batch of images adds to the answers of a layer."""

    highest: Top
    lowest: Top
    n_fired: Tensor  # (n_units,)
    active: Tensor  # steps, (n_units,)
    classes: Tensor  # of the images that have a class, (n,)
    activations: Tensor  # of these images in steps, (n, n_units)
    rows: Tensor  # in the sample, of the images that are in it, (m,)
    sampled: Tensor  # responses to these images, (m, n_units)
    sampled_places: Tensor  # (m, n_units)


class LayerAnswers:
    """All that is kept of one layer's responses."""

    def __init__(self, reader: Reader, spec: NaturalSpec, n_sampled: int, n_classes: int) -> None:
        n_units, device = reader.layer.n_units, reader.device
        self.reader = reader
        self.highest = Top(spec.n_top, n_units, device)
        self.lowest = Top(1, n_units, device)  # of the negated responses
        self.n_fired = torch.zeros(n_units, dtype=torch.long, device=device)
        self.active = torch.zeros(n_units, dtype=torch.long, device=device)  # steps
        self.sums = torch.zeros(n_classes, n_units, dtype=torch.long, device=device)  # by class
        self.sampled = torch.full((n_sampled, n_units), torch.nan, device=device).half()
        self.sampled_places = torch.zeros(n_sampled, n_units, dtype=torch.short, device=device)

    def change(self, z: Tensor, images: Tensor, rows: Tensor, classes: Tensor) -> Change:
        """What the responses to a batch of images add, to be passed to `apply`.

        All that may fail or take long is done here, where nothing changes yet.

        Args:
            z: responses, (B, n_units, h, w).
            images: indices of the images in the files, (B,).
            rows: rows of the images in the sample, (B,); -1 for images that are not in it.
            classes: class indices, (B,); -1 for images without a class.

        Raises:
            NetworkError: a response is not finite.
        """
        flat = z.permute(0, 2, 3, 1).flatten(1, 2)  # (B, h * w, n_units)
        peaks, places = flat.max(1)  # (B, n_units)
        peaks, lows = peaks.float(), flat.amin(1).float()
        self.reader.checked(peaks + lows)
        fired, active = self._firing(flat, peaks)
        has_class, is_sampled = classes >= 0, rows >= 0
        return Change(
            highest=self.highest.with_batch(peaks, images, places),
            lowest=self.lowest.with_batch(-lows, images, places),
            n_fired=fired.sum(0),
            active=in_steps(active.sum(0), SHARE_STEPS),
            classes=classes[has_class],
            activations=self._activations(peaks[has_class]),
            rows=rows[is_sampled],
            sampled=peaks[is_sampled].clamp(-HALF_MAX, HALF_MAX).half(),
            sampled_places=places[is_sampled].short(),
        )

    def apply(self, change: Change) -> None:
        """Add what a batch of images changes."""
        self.highest, self.lowest = change.highest, change.lowest
        self.n_fired += change.n_fired
        self.active += change.active
        if len(self.sums):
            self.sums.index_add_(0, change.classes, change.activations)
        self.sampled[change.rows] = change.sampled
        self.sampled_places[change.rows] = change.sampled_places

    def _firing(self, flat: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each unit fires, and at what share of positions: both (B, n_units)."""
        if self.reader.layer.is_classifier:  # a class fires where its logit is the highest
            fired = functional.one_hot(peaks.argmax(1), peaks.shape[1])
            return fired, fired.double()
        fired = peaks > -self.reader.offset
        active = (flat > -self.reader.offset.to(flat.dtype)).sum(1)
        return fired, active / flat.shape[1]

    def _activations(self, peaks: Tensor) -> Tensor:
        """Steps of activation after the ReLU at the peaks, or of probability: (B, n_units)."""
        is_classifier = self.reader.layer.is_classifier
        activations = peaks.softmax(1) if is_classifier else (peaks + self.reader.offset).relu()
        return in_steps(activations.clamp(max=HALF_MAX), steps_of(self.reader.layer))

    def tally(self, classes: Array, rows: Array) -> LayerTally:
        """All that is kept as arrays, of these classes and rows of the sample only."""
        return LayerTally(
            self.highest.arrays(),
            self.lowest.arrays(),
            self.n_fired.cpu().numpy(),
            self.active.cpu().numpy(),
            classes,
            _rows_of(self.sums, classes),
            rows,
            _rows_of(self.sampled, rows),
            _rows_of(self.sampled_places, rows),
        )

    def restore(self, tally: LayerTally) -> None:
        """Set the state from a tally.

        Raises:
            ValueError, IndexError, TypeError: it is not of such a layer.
        """
        self.highest.restore(tally.highest)
        self.lowest.restore(tally.lowest)
        copy(tally.n_fired, self.n_fired)
        copy(tally.active, self.active)
        for rows, arrays, tensor in (
            (tally.classes, tally.class_sums, self.sums),
            (tally.rows, tally.sampled, self.sampled),
            (tally.rows, tally.sampled_places, self.sampled_places),
        ):
            of_rows = tensor[torch.from_numpy(rows)]
            copy(arrays, of_rows)
            tensor[torch.from_numpy(rows)] = of_rows


def _rows_of(tensor: Tensor, rows: Array) -> Array:
    """Some rows as an array, of which nothing else is copied from the device."""
    array: Array = tensor[torch.from_numpy(rows).to(tensor.device)].cpu().numpy()
    return array


def steps_of(layer: Layer) -> float:
    """The number of steps in one activation of a layer's units: classes have probabilities."""
    return SHARE_STEPS if layer.is_classifier else ACTIVATION_STEPS


def in_steps(values: Tensor, steps: float) -> Tensor:
    """Values as whole numbers of steps."""
    return (values.double() * steps).round().long()


def copy(array: Array, tensor: Tensor) -> None:
    """Set a tensor from an array.

    Raises:
        ValueError: the array is of another shape or type.
    """
    saved = torch.from_numpy(np.ascontiguousarray(array))
    if (saved.shape, saved.dtype) != (tensor.shape, tensor.dtype):
        raise ValueError("an array has another shape or type")
    tensor.copy_(saved)
