"""The most similar units of every unit: nearest neighbours in its layer and in other layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from atlas.units import Layer, Unit

BLOCK = 1024  # units that are compared with all others at once: 0.1 GB for 27,000 units

Neighbour = list[float]  # layer index, channel, similarity


def alike_in_answers(answers: Tensor) -> Tensor:
    """Direction vectors whose dot products are the correlations of units' responses.

    Args:
        answers: responses to the same images, (n_units, n_images).

    Returns:
        (n_units, n_images), of length 1 each; zeros for a unit that always responds the same.
    """
    return _directions(answers - answers.mean(1, keepdim=True))


def alike_in_pictures(embeddings: Tensor) -> Tensor:
    """Direction vectors from the average embedding to those of units' pictures.

    Args:
        embeddings: embeddings of the pictures, (n_units, n_dims).

    Returns:
        (n_units, n_dims), of length 1 each; zeros for the average embedding itself.
    """
    return _directions(embeddings - embeddings.mean(0))


def nearest_neighbours(
    layers: Sequence[Layer], units: Sequence[Unit], directions: Tensor, n_neighbours: int
) -> dict[Unit, tuple[list[Neighbour], list[Neighbour]]]:
    """The most similar units of every unit, in its layer and in other layers.

    Args:
        layers: all layers of the network.
        units: the units that are compared.
        directions: a vector of length 1 for each unit, or zeros for a unit that is similar to
            none, (n_units, n_dims).
        n_neighbours: units to find in the same layer, and as many in other layers.

    Returns:
        By unit, two lists of [layer index, channel, similarity], the most similar first.
    """
    index_of = {layer.name: layer.index for layer in layers}
    # Layer index and channel of each unit, (n_units, 2).
    ids = torch.tensor([[index_of[unit.layer], unit.index] for unit in units]).view(-1, 2)
    neighbours: dict[Unit, tuple[list[Neighbour], list[Neighbour]]] = {}
    for first in range(0, len(units), BLOCK):
        block = slice(first, first + BLOCK)
        similarity = directions[block] @ directions.T  # (at most BLOCK, n_units)
        similarity.diagonal(first).fill_(-torch.inf)  # no unit is its own neighbour
        similarity[:, ~directions.any(1)] = -torch.inf
        in_same_layer = ids[block, None, 0] == ids[:, 0]
        within = _nearest(similarity.masked_fill(~in_same_layer, -torch.inf), ids, n_neighbours)
        across = _nearest(similarity.masked_fill_(in_same_layer, -torch.inf), ids, n_neighbours)
        neighbours |= zip(units[block], zip(within, across, strict=True), strict=True)
    return neighbours


def _nearest(similarity: Tensor, ids: Tensor, n_neighbours: int) -> list[list[Neighbour]]:
    """The columns with the largest positive values of each row, as neighbours."""
    nearest = similarity.topk(min(n_neighbours, similarity.shape[1]), 1)
    rows = zip(nearest.values.tolist(), ids[nearest.indices].tolist(), strict=True)
    return [
        [
            [*unit_ids, round(value, 3)]
            for value, unit_ids in zip(values, columns, strict=True)
            if value > 0
        ]
        for values, columns in rows
    ]


def _directions(vectors: Tensor) -> Tensor:
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0, vectors / lengths, torch.zeros_like(vectors))
