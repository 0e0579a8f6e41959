"""t-SNE, which gives the map's pictures their first places, if a library for it is installed.

Source: t-SNE (van der Maaten & Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html), as
openTSNE computes it (Poličar, Stražar & Zupan 2024, https://doi.org/10.18637/jss.v109.i03).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "openTSNE"
PERPLEXITY = 30
N_NEIGHBOURS = 3 * PERPLEXITY  # to which it compares each vector
INITIAL_SPREAD = 1e-4  # standard deviation of points at first; they move apart by themselves
N_ITERATIONS, TELL_EVERY = 750, 10
SEARCH_SHARE = 0.2  # of the time, in which neighbours are found, before the first iteration


def installed_library() -> str:
    """The library's name and version; empty if it is missing."""
    try:
        return f"{PACKAGE} {metadata.version(PACKAGE)}"
    except metadata.PackageNotFoundError:
        return ""


def tsne_points(vectors: Tensor, advance: Callable[[float], object], seed: int = 0) -> Tensor:
    """Points of the plane by t-SNE, near each other where vectors are.

    The same seed gives the same points, on one thread or on several.

    Args:
        vectors: more than `N_NEIGHBOURS` different ones, (n, n_dims).
        advance: told what share of the work is done since the last time.
        seed: of the search for neighbours.

    Returns:
        (n, 2).

    Raises:
        ValueError: the points are not finite.
        Exception: whatever else the library raises.
    """
    import torch
    from openTSNE import TSNE
    from openTSNE.affinity import PerplexityBasedNN

    from atlas.kinds.map.arrangement import principal_components

    def tell(*_: object) -> None:
        advance((1 - SEARCH_SHARE) * TELL_EVERY / N_ITERATIONS)

    affinities = PerplexityBasedNN(vectors.numpy(), PERPLEXITY, random_state=seed, n_jobs=1)
    advance(SEARCH_SHARE)
    tsne = TSNE(callbacks=tell, callbacks_every_iters=TELL_EVERY, random_state=seed, n_jobs=1)
    initial = principal_components(vectors, 2)
    initial *= INITIAL_SPREAD / initial[:, 0].std()
    points = np.asarray(tsne.fit(affinities=affinities, initialization=initial.numpy()))
    if not np.isfinite(points).all():
        raise ValueError("its points are not finite")
    return torch.from_numpy(points)
