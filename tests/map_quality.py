"""How well the map keeps together what is alike: places from random cells and from points by t-SNE.

    python tests/map_quality.py            # 27,560 planted vectors; two minutes of one processor
    python tests/map_quality.py CACHE...   # the excitatory pictures of one network, in its caches

`next` is the mean cosine of two vectors side by side; `within 1` the share of each vector's eight
most similar ones that are at most one row and one column away; `group` the share of pairs side by
side that are of one planted group.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from atlas.cache import Cache
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.map.arrangement import arrange, snapped
from atlas.kinds.map.pyramid import columns_for
from atlas.kinds.map.tsne import tsne_points
from atlas.kinds.similar.neighbours import alike_in_pictures
from atlas.observer import unobserved
from atlas.pictures.embedding import unpacked

N_VECTORS, N_DIMS, N_GROUPS = 27_560, 128, 300
N_INNER_DIMS, INNER, NOISE = 4, 0.9, 0.25  # how members of a group differ
N_ALIKE, BLOCK = 8, 1024
WITHIN = (1, 2, 3, 5)


def planted() -> tuple[Tensor, Tensor]:
    """Vectors in groups that are flat pieces in as many directions as `N_INNER_DIMS`."""
    generator = torch.Generator().manual_seed(1)
    middles = torch.randn(N_GROUPS, N_DIMS, generator=generator)
    flats = torch.randn(N_GROUPS, N_INNER_DIMS, N_DIMS, generator=generator)
    groups = torch.arange(N_VECTORS) % N_GROUPS
    inner = torch.randn(N_VECTORS, 1, N_INNER_DIMS, generator=generator) @ flats[groups]
    vectors = middles[groups] + INNER * inner[:, 0] / N_INNER_DIMS**0.5
    vectors += NOISE * torch.randn(N_VECTORS, N_DIMS, generator=generator)
    return alike_in_pictures(vectors), groups


def of_caches(folders: Sequence[str]) -> Tensor:
    """Directions of the excitatory pictures in caches."""
    embeddings = []
    for folder in folders:
        with Cache(Path(folder), must_exist=True) as cache:
            for entry in cache.of_kind("excitatory"):
                record = entry.record(ExcitatoryRecord, "z")
                if record.embedding and not record.dead:
                    embeddings.append(torch.from_numpy(unpacked(record.embedding)))
    return alike_in_pictures(torch.stack(embeddings))


def most_alike(vectors: Tensor) -> Tensor:
    """The most similar ones of each vector, (n, N_ALIKE)."""
    found = []
    for first in range(0, len(vectors), BLOCK):
        cosines = vectors[first : first + BLOCK] @ vectors.T
        cosines.diagonal(first).fill_(-torch.inf)
        found.append(cosines.topk(N_ALIKE, 1).indices)
    return torch.cat(found)


def qualities(
    order: Tensor, vectors: Tensor, alike: Tensor, groups: Tensor | None
) -> Iterator[tuple[str, float]]:
    """Each number with its name."""
    n, n_columns = len(order), columns_for(len(order))
    cells = torch.arange(n)
    right = cells[(cells % n_columns < n_columns - 1) & (cells < n - 1)]
    down = cells[cells + n_columns < n]
    one, other = order[torch.cat([right, down])], order[torch.cat([right + 1, down + n_columns])]
    yield "next", float((vectors[one] * vectors[other]).sum(1).mean())
    cell_of = order.argsort()
    places = torch.stack([cell_of // n_columns, cell_of % n_columns], 1)
    apart = (places[alike] - places[:, None]).abs().amax(2)
    for distance in WITHIN:
        yield f"within {distance}", float((apart <= distance).float().mean())
    if groups is not None:
        yield "group", float((groups[one] == groups[other]).float().mean())


def main(folders: Sequence[str]) -> None:
    """Print a line for each way of placing."""
    vectors, groups = (of_caches(folders), None) if folders else planted()
    alike, n_columns = most_alike(vectors), columns_for(len(vectors))
    ways = {
        "random cells, exchanges": lambda: arrange(vectors, n_columns),
        "t-SNE, bisection": lambda: snapped(tsne_points(vectors, unobserved), n_columns),
        "t-SNE, bisection, exchanges": lambda: arrange(
            vectors, n_columns, tsne_points(vectors, unobserved)
        ),
    }
    for name, place in ways.items():
        begun = time.process_time()
        order = place()
        seconds = time.process_time() - begun
        numbers = (f"{key} {value:.2f}" for key, value in qualities(order, vectors, alike, groups))
        print(f"{name}: {', '.join(numbers)}; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
