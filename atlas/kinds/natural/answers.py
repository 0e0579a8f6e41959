"""Summaries of a layer's responses to images, of a size that does not grow with the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from atlas.kinds.natural import NaturalSpec
from atlas.network.taps import Reader

Arrays = dict[str, NDArray[Any]]
HALF_MAX = 65504.0  # the largest number in half precision


class Top:
    """The largest responses so far of each unit of a layer, with their images and map positions."""

    def __init__(self, n_kept: int, n_units: int, device: torch.device) -> None:
        self.values = torch.full((n_kept, n_units), -torch.inf, device=device)
        self.images = torch.full((n_kept, n_units), -1, device=device)
        self.places = torch.zeros((n_kept, n_units), dtype=torch.long, device=device)

    def with_batch(self, values: Tensor, images: Tensor, places: Tensor) -> Top:
        """The largest responses when those to a batch of images are added; this stays as it is.

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


@dataclass(frozen=True)
class Change:
    """What a batch of images adds to the answers of a layer."""

    highest: Top
    lowest: Top
    n_fired: Tensor  # (n_units,)
    active: Tensor  # (n_units,)
    classes: Tensor  # of the images that have a class, (n,)
    activations: Tensor  # of these images, (n, n_units)
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
        self.active = torch.zeros(n_units, dtype=torch.float64, device=device)
        self.sums = torch.zeros(n_classes, n_units, device=device)  # activations by class
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
            active=active.sum(0),
            classes=classes[has_class],
            activations=self._activations(peaks)[has_class],
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
        """Activations after the ReLU at the peaks; for classes, probabilities: (B, n_units)."""
        if self.reader.layer.is_classifier:
            return peaks.softmax(1)
        return (peaks + self.reader.offset).relu()

    def arrays(self) -> Arrays:
        """The state as arrays, for a checkpoint."""
        return {name: tensor.cpu().numpy() for name, tensor in self._tensors().items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Set the state from the arrays of a checkpoint.

        Raises:
            KeyError, ValueError: they are not those of such a layer.
        """
        for name, tensor in self._tensors().items():
            saved = torch.from_numpy(arrays[name])
            if (saved.shape, saved.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"{name} has another shape or type")
            tensor.copy_(saved)

    def _tensors(self) -> dict[str, Tensor]:
        tops = {"highest": self.highest, "lowest": self.lowest}
        return {
            **{
                f"{name}.{part}": getattr(top, part)
                for name, top in tops.items()
                for part in ("values", "images", "places")
            },
            **{
                name: getattr(self, name)
                for name in ("n_fired", "active", "sums", "sampled", "sampled_places")
            },
        }
