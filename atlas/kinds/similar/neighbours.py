"""Which units are like which: nearest neighbours within a layer, and in all other layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.units import Layer, Unit

BLOCK = 1024  # units that are compared with all others at once: 0.1 GB for 27,000 units

Neighbour = list[float]  # layer, channel, similarity


def alike_in_answers(answers: Tensor) -> Tensor:
    """Directions whose products are correlations of units' answers to the same images.

    Args:
        answers: (n_units, n_images).
    """
    return _directions(answers - answers.mean(1, keepdim=True))


def alike_in_pictures(embeddings: Tensor) -> Tensor:
    """Directions of units' pictures from the average picture.

    Args:
        embeddings: (n_units, n_dims).
    """
    return _directions(embeddings - embeddings.mean(0))


def nearest_neighbours(
    layers: Sequence[Layer], units: Sequence[Unit], directions: Tensor, n_neighbours: int
) -> dict[Unit, tuple[list[Neighbour], list[Neighbour]]]:
    """For every unit the most similar ones, in its layer and in others.

    Args:
        layers: of the network.
        units: that are compared.
        directions: a row of length one for each of them, or of zeros for those like none.
        n_neighbours: to find within the layer, and again in other layers.

    Returns:
        By unit, two lists of [layer, channel, similarity], the most similar first.
    """
    index_of = {layer.name: layer.index for layer in layers}
    places = torch.tensor([[index_of[unit.layer], unit.index] for unit in units]).view(-1, 2)
    neighbours: dict[Unit, tuple[list[Neighbour], list[Neighbour]]] = {}
    for first in range(0, len(units), BLOCK):
        block = slice(first, first + BLOCK)
        similarity = directions[block] @ directions.T  # (at most BLOCK, n_units)
        similarity.diagonal(first).fill_(-torch.inf)  # not itself
        similarity[:, ~directions.any(1)] = -torch.inf
        same = places[block, None, 0] == places[:, 0]
        within = _nearest(similarity.masked_fill(~same, -torch.inf), places, n_neighbours)
        across = _nearest(similarity.masked_fill_(same, -torch.inf), places, n_neighbours)
        neighbours |= zip(units[block], zip(within, across, strict=True), strict=True)
    return neighbours


def _nearest(similarity: Tensor, places: Tensor, n_neighbours: int) -> list[list[Neighbour]]:
    """The columns of the largest values of each row, as neighbours."""
    nearest = similarity.topk(min(n_neighbours, similarity.shape[1]), 1)
    rows = zip(nearest.values.tolist(), places[nearest.indices].tolist(), strict=True)
    return [
        [
            [*place, round(value, 3)]
            for value, place in zip(values, columns, strict=True)
            if value > 0  # less is unlike
        ]
        for values, columns in rows
    ]


def _directions(vectors: Tensor) -> Tensor:
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, vectors / lengths, torch.zeros_like(vectors))
