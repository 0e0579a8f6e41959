"""What is shown of a tally: the responses of the units of each layer to photographs."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas.errors import ImagesError
from atlas.images import ImageSet
from atlas.kinds.natural import NaturalRecord, NaturalSpec
from atlas.kinds.natural.answers import SHARE_STEPS, steps_of
from atlas.kinds.natural.roll import Roll
from atlas.kinds.natural.tally import LayerTally, Tally, TopArrays
from atlas.pictures.panel import Panel, rounded
from atlas.units import Layer

N_NAMED = 20  # unreadable files whose names are recorded
QUANTILES = (0.9, 0.5, 0.1)  # of the sampled photographs: a strong, a middle and a weak one

# Responses, indices of their images in the files, and their map positions: (n, n_units) each.
Responses = tuple[Tensor, Tensor, Tensor]


def panels_of(
    tally: Tally, layers: Sequence[Layer], photographs: ImageSet, spec: NaturalSpec
) -> list[Panel]:
    """A panel for each layer, from its answers to all photographs; this needs no network.

    Args:
        tally: the answers of these layers to all images of the set.
        layers: the layers.
        photographs: the images.
        spec: as the tally was made with.

    Raises:
        ImagesError: none of the photographs is an image.
        ValueError: the tally is of other images.
    """
    n_files = len(photographs.files)
    if tally.spans != ((0, n_files),):
        raise ValueError("the tally is not of all photographs")
    skipped = tally.skipped
    named = list(skipped.items())[:N_NAMED]
    shown = Shown(tally, Roll.of(photographs, spec), photographs.files)
    counts: dict[str, Any] = {
        "n_images": n_files - len(skipped),
        "n_skipped": len(skipped),
        "skipped": [photographs.files[index] for index, _ in named],
        "skipped_because": [each.reason for _, each in named] or (),
        "skipped_counts": dict(Counter(each.group for each in skipped.values())) or None,
        "n_classes": len(shown.roll.labels),
        "images_sha256": spec.images_sha256,
    }
    if not counts["n_images"]:
        raise ImagesError.none_of_them(NaturalRecord(**counts).skipped_words)
    return [_panel(layer, tally.layers[layer.name], shown, counts) for layer in layers]


@dataclass(frozen=True)
class Shown:
    """The images that were shown."""

    tally: Tally
    roll: Roll
    files: Sequence[str]

    @property
    def sampled_images(self) -> Tensor:
        """Indices of the files in the sample that could be read, in order."""
        is_readable = self.roll.rows >= 0
        is_readable[list(self.tally.skipped)] = False
        return is_readable.nonzero()[:, 0]

    @property
    def class_sizes(self) -> Tensor:
        """How many images of each class could be read: (n_classes,)."""
        is_readable = self.roll.classes >= 0
        is_readable[list(self.tally.skipped)] = False
        return torch.bincount(self.roll.classes[is_readable], minlength=len(self.roll.labels))


def _panel(layer: Layer, answers: LayerTally, shown: Shown, counts: dict[str, Any]) -> Panel:
    top, sample = _responses(answers.highest), _sample(answers, shown)
    spread = _spread(sample)
    indices = {index for _, images, _ in (top, spread) for index in images.unique().tolist()}
    files = sorted(index for index in indices if index >= 0)
    record = NaturalRecord(
        **counts,
        files=[shown.files[index] for index in files],
        file_classes=[int(shown.roll.classes[index]) for index in files],
        classes=list(shown.roll.labels),
        **_extremes(answers, shown.files),
        **_frequencies(answers, counts["n_images"]),
        **_selectivity(answers, shown.class_sizes, steps_of(layer)),
        top=_as_lists(layer.output_px[1], files, *top),
        spread=_as_lists(layer.output_px[1], files, *spread),
        sampled_classes=shown.roll.classes[shown.sampled_images].tolist(),
    )
    buffer = io.BytesIO()
    np.save(buffer, sample[0].half().numpy())
    return Panel(layer.whole, record, buffer.getvalue())


def _responses(top: TopArrays) -> Responses:
    values, images, places = map(torch.from_numpy, (top.values, top.images, top.places))
    return values, images, places


def _sample(answers: LayerTally, shown: Shown) -> Responses:
    """The responses to the images of the sample that could be read: (n_images, n_units) each."""
    images = shown.sampled_images
    rows = shown.roll.rows[images]
    values = torch.from_numpy(answers.sampled)[rows].float()
    places = torch.from_numpy(answers.sampled_places)[rows].long()
    return values, images[:, None].expand_as(values), places


def _spread(sample: Responses) -> Responses:
    """Each unit's responses in the sample at the quantiles: (len(QUANTILES), n_units) each."""
    order = sample[0].argsort(stable=True, dim=0)
    rows = [round(quantile * (len(order) - 1)) for quantile in QUANTILES]
    values, images, places = (each.gather(0, order[rows]) for each in sample)
    return values, images, places


def _extremes(answers: LayerTally, files: Sequence[str]) -> dict[str, Any]:
    (highest, high_images, _), (lowest, low_images, _) = (
        _responses(answers.highest),
        _responses(answers.lowest),
    )
    return {
        "highest": rounded(highest[0]),
        "lowest": rounded(-lowest[0]),
        "highest_file": [files[index] for index in high_images[0].tolist()],
        "lowest_file": [files[index] for index in low_images[0].tolist()],
    }


def _frequencies(answers: LayerTally, n_images: int) -> dict[str, Any]:
    """The share of images in which each unit fires, and the share of positions where it does."""
    active = torch.from_numpy(answers.active).double() / SHARE_STEPS
    return {
        "fires": rounded(torch.from_numpy(answers.n_fired) / n_images, 4),
        "active": rounded(active / n_images, 4),
    }


def _selectivity(answers: LayerTally, class_sizes: Tensor, steps: float) -> dict[str, Any]:
    """The class that drives each unit most, and how selective the unit is for it, 0 to 1.

    Source: Morcos et al. 2018, https://arxiv.org/abs/1803.06959
    """
    classes = class_sizes.nonzero()[:, 0]  # classes with any readable image
    if len(classes) < 2:
        return {}
    rows = np.searchsorted(answers.classes, classes.numpy())
    sums = torch.from_numpy(answers.class_sums[rows]).double() / steps
    means = (sums / class_sizes[classes, None]).float()  # (n_classes, n_units)
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
