"""Arrange vectors on a grid so that neighbours are alike.

Cells exchange their vectors in pairs as long as both come closer to the average of what lies around
them; what counts as around shrinks from half of the grid to the next cells. Where vectors have
points in the plane already, these are moved to cells, and only the next cells count as around.

Source: self-sorting maps (Strong & Gong 2014, https://doi.org/10.1109/TMM.2014.2306183), with the
sliding averages and the shrinking radius of linear assignment sorting (Barthel et al. 2023,
https://doi.org/10.1111/cgf.14718).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

N_DIMS = 64  # principal components that are compared
N_ROUNDS = 40  # of exchanges, at each radius
SHRINKAGE = 0.8  # of the radius, from one series of rounds to the next
SNAPPED_RADIUS = 1.5  # in cells, the first one where points were moved to cells


def arrange(vectors: Tensor, n_columns: int, points: Tensor | None = None, seed: int = 0) -> Tensor:
    """Which vector lies in which cell of a grid that is filled row by row.

    Args:
        vectors: what is compared, (n, n_dims).
        n_columns: cells in a row; the last row may have fewer.
        points: in the plane, which give them their first cells, (n, 2); None for random cells.
        seed: of random cells and of the pairs; the same seed gives the same grid.

    Returns:
        The position in `vectors` of each cell's vector, every one once, (n,).
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = principal_components(vectors, N_DIMS)
    if points is None:
        order = torch.randperm(len(vectors), generator=generator)
        radius = max(n_columns, math.ceil(len(vectors) / n_columns)) / 2
    else:
        order, radius = snapped(points, n_columns), SNAPPED_RADIUS
    while radius >= 1:
        for _ in range(N_ROUNDS):
            placed = vectors[order]
            goals = averages_around(placed, n_columns, int(radius))
            one, other = pairs(len(placed), n_columns, int(radius), generator)
            gain = ((placed[one] - placed[other]) * (goals[other] - goals[one])).sum(1)
            one, other = one[gain > 0], other[gain > 0]
            order[one], order[other] = order[other], order[one]
        radius *= SHRINKAGE
    return order


def snapped(points: Tensor, n_columns: int) -> Tensor:
    """Points moved to the cells of a grid: both are halved time and again, along its longer side.

    Args:
        points: (n, 2), right and down.
        n_columns: cells in a row; the last row may have fewer.

    Returns:
        The position in `points` of each cell's point, every one once, (n,).
    """
    every = np.arange(len(points))
    grid, coordinates = np.stack([every % n_columns, every // n_columns], 1), points.numpy()
    order = np.empty_like(every)
    waiting = [(every, every)]  # cells, and as many points
    while waiting:
        cells, members = waiting.pop()
        if len(cells) == 1:
            order[cells] = members
            continue
        low, high = grid[cells].min(0), grid[cells].max(0)
        axis = (high - low).argmax()
        is_first = grid[cells, axis] <= (low + high)[axis] // 2
        ranked = members[coordinates[members, axis].argsort(kind="stable")]
        n_first = is_first.sum()
        waiting += [(cells[is_first], ranked[:n_first]), (cells[~is_first], ranked[n_first:])]
    return torch.from_numpy(order)


def principal_components(vectors: Tensor, n_dims: int) -> Tensor:
    """Vectors (n, any) in the directions of largest variance, (n, at most n_dims)."""
    centred = (vectors - vectors.mean(0)).double()
    directions: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    return (centred @ directions[:, :n_dims]).float()


def averages_around(placed: Tensor, n_columns: int, radius: int) -> Tensor:
    """By cell, the average over the cells at most `radius` rows and columns away.

    Args:
        placed: vectors of the cells, row by row, (n, n_dims).
        n_columns: cells in a row.
        radius: in cells.
    """
    n, n_dims = placed.shape
    n_rows = math.ceil(n / n_columns)
    counted = torch.zeros(n_rows * n_columns, n_dims + 1)  # empty cells count nothing
    counted[:n, :n_dims], counted[:n, n_dims] = placed, 1
    sums = counted.view(n_rows, n_columns, n_dims + 1)
    for dim in (0, 1):
        sums = _sums_around(sums, dim, radius)
    sums = sums.view(-1, n_dims + 1)[:n]
    return sums[:, :n_dims] / sums[:, n_dims:]


def _sums_around(values: Tensor, dim: int, radius: int) -> Tensor:
    n = values.shape[dim]
    running = torch.cat([torch.zeros_like(values.narrow(dim, 0, 1)), values.cumsum(dim)], dim)
    position = torch.arange(n)
    after, before = (position + radius + 1).clamp(max=n), (position - radius).clamp(min=0)
    return running.index_select(dim, after) - running.index_select(dim, before)


def pairs(n: int, n_columns: int, radius: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random pairs of cells, no cell twice, of which most are at most 2 x `radius` apart."""
    side = 2 * radius + 1
    down, right = torch.randint(side, (2,), generator=generator).tolist()
    cells = torch.arange(n)
    rows, columns = (cells // n_columns + down) // side, (cells % n_columns + right) // side
    block = rows * (n_columns // side + 2) + columns
    mixed = torch.rand(n, generator=generator, dtype=torch.float64)
    cells = (block + mixed).argsort()[: n // 2 * 2]  # at random inside blocks
    return cells[0::2], cells[1::2]
